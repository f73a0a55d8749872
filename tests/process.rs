//! One process from its start to its end: drains, restarts, data it cannot read, and the CLI.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use raw::{Raw, Running, redis};
use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{Tollgate, serve},
};

fn put(tollgate: &Tollgate, id: &str, body: &Value) -> Value {
    let answer = tollgate.operate("PUT", &format!("/v1/customers/{id}"), Some(body));
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.json()
}

fn reason_to_read(tollgate: &Tollgate, customer: &str) -> String {
    let question = json!({"customerId": customer, "action": "read"});
    tollgate.check(&question).json()["reason"].as_str().unwrap().to_owned()
}

mod stopping {
    use super::*;

    /// A question of which only the first half has been sent.
    fn half_asked(tollgate: &Tollgate) -> (Raw, String) {
        let body = json!({"customerId": "c1", "action": "read"}).to_string();
        let (first, rest) = body.split_at(10);
        let length = body.len().to_string();
        let mut connection = Raw::connect(tollgate.check);
        let headers = [("Content-Type", "application/json"), ("Content-Length", length.as_str())];
        connection.request("POST /v1/check HTTP/1.1", &headers).send(first);
        (connection, rest.to_owned())
    }

    #[test]
    fn what_is_in_flight_is_finished_and_the_exit_is_clean() {
        for signal in [Signal::TERM, Signal::INT] {
            let mut tollgate = Tollgate::start(&["--store", "memory:"]);
            put(&tollgate, "c1", &json!({}));
            let (mut connection, rest) = half_asked(&tollgate);
            let mut idle = Raw::connect(tollgate.check);
            idle.request("GET /v1/nginx HTTP/1.1", &[("X-Customer-Id", "c1")]).answer();
            // The half question is under way once a later one on another connection is answered.
            assert_eq!(tollgate.reason_to_write("c1"), "active");
            tollgate.signal(signal);
            tollgate.wait_for_log("Stopping because of");
            tollgate.wait_until("unready", || tollgate.admin("/readyz").status == 503);
            tollgate.wait_until("closed", || std::net::TcpStream::connect(tollgate.check).is_err());
            assert!(idle.is_closed(), "an idle connection holds it up");
            let answer = connection.send(rest).answer();
            assert_eq!((answer.status, answer.reason()), (200, "active"), "{answer:?}");
            assert_eq!(answer.json()["decision"], "allow");
            assert!(connection.is_closed());
            assert_eq!(tollgate.terminate().code(), Some(0), "{:#?}", tollgate.log());
        }
    }

    #[test]
    fn an_idle_process_stops_long_before_its_grace_ends() {
        for store in ["memory:", "file:x.redb"] {
            let mut tollgate = Tollgate::start(&["--store", store, "--grace", "1h"]);
            put(&tollgate, "c1", &json!({}));
            let begun = Instant::now();
            assert_eq!(tollgate.terminate().code(), Some(0));
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
    }

    #[test]
    fn one_that_follows_redis_stops_as_fast_also_when_redis_hangs_or_is_away() {
        let mut server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let mut with = Tollgate::start(&["--store", &url, "--grace", "1h"]);
        let mut hung = Tollgate::start(&["--store", &url, "--grace", "1h"]);
        let mut without = Tollgate::start(&["--store", &url, "--grace", "1h"]);
        assert_eq!(with.terminate().code(), Some(0));
        server.pause();
        let begun = Instant::now();
        assert_eq!(hung.terminate().code(), Some(0));
        server.resume();
        server.kill9();
        without.wait_for_log("The feed lost the store");
        assert_eq!(without.terminate().code(), Some(0));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn what_does_not_finish_in_time_is_cut_off_and_named() {
        let mut tollgate = Tollgate::start(&["--store", "memory:", "--grace", "300ms"]);
        let (_connection, _rest) = half_asked(&tollgate);
        assert_eq!(tollgate.reason_to_write("c1"), "customer_unknown");
        let status = tollgate.terminate();
        assert_eq!(status.code(), Some(1));
        let told = tollgate.wait_for_log("still running after the grace period");
        assert!(told.contains("check"), "{told}");
    }
}

mod restarting {
    use super::*;

    #[test]
    fn a_file_store_keeps_everything_through_a_stop_and_a_crash() {
        let mut tollgate = Tollgate::start(&[]);
        let body = json!({"plan": "pro", "features": ["sso"], "limits": {"seats": {"max": 3}}, "name": "Acme"});
        put(&tollgate, "c1", &body);
        let key = json!({"name": "shop", "role": "viewer"});
        let token = tollgate.operate("POST", "/v1/keys", Some(&key)).json()["token"].clone();
        let freeze =
            json!({"reason": "dispute", "notes": "a note", "until": "2999-01-01T00:00:00Z"});
        assert_eq!(tollgate.operate("POST", "/v1/customers/c1/freeze", Some(&freeze)).status, 200);
        put(&tollgate, "c2", &json!({}));
        let paths = ["/v1/customers/c1", "/v1/customers/c1/audit", "/v1/customers", "/v1/audit"];
        let shown = |tollgate: &Tollgate| {
            let headers = [("x-api-key", token.as_str().unwrap())];
            paths.map(|path| {
                let answer = tollgate.operate_as(&headers, "GET", path, None);
                assert_eq!(answer.status, 200, "{answer:?}");
                answer.body
            })
        };
        let before = shown(&tollgate);
        let tag =
            tollgate.ask("GET", "/v1/customers/c1/limits", &[]).header("etag").unwrap().to_owned();
        let data_dir = tollgate.data_dir();
        assert_eq!(tollgate.terminate().code(), Some(0));
        for _ in 0..2 {
            let mut again = Tollgate::start_in(Arc::clone(&data_dir), &[]);
            again.wait_until("ready", || again.admin("/readyz").status == 200);
            assert_eq!(shown(&again), before);
            let limits = again.ask("GET", "/v1/customers/c1/limits", &[("If-None-Match", &tag)]);
            assert_eq!(limits.status, 304);
            assert_eq!(again.reason_to_write("c1"), "customer_frozen");
            assert_eq!(again.reason_to_write("c2"), "active");
            again.kill9();
        }
        let last = Tollgate::start_in(data_dir, &[]);
        last.wait_until("ready", || last.admin("/readyz").status == 200);
        assert_eq!(last.operate("POST", "/v1/customers/c1/unfreeze", None).status, 200);
        assert_eq!(last.reason_to_write("c1"), "active");
    }

    #[test]
    fn an_acknowledged_act_survives_a_crash_at_any_moment() {
        let mut tollgate = Tollgate::start(&[]);
        let operator = tollgate.operator;
        let acting = thread::spawn(move || {
            let headers = [
                ("x-api-key", support::tollgate::ADMIN_TOKEN),
                ("content-type", "application/json"),
            ];
            let mut acknowledged = 0;
            loop {
                let path = format!("/v1/customers/c{acknowledged}");
                let body = json!({"status": "disabled"}).to_string();
                let answer = support::tollgate::http(operator, "PUT", &path, &headers, Some(&body));
                if answer.status != 201 {
                    return acknowledged;
                }
                acknowledged += 1;
            }
        });
        tollgate.wait_until("some", || tollgate.reason_to_write("c21") == "customer_disabled");
        let data_dir = tollgate.data_dir();
        tollgate.kill9();
        let acknowledged = acting.join().unwrap();
        assert!(acknowledged > 20);
        let again = Tollgate::start_in(data_dir, &[]);
        again.wait_until("ready", || again.admin("/readyz").status == 200);
        for number in 0..acknowledged {
            assert_eq!(
                again.reason_to_write(&format!("c{number}")),
                "customer_disabled",
                "c{number}"
            );
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// Starts one on a file store that makes its own key, and waits until it has it.
    fn with_own_key(data_dir: &Path) -> Running {
        let mut running = Running::start(serve(data_dir, &[]).env_remove("TOLLGATE_ADMIN_TOKEN"));
        assert!(running.read_until("The snapshot decides now").is_some());
        running
    }

    #[test]
    fn the_first_key_and_all_data_are_for_their_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let data_dir = parent.path().join("a").join("b");
        let mut running = with_own_key(&data_dir);
        assert!(running.read_until("Made the first operator key").is_some());
        assert_eq!(mode(&data_dir), 0o700);
        assert_eq!(mode(&data_dir.join("operator.token")), 0o600);
        assert_eq!(mode(&data_dir.join("tollgate.redb")), 0o600);
        assert_eq!(running.terminate(), Some(0));
    }

    #[test]
    fn the_first_key_is_kept_while_it_is_good_and_made_anew_when_it_is_not() {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let path = directory.path().join("operator.token");
        let mut running = with_own_key(directory.path());
        assert!(running.read_until("Made the first operator key").is_some());
        let token = fs::read_to_string(&path).unwrap();
        assert_eq!(running.terminate(), Some(0));
        assert_eq!(with_own_key(directory.path()).terminate(), Some(0));
        assert_eq!(fs::read_to_string(&path).unwrap(), token);
        // Where the configuration gives a token none is made, and this one stays good.
        let given = Tollgate::start_in(Arc::clone(&directory), &[]);
        given.wait_until("ready", || given.admin("/readyz").status == 200);
        let headers = [("x-api-key", token.trim())];
        let listed = given.operate_as(&headers, "GET", "/v1/keys", None);
        assert_eq!(listed.status, 200, "{listed:?}");
        assert_eq!(listed.json()["keys"].as_array().unwrap().len(), 1);
        drop(given);
        assert_eq!(fs::read_to_string(&path).unwrap(), token);
        fs::write(&path, "spoilt").unwrap();
        let mut running = with_own_key(directory.path());
        assert!(running.read_until("Made the first operator key").is_some());
        assert_ne!(fs::read_to_string(&path).unwrap(), "spoilt");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(running.terminate(), Some(0));
    }
}

mod unreadable {
    use super::*;

    const RECORD: &str = "tollgate:{0}:record:default:";

    fn unreadable(tollgate: &Tollgate, what: &str) -> u64 {
        let metrics = tollgate.admin("/metrics").body;
        let name = format!("tollgate_unreadable_total{{what=\"{what}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned));
        line.map_or(0, |count| count.parse().unwrap())
    }

    /// Only `customer` is undecided, which is counted and logged; the others go on.
    fn assert_only(tollgate: &Tollgate, customer: &str, what: &str) {
        for method in ["GET", "POST"] {
            let headers = [
                ("X-Customer-Id", customer),
                ("X-Forwarded-Method", method),
                ("X-Forwarded-Uri", "/"),
            ];
            let answer = tollgate.ask("GET", "/v1/forward-auth", &headers);
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(answer.header("x-tollgate-reason"), Some("store_unreachable"));
        }
        let limits = tollgate.ask("GET", &format!("/v1/customers/{customer}/limits"), &[]);
        assert_eq!((limits.status, limits.code().as_str()), (503, "STORE_UNREACHABLE"));
        assert!(unreadable(tollgate, what) >= 1, "{}", tollgate.admin("/metrics").body);
        let logged = tollgate.log();
        let said = |line: &String| line.contains("cannot be read") && line.contains(customer);
        assert!(logged.iter().any(said), "{logged:#?}");
        assert_eq!(tollgate.reason_to_write("other"), "active");
        assert_eq!(tollgate.reason_to_write("refused"), "customer_disabled");
        let acted = tollgate.operate("POST", "/v1/customers/other/freeze", None);
        assert_eq!(acted.status, 200, "{acted:?}");
        assert_eq!(tollgate.operate("POST", "/v1/customers/other/unfreeze", None).status, 200);
        // And it can neither be read nor be written over.
        let path = format!("/v1/customers/{customer}");
        assert_eq!(tollgate.operate("GET", &path, None).status, 503);
        assert_eq!(tollgate.operate("PUT", &path, Some(&json!({"plan": "x"}))).status, 503);
        let disable = format!("{path}/disable");
        assert_eq!(tollgate.operate("POST", &disable, Some(&json!({"create": true}))).status, 503);
        assert_eq!(tollgate.admin("/readyz").status, 200);
    }

    fn with_others(url: &str) -> Tollgate {
        let tollgate = Tollgate::start(&["--store", url]);
        put(&tollgate, "other", &json!({}));
        put(&tollgate, "refused", &json!({"status": "disabled"}));
        tollgate
    }

    #[test]
    fn a_record_of_a_wrong_type_makes_only_its_customer_undecided() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let tollgate = with_others(&url);
        redis(&url, &["RPUSH", &format!("{RECORD}c1"), "a", "b"]);
        assert_only(&tollgate, "c1", "record");
        assert_eq!(redis(&url, &["TYPE", &format!("{RECORD}c1")]), "list");
    }

    #[test]
    fn a_record_of_a_newer_format_makes_only_its_customer_undecided() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let tollgate = with_others(&url);
        let newer = "{\"format\":2,\"revision\":3,\"restrictions\":[],\"createdAt\":\"2026-01-01T00:00:00Z\",\"updatedAt\":\"2026-01-01T00:00:00Z\"}";
        redis(&url, &["SET", &format!("{RECORD}c1"), newer]);
        assert_only(&tollgate, "c1", "record");
        assert_eq!(redis(&url, &["GET", &format!("{RECORD}c1")]), newer);
    }

    #[test]
    fn a_record_that_is_no_json_makes_only_its_customer_undecided() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let tollgate = with_others(&url);
        for (number, wrong) in ["", "{", "[]", "null", "{\"format\":1}"].into_iter().enumerate() {
            let id = format!("c{number}");
            redis(&url, &["SET", &format!("{RECORD}{id}"), wrong]);
            let headers = [("X-Customer-Id", id.as_str())];
            let answer = tollgate.ask("GET", "/v1/forward-auth", &headers);
            assert_eq!(answer.status, 503, "{wrong:?}: {answer:?}");
        }
        assert!(unreadable(&tollgate, "record") >= 5);
        assert_eq!(tollgate.reason_to_write("other"), "active");
    }

    #[test]
    fn a_restricted_entry_of_a_newer_format_makes_only_its_customer_undecided() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let first = with_others(&url);
        put(&first, "c1", &json!({"status": "frozen"}));
        // A kind that this version does not know, at the revision that the digest counts.
        let entry = redis(&url, &["HGET", "tollgate:{0}:restricted", "default:c1"]);
        let newer = entry.replace("frozen", "suspended");
        redis(&url, &["HSET", "tollgate:{0}:restricted", "default:c1", &newer]);
        let record = format!("{RECORD}c1");
        let body = redis(&url, &["GET", &record]).replace("frozen", "suspended");
        redis(&url, &["SET", &record, &body.replace("\"format\":1", "\"format\":2")]);
        let tollgate = Tollgate::start(&["--store", &url]);
        assert_only(&tollgate, "c1", "restricted");
    }

    #[test]
    fn a_change_of_a_newer_format_makes_only_its_customer_undecided() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let tollgate = with_others(&url);
        put(&tollgate, "c1", &json!({}));
        assert_eq!(reason_to_read(&tollgate, "c1"), "active");
        // As a newer Tollgate would write it: record, restricted set, log and push.
        let revision: u64 = redis(&url, &["HGET", "tollgate:{0}:meta", "rev"]).parse().unwrap();
        let next = (revision + 1).to_string();
        redis(
            &url,
            &[
                "SET",
                &format!("{RECORD}c1"),
                &format!("{{\"format\":2,\"revision\":{next},\"restrictions\":[]}}"),
            ],
        );
        redis(&url, &["HSET", "tollgate:{0}:meta", "rev", &next]);
        let line = "{\"key\":\"default:c1\",\"restrictions\":\"suspended,operator,other,1,\",\"act\":{\"verb\":\"suspend\"}}";
        let id = redis(&url, &["XADD", "tollgate:{0}:log", "*", "rev", &next, "change", line]);
        redis(&url, &["HSET", "tollgate:{0}:meta", "sid", &id]);
        redis(&url, &["PUBLISH", "tollgate:{0}:changes", &format!("{id} {next} {line}")]);
        tollgate.wait_until("undecided", || reason_to_read(&tollgate, "c1") == "store_unreachable");
        assert!(unreadable(&tollgate, "change") >= 1, "{}", tollgate.admin("/metrics").body);
        tollgate.wait_for_log("A change of default:c1 cannot be read");
        assert_only(&tollgate, "c1", "record");
    }

    #[test]
    fn a_restriction_that_can_be_read_decides_although_the_record_cannot() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        for setting in ["gateway", "allow", "deny"] {
            let tollgate = Tollgate::start(&["--store", &url, "--when-undecided", setting]);
            put(&tollgate, setting, &json!({"status": "disabled", "source": setting}));
            redis(&url, &["SET", &format!("{RECORD}{setting}"), "{\"format\":2,\"revision\":1}"]);
            let refused = || {
                let headers = [("X-Customer-Id", setting)];
                let answer = tollgate.ask("GET", "/v1/forward-auth", &headers);
                let reason = answer.header("x-tollgate-reason").unwrap_or_default().to_owned();
                (answer.status, reason)
            };
            assert_eq!(refused(), (403, "customer_disabled".to_owned()), "{setting}");
            // Whoever asks for more makes Tollgate read the record.
            let limits = tollgate.ask("GET", &format!("/v1/customers/{setting}/limits"), &[]);
            assert_eq!(limits.status, 503, "{limits:?}");
            let question = json!({"customerId": setting, "action": "read", "feature": "sso"});
            let asked = tollgate.check(&question).json();
            assert_eq!(asked["reason"], "customer_disabled", "{setting}");
            assert_eq!(refused(), (403, "customer_disabled".to_owned()), "{setting}");
        }
    }

    #[test]
    fn a_list_goes_on_behind_a_customer_that_cannot_be_read() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let tollgate = Tollgate::start(&["--store", &url]);
        for number in 0..7 {
            put(&tollgate, &format!("c{number}"), &json!({}));
        }
        for id in ["c1", "c4"] {
            redis(&url, &["SET", &format!("{RECORD}{id}"), "{\"format\":2,\"revision\":1}"]);
        }
        for limit in [1, 2, 3, 100] {
            let (mut found, mut after) = (Vec::new(), String::new());
            loop {
                let path = format!("/v1/customers?limit={limit}{after}");
                let page = tollgate.operate("GET", &path, None).json();
                let customers = page["customers"].as_array().unwrap();
                found.extend(
                    customers.iter().map(|it| it["customerId"].as_str().unwrap().to_owned()),
                );
                match page["nextCursor"].as_str() {
                    Some(cursor) => after = format!("&startAfter={cursor}"),
                    None => break,
                }
            }
            assert_eq!(found, ["c0", "c2", "c3", "c5", "c6"], "by {limit}");
        }
    }
}

mod cli {
    use super::*;

    fn code(output: &Output) -> Option<i32> {
        output.status.code()
    }

    fn said(output: &Output) -> String {
        String::from_utf8(output.stderr.clone()).unwrap()
    }

    #[test]
    fn the_exit_code_tells_allowed_denied_misused_and_undecided_apart() {
        let tollgate = Tollgate::start(&["--store", "memory:"]);
        put(&tollgate, "c1", &json!({}));
        assert_eq!(code(&tollgate.cli(&["check", "c1", "--write"])), Some(0));
        assert_eq!(code(&tollgate.cli(&["freeze", "c1"])), Some(0));
        assert_eq!(code(&tollgate.cli(&["check", "c1"])), Some(0));
        assert_eq!(code(&tollgate.cli(&["check", "c1", "--write"])), Some(1));
        assert_eq!(code(&tollgate.cli(&["check", "nobody"])), Some(1));
        assert_eq!(code(&tollgate.cli(&["check", "c1", "--feature", "sso"])), Some(3));
        assert_eq!(code(&tollgate.cli(&["check", "c1", "--min-revision", "other:0.9"])), Some(3));
        for wrong in [
            &["check"][..],
            &["check", "a b"],
            &["freeze", "c1", "--reason", "because"],
            &["freeze", "c1", "--until", "soon"],
            &["nonsense"],
            &["enable", "c1", "--all-sources", "--source", "x"],
        ] {
            let output = tollgate.cli(wrong);
            assert_eq!(code(&output), Some(2), "{wrong:?}: {}", said(&output));
        }
        let unknown = tollgate.cli(&["freeze", "nobody"]);
        assert_eq!(code(&unknown), Some(1));
        assert!(said(&unknown).contains("NOT_FOUND"), "{}", said(&unknown));
        assert!(said(&unknown).contains("--create"), "{}", said(&unknown));
        assert_eq!(code(&tollgate.cli(&["freeze", "nobody", "--create"])), Some(0));
        assert_eq!(code(&tollgate.cli(&["show", "nobody"])), Some(0));
        assert_eq!(code(&tollgate.cli(&["show", "somebody"])), Some(1));
        assert_eq!(code(&tollgate.cli(&["health"])), Some(0));
        assert_eq!(code(&tollgate.cli(&["ready"])), Some(0));
        assert_eq!(code(&tollgate.cli(&["version"])), Some(0));
        let told = tollgate.cli(&["version", "--json"]);
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
        assert!(told["storeFormat"].is_u64() && told["snapshotFormat"].is_u64(), "{told}");
    }

    #[test]
    fn nobody_there_is_3_and_says_where_it_looked() {
        let mut tollgate = Tollgate::start(&["--store", "memory:"]);
        assert_eq!(tollgate.terminate().code(), Some(0));
        for verb in [&["check", "c1"][..], &["freeze", "c1"], &["list"], &["show", "c1"]] {
            let output = tollgate.cli(verb);
            assert_eq!(code(&output), Some(3), "{verb:?}: {}", said(&output));
            assert!(said(&output).contains("127.0.0.1:"), "{}", said(&output));
        }
        for probe in ["health", "ready"] {
            assert_ne!(code(&tollgate.cli(&[probe])), Some(0), "{probe}");
        }
    }

    #[test]
    fn one_that_is_not_ready_is_told_from_one_that_is_not_there() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        server.pause();
        let tollgate = Tollgate::start_unready(&["--store", &server.url()]);
        tollgate.wait_until("up", || tollgate.admin("/livez").status == 200);
        assert_eq!(code(&tollgate.cli(&["health"])), Some(0));
        assert_ne!(code(&tollgate.cli(&["ready"])), Some(0));
        assert_eq!(code(&tollgate.cli(&["check", "c1"])), Some(3));
        assert_eq!(code(&tollgate.cli(&["freeze", "c1"])), Some(3));
        server.resume();
    }

    #[test]
    fn an_enable_that_leaves_another_sources_disable_hints_at_it() {
        let tollgate = Tollgate::start(&["--store", "memory:"]);
        put(&tollgate, "c1", &json!({}));
        for source in ["billabear", "operator"] {
            let output =
                tollgate.cli(&["disable", "c1", "--source", source, "--reason", "non_payment"]);
            assert_eq!(code(&output), Some(0), "{}", said(&output));
        }
        let enabled = tollgate.cli(&["enable", "c1"]);
        assert_eq!(code(&enabled), Some(0));
        let hint = said(&enabled);
        assert!(hint.contains("still disabled by billabear"), "{hint}");
        assert!(hint.contains("tollgate enable c1 --source billabear"), "{hint}");
        assert!(hint.contains("--all-sources"), "{hint}");
        assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
        // What the hint says works.
        let lifted = tollgate.cli(&["enable", "c1", "--source", "billabear"]);
        assert_eq!(code(&lifted), Some(0));
        assert!(!said(&lifted).contains("still"), "{}", said(&lifted));
        assert_eq!(tollgate.reason_to_write("c1"), "active");
        for source in ["billabear", "stripe", "operator"] {
            tollgate.cli(&["disable", "c1", "--source", source]);
        }
        assert_eq!(code(&tollgate.cli(&["enable", "c1", "--all-sources"])), Some(0));
        assert_eq!(tollgate.reason_to_write("c1"), "active");
    }

    #[test]
    fn data_goes_to_standard_output_and_messages_to_standard_error() {
        let tollgate = Tollgate::start(&["--store", "memory:"]);
        put(&tollgate, "c1", &json!({"plan": "pro"}));
        for verb in [
            &["show", "c1"][..],
            &["list"],
            &["limits", "c1"],
            &["check", "c1"],
            &["audit", "c1"],
            &["freeze", "c1"],
        ] {
            let output = tollgate.cli(&[verb, &["--output", "json"]].concat());
            assert_eq!(code(&output), Some(0), "{verb:?}: {}", said(&output));
            let data: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(data.is_object(), "{verb:?}: {data}");
        }
        let failed = tollgate.cli(&["show", "nobody", "--output", "json"]);
        assert!(failed.stdout.is_empty() && !failed.stderr.is_empty());
    }

    #[test]
    fn a_key_made_on_the_command_line_is_printed_once_and_works() {
        let tollgate = Tollgate::start(&["--store", "memory:"]);
        put(&tollgate, "c1", &json!({}));
        let made = tollgate.cli(&[
            "keys",
            "create",
            "--role",
            "viewer",
            "--name",
            "alice",
            "--expires",
            "90d",
        ]);
        assert_eq!(code(&made), Some(0), "{}", said(&made));
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        assert!(token.starts_with("tg_") && !token.contains(char::is_whitespace), "{token}");
        let with = |verb: &[&str]| {
            Command::new(env!("CARGO_BIN_EXE_tollgate"))
                .args(verb)
                .env("TOLLGATE_OPERATOR_URL", format!("http://{}", tollgate.operator))
                .env("TOLLGATE_TOKEN", &token)
                .output()
                .unwrap()
        };
        assert_eq!(code(&with(&["show", "c1"])), Some(0));
        let weak = with(&["freeze", "c1"]);
        assert_eq!(code(&weak), Some(1));
        assert!(said(&weak).contains("INSUFFICIENT_ROLE"), "{}", said(&weak));
        let listed = tollgate.cli(&["keys", "list"]);
        assert!(!String::from_utf8(listed.stdout).unwrap().contains(&token));
    }
}
