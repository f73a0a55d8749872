//! What a check costs, beside what else could answer in its place.
//!
//! `cargo bench --bench side_by_side` starts Tollgate and its ceilings, each as a process on one
//! core, and asks one after the other from another core, round by round. So what slows this machine
//! for a while slows all of them, and each round compares what was measured within half a minute.
//! `benches/run` installs what this starts, and keeps what it prints in the README.
//!
//! `-- --quick` is for trying: two rounds of a second each.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::print_stderr, reason = "its progress is what it tells")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has failed")]

#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod support;

#[path = "../shared/cores.rs"]
mod cores;
#[path = "../shared/usage.rs"]
#[expect(dead_code, reason = "other benchmarks share it and use the rest")]
mod usage;

mod ceilings;
mod contender;
mod envoy;
mod field;
mod goals;
mod load;
mod nginx;
mod question;
mod results;
mod rounds;

use std::{env, time::Duration};

use crate::{
    ceilings::Ceiling,
    cores::Cores,
    field::Field,
    rounds::{Plan, run},
};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some((Ceiling::ARGUMENT, ceiling)) =
        arguments.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        ceilings::serve(ceiling);
        return;
    }
    // `cargo test --benches` only wants to know that it compiles.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let plan = if arguments.iter().any(|argument| argument == "--quick") { QUICK } else { FULL };
    let cores = Cores::of_this_machine();
    let field = Field::start(&cores);
    let results = run(field.contenders(), &plan, &cores);
    goals::print(&results);
    results.print(&plan);
}

const FULL: Plan =
    Plan { rounds: 5, warm_up: Duration::from_secs(1), measured: Duration::from_secs(3) };
const QUICK: Plan =
    Plan { rounds: 2, warm_up: Duration::from_secs(1), measured: Duration::from_secs(1) };
