//! How long a caller waits for its answer.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

use crate::clock::{Clock, Moment};

/// The moment a call arrived, and how long its caller waits from then on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// When it arrived.
    pub begun: Moment,
    timeout: Option<Duration>,
}

impl Deadline {
    /// The deadline of a call that arrived at `begun`. One that does not say how long it waits, or
    /// says it in no known way, waits for ever.
    pub(super) fn of(headers: &HeaderMap, begun: Moment) -> Self {
        let timeout = headers.get("grpc-timeout").map(HeaderValue::as_bytes);
        Self { begun, timeout: timeout.and_then(parse) }
    }

    /// The deadline of a caller that waits for ever.
    pub(super) const fn none(begun: Moment) -> Self {
        Self { begun, timeout: None }
    }

    /// What is left; nothing when the caller waits no more.
    pub(super) fn left(self, clock: &Clock) -> Option<Duration> {
        let waited = clock.moment().saturating_since(self.begun);
        match self.timeout {
            Some(timeout) => timeout.checked_sub(waited).filter(|left| !left.is_zero()),
            None => Some(Duration::MAX),
        }
    }
}

/// One to eight digits and a unit, as in `200m`.
fn parse(raw: &[u8]) -> Option<Duration> {
    let (unit, digits) = raw.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(count.saturating_mul(3600))),
        b'M' => Some(Duration::from_secs(count.saturating_mul(60))),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(parse(b"200m"), Some(Duration::from_millis(200)));
        assert_eq!(parse(b"99999999H"), Some(Duration::from_hours(99_999_999)));
        assert_eq!(parse(b"0n"), Some(Duration::ZERO));
        for raw in ["", "m", "5", "5s", "-5m", "+5m", "123456789n", "5 m", "5mm"] {
            assert_eq!(parse(raw.as_bytes()), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn no_timeout_makes_it_panic(raw in prop::collection::vec(any::<u8>(), 0..12)) {
            let _ = parse(&raw);
        }
    }
}
