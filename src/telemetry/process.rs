//! What the operating system says of this process, under the names that every Prometheus
//! exporter gives it.

use metrics::{Counter, Gauge};

use super::{
    catalogue::{Kind, Metric},
    handles::gauge_value,
};

/// The handles of the process's own metrics.
#[derive(Debug)]
pub(super) struct Process {
    cpu_seconds: Counter,
    open_fds: Gauge,
    max_fds: Gauge,
    virtual_memory_bytes: Gauge,
    resident_memory_bytes: Gauge,
    start_time_seconds: Gauge,
    threads: Gauge,
}

impl Process {
    pub(super) fn new() -> Self {
        let gauge = |metric: Metric| metrics::gauge!(metric.name);
        Self {
            cpu_seconds: metrics::counter!(CPU_SECONDS.name),
            open_fds: gauge(OPEN_FDS),
            max_fds: gauge(MAX_FDS),
            virtual_memory_bytes: gauge(VIRTUAL_MEMORY),
            resident_memory_bytes: gauge(RESIDENT_MEMORY),
            start_time_seconds: gauge(START_TIME),
            threads: gauge(THREADS),
        }
    }

    /// Reads them anew. What the system does not tell keeps its last value.
    pub(super) fn observe(&self) {
        let seen = metrics_process::collector::collect();
        if let Some(seconds) = seen.cpu_seconds_total {
            self.cpu_seconds
                .absolute(std::time::Duration::from_secs_f64(seconds.max(0.0)).as_secs());
        }
        for (gauge, value) in [
            (&self.open_fds, seen.open_fds),
            (&self.max_fds, seen.max_fds),
            (&self.virtual_memory_bytes, seen.virtual_memory_bytes),
            (&self.resident_memory_bytes, seen.resident_memory_bytes),
            (&self.start_time_seconds, seen.start_time_seconds),
            (&self.threads, seen.threads),
        ] {
            if let Some(value) = value {
                gauge.set(gauge_value(value));
            }
        }
    }
}

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, help, kind, labels: &[] }
}

const CPU_SECONDS: Metric = metric(
    "process_cpu_seconds_total",
    Kind::Counter,
    "Total user and system CPU time spent in seconds.",
);
const OPEN_FDS: Metric =
    metric("process_open_fds", Kind::Gauge, "Number of open file descriptors.");
const MAX_FDS: Metric =
    metric("process_max_fds", Kind::Gauge, "Maximum number of open file descriptors.");
const VIRTUAL_MEMORY: Metric =
    metric("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory size in bytes.");
const RESIDENT_MEMORY: Metric =
    metric("process_resident_memory_bytes", Kind::Gauge, "Resident memory size in bytes.");
const START_TIME: Metric = metric(
    "process_start_time_seconds",
    Kind::Gauge,
    "Start time of the process since unix epoch in seconds.",
);
const THREADS: Metric =
    metric("process_threads", Kind::Gauge, "Number of OS threads in the process.");

/// Every metric of the process.
pub(super) const ALL: [Metric; 7] =
    [CPU_SECONDS, OPEN_FDS, MAX_FDS, VIRTUAL_MEMORY, RESIDENT_MEMORY, START_TIME, THREADS];
