//! The decision alone, on evidence that is at hand.

use std::{hint::black_box, time::Duration};

use criterion::Criterion;
use tollgate::domain::{
    Check, CustomerKey, Evidence, Operation, Policy, RecordEvidence, Restrictions, Staleness,
    Timestamp, customer::RecordBody, decide,
};

pub(crate) fn bench(criterion: &mut Criterion) {
    let check = Check::of(Ok(CustomerKey::parse("default:c1").unwrap()), Operation::Write);
    let (policy, now) = (Policy::default(), Timestamp::from_millis(1_795_384_000_000));
    let mut group = criterion.benchmark_group("decide");
    for (name, restrictions) in [
        ("an active customer", ""),
        ("a disabled one", "disabled,operator,fraud,1,"),
        ("one frozen by two sources", "frozen,billabear,non_payment,1,;frozen,stripe,dispute,1,"),
    ] {
        let restrictions = Restrictions::parse_compact(restrictions).unwrap();
        let body = RecordBody { restrictions: restrictions.clone(), ..RecordBody::default() };
        let staleness = Staleness {
            age: Some(Duration::from_millis(400)),
            max_staleness: Duration::from_secs(30),
            stale_limit: Duration::from_hours(1),
            suspect: false,
        };
        let evidence = Evidence {
            restrictions: &restrictions,
            record: RecordEvidence::Known(&body),
            staleness,
            revision_reached: true,
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                decide(black_box(&evidence), black_box(&check), &policy, None, now).decision
            });
        });
    }
}
