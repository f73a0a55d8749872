//! How cost grows: one axis after the other, each until something gives.
//!
//! `cargo bench --bench growth` starts a Redis and instances of Tollgate for each step of each axis,
//! and prints a table for each axis. `-- customers changes` goes along these only, of `customers`,
//! `restricted`, `routes`, `instances`, `subscribers`, `changes` and `starts`; `-- --quick` is for
//! trying. `benches/grow` keeps what it prints in `benches/SCALE.md`, where it is explained.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::print_stderr, reason = "its progress is what it tells")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what cannot run has failed")]

#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod support;

#[path = "../shared/cores.rs"]
#[expect(dead_code, reason = "other benchmarks share it and use the rest")]
mod cores;
#[path = "../shared/crowd.rs"]
mod crowd;
#[path = "../shared/effect.rs"]
#[expect(dead_code, reason = "other benchmarks share it and use the rest")]
mod effect;
#[path = "../side_by_side/load.rs"]
#[expect(dead_code, reason = "other benchmarks share it and use the rest")]
mod load;
#[path = "../side_by_side/question.rs"]
#[expect(dead_code, reason = "other benchmarks share it and use the rest")]
mod question;
#[path = "../../tests/support/raw.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod raw;
#[path = "../shared/ready.rs"]
mod ready;
#[path = "../shared/times.rs"]
mod times;
#[path = "../shared/usage.rs"]
mod usage;

mod axes;
mod checks;
mod effort;
mod scene;
mod starts;
mod subscribers;
mod table;

use std::env;

use crate::{
    axes::{AXES, Axis},
    effort::{FULL, QUICK},
};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let is_asked = |name: &str| arguments.iter().any(|argument| argument == name);
    // `cargo test --benches` only wants to know that it compiles.
    if !is_asked("--bench") {
        return;
    }
    let effort = if is_asked("--quick") { &QUICK } else { &FULL };
    let all = !AXES.iter().any(|axis| is_asked(axis.name));
    for Axis { name, go_along } in AXES {
        if all || is_asked(name) {
            eprintln!("Along {name}");
            go_along(effort);
        }
    }
}
