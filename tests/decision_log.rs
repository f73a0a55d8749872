//! The decision log says what was answered, and is in nobody's way.

#[expect(dead_code, unused_imports, reason = "other suites share it and use the rest")]
mod support;

use std::{
    fs::{self, OpenOptions},
    io::Read as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use support::{
    operators::{act, put},
    tollgate::{Client, Tollgate},
};

/// A Tollgate with an active customer and one that is disabled, and the path of its log.
fn start(more: &[&str]) -> (TempDir, Tollgate, String) {
    let directory = tempfile::tempdir().unwrap_or_else(|it| panic!("{it}"));
    let path = directory.path().join("decisions").display().to_string();
    let tollgate = logging_to(&path, more);
    (directory, tollgate, path)
}

fn logging_to(path: &str, more: &[&str]) -> Tollgate {
    let target = format!("file:{path}");
    let flags = [&["--store", "memory:", "--decision-log", &target][..], more].concat();
    let tollgate = Tollgate::start(&flags);
    put(&tollgate, "paying", &json!({}));
    act(
        &tollgate,
        "late",
        "disable",
        &json!({"create": true, "notes": "MARKER", "reason": "fraud"}),
    );
    tollgate
}

fn lines(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}")))
        .collect()
}

#[test]
fn every_deny_is_written_and_the_share_of_allows_that_is_asked_for() {
    let (_directory, tollgate, path) = start(&["--decision-log-allows", "1"]);
    let nginx =
        [("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-customer-id", "paying")];
    assert_eq!(tollgate.ask("GET", "/v1/nginx", &nginx).status, 200);
    tollgate.reason_to_write("late");
    tollgate.check(&json!({"customerId": "paying", "feature": "sso", "action": "read"}));
    tollgate.wait_until("written", || lines(&path).len() == 3);
    let written = lines(&path);
    let said = |line: &Value| {
        ["decision", "reason", "customerId", "action", "dialect", "feature"]
            .map(|field| line[field].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(said(&written[0]), ["allow", "active", "paying", "read", "nginx", "-"]);
    assert_eq!(said(&written[1]), ["deny", "customer_disabled", "late", "write", "check", "-"]);
    assert_eq!(
        said(&written[2]),
        ["undecided", "entitlement_unknown", "paying", "read", "check", "sso"]
    );
    assert_eq!(written[1]["status"], "disabled");
    assert!(written[1]["revision"].is_string() && written[1]["tookUs"].is_u64(), "{}", written[1]);
    let text = fs::read_to_string(&path).unwrap_or_default();
    assert!(!text.contains("MARKER") && !text.contains("fraud"), "{text}");

    let (_directory, tollgate, path) = start(&["--decision-log-allows", "0"]);
    for _ in 0..20 {
        tollgate.reason_to_write("paying");
    }
    tollgate.reason_to_write("late");
    tollgate.wait_until("written", || !lines(&path).is_empty());
    assert_eq!(lines(&path).len(), 1);
    assert_eq!(tollgate.metric("tollgate_decisions_logged_total"), 1);
}

#[test]
fn what_is_masked_is_not_written() {
    let (_directory, tollgate, path) = start(&["--decision-log-mask", "customer,tenant"]);
    tollgate.reason_to_write("late");
    tollgate.wait_until("written", || lines(&path).len() == 1);
    let line = &lines(&path)[0];
    assert_eq!((&line["customerId"], &line["tenantId"]), (&json!("***"), &json!("***")));
    assert_eq!(line["reason"], "customer_disabled");
}

#[test]
fn what_was_answered_before_the_end_is_written() {
    let (_directory, mut tollgate, path) = start(&[]);
    for _ in 0..300 {
        tollgate.reason_to_write("late");
    }
    assert!(tollgate.terminate().success());
    assert_eq!(lines(&path).len(), 300);
}

#[test]
fn a_log_that_was_rotated_is_made_anew() {
    let (directory, tollgate, path) = start(&[]);
    tollgate.reason_to_write("late");
    tollgate.wait_until("written", || lines(&path).len() == 1);
    let rotated = directory.path().join("rotated");
    fs::rename(&path, &rotated).unwrap_or_else(|it| panic!("{it}"));
    tollgate.reason_to_write("late");
    tollgate.wait_until("written anew", || lines(&path).len() == 1);
    assert_eq!(lines(&rotated.display().to_string()).len(), 1);
}

#[test]
fn a_full_disk_is_counted_and_keeps_nobody() {
    let tollgate = logging_to("/dev/full", &[]);
    for _ in 0..5 {
        assert_eq!(tollgate.reason_to_write("late"), "customer_disabled");
    }
    let unwritable = "tollgate_decisions_unlogged_total{why=\"unwritable\"}";
    tollgate.wait_until("counted", || tollgate.metric(unwritable) == 5);
    tollgate.wait_for_log("The decision log cannot be written");
    assert_eq!(tollgate.metric("tollgate_decisions_logged_total"), 0);
}

/// A place for a log that takes no more than 64 KiB until somebody reads it.
fn pipe(directory: &Path) -> String {
    let path = directory.join("pipe");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo (coreutils) has to be there");
    path.display().to_string()
}

#[test]
fn a_log_that_hangs_is_waited_for_only_when_that_is_asked_for() {
    for overflow in ["drop", "block"] {
        let directory = tempfile::tempdir().unwrap_or_else(|it| panic!("{it}"));
        let path = pipe(directory.path());
        // Open for both, so that nobody waits to open it.
        let reader = OpenOptions::new().read(true).write(true).open(&path);
        let mut reader = reader.unwrap_or_else(|it| panic!("{it}"));
        let tollgate = logging_to(&path, &["--decision-log-overflow", overflow]);
        let client = Client::new(Duration::from_secs(2));
        let json = [("content-type", "application/json")];
        let checks: Vec<_> = (0..100).map(|_| json!({"customerId": "late"})).collect();
        let checks = json!({"checks": checks}).to_string();
        let ask = || client.ask(tollgate.check, "POST", "/v1/checks", &json, Some(&checks)).status;
        let full = || tollgate.metric("tollgate_decisions_unlogged_total{why=\"full\"}");
        let begun = Instant::now();
        // So many at a time that the metrics are not what is asked for most.
        let is_kept = loop {
            if (0..10).any(|_| ask() != 200) {
                break true;
            }
            if full() > 0 {
                break false;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "it never got full");
        };
        assert_eq!(is_kept, overflow == "block", "{overflow}");
        if is_kept {
            assert_eq!(full(), 0);
            let drained = std::thread::spawn(move || {
                let mut lines = [0; 4096];
                while reader.read(&mut lines).is_ok_and(|read| read > 0) {}
            });
            tollgate.wait_until("answered again", || ask() == 200);
            drop(drained);
        } else {
            assert_eq!(tollgate.reason_to_write("late"), "customer_disabled");
        }
    }
}

#[test]
fn a_log_that_cannot_be_opened_ends_the_start() {
    let directory = tempfile::tempdir().unwrap_or_else(|it| panic!("{it}"));
    for (target, said) in [
        ("file:/nowhere/decisions", "the decision log /nowhere/decisions (--decision-log)"),
        ("syslog", "it must be stdout, file:PATH, or the word off"),
    ] {
        let flags = ["--store", "memory:", "--decision-log", target];
        let output = support::tollgate::serve(directory.path(), &flags).output();
        let output = output.unwrap_or_else(|it| panic!("{it}"));
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(said), "{told}");
    }
}
