//! The readiness latch: whether this process may receive traffic.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Tells whether this process may receive traffic: from the first whole picture of the store
/// until the process stops. Nothing in between takes it back.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Edges>);

impl Readiness {
    /// A process that is not ready, and the latch that makes it so.
    pub fn new() -> (Self, Latch) {
        let edges = Arc::new(Edges::default());
        (Self(Arc::clone(&edges)), Latch(edges))
    }

    /// Whether traffic may come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.released.load(Ordering::Acquire) && !self.0.withdrawn.load(Ordering::Acquire)
    }

    /// Sends traffic away, for good: the process stops. A latch released later changes nothing.
    pub fn withdraw(&self) {
        self.0.withdrawn.store(true, Ordering::Release);
    }
}

/// The right to make the process ready, once. A clone is the same right: the first to use it makes
/// the process ready, and if all are dropped unused, it never is.
#[derive(Clone, Debug)]
#[must_use = "the process never becomes ready without it"]
pub struct Latch(Arc<Edges>);

impl Latch {
    /// Says that the first whole picture is here.
    pub fn release(self) {
        self.0.released.store(true, Ordering::Release);
    }
}

/// The two moments of a process's life. Each comes once and is never undone.
#[derive(Debug, Default)]
struct Edges {
    released: AtomicBool,
    withdrawn: AtomicBool,
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
