//! Who changes a customer through one instance and asks another one at once, with the revision of
//! the change, is never answered by an older state.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[path = "support/deaf.rs"]
mod deaf;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use deaf::deaf_way_to;
use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{Answer, Tollgate, http},
};

const HEADER: &str = "X-Min-Revision";

/// What an instance told of a customer.
#[derive(Debug, Eq, PartialEq)]
struct Told {
    decision: String,
    status: String,
    revision: String,
}

/// Two instances on one Redis: changes are made through the first, and the second is asked.
struct Pair {
    redis: RedisServer,
    writer: Tollgate,
    reader: Tollgate,
}

impl Pair {
    /// The second one's way to Redis leads through `way`.
    fn start(way: impl Fn(&RedisServer) -> String, flags: &[&str]) -> Self {
        let redis = RedisServer::start(Flavor::Redis, Persistence::None);
        let writer = Tollgate::start(&["--store", &redis.url()]);
        let way = way(&redis);
        let reader = ["--store", &way, "--min-revision-header", HEADER];
        let reader = Tollgate::start(&[&reader, flags].concat());
        Self { redis, writer, reader }
    }

    /// Disables and enables some customers in turn, and asks about each of them at once, in each of
    /// these ways. What is told is brought into the form in which it has to be equal.
    fn write_and_ask(&self, writes: usize, ways: &[&str], form: impl Fn(Told) -> Told) {
        for number in 0..writes {
            let customer = format!("c{}", number % CUSTOMERS);
            let disables = (number / CUSTOMERS).is_multiple_of(2);
            let verb = if disables { "disable" } else { "enable" };
            let path = format!("/v1/customers/{customer}/{verb}");
            let changed = self.writer.operate("POST", &path, Some(&json!({"create": true})));
            assert_eq!(changed.status, 200, "{changed:?}");
            let revision = changed.json()["revision"].as_str().unwrap().to_owned();
            let way = ways[number % ways.len()];
            let told = self.ask(way, &customer, &revision);
            let (decision, status) =
                if disables { ("deny", "disabled") } else { ("allow", "active") };
            let [decision, status] = [decision, status].map(str::to_owned);
            let expected = Told { decision, status, revision };
            assert_eq!(form(told), form(expected), "{way} after {number}");
        }
    }

    /// Asks the second instance whether a customer may write.
    fn ask(&self, way: &str, customer: &str, revision: &str) -> Told {
        let question = json!({"customerId": customer, "action": "write", "minRevision": revision});
        let by_header = |path| {
            let headers = [("X-Customer-Id", customer), (HEADER, revision)];
            let answer = self.reader.ask("GET", path, &headers);
            let [decision, status, revision] = ["decision", "status", "revision"]
                .map(|name| answer.header(&format!("x-tollgate-{name}")).unwrap().to_owned());
            Told { decision, status, revision }
        };
        let by_body = |answer: &Value| {
            let [decision, status, revision] = ["decision", "status", "revision"]
                .map(|name| answer[name].as_str().unwrap_or_default().to_owned());
            Told { decision, status, revision }
        };
        match way {
            "check" => by_body(&self.reader.check(&question).json()),
            "checks" => {
                let body = json!({"checks": [question]}).to_string();
                let json = [("content-type", "application/json")];
                let answer = http(self.reader.check, "POST", "/v1/checks", &json, Some(&body));
                by_body(&answer.json()["results"][0])
            }
            "limits" => {
                let mut limits = self.limits(customer, revision).json();
                let may_write = limits["allowed"]["write"] == true;
                limits["decision"] = json!(if may_write { "allow" } else { "deny" });
                by_body(&limits)
            }
            other => by_header(other),
        }
    }

    fn limits(&self, customer: &str, revision: &str) -> Answer {
        let path = format!("/v1/customers/{customer}/limits?minRevision={revision}");
        self.reader.ask("GET", &path, &[])
    }

    /// How many questions of the second instance were brought to their revision so.
    fn reached_by(&self, by: &str) -> usize {
        counted(&self.reader, &format!("tollgate_min_revisions_total{{by=\"{by}\"}}"))
    }
}

fn counted(tollgate: &Tollgate, metric: &str) -> usize {
    let metrics = tollgate.admin("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(metric));
    line.unwrap_or_else(|| panic!("no {metric} in {metrics}")).trim().parse().unwrap()
}

#[test]
fn a_thousand_writes_through_one_instance_are_each_seen_at_once_on_another() {
    let pair = Pair::start(RedisServer::tcp_url, PATIENT);
    pair.write_and_ask(1000, &WAYS, |told| told);
    assert_eq!(pair.reached_by("nothing"), 0);
}

#[test]
fn an_instance_whose_feed_hears_nothing_reads_the_store_for_them() {
    // Only the heartbeat would tell it of a change, and comes too late for nearly all of them.
    let flags = [PATIENT, &["--heartbeat", "10s"]].concat();
    let pair = Pair::start(|redis| deaf_way_to(&redis.tcp_url()), &flags);
    pair.write_and_ask(WRITES, &WAYS, |told| told);
    assert_eq!(pair.reached_by("nothing"), 0);
    let read = pair.reached_by("read");
    assert!(read > WRITES - WRITES / 10, "{read} of {WRITES} were read");
    assert_eq!(counted(&pair.reader, "tollgate_feed_disconnects_total"), 0);
    assert_eq!(counted(&pair.reader, "tollgate_feed_suspect"), 0);
}

#[test]
fn an_instance_that_was_read_ahead_agrees_with_the_store_when_its_feed_has_caught_up() {
    let pair = Pair::start(|redis| deaf_way_to(&redis.tcp_url()), PATIENT);
    pair.write_and_ask(CUSTOMERS * 15, &WAYS, |told| told);
    let revision = |tollgate: &Tollgate| tollgate.status()["feed"]["partitions"][0].clone();
    pair.reader.wait_until("level", || revision(&pair.reader) == revision(&pair.writer));
    for tollgate in [&pair.writer, &pair.reader] {
        assert_eq!(tollgate.status()["cache"]["restricted"], CUSTOMERS);
    }
    let confirmed = || pair.reader.status()["staleness"]["seconds"].as_f64().unwrap() < 0.1;
    pair.reader.wait_until("confirmed", confirmed);
    assert_eq!(counted(&pair.reader, "tollgate_feed_suspect"), 0);
    assert_eq!(counted(&pair.reader, "tollgate_feed_resnapshots_total"), 1);
}

#[test]
fn an_instance_whose_session_is_cut_again_and_again_waits_and_never_tells_an_older_state() {
    let pair = Pair::start(RedisServer::tcp_url, PATIENT);
    let (writes, written) = channel::<()>();
    let url = pair.redis.tcp_url();
    let cuts = thread::spawn(move || {
        let mut connection = redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
        // The writer is not on this port.
        let words = ["KILL", "TYPE", "pubsub", "LADDR", url.trim_start_matches("redis://")];
        let pause = Duration::from_millis(50);
        let mut cut = 0;
        while written.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            cut += redis::cmd("CLIENT").arg(&words).query::<usize>(&mut connection).unwrap();
        }
        cut
    });
    // Nobody can read a record without a session. Who is not restricted passes all the same, and
    // limits cannot be shown.
    let ways = WAYS.map(|way| if way == "limits" { "check" } else { way });
    let decided = |told| Told { status: String::new(), revision: String::new(), ..told };
    pair.write_and_ask(WRITES, &ways, decided);
    drop(writes);
    let cuts = cuts.join().unwrap();
    assert!(cuts > 5, "the session was cut {cuts} times");
    assert_eq!(pair.reached_by("nothing"), 0);
}

#[test]
fn while_redis_hangs_a_revision_is_not_reached_and_a_known_restriction_denies() {
    let pair = Pair::start(RedisServer::tcp_url, &[]);
    pair.write_and_ask(CUSTOMERS * 2, &WAYS, |told| told);
    let disabled = pair.writer.operate("POST", "/v1/customers/c0/disable", Some(&json!({})));
    let revision = disabled.json()["revision"].as_str().unwrap().to_owned();
    pair.ask("check", "c0", &revision);
    let (epoch, number) = revision.split_once(":0.").unwrap();
    let later = format!("{epoch}:0.{}", number.parse::<u64>().unwrap() + 1);
    pair.redis.pause();
    let begun = Instant::now();
    for (customer, reason, status) in
        [("c0", "customer_disabled", 403), ("c1", "revision_not_reached", 503)]
    {
        let question = json!({"customerId": customer, "action": "read", "minRevision": later});
        assert_eq!(pair.reader.check(&question).json()["reason"], reason);
        let headers = [("X-Customer-Id", customer), (HEADER, &later)];
        assert_eq!(pair.reader.ask("GET", "/v1/forward-auth", &headers).status, status);
        let limits = pair.limits(customer, &later);
        assert_eq!((limits.status, limits.code().as_str()), (503, "REVISION_NOT_REACHED"));
        assert_eq!(limits.header("retry-after"), Some("1"));
        // What was reached before is answered as before.
        assert_eq!(pair.limits(customer, &revision).status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    pair.redis.resume();
}

/// More time than by default, because everything shares one machine with all other tests.
const PATIENT: &[&str] = &["--fill-timeout", "5s"];
/// Each in turn; their number has no common divisor with the number of customers.
const WAYS: [&str; 5] = ["check", "checks", "limits", "/v1/forward-auth", "/v1/nginx"];
const CUSTOMERS: usize = 7;
const WRITES: usize = 210;
