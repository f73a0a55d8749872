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
            // What was left half done is of an earlier time, and found once.
            let mut looks = Looks::InTheArchive;
            while self.tenure.holds() && self.archive_page(partition, until, looks).await? {
                looks = Looks::Nowhere;
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
        looks: Looks,
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
            let lines = match looks {
                Looks::InTheArchive => lines(&missing(&path, &old.links)?)?,
                Looks::Nowhere => lines(&old.links)?,
            };
            append(&path, &lines).map(|()| old)
        });
        let written = written.await.map_err(io::Error::other).flatten();
        let old = written.map_err(|error| NotArchived::File(shown, error))?;
        if !store.take_out_audit(partition, &epoch, &old).await? {
            return Ok(false);
        }
        let Old { links, stays_from, has_more, .. } = &old;
        AuditArchived { partition, entries: links.len(), stays_from }.emit(metrics);
        Ok(*has_more)
    }
}

/// Where a page is looked for before it is written down.
#[derive(Clone, Copy, Debug)]
enum Looks {
    /// It may be there: an instance may have ended before it took it out of the store.
    InTheArchive,
    /// What was there of it is out of the store.
    Nowhere,
}

fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Those that are not in the archive yet. One that was written down and could not be taken out of
/// the store is there already; one that only has the same place is of another store.
fn missing(path: &Path, links: &[Archived]) -> io::Result<Vec<Archived>> {
    let mut missing = links.to_vec();
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(missing),
        file => file?,
    };
    for line in BufReader::new(file).split(b'\n') {
        // A line that was cut off says nothing: what it was of is written again.
        if let Ok(archived) = serde_json::from_slice::<Archived>(&line?) {
            missing.retain(|it| {
                it.place() != archived.place() || it.link.chain != archived.link.chain
            });
        }
    }
    Ok(missing)
}

/// A line each.
fn lines(entries: &[Archived]) -> io::Result<String> {
    let mut text = String::new();
    for archived in entries {
        text += &serde_json::to_string(archived)?;
        text.push('\n');
    }
    Ok(text)
}

const EVERY: Duration = Duration::from_hours(1);
/// How many entries are archived at a time.
const PAGE: usize = 200;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::domain::audit::chain::Link;

    fn archived(place: u64, chain: &str) -> Archived {
        let link = Link {
            id: format!("{place}-0"),
            revision: "1".to_owned(),
            millis: place.to_string(),
            entry: "{}".to_owned(),
            chain: chain.to_owned(),
            notes: None,
        };
        Archived { partition: 0, link }
    }

    #[test]
    fn nothing_is_taken_for_archived_that_is_not_there_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit-0.ndjson");
        let page = [archived(1, "a"), archived(2, "b"), archived(3, "c")];
        assert_eq!(missing(&path, &page).unwrap(), page);
        append(&path, &lines(&page[..2]).unwrap()).unwrap();
        assert_eq!(missing(&path, &page).unwrap(), page[2..]);
        // A newer entry, or one at the same place, of another store says nothing of these.
        let others = [archived(9, "x"), archived(3, "y")];
        append(&path, &lines(&others).unwrap()).unwrap();
        assert_eq!(missing(&path, &page).unwrap(), page[2..]);
        // One that was cut off is written again.
        fs::write(&path, &lines(&page).unwrap().as_bytes()[..60]).unwrap();
        assert_eq!(missing(&path, &page).unwrap(), page);
    }
}
