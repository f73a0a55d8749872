//! Redis forgets a part, or comes back as another: what the instances heard is written back, and
//! what needs a person waits for one.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::Value;
use tollgate::domain::Verb;

use super::{
    act::{self, Act},
    campaign::{Campaign, Scene, tell},
    fleet::{Fleet, Seat, UNGUARDED},
    ledger::Ledger,
    report::Row,
    store,
    support::{Flavor, Persistence, RedisServer, tollgate::Tollgate},
    verify,
    writer::Writer,
};

/// Restarts Redis from a copy that is some acts old.
pub(crate) fn roll_back(fleet: &mut Fleet, scene: &mut Scene<'_>) {
    let copy = fleet.redis().copy();
    scene.wait_for_acts(30);
    fleet.redis_mut().restart_from(&copy);
}

/// The same, but others wrote to the copy before the instances are back on it.
pub(crate) fn diverge(fleet: &mut Fleet, scene: &mut Scene<'_>) {
    let copy = fleet.redis().copy();
    scene.wait_for_acts(30);
    fleet.redis_mut().kill9();
    let mut elsewhere = RedisServer::start(fleet.flavor, Persistence::AppendOnlyFile);
    elsewhere.restart_from(&copy);
    let stranger = Tollgate::start(&["--store", &elsewhere.url(), UNGUARDED]);
    let (seats, ledger) = ([Seat::default()], Ledger::default());
    seats[0].put(Some(&stranger));
    let writer = Writer::new(&seats, &ledger);
    for number in 0..STRANGERS_ACTS {
        let (serial, customer) = (format!("stranger-{number}"), act::other(scene.rng));
        let verb = Verb::STATUS[scene.rng.usize(..Verb::STATUS.len())];
        let act = Act::plain(serial, customer, verb, "stripe");
        // From when the instances are on this copy, it may have let in whom they know restricted.
        scene.note_elsewhere(&act);
        writer.perform(act, 0);
    }
    drop(stranger);
    fleet.redis_mut().restart_from(&elsewhere.copy());
}

/// Deletes the set of restricted customers, and waits until it is there again.
pub(crate) fn delete_restricted(fleet: &mut Fleet, _: &mut Scene<'_>) {
    let partitions = 0..u16::try_from(store::heads(fleet).len()).unwrap();
    for partition in partitions.clone() {
        fleet.command(&["DEL", &store::key(partition, "restricted")]);
    }
    let begun = Instant::now();
    while !partitions.clone().all(|it| store::is_restricted_set_whole(&mut fleet.connect(it), it)) {
        assert!(begun.elapsed() < REWRITTEN_WITHIN, "the restricted set was not written again");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Another store stands where theirs was, and an operator says that it is the right one.
pub(crate) fn trust(fault: &'static str, flavor: Flavor, seed: u64, times: u32) -> Row {
    let mut row = Row { fault, ..Row::default() };
    for round in 0..times {
        let mut campaign = Campaign::start(fault, flavor, seed + u64::from(round));
        let other = RedisServer::start(flavor, Persistence::AppendOnlyFile);
        make_others(&other, campaign.fleet.partitions);
        let replace = |fleet: &mut Fleet, scene: &mut Scene<'_>| {
            fleet.redis_mut().restart_from(&other.copy());
            wait_until_lost(fleet);
            scene.wait_for_acts(20);
        };
        campaign.disturb(replace, |_| Duration::ZERO);
        operate(&campaign.fleet, &["store", "trust-redis", "--yes"]);
        let settling = campaign.fleet.settle();
        let held = store::read(&campaign.fleet);
        for tollgate in &campaign.fleet.tollgates {
            let wrong = || verify::wrong_decisions(tollgate, &act::customers(), &held);
            // On a busy machine a record may not come in time, and nobody is unknown without it.
            let begun = Instant::now();
            while begun.elapsed() < DECIDED_WITHIN && !wrong().is_empty() {}
            tell("decisions are not the trusted store's", &wrong());
        }
        let ended = campaign.end();
        row.add(&Row { settling: settling.max(ended.settling), ..ended });
    }
    row
}

/// Makes a store of its own history in which half of the customers are known.
fn make_others(redis: &RedisServer, partitions: &str) {
    let tollgate = Tollgate::start(&["--store", &redis.url(), "--partitions", partitions]);
    let (seats, ledger) = ([Seat::default()], Ledger::default());
    seats[0].put(Some(&tollgate));
    let writer = Writer::new(&seats, &ledger);
    for (number, customer) in act::customers().into_iter().enumerate().step_by(2) {
        let verb = if number.is_multiple_of(4) { Verb::Freeze } else { Verb::Put };
        let act = Act::plain(format!("other-{number}"), customer, verb, "operator");
        let act = if verb == Verb::Freeze { act.with("create", Value::Bool(true)) } else { act };
        writer.perform(act, 0);
    }
}

/// Waits until every instance knows of every partition that it is lost.
pub(crate) fn wait_until_lost(fleet: &Fleet) {
    for tollgate in &fleet.tollgates {
        tollgate.wait_until("aware of the loss", || {
            let stat = tollgate.operate("GET", "/v1/store", None);
            let is_lost = |it: &Value| !it["lost"].is_null();
            stat.status == 200 && stat.json()["partitions"].as_array().unwrap().iter().all(is_lost)
        });
    }
}

/// Waits until everything that was forgotten is written back or in conflict, and says how long it
/// took.
pub(crate) fn settle(fleet: &Fleet) -> Duration {
    let begun = Instant::now();
    fleet.settle();
    for tollgate in &fleet.tollgates {
        tollgate.wait_until("free of what was forgotten, but for what waits for somebody", || {
            let stat = tollgate.operate("GET", "/v1/store", None);
            let waits = |it: &Value| it["withheld"] == it["inConflict"];
            stat.status == 200 && stat.json()["partitions"].as_array().unwrap().iter().all(waits)
        });
    }
    fleet.settle();
    begun.elapsed()
}

/// Customers of whom a forgotten change was not written back, because somebody acted since.
pub(crate) fn customers_in_conflict(fleet: &Fleet) -> BTreeSet<String> {
    let listed = conflicts(fleet);
    let customers = listed["conflicts"].as_array().unwrap().iter();
    let named = customers.map(|conflict| conflict["customer"].as_str().unwrap());
    named.map(|key| key.strip_prefix("default:").unwrap().to_owned()).collect()
}

fn conflicts(fleet: &Fleet) -> Value {
    serde_json::from_str(&operate(fleet, &["store", "conflicts", "--output", "json"])).unwrap()
}

/// Runs an operator's command on one instance, and returns what it printed.
pub(crate) fn operate(fleet: &Fleet, arguments: &[&str]) -> String {
    let told = fleet.tollgates[0].cli(arguments);
    assert!(told.status.success(), "{arguments:?}: {told:?}");
    String::from_utf8(told.stdout).unwrap()
}

const STRANGERS_ACTS: u32 = 10;
const DECIDED_WITHIN: Duration = Duration::from_secs(5);
/// The set is looked at every 30 s.
const REWRITTEN_WITHIN: Duration = Duration::from_mins(1);
