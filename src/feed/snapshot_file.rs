//! Boot without the store: the restricted set in a file, and beside it a journal of what changed
//! since.
//!
//! `format` says what the file looks like, `journal` what a line beside it; [`keeper`] writes
//! both while the process runs, and [`boot`] puts what was left in the place of a picture.
//! Another instance is asked for the same text over HTTP.

pub mod boot;
pub mod format;
mod journal;
pub mod keeper;
mod load;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use self::{
    format::{Snapshot, Unusable},
    keeper::{Cadence, Journal, Keeper, Kept},
    load::{Expected, Loaded, load},
};
use crate::{
    cache::{Cache, Forgotten, Picture, keyring::Keyring},
    clock::Clock,
    domain::{Partition, Timestamp, Watermark},
};

/// What a snapshot is taken of, and put in the place of.
#[derive(Clone, Debug)]
pub struct Source {
    /// The restricted set.
    pub cache: Cache,
    /// The operators' keys.
    pub keyring: Keyring,
    /// Tells how old they are.
    pub clock: Clock,
}

/// Names one snapshot, so that a journal can say which one it follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Id(u64);

impl Id {
    fn new() -> Self {
        Self(fastrand::u64(..))
    }

    fn parse(raw: &str) -> Option<Self> {
        sixteen_digits(raw).map(Self)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A restricted set about to be written. Changes go on meanwhile, so an entry may be newer than
/// its partition's watermark; replaying the log from there makes the set right again.
#[derive(Debug)]
pub struct Cut {
    id: Id,
    /// The snapshot whose journal may be replayed on this one too.
    continues: Option<Id>,
    keys: Vec<(String, String)>,
    partitions: Vec<CutPartition>,
}

#[derive(Debug)]
struct CutPartition {
    picture: Arc<Picture>,
    watermark: Watermark,
    /// What it withholds, as of the watermark or later, and before any of its entries is looked
    /// at: what is written back meanwhile is in one of the two.
    withheld: Vec<Arc<Forgotten>>,
    confirmed: Timestamp,
}

/// Why nothing can be written that somebody could boot from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotWhole {
    /// The operators' keys are not read.
    #[error("the keys are not read yet")]
    Keys,
    /// A partition has no picture, or one that lets nobody in.
    #[error("this instance has no picture of the store itself")]
    Picture,
    /// A picture disagrees with the store.
    #[error("the picture in memory disagrees with the store")]
    Suspect,
}

impl Source {
    /// Every partition of the store.
    pub fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        self.cache.partitions().all()
    }

    /// What there is to write now.
    pub fn cut(&self) -> Result<Cut, NotWhole> {
        self.continuing(None)
    }

    fn continuing(&self, continues: Option<Id>) -> Result<Cut, NotWhole> {
        // What is confirmed at a moment is in a picture that is looked at after it.
        let confirmed = self.confirmed()?;
        let keys = self.keys()?;
        let mut partitions = Vec::new();
        for (partition, confirmed) in confirmed {
            let (picture, watermark) = self.cache.cut(partition).ok_or(NotWhole::Picture)?;
            let withheld = picture.withheld.list();
            partitions.push(CutPartition { picture, watermark, withheld, confirmed });
        }
        Ok(Cut { id: Id::new(), continues, keys, partitions })
    }

    /// When each partition was last confirmed, by the time of day.
    fn confirmed(&self) -> Result<Vec<(Partition, Timestamp)>, NotWhole> {
        let now = self.clock.now();
        let decides = self.cache.decides();
        let confirmed = |partition| {
            let at = self.clock.moment();
            let age = self.cache.staleness(partition, at, Duration::MAX, Duration::MAX).age;
            if self.cache.is_suspect(partition) {
                return Err(NotWhole::Suspect);
            }
            let age = age.filter(|_| decides).ok_or(NotWhole::Picture)?;
            Ok((partition, now.saturating_sub(age)))
        };
        self.partitions().map(confirmed).collect()
    }

    /// The keys as of partition 0's watermark, or a little later.
    fn keys(&self) -> Result<Vec<(String, String)>, NotWhole> {
        let watermark = || self.cache.watermark(Partition(0));
        let mut tries = 0..KEY_TRIES;
        loop {
            if !self.keyring.is_read() {
                return Err(NotWhole::Keys);
            }
            let before = watermark();
            let keys = self.keyring.all();
            // A key that changed meanwhile could be revoked here and good again after a journal
            // that ends too early.
            if before == watermark() || tries.next().is_none() {
                let spell = |(id, key)| Some((id, serde_json::to_string(&key).ok()?));
                return Ok(keys.into_iter().filter_map(spell).collect());
            }
        }
    }
}

/// Reads a number as `{:016x}` spells it, and in no other way: a changed byte is a changed byte.
fn sixteen_digits(raw: &str) -> Option<u64> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let sound = raw.len() == 16 && raw.bytes().all(is_digit);
    if sound { u64::from_str_radix(raw, 16).ok() } else { None }
}

/// `path` with something at its end: files that belong to it lie beside it.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// The journal of the snapshot at `path`.
#[must_use]
pub fn journal_of(path: &Path) -> PathBuf {
    beside(path, ".journal")
}

const KEY_TRIES: usize = 100;
