//! Billing systems that cannot call the operator API: what they publish in the store becomes an
//! act like any other.
//!
//! Every instance that may write listens, and the holder of a lease applies.

mod channel;
mod inbox;

use std::convert::Infallible;

use crate::{
    control::{
        ActError, Control, Request,
        foreign::{
            Heard, Says, Statement, Stranger,
            message::{Message, Unusable},
        },
        tenure::Tenure,
    },
    domain::{
        Actor, CustomerId, CustomerKey, Dated, MessageId, Postmark, Refusal, Role, Source,
        TenantId, Timestamp,
    },
    store::{ForeignWriters, StoreError, format},
    telemetry::{
        ActDialect, IngestResult, Via,
        event::{IngestGivenUp, IngestTaken, MessageUnusable},
    },
};

/// Applies what foreign writers say.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// Performs the acts.
    pub control: Control,
    /// Tells whether this instance applies.
    pub tenure: Tenure,
    /// Where they say it.
    pub writers: ForeignWriters,
    /// The source that it counts for.
    pub source: Source,
    /// The tenant of messages that name none.
    pub default_tenant: Option<TenantId>,
}

/// How a message came.
#[derive(Clone, Copy, Debug)]
enum Arrival<'a> {
    /// On the channel, at that moment.
    Published(Timestamp),
    /// In the inbox, as the entry of that id.
    Queued(&'a str),
    /// On the channel at that moment, and in the inbox since.
    Requeued(Timestamp),
}

impl Arrival<'_> {
    const fn via(self) -> Via {
        match self {
            Self::Published(_) => Via::Channel,
            Self::Queued(_) | Self::Requeued(_) => Via::Inbox,
        }
    }

    /// What `message` says of itself, and where it says nothing, what its arrival does.
    fn postmark(self, message: &Message) -> Postmark {
        let own_id = message.id.clone().map(MessageId::Given);
        let text = || MessageId::Digest(message.digest.clone());
        let (dated, id) = match self {
            Self::Published(at) => (Dated::Arrived(at), text()),
            Self::Queued(entry) => {
                (Dated::Queued(queued_at(entry)), MessageId::Given(entry.to_owned()))
            }
            Self::Requeued(at) => (Dated::Queued(at), text()),
        };
        Postmark { dated: message.at.map_or(dated, Dated::Sent), id: own_id.unwrap_or(id) }
    }
}

/// It cannot be done now.
fn waits(customer: &CustomerId, error: &ActError) -> Outcome {
    tracing::debug!(customer.id = %customer, %error, "A message waits: {error}");
    Outcome::Waits(IngestResult::Failed)
}

/// When the inbox took an entry, as its id tells.
fn queued_at(entry: &str) -> Timestamp {
    let (millis, _) = format::id_order(entry);
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// What came of a message.
#[derive(Debug)]
enum Outcome {
    /// It is done with.
    Settled(IngestResult),
    /// It can never be applied, and why.
    Unusable(IngestResult, String),
    /// It may be applied later.
    Waits(IngestResult),
}

impl Ingest {
    /// Follows channel and inbox for ever.
    pub async fn run(self) -> Infallible {
        tokio::select! {
            never = channel::follow(&self) => never,
            never = inbox::follow(&self) => never,
            never = self.tell_tenure() => never,
        }
    }

    async fn tell_tenure(&self) -> Infallible {
        let metrics = &self.control.metrics;
        loop {
            self.tenure.begins().await;
            IngestTaken.emit(metrics);
            self.tenure.ends().await;
            IngestGivenUp.emit(metrics);
        }
    }

    /// Reads and applies one message, and counts what came of it.
    async fn settle(&self, text: &[u8], arrival: Arrival<'_>) -> Outcome {
        let outcome = match self.read(text) {
            Ok((message, tenant)) => self.apply(message, &tenant, arrival).await,
            Err(unusable) => Outcome::Unusable(IngestResult::Malformed, unusable.to_string()),
        };
        let (metrics, via) = (&self.control.metrics, arrival.via());
        match &outcome {
            Outcome::Settled(result) | Outcome::Waits(result) => {
                metrics.ingest_message(via, *result);
            }
            Outcome::Unusable(result, why) => {
                MessageUnusable { via, result: *result, why }.emit(metrics);
            }
        }
        outcome
    }

    /// A message, and the tenant whose customer it is about.
    fn read(&self, text: &[u8]) -> Result<(Message, TenantId), Unusable> {
        let message = Message::read(text)?;
        let tenant = message.tenant.as_ref().or(self.default_tenant.as_ref()).cloned();
        let tenant = tenant.ok_or(Unusable { field: "tenantId", rule: "is required" })?;
        Ok((message, tenant))
    }

    /// Whom a message is about.
    async fn customer_meant(
        &self,
        tenant: &TenantId,
        message: &Message,
    ) -> Result<CustomerKey, StoreError> {
        self.control.customer_meant(tenant, &self.source, &message.customer).await
    }

    async fn apply(&self, message: Message, tenant: &TenantId, arrival: Arrival<'_>) -> Outcome {
        let statement = Statement {
            tenant: tenant.clone(),
            customer: message.customer.clone(),
            says: Says::of(&message),
            postmark: arrival.postmark(&message),
            stranger: Stranger::Made,
        };
        match self.control.hear(&self.request(arrival.via(), &message), &statement).await {
            Heard::Applied => Outcome::Settled(IngestResult::Applied),
            Heard::Unchanged => Outcome::Settled(IngestResult::Unchanged),
            Heard::Outdated => Outcome::Settled(IngestResult::Outdated),
            Heard::Repeated => Outcome::Settled(IngestResult::Repeated),
            Heard::Refused(refusal) => {
                let why = format!("{}: {refusal}", refusal.code());
                Outcome::Unusable(IngestResult::Refused, why)
            }
            Heard::Unresolved => {
                let why = Refusal::CustomerUnknown.to_string();
                Outcome::Unusable(IngestResult::Refused, why)
            }
            Heard::Waits(ActError::SourcePaused { .. }) => Outcome::Waits(IngestResult::Paused),
            Heard::Waits(error) => waits(&message.customer, &error),
        }
    }

    fn request(&self, via: Via, message: &Message) -> Request {
        let actor = Actor {
            name: "ingest".to_owned(),
            source: Some(self.source.clone()),
            ..Actor::tollgate(Role::Support)
        };
        Request {
            actor,
            dialect: match via {
                Via::Channel => ActDialect::Channel,
                Via::Inbox => ActDialect::Inbox,
            },
            request_id: message.id.clone(),
            expected: None,
            idempotency: None,
        }
    }
}
