//! Redis forgets everything while it is in use: nobody is let in who was kept out, nothing is
//! written into the empty store, and an operator may fill it again from an instance.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::{
    campaign::{Campaign, Scene, tell},
    fleet::Fleet,
    ledger::{Entry, Outcome},
    recovery::{operate, wait_until_lost},
    report::Row,
    store,
    support::Flavor,
    verify,
};

/// Empties Redis.
pub(crate) fn run(fault: &'static str, flavor: Flavor, seed: u64, times: u32) -> Row {
    let mut row = Row { fault, ..Row::default() };
    for round in 0..times {
        let mut campaign = Campaign::start(fault, flavor, seed + u64::from(round));
        let first = flush(&mut campaign);
        campaign.ledger_decides();
        refused(&campaign.ledger.entries()[first..]);
        let heads = store::heads(&campaign.fleet);
        assert!(heads.iter().all(|head| head.epoch.is_empty()), "somebody began {heads:?}");
        row.add(&campaign.end());
    }
    row
}

/// Empties Redis, and fills it again from one instance.
pub(crate) fn run_and_refill(fault: &'static str, flavor: Flavor, seed: u64, times: u32) -> Row {
    let mut row = Row { fault, ..Row::default() };
    for round in 0..times {
        let mut campaign = Campaign::start(fault, flavor, seed + u64::from(round));
        let first = flush(&mut campaign);
        let entries = campaign.ledger.entries();
        refused(&entries[first..]);
        operate(&campaign.fleet, &["store", "refill-redis", "--yes"]);
        // The other instances read it first, which they do at their own pace.
        campaign.fleet.settle();
        // It is written to again, and everybody hears it.
        campaign.disturb(|_, _| {}, Fleet::settle);
        done_or_unknown(&campaign.ledger.entries()[entries.len()..]);
        campaign.ledger_decides();
        row.add(&campaign.end());
    }
    Row { injected: times, ..row }
}

/// Empties Redis while it is in use. Says from which act on nothing can have been done.
fn flush(campaign: &mut Campaign) -> usize {
    let mut first = 0;
    let noticed = Cell::new(Duration::ZERO);
    let empty = |fleet: &mut Fleet, scene: &mut Scene<'_>| {
        fleet.command(&["FLUSHALL"]);
        let begun = Instant::now();
        wait_until_lost(fleet);
        noticed.set(begun.elapsed());
        // Those under way are answered first.
        scene.wait_for_acts(10);
        first = scene.acts();
        scene.wait_for_acts(30);
    };
    campaign.disturb(empty, |_| noticed.get());
    first
}

/// Every one of these acts was refused because the store is lost.
fn refused(entries: &[Entry]) {
    let done: Vec<_> = entries
        .iter()
        .filter(|entry| !matches!(&entry.outcome, Outcome::Refused(code) if code == "STORE_LOST"))
        .map(|entry| format!("{entry:?}"))
        .collect();
    tell("an act on a lost store was not refused as that", &done);
}

/// Every one of these acts was done, but for those on customers whose records nobody had.
fn done_or_unknown(entries: &[Entry]) {
    let done = |entry: &&Entry| matches!(entry.outcome, Outcome::Acknowledged(_));
    assert!(entries.iter().filter(done).count() > 10, "next to nothing was done: {entries:?}");
    let refused: Vec<_> = entries
        .iter()
        .filter(|entry| !done(entry))
        .filter(|it| !matches!(&it.outcome, Outcome::Refused(code) if code == "NOT_FOUND"))
        .map(|entry| format!("{entry:?}"))
        .collect();
    tell("an act on a store that was filled again was not done", &refused);
}

impl Campaign {
    /// Every instance decides as the newest answers said.
    fn ledger_decides(&self) {
        for tollgate in &self.fleet.tollgates {
            let wrong = verify::wrong_by_ledger(tollgate, &self.ledger);
            tell("decisions are not what was acknowledged", &wrong);
        }
    }
}
