//! Keeps the file and its journal while the process runs, apart from the feed: what cannot be
//! noted in time is not waited for, and makes a new snapshot necessary.

mod book;
mod files;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::{book::Book, files::Written};
use super::{
    Source,
    journal::{Left, Line},
};
use crate::{
    clock::{Clock, Moment},
    domain::{Change, Partition, Timestamp},
    telemetry::{
        Metrics,
        event::{JournalBroken, SnapshotFileFailed, SnapshotFileWritten},
    },
};

/// How often what is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cadence {
    /// A new snapshot when something changed; each time up to a fifth more.
    pub every: Duration,
    /// A new snapshot after one that is no longer good, at the earliest.
    pub apart: Duration,
    /// A line that tells when the store last confirmed what is held.
    pub confirm: Duration,
}

impl Default for Cadence {
    fn default() -> Self {
        Self {
            every: Duration::from_mins(5),
            apart: Duration::from_secs(10),
            confirm: Duration::from_secs(2),
        }
    }
}

/// Where the feed notes what it applies. Cheap to clone; it waits for nothing.
#[derive(Clone, Debug, Default)]
pub struct Journal(Option<Ear>);

#[derive(Clone, Debug)]
struct Ear {
    notes: mpsc::Sender<Note>,
    /// Whether something could not be noted since the newest snapshot was begun.
    lost: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Note {
    Line(Line),
    /// Another picture is in the place of the one that was written.
    Replaced,
}

impl Journal {
    /// Notes a change that was applied in order; `withholds` says whether anything was withheld
    /// that it may have ended.
    pub(in crate::feed) fn applied(&self, partition: Partition, change: &Change, withholds: bool) {
        if let Self(Some(ear)) = self {
            let Change { revision, ref log_id, .. } = *change;
            let left = if withholds { Left::told_by(change) } else { Left::by(change) };
            let log_id = log_id.clone();
            ear.note(Note::Line(Line::Applied { partition, log_id, revision, left }));
        }
    }

    /// Notes a change that bites before those in between are known.
    pub(in crate::feed) fn applied_ahead(&self, partition: Partition, change: &Change) {
        if let Self(Some(ear)) = self {
            let Change { revision, ref log_id, .. } = *change;
            let left = Left::by(change);
            let log_id = log_id.clone();
            if left != Left::Nothing {
                ear.note(Note::Line(Line::Ahead { partition, log_id, revision, left }));
            }
        }
    }

    /// Notes that another picture is in the place of the one that was written.
    pub(in crate::feed) fn replaced(&self) {
        if let Self(Some(ear)) = self {
            ear.note(Note::Replaced);
        }
    }
}

impl Ear {
    fn note(&self, note: Note) {
        // What follows on something lost is of no use.
        if !self.lost.load(Ordering::Acquire) && self.notes.try_send(note).is_err() {
            self.lost.store(true, Ordering::Release);
        }
    }
}

/// What is to be told of the file.
#[derive(Clone, Debug)]
pub struct Kept {
    path: Arc<Path>,
    /// Milliseconds since 1970; zero before there is a file.
    confirmed: Arc<AtomicU64>,
    clock: Clock,
}

impl Kept {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How old a picture it and its journal hold; nothing before there is one.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let millis = self.confirmed.load(Ordering::Acquire);
        let confirmed = Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
        (millis > 0).then(|| self.clock.now().saturating_since(confirmed))
    }

    fn confirm(&self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.confirmed.store(at.as_millis(), Ordering::Release);
        }
    }
}

/// Writes the file and the journal.
#[derive(Debug)]
pub struct Keeper {
    source: Source,
    metrics: Metrics,
    cadence: Cadence,
    notes: mpsc::Receiver<Note>,
    lost: Arc<AtomicBool>,
    kept: Kept,
    book: Book,
    /// When a snapshot was last begun, and how long after that the next one may be, or is due.
    begun: Option<Moment>,
    apart: Duration,
    due: Duration,
    /// Whether what lies on disk can no longer be added to.
    wanted: bool,
    told_confirmed: Moment,
}

type Writing = JoinHandle<Result<Written, std::io::Error>>;

impl Keeper {
    /// A keeper of the file at `path`, the feed's end of it, and what is to be told of it.
    #[must_use]
    pub fn new(
        path: &Path,
        source: Source,
        metrics: Metrics,
        cadence: Cadence,
    ) -> (Self, Journal, Kept) {
        let (sender, notes) = mpsc::channel(NOTES_HELD);
        let lost = Arc::<AtomicBool>::default();
        let kept =
            Kept { path: Arc::from(path), confirmed: Arc::default(), clock: source.clock.clone() };
        let journal = Journal(Some(Ear { notes: sender, lost: Arc::clone(&lost) }));
        let keeper = Self {
            source,
            metrics,
            cadence,
            notes,
            lost,
            kept: kept.clone(),
            book: Book::new(path),
            begun: None,
            apart: cadence.apart,
            due: cadence.every,
            wanted: true,
            told_confirmed: Moment::default(),
        };
        (keeper, journal, kept)
    }

    /// Keeps them until `draining`, and then writes a last time.
    pub async fn run(mut self, draining: CancellationToken) {
        let mut writing: Option<Writing> = None;
        let mut notes = Vec::new();
        let mut tick = tokio::time::interval(self.cadence.confirm.min(LOOK_AGAIN));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = draining.cancelled() => break,
                written = ended(&mut writing) => self.finish(written).await,
                count = self.notes.recv_many(&mut notes, NOTES_AT_ONCE) => {
                    if count == 0 {
                        draining.cancelled().await;
                        break;
                    }
                    self.write_down(&mut notes).await;
                }
                _ = tick.tick() => self.confirm(&mut notes).await,
            }
            self.notice_loss();
            if writing.is_none() && self.is_due() {
                writing = self.begin();
            }
        }
        if let Some(writing) = writing.take() {
            self.finish(writing.await.map_err(std::io::Error::other).flatten()).await;
        }
        self.told_confirmed = Moment::default();
        self.confirm(&mut notes).await;
        self.notice_loss();
        if (self.wanted || self.book.is_written_in())
            && let Some(writing) = self.begin()
        {
            self.finish(writing.await.map_err(std::io::Error::other).flatten()).await;
        }
    }

    fn is_due(&self) -> bool {
        let Some(begun) = self.begun else { return true };
        let since = self.source.clock.moment().saturating_since(begun);
        let is_worth_it = since >= self.due && self.book.is_written_in();
        is_worth_it || (self.wanted && since >= self.apart)
    }

    /// Begins a snapshot, if there is something to write.
    fn begin(&mut self) -> Option<Writing> {
        // First: what is lost from here on is missing behind the snapshot.
        if self.lost.swap(false, Ordering::AcqRel) {
            self.book.close();
        }
        let cut = match self.source.continuing(self.book.followed()) {
            Ok(cut) => cut,
            Err(why) => {
                tracing::debug!(%why, "No snapshot is written: {why}");
                return None;
            }
        };
        self.begun = Some(self.source.clock.moment());
        self.due = self.cadence.every.mul_f64(1.0 + fastrand::f64() / 5.0);
        self.wanted = false;
        self.book.begin_next();
        let lock = self.book.lock();
        let path = self.kept.path.to_path_buf();
        Some(tokio::task::spawn_blocking(move || files::write(&path, &cut, lock)))
    }

    async fn finish(&mut self, written: Result<Written, std::io::Error>) {
        let finished = match written {
            Ok(written) => {
                let (customers, confirmed) = (written.customers, written.confirmed);
                let turned = self.book.turn(written).await;
                turned.map(|()| (customers, confirmed))
            }
            Err(error) => Err(error),
        };
        match finished {
            Ok((customers, confirmed)) => {
                self.apart = self.cadence.apart;
                self.wanted |= self.book.is_closed();
                self.kept.confirm(confirmed);
                SnapshotFileWritten { customers }.emit(&self.metrics);
            }
            Err(error) => {
                // What lies on disk is as good as before, and is added to.
                self.wanted = true;
                self.book.give_up_next();
                // A disk that is full stays so for a while.
                self.apart = (self.apart * 2).min(self.cadence.every);
                let path = self.kept.path.display();
                SnapshotFileFailed { path, error }.emit(&self.metrics);
            }
        }
    }

    /// Puts what was noted into the journal.
    async fn write_down(&mut self, notes: &mut Vec<Note>) {
        let mut text = String::new();
        for note in notes.drain(..) {
            match note {
                Note::Line(line) => text.push_str(&line.spell()),
                Note::Replaced => {
                    // What comes now follows on another picture.
                    self.append(std::mem::take(&mut text), Wrote::Changes).await;
                    self.book.close();
                    self.wanted = true;
                }
            }
        }
        self.append(text, Wrote::Changes).await;
    }

    /// Notes when the store last confirmed what is held, behind everything that it confirmed.
    async fn confirm(&mut self, notes: &mut Vec<Note>) {
        let now = self.source.clock.moment();
        if now.saturating_since(self.told_confirmed) < self.cadence.confirm {
            return;
        }
        let confirmed = self.source.confirmed();
        // Whatever it confirmed was noted before it did.
        while let Ok(note) = self.notes.try_recv() {
            notes.push(note);
        }
        self.write_down(notes).await;
        self.notice_loss();
        let Ok(confirmed) = confirmed else { return };
        self.told_confirmed = now;
        let oldest = confirmed.iter().map(|(_, at)| *at).min();
        let line = |(partition, at)| Line::Confirmed { partition, at }.spell();
        let text: String = confirmed.into_iter().map(line).collect();
        if self.append(text, Wrote::Confirmation).await {
            self.kept.confirm(oldest);
        }
    }

    /// Says whether it is on disk.
    async fn append(&mut self, text: String, wrote: Wrote) -> bool {
        match self.book.append(text, wrote).await {
            Ok(is_open) => is_open,
            Err(error) => {
                self.wanted = true;
                JournalBroken { why: error }.emit(&self.metrics);
                false
            }
        }
    }

    fn notice_loss(&mut self) {
        if self.lost.load(Ordering::Acquire) {
            // Told once: it is over only with the next snapshot.
            if self.book.close() {
                let why = "changes come faster than they can be written";
                JournalBroken { why }.emit(&self.metrics);
            }
            self.wanted = true;
        }
        self.wanted |= self.book.is_full();
    }
}

/// What a text in the journal is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wrote {
    Changes,
    Confirmation,
}

/// Waits for the end of a snapshot under way.
async fn ended(writing: &mut Option<Writing>) -> Result<Written, std::io::Error> {
    let ended = match writing {
        Some(writing) => writing.await.map_err(std::io::Error::other).flatten(),
        None => std::future::pending().await,
    };
    *writing = None;
    ended
}

/// Where the journal's successor is put together.
fn next_to(path: &Path) -> PathBuf {
    super::beside(path, ".new")
}

/// More than this waiting means that the disk does not keep up.
const NOTES_HELD: usize = 8192;
const NOTES_AT_ONCE: usize = 1024;
/// How soon a snapshot that could not be begun is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
