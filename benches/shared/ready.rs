//! How long a start takes.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::tollgate::Tollgate;

/// Starts one, and tells how long it took until it was ready.
pub(crate) fn start(flags: &[&str]) -> (Tollgate, Duration) {
    let begun = Instant::now();
    let tollgate = Tollgate::start_unready(flags);
    wait_for(&tollgate, begun);
    (tollgate, begun.elapsed())
}

/// Waits until one is ready that was started at `begun`, for three minutes at most.
pub(crate) fn wait_for(tollgate: &Tollgate, begun: Instant) {
    while tollgate.admin("/readyz").status != 200 {
        assert!(begun.elapsed() < Duration::from_mins(3), "it takes too long");
        thread::sleep(Duration::from_millis(5));
    }
}
