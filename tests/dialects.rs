//! The APIs of other billing systems, as their callers meet them: each sentence that those systems
//! publish is a test.

#[expect(dead_code, unused_imports, reason = "other suites share it and use the rest")]
mod support;

use serde_json::{Value, json};

use support::{
    operators::{act, assert_refused, audit, key, kinds, put, read, role, with_token},
    tollgate::{ADMIN_TOKEN, Answer, Tollgate},
};

fn start(more: &[&str]) -> Tollgate {
    Tollgate::start(&[&["--store", "memory:"], more].concat())
}

/// One that holds a customer of this name.
fn with(id: &str) -> Tollgate {
    let tollgate = start(&[]);
    put(&tollgate, id, &json!({}));
    tollgate
}

fn asks(tollgate: &Tollgate, id: &str, action: &str) -> Value {
    tollgate.check(&json!({"customerId": id, "action": action})).json()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(kind, source)| ((*kind).to_owned(), (*source).to_owned())).collect()
}

mod wingback {
    use super::*;

    const ID: &str = "Cust_c40bea18-c0c9-44b1-bd0c-43f5283e1670";

    fn call(
        tollgate: &Tollgate,
        token: &str,
        id: &str,
        verb: &str,
        body: Option<&Value>,
    ) -> Answer {
        let path = format!("/v1/c/customer/{id}/{verb}");
        tollgate.operate_as(&[("wb-key", token)], "POST", &path, body)
    }

    #[test]
    fn an_inactivated_customer_is_frozen_read_only_and_not_charged() {
        let tollgate = with(ID);
        let support = role(&tollgate, "support");
        let body = json!({"notes": "Management told us to change their status"});
        let answer = call(&tollgate, &support, ID, "inactivate", Some(&body));
        assert_eq!((answer.status, answer.json()), (200, json!({})), "{answer:?}");

        assert_eq!(asks(&tollgate, ID, "read")["reason"], "frozen_read");
        assert_eq!(asks(&tollgate, ID, "write")["reason"], "customer_frozen");
        let path = format!("/v1/customers/{ID}/limits");
        let limits = tollgate.ask("GET", &path, &[]).json();
        assert_eq!(
            (&limits["billing"], &limits["access"]),
            (&json!("paused"), &json!("read_only"))
        );
        assert_eq!(limits["subscriptions"]["state"], "paused");

        let customer = read(&tollgate, ID);
        assert_eq!(kinds(&customer), pairs(&[("frozen", "wingback")]));
        assert_eq!(customer["restrictions"][0]["notes"], body["notes"]);
        let entry = &audit(&tollgate, ID)[0];
        assert_eq!((&entry["notes"], &entry["dialect"]), (&body["notes"], &json!("wingback")));
    }

    #[test]
    fn an_empty_object_and_null_notes_are_a_body_and_other_fields_are_not_looked_at() {
        for body in [json!({}), json!({"notes": null}), json!({"because": 1})] {
            let tollgate = with(ID);
            let token = role(&tollgate, "support");
            assert_eq!(
                call(&tollgate, &token, ID, "inactivate", Some(&body)).status,
                200,
                "{body}"
            );
            assert_eq!(read(&tollgate, ID)["status"], "frozen");
        }
    }

    #[test]
    fn no_body_or_one_that_is_no_such_object_is_400_and_changes_nothing() {
        let tollgate = with(ID);
        let token = role(&tollgate, "support");
        let wrong = [None, Some(json!([])), Some(json!("x")), Some(json!({"notes": 7}))];
        for body in wrong {
            for verb in ["inactivate", "activate"] {
                let answer = call(&tollgate, &token, ID, verb, body.as_ref());
                assert_refused(&answer, 400, "VALIDATION_ERROR");
            }
        }
        assert_eq!(read(&tollgate, ID)["status"], "active");
    }

    #[test]
    fn notes_that_are_too_long_are_cut_and_marked_and_the_freeze_is_never_refused_for_them() {
        let tollgate = with(ID);
        let token = role(&tollgate, "support");
        let body = json!({"notes": "é".repeat(3000)});
        assert_eq!(call(&tollgate, &token, ID, "inactivate", Some(&body)).status, 200);
        let customer = read(&tollgate, ID);
        let notes = customer["restrictions"][0]["notes"].as_str().unwrap_or_default();
        assert_eq!(notes.chars().count(), 2000);
        assert!(notes.starts_with("éé") && notes.ends_with("[cut]"), "{notes}");
    }

    #[test]
    fn the_twin_lifts_wingbacks_own_freeze_and_tells_what_remains() {
        let tollgate = with(ID);
        let token = role(&tollgate, "support");
        let empty = json!({});
        assert_eq!(call(&tollgate, &token, ID, "inactivate", Some(&empty)).status, 200);
        act(&tollgate, ID, "freeze", &json!({"reason": "dispute"}));
        let answer = call(&tollgate, &token, ID, "activate", Some(&empty));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["remaining"][0]["source"], "operator");
        assert_eq!(kinds(&read(&tollgate, ID)), pairs(&[("frozen", "operator")]));
        act(&tollgate, ID, "unfreeze", &json!({}));
        let answer = call(&tollgate, &token, ID, "activate", Some(&empty));
        assert_eq!((answer.status, answer.json()), (200, json!({})));
    }

    #[test]
    fn an_unknown_customer_is_404_and_no_or_a_wrong_key_401() {
        let tollgate = with(ID);
        let token = role(&tollgate, "support");
        let empty = json!({});
        let answer = call(&tollgate, &token, "Cust_nobody", "inactivate", Some(&empty));
        assert_refused(&answer, 404, "NOT_FOUND");
        let path = format!("/v1/c/customer/{ID}/inactivate");
        let nobody = tollgate.operate_as(&[], "POST", &path, Some(&empty));
        assert_refused(&nobody, 401, "AUTH_REQUIRED");
        let answer = call(&tollgate, "guessed", ID, "inactivate", Some(&empty));
        assert_refused(&answer, 401, "INVALID_TOKEN");
        assert_eq!(read(&tollgate, ID)["status"], "active");
    }

    #[test]
    fn support_suffices_for_a_key_without_a_source_or_with_wingbacks_and_not_for_another() {
        let tollgate = with(ID);
        let of = |source: Option<&str>, role: &str| {
            key(&tollgate, &json!({"name": "somebody", "role": role, "source": source}))
        };
        let empty = json!({});
        for (source, role, status) in [
            (None, "support", 200),
            (Some("wingback"), "support", 200),
            (Some("stripe"), "support", 403),
            (Some("stripe"), "manager", 200),
            (None, "viewer", 403),
        ] {
            let token = of(source, role);
            let answer = call(&tollgate, &token, ID, "inactivate", Some(&empty));
            assert_eq!(answer.status, status, "{source:?} {role}: {answer:?}");
        }
        assert_eq!(kinds(&read(&tollgate, ID)), pairs(&[("frozen", "wingback")]));
    }

    #[test]
    fn a_repetition_changes_nothing() {
        let tollgate = with(ID);
        let token = role(&tollgate, "support");
        let body = json!({"notes": "once"});
        assert_eq!(call(&tollgate, &token, ID, "inactivate", Some(&body)).status, 200);
        let revision = read(&tollgate, ID)["revision"].clone();
        assert_eq!(call(&tollgate, &token, ID, "inactivate", Some(&body)).status, 200);
        assert_eq!(read(&tollgate, ID)["revision"], revision);
    }
}

mod billabear {
    use super::*;

    const ID: &str = "0190b5c6-6a8e-7d2f-9b1a-3c4d5e6f7a8b";

    fn call(tollgate: &Tollgate, token: &str, verb: &str, body: Option<&Value>) -> Answer {
        with_token(tollgate, token, "POST", &format!("/api/v1/customer/{ID}/{verb}"), body)
    }

    fn limits(tollgate: &Tollgate, token: &str, id: &str) -> Answer {
        with_token(tollgate, token, "GET", &format!("/api/v1/customer/{id}/limits"), None)
    }

    #[test]
    fn disabling_restricts_access_at_once_and_enabling_restores_full_access() {
        let tollgate = with(ID);
        let token = role(&tollgate, "support");
        for _ in 0..2 {
            // No body is needed, and a repetition changes nothing.
            let answer = call(&tollgate, &token, "disable", None);
            assert_eq!((answer.status, answer.json()), (202, json!({})), "{answer:?}");
            assert_eq!(asks(&tollgate, ID, "read")["reason"], "customer_disabled");
        }
        for _ in 0..2 {
            let answer = call(&tollgate, &token, "enable", None);
            assert_eq!((answer.status, answer.json()), (202, json!({})), "{answer:?}");
            assert_eq!(asks(&tollgate, ID, "write")["reason"], "active");
        }
        assert_eq!(audit(&tollgate, ID)[0]["dialect"], "billabear");
    }

    #[test]
    fn reasons_notes_and_that_the_customer_was_told_are_kept() {
        let tollgate = with(ID);
        let token = role(&tollgate, "support");
        let body = json!({
            "reason": "non_payment", "notes": "third reminder",
            "until": "2090-01-01T00:00:00Z", "informedAt": "2026-11-20T10:00:00Z",
        });
        assert_eq!(call(&tollgate, &token, "disable", Some(&body)).status, 202);
        let held = read(&tollgate, ID)["restrictions"][0].clone();
        for field in ["reason", "notes", "until", "informedAt"] {
            assert_eq!(held[field], body[field], "{field}");
        }
        let entries = audit(&tollgate, ID);
        assert_eq!(
            (&entries[0]["action"], &entries[0]["reason"]),
            (&json!("disable"), &body["reason"])
        );
        assert_eq!(entries[0]["informedAt"], body["informedAt"]);
    }

    #[test]
    fn an_unknown_id_is_404_and_a_bad_key_401_in_its_own_shape() {
        let tollgate = with("somebody-else");
        let token = role(&tollgate, "support");
        for verb in ["disable", "enable"] {
            let answer = call(&tollgate, &token, verb, None);
            assert_eq!((answer.status, answer.json()), (404, json!({"success": false})));
            let answer = call(&tollgate, "guessed", verb, None);
            assert_eq!((answer.status, &answer.json()["success"]), (401, &json!(false)));
            assert_eq!(answer.code(), "INVALID_TOKEN");
        }
        for body in [json!({"reason": "because"}), json!({"since": "2026-11-20T10:00:00Z"})] {
            let answer = call(&tollgate, &token, "disable", Some(&body));
            assert_eq!((answer.status, &answer.json()["success"]), (400, &json!(false)), "{body}");
            assert_eq!(answer.code(), "VALIDATION_ERROR");
            assert!(answer.json()["error"]["details"][0]["path"].is_string(), "{answer:?}");
        }
    }

    #[test]
    fn it_takes_the_role_of_customer_support_or_a_higher_one() {
        let tollgate = with(ID);
        for (name, status) in
            [("app", 403), ("viewer", 403), ("support", 202), ("manager", 202), ("admin", 202)]
        {
            let token = role(&tollgate, name);
            let answer = call(&tollgate, &token, "disable", None);
            assert_eq!(answer.status, status, "{name}: {answer:?}");
        }
    }

    #[test]
    fn an_enable_that_leaves_another_sources_restriction_tells_it() {
        let tollgate = with(ID);
        let token = role(&tollgate, "support");
        act(&tollgate, ID, "disable", &json!({"reason": "compliance"}));
        assert_eq!(call(&tollgate, &token, "disable", None).status, 202);
        let answer = call(&tollgate, &token, "enable", None);
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json()["remaining"][0]["source"], "operator");
        assert_eq!(asks(&tollgate, ID, "read")["reason"], "customer_disabled");
    }

    #[test]
    fn the_limits_are_told_in_its_shape() {
        let tollgate = start(&[]);
        let record = json!({
            "plan": "pro", "features": ["feature_one"],
            "limits": {"feature_two": {"max": 25}, "seats": {"max": 30, "used": 20}, "api": {"max": "unlimited"}},
        });
        put(&tollgate, ID, &record);
        let app = role(&tollgate, "app");
        let feature = |code: &str| json!({"code": code, "name": code, "description": ""});
        let answer = limits(&tollgate, &app, ID);
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.json();
        assert_eq!(told["features"], json!([feature("feature_one")]));
        // What is unlimited has no limit.
        let expected = [("feature_two", 25), ("seats", 30)];
        let expected =
            expected.map(|(code, limit)| json!({"feature": feature(code), "limit": limit}));
        assert_eq!(told["limits"], json!(expected));
        assert_eq!((&told["userCount"], &told["user_count"]), (&json!(20), &json!(20)));
        assert_eq!((&told["status"], &told["disabled"]), (&json!("active"), &json!(false)));
    }

    #[test]
    fn the_limits_api_says_that_the_customer_is_disabled_and_its_lists_are_empty() {
        let tollgate = start(&[]);
        let record = json!({"features": ["sso"], "limits": {"seats": {"max": 30, "used": 20}}});
        put(&tollgate, ID, &record);
        let token = role(&tollgate, "support");
        assert_eq!(call(&tollgate, &token, "disable", None).status, 202);
        let told = limits(&tollgate, &token, ID).json();
        assert_eq!((&told["features"], &told["limits"]), (&json!([]), &json!([])));
        assert_eq!((&told["userCount"], &told["user_count"]), (&json!(0), &json!(0)));
        assert_eq!((&told["status"], &told["disabled"]), (&json!("disabled"), &json!(true)));
        assert_eq!((&told["access"], told["revision"].is_string()), (&json!("none"), true));
        // And everything is there again.
        assert_eq!(call(&tollgate, &token, "enable", None).status, 202);
        let told = limits(&tollgate, &token, ID).json();
        assert_eq!(told["features"][0]["code"], "sso");
    }

    #[test]
    fn the_limits_of_an_unknown_id_are_an_empty_list_with_404() {
        let tollgate = start(&[]);
        let token = role(&tollgate, "app");
        let answer = limits(&tollgate, &token, "nobody");
        assert_eq!((answer.status, answer.json()), (404, json!([])));
        let answer = limits(&tollgate, "guessed", "nobody");
        assert_eq!((answer.status, &answer.json()["success"]), (401, &json!(false)));
    }

    #[test]
    fn the_list_goes_page_by_page_by_its_last_key_and_a_limit_out_of_bounds_is_400_or_413() {
        let tollgate = start(&[]);
        for id in ["c1", "c2", "c3"] {
            put(&tollgate, id, &json!({"name": id}));
        }
        let token = role(&tollgate, "viewer");
        let page = |query: &str| {
            with_token(&tollgate, &token, "GET", &format!("/api/v1/customer{query}"), None)
        };
        let ids = |page: &Value| {
            let data = page["data"].as_array().cloned().unwrap_or_default();
            data.iter().map(|it| it["id"].clone()).collect::<Vec<_>>()
        };
        let first = page("?limit=2").json();
        assert_eq!(
            (ids(&first), &first["has_more"]),
            (vec![json!("c1"), json!("c2")], &json!(true))
        );
        let last = first["last_key"].as_str().unwrap_or_default().to_owned();
        let second = page(&format!("?limit=2&last_key={last}")).json();
        assert_eq!((ids(&second), &second["has_more"]), (vec![json!("c3")], &json!(false)));
        act(&tollgate, "c3", "disable", &json!({}));
        assert_eq!(page("").json()["data"][2]["is_disabled"], true);
        for (query, status) in [("?limit=0", 400), ("?limit=-1", 400), ("?limit=101", 413)] {
            let answer = page(query);
            assert_eq!(
                (answer.status, &answer.json()["success"]),
                (status, &json!(false)),
                "{query}"
            );
        }
    }
}

mod flexportal {
    use super::*;

    fn ask(tollgate: &Tollgate, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let headers = [("x-api-key", ADMIN_TOKEN), ("tenant-id", "acme")];
        tollgate.operate_as(&headers, method, path, body)
    }

    fn with_c1(record: &Value) -> Tollgate {
        let tollgate = start(&["--default-tenant", "off"]);
        assert_eq!(ask(&tollgate, "PUT", "/v1/customers/c1", Some(record)).status, 201);
        tollgate
    }

    #[test]
    fn a_deleted_customer_is_inactive_preserved_and_hidden_from_default_lists() {
        let tollgate = with_c1(&json!({"name": "Ada", "metadata": {"k": "v"}, "plan": "pro"}));
        let before = ask(&tollgate, "GET", "/v1/customers/c1", None).json();
        let answer = ask(&tollgate, "DELETE", "/v1/customers/c1", None);
        assert_eq!((answer.status, &answer.json()["success"]), (200, &json!(true)), "{answer:?}");
        assert!(answer.json()["message"].is_string() && answer.json()["customerId"] == "c1");

        let after = ask(&tollgate, "GET", "/v1/customers/c1", None).json();
        assert_eq!(after["status"], "inactive");
        for preserved in ["name", "metadata", "plan", "createdAt"] {
            assert_eq!(after[preserved], before[preserved], "{preserved}");
        }
        let listed = |query: &str| {
            ask(&tollgate, "GET", &format!("/v1/customers{query}"), None).json()["count"].clone()
        };
        assert_eq!((listed(""), listed("?status=inactive")), (json!(0), json!(1)));
        // New orders cannot be made.
        let question = json!({"customerId": "c1", "tenantId": "acme", "action": "write"});
        assert_eq!(tollgate.check(&question).json()["reason"], "customer_inactive");
    }

    #[test]
    fn a_closed_customer_is_reactivated_by_its_status_and_closed_by_it_too() {
        let tollgate = with_c1(&json!({}));
        for (status, message) in [("inactive", true), ("active", true)] {
            let body = json!({"status": status});
            let answer = ask(&tollgate, "PUT", "/v1/customers/c1", Some(&body)).json();
            assert_eq!(
                (&answer["success"], answer["message"].is_string()),
                (&json!(true), message)
            );
            assert_eq!(answer["customerId"], "c1");
            assert_eq!(answer["customer"]["status"], status);
        }
    }

    #[test]
    fn a_deletion_is_refused_for_what_is_owed_in_this_order_before_anything_changes() {
        let mut owed =
            json!({"activeSubscriptions": 1, "pendingOrders": 1, "unreturnedDevices": 1});
        let tollgate = with_c1(&json!({"obligations": owed}));
        for (field, code) in [
            ("activeSubscriptions", "CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS"),
            ("pendingOrders", "CUSTOMER_HAS_PENDING_ORDERS"),
            ("unreturnedDevices", "CUSTOMER_HAS_UNRETURNED_DEVICES"),
        ] {
            let answer = ask(&tollgate, "DELETE", "/v1/customers/c1", None);
            assert_refused(&answer, 409, code);
            let body = json!({"status": "inactive"});
            assert_refused(&ask(&tollgate, "PUT", "/v1/customers/c1", Some(&body)), 409, code);
            assert_eq!(ask(&tollgate, "GET", "/v1/customers/c1", None).json()["status"], "active");
            owed[field] = json!(0);
            let body = json!({"obligations": owed});
            assert_eq!(ask(&tollgate, "PUT", "/v1/customers/c1", Some(&body)).status, 200);
        }
        assert_eq!(ask(&tollgate, "DELETE", "/v1/customers/c1", None).status, 200);
    }

    #[test]
    fn an_unknown_customer_is_not_found() {
        let tollgate = with_c1(&json!({}));
        for method in ["GET", "DELETE"] {
            let answer = ask(&tollgate, method, "/v1/customers/nobody", None);
            assert_refused(&answer, 404, "NOT_FOUND");
        }
    }

    #[test]
    fn the_tenant_is_required_on_every_call_when_there_is_no_default_one() {
        let tollgate = with_c1(&json!({}));
        let token = role(&tollgate, "admin");
        for (method, path) in [
            ("GET", "/v1/customers"),
            ("GET", "/v1/customers/c1"),
            ("PUT", "/v1/customers/c1"),
            ("DELETE", "/v1/customers/c1"),
        ] {
            let answer = with_token(&tollgate, &token, method, path, None);
            assert_refused(&answer, 400, "VALIDATION_ERROR");
            assert_eq!(
                answer.json()["error"]["details"][0]["path"],
                "Tenant-ID",
                "{method} {path}"
            );
        }
    }

    #[test]
    fn what_is_of_no_tenant_needs_none() {
        let tollgate = with_c1(&json!({}));
        let token = role(&tollgate, "admin");
        for path in ["/v1/keys", "/v1/audit", "/v1/fleet", "/v1/store", "/v1/ingest"] {
            let answer = with_token(&tollgate, &token, "GET", path, None);
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        assert!(tollgate.cli(&["keys", "list"]).status.success());
    }

    #[test]
    fn a_key_of_another_tenant_has_no_access() {
        let tollgate = with_c1(&json!({}));
        let token = key(&tollgate, &json!({"name": "other", "role": "admin", "tenant": "other"}));
        let headers = [("x-api-key", &*token), ("tenant-id", "acme")];
        let answer = tollgate.operate_as(&headers, "GET", "/v1/customers/c1", None);
        assert_refused(&answer, 403, "NO_TENANT_ACCESS");
    }

    #[test]
    fn the_list_has_fifty_to_a_page_and_a_hundred_at_most() {
        let tollgate = with_c1(&json!({}));
        let page = ask(&tollgate, "GET", "/v1/customers", None).json();
        assert_eq!((&page["limit"], &page["hasMore"]), (&json!(50), &json!(false)));
        assert_eq!(page["nextCursor"], Value::Null);
        let answer = ask(&tollgate, "GET", "/v1/customers?limit=101", None);
        assert_refused(&answer, 400, "VALIDATION_ERROR");
    }
}
