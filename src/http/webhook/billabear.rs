//! `BillaBear`: every event about a customer tells whether it is disabled. Any other change there
//! enables it without a word of its own, so all of them are heard.

use serde_json::Value;

use super::{Endpoint, Event, Unusable};
use crate::{
    control::foreign::{Says, Statement, Stranger, message::digest},
    domain::{CustomerId, Dated, Kind, MessageId, Placement, Postmark, Timestamp},
};

pub(super) fn read(endpoint: &Endpoint, body: &[u8], now: Timestamp) -> Result<Event, Unusable> {
    let malformed = |path: &str, rule| Unusable::Malformed(path.to_owned(), rule);
    let event: Value =
        serde_json::from_slice(body).map_err(|_| malformed("body", "must be a JSON object"))?;
    if !event.is_object() {
        return Err(malformed("body", "must be a JSON object"));
    }
    let Some(customer) = event.get("customer").filter(|it| !it.is_null()) else {
        return Ok(Event::Ignored);
    };
    let id = customer.get("id").and_then(Value::as_str).and_then(|id| CustomerId::parse(id).ok());
    let id = id.ok_or_else(|| {
        malformed("customer.id", "must be 1 to 128 bytes of [A-Za-z0-9._:@-], and not `.` or `..`")
    })?;
    let is_disabled = customer.get("is_disabled").and_then(Value::as_bool);
    let is_disabled =
        is_disabled.ok_or_else(|| malformed("customer.is_disabled", "must be true or false"))?;
    let tenant = endpoint.tenant.clone().ok_or_else(|| malformed("tenant", "is not known"))?;
    Ok(Event::Says(Statement {
        tenant,
        customer: id,
        says: Says::Status(is_disabled.then_some(Kind::Disabled), Placement::default()),
        // It tells neither when it was sent nor what tells it from others.
        postmark: Postmark { dated: Dated::Arrived(now), id: MessageId::Digest(digest(body)) },
        stranger: Stranger::Unresolved,
    }))
}
