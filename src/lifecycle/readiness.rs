//! The readiness latch: whether this process may receive traffic.

use std::sync::Arc;

use tokio::sync::watch;

/// Tells whether this process may receive traffic: from the first whole picture of the store
/// until the process stops. Nothing in between takes it back.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Phase>>);

/// Where a process is in its life. It only ever goes on to a later one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// It has no picture yet.
    Starting,
    /// Traffic may come.
    Ready,
    /// It stops.
    Withdrawn,
}

impl Readiness {
    /// A process that is not ready, and the latch that makes it so.
    pub fn new() -> (Self, Latch) {
        let phase = Arc::new(watch::Sender::new(Phase::Starting));
        (Self(Arc::clone(&phase)), Latch(phase))
    }

    /// Whether traffic may come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Ready
    }

    /// Where the process is now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Tells of every phase from now on; the last one is the withdrawal.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }

    /// Sends traffic away, for good: the process stops. A latch released later changes nothing.
    pub fn withdraw(&self) {
        self.0.send_replace(Phase::Withdrawn);
    }
}

/// The right to make the process ready, once. A clone is the same right: the first to use it makes
/// the process ready, and if all are dropped unused, it never is.
#[derive(Clone, Debug)]
#[must_use = "the process never becomes ready without it"]
pub struct Latch(Arc<watch::Sender<Phase>>);

impl Latch {
    /// Says that the first whole picture is here.
    pub fn release(self) {
        self.0.send_if_modified(|phase| {
            let is_first = *phase == Phase::Starting;
            if is_first {
                *phase = Phase::Ready;
            }
            is_first
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_between_release_and_withdrawal() {
        let (readiness, latch) = Readiness::new();
        assert!(!readiness.is_ready());
        latch.release();
        assert!(readiness.clone().is_ready());
        readiness.withdraw();
        assert!(!readiness.is_ready());
    }

    #[test]
    fn a_latch_released_after_the_withdrawal_changes_nothing() {
        let (readiness, latch) = Readiness::new();
        readiness.withdraw();
        latch.release();
        assert!(!readiness.is_ready());
    }

    #[test]
    fn a_dropped_latch_leaves_the_process_unready() {
        let (readiness, latch) = Readiness::new();
        drop(latch);
        assert!(!readiness.is_ready());
    }
}
