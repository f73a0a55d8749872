//! Disabled customers are reviewed regularly.

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, unused_imports, reason = "other suites share it and use the rest")]
mod support;

use serde_json::{Value, json};

use support::{
    operators::{act, audit, put, read},
    tollgate::Tollgate,
};

/// What `tollgate review` lists.
fn review(tollgate: &Tollgate, more: &[&str]) -> Vec<Value> {
    let output = tollgate.cli(&[&["review", "--output", "json"][..], more].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["customerId"].as_str()).collect()
}

#[test]
fn who_is_disabled_since_when_by_whom_and_why_the_longest_first() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let disable = |id: &str, since: &str, source: &str| {
        let body = json!({
            "create": true, "since": since, "source": source, "reason": "non_payment",
            "notes": "third reminder", "informedAt": "2026-01-01T00:00:00Z",
        });
        act(&tollgate, id, "disable", &body);
    };
    disable("short", "2026-03-01T00:00:00Z", "operator");
    disable("long", "1980-01-01T00:00:00Z", "billabear");
    disable("both", "2025-01-01T00:00:00Z", "billabear");
    disable("both", "2026-02-01T00:00:00Z", "operator");
    disable("later", "2090-01-01T00:00:00Z", "operator");
    put(&tollgate, "active", &json!({}));
    act(&tollgate, "frozen", "freeze", &json!({"create": true}));

    let all = review(&tollgate, &[]);
    assert_eq!(ids(&all), ["long", "both", "both", "short"]);
    for (field, value) in [
        ("kind", "disabled"),
        ("source", "billabear"),
        ("reason", "non_payment"),
        ("since", "1980-01-01T00:00:00Z"),
        ("informedAt", "2026-01-01T00:00:00Z"),
        ("notes", "third reminder"),
        ("tenantId", "default"),
    ] {
        assert_eq!(all[0][field], value, "{field}");
    }
    assert!(all[0]["actor"].is_string());
    assert_eq!(ids(&review(&tollgate, &["--source", "billabear"])), ["long", "both"]);
    // Longer than any of the others can have gone on when this is read.
    let years = "262800h";
    assert_eq!(ids(&review(&tollgate, &["--older-than", years])), ["long"]);
    assert_eq!(ids(&review(&tollgate, &["--status", "frozen"])), ["frozen"]);

    let output = tollgate.cli(&["review"]);
    let (data, hint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(data.contains("third reminder"), "{data}");
    assert!(hint.contains("tollgate enable long --source billabear"), "{hint}");
}

#[test]
fn every_page_is_looked_at() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    for number in 0..120 {
        act(&tollgate, &format!("c{number:03}"), "disable", &json!({"create": true}));
    }
    assert_eq!(review(&tollgate, &[]).len(), 120);
}

#[test]
fn a_review_ends_in_one_act_on_everybody_that_it_lists() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let disable = |id: &str, source: &str| {
        act(&tollgate, id, "disable", &json!({"create": true, "source": source}));
    };
    for id in ["a", "b", "c"] {
        disable(id, "billabear");
    }
    disable("b", "operator");
    act(&tollgate, "b", "freeze", &json!({}));
    put(&tollgate, "c", &json!({"obligations": {"pendingOrders": 1}}));
    let then = |flags: &[&str]| {
        let output = tollgate.cli(&[&["review", "--then"][..], flags].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap_or_default())
    };
    let statuses = || ["a", "b", "c"].map(|id| read(&tollgate, id)["status"].to_string());
    let disabled = ["a", "b", "c"].map(|_| "\"disabled\"".to_owned());

    assert_eq!(then(&["enable", "--dry-run"]), (Some(0), "enable: 3 customers.\n".to_owned()));
    let (code, said) = then(&["enable"]);
    assert!(code == Some(1) && said.contains("give --yes"), "{said}");
    let (code, said) = then(&["unfreeze", "--yes"]);
    assert!(code == Some(2) && said.contains("--then unfreeze is for --status frozen"), "{said}");
    assert_eq!(statuses(), disabled);

    // One that is refused keeps none of the others, and its reason is told.
    let (code, said) = then(&["deactivate", "--yes", "--notes", "cleaned up"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("c: ") && said.contains("1 acts were refused"), "{said}");
    assert_eq!(read(&tollgate, "a")["restrictions"].as_array().map(Vec::len), Some(2));

    let (code, said) = then(&["enable", "--yes", "--source", "billabear", "--notes", "paid"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(statuses(), ["\"inactive\"", "\"disabled\"", "\"active\""]);
    let (code, said) = then(&["enable", "--yes"]);
    assert_eq!((code, statuses()[1].as_str()), (Some(0), "\"inactive\""), "{said}");
    assert_eq!(audit(&tollgate, "c")[0]["notes"], "paid");
}
