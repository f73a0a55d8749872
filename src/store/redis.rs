//! Records in Redis or Valkey. Only the script writes.

mod alias;
mod cluster;
mod commands;
mod connection;
mod creation;
pub mod inbox;
mod key_use;
mod keys;
mod lease;
mod refusal;
pub mod repair;
mod role;
mod script;
mod sentinel;
pub mod session;
mod settings;
mod slots;
mod succession;
mod topology;
mod unresolved;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use redis::RedisError;

pub use self::settings::{Identity, Login, Server, Servers, Settings, Tls};
use self::{
    commands::Commands,
    inbox::ForeignWriters,
    keys::{Channels, Keys},
    refusal::store_error,
    session::Reader,
    topology::Topology,
};
use super::{
    Among, AuditPage, Commit, CommitError, Committed, Concern, CustomerPage, Direction, KeysPage,
    Lease, Read, ReadMany, Refusal, Session, StoreError, StoredRecord,
    format::{self, FORMAT, unexpected},
};
use crate::{
    domain::{
        Customer, CustomerKey, Epoch, Partition, Partitions, Private, Revision,
        audit::{
            StoredAudit,
            archive::Old,
            chain::{ChainPage, Link},
            head::ChainHead,
            notes::{Notes, NotesPlace},
        },
    },
    telemetry::traces::DatabaseCall,
};

/// A store in Redis or Valkey.
#[derive(Clone, Debug)]
pub struct Redis {
    topology: Arc<Topology>,
    keys: Keys,
    commands: Commands,
    partitions: Arc<OnceLock<Partitions>>,
    /// Each partition's newest session. Fills read on its connection, so that they ask the very
    /// server that the feed follows.
    sessions: Arc<ArcSwap<BTreeMap<Partition, Reader>>>,
}

impl Redis {
    /// Prepares the adapter; nothing is sent yet.
    pub fn open(settings: &Settings) -> Result<Self, StoreError> {
        let topology = Arc::new(Topology::new(settings)?);
        Ok(Self {
            commands: Commands::new(Arc::clone(&topology)),
            keys: Keys::new(&settings.key_prefix, Channels::of(&topology)),
            topology,
            partitions: Arc::default(),
            sessions: Arc::default(),
        })
    }

    /// See [`super::Store::read`]. Reads on the session's connection, or not at all.
    pub async fn read(&self, key: &CustomerKey) -> Result<Read, StoreError> {
        let partition = self.partitions().of(key);
        let session = self.session_of(partition)?;
        let (meta, name) = (self.keys.meta(partition), self.keys.record(partition, key));
        // No transaction, which would take a right that can do more. The record is read after the
        // revision, so it is at least that new; and within one history, if that has not changed.
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        pipeline.cmd("HMGET").arg(&meta).arg(&["epoch", "rev"]);
        pipeline.cmd("GET").arg(&name);
        pipeline.cmd("HMGET").arg(&meta).arg(&["epoch"]);
        let asked: Answered<Filled> = session.ask(&pipeline).await?;
        let (head, record, after) = asked.map_err(|error| store_error(&error))?;
        let at_meta = |error: RedisError| self.topology.key_error(partition, &meta, &error);
        let (epoch, revision) = read_head(head.map_err(at_meta)?)?;
        let (after,) = after.map_err(at_meta)?;
        if after.as_deref() != Some(epoch.as_str()) {
            return Err(unexpected("another history than a moment ago"));
        }
        let record = match record {
            Ok(None) => StoredRecord::Absent,
            Ok(Some(json)) => format::read_record(key, &json),
            Err(error) if is_the_keys_fault(&error) => StoredRecord::Unreadable(error.to_string()),
            Err(error) => return Err(self.topology.error(partition, &error)),
        };
        Ok(Read { epoch, revision, record })
    }

    /// See [`super::Store::read_many`]. Reads on the session's connection, or not at all.
    pub async fn read_many(
        &self,
        partition: Partition,
        keys: &[CustomerKey],
    ) -> Result<ReadMany, StoreError> {
        let session = self.session_of(partition)?;
        let meta = self.keys.meta(partition);
        // Not a transaction, as in `read`: what was read while something was committed is of no use.
        let mut pipeline = redis::pipe();
        pipeline.cmd("HMGET").arg(&meta).arg(&["epoch", "rev"]);
        let records = pipeline.cmd("MGET");
        for key in keys {
            records.arg(self.keys.record(partition, key));
        }
        pipeline.cmd("HMGET").arg(&meta).arg(&["epoch", "rev"]);
        let answered: Answered<(MetaHead, Vec<Option<String>>, MetaHead)> =
            session.ask(&pipeline).await?;
        let (before, found, after) =
            answered.map_err(|error| self.topology.error(partition, &error))?;
        if before != after {
            return Err(StoreError::Unreachable("something was committed meanwhile".to_owned()));
        }
        let (epoch, revision) = read_head(before)?;
        let records = keys.iter().zip(found);
        let records = records.map(|(key, json)| Some(format::read_record(key, &json?)));
        Ok(ReadMany { epoch, revision, records: records.collect() })
    }

    /// See [`super::Store::customer_keys`]. Reads on the session's connection, or not at all.
    pub async fn customer_keys(
        &self,
        partition: Partition,
        after: Option<&str>,
        at_most: usize,
    ) -> Result<KeysPage, StoreError> {
        let session = self.session_of(partition)?;
        let (meta, index) = (self.keys.meta(partition), self.keys.customers(partition));
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        pipeline.cmd("HMGET").arg(&meta).arg(&["epoch", "rev"]);
        let low = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        pipeline.cmd("ZRANGEBYLEX").arg(&index).arg(low).arg("+");
        pipeline.arg("LIMIT").arg(0).arg(at_most);
        pipeline.cmd("HMGET").arg(&meta).arg(&["epoch", "rev"]);
        let answered: Answered<Named> = session.ask(&pipeline).await?;
        let (before, found, then) = answered.map_err(|error| store_error(&error))?;
        let at_meta = |error: RedisError| self.topology.key_error(partition, &meta, &error);
        let (epoch, _) = read_head(before.map_err(at_meta)?)?;
        if read_head(then.map_err(at_meta)?)?.0 != epoch {
            return Err(unexpected("another history than a moment ago"));
        }
        let found: Vec<String> =
            found.map_err(|error| self.topology.key_error(partition, &index, &error))?;
        let next = found.last().filter(|_| found.len() >= at_most).cloned();
        // What is no customer of ours has no record of ours.
        let keys = found.iter().filter_map(|key| CustomerKey::parse(key).ok()).collect();
        Ok(KeysPage { epoch, keys, next })
    }

    /// See [`super::Store::customer`].
    pub async fn customer(&self, key: &CustomerKey) -> Result<Option<Customer>, StoreError> {
        let mut found = self.customers_named(std::slice::from_ref(key)).await?;
        found.pop().map_or(Ok(None), |(key, record, private)| assemble(&key, record, private))
    }

    /// See [`super::Store::customers`].
    pub async fn customers(&self, page: &CustomerPage) -> Result<Vec<Customer>, StoreError> {
        let mut customers = Vec::with_capacity(page.limit);
        let mut rest = page.clone();
        // Those that cannot be read are left out, and others take their places.
        while rest.limit > 0 {
            let keys = self.keys_in(&rest).await?;
            for (key, record, private) in self.customers_named(&keys).await? {
                match assemble(&key, record, private) {
                    Ok(found) => customers.extend(found),
                    Err(error) => {
                        tracing::warn!(customer.id = %key, %error, "A customer cannot be listed");
                    }
                }
            }
            if keys.len() < rest.limit {
                break;
            }
            rest.after = keys.last().map(CustomerKey::to_string);
            rest.limit = page.limit.saturating_sub(customers.len());
        }
        Ok(customers)
    }

    /// See [`super::Store::count_customers`].
    pub async fn count_customers(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        for partition in self.partitions().all() {
            let command = redis::Cmd::zcard(self.keys.customers(partition));
            count += self.commands.ask::<u64>(partition, &command).await?;
        }
        Ok(count)
    }

    /// See [`super::Store::audit`].
    pub async fn audit(&self, page: &AuditPage) -> Result<Vec<StoredAudit>, StoreError> {
        let streams: Vec<_> = match &page.customer {
            Some(key) => {
                let partition = self.partitions().of(key);
                vec![(partition, self.keys.customer_audit(partition, key))]
            }
            None => self.partitions().all().map(|it| (it, self.keys.audit(it))).collect(),
        };
        let mut entries = Vec::new();
        for (partition, stream) in streams {
            let before = match &page.before {
                None => "+".to_owned(),
                Some(last) if partition <= last.partition => format!("({}", last.id),
                Some(last) => last.id.clone(),
            };
            let mut command = redis::cmd("XREVRANGE");
            command.arg(stream).arg(before).arg("-").arg("COUNT").arg(page.limit);
            let found: Vec<(String, AuditFields)> = self.commands.ask(partition, &command).await?;
            let places = found.iter().map(|(_, fields)| NotesPlace::of(fields.get("entry")?));
            let notes = self.notes(partition, places.collect()).await?;
            for ((id, fields), notes) in found.into_iter().zip(notes) {
                let mut stored = read_audit(partition, id, &fields)?;
                stored.entry.notes = notes.map(|it| it.text().to_owned()).or(stored.entry.notes);
                entries.push(stored);
            }
        }
        let newest_first = |entry: &StoredAudit| std::cmp::Reverse(format::id_order(&entry.id));
        entries.sort_by_key(|entry| (newest_first(entry), entry.partition));
        entries.truncate(page.limit);
        Ok(entries)
    }

    /// What is kept at each of `places`.
    async fn notes(
        &self,
        partition: Partition,
        places: Vec<Option<NotesPlace>>,
    ) -> Result<Vec<Option<Notes>>, StoreError> {
        let mut pipeline = redis::pipe();
        for NotesPlace { customer, digest } in places.iter().flatten() {
            pipeline.hget(self.keys.notes(partition, customer), digest);
        }
        if pipeline.is_empty() {
            return Ok(vec![None; places.len()]);
        }
        let kept: Vec<Option<String>> = self.commands.ask(partition, &pipeline).await?;
        let mut kept = kept.into_iter();
        let notes = places.iter().map(|place| place.as_ref().and_then(|_| kept.next().flatten()));
        Ok(notes.map(|kept| kept.map(Notes::kept)).collect())
    }

    /// See [`super::Store::audit_chain`].
    pub async fn audit_chain(
        &self,
        partition: Partition,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChainPage, StoreError> {
        let after = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut pipeline = redis::pipe();
        // First, so that the entry it is of is there when the entries are read.
        pipeline.cmd("HMGET").arg(self.keys.meta(partition)).arg(&["chain"]);
        let entries = pipeline.cmd("XRANGE").arg(self.keys.audit(partition)).arg(after).arg("+");
        entries.arg("COUNT").arg(limit + 1);
        let ((head,), found): ((Option<String>,), Vec<(String, LinkFields)>) =
            self.commands.ask(partition, &pipeline).await?;
        let has_more = found.len() > limit;
        let links = found.into_iter().take(limit).map(|(id, fields)| read_link(id, &fields));
        let mut links: Vec<_> = links.collect();
        let places = links.iter().map(|link| NotesPlace::of(&link.entry)).collect();
        for (link, notes) in links.iter_mut().zip(self.notes(partition, places).await?) {
            link.notes = notes.map(|notes| notes.as_kept().to_owned());
        }
        Ok(ChainPage { head: head.unwrap_or_default(), links, has_more })
    }

    /// See [`super::Store::take_out_audit`].
    pub async fn take_out_audit(
        &self,
        partition: Partition,
        epoch: &Epoch,
        old: &Old,
    ) -> Result<bool, StoreError> {
        let invocation = script::take_out_audit(&self.keys, partition, epoch, old);
        self.commands.ask(partition, &invocation).await
    }

    /// See [`super::Store::audit_archived_to`].
    pub async fn audit_archived_to(
        &self,
        partition: Partition,
    ) -> Result<Option<String>, StoreError> {
        let command = redis::Cmd::hget(self.keys.meta(partition), "archived");
        self.commands.ask(partition, &command).await
    }

    /// See [`super::Store::audit_head`].
    pub async fn audit_head(&self, partition: Partition) -> Result<Option<ChainHead>, StoreError> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(self.keys.audit(partition)).arg("+").arg("-").arg("COUNT").arg(1);
        let found: Vec<(String, LinkFields)> = self.commands.ask(partition, &command).await?;
        let newest = found.into_iter().next().map(|(id, fields)| read_link(id, &fields));
        let Partition(partition) = partition;
        Ok(newest.map(|Link { id, chain, .. }| ChainHead { partition, id, chain }))
    }

    /// See [`super::Store::commit`]. It is sent once: a connection that breaks leaves it open
    /// whether it happened, and somebody else may have acted on it since.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let partition = commit.partition(self.partitions());
        let invocation = script::commit(&self.keys, partition, &commit)?;
        let reply: Vec<String> = self.commands.ask(partition, &invocation).await?;
        script::read_commit_reply(&reply)
    }

    /// See [`super::Store::foreign_writers`].
    #[must_use]
    pub fn foreign_writers(&self, channel: &str) -> ForeignWriters {
        ForeignWriters::new(Arc::clone(&self.topology), self.commands.clone(), channel)
    }

    /// See [`super::Store::hold_lease`].
    pub async fn hold_lease(
        &self,
        lease: Lease,
        holder: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let (key, meta) = (self.keys.lease(lease), self.keys.meta(lease.partition()));
        let invocation = lease::hold(key, meta, holder, ttl);
        self.commands.ask(lease.partition(), &invocation).await
    }

    /// See [`super::Store::release_lease`].
    pub async fn release_lease(&self, lease: Lease, holder: &str) -> Result<(), StoreError> {
        let invocation = lease::release(self.keys.lease(lease), holder);
        self.commands.ask(lease.partition(), &invocation).await
    }

    /// See [`super::Store::eviction_policy`].
    pub async fn eviction_policy(&self) -> Result<Option<String>, StoreError> {
        let mut command = redis::cmd("INFO");
        command.arg("memory");
        for node in self.commands.nodes().await? {
            let told: String = match self.commands.ask_node(&node, &command).await {
                Err(StoreError::Refused(Refusal { about: Concern::Rights, .. })) => {
                    return Ok(None);
                }
                told => told?,
            };
            let policy = told.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
            let policy = policy.ok_or_else(|| unexpected("a server without a maxmemory_policy"))?;
            if policy != "noeviction" {
                return Ok(Some(policy.to_owned()));
            }
        }
        Ok(None)
    }

    /// See [`super::Store::open_session`].
    pub async fn open_session(&self, partitions: &[Partition]) -> Result<Session, StoreError> {
        session::open(&self.topology, &self.keys, partitions).await
    }

    /// See [`super::Store::read_on`].
    pub fn read_on(&self, partitions: &[Partition], reader: &Reader) {
        self.sessions.rcu(|sessions| {
            let mut sessions = BTreeMap::clone(sessions);
            sessions.extend(partitions.iter().map(|it| (*it, reader.clone())));
            sessions
        });
    }

    /// See [`super::Store::forget_session`].
    pub fn forget_session(&self, partitions: &[Partition]) {
        self.sessions.rcu(|sessions| {
            let mut sessions = BTreeMap::clone(sessions);
            sessions.retain(|partition, _| !partitions.contains(partition));
            sessions
        });
    }

    /// See [`super::Store::by_node`].
    pub async fn by_node(
        &self,
        partitions: &[Partition],
    ) -> Result<Vec<Vec<Partition>>, StoreError> {
        self.topology.by_node(partitions).await
    }

    /// See [`super::Store::usual_partitions`].
    #[must_use]
    pub fn usual_partitions(&self) -> Partitions {
        self.topology.usual_partitions()
    }

    /// See [`super::Store::partitions`].
    #[must_use]
    pub fn partitions(&self) -> Partitions {
        self.partitions.get().copied().unwrap_or(Partitions::ONE)
    }

    /// See [`super::Store::lay_out`].
    pub fn lay_out(&self, partitions: Partitions) {
        self.partitions.get_or_init(|| partitions);
    }

    /// The partition's newest session.
    fn session_of(&self, partition: Partition) -> Result<Reader, StoreError> {
        let session = self.sessions.load().get(&partition).cloned();
        session.ok_or_else(|| StoreError::Unreachable("there is no session".to_owned()))
    }

    /// The keys of one page, of all partitions together.
    async fn keys_in(&self, page: &CustomerPage) -> Result<Vec<CustomerKey>, StoreError> {
        let mut keys = Vec::new();
        for partition in self.partitions().all() {
            keys.extend(self.keys_of(partition, page).await?);
        }
        keys.sort_by(|a, b| match page.direction {
            Direction::Ascending => a.cmp(b),
            Direction::Descending => b.cmp(a),
        });
        keys.truncate(page.limit);
        Ok(keys)
    }

    async fn keys_of(
        &self,
        partition: Partition,
        page: &CustomerPage,
    ) -> Result<Vec<CustomerKey>, StoreError> {
        let index = match page.among {
            Among::All => self.keys.customers(partition),
            Among::Restricted => self.keys.restricted_index(partition),
        };
        // Every key is ASCII, so this is above all that begin with the prefix.
        let above = format!("{}\x7f", page.prefix);
        // A cursor outside the prefix bounds the page no further.
        let bounds = |key: &&String| match page.direction {
            Direction::Ascending => key.as_str() >= page.prefix.as_str(),
            Direction::Descending => key.as_str() < above.as_str(),
        };
        let after = page.after.as_ref().filter(bounds).map(|key| format!("({key}"));
        let (low, high) = (format!("[{}", page.prefix), format!("({above}"));
        let mut command = match page.direction {
            Direction::Ascending => {
                let mut command = redis::cmd("ZRANGEBYLEX");
                command.arg(index).arg(after.unwrap_or(low)).arg(high);
                command
            }
            Direction::Descending => {
                let mut command = redis::cmd("ZREVRANGEBYLEX");
                command.arg(index).arg(after.unwrap_or(high)).arg(low);
                command
            }
        };
        command.arg("LIMIT").arg(0).arg(page.limit);
        let found: Vec<String> = self.commands.ask(partition, &command).await?;
        found.iter().map(|key| CustomerKey::parse(key).map_err(unexpected)).collect()
    }

    async fn customers_named(&self, keys: &[CustomerKey]) -> Result<Vec<Stored>, StoreError> {
        let mut stored = BTreeMap::new();
        for partition in self.partitions().all() {
            let theirs = keys.iter().filter(|key| self.partitions().of(*key) == partition);
            let theirs: Vec<_> = theirs.cloned().collect();
            for (key, record, private) in self.customers_in(partition, theirs).await? {
                stored.insert(key, (record, private));
            }
        }
        let named = keys.iter().filter_map(|key| stored.remove_entry(key));
        Ok(named.map(|(key, (record, private))| (key, record, private)).collect())
    }

    async fn customers_in(
        &self,
        partition: Partition,
        keys: Vec<CustomerKey>,
    ) -> Result<Vec<Stored>, StoreError> {
        if keys.is_empty() {
            // An empty pipeline is an error.
            return Ok(Vec::new());
        }
        let both = |key: &CustomerKey| {
            [self.keys.record(partition, key), self.keys.private(partition, key)]
        };
        let commands: Vec<_> = keys.iter().flat_map(both).map(redis::Cmd::get).collect();
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for command in &commands {
            pipeline.add_command(command.clone());
        }
        let answers: Vec<Answered<Option<String>>> =
            self.commands.ask(partition, &pipeline).await?;
        let mut found = Vec::with_capacity(commands.len());
        for (command, answer) in commands.iter().zip(answers) {
            found.push(match answer {
                Err(error) if is_the_keys_fault(&error) => Err(error),
                // Some may be on their way to another node, or there already.
                Err(error) if error.is_cluster_error() => {
                    Ok(self.commands.ask(partition, command).await?)
                }
                Err(error) => return Err(self.topology.error(partition, &error)),
                Ok(text) => Ok(text),
            });
        }
        let mut found = found.into_iter();
        let mut of = |key| Some((key, found.next()?, found.next()?));
        Ok(keys.into_iter().map_while(&mut of).collect())
    }
}

type MetaHead = (Option<String>, Option<u64>);
type Answered<T> = Result<T, RedisError>;
type Filled = (Answered<MetaHead>, Answered<Option<String>>, Answered<(Option<String>,)>);
type Named = (Answered<MetaHead>, Answered<Vec<String>>, Answered<MetaHead>);
type Stored = (CustomerKey, Answered<Option<String>>, Answered<Option<String>>);
type AuditFields = std::collections::HashMap<String, String>;
/// Bytes, since nobody knows what somebody wrote there by hand.
type LinkFields = std::collections::HashMap<Vec<u8>, Vec<u8>>;

fn read_head(head: MetaHead) -> Result<(Epoch, Revision), StoreError> {
    let (Some(epoch), Some(revision)) = head else {
        return Err(unexpected("a store without a history"));
    };
    Ok((Epoch::parse(&epoch).map_err(unexpected)?, Revision(revision)))
}

/// Whether the server answered, and what is at the key is not what it should be.
fn is_the_keys_fault(error: &RedisError) -> bool {
    error.code() == Some("WRONGTYPE") || error.kind() == redis::ErrorKind::UnexpectedReturnType
}

fn assemble(
    key: &CustomerKey,
    record: Answered<Option<String>>,
    private: Answered<Option<String>>,
) -> Result<Option<Customer>, StoreError> {
    let Some(record) = record.map_err(|error| store_error(&error))? else { return Ok(None) };
    let record = match format::read_record(key, &record) {
        StoredRecord::Known(record) => record,
        StoredRecord::Absent => return Ok(None),
        StoredRecord::Unreadable(why) => return Err(unexpected(format!("{key}: {why}"))),
    };
    let private = match private.map_err(|error| store_error(&error))? {
        Some(json) => serde_json::from_str(&json).map_err(|error| {
            format::malformed(format_args!("the private part of {key}"), &error)
        })?,
        None => Private::default(),
    };
    Ok(Some(Customer { record, private }))
}

fn read_audit(
    partition: Partition,
    id: String,
    fields: &AuditFields,
) -> Result<StoredAudit, StoreError> {
    let field =
        |name: &str| fields.get(name).ok_or_else(|| unexpected(format!("audit entry {id}")));
    Ok(StoredAudit {
        partition,
        revision: Revision(field("rev")?.parse().map_err(unexpected)?),
        entry: serde_json::from_str(field("entry")?)
            .map_err(|error| format::malformed(format_args!("audit entry {id}"), &error))?,
        chain: field("chain")?.clone(),
        id,
    })
}

/// An entry as it is held, also one that nobody could read. What is missing is empty.
fn read_link(id: String, fields: &LinkFields) -> Link {
    let field = |name: &str| {
        let held = fields.get(name.as_bytes()).map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(held).into_owned()
    };
    Link {
        revision: field("rev"),
        millis: field("ms"),
        entry: field("entry"),
        chain: field("chain"),
        notes: None,
        id,
    }
}

/// Refuses a store that a newer Tollgate wrote.
fn check_format(found: u64) -> Result<(), StoreError> {
    if found > FORMAT { Err(StoreError::NewerFormat { found, known: FORMAT }) } else { Ok(()) }
}

/// What [`Redis::read`] sends, as it is told of in traces.
pub(super) const READ_CALL: DatabaseCall =
    DatabaseCall { system: "redis", operation: "PIPELINE", batch: 3 };
