//! The port to where records live, and its adapters.
//!
//! Every adapter keeps the same promises, and one suite (`tests/store_contract.rs`) holds them to
//! it: a commit is whole or absent, revisions have no holes, what was acknowledged is there, and
//! a session hears every commit in order or is told that it ended.

pub mod embedded;
pub mod format;
pub mod redis;
mod unresolved;

pub use self::{
    redis::inbox::{ForeignWriters, Inbox, Listening},
    unresolved::UnresolvedEntry,
};

use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

use tokio::sync::mpsc;

pub use self::redis::repair::{Rewrite, Step};
use crate::{
    domain::{
        AuditEntry, Change, Customer, CustomerKey, Epoch, Lineage, Partition, Partitions, Private,
        Record, Restrictions, Revision, Source, Subject, Timestamp, Token, Verb,
        alias::{Alias, Claim},
        audit::{
            AuditOutcome, StoredAudit, archive::Old, chain::ChainPage, head::ChainHead,
            notes::Notes,
        },
        change::{Act, CustomerChange},
        customer::RecordBody,
        fleet::FleetShadow,
    },
    telemetry::traces::DatabaseCall,
};

/// Where records live.
#[derive(Clone, Debug)]
pub enum Store {
    /// In this process: a file, or memory.
    Embedded(embedded::Embedded),
    /// In Redis or Valkey.
    Redis(redis::Redis),
}

/// Calls one method of whichever adapter it is.
macro_rules! each {
    ($store:expr, $adapter:ident => $call:expr) => {
        match $store {
            Store::Embedded($adapter) => $call,
            Store::Redis($adapter) => $call,
        }
    };
}

impl Store {
    /// How a record is read, where that is asked of a database.
    #[must_use]
    pub const fn read_call(&self) -> Option<DatabaseCall> {
        match self {
            Self::Embedded(_) => None,
            Self::Redis(_) => Some(redis::READ_CALL),
        }
    }

    /// Reads what decides about one customer, and the head it was read at, both at one moment.
    pub async fn read(&self, key: &CustomerKey) -> Result<Read, StoreError> {
        each!(self, store => store.read(key).await)
    }

    /// Reads what decides about several customers of one partition, and the head it was read at,
    /// all at one moment.
    pub async fn read_many(
        &self,
        partition: Partition,
        keys: &[CustomerKey],
    ) -> Result<ReadMany, StoreError> {
        match self {
            Self::Embedded(store) => store.read_many(keys).await,
            Self::Redis(store) => store.read_many(partition, keys).await,
        }
    }

    /// Names the customers of a partition, in order, from the first or from behind `after` on, and
    /// tells in which history that was.
    pub async fn customer_keys(
        &self,
        partition: Partition,
        after: Option<&str>,
        at_most: usize,
    ) -> Result<KeysPage, StoreError> {
        match self {
            Self::Embedded(store) => store.customer_keys(after, at_most).await,
            Self::Redis(store) => store.customer_keys(partition, after, at_most).await,
        }
    }

    /// Reads one customer with its private part.
    pub async fn customer(&self, key: &CustomerKey) -> Result<Option<Customer>, StoreError> {
        each!(self, store => store.customer(key).await)
    }

    /// Reads a page of customers in the order of their keys.
    pub async fn customers(&self, page: &CustomerPage) -> Result<Vec<Customer>, StoreError> {
        each!(self, store => store.customers(page).await)
    }

    /// Who is said to have an alias.
    pub async fn alias(&self, alias: &Alias) -> Result<Option<Claim>, StoreError> {
        each!(self, store => store.alias(alias).await)
    }

    /// Puts `claim` in the place of what is `held` on an alias, or nothing: whether that was so.
    /// Nothing is written where there is no history.
    pub async fn set_alias(
        &self,
        alias: &Alias,
        held: Option<&Claim>,
        claim: Option<&Claim>,
    ) -> Result<bool, StoreError> {
        each!(self, store => store.set_alias(alias, held, claim).await)
    }

    /// Notes when keys were last used: the latest that anybody says counts. Nothing is written
    /// where there is no history.
    pub async fn note_key_uses(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        each!(self, store => store.note_key_uses(uses).await)
    }

    /// When each key was last used, of those of which that was noted.
    pub async fn key_uses(&self) -> Result<HashMap<String, Timestamp>, StoreError> {
        each!(self, store => store.key_uses().await)
    }

    /// How many customers there are.
    pub async fn count_customers(&self) -> Result<u64, StoreError> {
        each!(self, store => store.count_customers().await)
    }

    /// Reads a page of the audit trail, the newest entry first.
    pub async fn audit(&self, page: &AuditPage) -> Result<Vec<StoredAudit>, StoreError> {
        each!(self, store => store.audit(page).await)
    }

    /// Reads a page of a partition's audit trail with its chain, the oldest entry first.
    pub async fn audit_chain(
        &self,
        partition: Partition,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChainPage, StoreError> {
        match self {
            Self::Embedded(store) => store.audit_chain(after, limit).await,
            Self::Redis(store) => store.audit_chain(partition, after, limit).await,
        }
    }

    /// Reads the newest entry of a partition's audit trail, as far as it is signed.
    pub async fn audit_head(&self, partition: Partition) -> Result<Option<ChainHead>, StoreError> {
        match self {
            Self::Embedded(store) => store.audit_head(),
            Self::Redis(store) => store.audit_head(partition).await,
        }
    }

    /// Takes what is archived out of a partition's audit trail with its notes, and what is as old
    /// out of the trails of the customers whom it is about: whether it did. Nothing in another
    /// history.
    pub async fn take_out_audit(
        &self,
        partition: Partition,
        epoch: &Epoch,
        old: &Old,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(store) => store.take_out_audit(epoch, old).await,
            Self::Redis(store) => store.take_out_audit(partition, epoch, old).await,
        }
    }

    /// The place of the newest entry that was taken out of a partition's audit trail.
    pub async fn audit_archived_to(
        &self,
        partition: Partition,
    ) -> Result<Option<String>, StoreError> {
        match self {
            Self::Embedded(store) => store.audit_archived_to(),
            Self::Redis(store) => store.audit_archived_to(partition).await,
        }
    }

    /// Makes a change, with its audit entry and its place in the log, or nothing at all.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        each!(self, store => store.commit(commit).await)
    }

    /// What the store forgets first when its memory is full; nothing when it refuses changes
    /// instead, or may not be asked.
    pub async fn eviction_policy(&self) -> Result<Option<String>, StoreError> {
        match self {
            Self::Embedded(_) => Ok(None),
            Self::Redis(store) => store.eviction_policy().await,
        }
    }

    /// Begins the first history of an empty store, cut into `partitions`.
    pub async fn create(&self, epoch: &Epoch, partitions: Partitions) -> Result<(), CreateError> {
        match self {
            Self::Embedded(store) => store.create(epoch).await,
            Self::Redis(store) => store.create(epoch, partitions).await,
        }
    }

    /// Begins to write a partition's restricted set anew, to be of this census, for as long as the
    /// partition's head says so too. Nothing for a store whose restricted set cannot go missing
    /// without the rest: there is nothing to write then.
    #[must_use]
    pub fn rewrite_restricted(
        &self,
        partition: Partition,
        epoch: &Epoch,
        census: Census,
    ) -> Option<Rewrite> {
        match self {
            Self::Embedded(_) => None,
            Self::Redis(store) => Some(store.rewrite_restricted(partition, epoch, census)),
        }
    }

    /// Takes `lease` for `holder`, or renews it, for `ttl` from now: whether it has it then. One
    /// that is not renewed lapses, and whoever asks next gets it. Nobody gets one of a partition
    /// without a history.
    ///
    /// It keeps two instances from doing the same work, and fences nothing: who was stopped for
    /// longer than `ttl` has to look at its own clock before it goes on. A store in one process
    /// grants every lease.
    pub async fn hold_lease(
        &self,
        lease: Lease,
        holder: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Embedded(_) => Ok(true),
            Self::Redis(store) => store.hold_lease(lease, holder, ttl).await,
        }
    }

    /// Gives `lease` back, if `holder` has it.
    pub async fn release_lease(&self, lease: Lease, holder: &str) -> Result<(), StoreError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(store) => store.release_lease(lease, holder).await,
        }
    }

    /// Where billing systems that cannot call the operator API say what changed. A store in one
    /// process has no such place.
    #[must_use]
    pub fn foreign_writers(&self, channel: &str) -> Option<ForeignWriters> {
        match self {
            Self::Embedded(_) => None,
            Self::Redis(store) => Some(store.foreign_writers(channel)),
        }
    }

    /// How many partitions it has: one until it is [laid out](Self::lay_out).
    #[must_use]
    pub fn partitions(&self) -> Partitions {
        match self {
            Self::Embedded(_) => Partitions::ONE,
            Self::Redis(store) => store.partitions(),
        }
    }

    /// Takes note of how many partitions it has, once and for all. What was taken note of before
    /// stays.
    pub fn lay_out(&self, partitions: Partitions) {
        match self {
            Self::Embedded(_) => {}
            Self::Redis(store) => store.lay_out(partitions),
        }
    }

    /// How many partitions it gets when it is created, unless that is said.
    #[must_use]
    pub fn usual_partitions(&self) -> Partitions {
        match self {
            Self::Embedded(_) => Partitions::ONE,
            Self::Redis(store) => store.usual_partitions(),
        }
    }

    /// Puts on record that `partition` lost the history `epoch`, unless it has one. While that
    /// stands nobody begins another.
    pub async fn mark_lost(&self, partition: Partition, epoch: &Epoch) -> Result<(), StoreError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(store) => store.mark_lost(partition, epoch).await,
        }
    }

    /// Ends the history of a partition and begins the next, if it is where `succession` says.
    pub async fn succeed(&self, succession: &Succession) -> Result<(), SuccessionError> {
        match self {
            Self::Embedded(_) => Err(SuccessionError::Moved),
            Self::Redis(store) => store.succeed(succession).await,
        }
    }

    /// Puts a page of a restricted set aside, for a [`Succession`] that takes it up.
    pub async fn stage(
        &self,
        partition: Partition,
        epoch: &Epoch,
        entries: &[RestrictedEntry],
    ) -> Result<(), StoreError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(store) => store.stage(partition, epoch, entries).await,
        }
    }

    /// Writes those of `records` that are missing, without private parts.
    pub async fn supply(&self, partition: Partition, records: &[Record]) -> Result<(), StoreError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(store) => store.supply(partition, records).await,
        }
    }

    /// At most `count` log entries of `partition` from `from` on, that one included; from the
    /// oldest on when it is empty.
    pub async fn log(
        &self,
        partition: Partition,
        from: &str,
        count: usize,
    ) -> Result<Vec<Change>, StoreError> {
        each!(self, store => store.log(partition, from, count).await)
    }

    /// Writes those operators' keys that are missing: id and JSON.
    pub async fn supply_keys(&self, keys: &[(String, String)]) -> Result<(), StoreError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(store) => store.supply_keys(keys).await,
        }
    }

    /// Writes what is missing of what the guard says of sources: name and JSON.
    pub async fn supply_sources(&self, sources: &[(String, String)]) -> Result<(), StoreError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(store) => store.supply_sources(sources).await,
        }
    }

    /// Reads, from now on, the records of `partitions` on the connection of `session`: fills then
    /// ask the very server that the feed follows.
    pub fn read_on(&self, partitions: &[Partition], session: &Session) {
        if let (Self::Redis(store), SessionReader::Redis(reader)) = (self, &session.reader) {
            store.read_on(partitions, reader);
        }
    }

    /// The conflicts that stand in a partition: the forgotten change's token and the rest in JSON.
    pub async fn conflicts(
        &self,
        partition: Partition,
    ) -> Result<Vec<(String, String)>, StoreError> {
        match self {
            Self::Embedded(_) => Ok(Vec::new()),
            Self::Redis(store) => store.conflicts(partition).await,
        }
    }

    /// Groups `partitions` so that each group is served by one session.
    pub async fn by_node(
        &self,
        partitions: &[Partition],
    ) -> Result<Vec<Vec<Partition>>, StoreError> {
        match self {
            Self::Embedded(_) => Ok(vec![partitions.to_vec()]),
            Self::Redis(store) => store.by_node(partitions).await,
        }
    }

    /// Forgets the newest session of `partitions`, so that nobody waits for its connection any
    /// more.
    pub fn forget_session(&self, partitions: &[Partition]) {
        match self {
            Self::Embedded(_) => {}
            Self::Redis(store) => store.forget_session(partitions),
        }
    }

    /// Opens a session for `partitions`, which one node serves: subscribed first, so that nothing
    /// committed after this is missed.
    pub async fn open_session(&self, partitions: &[Partition]) -> Result<Session, StoreError> {
        match self {
            Self::Embedded(store) => store.open_session().await,
            Self::Redis(store) => store.open_session(partitions).await,
        }
    }
}

/// What only one instance at a time may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lease {
    /// Apply what foreign writers say, and take away what has lapsed.
    Ingest,
    /// Write back what a partition forgot.
    Recovery(Partition),
}

impl Lease {
    /// Where it is held: a recovery lease in the partition that it is for.
    #[must_use]
    pub const fn partition(self) -> Partition {
        match self {
            Self::Ingest => Partition(0),
            Self::Recovery(partition) => partition,
        }
    }
}

/// A message that waits in the inbox.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InboxEntry {
    /// The store's id of it, `<milliseconds>-<counter>`.
    pub id: String,
    /// What it says, if it says anything.
    pub data: Option<Vec<u8>>,
    /// When it was published, if an instance that could not apply it put it here.
    pub published: Option<Timestamp>,
    /// Whether somebody has deleted it meanwhile.
    pub is_deleted: bool,
}

/// How full the inbox is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InboxSizes {
    /// How many entries wait.
    pub waiting: u64,
    /// How many were put aside because they can never be applied.
    pub dead: u64,
}

/// What a fill reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The store's history.
    pub epoch: Epoch,
    /// The partition's newest revision at that moment.
    pub revision: Revision,
    /// The record.
    pub record: StoredRecord,
}

/// What is read of several customers at once.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadMany {
    /// The store's history.
    pub epoch: Epoch,
    /// The partition's newest revision at that moment.
    pub revision: Revision,
    /// Their records, in the order in which they were asked for. Nothing for one that was not
    /// found in this way: only [`Store::read`] tells whether there is none.
    pub records: Vec<Option<StoredRecord>>,
}

/// Some of a partition's customers.
#[derive(Clone, Debug, PartialEq)]
pub struct KeysPage {
    /// The store's history.
    pub epoch: Epoch,
    /// Who they are.
    pub keys: Vec<CustomerKey>,
    /// Behind what the next page begins; nothing at the end.
    pub next: Option<String>,
}

/// A record as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredRecord {
    /// There is none.
    Absent,
    /// Here it is.
    Known(Record),
    /// There is something that cannot be read: of a newer format, of another type, or broken.
    Unreadable(String),
}

/// Which customers to list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CustomerPage {
    /// All, or only those that have a restriction.
    pub among: Among,
    /// The text that every key begins with: `tenant:` and perhaps more.
    pub prefix: String,
    /// The key after which the page begins (in its direction).
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
    /// In which order.
    pub direction: Direction,
}

/// Which index to walk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Among {
    /// Every customer.
    All,
    /// Every customer with a restriction, in force or not.
    Restricted,
}

/// In which order to walk it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// By key, upwards.
    Ascending,
    /// By key, downwards.
    Descending,
}

/// Which audit entries to list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditPage {
    /// One customer's, or everybody's.
    pub customer: Option<CustomerKey>,
    /// The entry before which (in time) the page begins.
    pub before: Option<AuditCursor>,
    /// How many at most.
    pub limit: usize,
}

/// The last entry of a page of audit entries. Entries of one id in several partitions are listed
/// by partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditCursor {
    /// Its place in its trail.
    pub id: String,
    /// Whose trail.
    pub partition: Partition,
}

impl From<&StoredAudit> for AuditCursor {
    fn from(entry: &StoredAudit) -> Self {
        Self { id: entry.id.clone(), partition: entry.partition }
    }
}

impl fmt::Display for AuditCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Partition(0) => f.write_str(&self.id),
            partition => write!(f, "{}@{partition}", self.id),
        }
    }
}

impl FromStr for AuditCursor {
    type Err = InvalidCursor;

    fn from_str(raw: &str) -> Result<Self, InvalidCursor> {
        let (id, partition) = raw.split_once('@').unwrap_or((raw, "0"));
        let is_number = |part: &str| part.parse::<u64>().is_ok();
        let (millis, counter) = id.split_once('-').ok_or(InvalidCursor)?;
        let partition = partition.parse().map(Partition).map_err(|_| InvalidCursor)?;
        let sound = is_number(millis) && is_number(counter);
        if sound { Ok(Self { id: id.to_owned(), partition }) } else { Err(InvalidCursor) }
    }
}

/// Text that is no cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be a cursor that an earlier page gave")]
pub struct InvalidCursor;

/// A change to be made.
#[derive(Clone, Debug)]
pub struct Commit {
    /// What is changed.
    pub write: Write,
    /// What the writer knows of the store's history.
    pub writer: Writer,
    /// What the audit trail keeps of it.
    pub audit: AuditEntry,
    /// The notes that the entry has the digest of.
    pub notes: Option<Notes>,
    /// What makes a repetition harmless. A refused act asks whether it was done before, and uses
    /// up no key.
    pub idempotency: Option<Idempotency>,
    /// Which trails keep that.
    pub trail: Trail,
}

/// Which audit trails keep an entry.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Trail {
    /// The partition's, chained, and that of the customer if it is about one.
    #[default]
    Both,
    /// The customer's alone: the partition's has an entry for all that were changed together.
    Customer,
}

impl Commit {
    /// Whether its idempotency key stands for it from now on.
    #[must_use]
    pub fn uses_up_its_key(&self) -> bool {
        self.audit.outcome != AuditOutcome::Refused
    }

    /// Which of `partitions` it is committed in.
    #[must_use]
    pub fn partition(&self, partitions: Partitions) -> Partition {
        self.write.partition(partitions)
    }
}

/// What a commit writes.
#[derive(Clone, Debug)]
pub enum Write {
    /// What stands against writing back a change that the store forgot.
    Conflict {
        /// The forgotten change's revision.
        forgotten: Token,
        /// The conflict in JSON; nothing settles it.
        stored: Option<String>,
    },
    /// A customer's record and private part.
    Customer(Box<CustomerWrite>),
    /// An operator's key, or its revocation.
    Key {
        /// The key's id.
        id: String,
        /// The key as stored, in JSON; nothing revokes it.
        stored: Option<String>,
    },
    /// The mode of every instance.
    Fleet {
        /// The shadow that they are put into; nothing to take them out of it.
        shadow: Option<FleetShadow>,
    },
    /// What the guard says of a source.
    Source {
        /// Which one.
        source: Source,
        /// Its state, in JSON.
        stored: String,
    },
    /// Nothing but the audit entry: the act changed nothing, or was refused.
    Nothing {
        /// The customer it was about.
        customer: Option<CustomerKey>,
    },
    /// That a partition no longer lacks records.
    Whole {
        /// Which one.
        partition: Partition,
    },
}

impl Write {
    /// Which of `partitions` it is committed in.
    #[must_use]
    pub fn partition(&self, partitions: Partitions) -> Partition {
        match self {
            Write::Customer(write) => partitions.of(&write.key),
            Write::Conflict { forgotten, .. } => forgotten.partition,
            Write::Whole { partition } => *partition,
            Write::Nothing { customer: Some(key) } => partitions.of(key),
            Write::Fleet { .. }
            | Write::Key { .. }
            | Write::Source { .. }
            | Write::Nothing { customer: None } => Partition(0),
        }
    }

    /// What the log tells of it; nothing when nothing is written.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Self::Customer(write) => Some(Subject::Customer(CustomerChange {
                key: write.key.clone(),
                restrictions: write.body.told(),
                entitlements_changed: write.entitlements_changed,
                act: write.act.clone(),
            })),
            Self::Conflict { forgotten, stored } => {
                Some(Subject::Conflict { forgotten: forgotten.clone(), stored: stored.clone() })
            }
            Self::Key { id, stored } => {
                Some(Subject::Key { id: id.clone(), stored: stored.clone() })
            }
            Self::Fleet { shadow } => Some(Subject::Fleet { shadow: *shadow }),
            Self::Source { source, stored } => {
                Some(Subject::Source { source: source.clone(), stored: stored.clone() })
            }
            Self::Nothing { .. } | Self::Whole { .. } => None,
        }
    }
}

/// A customer as it is to be.
#[derive(Clone, Debug)]
pub struct CustomerWrite {
    /// Which customer.
    pub key: CustomerKey,
    /// The revision it was read at; nothing when it must not exist.
    pub expected: Option<Revision>,
    /// The record.
    pub body: RecordBody,
    /// The private part.
    pub private: Private,
    /// Whether anything of the record beside the restrictions is changed.
    pub entitlements_changed: bool,
    /// What was done.
    pub act: Act,
}

impl CustomerWrite {
    /// Whether it erases the customer, and so all notes on it that were kept before.
    #[must_use]
    pub fn erases(&self) -> bool {
        self.act.verb == Verb::Purge
    }
}

/// What a writer knows of the store's history.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Writer {
    /// The history it follows.
    pub epoch: Epoch,
    /// The revision it has applied.
    pub watermark: Revision,
}

/// What makes a repeated commit one commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Idempotency {
    /// SHA-256 (hex) of key name, tenant, customer, verb and the caller's key.
    pub key_digest: String,
    /// SHA-256 (hex) of what was asked for.
    pub body_digest: String,
}

/// What came of a commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Committed {
    /// The partition's revision after it.
    pub revision: Revision,
    /// Whether anything was written beside the audit entry.
    pub changed: bool,
    /// Whether it had been committed before under the same idempotency key.
    pub replayed: bool,
    /// Where the log has it; nothing where the store is this process, which forgets nothing.
    pub logged: Option<Logged>,
}

/// Where the log has a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Logged {
    /// Its entry.
    pub log_id: String,
    /// The entry before it.
    pub follows: String,
}

/// Why a commit was refused. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The store is behind what the writer has seen: it forgot something.
    #[error("the store is behind what this instance has already applied")]
    Behind,
    /// The customer is at another revision than the writer read.
    #[error("the customer was changed meanwhile")]
    Conflict,
    /// The store's history is not the writer's.
    #[error("the store's history is not the one this instance follows")]
    Epoch,
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// Somebody knows that the store lost its content.
    #[error("the store lost the history {0}")]
    Lost(String),
    /// The restricted set is not whole.
    #[error(
        "the store's restricted set is not whole; an instance that may write is writing it anew"
    )]
    RestrictedLost,
    /// The store did not answer, so it may or may not be committed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key holds something that Tollgate did not put there.
    #[error("the store's key {0} holds another type of value")]
    WrongType(String),
}

/// Why a history was not begun.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Somebody else did.
    #[error("the store already has a history")]
    Exists,
    /// Somebody knows that the store lost its content.
    #[error(
        "the store lost the history {0}; bring it back with `tollgate store refill-redis` on an \
         instance that knows it, or begin anew with `tollgate store trust-redis`"
    )]
    Lost(String),
    /// There are keys without a history.
    #[error("the store holds Tollgate's keys but no history; it lost something")]
    NotEmpty,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store could not be asked, or what it holds cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A change was made on a master that had been replaced, and is not in its successor.
    #[error("the store was replaced while it made the change, and does not have it; try again")]
    Forgotten,
    /// A file that another process has open.
    #[error("{0} is in use by another process")]
    Locked(String),
    /// The node that was asked does not serve the partition, or will not soon.
    #[error("the partition is on another node of the cluster, or on its way there: {0}")]
    Moved(String),
    /// Data of a newer format than this Tollgate reads.
    #[error("the store's format is {found}, and this version reads up to {known}; use a newer one")]
    NewerFormat {
        /// What the store says.
        found: u64,
        /// What this version reads.
        known: u64,
    },
    /// Another number of partitions than it has to have.
    #[error("the store has {found} partitions and this instance expects {expected} (--partitions)")]
    Partitions {
        /// What was said, or what it had before.
        expected: Partitions,
        /// What the store says.
        found: Partitions,
    },
    /// Another number of partitions than the store has that this process began with a snapshot of.
    #[error(
        "the store has {found} partitions, and the snapshot that this instance began with is of \
         another store, with {booted}: whom it names is refused and nobody else is decided on; \
         remove the snapshot file (--snapshot-file) and start again"
    )]
    BootedElsewhere {
        /// What the snapshot says.
        booted: Partitions,
        /// What the store says.
        found: Partitions,
    },
    /// An answer that says no, and will go on saying it until somebody changes a setting.
    #[error("the store refuses this instance: {0}")]
    Refused(#[from] Refusal),
    /// No answer, or one that says "not now".
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// An answer that makes no sense.
    #[error("the store holds something unexpected: {0}")]
    Unexpected(String),
}

/// Why a store cannot be used until somebody changes a setting.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// What the setting is about.
    pub about: Concern,
    /// What the store said, or what is wrong with it.
    pub why: String,
}

/// What a refused setting is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Concern {
    /// The server's certificate.
    Certificate,
    /// The number of the database.
    Database,
    /// Whether connections are encrypted.
    Encryption,
    /// This instance's certificate.
    Identity,
    /// Keys that are not Tollgate's.
    Keys,
    /// The user or its password.
    Login,
    /// The name of the master.
    Master,
    /// What speaks there.
    Protocol,
    /// What the user may do.
    Rights,
    /// The sentinels' user or its password.
    SentinelLogin,
    /// How many servers there are, and how they are found.
    Topology,
}

/// A partition's newest state, as its meta tells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head {
    /// How many partitions the store has.
    pub partitions: Partitions,
    /// The store's history.
    pub epoch: Epoch,
    /// The newest revision.
    pub revision: Revision,
    /// Its entry in the log.
    pub log_id: String,
    /// How many customers have a restriction, and the digest of them.
    pub restricted: Census,
    /// Which histories this one came out of.
    pub lineage: Lineage,
    /// Whether records are missing that there were: an absence then says nothing.
    pub partial: bool,
    /// The shadow that every instance is put into, as partition 0 says it.
    pub fleet: Option<FleetShadow>,
}

/// The end of one history of a partition and the beginning of the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Succession {
    /// Which partition.
    pub partition: Partition,
    /// How many there are.
    pub partitions: Partitions,
    /// Where the history that ends has to be; nothing where there has to be none.
    pub from: Option<Place>,
    /// The name of the next.
    pub epoch: Epoch,
    /// Where that comes from.
    pub lineage: Lineage,
    /// Its first revision, which tells of the succession.
    pub revision: Revision,
    /// The census of the [staged](Store::stage) restricted set that it begins with; nothing to
    /// keep the one that there is.
    pub staged: Option<Census>,
    /// Whether records are missing from now on; nothing to leave that as it is.
    pub partial: Option<bool>,
}

/// Where a history stands: nothing was committed after this.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// Which history.
    pub epoch: Epoch,
    /// Its newest revision.
    pub revision: Revision,
    /// The log entry of that.
    pub log_id: String,
}

impl From<&Head> for Place {
    fn from(head: &Head) -> Self {
        let (epoch, log_id) = (head.epoch.clone(), head.log_id.clone());
        Self { epoch, revision: head.revision, log_id }
    }
}

/// Why a history did not end. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionError {
    /// It is not where it was seen: somebody else was first, or it went on.
    #[error("the store's history is not where it was seen; somebody else was first")]
    Moved,
    /// The staged set is not whole.
    #[error("the restricted set that was staged is not whole")]
    Staged,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A head, and how many entries the restricted set has, both at one moment. They disagree once the
/// set is damaged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tally {
    /// The head.
    pub head: Head,
    /// How many entries there are.
    pub held: u64,
}

/// Count and digest of a restricted set: the XOR over its entries of the first 16 hex digits of
/// `sha1hex("<tenant>:<id>:<revision>")`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Census {
    /// How many entries.
    pub count: u64,
    /// The digest.
    pub digest: u64,
}

impl Census {
    /// The census with one entry more.
    #[must_use]
    pub fn with(self, key: &CustomerKey, revision: Revision) -> Self {
        let digest = self.digest ^ format::entry_digest(key, revision);
        Self { count: self.count.saturating_add(1), digest }
    }

    /// The census with one entry less.
    #[must_use]
    pub fn without(self, key: &CustomerKey, revision: Revision) -> Self {
        let digest = self.digest ^ format::entry_digest(key, revision);
        Self { count: self.count.saturating_sub(1), digest }
    }
}

/// One customer of the restricted set.
#[derive(Clone, Debug, PartialEq)]
pub struct RestrictedEntry {
    /// Which customer.
    pub key: CustomerKey,
    /// The revision of its last change.
    pub revision: Revision,
    /// Its restrictions, or nothing if they cannot be read.
    pub restrictions: Option<Restrictions>,
}

impl RestrictedEntry {
    /// What `change` makes of its customer's entry; without restrictions, that there is none.
    #[must_use]
    pub fn left_by(change: &Change) -> Option<Self> {
        let (key, restrictions) = match &change.subject {
            Subject::Customer(changed) => (&changed.key, Some(changed.restrictions.clone())),
            Subject::Unreadable(Some(key)) => (key, None),
            Subject::Conflict { .. }
            | Subject::Created
            | Subject::Fleet { .. }
            | Subject::Key { .. }
            | Subject::Source { .. }
            | Subject::Succeeded
            | Subject::Unreadable(None) => return None,
        };
        Some(Self { key: key.clone(), revision: change.revision, restrictions })
    }
}

/// One page of the restricted set.
#[derive(Debug)]
pub struct RestrictedPage {
    /// The entries; one may come twice.
    pub entries: Vec<RestrictedEntry>,
    /// Where the next page begins; nothing after the last.
    pub next: Option<String>,
}

/// A change as it is heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// In which partition it was committed.
    pub partition: Partition,
    /// In which history: a channel may carry another store's changes too.
    pub epoch: Epoch,
    /// The log entry that it follows on.
    pub follows: String,
    /// What it was.
    pub change: Change,
}

/// A subscription to every commit, and the reads that belong to the same connection.
#[derive(Debug)]
pub struct Session {
    /// Commits in order. Ends when the session does.
    pub pushes: mpsc::Receiver<Push>,
    /// Reads that are ordered with the pushes: what was committed before a reply was sent is in
    /// `pushes` before the reply is here.
    pub reader: SessionReader,
}

/// The reads of a session.
#[derive(Clone, Debug)]
pub enum SessionReader {
    /// In this process.
    Embedded(embedded::Embedded),
    /// Over the session's own connection.
    Redis(redis::session::Reader),
}

macro_rules! each_reader {
    ($reader:expr, $adapter:ident => $call:expr) => {
        match $reader {
            SessionReader::Embedded($adapter) => $call,
            SessionReader::Redis($adapter) => $call,
        }
    };
}

impl SessionReader {
    /// The newest state of each of `partitions`; nothing where the store has no history.
    pub async fn heads(&self, partitions: &[Partition]) -> Result<Vec<Option<Head>>, StoreError> {
        each_reader!(self, reader => reader.heads(partitions).await)
    }

    /// Why there are no more pushes.
    #[must_use]
    pub fn end(&self) -> StoreError {
        each_reader!(self, reader => reader.end())
    }

    /// The newest state of one partition; nothing when the store has no history.
    pub async fn head(&self, partition: Partition) -> Result<Option<Head>, StoreError> {
        Ok(self.heads(&[partition]).await?.into_iter().flatten().next())
    }

    /// A partition's newest state, and how many entries its restricted set has; nothing when the
    /// store has no history.
    pub async fn tally(&self, partition: Partition) -> Result<Option<Tally>, StoreError> {
        each_reader!(self, reader => reader.tally(partition).await)
    }

    /// A page of the restricted set, from the start or from where the last one ended.
    pub async fn restricted_page(
        &self,
        partition: Partition,
        from: Option<&str>,
    ) -> Result<RestrictedPage, StoreError> {
        each_reader!(self, reader => reader.restricted_page(partition, from).await)
    }

    /// At most `count` log entries from `from` on, that one included; from the oldest on when it
    /// is empty.
    pub async fn log(
        &self,
        partition: Partition,
        from: &str,
        count: usize,
    ) -> Result<Vec<Change>, StoreError> {
        each_reader!(self, reader => reader.log(partition, from, count).await)
    }

    /// All operators' keys: id and JSON.
    pub async fn keys(&self) -> Result<Vec<(String, String)>, StoreError> {
        each_reader!(self, reader => reader.keys().await)
    }

    /// What the guard says of every source that it paused once: name and JSON.
    pub async fn sources(&self) -> Result<Vec<(String, String)>, StoreError> {
        each_reader!(self, reader => reader.sources().await)
    }
}
