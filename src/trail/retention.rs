//! Takes what is old out of the audit trail, once it stands in an archive: every hour, by whoever
//! holds the lease.

use std::{
    convert::Infallible,
    fs::{DirBuilder, File},
    io::{self, BufRead as _, BufReader},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::appended::append;
use crate::{
    control::{
        Control,
        tenure::{Tenure, Turns},
    },
    domain::{
        Partition, Timestamp,
        audit::archive::{Archived, Old},
    },
    store::StoreError,
    telemetry::event::{AuditArchived, AuditNotArchived},
};

/// Archives what is old.
#[derive(Debug)]
pub struct Retention {
    /// Reads the trail, and takes from it.
    pub control: Control,
    /// Tells whether this instance does.
    pub tenure: Tenure,
    /// How long an entry stays in the store.
    pub keep: Duration,
    /// The directory of the archive: a file for each partition.
    pub archive: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum NotArchived {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}: {1}")]
    File(String, io::Error),
}

impl Retention {
    /// Archives for ever, soon after the lease was taken and then every hour, or sooner where
    /// entries stay for less.
    pub async fn run(self) -> Infallible {
        let mut turns = Turns::new(self.tenure.clone(), EVERY.min(self.keep));
        loop {
            turns.next().await;
            if let Err(error) = self.once().await {
                AuditNotArchived { why: &error }.emit(&self.control.metrics);
            }
        }
    }

    async fn once(&self) -> Result<(), NotArchived> {
        let until = self.control.clock.now().saturating_sub(self.keep);
        for partition in self.control.store.partitions().all() {
            let mut has_more = true;
            while has_more && self.tenure.holds() {
                has_more = self.archive_page(partition, until).await?;
            }
        }
        Ok(())
    }

    /// Archives one page of a partition's trail, and only then takes it out: whether there may be
    /// more.
    async fn archive_page(
        &self,
        partition: Partition,
        until: Timestamp,
    ) -> Result<bool, NotArchived> {
        let Control { store, cache, metrics, .. } = &self.control;
        // What is not believed is not archived, and what has another history by then stays.
        let Some(epoch) = cache.watermark(partition).map(|watermark| watermark.epoch) else {
            return Ok(false);
        };
        let page = store.audit_chain(partition, None, PAGE).await?;
        let Some(old) = Old::of(partition, page, until) else { return Ok(false) };
        let path = self.archive.join(format!("audit-{partition}.ndjson"));
        let (shown, directory) = (path.display().to_string(), self.archive.clone());
        let written = tokio::task::spawn_blocking(move || {
            make(&directory)?;
            let lines = lines_behind(newest(&path)?, &old.links)?;
            append(&path, &lines).map(|()| old)
        });
        let written = written.await.map_err(io::Error::other).flatten();
        let old = written.map_err(|error| NotArchived::File(shown, error))?;
        store.take_out_audit(partition, &epoch, &old).await?;
        let Old { links, stays_from, has_more, .. } = &old;
        AuditArchived { partition, entries: links.len(), stays_from }.emit(metrics);
        Ok(*has_more)
    }
}

fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// The place of the newest entry in the archive. One that was written down and could not be taken
/// out of the store is there already.
fn newest(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut newest = None;
    for line in BufReader::new(file).split(b'\n') {
        // A line that was cut off says nothing: what it was of is written again.
        let archived = serde_json::from_slice::<Archived>(&line?).ok();
        newest = newest.max(archived.map(|it| it.place()));
    }
    Ok(newest)
}

/// Those that are not there yet, a line each.
fn lines_behind(newest: Option<(u64, u64)>, old: &[Archived]) -> io::Result<String> {
    let mut lines = String::new();
    for archived in old.iter().filter(|it| newest.is_none_or(|newest| it.place() > newest)) {
        lines += &serde_json::to_string(archived)?;
        lines.push('\n');
    }
    Ok(lines)
}

const EVERY: Duration = Duration::from_hours(1);
/// How many entries are archived at a time.
const PAGE: usize = 200;
