//! The fault campaign: whatever happens to Redis or to an instance, nothing that was acknowledged
//! is lost, and afterwards every instance decides as the store has it.
//!
//! Each fault is injected while two writers act on 200 customers through either of two instances,
//! and while the instances are asked all the time. Then everything is compared.
//!
//! What is written and what is injected follows from a seed, which is printed; another one is
//! taken from `TOLLGATE_TEST_SEED`. `tests/run --campaign` injects every fault often, and prints
//! a table.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]
#![expect(clippy::print_stdout, reason = "the campaign's result is what it prints")]

mod act;
mod campaign;
mod embedded;
mod failover;
mod faults;
mod fleet;
mod flushed;
mod ledger;
mod recovery;
mod report;
mod store;
mod traffic;
mod verify;
mod writer;

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::time::SystemTime;

use tollgate::domain::Timestamp;

/// This moment by the clock of the wall.
fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_millis(since.as_millis().try_into().unwrap())
}
