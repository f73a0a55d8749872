//! Statements of customers that nobody knows: they are kept, and tried again, until somebody says
//! whose id it is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Says, Statement, Stranger};
use crate::{
    control::{ActError, Control},
    domain::{
        Code, CustomerId, Dated, MessageId, Partition, Placement, Postmark, RestrictionReason,
        Source, Status, TenantId, Timestamp,
    },
    store::{StoreError, format::unexpected},
};

/// A statement that waits for its customer, as the store keeps it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unresolved {
    /// Who says it.
    pub source: Source,
    /// The tenant whose customer it is.
    pub tenant: TenantId,
    /// The source's id of the customer.
    pub customer: CustomerId,
    /// The status that the source says the customer has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RestrictionReason>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// For operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notes: Option<String>,
    /// The features that it says the customer has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<BTreeSet<Code>>,
    /// When it was sent, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// When it came.
    pub received_at: Timestamp,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Unresolved {
    fn of(
        statement: &Statement,
        source: &Source,
        address: Option<&str>,
        received_at: Timestamp,
    ) -> Self {
        let Statement { tenant, customer, says, postmark, .. } = statement.clone();
        let (status, placement, features) = match says {
            Says::Status(kind, placement) => (Some(Status::from(kind)), placement, None),
            Says::Features(features) => (None, Placement::default(), Some(features)),
        };
        let sent_at = match postmark.dated {
            Dated::Sent(at) => Some(at),
            Dated::Arrived(_) | Dated::Queued(_) => None,
        };
        let (id, digest) = match postmark.id {
            MessageId::Given(id) => (Some(id), None),
            MessageId::Digest(digest) => (None, Some(digest)),
            MessageId::Unknown => (None, None),
        };
        let Placement { reason, until, notes, .. } = placement;
        let (source, address) = (source.clone(), address.map(str::to_owned));
        Self {
            source,
            tenant,
            customer,
            status,
            reason,
            until,
            notes,
            features,
            sent_at,
            received_at,
            id,
            digest,
            address,
        }
    }

    /// When it was sent, or else came.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.sent_at.unwrap_or(self.received_at)
    }

    /// What was said. What came after it and was applied meanwhile stands.
    #[must_use]
    pub fn statement(&self) -> Statement {
        let placement = Placement {
            reason: self.reason,
            until: self.until,
            notes: self.notes.clone(),
            ..Placement::default()
        };
        let says = match &self.features {
            Some(features) => Says::Features(features.clone()),
            None => Says::Status(self.status.and_then(Status::kind), placement),
        };
        let id = match (&self.id, &self.digest) {
            (Some(id), _) => MessageId::Given(id.clone()),
            (None, Some(digest)) => MessageId::Digest(digest.clone()),
            (None, None) => MessageId::Unknown,
        };
        let dated = self.sent_at.map_or(Dated::Queued(self.received_at), Dated::Sent);
        Statement {
            tenant: self.tenant.clone(),
            customer: self.customer.clone(),
            says,
            postmark: Postmark { dated, id },
            stranger: Stranger::Unresolved,
        }
    }
}

impl Control {
    /// Keeps what `source` says until its customer is known. Tells how many older statements found
    /// no room any more.
    pub async fn keep_unresolved(
        &self,
        statement: &Statement,
        source: &Source,
        address: Option<&str>,
    ) -> Result<u64, ActError> {
        let writer = self.writer(Partition(0))?;
        let kept = Unresolved::of(statement, source, address, self.clock.now());
        let text = serde_json::to_string(&kept).map_err(unexpected)?;
        let dropped = self.store.add_unresolved(&writer.epoch, &text, KEPT_AT_MOST).await?;
        dropped.ok_or_else(|| ActError::StoreLost("its history is another one".to_owned()))
    }

    /// At most `limit` of those that wait, the oldest first, each with the store's id of it, from
    /// behind the one with the id `after`. Nothing for one that a newer Tollgate keeps.
    pub async fn unresolved(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Option<Unresolved>)>, StoreError> {
        let found = self.store.unresolved(after, limit).await?;
        Ok(found.into_iter().map(|it| (it.id, serde_json::from_str(&it.text).ok())).collect())
    }
}

/// A store must not be filled by somebody else's customers.
const KEPT_AT_MOST: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Kind;

    fn statement(says: Says, postmark: Postmark) -> Statement {
        let tenant = TenantId::parse("acme").unwrap();
        let customer = CustomerId::parse("cus_1").unwrap();
        Statement { tenant, customer, says, postmark, stranger: Stranger::Unresolved }
    }

    #[test]
    fn a_statement_that_waits_reads_back_and_keeps_its_place() {
        let at = Timestamp::from_millis;
        let (source, received) = (Source::parse("stripe").unwrap(), at(9000));
        let reason = Some(RestrictionReason::NonPayment);
        let placement = Placement { reason, ..Placement::default() };
        let sent = |id: &str| Postmark {
            dated: Dated::Sent(at(7000)),
            id: MessageId::Given(id.to_owned()),
        };
        let features = BTreeSet::from([Code::parse("sso").unwrap()]);
        for said in [
            statement(Says::Status(Some(Kind::Frozen), placement), sent("evt_1")),
            statement(Says::Status(None, Placement::default()), sent("evt_2")),
            statement(Says::Features(features), sent("evt_3")),
        ] {
            let kept = Unresolved::of(&said, &source, Some("192.0.2.1"), received);
            let read: Unresolved =
                serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
            assert_eq!((read.statement(), read.at()), (said, at(7000)));
        }
        let digest = MessageId::Digest("d".to_owned());
        let undated = Postmark { dated: Dated::Arrived(at(8000)), id: digest.clone() };
        let kept = Unresolved::of(
            &statement(Says::Status(None, Placement::default()), undated),
            &source,
            None,
            received,
        );
        let expected = Postmark { dated: Dated::Queued(received), id: digest };
        assert_eq!((kept.statement().postmark, kept.at()), (expected, received));
    }
}
