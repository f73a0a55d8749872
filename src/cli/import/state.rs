//! How far an import has come, kept in a file so that the next run goes on there.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{super::failure::Failure, batches::Place};
use crate::domain::{Source, TenantId, audit::batch::Counts};

/// What the next run has to know.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    /// How many bytes are done.
    bytes: u64,
    /// How many lines.
    lines: u64,
    /// SHA-256 (hex) of those bytes.
    pub(super) sha256: String,
    /// For which source.
    pub(super) source: Option<Source>,
    /// For which tenant.
    pub(super) tenant: Option<TenantId>,
    /// Into which store.
    pub(super) store: Option<String>,
    /// What came of the lines.
    #[serde(flatten)]
    pub(super) counts: Counts,
}

impl State {
    /// Nothing is done.
    pub(super) fn begin(source: Option<Source>, tenant: Option<TenantId>) -> Self {
        Self { source, tenant, ..Self::default() }
    }

    /// How far the file is done.
    pub(super) const fn place(&self) -> Place {
        Place { bytes: self.bytes, lines: self.lines }
    }

    /// The same further on.
    pub(super) fn at(self, place: Place, sha256: String) -> Self {
        Self { bytes: place.bytes, lines: place.lines, sha256, ..self }
    }
}

/// The file.
#[derive(Clone, Debug)]
pub(super) struct StateFile(PathBuf);

impl StateFile {
    /// The one at `path`.
    pub(super) const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The one beside `input`.
    pub(super) fn beside(input: &Path) -> Self {
        let mut name = input.as_os_str().to_owned();
        name.push(".import-state");
        Self(name.into())
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What it says, if it is there.
    pub(super) fn load(&self) -> Result<Option<State>, Failure> {
        let path = self.0.display();
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::Local(format!("cannot read {path}: {error}"))),
        };
        let state = serde_json::from_str(&text);
        state.map(Some).map_err(|error| {
            Failure::Usage(format!("{path} does not tell how far an import came: {error}"))
        })
    }

    /// Keeps `state`: whole, or what was there before.
    pub(super) fn save(&self, state: &State) -> Result<(), Failure> {
        let text = serde_json::to_string(state).map_err(|error| Failure::local(&error))?;
        let mut beside = self.0.as_os_str().to_owned();
        beside.push(".new");
        let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.0));
        written.map_err(|error| {
            let path = self.0.display();
            Failure::Local(format!("cannot keep in {path} how far it came (--state): {error}"))
        })
    }

    /// There is nothing to go on with.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = self.0.display();
                Err(Failure::Local(format!("cannot remove {path}: {error}")))
            }
            _ => Ok(()),
        }
    }
}
