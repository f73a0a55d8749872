//! `--cache all`: every record is kept, so that no check has to wait for the store and an absence
//! is knowledge as of the watermark.
//!
//! The records are read page by page under the rules of a fill, while changes are applied as they
//! come. A change of a customer whose record is not held, or that cannot be applied to it, leaves
//! a mark in the record's place: the record is wanted. So whoever is not there when the last page
//! is read was not there at the watermark either. Another picture has to be read anew; until it
//! is, what is held of the older one goes on answering as stale.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::future::{join_all, try_join_all};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use triomphe::Arc;

use super::{Begun, Cache, HeldPartition, age_of, fill::Filled, recent::Held, records::Place};
use crate::{
    clock::jittered,
    domain::{CustomerKey, Partition, Position},
    store::{KeysPage, Read, ReadMany, StoreError, StoredRecord},
    telemetry::StoreCommand,
};

/// Which records are kept.
#[derive(Clone, Copy, Debug)]
pub enum Keeping {
    /// Every one. That the store has none of a customer is believed for so long after it was last
    /// confirmed.
    All(Duration),
    /// As many of those that were asked for lately.
    Recent(u64),
}

/// That every record is kept, and how.
#[derive(Debug)]
pub(super) struct Complete {
    believed_for: Duration,
    /// Of those who read a page.
    places: Semaphore,
}

impl Complete {
    /// Nothing if only recent records are kept.
    pub(super) fn of(keeping: Keeping) -> Option<Self> {
        match keeping {
            Keeping::All(believed_for) => {
                Some(Self { believed_for, places: Semaphore::new(PAGES_AT_ONCE) })
            }
            Keeping::Recent(_) => None,
        }
    }
}

/// Whose records of a partition are held, where every one is to be.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// One more than the generation of the picture of which all are held; zero if they are not.
    reached: AtomicU64,
    /// How often it turned out that any record may be another one.
    doubts: AtomicU64,
    /// Those that are to be read.
    wanted: Mutex<BTreeSet<CustomerKey>>,
    more: Notify,
}

impl Whole {
    /// Any record may be another one than the one that is held.
    pub(super) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
        self.reached.store(0, Ordering::Release);
    }

    fn is_of(&self, generation: u64) -> bool {
        self.reached.load(Ordering::Acquire) == generation.saturating_add(1)
    }

    /// Every record is held, unless it was doubted since.
    fn reach(&self, Reading { generation, doubts, .. }: &Reading) {
        self.reached.store(generation.saturating_add(1), Ordering::Release);
        if self.doubts.load(Ordering::Acquire) != *doubts {
            self.reached.store(0, Ordering::Release);
        }
    }

    /// Has the record of `customer` read.
    fn want(&self, customer: &CustomerKey) {
        if self.wanted.lock().insert(customer.clone()) {
            self.more.notify_one();
        }
    }

    #[cfg(test)]
    pub(super) fn reach_now(&self, generation: u64) {
        self.reach(&Reading { generation, doubts: 0, after: None });
    }

    #[cfg(test)]
    pub(super) fn wants(&self, customer: &CustomerKey) -> bool {
        self.wanted.lock().contains(customer)
    }

    /// As many of those that are to be read as one question asks for.
    fn take(&self) -> Vec<CustomerKey> {
        let mut wanted = self.wanted.lock();
        (0..AT_ONCE).map_while(|_| wanted.pop_first()).collect()
    }
}

/// How far the records of a partition are read.
#[derive(Debug)]
struct Reading {
    generation: u64,
    doubts: u64,
    after: Option<String>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// There may be more to do.
    Done,
    /// There was nothing to do.
    Idle,
}

impl Cache {
    /// Whether every record is held that is to be held.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let is_whole = |part: &HeldPartition| {
            let watermark = part.watermark.borrow();
            watermark.as_ref().is_some_and(|it| part.whole.is_of(it.position.generation))
        };
        let parts = self.0.partitions.get();
        self.0.complete.is_none() || parts.is_some_and(|parts| parts.iter().all(is_whole))
    }

    /// What is known of a customer of whom no record is held, if every other one is: that there was
    /// none at the watermark.
    pub(super) fn absence(&self, part: &HeldPartition, customer: &str) -> Option<Arc<Held>> {
        let complete = self.0.complete.as_ref()?;
        let (position, epoch) = {
            let watermark = part.watermark.borrow();
            let watermark = watermark.as_ref()?;
            (watermark.position, watermark.epoch.clone())
        };
        // What the store has beyond the watermark may be this customer.
        let is_behind = part.head.load(Ordering::Relaxed) > position.revision.0;
        let is_doubtful = part.suspect.load(Ordering::Acquire) || is_behind;
        if is_doubtful || !part.whole.is_of(position.generation) {
            return None;
        }
        // Who is there at the watermark is there now that it is read.
        match self.0.recent.find(customer) {
            Place::Held(held) => return Some(held),
            Place::Wanted => return None,
            Place::Vacant => {}
        }
        let age = age_of(part, self.0.clock.moment());
        let is_believed = age.is_some_and(|age| age <= complete.believed_for);
        let record = StoredRecord::Absent;
        is_believed.then(|| Arc::new(Held { record, position, epoch, outdated: false }))
    }

    /// Has the record of `customer` read anew after a change: before long where every record is
    /// kept, else at once.
    pub(super) fn read_anew(&self, customer: &CustomerKey) {
        match self.partition(self.partition_of(customer)) {
            Some(part) if self.0.complete.is_some() => part.whole.want(customer),
            Some(_) | None => self.refresh(customer),
        }
    }

    /// Reads every record, and those anew that changes made others, for ever; nothing where only
    /// recent ones are kept.
    pub async fn keep_complete(self) -> Infallible {
        let Some(complete) = &self.0.complete else { return std::future::pending().await };
        let parts = loop {
            match self.0.partitions.get() {
                Some(parts) => break parts,
                None => tokio::time::sleep(LOOKED_FOR).await,
            }
        };
        let numbers = self.0.store.partitions().all();
        let each = numbers.zip(parts).map(|(it, part)| self.keep_partition(complete, it, part));
        join_all(each).await;
        std::future::pending().await
    }

    async fn keep_partition(
        &self,
        complete: &Complete,
        partition: Partition,
        part: &HeldPartition,
    ) -> Infallible {
        let (mut reading, mut pause) = (None, FIRST_PAUSE);
        loop {
            match self.step(complete, partition, part, &mut reading).await {
                Ok(Step::Done) => pause = FIRST_PAUSE,
                Ok(Step::Idle) => {
                    // Nobody tells when there is another picture.
                    let _ = tokio::time::timeout(LOOKED_FOR, part.whole.more.notified()).await;
                }
                Err(error) => {
                    // That the store is away, the feed tells.
                    let is_away = matches!(error, StoreError::Unreachable(_));
                    if is_away || pause > FIRST_PAUSE {
                        tracing::debug!(%error, "Records were not read: {error}");
                    } else {
                        tracing::warn!(%error, "Records cannot be read: {error}");
                    }
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    async fn step(
        &self,
        complete: &Complete,
        partition: Partition,
        part: &HeldPartition,
        reading: &mut Option<Reading>,
    ) -> Result<Step, StoreError> {
        if !part.believed.load(Ordering::Acquire) {
            return Ok(Step::Idle);
        }
        let wanted = part.whole.take();
        if !wanted.is_empty() {
            let read = self.read_all(partition, part, &wanted).await;
            if read.is_err() {
                for customer in &wanted {
                    part.whole.want(customer);
                }
            }
            return read.map(|()| Step::Done);
        }
        let watermark = part.watermark.borrow().as_ref().map(|it| it.position);
        let Some(Position { generation, .. }) = watermark else { return Ok(Step::Idle) };
        if part.whole.is_of(generation) {
            return Ok(Step::Idle);
        }
        let doubts = part.whole.doubts.load(Ordering::Acquire);
        let goes_on = |it: &Reading| (it.generation, it.doubts) == (generation, doubts);
        if !reading.as_ref().is_some_and(goes_on) {
            *reading = Some(Reading { generation, doubts, after: None });
            // What makes one instance read everything makes all of them do so.
            let spread = if generation > 1 { LATER_SPREAD } else { FIRST_SPREAD };
            tokio::time::sleep(spread.mul_f64(fastrand::f64())).await;
        }
        let Ok(_place) = complete.places.acquire().await else { return Ok(Step::Idle) };
        if let Some(begun) = reading
            && self.read_page(partition, part, begun).await?
        {
            *reading = None;
        }
        Ok(Step::Done)
    }

    /// Reads the next page of a partition's records. Says whether it was the last.
    async fn read_page(
        &self,
        partition: Partition,
        part: &HeldPartition,
        reading: &mut Reading,
    ) -> Result<bool, StoreError> {
        let page = self.0.store.customer_keys(partition, reading.after.as_deref(), PAGE);
        let KeysPage { epoch, keys, next } = self.soon(page).await?;
        let is_followed = part.picture.load().as_ref().is_some_and(|it| it.epoch == epoch);
        if !is_followed || !part.believed.load(Ordering::Acquire) {
            return Err(StoreError::Unreachable(ANOTHER_HISTORY.to_owned()));
        }
        let questions = keys.chunks(AT_ONCE).map(|keys| self.read_all(partition, part, keys));
        try_join_all(questions).await?;
        reading.after = next;
        if reading.after.is_some() {
            return Ok(false);
        }
        // Who was in an older picture and is not among these is hardly there any more. All of them
        // are gone through, which takes a while.
        let (cache, generation) = (self.clone(), reading.generation);
        let older = tokio::task::spawn_blocking(move || {
            let is_theirs = |customer: &CustomerKey| cache.partition_of(customer) == partition;
            cache.0.recent.drop_older(generation, is_theirs)
        });
        let older = older.await.map_err(|error| StoreError::Unexpected(error.to_string()))?;
        for customer in &older {
            part.whole.want(customer);
        }
        part.whole.reach(reading);
        Ok(true)
    }

    /// Reads the records of these customers of one partition, under the rules of a fill. One that
    /// a change overtakes is read again before long.
    async fn read_all(
        &self,
        partition: Partition,
        part: &HeldPartition,
        customers: &[CustomerKey],
    ) -> Result<(), StoreError> {
        let begun = Begun::of(part);
        let read = self.soon(self.0.store.read_many(partition, customers)).await?;
        let ReadMany { epoch, revision, records } = read;
        for (customer, record) in customers.iter().zip(records) {
            let read = match record {
                Some(record) => Read { epoch: epoch.clone(), revision, record },
                None => self.soon(self.0.store.read(customer)).await?,
            };
            match self.take(customer, &begun, read) {
                Filled::Taken(_) => {}
                Filled::Failed => return Err(StoreError::Unreachable(ANOTHER_HISTORY.to_owned())),
                Filled::Overtaken => {
                    if self.0.recent.lacks(customer, begun.ticket.began_at.generation) {
                        part.whole.want(customer);
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits for an answer for a while.
    async fn soon<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = self.0.clock.moment();
        let answer = tokio::time::timeout(ANSWERED_WITHIN, answer).await;
        let took = self.0.clock.moment().saturating_since(begun);
        let late = |_| Err(StoreError::Unreachable("it took too long".to_owned()));
        let answer = answer.unwrap_or_else(late);
        self.0.metrics.store_command(StoreCommand::Reread, took, answer.is_ok());
        answer
    }
}

const ANOTHER_HISTORY: &str = "another history is followed than the one that was read";
/// Few enough that they are soon answered, and that nothing is committed between the first and the
/// last of them.
const AT_ONCE: usize = 100;
const PAGE: usize = 400;
const PAGES_AT_ONCE: usize = 4;
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// The longest pause before the first records are read.
const FIRST_SPREAD: Duration = Duration::from_millis(50);
/// The same for those of a later picture, while the older ones answer.
const LATER_SPREAD: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_secs(1);
const LOOKED_FOR: Duration = Duration::from_millis(50);
