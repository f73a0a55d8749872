//! The operator listener as operators and billing systems meet it, over real sockets.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use raw::raw;
use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, assert_refused, audit, key, kinds, named, put, read, role, with_token},
    tollgate::{ADMIN_TOKEN, Answer, Tollgate, http},
};

fn start(more: &[&str]) -> Tollgate {
    Tollgate::start(&[&["--store", "memory:"], more].concat())
}

/// One that holds the customer `c1`.
fn with_c1() -> Tollgate {
    let tollgate = start(&[]);
    put(&tollgate, "c1", &json!({}));
    tollgate
}

const PAIRS: [(&str, &str, &str); 3] = [
    ("disable", "enable", "disabled"),
    ("freeze", "unfreeze", "frozen"),
    ("deactivate", "reactivate", "inactive"),
];

mod verbs {
    use super::*;

    #[test]
    fn each_verb_places_or_lifts_and_a_repetition_changes_nothing() {
        for (places, lifts, status) in PAIRS {
            let tollgate = with_c1();
            let lifted = act(&tollgate, "c1", lifts, &json!({}));
            assert_eq!((&lifted["changed"], &lifted["status"]), (&json!(false), &json!("active")));
            let placed = act(&tollgate, "c1", places, &json!({}));
            assert_eq!(placed["changed"], true);
            assert_eq!(placed["status"], status);
            assert_eq!(placed["remaining"], placed["restrictions"]);
            let unsaid = if status == "inactive" { "account_closure" } else { "other" };
            assert_eq!(placed["restrictions"][0]["reason"], unsaid);
            assert_eq!(placed["restrictions"][0]["actor"], "admin-token");
            let again = act(&tollgate, "c1", places, &json!({}));
            assert_eq!(again["changed"], false);
            assert_eq!(again["revision"], placed["revision"]);
            assert_eq!(again["restrictions"], placed["restrictions"]);
            let lifted = act(&tollgate, "c1", lifts, &json!({}));
            assert_eq!((&lifted["changed"], &lifted["status"]), (&json!(true), &json!("active")));
            assert_eq!(lifted["remaining"], json!([]));
            assert_ne!(lifted["revision"], placed["revision"]);
        }
    }

    #[test]
    fn a_verb_needs_no_body_and_no_content_type() {
        let tollgate = with_c1();
        let answer = tollgate.operate("POST", "/v1/customers/c1/disable", None);
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("disabled")));
    }

    #[test]
    fn repeated_with_other_fields_it_replaces_and_keeps_since() {
        let tollgate = with_c1();
        let first = act(&tollgate, "c1", "freeze", &json!({"reason": "dispute", "notes": "first"}));
        let since = first["restrictions"][0]["since"].clone();
        let until = "2999-01-01T00:00:00Z";
        let body = json!({"reason": "non_payment", "notes": "second", "until": until});
        let second = act(&tollgate, "c1", "freeze", &body);
        assert_eq!(second["changed"], true);
        let held = &second["restrictions"][0];
        assert_eq!(second["restrictions"].as_array().unwrap().len(), 1);
        assert_eq!((&held["since"], &held["until"]), (&since, &json!(until)));
        assert_eq!((&held["reason"], &held["notes"]), (&json!("non_payment"), &json!("second")));
        assert_eq!(act(&tollgate, "c1", "freeze", &body)["changed"], false);
        let informed = json!({"until": until, "informedAt": "2026-01-01T00:00:00+01:00"});
        let third = act(&tollgate, "c1", "freeze", &informed);
        assert_eq!(third["restrictions"][0]["informedAt"], "2025-12-31T23:00:00Z");
        assert_eq!(third["restrictions"][0]["notes"], "second");
    }

    #[test]
    fn each_verb_touches_its_own_kind_only() {
        let tollgate = with_c1();
        for (places, ..) in PAIRS {
            act(&tollgate, "c1", places, &json!({}));
        }
        assert_eq!(read(&tollgate, "c1")["status"], "disabled");
        assert_eq!(act(&tollgate, "c1", "enable", &json!({}))["status"], "inactive");
        assert_eq!(act(&tollgate, "c1", "reactivate", &json!({}))["status"], "frozen");
        assert_eq!(act(&tollgate, "c1", "unfreeze", &json!({}))["status"], "active");
    }

    #[test]
    fn an_operators_compliance_disable_survives_the_billing_systems_enable() {
        let tollgate = with_c1();
        let token = json!({"name": "billing", "role": "support", "source": "billabear"});
        let billing = key(&tollgate, &token);
        let as_billing = |verb: &str| {
            let path = format!("/v1/customers/c1/{verb}");
            let answer = with_token(&tollgate, &billing, "POST", &path, Some(&json!({})));
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.json()
        };
        as_billing("disable");
        act(&tollgate, "c1", "disable", &json!({"reason": "compliance"}));
        let held = kinds(&read(&tollgate, "c1"));
        let of = |source: &str| ("disabled".to_owned(), source.to_owned());
        assert_eq!(held, [of("billabear"), of("operator")]);
        let enabled = as_billing("enable");
        assert_eq!((&enabled["changed"], &enabled["status"]), (&json!(true), &json!("disabled")));
        assert_eq!(enabled["remaining"][0]["source"], "operator");
        assert_eq!(enabled["remaining"][0]["reason"], "compliance");
        assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
        assert_eq!(as_billing("enable")["changed"], false);
        act(&tollgate, "c1", "enable", &json!({}));
        assert_eq!(tollgate.reason_to_write("c1"), "active");
    }

    #[test]
    fn the_source_is_the_bodys_else_the_keys_else_operator() {
        let tollgate = with_c1();
        let stripe = key(&tollgate, &json!({"name": "s", "role": "manager", "source": "stripe"}));
        let freeze = |token: &str, body: &Value| {
            let path = "/v1/customers/c1/freeze";
            assert_eq!(with_token(&tollgate, token, "POST", path, Some(body)).status, 200);
        };
        freeze(&stripe, &json!({}));
        freeze(&stripe, &json!({"source": "wingback"}));
        freeze(ADMIN_TOKEN, &json!({}));
        let held: Vec<_> = kinds(&read(&tollgate, "c1")).into_iter().map(|(_, it)| it).collect();
        assert_eq!(held, ["operator", "stripe", "wingback"]);
        let enable = act(&tollgate, "c1", "unfreeze", &json!({"source": "stripe"}));
        assert_eq!(enable["remaining"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn an_unknown_customer_is_404_unless_a_restricting_verb_is_to_make_it() {
        let tollgate = start(&[]);
        for (places, lifts, status) in PAIRS {
            let id = format!("new-{places}");
            for (verb, body) in
                [(places, json!({})), (lifts, json!({})), (lifts, json!({"create": true}))]
            {
                let path = format!("/v1/customers/{id}/{verb}");
                let answer = tollgate.operate("POST", &path, Some(&body));
                assert_refused(&answer, 404, "NOT_FOUND");
            }
            assert_eq!(tollgate.reason_to_write(&id), "customer_unknown");
            let made = act(&tollgate, &id, places, &json!({"create": true}));
            assert_eq!((&made["status"], &made["changed"]), (&json!(status), &json!(true)));
            assert_ne!(tollgate.reason_to_write(&id), "customer_unknown");
        }
        assert_refused(&tollgate.operate("GET", "/v1/customers/nobody", None), 404, "NOT_FOUND");
        assert_refused(&tollgate.operate("DELETE", "/v1/customers/nobody", None), 404, "NOT_FOUND");
    }

    #[test]
    fn a_closure_is_refused_while_anything_is_owed_in_this_order() {
        let tollgate = with_c1();
        let before = read(&tollgate, "c1");
        for (owed, code) in [
            (
                json!({"activeSubscriptions": 1, "pendingOrders": 1, "unreturnedDevices": 1}),
                "CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS",
            ),
            (json!({"pendingOrders": 1, "unreturnedDevices": 1}), "CUSTOMER_HAS_PENDING_ORDERS"),
            (json!({"unreturnedDevices": 1}), "CUSTOMER_HAS_UNRETURNED_DEVICES"),
        ] {
            put(&tollgate, "c1", &json!({"obligations": owed}));
            let owing = read(&tollgate, "c1");
            let status = json!({"status": "inactive"});
            for answer in [
                tollgate.operate("DELETE", "/v1/customers/c1", None),
                tollgate.operate("POST", "/v1/customers/c1/deactivate", None),
                tollgate.operate("PUT", "/v1/customers/c1", Some(&status)),
            ] {
                assert_refused(&answer, 409, code);
            }
            assert_eq!(read(&tollgate, "c1"), owing, "a refusal changed something");
            assert_eq!(tollgate.reason_to_write("c1"), "active");
            let newest = &audit(&tollgate, "c1")[0];
            assert_eq!((&newest["outcome"], &newest["refusal"]), (&json!("refused"), &json!(code)));
        }
        put(&tollgate, "c1", &json!({"obligations": null}));
        let deleted = tollgate.operate("DELETE", "/v1/customers/c1", None).json();
        assert_eq!(deleted["success"], true);
        assert_eq!((&deleted["customerId"], &deleted["changed"]), (&json!("c1"), &json!(true)));
        assert!(deleted["message"].is_string() && deleted["revision"].is_string(), "{deleted}");
        let after = read(&tollgate, "c1");
        assert_eq!(
            (&after["status"], &after["createdAt"]),
            (&json!("inactive"), &before["createdAt"])
        );
        assert_eq!(after["restrictions"][0]["reason"], "account_closure");
        let again = tollgate.operate("DELETE", "/v1/customers/c1", None).json();
        assert_eq!((&again["success"], &again["changed"]), (&json!(true), &json!(false)));
        // What comes to be owed later does not stand against saying it again.
        put(&tollgate, "c1", &json!({"obligations": {"pendingOrders": 1}}));
        assert_eq!(tollgate.operate("DELETE", "/v1/customers/c1", None).status, 200);
    }

    #[test]
    fn a_closure_that_has_lapsed_does_not_stand_for_a_new_one() {
        let tollgate = with_c1();
        let until = soon(Duration::from_millis(400));
        act(&tollgate, "c1", "deactivate", &json!({"until": until}));
        tollgate.wait_until("lapsed", || tollgate.reason_to_write("c1") == "active");
        put(&tollgate, "c1", &json!({"obligations": {"activeSubscriptions": 1}}));
        let refused = tollgate.operate("POST", "/v1/customers/c1/deactivate", None);
        assert_refused(&refused, 409, "CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS");
        assert_eq!(tollgate.reason_to_write("c1"), "active");
    }
}

fn soon(span: Duration) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let millis = i64::try_from((now + span).as_millis()).unwrap();
    tollgate::domain::Timestamp::from_millis(millis).to_string()
}

mod roles {
    use super::*;

    #[test]
    fn each_role_may_do_what_it_is_for_and_is_told_which_role_more_needs() {
        let tollgate = with_c1();
        let freeze = json!({});
        let for_another = json!({"source": "stripe"});
        let status = json!({"status": "active"});
        let plan = json!({"plan": "pro"});
        let nothing = json!({});
        let new_key = json!({"name": "n", "role": "app"});
        let acts: [(&str, &str, Option<&Value>, &str); 15] = [
            ("GET", "/v1/customers/c1/limits", None, "app"),
            ("GET", "/v1/customers/c1", None, "viewer"),
            ("GET", "/v1/customers", None, "viewer"),
            ("GET", "/v1/customers/c1/audit", None, "viewer"),
            ("GET", "/v1/audit", None, "viewer"),
            ("POST", "/v1/customers/c1/freeze", Some(&freeze), "support"),
            ("POST", "/v1/customers/c1/unfreeze", None, "support"),
            ("DELETE", "/v1/customers/c1", None, "support"),
            ("PUT", "/v1/customers/c1", Some(&status), "support"),
            ("POST", "/v1/customers/c1/freeze", Some(&for_another), "manager"),
            ("PUT", "/v1/customers/c1", Some(&plan), "manager"),
            ("PUT", "/v1/customers/c2", Some(&nothing), "manager"),
            ("GET", "/v1/keys", None, "admin"),
            ("POST", "/v1/keys", Some(&new_key), "admin"),
            ("DELETE", "/v1/keys/none", None, "admin"),
        ];
        let roles = ["app", "viewer", "support", "manager", "admin"];
        for (rank, held) in roles.into_iter().enumerate() {
            let token = role(&tollgate, held);
            for (method, path, body, needed) in acts {
                let answer = with_token(&tollgate, &token, method, path, body);
                let needed_rank = roles.iter().position(|role| *role == needed).unwrap();
                if rank < needed_rank {
                    assert_refused(&answer, 403, "INSUFFICIENT_ROLE");
                    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
                    assert!(message.contains(&format!("role {needed} ")), "{held}: {answer:?}");
                } else {
                    assert!(matches!(answer.status, 200 | 201 | 404), "{held}: {answer:?}");
                    assert_eq!(answer.status == 404, path == "/v1/keys/none", "{held}: {answer:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_role_may_not_do_is_not_done_and_is_on_record() {
        let tollgate = with_c1();
        let viewer = role(&tollgate, "viewer");
        let path = "/v1/customers/c1/disable";
        assert_refused(
            &with_token(&tollgate, &viewer, "POST", path, None),
            403,
            "INSUFFICIENT_ROLE",
        );
        assert_eq!(tollgate.reason_to_write("c1"), "active");
        let newest = audit(&tollgate, "c1")[0].clone();
        assert_eq!(newest["outcome"], "refused");
        assert_eq!(newest["refusal"], "INSUFFICIENT_ROLE");
        assert_eq!(
            (&newest["actor"]["name"], &newest["actor"]["role"]),
            (&json!("viewer"), &json!("viewer"))
        );
        assert_eq!(newest["before"], newest["after"]);
    }

    #[test]
    fn only_a_manager_lifts_or_replaces_what_is_sensitive_by_any_endpoint() {
        for sensitive in ["compliance", "security", "fraud"] {
            let tollgate = with_c1();
            let support = role(&tollgate, "support");
            act(&tollgate, "c1", "disable", &json!({"reason": sensitive}));
            let weaker = json!({"reason": "other"});
            let shorter = json!({"until": "2999-01-01T00:00:00Z"});
            let later = json!({"since": "2998-01-01T00:00:00Z"});
            let active = json!({"status": "active"});
            let frozen = json!({"status": "frozen"});
            let disabled = json!({"status": "disabled", "reason": "other"});
            let before = read(&tollgate, "c1");
            for (method, path, body) in [
                ("POST", "/v1/customers/c1/enable", None),
                ("POST", "/v1/customers/c1/disable", Some(&weaker)),
                ("POST", "/v1/customers/c1/disable", Some(&shorter)),
                ("POST", "/v1/customers/c1/disable", Some(&later)),
                ("PUT", "/v1/customers/c1", Some(&active)),
                ("PUT", "/v1/customers/c1", Some(&frozen)),
                ("PUT", "/v1/customers/c1", Some(&disabled)),
            ] {
                let answer = with_token(&tollgate, &support, method, path, body);
                assert_refused(&answer, 403, "INSUFFICIENT_ROLE");
                assert!(answer.body.contains("manager"), "{answer:?}");
                assert_eq!(read(&tollgate, "c1"), before);
            }
            // Saying the same again is nobody's harm, and freezing beside it neither.
            let same = with_token(&tollgate, &support, "POST", "/v1/customers/c1/disable", None);
            assert_eq!((same.status, &same.json()["changed"]), (200, &json!(false)));
            let beside = with_token(&tollgate, &support, "POST", "/v1/customers/c1/freeze", None);
            assert_eq!(beside.status, 200);
            let manager = role(&tollgate, "manager");
            let lifted = with_token(&tollgate, &manager, "POST", "/v1/customers/c1/enable", None);
            assert_eq!((lifted.status, &lifted.json()["changed"]), (200, &json!(true)));
        }
    }

    #[test]
    fn support_may_place_what_is_sensitive_and_a_deletion_leaves_its_reason() {
        let tollgate = with_c1();
        let support = role(&tollgate, "support");
        let fraud = json!({"reason": "fraud"});
        let path = "/v1/customers/c1/deactivate";
        assert_eq!(with_token(&tollgate, &support, "POST", path, Some(&fraud)).status, 200);
        let deleted = with_token(&tollgate, &support, "DELETE", "/v1/customers/c1", None);
        assert_eq!((deleted.status, &deleted.json()["changed"]), (200, &json!(false)));
        assert_eq!(read(&tollgate, "c1")["restrictions"][0]["reason"], "fraud");
    }
}

mod tenants {
    use super::*;

    fn of_tenant(
        tollgate: &Tollgate,
        tenant: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let admin = format!("Bearer {ADMIN_TOKEN}");
        tollgate.operate_as(&[("authorization", &admin), ("tenant-id", tenant)], method, path, body)
    }

    #[test]
    fn the_same_id_under_two_tenants_is_two_customers() {
        let tollgate = with_c1();
        let made =
            of_tenant(&tollgate, "acme", "PUT", "/v1/customers/c1", Some(&json!({"plan": "a"})));
        assert_eq!(made.status, 201);
        assert_eq!(made.json()["customer"]["tenantId"], "acme");
        of_tenant(&tollgate, "acme", "POST", "/v1/customers/c1/disable", None);
        assert_eq!(read(&tollgate, "c1")["status"], "active");
        assert_eq!(tollgate.reason_to_write("c1"), "active");
        let asks = json!({"customerId": "c1", "tenantId": "acme", "action": "read"});
        assert_eq!(tollgate.check(&asks).json()["reason"], "customer_disabled");
    }

    #[test]
    fn a_key_of_one_tenant_sees_that_tenant_only_and_means_it_unsaid() {
        let tollgate = start(&[]);
        put(&tollgate, "of-default", &json!({}));
        act(&tollgate, "of-default", "freeze", &json!({}));
        for tenant in ["acme", "acme2", "acm"] {
            let path = format!("/v1/customers/of-{tenant}");
            assert_eq!(of_tenant(&tollgate, tenant, "PUT", &path, Some(&json!({}))).status, 201);
        }
        let acme = key(&tollgate, &json!({"name": "a", "role": "manager", "tenant": "acme"}));
        let list = |query: &str| {
            let answer =
                with_token(&tollgate, &acme, "GET", &format!("/v1/customers{query}"), None);
            assert_eq!(answer.status, 200, "{answer:?}");
            let customers = answer.json()["customers"].clone();
            let ids = customers
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["customerId"].as_str().unwrap().to_owned());
            ids.collect::<Vec<_>>()
        };
        assert_eq!(list(""), ["of-acme"]);
        assert_eq!(list("?sortDir=desc"), ["of-acme"]);
        assert_eq!(list("?startAfter=a&sortDir=asc"), ["of-acme"]);
        assert_eq!(list("?startAfter=zzz&sortDir=desc"), ["of-acme"]);
        assert!(list("?status=frozen").is_empty());
        assert_eq!(with_token(&tollgate, &acme, "GET", "/v1/customers/of-acme", None).status, 200);
        let foreign = with_token(&tollgate, &acme, "GET", "/v1/customers/of-default", None);
        assert_refused(&foreign, 404, "NOT_FOUND");
        for (method, path) in [
            ("GET", "/v1/customers"),
            ("GET", "/v1/customers/of-default"),
            ("GET", "/v1/audit"),
            ("GET", "/v1/customers/of-default/audit"),
            ("GET", "/v1/customers/of-default/limits"),
            ("POST", "/v1/customers/of-default/unfreeze"),
            ("DELETE", "/v1/customers/of-default"),
            ("PUT", "/v1/customers/of-default"),
        ] {
            let headers = [("x-api-key", acme.as_str()), ("tenant-id", "default")];
            let body = json!({});
            let answer =
                tollgate.operate_as(&headers, method, path, (method == "PUT").then_some(&body));
            assert_refused(&answer, 403, "NO_TENANT_ACCESS");
        }
        let own = [("x-api-key", acme.as_str()), ("tenant-id", "acme")];
        assert_eq!(tollgate.operate_as(&own, "GET", "/v1/customers/of-acme", None).status, 200);
        assert_eq!(read(&tollgate, "of-default")["status"], "frozen");
        let trail = with_token(&tollgate, &acme, "GET", "/v1/audit?limit=100", None).json();
        let subjects: BTreeSet<_> = trail["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["subject"].as_str().unwrap())
            .collect();
        assert_eq!(subjects, BTreeSet::from(["acme:of-acme"]));
    }

    #[test]
    fn a_tenant_named_key_does_not_see_what_was_done_to_keys() {
        let tollgate = start(&[]);
        let path = "/v1/customers/c1";
        assert_eq!(of_tenant(&tollgate, "key", "PUT", path, Some(&json!({}))).status, 201);
        let token = key(&tollgate, &json!({"name": "k", "role": "viewer", "tenant": "key"}));
        let trail = with_token(&tollgate, &token, "GET", "/v1/audit", None).json();
        let subjects: Vec<_> =
            trail["entries"].as_array().unwrap().iter().map(|it| it["subject"].clone()).collect();
        assert_eq!(subjects, [json!("key:c1")]);
    }

    #[test]
    fn an_admin_of_one_tenant_makes_lists_and_revokes_keys_of_that_tenant_only() {
        let tollgate = start(&[]);
        let everywhere =
            tollgate.operate("POST", "/v1/keys", Some(&json!({"name": "all", "role": "app"})));
        let everywhere = everywhere.json()["id"].as_str().unwrap().to_owned();
        let acme = key(&tollgate, &json!({"name": "a", "role": "admin", "tenant": "acme"}));
        let new = |body: &Value| with_token(&tollgate, &acme, "POST", "/v1/keys", Some(body));
        let made = new(&json!({"name": "b", "role": "admin"}));
        assert_eq!((made.status, &made.json()["tenant"]), (201, &json!("acme")));
        let foreign = new(&json!({"name": "c", "role": "admin", "tenant": "default"}));
        assert_refused(&foreign, 403, "NO_TENANT_ACCESS");
        let listed = with_token(&tollgate, &acme, "GET", "/v1/keys", None).json();
        let names: BTreeSet<_> = listed["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, BTreeSet::from(["a", "b"]));
        let path = format!("/v1/keys/{everywhere}");
        assert_refused(&with_token(&tollgate, &acme, "DELETE", &path, None), 404, "NOT_FOUND");
        let own = format!("/v1/keys/{}", made.json()["id"].as_str().unwrap());
        assert_eq!(with_token(&tollgate, &acme, "DELETE", &own, None).status, 200);
        assert_eq!(tollgate.operate("DELETE", &path, None).status, 200);
    }

    #[test]
    fn a_malformed_or_doubled_tenant_is_refused() {
        let tollgate = with_c1();
        for tenant in ["a:b", "", "a b", &"t".repeat(129)] {
            let answer = of_tenant(&tollgate, tenant, "GET", "/v1/customers/c1", None);
            assert_refused(&answer, 400, "VALIDATION_ERROR");
            assert_eq!(named(&answer), ["Tenant-ID"]);
        }
        let headers = [("X-API-Key", ADMIN_TOKEN), ("Tenant-ID", "a"), ("Tenant-ID", "a")];
        let answer = raw(tollgate.operator, "GET /v1/customers/c1 HTTP/1.1", &headers);
        assert_eq!(answer.status, 400);
    }
}

mod credentials {
    use super::*;

    fn ask(tollgate: &Tollgate, headers: &[(&str, &str)]) -> Answer {
        http(tollgate.operator, "GET", "/v1/customers/c1", headers, None)
    }

    #[test]
    fn a_token_may_come_in_three_headers() {
        let tollgate = with_c1();
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        let lower = format!("bearer  {ADMIN_TOKEN}");
        for headers in [
            &[("Authorization", bearer.as_str())][..],
            &[("authorization", lower.as_str())],
            &[("X-API-Key", ADMIN_TOKEN)],
            &[("wb-key", ADMIN_TOKEN)],
            &[
                ("Authorization", bearer.as_str()),
                ("X-API-Key", ADMIN_TOKEN),
                ("wb-key", ADMIN_TOKEN),
            ],
        ] {
            assert_eq!(ask(&tollgate, headers).status, 200, "{headers:?}");
        }
    }

    #[test]
    fn none_is_auth_required_a_wrong_one_invalid_and_two_that_differ_are_refused() {
        let tollgate = with_c1();
        let none = ask(&tollgate, &[]);
        assert_refused(&none, 401, "AUTH_REQUIRED");
        assert!(none.header("www-authenticate").is_some());
        let other = role(&tollgate, "admin");
        let tampered = format!("{}0", &other[..other.len() - 1]);
        let (id, secret) = other.trim_start_matches("tg_").split_once('_').unwrap();
        let swapped = format!("tg_{id}_{id}");
        let unknown = format!("tg_000000000000_{secret}");
        let digit = format!("tg_{id}_{}", secret.to_uppercase());
        let basic = "Basic YWRtaW46YWRtaW4=";
        for wrong in [
            "wrong",
            "",
            "tg_",
            "tg__",
            "tg_x_y",
            &tampered,
            &swapped,
            &unknown,
            &digit,
            "a".repeat(5000).as_str(),
        ] {
            if wrong == other {
                continue;
            }
            assert_refused(&ask(&tollgate, &[("X-API-Key", wrong)]), 401, "INVALID_TOKEN");
        }
        assert_refused(&ask(&tollgate, &[("Authorization", basic)]), 401, "INVALID_TOKEN");
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        for pair in [
            [("Authorization", bearer.as_str()), ("X-API-Key", other.as_str())],
            [("X-API-Key", ADMIN_TOKEN), ("wb-key", "wrong")],
            [("Authorization", "Bearer "), ("wb-key", ADMIN_TOKEN)],
        ] {
            assert_refused(&ask(&tollgate, &pair), 400, "VALIDATION_ERROR");
        }
        let twice = [("X-API-Key", ADMIN_TOKEN), ("X-API-Key", ADMIN_TOKEN)];
        assert_eq!(raw(tollgate.operator, "GET /v1/keys HTTP/1.1", &twice).status, 400);
    }

    #[test]
    fn nothing_is_answered_without_a_key_but_that_there_is_no_such_url() {
        let tollgate = with_c1();
        for (method, path) in [
            ("GET", "/v1/customers"),
            ("GET", "/v1/customers/c1"),
            ("PUT", "/v1/customers/c1"),
            ("DELETE", "/v1/customers/c1"),
            ("POST", "/v1/customers/c1/disable"),
            ("POST", "/v1/customers/c1/purge"),
            ("GET", "/v1/customers/c1/audit"),
            ("GET", "/v1/customers/c1/limits"),
            ("GET", "/v1/audit"),
            ("GET", "/v1/keys"),
            ("POST", "/v1/keys"),
            ("DELETE", "/v1/keys/x"),
            ("POST", "/v1/keys/x/rotate"),
            ("POST", "/session"),
            ("GET", "/session"),
            ("DELETE", "/session"),
        ] {
            let answer = http(tollgate.operator, method, path, &[], None);
            assert_refused(&answer, 401, "AUTH_REQUIRED");
        }
        assert_eq!(tollgate.reason_to_write("c1"), "active");
        for (method, path) in [("GET", "/v2"), ("POST", "/v1/customers/c1/nonsense")] {
            assert_refused(&http(tollgate.operator, method, path, &[], None), 404, "NOT_FOUND");
        }
        for path in ["/livez", "/metrics", "/status", "/v1/check", "/v1/forward-auth"] {
            assert_refused(&http(tollgate.operator, "GET", path, &[], None), 404, "NOT_FOUND");
        }
    }

    #[test]
    fn failures_are_counted_and_the_token_is_never_logged() {
        let tollgate = with_c1();
        for _ in 0..5 {
            ask(&tollgate, &[("X-API-Key", "a-wrong-secret-marker")]);
        }
        ask(&tollgate, &[]);
        let metrics = tollgate.admin("/metrics").body;
        for line in [
            "tollgate_auth_failures_total{code=\"INVALID_TOKEN\"} 5",
            "tollgate_auth_failures_total{code=\"AUTH_REQUIRED\"} 1",
        ] {
            assert!(metrics.lines().any(|found| found == line), "{line}");
        }
        let log = tollgate.wait_for_log("Turned a caller away");
        assert!(!log.contains("marker"), "{log}");
        assert!(!tollgate.log().join("\n").contains(ADMIN_TOKEN));
    }
}

mod keys {
    use super::*;

    #[test]
    fn a_key_is_made_listed_and_revoked_and_refused_at_once() {
        let tollgate = with_c1();
        let body = json!({"name": "alice", "role": "support", "tenant": "acme", "source": "stripe",
                          "expiresAt": "2999-01-01T00:00:00Z"});
        let made = tollgate.operate("POST", "/v1/keys", Some(&body));
        assert_eq!(made.status, 201);
        let made = made.json();
        let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
        for (field, value) in body.as_object().unwrap() {
            assert_eq!(&made[field], value);
        }
        let listed = tollgate.operate("GET", "/v1/keys", None);
        assert!(!listed.body.contains(token) && !listed.body.contains("sha256"), "{listed:?}");
        let keys = listed.json()["keys"].clone();
        let found = keys.as_array().unwrap().iter().find(|it| it["id"] == id).unwrap();
        assert_eq!((&found["name"], &found["token"]), (&json!("alice"), &Value::Null));
        let ask = || with_token(&tollgate, token, "GET", "/v1/customers", None);
        assert_eq!(ask().status, 200);
        let revoked = tollgate.operate("DELETE", &format!("/v1/keys/{id}"), None);
        assert_eq!((revoked.status, &revoked.json()["success"]), (200, &json!(true)));
        assert_refused(&ask(), 401, "INVALID_TOKEN");
        let again = tollgate.operate("DELETE", &format!("/v1/keys/{id}"), None);
        assert_refused(&again, 404, "NOT_FOUND");
        let trail = tollgate.operate("GET", "/v1/audit", None);
        assert!(!trail.body.contains(token), "{trail:?}");
        let trail = trail.json();
        let actions: Vec<_> = trail["entries"]
            .as_array()
            .unwrap()
            .iter()
            .take(2)
            .map(|it| (it["action"].clone(), it["subject"].clone()))
            .collect();
        let subject = json!(format!("key:{id}"));
        assert_eq!(
            actions,
            [(json!("keys_revoke"), subject.clone()), (json!("keys_create"), subject)]
        );
    }

    #[test]
    fn a_rotated_key_has_a_new_token_and_the_one_before_is_good_for_as_long_as_is_said() {
        let tollgate = with_c1();
        let made = tollgate
            .operate("POST", "/v1/keys", Some(&json!({"name": "alice", "role": "viewer"})))
            .json();
        let path = format!("/v1/keys/{}/rotate", made["id"].as_str().unwrap());
        let status = |token: &Value| {
            with_token(&tollgate, token.as_str().unwrap(), "GET", "/v1/customers", None).status
        };
        let rotate = |body: Value| {
            let answer = tollgate.operate("POST", &path, Some(&body));
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(
                (&answer.json()["id"], &answer.json()["name"]),
                (&made["id"], &json!("alice"))
            );
            answer.json()
        };
        let second = rotate(json!({}));
        assert_eq!([status(&made["token"]), status(&second["token"])], [401, 200]);
        assert_eq!(second["previousUntil"], Value::Null);
        let third = rotate(json!({"overlapSeconds": 3600}));
        assert_eq!([status(&second["token"]), status(&third["token"])], [200, 200]);
        assert!(third["previousUntil"].is_string());
        // The one before the one before is good no longer.
        let fourth = rotate(json!({"overlapSeconds": 1}));
        assert_eq!([status(&second["token"]), status(&fourth["token"])], [401, 200]);
        tollgate.wait_until("over", || status(&third["token"]) == 401);
        assert_eq!(status(&fourth["token"]), 200);
        let listed = tollgate.operate("GET", "/v1/keys", None);
        assert!(!listed.body.contains("sha256"), "{listed:?}");
        let long = json!({"overlapSeconds": 2_592_001});
        let refused = tollgate.operate("POST", &path, Some(&long));
        assert_refused(&refused, 400, "VALIDATION_ERROR");
        let unknown = tollgate.operate("POST", "/v1/keys/nobody/rotate", Some(&json!({})));
        assert_refused(&unknown, 404, "NOT_FOUND");
        let trail = tollgate.operate("GET", "/v1/audit?action=keys_rotate", None).json();
        assert_eq!(trail["entries"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn when_a_key_was_last_used_is_told_by_every_instance_and_also_after_a_restart() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let flags = ["--store", &server.url()];
        let (mut one, other) = (Tollgate::start(&flags), Tollgate::start(&flags));
        let body = json!({"name": "alice", "role": "viewer"});
        let made = one.operate("POST", "/v1/keys", Some(&body)).json();
        let last_used = |tollgate: &Tollgate| {
            let keys = tollgate.operate("GET", "/v1/keys", None).json()["keys"].clone();
            let keys = keys.as_array().cloned().unwrap_or_default();
            keys.into_iter().find(|it| it["id"] == made["id"]).map(|it| it["lastUsedAt"].clone())
        };
        assert_eq!(last_used(&one), Some(Value::Null));
        let token = made["token"].as_str().unwrap();
        assert_eq!(with_token(&one, token, "GET", "/v1/customers", None).status, 200);
        let used = last_used(&one).unwrap();
        assert!(used.is_string(), "{used}");
        // Who ends says what is not told yet.
        let ended = one.terminate();
        assert!(ended.success(), "{ended}");
        other.wait_until("told", || last_used(&other) == Some(used.clone()));
    }

    #[test]
    fn many_keys_are_refused_the_moment_they_are_revoked() {
        let tollgate = with_c1();
        for number in 0..30 {
            let body = json!({"name": format!("k{number}"), "role": "viewer"});
            let made = tollgate.operate("POST", "/v1/keys", Some(&body)).json();
            let token = made["token"].as_str().unwrap();
            assert_eq!(with_token(&tollgate, token, "GET", "/v1/customers/c1", None).status, 200);
            let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
            assert_eq!(tollgate.operate("DELETE", &path, None).status, 200);
            let refused = with_token(&tollgate, token, "GET", "/v1/customers/c1", None);
            assert_refused(&refused, 401, "INVALID_TOKEN");
        }
    }

    #[test]
    fn a_key_is_good_until_it_expires() {
        let tollgate = with_c1();
        let until = soon(Duration::from_millis(800));
        let token = key(&tollgate, &json!({"name": "brief", "role": "viewer", "expiresAt": until}));
        let status = || with_token(&tollgate, &token, "GET", "/v1/customers/c1", None).status;
        assert_eq!(status(), 200);
        tollgate.wait_until("expired", || status() == 401);
    }

    #[test]
    fn a_wrong_key_is_not_made_and_the_field_is_named() {
        let tollgate = start(&[]);
        for (body, field) in [
            (json!({"role": "app"}), "name"),
            (json!({"name": "", "role": "app"}), "name"),
            (json!({"name": "n".repeat(65), "role": "app"}), "name"),
            (json!({"name": "n"}), "role"),
            (json!({"name": "n", "role": "root"}), "role"),
            (json!({"name": "n", "role": "app", "tenant": "a:b"}), "tenant"),
            (json!({"name": "n", "role": "app", "source": "No"}), "source"),
            (json!({"name": "n", "role": "app", "expiresAt": "2020-01-01T00:00:00Z"}), "expiresAt"),
            (json!({"name": "n", "role": "app", "expiresAt": "tomorrow"}), "expiresAt"),
            (json!({"name": "n", "role": "app", "token": "mine"}), "token"),
        ] {
            let answer = tollgate.operate("POST", "/v1/keys", Some(&body));
            assert_refused(&answer, 400, "VALIDATION_ERROR");
            assert!(named(&answer).contains(&field.to_owned()), "{body}: {answer:?}");
        }
        assert_eq!(tollgate.operate("GET", "/v1/keys", None).json()["keys"], json!([]));
    }
}

mod records {
    use super::*;

    #[test]
    fn a_customer_is_made_with_201_and_read_back_whole() {
        let tollgate = start(&[]);
        let body = json!({
            "name": "Acme", "metadata": {"crm": "7"}, "plan": "pro", "features": ["sso"],
            "limits": {"seats": {"max": 25}, "calls": {"max": "unlimited"}},
            "obligations": {"activeSubscriptions": 2},
        });
        let made = tollgate.operate("PUT", "/v1/customers/c1", Some(&body));
        assert_eq!(made.status, 201, "{made:?}");
        let made = made.json();
        assert_eq!(made["success"], true);
        assert_eq!((&made["customerId"], &made["changed"]), (&json!("c1"), &json!(true)));
        assert_eq!(made["revision"], made["customer"]["revision"]);
        let answer = tollgate.operate("GET", "/v1/customers/c1", None);
        let tag = format!("\"{}\"", made["revision"].as_str().unwrap());
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        let shown = answer.json();
        assert_eq!(shown, made["customer"]);
        assert_eq!(shown["customerId"], "c1");
        assert_eq!(shown["tenantId"], "default");
        assert_eq!((&shown["status"], &shown["access"]), (&json!("active"), &json!("read_write")));
        for field in ["name", "metadata", "plan", "features"] {
            assert_eq!(shown[field], body[field]);
        }
        assert_eq!(shown["limits"]["seats"]["max"], 25);
        assert_eq!(shown["limits"]["calls"]["max"], "unlimited");
        assert_eq!(
            shown["obligations"],
            json!({"activeSubscriptions": 2, "pendingOrders": 0, "unreturnedDevices": 0})
        );
        assert_eq!((&shown["restrictions"], &shown["scheduled"]), (&json!([]), &json!([])));
        assert_eq!(shown["aliases"], json!({}));
        assert_eq!(shown["createdAt"], shown["updatedAt"]);
    }

    #[test]
    fn what_is_not_named_is_kept_and_null_clears() {
        let tollgate = start(&[]);
        put(
            &tollgate,
            "c1",
            &json!({"name": "Acme", "plan": "pro", "features": ["sso", "export"],
            "limits": {"seats": {"max": 1}, "calls": {"max": 2}}, "metadata": {"a": "1", "b": "2"}}),
        );
        let empty = put(&tollgate, "c1", &json!({}));
        assert_eq!(empty["changed"], false);
        let changed =
            put(&tollgate, "c1", &json!({"limits": {"seats": {"max": 5}}, "metadata": {"c": "3"}}));
        let customer = &changed["customer"];
        assert_eq!(customer["limits"], json!({"seats": {"max": 5}}));
        assert_eq!(customer["metadata"], json!({"c": "3"}));
        assert_eq!((&customer["plan"], &customer["name"]), (&json!("pro"), &json!("Acme")));
        assert_eq!(customer["features"], json!(["export", "sso"]));
        let cleared = json!({"name": null, "plan": null, "features": null, "limits": null, "metadata": null, "obligations": null});
        let cleared = put(&tollgate, "c1", &cleared);
        for field in ["name", "plan", "features", "limits"] {
            assert_eq!(cleared["customer"][field], Value::Null, "{field}");
        }
        assert_eq!(cleared["customer"]["metadata"], json!({}));
        assert_eq!(put(&tollgate, "c1", &json!({"plan": null}))["changed"], false);
    }

    #[test]
    fn a_status_makes_its_source_hold_exactly_that_kind() {
        let tollgate = with_c1();
        act(&tollgate, "c1", "disable", &json!({}));
        act(&tollgate, "c1", "freeze", &json!({"source": "wingback"}));
        let word = |kind: &str, source: &str| (kind.to_owned(), source.to_owned());
        let put = |body: &Value| kinds(&put(&tollgate, "c1", body)["customer"]);
        assert_eq!(
            put(&json!({"status": "frozen"})),
            [word("frozen", "operator"), word("frozen", "wingback")]
        );
        assert_eq!(
            put(&json!({"status": "inactive", "reason": "customer_request"})),
            [word("inactive", "operator"), word("frozen", "wingback")]
        );
        assert_eq!(read(&tollgate, "c1")["restrictions"][0]["reason"], "customer_request");
        assert_eq!(put(&json!({"status": "active"})), [word("frozen", "wingback")]);
        assert_eq!(tollgate.reason_to_write("c1"), "customer_frozen");
        assert!(put(&json!({"status": "active", "source": "wingback"})).is_empty());
        assert_eq!(tollgate.reason_to_write("c1"), "active");
    }

    #[test]
    fn a_new_customer_can_be_made_restricted() {
        let tollgate = start(&[]);
        let made = put(
            &tollgate,
            "c1",
            &json!({"status": "disabled", "reason": "non_payment", "plan": "pro"}),
        );
        assert_eq!(made["customer"]["status"], "disabled");
        assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
    }

    #[test]
    fn status_beside_other_fields_of_a_known_customer_needs_a_revision() {
        let tollgate = with_c1();
        let mixed = json!({"status": "frozen", "plan": "pro"});
        let refused = tollgate.operate("PUT", "/v1/customers/c1", Some(&mixed));
        assert_refused(&refused, 400, "VALIDATION_ERROR");
        assert_eq!(named(&refused), ["revision"]);
        assert_eq!(read(&tollgate, "c1")["plan"], Value::Null);
        let revision = read(&tollgate, "c1")["revision"].clone();
        let with = json!({"status": "frozen", "plan": "pro", "revision": revision});
        let written = tollgate.operate("PUT", "/v1/customers/c1", Some(&with));
        assert_eq!(
            (written.status, &written.json()["customer"]["status"]),
            (200, &json!("frozen"))
        );
        let stale = tollgate.operate("PUT", "/v1/customers/c1", Some(&with));
        assert_refused(&stale, 412, "PRECONDITION_FAILED");
        // If-Match says the same as a revision in the body.
        let now = read(&tollgate, "c1")["revision"].as_str().unwrap().to_owned();
        let tag = format!("\"{now}\"");
        let matching = [("x-api-key", ADMIN_TOKEN), ("if-match", tag.as_str())];
        let lifted = json!({"status": "active", "plan": "free"});
        let answer = tollgate.operate_as(&matching, "PUT", "/v1/customers/c1", Some(&lifted));
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    #[test]
    fn an_act_on_another_revision_than_expected_is_412_and_changes_nothing() {
        let tollgate = with_c1();
        let old = read(&tollgate, "c1")["revision"].as_str().unwrap().to_owned();
        act(&tollgate, "c1", "freeze", &json!({}));
        let before = read(&tollgate, "c1");
        let foreign = format!("another:{}", old.split_once(':').unwrap().1);
        for stale in [format!("\"{old}\""), old.clone(), foreign] {
            for (method, path) in [
                ("POST", "/v1/customers/c1/disable"),
                ("POST", "/v1/customers/c1/unfreeze"),
                ("DELETE", "/v1/customers/c1"),
                ("PUT", "/v1/customers/c1"),
            ] {
                let headers = [("x-api-key", ADMIN_TOKEN), ("if-match", stale.as_str())];
                let body = json!({"plan": "pro"});
                let body = (method == "PUT").then_some(&body);
                let answer = tollgate.operate_as(&headers, method, path, body);
                assert_refused(&answer, 412, "PRECONDITION_FAILED");
            }
        }
        assert_eq!(read(&tollgate, "c1"), before);
        let headers = [("x-api-key", ADMIN_TOKEN), ("if-match", "nonsense")];
        let answer = tollgate.operate_as(&headers, "POST", "/v1/customers/c1/disable", None);
        assert_refused(&answer, 400, "VALIDATION_ERROR");
        assert_eq!(named(&answer), ["If-Match"]);
        let now = before["revision"].as_str().unwrap();
        let headers = [("x-api-key", ADMIN_TOKEN), ("if-match", now)];
        assert_eq!(
            tollgate.operate_as(&headers, "POST", "/v1/customers/c1/disable", None).status,
            200
        );
        let both = json!({"plan": "pro", "revision": now});
        let other = format!("\"{old}\"");
        let headers = [("x-api-key", ADMIN_TOKEN), ("if-match", other.as_str())];
        let answer = tollgate.operate_as(&headers, "PUT", "/v1/customers/c1", Some(&both));
        assert_refused(&answer, 400, "VALIDATION_ERROR");
        assert_eq!(named(&answer), ["revision"]);
    }

    #[test]
    fn a_revision_expected_of_an_unknown_customer_is_412() {
        let tollgate = with_c1();
        let revision = read(&tollgate, "c1")["revision"].clone();
        let answer = tollgate.operate(
            "PUT",
            "/v1/customers/c2",
            Some(&json!({"plan": "p", "revision": revision})),
        );
        assert_refused(&answer, 412, "PRECONDITION_FAILED");
        assert_refused(&tollgate.operate("GET", "/v1/customers/c2", None), 404, "NOT_FOUND");
    }
}

mod lists {
    use super::*;

    fn ids(page: &Value) -> Vec<String> {
        let customers = page["customers"].as_array().unwrap();
        assert_eq!(page["count"], customers.len());
        customers.iter().map(|it| it["customerId"].as_str().unwrap().to_owned()).collect()
    }

    fn page(tollgate: &Tollgate, query: &str) -> Value {
        let answer = tollgate.operate("GET", &format!("/v1/customers{query}"), None);
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.json()
    }

    /// Follows the cursor to the end.
    fn walk(tollgate: &Tollgate, query: &str) -> Vec<String> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let after = cursor.as_ref().map(|id| format!("&startAfter={id}")).unwrap_or_default();
            let page = page(tollgate, &format!("{query}{after}"));
            found.extend(ids(&page));
            assert_eq!(page["hasMore"], page["nextCursor"].is_string(), "{page}");
            assert!(found.len() < 1000, "it goes round in circles");
            cursor = page["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return found;
            }
        }
    }

    /// `c00` to `c24`: every fifth is inactive, every fourth frozen by wingback.
    fn with_many() -> Tollgate {
        let tollgate = start(&[]);
        fill(&tollgate);
        tollgate
    }

    fn fill(tollgate: &Tollgate) {
        for number in 0..25 {
            let id = format!("c{number:02}");
            put(tollgate, &id, &json!({}));
            if number % 5 == 0 {
                act(tollgate, &id, "deactivate", &json!({"reason": "account_closure"}));
            }
            if number % 4 == 0 {
                act(tollgate, &id, "freeze", &json!({"source": "wingback", "reason": "dispute"}));
            }
        }
        for id in ["C00", "c", "d:1", "b@x"] {
            put(tollgate, id, &json!({}));
        }
    }

    fn visible() -> Vec<String> {
        let counted =
            (0..25).filter(|number| number % 5 != 0).map(|number| format!("c{number:02}"));
        let mut all: Vec<_> =
            counted.chain(["C00", "c", "d:1", "b@x"].map(str::to_owned)).collect();
        all.sort();
        all
    }

    #[test]
    fn pages_in_both_directions_hold_everybody_once() {
        let tollgate = with_many();
        let mut backwards = visible();
        backwards.reverse();
        for limit in [1, 2, 3, 7, 24, 25, 50, 100] {
            assert_eq!(walk(&tollgate, &format!("?limit={limit}")), visible(), "{limit}");
            assert_eq!(
                walk(&tollgate, &format!("?limit={limit}&sortDir=desc")),
                backwards,
                "{limit}"
            );
        }
        let whole = page(&tollgate, "");
        assert_eq!((&whole["limit"], &whole["hasMore"]), (&json!(50), &json!(false)));
    }

    #[test]
    fn inactive_customers_are_listed_only_when_they_are_asked_for() {
        let tollgate = with_many();
        let inactive: Vec<_> = (0..25).step_by(5).map(|number| format!("c{number:02}")).collect();
        for limit in [1, 3, 100] {
            assert_eq!(walk(&tollgate, &format!("?status=inactive&limit={limit}")), inactive);
        }
        assert!(!walk(&tollgate, "?limit=10").contains(&"c05".to_owned()));
        assert_eq!(read(&tollgate, "c05")["status"], "inactive");
    }

    #[test]
    fn filters_hold_together() {
        let tollgate = with_many();
        let frozen: Vec<_> =
            (0..25).filter(|it| it % 4 == 0 && it % 5 != 0).map(|it| format!("c{it:02}")).collect();
        for limit in [1, 2, 100] {
            assert_eq!(walk(&tollgate, &format!("?status=frozen&limit={limit}")), frozen);
            assert_eq!(walk(&tollgate, &format!("?source=wingback&limit={limit}")), frozen);
            assert_eq!(walk(&tollgate, &format!("?reason=dispute&limit={limit}")), frozen);
        }
        assert_eq!(walk(&tollgate, "?source=wingback&status=inactive&limit=1"), ["c00", "c20"]);
        assert!(walk(&tollgate, "?reason=dispute&source=operator&limit=2").is_empty());
        assert_eq!(walk(&tollgate, "?status=active&limit=3").len(), visible().len() - frozen.len());
        assert!(walk(&tollgate, "?status=disabled&limit=2").is_empty());
    }

    #[test]
    fn a_prefix_bounds_the_list_wherever_the_cursor_lies() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        for tollgate in [start(&[]), Tollgate::start(&["--store", &server.url()])] {
            fill(&tollgate);
            let c1: Vec<_> = visible().into_iter().filter(|id| id.starts_with("c1")).collect();
            let mut back = c1.clone();
            back.reverse();
            for limit in [1, 3, 100] {
                assert_eq!(walk(&tollgate, &format!("?prefix=c1&limit={limit}")), c1);
                assert_eq!(
                    walk(&tollgate, &format!("?prefix=c1&limit={limit}&sortDir=desc")),
                    back
                );
            }
            let listed = |query: &str| ids(&page(&tollgate, query));
            assert_eq!(listed("?prefix=c1&startAfter=c13"), ["c14", "c16", "c17", "c18", "c19"]);
            assert!(listed("?prefix=c1&startAfter=c2").is_empty());
            assert!(listed("?prefix=c1&sortDir=desc&startAfter=b").is_empty());
            assert_eq!(listed("?prefix=d:"), ["d:1"]);
            assert!(listed("?prefix=zz").is_empty());
            assert!(listed("?prefix=%C3%A9").is_empty());
        }
    }

    #[test]
    fn a_cursor_outside_the_prefix_bounds_the_list_no_further() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        for tollgate in [start(&[]), Tollgate::start(&["--store", &server.url()])] {
            for id in ["a1", "b1", "b2", "c1"] {
                put(&tollgate, id, &json!({}));
            }
            let listed = |query: &str| ids(&page(&tollgate, query));
            assert_eq!(listed("?prefix=b&startAfter=a"), ["b1", "b2"]);
            assert_eq!(listed("?prefix=b&startAfter=d&sortDir=desc"), ["b2", "b1"]);
        }
    }

    #[test]
    fn a_long_run_of_hidden_customers_makes_a_short_page_and_not_the_end() {
        let tollgate = start(&[]);
        for number in 0..60 {
            let id = format!("a{number:02}");
            act(&tollgate, &id, "deactivate", &json!({"create": true}));
        }
        put(&tollgate, "z", &json!({}));
        assert_eq!(walk(&tollgate, "?limit=1"), ["z"]);
        assert_eq!(walk(&tollgate, "?limit=2&sortDir=desc"), ["z"]);
        let first = page(&tollgate, "?limit=1");
        assert_eq!((&first["count"], &first["hasMore"]), (&json!(0), &json!(true)));
    }

    #[test]
    fn a_customer_made_while_the_list_is_read_makes_nobody_appear_twice() {
        let tollgate = with_many();
        let first = page(&tollgate, "?limit=5");
        for id in ["a", "c03x", "zz"] {
            put(&tollgate, id, &json!({}));
        }
        let cursor = first["nextCursor"].as_str().unwrap();
        let rest = page(&tollgate, &format!("?limit=100&startAfter={cursor}"));
        let mut all = ids(&first);
        all.extend(ids(&rest));
        let once: BTreeSet<_> = all.iter().collect();
        assert_eq!(once.len(), all.len());
        assert!(all.contains(&"zz".to_owned()));
        for id in visible() {
            assert!(all.contains(&id), "{id}");
        }
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        let tollgate = start(&[]);
        for (query, field) in [
            ("?limit=0", "limit"),
            ("?limit=101", "limit"),
            ("?limit=-1", "limit"),
            ("?limit=x", "limit"),
            ("?limit=", "limit"),
            ("?status=banned", "status"),
            ("?source=No", "source"),
            ("?reason=none", "reason"),
            ("?sortDir=up", "sortDir"),
            ("?limti=5", "limti"),
            ("?limit=1&limit=2", "limit"),
        ] {
            let answer = tollgate.operate("GET", &format!("/v1/customers{query}"), None);
            assert_refused(&answer, 400, "VALIDATION_ERROR");
            assert_eq!(named(&answer), [field], "{query}");
        }
    }
}

mod trail {
    use super::*;

    #[test]
    fn every_act_is_on_record_also_one_that_changes_nothing_or_is_refused() {
        let tollgate = start(&[]);
        let created = json!({"obligations": {"pendingOrders": 1}});
        put(&tollgate, "c1", &created);
        let body = json!({"reason": "dispute", "notes": "a note", "source": "stripe"});
        act(&tollgate, "c1", "freeze", &body);
        act(&tollgate, "c1", "freeze", &body);
        tollgate.operate("DELETE", "/v1/customers/c1", None);
        tollgate.operate("POST", "/v1/customers/nobody/disable", Some(&json!({"reason": "fraud"})));
        let entries = audit(&tollgate, "c1");
        let told: Vec<_> = entries
            .iter()
            .map(|it| (it["action"].as_str().unwrap(), it["outcome"].as_str().unwrap()))
            .collect();
        assert_eq!(
            told,
            [
                ("delete", "refused"),
                ("freeze", "unchanged"),
                ("freeze", "changed"),
                ("put", "changed"),
            ]
        );
        let freeze = &entries[2];
        assert_eq!(freeze["subject"], "default:c1");
        assert_eq!((&freeze["reason"], &freeze["notes"]), (&json!("dispute"), &json!("a note")));
        assert_eq!((&freeze["source"], &freeze["dialect"]), (&json!("stripe"), &json!("native")));
        assert_eq!(
            (&freeze["before"], &freeze["after"][0]["kind"]),
            (&json!([]), &json!("frozen"))
        );
        assert_eq!(freeze["actor"]["name"], "admin-token");
        assert_eq!(freeze["actor"]["address"], "127.0.0.1");
        assert_eq!(entries[0]["refusal"], "CUSTOMER_HAS_PENDING_ORDERS");
        let unknown = &audit(&tollgate, "nobody")[0];
        assert_eq!(
            (&unknown["outcome"], &unknown["refusal"]),
            (&json!("refused"), &json!("NOT_FOUND"))
        );
    }

    #[test]
    fn an_act_that_came_too_late_is_on_record_too() {
        let tollgate = with_c1();
        let old = read(&tollgate, "c1")["revision"].as_str().unwrap().to_owned();
        act(&tollgate, "c1", "freeze", &json!({}));
        let headers = [("x-api-key", ADMIN_TOKEN), ("if-match", old.as_str())];
        let late = tollgate.operate_as(&headers, "POST", "/v1/customers/c1/unfreeze", None);
        assert_refused(&late, 412, "PRECONDITION_FAILED");
        let newest = &audit(&tollgate, "c1")[0];
        assert_eq!(
            (&newest["action"], &newest["outcome"]),
            (&json!("unfreeze"), &json!("refused"))
        );
        assert_eq!(newest["refusal"], "PRECONDITION_FAILED");
    }

    #[test]
    fn pages_go_back_in_time_and_hold_every_entry_once() {
        let tollgate = with_c1();
        for number in 0..12 {
            act(&tollgate, "c1", if number % 2 == 0 { "freeze" } else { "unfreeze" }, &json!({}));
        }
        for path in ["/v1/customers/c1/audit", "/v1/audit"] {
            for limit in [1, 4, 12, 13, 100] {
                let (mut found, mut before) = (Vec::new(), String::new());
                loop {
                    let url = format!("{path}?limit={limit}{before}");
                    let page = tollgate.operate("GET", &url, None).json();
                    let entries = page["entries"].as_array().unwrap();
                    assert!(entries.len() <= limit);
                    found.extend(entries.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
                    match page["nextCursor"].as_str() {
                        Some(cursor) => before = format!("&before={cursor}"),
                        None => break,
                    }
                    assert_eq!(page["hasMore"], true);
                }
                let once: BTreeSet<_> = found.iter().collect();
                assert_eq!((found.len(), once.len()), (13, 13), "{path} by {limit}");
            }
        }
        let newest = &audit(&tollgate, "c1")[0];
        assert_eq!(newest["action"], "unfreeze");
    }

    #[test]
    fn a_wrong_cursor_or_limit_is_named() {
        let tollgate = with_c1();
        for (query, field) in [
            ("?before=x", "before"),
            ("?before=1", "before"),
            ("?before=1-x", "before"),
            ("?limit=0", "limit"),
            ("?limit=101", "limit"),
            ("?after=1-0", "after"),
        ] {
            for path in ["/v1/audit", "/v1/customers/c1/audit"] {
                let answer = tollgate.operate("GET", &format!("{path}{query}"), None);
                assert_refused(&answer, 400, "VALIDATION_ERROR");
                assert_eq!(named(&answer), [field], "{query}");
            }
        }
    }

    #[test]
    fn a_requests_id_is_told_back_and_kept_and_a_wild_one_is_replaced() {
        let tollgate = with_c1();
        let headers = [("x-api-key", ADMIN_TOKEN), ("x-request-id", "req-42.A_b")];
        let answer = tollgate.operate_as(&headers, "POST", "/v1/customers/c1/freeze", None);
        assert_eq!(answer.header("x-request-id"), Some("req-42.A_b"));
        assert_eq!(audit(&tollgate, "c1")[0]["requestId"], "req-42.A_b");
        for wild in ["a b", "", &"x".repeat(65), "a\"b"] {
            let headers = [("x-api-key", ADMIN_TOKEN), ("x-request-id", wild)];
            let answer = tollgate.operate_as(&headers, "POST", "/v1/customers/c1/freeze", None);
            let given = answer.header("x-request-id").unwrap().to_owned();
            assert!(given != wild && !given.is_empty(), "{given}");
            assert_eq!(audit(&tollgate, "c1")[0]["requestId"], given.as_str());
        }
    }
}

mod idempotency {
    use super::*;

    fn send(tollgate: &Tollgate, token: &str, key: &str, path: &str, body: &Value) -> Answer {
        let headers = [("x-api-key", token), ("idempotency-key", key)];
        tollgate.operate_as(&headers, "POST", path, Some(body))
    }

    #[test]
    fn the_same_key_and_body_act_once_and_tell_the_same_again() {
        let tollgate = with_c1();
        let body = json!({"reason": "dispute"});
        let first = send(&tollgate, ADMIN_TOKEN, "k1", "/v1/customers/c1/freeze", &body);
        assert_eq!((first.status, &first.json()["changed"]), (200, &json!(true)));
        act(&tollgate, "c1", "unfreeze", &json!({}));
        let again = send(&tollgate, ADMIN_TOKEN, "k1", "/v1/customers/c1/freeze", &body);
        assert_eq!((again.status, &again.json()["changed"]), (200, &json!(true)));
        assert_eq!(tollgate.reason_to_write("c1"), "active", "it acted twice");
        assert_eq!(again.json()["status"], "active", "it tells what is");
    }

    #[test]
    fn the_same_key_with_another_body_is_422_and_does_nothing() {
        let tollgate = with_c1();
        let path = "/v1/customers/c1/freeze";
        send(&tollgate, ADMIN_TOKEN, "k1", path, &json!({"reason": "dispute"}));
        let before = read(&tollgate, "c1");
        let reused = send(&tollgate, ADMIN_TOKEN, "k1", path, &json!({"reason": "other"}));
        assert_refused(&reused, 422, "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(read(&tollgate, "c1"), before);
    }

    #[test]
    fn a_key_stands_for_one_caller_one_customer_and_one_verb() {
        let tollgate = with_c1();
        put(&tollgate, "c2", &json!({}));
        // Two keys with one name are two callers.
        let alice = key(&tollgate, &json!({"name": "alice", "role": "support"}));
        let other = key(&tollgate, &json!({"name": "alice", "role": "support"}));
        for (token, path, reason) in [
            (alice.as_str(), "/v1/customers/c1/freeze", "dispute"),
            (&alice, "/v1/customers/c1/disable", "other"),
            (&alice, "/v1/customers/c2/freeze", "non_payment"),
            (&other, "/v1/customers/c1/freeze", "usage_limit"),
            (ADMIN_TOKEN, "/v1/customers/c1/freeze", "data_cleanup"),
        ] {
            let answer = send(&tollgate, token, "k1", path, &json!({"reason": reason}));
            assert_eq!(
                (answer.status, &answer.json()["changed"]),
                (200, &json!(true)),
                "{path} {reason}"
            );
        }
    }

    #[test]
    fn an_act_on_a_revision_can_be_repeated_with_its_key() {
        let tollgate = with_c1();
        let revision = read(&tollgate, "c1")["revision"].as_str().unwrap().to_owned();
        let headers = [
            ("x-api-key", ADMIN_TOKEN),
            ("idempotency-key", "k1"),
            ("if-match", revision.as_str()),
        ];
        for _ in 0..2 {
            let answer = tollgate.operate_as(&headers, "POST", "/v1/customers/c1/freeze", None);
            assert_eq!(
                (answer.status, &answer.json()["changed"]),
                (200, &json!(true)),
                "{answer:?}"
            );
        }
    }

    #[test]
    fn a_key_of_no_or_too_many_bytes_is_refused() {
        let tollgate = with_c1();
        for wrong in ["", &"k".repeat(256)] {
            let answer = send(&tollgate, ADMIN_TOKEN, wrong, "/v1/customers/c1/freeze", &json!({}));
            assert_refused(&answer, 400, "VALIDATION_ERROR");
            assert_eq!(named(&answer), ["Idempotency-Key"]);
        }
        let longest = "k".repeat(255);
        let answer = send(&tollgate, ADMIN_TOKEN, &longest, "/v1/customers/c1/freeze", &json!({}));
        assert_eq!(answer.status, 200);
    }

    #[test]
    fn a_write_and_a_delete_can_be_repeated_too() {
        let tollgate = with_c1();
        let headers = [("x-api-key", ADMIN_TOKEN), ("idempotency-key", "k1")];
        let plan = json!({"plan": "pro"});
        let put =
            |body: &Value| tollgate.operate_as(&headers, "PUT", "/v1/customers/c1", Some(body));
        assert_eq!(put(&plan).json()["changed"], true);
        super::put(&tollgate, "c1", &json!({"plan": "free"}));
        assert_eq!(put(&plan).status, 200);
        assert_eq!(read(&tollgate, "c1")["plan"], "free");
        assert_refused(&put(&json!({"plan": "x"})), 422, "IDEMPOTENCY_KEY_REUSED");
        let delete = || tollgate.operate_as(&headers, "DELETE", "/v1/customers/c1", None);
        assert_eq!(delete().json()["changed"], true);
        act(&tollgate, "c1", "reactivate", &json!({}));
        assert_eq!(delete().status, 200);
        assert_eq!(tollgate.reason_to_write("c1"), "active");
    }
}

mod bad_input {
    use super::*;

    #[test]
    fn an_unknown_verb_or_url_is_404_and_another_method_405() {
        let tollgate = with_c1();
        for path in [
            "/v1/customers/c1/ban",
            "/v1/customers/c1/DISABLE",
            "/v1/customers/c1/put",
            "/v1/customers/c1/delete",
        ] {
            assert_refused(&tollgate.operate("POST", path, None), 404, "NOT_FOUND");
        }
        for path in
            ["/v1/customers/", "/v1/customers/c1/", "/v1/customers/c1/disable/", "/v1", "/v2"]
        {
            assert_refused(&tollgate.operate("GET", path, None), 404, "NOT_FOUND");
        }
        for (method, path) in [
            ("GET", "/v1/customers/c1/disable"),
            ("POST", "/v1/customers/c1"),
            ("PATCH", "/v1/customers/c1"),
            ("DELETE", "/v1/customers"),
            ("POST", "/v1/audit"),
            ("PUT", "/v1/keys"),
        ] {
            assert_refused(&tollgate.operate(method, path, None), 405, "METHOD_NOT_ALLOWED");
        }
        assert_eq!(read(&tollgate, "c1")["status"], "active");
    }

    #[test]
    fn what_breaks_a_rule_names_the_field_and_changes_nothing() {
        let tollgate = with_c1();
        let before = read(&tollgate, "c1");
        for (body, field) in [
            (json!({"reason": "because"}), "reason"),
            (json!({"reason": 7}), "reason"),
            (json!({"until": "soon"}), "until"),
            (json!({"until": "2026-01-01"}), "until"),
            (json!({"until": 1_900_000_000}), "until"),
            (json!({"until": "2020-01-01T00:00:00Z"}), "until"),
            (json!({"since": "2030-01-02T00:00:00Z", "until": "2030-01-01T00:00:00Z"}), "until"),
            (json!({"since": "2030-01-01T00:00:00Z", "until": "2030-01-01T00:00:00Z"}), "until"),
            (json!({"since": "1969-12-31T23:59:59Z"}), "since"),
            (json!({"informedAt": "x"}), "informedAt"),
            (json!({"notes": "n".repeat(2001)}), "notes"),
            (json!({"notes": "\u{e9}".repeat(2001)}), "notes"),
            (json!({"notes": ["n"]}), "notes"),
            (json!({"source": "Operator"}), "source"),
            (json!({"source": ""}), "source"),
            (json!({"source": "s".repeat(33)}), "source"),
            (json!({"create": "yes"}), "create"),
            (json!({"untill": "2030-01-01T00:00:00Z"}), "untill"),
        ] {
            for verb in ["disable", "freeze", "deactivate"] {
                let path = format!("/v1/customers/c1/{verb}");
                let answer = tollgate.operate("POST", &path, Some(&body));
                assert_refused(&answer, 400, "VALIDATION_ERROR");
                assert!(named(&answer).contains(&field.to_owned()), "{body}: {answer:?}");
            }
        }
        for verb in ["enable", "unfreeze", "reactivate"] {
            let body = json!({"until": "2999-01-01T00:00:00Z"});
            let answer = tollgate.operate("POST", &format!("/v1/customers/c1/{verb}"), Some(&body));
            assert_refused(&answer, 400, "VALIDATION_ERROR");
        }
        assert_eq!(read(&tollgate, "c1"), before);
    }

    #[test]
    fn two_thousand_characters_of_notes_are_taken_whatever_they_are() {
        let tollgate = with_c1();
        for character in ["n", "\u{e9}", "\u{1f600}", "\"", "\n"] {
            let notes = character.repeat(2000);
            let acted = act(&tollgate, "c1", "freeze", &json!({"notes": notes}));
            assert_eq!(acted["restrictions"][0]["notes"], notes.as_str());
        }
    }

    #[test]
    fn a_record_that_breaks_a_rule_names_the_field_and_changes_nothing() {
        let tollgate = with_c1();
        let before = read(&tollgate, "c1");
        for (body, field) in [
            (json!({"limits": {"seats": {"max": -1}}}), "limits"),
            (json!({"limits": {"seats": {"max": 1.5}}}), "limits"),
            (json!({"limits": {"seats": {"max": "many"}}}), "limits"),
            (json!({"limits": {"seats": {"max": 1, "used": -1}}}), "limits"),
            (json!({"limits": {"seats": {}}}), "limits"),
            (json!({"limits": {"seats": {"max": 1, "most": 2}}}), "limits"),
            (json!({"limits": {"": {"max": 1}}}), "limits"),
            (json!({"limits": [1]}), "limits"),
            (json!({"features": "sso"}), "features"),
            (json!({"features": ["a b"]}), "features"),
            (json!({"plan": ""}), "plan"),
            (json!({"name": 7}), "name"),
            (json!({"metadata": {"a": 1}}), "metadata"),
            (json!({"obligations": {"activeSubscriptions": -1}}), "obligations"),
            (json!({"obligations": {"subscriptions": 1}}), "obligations"),
            (json!({"status": "banned"}), "status"),
            (json!({"status": null}), "status"),
            (json!({"reason": "fraud"}), "status"),
            (json!({"status": "active", "until": "2999-01-01T00:00:00Z"}), "until"),
            (json!({"status": "frozen", "until": "2020-01-01T00:00:00Z"}), "until"),
            (json!({"revision": "x"}), "revision"),
            (json!({"restrictions": []}), "restrictions"),
            (json!({"customerId": "c2"}), "customerId"),
        ] {
            let answer = tollgate.operate("PUT", "/v1/customers/c1", Some(&body));
            assert_refused(&answer, 400, "VALIDATION_ERROR");
            assert!(named(&answer).contains(&field.to_owned()), "{body}: {answer:?}");
        }
        assert_eq!(read(&tollgate, "c1"), before);
    }

    #[test]
    fn an_id_that_breaks_its_rule_is_refused_everywhere() {
        let tollgate = start(&[]);
        let long = "c".repeat(129);
        for id in ["a%20b", "a%2Fb", "%2e%2e", "%2e", "a,b", "%ff", "%00", &long] {
            for (method, rest) in [
                ("GET", ""),
                ("PUT", ""),
                ("DELETE", ""),
                ("GET", "/audit"),
                ("GET", "/limits"),
                ("POST", "/disable"),
            ] {
                let line = format!("{method} /v1/customers/{id}{rest} HTTP/1.1");
                let answer = raw(tollgate.operator, &line, &[("X-API-Key", ADMIN_TOKEN)]);
                assert_eq!(answer.status, 400, "{line}: {answer:?}");
                let error = &answer.json()["error"];
                assert_eq!(error["code"], "VALIDATION_ERROR", "{line}");
                assert_eq!(error["details"][0]["path"], "id", "{line}");
            }
        }
        assert_eq!(tollgate.operate("GET", "/v1/customers", None).json()["count"], 0);
        let odd = "Cust_c40bea18-c0c9:44b1@x.y";
        put(&tollgate, odd, &json!({}));
        assert_eq!(read(&tollgate, odd)["customerId"], odd);
    }

    #[test]
    fn what_is_no_json_or_too_long_or_of_another_type_is_refused() {
        let tollgate = with_c1();
        let json = [("x-api-key", ADMIN_TOKEN), ("content-type", "application/json")];
        let long = format!("{{\"notes\":\"{}\"}}", "n".repeat(64 * 1024));
        for (method, path) in [
            ("POST", "/v1/customers/c1/disable"),
            ("PUT", "/v1/customers/c1"),
            ("POST", "/v1/keys"),
        ] {
            let send = |headers: &[(&str, &str)], body: &str| {
                http(tollgate.operator, method, path, headers, Some(body))
            };
            for body in ["{", "[]", "null", "\"disable\"", "{\"reason\":}"] {
                assert_refused(&send(&json, body), 400, "VALIDATION_ERROR");
            }
            assert_refused(&send(&json, &long), 413, "PAYLOAD_TOO_LARGE");
            let text = [json[0], ("content-type", "text/plain")];
            assert_refused(&send(&text, "{}"), 415, "UNSUPPORTED_MEDIA_TYPE");
        }
        assert_eq!(read(&tollgate, "c1")["status"], "active");
    }
}

mod many_at_once {
    use super::*;

    #[test]
    fn a_store_that_is_written_to_all_the_time_is_never_taken_for_one_that_forgot() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        for store in ["memory:", &url] {
            let tollgate = Tollgate::start(&["--store", store, "--heartbeat", "5ms"]);
            let operator = tollgate.operator;
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    std::thread::spawn(move || {
                        let headers =
                            [("x-api-key", ADMIN_TOKEN), ("content-type", "application/json")];
                        (0..40)
                            .map(|number| {
                                let path = format!("/v1/customers/c{writer}-{number}");
                                http(operator, "PUT", &path, &headers, Some("{}"))
                            })
                            .find(|answer| answer.status != 201)
                            .map(|answer| answer.body)
                    })
                })
                .collect();
            let refused: Vec<_> = writers.into_iter().filter_map(|it| it.join().unwrap()).collect();
            assert!(refused.is_empty(), "{store}: {refused:?}");
            let log = tollgate.log();
            assert!(!log.iter().any(|line| line.contains("forgot")), "{store}: {log:#?}");
        }
    }

    #[test]
    fn acts_of_many_sources_at_once_are_all_kept() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        for tollgate in [start(&[]), Tollgate::start(&["--store", &server.url()])] {
            put(&tollgate, "c1", &json!({}));
            let operator = tollgate.operator;
            let sources: Vec<_> = (0..8)
                .map(|number| {
                    std::thread::spawn(move || {
                        let body = json!({"source": format!("s{number}")}).to_string();
                        let headers =
                            [("x-api-key", ADMIN_TOKEN), ("content-type", "application/json")];
                        // Who loses five races in a row is told so, and tries again.
                        (0..20)
                            .map(|_| {
                                http(
                                    operator,
                                    "POST",
                                    "/v1/customers/c1/freeze",
                                    &headers,
                                    Some(&body),
                                )
                                .status
                            })
                            .find(|status| *status != 409)
                    })
                })
                .collect();
            for source in sources {
                assert_eq!(source.join().unwrap(), Some(200));
            }
            assert_eq!(read(&tollgate, "c1")["restrictions"].as_array().unwrap().len(), 8);
            for number in 0..8 {
                act(&tollgate, "c1", "unfreeze", &json!({"source": format!("s{number}")}));
            }
            assert_eq!(tollgate.reason_to_write("c1"), "active");
        }
    }
}
