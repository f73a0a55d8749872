//! Follows the store for ever: subscribe, bootstrap, apply, notice gaps, catch up, reconnect.
//!
//! [`machine`] says what is to be done; this does it.

mod acknowledged;
mod applied;
pub mod changes;
mod follower;
pub mod machine;
mod remnant;
mod repair;
pub mod snapshot_file;
mod status;
mod succession;
mod tally;

use std::{convert::Infallible, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::sync::watch;

pub use self::{
    acknowledged::{Acknowledged, Kept},
    changes::Changes,
    repair::Alarm,
    status::{FeedStatus, PartitionStatus},
};
use self::{
    follower::{Follower, Part},
    machine::OnLoss,
    repair::Rewritten,
    snapshot_file::Journal,
};
use crate::{
    cache::{Cache, fleet::Fleet, guard::Guard, keyring::Keyring},
    clock::Clock,
    domain::{Epoch, Partition, Partitions},
    lifecycle::Latch,
    store::{CreateError, Session, Store, StoreError},
    telemetry::{
        Metrics, RewrittenFrom,
        event::{
            FeedConnected, FeedLost, FeedMoved, RestrictedLost, RestrictedNotRewritten,
            RestrictedRewritten, RestrictedWhole, StoreCreated, StoreUninitialised,
        },
    },
};

/// Keeps a [`Cache`] true to a [`Store`].
#[derive(Debug)]
pub struct Feed {
    /// What is followed.
    pub store: Store,
    /// What is kept true.
    pub cache: Cache,
    /// The operators' keys, kept true likewise.
    pub keyring: Keyring,
    /// What sources restrict, kept true likewise where somebody may act.
    pub guard: Option<Guard>,
    /// The mode of the whole fleet, kept true likewise.
    pub fleet: Fleet,
    /// Tells when a confirmation was asked for.
    pub clock: Clock,
    /// Where it is counted.
    pub metrics: Metrics,
    /// How often the store is asked whether anything was missed.
    pub heartbeat: Duration,
    /// Whether an empty store may be begun.
    pub creation: Creation,
    /// Whether a store that lost what it held is believed all the same.
    pub on_loss: OnLoss,
    /// The first epoch of the only store that is believed, if there is but one.
    pub expect_epoch: Option<Epoch>,
    /// How many partitions the store has to have, if that is said.
    pub partitions: Option<Partitions>,
    /// Whether this instance may write to the store: then it ends a history that lost its end, and
    /// writes a restricted set anew that went missing.
    pub rights: Rights,
    /// Rung when the store refuses a change because its restricted set is not whole.
    pub alarm: Alarm,
    /// What this instance was told is committed: the feed says whether the store has it.
    pub acknowledged: Acknowledged,
    /// What is told to those who watch.
    pub changes: Changes,
    /// Where every change is noted for the next start.
    pub journal: Journal,
    /// Told whenever the feed's state changes.
    pub status: watch::Sender<FeedStatus>,
}

/// What became of partitions that are to be followed.
enum Step {
    /// Each group of them is on one node.
    Grouped(Vec<Vec<Part>>),
    /// They are not followed any more.
    Left(Vec<Part>),
}

/// Whether an instance may begin the history of an empty store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Creation {
    /// It may.
    Auto,
    /// It may not.
    Never,
}

/// Whether an instance may write to the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rights {
    /// It only reads.
    ReadOnly,
    /// It may.
    ReadWrite,
}

impl Feed {
    /// Follows for ever. `latch` is released when the first whole picture and the keys are in
    /// memory.
    pub async fn run(self, latch: Latch) -> Infallible {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.discover().await {
            self.tell_lost(&[Partition(0)], error);
            take_a_break(&mut pause).await;
        }
        let partitions = self.store.partitions();
        self.status.send_modify(|status| status.lay_out(partitions));
        let latch = Mutex::new(Some(latch));
        let mut unfollowed: Vec<Part> =
            partitions.all().map(|number| Part::new(number, &self)).collect();
        let mut steps = FuturesUnordered::new();
        loop {
            if !unfollowed.is_empty() {
                // While it is asked where these are, the others are followed.
                steps.push(self.group(std::mem::take(&mut unfollowed)).boxed());
            }
            match steps.next().await {
                Some(Step::Grouped(groups)) => {
                    for group in groups {
                        steps.push(self.follow(group, &latch).boxed());
                    }
                }
                Some(Step::Left(parts)) => {
                    for part in parts {
                        if part.damaged && self.rights == Rights::ReadWrite {
                            steps.push(self.mend(part).boxed());
                        } else {
                            unfollowed.push(part);
                        }
                    }
                }
                None => {}
            }
        }
    }

    /// Groups partitions by the nodes that serve them.
    async fn group(&self, mut parts: Vec<Part>) -> Step {
        let numbers: Vec<Partition> = parts.iter().map(|part| part.number).collect();
        match self.store.by_node(&numbers).await {
            Ok(groups) => {
                let theirs = |group: &Vec<Partition>| -> Vec<Part> {
                    parts.extract_if(.., |part| group.contains(&part.number)).collect()
                };
                Step::Grouped(groups.iter().map(theirs).collect())
            }
            Err(error) => {
                self.tell_lost(&numbers, error);
                Step::Left(rest(parts).await)
            }
        }
    }

    /// Has the store's restricted set of a partition written anew from the records. Nobody who
    /// holds it may be left.
    async fn mend(&self, mut part: Part) -> Step {
        // Whatever comes of it, it is read anew.
        part.damaged = false;
        let partition = part.number;
        match repair::from_records(&self.store, partition, &self.metrics).await {
            Ok(Rewritten::Done(customers)) => {
                let from = RewrittenFrom::Records;
                RestrictedRewritten { partition, customers, from }.emit(&self.metrics);
                return Step::Left(vec![part]);
            }
            Ok(Rewritten::Overtaken | Rewritten::Whole) => {}
            Err(why) => RestrictedNotRewritten { partition, why }.emit(&self.metrics),
        }
        Step::Left(rest(vec![part]).await)
    }

    /// Finds out how many partitions the store has. Begins the history of an empty one, if that is
    /// allowed and nothing is known of an earlier one, and waits for somebody else to do so if it
    /// is not.
    async fn discover(&self) -> Result<(), StoreError> {
        let Session { pushes, reader } = self.store.open_session(&[Partition(0)]).await?;
        let mut is_news = true;
        let partitions = loop {
            if let Some(head) = reader.head(Partition(0)).await? {
                break head.partitions;
            }
            // It is a store that lost what it held: what was booted was in it.
            if self.cache.has_picture() {
                return Ok(());
            }
            if self.creation == Creation::Auto {
                let partitions = self.partitions.unwrap_or_else(|| self.store.usual_partitions());
                create(self.store.clone(), self.metrics.clone(), partitions).await?;
                continue;
            }
            if std::mem::take(&mut is_news) {
                StoreUninitialised.emit(&self.metrics);
            }
            self.tell(Partition(0), |it| (it.connected, it.phase) = (true, machine::UNINITIALISED));
            tokio::time::sleep(self.heartbeat.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
        };
        drop(pushes);
        require_partitions(self.partitions, partitions)?;
        if !self.cache.lay_out_as(partitions) {
            // A picture was booted meanwhile, or before. What it is of is never this store.
            self.cache.let_nobody_in();
            let booted = self.store.partitions();
            return Err(StoreError::BootedElsewhere { booted, found: partitions });
        }
        Ok(())
    }

    /// Follows partitions that one node serves until the session ends, and rests.
    async fn follow(&self, parts: Vec<Part>, latch: &Mutex<Option<Latch>>) -> Step {
        let numbers: Vec<Partition> = parts.iter().map(|part| part.number).collect();
        let mut follower = Follower::new(self, parts, latch);
        let error = match self.store.open_session(&numbers).await {
            Ok(session) => {
                self.store.read_on(&numbers, &session);
                for number in &numbers {
                    self.tell(*number, |status| status.connected = true);
                }
                let everywhere = self.status.borrow().is_connected();
                FeedConnected { everywhere }.emit(&self.metrics);
                follower.follow(session).await
            }
            Err(error) => error,
        };
        let mut parts = follower.leave();
        // First, so that a fill which begins after the end of the session does not ask there.
        self.tell_lost(&numbers, error);
        for part in &mut parts {
            self.cache.set_believed(part.number, false);
            if part.followed {
                part.pause = FIRST_PAUSE;
            }
        }
        Step::Left(rest(parts).await)
    }

    /// Tells that there is no session: once, however often the store is then asked in vain.
    fn tell_lost(&self, partitions: &[Partition], error: StoreError) {
        let is_lost = |it: &Partition| self.status.borrow().of(*it).phase == machine::DISCONNECTED;
        if partitions.iter().all(is_lost) {
            tracing::debug!(%error, "The store still does not answer: {error}");
            return;
        }
        self.store.forget_session(partitions);
        if let StoreError::Moved(why) = error {
            FeedMoved { why }.emit(&self.metrics);
        } else {
            FeedLost { error }.emit(&self.metrics);
        }
        for partition in partitions {
            self.tell(*partition, |it| (it.connected, it.phase) = (false, machine::DISCONNECTED));
        }
    }

    /// Tells whether the store's restricted set is whole, if that is news.
    fn tell_restricted(&self, partition: Partition, is_lost: bool) {
        if self.status.borrow().of(partition).restricted_lost == is_lost {
            return;
        }
        self.tell(partition, |status| status.restricted_lost = is_lost);
        if is_lost {
            RestrictedLost { partition }.emit(&self.metrics);
        } else if !self.status.borrow().is_restricted_lost() {
            RestrictedWhole.emit(&self.metrics);
        }
    }

    fn tell(&self, partition: Partition, change: impl FnOnce(&mut PartitionStatus)) {
        self.status.send_if_modified(|status| status.change(partition, change));
    }
}

/// Begins the store's first history, unless somebody else just did.
async fn create(store: Store, metrics: Metrics, partitions: Partitions) -> Result<(), StoreError> {
    let epoch = random_epoch()?;
    match store.create(&epoch, partitions).await {
        Ok(()) => {
            StoreCreated { epoch }.emit(&metrics);
            Ok(())
        }
        Err(CreateError::Exists) => Ok(()),
        Err(CreateError::Store(error)) => Err(error),
        Err(error @ (CreateError::Lost(_) | CreateError::NotEmpty)) => {
            Err(StoreError::Unexpected(error.to_string()))
        }
    }
}

/// A name for a history that no other has.
pub(crate) fn random_epoch() -> Result<Epoch, StoreError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| StoreError::Unexpected(error.to_string()))?;
    Ok(Epoch::from_random(random))
}

/// The number of partitions that the store has, if it is the one that it has to have.
pub fn require_partitions(
    expected: Option<Partitions>,
    found: Partitions,
) -> Result<Partitions, StoreError> {
    match expected {
        Some(expected) if expected != found => Err(StoreError::Partitions { expected, found }),
        Some(_) | None => Ok(found),
    }
}

/// Lets a while pass before these are asked for again, a longer one each time.
async fn rest(mut parts: Vec<Part>) -> Vec<Part> {
    let mut pause = parts.iter().map(|part| part.pause).max().unwrap_or(FIRST_PAUSE);
    take_a_break(&mut pause).await;
    for part in &mut parts {
        part.pause = pause;
    }
    parts
}

async fn take_a_break(pause: &mut Duration) {
    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
    *pause = (*pause * 2).min(LAST_PAUSE);
}

const FIRST_PAUSE: Duration = Duration::from_millis(40);
const LAST_PAUSE: Duration = Duration::from_secs(1);
