//! Keeps a log line that could flood the log to one in a while.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::Moment;

/// Lets one line pass per interval, and counts those it held back.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next_nanos: AtomicU64,
    held_back: AtomicU64,
}

impl Pace {
    /// One line every `interval`, the first one at once.
    pub(super) fn every(interval: Duration) -> Self {
        Self { interval, next_nanos: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// Whether a line may be written at `now`: then how many were held back since the last one.
    pub(super) fn admit(&self, now: Moment) -> Option<u64> {
        let now = now.as_nanos();
        let due = self.next_nanos.load(Ordering::Relaxed);
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        let next = now.saturating_add(interval);
        let won = now >= due
            && self
                .next_nanos
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if won {
            Some(self.held_back.swap(0, Ordering::Relaxed))
        } else {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_per_interval_and_tells_how_many_did_not() {
        let pace = Pace::every(Duration::from_nanos(10));
        let admit = |nanos| pace.admit(Moment::from_nanos(nanos));
        assert_eq!(admit(100), Some(0));
        assert_eq!(admit(101), None);
        assert_eq!(admit(109), None);
        assert_eq!(admit(110), Some(2));
        assert_eq!(admit(120), Some(0));
    }
}
