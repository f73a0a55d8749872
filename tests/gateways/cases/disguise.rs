//! What a client pretends.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::policy::path::is_suspicious;

use super::{assert_told, freeze};
use crate::{
    raw::RawAnswer,
    site::{Site, received},
};

pub(super) fn what_a_client_forges_decides_nothing_and_reaches_nobody(site: &mut Site) {
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
        ("x-original-url", "/forged"),
        ("x-rewrite-url", "/forged"),
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
    // Some applications take these for the target.
    for name in ["x-original-url", "x-rewrite-url"] {
        assert_eq!(received[name], Value::Null, "{name} in {received}");
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

pub(super) fn two_ids_or_keys_do_not_mix(site: &mut Site) {
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

pub(super) fn a_header_cannot_be_made_to_vanish(site: &mut Site) {
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

pub(super) fn a_path_that_hides_something_is_no_read(site: &mut Site) {
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

pub(super) fn a_method_override_makes_a_read_a_write(site: &mut Site) {
    freeze(site);
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        assert_told(
            &site.assert_refused(423, || site.ask("GET", &[(name, "DELETE")])),
            "CUSTOMER_FROZEN",
        );
    }
}

pub(super) fn an_upgrade_is_a_write(site: &mut Site) {
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
const PATIENCE: Duration = Duration::from_secs(10);
