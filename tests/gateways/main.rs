//! Every example of `examples/` through the real gateway and the real Tollgate: what a client is
//! answered, and what reaches the application.
//!
//! `tests/run --gateways` prints what came of it as a table.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]
#![expect(clippy::print_stdout, reason = "the result is what it prints")]

mod cases;
mod configuration;
mod gateway;
mod site;
mod table;

#[path = "../support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use gateway::Kind;

#[test]
fn nginx_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::Nginx).assert_passes();
}

#[test]
fn traefik_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::Traefik).assert_passes();
}

#[test]
fn caddy_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::Caddy).assert_passes();
}

#[test]
fn envoy_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::Envoy).assert_passes();
}

#[test]
fn haproxy_is_not_fooled_and_lets_nobody_pass_unasked() {
    table::Row::of(Kind::Haproxy).assert_passes();
}

/// What `tests/run --gateways` runs.
#[test]
#[ignore = "the same again, to be printed: `tests/run --gateways`"]
fn every_case_passes_at_every_gateway() {
    println!("{}", table::head());
    let rows = Kind::ALL.map(|kind| {
        let row = table::Row::of(kind);
        println!("{row}");
        row
    });
    rows.iter().for_each(table::Row::assert_passes);
}
