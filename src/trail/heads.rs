//! Signs the newest link of every chain of the audit trail: every minute, by whoever holds the
//! lease.

use std::{collections::BTreeMap, convert::Infallible, io, path::PathBuf, time::Duration};

use super::appended::append;
use crate::{
    control::{
        Control,
        tenure::{Tenure, Turns},
    },
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
        let mut turns = Turns::new(self.tenure.clone(), EVERY);
        loop {
            turns.next().await;
            if let Err(error) = self.once(&mut signed).await {
                tracing::warn!(%error, "The audit trail is not signed: {error}");
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

const EVERY: Duration = Duration::from_mins(1);
