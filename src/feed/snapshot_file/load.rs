//! Reads what another process left: the file, and the journal beside it.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use super::{
    format::{MAGIC, Snapshot, Unusable},
    journal_of,
};
use crate::domain::{Epoch, Partitions};

/// What a snapshot must be of.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// How many partitions the store has, if that is known.
    pub partitions: Option<Partitions>,
    /// With which epoch the store began, if only one will do.
    pub created: Option<Epoch>,
}

impl Expected {
    /// Refuses a snapshot of something else.
    pub fn check(&self, snapshot: Snapshot) -> Result<Snapshot, Unusable> {
        let found = snapshot.count;
        if let Some(expected) = self.partitions.filter(|expected| *expected != found) {
            return Err(Unusable::Partitions { found, expected });
        }
        let is_it = |created: &Epoch| snapshot.created().all(|epoch| epoch == created);
        if !self.created.as_ref().is_none_or(is_it) {
            return Err(Unusable::NotExpected);
        }
        Ok(snapshot)
    }
}

/// A snapshot, and how many changes its journal added.
#[derive(Debug)]
pub struct Loaded {
    /// The snapshot with them.
    pub snapshot: Snapshot,
    /// How many there were.
    pub replayed: u64,
}

/// Reads the file at `path` with its journal; nothing when there is no file. It blocks.
pub fn load(path: &Path, expected: &Expected) -> Result<Option<Loaded>, Unusable> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let mut snapshot = expected.check(Snapshot::parse(&bytes)?)?;
    drop(bytes);
    let replayed = match std::fs::read(journal_of(path)) {
        Ok(journal) => snapshot.replay(&journal),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, "The snapshot file's journal cannot be read: {error}");
            }
            0
        }
    };
    Ok(Some(Loaded { snapshot, replayed }))
}

/// What is in the file, if it begins as a snapshot does: what does not may be of any size.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Unusable> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    (&mut file).take(MAGIC.len() as u64).read_to_end(&mut bytes)?;
    if bytes != MAGIC.as_bytes() {
        return Err(if MAGIC.as_bytes().starts_with(&bytes) {
            Unusable::Torn
        } else {
            Unusable::Foreign
        });
    }
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
