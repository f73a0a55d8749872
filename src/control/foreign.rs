//! What billing systems say of customers in their own words: the one way by which that becomes an
//! act, however it came.

pub mod message;
pub mod unresolved;

use std::collections::BTreeSet;

use self::message::Message;
use super::{ActError, Control, Request};
use crate::{
    domain::{
        Action, Actor, Code, CustomerId, Kind, MessageId, Placement, Postmark, Refusal, Role,
        Source, TenantId, Verb, action::Fields, digest::sha256_hex,
    },
    store::Idempotency,
    telemetry::ActDialect,
};

/// What one says of a customer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement {
    /// The tenant whose customer it is.
    pub tenant: TenantId,
    /// Whose; an id of the billing system's, or of ours.
    pub customer: CustomerId,
    /// What.
    pub says: Says,
    /// When, and what tells it from other statements.
    pub postmark: Postmark,
    /// What becomes of it when there is no such customer.
    pub stranger: Stranger,
}

/// What is said of a customer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Says {
    /// The features that it has, and no others.
    Features(BTreeSet<Code>),
    /// The kind of restriction that the source holds, and no other; none for an active one.
    Status(Option<Kind>, Placement),
}

/// What becomes of a customer that is not known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stranger {
    /// It is made.
    Made,
    /// Nothing: nobody knows who is meant.
    Unresolved,
}

/// What came of a statement.
#[derive(Debug)]
pub enum Heard {
    /// It changed something.
    Applied,
    /// A later one of the same source came before it.
    Outdated,
    /// It may not be done.
    Refused(Refusal),
    /// It came before.
    Repeated,
    /// Everything was so already.
    Unchanged,
    /// Nobody knows the customer.
    Unresolved,
    /// It cannot be done now.
    Waits(ActError),
}

impl Says {
    /// What a message says.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        let Message { reason, until, notes, .. } = message.clone();
        Self::Status(message.status, Placement { reason, until, notes, ..Placement::default() })
    }
}

impl Statement {
    /// The request of a system that calls back, from `address`. An event of one id counts once, also
    /// when another of the same moment came between.
    #[must_use]
    pub fn by_webhook(&self, source: &Source, address: Option<String>) -> Request {
        let role = match self.says {
            Says::Features(_) => Role::Manager,
            Says::Status(..) => Role::Support,
        };
        let actor = Actor {
            name: WEBHOOK.to_owned(),
            source: Some(source.clone()),
            address,
            ..Actor::tollgate(role)
        };
        let id = match &self.postmark.id {
            MessageId::Given(id) => Some(id.clone()),
            MessageId::Digest(_) | MessageId::Unknown => None,
        };
        let idempotency = id.as_ref().map(|id| {
            let (tenant, customer) = (self.tenant.as_str(), self.customer.as_str());
            let scope = [WEBHOOK, source.as_str(), tenant, customer, id].join("\0");
            let key_digest = sha256_hex(&scope);
            // One that is sent again may tell how often it was.
            Idempotency { body_digest: key_digest.clone(), key_digest }
        });
        Request { actor, dialect: ActDialect::Webhook, request_id: id, expected: None, idempotency }
    }
}

impl Control {
    /// Does what the source of `request` says of a customer, whom it may name by an alias.
    pub async fn hear(&self, request: &Request, statement: &Statement) -> Heard {
        match self.try_hear(request, statement).await {
            Ok(heard) => heard,
            Err(ActError::Refused(Refusal::MessageOutdated)) => Heard::Outdated,
            Err(ActError::Refused(Refusal::MessageRepeated)) => Heard::Repeated,
            // There is nobody any more of whom to know it, however often it is sent.
            Err(ActError::Refused(Refusal::CustomerPurged)) => Heard::Unchanged,
            Err(ActError::Refused(refusal)) if refusal != Refusal::KeptChanging => {
                Heard::Refused(refusal)
            }
            Err(error) => Heard::Waits(error),
        }
    }

    async fn try_hear(&self, request: &Request, statement: &Statement) -> Result<Heard, ActError> {
        let Statement { tenant, customer, says, postmark, stranger } = statement;
        let source = Action::of(Verb::Put).source_for(&request.actor);
        let key = self.customer_meant(tenant, &source, customer).await?;
        if *stranger == Stranger::Unresolved && self.customer(&key).await?.is_none() {
            return Ok(Heard::Unresolved);
        }
        let action = Action {
            postmark: Some(postmark.clone()),
            create: *stranger == Stranger::Made,
            ..says.action()
        };
        match self.act(request, &key, &action).await {
            Ok(acted) if acted.replayed => Ok(Heard::Repeated),
            Ok(acted) if acted.changed => Ok(Heard::Applied),
            Ok(_) => Ok(Heard::Unchanged),
            Err(ActError::Refused(Refusal::CustomerUnknown))
                if *stranger == Stranger::Unresolved =>
            {
                Ok(Heard::Unresolved)
            }
            Err(error) => Err(error),
        }
    }
}

impl Says {
    fn action(&self) -> Action {
        let put = Action::of(Verb::Put);
        match self {
            Self::Features(features) => {
                let features = Some(Some(features.clone()));
                Action { fields: Fields { features, ..Fields::default() }, ..put }
            }
            Self::Status(kind, placement) => {
                Action { status: Some(*kind), placement: placement.clone(), ..put }
            }
        }
    }
}

const WEBHOOK: &str = "webhook";
