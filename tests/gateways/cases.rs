//! What is tried at every gateway, and what has to come of it.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tollgate::policy::path::is_suspicious;

use crate::{
    gateway::Slow,
    raw::RawAnswer,
    site::{Site, received},
    support::tollgate::Answer,
};

/// Asks in some way, and holds what comes of it.
pub(crate) type Case = fn(&mut Site);

/// Every case and its name, in the order in which they are tried. The last one leaves no Tollgate.
pub(crate) const CASES: &[(&str, Case)] = &[
    ("allow", an_active_customer_passes),
    ("undecided", where_nothing_can_be_known_nobody_passes),
    ("missing", whoever_shows_no_key_is_nobody),
    ("unknown", an_unknown_customer_is_refused),
    ("disabled", a_disabled_customer_is_refused),
    ("unpaid", a_customer_who_has_not_paid_is_told_to),
    ("frozen write", a_frozen_customer_does_not_write),
    ("frozen read", a_frozen_customer_reads),
    ("inactive", an_inactive_customer_is_refused),
    ("spoofed", what_a_client_forges_decides_nothing_and_reaches_nobody),
    ("doubled", two_ids_or_keys_do_not_mix),
    ("hop-by-hop", a_header_cannot_be_made_to_vanish),
    ("odd paths", a_path_that_hides_something_is_no_read),
    ("HEAD", a_head_is_a_read_and_has_no_body),
    ("OPTIONS", an_options_is_a_read),
    ("override", a_method_override_makes_a_read_a_write),
    ("websocket", an_upgrade_is_a_write),
    ("change", a_change_decides_the_next_request_on_the_same_connection),
    ("keep-alive", one_connection_to_tollgate_carries_every_question),
    ("slow", while_tollgate_hangs_nobody_passes),
    ("down", without_tollgate_nobody_passes),
];

fn an_active_customer_passes(site: &mut Site) {
    site.c1_is(None);
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let answer = site.ask(method, &[]);
        let received = received(&answer);
        assert_eq!(received["x-customer-id"], json!(["c1"]), "{method}");
        assert_eq!(received["x-tollgate-decision"], json!(["allow"]), "{method}");
        assert_eq!(received["x-tollgate-status"], json!(["active"]), "{method}");
        assert_eq!(received["x-tollgate-access"], json!(["read_write"]), "{method}");
        let saw = format!("{method} /things?page=1");
        assert_eq!(answer.header("x-app-saw"), Some(saw.as_str()));
    }
}

/// While Redis hangs, nothing can be known of a customer that is not in memory.
fn where_nothing_can_be_known_nobody_passes(site: &mut Site) {
    let hanging = Hanging::begin(|| site.redis.pause(), || site.redis.resume());
    for method in ["GET", "POST"] {
        let answer = site.assert_refused(503, || site.ask_as("c2", method, &[]));
        if site.kind.passes_on_why_nothing_is_decided() {
            assert_eq!(answer.code(), "STORE_UNREACHABLE");
        }
    }
    drop(hanging);
    let is_undecided = || site.ask_as("c2", "GET", &[]).status == 503;
    site.tollgate.wait_until("able to know again", || !is_undecided());
}

fn whoever_shows_no_key_is_nobody(site: &mut Site) {
    site.c1_is(None);
    let (name, _) = site.kind.credentials("c1");
    for stranger in [
        &[][..],
        &[("x-customer-id", "c1")],
        &[("x_customer_id", "c1")],
        &[(name, "guessed"), ("x-customer-id", "c1")],
        &[(name, "")],
    ] {
        let answer = site.assert_refused(401, || site.ask_bare("GET", stranger, PATIENCE));
        if !site.kind.refuses_strangers_itself() {
            assert_eq!(answer.code(), "CUSTOMER_MISSING", "{stranger:?}");
        }
    }
}

fn an_unknown_customer_is_refused(site: &mut Site) {
    for method in ["GET", "POST"] {
        let answer = site.assert_refused(403, || site.ask_as("c2", method, &[]));
        assert_told(&answer, "CUSTOMER_UNKNOWN");
    }
}

fn a_disabled_customer_is_refused(site: &mut Site) {
    site.c1_is(Some(("disable", json!({"reason": "fraud"}))));
    for method in ["GET", "POST"] {
        assert_told(&site.assert_refused(403, || site.ask(method, &[])), "CUSTOMER_DISABLED");
    }
}

fn a_customer_who_has_not_paid_is_told_to(site: &mut Site) {
    site.c1_is(Some(("disable", json!({"reason": "non_payment"}))));
    for method in ["GET", "POST"] {
        assert_told(&site.assert_refused(402, || site.ask(method, &[])), "CUSTOMER_DISABLED");
    }
}

fn a_frozen_customer_does_not_write(site: &mut Site) {
    freeze(site);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert_told(&site.assert_refused(423, || site.ask(method, &[])), "CUSTOMER_FROZEN");
    }
    // A method that nobody knows writes, if a gateway takes it at all.
    let before = site.app.reached();
    let answer = site.ask_raw("SHAKE / HTTP/1.1", &[]);
    assert!(matches!(answer.status, 400..=499), "{answer:?}");
    assert_eq!(site.app.reached(), before, "{answer:?}");
}

fn a_frozen_customer_reads(site: &mut Site) {
    freeze(site);
    let received = received(&site.ask("GET", &[]));
    assert_eq!(received["x-tollgate-reason"], json!(["frozen_read"]));
    assert_eq!(received["x-tollgate-access"], json!(["read_only"]));
}

fn an_inactive_customer_is_refused(site: &mut Site) {
    site.c1_is(Some(("deactivate", json!({}))));
    for method in ["GET", "POST"] {
        assert_told(&site.assert_refused(403, || site.ask(method, &[])), "CUSTOMER_INACTIVE");
    }
}

fn what_a_client_forges_decides_nothing_and_reaches_nobody(site: &mut Site) {
    freeze(site);
    let forged = [
        ("x-customer-id", "c2"),
        ("x-customer-id", "c3,c4"),
        ("x_customer_id", "c2"),
        ("x-tollgate-decision", "forged"),
        ("x-tollgate-status", "forged"),
        ("x-tollgate-access", "forged"),
        ("x-tollgate-code", "200"),
        ("x-tollgate-body", "forged"),
        ("x_tollgate_status", "forged"),
        ("x-tollgate_status", "forged"),
        ("x_http_method_override", "DELETE"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/forged"),
        ("x-original-method", "GET"),
        ("x-original-uri", "/forged"),
        ("x-envoy-original-path", "/forged"),
    ];
    let received = received(&site.ask("GET", &forged));
    let expected = [
        ("x-customer-id", json!(["c1"])),
        ("x-tollgate-decision", json!(["allow"])),
        ("x-tollgate-reason", json!(["frozen_read"])),
        ("x-tollgate-status", json!(["frozen"])),
        ("x-tollgate-access", json!(["read_only"])),
        ("x-tollgate-stale", json!(["false"])),
    ];
    for (name, expected) in expected {
        assert_eq!(received[name], expected, "{name} in {received}");
    }
    // Some applications read `_` as `-`.
    let names = received.as_object().unwrap().keys().filter(|name| name.contains('_'));
    let kept: Vec<_> = names.collect();
    let expected = if site.kind.drops_underscores() { &[][..] } else { &["x-tollgate_status"] };
    assert_eq!(kept, expected);
    for name in ["x-tollgate-code", "x-tollgate-body"] {
        assert!(!received[name].to_string().contains("forged"), "{name} in {received}");
    }
    site.assert_refused(423, || site.ask("POST", &forged));
}

fn two_ids_or_keys_do_not_mix(site: &mut Site) {
    // Whichever key counts: `c1` is refused, and `c2` is unknown.
    site.c1_is(Some(("disable", json!({}))));
    let before = site.app.reached();
    for [first, second] in [["c1", "c2"], ["c2", "c1"], ["c1", "c1"]] {
        let [(name, first), (_, second)] =
            [site.kind.credentials(first), site.kind.credentials(second)];
        let both = [(name, first.as_str()), (name, second.as_str())];
        let answer = site.ask_bare("GET", &both, PATIENCE);
        assert!(matches!(answer.status, 400..=499), "{answer:?}");
        let joined = format!("{first},{second}");
        let answer = site.ask_bare("GET", &[(name, &joined)], PATIENCE);
        assert!(matches!(answer.status, 400..=499), "{answer:?}");
    }
    assert_eq!(site.app.reached(), before);

    site.c1_is(None);
    let twice = [("x-customer-id", "c1"), ("x-customer-id", "c2")];
    assert_eq!(received(&site.ask("GET", &twice))["x-customer-id"], json!(["c1"]));
}

fn a_header_cannot_be_made_to_vanish(site: &mut Site) {
    freeze(site);
    let names = "X-Customer-Id, X-Tollgate-Status, X-Forwarded-Method, X-Forwarded-Uri, \
                 X-Original-Method, X-Original-URI, X-Http-Method-Override, X-Method-Override";
    let connection = ("Connection", names);
    for (method, more) in [("GET", &[connection][..]), ("GET", &[connection, OVERRIDE])] {
        let before = site.app.reached();
        let answer = site.ask(method, more);
        if answer.status == 200 {
            // Who passed as a reader reaches the application as one.
            let received = answer.json();
            assert_eq!(received["x-customer-id"], json!(["c1"]));
            assert_eq!(received["x-method-override"], Value::Null);
        } else {
            assert!(matches!(answer.status, 400 | 401 | 423), "{answer:?}");
            assert_eq!(site.app.reached(), before);
        }
    }
    let before = site.app.reached();
    let written = site.ask("POST", &[connection]);
    assert!(matches!(written.status, 400 | 401 | 423), "{written:?}");
    let upgrade = format!("Upgrade, {names}");
    let mut websocket = WEBSOCKET;
    websocket[0].1 = &upgrade;
    let upgraded = site.ask_raw("GET /chat HTTP/1.1", &websocket);
    assert!(matches!(upgraded.status, 400 | 401 | 423), "{upgraded:?}");
    assert_eq!(site.app.reached(), before);
}

fn a_path_that_hides_something_is_no_read(site: &mut Site) {
    let odd = [
        "/a/../b",
        "//a",
        "//a/..//b",
        "/%2e%2e/a",
        "/a/%2E%2e/b",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a;b",
        "/a/..;/b",
        "/a%00b",
        "http://elsewhere/a/%2e%2e/b",
    ];
    freeze(site);
    for target in odd {
        let answer = site.ask_raw(&format!("GET {target} HTTP/1.1"), &[]);
        match answer.status {
            // What passed as a read reaches the application with a path that hides nothing.
            200 => assert!(!is_suspicious(saw(&answer)), "{target}: {answer:?}"),
            status => {
                assert!(matches!(status, 301 | 308 | 400 | 404 | 423), "{target}: {answer:?}");
            }
        }
        let before = site.app.reached();
        let answer = site.ask_raw(&format!("DELETE {target} HTTP/1.1"), &[]);
        assert!(matches!(answer.status, 301 | 308 | 400 | 404 | 423), "{target}: {answer:?}");
        assert_eq!(site.app.reached(), before, "{target}");
    }
    site.c1_is(Some(("disable", json!({}))));
    let before = site.app.reached();
    for target in odd {
        let answer = site.ask_raw(&format!("GET {target} HTTP/1.1"), &[]);
        assert!(matches!(answer.status, 301 | 308 | 400 | 403 | 404), "{target}: {answer:?}");
    }
    assert_eq!(site.app.reached(), before);
}

fn a_head_is_a_read_and_has_no_body(site: &mut Site) {
    freeze(site);
    let passed = site.ask("HEAD", &[]);
    assert_eq!((passed.status, passed.body.as_str()), (200, ""));
    assert_eq!(passed.header("x-app-saw"), Some("HEAD /things?page=1"));
    site.c1_is(Some(("disable", json!({}))));
    assert_eq!(site.assert_refused(403, || site.ask("HEAD", &[])).body, "");
}

fn an_options_is_a_read(site: &mut Site) {
    freeze(site);
    let passed = site.ask("OPTIONS", &[]);
    assert_eq!(passed.header("x-app-saw"), Some("OPTIONS /things?page=1"), "{passed:?}");
    site.c1_is(Some(("disable", json!({}))));
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    site.assert_refused(403, || site.ask("OPTIONS", &preflight));
}

fn a_method_override_makes_a_read_a_write(site: &mut Site) {
    freeze(site);
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        assert_told(
            &site.assert_refused(423, || site.ask("GET", &[(name, "DELETE")])),
            "CUSTOMER_FROZEN",
        );
    }
}

fn an_upgrade_is_a_write(site: &mut Site) {
    freeze(site);
    let before = site.app.reached();
    let refused = site.ask_raw("GET /chat HTTP/1.1", &WEBSOCKET);
    assert_eq!(refused.status, 423, "{refused:?}");
    assert_eq!(site.app.reached(), before);

    site.c1_is(None);
    let mut connection = site.connect();
    let (name, value) = site.kind.credentials("c1");
    let headers = [&[(name, value.as_str())], &WEBSOCKET[..]].concat();
    let passed = connection.request("GET /chat HTTP/1.1", &headers).head();
    assert_eq!(passed.status, if site.kind.upgrades() { 101 } else { 200 }, "{passed:?}");
    assert_eq!(saw(&passed), "/chat");
}

fn a_change_decides_the_next_request_on_the_same_connection(site: &mut Site) {
    site.c1_is(None);
    let mut connection = site.connect();
    for _ in 0..5 {
        for (verb, expected) in [("freeze", 423), ("unfreeze", 200)] {
            let path = format!("/v1/customers/c1/{verb}");
            let acted = site.tollgate.operate("POST", &path, Some(&json!({})));
            assert_eq!(acted.status, 200, "{acted:?}");
            let answer = site.converse(&mut connection, "DELETE /thing HTTP/1.1", &[]);
            assert_eq!(answer.status, expected, "{answer:?}");
        }
    }
}

fn one_connection_to_tollgate_carries_every_question(site: &mut Site) {
    freeze(site);
    site.ask("GET", &[]);
    let before = site.way.connections();
    for _ in 0..10 {
        assert_eq!(site.ask("GET", &[]).status, 200);
        assert_eq!(site.ask("POST", &[]).status, 423);
        assert_eq!(site.ask("HEAD", &[]).status, 200);
    }
    if site.kind.keeps_its_connection() {
        assert_eq!(site.way.connections(), before);
    }
}

fn while_tollgate_hangs_nobody_passes(site: &mut Site) {
    site.c1_is(None);
    let before = site.app.reached();
    let go_on = || site.tollgate.signal(Signal::CONT);
    let hanging = Hanging::begin(|| site.tollgate.hang(), go_on);
    let begun = Instant::now();
    let (name, value) = site.kind.credentials("c1");
    let answer = site.ask_bare("GET", &[(name, &value)], BOUND);
    let took = begun.elapsed();
    drop(hanging);
    match site.kind.while_tollgate_hangs() {
        Slow::Answers(expected) => {
            assert_eq!(answer.status, expected, "{answer:?}");
            assert!(took < BOUND, "{took:?}");
        }
        Slow::Waits => assert_eq!(answer.status, 0, "{answer:?}"),
    }
    assert_eq!(site.app.reached(), before, "it reached the application: {answer:?}");
    let begun = Instant::now();
    while site.ask("GET", &[]).status != 200 {
        assert!(begun.elapsed() < PATIENCE, "nobody passes again");
        thread::sleep(Duration::from_millis(5));
    }
}

fn without_tollgate_nobody_passes(site: &mut Site) {
    site.c1_is(None);
    assert_eq!(site.ask("GET", &[]).status, 200);
    site.way.close();
    site.tollgate.kill9();
    for method in ["GET", "POST", "GET"] {
        let begun = Instant::now();
        site.assert_refused(site.kind.without_tollgate(), || site.ask(method, &[]));
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    }
}

/// Something that goes on again when this is dropped, also when a case fails meanwhile.
struct Hanging<F: Fn()>(F);

impl<F: Fn()> Hanging<F> {
    fn begin(stop: impl Fn(), go_on: F) -> Self {
        stop();
        Self(go_on)
    }
}

impl<F: Fn()> Drop for Hanging<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn freeze(site: &Site) {
    site.c1_is(Some(("freeze", json!({}))));
}

/// Tollgate's own body reached the client.
fn assert_told(answer: &Answer, code: &str) {
    assert_eq!(answer.code(), code, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
}

/// The target that the application saw.
fn saw(answer: &RawAnswer) -> &str {
    answer.header("x-app-saw").and_then(|saw| saw.split(' ').nth(1)).unwrap_or_default()
}

const WEBSOCKET: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
const OVERRIDE: (&str, &str) = ("X-Method-Override", "DELETE");
const BOUND: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);
