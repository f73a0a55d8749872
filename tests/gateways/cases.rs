//! What is tried at every gateway, and what has to come of it.

mod disguise;
mod route;
mod trouble;

use std::time::Duration;

use serde_json::json;

use crate::{
    site::{Site, received},
    support::tollgate::Answer,
};

/// Asks in some way, and holds what comes of it.
pub(crate) type Case = fn(&mut Site);

/// Every case and its name, in the order in which they are tried. The last one leaves no Tollgate.
pub(crate) const CASES: &[(&str, Case)] = &[
    ("allow", an_active_customer_passes),
    ("undecided", trouble::where_nothing_can_be_known_nobody_passes),
    ("missing", whoever_shows_no_key_is_nobody),
    ("unknown", an_unknown_customer_is_refused),
    ("disabled", a_disabled_customer_is_refused),
    ("unpaid", a_customer_who_has_not_paid_is_told_to),
    ("frozen write", a_frozen_customer_does_not_write),
    ("frozen read", a_frozen_customer_reads),
    ("inactive", an_inactive_customer_is_refused),
    ("spoofed", disguise::what_a_client_forges_decides_nothing_and_reaches_nobody),
    ("doubled", disguise::two_ids_or_keys_do_not_mix),
    ("hop-by-hop", disguise::a_header_cannot_be_made_to_vanish),
    ("odd paths", disguise::a_path_that_hides_something_is_no_read),
    ("HEAD", a_head_is_a_read_and_has_no_body),
    ("OPTIONS", an_options_is_a_read),
    ("override", disguise::a_method_override_makes_a_read_a_write),
    ("billing", route::whoever_owes_something_can_pay_and_do_nothing_else),
    ("billing odd", route::what_passes_as_exempt_is_exempt_to_every_application),
    ("feature", route::a_route_asks_for_its_feature_however_its_path_is_spelled),
    ("own status", route::a_deny_has_the_status_that_the_policy_gives_it),
    ("websocket", disguise::an_upgrade_is_a_write),
    ("change", trouble::a_change_decides_the_next_request_on_the_same_connection),
    ("keep-alive", trouble::one_connection_to_tollgate_carries_every_question),
    ("slow", trouble::while_tollgate_hangs_nobody_passes),
    ("down", trouble::without_tollgate_nobody_passes),
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

fn freeze(site: &Site) {
    site.c1_is(Some(("freeze", json!({}))));
}

/// Tollgate's own body reached the client.
fn assert_told(answer: &Answer, code: &str) {
    assert_eq!(answer.code(), code, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
}

const PATIENCE: Duration = Duration::from_secs(10);
