//! Holds a lease for as long as this instance can.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    clock::{Clock, Moment},
    store::{Lease, Store, StoreError},
};

/// What is known of a lease here. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tenure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    lease: Lease,
    /// A name that no other process has.
    holder: String,
    clock: Clock,
    /// Nanoseconds of the moment until which it is surely held.
    until: AtomicU64,
    held: watch::Sender<bool>,
    /// How often the store has granted it.
    granted: watch::Sender<u64>,
}

impl Tenure {
    /// Nothing is held before [`Tenure::keep`] runs.
    pub fn new(store: Store, lease: Lease, clock: Clock) -> Result<Self, StoreError> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|error| StoreError::Unexpected(error.to_string()))?;
        let holder = format!("{:016x}", u64::from_be_bytes(name));
        let (until, held) = (AtomicU64::new(0), watch::Sender::new(false));
        let granted = watch::Sender::new(0);
        Ok(Self(Arc::new(Inner { store, lease, holder, clock, until, held, granted })))
    }

    /// Takes the lease whenever nobody has it, and renews it, for ever; but only while
    /// `may_write`.
    pub async fn keep(&self, may_write: impl Fn() -> bool + Send + Sync) -> Infallible {
        loop {
            let pause = if may_write() { self.ask().await } else { self.look() };
            tokio::time::sleep(pause.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
        }
    }

    /// Gives the lease back, so that the next one need not wait until it lapses.
    pub async fn give_back(&self) {
        let Inner { store, lease, holder, .. } = &*self.0;
        self.tell(Moment::default());
        if let Err(error) = store.release_lease(*lease, holder).await {
            tracing::debug!(%error, "A lease was not given back and will lapse: {error}");
        }
    }

    /// Whether this instance has it now: a process that was stopped for a while finds that it
    /// has not.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.clock.moment().as_nanos() < self.0.until.load(Ordering::Acquire)
    }

    /// Waits until this instance has it.
    pub async fn begins(&self) {
        loop {
            // The sender lives as long as this does.
            let _ = self.0.held.subscribe().wait_for(|held| *held).await;
            if self.holds() {
                return;
            }
            // The process was stopped, and nobody has asked since.
            tokio::time::sleep(LOOKED_AGAIN_AFTER).await;
        }
    }

    /// Waits until this instance has it no more.
    pub async fn ends(&self) {
        let _ = self.0.held.subscribe().wait_for(|held| !*held).await;
    }

    /// Waits until the store grants it once more.
    pub async fn is_granted_again(&self) {
        let mut granted = self.0.granted.subscribe();
        // The sender lives as long as this does.
        let _ = granted.changed().await;
    }

    /// Asks the store once, and says how soon to ask again.
    async fn ask(&self) -> Duration {
        let Inner { store, lease, holder, clock, .. } = &*self.0;
        // Counted from before the question: the store counts from when it hears it.
        let asked = clock.moment();
        match store.hold_lease(*lease, holder, TTL).await {
            Ok(true) => {
                let until = asked.as_nanos().saturating_add(nanos(BELIEVED_FOR));
                self.tell(Moment::from_nanos(until));
                self.0.granted.send_modify(|count| *count += 1);
                RENEWED_AFTER
            }
            Ok(false) => {
                self.tell(Moment::default());
                ASKED_AGAIN_AFTER
            }
            Err(error) => {
                tracing::debug!(%error, "A lease could not be asked for: {error}");
                self.look();
                TRIED_AGAIN_AFTER
            }
        }
    }

    /// Notices when what was held has lapsed.
    fn look(&self) -> Duration {
        self.tell(Moment::from_nanos(self.0.until.load(Ordering::Acquire)));
        LOOKED_AGAIN_AFTER
    }

    fn tell(&self, until: Moment) {
        self.0.until.store(until.as_nanos(), Ordering::Release);
        let holds = self.holds();
        self.0.held.send_if_modified(|held| std::mem::replace(held, holds) != holds);
    }
}

/// When it is time to do again what one instance does for all: soon after it took the lease, for
/// what an earlier holder left over need not wait, and then every so often while it holds it.
#[derive(Clone, Debug)]
pub struct Turns {
    tenure: Tenure,
    every: Duration,
    pause: Duration,
}

impl Turns {
    /// `every` is a mean: a quarter more or less.
    #[must_use]
    pub fn new(tenure: Tenure, every: Duration) -> Self {
        Self { tenure, every, pause: FIRST_PAUSE.min(every) }
    }

    /// Waits for the next time.
    pub async fn next(&mut self) {
        loop {
            self.tenure.begins().await;
            let pause = std::mem::replace(&mut self.pause, self.every);
            tokio::select! {
                () = self.tenure.ends() => self.pause = FIRST_PAUSE.min(self.every),
                () = tokio::time::sleep(pause.mul_f64(0.75 + 0.5 * fastrand::f64())) => {
                    if self.tenure.holds() {
                        return;
                    }
                }
            }
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// How long the lease outlives a holder that is gone.
const TTL: Duration = Duration::from_secs(2);
/// How long the holder believes that it has it: a little less.
const BELIEVED_FOR: Duration = Duration::from_millis(1900);
/// Each time costs the store three small commands.
const RENEWED_AFTER: Duration = Duration::from_millis(1200);
/// Each time costs it two. Together with the TTL this bounds how long nobody holds it.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(2200);
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(50);
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// After the lease was taken.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::Embedded;

    #[tokio::test]
    async fn what_is_held_ends_by_the_clock_and_when_it_is_given_back() {
        let clock = Clock::system();
        let store = Store::Embedded(Embedded::in_memory(clock.clone()).unwrap());
        let tenure = Tenure::new(store, Lease::Ingest, clock.clone()).unwrap();
        assert!(!tenure.holds());
        tenure.ask().await;
        assert!(tenure.holds());
        clock.advance(TTL);
        assert!(!tenure.holds());
        tenure.ask().await;
        tenure.begins().await;
        tenure.give_back().await;
        tenure.ends().await;
        assert!(!tenure.holds());
    }
}
