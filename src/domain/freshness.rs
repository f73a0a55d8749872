//! How old a picture is, and what that means for an answer.

use std::time::Duration;

/// What an answer's age makes of it. Ordered from best to worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Freshness {
    /// Confirmed within the staleness budget.
    Fresh,
    /// Older than the budget: marked and counted, and still good to decide.
    Stale,
    /// Older than the limit: no longer good to let somebody in.
    TooStale,
}

/// How long ago the picture was last confirmed, and the two thresholds it is judged by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Staleness {
    /// Time since the last confirmation; nothing when there was none since the start.
    pub age: Option<Duration>,
    /// Past this, answers are marked.
    pub max_staleness: Duration,
    /// Past this, no known active customer is let in on it.
    pub stale_limit: Duration,
    /// The picture is older than its store, or disagrees with it.
    pub suspect: bool,
}

impl Staleness {
    /// Judges the age.
    #[must_use]
    pub fn judge(&self) -> Freshness {
        match self.age {
            None => Freshness::TooStale,
            Some(age) if age > self.stale_limit => Freshness::TooStale,
            Some(age) if age > self.max_staleness || self.suspect => Freshness::Stale,
            Some(_) => Freshness::Fresh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_judged_by_two_thresholds() {
        let judge = |age: Option<u64>, suspect| {
            let age = age.map(Duration::from_secs);
            let (max_staleness, stale_limit) = (Duration::from_secs(30), Duration::from_hours(1));
            Staleness { age, max_staleness, stale_limit, suspect }.judge()
        };
        assert_eq!(judge(Some(30), false), Freshness::Fresh);
        assert_eq!(judge(Some(0), true), Freshness::Stale);
        assert_eq!(judge(Some(31), false), Freshness::Stale);
        assert_eq!(judge(Some(3601), false), Freshness::TooStale);
        assert_eq!(judge(None, false), Freshness::TooStale);
    }
}
