//! Records in Redis or Valkey. Only the script writes.

mod connection;
pub mod inbox;
mod keys;
mod lease;
mod script;
pub mod session;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use redis::{Client, RedisError, aio::MultiplexedConnection};

use self::{
    connection::{Lazy, store_error},
    inbox::ForeignWriters,
    keys::Keys,
};
use super::{
    Among, AuditPage, Commit, CommitError, Committed, CreateError, CustomerPage, Direction, Lease,
    PARTITIONS, Read, Session, StoreError, StoredRecord,
    format::{self, FORMAT, unexpected},
};
use crate::domain::{
    Customer, CustomerKey, Epoch, Partition, Private, Revision, audit::StoredAudit,
};

/// One Redis or Valkey server.
#[derive(Clone, Debug)]
pub struct Redis {
    client: Arc<Client>,
    keys: Keys,
    commands: Lazy,
    /// The connection of the newest session. Fills read on it, so that they ask the very server
    /// that the feed follows.
    session: Arc<ArcSwapOption<MultiplexedConnection>>,
}

impl Redis {
    /// Prepares the adapter for the server at `url`; nothing is sent yet. `password` stands in
    /// for one that `url` does not carry.
    pub fn open(url: &str, password: Option<&str>, key_prefix: &str) -> Result<Self, StoreError> {
        let client = Arc::new(connection::client(url, password)?);
        Ok(Self {
            commands: Lazy::new(Arc::clone(&client)),
            client,
            keys: Keys::new(key_prefix),
            session: Arc::default(),
        })
    }

    /// See [`super::Store::read`]. Reads on the session's connection, or not at all.
    pub async fn read(&self, key: &CustomerKey) -> Result<Read, StoreError> {
        let session = self.session.load_full();
        let no_session = || StoreError::Unreachable("there is no session".to_owned());
        let mut connection = (*session.ok_or_else(no_session)?).clone();
        let partition = key.partition(PARTITIONS);
        let mut transaction = redis::pipe();
        transaction.atomic().ignore_errors();
        transaction.cmd("HMGET").arg(self.keys.meta(partition)).arg(&["epoch", "rev"]);
        transaction.cmd("GET").arg(self.keys.record(partition, key));
        let (head, record): (Answered<MetaHead>, Answered<Option<String>>) =
            transaction.query_async(&mut connection).await.map_err(|error| store_error(&error))?;
        let (epoch, revision) = head.map_err(|error| store_error(&error))?;
        let (Some(epoch), Some(revision)) = (epoch, revision) else {
            return Err(unexpected("a store without a history"));
        };
        let record = match record {
            Ok(None) => StoredRecord::Absent,
            Ok(Some(json)) => format::read_record(key, &json),
            Err(error) if is_the_keys_fault(&error) => StoredRecord::Unreadable(error.to_string()),
            Err(error) => return Err(store_error(&error)),
        };
        let epoch = Epoch::parse(&epoch).map_err(unexpected)?;
        Ok(Read { epoch, revision: Revision(revision), record })
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
        for partition in partitions() {
            let command = redis::Cmd::zcard(self.keys.customers(partition));
            count += self.commands.ask::<u64>(&command).await?;
        }
        Ok(count)
    }

    /// See [`super::Store::audit`].
    pub async fn audit(&self, page: &AuditPage) -> Result<Vec<StoredAudit>, StoreError> {
        let streams: Vec<_> = match &page.customer {
            Some(key) => vec![self.keys.customer_audit(key.partition(PARTITIONS), key)],
            None => partitions().map(|partition| self.keys.audit(partition)).collect(),
        };
        let before = page.before.as_ref().map_or_else(|| "+".to_owned(), |id| format!("({id}"));
        let mut entries = Vec::new();
        for stream in streams {
            let mut command = redis::cmd("XREVRANGE");
            command.arg(stream).arg(&before).arg("-").arg("COUNT").arg(page.limit);
            let found: Vec<(String, AuditFields)> = self.commands.ask(&command).await?;
            for (id, fields) in found {
                entries.push(read_audit(id, &fields)?);
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(format::id_order(&entry.id)));
        entries.truncate(page.limit);
        Ok(entries)
    }

    /// See [`super::Store::commit`]. It is sent once: a connection that breaks leaves it open
    /// whether it happened, and somebody else may have acted on it since.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let invocation = script::commit(&self.keys, &commit)?;
        let reply: Vec<String> = self.commands.ask(&invocation).await?;
        script::read_commit_reply(&reply)
    }

    /// See [`super::Store::create`].
    pub async fn create(&self, epoch: &Epoch) -> Result<(), CreateError> {
        if self.holds_any_key().await? && !self.has_history().await? {
            return Err(CreateError::NotEmpty);
        }
        for partition in partitions().rev() {
            let invocation = script::create(&self.keys, partition, epoch);
            let reply: Vec<String> = self.commands.ask(&invocation).await?;
            script::read_create_reply(&reply)?;
        }
        Ok(())
    }

    /// See [`super::Store::foreign_writers`].
    #[must_use]
    pub fn foreign_writers(&self, channel: &str) -> ForeignWriters {
        ForeignWriters::new(Arc::clone(&self.client), self.commands.clone(), channel)
    }

    /// See [`super::Store::hold_lease`].
    pub async fn hold_lease(
        &self,
        lease: Lease,
        holder: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let partition = match lease {
            Lease::Ingest => Partition(0),
            Lease::Recovery(partition) => partition,
        };
        let (key, meta) = (self.keys.lease(lease), self.keys.meta(partition));
        self.commands.ask(&lease::hold(key, meta, holder, ttl)).await
    }

    /// See [`super::Store::release_lease`].
    pub async fn release_lease(&self, lease: Lease, holder: &str) -> Result<(), StoreError> {
        self.commands.ask(&lease::release(self.keys.lease(lease), holder)).await
    }

    /// See [`super::Store::open_session`].
    pub async fn open_session(&self) -> Result<Session, StoreError> {
        let session = session::open(&self.client, &self.keys).await?;
        if let super::SessionReader::Redis(reader) = &session.reader {
            self.session.store(Some(Arc::new(reader.connection())));
        }
        Ok(session)
    }

    /// See [`super::Store::forget_session`].
    pub fn forget_session(&self) {
        self.session.store(None);
    }

    async fn has_history(&self) -> Result<bool, StoreError> {
        let meta = self.keys.meta(Partition(0));
        let command = redis::Cmd::exists(meta);
        self.commands.ask(&command).await
    }

    async fn holds_any_key(&self) -> Result<bool, StoreError> {
        let pattern = format!("{}*", self.keys.any());
        let mut cursor = "0".to_owned();
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
            let (next, found): (String, Vec<String>) = self.commands.ask(&command).await?;
            if !found.is_empty() {
                return Ok(true);
            }
            if next == "0" {
                return Ok(false);
            }
            cursor = next;
        }
    }

    /// The keys of one page, of all partitions together.
    async fn keys_in(&self, page: &CustomerPage) -> Result<Vec<CustomerKey>, StoreError> {
        let mut keys = Vec::new();
        for partition in partitions() {
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
        let found: Vec<String> = self.commands.ask(&command).await?;
        found.iter().map(|key| CustomerKey::parse(key).map_err(unexpected)).collect()
    }

    async fn customers_named(&self, keys: &[CustomerKey]) -> Result<Vec<Stored>, StoreError> {
        if keys.is_empty() {
            // An empty pipeline is an error.
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for key in keys {
            let partition = key.partition(PARTITIONS);
            pipeline.cmd("GET").arg(self.keys.record(partition, key));
            pipeline.cmd("GET").arg(self.keys.private(partition, key));
        }
        let answers: Vec<Answered<Option<String>>> = self.commands.ask(&pipeline).await?;
        let mut stored = Vec::with_capacity(keys.len());
        let mut answers = answers.into_iter();
        for key in keys {
            let (Some(record), Some(private)) = (answers.next(), answers.next()) else { break };
            stored.push((key.clone(), record, private));
        }
        Ok(stored)
    }
}

type MetaHead = (Option<String>, Option<u64>);
type Answered<T> = Result<T, RedisError>;
type Stored = (CustomerKey, Answered<Option<String>>, Answered<Option<String>>);
type AuditFields = std::collections::HashMap<String, String>;

fn partitions() -> impl DoubleEndedIterator<Item = Partition> {
    (0..PARTITIONS).map(Partition)
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

fn read_audit(id: String, fields: &AuditFields) -> Result<StoredAudit, StoreError> {
    let field =
        |name: &str| fields.get(name).ok_or_else(|| unexpected(format!("audit entry {id}")));
    Ok(StoredAudit {
        revision: Revision(field("rev")?.parse().map_err(unexpected)?),
        entry: serde_json::from_str(field("entry")?)
            .map_err(|error| format::malformed(format_args!("audit entry {id}"), &error))?,
        chain: field("chain")?.clone(),
        id,
    })
}

/// Refuses a store that a newer Tollgate wrote.
fn check_format(found: u64) -> Result<(), StoreError> {
    if found > FORMAT { Err(StoreError::NewerFormat { found, known: FORMAT }) } else { Ok(()) }
}
