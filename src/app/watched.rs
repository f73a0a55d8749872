//! Files that may change while Tollgate runs.

use std::{sync::Arc, time::Duration};

use crate::lifecycle::Hangups;

/// What some files hold. They are read, not watched: so they may be replaced in any way, on any
/// file system.
pub(super) struct Watched<T> {
    read: Arc<dyn Fn() -> Result<T, String> + Send + Sync>,
    /// What they held when they were last looked at; nothing when they could not be read.
    seen: Option<T>,
    hangups: Hangups,
}

impl<T: Clone + PartialEq + Send + 'static> Watched<T> {
    /// Files that `read` reads, and that held `first` when they were.
    pub(super) fn since(
        first: T,
        read: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self { read: Arc::new(read), seen: Some(first), hangups: Hangups::caught() }
    }

    /// Looks at them now and then, and whenever a hang-up asks for it, until they hold something
    /// else. That they cannot be read is told once, however long it goes on.
    pub(super) async fn change(&mut self) -> Result<T, String> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOKED_AT_EVERY) => {}
                () = self.hangups.next() => {}
            }
            let read = Arc::clone(&self.read);
            let found = tokio::task::spawn_blocking(move || read()).await;
            match found.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(held) if self.seen.as_ref() == Some(&held) => {}
                Ok(held) => {
                    self.seen = Some(held.clone());
                    return Ok(held);
                }
                Err(why) => {
                    if self.seen.take().is_some() {
                        return Err(why);
                    }
                }
            }
        }
    }
}

const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
