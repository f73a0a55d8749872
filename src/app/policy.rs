//! Keeps the policy that is in force as its file has it.

use std::{
    convert::Infallible,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::watch;

use super::ServeError;
use crate::{
    domain::Policy,
    http::PolicyShown,
    lifecycle::Hangups,
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
    /// What it said when it was last looked at; nothing when it could not be read.
    seen: Option<String>,
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
        let mut file = Self { path, base, in_force, seen: None, shown, metrics };
        let (name, text) = (file.path.display().to_string(), read(&file.path));
        let text =
            text.map_err(|source| ServeError::PolicyUnread { path: name.clone(), source })?;
        match Rules::read(&text, base) {
            Ok(rules) => file.take(rules),
            Err(error) => return Err(ServeError::Policy { path: name, faults: error }),
        }
        file.seen = Some(text);
        Ok(file)
    }

    /// Looks at the file now and then, and whenever it is told to. It is read, not watched: so it
    /// may be replaced in any way, on any file system.
    pub(super) async fn keep_current(mut self, mut hangups: Hangups) -> Infallible {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOKED_AT_EVERY) => {}
                () = hangups.next() => {}
            }
            let path = self.path.clone();
            let text = tokio::task::spawn_blocking(move || read(&path)).await;
            self.look(text.unwrap_or_else(|error| Err(io::Error::other(error))));
        }
    }

    fn look(&mut self, text: io::Result<String>) {
        match text {
            Ok(text) if self.seen.as_ref() == Some(&text) => {}
            Ok(text) => {
                match Rules::read(&text, self.base) {
                    Ok(rules) => self.take(rules),
                    Err(error) => self.refuse(error.to_string()),
                }
                self.seen = Some(text);
            }
            Err(error) => {
                // Told once, however long it goes on.
                if self.seen.take().is_some() {
                    self.refuse(error.to_string());
                }
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

const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
const BYTES_AT_MOST: u64 = 4 << 20;
