//! How busy the threads are that answer checks.

use std::time::Duration;

use metrics::{Counter, Gauge};
use tokio::runtime::RuntimeMetrics;

use super::{catalogue, handles::gauge_value};

/// The handles of what the runtime says of itself.
#[derive(Debug)]
pub(super) struct Runtime {
    workers: Gauge,
    tasks: Gauge,
    queued: Gauge,
    busy_seconds: Counter,
}

impl Runtime {
    pub(super) fn new() -> Self {
        Self {
            workers: metrics::gauge!(catalogue::RUNTIME_WORKERS.name),
            tasks: metrics::gauge!(catalogue::RUNTIME_TASKS.name),
            queued: metrics::gauge!(catalogue::RUNTIME_QUEUED.name),
            busy_seconds: metrics::counter!(catalogue::RUNTIME_BUSY_SECONDS.name),
        }
    }

    /// Reads them anew.
    pub(super) fn observe(&self, seen: &RuntimeMetrics) {
        let workers = 0..seen.num_workers();
        self.workers.set(count(workers.len()));
        self.tasks.set(count(seen.num_alive_tasks()));
        self.queued.set(count(seen.global_queue_depth()));
        let busy: Duration = workers.map(|worker| seen.worker_total_busy_duration(worker)).sum();
        self.busy_seconds.absolute(busy.as_secs());
    }
}

fn count(count: usize) -> f64 {
    gauge_value(u64::try_from(count).unwrap_or(u64::MAX))
}
