//! Many times that the same took.

use std::time::Duration;

/// In order.
#[derive(Clone, Debug)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// In milliseconds, what so many hundredths of them took no longer than.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "it is a place in a list"
    )]
    pub(crate) fn millis_at(&self, percent: f64) -> f64 {
        let last = self.0.len().checked_sub(1).expect("nothing was measured");
        self.0[(last as f64 * percent / 100.0) as usize].as_secs_f64() * 1e3
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<T: IntoIterator<Item = Duration>>(times: T) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}
