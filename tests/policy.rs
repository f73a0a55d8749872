//! The policy file: what routes ask for, how it is replaced, and what shadow mode lets through.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, unused_imports, reason = "other suites share it and use the rest")]
mod support;

use std::{fs, path::PathBuf, process::Output};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use raw::run_to_end;
use support::tollgate::{Answer, Tollgate, serve};

/// A Tollgate with a policy file that can be changed.
struct Governed {
    tollgate: Tollgate,
    policy: PathBuf,
    _directory: TempDir,
}

impl Governed {
    fn by(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy.toml");
        fs::write(&policy, text).unwrap();
        let flags = ["--store", "memory:", "--policy", policy.to_str().unwrap()];
        Self { tollgate: Tollgate::start(&flags), policy, _directory: directory }
    }

    fn by_the_example() -> Self {
        Self::by(EXAMPLE)
    }

    /// A customer that is made, and restricted for this reason if one is given.
    fn customer(&self, id: &str, fields: &serde_json::Value, verb: &str, reason: Option<&str>) {
        let path = format!("/v1/customers/{id}");
        assert_eq!(self.tollgate.operate("PUT", &path, Some(fields)).status, 201);
        if let Some(reason) = reason {
            let path = format!("{path}/{verb}");
            let body = json!({"reason": reason});
            assert_eq!(self.tollgate.operate("POST", &path, Some(&body)).status, 200);
        }
    }

    /// What a gateway is told of a request.
    fn asks(&self, customer: &str, method: &str, target: &str) -> Answer {
        let headers = [
            ("x-customer-id", customer),
            ("x-forwarded-method", method),
            ("x-forwarded-uri", target),
        ];
        self.tollgate.ask("GET", "/v1/forward-auth", &headers)
    }

    /// The reason that is given in every dialect.
    fn reason(&self, customer: &str, method: &str, target: &str) -> String {
        let who = ("x-customer-id", customer);
        let of = |answer: Answer| answer.header("x-tollgate-reason").unwrap().to_owned();
        let reason = of(self.asks(customer, method, target));
        let original = [who, ("x-original-method", method), ("x-original-uri", target)];
        assert_eq!(of(self.tollgate.ask("GET", "/v1/nginx", &original)), reason, "{target}");
        let question = json!({"customerId": customer, "method": method, "path": target});
        assert_eq!(self.tollgate.check(&question).json()["reason"], *reason, "{target}");
        if target.starts_with('/') && !target.contains('\\') {
            let asked = self.tollgate.ask(method, &format!("/v1/envoy{target}"), &[who]);
            assert_eq!(of(asked), reason, "{target}");
        }
        reason
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        let policy = ["--policy", self.policy.to_str().unwrap()];
        self.tollgate.cli(&[arguments, &policy].concat())
    }
}

#[test]
fn whoever_owes_something_can_pay_and_go_nowhere_else() {
    let governed = Governed::by_the_example();
    governed.customer("unpaid", &json!({}), "disable", Some("non_payment"));
    governed.customer("fraud", &json!({}), "disable", Some("fraud"));
    governed.customer("frozen", &json!({}), "freeze", Some("dispute"));
    for target in
        ["/billing/pay", "/billing/", "/billing", "/billing//pay", "/x/../billing/pay?a=b"]
    {
        for customer in ["unpaid", "frozen"] {
            let answer = governed.asks(customer, "POST", target);
            assert_eq!(answer.status, 200, "{customer} {target}: {answer:?}");
            assert_eq!(answer.header("x-tollgate-reason"), Some("route_exempt"));
        }
        assert_eq!(governed.reason("fraud", "POST", target), "customer_disabled", "{target}");
    }
    assert_eq!(
        governed.asks("unpaid", "POST", "/billing/pay").header("x-tollgate-status"),
        Some("disabled")
    );
    for target in [
        "/billing/../api/x",
        "//billing/../api",
        "/billing%2f..%2fapi",
        "/billing/%2e%2e/api",
        "/billing//../api",
        "/billing/%252e%252e/api",
        "/billing/..;/api",
        "/billing/pay;a=b",
        "/api/x%3f/../../billing/pay",
        // Some applications take what follows two slashes for a host.
        "//billing/pay",
        "///billing/api/x",
        "/billing\\..\\api",
        "/api/billing/pay",
        "billing/pay",
    ] {
        let answer = governed.asks("unpaid", "GET", target);
        assert!((400..500).contains(&answer.status), "{target}: {answer:?}");
        let reason = governed.reason("unpaid", "GET", target);
        assert!(["path_suspicious", "customer_disabled"].contains(&&*reason), "{target}: {reason}");
    }
    // Nor does the method that it names behind the gateway.
    let headers = [
        ("x-customer-id", "frozen"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/api/x"),
        ("x-http-method-override", "DELETE"),
    ];
    assert_eq!(governed.tollgate.ask("GET", "/v1/forward-auth", &headers).status, 423);
}

#[test]
fn a_route_is_one_however_its_path_is_spelled() {
    let governed = Governed::by_the_example();
    governed.customer("with", &json!({"features": ["export"]}), "", None);
    governed.customer("without", &json!({"features": []}), "", None);
    for target in
        ["/api/export", "/api/export/", "/API/Export", "//api/%65xport/7?x", "/api/export/a/b"]
    {
        assert_eq!(governed.reason("without", "GET", target), "feature_missing", "{target}");
        assert_eq!(governed.reason("with", "GET", target), "active", "{target}");
    }
    assert_eq!(governed.reason("without", "GET", "/api/exports"), "active");
    let question = json!({"customerId": "without", "method": "GET", "path": "/api/export/7"});
    assert_eq!(governed.tollgate.check(&question).json()["reason"], "feature_missing");
}

#[test]
fn an_exempt_route_asks_nobody_who_they_are_and_a_search_is_a_read() {
    let governed = Governed::by_the_example();
    governed.customer("frozen", &json!({}), "freeze", Some("dispute"));
    let health = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/healthz")];
    let answer = governed.tollgate.ask("GET", "/v1/forward-auth", &health);
    assert_eq!((answer.status, answer.header("x-tollgate-reason")), (200, Some("route_exempt")));
    let post = [("x-forwarded-method", "POST"), ("x-forwarded-uri", "/healthz")];
    assert_eq!(governed.tollgate.ask("GET", "/v1/forward-auth", &post).status, 401);
    assert_eq!(governed.reason("frozen", "POST", "/api/search"), "frozen_read");
    assert_eq!(governed.reason("frozen", "PUT", "/api/search"), "customer_frozen");
    // A status of its own for a refusal.
    assert_eq!(governed.asks("nobody", "GET", "/api").status, 404);
}

#[test]
fn a_changed_file_decides_the_next_request_and_a_broken_one_changes_nothing() {
    let governed = Governed::by("");
    governed.customer("frozen", &json!({}), "freeze", Some("dispute"));
    let reason = || {
        let answer = governed.asks("frozen", "POST", "/search");
        answer.header("x-tollgate-reason").unwrap().to_owned()
    };
    assert_eq!(reason(), "customer_frozen");

    let readable = "[[routes]]\npath = \"/search\"\naction = \"read\"\n";
    // Whole or not at all, as an editor or a cluster does it.
    let beside = governed.policy.with_extension("new");
    fs::write(&beside, readable).unwrap();
    fs::rename(&beside, &governed.policy).unwrap();
    governed.tollgate.wait_until("in force", || reason() == "frozen_read");
    assert_eq!(governed.tollgate.status()["policy"]["routes"], 1);
    let hash = governed.tollgate.metric("tollgate_policy_hash");

    fs::write(&governed.policy, "[[routes]]\npath = \"/search\"\nexempt = 1\n").unwrap();
    let line = governed.tollgate.wait_for_log("cannot be used");
    assert!(line.contains("line 3"), "{line}");
    assert_eq!(reason(), "frozen_read");
    assert_eq!(governed.tollgate.metric("tollgate_policy_refused"), 1);
    assert_eq!(governed.tollgate.metric("tollgate_policy_hash"), hash);
    let refused = governed.tollgate.status()["policy"]["refused"].clone();
    assert!(refused.as_str().unwrap().contains("line 3"), "{refused}");

    fs::write(&governed.policy, "").unwrap();
    governed.tollgate.signal(Signal::HUP);
    governed.tollgate.wait_until("in force", || reason() == "customer_frozen");
    assert_eq!(governed.tollgate.metric("tollgate_policy_refused"), 0);
}

#[test]
fn shadow_mode_lets_everybody_pass_and_reports_who_would_not() {
    let mut text = EXAMPLE.replace("mode = \"enforce\"", "mode = \"shadow\"");
    text.push_str("[[routes]]\npath = \"/strict\"\nmode = \"enforce\"\n");
    let governed = Governed::by(&text);
    governed.customer("frozen", &json!({}), "freeze", Some("dispute"));
    for _ in 0..3 {
        let answer = governed.asks("frozen", "POST", "/api/export/7");
        assert_eq!(answer.status, 200);
        let told = ["x-tollgate-decision", "x-tollgate-reason", "x-tollgate-mode"];
        assert_eq!(
            told.map(|it| answer.header(it).unwrap()),
            ["deny", "customer_frozen", "shadow"]
        );
    }
    governed.asks("frozen", "POST", "/else");
    assert_eq!(governed.asks("frozen", "POST", "/strict").status, 423);
    let expected = json!([
        {"route": "-", "reason": "customer_frozen", "count": 1},
        {"route": "/api/export/{*rest}", "reason": "customer_frozen", "count": 3},
    ]);
    assert_eq!(governed.tollgate.status()["shadow"], expected);
    let counted =
        "tollgate_shadow_passes_total{reason=\"customer_frozen\",route=\"/api/export/{*rest}\"}";
    assert_eq!(governed.tollgate.metric(counted), 3);
    let report = governed.tollgate.cli(&["shadow-report", "--output", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(told, expected);
}

#[test]
fn the_rule_that_a_request_meets_can_be_explained_and_tested() {
    let governed = Governed::by_the_example();
    let explained =
        governed.cli(&["policy", "explain", "POST", "/api/export/7", "--output", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(
        (&told["rule"], &told["feature"]),
        (&json!("/api/export/{*rest}"), &json!("export"))
    );
    assert_eq!((&told["action"], &told["exempt"]), (&json!("write"), &json!("nobody")));
    assert_eq!(told["also"], json!(null));

    let overridden =
        ["policy", "explain", "GET", "/api/seats", "--override", "POST", "--output", "json"];
    let told = governed.cli(&overridden).stdout;
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((&told["route"], &told["limit"]), (&json!("none"), &json!(null)));
    assert_eq!(told["also"][0]["limit"], "seats", "{told}");

    let tests = governed.policy.with_file_name("tests.toml");
    let expectations = "[[tests]]\n\
        request = \"POST /billing/pay\"\n\
        restrictions = [\"disabled:non_payment\"]\n\
        expect = \"route_exempt\"\n\
        [[tests]]\n\
        request = \"POST /billing/pay\"\n\
        restrictions = [\"disabled:non_payment\", \"disabled:fraud\"]\n\
        expect = \"deny\"\n\
        [[tests]]\n\
        request = \"GET /api/seats\"\n\
        override = \"POST\"\n\
        expect = \"entitlement_unknown\"\n";
    fs::write(&tests, expectations).unwrap();
    let run = || governed.cli(&["policy", "test", tests.to_str().unwrap()]).status.code();
    assert_eq!(run(), Some(0));
    fs::write(&tests, expectations.replace("\"deny\"", "\"allow\"")).unwrap();
    assert_eq!(run(), Some(1));
}

#[test]
fn a_file_that_cannot_be_used_is_told_line_by_line_and_ends_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.toml");
    let text = "[http_status]\ncustomer_frozen = 500\n[[routes]]\npath = \"/a/*\"\n";
    fs::write(&policy, text).unwrap();
    let policy = policy.to_str().unwrap();
    let ended =
        run_to_end(&mut serve(directory.path(), &["--store", "memory:", "--policy", policy]));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for word in ["--policy", "line 2", "400 to 499", "line 4", "{*rest}"] {
        assert!(ended.stderr.contains(word), "{word} in {ended:?}");
    }
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["policy", "check", policy])
        .output()
        .unwrap();
    let told = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{told}");
    assert!(told.contains("policy.toml:2: ") && told.contains("policy.toml:4: "), "{told}");
}

const EXAMPLE: &str = include_str!("../examples/policy.toml");
