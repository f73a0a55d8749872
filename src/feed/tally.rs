//! What sources did before this instance followed: read from the log, so that a restart does not
//! give them a new window.

use crate::{
    cache::guard::Guard,
    clock::Clock,
    domain::Partition,
    store::{SessionReader, StoreError},
};

/// Lets `guard` hear every change of its window.
pub(super) async fn count_again(
    reader: &SessionReader,
    partition: Partition,
    guard: &Guard,
    clock: &Clock,
) -> Result<(), StoreError> {
    let Some(rule) = guard.rule() else { return Ok(()) };
    let begin = clock.now().saturating_sub(rule.window);
    let mut from = format!("{}-0", begin.as_millis());
    loop {
        let changes = reader.log(partition, &from, PAGE).await?;
        for change in &changes {
            guard.hear(change);
        }
        match changes.last() {
            // A page begins with the last entry of the one before.
            Some(last) if last.log_id != from => from.clone_from(&last.log_id),
            Some(_) | None => return Ok(()),
        }
    }
}

const PAGE: usize = 500;
