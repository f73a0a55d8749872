//! The inbox: a stream that loses nothing. Only the holder of the lease reads it; an entry is
//! acknowledged after its commit, so what one left behind the next one finds.

use std::{collections::HashSet, convert::Infallible, pin::Pin, time::Duration};

use tokio::time::MissedTickBehavior;

use super::{Arrival, Ingest, Outcome};
use crate::{
    control::foreign::message::Message,
    domain::Timestamp,
    store::{Inbox, InboxEntry, StoreError},
    telemetry::{IngestResult, Via, event::IngestTrouble},
};

/// Follows the inbox whenever this instance holds the lease, for ever.
pub(super) async fn follow(ingest: &Ingest) -> Infallible {
    loop {
        ingest.tenure.begins().await;
        let error = tokio::select! {
            () = ingest.tenure.ends() => continue,
            error = serve(ingest) => error,
        };
        IngestTrouble { via: Via::Inbox, error }.emit(&ingest.control.metrics);
        // The inbox is made only where there is a store, and its history with it.
        tokio::select! {
            () = ingest.tenure.ends() => {}
            () = ingest.tenure.is_granted_again() => {}
        }
    }
}

/// Reads and applies until the inbox cannot be read, and says why.
async fn serve(ingest: &Ingest) -> StoreError {
    let inbox = match ingest.writers.open_inbox(PATIENCE).await {
        Ok(inbox) => inbox,
        Err(error) => return error,
    };
    let mut pauses = ingest.control.guard.changes();
    let mut reviews = tokio::time::interval(REVIEWED_AFTER);
    reviews.set_missed_tick_behavior(MissedTickBehavior::Delay);
    reviews.reset();
    // What a review finds may be on its way here as new.
    let mut reviewed = HashSet::new();
    let mut handled = review(ingest, &mut reviewed).await;
    reviewed.clear();
    let mut new = read(&inbox);
    loop {
        match handled {
            Ok(Handled::All) => {}
            Ok(Handled::SomeFailed) => reviews.reset_after(TRIED_AGAIN_AFTER),
            Err(error) => return error,
        }
        // While the source is paused, what waits is looked at when it may go on, and by whoever
        // takes over.
        let is_paused = ingest.control.guard.is_paused(&ingest.source);
        handled = tokio::select! {
            entries = &mut new => match entries {
                Ok(mut entries) => {
                    entries.retain(|entry| !reviewed.remove(&entry.id));
                    reviewed.clear();
                    let handled = apply(ingest, entries).await;
                    new = read(&inbox);
                    handled
                }
                Err(error) => Err(error),
            },
            _ = reviews.tick(), if !is_paused => review(ingest, &mut reviewed).await,
            _ = pauses.changed() => review(ingest, &mut reviewed).await,
        };
    }
}

type Reading = Pin<Box<dyn Future<Output = Result<Vec<InboxEntry>, StoreError>> + Send>>;

fn read(inbox: &Inbox) -> Reading {
    Box::pin(inbox.clone().next(READ_AT_ONCE, PATIENCE))
}

/// How far applying some entries came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Handled {
    /// None of them has to be tried again soon.
    All,
    /// The store did not take one of them.
    SomeFailed,
}

/// Applies what was handed out and not acknowledged, in order of `at`. Keeps the ids of what it
/// has looked at.
async fn review(ingest: &Ingest, reviewed: &mut HashSet<String>) -> Result<Handled, StoreError> {
    let mut after = "0".to_owned();
    loop {
        let mut waiting = Vec::new();
        while waiting.len() < REVIEWED_AT_ONCE {
            let page = ingest.writers.pending(&after, READ_AT_ONCE).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            waiting.extend(page);
        }
        if waiting.is_empty() {
            return Ok(Handled::All);
        }
        waiting.sort_by_cached_key(sent_at);
        reviewed.extend(waiting.iter().map(|entry| entry.id.clone()));
        if apply(ingest, waiting).await? == Handled::SomeFailed {
            return Ok(Handled::SomeFailed);
        }
    }
}

/// When an entry says that it was sent, or else came.
fn sent_at(entry: &InboxEntry) -> Timestamp {
    let message = entry.data.as_deref().and_then(|text| Message::read(text).ok());
    let sent = message.and_then(|message| message.at).or(entry.published);
    sent.unwrap_or_else(|| super::queued_at(&entry.id))
}

/// Applies entries one by one, each acknowledged before the next.
async fn apply(ingest: &Ingest, entries: Vec<InboxEntry>) -> Result<Handled, StoreError> {
    for entry in entries {
        // Whoever took over meanwhile finds it.
        if !ingest.tenure.holds() {
            return Ok(Handled::All);
        }
        let writers = &ingest.writers;
        if entry.is_deleted {
            writers.acknowledge(&entry.id).await?;
            continue;
        }
        let text = entry.data.as_deref().unwrap_or_default();
        let arrival = entry.published.map_or(Arrival::Queued(&entry.id), Arrival::Requeued);
        match ingest.settle(text, arrival).await {
            Outcome::Settled(_) => writers.acknowledge(&entry.id).await?,
            Outcome::Unusable(_, why) => writers.bury(&entry, &why).await?,
            Outcome::Waits(IngestResult::Failed) => {
                return Ok(Handled::SomeFailed);
            }
            Outcome::Waits(_) => {}
        }
    }
    Ok(Handled::All)
}

/// How long the server is asked to wait for a new entry: the idle cost is one command each time.
const PATIENCE: Duration = Duration::from_secs(5);
/// An instance that was stopped may have been handed an entry that nobody else has.
const REVIEWED_AFTER: Duration = Duration::from_secs(5);
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(1);
const READ_AT_ONCE: usize = 100;
const REVIEWED_AT_ONCE: usize = 10_000;
