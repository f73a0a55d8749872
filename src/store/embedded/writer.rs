//! The one thread that writes.
//!
//! Whatever waits for it shares one transaction, so a slow disk makes commits wait longer but
//! hardly makes fewer of them.

use std::{
    collections::BTreeSet,
    sync::Arc,
    thread::{self, JoinHandle},
};

use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::{batch::Batch, snapshot::Snapshot, tables::EntryId};
use crate::{
    clock::Clock,
    domain::{CustomerKey, Epoch, Timestamp, alias::Claim, audit::notes::NotesPlace},
    store::{Commit, CommitError, Committed, CreateError, Push, StoreError},
};

/// What the writer is asked for, and where the answer goes.
pub(super) enum Request {
    /// To make a change.
    Commit(Box<Commit>, oneshot::Sender<Result<Committed, CommitError>>),
    /// To put something on the list of what waits for a customer.
    AddUnresolved(AddUnresolved, oneshot::Sender<Result<Option<u64>, StoreError>>),
    /// To begin the first history.
    Create(Epoch, oneshot::Sender<Result<(), CreateError>>),
    /// To take something off that list.
    RemoveUnresolved(String, oneshot::Sender<Result<(), StoreError>>),
    /// To put a claim of an alias in the place of another.
    SetAlias(SetAlias, oneshot::Sender<Result<bool, StoreError>>),
    /// To note when keys were used.
    NoteKeyUses(Vec<(String, Timestamp)>, oneshot::Sender<Result<(), StoreError>>),
    /// For a snapshot that holds nothing that is not pushed yet.
    Snapshot(oneshot::Sender<Result<Snapshot, StoreError>>),
    /// To take what is archived out of the audit trail.
    TakeOutAudit(TakeOutAudit, oneshot::Sender<Result<bool, StoreError>>),
    /// To push every change from now on.
    Subscribe(oneshot::Sender<mpsc::Receiver<Push>>),
}

/// What is to be put on the list of what waits for a customer.
pub(super) struct AddUnresolved {
    /// The history that it is for.
    pub(super) epoch: Epoch,
    /// What was said.
    pub(super) text: String,
    /// How many are kept.
    pub(super) at_most: u64,
}

/// What is to be taken out of the audit trail.
pub(super) struct TakeOutAudit {
    /// The history that it is for.
    pub(super) epoch: Epoch,
    /// The newest entry that goes.
    pub(super) to: String,
    /// The oldest entry that stays.
    pub(super) stays_from: EntryId,
    /// Out of whose trails too.
    pub(super) customers: BTreeSet<CustomerKey>,
    /// With which notes.
    pub(super) notes: Vec<NotesPlace>,
}

/// What is to be put in the place of what is held on an alias.
pub(super) struct SetAlias {
    /// `tenant:source:id`.
    pub(super) alias: String,
    /// What has to be held; nothing where nobody may have it.
    pub(super) held: Option<Claim>,
    /// What is held then; nothing to let go of it.
    pub(super) claim: Option<Claim>,
}

/// The way to the thread. When it goes, the thread makes what is still waiting, ends, and has
/// let go of the database.
///
/// The fields go in this order: the queue closes first, which ends the thread.
#[derive(Debug)]
pub(super) struct Writer {
    requests: mpsc::Sender<Request>,
    _thread: Joined,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(database: Arc<Database>, clock: Clock) -> Result<Self, StoreError> {
        let (requests, queue) = mpsc::channel(QUEUE);
        let desk = Desk::new(database, clock);
        let thread = thread::Builder::new()
            .name("tollgate-store".to_owned())
            .spawn(move || desk.serve(queue))
            .map_err(|error| StoreError::Unreachable(format!("no thread to write: {error}")))?;
        Ok(Self { requests, _thread: Joined(Some(thread)) })
    }

    /// Asks for something and waits for the answer.
    pub(super) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let ended = || StoreError::Unreachable("the thread that writes has ended".to_owned());
        self.requests.send(request(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }
}

/// A thread that is waited for.
#[derive(Debug)]
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        // One that panicked has told so already.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

/// What the thread holds. When it ends, however it does, so do the sessions.
pub(super) struct Desk {
    pub(super) database: Arc<Database>,
    clock: Clock,
    subscribers: Vec<mpsc::Sender<Push>>,
}

type Waiting = (Box<Commit>, oneshot::Sender<Result<Committed, CommitError>>);

impl Desk {
    pub(super) fn new(database: Arc<Database>, clock: Clock) -> Self {
        Self { database, clock, subscribers: Vec::new() }
    }

    fn serve(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut requests = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut requests, BATCH) > 0 {
            let mut commits = Vec::with_capacity(requests.len());
            for request in requests.drain(..) {
                // Who no longer waits for an answer needs none.
                match request {
                    Request::Commit(commit, reply) => commits.push((commit, reply)),
                    Request::AddUnresolved(add, reply) => {
                        let _ = reply.send(self.transact(|batch| batch.add_unresolved(&add)));
                    }
                    Request::Create(epoch, reply) => {
                        let created = self.transact(|batch| batch.create(&epoch));
                        let _ = reply.send(created.unwrap_or_else(|error| Err(error.into())));
                    }
                    Request::RemoveUnresolved(id, reply) => {
                        let _ = reply.send(self.transact(|batch| batch.remove_unresolved(&id)));
                    }
                    Request::SetAlias(set, reply) => {
                        let _ = reply.send(self.transact(|batch| batch.set_alias(&set)));
                    }
                    Request::NoteKeyUses(uses, reply) => {
                        let _ = reply.send(self.transact(|batch| batch.note_key_uses(&uses)));
                    }
                    Request::Snapshot(reply) => {
                        let _ = reply.send(Snapshot::of(&self.database));
                    }
                    Request::TakeOutAudit(take, reply) => {
                        let _ = reply.send(self.transact(|batch| batch.take_out_audit(&take)));
                    }
                    Request::Subscribe(reply) => {
                        let _ = reply.send(self.subscribe());
                    }
                }
            }
            self.commit(commits);
        }
    }

    pub(super) fn subscribe(&mut self) -> mpsc::Receiver<Push> {
        let (subscriber, pushes) = mpsc::channel(PUSHES_HELD);
        self.subscribers.push(subscriber);
        pushes
    }

    /// Makes all of `waiting` in one transaction, and answers when it is durable and pushed.
    pub(super) fn commit(&mut self, waiting: Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        let outcomes = self.transact(|batch| {
            waiting.iter().map(|(commit, _)| batch.commit(commit)).collect::<Result<Vec<_>, _>>()
        });
        match outcomes {
            Ok(outcomes) => {
                for ((_, reply), outcome) in waiting.into_iter().zip(outcomes) {
                    let _ = reply.send(outcome);
                }
            }
            Err(error) => {
                let why = error.to_string();
                for (_, reply) in waiting {
                    let _ = reply.send(Err(StoreError::Unreachable(why.clone()).into()));
                }
            }
        }
    }

    /// Runs `work` in a transaction and makes it durable, which is redb's default. Then pushes
    /// what it changed. When any of it fails, nothing is pushed.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self.database.begin_write()?;
        let mut batch = Batch::begin(&transaction, self.clock.now())?;
        let outcome = work(&mut batch)?;
        match batch.finish()? {
            Some(pushes) => {
                transaction.commit()?;
                self.push(&pushes);
            }
            None => transaction.abort()?,
        }
        Ok(outcome)
    }

    /// A subscriber that does not keep up is dropped: its session ends, and the next one catches
    /// up from the log.
    pub(super) fn push(&mut self, pushes: &[Push]) {
        self.subscribers.retain(|subscriber| {
            pushes.iter().all(|push| subscriber.try_send(push.clone()).is_ok())
        });
    }
}

/// How many commits share a transaction at most.
pub(super) const BATCH: usize = 64;
/// How many requests may wait. Those beyond wait to be let in.
const QUEUE: usize = 1024;
/// How many changes a session may be behind.
const PUSHES_HELD: usize = 8192;
