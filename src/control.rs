//! Performs one action: authorise, work out what it makes of the customer, commit that with its
//! audit entry. Nothing else writes.

mod aliases;
pub mod conflicts;
pub mod fleet;
pub mod foreign;
pub mod guard;
pub mod import;
pub mod key_use;
pub mod keys;
pub mod sessions;
pub mod succession;
pub mod tenure;

use std::time::Duration;

use tokio::sync::watch;

use crate::{
    cache::{Cache, fleet::Fleet, guard::Guard, keyring::Keyring},
    clock::Clock,
    domain::{
        Action, Actor, AuditEntry, Change, Customer, CustomerId, CustomerKey, Partition, Record,
        Refusal, Restrictions, Revision, Source, Timestamp, Token,
        action::{Plan, plan},
        audit::{
            AuditActor, AuditOutcome, StoredAudit,
            chain::{ChainPage, id_order},
            notes::Notes,
        },
    },
    feed::{Acknowledged, Alarm, FeedStatus, Kept, changes::Changes},
    store::{
        AuditPage, Commit, CommitError, Committed, CustomerPage, CustomerWrite, Idempotency,
        Logged, Push, Store, StoreError, Trail, Write, Writer, format::hex,
    },
    telemetry::{ActDialect, Metrics, StoreCommand},
};

/// Acts on customers and keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    /// Where it is written.
    pub store: Store,
    /// Tells what this instance has seen of the store.
    pub cache: Cache,
    /// Who may act.
    pub keyring: Keyring,
    /// What sources may restrict.
    pub guard: Guard,
    /// The mode of the whole fleet.
    pub fleet: Fleet,
    /// Tells whether the store is believed.
    pub feed: watch::Receiver<FeedStatus>,
    /// Rung when the store refuses a change because its restricted set is not whole.
    pub alarm: Alarm,
    /// Tells whether the store that is followed has what was committed.
    pub acknowledged: Acknowledged,
    /// What is told to those who watch.
    pub changes: Changes,
    /// Tells when an act was asked for.
    pub clock: Clock,
    /// Where acts are counted.
    pub metrics: Metrics,
}

/// Who asks for an act, and how it reached Tollgate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub actor: Actor,
    /// In which API shape.
    pub dialect: ActDialect,
    /// The request's id, for log and audit.
    pub request_id: Option<String>,
    /// The revision that the customer must be at.
    pub expected: Option<Token>,
    /// What makes a repetition of the request harmless.
    pub idempotency: Option<Idempotency>,
}

/// What came of an act.
#[derive(Clone, Debug)]
pub struct Acted {
    /// The customer after it.
    pub customer: Customer,
    /// Whether anything was changed.
    pub changed: bool,
    /// Whether the customer was made.
    pub created: bool,
    /// Whether it had been done before, under the same idempotency key.
    pub replayed: bool,
}

/// Why an act was not performed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// Another customer has the alias.
    #[error("{has_it} has the alias {id} of {of}")]
    AliasTaken {
        /// Whose id it is.
        of: Source,
        /// The id.
        id: CustomerId,
        /// Who has it.
        has_it: CustomerKey,
    },
    /// It may not be done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store is not in the state that this is for.
    #[error("{0}")]
    NotNow(&'static str),
    /// There is no such thing.
    #[error("there is no such {0}")]
    NotThere(&'static str),
    /// Its source restricted too many customers, and waits for somebody to look.
    #[error("the source {source_name} restricted too many customers and is paused since {since}")]
    SourcePaused {
        /// Which source.
        source_name: Source,
        /// Since when.
        since: Timestamp,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store forgot what this instance knows, so nothing is written to it.
    #[error("the store is not the one that was followed here: {0}")]
    StoreLost(String),
}

impl Control {
    /// Performs `action` on the customer `key`. When this returns, the next check here is decided
    /// by it.
    pub async fn act(
        &self,
        request: &Request,
        key: &CustomerKey,
        action: &Action,
    ) -> Result<Acted, ActError> {
        let partition = self.store.partitions().of(key);
        let notes = noted(action)?;
        let mut tries = 0..TRIES;
        loop {
            let writer = self.writer(partition)?;
            let current = self.customer(key).await?;
            let planned = if tries.next().is_some() {
                let planned = plan(current.as_ref(), action, &request.actor, self.clock.now());
                let at_revision = expected_holds(request, action, &writer, current.as_ref());
                planned.and_then(|plan| at_revision.map(|()| plan))
            } else {
                Err(Refusal::KeptChanging)
            };
            let (current, notes) = (current.as_ref(), notes.as_ref());
            let attempt = Attempt { request, key, action, current, writer, notes };
            let plan = match planned {
                Ok(plan) => plan,
                Err(refusal) if refusal.is_moot() => return Err(refusal.into()),
                Err(refusal) => return self.refuse(&attempt, refusal).await,
            };
            let aliases = current.map(|it| it.record.body.aliases.clone());
            let aliases = aliases.unwrap_or_default();
            let leaving = match self.claim_aliases(key, &aliases, &plan.body.aliases).await {
                Err(taken @ ActError::AliasTaken { .. }) => {
                    let refused = self.refuse(&attempt, Refusal::AliasTaken).await;
                    let is_refused = matches!(refused, Err(ActError::Refused(_)));
                    return if is_refused { Err(taken) } else { refused };
                }
                claimed => claimed?,
            };
            // Held until the act is heard here, so that acts side by side count each other.
            let _counted = self.admit(request, key, &plan).await?;
            match self.commit(self.commit_of(&attempt, Ok(&plan))).await {
                Ok(committed) if committed.replayed => {
                    return self.replayed(&attempt, committed).await;
                }
                Ok(committed) => {
                    self.release_aliases(leaving).await;
                    return Ok(self.acted(&attempt, plan, committed).await);
                }
                Err(CommitError::Conflict | CommitError::Store(StoreError::Forgotten)) => {}
                Err(CommitError::IdempotencyKeyReused) => {
                    return self.refuse(&attempt, Refusal::KeyReused).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads a customer as the store has it now.
    pub async fn customer(&self, key: &CustomerKey) -> Result<Option<Customer>, StoreError> {
        self.counted(StoreCommand::Read, self.store.customer(key)).await
    }

    /// Lists customers.
    pub async fn customers(&self, page: &CustomerPage) -> Result<Vec<Customer>, StoreError> {
        self.counted(StoreCommand::List, self.store.customers(page)).await
    }

    /// Lists audit entries.
    pub async fn audit(&self, page: &AuditPage) -> Result<Vec<StoredAudit>, StoreError> {
        self.counted(StoreCommand::List, self.store.audit(page)).await
    }

    /// Lists a partition's audit entries with their chain.
    pub async fn audit_chain(
        &self,
        partition: Partition,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChainPage, StoreError> {
        let page = self.store.audit_chain(partition, after, limit);
        self.counted(StoreCommand::List, page).await
    }

    /// Up to when the trail's entries were archived and are no longer in the store, if any were.
    pub async fn audit_archived_until(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut until = None;
        for partition in self.store.partitions().all() {
            let to = self.store.audit_archived_to(partition);
            let to = self.counted(StoreCommand::Read, to).await?;
            let millis = to.map(|id| i64::try_from(id_order(&id).0).unwrap_or(i64::MAX));
            until = until.max(millis.map(Timestamp::from_millis));
        }
        Ok(until)
    }

    /// The token for a revision of `partition` in the history that is followed here.
    #[must_use]
    pub fn token(&self, partition: Partition, revision: Revision) -> Option<Token> {
        let watermark = self.cache.watermark(partition)?;
        Some(Token { epoch: watermark.epoch, partition, revision })
    }

    /// Whether this instance follows the store, and believes it.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.writer(Partition(0)).is_ok()
    }

    /// What this instance knows of the store, or why it writes nothing now.
    fn writer(&self, partition: Partition) -> Result<Writer, ActError> {
        if let Some(why) = self.feed.borrow().of(partition).lost {
            return Err(ActError::StoreLost(why.to_owned()));
        }
        let watermark = self.cache.watermark(partition).ok_or_else(|| {
            StoreError::Unreachable("this instance has not read it yet".to_owned())
        })?;
        Ok(Writer { epoch: watermark.epoch, watermark: watermark.position.revision })
    }

    /// Puts a refusal on record: every act leaves an entry. What was done before under the same
    /// idempotency key is not refused. That the entry cannot be written does not turn the refusal
    /// into something else.
    async fn refuse(&self, attempt: &Attempt<'_>, refusal: Refusal) -> Result<Acted, ActError> {
        let mut commit = self.commit_of(attempt, Err(refusal));
        commit.idempotency = commit.idempotency.filter(|_| refusal != Refusal::KeyReused);
        match self.commit(commit).await {
            Ok(committed) if committed.replayed => self.replayed(attempt, committed).await,
            Err(CommitError::IdempotencyKeyReused) => {
                Box::pin(self.refuse(attempt, Refusal::KeyReused)).await
            }
            Ok(_) => {
                let dialect = attempt.request.dialect;
                self.metrics.operator_act(dialect, attempt.action.verb, AuditOutcome::Refused);
                Err(refusal.into())
            }
            // What was refused was judged by a store that forgot, or is another one.
            Err(error @ (CommitError::Behind | CommitError::Epoch | CommitError::Lost(_))) => {
                Err(error.into())
            }
            Err(error) => {
                let customer = attempt.key;
                tracing::warn!(customer.id = %customer, %error, "A refusal is not on record");
                Err(refusal.into())
            }
        }
    }

    /// Answers a repetition with the customer as it is now.
    async fn replayed(
        &self,
        attempt: &Attempt<'_>,
        committed: Committed,
    ) -> Result<Acted, ActError> {
        let customer = self.customer(attempt.key).await?.ok_or(Refusal::CustomerUnknown)?;
        Ok(Acted { customer, changed: committed.changed, created: false, replayed: true })
    }

    async fn acted(&self, attempt: &Attempt<'_>, plan: Plan, committed: Committed) -> Acted {
        let Attempt { request, key, current, writer, action, .. } = attempt;
        let partition = self.store.partitions().of(*key);
        let epoch = writer.epoch.clone();
        // Whoever acts here and asks here next is answered by what they did.
        let token = Token { epoch, partition, revision: committed.revision };
        self.cache.reaches(&token, EFFECT_AWAITED).await;
        let outcome = if plan.changed { AuditOutcome::Changed } else { AuditOutcome::Unchanged };
        self.metrics.operator_act(request.dialect, action.verb, outcome);
        let revision = match current {
            Some(current) if !committed.changed => current.record.revision,
            _ => committed.revision,
        };
        let record = Record { key: (*key).clone(), revision, body: plan.body };
        Acted {
            customer: Customer { record, private: plan.private },
            changed: plan.changed,
            created: current.is_none(),
            replayed: false,
        }
    }

    fn commit_of(&self, attempt: &Attempt<'_>, planned: Result<&Plan, Refusal>) -> Commit {
        let Attempt { request, key, current, writer, .. } = attempt;
        let write = match planned {
            Ok(plan) if plan.writes => Write::Customer(Box::new(CustomerWrite {
                key: (*key).clone(),
                expected: current.map(|customer| customer.record.revision),
                body: plan.body.clone(),
                private: plan.private.clone(),
                entitlements_changed: plan.entitlements_changed,
                act: plan.act.clone(),
            })),
            Ok(_) | Err(_) => Write::Nothing { customer: Some((*key).clone()) },
        };
        Commit {
            write,
            writer: writer.clone(),
            audit: self.audit_entry(attempt, planned),
            notes: attempt.notes.cloned(),
            idempotency: request.idempotency.clone(),
            trail: Trail::Both,
        }
    }

    /// An audit entry that says nothing yet of what was changed.
    fn entry(&self, request: &Request, subject: String, action: &str) -> AuditEntry {
        AuditEntry {
            subject,
            action: action.to_owned(),
            outcome: AuditOutcome::Changed,
            refusal: None,
            actor: AuditActor::from(&request.actor),
            dialect: request.dialect.as_str().to_owned(),
            source: None,
            reason: None,
            notes: None,
            notes_digest: None,
            informed_at: None,
            before: Restrictions::default(),
            after: Restrictions::default(),
            request_id: request.request_id.clone(),
            batch: None,
            at: self.clock.now(),
        }
    }

    /// Commits what is not about a customer's record, with its audit entry. When this returns, it
    /// has taken effect here.
    async fn commit_apart(
        &self,
        write: Write,
        audit: AuditEntry,
        idempotency: Option<Idempotency>,
    ) -> Result<(), ActError> {
        self.committed_apart(write, audit, idempotency).await.map(drop)
    }

    /// The same, and tells what came of it.
    async fn committed_apart(
        &self,
        write: Write,
        audit: AuditEntry,
        idempotency: Option<Idempotency>,
    ) -> Result<Committed, ActError> {
        let partition = write.partition(self.store.partitions());
        let writer = self.writer(partition)?;
        let epoch = writer.epoch.clone();
        let trail = Trail::Both;
        let commit = Commit { write, writer, audit, notes: None, idempotency, trail };
        let committed = self.commit(commit).await?;
        let token = Token { epoch, partition, revision: committed.revision };
        self.cache.reaches(&token, EFFECT_AWAITED).await;
        Ok(committed)
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let begun = self.clock.moment();
        let partition = commit.write.partition(self.store.partitions());
        let (epoch, subject) = (commit.writer.epoch.clone(), commit.write.subject());
        let committed = self.store.commit(commit).await;
        let took = self.clock.moment().saturating_since(begun);
        let is_answered = !matches!(committed, Err(CommitError::Store(_)));
        self.metrics.store_command(StoreCommand::Commit, took, is_answered);
        if let (Ok(Committed { revision, logged: Some(logged), .. }), Some(subject)) =
            (&committed, subject)
        {
            let Logged { log_id, follows } = logged.clone();
            let change = Change { revision: *revision, log_id, subject };
            self.require_kept(Push { partition, epoch, follows, change }).await?;
        }
        if matches!(committed, Err(CommitError::RestrictedLost)) {
            self.alarm.ring();
        }
        committed
    }

    /// Waits until the feed says that the store which it follows has `change`: a master that is
    /// being replaced may take what its successor never hears of.
    async fn require_kept(&self, change: Push) -> Result<(), StoreError> {
        match tokio::time::timeout(KEPT_KNOWN_WITHIN, self.acknowledged.ask(change)).await {
            Ok(Ok(Kept::There)) => Ok(()),
            Ok(Ok(Kept::Forgotten)) => Err(StoreError::Forgotten),
            Ok(Err(_)) | Err(_) => Err(StoreError::Unreachable(
                "the change was made and not heard of, so it may yet be lost".to_owned(),
            )),
        }
    }

    async fn counted<T>(
        &self,
        command: StoreCommand,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = self.clock.moment();
        let answer = asked.await;
        let took = self.clock.moment().saturating_since(begun);
        self.metrics.store_command(command, took, answer.is_ok());
        answer
    }

    fn audit_entry(&self, attempt: &Attempt<'_>, planned: Result<&Plan, Refusal>) -> AuditEntry {
        let Attempt { request, key, action, current, .. } = attempt;
        let before = current.map(|customer| customer.record.body.restrictions.clone());
        let before = before.unwrap_or_default();
        let (outcome, after): (_, Restrictions) = match planned {
            Ok(plan) if plan.changed => (AuditOutcome::Changed, plan.body.restrictions.clone()),
            Ok(_) => (AuditOutcome::Unchanged, before.clone()),
            Err(_) => (AuditOutcome::Refused, before.clone()),
        };
        AuditEntry {
            outcome,
            refusal: planned.err().map(|refusal| refusal.code().to_owned()),
            source: Some(action.source_for(&request.actor)),
            reason: action.placement.reason,
            notes_digest: attempt.notes.map(Notes::digest),
            informed_at: action.placement.informed_at,
            before,
            after,
            ..self.entry(request, key.to_string(), action.verb.as_str())
        }
    }
}

/// Whether the customer is at the revision that the request asks for, and whether it had to ask
/// for one.
fn expected_holds(
    request: &Request,
    action: &Action,
    writer: &Writer,
    current: Option<&Customer>,
) -> Result<(), Refusal> {
    let Some(expected) = &request.expected else {
        let is_mixed = action.status.is_some() && !action.fields.is_empty();
        return if is_mixed && current.is_some() { Err(Refusal::RevisionRequired) } else { Ok(()) };
    };
    let at = current.map(|customer| customer.record.revision);
    if expected.epoch == writer.epoch && at == Some(expected.revision) {
        Ok(())
    } else {
        Err(Refusal::NotAtRevision)
    }
}

/// One try of an act: what is asked for, and what it was worked out from.
struct Attempt<'a> {
    request: &'a Request,
    key: &'a CustomerKey,
    action: &'a Action,
    current: Option<&'a Customer>,
    writer: Writer,
    /// What the action's notes are kept as.
    notes: Option<&'a Notes>,
}

/// What an action's notes are kept as.
fn noted(action: &Action) -> Result<Option<Notes>, StoreError> {
    let Some(text) = &action.placement.notes else { return Ok(None) };
    Ok(Some(Notes::new(&hex(&keys::random::<16>()?), text)))
}

impl From<CommitError> for ActError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Refused(Refusal::KeptChanging),
            CommitError::IdempotencyKeyReused => Self::Refused(Refusal::KeyReused),
            CommitError::Store(error) => Self::Store(error),
            CommitError::Behind
            | CommitError::Epoch
            | CommitError::Lost(_)
            | CommitError::RestrictedLost => Self::StoreLost(error.to_string()),
            CommitError::WrongType(_) => Self::Store(StoreError::Unexpected(error.to_string())),
        }
    }
}

/// How often an act is worked out anew when somebody else changes the customer meanwhile.
const TRIES: usize = 5;
/// How long an act waits for its own effect here. Past that the feed is behind, and says so.
const EFFECT_AWAITED: Duration = Duration::from_millis(250);
/// How long it waits to know that the change is kept. A feed that finds another master needs less.
const KEPT_KNOWN_WITHIN: Duration = Duration::from_secs(5);
