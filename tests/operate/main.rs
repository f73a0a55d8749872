//! Tollgate as those see it who keep it running: its metrics, its rules and its dashboard under a
//! real Prometheus, its probes under load, and a restart that nobody notices.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

mod catalogue;
mod dashboard;
mod expression;
mod prometheus;
#[path = "../support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
mod restarted;
mod rules;
mod saturated;
mod scraped;
#[path = "../webhooks/sender.rs"]
#[expect(dead_code, reason = "another suite shares it and uses the rest")]
mod sender;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;
mod traffic;

use std::{env, fs::OpenOptions, io::Write as _, thread};

/// Tells what a test measured: on standard output, and for the table of `tests/run --operate`.
#[expect(clippy::print_stdout, reason = "it is what whoever runs this wants to see")]
fn measured(figure: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or_default();
    println!("{test}: {figure}");
    if let Some(table) = env::var_os("TOLLGATE_TEST_FIGURES") {
        let mut table = OpenOptions::new().create(true).append(true).open(table).unwrap();
        writeln!(table, "{test}\t{figure}").unwrap();
    }
}
