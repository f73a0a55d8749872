//! What a page tells of this instance, and of what would happen.

use serde_json::{Value, json};

use super::{
    start,
    support::{
        operators::{act, assert_refused, key, put, role, with_token},
        tollgate::Tollgate,
    },
    visitor::Visitor,
};

fn instance(tollgate: &Tollgate) -> Value {
    let answer = with_token(tollgate, &role(tollgate, "viewer"), "GET", "/v1/instance", None);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

fn count(instance: &Value, reason: &str) -> u64 {
    let checks = instance["checks"].as_array().unwrap();
    checks.iter().find(|it| it["reason"] == reason).unwrap()["count"].as_u64().unwrap()
}

#[test]
fn an_instance_tells_how_fresh_it_is_and_whom_it_refuses() {
    let tollgate = start(&[]);
    act(&tollgate, "c1", "freeze", &json!({}));
    let before = instance(&tollgate);
    assert_eq!((&before["ready"], &before["feed"]["connected"]), (&json!(true), &json!(true)));
    assert_eq!(
        (&before["staleness"]["stale"], &before["store"]["lost"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(
        (&before["cache"]["restricted"], &before["policy"]["mode"]),
        (&json!(1), &json!("enforce"))
    );
    for _ in 0..3 {
        assert_eq!(tollgate.reason_to_write("c1"), "customer_frozen");
    }
    let named = tollgate.ask("GET", "/v1/forward-auth", &[("x-customer-id", "nobody")]);
    assert_eq!(named.status, 403);
    let after = instance(&tollgate);
    assert_eq!(count(&after, "customer_frozen") - count(&before, "customer_frozen"), 3);
    assert_eq!(count(&after, "customer_unknown") - count(&before, "customer_unknown"), 1);
    // It counts what Prometheus is told.
    let sum = tollgate.sum_of("tollgate_checks_total", "reason=\"customer_frozen\"");
    assert_eq!(sum.to_string(), count(&after, "customer_frozen").to_string());
    let page = Visitor::of_role(&tollgate, "viewer").page("/live");
    assert!(page.contains("<tr data-reason=\"customer_frozen\"><"), "{page}");
    assert!(page.contains("<tr data-reason=\"too_stale\" hidden>"), "{page}");
    assert!(page.contains("<dd>Fresh</dd>") && page.contains("<dd>believed</dd>"), "{page}");
}

#[test]
fn an_instance_tells_of_itself_only_those_who_see_every_tenant() {
    let tollgate = start(&[]);
    let agent = key(&tollgate, &json!({"name": "a", "role": "admin", "tenant": "acme"}));
    let answer = with_token(&tollgate, &agent, "GET", "/v1/instance", None);
    assert_refused(&answer, 403, "NO_TENANT_ACCESS");
    let app = role(&tollgate, "app");
    let answer = with_token(&tollgate, &app, "GET", "/v1/instance", None);
    assert_refused(&answer, 403, "INSUFFICIENT_ROLE");
}

#[test]
fn a_page_tells_what_would_happen_and_by_which_rule() {
    let policy = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let rules = "[[routes]]\npath = \"/export\"\nfeature = \"export\"\n\n\
                 [[routes]]\npath = \"/billing/{*rest}\"\nexempt_for = [\"frozen\"]\n";
    std::fs::write(policy.path(), rules).unwrap();
    let tollgate = start(&["--policy", policy.path().to_str().unwrap()]);
    put(&tollgate, "c1", &json!({"features": ["sso"]}));
    act(&tollgate, "c1", "freeze", &json!({}));
    let visitor = Visitor::of_role(&tollgate, "viewer");
    let answer = |query: &str| {
        let page = visitor.page(&format!("/customers/c1?{query}"));
        let (_, section) = page.split_once("What would happen").unwrap();
        section.split_once("</section>").unwrap().0.to_owned()
    };
    for (query, told) in [
        ("", &["A read", "frozen_read", "A write", "customer_frozen"][..]),
        (
            "method=POST&path=/orders",
            &["<code>POST /orders</code>", "deny", "HTTP 423", "frozen by operator"],
        ),
        ("method=POST&path=/billing/pay", &["allow", "/billing/{*rest}", "Set aside"]),
        ("method=GET&path=/export", &["feature_missing", "it does not have it"]),
        ("feature=sso", &["frozen_read", "it has it"]),
        ("feature=no%20code", &["VALIDATION_ERROR"]),
    ] {
        let section = answer(query);
        for word in told {
            assert!(section.contains(word), "{query}: {word}: {section}");
        }
    }
}

#[test]
fn a_customer_whom_nobody_knows_is_said_to_be_unknown() {
    let tollgate = start(&[]);
    let visitor = Visitor::of_role(&tollgate, "support");
    let answer = visitor.ask("/customers/nobody");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("customer_unknown") && !answer.body.contains("Disable"));
    assert_eq!(visitor.ask("/customers/no%20id").status, 400);
    assert_eq!(visitor.ask("/customers/%2e%2e%2fv1%2fkeys").status, 400);
}
