//! Ids of other systems: a customer who is known by several is one customer.

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use serde_json::{Value, json};

use raw::redis;
use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, assert_refused, audit, kinds, put, read},
    tollgate::{ADMIN_TOKEN, Answer, Tollgate},
};

fn start() -> Tollgate {
    Tollgate::start(&["--store", "memory:"])
}

/// A server, and a Tollgate on as many partitions.
fn on_redis(partitions: &str) -> (RedisServer, Tollgate) {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url(), "--partitions", partitions]);
    (server, tollgate)
}

fn name(tollgate: &Tollgate, id: &str, aliases: &Value) -> Answer {
    let body = json!({ "aliases": aliases });
    tollgate.operate("PUT", &format!("/v1/customers/{id}"), Some(&body))
}

fn freeze_at_wingback(tollgate: &Tollgate, id: &str) -> Answer {
    tollgate.operate("POST", &format!("/v1/c/customer/{id}/inactivate"), Some(&json!({})))
}

#[test]
fn a_list_by_an_alias_holds_whoever_has_it() {
    let tollgate = start();
    put(&tollgate, "d2", &json!({"aliases": {"stripe": "cus:7"}}));
    act(&tollgate, "d2", "deactivate", &json!({}));
    let listed = |query: &str| {
        let answer = tollgate.operate("GET", &format!("/v1/customers?{query}"), None);
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        assert_eq!((&page["hasMore"], &page["nextCursor"]), (&json!(false), &Value::Null));
        page["customers"].as_array().unwrap().len()
    };
    for (query, count) in [
        ("alias=stripe:cus:7", 1),
        ("alias=stripe:cus:7&prefix=d&status=inactive", 1),
        ("alias=stripe:cus:7&prefix=c", 0),
        ("alias=stripe:cus:7&status=frozen", 0),
        ("alias=stripe:cus:7&startAfter=d2", 0),
        ("alias=stripe:cus:7&startAfter=d2&sortDir=desc", 0),
        ("alias=stripe:cus:7&startAfter=d3&sortDir=desc", 1),
        ("alias=stripe:cus:8", 0),
        ("alias=billabear:cus:7", 0),
    ] {
        assert_eq!(listed(query), count, "{query}");
    }
    for wrong in ["stripe", "Stripe:cus", "stripe:", ":cus", ""] {
        let answer = tollgate.operate("GET", &format!("/v1/customers?alias={wrong}"), None);
        assert_eq!((answer.status, answer.code().as_str()), (400, "VALIDATION_ERROR"), "{wrong}");
    }
    // It is of one tenant, and given back it is nobody's.
    let acme = [("tenant-id", "acme"), ("x-api-key", ADMIN_TOKEN)];
    let of_acme = tollgate.operate_as(&acme, "GET", "/v1/customers?alias=stripe:cus:7", None);
    assert_eq!(of_acme.json()["count"], 0);
    put(&tollgate, "d2", &json!({"aliases": {}}));
    assert_eq!(listed("alias=stripe:cus:7"), 0);
}

#[test]
fn the_ids_of_every_system_mean_one_customer() {
    let (server, tollgate) = on_redis("4");
    let aliases = json!({"wingback": "Cust_1", "billabear": "0190b5c6-6a8e", "billing": "B-17"});
    assert_eq!(
        put(&tollgate, "c1", &json!({ "aliases": aliases }))["customer"]["aliases"],
        aliases
    );

    assert_eq!(freeze_at_wingback(&tollgate, "Cust_1").status, 200);
    let disabled = tollgate.operate("POST", "/api/v1/customer/0190b5c6-6a8e/disable", None);
    assert_eq!(disabled.status, 202, "{disabled:?}");
    let twin = tollgate.operate("GET", "/api/v1/customer/0190b5c6-6a8e/limits", None);
    assert_eq!(twin.json()["status"], "disabled");
    let message = r#"{"customerId":"B-17","status":"inactive"}"#;
    redis(&server.url(), &["XADD", "tollgate:customer-status:inbox", "*", "data", message]);
    let all = || kinds(&read(&tollgate, "c1")).len();
    tollgate.wait_until("closed by its third system", || all() == 3);
    let listed = tollgate.operate("GET", "/v1/customers?status=disabled", None);
    assert_eq!(listed.json()["count"], 1);
    assert_eq!(read(&tollgate, "c1")["aliases"], aliases);
}

#[test]
fn an_alias_is_looked_for_first_and_then_a_customer_of_that_name() {
    let tollgate = start();
    put(&tollgate, "c1", &json!({"aliases": {"wingback": "c2"}}));
    put(&tollgate, "c2", &json!({}));
    put(&tollgate, "c3", &json!({}));
    assert_eq!(freeze_at_wingback(&tollgate, "c2").status, 200);
    assert_eq!(read(&tollgate, "c1")["status"], "frozen");
    assert_eq!(read(&tollgate, "c2")["status"], "active");
    assert_eq!(freeze_at_wingback(&tollgate, "c3").status, 200);
    assert_eq!(read(&tollgate, "c3")["status"], "frozen");
    // Another system's alias is not Wingback's.
    put(&tollgate, "c1", &json!({"aliases": {"billabear": "Cust_9"}}));
    assert_eq!(freeze_at_wingback(&tollgate, "Cust_9").status, 404);
}

#[test]
fn an_alias_that_another_customer_has_is_refused_by_name_and_on_record() {
    let (_server, on_redis) = on_redis("4");
    for tollgate in [start(), on_redis] {
        put(&tollgate, "c1", &json!({"aliases": {"stripe": "cus_1"}}));
        put(&tollgate, "c2", &json!({"plan": "pro"}));
        let answer = name(&tollgate, "c2", &json!({"stripe": "cus_1", "wingback": "Cust_2"}));
        assert_refused(&answer, 409, "CONFLICT");
        let error = answer.json()["error"].clone();
        assert_eq!(error["details"][0]["path"], "aliases.stripe");
        assert!(error["message"].as_str().is_some_and(|it| it.contains("default:c1")), "{error}");
        assert_eq!(read(&tollgate, "c2")["aliases"], json!({}));
        assert_eq!(audit(&tollgate, "c2")[0]["outcome"], "refused");
        // In another tenant, and of another source, it is another.
        let body = json!({"aliases": {"stripe": "cus_1"}});
        let headers = [("x-api-key", ADMIN_TOKEN), ("tenant-id", "acme")];
        let other = tollgate.operate_as(&headers, "PUT", "/v1/customers/c1", Some(&body));
        assert_eq!(other.status, 201, "{other:?}");
        assert_eq!(name(&tollgate, "c2", &json!({"wingback": "cus_1"})).status, 200);
    }
}

#[test]
fn an_alias_that_was_given_up_can_be_taken_at_once() {
    let (_server, on_redis) = on_redis("4");
    for tollgate in [start(), on_redis] {
        put(&tollgate, "c1", &json!({"aliases": {"stripe": "cus_1", "wingback": "Cust_1"}}));
        put(&tollgate, "c2", &json!({}));
        assert_eq!(name(&tollgate, "c1", &json!({"stripe": "cus_9"})).status, 200);
        let both = json!({"stripe": "cus_1", "wingback": "Cust_1"});
        assert_eq!(name(&tollgate, "c2", &both).status, 200);
        assert_eq!(freeze_at_wingback(&tollgate, "Cust_1").status, 200);
        assert_eq!(read(&tollgate, "c2")["status"], "frozen");
        // What is not named is kept, and null clears.
        put(&tollgate, "c2", &json!({"plan": "pro"}));
        assert_eq!(read(&tollgate, "c2")["aliases"], both);
        assert_eq!(name(&tollgate, "c2", &Value::Null).status, 200);
        assert_eq!(name(&tollgate, "c1", &both).status, 200);
    }
}

#[test]
fn of_many_who_claim_an_alias_at_once_one_gets_it() {
    let (server, first) = on_redis("4");
    let second = Tollgate::start(&["--store", &server.url()]);
    let (first, second) = (&first, &second);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let tollgate = if number % 2 == 0 { first } else { second };
            scope.spawn(move || {
                let answer = name(tollgate, &format!("c{number}"), &json!({"stripe": "cus_1"}));
                assert!(matches!(answer.status, 201 | 409), "{answer:?}");
            });
        }
    });
    let customers = first.list("/v1/customers", "customers", "startAfter");
    let has_it = customers.iter().filter(|it| it["aliases"]["stripe"] == "cus_1");
    assert_eq!(has_it.count(), 1);
}

#[test]
fn a_claim_that_no_record_bears_out_is_not_believed_and_lapses() {
    let (server, tollgate) = on_redis("1");
    let key = "tollgate:{0}:alias:default:wingback:Cust_1";
    for id in ["c1", "c2", "Cust_1"] {
        put(&tollgate, id, &json!({}));
    }
    // As an instance leaves it that dies between its claim and its commit, just now or a while ago.
    let now = redis(&server.url(), &["TIME"]);
    let seconds: u64 = now.lines().next().and_then(|it| it.parse().ok()).unwrap_or_default();
    let claim = |since: u64| format!("{since} default:c1");
    redis(&server.url(), &["SET", key, &claim(seconds * 1000)]);
    assert_eq!(freeze_at_wingback(&tollgate, "Cust_1").status, 200);
    assert_eq!(read(&tollgate, "c1")["status"], "active");
    assert_eq!(read(&tollgate, "Cust_1")["status"], "frozen");
    assert_refused(&name(&tollgate, "c2", &json!({"wingback": "Cust_1"})), 409, "CONFLICT");
    // Whoever claimed it may go on.
    assert_eq!(name(&tollgate, "c1", &json!({"wingback": "Cust_1"})).status, 200);
    assert_eq!(name(&tollgate, "c1", &json!({})).status, 200);
    redis(&server.url(), &["SET", key, &claim((seconds - 61) * 1000)]);
    assert_eq!(name(&tollgate, "c2", &json!({"wingback": "Cust_1"})).status, 200);
}

#[test]
fn a_store_that_is_filled_again_knows_the_aliases_of_its_records() {
    let (server, tollgate) = on_redis("2");
    put(&tollgate, "c1", &json!({"aliases": {"wingback": "Cust_1"}}));
    assert_eq!(tollgate.reason_to_write("c1"), "active");
    redis(&server.url(), &["FLUSHALL"]);
    tollgate.wait_until("told of the loss", || !tollgate.status()["store"]["lost"].is_null());
    assert_refused(&freeze_at_wingback(&tollgate, "Cust_1"), 503, "STORE_LOST");
    assert!(tollgate.cli(&["store", "refill-redis", "--yes"]).status.success());
    let frozen = || freeze_at_wingback(&tollgate, "Cust_1").status == 200;
    tollgate.wait_until("filled again", frozen);
    assert_eq!(read(&tollgate, "c1")["status"], "frozen");
}

#[test]
fn an_alias_that_breaks_a_rule_is_named() {
    let tollgate = start();
    for wrong in [
        json!({"Stripe": "cus_1"}),
        json!({"stripe": ""}),
        json!({"stripe": "a b"}),
        json!({"stripe": 7}),
        json!(["cus_1"]),
        json!({"stripe": "a".repeat(129)}),
    ] {
        let answer = name(&tollgate, "c1", &wrong);
        assert_refused(&answer, 400, "VALIDATION_ERROR");
        assert_eq!(answer.json()["error"]["details"][0]["path"], "aliases", "{wrong}");
    }
    let output = tollgate.cli(&["put", "c1", "--alias", "stripe=cus_1", "--alias", "wingback=C"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(read(&tollgate, "c1")["aliases"], json!({"stripe": "cus_1", "wingback": "C"}));
    let output = tollgate.cli(&["put", "c1", "--alias", "stripe"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
