//! What this instance holds in memory: the complete restricted set, recent records, and the rule
//! that newer is never replaced by older.

mod ahead;
mod booted;
mod complete;
mod fill;
pub mod fleet;
mod floor;
pub mod guard;
pub mod keyring;
mod pool;
mod recent;
mod records;
mod reread;
mod restricted;
mod table;
mod withheld;

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::watch;

use self::{
    ahead::Ahead,
    booted::Origin,
    complete::{Complete, Whole},
    fill::{Filled, Fills, Lead, Part},
    floor::{Floors, Ticket},
    pool::Pool,
    recent::Recent,
    records::Place,
    reread::Old,
};
pub use self::{
    booted::{Booted, Refused, Use},
    complete::Keeping,
    recent::Held,
    reread::Comparing,
    restricted::{Entry, Picture},
    withheld::{Forgotten, Withheld},
};
use crate::{
    clock::{Clock, Moment},
    domain::{
        Change, CustomerKey, Inherited, Missing, Named, Partition, Partitions, Position, Record,
        Restrictions, Revision, Staleness, Subject, Timestamp, Token, Watermark,
    },
    store::{Census, Read, RestrictedEntry, Store, StoredRecord},
    telemetry::{
        FillResult, Metrics, StoreCommand,
        event::{ChangeUnreadable, RecordUnreadable},
        traces::FillNote,
    },
};

/// Everything that decides, in memory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Not before it is known how many there are.
    partitions: OnceLock<Box<[HeldPartition]>>,
    recent: Recent,
    pool: Pool,
    /// Only where every record is kept.
    complete: Option<Complete>,
    fills: Fills,
    old: Old,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    fill_timeout: Duration,
}

/// What is held of one partition.
#[derive(Debug)]
struct HeldPartition {
    picture: ArcSwapOption<Picture>,
    watermark: watch::Sender<Option<Watermark>>,
    /// The newest revision of the picture's history that the store told of.
    head: AtomicU64,
    floors: Mutex<Floors>,
    ahead: Mutex<Ahead>,
    /// Nanoseconds of the moment of the last confirmation; zero before the first.
    confirmed: AtomicU64,
    /// Where the picture comes from, if this process did not read it.
    origin: Origin,
    suspect: AtomicBool,
    whole: Whole,
    /// Whether what is read from the store may be taken: not before it is known to hold what is
    /// followed here, and not once it turns out to be another one.
    believed: AtomicBool,
}

impl HeldPartition {
    /// Whether everything up to `token` is applied at `watermark`: in the same history, or in one
    /// that inherited it.
    fn has_reached(&self, watermark: &Watermark, token: &Token) -> bool {
        if token.is_of(&watermark.epoch) {
            return token.is_reached_at(&watermark.epoch, watermark.position.revision);
        }
        let picture = self.picture.load();
        let picture = picture.as_ref().filter(|picture| picture.epoch == watermark.epoch);
        let inherited = picture.and_then(|picture| picture.lineage.inherited(&token.epoch));
        matches!(inherited, Some(Inherited::UpTo(common)) if token.revision <= common)
    }
}

impl Default for HeldPartition {
    fn default() -> Self {
        Self {
            picture: ArcSwapOption::default(),
            watermark: watch::Sender::new(None),
            head: AtomicU64::new(0),
            floors: Mutex::default(),
            ahead: Mutex::default(),
            confirmed: AtomicU64::new(0),
            origin: Origin::default(),
            suspect: AtomicBool::new(false),
            whole: Whole::default(),
            believed: AtomicBool::new(false),
        }
    }
}

/// A fill under way. It ends when this goes, also in a panic: a floor that waits for a fill which
/// never ends would be kept for ever.
struct Begun<'a> {
    part: &'a HeldPartition,
    ticket: Ticket,
    session: u64,
}

impl<'a> Begun<'a> {
    fn of(part: &'a HeldPartition) -> Self {
        let session = part.ahead.lock().session();
        Self { part, ticket: part.floors.lock().begin(), session }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.part.floors.lock().end(&self.ticket);
    }
}

/// What is held of one customer.
#[derive(Debug)]
pub struct Found {
    /// The restricted set that was asked; nothing before the first bootstrap.
    pub picture: Option<Arc<Picture>>,
    /// The customer's entry in it.
    pub entry: Option<Entry>,
    /// What the store said of it lately.
    pub held: Option<triomphe::Arc<Held>>,
    /// What it is restricted with by acts that the store forgot.
    pub withheld: Option<Restrictions>,
}

impl Found {
    /// `restrictions` together with those that the store forgot.
    #[must_use]
    pub fn with_withheld<'a>(
        &self,
        restrictions: Option<&'a Restrictions>,
        now: Timestamp,
    ) -> Cow<'a, Restrictions> {
        let known = restrictions.map_or_else(Cow::default, Cow::Borrowed);
        self.withheld.iter().flatten().fold(known, |known, withheld| {
            let held = known.held_by(&withheld.source, withheld.kind);
            // Never one that restricts less.
            if held.is_some_and(|held| held.in_force_at(now) || !withheld.in_force_at(now)) {
                return known;
            }
            Cow::Owned(known.with(withheld.clone()))
        })
    }
}

impl Found {
    /// Takes `held` in place of a record that is older, or if there is none.
    pub fn take_newer(&mut self, held: &triomphe::Arc<Held>) {
        if self.held.as_ref().is_none_or(|ours| ours.position < held.position) {
            self.held = Some(triomphe::Arc::clone(held));
        }
    }
}

impl Cache {
    /// An empty cache over `store`, for the records that are worth `keeping`.
    #[must_use]
    pub fn new(
        store: Store,
        keeping: Keeping,
        fill_timeout: Duration,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner {
            partitions: OnceLock::new(),
            recent: Recent::new(keeping, &metrics),
            pool: Pool::default(),
            complete: Complete::of(keeping),
            fills: Fills::default(),
            old: Old::default(),
            store,
            clock,
            metrics,
            fill_timeout,
        }))
    }

    /// Makes room for each of the store's partitions, once it is known how many there are.
    pub fn lay_out(&self) {
        let partitions = self.0.store.partitions().all();
        self.0.partitions.get_or_init(|| partitions.map(|_| HeldPartition::default()).collect());
    }

    /// Makes room for so many partitions, unless it is known already how many the store has. Says
    /// whether it has so many.
    #[must_use]
    pub fn lay_out_as(&self, partitions: Partitions) -> bool {
        self.0.store.lay_out(partitions);
        self.lay_out();
        self.0.store.partitions() == partitions
    }

    /// What is held of `customer` now. The restricted set is asked last, so that what it says is
    /// never older than the record beside it.
    #[must_use]
    pub fn find(&self, customer: &impl Named) -> Found {
        let customer = customer.name();
        let part = self.partition(self.0.store.partitions().of_named(customer));
        let held = match self.0.recent.find(customer) {
            Place::Held(held) => Some(held),
            Place::Vacant => part.and_then(|part| self.absence(part, customer)),
            Place::Wanted => None,
        };
        let picture = part.and_then(|part| part.picture.load_full());
        // What is written back leaves the one after it is in the other.
        let withheld = picture.as_ref().and_then(|it| it.withheld.restrictions(customer));
        let entry = picture.as_ref().and_then(|picture| picture.find_named(customer));
        Found { picture, entry, held, withheld }
    }

    /// Reads `customer` from the store, together with everybody else who asks for it now, and
    /// waits for it no longer than `timeout`.
    pub async fn fill(
        &self,
        customer: &CustomerKey,
        timeout: Duration,
    ) -> Result<triomphe::Arc<Held>, Missing> {
        let begun = self.0.clock.moment();
        loop {
            let note = FillNote::begin(customer, &self.0.clock);
            let outcome = match self.0.fills.take_part(customer) {
                Ok(Part::Joined(outcome)) => {
                    self.0.metrics.fills_coalesced.increment(1);
                    note.joins();
                    outcome
                }
                Ok(Part::Leads(lead)) => {
                    let outcome = lead.outcome.clone();
                    self.start(customer, lead, note.clone());
                    outcome
                }
                Err(missing) => {
                    note.ends(Some(FillResult::Overloaded));
                    self.0.metrics.fill(FillResult::Overloaded);
                    return Err(missing);
                }
            };
            let waited = self.0.clock.moment().saturating_since(begun);
            let left = timeout.saturating_sub(waited);
            let filled = fill::wait(outcome, left).await;
            note.ends(filled.result());
            match filled {
                Filled::Taken(held) => return Ok(held),
                Filled::Failed => return Err(Missing::Unreachable),
                Filled::Overtaken if left.is_zero() => return Err(Missing::Unreachable),
                Filled::Overtaken => {}
            }
        }
    }

    /// Reads `customer` from the store, as [`Cache::fill`] does, as it is at `token` or later.
    /// Nothing that the feed does not believe is taken.
    pub async fn fill_at(
        &self,
        customer: &CustomerKey,
        token: &Token,
        timeout: Duration,
    ) -> Result<triomphe::Arc<Held>, Missing> {
        let begun = self.0.clock.moment();
        // The first fill may be somebody else's, which read the store before the token was given.
        // The second one began after the first had read, and so after the token was given: when
        // that does not reach it, the store does not.
        for _ in 0..2 {
            let waited = self.0.clock.moment().saturating_since(begun);
            let held = self.fill(customer, timeout.saturating_sub(waited)).await?;
            if token.is_reached_at(&held.epoch, held.position.revision) {
                return Ok(held);
            }
        }
        Err(Missing::Unreachable)
    }

    /// Begins to read `customer` from the store if nobody does, without waiting for it.
    pub fn refresh(&self, customer: &CustomerKey) {
        if let Ok(Part::Leads(lead)) = self.0.fills.take_part(customer) {
            self.start(customer, lead, FillNote::default());
        }
    }

    /// Runs a fill in a task of its own.
    fn start(&self, customer: &CustomerKey, lead: Lead, note: FillNote) {
        let (cache, customer) = (self.clone(), customer.clone());
        tokio::spawn(async move {
            let inner = &cache.0;
            // Before there is a picture nothing that is read can be taken.
            let Some(part) = cache.partition(cache.partition_of(&customer)) else {
                inner.fills.leave(&customer);
                return lead.tell(Filled::Failed);
            };
            let begun = Begun::of(part);
            note.asks(inner.store.read_call());
            let answer = cache.read(&customer).await;
            note.is_answered(answer.as_ref().err().copied());
            // From here on whoever comes begins a fill of their own: this one has read already.
            inner.fills.leave(&customer);
            let (filled, result) = match answer {
                Ok(read) => match cache.take(&customer, &begun, read) {
                    filled @ Filled::Taken(_) => (filled, FillResult::Accepted),
                    filled @ Filled::Failed => (filled, FillResult::Disbelieved),
                    filled @ Filled::Overtaken => (filled, FillResult::Rejected),
                },
                Err(result) => (Filled::Failed, result),
            };
            drop(begun);
            inner.metrics.fill(result);
            note.comes_to(result);
            lead.tell(filled);
        });
    }

    /// Reads one record. What takes four times as long as anybody waits is not taken, whatever it
    /// says.
    async fn read(&self, customer: &CustomerKey) -> Result<Read, FillResult> {
        let patience = self.0.fill_timeout * 4;
        let begun = self.0.clock.moment();
        let answer = tokio::time::timeout(patience, self.0.store.read(customer)).await;
        let took = self.0.clock.moment().saturating_since(begun);
        let read = match answer {
            Ok(Ok(read)) if took <= patience => Ok(read),
            Ok(Err(error)) => {
                tracing::debug!(customer.id = %customer, %error, "A record could not be read");
                Err(FillResult::Failed)
            }
            Ok(Ok(_)) | Err(_) => Err(FillResult::Timeout),
        };
        self.0.metrics.store_command(StoreCommand::Fill, took, read.is_ok());
        read
    }

    /// Takes what a fill read, if it belongs to the history that is followed here and nothing
    /// newer is known.
    fn take(&self, customer: &CustomerKey, begun: &Begun<'_>, read: Read) -> Filled {
        let Begun { part, ticket, session } = begun;
        if !Self::is_to_be_believed(part, ticket, &read) {
            return Filled::Failed;
        }
        if let StoredRecord::Unreadable(why) = &read.record {
            RecordUnreadable { customer: customer.clone(), why: why.clone() }.emit(&self.0.metrics);
        }
        let generation = ticket.began_at.generation;
        let held = self.holding(part, generation, read);
        let admitted = |position| {
            part.floors.lock().admits(customer, position)
                && part.ahead.lock().admits(customer, *session, position)
        };
        if self.0.recent.offer(customer, &held, admitted) {
            Filled::Taken(held)
        } else {
            Filled::Overtaken
        }
    }

    /// What was read, with what others have alike kept once.
    fn holding(&self, part: &HeldPartition, generation: u64, read: Read) -> triomphe::Arc<Held> {
        let Read { epoch, revision, mut record } = read;
        if let StoredRecord::Known(record) = &mut record {
            self.0.pool.share(&mut record.body);
        }
        let picture = part.picture.load();
        let same = picture.as_ref().map(|picture| &picture.epoch).filter(|it| **it == epoch);
        let epoch = same.cloned().unwrap_or(epoch);
        let position = Position { generation, revision };
        triomphe::Arc::new(Held { record, position, epoch, outdated: false })
    }

    /// Whether what was read belongs to the history that is followed here, and is not older than
    /// what was known when it was asked for.
    fn is_to_be_believed(part: &HeldPartition, ticket: &Ticket, read: &Read) -> bool {
        let picture = part.picture.load();
        let same_history = picture.as_ref().is_some_and(|picture| picture.epoch == read.epoch);
        let believed = part.believed.load(Ordering::Acquire);
        believed && same_history && read.revision >= ticket.began_at.revision
    }

    /// Replaces a partition's restricted set as a whole. Recent records stay and answer as stale
    /// until they are read anew.
    pub fn install(&self, partition: Partition, picture: Arc<Picture>, watermark: Watermark) {
        let Some(part) = self.partition(partition) else { return };
        part.floors.lock().raise(None, watermark.position);
        part.ahead.lock().reach(watermark.position);
        part.head.store(watermark.position.revision.0, Ordering::Relaxed);
        let replaced = part.picture.swap(Some(picture));
        part.suspect.store(false, Ordering::Release);
        part.believed.store(true, Ordering::Release);
        part.watermark.send_replace(Some(watermark));
        if let Some(replaced) = replaced {
            replaced.free();
        }
    }

    /// Applies a change that follows on the watermark.
    pub fn apply(&self, partition: Partition, change: &Change, watermark: Watermark) {
        let Some(part) = self.partition(partition) else { return };
        self.apply_to_tiers(part, change, watermark.position, true);
        part.ahead.lock().reach(watermark.position);
        part.watermark.send_replace(Some(watermark));
    }

    /// Applies a change that is ahead of the watermark, while the changes between are fetched: it
    /// bites at once, and the watermark stays.
    pub fn apply_ahead(&self, partition: Partition, change: &Change) {
        let Some(part) = self.partition(partition) else { return };
        let Some(watermark) = part.watermark.borrow().clone() else { return };
        let position = Position { revision: change.revision, ..watermark.position };
        self.apply_to_tiers(part, change, position, false);
    }

    /// The order matters. A restriction goes into the restricted set before the recent record is
    /// brought up to it; for a lift, the floor is raised and the record brought up to date before
    /// the customer leaves the restricted set. At no moment does a check find neither.
    fn apply_to_tiers(
        &self,
        part: &HeldPartition,
        change: &Change,
        position: Position,
        in_order: bool,
    ) {
        let picture = part.picture.load();
        let Some(picture) = picture.as_ref() else { return };
        let entry = RestrictedEntry::left_by(change);
        let lifts = |entry: &RestrictedEntry| {
            entry.restrictions.as_ref().is_some_and(Restrictions::is_empty)
        };
        let (lifted, restricted) = match entry {
            Some(entry) if lifts(&entry) => (Some(entry), None),
            other => (None, other),
        };
        if let Some(entry) = restricted {
            picture.offer(entry);
        }
        let floor = |customer| part.floors.lock().raise(customer, position);
        match &change.subject {
            Subject::Customer(changed) => {
                floor(Some(&changed.key));
                if self.0.recent.change(changed, position, in_order) {
                    self.read_anew(&changed.key);
                }
            }
            Subject::Unreadable(customer) => {
                ChangeUnreadable { customer: customer.clone() }.emit(&self.0.metrics);
                floor(customer.as_ref());
                if let Some(customer) = customer {
                    if self.0.recent.forget(customer, position) {
                        self.read_anew(customer);
                    }
                } else {
                    part.whole.doubt();
                }
            }
            Subject::Conflict { .. }
            | Subject::Created
            | Subject::Fleet { .. }
            | Subject::Key { .. }
            | Subject::Source { .. }
            | Subject::Succeeded => floor(None),
        }
        if let Some(entry) = lifted {
            picture.offer(entry);
        }
        picture.withheld.hear(change);
    }

    /// Everything in memory of this partition was true at `moment`.
    pub fn confirm(&self, partition: Partition, moment: Moment) {
        let Some(part) = self.partition(partition) else { return };
        part.confirmed.fetch_max(moment.as_nanos(), Ordering::AcqRel);
        part.origin.confirm();
    }

    /// Says whether what is read from the store may be taken. It may again when the watermark was
    /// found in it; what was read ahead of that before is forgotten then, and not earlier: until
    /// then it is the newest that is known.
    pub fn set_believed(&self, partition: Partition, believed: bool) {
        let Some(part) = self.partition(partition) else { return };
        if !believed {
            part.believed.store(false, Ordering::Release);
            part.ahead.lock().end_session();
        } else if !part.believed.load(Ordering::Acquire) {
            let (customers, applied) = part.ahead.lock().let_go();
            for customer in &customers {
                if self.0.recent.forget_after(customer, applied) {
                    self.read_anew(customer);
                }
            }
            part.believed.store(true, Ordering::Release);
        }
    }

    /// Whether what is read from the store may be taken.
    #[must_use]
    pub fn is_believed(&self, partition: Partition) -> bool {
        self.partition(partition).is_some_and(|part| part.believed.load(Ordering::Acquire))
    }

    /// Marks what is held of this partition as doubtful, until the next whole picture or until it
    /// turns out right.
    pub fn set_suspect(&self, partition: Partition, suspect: bool) {
        let Some(part) = self.partition(partition) else { return };
        part.suspect.store(suspect, Ordering::Release);
    }

    /// How old what is held of `partition` is at the moment `at`, to be judged by two thresholds.
    #[must_use]
    pub fn staleness(
        &self,
        partition: Partition,
        at: Moment,
        max_staleness: Duration,
        stale_limit: Duration,
    ) -> Staleness {
        let part = self.partition(partition);
        let only_refuses = part.is_some_and(|part| part.origin.only_refuses());
        Staleness {
            age: part.and_then(|part| age_of(part, at)),
            max_staleness,
            // Past any limit, if it is not to let anybody in.
            stale_limit: if only_refuses { Duration::ZERO } else { stale_limit },
            suspect: part.is_some_and(|part| part.suspect.load(Ordering::Acquire)),
        }
    }

    /// The watermark of `partition`; nothing before the first bootstrap.
    #[must_use]
    pub fn watermark(&self, partition: Partition) -> Option<Watermark> {
        self.partition(partition)?.watermark.borrow().clone()
    }

    /// Takes note of how far the store is in the history that is followed here.
    pub fn hear_head(&self, partition: Partition, head: Revision) {
        let Some(part) = self.partition(partition) else { return };
        part.head.store(head.0, Ordering::Relaxed);
    }

    /// The revisions up to which every change is applied here, summed over all partitions, and how
    /// many changes more the store told of.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let parts = self.0.partitions.get().into_iter().flatten();
        let each = parts.filter_map(|part| {
            let reached = part.watermark.borrow().as_ref()?.position.revision.0;
            Some((reached, part.head.load(Ordering::Relaxed).saturating_sub(reached)))
        });
        each.fold((0, 0), |(reached, lag), (more, behind)| (reached + more, lag + behind))
    }

    /// The watermark of a token's partition, if everything up to the token is applied here.
    #[must_use]
    pub fn watermark_at(&self, token: &Token) -> Option<Watermark> {
        let part = self.partition(token.partition)?;
        part.watermark.borrow().clone().filter(|watermark| part.has_reached(watermark, token))
    }

    /// Waits until everything up to `token` is applied here, no longer than `timeout`. Says whether
    /// it is.
    pub async fn reaches(&self, token: &Token, timeout: Duration) -> bool {
        let Some(part) = self.partition(token.partition) else { return false };
        let mut watermark = part.watermark.subscribe();
        let reached = |watermark: &Option<Watermark>| {
            watermark.as_ref().is_some_and(|watermark| part.has_reached(watermark, token))
        };
        tokio::time::timeout(timeout, watermark.wait_for(reached))
            .await
            .is_ok_and(|told| told.is_ok())
    }

    /// The records of `partition` that are in memory and as new as its picture.
    #[must_use]
    pub fn records(&self, partition: Partition) -> Vec<Record> {
        let Some(picture) = self.picture(partition) else { return Vec::new() };
        let records = self.0.recent.records(picture.generation);
        records.filter(|record| self.partition_of(&record.key) == partition).collect()
    }

    /// The picture of `partition`; nothing before the first bootstrap.
    #[must_use]
    pub fn picture(&self, partition: Partition) -> Option<Arc<Picture>> {
        self.partition(partition)?.picture.load_full()
    }

    /// Count and digest of the restricted set that is held.
    #[must_use]
    pub fn census(&self, partition: Partition) -> Option<Census> {
        Some(self.partition(partition)?.picture.load().as_ref()?.census())
    }

    /// Customers of whom a restriction is over at `moment`, `at_most` of them per partition.
    #[must_use]
    pub fn lapsed_at(&self, moment: Timestamp, at_most: usize) -> Vec<(CustomerKey, Restrictions)> {
        let partitions = self.0.store.partitions().all();
        let pictures = partitions.filter_map(|partition| self.picture(partition));
        pictures.flat_map(|picture| picture.lapsed_at(moment, at_most)).collect()
    }

    /// How many customers are held in which tier: restricted, recent, unknown.
    #[must_use]
    pub fn sizes(&self) -> (u64, u64, u64) {
        let restricted =
            self.0.store.partitions().all().filter_map(|partition| self.census(partition));
        let (recent, unknown) = self.0.recent.sizes();
        (restricted.map(|census| census.count).sum(), recent, unknown)
    }

    /// The partition that holds `customer`.
    #[must_use]
    pub fn partition_of(&self, customer: &impl Named) -> Partition {
        self.0.store.partitions().of(customer)
    }

    /// How many partitions the store has.
    #[must_use]
    pub fn partitions(&self) -> Partitions {
        self.0.store.partitions()
    }

    fn partition(&self, Partition(number): Partition) -> Option<&HeldPartition> {
        self.0.partitions.get()?.get(usize::from(number))
    }
}

/// How long before the moment `at` what is held was confirmed, if it was.
fn age_of(part: &HeldPartition, at: Moment) -> Option<Duration> {
    // Before `confirmed`: between the two a confirmation makes it too old, and never too young.
    let before = part.origin.age_before()?;
    let confirmed = part.confirmed.load(Ordering::Acquire);
    let since = || at.saturating_since(Moment::from_nanos(confirmed));
    (confirmed > 0).then(|| before.saturating_add(since()))
}

#[cfg(test)]
mod tests;
