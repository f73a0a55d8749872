//! An instance on a file is killed in the middle of its writes. What was acknowledged is there;
//! what was not is there whole, or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{
    act::{self, Author},
    campaign::{make_customers, tell},
    fleet::{Seat, UNGUARDED},
    ledger::{Entry, Ledger, Outcome},
    report::Row,
    store,
    support::{Flavor, tollgate::Tollgate},
    verify::{self, Promise},
    writer::Writer,
};

/// Kills the instance this often.
pub(crate) fn run(fault: &'static str, _: Flavor, seed: u64, times: u32) -> Row {
    println!("{fault}: TOLLGATE_TEST_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let mut authors: Vec<_> =
        (0..WRITERS).map(|number| Author::new(format!("w{number}"), rng.u64(..))).collect();
    let mut tollgate = Tollgate::start(&[UNGUARDED]);
    let (seats, ledger) = ([Seat::default()], Ledger::default());
    seats[0].put(Some(&tollgate));
    make_customers(&Writer::new(&seats, &ledger));
    let mut row = Row { fault, injected: times, lost: Some(0), ..Row::default() };
    for _ in 0..times {
        let storming = AtomicBool::new(true);
        thread::scope(|scope| {
            let _stop = super::campaign::Stop(&storming);
            for author in &mut authors {
                let (writer, storming) = (Writer::new(&seats, &ledger), &storming);
                scope.spawn(move || writer.write(author, 0, || storming.load(Ordering::Relaxed)));
            }
            let enough = ledger.len() + rng.usize(20..200);
            let begun = Instant::now();
            while ledger.len() < enough {
                assert!(begun.elapsed() < PATIENCE, "the writers got stuck");
                thread::sleep(Duration::from_millis(1));
            }
            // The seat stays taken until it is dead: the writers are in the middle of it.
            tollgate.kill9();
            seats[0].put(None);
            let begun = Instant::now();
            tollgate = Tollgate::start_in(Arc::clone(&tollgate.data_dir()), &[UNGUARDED]);
            tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
            row.settling = row.settling.max(begun.elapsed());
            seats[0].put(Some(&tollgate));
        });
        ledger.settle();
        let customers = act::customers();
        let held = store::read_through(&tollgate, &customers);
        tell(
            "what was acknowledged is not there",
            &verify::compare(&ledger.entries(), &held, &Promise::All).broken,
        );
        tell("the store contradicts itself", &held.contradictions);
        tell(
            "decisions are not the store's",
            &verify::wrong_decisions(&tollgate, &customers, &held),
        );
        tell(
            "it shows what it does not hold",
            &verify::wrong_limits(&tollgate, customers.iter(), &held),
        );
    }
    row.changes = ledger.entries().iter().filter(|entry| is_change(entry)).count();
    row
}

fn is_change(entry: &Entry) -> bool {
    matches!(&entry.outcome, Outcome::Acknowledged(it) if it.changed)
}

const WRITERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);
