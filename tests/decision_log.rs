//! The decision log says what was answered, and is in nobody's way.

#[expect(dead_code, unused_imports, reason = "other suites share it and use the rest")]
mod support;

#[path = "support/collector.rs"]
mod collector;

use std::{
    cell::Cell,
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Read as _,
    net::TcpListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    common::v1::any_value,
    logs::v1::{LogRecord, SeverityNumber},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use collector::{Collector, hex, said};
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
    started(&flags)
}

/// The same, with its log at a collector.
fn sending_to(endpoint: &str, more: &[&str]) -> Tollgate {
    let flags = ["--store", "memory:", "--decision-log", "otlp", "--otlp-endpoint", endpoint];
    started(&[&flags[..], &["--otlp-share", "0%"], more].concat())
}

fn started(flags: &[&str]) -> Tollgate {
    let tollgate = Tollgate::start(flags);
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
        ("otlp", "--decision-log otlp needs --otlp-endpoint"),
        ("syslog", "it must be stdout, file:PATH, otlp, or the word off"),
    ] {
        let flags = ["--store", "memory:", "--decision-log", target];
        let output = support::tollgate::serve(directory.path(), &flags).output();
        let output = output.unwrap_or_else(|it| panic!("{it}"));
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn a_collector_is_sent_what_a_line_says_and_where_in_its_trace_that_stands() {
    let collector = Collector::start();
    let tollgate = sending_to(&collector.endpoint(), &["--decision-log-allows", "1"]);
    let (trace, caller) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let ask = |customer: &str, flags: &str| {
        let parent = format!("00-{trace}-{caller}-{flags}");
        let headers = [
            ("x-original-method", "GET"),
            ("x-original-uri", "/a"),
            ("x-customer-id", customer),
            ("traceparent", &parent),
        ];
        tollgate.ask("GET", "/v1/nginx", &headers).status
    };
    assert_eq!((ask("late", "01"), ask("paying", "00")), (403, 200));
    tollgate.check(&json!({"customerId": "paying", "feature": "sso", "action": "read"}));
    tollgate.wait_until("sent", || collector.records().len() == 3);
    tollgate.wait_until("counted", || tollgate.metric("tollgate_decisions_logged_total") == 3);
    let records = collector.records();
    let body = |index: usize| match records[index].body.clone().and_then(|it| it.value) {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    };
    assert_eq!(body(0), "deny customer_disabled");
    assert_eq!(body(1), "allow active");
    assert_eq!(body(2), "undecided entitlement_unknown");
    let severities: Vec<_> = records.iter().map(LogRecord::severity_number).collect();
    assert_eq!(severities, [SeverityNumber::Warn, SeverityNumber::Info, SeverityNumber::Error]);

    // The same fields as those of a line, but the time, which is the record's, and what is null.
    let (_directory, lined, path) = start(&[]);
    let headers =
        [("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-customer-id", "late")];
    assert_eq!(lined.ask("GET", "/v1/nginx", &headers).status, 403);
    lined.wait_until("written", || lines(&path).len() == 1);
    let line = lines(&path).remove(0);
    let fields = line.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let fields: BTreeSet<_> =
        fields.map(|(name, _)| name.as_str()).filter(|it| *it != "at").collect();
    let attributes: BTreeSet<_> = records[0].attributes.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(attributes, fields);
    for same in ["action", "customerId", "dialect", "reason", "status", "tenantId"] {
        assert_eq!(json!(said(&records[0].attributes, same)), line[same], "{same}");
    }
    assert_eq!(said(&records[0].attributes, "allowed"), "false");
    let now = jiff::Timestamp::now().as_nanosecond();
    let age = now - i128::from(records[0].time_unix_nano);
    assert!((0..60_000_000_000).contains(&age), "{age}");
    let told = format!("{records:?}");
    assert!(!told.contains("MARKER") && !told.contains("fraud"), "{told}");

    // The first stands at the span of its check, the second at its caller's, which has no other.
    tollgate.wait_until("spans", || !collector.spans().is_empty());
    let span = collector.spans().remove(0);
    assert_eq!(hex(&span.parent_span_id), caller);
    assert_eq!((hex(&records[0].trace_id).as_str(), records[0].flags), (trace, 1));
    assert_eq!(records[0].span_id, span.span_id);
    assert_eq!((hex(&records[1].trace_id).as_str(), records[1].flags), (trace, 0));
    assert_eq!(hex(&records[1].span_id), caller);
    assert!(records[2].trace_id.is_empty() && records[2].span_id.is_empty());
}

#[test]
fn what_is_masked_is_not_sent_and_what_was_answered_before_the_end_is() {
    let collector = Collector::start();
    let mut tollgate =
        sending_to(&collector.endpoint(), &["--decision-log-mask", "customer,tenant"]);
    for _ in 0..300 {
        tollgate.reason_to_write("late");
    }
    assert!(tollgate.terminate().success());
    let records = collector.records();
    assert_eq!(records.len(), 300);
    assert_eq!(said(&records[0].attributes, "customerId"), "***");
    assert_eq!(said(&records[0].attributes, "tenantId"), "***");
    let told = format!("{records:?}");
    assert!(!told.contains("late"), "{told}");
}

#[test]
fn what_a_collector_that_is_away_does_not_get_is_counted_and_it_gets_the_rest() {
    let mut collector = Collector::start();
    let tollgate = sending_to(&collector.endpoint(), &[]);
    let unwritable = || tollgate.metric("tollgate_decisions_unlogged_total{why=\"unwritable\"}");
    tollgate.reason_to_write("late");
    tollgate.wait_until("sent", || collector.records().len() == 1);

    collector.stop();
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(tollgate.reason_to_write("late"), "customer_disabled");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    tollgate.wait_until("counted", || unwritable() == 20);
    let told = tollgate.wait_for_log("The decision log cannot be written");
    assert!(told.contains("the collector"), "{told}");
    tollgate.reason_to_write("late");
    tollgate.wait_until("counted", || unwritable() == 21);
    let log = tollgate.log();
    let told = log.iter().filter(|line| line.contains("The decision log cannot be written"));
    assert_eq!(told.count(), 1, "{log:?}");

    collector.restart();
    let asked = Cell::new(22);
    tollgate.wait_until("sent again", || {
        tollgate.reason_to_write("late");
        asked.set(asked.get() + 1);
        collector.records().len() > 1
    });

    // What it has no room for at the moment is sent again.
    let logged = || tollgate.metric("tollgate_decisions_logged_total");
    tollgate.wait_until("all told of", || logged() + unwritable() == asked.get());
    assert_eq!(logged(), collector.records().len() as u64);
    let (before, sent) = (unwritable(), collector.records().len());
    collector.sends_away(2);
    tollgate.reason_to_write("late");
    tollgate.wait_until("sent at last", || collector.records().len() == sent + 1);
    assert_eq!(unwritable(), before);
}

#[test]
fn what_a_collector_refuses_of_a_batch_is_counted() {
    let collector = Collector::start();
    collector.becomes_picky();
    let tollgate = sending_to(&collector.endpoint(), &[]);
    let checks: Vec<_> = (0..10).map(|_| json!({"customerId": "late"})).collect();
    let headers = [("content-type", "application/json")];
    let body = json!({ "checks": checks }).to_string();
    let client = Client::new(Duration::from_secs(10));
    assert_eq!(client.ask(tollgate.check, "POST", "/v1/checks", &headers, Some(&body)).status, 200);
    let unwritable = "tollgate_decisions_unlogged_total{why=\"unwritable\"}";
    let counted =
        || [tollgate.metric("tollgate_decisions_logged_total"), tollgate.metric(unwritable)];
    tollgate.wait_until("counted", || counted().iter().sum::<u64>() == 10);
    assert_eq!(counted()[0], collector.records().len() as u64);
    tollgate.wait_for_log("one is enough");
}

#[test]
fn a_collector_that_hangs_keeps_neither_checks_nor_the_end() {
    // Takes connections, and says nothing.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|it| panic!("{it}"));
    let address = hanging.local_addr().unwrap_or_else(|it| panic!("{it}"));
    let mut tollgate = sending_to(&format!("http://{address}"), &[]);
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(tollgate.reason_to_write("late"), "customer_disabled");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    let unwritable = "tollgate_decisions_unlogged_total{why=\"unwritable\"}";
    tollgate.wait_until("counted", || tollgate.metric(unwritable) > 0);
    tollgate.wait_for_log("it did not answer within 5s");
    tollgate.reason_to_write("late");
    let begun = Instant::now();
    assert!(tollgate.terminate().success());
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}
