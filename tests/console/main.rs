//! The web console: over real sockets as any browser sends it, and in a real Chromium.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

mod acts;
mod browser;
mod listed;
mod sessions;
#[expect(dead_code, reason = "other suites share it and use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod trouble;
mod visitor;
mod watched;

use serde_json::json;
use support::{operators::put, tollgate::Tollgate};

/// A Tollgate with one customer.
fn start(more: &[&str]) -> Tollgate {
    let tollgate = Tollgate::start(&[&["--store", "memory:"], more].concat());
    put(&tollgate, "c1", &json!({}));
    tollgate
}
