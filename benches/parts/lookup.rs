//! What is held of a customer: among many who are restricted, among the recent, and of neither.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::Criterion;
use tokio::runtime::Builder;
use tollgate::{
    cache::{Cache, Keeping, Picture},
    clock::Clock,
    domain::{
        AuditEntry, CustomerKey, Epoch, Partition, Position, Private, Restrictions, Revision, Role,
        Source, Timestamp, Verb, Watermark,
        audit::{AuditActor, AuditOutcome},
        change::Act,
        customer::RecordBody,
    },
    store::{
        Commit, CustomerWrite, RestrictedEntry, Store, Trail, Write, Writer, embedded::Embedded,
    },
    telemetry::Metrics,
};

pub(crate) fn bench(criterion: &mut Criterion) {
    let cache = memory();
    let mut group = criterion.benchmark_group("lookup");
    for (name, customer) in [
        ("a restricted customer", restricted(RESTRICTED / 2)),
        ("a recent one", recent()),
        ("one of whom nothing is held", CustomerKey::parse("default:nobody").unwrap()),
    ] {
        let found = cache.find(&customer);
        assert_eq!(found.entry.is_some(), name.contains("restricted"));
        assert_eq!(found.held.is_some(), name.contains("recent"));
        group.bench_function(name, |bencher| bencher.iter(|| cache.find(black_box(&customer))));
    }
}

/// Many restricted customers, and one who was asked for.
pub(crate) fn memory() -> Cache {
    let clock = Clock::system();
    let store = Store::Embedded(Embedded::in_memory(clock.clone()).unwrap());
    let patience = Duration::from_secs(1);
    let cache =
        Cache::new(store.clone(), Keeping::Recent(1_000_000), patience, clock, Metrics::new());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        store.create(&epoch(), store.usual_partitions()).await.unwrap();
        store.commit(put(recent())).await.unwrap();
        cache.lay_out();
        let picture = Picture::new(1, epoch());
        let restrictions = Restrictions::parse_compact("disabled,operator,other,1,").unwrap();
        for number in 0..RESTRICTED {
            picture.offer(RestrictedEntry {
                key: restricted(number),
                revision: Revision(1),
                restrictions: Some(restrictions.clone()),
            });
        }
        cache.install(Partition(0), Arc::new(picture), watermark(1));
        cache.fill(&recent(), patience).await.unwrap();
    });
    cache
}

pub(crate) fn watermark(revision: u64) -> Watermark {
    let position = Position { generation: 1, revision: Revision(revision) };
    Watermark { position, epoch: epoch(), log_id: format!("{revision}-0") }
}

pub(crate) fn restricted(number: u32) -> CustomerKey {
    CustomerKey::parse(&format!("default:restricted-{number}")).unwrap()
}

pub(crate) fn recent() -> CustomerKey {
    CustomerKey::parse("default:acme-4711").unwrap()
}

/// What an operator does to no restriction.
pub(crate) fn act(verb: Verb) -> Act {
    Act {
        verb,
        source: Source::operator(),
        kind: None,
        reason: None,
        since: None,
        until: None,
        at: None,
        exact: false,
        imported: false,
        recovers: None,
    }
}

fn put(key: CustomerKey) -> Commit {
    let actor =
        AuditActor { name: "bench".to_owned(), key_id: None, role: Role::Support, address: None };
    let audit = AuditEntry {
        subject: key.to_string(),
        action: "put".to_owned(),
        outcome: AuditOutcome::Changed,
        refusal: None,
        actor,
        dialect: "native".to_owned(),
        source: None,
        reason: None,
        notes: None,
        notes_digest: None,
        informed_at: None,
        before: Restrictions::default(),
        after: Restrictions::default(),
        request_id: None,
        batch: None,
        at: Timestamp::from_millis(1_795_384_000_000),
    };
    let write = CustomerWrite {
        key,
        expected: None,
        body: RecordBody::default(),
        private: Private::default(),
        entitlements_changed: true,
        act: act(Verb::Put),
    };
    Commit {
        write: Write::Customer(Box::new(write)),
        writer: Writer { epoch: epoch(), watermark: Revision(0) },
        audit,
        notes: None,
        idempotency: None,
        trail: Trail::Both,
    }
}

fn epoch() -> Epoch {
    Epoch::parse("e1").unwrap()
}

pub(crate) const RESTRICTED: u32 = 100_000;
