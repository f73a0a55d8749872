//! A change that was heard, until everything in memory is as it says.

use criterion::{BatchSize, Criterion};
use tokio::runtime::Builder;
use tollgate::domain::{
    Change, CustomerKey, Partition, Restrictions, Revision, Subject, Verb, change::CustomerChange,
};

use crate::lookup::{RESTRICTED, act, memory, recent, restricted, watermark};

pub(crate) fn bench(criterion: &mut Criterion) {
    let cache = memory();
    // A record that is no longer whole would be read anew, in a task; none of these needs it.
    let runtime = Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let mut revision = 1;
    let mut group = criterion.benchmark_group("apply");
    for (name, customer) in [
        ("a change to a restricted customer", restricted(RESTRICTED / 2)),
        ("a change to a recent one", recent()),
        ("a change to one of whom nothing is held", CustomerKey::parse("default:new").unwrap()),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    revision += 1;
                    (change(&customer, revision), watermark(revision))
                },
                |(change, watermark)| cache.apply(Partition(0), &change, watermark),
                BatchSize::SmallInput,
            );
        });
    }
}

/// Disables and enables in turn.
fn change(customer: &CustomerKey, revision: u64) -> Change {
    let (verb, compact) = if revision.is_multiple_of(2) {
        (Verb::Disable, "disabled,operator,other,1,")
    } else {
        (Verb::Enable, "")
    };
    let changed = CustomerChange {
        key: customer.clone(),
        restrictions: Restrictions::parse_compact(compact).unwrap(),
        entitlements_changed: false,
        act: act(verb),
    };
    let subject = Subject::Customer(changed);
    Change { revision: Revision(revision), log_id: format!("{revision}-0"), subject }
}
