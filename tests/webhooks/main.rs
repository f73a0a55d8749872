//! Billing systems call back: an event is proven before it is read, committed before it is
//! acknowledged, and counts once, in the order in which it was sent.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

mod listener;
mod proof;
#[path = "../support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
mod sender;
mod strangers;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use serde_json::{Value, json};

use sender::{Senders, billabear, counted, now, result, standard, stripe};
use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, audit, kinds, put, read},
    tollgate::Tollgate,
};

/// A subscription of Stripe's that has become `status`, at that second.
fn subscription(id: &str, customer: &str, status: &str, created: u64) -> Value {
    json!({
        "id": id, "object": "event", "type": "customer.subscription.updated", "created": created,
        "data": {"object": {"id": "sub_1", "object": "subscription", "customer": customer,
                            "status": status, "pause_collection": {"behavior": "void"}}},
    })
}

/// A status message in the envelope of Standard Webhooks.
fn message(customer: &str, status: &str, timestamp: &str) -> Value {
    let data = json!({"customerId": customer, "status": status, "reason": "non_payment"});
    json!({"type": "customer.status", "timestamp": timestamp, "data": data})
}

fn of_billabear(kind: &str, customer: &str, is_disabled: bool) -> Value {
    let customer = json!({"id": customer, "email": "ada@example.com", "brand": "default",
                          "is_disabled": is_disabled});
    json!({"type": kind, "customer": customer})
}

fn held(kind: &str, source: &str) -> (String, String) {
    (kind.to_owned(), source.to_owned())
}

fn done(word: &str) -> (u16, String) {
    (200, word.to_owned())
}

fn accepted(word: &str) -> (u16, String) {
    (202, word.to_owned())
}

/// On a Redis of several partitions, and on a store in the process.
fn on_each_store(test: impl Fn(&Senders, &Tollgate)) {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    for store in [&["--store", &server.url(), "--partitions", "4"][..], &["--store", "memory:"]] {
        let senders = Senders::new();
        test(&senders, &senders.tollgate(store));
    }
}

#[test]
fn billabears_enable_lifts_its_own_disable_and_leaves_the_operators_in_place() {
    on_each_store(|_, tollgate| {
        put(tollgate, "c1", &json!({"aliases": {"billabear": "0190b5c6-6a8e"}}));
        act(tollgate, "c1", "disable", &json!({"reason": "compliance"}));
        let disabled = of_billabear("customer_disabled", "0190b5c6-6a8e", true);
        assert_eq!(result(&billabear(tollgate, &disabled)), done("applied"));
        let both = [held("disabled", "billabear"), held("disabled", "operator")];
        let mut found = kinds(&read(tollgate, "c1"));
        found.sort();
        assert_eq!(found, both);
        let updated = of_billabear("customer_updated", "0190b5c6-6a8e", false);
        assert_eq!(result(&billabear(tollgate, &updated)), done("applied"));
        assert_eq!(kinds(&read(tollgate, "c1")), [held("disabled", "operator")]);
        assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
    });
}

#[test]
fn every_event_of_billabears_about_a_customer_tells_whether_it_is_disabled() {
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", "memory:"]);
    put(&tollgate, "c1", &json!({}));
    let said =
        |kind, is_disabled| result(&billabear(&tollgate, &of_billabear(kind, "c1", is_disabled)));
    assert_eq!(said("customer_disabled", true), done("applied"));
    assert_eq!(said("customer_disabled", true), done("repeated"));
    assert_eq!(said("subscription_created", false), done("applied"));
    assert_eq!(said("customer_disabled", true), done("applied"), "the same text means it again");
    assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
    let about_nobody = json!({"type": "invoice_paid", "invoice": {"id": "i1"}});
    assert_eq!(result(&billabear(&tollgate, &about_nobody)), accepted("ignored"));
}

#[test]
fn the_same_customer_is_known_to_stripe_by_its_alias() {
    on_each_store(|_, tollgate| {
        put(tollgate, "c1", &json!({"aliases": {"stripe": "cus_1", "billabear": "b1"}}));
        let owes = subscription("evt_1", "cus_1", "past_due", now() - 10);
        assert_eq!(result(&stripe(tollgate, &owes)), done("applied"));
        assert_eq!(tollgate.reason_to_write("c1"), "customer_frozen");
        assert_eq!(read(tollgate, "c1")["restrictions"][0]["reason"], "non_payment");
        let paid = subscription("evt_2", "cus_1", "active", now() - 5);
        assert_eq!(result(&stripe(tollgate, &paid)), done("applied"));
        assert_eq!(tollgate.reason_to_write("c1"), "active");
    });
}

#[test]
fn an_event_counts_once_also_when_another_of_the_same_second_came_between() {
    on_each_store(|_, tollgate| {
        put(tollgate, "c1", &json!({"aliases": {"stripe": "cus_1"}}));
        let second = now() - 10;
        let owes = subscription("evt_1", "cus_1", "past_due", second);
        let paid = subscription("evt_2", "cus_1", "active", second);
        assert_eq!(result(&stripe(tollgate, &owes)), done("applied"));
        assert_eq!(result(&stripe(tollgate, &owes)), done("repeated"));
        assert_eq!(result(&stripe(tollgate, &paid)), done("applied"));
        // Sent again because its first answer was lost.
        assert_eq!(result(&stripe(tollgate, &owes)), done("repeated"));
        assert_eq!(tollgate.reason_to_write("c1"), "active");
        let puts = audit(tollgate, "c1").len();
        assert_eq!(puts, 3, "one to make the customer, and one for each event");
    });
}

#[test]
fn an_older_event_does_not_undo_a_later_one() {
    on_each_store(|_, tollgate| {
        let later = message("c1", "active", "2026-11-20T10:05:00Z");
        let earlier = message("c1", "disabled", "2026-11-20T10:04:00Z");
        assert_eq!(result(&standard(tollgate, "msg_2", &later)), done("applied"));
        assert_eq!(result(&standard(tollgate, "msg_1", &earlier)), done("outdated"));
        assert_eq!(tollgate.reason_to_write("c1"), "active");
        let ahead = message("c1", "disabled", "2999-01-01T00:00:00Z");
        let refused = standard(tollgate, "msg_3", &ahead);
        assert_eq!((refused.status, refused.code().as_str()), (400, "VALIDATION_ERROR"));
    });
}

#[test]
fn a_sender_of_standard_webhooks_makes_the_customers_that_it_names() {
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", "memory:"]);
    let made = message("c1", "frozen", "2026-11-20T10:00:00Z");
    assert_eq!(result(&standard(&tollgate, "msg_1", &made)), done("applied"));
    assert_eq!(kinds(&read(&tollgate, "c1")), [held("frozen", "standard")]);
    let cloud_event = json!({
        "specversion": "1.0", "type": "com.example.customer.disabled", "source": "/billing",
        "id": "ce-1", "time": "2026-11-20T10:01:00Z",
        "data": {"customerId": "c1", "status": "disabled"},
    });
    assert_eq!(result(&standard(&tollgate, "msg_2", &cloud_event)), done("applied"));
    assert_eq!(kinds(&read(&tollgate, "c1")), [held("disabled", "standard")]);
}

#[test]
fn an_event_of_another_type_is_acknowledged_and_counted_and_changes_nothing() {
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", "memory:"]);
    put(&tollgate, "c1", &json!({"aliases": {"stripe": "c1"}}));
    act(&tollgate, "c1", "disable", &json!({"source": "stripe"}));
    let other = json!({"id": "evt_1", "type": "invoice.paid", "created": 1,
                       "data": {"object": {"customer": "c1", "status": "paid"}}});
    assert_eq!(result(&stripe(&tollgate, &other)), accepted("ignored"));
    // A subscription's own words say nothing that the policy does not.
    let incomplete = subscription("evt_2", "c1", "incomplete", now());
    assert_eq!(result(&stripe(&tollgate, &incomplete)), accepted("ignored"));
    let theirs = json!({"type": "customer.subscription.updated", "timestamp": "2026-11-20T10:00:00Z",
                        "data": {"customerId": "c1", "status": "active"}});
    assert_eq!(result(&standard(&tollgate, "msg_1", &theirs)), accepted("ignored"));
    assert_eq!(kinds(&read(&tollgate, "c1")), [held("disabled", "stripe")]);
    assert_eq!(counted(&tollgate, "stripe", "ignored"), 2);
    assert_eq!(counted(&tollgate, "standard", "ignored"), 1);
}

#[test]
fn stripe_tells_features_and_a_part_of_them_changes_none() {
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", "memory:"]);
    put(&tollgate, "c1", &json!({"aliases": {"stripe": "cus_1"}, "features": ["old"]}));
    let summary = |id: &str, created: u64, keys: &[&str], has_more: bool| {
        let data: Vec<_> = keys.iter().map(|key| json!({"lookup_key": key})).collect();
        json!({
            "id": id, "type": "entitlements.active_entitlement_summary.updated",
            "created": created,
            "data": {"object": {"customer": "cus_1",
                                "entitlements": {"data": data, "has_more": has_more}}},
        })
    };
    let part = summary("evt_1", now() - 9, &["sso"], true);
    assert_eq!(result(&stripe(&tollgate, &part)), accepted("incomplete"));
    assert_eq!(read(&tollgate, "c1")["features"], json!(["old"]));
    tollgate.wait_for_log("has_more");
    let whole = summary("evt_2", now() - 8, &["sso", "export"], false);
    assert_eq!(result(&stripe(&tollgate, &whole)), done("applied"));
    assert_eq!(read(&tollgate, "c1")["features"], json!(["export", "sso"]));
    // What is said of the status has an order of its own.
    let owes = subscription("evt_3", "cus_1", "unpaid", now() - 20);
    assert_eq!(result(&stripe(&tollgate, &owes)), done("applied"));
    let late = summary("evt_4", now() - 15, &[], false);
    assert_eq!(result(&stripe(&tollgate, &late)), done("outdated"));
    let odd = summary("evt_5", now(), &["no spaces"], false);
    let refused = stripe(&tollgate, &odd);
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("entitlements.data[0].lookup_key"), "{refused:?}");
    assert_eq!(read(&tollgate, "c1")["features"], json!(["export", "sso"]));
}

#[test]
fn an_act_by_webhook_is_on_record_with_where_it_came_from() {
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", "memory:"]);
    let disabled = message("c1", "disabled", "2026-11-20T10:00:00Z");
    assert_eq!(result(&standard(&tollgate, "msg_1", &disabled)), done("applied"));
    let entry = &audit(&tollgate, "c1")[0];
    assert_eq!(entry["dialect"], "webhook");
    assert_eq!(entry["actor"]["name"], "webhook");
    assert_eq!(entry["actor"]["address"], "127.0.0.1");
    assert_eq!((&entry["source"], &entry["requestId"]), (&json!("standard"), &json!("msg_1")));
}

#[test]
fn a_source_that_suddenly_restricts_many_is_paused_and_undo_gives_them_back() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", &server.url()]);
    let customers: u32 = 500;
    for number in 0..customers {
        put(&tollgate, &format!("c{number:03}"), &json!({}));
    }
    let since = audit(&tollgate, "c499")[0]["at"].as_str().unwrap().to_owned();
    let disable = |number: u32| {
        let customer = format!("c{number:03}");
        billabear(&tollgate, &of_billabear("customer_disabled", &customer, true))
    };
    let a_twentieth = customers / 20;
    let answers: Vec<_> = (0..a_twentieth).map(disable).collect();
    let (done, paused) = answers.split_at(20);
    assert!(done.iter().all(|answer| answer.status == 200), "{done:?}");
    for answer in paused {
        assert_eq!((answer.status, answer.code().as_str()), (503, "SOURCE_PAUSED"));
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    assert_eq!(counted(&tollgate, "billabear", "paused"), 5);
    assert_eq!(tollgate.metric("tollgate_sources_paused"), 1);
    let enabled = of_billabear("customer_enabled", "c000", false);
    assert_eq!(billabear(&tollgate, &enabled).status, 200, "it may let customers in");

    let undo = ["undo", "--source", "billabear", "--since", &since, "--yes"];
    let undone = tollgate.cli(&undo);
    assert!(undone.status.success(), "{undone:?}");
    assert!(
        (0..a_twentieth)
            .all(|number| { tollgate.reason_to_write(&format!("c{number:03}")) == "active" })
    );
}
