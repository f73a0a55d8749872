//! What the abuse of a few costs everybody else.
//!
//! `cargo bench --bench abuse` starts a Redis with 600,000 restricted customers and one instance of
//! Tollgate, and asks it 1,000 times a second about customers that it knows: quiet, under an abuse,
//! quiet again, round by round, for each abuse. It prints how many times longer an answer takes
//! under the abuse than when it is quiet. The instance has one core, everything else another one.
//! `-- unknown idle` is for these only, of `idle`, `full`, `readers`, `writers`, `unknown` and
//! `resnapshot`; `-- --quick` is for trying. `benches/grow` keeps what it prints in
//! `benches/SCALE.md`, where it is explained.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::print_stderr, reason = "its progress is what it tells")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what cannot run has failed")]

#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod support;

#[path = "../shared/cores.rs"]
mod cores;
#[path = "../shared/crowd.rs"]
mod crowd;
#[path = "../../tests/support/raw.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod raw;
#[path = "../shared/ready.rs"]
#[expect(dead_code, reason = "other benchmarks share it and use the rest")]
mod ready;
#[path = "../shared/times.rs"]
mod times;
#[path = "../shared/usage.rs"]
mod usage;

mod abuses;
mod connections;
mod probe;
mod resnapshot;
mod rounds;
mod unknown;

use std::env;

use crate::{
    abuses::ABUSES,
    cores::{Cores, on},
    crowd::Crowd,
    rounds::{FULL, QUICK, print_head, run},
};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let is_asked = |name: &str| arguments.iter().any(|argument| argument == name);
    // `cargo test --benches` only wants to know that it compiles.
    if !is_asked("--bench") {
        return;
    }
    let plan = if is_asked("--quick") { &QUICK } else { &FULL };
    let cores = Cores::of_this_machine();
    let Cores { beside, load, .. } = cores;
    let crowd = Crowd { customers: plan.restricted + KNOWN, restricted: plan.restricted };
    let redis = on(beside, || crowd.settle());
    let all = !ABUSES.iter().any(|abuse| is_asked(abuse.name));
    print_head(plan);
    for abuse in ABUSES {
        if all || is_asked(abuse.name) {
            eprintln!("Under {}", abuse.name);
            on(load, || run(abuse, &redis, crowd, plan, &cores));
        }
    }
}

/// So many are not restricted: those that are asked about.
pub(crate) const KNOWN: u64 = 1000;
