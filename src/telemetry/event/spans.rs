//! What happens to traces.

use std::fmt::Display;

use tracing::warn;

use crate::telemetry::Metrics;

/// Spans could not be sent.
#[derive(Clone, Copy, Debug)]
pub struct SpansUnsent<W> {
    /// How many.
    pub count: u64,
    /// Why.
    pub why: W,
}

impl<W: Display> SpansUnsent<W> {
    /// Writes the metric, and a log line once a minute.
    pub fn emit(self, metrics: &Metrics) {
        let Self { count, why } = self;
        metrics.spans_unsent.increment(count);
        if metrics.lines.span.admit(metrics.clock.moment()).is_some() {
            warn!(error = %why, "The collector does not take spans: {why}");
        }
    }
}
