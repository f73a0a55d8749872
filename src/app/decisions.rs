//! The decision log, from its settings to the end of the process.

use std::{io, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ServeError;
use crate::{
    config::{Config, DecisionLogTarget},
    telemetry::{
        Metrics,
        decision_log::{DecisionLog, LogFile, Settings, Sink, Writer},
    },
};

/// What writes it, before it does.
pub(super) struct Unwritten(Writer);

/// What writes it.
pub(super) struct Written {
    writing: JoinHandle<()>,
    last: CancellationToken,
    ended: CancellationToken,
}

/// Opens the log, if there is to be one.
pub(super) fn open(
    config: &Config,
    metrics: &Metrics,
) -> Result<Option<(DecisionLog, Unwritten)>, ServeError> {
    let sink = match config.decision_log.on() {
        None => return Ok(None),
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
    let (log, writer) = DecisionLog::new(settings, sink, metrics.clone());
    Ok(Some((log, Unwritten(writer))))
}

impl Unwritten {
    /// Begins to write.
    pub(super) fn start(self) -> Written {
        let (last, ended) = (CancellationToken::new(), CancellationToken::new());
        let ends = ended.clone().drop_guard();
        let writer = self.0.run(last.clone());
        let writing = tokio::spawn(async move {
            writer.await;
            drop(ends);
        });
        Written { writing, last, ended }
    }
}

impl Written {
    /// Waits until `draining`, or until nothing writes any more: that is so only after a panic.
    pub(super) fn watch(
        &self,
        draining: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let ended = self.ended.clone();
        async move { draining.run_until_cancelled(ended.cancelled()).await.unwrap_or_default() }
    }

    /// Writes what was handed over already, within `grace`.
    pub(super) async fn finish(self, grace: Duration) {
        self.last.cancel();
        if tokio::time::timeout(grace, self.writing).await.is_err() {
            tracing::warn!("The end of the decision log could not be written in time");
        }
    }
}
