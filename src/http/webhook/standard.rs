//! Standard Webhooks: a status message in an envelope.

use serde_json::{Map, Value};

use super::{Endpoint, Event, Unusable};
use crate::{
    control::foreign::{
        Says, Statement, Stranger,
        message::{Message, digest},
    },
    domain::{Dated, MessageId, Postmark, Timestamp},
};

pub(super) fn read(
    endpoint: &Endpoint,
    id: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Result<Event, Unusable> {
    let malformed = |path: &str, rule| Unusable::Malformed(path.to_owned(), rule);
    let event: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| malformed("body", "must be a JSON object"))?;
    let kind = event.get("type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| malformed("type", "is required"))?;
    if !is_of_status(kind) {
        return Ok(Event::Ignored);
    }
    let message = Message::in_event(&event, digest(body))
        .map_err(|unusable| malformed(unusable.field, unusable.rule))?;
    if let (Some(own), Some(named)) = (&endpoint.bound_to, &message.tenant)
        && own != named
    {
        return Err(Unusable::OtherTenant);
    }
    let tenant = message.tenant.clone().or_else(|| endpoint.tenant.clone());
    let tenant = tenant.ok_or_else(|| malformed("tenantId", "is required"))?;
    let id = match id {
        Some(id) => MessageId::Given(id.to_owned()),
        None => MessageId::Digest(message.digest.clone()),
    };
    Ok(Event::Says(Statement {
        tenant,
        customer: message.customer.clone(),
        says: Says::of(&message),
        postmark: Postmark { dated: message.at.map_or(Dated::Arrived(now), Dated::Sent), id },
        stranger: Stranger::Made,
    }))
}

/// Whether events of this type tell a customer's status: `customer.<word>`, `customer.status...`,
/// and the same behind a prefix, as in `com.example.customer.disabled`. The status that
/// `customer.subscription.updated` has is another's.
fn is_of_status(kind: &str) -> bool {
    let Some((before, after)) = kind.rsplit_once("customer.") else { return false };
    let is_whole = before.is_empty() || before.ends_with('.');
    is_whole && !after.is_empty() && (after.starts_with("status") || !after.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_tells_whether_an_event_is_of_a_customers_status() {
        for kind in [
            "customer.status",
            "customer.status.changed",
            "customer.disabled",
            "com.example.customer.updated",
        ] {
            assert!(is_of_status(kind), "{kind}");
        }
        for kind in [
            "",
            "customer",
            "customer.",
            "customers.status",
            "mycustomer.disabled",
            "customer.subscription.updated",
            "invoice.paid",
        ] {
            assert!(!is_of_status(kind), "{kind}");
        }
    }
}
