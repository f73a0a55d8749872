//! Keeps the policy that is in force as its file has it.

use std::{
    convert::Infallible,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use tokio::sync::watch;

use super::{ServeError, watched::Watched};
use crate::{
    domain::Policy,
    http::PolicyShown,
    policy::{InForce, Rules},
    telemetry::{
        Metrics,
        event::{PolicyRefused, PolicyTaken},
    },
};

/// The file, and what was made of it.
pub(super) struct PolicyFile {
    path: PathBuf,
    /// What holds where it says nothing.
    base: Policy,
    in_force: InForce,
    text: Watched<String>,
    shown: watch::Sender<PolicyShown>,
    metrics: Metrics,
}

impl PolicyFile {
    /// Takes the file for the first time. One that cannot be used ends the start.
    pub(super) fn open(
        path: &Path,
        base: Policy,
        in_force: InForce,
        shown: watch::Sender<PolicyShown>,
        metrics: Metrics,
    ) -> Result<Self, ServeError> {
        let path = path.to_owned();
        let name = path.display().to_string();
        let text = read(&path)
            .map_err(|source| ServeError::PolicyUnread { path: name.clone(), source })?;
        let rules =
            Rules::read(&text, base).map_err(|faults| ServeError::Policy { path: name, faults })?;
        let again = path.clone();
        let text = Watched::since(text, move || read(&again).map_err(|error| error.to_string()));
        let file = Self { path, base, in_force, text, shown, metrics };
        file.take(rules);
        Ok(file)
    }

    /// Takes what the file says, whenever it says something else that can be used.
    pub(super) async fn keep_current(mut self) -> Infallible {
        loop {
            let text = self.text.change().await;
            let read =
                |text: String| Rules::read(&text, self.base).map_err(|error| error.to_string());
            match text.and_then(read) {
                Ok(rules) => self.take(rules),
                Err(why) => self.refuse(why),
            }
        }
    }

    fn take(&self, rules: Rules) {
        let (hash, routes) = (rules.hash.clone().unwrap_or_default(), rules.route_count);
        self.in_force.replace(rules);
        self.shown.send_modify(|shown| shown.refused = None);
        PolicyTaken { path: self.path.display(), hash: &hash, routes }.emit(&self.metrics);
    }

    fn refuse(&self, why: String) {
        PolicyRefused { path: self.path.display(), why: &why }.emit(&self.metrics);
        self.shown.send_modify(|shown| shown.refused = Some(why));
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_AT_MOST).read_to_string(&mut text)?;
    if text.len() as u64 == BYTES_AT_MOST {
        let why = format!("a policy has less than {BYTES_AT_MOST} bytes");
        return Err(io::Error::other(why));
    }
    Ok(text)
}

const BYTES_AT_MOST: u64 = 4 << 20;
