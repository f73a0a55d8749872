//! Recent records are read anew, many with one question: those of an older picture when they are
//! asked for, and now and then some by chance, to find out whether memory and store still agree.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Begun, Cache};
use crate::{
    clock::jittered,
    domain::{CustomerKey, Partition, Revision},
    store::{Read, ReadMany, StoreError, StoredRecord},
    telemetry::{StoreCommand, event::RecordRepaired},
};

/// How often records in memory are compared with the store.
#[derive(Clone, Copy, Debug)]
pub struct Comparing {
    /// How many in a round.
    pub records: usize,
    /// How many with one question.
    pub at_once: usize,
    /// How long a round takes; its questions are spread over it.
    pub round: Duration,
}

impl Default for Comparing {
    fn default() -> Self {
        Self { records: 500, at_once: 50, round: Duration::from_mins(1) }
    }
}

/// Customers whose records are of an older picture and were asked for.
#[derive(Debug, Default)]
pub(super) struct Old {
    /// By partition, since one question is asked of one.
    waiting: Mutex<BTreeSet<(Partition, CustomerKey)>>,
    more: Notify,
}

impl Old {
    fn add(&self, partition: Partition, customer: &CustomerKey) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < OLD_WAITING && waiting.insert((partition, customer.clone())) {
            self.more.notify_one();
        }
    }

    /// Waits until there are some, and takes as many of one partition as one question asks for.
    async fn take(&self) -> (Partition, Vec<CustomerKey>) {
        loop {
            if let Some(taken) = self.take_now() {
                return taken;
            }
            self.more.notified().await;
        }
    }

    fn take_now(&self) -> Option<(Partition, Vec<CustomerKey>)> {
        let mut waiting = self.waiting.lock();
        let partition = waiting.first()?.0;
        let mut customers = Vec::new();
        while customers.len() < OLD_AT_ONCE
            && waiting.first().is_some_and(|(its, _)| *its == partition)
        {
            customers.extend(waiting.pop_first().map(|(_, customer)| customer));
        }
        Some((partition, customers))
    }
}

impl Cache {
    /// Has the record of `customer`, which is of an older picture, read anew before long.
    pub fn refresh_old(&self, customer: &CustomerKey) {
        self.0.old.add(self.partition_of(customer), customer);
    }

    /// Reads records of older pictures anew for ever, at a pace that the store bears from all
    /// instances together.
    pub async fn keep_refreshing(self) -> Infallible {
        loop {
            let (partition, customers) = self.0.old.take().await;
            self.reread_or_not(partition, &customers).await;
            tokio::time::sleep(jittered(OLD_PAUSE)).await;
        }
    }

    /// Compares records with the store for ever.
    pub async fn keep_comparing(self, pace: Comparing) -> Infallible {
        loop {
            let questions = self.by_chance(pace).await;
            let pause = pace.round / u32::try_from(questions.len()).unwrap_or(u32::MAX).max(1);
            if questions.is_empty() {
                tokio::time::sleep(jittered(pause)).await;
            }
            for (partition, customers) in questions {
                tokio::time::sleep(jittered(pause)).await;
                self.reread_or_not(partition, &customers).await;
            }
        }
    }

    /// The questions of one round.
    async fn by_chance(&self, pace: Comparing) -> Vec<(Partition, Vec<CustomerKey>)> {
        let cache = self.clone();
        // All of them are gone through, which takes a while.
        let chosen = tokio::task::spawn_blocking(move || {
            let mut random = fastrand::Rng::new();
            sample(cache.0.recent.customers(), pace.records, &mut random)
        });
        let chosen = chosen.await.unwrap_or_default();
        let chosen = chosen.into_iter().map(|it| (self.partition_of(&it), it));
        let mut chosen: Vec<_> = chosen.collect();
        chosen.sort();
        let of_one = chosen.chunk_by(|(one, _), (other, _)| one == other);
        let questions = of_one.flat_map(|these| these.chunks(pace.at_once.max(1)));
        let question = |these: &[(Partition, CustomerKey)]| {
            let partition = these.first()?.0;
            Some((partition, these.iter().map(|(_, customer)| customer.clone()).collect()))
        };
        let mut questions: Vec<_> = questions.filter_map(question).collect();
        fastrand::shuffle(&mut questions);
        questions
    }

    async fn reread_or_not(&self, partition: Partition, customers: &[CustomerKey]) {
        if let Err(error) = self.reread(partition, customers).await {
            // The feed tells that the store is away; these are read another time.
            tracing::debug!(%error, "Records were not read anew: {error}");
        }
    }

    /// Reads `customers` of one partition anew, under the rules of a fill.
    async fn reread(
        &self,
        partition: Partition,
        customers: &[CustomerKey],
    ) -> Result<(), StoreError> {
        let Some(part) = self.partition(partition) else { return Ok(()) };
        let begun = Begun::of(part);
        let read = self.in_time(self.0.store.read_many(partition, customers)).await?;
        let ReadMany { epoch, revision, records } = read;
        for (customer, record) in customers.iter().zip(records) {
            let read = match record {
                Some(record) => Read { epoch: epoch.clone(), revision, record },
                None => match self.in_time(self.0.store.read(customer)).await? {
                    // It was made meanwhile.
                    Read { record: StoredRecord::Known(_), .. } => continue,
                    read => read,
                },
            };
            if self.put_right(customer, &begun, read) {
                RecordRepaired { customer: customer.clone() }.emit(&self.0.metrics);
            }
        }
        Ok(())
    }

    /// Waits for an answer no longer than for a fill's.
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = self.0.clock.moment();
        let patience = self.0.fill_timeout * 4;
        let answer = tokio::time::timeout(patience, answer).await;
        let took = self.0.clock.moment().saturating_since(begun);
        let answer = match answer {
            Ok(answer) if took <= patience => answer,
            Ok(_) | Err(_) => Err(StoreError::Unreachable("it took too long".to_owned())),
        };
        self.0.metrics.store_command(StoreCommand::Reread, took, answer.is_ok());
        answer
    }

    /// Puts what was read in the place of what is held, if that should be the same and is not, or
    /// is old. What was evicted meanwhile stays away. Says whether it should have been the same.
    pub(super) fn put_right(&self, customer: &CustomerKey, begun: &Begun<'_>, read: Read) -> bool {
        let Begun { part, ticket, session } = begun;
        if !Self::is_to_be_believed(part, ticket, &read) {
            return false;
        }
        // Before what is held is looked at: that may become newer meanwhile, and not older.
        let reached = part.watermark.borrow().as_ref().map(|it| it.position).unwrap_or_default();
        let generation = ticket.began_at.generation;
        let is_heard = reached.generation == generation && is_heard(&read, reached.revision);
        let fresh = self.holding(part, generation, read);
        let admitted = |position| {
            part.floors.lock().admits(customer, position)
                && part.ahead.lock().admits(customer, *session, position)
        };
        self.0.recent.put_right(customer, &fresh, admitted, is_heard)
    }
}

/// Whether every change that made what was read has been applied here, so that what is held has to
/// be the same. A record of a revision that the store never had came there in another way.
fn is_heard(read: &Read, watermark: Revision) -> bool {
    match &read.record {
        StoredRecord::Known(record) => {
            record.revision <= watermark || record.revision > read.revision
        }
        StoredRecord::Absent | StoredRecord::Unreadable(_) => read.revision <= watermark,
    }
}

/// Takes `count` of `all` by chance, each as likely as the others.
fn sample<T>(all: impl Iterator<Item = T>, count: usize, random: &mut fastrand::Rng) -> Vec<T> {
    let mut chosen = Vec::new();
    for (number, one) in all.enumerate() {
        if chosen.len() < count {
            chosen.push(one);
        } else if let Some(place) = chosen.get_mut(random.usize(..=number)) {
            *place = one;
        }
    }
    chosen
}

/// At most 500 records a second: 100 instances that lost their pictures together ask for no more
/// than one Redis gives beside its other work.
const OLD_AT_ONCE: usize = 50;
const OLD_PAUSE: Duration = Duration::from_millis(100);
/// Who is not among these is asked for again.
const OLD_WAITING: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_as_likely_to_be_taken_as_the_others() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut taken = [0_u32; 20];
        for _ in 0..10_000 {
            let chosen = sample(0..20_usize, 5, &mut random);
            assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 5);
            for number in chosen {
                taken[number] += 1;
            }
        }
        assert!(taken.iter().all(|times| (2_300..2_700).contains(times)), "{taken:?}");
    }

    #[test]
    fn of_few_all_are_taken() {
        let mut random = fastrand::Rng::with_seed(7);
        assert_eq!(sample(0..3, 5, &mut random), [0, 1, 2]);
        assert_eq!(sample(0..3, 0, &mut random), [0; 0]);
        assert_eq!(sample(0..0, 5, &mut random), [0; 0]);
    }

    #[test]
    fn old_records_are_asked_for_once_and_by_partition() {
        let old = Old::default();
        let customer = |number: usize| CustomerKey::parse(&format!("t:c{number:05}")).unwrap();
        for number in 0..2 * OLD_WAITING {
            old.add(Partition(u16::try_from(number % 2).unwrap()), &customer(number));
            old.add(Partition(0), &customer(0));
        }
        assert_eq!(old.waiting.lock().len(), OLD_WAITING);
        let mut asked = BTreeSet::new();
        while let Some((partition, customers)) = old.take_now() {
            assert!(customers.len() <= OLD_AT_ONCE);
            asked.extend(customers.into_iter().map(|customer| (partition, customer)));
        }
        assert_eq!(asked.len(), OLD_WAITING);
    }
}
