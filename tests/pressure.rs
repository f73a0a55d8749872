//! What holds while somebody asks for very many customers that there are none of; and what an
//! instance costs its store when nobody asks anything.

#![expect(clippy::print_stdout, reason = "how much of a flood it was is worth knowing")]
#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{Answer, Tollgate, http},
};

#[test]
fn a_flood_of_unknown_ids_leaves_the_answers_of_known_customers_as_they_were() {
    let world = World::start(&[]);
    let (flooded, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    thread::scope(|scope| {
        for flood in 0..4 {
            let (world, flooded, stop) = (&world, &flooded, &stop);
            scope.spawn(move || {
                let mut number = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let ids = (0..100).map(|place| format!("flood-{flood}-{number}-{place}"));
                    let reasons = world.reasons(ids);
                    assert_eq!(reasons.values().sum::<u64>(), 100);
                    for reason in reasons.keys() {
                        // That there is none, or that this could not be found out now.
                        let is_told = ["customer_unknown", "not_restricted"];
                        assert!(is_told.contains(&reason.as_str()), "{reasons:?}");
                    }
                    flooded.fetch_add(100, Ordering::Relaxed);
                    number += 1;
                }
            });
        }
        while begun.elapsed() < Duration::from_secs(3) {
            world.decides_as_ever();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let flooded = flooded.load(Ordering::Relaxed);
    println!("{} unknown ids a second", flooded / begun.elapsed().as_secs());
    assert!(flooded > 2 * CAPACITY, "that was no flood: {flooded}");

    // Not one record had to go for them.
    let tier =
        |tier: &str| world.tollgate.metric(&format!("tollgate_cache_entries{{tier=\"{tier}\"}}"));
    world.tollgate.wait_until("done with counting", || tier("unknown") <= CAPACITY / 10);
    assert_eq!(tier("recent"), KNOWN);
    assert_eq!(tier("restricted"), RESTRICTED);
    world.server.pause();
    world.decides_as_ever();
    world.server.resume();
}

#[test]
fn more_lookups_than_fit_are_shed_at_once_and_told_as_undecided() {
    // So slow a heartbeat that the session is not given up while the store hangs.
    let world = World::start(&["--when-unlisted", "error", "--heartbeat", "8s"]);
    world.server.pause();
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    thread::scope(|scope| {
        let asking: Vec<_> = (0..6)
            .map(|flood| {
                let world = &world;
                scope.spawn(move || {
                    world.reasons((0..100).map(|place| format!("flood-{flood}-{place}")))
                })
            })
            .collect();
        for asked in asking {
            for (reason, times) in asked.join().unwrap() {
                *reasons.entry(reason).or_default() += times;
            }
        }
    });
    let names: Vec<&str> = reasons.keys().map(String::as_str).collect();
    assert_eq!(names, ["overloaded", "store_unreachable"]);
    assert!(reasons["store_unreachable"] >= 256, "{reasons:?}");
    let shed = world.tollgate.metric("tollgate_fills_total{result=\"overloaded\"}");
    assert_eq!(shed, reasons["overloaded"]);
    world.decides_as_ever();

    // A gateway's own failure mode decides what was shed.
    let shed = world.gateway_while_full("flood-again");
    assert_eq!(shed.header("x-tollgate-reason"), Some("overloaded"), "{shed:?}");
    assert_eq!(shed.header("x-tollgate-decision"), Some("undecided"), "{shed:?}");
    assert_eq!(shed.status, 503);
    let known = world.tollgate.ask("POST", "/v1/forward-auth", &[("x-customer-id", "r00")]);
    assert_eq!((known.status, known.header("x-tollgate-decision")), (403, Some("deny")));
    world.server.resume();
    world.tollgate.wait_until("looking up again", || {
        world.tollgate.reason_to_write("nobody") == "customer_unknown"
    });
}

#[test]
fn an_idle_instance_sends_its_store_no_more_than_eight_commands_a_second() {
    let world = World::start(&[]);
    let commands = || -> u64 {
        let info: String = redis::cmd("INFO").arg("stats").query(&mut world.redis()).unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.unwrap().trim().parse().unwrap()
    };
    let (before, begun) = (commands(), Instant::now());
    thread::sleep(Duration::from_secs(5));
    let sent = commands() - before;
    // Asking for the figure is a few commands too.
    let most = 8 * begun.elapsed().as_secs() + 8;
    assert!(sent <= most, "{sent} commands, {most} at most");
    assert!(sent >= 10, "{sent} commands: is there no heartbeat?");
}

/// One instance that holds active customers `k00` to `k49` and disabled ones `r00` to `r09`.
struct World {
    server: RedisServer,
    tollgate: Tollgate,
}

impl World {
    fn start(flags: &[&str]) -> Self {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let (store, capacity) = (server.url(), CAPACITY.to_string());
        let own = ["--store", &store, "--cache-capacity", &capacity];
        let tollgate = Tollgate::start(&[&own[..], flags].concat());
        for known in known() {
            let put = tollgate.operate("PUT", &format!("/v1/customers/{known}"), Some(&json!({})));
            assert_eq!(put.status, 201, "{put:?}");
            tollgate.wait_until("holding it", || tollgate.reason_to_write(&known) == "active");
        }
        for restricted in restricted() {
            let path = format!("/v1/customers/{restricted}/disable");
            let disabled = tollgate.operate("POST", &path, Some(&json!({"create": true})));
            assert_eq!(disabled.status, 200, "{disabled:?}");
        }
        Self { server, tollgate }
    }

    /// Asks for all these together, and counts the reasons.
    fn reasons(&self, customers: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
        let checks: Vec<Value> = customers.map(|id| json!({"customerId": id})).collect();
        let answer = self.post("/v1/checks", &json!({"checks": checks}));
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut reasons = BTreeMap::new();
        for result in answer.json()["results"].as_array().unwrap() {
            *reasons.entry(result["reason"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        reasons
    }

    /// Whoever is in memory is answered from there.
    fn decides_as_ever(&self) {
        let expected = BTreeMap::from([("active".to_owned(), KNOWN)]);
        assert_eq!(self.reasons(known()), expected);
        let expected = BTreeMap::from([("customer_disabled".to_owned(), RESTRICTED)]);
        assert_eq!(self.reasons(restricted()), expected);
    }

    /// What a gateway is answered for somebody unknown while every place is taken.
    fn gateway_while_full(&self, flood: &str) -> Answer {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for group in 0..4 {
                let stop = &stop;
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        self.reasons((0..100).map(|place| format!("{flood}-{group}-{place}")));
                    }
                });
            }
            let ask = || self.tollgate.ask("GET", "/v1/forward-auth", &[CUSTOMER]);
            let (mut answer, begun) = (ask(), Instant::now());
            while answer.header("x-tollgate-reason") != Some("overloaded")
                && begun.elapsed() < Duration::from_secs(5)
            {
                answer = ask();
            }
            stop.store(true, Ordering::Relaxed);
            answer
        })
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        let check: SocketAddr = self.tollgate.check;
        let headers = [("content-type", "application/json")];
        http(check, "POST", path, &headers, Some(&body.to_string()))
    }

    fn redis(&self) -> redis::Connection {
        redis::Client::open(self.server.tcp_url()).unwrap().get_connection().unwrap()
    }
}

fn known() -> impl Iterator<Item = String> {
    (0..KNOWN).map(|number| format!("k{number:02}"))
}

fn restricted() -> impl Iterator<Item = String> {
    (0..RESTRICTED).map(|number| format!("r{number:02}"))
}

const CUSTOMER: (&str, &str) = ("x-customer-id", "somebody");
const CAPACITY: u64 = 1000;
const KNOWN: u64 = 50;
const RESTRICTED: u64 = 10;
