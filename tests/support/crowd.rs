//! Many customers, committed as fast as the store takes them.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its customers has failed")]

use serde_json::json;
use tokio::{runtime::Runtime, task::JoinSet};
use tollgate::{
    domain::{
        CustomerKey, Epoch, Partitions, Private, Restrictions, Revision, customer::RecordBody,
    },
    store::{
        Commit, CustomerWrite, Store, Trail, Write, Writer,
        redis::{Redis, Settings},
    },
};

/// The id of one of the crowd.
pub(crate) fn id(number: u32) -> String {
    format!("c{number}")
}

/// Why one of the crowd may not write: of ten customers three are restricted.
pub(crate) fn refusal(number: u32) -> Option<&'static str> {
    let of_ten = usize::try_from(number % 10).unwrap();
    RESTRICTED.get(of_ten).map(|(_, reason)| *reason)
}

/// Begins the history of a store, and commits `count` customers there, each as an instance would.
pub(crate) fn settle(settings: &Settings, count: u32) {
    let epoch = Epoch::parse("crowd").unwrap();
    let store = Store::Redis(Redis::open(settings).unwrap());
    Runtime::new().unwrap().block_on(async {
        store.create(&epoch, Partitions::ONE).await.unwrap();
        let mut tasks = JoinSet::new();
        for first in 0..SIDE_BY_SIDE {
            let (store, epoch) = (store.clone(), epoch.clone());
            tasks.spawn(async move {
                for number in (first..count).step_by(SIDE_BY_SIDE as usize) {
                    store.commit(commit(number, &epoch)).await.unwrap();
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
}

fn commit(number: u32, epoch: &Epoch) -> Commit {
    let key = CustomerKey::parse(&format!("default:{}", id(number))).unwrap();
    let of_ten = usize::try_from(number % 10).unwrap();
    let compact = RESTRICTED
        .get(of_ten)
        .map_or_else(String::new, |(kind, _)| format!("{kind},operator,other,1763719200000,"));
    let restrictions = Restrictions::parse_compact(&compact).unwrap();
    // What is not said is as it is when nothing is.
    let audit = json!({
        "subject": key.to_string(),
        "action": "put",
        "outcome": "changed",
        "actor": {"name": "crowd", "role": "admin"},
        "dialect": "native",
        "before": [],
        "after": restrictions,
        "at": "2026-11-21T10:00:00Z",
    });
    let act = json!({"verb": "put", "source": "operator"});
    let write = CustomerWrite {
        key,
        expected: None,
        body: RecordBody { restrictions, ..RecordBody::default() },
        private: Private::default(),
        entitlements_changed: true,
        act: serde_json::from_value(act).unwrap(),
    };
    let writer = Writer { epoch: epoch.clone(), watermark: Revision(1) };
    Commit {
        write: Write::Customer(Box::new(write)),
        writer,
        audit: serde_json::from_value(audit).unwrap(),
        notes: None,
        idempotency: None,
        trail: Trail::Both,
    }
}

const RESTRICTED: [(&str, &str); 3] = [
    ("disabled", "customer_disabled"),
    ("frozen", "customer_frozen"),
    ("inactive", "customer_inactive"),
];
const SIDE_BY_SIDE: u32 = 64;
