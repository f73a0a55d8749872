//! How many files the process may open, each connection being one.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many connections for each of `listeners` as `wanted`, or as the process may open. It is first
/// allowed as much as it may allow itself: the limit that it is started with is often far lower.
pub(super) fn connections_per_listener(wanted: NonZeroUsize, listeners: usize) -> NonZeroUsize {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, ..before };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "The limit of open files stays as it is: {error}");
    }
    let Some(files) = getrlimit(Resource::Nofile).current else { return wanted };
    let possible = usize::try_from(files.saturating_sub(OTHERS)).unwrap_or(usize::MAX) / listeners;
    let possible = NonZeroUsize::new(possible).unwrap_or(NonZeroUsize::MIN);
    if possible < wanted {
        tracing::warn!(
            files.limit = files,
            connections.limit = possible,
            "This process may open {files} files, so each listener takes {possible} connections and \
             not {wanted} (--max-connections)"
        );
    }
    wanted.min(possible)
}

/// What is left for the store, the log and files.
const OTHERS: u64 = 128;
