//! Every example of `examples/` through the real gateway and the real Tollgate: what a client is
//! answered, and what reaches the application.
//!
//! `tests/run --gateways` prints what came of it as a table.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]
#![expect(clippy::print_stdout, reason = "the result is what it prints")]

mod cases;
mod configuration;
mod gateway;
mod readers;
mod site;
mod table;
mod token;

#[path = "../support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::time::Duration;

use gateway::{Kind, Variant};
use serde_json::{Value, json};
use site::Site;
use token::Token;

#[test]
fn nginx_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::Nginx, Variant::AsItStands).assert_passes();
}

#[test]
fn traefik_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::Traefik, Variant::AsItStands).assert_passes();
}

#[test]
fn caddy_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::Caddy, Variant::AsItStands).assert_passes();
}

#[test]
fn envoy_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::Envoy, Variant::AsItStands).assert_passes();
}

#[test]
fn envoy_over_grpc_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::EnvoyGrpc, Variant::AsItStands).assert_passes();
}

#[test]
fn envoy_with_a_token_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::EnvoyJwt, Variant::AsItStands).assert_passes();
}

#[test]
fn a_customer_is_who_a_token_names_that_envoy_has_verified() {
    let site = Site::start(Kind::EnvoyJwt, Variant::AsItStands);
    site.c1_is(None);
    let show = |token: &str, more: &[(&str, &str)]| {
        let bearer = format!("Bearer {token}");
        let headers = [&[("authorization", bearer.as_str())], more].concat();
        site.ask_bare("GET", &headers, Duration::from_secs(10))
    };
    let forged = [("x-customer-id", "c1")];
    // The token counts, whatever a header says, and no application needs to see it.
    assert_eq!(show(&Token::of("c2").signed(), &forged).code(), "CUSTOMER_UNKNOWN");
    let passed = site::received(&show(&Token::of("c1").signed(), &[("x-customer-id", "c2")]));
    assert_eq!(
        (&passed["x-customer-id"], &passed["authorization"]),
        (&json!(["c1"]), &Value::Null)
    );

    let c1 = || Token::of("c1");
    let good = c1().signed();
    let (claims, signature) = good.rsplit_once('.').unwrap();
    let (_, others_claims) = good.split_once('.').unwrap();
    let before = site.app.reached();
    for (why, token) in [
        ("nothing", String::new()),
        ("no token", "c1".to_owned()),
        ("no signature", format!("{claims}.")),
        ("another's signature", format!("{}.{signature}", Token::of("c2").unsigned())),
        ("another key", c1().signed_with(b"another key of thirty-two bytes!")),
        ("no algorithm", format!("{}.{others_claims}", Token::header("none"))),
        ("another algorithm", format!("{}.{others_claims}", Token::header("RS256"))),
        ("expired", c1().with("exp", &json!(1_000_000_000)).signed()),
        ("not yet", c1().with("nbf", &json!(9_000_000_000_u64)).signed()),
        ("no text for a customer", c1().with("sub", &json!(7)).signed()),
        ("another issuer", c1().with("iss", &json!("https://elsewhere.example")).signed()),
        ("another audience", c1().with("aud", &json!("another")).signed()),
    ] {
        // Envoy knows whoever comes with a token for somebody else, and lets it in nowhere.
        let expected = if why == "another audience" { 403 } else { 401 };
        assert_eq!(show(&token, &forged).status, expected, "{why}");
    }
    // Who is verified and no customer is refused by Tollgate.
    for (sub, status, code) in [
        (Value::Null, 401, "CUSTOMER_MISSING"),
        (json!(""), 401, "CUSTOMER_MISSING"),
        (json!("c1,c2"), 400, "CUSTOMER_MALFORMED"),
    ] {
        let refused = show(&c1().with("sub", &sub).signed(), &forged);
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{sub}");
    }
    assert_eq!(site.app.reached(), before);
}

#[test]
fn haproxy_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::Haproxy, Variant::AsItStands).assert_passes();
}

#[test]
fn envoys_access_log_tells_who_was_refused_and_why() {
    let site = Site::start(Kind::EnvoyGrpc, Variant::AsItStands);
    site.c1_is(Some(("freeze", json!({}))));
    assert_eq!(site.ask("GET", &[]).status, 200);
    assert_eq!(site.ask("POST", &[]).status, 423);
    for told in [
        "GET /things?page=1 200 via_upstream customer=c1 status=frozen reason=frozen_read",
        "POST /things?page=1 423 ext_authz_denied customer=c1 status=frozen reason=customer_frozen",
    ] {
        site.tollgate.wait_until(told, || site.gateway.log().contains(told));
    }
}

#[test]
fn envoy_asks_over_http_2_as_well_and_then_lets_no_websocket_pass() {
    let site = Site::start(Kind::Envoy, Variant::Http2);
    site.c1_is(Some(("freeze", json!({}))));
    assert_eq!(site.ask("GET", &[]).status, 200);
    assert_eq!(site.ask("POST", &[]).status, 423);
    for act in [Some(("freeze", json!({}))), None] {
        site.c1_is(act);
        let before = site.app.reached();
        let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        assert_eq!(site.ask_raw("GET /chat HTTP/1.1", &upgrade).status, 503);
        assert_eq!(site.app.reached(), before);
    }
}

#[test]
fn where_everybody_is_to_pass_without_a_decision_they_do_and_forge_nothing() {
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Traefik) {
        let mut site = Site::start(kind, Variant::Open);
        site.c1_is(Some(("freeze", json!({}))));
        let forged = [("x-tollgate-status", "forged"), ("x-customer-id", "c2")];
        assert_eq!(site.ask("POST", &forged).status, 423, "{kind:?}");

        site.way.close();
        site.tollgate.kill9();
        let (name, value) = kind.credentials("c1");
        let headers = [&[(name, value.as_str())], &forged[..]].concat();
        let passed = site.ask_bare("POST", &headers, Duration::from_secs(2));
        let received = site::received(&passed);
        assert_eq!(received["x-customer-id"], json!(["c1"]), "{kind:?}");
        assert_eq!(received["x-tollgate-status"], Value::Null, "{kind:?}");
    }
}

#[test]
fn the_table_of_the_readme_has_every_gateway_and_every_case() {
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&table::head()), "{}", table::head());
    for kind in Kind::ALL {
        // The version is that of whoever ran it last.
        let row = readme.lines().find(|line| line.starts_with(&format!("| {} ", kind.name())));
        let passed = row.unwrap_or_default().matches(" pass |").count();
        assert_eq!(passed, cases::CASES.len(), "{kind:?} in the README");
    }
}

/// What `tests/run --gateways` runs.
#[test]
#[ignore = "the same again, to be printed: `tests/run --gateways`"]
fn every_case_passes_at_every_gateway() {
    println!("{}", table::head());
    let rows = Kind::ALL.map(|kind| {
        let row = table::Row::of(kind, Variant::AsItStands);
        println!("{row}");
        row
    });
    rows.iter().for_each(table::Row::assert_passes);
}
