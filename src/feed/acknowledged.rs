//! What this instance was told is committed, until it is known whether the store that is followed
//! has it.
//!
//! A master that is being replaced may take a change after the feed has left it. Nobody hears of
//! that change, so nobody may be told that it was made.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::{domain::Partition, store::Push};

/// The changes of which that is not known yet. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Vec<Waiting>>,
    bell: watch::Sender<()>,
}

#[derive(Debug)]
struct Waiting {
    change: Push,
    verdict: oneshot::Sender<Kept>,
}

/// Whether the store that is followed has a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kept {
    /// It has.
    There,
    /// It has not, though it has what was before, or after.
    Forgotten,
}

impl Acknowledged {
    /// Asks whether the store that is followed has `change`. Whoever does not wait for the answer
    /// takes the question back by that.
    #[must_use]
    pub fn ask(&self, change: Push) -> oneshot::Receiver<Kept> {
        let (verdict, answer) = oneshot::channel();
        self.0.waiting.lock().push(Waiting { change, verdict });
        self.0.bell.send_replace(());
        answer
    }

    /// Hears every question from now on.
    pub(super) fn listen(&self) -> watch::Receiver<()> {
        self.0.bell.subscribe()
    }

    /// Says `kept` of each change of one partition that is `known`.
    pub(super) fn answer(&self, partition: Partition, kept: Kept, known: impl Fn(&Push) -> bool) {
        let mut waiting = self.0.waiting.lock();
        let is_known = |it: &mut Waiting| it.change.partition == partition && known(&it.change);
        for Waiting { verdict, .. } in waiting.extract_if(.., is_known) {
            // Who no longer waits need not be told.
            let _ = verdict.send(kept);
        }
    }

    /// The changes of one partition of which somebody still wants to know.
    pub(super) fn of(&self, partition: Partition) -> Vec<Push> {
        let mut waiting = self.0.waiting.lock();
        waiting.retain(|it| !it.verdict.is_closed());
        let of_it = waiting.iter().filter(|it| it.change.partition == partition);
        of_it.map(|it| it.change.clone()).collect()
    }
}
