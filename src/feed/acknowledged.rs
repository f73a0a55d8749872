//! What this instance was told is committed, until the feed has heard of it or the store turns out
//! to have forgotten it.
//!
//! A master that is being replaced may take a change after the feed has left it: then nobody hears
//! of the change, and only its writer knows of it.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use super::follower::REMEMBERED;
use crate::{domain::Partition, store::Push};

/// The newest of those changes, in the order in which they were acknowledged. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged(Arc<Mutex<VecDeque<Push>>>);

impl Acknowledged {
    /// Takes note of one. Past [`REMEMBERED`] the oldest is let go.
    pub fn note(&self, change: Push) {
        let mut changes = self.0.lock();
        changes.push_back(change);
        if changes.len() > REMEMBERED {
            changes.pop_front();
        }
    }

    /// Those of one partition that are not settled, without those that are `heard`.
    pub(super) fn unheard(&self, partition: Partition, heard: impl Fn(&Push) -> bool) -> Vec<Push> {
        let mut changes = self.0.lock();
        changes.retain(|it| it.partition != partition || !heard(it));
        changes.iter().filter(|it| it.partition == partition).cloned().collect()
    }

    /// Lets go of changes of which it is known what became of them.
    pub(super) fn settle(&self, known: &[Push]) {
        self.0.lock().retain(|it| !known.contains(it));
    }
}
