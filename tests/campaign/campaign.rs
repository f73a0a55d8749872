//! Injects a fault while everything is in use, and then compares everything.

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::json;
use tollgate::domain::Verb;

use super::{
    act::{self, Act, Author},
    fleet::{Fleet, Servers},
    ledger::{Ledger, Outcome},
    recovery,
    report::Row,
    store::{self, Held},
    support::Flavor,
    traffic::{Audience, Traffic},
    verify::{self, Promise},
    writer::Writer,
};

/// One fault, in a fleet of its own.
pub(crate) struct Campaign {
    /// What it happens to.
    pub(crate) fleet: Fleet,
    /// What was answered.
    pub(crate) ledger: Ledger,
    traffic: Traffic,
    authors: Vec<Author>,
    rng: Rng,
    row: Row,
}

/// What an injection sees of the rest.
pub(crate) struct Scene<'a> {
    /// What it does at random comes from here.
    pub(crate) rng: &'a mut Rng,
    ledger: &'a Ledger,
}

impl Scene<'_> {
    /// Waits until this many more acts have ended.
    pub(crate) fn wait_for_acts(&self, count: usize) {
        let (begun, enough) = (Instant::now(), self.ledger.len() + count);
        while self.ledger.len() < enough {
            assert!(begun.elapsed() < PATIENCE, "the writers got stuck");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Notes that `act` is done where nobody here hears what comes of it: until everything is
    /// compared, it may or may not count.
    pub(crate) fn note_elsewhere(&self, act: &Act) {
        self.ledger.begin(act);
    }

    /// How many acts have ended.
    pub(crate) fn acts(&self) -> usize {
        self.ledger.len()
    }

    /// Waits for a time that is chosen at random.
    pub(crate) fn pause(&mut self, millis: std::ops::Range<u64>) {
        thread::sleep(Duration::from_millis(self.rng.u64(millis)));
    }
}

impl Campaign {
    /// Starts a fleet, and makes its customers.
    pub(crate) fn start(fault: &'static str, flavor: Flavor, seed: u64) -> Self {
        Self::start_with(fault, flavor, seed, Fleet::start)
    }

    /// Starts such a fleet, and makes its customers.
    pub(crate) fn start_with(
        fault: &'static str,
        flavor: Flavor,
        seed: u64,
        start: fn(Flavor) -> Fleet,
    ) -> Self {
        println!("{fault}, on {flavor:?}: TOLLGATE_TEST_SEED={seed}");
        let mut rng = Rng::with_seed(seed);
        let author = |number| Author::new(format!("w{number}"), rng.u64(..));
        let authors = (0..WRITERS).map(author).collect();
        let fleet = start(flavor);
        let ledger = Ledger::default();
        let writer = Writer::new(&fleet.seats, &ledger);
        make_customers(&writer);
        let row = Row { fault, ..Row::default() };
        Self { traffic: Traffic::default(), fleet, ledger, authors, rng, row }
    }

    /// Injects the fault once, and compares everything when it is over.
    pub(crate) fn round(&mut self, inject: impl FnOnce(&mut Fleet, &mut Scene<'_>)) {
        self.disturb(inject, Fleet::settle);
        self.compare(&Promise::All);
    }

    /// The same with a fault that makes Redis forget.
    pub(crate) fn forgetful_round(&mut self, inject: impl FnOnce(&mut Fleet, &mut Scene<'_>)) {
        self.disturb(inject, recovery::settle);
        let conflicts = recovery::customers_in_conflict(&self.fleet);
        self.compare(&Promise::Recovered(conflicts));
    }

    /// Injects a fault while everything is in use. `settle` waits until it is over, and says how
    /// long that took.
    pub(crate) fn disturb(
        &mut self,
        inject: impl FnOnce(&mut Fleet, &mut Scene<'_>),
        settle: impl Fn(&Fleet) -> Duration,
    ) {
        let Self { fleet, ledger, traffic, authors, rng, row } = self;
        let (seats, ledger, traffic) = (&*fleet.seats.clone(), &*ledger, &*traffic);
        let (injecting, asking) = (AtomicBool::new(true), AtomicBool::new(true));
        thread::scope(|scope| {
            // Also when something below fails, so that it is told.
            let _stop = (Stop(&injecting), Stop(&asking));
            // While two servers call themselves master, one revision may name a change on each:
            // then only who heard an acknowledged one is known to have done so.
            let forks = matches!(fleet.servers, Servers::Watched(_));
            for place in 0..seats.len() {
                let (rng, asking) = (rng.fork(), &asking);
                let audience = if forks { Audience::WhoSaidSo } else { Audience::WhoHeard };
                let asked = (seats, place, audience);
                scope.spawn(move || traffic.ask(asked, ledger, rng, || is_set(asking)));
            }
            let write = |author| {
                let injecting = &injecting;
                scope.spawn(move || {
                    Writer::new(seats, ledger).write(author, ACTS, || is_set(injecting));
                })
            };
            let writers: Vec<_> = authors.iter_mut().map(write).collect();
            let first = rng.usize(..ACTS / 2);
            let mut scene = Scene { rng, ledger };
            scene.wait_for_acts(first);
            inject(fleet, &mut scene);
            row.settling = row.settling.max(settle(fleet));
            injecting.store(false, Ordering::Relaxed);
            for writer in writers {
                writer.join().unwrap();
            }
            settle(fleet);
        });
        row.injected += 1;
        ledger.settle();
        tell("meanwhile answers were wrong", &traffic.wrong.lock().unwrap());
    }

    /// What came of it all.
    pub(crate) fn end(self) -> Row {
        let changes = self.ledger.entries();
        let is_change = |entry: &&super::ledger::Entry| matches!(&entry.outcome, Outcome::Acknowledged(it) if it.changed);
        Row {
            changes: changes.iter().filter(is_change).count(),
            checks: self.traffic.answered.load(Ordering::Relaxed),
            resnapshots: self.fleet.resnapshots(),
            ..self.row
        }
    }

    fn compare(&mut self, promise: &Promise) {
        let mut customers = act::customers();
        if let Promise::Recovered(conflicts) = promise {
            // They are refused for what the store does not know, until somebody decides.
            customers.retain(|customer| !conflicts.contains(customer));
        }
        let (held, wrong) = self.read_and_ask(&customers);
        let kept = verify::compare(&self.ledger.entries(), &held, promise);
        *self.row.lost.get_or_insert(0) += kept.broken.len();
        self.row.wrong += wrong.len();
        // What was forgotten in an earlier round is still so.
        self.row.forgotten = kept.forgotten;
        self.row.came_back = kept.came_back;
        self.row.superseded = kept.superseded;
        if !(kept.broken.is_empty() && wrong.is_empty()) {
            for tollgate in &self.fleet.tollgates {
                println!("{}", tollgate.log().join("\n"));
            }
        }
        tell("what was acknowledged is not there", &kept.broken);
        tell("the store contradicts itself", &held.contradictions);
        tell("decisions are not the store's", &wrong);
    }

    /// Reads the store and asks every instance about it, at a moment when nothing is written.
    fn read_and_ask(&self, customers: &[String]) -> (Held, Vec<String>) {
        let begun = Instant::now();
        loop {
            let before = store::heads(&self.fleet);
            let held = store::read(&self.fleet);
            self.fleet.settle();
            let mut wrong = Vec::new();
            // Another fifth of them is shown in each round.
            let shown = || customers.iter().skip(self.row.injected as usize % 5).step_by(5);
            for tollgate in &self.fleet.tollgates {
                wrong.extend(verify::wrong_decisions(tollgate, customers, &held));
                wrong.extend(verify::wrong_limits(tollgate, shown(), &held));
            }
            // An act whose writer gave up on it may still have been under way.
            if store::heads(&self.fleet) == before {
                return (held, wrong);
            }
            assert!(begun.elapsed() < PATIENCE, "somebody goes on writing");
        }
    }
}

/// Makes all customers: some are disabled for ever, all others active.
pub(crate) fn make_customers(writer: &Writer<'_>) {
    for customer in act::customers() {
        let serial = format!("made-{customer}");
        let act = if customer.starts_with("in") {
            Act::plain(serial, customer, Verb::Disable, "operator").with("create", json!(true))
        } else {
            let made = Act::plain(serial, customer, Verb::Put, "operator");
            made.with("plan", json!("free")).with("features", json!([]))
        };
        writer.perform(act, 0);
    }
}

/// The seed that is asked for, or this one.
pub(crate) fn seed_or(seed: u64) -> u64 {
    env::var("TOLLGATE_TEST_SEED").map_or(seed, |asked| asked.parse().unwrap())
}

/// Fails when there is anything to tell.
pub(crate) fn tell(what: &str, found: &[String]) {
    let shown = &found[..found.len().min(10)];
    assert!(found.is_empty(), "{what}, {} times:\n{}", found.len(), shown.join("\n"));
}

fn is_set(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

/// Clears its flag when it goes.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

const WRITERS: usize = 2;
/// What each writer does at least in one round.
const ACTS: usize = 60;
const PATIENCE: Duration = Duration::from_secs(30);
