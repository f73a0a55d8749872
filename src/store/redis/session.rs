//! A session: one connection that is subscribed first, and answers reads in order with what it
//! is sent unasked.
//!
//! Neither `ConnectionManager` nor `get_async_pubsub` will do: the first stays dead for ever
//! after 15 s of outage and re-attaches to a stale master over Sentinel, the second hangs for
//! ever on a hung server (each was observed with redis-rs 1.8).

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use redis::{
    FromRedisValue, PushInfo, PushKind, RedisError,
    aio::{MultiplexedConnection, SendError},
};
use tokio::sync::mpsc;

use super::{
    super::{
        Census, Concern, Head, Push, Refusal, RestrictedPage, Session, SessionReader, StoreError,
        Tally,
        format::{self, unexpected},
    },
    check_format,
    connection::Question,
    keys::{Channels, Keys},
    refusal::store_error,
    role::check_master,
    topology::Topology,
};
use crate::domain::{Change, Epoch, Lineage, Partition, Revision, Subject};

/// Connects to the master of `partitions`, subscribes to them, and makes sure that their keys can be
/// read: what cannot be followed is better told now, and once.
pub(super) async fn open(
    topology: &Arc<Topology>,
    keys: &Keys,
    partitions: &[Partition],
) -> Result<Session, StoreError> {
    let mut heard = None;
    let first = partitions.first().copied().unwrap_or_default();
    let node = topology.node_of(first).await?;
    let connected = topology.connect(&node, || {
        let (sender, pushes) = mpsc::channel(PUSHES_HELD);
        let severed = Arc::default();
        heard = Some((pushes, Arc::clone(&severed)));
        let ear = Ear { keys: keys.clone(), sender: Mutex::new(Some(sender)), severed };
        move |push| ear.hear(&push)
    });
    let connection = connected.await.inspect_err(|_| topology.doubt(&node))?;
    let (pushes, severed) = heard.ok_or_else(|| unexpected("a connection that hears nothing"))?;
    let (topology, keys) = (Arc::clone(topology), keys.clone());
    let reader = Reader { connection, keys, topology, severed };
    for partition in partitions {
        reader.subscribe(*partition).await?;
    }
    for partition in partitions {
        reader.read_each_key(*partition).await?;
    }
    Ok(Session { pushes, reader: SessionReader::Redis(reader) })
}

type Answered<T> = Result<T, RedisError>;
type Fields = Vec<Option<String>>;
type Tallied = (Answered<Fields>, Answered<u64>, Answered<Fields>);

/// The reads of a session.
#[derive(Clone, Debug)]
pub struct Reader {
    connection: MultiplexedConnection,
    keys: Keys,
    topology: Arc<Topology>,
    severed: Severed,
}

/// The channel that the server took from a session without being asked, once it has. The library
/// takes word of that for the answer to the oldest question, so that every answer after it is one
/// to another question.
type Severed = Arc<OnceLock<String>>;

impl Reader {
    /// Asks `question` on the session's connection, and gives the answer if it is one to this
    /// question.
    pub(super) async fn ask<T: FromRedisValue + Send>(
        &self,
        question: &impl Question,
    ) -> Result<Answered<T>, StoreError> {
        let answer = question.ask(self.connection.clone()).await;
        if self.severed.get().is_some() { Err(self.end()) } else { Ok(answer) }
    }

    /// The same about one key of a partition, with what its errors mean.
    async fn ask_about<T: FromRedisValue + Send>(
        &self,
        partition: Partition,
        key: &str,
        question: &impl Question,
    ) -> Result<T, StoreError> {
        let answer = self.ask(question).await?;
        answer.map_err(|error| self.topology.key_error(partition, key, &error))
    }

    async fn subscribe(&self, partition: Partition) -> Result<(), StoreError> {
        let channels = self.keys.channels;
        let mut command = redis::cmd(channels.subscribe());
        command.arg(self.keys.channel(partition));
        let subscribed: Answered<redis::Value> = self.ask(&command).await?;
        let Err(error) = subscribed else { return Ok(()) };
        if matches!(channels, Channels::Sharded) && error.to_string().contains("unknown command") {
            let why = format!("the cluster has no sharded pub/sub ({error})");
            return Err(Refusal { about: Concern::Protocol, why }.into());
        }
        Err(self.topology.error(partition, &error))
    }

    /// See [`SessionReader::end`].
    #[must_use]
    pub fn end(&self) -> StoreError {
        match self.severed.get() {
            Some(channel) => {
                StoreError::Moved(format!("the server no longer publishes on {channel}"))
            }
            None => StoreError::Unreachable("the session ended".to_owned()),
        }
    }

    /// See [`SessionReader::heads`].
    pub async fn heads(&self, partitions: &[Partition]) -> Result<Vec<Option<Head>>, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        pipeline.cmd("ROLE");
        for partition in partitions {
            pipeline.cmd("HMGET").arg(self.keys.meta(*partition)).arg(HEAD_FIELDS);
        }
        let answered: Answered<Vec<Answered<redis::Value>>> = self.ask(&pipeline).await?;
        let answered = answered.map_err(|error| store_error(&error))?;
        let mut answered = answered.into_iter();
        check_master(answered.next().unwrap_or(Ok(redis::Value::Nil)))?;
        let heads = partitions.iter().zip(answered).map(|(partition, fields)| {
            let fields = fields.and_then(|fields| Ok(Vec::from_redis_value(fields)?));
            let meta = self.keys.meta(*partition);
            read_head(fields.map_err(|error| self.topology.key_error(*partition, &meta, &error))?)
        });
        heads.collect()
    }

    /// See [`SessionReader::tally`].
    pub async fn tally(&self, partition: Partition) -> Result<Option<Tally>, StoreError> {
        let (meta, restricted) = (self.keys.meta(partition), self.keys.restricted(partition));
        // No transaction, which would take a right that can do more.
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        pipeline.cmd("HMGET").arg(&meta).arg(HEAD_FIELDS);
        pipeline.cmd("HLEN").arg(&restricted);
        pipeline.cmd("HMGET").arg(&meta).arg(HEAD_FIELDS);
        let answered: Answered<Tallied> = self.ask(&pipeline).await?;
        let (before, length, after) = answered.map_err(|error| store_error(&error))?;
        let at_meta = |error: RedisError| self.topology.key_error(partition, &meta, &error);
        let (before, after) = (before.map_err(at_meta)?, after.map_err(at_meta)?);
        let (before, after) = (read_head(before)?, read_head(after)?);
        let held = match length {
            // Something else is in its place.
            Err(error) if error.code() == Some("WRONGTYPE") => 0,
            length => length.map_err(|error| self.topology.error(partition, &error))?,
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
        let key = self.keys.restricted(partition);
        let mut command = redis::cmd("HSCAN");
        command.arg(&key).arg(from.unwrap_or("0")).arg("COUNT").arg(PAGE);
        let (next, found): (String, Vec<(String, String)>) =
            self.ask_about(partition, &key, &command).await?;
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
        let page = log_page(&self.keys, partition, from, count);
        Ok(read_log(self.ask_about(partition, &self.keys.log(partition), &page).await?))
    }

    /// See [`SessionReader::keys`].
    pub async fn keys(&self) -> Result<Vec<(String, String)>, StoreError> {
        let key = self.keys.operators();
        self.ask_about(Partition(0), &key, &redis::Cmd::hgetall(&key)).await
    }

    /// See [`SessionReader::sources`].
    pub async fn sources(&self) -> Result<Vec<(String, String)>, StoreError> {
        let key = self.keys.guard();
        self.ask_about(Partition(0), &key, &redis::Cmd::hgetall(&key)).await
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
        let answered: Answered<Vec<Answered<redis::Value>>> = self.ask(&pipeline).await?;
        let answers = answered.map_err(|error| store_error(&error))?;
        for (key, answer) in std::iter::once(&log).chain(&hashes).zip(answers) {
            answer.map_err(|error| self.topology.key_error(partition, key, &error))?;
        }
        Ok(())
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
    severed: Severed,
}

impl Ear {
    fn hear(&self, push: &PushInfo) -> Result<(), SendError> {
        if matches!(push.kind, PushKind::SUnsubscribe | PushKind::Unsubscribe) {
            let channel = push.data.first().map(String::from_redis_value_ref);
            let _ = self.severed.set(channel.and_then(Result::ok).unwrap_or_default());
            self.sender.lock().take();
        }
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
        if !matches!(push.kind, PushKind::Message | PushKind::SMessage) {
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
    let [
        epoch,
        revision,
        log_id,
        count,
        digest,
        format,
        partitions,
        created,
        previous,
        partial,
        fleet,
    ] = fields.map_err(|_| unexpected("an incomplete meta"))?;
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
        // What this version does not know is no reason to let anybody in.
        fleet: fleet.and_then(|mode| mode.parse().ok()),
    }))
}

const HEAD_FIELDS: &[&str; 11] = &[
    "epoch",
    "rev",
    "sid",
    "restricted_count",
    "restricted_digest",
    "format",
    "partitions",
    "created",
    "previous",
    PARTIAL,
    FLEET_MODE,
];
/// Whether a partition lacks records, in its meta.
pub(super) const PARTIAL: &str = "partial";
/// The mode of every instance, in the meta of partition 0.
pub(super) const FLEET_MODE: &str = "fleet_mode";
/// Never one big reply: it would hold up everybody else's.
const PAGE: usize = 1000;
/// More than this waiting means that this instance does not keep up; it catches up from the log.
const PUSHES_HELD: usize = 8192;
