//! The check listener as gateways and applications meet it, over real sockets.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use raw::{Raw, RawAnswer, raw, redis};
use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{ADMIN_TOKEN, Answer, Tollgate, http, serve},
};

const MEMORY: &[&str] = &["--store", "memory:"];
const EIGHT: [&str; 8] = [
    "x-tollgate-decision",
    "x-tollgate-reason",
    "x-tollgate-status",
    "x-tollgate-access",
    "x-tollgate-revision",
    "x-tollgate-age-ms",
    "x-tollgate-stale",
    "x-tollgate-mode",
];

/// Starts one on a memory store, with more flags.
fn start(more: &[&str]) -> Tollgate {
    Tollgate::start(&[MEMORY, more].concat())
}

/// Writes a customer.
fn put(tollgate: &Tollgate, id: &str, body: &Value) -> Value {
    let answer = tollgate.operate("PUT", &format!("/v1/customers/{id}"), Some(body));
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.json()
}

/// Acts on a customer.
fn act(tollgate: &Tollgate, id: &str, verb: &str, body: &Value) -> Value {
    let answer = tollgate.operate("POST", &format!("/v1/customers/{id}/{verb}"), Some(body));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Asks as Traefik or Caddy would.
fn forward(tollgate: &Tollgate, method: &str, customer: &str) -> Answer {
    let headers = [
        ("X-Forwarded-Method", method),
        ("X-Forwarded-Uri", "/orders?page=2"),
        ("X-Customer-Id", customer),
    ];
    tollgate.ask("GET", "/v1/forward-auth", &headers)
}

/// Asks as nginx would.
fn nginx(tollgate: &Tollgate, method: &str, customer: &str) -> Answer {
    let headers = [
        ("X-Original-Method", method),
        ("X-Original-URI", "/orders?page=2"),
        ("X-Customer-Id", customer),
    ];
    tollgate.ask("GET", "/v1/nginx", &headers)
}

fn question(customer: &str, action: &str) -> Value {
    json!({"customerId": customer, "action": action})
}

fn reason(answer: &Answer) -> &str {
    answer.header("x-tollgate-reason").unwrap_or_default()
}

fn raw_reason(tollgate: &Tollgate, headers: &[(&str, &str)]) -> String {
    raw(tollgate.check, "GET /v1/forward-auth HTTP/1.1", headers).reason().to_owned()
}

/// Each of the eight is there once, and says something.
fn assert_eight(answer: &Answer) {
    for name in EIGHT {
        let values: Vec<_> = answer.headers.iter().filter(|(found, _)| found == name).collect();
        assert_eq!(values.len(), 1, "{name} in {answer:?}");
        assert!(!values[0].1.is_empty(), "{name} is empty in {answer:?}");
    }
}

fn assert_eight_raw(answer: &RawAnswer) {
    for name in EIGHT {
        assert!(answer.header(name).is_some_and(|value| !value.is_empty()), "{name} in {answer:?}");
    }
}

/// What one decision looks like on every wire.
struct Wire<'a> {
    reason: &'a str,
    decision: &'a str,
    allowed: bool,
    /// What forward-auth answers, and what nginx is told to answer.
    status: u16,
    /// What nginx itself is answered.
    nginx: u16,
    code: &'a str,
}

/// Asks about `customer` in all three ways and holds the answers against `wire`.
fn assert_wires(tollgate: &Tollgate, customer: &str, method: &str, wire: &Wire<'_>) {
    let action = if method == "GET" { "read" } else { "write" };
    let answers = [forward(tollgate, method, customer), nginx(tollgate, method, customer)];
    for answer in &answers {
        assert_eight(answer);
        assert_eq!(reason(answer), wire.reason, "{answer:?}");
        assert_eq!(answer.header("x-tollgate-decision"), Some(wire.decision));
        assert_eq!(answer.header("x-tollgate-mode"), Some("enforce"));
        if wire.allowed {
            assert_is_pass(answer);
        } else {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        }
        let retry_after = answer.header("retry-after").is_some();
        assert_eq!(retry_after, answer.status == 503, "{answer:?}");
    }
    let [forward, nginx] = answers;
    assert_eq!(forward.status, wire.status, "{forward:?}");
    assert_eq!(nginx.status, wire.nginx, "{nginx:?}");
    assert_eq!(nginx.header("x-tollgate-code"), Some(wire.status.to_string().as_str()));
    assert_eq!(nginx.body, "");
    if !wire.allowed {
        assert_eq!(forward.code(), wire.code);
        assert_eq!(forward.header("content-type"), Some("application/json"));
        let length = forward.header("content-length").unwrap().parse::<usize>().unwrap();
        assert_eq!(length, forward.body.len());
        assert!(length < 4096);
        let body = nginx.header("x-tollgate-body").unwrap();
        assert_eq!(body, forward.body);
        assert!(body.is_ascii() && body.len() < 2048 && !body.contains(['\r', '\n']));
        let error = &forward.json()["error"];
        assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{forward:?}");
    }
    let json = tollgate.check(&question(customer, action));
    assert_eq!(json.status, 200, "{json:?}");
    assert_eight(&json);
    let said = json.json();
    assert_eq!(said["reason"], wire.reason);
    assert_eq!(said["decision"], wire.decision);
    assert_eq!(said["allowed"], wire.allowed);
    assert_eq!(said["mode"], "enforce");
    assert!(said["message"].as_str().is_some_and(|it| it.ends_with('.')), "{said}");
}

/// A pass carries nothing that could leak into the client's answer.
fn assert_is_pass(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-length"), Some("0"), "{answer:?}");
    assert_eq!(answer.body, "");
    for name in ["content-type", "cache-control", "set-cookie", "www-authenticate", "retry-after"] {
        assert_eq!(answer.header(name), None, "{name} in {answer:?}");
    }
}

mod reasons {
    use super::*;

    #[test]
    fn an_active_customer_passes_everywhere() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let wire = Wire {
            reason: "active",
            decision: "allow",
            allowed: true,
            status: 200,
            nginx: 200,
            code: "",
        };
        for method in ["GET", "POST"] {
            assert_wires(&tollgate, "c1", method, &wire);
        }
        let answer = forward(&tollgate, "POST", "c1");
        assert_eq!(answer.header("x-tollgate-status"), Some("active"));
        assert_eq!(answer.header("x-tollgate-access"), Some("read_write"));
        assert_eq!(answer.header("x-tollgate-stale"), Some("false"));
        let age = answer.header("x-tollgate-age-ms").unwrap().parse::<u64>().unwrap();
        assert!(age < 5000, "{answer:?}");
        let said = tollgate.check(&question("c1", "write")).json();
        assert_eq!(Some(said["revision"].as_str().unwrap()), answer.header("x-tollgate-revision"));
    }

    #[test]
    fn a_frozen_customer_reads_and_does_not_write() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        act(&tollgate, "c1", "freeze", &json!({}));
        let read = Wire {
            reason: "frozen_read",
            decision: "allow",
            allowed: true,
            status: 200,
            nginx: 200,
            code: "",
        };
        let write = Wire {
            reason: "customer_frozen",
            decision: "deny",
            allowed: false,
            status: 423,
            nginx: 403,
            code: "CUSTOMER_FROZEN",
        };
        assert_wires(&tollgate, "c1", "GET", &read);
        for method in ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND"] {
            assert_wires(&tollgate, "c1", method, &write);
        }
        let answer = forward(&tollgate, "POST", "c1");
        assert_eq!(answer.header("x-tollgate-status"), Some("frozen"));
        assert_eq!(answer.header("x-tollgate-access"), Some("read_only"));
    }

    #[test]
    fn a_disabled_customer_is_refused_with_403_or_with_402_when_only_payment_is_missing() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let mut wire = Wire {
            reason: "customer_disabled",
            decision: "deny",
            allowed: false,
            status: 402,
            nginx: 403,
            code: "CUSTOMER_DISABLED",
        };
        act(&tollgate, "c1", "disable", &json!({"reason": "non_payment"}));
        for method in ["GET", "POST"] {
            assert_wires(&tollgate, "c1", method, &wire);
        }
        // A freeze beside it does not decide, so it takes nothing from the 402.
        act(&tollgate, "c1", "freeze", &json!({"reason": "dispute"}));
        assert_wires(&tollgate, "c1", "GET", &wire);
        let billing = json!({"reason": "fraud", "source": "stripe"});
        act(&tollgate, "c1", "disable", &billing);
        wire.status = 403;
        for method in ["GET", "POST"] {
            assert_wires(&tollgate, "c1", method, &wire);
        }
        let answer = forward(&tollgate, "GET", "c1");
        assert_eq!(answer.header("x-tollgate-status"), Some("disabled"));
        assert_eq!(answer.header("x-tollgate-access"), Some("none"));
    }

    #[test]
    fn an_inactive_customer_is_refused() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        act(&tollgate, "c1", "deactivate", &json!({}));
        let wire = Wire {
            reason: "customer_inactive",
            decision: "deny",
            allowed: false,
            status: 403,
            nginx: 403,
            code: "CUSTOMER_INACTIVE",
        };
        for method in ["GET", "POST"] {
            assert_wires(&tollgate, "c1", method, &wire);
        }
    }

    #[test]
    fn an_unknown_customer_is_refused_unless_unknown_customers_may_pass() {
        let mut wire = Wire {
            reason: "customer_unknown",
            decision: "deny",
            allowed: false,
            status: 403,
            nginx: 403,
            code: "CUSTOMER_UNKNOWN",
        };
        let strict = start(&[]);
        for method in ["GET", "POST"] {
            assert_wires(&strict, "nobody", method, &wire);
        }
        let answer = forward(&strict, "GET", "nobody");
        assert_eq!(answer.header("x-tollgate-status"), Some("unknown"));
        assert_eq!(answer.header("x-tollgate-access"), Some("unknown"));
        let open = start(&["--unknown-customers", "allow"]);
        (wire.reason, wire.decision, wire.allowed) = ("unknown_allowed", "allow", true);
        (wire.status, wire.nginx) = (200, 200);
        for method in ["GET", "POST"] {
            assert_wires(&open, "nobody", method, &wire);
        }
        // One that becomes known is judged by what is known.
        act(&open, "nobody", "disable", &json!({"create": true}));
        assert_eq!(open.reason_to_write("nobody"), "customer_disabled");
        // An unknown one has no entitlements that could be told.
        let asks = json!({"customerId": "other", "action": "read", "feature": "sso"});
        assert_eq!(open.check(&asks).json()["reason"], "entitlement_unknown");
    }

    #[test]
    fn a_request_without_a_customer_is_401_with_a_challenge() {
        let tollgate = start(&["--unknown-customers", "allow"]);
        for (path, method, uri) in DIALECTS {
            let empty = [(method, "GET"), (uri, "/"), ("X-Customer-Id", "")];
            for headers in [&empty[..2], &empty[..]] {
                let answer = raw(tollgate.check, &format!("GET {path} HTTP/1.1"), headers);
                assert_eq!((answer.status, answer.reason()), (401, "customer_missing"));
                assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"tollgate\""));
                assert_eq!(answer.header("x-tollgate-decision"), Some("deny"));
                assert_eq!(answer.header("x-tollgate-status"), Some("unknown"));
                assert_eq!(answer.header("x-tollgate-revision"), Some("-"));
                assert_eq!(answer.header("x-tollgate-age-ms"), Some("-"));
                assert_eq!(answer.header("cache-control"), Some("no-store"));
                assert_eight_raw(&answer);
            }
        }
        let answer = raw(tollgate.check, "GET /v1/nginx HTTP/1.1", &[]);
        assert_eq!(answer.header("x-tollgate-code"), Some("401"));
        assert_eq!(answer.header("content-length"), Some("0"));
    }

    #[test]
    fn a_customer_that_cannot_be_named_is_400_in_both_dialects() {
        let tollgate = start(&["--tenant-header", "X-Tenant", "--unknown-customers", "allow"]);
        let long = "c".repeat(129);
        let customers = ["a b", "a/b", ".", "..", "caf\u{e9}", "a;b", "\"a\"", &long];
        let customer = customers.map(|id| ("customer_malformed", id, "t"));
        let tenants = ["a:b", "a/b", "a b", &long];
        let tenant = tenants.map(|tenant| ("customer_malformed", "c1", tenant));
        let commas = [("customer_ambiguous", "a,b", "t"), ("customer_ambiguous", "a,", "t")];
        let commas = commas.into_iter().chain([("customer_ambiguous", "c1", "t,t")]);
        for (expected, id, named) in customer.into_iter().chain(tenant).chain(commas) {
            for (path, method, uri) in DIALECTS {
                let headers =
                    [(method, "GET"), (uri, "/"), ("X-Customer-Id", id), ("X-Tenant", named)];
                let answer = raw(tollgate.check, &format!("GET {path} HTTP/1.1"), &headers);
                assert_eq!(answer.reason(), expected, "{id:?} of {named:?}");
                let is_nginx = path == "/v1/nginx";
                assert_eq!(answer.status, if is_nginx { 403 } else { 400 }, "{answer:?}");
                assert_eq!(answer.header("x-tollgate-code"), is_nginx.then_some("400"));
                assert_eight_raw(&answer);
            }
        }
    }

    #[test]
    fn the_longest_id_and_the_longest_tenant_are_taken() {
        let tollgate = start(&["--tenant-header", "X-Tenant"]);
        let (id, tenant) = ("c".repeat(128), "t".repeat(128));
        let path = format!("/v1/customers/{id}");
        let admin = format!("Bearer {ADMIN_TOKEN}");
        let as_tenant = [("authorization", admin.as_str()), ("tenant-id", &tenant)];
        assert_eq!(tollgate.operate_as(&as_tenant, "PUT", &path, Some(&json!({}))).status, 201);
        let headers = [("X-Customer-Id", id.as_str()), ("X-Tenant", &tenant)];
        assert_eq!(raw_reason(&tollgate, &headers), "active");
        assert_eq!(raw_reason(&tollgate, &headers[..1]), "customer_unknown");
    }

    const DIALECTS: [(&str, &str, &str); 2] = [
        ("/v1/forward-auth", "X-Forwarded-Method", "X-Forwarded-Uri"),
        ("/v1/nginx", "X-Original-Method", "X-Original-URI"),
    ];
}

mod undecided {
    use super::*;

    /// A Tollgate over a Redis that holds what nobody can read of `c1`, and an active `c2`.
    fn with_unreadable(more: &[&str]) -> (RedisServer, Tollgate) {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let tollgate = Tollgate::start(&[&["--store", url.as_str()], more].concat());
        put(&tollgate, "c2", &json!({}));
        redis(&url, &["SET", "tollgate:{0}:record:default:c1", "{\"format\":99,\"revision\":1}"]);
        (server, tollgate)
    }

    #[test]
    fn no_decision_is_503_so_that_the_gateways_own_failure_mode_decides() {
        let (_server, tollgate) = with_unreadable(&[]);
        let wire = Wire {
            reason: "store_unreachable",
            decision: "undecided",
            allowed: false,
            status: 503,
            nginx: 503,
            code: "STORE_UNREACHABLE",
        };
        for method in ["GET", "POST"] {
            assert_wires(&tollgate, "c1", method, &wire);
        }
        assert_eq!(reason(&forward(&tollgate, "POST", "c2")), "active");
    }

    #[test]
    fn no_decision_can_be_told_to_pass_and_still_says_that_it_is_none() {
        let (_server, tollgate) = with_unreadable(&["--when-undecided", "allow"]);
        let wire = Wire {
            reason: "store_unreachable",
            decision: "undecided",
            allowed: true,
            status: 200,
            nginx: 200,
            code: "",
        };
        assert_wires(&tollgate, "c1", "POST", &wire);
    }

    #[test]
    fn no_decision_can_be_told_to_refuse_with_403_and_its_own_reason() {
        let (_server, tollgate) = with_unreadable(&["--when-undecided", "deny"]);
        let wire = Wire {
            reason: "store_unreachable",
            decision: "undecided",
            allowed: false,
            status: 403,
            nginx: 403,
            code: "STORE_UNREACHABLE",
        };
        assert_wires(&tollgate, "c1", "POST", &wire);
    }

    #[test]
    fn a_store_that_hangs_leaves_the_unlisted_allowed_or_undecided_as_it_is_set() {
        for (setting, status, expected) in
            [("allow", 200, "not_restricted"), ("error", 503, "store_unreachable")]
        {
            let server = RedisServer::start(Flavor::Redis, Persistence::None);
            let url = server.url();
            let tollgate = Tollgate::start(&["--store", &url, "--when-unlisted", setting]);
            put(&tollgate, "known", &json!({}));
            act(&tollgate, "known", "disable", &json!({}));
            put(&tollgate, "held", &json!({}));
            assert_eq!(reason(&forward(&tollgate, "POST", "held")), "active");
            server.pause();
            let begun = Instant::now();
            let answer = forward(&tollgate, "POST", "cold");
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
            assert_eq!((answer.status, reason(&answer)), (status, expected));
            assert_eight(&answer);
            assert_eq!(reason(&forward(&tollgate, "GET", "known")), "customer_disabled");
            assert_eq!(reason(&forward(&tollgate, "POST", "held")), "active");
            // Whoever asks for a feature needs the record.
            let asks = json!({"customerId": "cold", "action": "read", "feature": "sso"});
            assert_eq!(tollgate.check(&asks).json()["reason"], "store_unreachable");
            let limits = tollgate.ask("GET", "/v1/customers/cold/limits", &[]);
            assert_eq!((limits.status, limits.code().as_str()), (503, "STORE_UNREACHABLE"));
            assert!(limits.header("retry-after").is_some(), "{limits:?}");
            server.resume();
        }
    }

    #[test]
    fn past_the_stale_limit_nobody_active_passes_and_the_restricted_stay_refused() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let flags = ["--heartbeat", "100ms", "--max-staleness", "300ms", "--stale-limit", "1500ms"];
        let tollgate = Tollgate::start(&[&["--store", url.as_str()][..], &flags].concat());
        put(&tollgate, "active", &json!({}));
        put(&tollgate, "disabled", &json!({}));
        act(&tollgate, "disabled", "disable", &json!({}));
        put(&tollgate, "frozen", &json!({}));
        act(&tollgate, "frozen", "freeze", &json!({}));
        assert_eq!(reason(&forward(&tollgate, "POST", "active")), "active");
        server.pause();
        tollgate.wait_until("stale", || {
            forward(&tollgate, "POST", "active").header("x-tollgate-stale") == Some("true")
        });
        tollgate.wait_until("too stale", || {
            let answer = forward(&tollgate, "POST", "active");
            assert!(matches!(reason(&answer), "active" | "too_stale"), "{answer:?}");
            reason(&answer) == "too_stale"
        });
        let wire = Wire {
            reason: "too_stale",
            decision: "undecided",
            allowed: false,
            status: 503,
            nginx: 503,
            code: "TOO_STALE",
        };
        assert_wires(&tollgate, "active", "POST", &wire);
        let refused = forward(&tollgate, "GET", "disabled");
        assert_eq!((refused.status, reason(&refused)), (403, "customer_disabled"));
        assert_eq!(refused.header("x-tollgate-stale"), Some("true"));
        assert_eq!(forward(&tollgate, "POST", "frozen").status, 423);
        assert_eq!(reason(&forward(&tollgate, "GET", "frozen")), "too_stale");
        server.resume();
        tollgate.wait_until("fresh", || reason(&forward(&tollgate, "POST", "active")) == "active");
    }

    #[test]
    fn more_lookups_at_once_than_are_good_for_the_store_are_undecided_at_once() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let flags = ["--fill-timeout", "500ms", "--when-unlisted", "error", "--heartbeat", "20s"];
        let tollgate = Tollgate::start(&[&["--store", url.as_str()][..], &flags].concat());
        server.pause();
        let mut connections: Vec<_> = (0..300).map(|_| Raw::connect(tollgate.check)).collect();
        for (number, connection) in connections.iter_mut().enumerate() {
            let id = format!("cold-{number}");
            connection.request("GET /v1/forward-auth HTTP/1.1", &[("X-Customer-Id", &id)]);
        }
        let answers: Vec<_> = connections.iter_mut().map(Raw::answer).collect();
        let of = |reason: &str| answers.iter().filter(|it| it.reason() == reason).count();
        assert!(answers.iter().all(|answer| answer.status == 503));
        assert!(of("overloaded") >= 1, "{}", of("store_unreachable"));
        assert_eq!(of("overloaded") + of("store_unreachable"), 300);
        server.resume();
    }
}

mod gateway_contract {
    use super::*;

    /// A frozen customer tells a read from a write.
    fn with_frozen(more: &[&str]) -> Tollgate {
        let tollgate = start(more);
        put(&tollgate, "c1", &json!({}));
        act(&tollgate, "c1", "freeze", &json!({}));
        tollgate
    }

    fn asked(tollgate: &Tollgate, path: &str, headers: &[(&str, &str)]) -> String {
        let mut all = vec![("X-Customer-Id", "c1")];
        all.extend_from_slice(headers);
        raw(tollgate.check, &format!("GET {path} HTTP/1.1"), &all).reason().to_owned()
    }

    #[test]
    fn every_method_is_taken_and_the_original_one_decides() {
        let tollgate = with_frozen(&[]);
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "X!"];
        for method in methods {
            for (path, name, uri) in [
                ("/v1/forward-auth", "X-Forwarded-Method", "X-Forwarded-Uri"),
                ("/v1/nginx", "X-Original-Method", "X-Original-URI"),
            ] {
                let mut headers = [("X-Customer-Id", "c1"), (name, "GET"), (uri, "/")];
                let line = format!("{method} {path} HTTP/1.1");
                let answer = raw(tollgate.check, &line, &headers);
                assert_eq!((answer.status, answer.reason()), (200, "frozen_read"), "{method}");
                headers[1].1 = method;
                let answer = raw(tollgate.check, &line, &headers);
                let expected = if matches!(method, "GET" | "OPTIONS") {
                    "frozen_read"
                } else {
                    "customer_frozen"
                };
                assert_eq!(answer.reason(), expected, "{method}");
            }
        }
    }

    #[test]
    fn a_head_gets_the_headers_and_no_body() {
        let tollgate = with_frozen(&[]);
        for (method, status) in [("GET", 200), ("POST", 423)] {
            let headers = [
                ("X-Customer-Id", "c1"),
                ("X-Forwarded-Method", method),
                ("X-Forwarded-Uri", "/"),
                ("Connection", "close"),
            ];
            let mut connection = Raw::connect(tollgate.check);
            let answer = connection.request("HEAD /v1/forward-auth HTTP/1.1", &headers).head();
            assert_eq!(answer.status, status);
            assert_eight_raw(&answer);
            assert!(connection.is_closed(), "a body follows");
        }
    }

    #[test]
    fn a_connect_is_answered_and_never_switches_protocols() {
        let tollgate = with_frozen(&[]);
        let headers = [("X-Customer-Id", "c1"), ("Connection", "close")];
        let mut connection = Raw::connect(tollgate.check);
        let answer = connection.request("CONNECT /v1/forward-auth HTTP/1.1", &headers).head();
        assert_eq!((answer.status, answer.reason()), (423, "customer_frozen"));
        let upgrade = [
            ("X-Customer-Id", "c1"),
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Uri", "/socket"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        let answer = raw(tollgate.check, "GET /v1/forward-auth HTTP/1.1", &upgrade);
        assert_eq!((answer.status, answer.reason()), (423, "customer_frozen"));
        act(&tollgate, "c1", "unfreeze", &json!({}));
        let answer = raw(tollgate.check, "GET /v1/forward-auth HTTP/1.1", &upgrade);
        assert_eq!((answer.status, answer.reason()), (200, "active"));
        assert_eq!(answer.header("content-length"), Some("0"));
    }

    #[test]
    fn a_body_that_is_promised_and_never_comes_is_not_waited_for() {
        let tollgate = with_frozen(&[]);
        for (method, status) in [("GET", 200), ("POST", 423)] {
            for body in [("Content-Length", "11"), ("Transfer-Encoding", "chunked")] {
                let headers = [
                    ("X-Customer-Id", "c1"),
                    ("X-Forwarded-Method", method),
                    ("X-Forwarded-Uri", "/"),
                    body,
                ];
                let mut connection = Raw::connect(tollgate.check);
                let line = "POST /v1/forward-auth HTTP/1.1";
                let begun = Instant::now();
                let answer = connection.request(line, &headers).answer();
                assert_eq!(answer.status, status);
                assert_eight_raw(&answer);
                assert!(connection.is_closed(), "the connection stays open");
                assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
            }
        }
    }

    #[test]
    fn an_expectation_is_ignored() {
        let tollgate = with_frozen(&[]);
        let headers = [
            ("X-Customer-Id", "c1"),
            ("X-Original-Method", "POST"),
            ("X-Original-URI", "/"),
            ("Expect", "100-continue"),
            ("Content-Length", "100000"),
        ];
        let answer = raw(tollgate.check, "POST /v1/nginx HTTP/1.1", &headers);
        assert_eq!((answer.status, answer.reason()), (403, "customer_frozen"));
        assert_eq!(answer.header("x-tollgate-code"), Some("423"));
    }

    #[test]
    fn a_dialect_reads_only_its_own_gateways_headers() {
        let tollgate = with_frozen(&[]);
        let forwarded = [("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/")];
        let original = [("X-Original-Method", "GET"), ("X-Original-URI", "/")];
        let rewritten = [("X-Original-Method", "GET"), ("X-Original-URL", "http://h/")];
        for (path, own, foreign) in
            [("/v1/forward-auth", forwarded, original), ("/v1/nginx", original, forwarded)]
        {
            assert_eq!(asked(&tollgate, path, &own), "frozen_read");
            assert_eq!(asked(&tollgate, path, &foreign), "customer_frozen");
            assert_eq!(asked(&tollgate, path, &rewritten), "customer_frozen");
            // A client's copy of another gateway's headers changes nothing.
            let posted = [(foreign[0].0, "POST"), (foreign[1].0, "/%2e%2e")];
            assert_eq!(asked(&tollgate, path, &[own, posted].concat()), "frozen_read");
            // Half of it, or the other half from elsewhere, is not enough.
            assert_eq!(asked(&tollgate, path, &own[..1]), "customer_frozen");
            assert_eq!(asked(&tollgate, path, &own[1..]), "customer_frozen");
            assert_eq!(asked(&tollgate, path, &[own[0], foreign[1]]), "customer_frozen");
            // Said twice, even alike, is not said.
            assert_eq!(asked(&tollgate, path, &[own[0], own[0], own[1]]), "customer_frozen");
            assert_eq!(asked(&tollgate, path, &[own[0], own[1], own[1]]), "customer_frozen");
            // Comma-joined is no method.
            let joined = [(own[0].0, "GET, GET"), own[1]];
            assert_eq!(asked(&tollgate, path, &joined), "customer_frozen");
        }
    }

    #[test]
    fn the_query_of_the_asking_url_and_the_method_of_the_call_decide_nothing() {
        let tollgate = with_frozen(&[]);
        let own = [("X-Forwarded-Method", "POST"), ("X-Forwarded-Uri", "/")];
        let path = "/v1/forward-auth?X-Customer-Id=c2&X-Forwarded-Method=GET&customerId=c2";
        assert_eq!(asked(&tollgate, path, &own), "customer_frozen");
        let nobody = raw(tollgate.check, &format!("GET {path} HTTP/1.1"), &own);
        assert_eq!((nobody.status, nobody.reason()), (401, "customer_missing"));
    }

    #[test]
    fn only_get_head_and_options_as_they_are_written_are_reads() {
        let tollgate = with_frozen(&[]);
        for (method, expected) in [
            ("GET", "frozen_read"),
            ("HEAD", "frozen_read"),
            ("OPTIONS", "frozen_read"),
            ("get", "customer_frozen"),
            ("GETX", "customer_frozen"),
            ("TRACE", "customer_frozen"),
            ("QUERY", "customer_frozen"),
            ("", "customer_frozen"),
        ] {
            let headers = [("X-Forwarded-Method", method), ("X-Forwarded-Uri", "/")];
            assert_eq!(asked(&tollgate, "/v1/forward-auth", &headers), expected, "{method}");
        }
    }

    #[test]
    fn an_upgrade_or_a_method_override_makes_a_read_a_write() {
        let tollgate = with_frozen(&[]);
        for more in [
            ("Upgrade", "websocket"),
            ("upgrade", "h2c"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("x-http-method-override", "GET"),
            ("X-HTTP-Method", "PUT"),
            ("X-Method-Override", ""),
        ] {
            for (path, method, uri) in [
                ("/v1/forward-auth", "X-Forwarded-Method", "X-Forwarded-Uri"),
                ("/v1/nginx", "X-Original-Method", "X-Original-URI"),
            ] {
                let headers = [(method, "GET"), (uri, "/"), more];
                assert_eq!(asked(&tollgate, path, &headers), "customer_frozen", "{more:?}");
            }
        }
    }

    #[test]
    fn a_path_that_hides_part_of_itself_is_judged_as_a_write() {
        let tollgate = with_frozen(&[]);
        let hidden = [
            "/a%2fb",
            "/a%2Fb",
            "/%2e%2e/x",
            "/%2E/x",
            "/.%2e/x",
            "/a%5cb",
            "/a%5Cb",
            "/a%00",
            "/a;b",
            "/a\\b",
            "http://host/%2e%2e/a",
        ];
        for target in hidden {
            let headers = [("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", target)];
            assert_eq!(
                asked(&tollgate, "/v1/forward-auth", &headers),
                "customer_frozen",
                "{target}"
            );
            let asks = json!({"customerId": "c1", "method": "GET", "path": target});
            assert_eq!(tollgate.check(&asks).json()["reason"], "customer_frozen", "{target}");
        }
        for target in
            ["/", "/a/../b", "//a", "/a%20b", "/a?x=%2f..%2f;", "/caf%C3%A9", "https://h/a?b"]
        {
            let headers = [("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", target)];
            assert_eq!(asked(&tollgate, "/v1/forward-auth", &headers), "frozen_read", "{target}");
            let asks = json!({"customerId": "c1", "method": "GET", "path": target});
            assert_eq!(tollgate.check(&asks).json()["reason"], "frozen_read", "{target}");
        }
    }

    #[test]
    fn two_customers_are_nobody_even_when_they_are_the_same() {
        let tollgate = start(&["--unknown-customers", "allow"]);
        put(&tollgate, "c1", &json!({}));
        for ids in [["c1", "c1"], ["c1", "c2"], ["", "c1"], ["c1", ""]] {
            let headers = ids.map(|id| ("X-Customer-Id", id));
            let answer = raw(tollgate.check, "GET /v1/forward-auth HTTP/1.1", &headers);
            assert_eq!((answer.status, answer.reason()), (400, "customer_ambiguous"), "{ids:?}");
            assert_eight_raw(&answer);
            let nginx = raw(tollgate.check, "GET /v1/nginx HTTP/1.1", &headers);
            assert_eq!((nginx.status, nginx.header("x-tollgate-code")), (403, Some("400")));
        }
    }

    #[test]
    fn the_tenant_is_read_only_from_the_header_that_is_configured() {
        let off = start(&[]);
        put(&off, "c1", &json!({}));
        let named = [("X-Customer-Id", "c1"), ("Tenant-ID", "acme"), ("X-Tenant", "acme")];
        assert_eq!(raw_reason(&off, &named), "active");

        let on = start(&["--tenant-header", "X-Tenant"]);
        put(&on, "c1", &json!({}));
        let admin = format!("Bearer {ADMIN_TOKEN}");
        let acme = [("authorization", admin.as_str()), ("tenant-id", "acme")];
        assert_eq!(on.operate_as(&acme, "PUT", "/v1/customers/c1", Some(&json!({}))).status, 201);
        let body = json!({});
        let disabled = on.operate_as(&acme, "POST", "/v1/customers/c1/disable", Some(&body));
        assert_eq!(disabled.status, 200);
        let customer = ("X-Customer-Id", "c1");
        assert_eq!(raw_reason(&on, &[customer]), "active");
        assert_eq!(raw_reason(&on, &[customer, ("X-Tenant", "acme")]), "customer_disabled");
        assert_eq!(raw_reason(&on, &[customer, ("x-tenant", "other")]), "customer_unknown");
        let twice = [customer, ("X-Tenant", "acme"), ("X-Tenant", "default")];
        assert_eq!(raw_reason(&on, &twice), "customer_ambiguous");
        // The limits endpoint reads the same header.
        let of = |tenant: &[(&str, &str)]| on.ask("GET", "/v1/customers/c1/limits", tenant).json();
        assert_eq!(of(&[])["status"], "active");
        assert_eq!(of(&[("X-Tenant", "acme")])["status"], "disabled");
        assert_eq!(of(&[("Tenant-ID", "acme")])["tenantId"], "default");
    }

    #[test]
    fn without_a_default_tenant_one_must_be_named() {
        let flags = ["--tenant-header", "X-Tenant", "--default-tenant", "off"];
        let tollgate = start(&flags);
        let admin = format!("Bearer {ADMIN_TOKEN}");
        let acme = [("authorization", admin.as_str()), ("tenant-id", "acme")];
        let made = tollgate.operate_as(&acme, "PUT", "/v1/customers/c1", Some(&json!({})));
        assert_eq!(made.status, 201);
        let customer = ("X-Customer-Id", "c1");
        assert_eq!(raw_reason(&tollgate, &[customer]), "customer_malformed");
        assert_eq!(raw_reason(&tollgate, &[customer, ("X-Tenant", "")]), "customer_malformed");
        assert_eq!(raw_reason(&tollgate, &[customer, ("X-Tenant", "acme")]), "active");
        let nameless = tollgate.check(&question("c1", "read"));
        assert_eq!((nameless.status, nameless.code().as_str()), (400, "CUSTOMER_MALFORMED"));
        let named = json!({"customerId": "c1", "tenantId": "acme", "action": "read"});
        assert_eq!(tollgate.check(&named).json()["reason"], "active");
        let limits = tollgate.ask("GET", "/v1/customers/c1/limits", &[]);
        assert_eq!((limits.status, limits.code().as_str()), (400, "CUSTOMER_MALFORMED"));
        let operated = tollgate.operate("GET", "/v1/customers/c1", None);
        assert_eq!((operated.status, operated.code().as_str()), (400, "VALIDATION_ERROR"));
        assert!(operated.body.contains("Tenant-ID"), "{operated:?}");
    }

    #[test]
    fn another_header_can_name_the_customer_and_then_it_alone_does() {
        let tollgate = start(&["--customer-header", "X_Account"]);
        put(&tollgate, "c1", &json!({}));
        assert_eq!(raw_reason(&tollgate, &[("x_account", "c1")]), "active");
        assert_eq!(raw_reason(&tollgate, &[("X-Customer-Id", "c1")]), "customer_missing");
    }

    #[test]
    fn forged_answers_in_the_request_never_come_back() {
        let tollgate = with_frozen(&[]);
        let mut headers = vec![("X-Customer-Id", "c1")];
        headers.extend(EIGHT.map(|name| (name, "forged")));
        headers.extend([("X-Tollgate-Code", "200"), ("X-Tollgate-Body", "forged")]);
        for path in ["/v1/forward-auth", "/v1/nginx"] {
            let answer = raw(tollgate.check, &format!("GET {path} HTTP/1.1"), &headers);
            assert_eight_raw(&answer);
            assert!(!answer.head.contains("forged"), "{answer:?}");
        }
    }

    #[test]
    fn no_other_planes_url_is_on_the_check_listener() {
        let tollgate = with_frozen(&[]);
        let admin = format!("Bearer {ADMIN_TOKEN}");
        let headers = [("X-Customer-Id", "c1"), ("Authorization", admin.as_str())];
        let paths = [
            "/livez",
            "/readyz",
            "/metrics",
            "/status",
            "/v1/customers",
            "/v1/customers/c1",
            "/v1/customers/c1/audit",
            "/v1/audit",
            "/v1/keys",
            "/openapi.json",
            "/",
            "/v1/check/../customers",
            "/v1/forward-auth/../../metrics",
            "/v1/forward-auth/../check",
            "/v1/forward-auth/",
            "//v1/forward-auth",
            "/v1/forward-auth/x",
            "/v1/nginx/..",
            "/v1/%66orward-auth",
            "/V1/forward-auth",
            "/v1/forward-auth%2f..%2fcheck",
        ];
        for path in paths {
            for method in ["GET", "POST"] {
                let answer = raw(tollgate.check, &format!("{method} {path} HTTP/1.1"), &headers);
                assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
                assert_eq!(answer.json()["error"]["code"], "NOT_FOUND", "{path}");
            }
        }
        let frozen = json!({"action": "unfreeze"}).to_string();
        let acted =
            http(tollgate.check, "POST", "/v1/customers/c1/unfreeze", &headers, Some(&frozen));
        assert_eq!(acted.status, 404);
        assert_eq!(tollgate.reason_to_write("c1"), "customer_frozen");
    }

    #[test]
    fn no_data_plane_url_is_on_the_admin_listener() {
        let tollgate = start(&[]);
        for path in ["/v1/forward-auth", "/v1/check", "/v1/customers", "/v1/keys"] {
            assert_eq!(http(tollgate.admin, "GET", path, &[], None).status, 404, "{path}");
        }
    }
}

mod sockets {
    use super::*;

    fn frozen(more: &[&str]) -> Tollgate {
        let tollgate = start(more);
        put(&tollgate, "c1", &json!({}));
        act(&tollgate, "c1", "freeze", &json!({}));
        tollgate
    }

    const READ: [(&str, &str); 3] =
        [("X-Customer-Id", "c1"), ("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/")];

    #[test]
    fn a_unix_socket_serves_with_the_mode_that_was_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        for (mode, bits) in [(&[][..], 0o660), (&["--check-socket-mode", "0606"][..], 0o606)] {
            let path = directory.path().join(format!("socket-{bits}"));
            let flags = [&["--check-socket", path.to_str().unwrap()][..], mode].concat();
            let tollgate = frozen(&flags);
            let kept = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(kept, bits, "{kept:o}");
            let mut connection = Raw::connect_unix(&path);
            let answer = connection.request("GET /v1/forward-auth HTTP/1.1", &READ).answer();
            assert_eq!((answer.status, answer.reason()), (200, "frozen_read"));
            assert_eight_raw(&answer);
            assert_eq!(tollgate.ask("GET", "/v1/forward-auth", &READ).status, 200);
        }
    }

    #[test]
    fn a_unix_socket_alone_is_enough() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let mut serving = raw::Running::start(
            serve(
                directory.path(),
                &[
                    "--store",
                    "memory:",
                    "--check-listen",
                    "off",
                    "--check-socket",
                    path.to_str().unwrap(),
                ],
            )
            .env_remove("TOLLGATE_ADMIN_TOKEN"),
        );
        assert!(serving.read_until("first operator key").is_some());
        let mut connection = Raw::connect_unix(&path);
        let answer = connection.request("GET /v1/forward-auth HTTP/1.1", &READ).answer();
        assert_eq!((answer.status, answer.reason()), (403, "customer_unknown"));
        assert_eq!(serving.terminate(), Some(0));
    }

    #[test]
    fn a_socket_file_that_a_dead_process_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let flags = ["--check-socket", path.to_str().unwrap()];
        let mut first = frozen(&flags);
        first.kill9();
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
        let _second = frozen(&flags);
        let mut connection = Raw::connect_unix(&path);
        let answer = connection.request("GET /v1/forward-auth HTTP/1.1", &READ).answer();
        assert_eq!(answer.reason(), "frozen_read");
    }

    #[test]
    fn http_2_with_prior_knowledge_is_spoken_on_the_same_port_and_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let tollgate = frozen(&["--check-socket", path.to_str().unwrap()]);
        let url = format!("http://{}/v1/forward-auth", tollgate.check);
        for more in [&[][..], &["--unix-socket", path.to_str().unwrap()][..]] {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--max-time", "10", "--http2-prior-knowledge", "--include"])
                .args(more)
                .args(
                    READ.iter()
                        .flat_map(|(name, value)| ["-H".to_owned(), format!("{name}: {value}")]),
                )
                .arg(&url);
            let answered = String::from_utf8(curl.output().unwrap().stdout).unwrap();
            let heads: Vec<_> = answered.split("HTTP/2 200").skip(1).collect();
            assert_eq!(heads.len(), 1, "{answered}");
            for head in heads {
                assert!(head.contains("x-tollgate-reason: frozen_read"), "{answered}");
                assert!(head.contains("content-length: 0"), "{answered}");
                for name in EIGHT {
                    assert!(head.contains(&format!("{name}: ")), "{name} in {answered}");
                }
            }
        }
        // And nginx's naive POST, whose body never comes, on HTTP/1.1 of the same port.
        assert_eq!(tollgate.ask("GET", "/v1/forward-auth", &READ).status, 200);
    }

    #[test]
    fn http_2_refuses_writes_with_status_and_body() {
        let tollgate = frozen(&[]);
        let url = format!("http://{}/v1/forward-auth", tollgate.check);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "10", "--http2-prior-knowledge", "--include"])
            .args(["-H", "X-Customer-Id: c1", "-H", "X-Forwarded-Method: POST"])
            .args(["-H", "X-Forwarded-Uri: /", &url]);
        let answered = String::from_utf8(curl.output().unwrap().stdout).unwrap();
        assert!(answered.starts_with("HTTP/2 423"), "{answered}");
        let body = answered.split("\r\n\r\n").nth(1).unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], "CUSTOMER_FROZEN");
    }

    #[test]
    fn http_1_0_is_answered_and_the_connection_closed() {
        let tollgate = frozen(&[]);
        let mut connection = Raw::connect(tollgate.check);
        let head = "GET /v1/nginx HTTP/1.0\r\nX-Customer-Id: c1\r\nX-Original-Method: GET\r\n\
                    X-Original-URI: /\r\nConnection: close\r\n\r\n";
        let answer = connection.send(head).answer();
        assert_eq!((answer.status, answer.reason()), (200, "frozen_read"));
        assert_eight_raw(&answer);
        assert!(connection.is_closed());
    }

    #[test]
    fn a_connection_is_kept_through_passes_denies_and_errors() {
        let tollgate = frozen(&[]);
        let mut connection = Raw::connect(tollgate.check);
        for _ in 0..3 {
            let read = connection.request("GET /v1/forward-auth HTTP/1.1", &READ).answer();
            assert_eq!(read.status, 200);
            let write = [("X-Customer-Id", "c1"), ("X-Original-Method", "POST")];
            let write = connection.request("GET /v1/nginx HTTP/1.1", &write).answer();
            assert_eq!(write.status, 403);
            let frozen = connection.request("GET /v1/forward-auth HTTP/1.1", &READ[..1]).answer();
            assert_eq!((frozen.status, frozen.reason()), (423, "customer_frozen"));
            assert_eq!(
                connection.request("GET /v1/forward-auth HTTP/1.1", &[]).answer().status,
                401
            );
            assert_eq!(connection.request("GET /nothing HTTP/1.1", &[]).answer().status, 404);
            let hop = [
                READ[0],
                READ[1],
                READ[2],
                ("Connection", "keep-alive, X-Customer-Id"),
                ("TE", "trailers"),
            ];
            let hop = connection.request("GET /v1/forward-auth HTTP/1.1", &hop).answer();
            assert_eq!(hop.reason(), "frozen_read");
        }
    }

    #[test]
    fn header_names_are_taken_in_any_case_and_the_host_is_any() {
        let tollgate = frozen(&[]);
        let head = "GET /v1/forward-auth HTTP/1.1\r\nHOST: ~any thing~\r\nx-CUSTOMER-id:   c1  \r\n\
                    X-FORWARDED-METHOD: GET\r\nx-forwarded-uri: /\r\n\r\n";
        let answer = Raw::connect(tollgate.check).send(head).answer();
        assert_eq!((answer.status, answer.reason()), (200, "frozen_read"));
    }

    #[test]
    fn headers_of_64_kilobytes_pass_and_more_are_refused() {
        let tollgate = frozen(&[]);
        let ask = |filler: usize| {
            let cookie = "x".repeat(filler / 8);
            let mut headers = READ.to_vec();
            headers.extend((0..8).map(|_| ("Cookie", cookie.as_str())));
            Raw::connect(tollgate.check)
                .request("GET /v1/forward-auth HTTP/1.1", &headers)
                .refusal()
        };
        assert_eq!(ask(64 * 1024), Some(200));
        for filler in [200 * 1024, 1024 * 1024] {
            let status = ask(filler);
            assert!(matches!(status, None | Some(400 | 431)), "{status:?} for {filler}");
        }
        assert_eq!(tollgate.ask("GET", "/v1/forward-auth", &READ).status, 200);
    }

    #[test]
    fn two_hundred_and_fifty_header_lines_pass() {
        let tollgate = frozen(&[]);
        let names: Vec<_> = (0..250).map(|number| format!("X-Header-{number}")).collect();
        let more = names.iter().map(|name| (name.as_str(), "value"));
        let headers: Vec<_> = READ.into_iter().chain(more).collect();
        let answer = raw(tollgate.check, "GET /v1/forward-auth HTTP/1.1", &headers);
        assert_eq!((answer.status, answer.reason()), (200, "frozen_read"));
    }

    #[test]
    fn what_is_no_http_is_refused_and_harms_nobody() {
        let tollgate = frozen(&[]);
        for garbage in [
            "\u{16}\u{3}\u{1}\r\n\r\n",
            "GET\r\n\r\n",
            "GET / HTTP/9.9\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nXX",
        ] {
            let mut connection = Raw::connect(tollgate.check);
            connection.send(garbage);
            drop(connection);
        }
        // Two lengths that differ would be two requests to somebody.
        let smuggled = "POST /v1/check HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ";
        let answer = Raw::connect(tollgate.check).send(smuggled).head();
        assert_eq!(answer.status, 400);
        assert_eq!(tollgate.ask("GET", "/v1/forward-auth", &READ).status, 200);
    }
}

mod time {
    use super::*;

    fn now_plus(span: Duration) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let millis = i64::try_from((now + span).as_millis()).unwrap();
        tollgate::domain::Timestamp::from_millis(millis).to_string()
    }

    #[test]
    fn a_freeze_lifts_itself_at_its_end_and_the_limits_tag_changes() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let until = now_plus(Duration::from_millis(700));
        act(&tollgate, "c1", "freeze", &json!({"until": until}));
        assert_eq!(tollgate.reason_to_write("c1"), "customer_frozen");
        let limits = tollgate.ask("GET", "/v1/customers/c1/limits", &[]);
        let tag = limits.header("etag").unwrap().to_owned();
        assert_eq!(limits.json()["restrictions"][0]["until"], until.as_str());
        let unchanged = tollgate.ask("GET", "/v1/customers/c1/limits", &[("If-None-Match", &tag)]);
        assert_eq!(unchanged.status, 304);
        let revision = limits.json()["revision"].clone();
        tollgate.wait_until("lifted", || tollgate.reason_to_write("c1") == "active");
        assert_eq!(reason(&nginx(&tollgate, "POST", "c1")), "active");
        let lifted = tollgate.ask("GET", "/v1/customers/c1/limits", &[("If-None-Match", &tag)]);
        assert_eq!(lifted.status, 200);
        assert_ne!(lifted.header("etag"), Some(tag.as_str()));
        assert_eq!(lifted.json()["status"], "active");
        assert_eq!(lifted.json()["frozen"], false);
        assert_eq!(lifted.json()["restrictions"], json!([]));
        assert_eq!(lifted.json()["revision"], revision, "nothing was written for it");
    }

    #[test]
    fn a_restriction_with_a_start_in_the_future_is_scheduled_and_then_bites() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let since = now_plus(Duration::from_millis(700));
        let acted = act(&tollgate, "c1", "disable", &json!({"since": since, "reason": "fraud"}));
        assert_eq!(acted["status"], "active");
        assert_eq!(acted["remaining"], json!([]));
        assert_eq!(tollgate.reason_to_write("c1"), "active");
        let limits = tollgate.ask("GET", "/v1/customers/c1/limits", &[]);
        let tag = limits.header("etag").unwrap().to_owned();
        let limits = limits.json();
        assert_eq!(limits["restrictions"], json!([]));
        assert_eq!(limits["scheduled"][0]["kind"], "disabled");
        assert_eq!(limits["scheduled"][0]["reason"], "other");
        assert_eq!(limits["disabled"], false);
        tollgate.wait_until("bites", || tollgate.reason_to_write("c1") == "customer_disabled");
        let now = tollgate.ask("GET", "/v1/customers/c1/limits", &[("If-None-Match", &tag)]);
        assert_eq!((now.status, &now.json()["scheduled"]), (200, &json!([])));
        assert_eq!(now.json()["disabled"], true);
    }

    #[test]
    fn a_stricter_restriction_that_ends_leaves_the_milder_one_in_force() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        act(&tollgate, "c1", "freeze", &json!({"source": "wingback"}));
        let until = now_plus(Duration::from_millis(700));
        act(&tollgate, "c1", "disable", &json!({"until": until}));
        assert_eq!(reason(&forward(&tollgate, "GET", "c1")), "customer_disabled");
        tollgate.wait_until("milder", || reason(&forward(&tollgate, "GET", "c1")) == "frozen_read");
        assert_eq!(reason(&forward(&tollgate, "POST", "c1")), "customer_frozen");
    }
}

mod entitlements {
    use super::*;

    fn ask(tollgate: &Tollgate, more: &Value) -> String {
        let mut asks = question("c1", "read");
        asks.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = tollgate.check(&asks);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["reason"].as_str().unwrap().to_owned()
    }

    #[test]
    fn what_no_source_has_said_is_undecided_and_what_is_said_decides() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        assert_eq!(ask(&tollgate, &json!({"feature": "sso"})), "entitlement_unknown");
        assert_eq!(ask(&tollgate, &json!({"limit": {"code": "seats"}})), "entitlement_unknown");
        put(&tollgate, "c1", &json!({"features": ["sso"]}));
        assert_eq!(ask(&tollgate, &json!({"feature": "sso"})), "active");
        assert_eq!(ask(&tollgate, &json!({"feature": "export"})), "feature_missing");
        put(&tollgate, "c1", &json!({"features": []}));
        assert_eq!(ask(&tollgate, &json!({"feature": "sso"})), "feature_missing");
        put(&tollgate, "c1", &json!({"features": null}));
        assert_eq!(ask(&tollgate, &json!({"feature": "sso"})), "entitlement_unknown");
    }

    #[test]
    fn a_total_is_compared_with_the_limit() {
        let tollgate = start(&[]);
        put(
            &tollgate,
            "c1",
            &json!({"limits": {"seats": {"max": 25}, "calls": {"max": "unlimited"}, "none": {"max": 0}}}),
        );
        for (code, value, expected) in [
            ("seats", 25, "active"),
            ("seats", 26, "limit_exceeded"),
            ("seats", 0, "active"),
            ("none", 0, "active"),
            ("none", 1, "limit_exceeded"),
            ("calls", u64::MAX, "active"),
            ("storage", 1, "feature_missing"),
        ] {
            let asks = json!({"limit": {"code": code, "value": value}});
            assert_eq!(ask(&tollgate, &asks), expected, "{code} {value}");
        }
    }

    #[test]
    fn without_a_total_it_is_asked_whether_there_is_room() {
        let tollgate = start(&[]);
        let room = json!({"limit": {"code": "seats"}});
        let limits = |limit: Value| {
            put(&tollgate, "c1", &json!({"limits": {"seats": limit}}));
            ask(&tollgate, &room)
        };
        assert_eq!(limits(json!({"max": 25})), "entitlement_unknown");
        assert_eq!(limits(json!({"max": 25, "used": 24})), "active");
        assert_eq!(limits(json!({"max": 25, "used": 25})), "limit_exceeded");
        assert_eq!(limits(json!({"max": 25, "used": 99})), "limit_exceeded");
        assert_eq!(limits(json!({"max": "unlimited"})), "active");
        assert_eq!(limits(json!({"max": 0, "used": 0})), "limit_exceeded");
        let old = "2026-01-01T00:00:00Z";
        assert_eq!(limits(json!({"max": 25, "used": 1, "usedAt": old})), "entitlement_unknown");
    }

    #[test]
    fn how_old_a_use_may_be_is_a_setting() {
        let tollgate = start(&["--max-used-age", "200000d"]);
        let old = "1990-01-01T00:00:00Z";
        put(&tollgate, "c1", &json!({"limits": {"seats": {"max": 25, "used": 1, "usedAt": old}}}));
        assert_eq!(ask(&tollgate, &json!({"limit": {"code": "seats"}})), "active");
    }

    #[test]
    fn a_restriction_comes_before_the_feature_and_the_feature_before_the_limit() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({"features": ["sso"], "limits": {"seats": {"max": 1}}}));
        let both = json!({"feature": "export", "limit": {"code": "seats", "value": 2}});
        assert_eq!(ask(&tollgate, &both), "feature_missing");
        let limit = json!({"feature": "sso", "limit": {"code": "seats", "value": 2}});
        assert_eq!(ask(&tollgate, &limit), "limit_exceeded");
        act(&tollgate, "c1", "freeze", &json!({}));
        assert_eq!(ask(&tollgate, &both), "feature_missing");
        assert_eq!(ask(&tollgate, &json!({"feature": "sso"})), "frozen_read");
        act(&tollgate, "c1", "disable", &json!({}));
        assert_eq!(ask(&tollgate, &both), "customer_disabled");
        act(&tollgate, "c1", "enable", &json!({}));
        act(&tollgate, "c1", "unfreeze", &json!({}));
        assert_eq!(ask(&tollgate, &both), "feature_missing");
    }
}

mod revisions {
    use super::*;

    fn at_least(customer: &str, revision: &str) -> Value {
        json!({"customerId": customer, "action": "write", "minRevision": revision})
    }

    #[test]
    fn a_change_is_answered_at_its_own_revision_or_later() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let revision = act(&tollgate, "c1", "freeze", &json!({}))["revision"].clone();
        let answer = tollgate.check(&at_least("c1", revision.as_str().unwrap())).json();
        assert_eq!(
            (&answer["reason"], &answer["revision"]),
            (&json!("customer_frozen"), &revision)
        );
        let revision = act(&tollgate, "c1", "unfreeze", &json!({}))["revision"].clone();
        let answer = tollgate.check(&at_least("c1", revision.as_str().unwrap())).json();
        assert_eq!((&answer["reason"], &answer["revision"]), (&json!("active"), &revision));
    }

    #[test]
    fn a_revision_that_does_not_come_is_undecided_but_a_known_restriction_still_denies() {
        let tollgate = start(&[]);
        let made = put(&tollgate, "c1", &json!({}));
        let revision = made["revision"].as_str().unwrap().to_owned();
        let (epoch, counted) = revision.split_once(':').unwrap();
        let (partition, number) = counted.split_once('.').unwrap();
        let later = number.parse::<u64>().unwrap() + 1000;
        let unreachable = [
            format!("{epoch}:{partition}.{later}"),
            format!("another:{partition}.1"),
            format!("{epoch}:7.1"),
        ];
        for token in &unreachable {
            let answer = tollgate.check(&at_least("c1", token));
            assert_eq!(answer.json()["reason"], "revision_not_reached", "{token}");
            assert_eq!(answer.json()["decision"], "undecided");
            assert_eq!(answer.json()["allowed"], false);
            assert_eight(&answer);
            let nobody = tollgate.check(&at_least("nobody", token)).json();
            assert_eq!(nobody["reason"], "revision_not_reached", "{token}");
        }
        act(&tollgate, "c1", "disable", &json!({}));
        for token in &unreachable {
            let answer = tollgate.check(&at_least("c1", token)).json();
            assert_eq!(answer["reason"], "customer_disabled", "{token}");
        }
    }

    #[test]
    fn a_revision_that_is_no_token_is_refused() {
        let tollgate = start(&[]);
        for token in ["", "42", "k3f9:0", "k3f9:0.x"] {
            let answer = tollgate.check(&at_least("c1", token));
            assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION_ERROR"));
            assert_eq!(answer.json()["error"]["details"][0]["path"], "minRevision");
        }
    }

    #[test]
    fn on_gateway_dialects_the_header_that_is_configured_asks_for_a_revision() {
        let tollgate = start(&["--min-revision-header", "X-Min-Revision"]);
        put(&tollgate, "c1", &json!({}));
        let frozen = act(&tollgate, "c1", "freeze", &json!({}))["revision"].clone();
        let revision = act(&tollgate, "c1", "unfreeze", &json!({}))["revision"].clone();
        let (frozen, revision) = (frozen.as_str().unwrap(), revision.as_str().unwrap());
        let beyond = format!("{revision}0");
        let two = format!("{revision},{revision}");
        let ask = |asked: &[&str]| {
            let lines = asked.iter().map(|it| ("X-Min-Revision", *it));
            let customer = [("X-Customer-Id", "c1")].into_iter();
            let headers: Vec<_> = customer.chain(lines).collect();
            let answers = ["forward-auth", "nginx"].map(|dialect| {
                raw(tollgate.check, &format!("GET /v1/{dialect} HTTP/1.1"), &headers)
            });
            answers.iter().for_each(assert_eight_raw);
            answers.map(|answer| (answer.status, answer.reason().to_owned()))
        };
        let reached = [&[][..], &[""], &[revision], &[frozen]];
        let beyond = [&["42"][..], &[&beyond], &["another:0.1"], &[&two], &[revision, revision]];
        for asked in reached {
            let active = || (200, "active".to_owned());
            assert_eq!(ask(asked), [active(), active()], "{asked:?}");
        }
        for asked in beyond {
            let undecided = || (503, "revision_not_reached".to_owned());
            assert_eq!(ask(asked), [undecided(), undecided()], "{asked:?}");
        }
        act(&tollgate, "c1", "disable", &json!({}));
        for asked in reached.into_iter().chain(beyond) {
            let denied = || (403, "customer_disabled".to_owned());
            assert_eq!(ask(asked), [denied(), denied()], "{asked:?}");
        }
    }

    #[test]
    fn limits_stand_on_the_revision_that_is_asked_for_or_say_that_they_cannot() {
        let tollgate = start(&["--min-revision-header", "X-Min-Revision"]);
        let revision = put(&tollgate, "c1", &json!({}))["revision"].clone();
        let revision = revision.as_str().unwrap();
        let beyond = format!("{revision}0");
        let path = "/v1/customers/c1/limits";
        let ask = |query: &str, header: &str| {
            let headers = [("X-Min-Revision", header)];
            let answer = tollgate.ask("GET", &format!("{path}{query}"), &headers);
            let by_operator = tollgate.operate("GET", &format!("{path}{query}"), None);
            assert!(!header.is_empty() || answer.status == by_operator.status, "{by_operator:?}");
            answer
        };
        let query = |token: &str| format!("?minRevision={token}");
        for answer in [ask(&query(revision), ""), ask("", revision), ask(&query(revision), &beyond)]
        {
            assert_eq!((answer.status, answer.json()["revision"].as_str()), (200, Some(revision)));
        }
        for answer in [ask(&query(&beyond), ""), ask("", &beyond), ask(&query(&beyond), revision)] {
            let told = (answer.status, answer.code());
            assert_eq!(told, (503, "REVISION_NOT_REACHED".to_owned()));
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        for (answer, named) in [
            (ask("?minRevision=42", ""), "minRevision"),
            (ask("?minRevision=", ""), "minRevision"),
            (ask("?minrevision=42", ""), "minrevision"),
            (ask("", "42"), "x-min-revision"),
        ] {
            assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION_ERROR"));
            assert_eq!(answer.json()["error"]["details"][0]["path"], named);
        }
        let nobody = format!("/v1/customers/nobody/limits?minRevision={revision}");
        assert_eq!(tollgate.ask("GET", &nobody, &[]).code(), "CUSTOMER_UNKNOWN");
    }

    #[test]
    fn on_gateway_dialects_no_header_asks_for_a_revision() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let headers = [("X-Customer-Id", "c1"), ("X-Min-Revision", "another:0.9")];
        assert_eq!(raw_reason(&tollgate, &headers), "active");
    }
}

mod questions {
    use super::*;

    #[test]
    fn what_cannot_be_named_is_400_with_its_code_and_the_eight_headers() {
        let tollgate = start(&["--unknown-customers", "allow"]);
        for (asks, code, reason) in [
            (json!({"action": "read"}), "CUSTOMER_MISSING", "customer_missing"),
            (json!({"customerId": null, "action": "read"}), "CUSTOMER_MISSING", "customer_missing"),
            (json!({"customerId": "", "action": "read"}), "CUSTOMER_MISSING", "customer_missing"),
            (
                json!({"customerId": "a b", "action": "read"}),
                "CUSTOMER_MALFORMED",
                "customer_malformed",
            ),
            (
                json!({"customerId": "a,b", "action": "read"}),
                "CUSTOMER_MALFORMED",
                "customer_malformed",
            ),
            (
                json!({"customerId": "a", "tenantId": "x:y", "action": "read"}),
                "CUSTOMER_MALFORMED",
                "customer_malformed",
            ),
            (
                json!({"customerId": "a", "tenantId": "", "action": "read"}),
                "CUSTOMER_MALFORMED",
                "customer_malformed",
            ),
        ] {
            let answer = tollgate.check(&asks);
            assert_eq!((answer.status, answer.code().as_str()), (400, code), "{asks}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(super::reason(&answer), reason);
            assert_eight(&answer);
        }
    }

    #[test]
    fn a_wrong_question_names_the_field_and_the_rule() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        for (asks, path) in [
            (json!({"customerId": "c1", "action": "delete"}), "action"),
            (json!({"customerId": "c1", "action": 1}), "action"),
            (json!({"customerId": "c1", "method": "GET"}), "action"),
            (json!({"customerId": "c1", "path": "/"}), "action"),
            (json!({"customerId": "c1", "action": "read", "method": "GET", "path": "/"}), "action"),
            (json!({"customerId": 7, "action": "read"}), "customerId"),
            (json!({"customerId": ["c1"], "action": "read"}), "customerId"),
            (json!({"customerId": "c1", "tenantId": 7, "action": "read"}), "tenantId"),
            (json!({"customerId": "c1", "action": "read", "feature": 7}), "feature"),
            (json!({"customerId": "c1", "action": "read", "feature": ""}), "feature"),
            (json!({"customerId": "c1", "action": "read", "featur": "sso"}), "featur"),
            (json!({"customerId": "c1", "action": "read", "limit": "seats"}), "limit"),
            (json!({"customerId": "c1", "action": "read", "limit": {}}), "limit.code"),
            (
                json!({"customerId": "c1", "action": "read", "limit": {"code": "seats", "value": -1}}),
                "limit.value",
            ),
            (
                json!({"customerId": "c1", "action": "read", "limit": {"code": "seats", "value": 1.5}}),
                "limit.value",
            ),
            (
                json!({"customerId": "c1", "action": "read", "limit": {"code": "seats", "max": 1}}),
                "limit.max",
            ),
            (json!({"customerId": "c1", "action": "read", "minRevision": 4}), "minRevision"),
        ] {
            let answer = tollgate.check(&asks);
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (400, "VALIDATION_ERROR"),
                "{asks}"
            );
            let details = answer.json()["error"]["details"].clone();
            let named =
                |it: &Value| it["path"] == path && !it["message"].as_str().unwrap().is_empty();
            assert!(details.as_array().unwrap().iter().any(named), "{asks}: {details}");
        }
    }

    #[test]
    fn what_is_not_said_to_be_a_read_is_judged_as_a_write() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        act(&tollgate, "c1", "freeze", &json!({}));
        for (asks, expected) in [
            (json!({"customerId": "c1"}), "customer_frozen"),
            (json!({"customerId": "c1", "action": null}), "customer_frozen"),
            (json!({"customerId": "c1", "action": "write"}), "customer_frozen"),
            (json!({"customerId": "c1", "action": "read"}), "frozen_read"),
            (json!({"customerId": "c1", "method": "get", "path": "/"}), "customer_frozen"),
            (json!({"customerId": "c1", "method": "", "path": ""}), "customer_frozen"),
            (json!({"customerId": "c1", "method": "HEAD", "path": "/"}), "frozen_read"),
        ] {
            assert_eq!(tollgate.check(&asks).json()["reason"], expected, "{asks}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        let tollgate = start(&[]);
        let json = [("content-type", "application/json")];
        for body in
            ["{", "not json", "[]", "\"c1\"", "null", "{\"customerId\":\"c1\"} trailing", "\u{0}"]
        {
            for path in ["/v1/check", "/v1/checks"] {
                let answer = http(tollgate.check, "POST", path, &json, Some(body));
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (400, "VALIDATION_ERROR"),
                    "{body}"
                );
                assert_eq!(answer.json()["error"]["details"][0]["path"], "body");
            }
        }
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        let answer = http(tollgate.check, "POST", "/v1/check", &json, Some(&deep));
        assert_eq!(answer.status, 400);
    }

    #[test]
    fn another_type_of_content_is_415_and_a_json_one_is_taken() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let body = question("c1", "read").to_string();
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            let answer =
                http(tollgate.check, "POST", "/v1/check", &[("content-type", kind)], Some(&body));
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (415, "UNSUPPORTED_MEDIA_TYPE"),
                "{kind}"
            );
        }
        for kind in
            ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"]
        {
            let answer =
                http(tollgate.check, "POST", "/v1/check", &[("content-type", kind)], Some(&body));
            assert_eq!(
                (answer.status, answer.json()["reason"].as_str()),
                (200, Some("active")),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_body_of_64_kilobytes_is_taken_and_a_longer_one_is_413() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let json = [("content-type", "application/json")];
        let padded = |length: usize| {
            let body = question("c1", "read").to_string();
            let padding = " ".repeat(length - body.len());
            body + &padding
        };
        let fits = http(tollgate.check, "POST", "/v1/check", &json, Some(&padded(64 * 1024)));
        assert_eq!(fits.status, 200, "{fits:?}");
        for path in ["/v1/check", "/v1/checks"] {
            let over = http(tollgate.check, "POST", path, &json, Some(&padded(64 * 1024 + 1)));
            assert_eq!((over.status, over.code().as_str()), (413, "PAYLOAD_TOO_LARGE"), "{over:?}");
        }
        // One that only promises to be too long is refused without being waited for.
        let headers = [("Content-Type", "application/json"), ("Content-Length", "100000000")];
        let mut connection = Raw::connect(tollgate.check);
        connection.request("POST /v1/check HTTP/1.1", &headers).send("x".repeat(70_000));
        assert_eq!(connection.answer().status, 413);
    }

    #[test]
    fn another_method_is_405_in_json() {
        let tollgate = start(&[]);
        for (method, path) in
            [("GET", "/v1/check"), ("PUT", "/v1/checks"), ("DELETE", "/v1/customers/c1/limits")]
        {
            let answer = tollgate.ask(method, path, &[]);
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (405, "METHOD_NOT_ALLOWED"),
                "{path}"
            );
        }
    }

    #[test]
    fn many_questions_are_answered_in_their_order() {
        let tollgate = start(&[]);
        put(&tollgate, "active", &json!({}));
        put(&tollgate, "frozen", &json!({}));
        act(&tollgate, "frozen", "freeze", &json!({}));
        let asks = json!({"checks": [
            question("frozen", "write"),
            question("a b", "read"),
            question("frozen", "read"),
            {"action": "read"},
            question("nobody", "read"),
            {"customerId": "active", "method": "DELETE", "path": "/x"},
            {"customerId": "active", "action": "read", "feature": "sso"},
            {"customerId": "active", "tenantId": "x:y", "action": "read"},
        ]});
        let json = [("content-type", "application/json")];
        let answer = http(tollgate.check, "POST", "/v1/checks", &json, Some(&asks.to_string()));
        assert_eq!(answer.status, 200, "{answer:?}");
        let results = answer.json()["results"].clone();
        let reasons: Vec<_> =
            results.as_array().unwrap().iter().map(|it| it["reason"].as_str().unwrap()).collect();
        assert_eq!(
            reasons,
            [
                "customer_frozen",
                "customer_malformed",
                "frozen_read",
                "customer_missing",
                "customer_unknown",
                "active",
                "entitlement_unknown",
                "customer_malformed",
            ]
        );
        assert_eq!(results[0]["allowed"], false);
        assert_eq!(results[5]["allowed"], true);
    }

    #[test]
    fn one_to_a_hundred_questions_can_be_asked_at_once() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let json = [("content-type", "application/json")];
        let ask = |count: usize| {
            let checks = vec![question("c1", "read"); count];
            let body = json!({"checks": checks}).to_string();
            http(tollgate.check, "POST", "/v1/checks", &json, Some(&body))
        };
        for count in [1, 100] {
            let answer = ask(count);
            assert_eq!(answer.status, 200);
            assert_eq!(answer.json()["results"].as_array().unwrap().len(), count);
        }
        for count in [0, 101] {
            let answer = ask(count);
            assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION_ERROR"));
            assert_eq!(answer.json()["error"]["details"][0]["path"], "checks");
        }
    }

    #[test]
    fn a_wrong_question_among_many_is_named_with_its_place() {
        let tollgate = start(&[]);
        let json = [("content-type", "application/json")];
        for (wrong, path) in [
            (json!({"customerId": "c1", "action": "x"}), "checks[1].action"),
            (json!("c1"), "checks[1]"),
            (
                json!({"customerId": "c1", "action": "read", "limit": {"code": "s", "value": -1}}),
                "checks[1].limit.value",
            ),
            (json!({"customerId": "c1", "action": "read", "limit": 1}), "checks[1].limit"),
        ] {
            let body = json!({"checks": [question("c1", "read"), wrong]}).to_string();
            let answer = http(tollgate.check, "POST", "/v1/checks", &json, Some(&body));
            assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION_ERROR"));
            assert_eq!(answer.json()["error"]["details"][0]["path"], path, "{answer:?}");
        }
        for body in [
            json!({}),
            json!({"checks": {}}),
            json!({"checks": null}),
            json!({"checks": [], "x": 1}),
        ] {
            let answer = http(tollgate.check, "POST", "/v1/checks", &json, Some(&body.to_string()));
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (400, "VALIDATION_ERROR"),
                "{body}"
            );
        }
    }

    #[test]
    fn many_questions_wait_for_a_hanging_store_no_longer_than_one() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let flags = ["--fill-timeout", "100ms", "--heartbeat", "20s"];
        let tollgate = Tollgate::start(&[&["--store", server.url().as_str()][..], &flags].concat());
        server.pause();
        let checks: Vec<_> =
            (0..100).map(|number| question(&format!("cold-{number}"), "read")).collect();
        let json = [("content-type", "application/json")];
        let begun = Instant::now();
        let body = json!({"checks": checks}).to_string();
        let answer = http(tollgate.check, "POST", "/v1/checks", &json, Some(&body));
        let took = begun.elapsed();
        server.resume();
        let results = answer.json()["results"].clone();
        let reasons: BTreeSet<_> =
            results.as_array().unwrap().iter().map(|it| it["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, BTreeSet::from(["not_restricted"]));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

mod limits {
    use super::*;

    fn limits(tollgate: &Tollgate, id: &str) -> Value {
        let answer = tollgate.ask("GET", &format!("/v1/customers/{id}/limits"), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    #[test]
    fn an_application_reads_everything_that_a_customer_may_do() {
        let tollgate = start(&[]);
        put(
            &tollgate,
            "c1",
            &json!({
                "name": "Secret Name",
                "metadata": {"secret": "marker"},
                "plan": "pro",
                "features": ["sso", "export"],
                "limits": {"seats": {"max": 25}, "calls": {"max": 10, "used": 4}, "storage": {"max": "unlimited", "used": 7}},
                "obligations": {"activeSubscriptions": 2},
            }),
        );
        let frozen = json!({"reason": "non_payment", "notes": "marker", "source": "wingback", "until": "2999-01-01T00:00:00Z"});
        let acted = act(&tollgate, "c1", "freeze", &frozen);
        let answer = tollgate.ask("GET", "/v1/customers/c1/limits", &[]);
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("etag").unwrap().starts_with("W/\""), "{answer:?}");
        assert!(!answer.body.contains("marker") && !answer.body.contains("Secret"), "{answer:?}");
        let mut shown = answer.json();
        let object = shown.as_object_mut().unwrap();
        let as_of = object.remove("asOf").unwrap();
        assert!(as_of.as_str().unwrap().ends_with('Z'), "{as_of}");
        assert!(object.remove("ageMs").unwrap().as_u64().unwrap() < 5000);
        assert_eq!(
            shown,
            json!({
                "customerId": "c1", "tenantId": "default", "status": "frozen", "access": "read_only",
                "disabled": false, "frozen": true, "inactive": false,
                "allowed": {"read": true, "write": false},
                "restrictions": [{"kind": "frozen", "source": "wingback", "reason": "non_payment",
                                  "since": acted["restrictions"][0]["since"], "until": "2999-01-01T00:00:00Z"}],
                "scheduled": [],
                "billing": "paused", "subscriptions": {"count": 2, "state": "paused"},
                "plan": "pro", "features": ["export", "sso"],
                "limits": {"seats": {"max": 25, "used": null, "remaining": null},
                           "calls": {"max": 10, "used": 4, "remaining": 6},
                           "storage": {"max": "unlimited", "used": 7, "remaining": null}},
                "revision": acted["revision"], "stale": false,
            })
        );
    }

    #[test]
    fn every_status_has_its_access_billing_and_subscriptions() {
        let tollgate = start(&[]);
        for (id, verb, expected) in [
            ("a", None, ("active", "read_write", "active", "active", [true, true])),
            ("f", Some("freeze"), ("frozen", "read_only", "paused", "paused", [true, false])),
            ("d", Some("disable"), ("disabled", "none", "active", "restricted", [false, false])),
            ("i", Some("deactivate"), ("inactive", "none", "ended", "ended", [false, false])),
        ] {
            put(&tollgate, id, &json!({"limits": {"seats": {"max": 3}}}));
            if let Some(verb) = verb {
                act(&tollgate, id, verb, &json!({}));
            }
            let shown = limits(&tollgate, id);
            let (status, access, billing, state, [read, write]) = expected;
            assert_eq!(shown["status"], status);
            assert_eq!(shown["access"], access);
            assert_eq!(shown["billing"], billing);
            assert_eq!(shown["subscriptions"]["state"], state);
            assert_eq!(shown["allowed"], json!({"read": read, "write": write}));
            for (field, of) in [("frozen", "f"), ("disabled", "d"), ("inactive", "i")] {
                assert_eq!(shown[field], id == of, "{field} of {id}");
            }
            // A restricted customer's limits are still listed.
            assert_eq!(shown["limits"]["seats"]["max"], 3);
            assert_eq!(shown["features"], Value::Null);
        }
    }

    #[test]
    fn a_customer_with_several_restrictions_shows_them_all_and_is_the_strictest() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        act(&tollgate, "c1", "freeze", &json!({"source": "wingback"}));
        act(&tollgate, "c1", "deactivate", &json!({"source": "flexportal"}));
        let shown = limits(&tollgate, "c1");
        assert_eq!((&shown["status"], &shown["billing"]), (&json!("inactive"), &json!("ended")));
        act(&tollgate, "c1", "disable", &json!({}));
        let shown = limits(&tollgate, "c1");
        assert_eq!(shown["status"], "disabled");
        assert_eq!(shown["restrictions"].as_array().unwrap().len(), 3);
        for field in ["frozen", "inactive", "disabled"] {
            assert_eq!(shown[field], true);
        }
    }

    #[test]
    fn a_disabled_customers_billing_is_a_setting() {
        let tollgate = start(&["--disabled-billing", "paused"]);
        put(&tollgate, "c1", &json!({}));
        act(&tollgate, "c1", "disable", &json!({}));
        let shown = limits(&tollgate, "c1");
        assert_eq!(
            (&shown["billing"], &shown["subscriptions"]["state"]),
            (&json!("paused"), &json!("restricted"))
        );
    }

    #[test]
    fn compliance_security_and_fraud_are_other_everywhere_on_the_data_plane() {
        let tollgate = start(&[]);
        for sensitive in ["compliance", "security", "fraud"] {
            put(&tollgate, sensitive, &json!({"obligations": {"activeSubscriptions": 0}}));
            let notes = format!("marker about {sensitive}");
            act(&tollgate, sensitive, "disable", &json!({"reason": sensitive, "notes": notes}));
        }
        for (number, sensitive) in ["compliance", "security", "fraud"].into_iter().enumerate() {
            // The id is a word of its own here, so only values may not tell it.
            let id = format!("c{number}");
            act(
                &tollgate,
                &id,
                "freeze",
                &json!({"reason": sensitive, "notes": "marker", "create": true}),
            );
            let later = json!({"reason": sensitive, "since": "2999-01-01T00:00:00Z"});
            act(&tollgate, &id, "disable", &later);
            let shown = limits(&tollgate, &id);
            assert_eq!(shown["restrictions"][0]["reason"], "other");
            assert_eq!(shown["scheduled"][0]["reason"], "other");
            let answers = [
                tollgate.ask("GET", &format!("/v1/customers/{id}/limits"), &[]),
                forward(&tollgate, "POST", &id),
                nginx(&tollgate, "POST", &id),
                tollgate.check(&question(&id, "write")),
            ];
            for answer in answers {
                let said = format!("{answer:?}");
                assert!(!said.contains(sensitive) && !said.contains("marker"), "{said}");
            }
            let log = tollgate.log().join("\n");
            assert!(!log.contains("marker"), "{log}");
            assert!(!tollgate.admin("/metrics").body.contains("marker"));
        }
        // A sensitive reason is never told by a status: 403 and not 402.
        assert_eq!(forward(&tollgate, "GET", "fraud").status, 403);
    }

    #[test]
    fn a_tag_that_is_known_is_304_and_one_of_many_or_a_star_is_known() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let path = "/v1/customers/c1/limits";
        let tag = tollgate.ask("GET", path, &[]).header("etag").unwrap().to_owned();
        let strong = tag.trim_start_matches("W/").to_owned();
        let among = format!("\"x\", {tag} ,W/\"y\"");
        for known in [tag.as_str(), &strong, &among, "*"] {
            let answer = tollgate.ask("GET", path, &[("If-None-Match", known)]);
            assert_eq!(answer.status, 304, "{known}");
            assert_eq!(answer.body, "");
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
            assert_eq!(answer.header("cache-control"), Some("no-cache"));
        }
        for other in ["\"x\"", "", "W/\"\"", "nonsense"] {
            assert_eq!(
                tollgate.ask("GET", path, &[("If-None-Match", other)]).status,
                200,
                "{other}"
            );
        }
        // The tag does not move while nothing changes, and moves when something does.
        assert_eq!(tollgate.ask("GET", path, &[]).header("etag"), Some(tag.as_str()));
        put(&tollgate, "c1", &json!({"plan": "pro"}));
        assert_eq!(tollgate.ask("GET", path, &[("If-None-Match", &tag)]).status, 200);
        let unknown = tollgate.ask("GET", "/v1/customers/nobody/limits", &[("If-None-Match", "*")]);
        assert_eq!(unknown.status, 404);
    }

    #[test]
    fn an_unknown_customer_is_404_and_a_malformed_one_400() {
        let tollgate = start(&["--unknown-customers", "allow"]);
        let unknown = tollgate.ask("GET", "/v1/customers/nobody/limits", &[]);
        assert_eq!((unknown.status, unknown.code().as_str()), (404, "CUSTOMER_UNKNOWN"));
        let long = "c".repeat(129);
        for id in ["a%20b", "a%2Fb", "%2e%2e", "%2e", "a%2cb", "%ff", "%00", &long] {
            let path = format!("GET /v1/customers/{id}/limits HTTP/1.1");
            let answer = raw(tollgate.check, &path, &[]);
            assert_eq!(answer.status, 400, "{id}: {answer:?}");
            assert_eq!(answer.json()["error"]["code"], "CUSTOMER_MALFORMED", "{id}");
        }
    }

    #[test]
    fn the_same_limits_are_on_the_operator_listener_for_whoever_has_a_key() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({"features": ["sso"]}));
        let without = http(tollgate.operator, "GET", "/v1/customers/c1/limits", &[], None);
        assert_eq!((without.status, without.code().as_str()), (401, "AUTH_REQUIRED"));
        let made =
            tollgate.operate("POST", "/v1/keys", Some(&json!({"name": "shop", "role": "app"})));
        let token = made.json()["token"].as_str().unwrap().to_owned();
        let shop = [("x-api-key", token.as_str())];
        let on_operator = tollgate.operate_as(&shop, "GET", "/v1/customers/c1/limits", None);
        assert_eq!(on_operator.status, 200);
        let on_check = tollgate.ask("GET", "/v1/customers/c1/limits", &[]);
        assert_eq!(on_operator.header("etag"), on_check.header("etag"));
    }
}

mod off_loopback {
    use super::*;

    /// Listens everywhere, and is asked on loopback all the same.
    fn everywhere(more: &[&str]) -> Tollgate {
        let mut tollgate = start(&[&["--check-listen", "0.0.0.0:0"], more].concat());
        tollgate.check.set_ip([127, 0, 0, 1].into());
        put(&tollgate, "c1", &json!({}));
        tollgate
    }

    fn key(tollgate: &Tollgate, key: &Value) -> String {
        let made = tollgate.operate("POST", "/v1/keys", Some(key));
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["token"].as_str().unwrap().to_owned()
    }

    fn guarded(tollgate: &Tollgate, headers: &[(&str, &str)]) -> Vec<Answer> {
        let one = question("c1", "read").to_string();
        let many = json!({"checks": [question("c1", "read")]}).to_string();
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        vec![
            http(tollgate.check, "POST", "/v1/check", &all, Some(&one)),
            http(tollgate.check, "POST", "/v1/checks", &all, Some(&many)),
            http(tollgate.check, "GET", "/v1/customers/c1/limits", headers, None),
        ]
    }

    #[test]
    fn gateways_need_no_key_and_everybody_else_does() {
        let tollgate = everywhere(&[]);
        assert_eq!(reason(&forward(&tollgate, "POST", "c1")), "active");
        assert_eq!(reason(&nginx(&tollgate, "POST", "c1")), "active");
        for answer in guarded(&tollgate, &[]) {
            assert_eq!((answer.status, answer.code().as_str()), (401, "AUTH_REQUIRED"));
            assert!(answer.header("www-authenticate").is_some());
        }
        for answer in guarded(&tollgate, &[("authorization", "Bearer wrong")]) {
            assert_eq!((answer.status, answer.code().as_str()), (401, "INVALID_TOKEN"));
        }
        let token = key(&tollgate, &json!({"name": "shop", "role": "app"}));
        for answer in guarded(&tollgate, &[("x-api-key", &token)]) {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }

    #[test]
    fn an_open_check_listener_asks_nobody_for_a_key() {
        let tollgate = everywhere(&["--check-open"]);
        for answer in guarded(&tollgate, &[]) {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }

    #[test]
    fn a_unix_socket_beside_it_needs_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _tollgate = everywhere(&["--check-socket", path.to_str().unwrap()]);
        let mut connection = Raw::connect_unix(&path);
        let answer = connection.request("GET /v1/customers/c1/limits HTTP/1.1", &[]).answer();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    #[test]
    fn a_key_of_one_tenant_asks_about_its_tenant_and_no_other() {
        let tollgate = everywhere(&["--tenant-header", "X-Tenant"]);
        let admin = format!("Bearer {ADMIN_TOKEN}");
        let acme = [("authorization", admin.as_str()), ("tenant-id", "acme")];
        let made = json!({"plan": "acme-plan"});
        assert_eq!(tollgate.operate_as(&acme, "PUT", "/v1/customers/c1", Some(&made)).status, 201);
        act(&tollgate, "c1", "disable", &json!({}));
        let token = key(&tollgate, &json!({"name": "shop", "role": "app", "tenant": "acme"}));
        let shop = [("x-api-key", token.as_str()), ("content-type", "application/json")];
        let check = |asks: &Value| {
            http(tollgate.check, "POST", "/v1/check", &shop, Some(&asks.to_string()))
        };
        // The default tenant's customer is disabled; the key means its own tenant.
        assert_eq!(check(&question("c1", "write")).json()["reason"], "active");
        let own = json!({"customerId": "c1", "tenantId": "acme", "action": "write"});
        assert_eq!(check(&own).json()["reason"], "active");
        let other = json!({"customerId": "c1", "tenantId": "default", "action": "write"});
        let refused = check(&other);
        assert_eq!((refused.status, refused.code().as_str()), (403, "NO_TENANT_ACCESS"));
        for among in [&other, &own] {
            let many = json!({"checks": [question("c1", "write"), among]}).to_string();
            let answer = http(tollgate.check, "POST", "/v1/checks", &shop, Some(&many));
            if *among == own {
                assert_eq!(answer.json()["results"][1]["reason"], "active");
            } else {
                assert_eq!((answer.status, answer.code().as_str()), (403, "NO_TENANT_ACCESS"));
            }
        }
        let limits = http(tollgate.check, "GET", "/v1/customers/c1/limits", &shop[..1], None);
        assert_eq!(limits.json()["plan"], "acme-plan");
        let named = [shop[0], ("X-Tenant", "default")];
        let refused = http(tollgate.check, "GET", "/v1/customers/c1/limits", &named, None);
        assert_eq!((refused.status, refused.code().as_str()), (403, "NO_TENANT_ACCESS"));
    }

    #[test]
    fn a_revoked_key_is_refused_at_once() {
        let tollgate = everywhere(&[]);
        let made =
            tollgate.operate("POST", "/v1/keys", Some(&json!({"name": "shop", "role": "app"})));
        let (id, token) = (made.json()["id"].clone(), made.json()["token"].clone());
        let shop = [("x-api-key", token.as_str().unwrap())];
        assert_eq!(guarded(&tollgate, &shop)[2].status, 200);
        let path = format!("/v1/keys/{}", id.as_str().unwrap());
        assert_eq!(tollgate.operate("DELETE", &path, None).status, 200);
        assert_eq!(guarded(&tollgate, &shop)[2].status, 401);
    }
}

mod at_once {
    use super::*;

    #[test]
    fn checks_of_many_connections_are_all_answered() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let address = tollgate.check;
        let askers: Vec<_> = (0..8)
            .map(|_| {
                thread::spawn(move || {
                    let mut connection = Raw::connect(address);
                    (0..200)
                        .map(|_| {
                            let headers = [("X-Customer-Id", "c1")];
                            connection.request("GET /v1/nginx HTTP/1.1", &headers).answer().status
                        })
                        .all(|status| status == 200)
                })
            })
            .collect();
        for asker in askers {
            assert!(asker.join().unwrap());
        }
        let counted = tollgate.admin("/metrics").body;
        let checks = counted.lines().filter(|line| line.starts_with("tollgate_checks_total"));
        let sum: u64 =
            checks.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(sum, 1600);
    }

    #[test]
    fn a_change_decides_the_very_next_check_on_an_open_connection() {
        let tollgate = start(&[]);
        put(&tollgate, "c1", &json!({}));
        let mut connection = Raw::connect(tollgate.check);
        for _ in 0..20 {
            for (verb, expected) in [("disable", "customer_disabled"), ("enable", "active")] {
                act(&tollgate, "c1", verb, &json!({}));
                let headers = [("X-Customer-Id", "c1")];
                let answer = connection.request("GET /v1/nginx HTTP/1.1", &headers).answer();
                assert_eq!(answer.reason(), expected);
            }
        }
    }
}
