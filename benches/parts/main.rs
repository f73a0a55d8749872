//! What each part of a check takes, and what a change takes to be applied, without any server.
//!
//! `cargo bench --bench parts` compares with the run before it. What a whole check costs, with the
//! server around it, `side_by_side` measures.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has failed")]

mod change;
mod decide;
mod lookup;
mod request;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decide::bench(&mut criterion);
    lookup::bench(&mut criterion);
    request::bench(&mut criterion);
    change::bench(&mut criterion);
    criterion.final_summary();
}
