//! A session: one connection that is subscribed first, and answers reads in order with what it
//! is sent unasked.
//!
//! Neither `ConnectionManager` nor `get_async_pubsub` will do: the first stays dead for ever
//! after 15 s of outage and re-attaches to a stale master over Sentinel, the second hangs for
//! ever on a hung server (each was observed with redis-rs 1.8).

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redis::{
    Client, FromRedisValue as _, PushInfo, PushKind,
    aio::{MultiplexedConnection, SendError},
};
use tokio::sync::mpsc;

use super::{
    super::{
        Census, Head, Push, RestrictedPage, Session, SessionReader, StoreError,
        format::{self, unexpected},
    },
    check_format,
    connection::{connect, store_error},
    keys::Keys,
    partitions,
};
use crate::domain::{Change, Epoch, Partition, Revision, Subject};

/// Connects, makes sure that this is a master, and subscribes to every partition.
pub(super) async fn open(client: &Client, keys: &Keys) -> Result<Session, StoreError> {
    let (sender, pushes) = mpsc::channel(PUSHES_HELD);
    let ear = Ear { keys: keys.clone(), sender: Mutex::new(Some(sender)) };
    let hear = move |push| ear.hear(&push);
    let mut connection = connect(client, Some(Box::new(hear))).await?;
    let reader = Reader { connection: connection.clone(), keys: keys.clone() };
    reader.require_master().await?;
    for partition in partitions() {
        let subscribed = connection.subscribe(keys.channel(partition)).await;
        subscribed.map_err(|error| store_error(&error))?;
    }
    Ok(Session { pushes, reader: SessionReader::Redis(reader) })
}

type Answered<T> = Result<T, redis::RedisError>;

/// The reads of a session.
#[derive(Clone, Debug)]
pub struct Reader {
    connection: MultiplexedConnection,
    keys: Keys,
}

impl Reader {
    /// See [`SessionReader::head`].
    pub async fn head(&self, partition: Partition) -> Result<Option<Head>, StoreError> {
        let mut connection = self.connection.clone();
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        pipeline.cmd("HMGET").arg(self.keys.meta(partition)).arg(HEAD_FIELDS);
        pipeline.cmd("ROLE");
        let answered = pipeline.query_async(&mut connection).await;
        let (fields, role): (Answered<Vec<Option<String>>>, Answered<redis::Value>) =
            answered.map_err(|error| store_error(&error))?;
        check_master(role)?;
        read_head(fields.map_err(|error| store_error(&error))?)
    }

    /// See [`SessionReader::restricted_page`].
    pub async fn restricted_page(
        &self,
        partition: Partition,
        from: Option<&str>,
    ) -> Result<RestrictedPage, StoreError> {
        let mut connection = self.connection.clone();
        let (next, found): (String, Vec<(String, String)>) = redis::cmd("HSCAN")
            .arg(self.keys.restricted(partition))
            .arg(from.unwrap_or("0"))
            .arg("COUNT")
            .arg(PAGE)
            .query_async(&mut connection)
            .await
            .map_err(|error| store_error(&error))?;
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
        let found: Vec<(String, std::collections::HashMap<String, String>)> = redis::cmd("XRANGE")
            .arg(self.keys.log(partition))
            .arg(if from.is_empty() { "-" } else { from })
            .arg("+")
            .arg("COUNT")
            .arg(count)
            .query_async(&mut connection)
            .await
            .map_err(|error| store_error(&error))?;
        // An entry without a revision is not ours; the revisions tell whether one of ours is gone.
        let change = |(log_id, fields): (String, std::collections::HashMap<String, String>)| {
            let revision = Revision(fields.get("rev")?.parse().ok()?);
            Some(Change { revision, log_id, subject: Subject::from_log(fields.get("change")?) })
        };
        Ok(found.into_iter().filter_map(change).collect())
    }

    /// See [`SessionReader::keys`].
    pub async fn keys(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut connection = self.connection.clone();
        let command = redis::Cmd::hgetall(self.keys.operators());
        command.query_async(&mut connection).await.map_err(|error| store_error(&error))
    }

    /// See [`SessionReader::sources`].
    pub async fn sources(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut connection = self.connection.clone();
        let command = redis::Cmd::hgetall(self.keys.guard());
        command.query_async(&mut connection).await.map_err(|error| store_error(&error))
    }

    /// The connection, for fills.
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    async fn require_master(&self) -> Result<(), StoreError> {
        let mut connection = self.connection.clone();
        check_master(redis::cmd("ROLE").query_async(&mut connection).await)
    }
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

/// A replica is no store: it may be behind, and it takes no writes. A role that may not be asked
/// for is not known.
fn check_master(role: Answered<redis::Value>) -> Result<(), StoreError> {
    let role = match role {
        Ok(redis::Value::Array(parts)) => {
            parts.first().and_then(|name| String::from_redis_value_ref(name).ok())
        }
        Ok(_) => None,
        Err(error) if error.code() == Some("NOPERM") => None,
        Err(error) => return Err(store_error(&error)),
    };
    match role.as_deref() {
        Some("master") => Ok(()),
        Some(other) => {
            Err(StoreError::Unreachable(format!("the server is a {other}, not a master")))
        }
        None => {
            if !ROLE_UNKNOWN_TOLD.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "The store's user may not ask for ROLE, so a replica would go unnoticed"
                );
            }
            Ok(())
        }
    }
}

fn read_head(fields: Vec<Option<String>>) -> Result<Option<Head>, StoreError> {
    let fields: Result<[Option<String>; HEAD_FIELDS.len()], _> = fields.try_into();
    let [epoch, revision, log_id, count, digest, format] =
        fields.map_err(|_| unexpected("an incomplete meta"))?;
    let Some(epoch) = epoch else { return Ok(None) };
    let number = |field: Option<String>| -> Result<u64, StoreError> {
        field.unwrap_or_default().parse().map_err(unexpected)
    };
    check_format(number(format)?)?;
    let digest = u64::from_str_radix(&digest.unwrap_or_default(), 16).map_err(unexpected)?;
    Ok(Some(Head {
        epoch: Epoch::parse(&epoch).map_err(unexpected)?,
        revision: Revision(number(revision)?),
        log_id: log_id.unwrap_or_default(),
        restricted: Census { count: number(count)?, digest },
    }))
}

static ROLE_UNKNOWN_TOLD: AtomicBool = AtomicBool::new(false);
const HEAD_FIELDS: &[&str; 6] =
    &["epoch", "rev", "sid", "restricted_count", "restricted_digest", "format"];
/// Never one big reply: it would hold up everybody else's.
const PAGE: usize = 1000;
/// More than this waiting means that this instance does not keep up; it catches up from the log.
const PUSHES_HELD: usize = 8192;
