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

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{Client, Tollgate},
};
use tollgate::{
    domain::{CustomerKey, Revision, Subject},
    store::Census,
};

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

/// Starts one, and tells how long it took until it was ready.
fn start(flags: &[&str]) -> (Tollgate, Duration) {
    let begun = Instant::now();
    let tollgate = Tollgate::start_unready(flags);
    while tollgate.admin("/readyz").status != 200 {
        assert!(begun.elapsed() < Duration::from_mins(3), "it takes too long");
        thread::sleep(Duration::from_millis(5));
    }
    (tollgate, begun.elapsed())
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

/// Customers as a billing system leaves them: on a plan, with features and limits.
#[derive(Clone, Copy)]
struct Crowd {
    customers: u64,
    /// The first ones.
    restricted: u64,
}

impl Crowd {
    /// A Redis with these customers, as if each had been written by an instance.
    fn settle(self) -> RedisServer {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        Tollgate::start(&["--store", &server.url()]).kill9();
        let mut redis = redis::Client::open(server.tcp_url()).unwrap().get_connection().unwrap();
        let mut census = Census::default();
        let numbers: Vec<u64> = (0..self.customers).collect();
        for batch in numbers.chunks(1000) {
            let mut pipe = redis::pipe();
            for number in batch {
                self.write(&mut pipe, *number, &mut census);
            }
            pipe.exec(&mut redis).unwrap();
        }
        let revision = (self.customers + 2).to_string();
        let line = Subject::Created.to_log();
        let fields = ["rev", &revision, "change", &line];
        let id: String =
            redis::cmd("XADD").arg(LOG).arg("*").arg(&fields).query(&mut redis).unwrap();
        let digest = format!("{:016x}", census.digest);
        let count = census.count.to_string();
        let counted = ["restricted_count", &count, "restricted_digest", &digest];
        let mut meta = redis::cmd("HSET");
        meta.arg(META).arg(&["rev", &revision, "sid", &id]).arg(&counted);
        meta.exec(&mut redis).unwrap();
        server
    }

    fn write(self, pipe: &mut redis::Pipeline, number: u64, census: &mut Census) {
        let key = CustomerKey::parse(&format!("default:{}", customer_id(number))).unwrap();
        let revision = number + 2;
        let mut restrictions = json!([]);
        if number < self.restricted {
            *census = census.with(&key, Revision(revision));
            restrictions = json!([{
                "kind": "disabled", "source": "billing", "reason": "non_payment",
                "since": "2026-11-21T10:00:00Z", "until": null
            }]);
            let entry = format!("{revision}|disabled,billing,non_payment,1795255200000,");
            pipe.cmd("HSET").arg("tollgate:{0}:restricted").arg(key.as_str()).arg(entry).ignore();
            let index = "tollgate:{0}:restricted-index";
            pipe.cmd("ZADD").arg(index).arg(0).arg(key.as_str()).ignore();
        }
        let plan = ["free", "pro", "team"][usize::try_from(number % 3).unwrap()];
        let record = json!({
            "format": 1,
            "revision": revision,
            "restrictions": restrictions,
            "plan": plan,
            "features": ["api", "export", "sso"],
            "limits": {"seats": {"max": 25}, "projects": {"max": "unlimited"}},
            "obligations": {"activeSubscriptions": 1, "pendingOrders": 0, "unreturnedDevices": 0},
            "createdAt": "2025-03-01T09:30:00Z",
            "updatedAt": "2026-11-21T10:00:00Z",
        });
        let name = format!("tollgate:{{0}}:record:{key}");
        pipe.cmd("SET").arg(name).arg(record.to_string()).ignore();
        pipe.cmd("ZADD").arg("tollgate:{0}:customers").arg(0).arg(key.as_str()).ignore();
    }
}

/// An id like those of Stripe.
fn customer_id(number: u64) -> String {
    format!("cus_Q1w2e3{number:08}")
}

const RECENT: u64 = 100_000;
const MEGA: u64 = 1_000_000;
const META: &str = "tollgate:{0}:meta";
const LOG: &str = "tollgate:{0}:log";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
