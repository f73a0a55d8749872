//! What holds while Redis is away, hangs, comes back, or comes back empty; and what it never
//! tells.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};

#[test]
fn while_redis_is_down_everybody_is_answered_as_before() {
    let mut fleet = Fleet::start();
    fleet.redis.kill9();
    fleet.bears_the_outage(Duration::ZERO);
    fleet.redis.restart();
    fleet.follows_again();
}

#[test]
fn while_redis_hangs_everybody_is_answered_as_before() {
    let fleet = Fleet::start();
    fleet.redis.pause();
    fleet.bears_the_outage(Duration::from_secs(3));
    fleet.redis.resume();
    fleet.follows_again();
}

#[test]
fn an_instance_that_does_not_keep_up_is_cut_off_and_catches_up() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let limit = ["SET", "client-output-buffer-limit", "pubsub 4mb 32kb 1"];
    redis::cmd("CONFIG").arg(&limit).exec(&mut connect(&redis)).unwrap();
    let flags = ["--store", &redis.url(), "--ingest-channel", "off", "--ingest-guard", "off"];
    let [writer, slow] = [(); 2].map(|()| Tollgate::start(&flags));
    let listeners = || {
        let list = ["LIST", "TYPE", "pubsub"];
        let listed: String = redis::cmd("CLIENT").arg(&list).query(&mut connect(&redis)).unwrap();
        listed.lines().count()
    };
    assert_eq!(listeners(), 2);

    slow.hang();
    let begun = Instant::now();
    let mut told = 0;
    while listeners() > 1 {
        assert!(begun.elapsed() < Duration::from_mins(1), "Redis bore it {told} times");
        for _ in 0..50 {
            let path = format!("/v1/customers/c{told}/disable");
            let disabled = writer.operate("POST", &path, Some(&json!({"create": true})));
            assert_eq!(disabled.status, 200, "{disabled:?}");
            told += 1;
        }
    }
    slow.signal(Signal::CONT);
    slow.wait_until("told of the last", || {
        slow.reason_to_write(&format!("c{}", told - 1)) == "customer_disabled"
    });
    for customer in 0..told {
        let reason = slow.reason_to_write(&format!("c{customer}"));
        assert_eq!(reason, "customer_disabled", "c{customer}");
    }
    // What it missed was read from the log, and nothing else.
    assert!(slow.metric("tollgate_feed_catch_ups_total") >= 1);
    assert_eq!(slow.metric("tollgate_feed_resnapshots_total"), 1);
}

#[test]
fn nobody_is_let_in_because_redis_forgot() {
    let fleet = Fleet::start();
    let mut redis = connect(&fleet.redis);
    redis::cmd("FLUSHALL").exec(&mut redis).unwrap();

    for tollgate in &fleet.tollgates {
        let is_lost = || !tollgate.status()["store"]["lost"].is_null();
        tollgate.wait_until("aware of the loss", is_lost);
        assert_eq!(tollgate.reason_to_write("good"), "active");
        assert_eq!(tollgate.reason_to_write("bad"), "customer_disabled");
        let writes = [
            ("PUT", "/v1/customers/new", json!({})),
            ("POST", "/v1/customers/bad/enable", json!({})),
            ("POST", "/v1/customers/good/disable", json!({})),
        ];
        for (method, path, body) in writes {
            let refused = tollgate.operate(method, path, Some(&body));
            assert_eq!((refused.status, refused.code().as_str()), (503, "STORE_LOST"), "{path}");
        }
        assert_eq!(tollgate.reason_to_write("bad"), "customer_disabled");
        assert_eq!(tollgate.admin("/readyz").status, 200);
    }
    let left: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
    assert_eq!(left, ["tollgate:{0}:lost"], "somebody wrote into the empty store");
}

#[test]
fn before_anyone_noticed_that_redis_forgot_an_act_is_already_refused_as_that() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    // It does not ask for longer than this test takes.
    let tollgate = Tollgate::start(&["--store", &redis.url(), "--heartbeat", "29s"]);
    let create = json!({"create": true});
    let disabled = tollgate.operate("POST", "/v1/customers/bad/disable", Some(&create));
    assert_eq!(disabled.status, 200, "{disabled:?}");
    redis::cmd("FLUSHALL").exec(&mut connect(&redis)).unwrap();
    for (verb, body) in [("enable", json!({})), ("freeze", json!({})), ("freeze", create)] {
        let path = format!("/v1/customers/bad/{verb}");
        let refused = tollgate.operate("POST", &path, Some(&body));
        assert_eq!((refused.status, refused.code().as_str()), (503, "STORE_LOST"), "{refused:?}");
    }
    assert_eq!(tollgate.reason_to_write("bad"), "customer_disabled");
}

#[test]
fn notes_are_told_to_operators_and_to_nobody_else() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
    let flags = ["--store", &redis.url(), "--log-level", "info,tollgate=trace"];
    let [writer, reader] = [(); 2].map(|()| Tollgate::start(&flags));
    let act = ["--notes", MARKER, "--idempotency-key", "once", "--create"];
    for verb in ["freeze", "disable"] {
        let told = writer.cli(&[&[verb, "c1"], &act[..]].concat());
        assert!(told.status.success(), "{told:?}");
    }
    reader.wait_until("aware of it", || reader.reason_to_write("c1") == "customer_disabled");

    let customer = [("x-customer-id", "c1")];
    for tollgate in [&writer, &reader] {
        for path in ["/v1/customers/c1", "/v1/customers/c1/audit", "/v1/audit", "/v1/customers"] {
            let answer = tollgate.operate("GET", path, None);
            assert!(answer.body.contains(MARKER), "{path}: {answer:?}");
        }
        let told_to_anyone = [
            tollgate.ask("POST", "/v1/forward-auth", &customer),
            tollgate.ask("GET", "/v1/nginx", &customer),
            tollgate.ask("GET", "/v1/customers/c1/limits", &[]),
            tollgate.check(&json!({"customerId": "c1", "action": "write"})),
            tollgate.operate("GET", "/v1/customers/c1/limits", None),
            tollgate.admin("/metrics"),
            tollgate.admin("/status"),
        ];
        for answer in told_to_anyone {
            assert_ne!(answer.status, 0);
            assert!(!format!("{answer:?}").contains(MARKER), "{answer:?}");
        }
        assert!(!tollgate.log().concat().contains(MARKER));
        assert_eq!(files_with_the_marker(tollgate.data_dir().path()), [""; 0]);
    }
    let holders = ["tollgate:{0}:notes:default:c1", "tollgate:{0}:private:default:c1"];
    assert_eq!(keys_with_the_marker(&redis), holders);
}

/// Two instances on one Redis, which know that `good` is active and that `bad` is disabled.
struct Fleet {
    redis: RedisServer,
    tollgates: [Tollgate; 2],
}

impl Fleet {
    fn start() -> Self {
        let redis = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
        let tollgates = [redis.url(), redis.tcp_url()].map(|url| {
            Tollgate::start(&["--store", &url, "--max-staleness", "1s", "--heartbeat", "100ms"])
        });
        let fleet = Self { redis, tollgates };
        let [writer, _] = &fleet.tollgates;
        assert_eq!(writer.operate("PUT", "/v1/customers/good", Some(&json!({}))).status, 201);
        let create = json!({"create": true});
        let disabled = writer.operate("POST", "/v1/customers/bad/disable", Some(&create));
        assert_eq!(disabled.status, 200, "{disabled:?}");
        fleet.decides("active", "customer_disabled");
        fleet
    }

    /// Waits until every instance decides so.
    fn decides(&self, good: &str, bad: &str) {
        for tollgate in &self.tollgates {
            tollgate.wait_until("deciding by the store", || {
                tollgate.reason_to_write("good") == good && tollgate.reason_to_write("bad") == bad
            });
        }
    }

    /// Asks for at least `this_long`, and until every answer is marked stale.
    fn bears_the_outage(&self, this_long: Duration) {
        let begun = Instant::now();
        let mut is_stale = false;
        while !is_stale || begun.elapsed() < this_long {
            assert!(begun.elapsed() < this_long + PATIENCE, "the answers never grew stale");
            is_stale = true;
            for tollgate in &self.tollgates {
                for (customer, reason) in [("good", "active"), ("bad", "customer_disabled")] {
                    let asked = json!({"customerId": customer, "action": "write"});
                    let answer = tollgate.check(&asked).json();
                    assert_eq!(answer["reason"], reason);
                    let age = answer["ageMs"].as_u64().unwrap_or_else(|| panic!("{answer}"));
                    assert_eq!(answer["stale"], age >= 1000, "{answer}");
                    is_stale &= answer["stale"] == true;
                }
                let header = tollgate.ask("GET", "/v1/forward-auth", &[("x-customer-id", "bad")]);
                assert_eq!(header.status, 403);
                assert!(header.header("x-tollgate-age-ms").unwrap().parse::<u64>().is_ok());
                assert_eq!(tollgate.admin("/readyz").status, 200);
            }
        }
    }

    /// Makes a change through the second instance, and sees the first one follow it.
    fn follows_again(&self) {
        let [_, writer] = &self.tollgates;
        for (customer, verb) in [("good", "disable"), ("bad", "enable")] {
            let path = format!("/v1/customers/{customer}/{verb}");
            writer.wait_until("writing again", || {
                writer.operate("POST", &path, Some(&json!({}))).status == 200
            });
        }
        self.decides("customer_disabled", "active");
        for tollgate in &self.tollgates {
            let is_fresh = || tollgate.status()["staleness"]["stale"] == Value::Bool(false);
            tollgate.wait_until("fresh again", is_fresh);
        }
    }
}

fn connect(redis: &RedisServer) -> redis::Connection {
    redis::Client::open(redis.tcp_url()).unwrap().get_connection().unwrap()
}

/// The names of all keys, of whatever type, that hold the marker.
fn keys_with_the_marker(redis: &RedisServer) -> Vec<String> {
    let mut redis = connect(redis);
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
    keys.sort();
    keys.retain(|key| {
        let kind: String = redis::cmd("TYPE").arg(key).query(&mut redis).unwrap();
        let (command, range) = match kind.as_str() {
            "string" => ("GET", &[][..]),
            "hash" => ("HGETALL", &[][..]),
            "list" => ("LRANGE", &["0", "-1"][..]),
            "set" => ("SMEMBERS", &[][..]),
            "zset" => ("ZRANGE", &["0", "-1"][..]),
            "stream" => ("XRANGE", &["-", "+"][..]),
            other => panic!("{key} is a {other}, which nobody looks into"),
        };
        let held: redis::Value = redis::cmd(command).arg(key).arg(range).query(&mut redis).unwrap();
        assert_ne!(held, redis::Value::Nil, "{key}");
        format!("{held:?}").contains(MARKER)
    });
    keys
}

fn files_with_the_marker(directory: &Path) -> Vec<String> {
    let inside = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    inside
        .flat_map(|path| match fs::read(&path) {
            Ok(bytes) if bytes.windows(MARKER.len()).any(|part| part == MARKER.as_bytes()) => {
                vec![path.display().to_string()]
            }
            Ok(_) => Vec::new(),
            Err(_) => files_with_the_marker(&path),
        })
        .collect()
}

const MARKER: &str = "a-marker-for-operators-only";
const PATIENCE: Duration = Duration::from_secs(10);
