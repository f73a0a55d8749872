//! What only the file knows outlives a store that forgot it, and no store is believed or ended for a
//! file that cannot tell.

use redis::Connection;
use rustix::process::Signal;

use super::*;

#[test]
fn a_history_that_went_another_way_is_not_ended_by_whoever_began_with_a_file() {
    let mut site = Site::new();
    let mut first = Tollgate::start(&site.flags(&[]));
    fill(&first);
    let before = site.redis.copy();
    act(&first, "late", "freeze");
    first.wait_until("told", || first.reason_to_write("late") == "customer_frozen");
    assert!(first.terminate().success());
    site.redis.restart_from(&before);
    let epoch = epoch_of(&site);

    let booted = Tollgate::start_in(first.data_dir(), &site.flags(&[]));
    booted.wait_until("aware of it", || !booted.status()["store"]["lost"].is_null());
    // Also when the store goes on, and the two have no more in common than before.
    let other = Tollgate::start(&site.flags(&[]));
    act(&other, "new", "freeze");
    act(&other, "new", "disable");
    for customer in ["late", "bad"] {
        let reason = booted.reason_to_write(customer);
        assert!(["customer_frozen", "customer_disabled"].contains(&reason.as_str()), "{reason}");
    }
    assert_eq!(counted(&booted, "tollgate_store_successions_total"), "0");
    assert_eq!(epoch_of(&site), epoch);
    // An operator tells which of the two is right.
    let trusted = booted.cli(&["store", "trust-redis", "--yes"]);
    assert!(trusted.status.success(), "{trusted:?}");
    booted.wait_until("following", || booted.reason_to_write("new") == "customer_disabled");
    booted.wait_until("letting in", || booted.reason_to_write("late") == "customer_unknown");
}

#[test]
fn whom_only_the_file_names_stays_refused_in_the_history_that_another_one_began() {
    let mut site = Site::new();
    let runs_on = Tollgate::start(&site.flags(&["--snapshot-file", "off"]));
    let mut stops = Tollgate::start(&site.flags(&[]));
    act(&stops, "two", "freeze");
    act(&stops, "first", "disable");
    let before = site.redis.copy();
    act(&stops, "heard", "freeze");
    for tollgate in [&runs_on, &stops] {
        tollgate.wait_until("told", || tollgate.reason_to_write("heard") == "customer_frozen");
    }
    // From here on only one of them hears.
    runs_on.signal(Signal::STOP);
    cut_off(&site);
    stops.wait_until("there again", || stops.status()["feed"]["phase"] == "following");
    act(&stops, "unheard", "disable");
    act(&stops, "two", "disable");
    stops.wait_until("told", || stops.reason_to_write("two") == "customer_disabled");
    assert!(stops.terminate().success());
    site.redis.restart_from(&before);
    runs_on.signal(Signal::CONT);
    runs_on.wait_until("ended", || {
        counted(&runs_on, "tollgate_store_successions_total") == "1"
            && counted(&runs_on, "tollgate_changes_recovered_total") == "1"
            && counted(&runs_on, "tollgate_changes_withheld") == "0"
            && runs_on.reason_to_write("heard") == "customer_frozen"
    });
    runs_on.wait_until("ignorant", || runs_on.reason_to_write("unheard") == "customer_unknown");

    let booted = Tollgate::start_in(stops.data_dir(), &site.flags(&[]));
    let still = || {
        assert_eq!(booted.reason_to_write("unheard"), "customer_disabled");
        assert_eq!(booted.reason_to_write("two"), "customer_disabled");
        assert_eq!(booted.reason_to_write("heard"), "customer_frozen");
    };
    still();
    booted.wait_until("writing them back", || {
        still();
        counted(&booted, "tollgate_changes_recovered_total") == "2"
            && counted(&booted, "tollgate_changes_withheld") == "0"
    });
    still();
    for (customer, reason) in [("unheard", "customer_disabled"), ("two", "customer_disabled")] {
        runs_on.wait_until("told", || runs_on.reason_to_write(customer) == reason);
    }
    // Each restriction came back by itself.
    act(&runs_on, "two", "enable");
    booted.wait_until("told", || booted.reason_to_write("two") == "customer_frozen");
}

#[test]
fn a_history_that_went_another_way_before_it_ended_is_not_taken_for_the_files() {
    let mut site = Site::new();
    let mut first = Tollgate::start(&site.flags(&[]));
    fill(&first);
    let before = site.redis.copy();
    act(&first, "late", "freeze");
    first.wait_until("told", || first.reason_to_write("late") == "customer_frozen");
    assert!(first.terminate().success());
    site.redis.restart_from(&before);
    let other = Tollgate::start(&site.flags(&["--snapshot-file", "off"]));
    act(&other, "new", "freeze");
    act(&other, "new", "disable");
    let beyond_the_file = site.redis.copy();
    act(&other, "newest", "freeze");
    site.redis.restart_from(&beyond_the_file);
    other.wait_until("ended", || counted(&other, "tollgate_store_successions_total") == "1");

    let booted = Tollgate::start_in(first.data_dir(), &site.flags(&[]));
    booted.wait_until("following", || {
        assert_eq!(booted.reason_to_write("late"), "customer_frozen");
        booted.reason_to_write("new") == "customer_disabled"
    });
    other.wait_until("told", || other.reason_to_write("late") == "customer_frozen");
    assert_eq!(booted.reason_to_write("late"), "customer_frozen");
    assert_eq!(booted.reason_to_write("bad"), "customer_disabled");
}

#[test]
fn a_change_that_waits_for_an_operator_refuses_after_a_restart_too() {
    let mut site = Site::new();
    let mut first = Tollgate::start(&site.flags(&[]));
    let before = site.redis.copy();
    act(&first, "c1", "disable");
    first.signal(Signal::STOP);
    site.redis.restart_from(&before);
    let second = Tollgate::start(&site.flags(&["--snapshot-file", "off"]));
    act(&second, "c1", "freeze");
    first.signal(Signal::CONT);
    let listed = || {
        let listed = first.cli(&["store", "conflicts", "--output", "json"]).stdout;
        serde_json::from_slice::<Value>(&listed).unwrap_or_default()["conflicts"].clone()
    };
    first.wait_until("listing it", || listed().as_array().is_some_and(|all| all.len() == 1));
    let token = listed()[0]["forgotten"].as_str().unwrap().to_owned();
    assert_eq!(first.reason_to_write("c1"), "customer_disabled");
    assert!(first.terminate().success());
    site.redis.kill9();

    let again = within_a_second_for(&first.data_dir(), &site.flags(&[]), "c1");
    assert_eq!(again.reason_to_write("c1"), "customer_disabled");
    site.redis.restart();
    again.wait_until("following", || again.status()["feed"]["phase"] == "following");
    assert_eq!(again.reason_to_write("c1"), "customer_disabled");
    let settled = again.cli(&["store", "conflicts", "--settle", &token]);
    assert!(settled.status.success(), "{settled:?}");
    again.wait_until("settled", || again.reason_to_write("c1") == "customer_frozen");
}

#[test]
fn with_adopt_what_the_store_says_takes_the_place_of_the_file() {
    let site = Site::new();
    let left = site.left_behind(&[]);
    redis::cmd("FLUSHALL").exec(&mut connect(&site)).unwrap();
    let other = Tollgate::start(&site.flags(&[]));
    act(&other, "new", "freeze");
    let flags = site.flags(&["--on-store-loss", "adopt"]);
    let adopts = Tollgate::start_in(Arc::clone(&left), &flags);
    adopts.wait_until("adopting", || adopts.reason_to_write("new") == "customer_frozen");
    assert_eq!(adopts.reason_to_write("bad"), "customer_unknown");
    assert!(adopts.status()["store"]["lost"].is_null());
}

#[test]
fn a_file_of_every_partition_refuses_whomever_it_names() {
    let mut site = Site::new();
    let mut first = Tollgate::start(&site.flags(&["--partitions", "8"]));
    let customers: Vec<String> = (0..40).map(|number| format!("c{number}")).collect();
    for customer in &customers {
        act(&first, customer, "disable");
    }
    assert!(first.terminate().success());
    site.redis.kill9();
    let booted = within_a_second_for(&first.data_dir(), &site.flags(&[]), "c0");
    for customer in &customers {
        assert_eq!(booted.reason_to_write(customer), "customer_disabled");
    }
    booted.wait_until("ready", || booted.admin("/readyz").status == 200);
    assert_eq!(booted.reason_to_write("good"), "not_restricted");
    site.redis.restart();
    booted.wait_until("fresh", || booted.status()["staleness"]["stale"] == Value::Bool(false));
    booted.wait_until("following", || booted.reason_to_write("good") == "customer_unknown");
    assert_eq!(counted(&booted, "tollgate_feed_resnapshots_total"), "0");
}

#[test]
fn a_file_of_a_store_with_other_partitions_refuses_whom_it_names_and_decides_on_nobody_else() {
    let site = Site::new();
    let left = site.left_behind(&["--partitions", "4"]);
    redis::cmd("FLUSHALL").exec(&mut connect(&site)).unwrap();
    let other = Tollgate::start(&site.flags(&["--partitions", "2"]));
    act(&other, "new", "freeze");
    let booted = Tollgate::start_in(Arc::clone(&left), &site.flags(&[]));
    let line = booted.wait_for_log("remove the snapshot file");
    assert!(line.contains("has 2 partitions") && line.contains("another store, with 4"), "{line}");
    assert_eq!(booted.reason_to_write("bad"), "customer_disabled");
    for undecided in ["good", "new"] {
        assert_eq!(booted.reason_to_write(undecided), "too_stale");
    }
    let told = |text: &str| booted.log().iter().filter(|line| line.contains(text)).count();
    assert_eq!(told("remove the snapshot file"), 1);
    drop(booted);
    let follows = Tollgate::start_in(left, &site.flags(&["--snapshot-file", "off"]));
    follows.wait_until("following", || follows.reason_to_write("new") == "customer_frozen");
}

fn epoch_of(site: &Site) -> String {
    let mut redis = connect(site);
    redis::cmd("HGET").arg(&["tollgate:{0}:meta", "epoch"]).query(&mut redis).unwrap()
}

/// Ends every connection.
fn cut_off(site: &Site) {
    let mut redis = connect(site);
    for kind in ["pubsub", "normal"] {
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", kind]).exec(&mut redis).unwrap();
    }
}

fn connect(site: &Site) -> Connection {
    redis::Client::open(site.redis.tcp_url()).unwrap().get_connection().unwrap()
}
