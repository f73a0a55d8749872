//! What one instance costs its Redis, and what it takes itself, with 600,000 restricted customers.
//!
//! `cargo test --release --test resnapshot_cost -- --ignored --nocapture` prints a table.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};
use tollgate::{
    domain::{CustomerKey, Revision, Subject},
    store::Census,
};

#[test]
#[ignore = "takes a minute; run it with --ignored --nocapture"]
fn what_600_000_restricted_customers_cost() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let store = server.url();
    Tollgate::start(&["--store", &store]).kill9();
    let mut redis = redis::Client::open(server.tcp_url()).unwrap().get_connection().unwrap();
    load(&mut redis);

    println!(
        "| {CUSTOMERS} restricted customers, one instance | took | commands | Redis sent | peak memory |"
    );
    println!("|---|---:|---:|---:|---:|");
    let (before, begun) = (Stats::read(&mut redis), Instant::now());
    let tollgate = Tollgate::start_unready(&["--store", &store]);
    wait_until(|| tollgate.admin("/readyz").status == 200);
    row("start until ready", begun.elapsed(), &Stats::since(&before, &mut redis), &tollgate);

    // Two changes more, and a log that does not reach back to what the instance knows.
    tollgate.signal(Signal::STOP);
    for revision in [CUSTOMERS + 2, CUSTOMERS + 3] {
        log(&mut redis, revision);
    }
    let () = redis::cmd("XTRIM").arg(LOG).arg("MAXLEN").arg(1).query(&mut redis).unwrap();
    let (before, begun) = (Stats::read(&mut redis), Instant::now());
    tollgate.signal(Signal::CONT);
    wait_until(|| tollgate.status()["feed"]["partitions"][0]["generation"] == 2);
    let cost = Stats::since(&before, &mut redis);
    row("resnapshot, while the old picture answers", begun.elapsed(), &cost, &tollgate);

    let (before, begun) = (Stats::read(&mut redis), Instant::now());
    thread::sleep(Duration::from_secs(10));
    row("idle", begun.elapsed(), &Stats::since(&before, &mut redis), &tollgate);

    for customer in [0, CUSTOMERS / 2, CUSTOMERS - 1] {
        assert_eq!(tollgate.reason_to_write(&customer_id(customer)), "customer_disabled");
    }
    assert_eq!(tollgate.reason_to_write("nobody"), "customer_unknown");
    assert_eq!(tollgate.status()["cache"]["restricted"], CUSTOMERS);
}

/// Writes the restricted set, and makes meta and log agree with it.
fn load(redis: &mut redis::Connection) {
    let mut census = Census::default();
    let mut numbers = 0..CUSTOMERS;
    loop {
        let batch: Vec<u64> = numbers.by_ref().take(1000).collect();
        if batch.is_empty() {
            break;
        }
        let mut command = redis::cmd("HSET");
        command.arg("tollgate:{0}:restricted");
        for number in batch {
            let key = CustomerKey::parse(&format!("default:{}", customer_id(number))).unwrap();
            let revision = number + 2;
            census = census.with(&key, Revision(revision));
            let entry = format!("{revision}|disabled,billing,non_payment,1795255200000,");
            command.arg(key.as_str()).arg(entry);
        }
        let () = command.query(redis).unwrap();
    }
    let digest = format!("{:016x}", census.digest);
    let () = redis::cmd("HSET")
        .arg(META)
        .arg(&["restricted_count", &census.count.to_string(), "restricted_digest", &digest])
        .query(redis)
        .unwrap();
    log(redis, CUSTOMERS + 1);
}

/// Makes a change that changes nobody.
fn log(redis: &mut redis::Connection, revision: u64) {
    let line = Subject::Created.to_log();
    let id: String = redis::cmd("XADD")
        .arg(LOG)
        .arg("*")
        .arg(&["rev", &revision.to_string(), "change", &line])
        .query(redis)
        .unwrap();
    let head = ["rev", &revision.to_string(), "sid", &id];
    let () = redis::cmd("HSET").arg(META).arg(&head).query(redis).unwrap();
}

fn customer_id(number: u64) -> String {
    format!("Cust_{number:08}-c0c9-44b1-bd0c-43f5283e1670")
}

fn wait_until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_mins(3), "it takes too long");
        thread::sleep(Duration::from_millis(5));
    }
}

fn row(what: &str, took: Duration, cost: &Stats, tollgate: &Tollgate) {
    let (seconds, megabytes) = (took.as_secs_f64(), tollgate.peak_memory() >> 20);
    let Stats { commands, sent } = cost;
    let sent = sent / 1000;
    println!("| {what} | {seconds:.2} s | {commands} | {sent} kB | {megabytes} MiB |");
}

/// What Redis has done.
struct Stats {
    commands: u64,
    sent: u64,
}

impl Stats {
    fn read(redis: &mut redis::Connection) -> Self {
        let info: String = redis::cmd("INFO").arg("stats").query(redis).unwrap();
        let number = |name: &str| -> u64 {
            let line = info.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.strip_prefix(':')).unwrap().trim().parse().unwrap()
        };
        Self {
            commands: number("total_commands_processed"),
            sent: number("total_net_output_bytes"),
        }
    }

    fn since(before: &Self, redis: &mut redis::Connection) -> Self {
        let now = Self::read(redis);
        // The two questions for these figures are not the instance's.
        Self { commands: now.commands - before.commands - 1, sent: now.sent - before.sent }
    }
}

const CUSTOMERS: u64 = 600_000;
const META: &str = "tollgate:{0}:meta";
const LOG: &str = "tollgate:{0}:log";
