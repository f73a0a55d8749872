//! Tollgate as a policy decision point of OpenID's Authorization API 1.0.

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use serde_json::{Value, json};

use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{Answer, Tollgate, http},
};

fn with_customers() -> Tollgate {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let fields = json!({"features": ["export"], "limits": {"seats": {"max": 25}}});
    assert_eq!(tollgate.operate("PUT", "/v1/customers/c1", Some(&fields)).status, 201);
    let frozen = json!({"status": "frozen"});
    assert_eq!(tollgate.operate("PUT", "/v1/customers/frozen", Some(&frozen)).status, 201);
    tollgate
}

fn ask(tollgate: &Tollgate, path: &str, question: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("x-request-id", "request-1")];
    http(tollgate.check, "POST", path, &headers, Some(&question.to_string()))
}

fn evaluate(tollgate: &Tollgate, customer: &str, action: &str, resource: &Value) -> Answer {
    let question = json!({
        "subject": {"type": "customer", "id": customer, "unknown": 1},
        "action": {"name": action, "properties": {"why": "not"}},
        "resource": resource,
        "extension": {"ignored": true},
    });
    ask(tollgate, "/access/v1/evaluation", &question)
}

#[test]
fn routes_features_and_limits_are_decided_and_a_deny_is_an_answer() {
    let tollgate = with_customers();
    let route = json!({"type": "route", "id": "/things"});
    let feature = |code: &str| json!({"type": "feature", "id": code});
    let limit =
        |value: u64| json!({"type": "limit", "id": "seats", "properties": {"value": value}});
    for (customer, action, resource, decision, reason) in [
        ("c1", "write", route.clone(), true, "active"),
        ("c1", "DELETE", route.clone(), true, "active"),
        ("frozen", "read", route.clone(), true, "frozen_read"),
        ("frozen", "GET", route.clone(), true, "frozen_read"),
        ("frozen", "write", route.clone(), false, "customer_frozen"),
        ("frozen", "PATCH", route.clone(), false, "customer_frozen"),
        ("frozen", "GET", json!({"type": "route", "id": "/%2e%2e/x"}), false, "customer_frozen"),
        ("nobody", "read", route.clone(), false, "customer_unknown"),
        ("c1", "read", feature("export"), true, "active"),
        ("c1", "read", feature("sso"), false, "feature_missing"),
        ("c1", "read", limit(25), true, "active"),
        ("c1", "read", limit(26), false, "limit_exceeded"),
    ] {
        let answer = evaluate(&tollgate, customer, action, &resource);
        let told = answer.json();
        assert_eq!((answer.status, &told["decision"]), (200, &json!(decision)), "{answer:?}");
        assert_eq!(told["context"]["reason"], reason, "{answer:?}");
        assert_eq!(answer.header("x-request-id"), Some("request-1"));
    }
}

#[test]
fn a_batch_says_what_is_common_once_and_ends_where_its_semantic_says() {
    let tollgate = with_customers();
    let batch = |semantic: Option<&str>| {
        let mut question = json!({
            "subject": {"type": "customer", "id": "frozen"},
            "resource": {"type": "route", "id": "/things"},
            "evaluations": [
                {"action": {"name": "read"}},
                {"action": {"name": "write"}},
                {"action": {"name": "write"}, "subject": {"type": "customer", "id": "c1"}},
                {"action": {"name": "gossip"}},
            ],
        });
        if let Some(semantic) = semantic {
            question["options"] = json!({"evaluations_semantic": semantic});
        }
        let told = ask(&tollgate, "/access/v1/evaluations", &question).json();
        told["evaluations"].as_array().unwrap().clone()
    };
    let decisions = |semantic| {
        let told = batch(semantic);
        told.iter().map(|it| it["decision"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(decisions(None), [true, false, true, false]);
    assert_eq!(decisions(Some("execute_all")), [true, false, true, false]);
    assert_eq!(decisions(Some("deny_on_first_deny")), [true, false]);
    assert_eq!(decisions(Some("permit_on_first_permit")), [true]);
    let error = &batch(None)[3]["context"]["error"];
    assert_eq!(error["status"], 400);
    assert!(error["message"].as_str().unwrap().contains("action.name"), "{error}");

    let alone = json!({
        "subject": {"type": "customer", "id": "frozen"},
        "action": {"name": "read"},
        "resource": {"type": "route", "id": "/things"},
    });
    assert_eq!(ask(&tollgate, "/access/v1/evaluations", &alone).json()["decision"], true);
}

#[test]
fn where_nothing_can_be_known_one_evaluation_is_an_error_and_one_of_a_batch_a_no() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url(), "--when-unlisted", "error"]);
    server.pause();
    let question = json!({
        "subject": {"type": "customer", "id": "c1"},
        "action": {"name": "read"},
        "resource": {"type": "route", "id": "/things"},
    });
    let answer = ask(&tollgate, "/access/v1/evaluation", &question);
    assert_eq!((answer.status, answer.code().as_str()), (503, "STORE_UNREACHABLE"));
    assert_eq!(answer.header("x-request-id"), Some("request-1"));
    let batch = json!({"evaluations": [question]});
    let told = ask(&tollgate, "/access/v1/evaluations", &batch).json();
    assert_eq!(told["evaluations"][0]["decision"], false);
    assert_eq!(told["evaluations"][0]["context"]["outcome"], "undecided");
}

#[test]
fn what_is_no_question_is_refused_with_the_name_of_the_field() {
    let tollgate = with_customers();
    let whole = json!({
        "subject": {"type": "customer", "id": "c1"},
        "action": {"name": "read"},
        "resource": {"type": "route", "id": "/things"},
    });
    for (field, value) in [
        ("subject", Value::Null),
        ("action", Value::Null),
        ("resource", Value::Null),
        ("subject", json!({"type": "user", "id": "c1"})),
        ("subject", json!({"type": "customer", "id": "a b"})),
        ("subject", json!({"type": "customer", "id": "c1", "properties": {"tenantId": 1}})),
        ("resource", json!({"type": "document", "id": "1"})),
        ("resource", json!({"type": "limit", "id": "seats", "properties": {"value": -1}})),
        ("action", json!({"name": "Read"})),
    ] {
        let mut question = whole.clone();
        question[field] = value;
        let answer = ask(&tollgate, "/access/v1/evaluation", &question);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "VALIDATION_ERROR"),
            "{answer:?}"
        );
        assert!(answer.body.contains(field), "{answer:?}");
    }
    let many = json!({"evaluations": vec![whole; 101]});
    assert_eq!(ask(&tollgate, "/access/v1/evaluations", &many).status, 400);
}

#[test]
fn the_metadata_tell_where_everything_is() {
    let tollgate = with_customers();
    let answer = tollgate.ask("GET", "/.well-known/authzen-configuration", &[]);
    let base = format!("http://{}", tollgate.check);
    let told = answer.json();
    assert_eq!(told["policy_decision_point"], base);
    assert_eq!(told["access_evaluation_endpoint"], format!("{base}/access/v1/evaluation"));
    assert_eq!(told["access_evaluations_endpoint"], format!("{base}/access/v1/evaluations"));
    let mut raw = TcpStream::connect(tollgate.check).unwrap();
    raw.write_all(b"GET /.well-known/authzen-configuration HTTP/1.0\r\n\r\n").unwrap();
    let mut said = String::new();
    raw.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.0 400 ") || said.starts_with("HTTP/1.1 400 "), "{said}");
}
