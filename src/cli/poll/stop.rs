//! The request to stop, for a verb that waits without a runtime.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};

use super::{Cut, Failure};
use crate::lifecycle;

/// Tells when SIGTERM or SIGINT has come.
#[derive(Debug)]
pub(super) struct Stop {
    asked: Receiver<()>,
    /// Listens for as long as it lives.
    _signals: Runtime,
}

impl Stop {
    /// Catches the signals from now on.
    pub(super) fn by_signal() -> Result<Self, Failure> {
        let signals = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let signals = signals.map_err(|error| Failure::local(&error))?;
        let (tell, asked) = mpsc::channel();
        signals.spawn({
            let _entered = signals.enter();
            let signal = lifecycle::stop_signal();
            async move {
                signal.await;
                // Nobody waits any more once the verb has ended.
                let _ = tell.send(());
            }
        });
        Ok(Self { asked, _signals: signals })
    }

    /// Waits for `span`, or less when it is asked to stop.
    pub(super) fn wait(&self, span: Duration) -> Result<(), Cut> {
        // Whoever tells is gone once it has told.
        match self.asked.recv_timeout(span) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Cut::Stopped),
        }
    }

    /// Goes on unless it was asked to stop.
    pub(super) fn check(&self) -> Result<(), Cut> {
        self.wait(Duration::ZERO)
    }
}
