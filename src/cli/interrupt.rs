//! Notices that somebody wants a long verb to end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use super::failure::Failure;

/// Whether the process was asked to end: by Ctrl-C, or as a service manager does. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on the process does not end by itself when it is asked to.
    pub(super) fn listen() -> Result<Self, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        let (noticed, (ready, is_ready)) = (Arc::clone(&asked), mpsc::channel());
        let runtime = Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(|error| Failure::local(&error))?;
        thread::spawn(move || {
            runtime.block_on(async {
                let signals = signal(SignalKind::interrupt())
                    .and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
                let (mut interrupt, mut terminate) = match signals {
                    Ok(signals) => signals,
                    Err(error) => {
                        // Whoever waits for it is there.
                        let _ = ready.send(Err(error));
                        return;
                    }
                };
                let _ = ready.send(Ok(()));
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                noticed.store(true, Ordering::Relaxed);
            });
        });
        match is_ready.recv() {
            Ok(Ok(())) => Ok(Self(asked)),
            Ok(Err(error)) => Err(Failure::local(&error)),
            Err(error) => Err(Failure::local(&error)),
        }
    }

    /// Whether it was asked.
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits, but not once it is asked.
    pub(super) fn sleep(&self, span: Duration) {
        let mut left = span;
        while !left.is_zero() && !self.is_asked() {
            let step = left.min(LOOK_EVERY);
            thread::sleep(step);
            left = left.saturating_sub(step);
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(50);
