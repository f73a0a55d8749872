//! The mode that operators give every instance for a while.

use std::{fmt, str::FromStr, time::Duration};

use super::time::Timestamp;

/// Every instance is in shadow until then: denies are told and let through. It ends by itself, so
/// that nobody can forget it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FleetShadow {
    /// When it ends.
    pub until: Timestamp,
}

impl FleetShadow {
    /// The longest that it may last.
    pub const AT_MOST: Duration = Duration::from_hours(7 * 24);

    /// Whether it is in force at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// As the store keeps it: `shadow@` and the end in milliseconds since 1970.
impl fmt::Display for FleetShadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SHADOW}{}", self.until.as_millis())
    }
}

impl FromStr for FleetShadow {
    type Err = UnknownFleetMode;

    fn from_str(raw: &str) -> Result<Self, UnknownFleetMode> {
        let end = raw.strip_prefix(SHADOW).and_then(|end| end.parse().ok());
        let until = end.map(Timestamp::from_millis).ok_or(UnknownFleetMode)?;
        Ok(Self { until })
    }
}

/// Text that is no mode of this version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is not a mode that this version knows")]
pub struct UnknownFleetMode;

const SHADOW: &str = "shadow@";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_reads_back_and_ends_at_its_moment() {
        let until = Timestamp::from_millis(1_795_255_203_000);
        let shadow = FleetShadow { until };
        assert_eq!(shadow.to_string(), "shadow@1795255203000");
        assert_eq!(shadow.to_string().parse(), Ok(shadow));
        assert!(shadow.is_in_force(until.saturating_sub(Duration::from_millis(1))));
        assert!(!shadow.is_in_force(until));
    }

    #[test]
    fn what_is_no_mode_is_not_taken_for_one() {
        for raw in ["", "shadow", "shadow@", "shadow@soon", "enforce@1", "SHADOW@1"] {
            assert_eq!(raw.parse::<FleetShadow>(), Err(UnknownFleetMode), "{raw}");
        }
    }
}
