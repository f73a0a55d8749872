//! Writes the store's restricted set anew when it is not whole: from the one in memory, or with
//! nobody left who holds it, from the records.

use tokio::sync::watch;

use super::follower::read_snapshot;
use crate::{
    cache::Picture,
    domain::{Epoch, Partition},
    store::{Census, Session, Step, Store, StoreError},
    telemetry::Metrics,
};

/// Tells the feed that the store refused a change because its restricted set is not whole. Cheap
/// to clone.
#[derive(Clone, Debug, Default)]
pub struct Alarm(watch::Sender<u64>);

impl Alarm {
    /// Rings it.
    pub fn ring(&self) {
        self.0.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Hears every ring from now on.
    pub(super) fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// What came of writing a restricted set anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rewritten {
    /// The store has it, with so many customers.
    Done(u64),
    /// The store changed meanwhile.
    Overtaken,
    /// There was nothing to do.
    Whole,
}

/// Why a restricted set was not written anew.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRewritten {
    /// The records make another set than the store counts.
    #[error("the records do not agree with its count and digest; restore the store from a backup")]
    RecordsDisagree,
    /// The store did not answer, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What this version cannot read it cannot write.
    #[error("this version cannot read all of it; an instance of the newest version can")]
    Unreadable,
}

/// Writes the set that `picture` holds.
pub(super) async fn from_memory(
    store: &Store,
    partition: Partition,
    picture: &Picture,
    census: Census,
) -> Result<Rewritten, NotRewritten> {
    let Some(rewrite) = store.rewrite_restricted(partition, &picture.epoch, census) else {
        return Ok(Rewritten::Whole);
    };
    for entries in picture.pages() {
        if entries.iter().any(|entry| entry.restrictions.is_none()) {
            return Err(NotRewritten::Unreadable);
        }
        if rewrite.stage(&entries).await? == Step::Overtaken {
            return Ok(Rewritten::Overtaken);
        }
    }
    Ok(match rewrite.install().await? {
        Step::Overtaken => Rewritten::Overtaken,
        Step::Taken => Rewritten::Done(census.count),
    })
}

/// Writes the set that the records make, if it is the one that the store counts.
pub(super) async fn from_records(
    store: &Store,
    partition: Partition,
    metrics: &Metrics,
) -> Result<Rewritten, NotRewritten> {
    // What is pushed meanwhile stays unheard: a change of the set is noticed by its census.
    let Session { pushes: _pushes, reader } = store.open_session(&[partition]).await?;
    let Some(head) = reader.head(partition).await? else { return Ok(Rewritten::Overtaken) };
    let new = |epoch: &Epoch| Picture::new(0, epoch.clone());
    let found = new(&head.epoch);
    read_snapshot(&reader, partition, &found, None, metrics).await?;
    if found.census() == head.restricted {
        return Ok(Rewritten::Whole);
    }
    let Some(rewrite) = store.rewrite_restricted(partition, &head.epoch, head.restricted) else {
        return Ok(Rewritten::Whole);
    };
    let (of_records, mut after) = (new(&head.epoch), None);
    loop {
        let page = rewrite.of_records(after.as_deref()).await?;
        page.entries.into_iter().for_each(|entry| of_records.offer(entry));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if of_records.census() == head.restricted {
        return from_memory(store, partition, &of_records, head.restricted).await;
    }
    match reader.head(partition).await? {
        Some(now) if now.epoch == head.epoch && now.restricted == head.restricted => {
            Err(NotRewritten::RecordsDisagree)
        }
        Some(_) | None => Ok(Rewritten::Overtaken),
    }
}
