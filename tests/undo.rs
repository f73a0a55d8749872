//! One billing bug must not lock out everybody: what a source did is taken back.

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::process::Output;

use serde_json::{Value, json};

use raw::redis;
use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, audit, kinds, put, read},
    tollgate::{ADMIN_TOKEN, Tollgate},
};

fn undo(tollgate: &Tollgate, since: &str, more: &[&str]) -> Output {
    let arguments = ["undo", "--source", "billing", "--since", since, "--output", "json"];
    tollgate.cli(&[&arguments[..], more].concat())
}

fn told(output: &Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What a person is told beside the data.
fn notes(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The moment of the newest change of a customer.
fn moment(tollgate: &Tollgate, id: &str) -> String {
    audit(tollgate, id)[0]["at"].as_str().unwrap_or_default().to_owned()
}

/// A moment that the store's clock has come to after `earlier`.
fn later_than(tollgate: &Tollgate, earlier: &str) -> String {
    let mut verbs = ["freeze", "unfreeze"].into_iter().cycle();
    put(tollgate, "mark", &json!({}));
    loop {
        act(tollgate, "mark", verbs.next().unwrap_or_default(), &json!({}));
        let since = moment(tollgate, "mark");
        if since.as_str() > earlier {
            return since;
        }
    }
}

fn held(kind: &str, source: &str) -> (String, String) {
    (kind.to_owned(), source.to_owned())
}

#[test]
fn a_source_that_suddenly_restricts_many_is_paused_and_what_it_did_is_given_back() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let store = server.url();
    let tollgate = Tollgate::start(&["--store", &store, "--ingest-guard", "1%/10m"]);
    for number in 0..40 {
        put(&tollgate, &format!("c{number:02}"), &json!({}));
    }
    act(&tollgate, "c00", "disable", &json!({"reason": "fraud"}));
    let since = moment(&tollgate, "c00");
    for number in 0..40 {
        let message = format!(r#"{{"customerId":"c{number:02}","status":"disabled"}}"#);
        redis(&store, &["XADD", "tollgate:customer-status:inbox", "*", "data", &message]);
    }
    tollgate.wait_until("paused", || tollgate.metric("tollgate_sources_paused") == 1);
    let disabled = || {
        let page = tollgate.operate("GET", "/v1/customers?status=disabled&limit=100", None);
        page.json()["count"].as_u64()
    };
    // Twenty are never too many.
    assert_eq!(disabled(), Some(20));

    let dry = undo(&tollgate, &since, &["--dry-run"]);
    assert!(dry.status.success(), "{dry:?}");
    assert_eq!((told(&dry).len(), disabled()), (20, Some(20)));
    let asked = undo(&tollgate, &since, &[]);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    assert!(notes(&asked).contains("--yes"), "{asked:?}");
    let done = undo(&tollgate, &since, &["--yes"]);
    assert!(done.status.success(), "{done:?}");
    assert!(notes(&done).contains("20 customers were given back; 0 were not."), "{done:?}");
    // The operator's own stands.
    assert_eq!(kinds(&read(&tollgate, "c00")), [held("disabled", "operator")]);
    assert_eq!(disabled(), Some(1));
    let again = undo(&tollgate, &since, &["--yes"]);
    assert!(again.status.success() && told(&again).is_empty(), "{again:?}");
}

#[test]
fn what_was_placed_is_lifted_what_was_lifted_is_placed_and_earlier_acts_stand() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let billing = |id: &str, verb: &str, more: Value| {
        let mut body =
            json!({"source": "billing", "create": verb != "enable" && verb != "unfreeze"});
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        if body["create"] == false {
            body.as_object_mut().map(|body| body.remove("create"));
        }
        act(&tollgate, id, verb, &body);
    };
    let until = "2090-01-01T00:00:00Z";
    billing("lifted", "disable", json!({"reason": "non_payment", "until": until}));
    billing("replaced", "freeze", json!({"reason": "dispute"}));
    billing("earlier", "freeze", json!({}));
    let lifted = read(&tollgate, "lifted")["restrictions"].clone();
    let since = later_than(&tollgate, &moment(&tollgate, "earlier"));

    billing("placed", "disable", json!({}));
    billing("placed", "freeze", json!({}));
    billing("lifted", "enable", json!({}));
    billing("replaced", "freeze", json!({"reason": "fraud"}));
    act(&tollgate, "placed", "deactivate", &json!({}));
    let headers = [("x-api-key", ADMIN_TOKEN), ("tenant-id", "acme")];
    let body = json!({"source": "billing", "create": true});
    let path = "/v1/customers/placed/disable";
    assert_eq!(tollgate.operate_as(&headers, "POST", path, Some(&body)).status, 200);

    let done = undo(&tollgate, &since, &["--yes"]);
    assert!(done.status.success(), "{done:?}");
    let customers: Vec<_> = told(&done).iter().map(|it| it["customer"].clone()).collect();
    assert_eq!(customers, ["acme:placed", "default:lifted", "default:placed", "default:replaced"]);
    assert_eq!(kinds(&read(&tollgate, "placed")), [held("inactive", "operator")]);
    let given_back = read(&tollgate, "lifted")["restrictions"].clone();
    for field in ["kind", "source", "reason", "since", "until"] {
        assert_eq!(given_back[0][field], lifted[0][field], "{field}");
    }
    assert_eq!(read(&tollgate, "replaced")["restrictions"][0]["reason"], "dispute");
    assert_eq!(kinds(&read(&tollgate, "earlier")), [held("frozen", "billing")]);
    let entry = &audit(&tollgate, "placed")[0];
    assert!(entry["notes"].as_str().is_some_and(|it| it.starts_with("undone: ")), "{entry}");
    let theirs = tollgate.operate_as(&headers, "GET", "/v1/customers/placed", None).json();
    assert_eq!(theirs["status"], "active");
}
