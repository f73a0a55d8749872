//! What happens to the audit trail.

use std::fmt::Display;

use tracing::{info, warn};

use crate::{domain::Partition, telemetry::Metrics};

/// Old entries stand in the archive and are out of the store.
#[derive(Clone, Copy, Debug)]
pub struct AuditArchived<'a> {
    /// Of which partition's trail.
    pub partition: Partition,
    /// How many.
    pub entries: usize,
    /// The place of the oldest entry that is left.
    pub stays_from: &'a str,
}

impl AuditArchived<'_> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        let Self { partition, entries, stays_from } = self;
        metrics.audit_archived.increment(entries as u64);
        info!(
            audit.partition = %partition, audit.entries = entries, audit.stays_from = stays_from,
            "Archived {entries} old entries of the audit trail of partition {partition}",
        );
    }
}

/// Old entries stay in the store, since they could not be archived or not be taken out.
#[derive(Clone, Copy, Debug)]
pub struct AuditNotArchived<W> {
    /// Why.
    pub why: W,
}

impl<W: Display> AuditNotArchived<W> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.audit_archive_failures.increment(1);
        let why = self.why;
        warn!(error = %why, "The audit trail is not archived, and is kept meanwhile: {why}");
    }
}
