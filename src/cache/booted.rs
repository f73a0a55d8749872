//! A picture that this process did not read from the store itself: another process left it in a
//! file, or another instance gave it.
//!
//! It stands in until the store is here: it refuses whom it names and, if it is young enough, lets
//! others pass; nothing that is read from the store is measured against it before the log has
//! confirmed it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{Cache, HeldPartition, Picture};
use crate::domain::{Epoch, Partition, Partitions, Watermark};

/// One partition as it was left.
#[derive(Clone, Debug)]
pub struct Booted {
    /// Its restricted set.
    pub picture: Arc<Picture>,
    /// The place in the store's log that it stands for.
    pub watermark: Watermark,
    /// How long ago the store confirmed it; nothing if that cannot be told.
    pub age: Option<Duration>,
    /// What it is good for.
    pub good_for: Use,
}

/// What a picture that was not read from the store is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Use {
    /// To decide, as any picture of its age.
    Deciding,
    /// To refuse whom it names. Everybody else is undecided.
    Refusing,
}

/// Why a picture was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// A session with the store is open: its word counts.
    #[error("the store is being read")]
    BeingRead,
    /// There is one that is at least as good.
    #[error("there is a picture already")]
    Held,
    /// There is one of another history.
    #[error("it is of another history than the picture that is held already")]
    AnotherHistory,
    /// There is no such partition.
    #[error("the store has no partition of that number")]
    NoSuchPartition,
    /// The store is cut in another way.
    #[error("it is of a store with {found} partitions, and this one has {expected}")]
    Partitions {
        /// How many it has.
        found: Partitions,
        /// How many there are.
        expected: Partitions,
    },
}

/// Where a partition's picture comes from, until the store confirms it.
#[derive(Debug, Default)]
pub(super) struct Origin {
    /// Whether a session with the store is open. Held while a picture is put in its place, so
    /// that no session begins without knowing of it.
    session: Mutex<bool>,
    /// Nanoseconds of age that the picture had when it was taken; [`UNTOLD`] if nobody knows.
    age_before: AtomicU64,
    only_refuses: AtomicBool,
}

impl Origin {
    /// The store has confirmed what is held.
    pub(super) fn confirm(&self) {
        self.age_before.store(0, Ordering::Release);
        self.only_refuses.store(false, Ordering::Release);
    }

    /// The age that it had before this process took it; nothing if that cannot be told.
    pub(super) fn age_before(&self) -> Option<Duration> {
        let nanos = self.age_before.load(Ordering::Acquire);
        (nanos != UNTOLD).then(|| Duration::from_nanos(nanos))
    }

    /// Whether it lets nobody in.
    pub(super) fn only_refuses(&self) -> bool {
        self.only_refuses.load(Ordering::Acquire)
    }
}

impl Cache {
    /// Whether what is held of some partition was not read from the store, which has not confirmed
    /// it yet either.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        let parts = self.0.partitions.get().into_iter().flatten();
        let mut held = parts.filter(|part| part.picture.load().is_some());
        held.any(|part| part.origin.age_before() != Some(Duration::ZERO))
    }

    /// Takes a picture of `partition` that was not read from the store, unless there is one, or
    /// the store is being read.
    pub fn boot(&self, partition: Partition, booted: Booted) -> Result<(), Refused> {
        let Some(part) = self.partition(partition) else { return Err(Refused::NoSuchPartition) };
        let session = part.origin.session.lock();
        if *session {
            return Err(Refused::BeingRead);
        }
        part.stands_aside_for(&booted)?;
        let Booted { picture, watermark, age, good_for } = booted;
        let nanos = age.map(|age| u64::try_from(age.as_nanos()).unwrap_or(UNTOLD));
        let origin = &part.origin;
        // Nobody is let in before all of it is in its place.
        origin.only_refuses.store(true, Ordering::Release);
        part.floors.lock().raise(None, watermark.position);
        part.ahead.lock().reach(watermark.position);
        part.picture.store(Some(picture));
        origin.age_before.store(nanos.unwrap_or(UNTOLD), Ordering::Release);
        part.confirmed.store(self.0.clock.moment().as_nanos(), Ordering::Release);
        part.watermark.send_replace(Some(watermark));
        origin.only_refuses.store(good_for == Use::Refusing, Ordering::Release);
        drop(session);
        Ok(())
    }

    /// A session with the store begins to read `partition`: from here on nothing is booted there.
    /// Tells what the session goes on from, if there is something.
    #[must_use]
    pub fn begin_session(&self, partition: Partition) -> Option<Watermark> {
        let part = self.partition(partition)?;
        *part.origin.session.lock() = true;
        part.watermark.borrow().clone()
    }

    /// That session ended.
    pub fn end_session(&self, partition: Partition) {
        if let Some(part) = self.partition(partition) {
            *part.origin.session.lock() = false;
        }
    }

    /// What is held here says nothing of the store that is asked: whom it names is refused, and
    /// nobody is let in by it.
    pub fn let_nobody_in(&self) {
        for part in self.0.partitions.get().into_iter().flatten() {
            // As in a session: another one of its kind is not to take its place.
            *part.origin.session.lock() = true;
            part.origin.only_refuses.store(true, Ordering::Release);
        }
    }

    /// Whether what is held of every partition may let somebody in.
    #[must_use]
    pub fn decides(&self) -> bool {
        let decides = |part: &HeldPartition| part.decides();
        self.0.partitions.get().is_some_and(|parts| parts.iter().all(decides))
    }

    /// Whether there is a picture of any partition, of any age.
    #[must_use]
    pub fn has_picture(&self) -> bool {
        let is_held = |part: &HeldPartition| part.watermark.borrow().is_some();
        self.0.partitions.get().is_some_and(|parts| parts.iter().any(is_held))
    }

    /// A partition's restricted set and the place in the log that it stands for at least: it may
    /// hold changes that come after.
    #[must_use]
    pub fn cut(&self, partition: Partition) -> Option<(Arc<Picture>, Watermark)> {
        let part = self.partition(partition)?;
        for _ in 0..CUT_TRIES {
            // A change is in the picture before it moves the watermark.
            let watermark = part.watermark.borrow().clone()?;
            let picture = part.picture.load_full()?;
            let is_of_one_piece = picture.epoch == watermark.epoch
                && picture.generation == watermark.position.generation;
            if is_of_one_piece {
                return Some((picture, watermark));
            }
            // Another picture is just being put in its place.
            std::thread::yield_now();
        }
        None
    }

    /// Whether what is held of `partition` is doubtful.
    #[must_use]
    pub fn is_suspect(&self, partition: Partition) -> bool {
        self.partition(partition).is_some_and(|part| part.suspect.load(Ordering::Acquire))
    }

    /// The first epoch of the store that is followed here, once that is known.
    #[must_use]
    pub fn created(&self) -> Option<Epoch> {
        Some(self.picture(Partition(0))?.lineage.created.clone())
    }
}

impl HeldPartition {
    fn decides(&self) -> bool {
        self.watermark.borrow().is_some() && !self.origin.only_refuses()
    }

    /// Whether what is held here gives way to `booted`: only what lets nobody in does, and only
    /// to what is of its history and no older, so that whom it names stays refused.
    fn stands_aside_for(&self, booted: &Booted) -> Result<(), Refused> {
        let held = self.watermark.borrow();
        let Some(held) = held.as_ref() else { return Ok(()) };
        if !self.origin.only_refuses() {
            return Err(Refused::Held);
        }
        if held.epoch != booted.watermark.epoch {
            return Err(Refused::AnotherHistory);
        }
        let is_older = booted.watermark.position.revision < held.position.revision;
        if is_older || booted.good_for == Use::Refusing { Err(Refused::Held) } else { Ok(()) }
    }
}

/// Far more than it takes to replace a picture.
const CUT_TRIES: usize = 10_000;
/// No age of half a millennium is meant.
const UNTOLD: u64 = u64::MAX;
