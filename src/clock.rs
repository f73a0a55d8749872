//! The only place where the time is read. Everyone else is handed a [`Clock`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

use crate::domain::Timestamp;

/// Tells the time of day, and the time that has passed.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_millis: Arc<AtomicU64>,
}

impl Clock {
    /// The system's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// The time of day, for what is stored and shown, and to judge `since` and `until`.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(millis).saturating_add(self.ahead())
    }

    /// The time since the machine started, suspension included (`CLOCK_BOOTTIME`), to measure
    /// ages: nobody can set it.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let at = clock_gettime(ClockId::Boottime);
        let seconds = Duration::from_secs(u64::try_from(at.tv_sec).unwrap_or(0));
        let rest = Duration::from_nanos(u64::try_from(at.tv_nsec).unwrap_or(0));
        Moment(seconds + rest + self.ahead())
    }

    /// Moves this clock, and every clone of it, ahead.
    pub fn advance(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.ahead_millis.fetch_add(millis, Ordering::Relaxed);
    }

    fn ahead(&self) -> Duration {
        Duration::from_millis(self.ahead_millis.load(Ordering::Relaxed))
    }
}

/// A point in the time that passes on this machine; only differences mean something.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(Duration);

impl Moment {
    /// The moment `nanos` after the machine started.
    #[must_use]
    pub fn from_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }

    /// Nanoseconds since the machine started.
    #[must_use]
    pub fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `span` after this one.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// About as long as `span`, by chance up to a fifth shorter or longer: so that what many instances
/// do regularly they do not all do at the same moment.
#[must_use]
pub fn jittered(span: Duration) -> Duration {
    span.mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advanced_clock_is_ahead_by_that_much() {
        let clock = Clock::system();
        let before = (clock.now(), clock.moment());
        clock.advance(Duration::from_hours(1));
        assert!(clock.now().saturating_since(before.0) >= Duration::from_hours(1));
        assert!(clock.moment().saturating_since(before.1) >= Duration::from_hours(1));
    }
}
