//! What the example's policy says of routes.

use serde_json::json;

use super::assert_told;
use crate::{raw::RawAnswer, readers::taken_for, site::Site};

pub(super) fn whoever_owes_something_can_pay_and_do_nothing_else(site: &mut Site) {
    site.is_governed_by(EXAMPLE);
    site.c1_is(Some(("disable", json!({"reason": "non_payment"}))));
    for (line, saw) in [
        ("GET /billing/pay HTTP/1.1", "GET /billing/pay"),
        ("POST /billing/pay?invoice=7 HTTP/1.1", "POST /billing/pay?invoice=7"),
        ("GET /billing HTTP/1.1", "GET /billing"),
    ] {
        let passed = site.ask_raw(line, &[("Content-Length", "0")]);
        assert_eq!((passed.status, passed.header("x-app-saw")), (200, Some(saw)), "{passed:?}");
        let received = passed.json();
        assert_eq!(received["x-tollgate-reason"], json!(["route_exempt"]));
        assert_eq!(received["x-tollgate-status"], json!(["disabled"]));
    }
    let before = site.app.reached();
    for target in [
        "/api/x",
        "/",
        "/billing/../api/x",
        "//billing/../api",
        "/billing%2f..%2fapi",
        "/billing/%2e%2e/api",
    ] {
        for method in ["GET", "POST"] {
            let line = format!("{method} {target} HTTP/1.1");
            assert_refused(&ask(site, &line, &[("Content-Length", "0")]), &line);
        }
    }
    site.c1_is(Some(("disable", json!({"reason": "fraud"}))));
    let refused = site.ask_raw("GET /billing/pay HTTP/1.1", &[]);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "CUSTOMER_DISABLED");
    assert_eq!(site.app.reached(), before);
}

pub(super) fn what_passes_as_exempt_is_exempt_to_every_application(site: &mut Site) {
    site.is_governed_by(EXAMPLE);
    site.c1_is(Some(("disable", json!({"reason": "non_payment"}))));
    let mut passed = 0;
    for odd in ODD {
        for target in [odd.to_string(), format!("http://elsewhere{odd}")] {
            let before = site.app.reached();
            let answer = ask(site, &format!("GET {target} HTTP/1.1"), &[]);
            if site.app.reached() == before {
                assert_refused(&answer, &target);
                continue;
            }
            passed += 1;
            let saw = answer.header("x-app-saw").and_then(|saw| saw.split(' ').nth(1));
            let path = saw.unwrap_or_default().trim_start_matches("http://elsewhere");
            let outside = taken_for(path);
            let outside: Vec<_> = outside.iter().filter(|path| !is_exempt(path)).collect();
            assert!(outside.is_empty(), "{target} may be {outside:?}: {answer:?}");
        }
    }
    assert!(passed > 0, "nothing passed");
}

pub(super) fn a_route_asks_for_its_feature_however_its_path_is_spelled(site: &mut Site) {
    site.is_governed_by(EXAMPLE);
    site.c1_is(None);
    let spellings = [
        "/api/export",
        "/api/export/",
        "/API/Export",
        "/api/%65xport",
        "/api/x/../export/7",
        "//api//export",
        "/api/export/a/b?page=1",
    ];
    for (features, expected) in [(json!([]), 403), (json!(["export"]), 200)] {
        site.c1_has(&json!({"features": features, "limits": {}}));
        for target in spellings {
            let answer = site.ask_raw(&format!("GET {target} HTTP/1.1"), &[]);
            assert_eq!(answer.status, expected, "{target}: {answer:?}");
            if expected == 403 {
                assert_eq!(answer.json()["error"]["code"], "FEATURE_MISSING", "{target}");
            }
        }
    }
    // Only a POST asks for a seat there; and what may become one.
    assert_eq!(site.ask_raw("GET /api/seats HTTP/1.1", &[]).status, 200);
    let before = site.app.reached();
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        for method in ["POST", "post", "anything"] {
            let answer = site.ask_raw("GET /api/seats HTTP/1.1", &[(name, method)]);
            assert_eq!(answer.status, 403, "{name}: {method}: {answer:?}");
        }
    }
    // Whichever of two the application takes.
    for [first, second] in [["GET", "POST"], ["POST", "GET"]] {
        let both = [("X-HTTP-Method-Override", first), ("X-HTTP-Method-Override", second)];
        let answer = site.ask_raw("GET /api/seats HTTP/1.1", &both);
        assert_eq!(answer.status, 403, "{both:?}: {answer:?}");
    }
    assert_eq!(site.app.reached(), before);
    site.c1_has(&json!({"features": null, "limits": null}));
}

pub(super) fn a_deny_has_the_status_that_the_policy_gives_it(site: &mut Site) {
    site.c1_is(Some(("disable", json!({"reason": "other"}))));
    for status in [400, 402, 404, 418, 429, 444, 451, 494, 497, 499] {
        site.is_governed_by(&format!("[http_status]\ncustomer_disabled = {status}"));
        assert_told(&site.assert_refused(status, || site.ask("GET", &[])), "CUSTOMER_DISABLED");
    }
    site.is_governed_by("");
}

fn is_exempt(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    path == "/billing" || path.starts_with("/billing/")
}

/// Asks, and again where the gateway had no answer of Tollgate's in time: it then lets nobody pass,
/// and what is wanted here is the decision.
fn ask(site: &Site, line: &str, more: &[(&str, &str)]) -> RawAnswer {
    let ask = || site.ask_raw(line, more);
    (0..10).map(|_| ask()).find(|answer| answer.status != 503).unwrap_or_else(ask)
}

/// Whether it was refused, by Tollgate or by the gateway itself, or sent elsewhere.
fn assert_refused(answer: &RawAnswer, asked: &str) {
    assert!(matches!(answer.status, 301 | 308 | 400..=499), "{asked}: {answer:?}");
}

const EXAMPLE: &str = include_str!("../../../examples/policy.toml");
const ODD: &[&str] = &[
    "/billing/pay",
    "/BILLING/Pay",
    "/billing/",
    "/billing/pay/",
    "/billing//pay",
    "//billing/pay",
    "//billing/api/x",
    "///billing/api/x",
    "/./billing/pay",
    "/.//billing/api/x",
    "/billing/./pay",
    "/x/../billing/pay",
    "/billing/../api/x",
    "/billing/..//api/x",
    "/billing//../api/x",
    "//billing/../api",
    "//billing/..//api",
    "/billing/pay/../../api/x",
    "/billing/..",
    "/billing/../",
    "/billing/.../api",
    "/billing/%2e%2e/api",
    "/billing/%2E%2E/api",
    "/billing/.%2e/api",
    "/billing/%2e./api",
    "/billing/%2e/pay",
    "/billing%2f..%2fapi",
    "/billing%2F..%2Fapi",
    "/billing/..%2fapi",
    "/billing%2f../api",
    "/billing%2fpay",
    "/%2fbilling/pay",
    "/billing/%252e%252e/api",
    "/billing/%25%32%65%25%32%65/api",
    "/billing/%25252e%25252e/api",
    "/billing%252f..%252fapi",
    "/billing/..%252fapi",
    "/billing/..;/api",
    "/billing/..;a=b/api",
    "/billing;/../api",
    "/billing/;/../../api",
    "/billing/..%3b/api",
    "/api;/../billing/pay",
    "/billing/pay;a=b",
    "/billing\\..\\api",
    "/billing/..\\api",
    "/billing/..%5capi",
    "/billing/..%255capi",
    "/billing/pay?x=/../../api",
    "/billing/../api?/billing/pay",
    "/billing/pay#/../../api",
    "/billing/pay%23/../../api",
    "/api/x%3f/../../billing/pay",
    "/api/x?/../../billing/pay",
    "/api/x#/../../billing/pay",
    "/api/x%23/../../billing/pay",
    "/billing/pay%00",
    "/api%00/../billing/pay",
    "/billing/%00/../../api",
    "/billing/..%00/api",
    "/billing/..%0d/api",
    "/billing/..%09/api",
    "/billing/%20../api",
    "/billing/..%20/api",
    "/billing/%c0%ae%c0%ae/api",
    "/billing/%e0%80%ae%e0%80%ae/api",
    "/billing/%uff0e%uff0e/api",
    "/billing/%u002e%u002e/api",
    "/billing/%2/api",
    "/billing/%",
    "/%62illing/pay",
    "/billing/p%61y",
    "/b%69lling/%2E%2e%2fapi",
    "/billing/caf%c3%a9",
    "/billing/100%25",
    "/billing/a:b@c",
    "/billing/a%3Ab%40c",
    "/api:billing/pay",
    "/billings/pay",
    "/billing.json",
    "/billing%20/pay",
    "/billing%3f/pay",
    "/api/billing/pay",
    "billing/pay",
];
