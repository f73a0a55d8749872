//! How far the axes reach, and how long each step is measured.

use std::time::Duration;

/// The steps of every axis.
#[derive(Debug)]
pub(crate) struct Effort {
    /// How long checks are asked before they count, and then while they do. In whole seconds.
    pub(crate) checks: Duration,
    /// How long changes are made while they count.
    pub(crate) changes: Duration,
    pub(crate) customers: &'static [u64],
    /// Of how many customers the next are a share.
    pub(crate) of_customers: u64,
    /// In hundredths.
    pub(crate) restricted: &'static [u64],
    pub(crate) routes: &'static [u32],
    pub(crate) instances: &'static [usize],
    pub(crate) subscribers: &'static [usize],
    pub(crate) changes_a_second: &'static [u32],
    /// How many start at once.
    pub(crate) starts: &'static [usize],
    /// On how many restricted customers.
    pub(crate) starts_on: u64,
}

pub(crate) const FULL: Effort = Effort {
    checks: Duration::from_secs(3),
    changes: Duration::from_secs(6),
    customers: &[1_000, 10_000, 100_000, 1_000_000],
    of_customers: 200_000,
    restricted: &[1, 10, 30, 100],
    routes: &[0, 1, 10, 100, 1000],
    instances: &[3, 10, 50, 100, 200],
    subscribers: &[0, 100, 500, 1000, 2000, 4000],
    changes_a_second: &[10, 100, 500, 1000, 2000, 5000],
    starts: &[1, 10, 50],
    starts_on: 600_000,
};

pub(crate) const QUICK: Effort = Effort {
    checks: Duration::from_secs(1),
    changes: Duration::from_secs(1),
    customers: &[1_000, 10_000],
    of_customers: 10_000,
    restricted: &[1, 100],
    routes: &[0, 1000],
    instances: &[3, 6],
    subscribers: &[0, 100],
    changes_a_second: &[10, 500],
    starts: &[1, 3],
    starts_on: 10_000,
};
