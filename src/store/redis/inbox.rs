//! What billing systems say that cannot call the operator API: a channel, and the stream beside
//! it that loses nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::{
    FromRedisValue, PushInfo, PushKind, RedisError, Value,
    aio::{MultiplexedConnection, SendError},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    commands::Commands,
    connection::{Question, RESPONSE_TIMEOUT},
    slots::Slot,
    topology::{Node, Topology},
};
use crate::{
    domain::{Partition, Timestamp},
    store::{InboxEntry, InboxSizes, StoreError, format::unexpected},
};

/// The way in for billing systems, named by its channel.
#[derive(Clone, Debug)]
pub struct ForeignWriters {
    topology: Arc<Topology>,
    commands: Commands,
    channel: String,
}

/// A subscription to the channel. It ends when this goes, or when its connection does.
#[derive(Debug)]
pub struct Listening {
    /// What is published, in order.
    pub messages: mpsc::Receiver<Vec<u8>>,
    /// How many messages found no room in it.
    pub overflow: Arc<AtomicU64>,
    _connection: MultiplexedConnection,
}

/// A connection that waits for new entries of the inbox.
#[derive(Clone, Debug)]
pub struct Inbox {
    topology: Arc<Topology>,
    node: Node,
    connection: MultiplexedConnection,
    /// Cancelled when the connection ends, or its server is the master no more.
    ended: CancellationToken,
    stream: String,
}

impl ForeignWriters {
    pub(super) fn new(topology: Arc<Topology>, commands: Commands, channel: &str) -> Self {
        Self { topology, commands, channel: channel.to_owned() }
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Subscribes, on a connection of its own: in a cluster any node hears what another is told.
    pub async fn listen(&self) -> Result<Listening, StoreError> {
        let overflow = Arc::new(AtomicU64::new(0));
        let mut heard = None;
        let node = self.topology.node_of(HOME).await?;
        let connected = self.topology.connect(&node, || {
            let (sender, messages) = mpsc::channel(MESSAGES_HELD);
            heard = Some(messages);
            let (sender, lost) = (Mutex::new(Some(sender)), Arc::clone(&overflow));
            move |push: PushInfo| {
                let mut sender = sender.lock();
                if push.kind == PushKind::Disconnection {
                    sender.take();
                }
                if let (Some(message), Some(sender)) = (read_message(&push), sender.as_ref())
                    && sender.try_send(message).is_err()
                {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<(), SendError>(())
            }
        });
        let mut connection = connected.await.inspect_err(|_| self.topology.doubt(&node))?;
        let messages = heard.ok_or_else(|| unexpected("a connection that hears nothing"))?;
        let subscribed = connection.subscribe(&self.channel).await;
        subscribed.map_err(|error| self.topology.error(HOME, &error))?;
        Ok(Listening { messages, overflow, _connection: connection })
    }

    /// Makes the inbox if it is not there, and a connection that waits for its entries up to
    /// `patience`.
    pub async fn open_inbox(&self, patience: Duration) -> Result<Inbox, StoreError> {
        let stream = self.inbox();
        let slot = Slot::of_key(&stream);
        let mut made = redis::pipe();
        made.ignore_errors();
        made.cmd("XGROUP").arg("CREATE").arg(&stream).arg(GROUP).arg("0").arg("MKSTREAM");
        let (made,): (Result<Value, RedisError>,) = self.commands.ask(slot, &made).await?;
        if let Err(error) = made
            && error.code() != Some("BUSYGROUP")
        {
            return Err(self.topology.key_error(slot, &stream, &error));
        }
        let mut ended = CancellationToken::new();
        let node = self.topology.node_of(slot).await?;
        let connected = self.topology.connect(&node, || {
            ended = CancellationToken::new();
            let ended = ended.clone();
            move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    ended.cancel();
                }
                Ok::<(), SendError>(())
            }
        });
        let mut connection = connected.await.inspect_err(|_| self.topology.doubt(&node))?;
        connection.set_response_timeout(patience + RESPONSE_TIMEOUT);
        let topology = Arc::clone(&self.topology);
        Ok(Inbox { topology, node, connection, ended, stream })
    }

    /// At most `count` entries after `after` that were handed out and not acknowledged, to
    /// whichever instance: all of them read under one name, one at a time.
    pub async fn pending(&self, after: &str, count: usize) -> Result<Vec<InboxEntry>, StoreError> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(CONSUMER).arg("COUNT").arg(count);
        command.arg("STREAMS").arg(self.inbox()).arg(after);
        let reply: Option<Reply> = self.ask(&self.inbox(), &command).await?;
        Ok(read_reply(reply))
    }

    /// Takes an entry out of the inbox.
    pub async fn acknowledge(&self, id: &str) -> Result<(), StoreError> {
        let stream = self.inbox();
        let mut pipeline = redis::pipe();
        pipeline.cmd("XACK").arg(&stream).arg(GROUP).arg(id).ignore();
        pipeline.cmd("XDEL").arg(&stream).arg(id).ignore();
        self.ask(&stream, &pipeline).await
    }

    /// Puts what can never be applied aside, with the reason, and takes it out of the inbox.
    pub async fn bury(&self, entry: &InboxEntry, reason: &str) -> Result<(), StoreError> {
        let dead = self.dead();
        let mut command = redis::cmd("XADD");
        command.arg(&dead);
        command.arg(&["MAXLEN", "~", DEAD_KEPT, "*"]);
        command.arg(DATA).arg(entry.data.as_deref().unwrap_or_default());
        command.arg("reason").arg(reason).arg("entry").arg(&entry.id);
        let _: String = self.ask(&dead, &command).await?;
        self.acknowledge(&entry.id).await
    }

    /// Puts a message into the inbox that was published at `published`.
    pub async fn append(&self, data: &[u8], published: Timestamp) -> Result<(), StoreError> {
        let mut command = redis::cmd("XADD");
        command.arg(self.inbox()).arg("*").arg(DATA).arg(data);
        command.arg(PUBLISHED).arg(published.as_millis());
        let _: String = self.ask(&self.inbox(), &command).await?;
        Ok(())
    }

    /// How many entries wait, and how many were put aside.
    pub async fn sizes(&self) -> Result<InboxSizes, StoreError> {
        let (inbox, dead) = (self.inbox(), self.dead());
        let waiting = self.ask(&inbox, &redis::Cmd::xlen(&inbox)).await?;
        let dead = self.ask(&dead, &redis::Cmd::xlen(&dead)).await?;
        Ok(InboxSizes { waiting, dead })
    }

    /// Asks about one of the streams, each of which may be on another node.
    async fn ask<T: FromRedisValue + Send>(
        &self,
        stream: &str,
        question: &impl Question,
    ) -> Result<T, StoreError> {
        self.commands.ask(Slot::of_key(stream), question).await
    }

    fn inbox(&self) -> String {
        format!("{}:inbox", self.channel)
    }

    fn dead(&self) -> String {
        format!("{}:dead", self.channel)
    }
}

impl Inbox {
    /// At most `count` new entries; none when none came for as long as `patience`.
    pub async fn next(
        mut self,
        count: usize,
        patience: Duration,
    ) -> Result<Vec<InboxEntry>, StoreError> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(CONSUMER).arg("COUNT").arg(count);
        command.arg("BLOCK").arg(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
        command.arg("STREAMS").arg(&self.stream).arg(">");
        let reply = tokio::select! {
            biased;
            () = self.ended.cancelled() => {
                return Err(StoreError::Unreachable("the connection to the inbox ended".to_owned()));
            }
            reply = command.query_async(&mut self.connection) => reply,
        };
        let reply: Option<Reply> = reply.map_err(|error| {
            if error.is_io_error() {
                self.topology.doubt(&self.node);
            }
            self.topology.key_error(Slot::of_key(&self.stream), &self.stream, &error)
        })?;
        Ok(read_reply(reply))
    }
}

type Reply = HashMap<String, Vec<(String, Option<Fields>)>>;
/// Names are bytes: one that is no text must not hide the others.
type Fields = HashMap<Vec<u8>, Vec<u8>>;

/// An entry that was deleted meanwhile has no fields, and is like one without data.
fn read_reply(reply: Option<Reply>) -> Vec<InboxEntry> {
    let entries = reply.unwrap_or_default().into_values().flatten();
    let entry = |(id, fields): (String, Option<Fields>)| {
        let is_deleted = fields.is_none();
        let mut fields = fields.unwrap_or_default();
        let published = fields.remove(PUBLISHED.as_bytes()).and_then(|millis| {
            let millis = std::str::from_utf8(&millis).ok()?;
            millis.parse().ok().map(Timestamp::from_millis)
        });
        InboxEntry { id, data: fields.remove(DATA.as_bytes()), published, is_deleted }
    };
    entries.map(entry).collect()
}

fn read_message(push: &PushInfo) -> Option<Vec<u8>> {
    if push.kind != PushKind::Message {
        return None;
    }
    let [_channel, payload] = push.data.as_slice() else { return None };
    Vec::<u8>::from_redis_value_ref(payload).ok()
}

/// Where the lease is.
const HOME: Partition = Partition(0);
const DATA: &str = "data";
const PUBLISHED: &str = "published";
const GROUP: &str = "tollgate";
/// All instances read under one name, the holder of the lease alone: what one took and did not
/// acknowledge, the next one finds.
const CONSUMER: &str = "holder";
/// How many messages may be heard and not yet looked at.
const MESSAGES_HELD: usize = 8192;
const DEAD_KEPT: &str = "100000";
