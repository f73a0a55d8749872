//! What is put on disk, and in which order. Everything here blocks.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use super::{
    super::{Cut, Id, beside, journal::first_line, journal_of},
    next_to,
};
use crate::domain::Timestamp;

/// A snapshot that is on disk.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) id: Id,
    pub(super) customers: u64,
    /// When the oldest of its partitions was last confirmed.
    pub(super) confirmed: Option<Timestamp>,
    /// What keeps other processes from writing there.
    pub(super) lock: Arc<File>,
}

/// Writes a snapshot whole or not at all: beside the old one, then in its place.
pub(super) fn write(path: &Path, cut: &Cut, lock: Option<Arc<File>>) -> io::Result<Written> {
    let lock = match lock {
        Some(lock) => lock,
        None => Arc::new(lock_for(path)?),
    };
    let new = next_to(path);
    let mut out = BufWriter::with_capacity(BUFFER, create(&new)?);
    let customers = cut.write(&mut out)?;
    out.into_inner()?.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path)?;
    let confirmed = cut.partitions.iter().map(|part| part.confirmed).min();
    Ok(Written { id: cut.id, customers, confirmed, lock })
}

/// Begins the journal of the snapshot `id` with the lines that came while it was written.
pub(super) fn begin_journal(path: &Path, id: Id, since: &[u8]) -> io::Result<File> {
    let journal = journal_of(path);
    let new = next_to(&journal);
    let mut file = create(&new)?;
    file.write_all(first_line(id).as_bytes())?;
    file.write_all(since)?;
    fs::rename(&new, &journal)?;
    Ok(file)
}

/// Two processes must not write the same files.
fn lock_for(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(beside(path, ".lock"))?;
    file.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another process writes it; each needs its own (--snapshot-file or --data-dir)",
        ),
        fs::TryLockError::Error(error) => error,
    })?;
    Ok(file)
}

/// A new file that only its owner can read, whatever an earlier process left there.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A file that was put in the place of another stays there only when its directory says so.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

const BUFFER: usize = 1 << 20;
