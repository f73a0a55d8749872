//! What shadow mode let through and would have been refused.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    domain::{Reason, Route},
    telemetry::{Metrics, NO_ROUTE},
};

/// Counts it since the process began, by route and reason. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ShadowReport(Arc<Mutex<Counts>>);

/// By the pattern of the route, or that none was met, and by reason.
type Counts = BTreeMap<(String, &'static str), u64>;

/// One line of the report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spared {
    /// The pattern of the route; `-` when none was met.
    pub route: String,
    /// Why it would have been refused.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}

impl ShadowReport {
    /// Every line, by route and reason.
    #[must_use]
    pub fn lines(&self) -> Vec<Spared> {
        let counts = self.0.lock();
        let line = |((route, reason), count): (&(String, &'static str), &u64)| Spared {
            route: route.clone(),
            reason,
            count: *count,
        };
        counts.iter().map(line).collect()
    }

    /// Counts one.
    pub(super) fn spare(&self, route: &Route, reason: Reason, metrics: &Metrics) {
        let pattern = route.terms().map_or(NO_ROUTE, |terms| &terms.pattern);
        metrics.shadow_pass(reason, pattern);
        let mut counts = self.0.lock();
        // A policy that is changed all the time must not fill the memory.
        let room = counts.len() < LINES_AT_MOST;
        let key = (pattern.to_owned(), reason.as_str());
        if let Some(count) = counts.get_mut(&key) {
            *count += 1;
        } else if room {
            counts.insert(key, 1);
        }
    }
}

const LINES_AT_MOST: usize = 10_000;
