//! What happens to the decision log.

use std::fmt::Display;

use tracing::warn;

use crate::telemetry::{Metrics, label::LogLoss};

/// Decisions could not be written.
#[derive(Clone, Copy, Debug)]
pub struct DecisionsUnlogged<W> {
    /// How many.
    pub count: u64,
    /// Why.
    pub why: W,
}

impl<W: Display> DecisionsUnlogged<W> {
    /// Writes the metric, and a log line once a minute.
    pub fn emit(self, metrics: &Metrics) {
        let Self { count, why } = self;
        metrics.decisions_unlogged[LogLoss::Unwritable].increment(count);
        if metrics.lines.decision.admit(metrics.clock.moment()).is_some() {
            warn!(error = %why, "The decision log cannot be written: {why}");
        }
    }
}
