//! Writes the decision log.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    collector::Collector,
    line::{Decided, Line, Masked},
};
use crate::telemetry::{Metrics, event::DecisionsUnlogged};

/// Where lines go.
#[derive(Debug)]
pub enum Sink {
    /// To a collector, as log records.
    Collector(Collector),
    /// To the end of a file. One that was moved away or deleted is made anew.
    File(LogFile),
    /// To standard output.
    Stdout,
}

/// A file that lines are appended to.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether the last line is not whole.
    cut_off: bool,
}

impl LogFile {
    /// Opens it, or makes it for its owner alone.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self { path: path.to_owned(), file, cut_off: false })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.is_in_place()? {
            *self = Self::open(&self.path)?;
        }
        if std::mem::replace(&mut self.cut_off, true) {
            self.file.write_all(b"\n")?;
        }
        self.file.write_all(lines)?;
        self.cut_off = false;
        Ok(())
    }

    /// Whether what is open is what has the name: it may have been rotated.
    fn is_in_place(&self) -> io::Result<bool> {
        let named = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            named => named?,
        };
        let open = self.file.metadata()?;
        Ok((named.dev(), named.ino()) == (open.dev(), open.ino()))
    }
}

/// What of a batch could not be written.
#[derive(Debug)]
pub(super) struct Loss {
    /// How many decisions.
    pub count: u64,
    /// Why.
    pub why: String,
}

impl Sink {
    /// Writes a batch. Nothing comes back if that panicked.
    async fn take(
        mut self,
        batch: &[Decided],
        masked: &[Masked],
    ) -> Option<(Self, Result<(), Loss>)> {
        if let Self::Collector(collector) = &mut self {
            let sent = collector.send(batch, masked).await;
            return Some((self, sent));
        }
        let (lines, count) = (lines(batch, masked), batch.len() as u64);
        // A disk that hangs keeps nobody but who waits for this.
        let (sink, written) = spawn_blocking(move || {
            let written = self.write(&lines);
            (self, written)
        })
        .await
        .ok()?;
        Some((sink, written.map_err(|error| Loss { count, why: error.to_string() })))
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            // It is sent records.
            Self::Collector(_) => Ok(()),
            Self::File(file) => file.append(lines),
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
        }
    }
}

/// Takes what is handed over, and writes it.
#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Receiver<Decided>,
    sink: Sink,
    masked: Vec<Masked>,
    metrics: Metrics,
}

impl Writer {
    pub(super) fn new(
        queue: mpsc::Receiver<Decided>,
        sink: Sink,
        masked: Vec<Masked>,
        metrics: Metrics,
    ) -> Self {
        Self { queue, sink, masked, metrics }
    }

    /// Writes until `last`, and then what is handed over already.
    pub async fn run(self, last: CancellationToken) {
        let Self { mut queue, mut sink, masked, metrics } = self;
        let mut batch = Vec::with_capacity(BATCH);
        let mut is_last = false;
        loop {
            let taken = tokio::select! {
                taken = queue.recv_many(&mut batch, BATCH) => taken,
                () = last.cancelled(), if !is_last => {
                    is_last = true;
                    queue.close();
                    continue;
                }
            };
            if taken == 0 {
                return;
            }
            if let Sink::Collector(collector) = &mut sink {
                if is_last {
                    collector.hurry();
                }
                gather(&mut queue, &mut batch).await;
            }
            let count = batch.len() as u64;
            let Some((back, written)) = sink.take(&batch, &masked).await else { return };
            sink = back;
            batch.clear();
            let mut unwritten = 0;
            if let Err(Loss { count, why }) = written {
                unwritten = count;
                DecisionsUnlogged { count, why }.emit(&metrics);
            }
            metrics.decisions_logged.increment(count.saturating_sub(unwritten));
        }
    }
}

/// Waits a little for more, so that few are sent by themselves. Who handed them over has gone on.
async fn gather(queue: &mut mpsc::Receiver<Decided>, batch: &mut Vec<Decided>) {
    let more = async {
        while batch.len() < BATCH && queue.recv_many(batch, BATCH - batch.len()).await > 0 {}
    };
    // What has come by then is enough.
    let _ = timeout(GATHERED_WITHIN, more).await;
}

fn lines(batch: &[Decided], masked: &[Masked]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(batch.len() * LINE);
    for decided in batch {
        // Plain words and numbers into memory cannot fail.
        if serde_json::to_writer(&mut lines, &Line::of(decided, masked)).is_ok() {
            lines.push(b'\n');
        }
    }
    lines
}

/// How many are written at once.
const BATCH: usize = 512;
/// How long a line is, about.
const LINE: usize = 384;
/// A collector is sent what comes in this time as one.
const GATHERED_WITHIN: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        let mut file = LogFile::open(&path).unwrap();
        file.append(b"one\n").unwrap();
        fs::rename(&path, &moved).unwrap();
        file.append(b"two\n").unwrap();
        fs::remove_file(&path).unwrap();
        file.append(b"three\n").unwrap();
        assert_eq!(fs::read(&moved).unwrap(), b"one\n");
        assert_eq!(fs::read(&path).unwrap(), b"three\n");
    }

    #[test]
    fn a_line_that_was_cut_off_ends_before_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = LogFile::open(&path).unwrap();
        file.append(b"one\ntw").unwrap();
        file.cut_off = true;
        file.append(b"three\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntw\nthree\n");
    }
}
