//! What is wrong, and the ways out.

use serde_json::json;

use super::{
    start,
    support::{
        Flavor, Persistence, RedisServer,
        operators::{act, put, read},
        tollgate::{ADMIN_TOKEN, Tollgate, http},
    },
    visitor::{Visitor, form, with},
};

#[test]
fn where_nothing_is_wrong_nothing_is_offered() {
    let tollgate = start(&[]);
    let page = Visitor::with_key(&tollgate, ADMIN_TOKEN).page("/trouble");
    assert!(page.contains("Nothing is wrong."), "{page}");
    assert!(!page.contains("name=\"way\""), "{page}");
}

#[test]
fn a_source_that_the_guard_paused_is_told_with_its_way_out() {
    let tollgate = start(&["--ingest-guard", "1%/10m"]);
    for number in 0..30 {
        put(&tollgate, &format!("g{number}"), &json!({}));
    }
    let body = json!({"source": "billing"});
    let act = |number: u32| {
        tollgate.operate("POST", &format!("/v1/customers/g{number}/disable"), Some(&body))
    };
    let refused = (0..30).map(act).filter(|answer| answer.status == 503).count();
    assert!(refused > 0);
    let support = Visitor::of_role(&tollgate, "support");
    let page = support.page("/trouble");
    assert!(page.contains("A source is paused by the guard"), "{page}");
    assert!(page.contains("Resume billing takes the role manager."), "{page}");
    let manager = Visitor::of_role(&tollgate, "manager");
    let page = manager.page("/trouble");
    assert!(page.contains("It restricted ") && page.contains(" of 31."), "{page}");
    let answer = manager.send("/trouble", &with(&form(&page, "billing"), &[]));
    assert_eq!(answer.status, 303, "{answer:?}");
    let page = manager.page(answer.header("location").unwrap());
    assert!(page.contains("It is on record as <code>ingest_resume"), "{page}");
    assert!(!page.contains("is paused by the guard"), "{page}");
}

#[test]
fn a_fleet_in_shadow_is_told_on_every_page_it_matters_on_and_made_to_enforce() {
    let tollgate = start(&[]);
    act(&tollgate, "c1", "disable", &json!({}));
    let body = json!({"forSeconds": 600});
    assert_eq!(tollgate.operate("POST", "/v1/fleet/shadow", Some(&body)).status, 200);
    let admin = Visitor::with_key(&tollgate, ADMIN_TOKEN);
    tollgate.wait_until("told", || admin.page("/live").contains("shadow (fleet)"));
    assert!(admin.page("/customers/c1").contains("The whole fleet is in shadow until"));
    let page = admin.page("/trouble");
    assert!(page.contains("Keeps 1 customer out"), "{page}");
    let answer = admin.send("/trouble", &with(&form(&page, "enforce"), &[]));
    let page = admin.page(answer.header("location").unwrap());
    assert!(page.contains("It is on record as"), "{page}");
    tollgate.wait_until("enforced", || admin.page("/trouble").contains("Nothing is wrong."));
}

#[test]
fn an_id_that_nobody_knew_is_given_to_its_customer() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), SECRET).unwrap();
    let file = format!("billabear={}", secret.path().display());
    let webhooks = ["--webhook-listen", "127.0.0.1:0", "--webhook-secret-file", &file];
    let tollgate = start(&webhooks);
    put(&tollgate, "c1", &json!({"aliases": {"stripe": "cus_1"}}));
    let customer = json!({"id": "b-1", "email": "ada@example.com", "is_disabled": true});
    let event = json!({"type": "customer_disabled", "customer": customer}).to_string();
    let path = format!("/webhooks/billabear/{SECRET}");
    assert_eq!(http(tollgate.webhook, "POST", &path, &[], Some(&event)).status, 202);
    let support = Visitor::of_role(&tollgate, "support").page("/trouble");
    assert!(support.contains("<code>b-1</code>"), "{support}");
    assert!(support.contains("To say so takes the role manager"), "{support}");
    let manager = Visitor::of_role(&tollgate, "manager");
    let fields = form(&manager.page("/trouble"), "b-1");
    let nobody = manager.send("/trouble", &with(&fields, &[("customer", "nobody")]));
    assert_eq!(nobody.status, 404, "{nobody:?}");
    let answer = manager.send("/trouble", &with(&fields, &[("customer", "c1")]));
    assert_eq!(answer.status, 303, "{answer:?}");
    let aliases = read(&tollgate, "c1")["aliases"].clone();
    assert_eq!(aliases, json!({"billabear": "b-1", "stripe": "cus_1"}));
    tollgate.wait_until("applied", || tollgate.reason_to_write("c1") == "customer_disabled");
}

#[test]
fn a_store_that_forgot_is_told_with_both_ways_out_and_whom_each_lets_in() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url()]);
    for id in ["l1", "l2"] {
        put(&tollgate, id, &json!({}));
        act(&tollgate, id, "disable", &json!({}));
    }
    let admin = Visitor::with_key(&tollgate, ADMIN_TOKEN);
    let client = redis::Client::open(server.tcp_url()).unwrap();
    redis::cmd("FLUSHALL").exec(&mut client.get_connection().unwrap()).unwrap();
    let lost = "The store is not the one that was followed";
    tollgate.wait_until("lost", || admin.page("/trouble").contains(lost));
    let page = admin.page("/trouble");
    let (_, ways) = page.split_once("The store is right").unwrap();
    let (trust, refill) = ways.split_once("This instance is right").unwrap();
    assert!(trust.contains("Lets 2 customers in"), "{trust}");
    assert!(refill.contains("Lets 0 customers in") && refill.contains("keeps 2 customers"));
    assert_eq!(tollgate.reason_to_write("l1"), "customer_disabled");
    // Nothing is written to it meanwhile.
    let fields = form(&admin.page("/customers/l1"), "enable");
    assert_eq!(admin.send("/customers/l1", &with(&fields, &[])).status, 503);
    let answer = admin.send("/trouble", &with(&form(&page, "refill"), &[]));
    assert_eq!(answer.status, 303, "{answer:?}");
    let page = admin.page(answer.header("location").unwrap());
    assert!(page.contains("It is on record as <code>store_refilled</code>"), "{page}");
    assert!(page.contains("The store lacks records that there were"), "{page}");
    let answer = admin.send("/trouble", &with(&form(&page, "whole"), &[]));
    assert_eq!(answer.status, 303, "{answer:?}");
    tollgate.wait_until("whole", || admin.page("/trouble").contains("Nothing is wrong."));
    assert_eq!(tollgate.reason_to_write("l1"), "customer_disabled");
}

#[test]
fn without_its_store_the_console_shows_what_is_in_memory_and_says_so() {
    let mut server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url(), "--max-staleness", "1s"]);
    put(&tollgate, "c1", &json!({}));
    act(&tollgate, "c1", "disable", &json!({}));
    let viewer = Visitor::of_role(&tollgate, "support");
    server.kill9();
    tollgate.wait_until("stale", || viewer.page("/live").contains("<dd>Stale</dd>"));
    let page = viewer.page("/trouble");
    assert!(page.contains("The store does not answer"), "{page}");
    assert!(page.contains("This instance does not hear of changes"), "{page}");
    let page = viewer.page("/customers/c1");
    assert!(page.contains("customer_disabled") && page.contains("The store does not answer."));
    assert_eq!(viewer.ask("/customers").status, 503);
}

const SECRET: &str = "a-secret-of-billabears-in-its-url";
