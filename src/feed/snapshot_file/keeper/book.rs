//! The journal that is open, and the lines that the next one begins with.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::Id,
    Wrote,
    files::{self, Written},
};

/// A journal, its snapshot, and what comes while the next snapshot is written.
#[derive(Debug)]
pub(super) struct Book {
    path: PathBuf,
    lock: Option<Arc<File>>,
    /// The journal that follows on the snapshot on disk without a gap, if there is one.
    open: Option<Open>,
    /// The lines since the snapshot under way was begun.
    since: Option<Since>,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    id: Id,
    bytes: usize,
    changed: bool,
}

#[derive(Debug, Default)]
struct Since {
    text: String,
    changed: bool,
    /// Something is missing behind it.
    closed: bool,
}

impl Book {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: None, open: None, since: None }
    }

    /// What keeps other processes from writing there, once it is held.
    pub(super) fn lock(&self) -> Option<Arc<File>> {
        self.lock.clone()
    }

    /// The snapshot that an open journal follows: it may be replayed on the next one too.
    pub(super) fn followed(&self) -> Option<Id> {
        self.open.as_ref().map(|open| open.id)
    }

    /// Whether nothing can be added to what lies on disk.
    pub(super) fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// Whether there is a change in it.
    pub(super) fn is_written_in(&self) -> bool {
        let grown = |open: &Open| open.changed || open.bytes > CONFIRMATIONS_AT_MOST;
        self.open.as_ref().is_none_or(grown)
    }

    /// Whether it is long enough for a new snapshot.
    pub(super) fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.bytes > BYTES_AT_MOST)
    }

    /// A snapshot is under way: what comes now belongs behind it.
    pub(super) fn begin_next(&mut self) {
        self.since = Some(Since::default());
    }

    /// That snapshot came to nothing.
    pub(super) fn give_up_next(&mut self) {
        self.since = None;
    }

    /// Something is missing behind what was added last. Says whether that is news.
    pub(super) fn close(&mut self) -> bool {
        let was_open = self.open.take().is_some();
        let since = self.since.as_mut();
        let was_taken_down = since.is_some_and(|since| !std::mem::replace(&mut since.closed, true));
        was_open || was_taken_down
    }

    /// Adds lines. Says whether they are in a journal.
    pub(super) async fn append(&mut self, text: String, wrote: Wrote) -> io::Result<bool> {
        if text.is_empty() {
            return Ok(!self.is_closed());
        }
        if let Some(since) = self.since.as_mut().filter(|since| !since.closed) {
            since.text.push_str(&text);
            since.changed |= wrote == Wrote::Changes;
            since.closed = since.text.len() > SINCE_AT_MOST;
        }
        let Some(open) = &mut self.open else { return Ok(false) };
        open.bytes = open.bytes.saturating_add(text.len());
        open.changed |= wrote == Wrote::Changes;
        let file = Arc::clone(&open.file);
        let append = move || (&*file).write_all(text.as_bytes());
        let written = tokio::task::spawn_blocking(append).await;
        let written = written.map_err(io::Error::other).flatten();
        if written.is_err() {
            self.open = None;
        }
        written.map(|()| true)
    }

    /// A snapshot is on disk: begins its journal.
    pub(super) async fn turn(&mut self, written: Written) -> io::Result<()> {
        let Written { id, lock, .. } = written;
        self.lock = Some(lock);
        self.open = None;
        let Since { text, changed, closed } = self.since.take().unwrap_or_default();
        let (path, bytes) = (self.path.clone(), text.len());
        let begin = move || files::begin_journal(&path, id, text.as_bytes());
        let file = tokio::task::spawn_blocking(begin).await.map_err(io::Error::other).flatten()?;
        if !closed {
            self.open = Some(Open { file: Arc::new(file), id, bytes, changed });
        }
        Ok(())
    }
}

/// With nothing but confirmations in it, a journal is begun anew when it is this long.
const CONFIRMATIONS_AT_MOST: usize = 1 << 20;
/// With changes in it, when it is this long, whatever the time.
const BYTES_AT_MOST: usize = 64 << 20;
/// Lines that come while a snapshot is written. More than these need another one.
const SINCE_AT_MOST: usize = 16 << 20;
