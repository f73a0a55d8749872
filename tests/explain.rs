//! Whoever is asked why a customer was refused gets a whole answer.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::fs;

use serde_json::{Value, json};

use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, assert_refused, key, named, put, role, with_token},
    tollgate::Tollgate,
};

/// A Tollgate over memory, and one over a Redis of its own.
fn everywhere(flags: &[&str]) -> Vec<(Option<RedisServer>, Tollgate)> {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let over = |store: &str| Tollgate::start(&[&["--store", store], flags].concat());
    let redis = over(&server.url());
    vec![(None, over("memory:")), (Some(server), redis)]
}

fn explain(tollgate: &Tollgate, id_and_query: &str) -> Value {
    let answer = tollgate.operate("GET", &format!("/v1/explain/{id_and_query}"), None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The fields that a check answers as well.
fn verdict(answer: &Value) -> Vec<Value> {
    ["decision", "reason", "allowed", "mode", "message"].map(|it| answer[it].clone()).to_vec()
}

/// A policy file that lives as long as the directory.
fn policy(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.toml");
    fs::write(&file, text).unwrap();
    (directory, file.display().to_string())
}

#[test]
fn whoever_was_refused_is_told_by_what_since_when_and_what_lifts_it() {
    for (_server, tollgate) in everywhere(&[]) {
        put(&tollgate, "c1", &json!({}));
        let disable = json!({"source": "billabear", "reason": "non_payment", "notes": "invoice 7"});
        let disabled = act(&tollgate, "c1", "disable", &disable);
        act(&tollgate, "c1", "freeze", &json!({"source": "wingback", "reason": "fraud"}));
        act(&tollgate, "c1", "unfreeze", &json!({"source": "wingback"}));
        act(&tollgate, "c1", "freeze", &json!({"source": "wingback", "reason": "fraud"}));

        let told = explain(&tollgate, "c1");
        assert_eq!((&told["known"], &told["status"]), (&json!(true), &json!("disabled")));
        for (question, action) in
            told["questions"].as_array().unwrap().iter().zip(["read", "write"])
        {
            assert_eq!(question["asked"], json!({"action": action}));
            let asked = json!({"customerId": "c1", "action": action});
            assert_eq!(verdict(question), verdict(&tollgate.check(&asked).json()));
            assert_eq!(question["reason"], "customer_disabled");
            assert_eq!(
                (&question["httpStatus"], &question["modeFrom"]),
                (&json!(402), &json!("policy"))
            );
            assert_eq!(question["refusedBy"][0]["source"], "billabear", "{question}");
        }
        // A frozen customer may read, so only the write is refused by both.
        let refusing = |at: usize| told["questions"][at]["refusedBy"].as_array().unwrap().len();
        assert_eq!((refusing(0), refusing(1)), (1, 2));

        let held = &told["restrictions"][0];
        assert_eq!((&held["kind"], &held["notes"]), (&json!("disabled"), &json!("invoice 7")));
        assert_eq!(
            (&held["since"], &held["until"]),
            (&disabled["restrictions"][0]["since"], &json!(null))
        );
        assert!(held["actor"].is_string(), "{held}");
        assert_eq!(held["liftedBy"]["command"], "tollgate enable c1 --source billabear");
        // The true reason, which no gateway is told.
        assert_eq!(told["restrictions"][1]["reason"], "fraud");
        assert_eq!(told["restrictions"][1]["liftedBy"]["verb"], "unfreeze");

        let changes = told["transitions"].as_array().unwrap();
        let actions: Vec<_> = changes.iter().map(|it| it["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["freeze", "unfreeze", "freeze", "disable"]);
        assert_eq!(changes[3]["before"], json!([]));
        assert_eq!(changes[3]["after"][0]["reason"], "non_payment");
        assert_eq!(changes[3]["revision"], disabled["revision"]);
        assert_eq!(told["record"]["revision"], told["store"]["revision"]);
        assert_eq!(told["store"]["believed"], true);
        assert_eq!(told["withheld"], json!([]));
    }
}

#[test]
fn a_restriction_that_is_still_to_come_or_over_is_told_and_decides_nothing() {
    for (_server, tollgate) in everywhere(&[]) {
        put(&tollgate, "c1", &json!({}));
        let past = json!({"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"});
        act(&tollgate, "c1", "disable", &past);
        let coming = json!({"source": "wingback", "since": "2999-01-01T00:00:00Z"});
        act(&tollgate, "c1", "freeze", &coming);
        let told = explain(&tollgate, "c1?action=write");
        assert_eq!(told["questions"][0]["reason"], "active");
        assert_eq!(told["restrictions"], json!([]));
        assert_eq!(told["scheduled"][0]["source"], "wingback");
        assert_eq!(told["lapsed"][0]["kind"], "disabled", "{told}");
        assert_eq!(told["questions"][0]["refusedBy"], json!([]));
    }
}

#[test]
fn the_rule_that_was_met_is_told_with_what_it_sets_aside_and_asks() {
    let (_directory, file) = policy(
        "[[routes]]\npath = \"/billing/{*rest}\"\nexempt_for = [\"non_payment\"]\n\
         [[routes]]\npath = \"/export\"\nmethods = [\"POST\"]\nfeature = \"export\"\n\
         mode = \"shadow\"\n\
         [[routes]]\npath = \"/seats\"\naction = \"read\"\nlimit = \"seats\"\n",
    );
    for (_server, tollgate) in everywhere(&["--policy", &file]) {
        let limits = json!({"seats": {"max": 5, "used": 5, "usedAt": "2020-01-01T00:00:00Z"}});
        put(&tollgate, "c1", &json!({"features": ["sso"], "limits": limits}));
        let asks = |query: &str| explain(&tollgate, &format!("c1?{query}"))["questions"][0].clone();

        let export = asks("method=POST&path=/x/../export");
        assert_eq!(export["asked"]["canonicalPath"], "/export");
        assert_eq!(export["rule"]["pattern"], "/export");
        assert_eq!(
            (&export["reason"], &export["allowed"]),
            (&json!("feature_missing"), &json!(true))
        );
        assert_eq!((&export["mode"], &export["modeFrom"]), (&json!("shadow"), &json!("route")));
        let feature = json!({"code": "export", "present": false, "has": ["sso"]});
        assert_eq!(export["feature"], feature);

        let seats = asks("method=POST&path=/seats");
        assert_eq!(
            (&seats["rule"]["action"], &seats["reason"]),
            (&json!("read"), &json!("entitlement_unknown"))
        );
        assert_eq!((&seats["limit"]["max"], &seats["limit"]["used"]), (&json!(5), &json!(5)));
        assert_eq!(seats["limit"]["usedOutdated"], true);
        // What is asked for by name goes before what the route asks for.
        let wanted = asks("method=POST&path=/seats&limit=seats&value=6");
        assert_eq!(
            (&wanted["reason"], &wanted["limit"]["wanted"]),
            (&json!("limit_exceeded"), &json!(6))
        );

        act(&tollgate, "c1", "disable", &json!({"reason": "non_payment"}));
        let pay = asks("method=POST&path=/billing/pay");
        assert_eq!((&pay["reason"], &pay["allowed"]), (&json!("route_exempt"), &json!(true)));
        assert_eq!(pay["rule"]["exempt"], "non_payment");
        assert_eq!(pay["setAside"][0]["reason"], "non_payment");
        let elsewhere = asks("method=GET&path=/elsewhere");
        assert_eq!(
            (&elsewhere["rule"]["pattern"], &elsewhere["rule"]["route"]),
            (&json!(null), &json!("none"))
        );
        assert!(elsewhere["rule"]["why"].as_str().unwrap().contains("no route names"));
        let hidden = asks("method=GET&path=/billing/%252e%252e%2fexport");
        assert_eq!(
            (&hidden["rule"]["route"], &hidden["reason"]),
            (&json!("suspicious"), &json!("path_suspicious"))
        );
    }
}

#[test]
fn every_way_in_which_a_request_may_be_read_is_told_and_which_one_decides() {
    let (_directory, file) =
        policy("[[routes]]\npath = \"/hook\"\nmethods = [\"POST\"]\nfeature = \"hooks\"\n");
    let tollgate = Tollgate::start(&["--store", "memory:", "--policy", &file]);
    put(&tollgate, "c1", &json!({"features": []}));
    let asked = json!({"customerId": "c1", "method": "post", "path": "/hook"});
    let question = &explain(&tollgate, "c1?method=post&path=/hook")["questions"][0];
    assert_eq!(verdict(question), verdict(&tollgate.check(&asked).json()));
    let read = question["readings"].as_array().unwrap().iter();
    let read: Vec<_> = read.map(|it| (&it["pattern"], &it["reason"], &it["decides"])).collect();
    let [none, hook] = [json!(null), json!("/hook")];
    let [active, missing] = [json!("active"), json!("feature_missing")];
    let [no, yes] = [json!(false), json!(true)];
    assert_eq!(read, [(&none, &active, &no), (&hook, &missing, &yes)], "{question}");
}

#[test]
fn of_a_customer_whom_nobody_knows_just_that_is_told() {
    for (_server, tollgate) in everywhere(&[]) {
        let told = explain(&tollgate, "nobody");
        assert_eq!((&told["known"], &told["status"]), (&json!(false), &json!("unknown")));
        assert_eq!(told["questions"][0]["reason"], "customer_unknown");
        assert_eq!(told["record"]["state"], "absent");
        assert_eq!((&told["transitions"], &told["restrictions"]), (&json!([]), &json!([])));
        let output = tollgate.cli(&["explain", "nobody"]);
        assert_eq!(output.status.code(), Some(1));
        let page = String::from_utf8(output.stdout).unwrap();
        assert!(page.starts_with("nobody may not read: There is no such customer."), "{page}");
    }
}

#[test]
fn explaining_is_no_check_and_is_counted_as_none() {
    for (_server, tollgate) in everywhere(&[]) {
        act(&tollgate, "c1", "disable", &json!({"create": true}));
        let long = json!({"forSeconds": 3600});
        assert_eq!(tollgate.operate("POST", "/v1/fleet/shadow", Some(&long)).status, 200);
        let spared = || explain(&tollgate, "c1?action=write")["questions"][0].clone();
        tollgate.wait_until("in shadow", || spared()["allowed"] == true);
        let question = spared();
        assert_eq!((&question["decision"], &question["httpStatus"]), (&json!("deny"), &json!(200)));
        assert_eq!((&question["mode"], &question["modeFrom"]), (&json!("shadow"), &json!("fleet")));
        assert!(explain(&tollgate, "c1")["fleet"]["shadowUntil"].is_string());
        assert_eq!(tollgate.status()["shadow"], json!([]));
        assert!(tollgate.sum_of("tollgate_checks_total", "").abs() < 0.5);
        assert!(tollgate.sum_of("tollgate_shadow_passes_total", "").abs() < 0.5);
    }
}

#[test]
fn while_the_store_is_away_what_decides_is_told_and_what_cannot_be_told_is_named() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url()]);
    act(&tollgate, "c1", "disable", &json!({"create": true}));
    let mut server = server;
    server.kill9();
    let told = explain(&tollgate, "c1?action=read");
    assert_eq!(told["questions"][0]["reason"], "customer_disabled");
    assert_eq!((&told["store"]["answered"], &told["transitions"]), (&json!(false), &json!(null)));
    let stranger = explain(&tollgate, "c2?action=read");
    assert_eq!(
        (&stranger["known"], &stranger["record"]["state"]),
        (&json!(null), &json!("store_unreachable"))
    );
    let asked = json!({"customerId": "c2", "action": "read"});
    assert_eq!(verdict(&stranger["questions"][0]), verdict(&tollgate.check(&asked).json()));
}

#[test]
fn the_command_tells_the_verdict_first_and_ends_with_it() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    put(&tollgate, "c1", &json!({}));
    let freeze = json!({"source": "wingback", "reason": "dispute", "notes": "ticket 12"});
    act(&tollgate, "c1", "freeze", &freeze);
    let run = |arguments: &[&str]| {
        let output = tollgate.cli(&[&["explain", "c1"], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, page) = run(&[]);
    assert_eq!(code, Some(1));
    let mut lines = page.lines();
    let read = "c1 may read: The customer is frozen, and may read. (frozen_read, HTTP 200)";
    let write =
        "c1 may not write: The customer is frozen, and may only read. (customer_frozen, HTTP 423)";
    assert_eq!((lines.next(), lines.next()), (Some(read), Some(write)));
    for words in [
        "  refused by  frozen by wingback (dispute)",
        "  notes       ticket 12",
        "`tollgate unfreeze c1 --source wingback`",
        "nothing -> frozen by wingback (dispute)",
    ] {
        assert!(page.contains(words), "{words} in\n{page}");
    }
    assert_eq!(run(&["--action", "read"]).0, Some(0));
    assert_eq!(run(&["--method", "POST", "--path", "/x"]).0, Some(1));
    let (code, page) = run(&["--action", "read", "--feature", "sso"]);
    assert_eq!(code, Some(3), "{page}");
    assert!(page.starts_with("It cannot be decided whether c1 may read"), "{page}");
    let (code, json) = run(&["--action", "read", "--limit", "seats=6", "--output", "json"]);
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &told["questions"][0]["limit"]["wanted"]), (Some(3), &json!(6)));
}

#[test]
fn a_viewer_may_ask_for_its_own_tenant_and_a_question_that_makes_no_sense_is_refused() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    act(&tollgate, "c1", "disable", &json!({"create": true}));
    let get = |token: &str, path: &str| with_token(&tollgate, token, "GET", path, None);
    let (viewer, app) = (role(&tollgate, "viewer"), role(&tollgate, "app"));
    let told = get(&viewer, "/v1/explain/c1");
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(told.json()["restrictions"][0]["liftedBy"]["role"], "support");
    assert_refused(&get(&app, "/v1/explain/c1"), 403, "INSUFFICIENT_ROLE");
    let of_acme = key(&tollgate, &json!({"name": "a", "role": "viewer", "tenant": "acme"}));
    let told = get(&of_acme, "/v1/explain/c1").json();
    assert_eq!((&told["tenantId"], &told["known"]), (&json!("acme"), &json!(false)));
    let headers = [("x-api-key", of_acme.as_str()), ("tenant-id", "default")];
    let other = tollgate.operate_as(&headers, "GET", "/v1/explain/c1", None);
    assert_refused(&other, 403, "NO_TENANT_ACCESS");

    for (query, field) in [
        ("method=GET", "action"),
        ("action=read&method=GET&path=/", "action"),
        ("action=look", "action"),
        ("feature=%20", "feature"),
        ("limit=", "limit"),
        ("value=3", "value"),
        ("limit=seats&value=-1", "value"),
        ("featrue=sso", "featrue"),
    ] {
        let answer = get(&viewer, &format!("/v1/explain/c1?{query}"));
        assert_eq!(answer.code(), "VALIDATION_ERROR", "{query}: {answer:?}");
        assert_eq!(named(&answer), [field], "{query}");
    }
}
