//! A session: one connection that is subscribed first, and answers reads in order with what it
//! is sent unasked.
//!
//! Neither `ConnectionManager` nor `get_async_pubsub` will do: the first stays dead for ever
//! after 15 s of outage and re-attaches to a stale master over Sentinel, the second hangs for
//! ever on a hung server (each was observed with redis-rs 1.8).

use std::collections::HashMap;

use parking_lot::Mutex;
use redis::{
    FromRedisValue as _, PushInfo, PushKind,
    aio::{MultiplexedConnection, SendError},
};
use tokio::sync::mpsc;

use super::{
    super::{
        Census, Head, Push, RestrictedPage, Session, SessionReader, StoreError, Tally,
        format::{self, unexpected},
    },
    check_format,
    keys::Keys,
    refusal::{key_error, store_error},
    role::check_master,
    topology::Topology,
};
use crate::domain::{Change, Epoch, Lineage, Partition, Revision, Subject};

/// Connects to the master of `partitions`, subscribes to them, and makes sure that their keys can be
/// read: what cannot be followed is better told now, and once.
pub(super) async fn open(
    topology: &Topology,
    keys: &Keys,
    partitions: &[Partition],
) -> Result<Session, StoreError> {
    let mut heard = None;
    let first = partitions.first().copied().unwrap_or_default();
    let connected = topology.connect(first, || {
        let (sender, pushes) = mpsc::channel(PUSHES_HELD);
        heard = Some(pushes);
        let ear = Ear { keys: keys.clone(), sender: Mutex::new(Some(sender)) };
        move |push| ear.hear(&push)
    });
    let mut connection = connected.await?;
    let pushes = heard.ok_or_else(|| unexpected("a connection that hears nothing"))?;
    for partition in partitions {
        let subscribed = connection.subscribe(keys.channel(*partition)).await;
        subscribed.map_err(|error| store_error(&error))?;
    }
    let reader = Reader { connection, keys: keys.clone() };
    for partition in partitions {
        reader.read_each_key(*partition).await?;
    }
    Ok(Session { pushes, reader: SessionReader::Redis(reader) })
}

type Answered<T> = Result<T, redis::RedisError>;
type HeadFields = Answered<Vec<Option<String>>>;

/// The reads of a session.
#[derive(Clone, Debug)]
pub struct Reader {
    connection: MultiplexedConnection,
    keys: Keys,
}

impl Reader {
    /// See [`SessionReader::heads`].
    pub async fn heads(&self, partitions: &[Partition]) -> Result<Vec<Option<Head>>, StoreError> {
        let mut connection = self.connection.clone();
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        pipeline.cmd("ROLE");
        for partition in partitions {
            pipeline.cmd("HMGET").arg(self.keys.meta(*partition)).arg(HEAD_FIELDS);
        }
        let answered = pipeline.query_async(&mut connection).await;
        let answered: Vec<Answered<redis::Value>> =
            answered.map_err(|error| store_error(&error))?;
        let mut answered = answered.into_iter();
        check_master(answered.next().unwrap_or(Ok(redis::Value::Nil)))?;
        let fields = partitions.iter().zip(answered);
        fields
            .map(|(partition, fields)| {
                let fields = fields.and_then(|fields| Ok(Vec::from_redis_value(fields)?));
                let meta = self.keys.meta(*partition);
                read_head(fields.map_err(|error| key_error(&meta, &error))?)
            })
            .collect()
    }

    /// See [`SessionReader::tally`].
    pub async fn tally(&self, partition: Partition) -> Result<Option<Tally>, StoreError> {
        let mut connection = self.connection.clone();
        let meta = self.keys.meta(partition);
        // No transaction, which would take one more right.
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        pipeline.cmd("HMGET").arg(&meta).arg(HEAD_FIELDS);
        pipeline.cmd("HLEN").arg(self.keys.restricted(partition));
        pipeline.cmd("HMGET").arg(&meta).arg(HEAD_FIELDS);
        let answered = pipeline.query_async(&mut connection).await;
        let (before, length, after): (HeadFields, Answered<u64>, HeadFields) =
            answered.map_err(|error| store_error(&error))?;
        let read = |fields: HeadFields| read_head(fields.map_err(|error| store_error(&error))?);
        let (before, after) = (read(before)?, read(after)?);
        let held = match length {
            // Something else is in its place.
            Err(error) if error.code() == Some("WRONGTYPE") => 0,
            length => length.map_err(|error| store_error(&error))?,
        };
        let unchanged = after.filter(|after| before.as_ref() == Some(after));
        Ok(unchanged.map(|head| Tally { head, held }))
    }

    /// See [`SessionReader::restricted_page`].
    pub async fn restricted_page(
        &self,
        partition: Partition,
        from: Option<&str>,
    ) -> Result<RestrictedPage, StoreError> {
        let mut connection = self.connection.clone();
        let key = self.keys.restricted(partition);
        let (next, found): (String, Vec<(String, String)>) = redis::cmd("HSCAN")
            .arg(&key)
            .arg(from.unwrap_or("0"))
            .arg("COUNT")
            .arg(PAGE)
            .query_async(&mut connection)
            .await
            .map_err(|error| key_error(&key, &error))?;
        // What is no entry of ours is left out; the census tells whether one of ours was lost.
        let entries = found.iter().filter_map(|(key, value)| {
            let entry = format::read_restricted(key, value);
            entry.inspect_err(|error| tracing::warn!(%error, "Not an entry: {error}")).ok()
        });
        let entries = entries.collect();
        Ok(RestrictedPage { entries, next: Some(next).filter(|next| next != "0") })
    }

    /// See [`SessionReader::log`].
    pub async fn log(
        &self,
        partition: Partition,
        from: &str,
        count: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let mut connection = self.connection.clone();
        let page = log_page(&self.keys, partition, from, count);
        let found = page.query_async(&mut connection).await;
        Ok(read_log(found.map_err(|error| key_error(&self.keys.log(partition), &error))?))
    }

    /// See [`SessionReader::keys`].
    pub async fn keys(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut connection = self.connection.clone();
        let key = self.keys.operators();
        let command = redis::Cmd::hgetall(&key);
        command.query_async(&mut connection).await.map_err(|error| key_error(&key, &error))
    }

    /// See [`SessionReader::sources`].
    pub async fn sources(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut connection = self.connection.clone();
        let key = self.keys.guard();
        let command = redis::Cmd::hgetall(&key);
        command.query_async(&mut connection).await.map_err(|error| key_error(&key, &error))
    }

    /// Reads a little of each of the partition's keys that a session needs.
    async fn read_each_key(&self, partition: Partition) -> Result<(), StoreError> {
        let log = self.keys.log(partition);
        let mut hashes = vec![self.keys.meta(partition), self.keys.restricted(partition)];
        if partition == Partition(0) {
            hashes.push(self.keys.operators());
        }
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        pipeline.cmd("XRANGE").arg(&log).arg("-").arg("+").arg("COUNT").arg(1);
        for hash in &hashes {
            pipeline.cmd("HMGET").arg(hash).arg("epoch");
        }
        let mut connection = self.connection.clone();
        let answered = pipeline.query_async(&mut connection).await;
        let answers: Vec<Answered<redis::Value>> = answered.map_err(|error| store_error(&error))?;
        for (key, answer) in std::iter::once(&log).chain(&hashes).zip(answers) {
            answer.map_err(|error| key_error(key, &error))?;
        }
        Ok(())
    }

    /// The connection, for fills.
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }
}

/// Asks for a page of the log; from the oldest entry on when `from` is empty.
pub(super) fn log_page(keys: &Keys, partition: Partition, from: &str, count: usize) -> redis::Cmd {
    let mut command = redis::cmd("XRANGE");
    command.arg(keys.log(partition)).arg(if from.is_empty() { "-" } else { from }).arg("+");
    command.arg("COUNT").arg(count);
    command
}

pub(super) type LogPage = Vec<(String, HashMap<String, String>)>;

/// An entry without a revision is not ours; the revisions tell whether one of ours is gone.
pub(super) fn read_log(found: LogPage) -> Vec<Change> {
    let change = |(log_id, fields): (String, HashMap<String, String>)| {
        let revision = Revision(fields.get("rev")?.parse().ok()?);
        Some(Change { revision, log_id, subject: Subject::from_log(fields.get("change")?) })
    };
    found.into_iter().filter_map(change).collect()
}

/// Turns what the server sends unasked into pushes. Ends the session when it cannot: a change
/// that is not passed on must be caught up with, never skipped.
struct Ear {
    keys: Keys,
    sender: Mutex<Option<mpsc::Sender<Push>>>,
}

impl Ear {
    fn hear(&self, push: &PushInfo) -> Result<(), SendError> {
        if push.kind == PushKind::Disconnection {
            self.sender.lock().take();
        }
        // What is no change of ours leaves a gap in the revisions, if it was one.
        let Some(push) = self.read(push) else { return Ok(()) };
        let mut sender = self.sender.lock();
        if sender.as_ref().is_none_or(|sender| sender.try_send(push).is_err()) {
            sender.take();
            return Err(SendError);
        }
        Ok(())
    }

    fn read(&self, push: &PushInfo) -> Option<Push> {
        if push.kind != PushKind::Message {
            return None;
        }
        let [channel, payload] = push.data.as_slice() else { return None };
        let channel = String::from_redis_value_ref(channel).ok()?;
        let payload = String::from_redis_value_ref(payload).ok()?;
        let mut parts = payload.splitn(5, ' ');
        let (epoch, follows) = (parts.next()?, parts.next()?);
        let (log_id, revision, line) = (parts.next()?, parts.next()?, parts.next()?);
        let change = Change {
            revision: Revision(revision.parse().ok()?),
            log_id: log_id.to_owned(),
            subject: Subject::from_log(line),
        };
        Some(Push {
            partition: self.keys.partition_of_channel(&channel)?,
            epoch: Epoch::parse(epoch).ok()?,
            follows: follows.to_owned(),
            change,
        })
    }
}

fn read_head(fields: Vec<Option<String>>) -> Result<Option<Head>, StoreError> {
    let fields: Result<[Option<String>; HEAD_FIELDS.len()], _> = fields.try_into();
    let [epoch, revision, log_id, count, digest, format, partitions, created, previous, partial] =
        fields.map_err(|_| unexpected("an incomplete meta"))?;
    let Some(epoch) = epoch else { return Ok(None) };
    let number = |field: Option<String>| -> Result<u64, StoreError> {
        field.unwrap_or_default().parse().map_err(unexpected)
    };
    check_format(number(format)?)?;
    let created = Epoch::parse(&created.unwrap_or_default()).map_err(unexpected)?;
    let digest = u64::from_str_radix(&digest.unwrap_or_default(), 16).map_err(unexpected)?;
    Ok(Some(Head {
        partitions: partitions.unwrap_or_default().parse().map_err(unexpected)?,
        epoch: Epoch::parse(&epoch).map_err(unexpected)?,
        revision: Revision(number(revision)?),
        log_id: log_id.unwrap_or_default(),
        restricted: Census { count: number(count)?, digest },
        lineage: Lineage::parse(created, &previous.unwrap_or_default()).map_err(unexpected)?,
        partial: partial.as_deref() == Some("1"),
    }))
}

const HEAD_FIELDS: &[&str; 10] = &[
    "epoch",
    "rev",
    "sid",
    "restricted_count",
    "restricted_digest",
    "format",
    "partitions",
    "created",
    "previous",
    "partial",
];
/// Never one big reply: it would hold up everybody else's.
const PAGE: usize = 1000;
/// More than this waiting means that this instance does not keep up; it catches up from the log.
const PUSHES_HELD: usize = 8192;
