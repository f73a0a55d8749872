//! How long to leave a system alone: what its answers ask for, and what errors suggest.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use ureq::http::HeaderMap;

use crate::{clock::jittered, domain::Timestamp};

/// What `Retry-After` asks for: seconds, or the date until which to wait.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let raw = text(headers, "retry-after")?;
    if let Ok(seconds) = raw.parse() {
        return Some(bounded(Duration::from_secs(seconds)));
    }
    let date = DateTimeParser::new().parse_timestamp(raw).ok()?;
    let date = Timestamp::from_millis(date.as_millisecond());
    Some(bounded(date.saturating_since(now)))
}

/// How long until there are requests left again, if there are none.
pub(super) fn until_reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let number = |name| {
        NAMES
            .iter()
            .find_map(|prefix| text(headers, &format!("{prefix}{name}"))?.parse::<f64>().ok())
    };
    if number("remaining")? >= 1.0 {
        return None;
    }
    reset(number("reset")?, now)
}

/// How long until the limits start anew, whatever is left.
pub(super) fn reset_alone(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let raw = NAMES.iter().find_map(|prefix| text(headers, &format!("{prefix}reset")))?;
    reset(raw.parse().ok()?, now)
}

/// How long to wait after so many failures in a row, the first time about `first`, then twice as
/// long each time, and never longer than `most` and a fifth.
pub(super) fn backoff(failures: u32, first: Duration, most: Duration) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    jittered(first.saturating_mul(doubled).min(most))
}

/// Seconds from now, or a time since 1970 in seconds or milliseconds when it is that large.
fn reset(value: f64, now: Timestamp) -> Option<Duration> {
    let now = Duration::from_millis(now.as_millis());
    let given = Duration::try_from_secs_f64(value).ok()?;
    let span = match given {
        small if small < SECONDS_OF_ANY_DATE => small,
        seconds if seconds < SECONDS_OF_ANY_DATE * 1000 => seconds.saturating_sub(now),
        millis => (millis / 1000).saturating_sub(now),
    };
    Some(bounded(span))
}

fn bounded(span: Duration) -> Duration {
    span.min(LONGEST)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

const NAMES: [&str; 2] = ["x-ratelimit-", "ratelimit-"];
/// Thirty years: no limit starts anew as late as that, and no date is as early.
const SECONDS_OF_ANY_DATE: Duration = Duration::from_secs(1_000_000_000);
/// Nobody is believed who asks for more at once.
const LONGEST: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000_000;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(NOW)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asked = |value| retry_after(&headers(&[("retry-after", value)]), now());
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("99999999"), Some(LONGEST));
        // 1795000000 is Wed, 18 Nov 2026 11:06:40 GMT.
        assert_eq!(asked("Wed, 18 Nov 2026 11:07:10 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(asked("Wed, 18 Nov 2020 11:07:10 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
    }

    #[test]
    fn limits_start_anew_some_seconds_from_now_or_at_a_time() {
        for prefix in ["X-RateLimit-", "RateLimit-"] {
            let asked = |remaining: &str, reset: &str| {
                let mut all = HeaderMap::new();
                for (name, value) in [("Remaining", remaining), ("Reset", reset)] {
                    let name = format!("{prefix}{name}").to_lowercase();
                    all.insert(
                        ureq::http::HeaderName::try_from(name).unwrap(),
                        value.parse().unwrap(),
                    );
                }
                until_reset(&all, now())
            };
            assert_eq!(asked("0", "12"), Some(Duration::from_secs(12)));
            assert_eq!(asked("0", "1795000005"), Some(Duration::from_secs(5)));
            assert_eq!(asked("0", "1795000005000"), Some(Duration::from_secs(5)));
            assert_eq!(asked("0", "1794999995"), Some(Duration::ZERO));
            assert_eq!(asked("0", "NaN"), None);
            assert_eq!(asked("1", "12"), None);
        }
    }

    #[test]
    fn errors_are_waited_for_longer_each_time_up_to_a_bound() {
        let (first, most) = (Duration::from_secs(1), Duration::from_mins(1));
        for (failures, about) in [(1, 1), (2, 2), (4, 8), (7, 60), (400, 60)] {
            let waited = backoff(failures, first, most).as_secs_f64() / f64::from(about);
            assert!((0.8..=1.2).contains(&waited), "{failures}: {waited}");
        }
    }
}
