//! What ends a process, whom it waits for, and when it may receive traffic.

pub mod readiness;
pub mod tasks;

use std::future::{Future, pending};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

pub use readiness::{Latch, Phase, Readiness};
pub use tasks::{Ended, EndedEarly, StillRunning, Tasks};

/// Ends when the process is asked to stop: by SIGTERM, as Kubernetes and systemd do, or by
/// SIGINT, as a terminal does on Ctrl-C. Says in the log which of them it was.
///
/// The signals are caught from this call on, not from the first poll. It must be called within a
/// tokio runtime.
#[must_use = "the process stops only if this is awaited"]
pub fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    let terminate = caught(SignalKind::terminate(), "SIGTERM");
    let interrupt = caught(SignalKind::interrupt(), "SIGINT");
    async move {
        let name = tokio::select! {
            name = terminate => name,
            name = interrupt => name,
        };
        info!(signal = name, "Stopping because of {name}");
    }
}

/// The hang-ups that this process is sent, which ask it to read its files again.
#[derive(Debug)]
pub struct Hangups(Option<Signal>);

impl Hangups {
    /// Catches them from this call on. It must be called within a runtime.
    #[must_use]
    pub fn caught() -> Self {
        let caught = signal(SignalKind::hangup());
        Self(caught.inspect_err(|error| warn!(%error, "Cannot catch SIGHUP: {error}")).ok())
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if let Some(signals) = &mut self.0
            && signals.recv().await.is_some()
        {
            return;
        }
        pending::<()>().await;
    }
}

/// Ends with `name` when the signal comes. One that cannot be caught keeps its default action,
/// which ends the process as well, only less gently.
fn caught(kind: SignalKind, name: &'static str) -> impl Future<Output = &'static str> + Send {
    let caught = signal(kind);
    async move {
        match caught {
            Ok(mut signals) => {
                signals.recv().await;
                name
            }
            Err(error) => {
                warn!(%error, signal = name, "Cannot catch {name}: {error}");
                pending().await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_before_the_first_poll_is_not_missed() {
        let stopped = stop_signal();
        kill_process(getpid(), Signal::TERM).unwrap();
        stopped.await;
    }
}
