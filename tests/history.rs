//! Whose word counts when a store and what is in memory disagree.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::collections::BTreeSet;

use redis::Connection;
use serde_json::json;

use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};

#[test]
fn two_databases_of_one_redis_are_two_stores() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let [first, second] = [0, 1]
        .map(|database| Tollgate::start(&["--store", &format!("{}/{database}", server.tcp_url())]));
    for tollgate in [&first, &second] {
        tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({})));
    }
    // A channel knows no databases: each hears what is published in the other.
    for _ in 0..3 {
        first.operate("POST", "/v1/customers/c1/disable", None);
        assert_eq!(first.reason_to_write("c1"), "customer_disabled");
        assert_eq!(second.reason_to_write("c1"), "active");
        first.operate("POST", "/v1/customers/c1/enable", None);
    }
    let marked = second.operate("POST", "/v1/customers/c1/freeze", None);
    assert_eq!(marked.status, 200, "{marked:?}");
    assert_eq!(second.reason_to_write("c1"), "customer_frozen");
    assert_eq!(first.reason_to_write("c1"), "active");
    assert!(second.status()["store"]["lost"].is_null());
}

#[test]
fn of_two_servers_with_one_past_no_two_changes_are_taken_for_one() {
    let server = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
    let tollgate = Tollgate::start(&["--store", &server.url()]);
    tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({})));
    let mut elsewhere = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
    elsewhere.restart_from(&server.copy());
    let stranger = Tollgate::start(&["--store", &elsewhere.url()]);
    let common = log_ids(&server);
    // Both write at the same time, as two masters do.
    std::thread::scope(|scope| {
        for tollgate in [&tollgate, &stranger] {
            scope.spawn(|| {
                for number in 0..200 {
                    let verb = if number % 2 == 0 { "freeze" } else { "unfreeze" };
                    let path = format!("/v1/customers/c1/{verb}");
                    assert_eq!(tollgate.operate("POST", &path, None).status, 200);
                }
            });
        }
    });
    let [here, there] = [&server, &elsewhere].map(log_ids);
    assert!(here.len() >= 200 && there.len() >= 200);
    let both: Vec<_> = here.intersection(&there).collect();
    assert_eq!(both, common.iter().collect::<Vec<_>>());
}

/// The id of every change in the log.
fn log_ids(server: &RedisServer) -> BTreeSet<String> {
    let mut redis = connect(server);
    let mut log = redis::cmd("XRANGE");
    log.arg("tollgate:{0}:log").arg(&["-", "+"]);
    let entries: Vec<(String, Vec<String>)> = log.query(&mut redis).unwrap();
    entries.into_iter().map(|(id, _)| id).collect()
}

#[test]
fn a_disabled_customer_whose_record_is_gone_or_unreadable_stays_refused() {
    for broken in ["", r#"{"format":99,"revision":2}"#] {
        let (server, tollgate) = with_disabled_customer(&["--unknown-customers", "allow"]);
        let record = "tollgate:{0}:record:default:c1";
        let mut redis = connect(&server);
        match broken {
            "" => redis::cmd("DEL").arg(record).exec(&mut redis).unwrap(),
            _ => redis::cmd("SET").arg(record).arg(broken).exec(&mut redis).unwrap(),
        }
        ask_feature(&tollgate);
        assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled", "{broken}");
    }
}

#[test]
fn a_log_that_was_trimmed_under_an_instance_costs_a_snapshot_and_no_wrong_answer() {
    let (server, tollgate) = with_disabled_customer(&[]);
    let other = Tollgate::start(&["--store", &server.url()]);
    tollgate.operate("PUT", "/v1/customers/c2", Some(&json!({"features": ["sso"]})));
    tollgate.signal(rustix::process::Signal::STOP);
    // Its session ends, so that it cannot hear what comes now.
    let mut redis = connect(&server);
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).exec(&mut redis).unwrap();
    for number in 0..5 {
        let path = format!("/v1/customers/n{number}/disable");
        other.operate("POST", &path, Some(&json!({"create": true})));
    }
    other.operate("POST", "/v1/customers/c1/enable", None);
    other.operate("PUT", "/v1/customers/c2", Some(&json!({"features": []})));
    redis::cmd("XTRIM").arg("tollgate:{0}:log").arg(&["MAXLEN", "1"]).exec(&mut redis).unwrap();
    tollgate.signal(rustix::process::Signal::CONT);

    tollgate.wait_until("whole again", || tollgate.reason_to_write("c1") == "active");
    assert_eq!(tollgate.status()["feed"]["partitions"][0]["generation"], 2);
    for number in 0..5 {
        let customer = format!("n{number}");
        assert_eq!(tollgate.reason_to_write(&customer), "customer_disabled");
    }
    let limits = tollgate.ask("GET", "/v1/customers/c2/limits", &[]).json();
    assert_eq!(limits["features"], json!([]));
}

#[test]
fn a_log_that_somebody_emptied_costs_a_snapshot_and_is_followed_again() {
    let (server, tollgate) = with_disabled_customer(&[]);
    let mut redis = connect(&server);
    redis::cmd("XTRIM").arg("tollgate:{0}:log").arg(&["MAXLEN", "0"]).exec(&mut redis).unwrap();
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).exec(&mut redis).unwrap();
    tollgate.wait_for_log("no longer reaches back");
    // Also one that knows nothing yet.
    let other = Tollgate::start(&["--store", &server.url()]);
    for tollgate in [&tollgate, &other] {
        tollgate.wait_until("following", || {
            let status = tollgate.status();
            status["feed"]["phase"] == "following" && status["feed"]["suspect"] == false
        });
        assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
    }
    assert_eq!(tollgate.status()["feed"]["partitions"][0]["generation"], 2);
    tollgate.operate("POST", "/v1/customers/c1/enable", None);
    other.wait_until("told", || other.reason_to_write("c1") == "active");
}

#[test]
fn an_act_is_on_record_as_often_as_it_was_asked_for() {
    let (server, tollgate) = with_disabled_customer(&[]);
    let mut redis = connect(&server);
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).exec(&mut redis).unwrap();
    tollgate.wait_until("connected again", || {
        tollgate.operate("POST", "/v1/customers/c1/enable", None).status == 200
    });
    let trail = tollgate.operate("GET", "/v1/customers/c1/audit", None).json();
    let changed = trail["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "enable" && entry["outcome"] == "changed");
    assert_eq!(changed.count(), 1, "{trail}");
}

fn with_disabled_customer(flags: &[&str]) -> (RedisServer, Tollgate) {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&[&["--store", &server.url()], flags].concat());
    let made = tollgate.operate("POST", "/v1/customers/c1/disable", Some(&json!({"create": true})));
    assert_eq!(made.status, 200, "{made:?}");
    (server, tollgate)
}

/// A question that only the record can answer, so that the store is asked for it.
fn ask_feature(tollgate: &Tollgate) {
    let question = json!({"customerId": "c1", "action": "read", "feature": "sso"});
    assert_eq!(tollgate.check(&question).json()["reason"], "customer_disabled");
    tollgate.ask("GET", "/v1/customers/c1/limits", &[]);
}

fn connect(server: &RedisServer) -> Connection {
    redis::Client::open(server.url()).unwrap().get_connection().unwrap()
}
