//! What each system's events are read as.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    control::foreign::Says,
    domain::{Dated, Kind, MessageId, Policy, Timestamp},
    policy::Rules,
};

fn endpoint(kind: WebhookSource) -> Endpoint {
    Endpoint {
        kind,
        source: Source::parse(kind.as_str()).unwrap(),
        bound_to: None,
        tenant: TenantId::parse("acme").ok(),
        secrets: Secrets::new(Vec::new()),
    }
}

fn rules() -> Rules {
    let text = include_str!("../../../examples/policy.toml");
    Rules::read(text, Policy::default()).unwrap()
}

fn read(kind: WebhookSource, body: &[u8]) -> Result<Event, Unusable> {
    let endpoint = endpoint(kind);
    match kind {
        WebhookSource::Billabear => billabear::read(&endpoint, body, Timestamp::default()),
        WebhookSource::Standard => {
            standard::read(&endpoint, Some("msg_1"), body, Timestamp::default())
        }
        WebhookSource::Stripe => stripe::read(&endpoint, body, &rules()),
    }
}

fn said(kind: WebhookSource, event: &Value) -> Statement {
    match read(kind, event.to_string().as_bytes()) {
        Ok(Event::Says(statement)) => statement,
        Ok(Event::Ignored | Event::Incomplete) => panic!("{event} says nothing"),
        Err(Unusable::Malformed(path, rule)) => panic!("{path}: {rule}"),
        Err(Unusable::OtherTenant) => panic!("{event} is of another tenant"),
    }
}

#[test]
fn stripe_names_a_customer_by_its_id_whole_or_as_what_the_event_is_about() {
    let updated = |object: Value| {
        json!({"id": "evt_1", "type": "customer.subscription.updated", "created": 1_700_000_000,
               "data": {"object": object}})
    };
    for object in [
        json!({"customer": "cus_1", "status": "unpaid"}),
        json!({"customer": {"id": "cus_1", "object": "customer"}, "status": "unpaid"}),
        json!({"id": "cus_1", "object": "customer", "status": "unpaid"}),
    ] {
        let statement = said(WebhookSource::Stripe, &updated(object));
        assert_eq!((statement.tenant.as_str(), statement.customer.as_str()), ("acme", "cus_1"));
        assert!(matches!(statement.says, Says::Status(Some(Kind::Frozen), _)));
        let sent = Dated::Sent(Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(statement.postmark.dated, sent);
        assert_eq!(statement.postmark.id, MessageId::Given("evt_1".to_owned()));
    }
    // A guest's subscription is nobody's.
    let guest = updated(json!({"customer": null, "status": "unpaid"})).to_string();
    assert!(matches!(read(WebhookSource::Stripe, guest.as_bytes()), Ok(Event::Ignored)));
}

#[test]
fn a_pause_of_collection_is_no_freeze() {
    let paused = json!({
        "id": "evt_1", "type": "customer.subscription.updated", "created": 1,
        "data": {"object": {"customer": "cus_1", "status": "active",
                            "pause_collection": {"behavior": "keep_as_draft"}}},
    });
    assert!(matches!(said(WebhookSource::Stripe, &paused).says, Says::Status(None, _)));
}

#[test]
fn the_id_of_the_webhook_is_that_of_the_message() {
    let event = json!({"type": "customer.status", "timestamp": "2026-11-20T10:00:00Z",
                       "data": {"customerId": "c1", "status": "active", "id": "evt_1"}});
    let statement = said(WebhookSource::Standard, &event);
    assert_eq!(statement.postmark.id, MessageId::Given("msg_1".to_owned()));
    assert_eq!(statement.postmark.dated, Dated::Sent("2026-11-20T10:00:00Z".parse().unwrap()));
    let dated = json!({"type": "customer.status", "timestamp": "2026-11-20T10:00:00Z",
                       "data": {"customerId": "c1", "status": "active",
                                "at": "2026-11-20T09:00:00Z"}});
    let statement = said(WebhookSource::Standard, &dated);
    assert_eq!(statement.postmark.dated, Dated::Sent("2026-11-20T09:00:00Z".parse().unwrap()));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z_.]{0,12}".prop_map(Value::from),
    ];
    let field = "type|id|created|timestamp|data|object|customer|status|customerId|is_disabled|\
                 entitlements|has_more|lookup_key|specversion";
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(field, inner, 0..6)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_event_makes_a_reader_panic(event in any_json(), odd in any::<Vec<u8>>()) {
        let kinds = ["customer.subscription.updated", "customer.status",
                     "entitlements.active_entitlement_summary.updated"];
        for kind in [WebhookSource::Billabear, WebhookSource::Standard, WebhookSource::Stripe] {
            let _ = read(kind, &odd);
            let _ = read(kind, event.to_string().as_bytes());
            for event_type in kinds {
                let mut event = event.clone();
                if let Some(fields) = event.as_object_mut() {
                    fields.insert("type".to_owned(), event_type.into());
                }
                let _ = read(kind, event.to_string().as_bytes());
            }
        }
    }
}
