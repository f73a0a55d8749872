//! What a billing system says of a customer, read strictly: every error names the field and the
//! rule, and never what stands there, which may be private.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    domain::{CustomerId, Kind, RestrictionReason, TenantId, Timestamp},
    store::format::hex,
};

/// A customer's status, as a billing system tells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Whose; an id of the billing system's, or of ours.
    pub customer: CustomerId,
    /// The tenant, if one is named.
    pub tenant: Option<TenantId>,
    /// The kind that the source is to hold; none when the customer is active.
    pub status: Option<Kind>,
    /// Why.
    pub reason: Option<RestrictionReason>,
    /// Free text for operators.
    pub notes: Option<String>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// When it happened.
    pub at: Option<Timestamp>,
    /// What tells the message from others.
    pub id: Option<String>,
    /// The digest of its text.
    pub digest: String,
}

/// Why a message cannot be understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Unusable {
    /// Which field is wrong.
    pub field: &'static str,
    /// Which rule it breaks.
    pub rule: &'static str,
}

impl Message {
    /// Reads the JSON of a message, plain or as the `data` of a `CloudEvents` 1.0 envelope, whose
    /// `id` and `time` then stand in for the message's own. Fields that nobody knows are ignored.
    pub fn read(text: &[u8]) -> Result<Self, Unusable> {
        if text.len() > BYTES_AT_MOST {
            return Err(Unusable { field: "message", rule: "must not be longer than 16384 bytes" });
        }
        let not_json = Unusable { field: "message", rule: "must be a JSON object in UTF-8" };
        let whole: Map<String, Value> = serde_json::from_slice(text).map_err(|_| not_json)?;
        if whole.contains_key(SPECVERSION) {
            Self::in_cloud_event(&whole, digest(text))
        } else {
            Self::of(&whole, None, None, digest(text))
        }
    }

    /// Reads the event of a webhook, `{"type", "timestamp", "data"}` or a `CloudEvents` envelope,
    /// with a message as its `data`. Its `timestamp` stands in for the message's own `at`.
    pub fn in_event(event: &Map<String, Value>, digest: String) -> Result<Self, Unusable> {
        if event.contains_key(SPECVERSION) {
            return Self::in_cloud_event(event, digest);
        }
        Self::of(data_of(event)?, None, Object(event).time("timestamp")?, digest)
    }

    fn in_cloud_event(event: &Map<String, Value>, digest: String) -> Result<Self, Unusable> {
        let envelope = Object(event);
        let version = envelope.text(SPECVERSION)?.unwrap_or_default();
        if version != "1.0" {
            return Err(Unusable { field: SPECVERSION, rule: "must be \"1.0\"" });
        }
        let (id, time) = (envelope.id()?, envelope.time("time")?);
        Self::of(data_of(event)?, id, time, digest)
    }

    /// Reads the fields of a message. `id` and `at` stand in for its own, `digest` is of the text
    /// that it came in.
    pub fn of(
        fields: &Map<String, Value>,
        id: Option<String>,
        at: Option<Timestamp>,
        digest: String,
    ) -> Result<Self, Unusable> {
        let object = Object(fields);
        let required = |field| Unusable { field, rule: "is required" };
        let customer = object.text("customerId")?.ok_or(required("customerId"))?;
        let customer = CustomerId::parse(customer).map_err(|_| Unusable {
            field: "customerId",
            rule: "must be 1 to 128 bytes of [A-Za-z0-9._:@-], and not `.` or `..`",
        })?;
        let tenant = object.text("tenantId")?.map(TenantId::parse).transpose();
        let tenant = tenant.map_err(|_| Unusable {
            field: "tenantId",
            rule: "must be 1 to 128 bytes of [A-Za-z0-9._@-]",
        })?;
        let status = match object.text("status")?.ok_or(required("status"))? {
            "active" => None,
            word => {
                Some(Kind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(Unusable {
                    field: "status",
                    rule: "must be one of active, frozen, inactive, disabled",
                })?)
            }
        };
        let reason = object.text("reason")?.map(str::parse).transpose();
        let reason = reason.map_err(|_| Unusable {
            field: "reason",
            rule: "must be one of account_closure, compliance, customer_request, data_cleanup, \
                   dispute, fraud, non_payment, other, security, usage_limit",
        })?;
        let notes = object.text("notes")?;
        if notes.is_some_and(|notes| notes.chars().count() > NOTES_AT_MOST) {
            return Err(Unusable { field: "notes", rule: "may have at most 2000 characters" });
        }
        let until = object.time("until")?;
        if status.is_none() && until.is_some() {
            return Err(Unusable { field: "until", rule: "the status `active` has none" });
        }
        Ok(Self {
            customer,
            tenant,
            status,
            reason,
            notes: notes.map(str::to_owned),
            until,
            at: object.time("at")?.or(at),
            id: object.id()?.or(id),
            digest,
        })
    }
}

fn data_of(event: &Map<String, Value>) -> Result<&Map<String, Value>, Unusable> {
    let data = event.get("data").and_then(Value::as_object);
    data.ok_or(Unusable { field: "data", rule: "must be a JSON object" })
}

/// What tells a text from another.
#[must_use]
pub fn digest(text: &[u8]) -> String {
    hex(Sha256::digest(text).get(..16).unwrap_or_default())
}

/// A JSON object, read field by field.
#[derive(Clone, Copy)]
struct Object<'a>(&'a Map<String, Value>);

impl<'a> Object<'a> {
    /// A text field; nothing if it is absent or `null`.
    fn text(self, field: &'static str) -> Result<Option<&'a str>, Unusable> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Unusable { field, rule: "must be a text" }),
        }
    }

    fn time(self, field: &'static str) -> Result<Option<Timestamp>, Unusable> {
        let rule =
            "must be a time in RFC 3339 with a zone, like `2026-11-21T10:00:00Z`, from 1970 on";
        let time = self.text(field)?.map(str::parse).transpose();
        time.map_err(|_| Unusable { field, rule })
    }

    fn id(self) -> Result<Option<String>, Unusable> {
        let id = self.text("id")?;
        if id.is_some_and(|id| !(1..=ID_BYTES_AT_MOST).contains(&id.len())) {
            return Err(Unusable { field: "id", rule: "must be 1 to 256 bytes long" });
        }
        Ok(id.map(str::to_owned))
    }
}

const SPECVERSION: &str = "specversion";
/// How long a message may be.
pub const BYTES_AT_MOST: usize = 16 * 1024;
const NOTES_AT_MOST: usize = 2000;
const ID_BYTES_AT_MOST: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(message: &Value) -> Result<Message, Unusable> {
        Message::read(message.to_string().as_bytes())
    }

    fn wrong(message: &Value) -> String {
        read(message).unwrap_err().to_string()
    }

    #[test]
    fn a_customer_and_a_status_are_enough() {
        let message = read(&json!({"customerId": "c1", "status": "active"})).unwrap();
        assert_eq!((message.customer.as_str(), message.status), ("c1", None));
        assert_eq!((message.tenant, message.at, message.id), (None, None, None));
    }

    #[test]
    fn every_field_is_read_and_unknown_ones_are_ignored() {
        let message = read(&json!({
            "customerId": "Cust_c40bea18", "tenantId": "acme", "status": "disabled",
            "reason": "non_payment", "notes": "third reminder", "until": "2027-01-01T00:00:00Z",
            "at": "2026-11-21T10:00:00Z", "id": "evt_1", "plan": {"code": 7},
        }));
        let message = message.unwrap();
        assert_eq!(message.tenant.unwrap().as_str(), "acme");
        assert_eq!(message.status, Some(Kind::Disabled));
        assert_eq!(message.reason, Some(RestrictionReason::NonPayment));
        assert_eq!(message.notes.as_deref(), Some("third reminder"));
        assert_eq!(message.until, "2027-01-01T00:00:00Z".parse().ok());
        assert_eq!(message.at, "2026-11-21T10:00:00Z".parse().ok());
        assert_eq!(message.id.as_deref(), Some("evt_1"));
    }

    #[test]
    fn a_cloud_event_carries_the_same_and_lends_its_id_and_time() {
        let event = |data: Value| {
            json!({
                "specversion": "1.0", "type": "customer.status", "source": "/billing",
                "id": "ce-1", "time": "2026-11-21T10:00:00Z", "data": data,
            })
        };
        let message = read(&event(json!({"customerId": "c1", "status": "frozen"}))).unwrap();
        assert_eq!((message.status, message.id.as_deref()), (Some(Kind::Frozen), Some("ce-1")));
        assert_eq!(message.at, "2026-11-21T10:00:00Z".parse().ok());
        let own = json!({"customerId": "c1", "status": "frozen", "id": "evt_1"});
        assert_eq!(read(&event(own)).unwrap().id.as_deref(), Some("evt_1"));
        assert_eq!(wrong(&event(json!("c1"))), "data: must be a JSON object");
        let later = json!({"specversion": "2.0", "data": {}});
        assert_eq!(wrong(&later), "specversion: must be \"1.0\"");
    }

    #[test]
    fn a_wrong_field_is_named_with_its_rule_and_without_what_stands_there() {
        let sound = json!({"customerId": "c1", "status": "frozen", "notes": "a secret"});
        let with = |field: &str, value: Value| {
            let mut message = sound.clone();
            message[field] = value;
            wrong(&message)
        };
        assert_eq!(wrong(&json!({"status": "active"})), "customerId: is required");
        assert_eq!(with("status", Value::Null), "status: is required");
        assert_eq!(with("customerId", json!({"secret": 1})), "customerId: must be a text");
        for (field, value, rule) in [
            ("customerId", "a secret", "must be 1 to 128 bytes"),
            ("tenantId", "a:b", "must be 1 to 128 bytes"),
            ("status", "suspended", "must be one of active, frozen"),
            ("reason", "a secret", "must be one of account_closure"),
            ("until", "soon", "must be a time"),
            ("at", "2026-11-21T10:00:00", "must be a time"),
            ("id", "", "must be 1 to 256 bytes long"),
        ] {
            let told = with(field, json!(value));
            assert!(told.starts_with(&format!("{field}: {rule}")), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
        assert_eq!(
            with("notes", json!("x".repeat(2001))),
            "notes: may have at most 2000 characters"
        );
        let active =
            json!({"customerId": "c1", "status": "active", "until": "2027-01-01T00:00:00Z"});
        assert_eq!(wrong(&active), "until: the status `active` has none");
    }

    #[test]
    fn what_is_too_long_or_no_object_is_refused() {
        for text in ["", "null", "[]", "{", "\u{feff}{}"] {
            assert_eq!(Message::read(text.as_bytes()).unwrap_err().field, "message", "{text}");
        }
        let long = json!({"customerId": "c1", "status": "active", "x": "x".repeat(16384)});
        assert_eq!(wrong(&long), "message: must not be longer than 16384 bytes");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::read(&text);
        }

        #[test]
        fn no_object_makes_the_reader_panic(
            fields in proptest::collection::btree_map("customerId|status|at|id|data|specversion",
                prop_oneof!["\"1.0\"", "\"c1\"", "\"frozen\"", "1", "null", r#"\{"status":1\}"#], 0..6),
        ) {
            let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
            let text = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
            let _ = Message::read(text.as_bytes());
        }
    }
}
