//! Stripe: the policy file says what an event makes of its customer, and the summary of its
//! entitlements tells its features.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Endpoint, Event, Unusable};
use crate::{
    control::foreign::{Says, Statement, Stranger},
    domain::{Code, CustomerId, Dated, MessageId, Placement, Postmark, Timestamp},
    policy::{Rules, STRIPE_SUMMARY},
};

pub(super) fn read(endpoint: &Endpoint, body: &[u8], rules: &Rules) -> Result<Event, Unusable> {
    let event: Value =
        serde_json::from_slice(body).map_err(|_| malformed("body", "must be a JSON object"))?;
    let kind = text(&event, "type")?;
    let object = event.pointer("/data/object").unwrap_or(&Value::Null);
    let says = if kind == STRIPE_SUMMARY {
        match features(object)? {
            Some(features) => Says::Features(features),
            None => return Ok(Event::Incomplete),
        }
    } else {
        let status = object.get("status").and_then(Value::as_str);
        match rules.stripe(kind, status) {
            Some(rule) => {
                let placement = Placement { reason: rule.reason, ..Placement::default() };
                Says::Status(rule.kind, placement)
            }
            None => return Ok(Event::Ignored),
        }
    };
    let Some(customer) = customer(object) else { return Ok(Event::Ignored) };
    let customer = CustomerId::parse(customer).map_err(|_| {
        malformed(
            "data.object.customer",
            "must be 1 to 128 bytes of [A-Za-z0-9._:@-], and not `.` or `..`",
        )
    })?;
    let id = text(&event, "id")?;
    if id.len() > ID_BYTES_AT_MOST {
        return Err(malformed("id", "must be 1 to 256 bytes long"));
    }
    let created = event.get("created").and_then(Value::as_i64);
    let created =
        created.ok_or_else(|| malformed("created", "must be a time in seconds since 1970"))?;
    let at = Timestamp::from_millis(created.saturating_mul(1000));
    let tenant = endpoint.tenant.clone().ok_or_else(|| malformed("tenant", "is not known"))?;
    Ok(Event::Says(Statement {
        tenant,
        customer,
        says,
        postmark: Postmark { dated: Dated::Sent(at), id: MessageId::Given(id.to_owned()) },
        stranger: Stranger::Unresolved,
    }))
}

/// The customer of what an event is about: named by its id, told whole, or that very thing.
fn customer(object: &Value) -> Option<&str> {
    let named = object.get("customer").unwrap_or(&Value::Null);
    let itself = || object.get("object").and_then(Value::as_str) == Some("customer");
    named
        .as_str()
        .or_else(|| named.get("id").and_then(Value::as_str))
        .or_else(|| object.get("id").and_then(Value::as_str).filter(|_| itself()))
}

/// The features of a summary; nothing when it does not tell all.
fn features(object: &Value) -> Result<Option<BTreeSet<Code>>, Unusable> {
    let list = object.get("entitlements").unwrap_or(&Value::Null);
    let Some(entitlements) = list.get("data").and_then(Value::as_array) else {
        return Err(malformed("data.object.entitlements.data", "must be a list"));
    };
    if list.get("has_more").and_then(Value::as_bool) != Some(false) {
        return Ok(None);
    }
    let code = |(place, entitlement): (usize, &Value)| {
        let key = entitlement.get("lookup_key").and_then(Value::as_str);
        key.and_then(|key| Code::parse(key).ok()).ok_or_else(|| {
            let path = format!("data.object.entitlements.data[{place}].lookup_key");
            Unusable::Malformed(path, "must be 1 to 128 bytes of [A-Za-z0-9._:/@-]")
        })
    };
    entitlements.iter().enumerate().map(code).collect::<Result<_, _>>().map(Some)
}

fn text<'a>(event: &'a Value, field: &str) -> Result<&'a str, Unusable> {
    let text = event.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or_else(|| malformed(field, "must be a text"))
}

fn malformed(path: &str, rule: &'static str) -> Unusable {
    Unusable::Malformed(path.to_owned(), rule)
}

const ID_BYTES_AT_MOST: usize = 256;
