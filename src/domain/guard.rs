//! The guard on blast radius: one billing bug must not lock out everybody.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use super::{key::CustomerKey, time::Timestamp};

/// How many customers one source may restrict within a while.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GuardRule {
    /// The share of all customers, in hundredths of a percent.
    pub basis_points: u16,
    /// Within how long.
    pub window: Duration,
}

impl GuardRule {
    /// How many of `customers` that is. A handful is never too many.
    #[must_use]
    pub fn limit(&self, customers: u64) -> u64 {
        let share = u128::from(customers) * u128::from(self.basis_points) / 10_000;
        u64::try_from(share).unwrap_or(u64::MAX).max(ALWAYS_ALLOWED)
    }
}

/// What the store keeps of a source that was paused once.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceState {
    /// Since when it restricts nobody, while it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Timestamp>,
    /// When somebody last let it go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<Timestamp>,
    /// How many customers it had restricted within the window when it was paused.
    pub restricted: u64,
    /// How many customers there were.
    pub customers: u64,
}

impl SourceState {
    /// From when on its acts are counted: whoever lets it go on lets it do what has waited.
    #[must_use]
    pub fn counted_from(&self, window: Duration) -> Timestamp {
        self.resumed_at.map_or(Timestamp::default(), |at| at.saturating_add(window))
    }
}

/// The customers that one source restricted lately, each counted once.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    latest: HashMap<u64, Timestamp>,
    by_time: BTreeSet<(Timestamp, u64)>,
}

impl Tally {
    /// Counts `customer`, who was restricted at `at`; again when it was counted before.
    pub fn add(&mut self, customer: &CustomerKey, at: Timestamp) {
        let customer = digest(customer);
        let counted = self.latest.get(&customer).copied();
        if counted.is_some_and(|counted| counted >= at) {
            return;
        }
        if let Some(counted) = counted {
            self.by_time.remove(&(counted, customer));
        }
        self.latest.insert(customer, at);
        self.by_time.insert((at, customer));
    }

    /// Forgets what was restricted before `moment`.
    pub fn forget_before(&mut self, moment: Timestamp) {
        while let Some((at, customer)) = self.by_time.first().copied()
            && at < moment
        {
            self.by_time.pop_first();
            self.latest.remove(&customer);
        }
    }

    /// How many customers are counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.latest.len() as u64
    }

    /// Whether `customer` is.
    #[must_use]
    pub fn holds(&self, customer: &CustomerKey) -> bool {
        self.latest.contains_key(&digest(customer))
    }
}

/// Two customers with one digest count as one, once in a billion windows.
fn digest(customer: &CustomerKey) -> u64 {
    xxh64(customer.as_str().as_bytes(), 0)
}

/// So many customers any source may restrict, however few there are.
const ALWAYS_ALLOWED: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> CustomerKey {
        CustomerKey::parse(&format!("acme:c{number}")).unwrap()
    }

    #[test]
    fn the_limit_is_a_share_of_the_customers_and_never_a_handful() {
        let rule = GuardRule { basis_points: 100, window: Duration::from_mins(10) };
        for (customers, limit) in [(0, 20), (1999, 20), (2100, 21), (2_000_000, 20_000)] {
            assert_eq!(rule.limit(customers), limit, "{customers}");
        }
    }

    #[test]
    fn each_customer_counts_once_from_its_latest_restriction_on() {
        let mut tally = Tally::default();
        let at = Timestamp::from_millis;
        tally.add(&key(1), at(10));
        tally.add(&key(2), at(20));
        tally.add(&key(1), at(30));
        tally.add(&key(1), at(5));
        assert_eq!(tally.count(), 2);
        tally.forget_before(at(25));
        assert_eq!((tally.count(), tally.holds(&key(1)), tally.holds(&key(2))), (1, true, false));
        tally.forget_before(at(31));
        assert_eq!(tally.count(), 0);
    }
}
