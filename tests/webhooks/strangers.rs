//! What is said of customers that nobody knows waits for them, and what cannot be committed is not
//! acknowledged.

use std::{thread, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    accepted, act, billabear, counted, done, held, kinds, now, of_billabear, on_each_store, put,
    read, result,
    sender::{Senders, send},
    standard, stripe, subscription,
    support::{
        Flavor, Persistence, RedisServer,
        operators::{key, with_token},
        tollgate::{Client, Tollgate},
    },
};

fn waiting(tollgate: &Tollgate) -> Vec<Value> {
    let listed = tollgate.operate("GET", "/v1/ingest/unresolved", None);
    assert_eq!(listed.status, 200, "{listed:?}");
    listed.json()["unresolved"].as_array().unwrap().clone()
}

#[test]
fn an_event_of_a_customer_that_nobody_knows_is_listed_and_applied_once_its_alias_exists() {
    on_each_store(|_, tollgate| {
        put(tollgate, "c1", &json!({}));
        let owes = subscription("evt_1", "cus_1", "past_due", now() - 60);
        assert_eq!(result(&stripe(tollgate, &owes)), accepted("unresolved"));
        let disabled = of_billabear("customer_disabled", "b-1", true);
        assert_eq!(result(&billabear(tollgate, &disabled)), accepted("unresolved"));
        let enabled = of_billabear("customer_enabled", "b-1", false);
        assert_eq!(result(&billabear(tollgate, &enabled)), accepted("unresolved"));

        let listed = waiting(tollgate);
        assert_eq!(listed.len(), 3);
        assert_eq!(listed[0]["source"], "stripe");
        assert_eq!(listed[0]["externalId"], "cus_1");
        assert_eq!(
            (&listed[0]["status"], &listed[0]["reason"]),
            (&json!("frozen"), &json!("non_payment"))
        );
        assert_eq!(listed[0]["eventId"], "evt_1");
        assert!(!listed[1].to_string().contains("ada@example.com"), "{listed:?}");
        let shown = tollgate.operate("GET", "/v1/ingest", None).json();
        assert_eq!(shown["unresolved"], 3);
        let printed = tollgate.cli(&["ingest", "unresolved"]);
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert!(printed.contains("cus_1") && printed.contains("b-1"), "{printed}");
        tollgate.wait_until("measured", || tollgate.metric("tollgate_webhooks_unresolved") == 3);

        put(tollgate, "c1", &json!({"aliases": {"stripe": "cus_1"}}));
        tollgate.wait_until("frozen", || tollgate.reason_to_write("c1") == "customer_frozen");
        // A customer of that very id will do as well; what was said last holds.
        put(tollgate, "b-1", &json!({}));
        tollgate.wait_until("settled", || waiting(tollgate).is_empty());
        assert_eq!(read(tollgate, "b-1")["status"], "active");
        assert_eq!(counted(tollgate, "stripe", "resolved"), 1);
        assert_eq!(counted(tollgate, "billabear", "resolved"), 2);
        let entry = &crate::audit(tollgate, "c1")[0];
        assert_eq!(
            (&entry["dialect"], &entry["actor"]["address"]),
            (&json!("webhook"), &json!("127.0.0.1"))
        );
        tollgate.wait_until("measured", || tollgate.metric("tollgate_webhooks_unresolved") == 0);
    });
}

#[test]
fn what_waits_does_not_undo_what_was_said_later_and_survives_a_restart() {
    let senders = Senders::new();
    let mut tollgate = senders.tollgate(&[]);
    put(&tollgate, "c1", &json!({}));
    let owes = subscription("evt_1", "cus_1", "past_due", now() - 60);
    assert_eq!(result(&stripe(&tollgate, &owes)), accepted("unresolved"));
    tollgate.kill9();
    let flags = senders.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let tollgate = Tollgate::start_in(tollgate.data_dir(), &flags);
    tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
    assert_eq!(waiting(&tollgate).len(), 1);
    put(&tollgate, "c1", &json!({"aliases": {"stripe": "cus_1"}}));
    tollgate.wait_until("frozen", || tollgate.reason_to_write("c1") == "customer_frozen");

    let another = subscription("evt_2", "cus_2", "unpaid", now() - 60);
    assert_eq!(result(&stripe(&tollgate, &another)), accepted("unresolved"));
    // Whose alias it is, is known; the later event may come first.
    put(&tollgate, "c2", &json!({"aliases": {"stripe": "cus_2"}}));
    let paid = subscription("evt_3", "cus_2", "active", now() - 30);
    assert_eq!(stripe(&tollgate, &paid).status, 200);
    tollgate.wait_until("settled", || waiting(&tollgate).is_empty());
    assert_eq!(tollgate.reason_to_write("c2"), "active");
}

#[test]
fn a_key_of_one_tenant_sees_what_waits_there_page_by_page() {
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", "memory:", "--webhook-tenant", "stripe=acme"]);
    for number in 0..5 {
        let event =
            subscription(&format!("evt_{number}"), &format!("cus_{number}"), "unpaid", now());
        assert_eq!(result(&stripe(&tollgate, &event)), accepted("unresolved"));
    }
    let other = of_billabear("customer_disabled", "b-1", true);
    assert_eq!(result(&billabear(&tollgate, &other)), accepted("unresolved"));
    assert_eq!(waiting(&tollgate).len(), 6);
    let token = key(&tollgate, &json!({"name": "ada", "role": "viewer", "tenant": "acme"}));
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/ingest/unresolved?limit=2{next}");
        let page = with_token(&tollgate, &token, "GET", &path, None).json();
        for entry in page["unresolved"].as_array().unwrap() {
            assert_eq!(entry["tenantId"], "acme");
            seen.push(entry["externalId"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        next = format!("&startAfter={cursor}");
    }
    assert_eq!(seen, ["cus_0", "cus_1", "cus_2", "cus_3", "cus_4"]);
    let odd = tollgate.operate("GET", "/v1/ingest/unresolved?startAfter=x", None);
    assert_eq!((odd.status, odd.code().as_str()), (400, "VALIDATION_ERROR"));
}

#[test]
fn a_source_that_is_bound_to_a_tenant_says_nothing_of_another() {
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", "memory:", "--webhook-tenant", "standard=acme"]);
    let mut event = crate::message("c1", "frozen", "2026-11-20T10:00:00Z");
    assert_eq!(result(&standard(&tollgate, "msg_1", &event)), done("applied"));
    event["data"]["tenantId"] = json!("globex");
    let refused = standard(&tollgate, "msg_2", &event);
    assert_eq!((refused.status, refused.code().as_str()), (403, "NO_TENANT_ACCESS"));
    let headers = [("authorization", "Bearer an-admin-token-for-tests"), ("tenant-id", "acme")];
    let theirs = tollgate.operate_as(&headers, "GET", "/v1/customers/c1", None).json();
    assert_eq!(kinds(&theirs), [held("frozen", "standard")]);
}

#[test]
fn while_the_store_is_away_nothing_is_acknowledged() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", &server.url()]);
    put(&tollgate, "c1", &json!({"aliases": {"stripe": "cus_1"}}));
    server.pause();
    let owes = subscription("evt_1", "cus_1", "past_due", now());
    let stranger = subscription("evt_2", "cus_2", "past_due", now());
    for event in [&owes, &stranger] {
        let refused = stripe(&tollgate, event);
        assert_eq!((refused.status, refused.code().as_str()), (503, "STORE_UNREACHABLE"));
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    }
    assert_eq!(counted(&tollgate, "stripe", "failed"), 2);
    server.resume();
    // Stripe sends it again.
    tollgate.wait_until("taken", || stripe(&tollgate, &owes).status == 200);
    tollgate.wait_until("frozen", || tollgate.reason_to_write("c1") == "customer_frozen");
    tollgate.wait_until("taken", || stripe(&tollgate, &stranger).status == 202);
}

#[test]
fn an_instance_that_dies_between_receipt_and_answer_loses_nothing() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let senders = Senders::new();
    let store = server.url();
    let mut tollgate = senders.tollgate(&["--store", &store]);
    put(&tollgate, "c1", &json!({"aliases": {"stripe": "cus_1"}}));
    let owes = subscription("evt_1", "cus_1", "past_due", now());
    server.pause();
    let address = tollgate.webhook;
    let body = owes.to_string();
    let signature = crate::sender::stripe_signature(crate::sender::STRIPE, now(), &body);
    let asked = thread::spawn(move || {
        let client = Client::new(Duration::from_secs(10));
        let headers = [("stripe-signature", signature.as_str())];
        client.ask(address, "POST", "/webhooks/stripe", &headers, Some(&body)).status
    });
    tollgate.wait_until("received", || tollgate.sum_of("tollgate_connections", "webhook") >= 1.0);
    tollgate.signal(Signal::KILL);
    let answered = asked.join().unwrap();
    assert!(!(200..300).contains(&answered), "{answered}");
    tollgate.kill9();
    server.resume();

    let tollgate = senders.tollgate(&["--store", &store]);
    assert_eq!(stripe(&tollgate, &owes).status, 200);
    assert_eq!(tollgate.reason_to_write("c1"), "customer_frozen");
    act(&tollgate, "c1", "unfreeze", &json!({"source": "stripe"}));
    let again = stripe(&tollgate, &owes);
    assert_eq!(again.status, 200);
    assert_eq!(tollgate.reason_to_write("c1"), "active", "it counts once");
}

#[test]
fn what_is_paused_waits_for_somebody_to_look_also_when_its_customer_was_unknown() {
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", "memory:"]);
    for number in 0..22 {
        let event = of_billabear("customer_disabled", &format!("b{number:02}"), true);
        assert_eq!(result(&billabear(&tollgate, &event)), accepted("unresolved"));
    }
    for number in 0..22 {
        put(&tollgate, &format!("b{number:02}"), &json!({}));
    }
    tollgate.wait_until("paused", || tollgate.metric("tollgate_sources_paused") == 1);
    tollgate.wait_until("the rest waits", || waiting(&tollgate).len() == 2);
    let resumed = tollgate.cli(&["ingest", "resume", "billabear"]);
    assert!(resumed.status.success(), "{resumed:?}");
    tollgate.wait_until("done", || waiting(&tollgate).is_empty());
    assert_eq!(tollgate.reason_to_write("b21"), "customer_disabled");
    assert_eq!(send(&tollgate, "/webhooks/unknown", &[], "{}").status, 404);
}
