//! Billing systems that cannot call the operator API publish a customer's status, or put it into
//! an inbox that loses nothing; a source that restricts too many customers waits; what has lapsed
//! goes.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use redis::{Commands as _, Connection};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};

#[test]
fn a_late_disabled_does_not_undo_a_later_active() {
    let (server, tollgate) = started(&[]);
    let mut redis = connect(&server);
    tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({"features": ["sso"]})));
    publish(&mut redis, &json!({"customerId": "c1", "status": "disabled", "at": at(0)}));
    tollgate.wait_until("disabled", || tollgate.reason_to_write("c1") == "customer_disabled");

    publish(&mut redis, &json!({"customerId": "c1", "status": "active", "at": at(5)}));
    publish(&mut redis, &json!({"customerId": "c1", "status": "disabled", "at": at(4)}));
    publish(&mut redis, &json!({"customerId": "c2", "status": "frozen"}));
    // Order of arrival: what came before has been looked at.
    tollgate.wait_until("frozen", || tollgate.reason_to_write("c2") == "customer_frozen");
    assert_eq!(tollgate.reason_to_write("c1"), "active");
    assert_eq!(counted(&tollgate, "channel", "outdated"), 1);
    assert_eq!(actions(&tollgate, "c1"), ["put changed", "put changed", "put changed"]);
}

#[test]
fn only_the_instances_own_source_is_spoken_for() {
    let (server, tollgate) = started(&["--ingest-source", "stripe"]);
    let mut redis = connect(&server);
    let made = tollgate.operate("POST", "/v1/customers/c1/freeze", Some(&json!({"create": true})));
    assert_eq!(made.status, 200);
    let cloud_event = json!({
        "specversion": "1.0", "type": "customer.status", "source": "operator", "id": "ce-1",
        "data": {"customerId": "c1", "status": "disabled", "source": "operator",
                 "reason": "non_payment", "notes": "third reminder"},
    });
    publish(&mut redis, &cloud_event);
    tollgate.wait_until("disabled", || tollgate.reason_to_write("c1") == "customer_disabled");
    let shown = tollgate.operate("GET", "/v1/customers/c1", None).json();
    let restriction = &shown["restrictions"][1];
    assert_eq!(
        (&restriction["source"], &restriction["actor"]),
        (&json!("stripe"), &json!("ingest"))
    );
    publish(&mut redis, &json!({"customerId": "c1", "status": "active"}));
    tollgate.wait_until("lifted", || tollgate.reason_to_write("c1") == "customer_frozen");
    assert!(tollgate.log().iter().all(|line| !line.contains("third reminder")));
}

#[test]
fn the_same_message_heard_by_three_instances_leaves_one_audit_entry() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let instances = [(); 3].map(|()| Tollgate::start(&["--store", &server.url()]));
    let [first, others @ ..] = &instances;
    first.wait_until("one that applies", || instances.iter().any(applies));
    for tollgate in &instances {
        tollgate.wait_for_log("Listening to billing systems");
    }
    let mut redis = connect(&server);
    for _ in 0..2 {
        let heard = publish(&mut redis, &json!({"customerId": "c1", "status": "disabled"}));
        assert_eq!(heard, 3);
    }
    publish(&mut redis, &json!({"customerId": "c2", "status": "disabled"}));
    for tollgate in others {
        let refused = || tollgate.reason_to_write("c2") == "customer_disabled";
        tollgate.wait_until("refused", refused);
        assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
    }
    assert_eq!(actions(first, "c1"), ["put changed"]);
}

#[test]
fn who_takes_over_applies_what_nobody_did_and_repeats_nothing() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let first = Tollgate::start(&["--store", &server.url()]);
    first.wait_until("the one that applies", || applies(&first));
    let second = Tollgate::start(&["--store", &server.url()]);
    second.wait_for_log("Listening to billing systems");
    let mut redis = connect(&server);
    for status in ["disabled", "active", "frozen"] {
        publish(&mut redis, &json!({"customerId": "c1", "status": status}));
    }
    second.wait_until("frozen", || second.reason_to_write("c1") == "customer_frozen");

    first.signal(Signal::STOP);
    publish(&mut redis, &json!({"customerId": "c2", "status": "disabled"}));
    second.wait_until("disabled", || second.reason_to_write("c2") == "customer_disabled");
    assert!(applies(&second));
    first.signal(Signal::CONT);
    first.wait_until("caught up", || first.reason_to_write("c2") == "customer_disabled");
    publish(&mut redis, &json!({"customerId": "c3", "status": "disabled"}));
    second.wait_until("disabled", || second.reason_to_write("c3") == "customer_disabled");
    assert!(!applies(&first));
    assert_eq!(actions(&second, "c1"), ["put changed", "put changed", "put changed"]);
    assert_eq!(actions(&second, "c2"), ["put changed"]);
}

#[test]
fn the_inbox_survives_the_death_of_the_instance_that_applies_it() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &server.url(), "--ingest-guard", "off"];
    let mut first = Tollgate::start(&flags);
    first.wait_until("the one that applies", || applies(&first));
    let second = Tollgate::start(&flags);
    let mut redis = connect(&server);
    let mut entries = redis::pipe();
    for number in 0..ENTRIES {
        let (customer, status) = (number % (ENTRIES / 2), number / (ENTRIES / 2));
        let status = ["disabled", "frozen"][status];
        let message = json!({"customerId": format!("c{customer}"), "status": status});
        entries.xadd(INBOX, "*", &[("data", message.to_string())]).ignore();
    }
    entries.exec(&mut redis).unwrap();
    let begun = Instant::now();
    while redis.xlen::<_, usize>("tollgate:{0}:log").unwrap() < ENTRIES / 5 {
        assert!(begun.elapsed() < PATIENCE, "nothing is applied");
    }
    first.kill9();
    let left: usize = redis.xlen(INBOX).unwrap();
    assert!(left > 0, "it was killed too late");

    second.wait_until("done", || redis::Cmd::xlen(INBOX).query(&mut connect(&server)) == Ok(0));
    for customer in 0..ENTRIES / 2 {
        assert_eq!(second.reason_to_write(&format!("c{customer}")), "customer_frozen");
    }
    let audit: Vec<(String, BTreeMap<String, String>)> =
        redis.xrange_all("tollgate:{0}:audit").unwrap();
    assert_eq!(audit.len(), ENTRIES, "each is applied, none twice");
    assert_eq!(redis.xlen::<_, usize>(DEAD), Ok(0));
}

#[test]
fn what_can_never_be_applied_goes_to_the_dead_letters_and_stops_nothing() {
    let (server, tollgate) = started(&[]);
    let mut redis = connect(&server);
    let far_ahead = json!({"customerId": "c1", "status": "frozen", "at": "2999-01-01T00:00:00Z"});
    for poison in ["no json", r#"{"customerId":"c1","status":"banned"}"#, &far_ahead.to_string()] {
        publish_text(&mut redis, poison);
        let _: String = redis.xadd(INBOX, "*", &[("data", poison)]).unwrap();
    }
    let _: String = redis.xadd(INBOX, "*", &[("message", "in the wrong field")]).unwrap();
    let sound = json!({"customerId": "c1", "status": "disabled"}).to_string();
    let _: String = redis.xadd(INBOX, "*", &[("data", sound)]).unwrap();
    tollgate.wait_until("disabled", || tollgate.reason_to_write("c1") == "customer_disabled");
    publish(&mut redis, &json!({"customerId": "c2", "status": "disabled"}));
    tollgate.wait_until("disabled", || tollgate.reason_to_write("c2") == "customer_disabled");

    let dead: Vec<(String, BTreeMap<String, String>)> = redis.xrange_all(DEAD).unwrap();
    let reasons: Vec<_> = dead.iter().map(|(_, fields)| fields["reason"].as_str()).collect();
    assert_eq!(
        reasons,
        [
            "message: must be a JSON object in UTF-8",
            "status: must be one of active, frozen, inactive, disabled",
            "VALIDATION_ERROR: `at` must not be more than 5 minutes ahead",
            "message: must be a JSON object in UTF-8",
        ]
    );
    assert_eq!(dead[1].1["data"], r#"{"customerId":"c1","status":"banned"}"#);
    assert_eq!(redis.xlen::<_, usize>(INBOX), Ok(0));
    assert_eq!(counted(&tollgate, "channel", "malformed"), 2);
    assert_eq!(counted(&tollgate, "inbox", "malformed"), 3);
    let told = tollgate.log().into_iter().filter(|line| line.contains("is malformed"));
    assert_eq!(told.count(), 1, "once a minute");
}

#[test]
fn a_source_that_restricts_too_many_waits_until_somebody_has_looked() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let instances = [(); 2].map(|()| Tollgate::start(&["--store", &server.url()]));
    let [first, second] = &instances;
    first.wait_until("one that applies", || instances.iter().any(applies));
    let mut redis = connect(&server);
    first.wait_until("listened to", || {
        publish_text(&mut connect(&server), r#"{"customerId":"c0","status":"active"}"#) == 2
    });
    for number in 0..30 {
        let message = json!({"customerId": format!("c{number}"), "status": "disabled"});
        publish(&mut redis, &message);
    }
    first.wait_until("paused", || sources(first)["billing"]["paused"] == true);
    second.wait_for_log("is paused");
    first.wait_until("put into the inbox", || {
        redis::Cmd::xlen(INBOX).query(&mut connect(&server)) == Ok(10)
    });
    let is_refused = |tollgate: &Tollgate, number: usize| {
        tollgate.reason_to_write(&format!("c{number}")) == "customer_disabled"
    };
    assert_eq!((0..30).filter(|number| is_refused(second, *number)).count(), 20);

    // It is held to that by every door, and lets customers in by any.
    let for_billing = json!({"source": "billing", "create": true});
    let refused = second.operate("POST", "/v1/customers/c25/freeze", Some(&for_billing));
    assert_eq!((refused.status, refused.code().as_str()), (503, "SOURCE_PAUSED"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let by_people =
        second.operate("POST", "/v1/customers/p1/freeze", Some(&json!({"create": true})));
    assert_eq!(by_people.status, 200);
    publish(&mut redis, &json!({"customerId": "c3", "status": "active"}));
    first.wait_until("let in", || first.reason_to_write("c3") == "active");
    // What waits in the inbox is applied in the order in which it was sent.
    for (status, minute) in [("active", 9), ("frozen", 8)] {
        let waits = json!({"customerId": "c29", "status": status, "at": at(minute)});
        let _: String = redis.xadd(INBOX, "*", &[("data", waits.to_string())]).unwrap();
    }
    assert!(sources(second)["billing"]["paused"] == true);
    let explained = second.operate("GET", "/v1/explain/c0", None).json();
    assert_eq!(explained["pausedSources"][0]["source"], "billing");
    assert_eq!(explained["restrictions"][0]["sourcePaused"], true);

    let viewer = second.cli(&["keys", "create", "--role", "support", "--name", "eve"]);
    let token = String::from_utf8(viewer.stdout).unwrap();
    let as_support = [("authorization", format!("Bearer {}", token.trim()))];
    let as_support = as_support.each_ref().map(|(name, value)| (*name, value.as_str()));
    let resume = json!({"source": "billing"});
    let denied = second.operate_as(&as_support, "POST", "/v1/ingest/resume", Some(&resume));
    assert_eq!((denied.status, denied.code().as_str()), (403, "INSUFFICIENT_ROLE"));

    assert!(second.cli(&["ingest", "resume", "billing"]).status.success());
    first.wait_until("empty", || redis::Cmd::xlen(INBOX).query(&mut connect(&server)) == Ok(0));
    first.wait_until("applied", || (4..30).all(|number| is_refused(first, number)));
    let allowed = second.operate("POST", "/v1/customers/c31/freeze", Some(&for_billing));
    assert_eq!(allowed.status, 200);
    let trail = first.operate("GET", "/v1/audit?limit=100", None).json();
    let on_record = |action: &str| {
        let entries = trail["entries"].as_array().unwrap().iter();
        entries.filter(|entry| entry["action"] == action).count()
    };
    assert_eq!((on_record("ingest_pause"), on_record("ingest_resume")), (1, 1));
    let printed = first.cli(&["ingest", "status"]);
    assert!(String::from_utf8(printed.stdout).unwrap().contains("billing"));
}

#[test]
fn a_restart_gives_a_source_no_new_window() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let freeze = |tollgate: &Tollgate, number: usize| {
        let path = format!("/v1/customers/c{number}/freeze");
        let body = json!({"source": "billabear", "create": true});
        tollgate.operate("POST", &path, Some(&body)).status
    };
    let mut tollgate = Tollgate::start(&["--store", &server.url()]);
    assert!((0..15).all(|number| freeze(&tollgate, number) == 200));
    tollgate.terminate();
    let tollgate = Tollgate::start(&["--store", &server.url()]);
    tollgate.wait_until("counted", || sources(&tollgate)["billabear"]["restricted"] == 15);
    assert!((0..20).all(|number| freeze(&tollgate, number) == 200));
    assert_eq!(freeze(&tollgate, 20), 503);
    assert_eq!(freeze(&tollgate, 3), 200, "it changes nothing");
}

#[test]
fn what_has_lapsed_is_taken_away_and_put_on_record() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    for store in [server.url(), "file:tollgate.redb".to_owned()] {
        let tollgate = Tollgate::start(&["--store", &store]);
        for (customer, until) in [("c1", "2020-02-01T00:00:00Z"), ("c2", "2999-01-01T00:00:00Z")] {
            let body = json!({
                "create": true, "since": "2020-01-01T00:00:00Z", "until": until,
                "source": "wingback", "reason": "fraud",
            });
            let path = format!("/v1/customers/{customer}/freeze");
            assert_eq!(tollgate.operate("POST", &path, Some(&body)).status, 200);
        }
        tollgate.wait_until("swept", || actions(&tollgate, "c1").len() == 2);
        assert_eq!(actions(&tollgate, "c1"), ["lapsed changed", "freeze changed"]);
        let trail = tollgate.operate("GET", "/v1/customers/c1/audit", None).json();
        assert_eq!(trail["entries"][0]["actor"]["name"], "tollgate");
        assert_eq!(trail["entries"][0]["after"], json!([]));
        assert_eq!(actions(&tollgate, "c2"), ["freeze changed"]);
        assert_eq!(tollgate.reason_to_write("c2"), "customer_frozen");
    }
}

#[test]
fn an_idle_instance_costs_redis_at_most_eight_commands_a_second() {
    let (server, tollgate) = started(&[]);
    let other = Tollgate::start(&["--store", &server.url()]);
    // What its start costs is not what it costs idle.
    other.wait_for_log("Listening to billing systems");
    let mut redis = connect(&server);
    let both = rate(&mut redis);
    drop(other);
    // Its share is counted apart when it is gone, and so are its sockets.
    let one = rate(&mut redis);
    assert!(applies(&tollgate));
    // 7.0 and 5.1 over minutes; a window of seconds begins and ends somewhere between two beats.
    assert!(one <= 8.0, "{one} commands a second");
    assert!(both - one <= 6.0, "{} commands a second", both - one);
}

/// Commands a second over some seconds, those inside scripts included, this question not.
fn rate(redis: &mut Connection) -> f64 {
    let mut processed = || -> u64 {
        let info: String = redis::cmd("INFO").arg("stats").query(redis).unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.unwrap().trim().parse().unwrap()
    };
    let (begun, before) = (Instant::now(), processed());
    thread::sleep(Duration::from_secs(12));
    let after = processed() - 1;
    let count = u32::try_from(after - before).unwrap();
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// A server, and an instance that hears and applies.
fn started(flags: &[&str]) -> (RedisServer, Tollgate) {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&[&["--store", &server.url()], flags].concat());
    tollgate.wait_for_log("Listening to billing systems");
    tollgate.wait_until("the one that applies", || applies(&tollgate));
    (server, tollgate)
}

fn applies(tollgate: &Tollgate) -> bool {
    tollgate.operate("GET", "/v1/ingest", None).json()["applies"] == true
}

/// What is told of each source.
fn sources(tollgate: &Tollgate) -> BTreeMap<String, Value> {
    let told = tollgate.operate("GET", "/v1/ingest", None).json();
    let sources = told["sources"].as_array().unwrap().iter();
    let mut sources: BTreeMap<_, _> = sources
        .map(|source| (source["source"].as_str().unwrap().to_owned(), source.clone()))
        .collect();
    for source in ["billing", "billabear"] {
        sources.entry(source.to_owned()).or_default();
    }
    sources
}

/// A customer's trail, the newest entry first: verb and outcome.
fn actions(tollgate: &Tollgate, customer: &str) -> Vec<String> {
    let path = format!("/v1/customers/{customer}/audit");
    let trail = tollgate.operate("GET", &path, None).json();
    let entries = trail["entries"].as_array().unwrap().iter();
    let word = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    entries.map(|entry| format!("{} {}", word(entry, "action"), word(entry, "outcome"))).collect()
}

fn counted(tollgate: &Tollgate, via: &str, result: &str) -> u64 {
    let scraped = tollgate.admin("/metrics").body;
    let name = format!("tollgate_ingest_messages_total{{via=\"{via}\",result=\"{result}\"}} ");
    scraped.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

fn publish(redis: &mut Connection, message: &Value) -> usize {
    publish_text(redis, &message.to_string())
}

/// How many instances heard it.
fn publish_text(redis: &mut Connection, text: &str) -> usize {
    redis.publish("tollgate:customer-status", text).unwrap()
}

/// Some minutes after ten o'clock, a day ago or more.
fn at(minute: u32) -> String {
    format!("2026-11-20T10:{minute:02}:00Z")
}

fn connect(server: &RedisServer) -> Connection {
    redis::Client::open(server.url()).unwrap().get_connection().unwrap()
}

const INBOX: &str = "tollgate:customer-status:inbox";
const DEAD: &str = "tollgate:customer-status:dead";
const ENTRIES: usize = 500;
const PATIENCE: Duration = Duration::from_secs(10);
