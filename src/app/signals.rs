//! The decision log and the traces, from their settings to the end of the process.

use std::{io, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ServeError;
use crate::{
    config::{Config, DecisionLogTarget},
    lifecycle::Tasks,
    telemetry::{
        Metrics,
        decision_log::{Collector, DecisionLog, LogFile, Settings, Sink, Writer},
        traces::Traces,
    },
};

/// Where decisions go beside their answers.
pub(super) struct Signals {
    pub(super) decision_log: Option<DecisionLog>,
    pub(super) traces: Option<Traces>,
    writer: Option<Writer>,
}

impl Signals {
    /// Opens what there is to be.
    pub(super) fn open(config: &Config, metrics: &Metrics) -> Result<Self, ServeError> {
        let (decision_log, writer) = decision_log(config, metrics)?.unzip();
        let start = |endpoint: &crate::config::BaseUrl| {
            Traces::start(endpoint.as_str(), config.otlp_share.0, metrics.clone())
        };
        let traces = config.otlp_endpoint.as_ref().map(start).transpose();
        let traces = traces.map_err(|error| ServeError::Otlp(error.to_string()))?;
        Ok(Self { decision_log, traces, writer })
    }

    /// Begins to write the decision log. That may end only when the drain does.
    pub(super) fn start(self, tasks: &mut Tasks) -> Sending {
        let written = self.writer.map(|writer| {
            let (last, ended) = (CancellationToken::new(), CancellationToken::new());
            let (ends, writing) = (ended.clone().drop_guard(), writer.run(last.clone()));
            let draining = tasks.draining();
            tasks.spawn("decision log", async move {
                // Before the drain it ends in a panic alone.
                let _ = draining.run_until_cancelled(ended.cancelled()).await;
            });
            let task = tokio::spawn(async move {
                writing.await;
                drop(ends);
            });
            Written { task, last }
        });
        Sending { written, traces: self.traces }
    }
}

fn decision_log(
    config: &Config,
    metrics: &Metrics,
) -> Result<Option<(DecisionLog, Writer)>, ServeError> {
    let sink = match config.decision_log.on() {
        None => return Ok(None),
        Some(DecisionLogTarget::Otlp) => {
            // Without an endpoint the configuration is refused.
            let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
            let collector = Collector::at(endpoint.as_str());
            Sink::Collector(collector.map_err(|error| ServeError::Otlp(error.to_string()))?)
        }
        Some(DecisionLogTarget::Stdout) => Sink::Stdout,
        Some(DecisionLogTarget::File(path)) => {
            let unopened = |source: io::Error| ServeError::DecisionLog {
                path: path.display().to_string(),
                source,
            };
            Sink::File(LogFile::open(path).map_err(unopened)?)
        }
    };
    let settings = Settings {
        allows: config.decision_log_allows,
        overflow: config.decision_log_overflow,
        masked: config.decision_log_mask.clone(),
    };
    Ok(Some(DecisionLog::new(settings, sink, metrics.clone())))
}

/// What writes and sends.
pub(super) struct Sending {
    written: Option<Written>,
    traces: Option<Traces>,
}

struct Written {
    task: JoinHandle<()>,
    last: CancellationToken,
}

impl Sending {
    /// Writes and sends what was handed over already, within `grace` and [`FINISHED_WITHIN`].
    pub(super) async fn finish(self, grace: Duration) {
        let grace = grace.min(FINISHED_WITHIN);
        let Self { written, traces } = self;
        let written = async {
            let Some(Written { task, last }) = written else { return };
            last.cancel();
            if tokio::time::timeout(grace, task).await.is_err() {
                tracing::warn!("The end of the decision log could not be written in time");
            }
        };
        let sent = async {
            if let Some(traces) = traces {
                traces.finish(grace).await;
            }
        };
        // A collector that hangs keeps both, and the process no longer than one of them.
        tokio::join!(written, sent);
    }
}

/// Who stops a process gives it a few seconds beyond the grace of those who wait for answers.
const FINISHED_WITHIN: Duration = Duration::from_secs(4);
