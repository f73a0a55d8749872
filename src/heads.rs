//! Signs the newest link of every chain of the audit trail: every minute, by whoever holds the
//! lease.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs::OpenOptions,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    control::{Control, tenure::Tenure},
    domain::{Partition, audit::head::ChainHead},
    store::StoreError,
};

/// Signs heads, and appends them to a file.
#[derive(Debug)]
pub struct Heads {
    /// Reads the trail.
    pub control: Control,
    /// Tells whether this instance signs.
    pub tenure: Tenure,
    /// With what.
    pub key: Vec<u8>,
    /// Where they are appended.
    pub file: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum NotSigned {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}: {1}")]
    File(String, io::Error),
    #[error("{0}")]
    Signature(String),
}

impl Heads {
    /// Signs for ever, soon after the lease was taken and then every minute.
    pub async fn run(self) -> Infallible {
        let mut signed = BTreeMap::new();
        loop {
            self.tenure.begins().await;
            let mut pause = FIRST_PAUSE;
            while self.tenure.holds() {
                tokio::select! {
                    () = self.tenure.ends() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                if let Err(error) = self.once(&mut signed).await {
                    tracing::warn!(%error, "The audit trail is not signed: {error}");
                }
                pause = EVERY;
            }
        }
    }

    /// Signs those that changed since.
    async fn once(&self, signed: &mut BTreeMap<Partition, ChainHead>) -> Result<(), NotSigned> {
        let unsigned = |error: &dyn std::fmt::Display| NotSigned::Signature(error.to_string());
        let (mut lines, mut fresh) = (String::new(), Vec::new());
        for partition in self.control.store.partitions().all() {
            let Some(head) = self.control.store.audit_head(partition).await? else { continue };
            if signed.get(&partition) == Some(&head) {
                continue;
            }
            let line = head.clone().signed(&self.key, self.control.clock.now());
            let line = line.map_err(|error| unsigned(&error))?;
            lines += &serde_json::to_string(&line).map_err(|error| unsigned(&error))?;
            lines.push('\n');
            fresh.push((partition, head));
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let file = self.file.clone();
        let appended = tokio::task::spawn_blocking(move || append(&file, &lines)).await;
        let appended = appended.map_err(io::Error::other).flatten();
        appended.map_err(|error| NotSigned::File(self.file.display().to_string(), error))?;
        signed.extend(fresh);
        Ok(())
    }
}

/// Also behind a line that was cut off, as by a full disk.
fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let end_of_line = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{end_of_line}{lines}").as_bytes())?;
    file.sync_data()
}

/// After the lease was taken.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_mins(1);
