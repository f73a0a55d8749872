//! Durations as people write them: `50ms`, `30s`, `5m`, `1h`, `90d`.

use std::time::Duration;

/// Reads a whole number and its unit: `us`, `ms`, `s`, `m`, `h` or `d`.
pub fn parse_duration(raw: &str) -> Result<Duration, InvalidDuration> {
    let digits = raw.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = raw.split_at(digits);
    let (_, micros) =
        UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(InvalidDuration::Form)?;
    if number.is_empty() {
        return Err(InvalidDuration::Form);
    }
    let number: u64 = number.parse().map_err(|_| InvalidDuration::TooLong)?;
    number.checked_mul(micros).map(Duration::from_micros).ok_or(InvalidDuration::TooLong)
}

/// Writes a duration as [`parse_duration`] reads it, in the largest unit that is exact.
pub(super) fn spell_duration(duration: Duration) -> String {
    let total = duration.as_micros();
    let exact =
        UNITS.into_iter().rev().find(|(_, micros)| total.is_multiple_of(u128::from(*micros)));
    match exact {
        Some((unit, micros)) if total > 0 => format!("{}{unit}", total / u128::from(micros)),
        _ => format!("{}s", duration.as_secs()),
    }
}

/// Text that is no duration.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidDuration {
    /// It is not a number and a unit.
    #[error("a duration must be a whole number and a unit, like 50ms, 30s, 5m, 1h or 90d")]
    Form,
    /// It cannot be held.
    #[error("a duration must be shorter than half a million years")]
    TooLong,
}

/// Each unit in microseconds, the shortest first.
const UNITS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        let millis = |raw| parse_duration(raw).map(|duration| duration.as_millis());
        assert_eq!(millis("50ms"), Ok(50));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("5m"), Ok(300_000));
        assert_eq!(millis("24h"), Ok(86_400_000));
        assert_eq!(millis("90d"), Ok(7_776_000_000));
        for raw in ["", "30", "s", "1.5s", "-1s", "30 s", "30S", "1h30m"] {
            assert_eq!(parse_duration(raw), Err(InvalidDuration::Form), "{raw}");
        }
        for raw in ["99999999999999999999s", "999999999999d"] {
            assert_eq!(parse_duration(raw), Err(InvalidDuration::TooLong), "{raw}");
        }
    }

    #[test]
    fn a_duration_is_spelled_in_its_largest_exact_unit() {
        for spelled in ["1us", "50ms", "90s", "5m", "1h", "90d", "0s"] {
            let duration = parse_duration(spelled).unwrap();
            assert_eq!(spell_duration(duration), spelled);
        }
        assert_eq!(spell_duration(Duration::from_hours(1)), "1h");
    }
}
