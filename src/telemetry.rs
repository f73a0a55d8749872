//! Logs and metrics: how they start, and the one place that names each of them.
//!
//! What happens is told by a struct of [`event`], which writes log line and metric together. What
//! is only counted is written to the handles of [`Metrics`].

pub mod catalogue;
pub mod decision_log;
pub mod event;
pub mod handles;
pub mod label;
mod pace;
mod process;
mod runtime;
pub mod traces;

use std::io::{self, IsTerminal};

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    util::{SubscriberInitExt, TryInitError},
};

use catalogue::Kind;

pub use catalogue::{
    ActDialect, AuthFailure, BootSource, CertificateResult, Dialect, FillResult, FoundIn,
    IngestResult, Listener, PolicyResult, ReachedBy, RewrittenFrom, SnapshotResult, StoreCommand,
    Tier, Unreadable, Via, WebhookResult, WebhookSource,
};
pub use handles::{Metrics, NO_ROUTE};
pub use label::Label;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Starts logging to standard error. `level` is a level, or a list of them by target as in
/// `info,tollgate=debug`. May be called once per process.
pub fn init_logs(format: LogFormat, level: &str) -> Result<(), TelemetryError> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(log_filter(level)?)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let started = match format {
        LogFormat::Json => subscriber.json().flatten_event(true).finish().try_init(),
        LogFormat::Text => subscriber.finish().try_init(),
    };
    Ok(started?)
}

/// Reads `level` as [`init_logs`] does.
pub fn log_filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    Ok(EnvFilter::builder().parse(level)?)
}

/// Makes the process's metrics recorder, and describes every metric to it. May be called once.
///
/// Nothing listens: whoever holds the handle renders it, and calls its `run_upkeep` every few
/// seconds, without which histograms grow.
pub fn install_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::MetricsInstalled)?;
    Ok(handle)
}

/// A recorder with every metric described and every histogram's buckets set, for whoever wants
/// one of their own: a test, with `metrics::with_local_recorder`.
pub fn recorder() -> Result<PrometheusRecorder, TelemetryError> {
    let mut builder = PrometheusBuilder::new();
    for metric in catalogue::ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            let name = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(name, buckets)?;
        }
    }
    let recorder = builder.build_recorder();
    metrics::with_local_recorder(&recorder, || {
        catalogue::ALL.iter().chain(&process::ALL).for_each(catalogue::Metric::describe);
    });
    Ok(recorder)
}

/// Logs or metrics could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The text is no log level.
    #[error("a log level must be like `info` or `info,tollgate=debug`")]
    LogLevel(#[from] ParseError),
    /// Somebody else has started logging.
    #[error("logging cannot be started")]
    Logs(#[from] TryInitError),
    /// The recorder refused its settings.
    #[error("the metrics recorder cannot be made")]
    Metrics(#[from] BuildError),
    /// Somebody else has installed a recorder.
    #[error("a metrics recorder is installed already")]
    MetricsInstalled,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Reason, Timestamp, Verb, audit::AuditOutcome};

    fn rendered(write: impl FnOnce(&Metrics)) -> String {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            let metrics = Metrics::new();
            metrics.observe_process();
            write(&metrics);
            metrics.observe_checks();
        });
        recorder.handle().render()
    }

    #[test]
    fn every_metric_is_described_and_typed_and_no_histogram_is_a_summary() {
        let text = rendered(|metrics| {
            // A histogram appears with its first measurement.
            for dialect in <Dialect as Label>::ALL {
                metrics.check(*dialect, Reason::Active, Duration::from_micros(30));
            }
            metrics.change_effect.record(Duration::from_millis(1));
            metrics.store_command(StoreCommand::Read, Duration::from_millis(1), true);
            // What is told of a certificate is only there where one is.
            let expires = Timestamp::from_millis(1);
            event::CertificateShown { listener: Listener::Check, expires }.emit(metrics);
        });
        for metric in catalogue::ALL.iter().chain(&process::ALL) {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            let help = format!("# HELP {} {}", metric.name, metric.help);
            let kind = format!("# TYPE {} {kind}", metric.name);
            assert!(text.lines().any(|line| line == help), "{help}\n{text}");
            assert!(text.lines().any(|line| line == kind), "{kind}\n{text}");
            for label in metric.labels {
                let start = format!("{}{{", metric.name);
                let count = format!("{}_count{{", metric.name);
                let has_label = text
                    .lines()
                    .filter(|line| line.starts_with(&start) || line.starts_with(&count))
                    .all(|line| line.contains(&format!("{label}=\"")));
                assert!(has_label, "{label} of {}", metric.name);
            }
        }
        assert!(!text.contains("quantile"), "{text}");
    }

    #[test]
    fn names_have_the_prefix_and_counters_alone_end_in_total() {
        for metric in catalogue::ALL {
            assert!(metric.name.starts_with("tollgate_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter);
        }
        let mut names: Vec<_> = catalogue::ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), catalogue::ALL.len());
    }

    #[test]
    fn buckets_go_upwards() {
        for metric in catalogue::ALL {
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(buckets.is_sorted_by(|low, high| low < high), "{}", metric.name);
            }
        }
    }

    #[test]
    fn a_check_and_an_act_are_counted_under_their_labels() {
        let text = rendered(|metrics| {
            metrics.check(Dialect::Nginx, Reason::TooStale, Duration::from_micros(30));
            metrics.operator_act(ActDialect::Wingback, Verb::Freeze, AuditOutcome::Changed);
            metrics.cache_entries[Tier::Restricted].set(3);
            metrics.feed_staleness.set(Duration::from_millis(1500));
        });
        for line in [
            "tollgate_checks_total{dialect=\"nginx\",outcome=\"undecided\",reason=\"too_stale\"} 1",
            "tollgate_check_duration_seconds_count{dialect=\"nginx\"} 1",
            "tollgate_operator_acts_total{dialect=\"wingback\",verb=\"freeze\",outcome=\"changed\"} 1",
            "tollgate_cache_entries{tier=\"restricted\"} 3",
            "tollgate_feed_staleness_seconds 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn checks_are_told_by_reason_whoever_asked() {
        let metrics = Metrics::new();
        for dialect in [Dialect::Nginx, Dialect::Nginx, Dialect::Check] {
            metrics.check(dialect, Reason::CustomerFrozen, Duration::from_micros(30));
        }
        let told: Vec<_> = metrics.checks_by_reason().filter(|(_, count)| *count > 0).collect();
        assert_eq!(told, [(Reason::CustomerFrozen, 3)]);
        assert_eq!(metrics.checks_by_reason().count(), Reason::ALL.len());
    }

    #[test]
    fn a_log_level_is_checked() {
        assert!(log_filter("info").is_ok());
        assert!(log_filter("warn,tollgate=debug").is_ok());
        assert!(log_filter("loud=loud").is_err());
    }
}
