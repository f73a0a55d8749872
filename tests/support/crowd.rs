//! Many customers, committed as fast as the store takes them.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its customers has failed")]

use tokio::{runtime::Runtime, task::JoinSet};
use tollgate::{
    domain::{
        AuditEntry, CustomerKey, Epoch, Partitions, Private, Restrictions, Revision, Role, Source,
        Timestamp, Verb,
        audit::{AuditActor, AuditOutcome},
        change::Act,
        customer::RecordBody,
    },
    store::{
        Commit, CustomerWrite, Store, Write, Writer,
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
    let audit = AuditEntry {
        subject: key.to_string(),
        action: Verb::Put.as_str().to_owned(),
        outcome: AuditOutcome::Changed,
        refusal: None,
        actor: AuditActor {
            name: "crowd".to_owned(),
            key_id: None,
            role: Role::Admin,
            address: None,
        },
        dialect: "native".to_owned(),
        source: None,
        reason: None,
        notes: None,
        informed_at: None,
        before: Restrictions::default(),
        after: restrictions.clone(),
        request_id: None,
        at: Timestamp::from_millis(1_763_719_200_000),
    };
    let act = Act {
        verb: Verb::Put,
        source: Source::operator(),
        kind: None,
        reason: None,
        since: None,
        until: None,
        at: None,
    };
    let write = CustomerWrite {
        key,
        expected: None,
        body: RecordBody { restrictions, ..RecordBody::default() },
        private: Private::default(),
        entitlements_changed: true,
        act,
    };
    let writer = Writer { epoch: epoch.clone(), watermark: Revision(1) };
    Commit { write: Write::Customer(Box::new(write)), writer, audit, idempotency: None }
}

const RESTRICTED: [(&str, &str); 3] = [
    ("disabled", "customer_disabled"),
    ("frozen", "customer_frozen"),
    ("inactive", "customer_inactive"),
];
const SIDE_BY_SIDE: u32 = 64;
