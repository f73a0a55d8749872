//! Moments of wall-clock time, as they are stored and shown.

use std::{fmt, num::NonZeroU64, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in milliseconds since 1970, UTC, between 1970 and the end of the year 9999.
///
/// Shown as RFC 3339 in UTC, with three fractional digits when they are not zero.
///
/// ```
/// use tollgate::domain::Timestamp;
/// let at: Timestamp = "2026-11-21T11:00:00+01:00".parse()?;
/// assert_eq!(at.to_string(), "2026-11-21T10:00:00Z");
/// # Ok::<(), tollgate::domain::time::InvalidTimestamp>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(
    /// One millisecond more, so that a moment that may be missing takes no more room.
    NonZeroU64,
);

impl Timestamp {
    /// The moment `millis` after the start of 1970, or the nearest one that can be held.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self::at_or_latest(u64::try_from(millis).unwrap_or(0))
    }

    /// Milliseconds since the start of 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0.get() - 1
    }

    fn at_or_latest(millis: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(millis.min(LATEST_MILLIS)))
    }

    /// This moment and `span` more, or the latest moment that can be held.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self::at_or_latest(self.as_millis().saturating_add(millis))
    }

    /// This moment and `span` less, or the earliest moment that can be held.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self::at_or_latest(self.as_millis().saturating_sub(millis))
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.as_millis().saturating_sub(earlier.as_millis()))
    }
}

impl Default for Timestamp {
    /// The start of 1970.
    fn default() -> Self {
        Self::at_or_latest(0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.as_millis()).unwrap_or(i64::MAX);
        let shown = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        if self.as_millis().is_multiple_of(1000) {
            write!(f, "{shown:.0}")
        } else {
            write!(f, "{shown:.3}")
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(raw: &str) -> Result<Self, InvalidTimestamp> {
        let parsed: jiff::Timestamp = raw.parse().map_err(|_| InvalidTimestamp)?;
        let millis = u64::try_from(parsed.as_millisecond()).map_err(|_| InvalidTimestamp)?;
        if millis > LATEST_MILLIS { Err(InvalidTimestamp) } else { Ok(Self::at_or_latest(millis)) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        raw.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is not a moment that Tollgate can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a time must be RFC 3339 with a zone, like `2026-11-21T10:00:00Z`, from 1970 on")]
pub struct InvalidTimestamp;

/// 9999-12-30T22:00:00.999Z, the last millisecond that jiff shows.
const LATEST_MILLIS: u64 = 253_402_207_200_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_shown_only_when_there_are_some() {
        assert_eq!(Timestamp::from_millis(1_763_719_200_000).to_string(), "2025-11-21T10:00:00Z");
        assert_eq!(
            Timestamp::from_millis(1_763_719_200_120).to_string(),
            "2025-11-21T10:00:00.120Z"
        );
    }

    #[test]
    fn what_is_shown_reads_back() {
        for millis in [0, 1, 999, 1_763_719_200_120, i64::MAX] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.to_string().parse(), Ok(at));
        }
    }

    #[test]
    fn a_time_without_a_zone_or_before_1970_is_refused() {
        for raw in ["2026-11-21T10:00:00", "1969-12-31T23:59:59Z", "soon", ""] {
            assert_eq!(raw.parse::<Timestamp>(), Err(InvalidTimestamp), "{raw}");
        }
    }
}
