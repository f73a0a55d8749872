//! Every instance is put into shadow for a while.

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use serde_json::{Value, json};

use raw::redis;
use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{Answer, Tollgate},
};

/// A server, and a Tollgate over it that has disabled c1.
fn world(flavor: Flavor) -> (RedisServer, Tollgate) {
    let server = RedisServer::start(flavor, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url()]);
    let disabled = Some(json!({"create": true}));
    let acted = tollgate.operate("POST", "/v1/customers/c1/disable", disabled.as_ref());
    assert_eq!(acted.status, 200, "{acted:?}");
    (server, tollgate)
}

fn asks(tollgate: &Tollgate) -> Answer {
    tollgate.ask("GET", "/v1/forward-auth", &[("x-customer-id", "c1")])
}

/// Waits until c1 is let through there, or no longer.
fn wait_until_told(tollgate: &Tollgate, mode: &str) {
    let status = if mode == "shadow" { 200 } else { 403 };
    tollgate.wait_until("in the mode", || asks(tollgate).status == status);
    let answer = asks(tollgate);
    assert_eq!(answer.header("x-tollgate-mode"), Some(mode), "{answer:?}");
    // It is told either way.
    assert_eq!(answer.header("x-tollgate-decision"), Some("deny"), "{answer:?}");
    assert_eq!(answer.header("x-tollgate-reason"), Some("customer_disabled"), "{answer:?}");
}

#[test]
fn one_command_puts_every_instance_into_shadow_and_another_ends_it() {
    for flavor in [Flavor::Redis, Flavor::Valkey] {
        let (server, writer) = world(flavor);
        let store = server.url();
        let sidecar = Tollgate::start(&["--store", &store, "--operator-listen", "off"]);
        wait_until_told(&sidecar, "enforce");

        let output = writer.cli(&["fleet", "shadow", "--for", "1h", "--output", "json"]);
        assert!(output.status.success(), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!((&told["mode"], &told["changed"]), (&json!("shadow"), &json!(true)));
        // Who comes later finds it.
        let late = Tollgate::start(&["--store", &store]);
        for tollgate in [&writer, &sidecar, &late] {
            wait_until_told(tollgate, "shadow");
            assert_eq!(tollgate.status()["fleet"]["shadowUntil"], told["until"]);
            assert_eq!(tollgate.metric("tollgate_fleet_shadow"), 1);
        }
        let spared = json!([{"route": "-", "reason": "customer_disabled", "count": 1}]);
        let report = |it: &Tollgate| it.status()["shadow"].clone();
        assert_eq!(report(&late)[0]["reason"], spared[0]["reason"]);
        let all = late.operate("GET", "/v1/fleet", None).json();
        assert_eq!((&all["mode"], &all["until"]), (&json!("shadow"), &told["until"]));

        let output = late.cli(&["fleet", "enforce"]);
        assert!(output.status.success(), "{output:?}");
        for tollgate in [&writer, &sidecar, &late] {
            wait_until_told(tollgate, "enforce");
            assert_eq!(tollgate.status()["fleet"]["shadowUntil"], Value::Null);
            assert_eq!(tollgate.metric("tollgate_fleet_shadow"), 0);
        }
        assert_eq!(redis(&store, &["HEXISTS", "tollgate:{0}:meta", "fleet_mode"]), "0");
        let again = late.operate("POST", "/v1/fleet/enforce", None).json();
        assert_eq!(again["changed"], false);

        let entries = writer.list("/v1/audit", "entries", "before");
        let acts: Vec<_> = entries.iter().filter(|entry| entry["subject"] == "fleet").collect();
        let told = acts.iter().map(|it| (it["action"].as_str(), it["outcome"].as_str()));
        let expected = [
            (Some("fleet_enforce"), Some("unchanged")),
            (Some("fleet_enforce"), Some("changed")),
            (Some("fleet_shadow"), Some("changed")),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_shadow_ends_by_itself_also_while_the_store_is_away() {
    let (mut server, tollgate) = world(Flavor::Redis);
    let short = json!({"forSeconds": 2});
    assert_eq!(tollgate.operate("POST", "/v1/fleet/shadow", Some(&short)).status, 200);
    wait_until_told(&tollgate, "shadow");
    server.kill9();
    wait_until_told(&tollgate, "enforce");
    assert_eq!(tollgate.metric("tollgate_fleet_shadow"), 0);
}

#[test]
fn who_starts_without_the_store_enforces() {
    let (mut server, mut tollgate) = world(Flavor::Redis);
    let long = json!({"forSeconds": 3600});
    assert_eq!(tollgate.operate("POST", "/v1/fleet/shadow", Some(&long)).status, 200);
    wait_until_told(&tollgate, "shadow");
    tollgate.terminate();
    let (data_dir, store) = (tollgate.data_dir(), server.url());
    server.kill9();
    let restarted = Tollgate::start_in(data_dir, &["--store", &store]);
    wait_until_told(&restarted, "enforce");
}

#[test]
fn a_shadow_that_would_be_forgotten_or_is_not_the_callers_to_begin_is_refused() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    for body in [
        json!({}),
        json!({"forSeconds": 0}),
        json!({"forSeconds": -1}),
        json!({"forSeconds": 604_801}),
        json!({"forSeconds": "1h"}),
    ] {
        let answer = tollgate.operate("POST", "/v1/fleet/shadow", Some(&body));
        assert_eq!((answer.status, &*answer.code()), (400, "VALIDATION_ERROR"), "{body}");
        assert_eq!(answer.json()["error"]["details"][0]["path"], "forSeconds", "{body}");
    }
    let key = |role: &str, tenant: Option<&str>| {
        let body = json!({"name": "somebody", "role": role, "tenant": tenant});
        let made = tollgate.operate("POST", "/v1/keys", Some(&body));
        assert_eq!(made.status, 201, "{made:?}");
        format!("Bearer {}", made.json()["token"].as_str().unwrap_or_default())
    };
    let refused = [
        (key("manager", None), "INSUFFICIENT_ROLE"),
        (key("admin", Some("acme")), "NO_TENANT_ACCESS"),
    ];
    let long = json!({"forSeconds": 60});
    for (credentials, code) in &refused {
        for path in ["/v1/fleet/shadow", "/v1/fleet/enforce"] {
            let headers = [("authorization", credentials.as_str())];
            let answer = tollgate.operate_as(&headers, "POST", path, Some(&long));
            assert_eq!((answer.status, &*answer.code()), (403, *code), "{path}: {answer:?}");
        }
    }
    assert_eq!(tollgate.operate("GET", "/v1/fleet", None).json()["mode"], "policy");
}

#[test]
fn it_goes_before_the_policy_of_a_route_and_begins_and_ends_on_the_embedded_store_too() {
    let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let policy = directory.path().join("policy.toml");
    let strict = "[[routes]]\npath = \"/{*rest}\"\nmode = \"enforce\"\n";
    std::fs::write(&policy, strict).unwrap_or_else(|error| panic!("{error}"));
    let policy = policy.display().to_string();
    let mut tollgate = Tollgate::start(&["--policy", &policy]);
    let disabled = Some(json!({"create": true}));
    assert_eq!(tollgate.operate("POST", "/v1/customers/c1/disable", disabled.as_ref()).status, 200);
    let question = json!({"customerId": "c1", "method": "GET", "path": "/things"});
    let allowed = |it: &Tollgate| it.check(&question).json()["allowed"].clone();
    assert_eq!(allowed(&tollgate), false);
    let long = json!({"forSeconds": 3600});
    assert_eq!(tollgate.operate("POST", "/v1/fleet/shadow", Some(&long)).status, 200);
    assert_eq!(allowed(&tollgate), true);
    // The file keeps it.
    tollgate.terminate();
    let restarted = Tollgate::start_in(tollgate.data_dir(), &["--policy", &policy]);
    restarted.wait_until("in shadow", || allowed(&restarted) == true);
    assert_eq!(restarted.operate("POST", "/v1/fleet/enforce", None).json()["changed"], true);
    assert_eq!(allowed(&restarted), false);
}
