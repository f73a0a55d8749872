//! What customers cost in memory, and how long it takes until an instance has them.
//!
//! `cargo bench --bench memory` starts a Redis, fills it as instances would have, starts Tollgate
//! beside it, and prints a table: restricted customers, recent records, `--cache all`, and a start
//! from the snapshot file. It needs some gigabytes of memory for Redis, and some minutes.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has failed")]

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod support;

#[path = "shared/crowd.rs"]
mod crowd;
#[path = "shared/ready.rs"]
mod ready;

use std::{
    thread,
    time::{Duration, Instant},
};

use crowd::{Crowd, customer_id};
use ready::start;
use serde_json::json;
use support::tollgate::{Client, Tollgate};

fn main() {
    // `cargo test --benches` only wants to know that it compiles.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let nobody = Crowd { customers: 0, restricted: 0 }.settle();
    let (empty, _) = start(&["--store", &nobody.url()]);
    let empty = resident(&empty);
    println!("| an instance with | ready after | resident | more than with nobody | each |");
    println!("|---|---:|---:|---:|---:|");
    println!("| nobody | | {} MB | | |", empty / MEGA);

    let restricted = Crowd { customers: 600_000, restricted: 600_000 };
    let mut redis = restricted.settle();
    let flags = ["--store", &redis.url()];
    let (mut tollgate, took) = start(&flags);
    row("600,000 restricted", took, resident(&tollgate), empty, restricted.customers);
    let data_dir = tollgate.data_dir();
    tollgate.terminate();
    redis.kill9();
    let begun = Instant::now();
    let tollgate = Tollgate::start_in(data_dir, &flags);
    tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
    let took = begun.elapsed();
    let what = "the same from the snapshot file, with Redis away";
    row(what, took, resident(&tollgate), empty, restricted.customers);
    drop((tollgate, redis));

    let many = Crowd { customers: 2_000_000, restricted: 600_000 };
    let redis = many.settle();
    let (tollgate, took) = start(&["--store", &redis.url()]);
    let what = "600,000 restricted of 2,000,000 customers";
    row(what, took, resident(&tollgate), empty, many.restricted);
    drop((tollgate, redis));

    let all = Crowd { customers: 1_000_000, restricted: 0 };
    let redis = all.settle();
    let (tollgate, _) = start(&["--store", &redis.url()]);
    let before = resident(&tollgate);
    ask_for(&tollgate, RECENT);
    row("100,000 recent records", Duration::ZERO, resident(&tollgate), before, RECENT);
    drop(tollgate);
    let (tollgate, took) = start(&["--store", &redis.url(), "--cache", "all"]);
    row("1,000,000 records, --cache all", took, resident(&tollgate), empty, all.customers);
}

/// What it takes once it is at rest.
fn resident(tollgate: &Tollgate) -> u64 {
    thread::sleep(Duration::from_secs(2));
    tollgate.metric("process_resident_memory_bytes")
}

fn row(what: &str, took: Duration, resident: u64, empty: u64, customers: u64) {
    let (seconds, more) = (took.as_secs_f64(), resident.saturating_sub(empty));
    let (megabytes, each) = (more / MEGA, more / customers);
    println!("| {what} | {seconds:.2} s | {} MB | {megabytes} MB | {each} B |", resident / MEGA);
}

/// Has the records of the first `count` customers read.
fn ask_for(tollgate: &Tollgate, count: u64) {
    let client = Client::new(Duration::from_secs(10));
    let numbers: Vec<u64> = (0..count).collect();
    for numbers in numbers.chunks(50) {
        let checks: Vec<_> = numbers
            .iter()
            .map(|number| json!({"customerId": customer_id(*number), "feature": "sso"}))
            .collect();
        let (body, headers) = (json!({"checks": checks}).to_string(), JSON);
        let answer = client.ask(tollgate.check, "POST", "/v1/checks", headers, Some(&body));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

const RECENT: u64 = 100_000;
const MEGA: u64 = 1_000_000;
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
