//! Fills: a miss turned into a record by reading the store. Coalesced per customer, bounded in
//! number, and each in a task of its own, so that a caller that goes away does not restart it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::recent::Held;
use crate::{
    domain::{CustomerKey, Missing},
    telemetry::FillResult,
};

/// What came of a fill.
#[derive(Clone, Debug)]
pub(super) enum Filled {
    /// The store did not answer, or not for the history that is followed here.
    Failed,
    /// Here is what the store said, and nothing newer is known.
    Taken(triomphe::Arc<Held>),
    /// A change overtook it; ask again.
    Overtaken,
}

impl Filled {
    /// What is told of it; nothing when it failed, since only the store knows how.
    pub(super) const fn result(&self) -> Option<FillResult> {
        match self {
            Self::Failed => None,
            Self::Taken(_) => Some(FillResult::Accepted),
            Self::Overtaken => Some(FillResult::Rejected),
        }
    }
}

/// The fills under way.
#[derive(Debug)]
pub(super) struct Fills {
    under_way: Mutex<HashMap<CustomerKey, watch::Receiver<Option<Filled>>>>,
    places: Arc<Semaphore>,
}

impl Default for Fills {
    fn default() -> Self {
        Self { under_way: Mutex::default(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// How a caller takes part in a fill.
#[derive(Debug)]
pub(super) enum Part {
    /// Somebody else's fill for the same customer is under way.
    Joined(watch::Receiver<Option<Filled>>),
    /// The caller is to start it.
    Leads(Lead),
}

/// The duty to run a fill and tell everybody who joined it. Dropping it tells them that it
/// failed.
#[derive(Debug)]
pub(super) struct Lead {
    /// What the leader itself waits for.
    pub outcome: watch::Receiver<Option<Filled>>,
    sender: watch::Sender<Option<Filled>>,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl Lead {
    /// Tells everybody.
    pub(super) fn tell(self, filled: Filled) {
        self.sender.send_replace(Some(filled));
    }
}

impl Fills {
    /// Joins the fill for `customer` that is under way, or leads a new one if there is room.
    pub(super) fn take_part(&self, customer: &CustomerKey) -> Result<Part, Missing> {
        let mut under_way = self.under_way.lock();
        // One whose leader is gone will tell nothing any more.
        let alive = under_way.get(customer).filter(|outcome| outcome.has_changed().is_ok());
        if let Some(outcome) = alive {
            return Ok(Part::Joined(outcome.clone()));
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Missing::Overloaded)?;
        let (sender, outcome) = watch::channel(None);
        under_way.insert(customer.clone(), outcome.clone());
        Ok(Part::Leads(Lead { outcome, sender, _place: place }))
    }

    /// Takes a fill off the list: whoever comes now begins a new one.
    pub(super) fn leave(&self, customer: &CustomerKey) {
        self.under_way.lock().remove(customer);
    }
}

/// Waits for a fill's outcome. A leader that died has failed.
pub(super) async fn wait(
    mut outcome: watch::Receiver<Option<Filled>>,
    timeout: Duration,
) -> Filled {
    let told = outcome.wait_for(Option::is_some);
    match tokio::time::timeout(timeout, told).await {
        Ok(Ok(filled)) => filled.clone().unwrap_or(Filled::Failed),
        Ok(Err(_)) | Err(_) => Filled::Failed,
    }
}

/// More reads than this at once do not make the store quicker.
const AT_ONCE: usize = 256;
