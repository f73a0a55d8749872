//! Performs one action: authorise, work out what it makes of the customer, commit that with its
//! audit entry. Nothing else writes.

pub mod keys;

use std::time::Duration;

use tokio::sync::watch;

use crate::{
    cache::{Cache, keyring::Keyring},
    clock::Clock,
    domain::{
        Action, Actor, AuditEntry, Customer, CustomerKey, Partition, Record, Refusal, Restrictions,
        Revision, Token,
        action::{Plan, plan},
        audit::{AuditActor, AuditOutcome, StoredAudit},
    },
    feed::FeedStatus,
    store::{
        AuditPage, Commit, CommitError, Committed, CustomerPage, CustomerWrite, Idempotency,
        PARTITIONS, Store, StoreError, Write, Writer,
    },
    telemetry::{Metrics, StoreCommand},
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
    /// Tells whether the store is believed.
    pub feed: watch::Receiver<FeedStatus>,
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
    pub dialect: &'static str,
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
}

/// Why an act was not performed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The customer kept changing.
    #[error("the customer was changed meanwhile, again and again")]
    Conflict,
    /// The idempotency key stands for something else.
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// The customer is not at the revision that was asked for.
    #[error("the customer is not at the revision asked for")]
    PreconditionFailed,
    /// It may not be done.
    #[error(transparent)]
    Refused(#[from] Refusal),
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
        for _ in 0..TRIES {
            let writer = self.writer(key.partition(PARTITIONS))?;
            let current = self.counted(StoreCommand::Read, self.store.customer(key)).await?;
            check_expected(request, &writer, current.as_ref())?;
            let now = self.clock.now();
            let planned = plan(current.as_ref(), action, &request.actor, now);
            let audit = self.audit_entry(request, key, action, current.as_ref(), &planned);
            self.metrics.operator_act(action.verb, audit.outcome);
            let plan = match planned {
                Ok(plan) => plan,
                Err(refusal) => {
                    self.record_refusal(key, writer, audit).await;
                    return Err(refusal.into());
                }
            };
            let write = write_of(key, current.as_ref(), &plan);
            let idempotency = request.idempotency.clone();
            let commit = Commit { write, writer: writer.clone(), audit, idempotency };
            match self.commit(commit).await {
                Ok(committed) => {
                    return self.acted(key, current, plan, writer, committed).await;
                }
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ActError::Conflict)
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

    /// The token for a revision of `partition` in the history that is followed here.
    #[must_use]
    pub fn token(&self, partition: Partition, revision: Revision) -> Option<Token> {
        let watermark = self.cache.watermark(partition)?;
        Some(Token { epoch: watermark.epoch, partition, revision })
    }

    /// What this instance knows of the store, or why it writes nothing now.
    fn writer(&self, partition: Partition) -> Result<Writer, ActError> {
        if let Some(why) = self.feed.borrow().lost {
            return Err(ActError::StoreLost(why.to_owned()));
        }
        let watermark = self.cache.watermark(partition).ok_or_else(|| {
            StoreError::Unreachable("this instance has not read it yet".to_owned())
        })?;
        Ok(Writer { epoch: watermark.epoch, watermark: watermark.position.revision })
    }

    /// Every act leaves an entry, a refused one too. That it cannot be written does not turn the
    /// refusal into something else.
    async fn record_refusal(&self, key: &CustomerKey, writer: Writer, audit: AuditEntry) {
        let write = Write::Nothing { customer: Some(key.clone()) };
        let commit = Commit { write, writer, audit, idempotency: None };
        if let Err(error) = self.commit(commit).await {
            tracing::warn!(customer.id = %key, %error, "A refused act could not be put on record");
        }
    }

    async fn acted(
        &self,
        key: &CustomerKey,
        before: Option<Customer>,
        plan: Plan,
        writer: Writer,
        committed: Committed,
    ) -> Result<Acted, ActError> {
        let partition = key.partition(PARTITIONS);
        let revision = Token { epoch: writer.epoch, partition, revision: committed.revision };
        // Whoever acts here and asks here next is answered by what they did.
        self.cache.reaches(&revision, EFFECT_AWAITED).await;
        let created = before.is_none() && !committed.replayed;
        let customer = match before {
            _ if committed.replayed => self.customer(key).await?.ok_or(Refusal::CustomerUnknown)?,
            Some(before) if !plan.changed => before,
            _ => {
                let record =
                    Record { key: key.clone(), revision: committed.revision, body: plan.body };
                Customer { record, private: plan.private }
            }
        };
        Ok(Acted { customer, changed: committed.changed, created })
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let begun = self.clock.moment();
        let committed = self.store.commit(commit).await;
        let took = self.clock.moment().saturating_since(begun);
        self.metrics.store_commands[StoreCommand::Commit].record(took);
        if matches!(committed, Err(CommitError::Store(_))) {
            self.metrics.store_errors[StoreCommand::Commit].increment(1);
        }
        committed
    }

    async fn counted<T>(
        &self,
        command: StoreCommand,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = self.clock.moment();
        let answer = asked.await;
        let took = self.clock.moment().saturating_since(begun);
        self.metrics.store_commands[command].record(took);
        if answer.is_err() {
            self.metrics.store_errors[command].increment(1);
        }
        answer
    }

    fn audit_entry(
        &self,
        request: &Request,
        key: &CustomerKey,
        action: &Action,
        current: Option<&Customer>,
        planned: &Result<Plan, Refusal>,
    ) -> AuditEntry {
        let before = current.map(|customer| customer.record.body.restrictions.clone());
        let before = before.unwrap_or_default();
        let (outcome, after): (_, Restrictions) = match planned {
            Ok(plan) if plan.changed => (AuditOutcome::Changed, plan.body.restrictions.clone()),
            Ok(_) => (AuditOutcome::Unchanged, before.clone()),
            Err(_) => (AuditOutcome::Refused, before.clone()),
        };
        AuditEntry {
            subject: key.to_string(),
            action: action.verb.as_str().to_owned(),
            outcome,
            refusal: planned.as_ref().err().map(|refusal| refusal.code().to_owned()),
            actor: AuditActor::from(&request.actor),
            dialect: request.dialect.to_owned(),
            source: Some(action.source_for(&request.actor)),
            reason: action.placement.reason,
            notes: action.placement.notes.clone(),
            informed_at: action.placement.informed_at,
            before,
            after,
            request_id: request.request_id.clone(),
            at: self.clock.now(),
        }
    }
}

fn check_expected(
    request: &Request,
    writer: &Writer,
    current: Option<&Customer>,
) -> Result<(), ActError> {
    let Some(expected) = &request.expected else { return Ok(()) };
    let at = current.map(|customer| customer.record.revision);
    if expected.epoch == writer.epoch && at == Some(expected.revision) {
        Ok(())
    } else {
        Err(ActError::PreconditionFailed)
    }
}

fn write_of(key: &CustomerKey, current: Option<&Customer>, plan: &Plan) -> Write {
    if !plan.changed {
        return Write::Nothing { customer: Some(key.clone()) };
    }
    Write::Customer(Box::new(CustomerWrite {
        key: key.clone(),
        expected: current.map(|customer| customer.record.revision),
        body: plan.body.clone(),
        private: plan.private.clone(),
        entitlements_changed: plan.entitlements_changed,
        act: plan.act.clone(),
    }))
}

impl From<CommitError> for ActError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Conflict,
            CommitError::IdempotencyKeyReused => Self::IdempotencyKeyReused,
            CommitError::Store(error) => Self::Store(error),
            CommitError::Behind | CommitError::Epoch | CommitError::RestrictedLost => {
                Self::StoreLost(error.to_string())
            }
            CommitError::WrongType(_) => Self::Store(StoreError::Unexpected(error.to_string())),
        }
    }
}

/// How often an act is worked out anew when somebody else changes the customer meanwhile.
const TRIES: usize = 5;
/// How long an act waits for its own effect here. Past that the feed is behind, and says so.
const EFFECT_AWAITED: Duration = Duration::from_millis(250);
