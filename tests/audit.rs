//! The audit trail: what is found in it, and that nobody changed it.

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

use serde_json::{Value, json};

use tollgate::domain::{audit::chain::chained, digest::sha256_hex};

use raw::redis;
use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, assert_refused, key, named, put, role, with_token},
    tollgate::{ADMIN_TOKEN, Tollgate},
};

fn found(tollgate: &Tollgate, query: &str) -> Vec<(String, String, String)> {
    let page = tollgate.operate("GET", &format!("/v1/audit?limit=100&{query}"), None);
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(page.json()["hasMore"], false, "{page:?}");
    page.json()["entries"].as_array().into_iter().flatten().map(told).collect()
}

/// Action, outcome and actor.
fn told(entry: &Value) -> (String, String, String) {
    let word = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    (word(&entry["action"]), word(&entry["outcome"]), word(&entry["actor"]["name"]))
}

/// The lines of a whole export, without the one that ends it.
fn exported(tollgate: &Tollgate, token: &str, query: &str) -> Vec<Value> {
    let path = format!("/v1/audit?format=ndjson&{query}");
    let answer = with_token(tollgate, token, "GET", &path, None);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines = answer.body.lines().map(serde_json::from_str::<Value>);
    let mut lines: Vec<_> = lines.map(Result::unwrap_or_default).collect();
    let end = lines.pop().unwrap_or_default();
    assert_eq!(end, json!({"end": true, "entries": lines.len()}));
    lines
}

#[test]
fn entries_are_found_by_actor_action_outcome_and_time() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    put(&tollgate, "c1", &json!({}));
    let token = key(&tollgate, &json!({"name": "kim", "role": "manager"}));
    let by_kim = |verb: &str| {
        with_token(&tollgate, &token, "POST", &format!("/v1/customers/c1/{verb}"), None).json()
    };
    by_kim("freeze");
    let frozen = tollgate.operate("GET", "/v1/audit?limit=1", None).json();
    let at = frozen["entries"][0]["at"].as_str().unwrap_or_default().to_owned();
    // What is asked for later is of a later millisecond.
    let clock = std::time::Instant::now();
    while clock.elapsed().as_millis() < 2 {
        std::hint::spin_loop();
    }
    by_kim("freeze");
    act(&tollgate, "c1", "unfreeze", &json!({}));
    by_kim("delete");

    let freeze = |outcome: &str| ("freeze".to_owned(), outcome.to_owned(), "kim".to_owned());
    let both = [freeze("unchanged"), freeze("changed")];
    assert_eq!(found(&tollgate, "actor=kim&action=freeze"), both);
    assert_eq!(found(&tollgate, "actor=kim&outcome=changed&action=freeze"), both[1..]);
    assert_eq!(found(&tollgate, "actor=nobody"), []);
    assert_eq!(found(&tollgate, &format!("action=freeze&since={at}")), both);
    assert_eq!(found(&tollgate, &format!("action=freeze&until={at}")), []);
    assert_eq!(found(&tollgate, "action=freeze&until=2020-01-01T00:00:00Z"), []);
    assert_eq!(found(&tollgate, "action=freeze&since=2090-01-01T00:00:00Z"), []);
    let every = found(&tollgate, "");
    let of_actions: usize = ["put", "keys_create", "freeze", "unfreeze"]
        .iter()
        .map(|action| found(&tollgate, &format!("action={action}")).len())
        .sum();
    assert_eq!(of_actions, every.len());
    let path = "/v1/customers/c1/audit?action=unfreeze";
    let of_customer = tollgate.operate("GET", path, None).json();
    assert_eq!(of_customer["entries"].as_array().map(Vec::len), Some(1));

    for (query, field) in [
        ("actor=", "actor"),
        ("action=ban", "action"),
        ("outcome=denied", "outcome"),
        ("since=yesterday", "since"),
        ("until=2026-11-21", "until"),
        ("format=csv", "format"),
        ("format=ndjson&limit=5", "limit"),
        ("who=kim", "who"),
    ] {
        for path in ["/v1/audit", "/v1/customers/c1/audit"] {
            let answer = tollgate.operate("GET", &format!("{path}?{query}"), None);
            assert_refused(&answer, 400, "VALIDATION_ERROR");
            assert_eq!(named(&answer), [field], "{query}");
        }
    }

    let output = tollgate.cli(&[
        "audit",
        "--actor",
        "kim",
        "--action",
        "freeze",
        "--outcome",
        "changed",
        "--since",
        "1h",
        "--output",
        "json",
    ]);
    let page: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(1), "{output:?}");
    let earlier = tollgate.cli(&["audit", "--until", "1h", "--output", "json"]);
    let page: Value = serde_json::from_slice(&earlier.stdout).unwrap_or_default();
    assert_eq!(page["entries"], json!([]), "{earlier:?}");
    for wrong in [["audit", "--action", "ban"], ["audit", "--outcome", "denied"]] {
        assert_eq!(tollgate.cli(&wrong).status.code(), Some(2));
    }
}

#[test]
fn a_page_may_come_short_and_the_pages_together_hold_everything() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url(), "--partitions", "4"]);
    for number in 0..30 {
        put(&tollgate, &format!("c{number}"), &json!({}));
    }
    act(&tollgate, "c7", "freeze", &json!({}));
    let one = || tollgate.list("/v1/audit", "entries", "before");
    assert_eq!(one().len(), 31);
    let mut next = "/v1/audit?limit=4&action=put".to_owned();
    let mut subjects = Vec::new();
    loop {
        let page = tollgate.operate("GET", &next, None).json();
        let entries = page["entries"].as_array().cloned().unwrap_or_default();
        assert!(entries.len() <= 4, "{page}");
        subjects.extend(entries.iter().map(|entry| entry["subject"].to_string()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        next = format!("/v1/audit?limit=4&action=put&before={cursor}");
    }
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 30);
}

#[test]
fn an_export_holds_every_entry_and_says_where_it_ends() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url(), "--partitions", "4"]);
    for number in 0..450 {
        put(&tollgate, &format!("c{number}"), &json!({}));
    }
    act(&tollgate, "c7", "freeze", &json!({}));
    let paged = tollgate.list("/v1/audit", "entries", "before");
    assert_eq!(exported(&tollgate, ADMIN_TOKEN, ""), paged);
    assert_eq!(exported(&tollgate, ADMIN_TOKEN, "action=freeze"), paged[..1]);
    let accepts = [("x-api-key", ADMIN_TOKEN), ("accept", "application/x-ndjson")];
    let answer = tollgate.operate_as(&accepts, "GET", "/v1/customers/c7/audit", None);
    assert_eq!(answer.body.lines().count(), 3);

    let output = tollgate.cli(&["audit", "--export"]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap_or_default();
    let printed: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect();
    assert_eq!(printed, paged);

    let acme = key(&tollgate, &json!({"name": "a", "role": "viewer", "tenant": "acme"}));
    assert_eq!(exported(&tollgate, &acme, ""), [Value::Null; 0]);
    let headers = [("x-api-key", ADMIN_TOKEN), ("tenant-id", "acme")];
    assert_eq!(
        tollgate.operate_as(&headers, "PUT", "/v1/customers/c1", Some(&json!({}))).status,
        201
    );
    assert_eq!(exported(&tollgate, &acme, "")[0]["subject"], "acme:c1");
    let app = role(&tollgate, "app");
    let answer = with_token(&tollgate, &app, "GET", "/v1/audit?format=ndjson", None);
    assert_refused(&answer, 403, "INSUFFICIENT_ROLE");
}

#[test]
fn an_export_that_cannot_be_finished_is_broken_off_without_an_end() {
    let mut server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url()]);
    put(&tollgate, "c1", &json!({}));
    act(&tollgate, "c1", "freeze", &json!({"notes": "n".repeat(2000)}));
    // More than the sockets and the pages in between hold.
    let repeated = "local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1] \
                    for _ = 1, 8000 do redis.call('XADD', KEYS[1], '*', unpack(last[2])) end";
    redis(&server.url(), &["EVAL", repeated, "1", "tollgate:{0}:audit"]);
    let stream = TcpStream::connect(tollgate.operator).unwrap_or_else(|it| panic!("{it}"));
    let request = "GET /v1/audit?format=ndjson HTTP/1.1\r\nhost: x\r\nx-api-key: ";
    write!(&stream, "{request}{ADMIN_TOKEN}\r\n\r\n").unwrap_or_else(|it| panic!("{it}"));
    let mut lines = BufReader::new(stream);
    let mut begun = String::new();
    while !begun.ends_with("}\n") {
        assert_ne!(lines.read_line(&mut begun).unwrap_or_default(), 0, "{begun}");
    }
    assert!(begun.contains("\"action\":\"freeze\""), "{begun}");
    server.kill9();
    let mut rest = Vec::new();
    // However it ends.
    let _ = lines.read_to_end(&mut rest);
    let rest = String::from_utf8_lossy(&rest);
    assert!(!rest.contains("\"end\":true"), "the end is told of what was broken off");
    // The last chunk of an answer over HTTP/1.1 is empty.
    assert!(!rest.ends_with("0\r\n\r\n"));
    let path = "/v1/audit?format=ndjson";
    assert_refused(&tollgate.operate("GET", path, None), 503, "STORE_UNREACHABLE");
    let output = tollgate.cli(&["audit", "--export"]);
    assert!(!output.status.success(), "{output:?}");
}

/// How `tollgate audit verify` ends, and what it tells of the first partition.
fn verified(tollgate: &Tollgate, flags: &[&str]) -> (Option<i32>, Value) {
    let all = [&["audit", "verify", "--output", "json"], flags].concat();
    let output = tollgate.cli(&all);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(told["verified"] == true, output.status.success(), "{output:?}");
    (output.status.code(), told["trails"][0].clone())
}

/// A store with a trail of its own and a Tollgate over it, for somebody who holds the store.
struct Forger {
    tollgate: Tollgate,
    server: RedisServer,
}

/// The fields of an entry as Redis holds them.
#[derive(Clone, Debug)]
struct Held {
    id: String,
    revision: String,
    millis: String,
    entry: String,
    chain: String,
}

impl Forger {
    fn begin() -> Self {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let tollgate = Tollgate::start(&["--store", &server.url()]);
        put(&tollgate, "c1", &json!({}));
        for verb in ["freeze", "unfreeze", "disable", "disable", "enable"] {
            act(&tollgate, "c1", verb, &json!({}));
        }
        let forger = Self { tollgate, server };
        assert_eq!(forger.verdict(), (Some(0), Value::Null, Value::Null));
        forger
    }

    fn redis(&self, command: &[&str]) -> String {
        redis(&self.server.url(), command)
    }

    fn trail(&self) -> Vec<Held> {
        let told = self.redis(&["XRANGE", TRAIL, "-", "+"]);
        let lines: Vec<_> = told.lines().map(str::to_owned).collect();
        let held = lines.chunks(9).map(|it| match it {
            [id, _, revision, _, millis, _, entry, _, chain] => {
                let [id, revision, millis, entry, chain] =
                    [id, revision, millis, entry, chain].map(Clone::clone);
                Held { id, revision, millis, entry, chain }
            }
            other => panic!("{other:?}"),
        });
        held.collect()
    }

    fn rewrite(&self, trail: &[Held]) {
        self.redis(&["DEL", TRAIL]);
        for Held { id, revision, millis, entry, chain } in trail {
            let fields = ["rev", revision, "ms", millis, "entry", entry, "chain", chain];
            assert_eq!(self.redis(&[&["XADD", TRAIL, id], &fields[..]].concat()), *id);
        }
    }

    /// How it ends, at which entry it broke, and why.
    fn verdict(&self) -> (Option<i32>, Value, Value) {
        let (code, trail) = verified(&self.tollgate, &[]);
        (code, trail["brokenAt"].clone(), trail["why"].clone())
    }
}

fn broken(at: &Held, why: &str) -> (Option<i32>, Value, Value) {
    (Some(1), json!(at.id), json!(why))
}

const TRAIL: &str = "tollgate:{0}:audit";

#[test]
fn a_trail_that_nobody_changed_is_verified_in_every_store() {
    let server = RedisServer::start(Flavor::Valkey, Persistence::None);
    for flags in [&["--store", "memory:"][..], &["--store", &server.url(), "--partitions", "4"]] {
        let tollgate = Tollgate::start(flags);
        let (code, trail) = verified(&tollgate, &[]);
        assert_eq!((code, &trail["entries"]), (Some(0), &json!(0)), "{trail}");
        for number in 0..450 {
            put(&tollgate, &format!("c{number}"), &json!({}));
        }
        let output = tollgate.cli(&["audit", "verify", "--output", "json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let trails = told["trails"].as_array().cloned().unwrap_or_default();
        let walked: u64 = trails.iter().filter_map(|it| it["entries"].as_u64()).sum();
        assert_eq!(walked, 450, "{told}");
    }
}

#[test]
fn an_entry_that_was_changed_by_hand_is_named() {
    let forger = Forger::begin();
    let trail = forger.trail();
    let changes: [fn(&mut Held); 4] = [
        |it| it.entry = it.entry.replace("disable", "freeze"),
        |it| it.revision.push('0'),
        |it| it.millis = it.millis.chars().rev().collect(),
        |it| it.entry.clear(),
    ];
    for change in changes {
        let mut altered = trail.clone();
        change(&mut altered[3]);
        forger.rewrite(&altered);
        assert_eq!(forger.verdict(), broken(&trail[3], "does_not_follow"));
    }
    let output = forger.tollgate.cli(&["audit", "verify"]);
    let said = String::from_utf8(output.stderr).unwrap_or_default();
    assert!(said.contains(&format!("entry {} does not follow", trail[3].id)), "{said}");
    forger.rewrite(&trail);
    assert_eq!(forger.verdict(), (Some(0), Value::Null, Value::Null));
}

#[test]
fn an_entry_that_was_taken_out_is_missed_wherever_it_was() {
    let forger = Forger::begin();
    let trail = forger.trail();
    let without = |place: usize| {
        let mut rest = trail.clone();
        rest.remove(place);
        forger.rewrite(&rest);
        forger.verdict()
    };
    assert_eq!(without(2), broken(&trail[3], "does_not_follow"));
    assert_eq!(without(0), broken(&trail[1], "no_beginning"));
    assert_eq!(verified(&forger.tollgate, &["--archived"]).0, Some(0));
    assert_eq!(without(5), broken(&trail[4], "end_missing"));
    // Nor does it help to go on.
    act(&forger.tollgate, "c1", "freeze", &json!({}));
    let newest = forger.trail().pop().unwrap_or_else(|| panic!("no trail"));
    assert_eq!(forger.verdict(), broken(&newest, "does_not_follow"));
}

#[test]
fn a_chain_that_was_made_anew_as_a_whole_passes_for_sound() {
    let forger = Forger::begin();
    let mut trail = forger.trail();
    trail[3].entry = trail[3].entry.replace("disable", "freeze");
    forge(&forger, &mut trail);
    assert_eq!(forger.verdict(), (Some(0), Value::Null, Value::Null));
}

/// Makes the whole chain anew.
fn forge(forger: &Forger, trail: &mut [Held]) {
    let mut chain = String::new();
    for held in trail.iter_mut() {
        chain = chained(&chain, &held.revision, &held.millis, &sha256_hex(&held.entry));
        held.chain.clone_from(&chain);
    }
    forger.rewrite(trail);
    forger.redis(&["HSET", "tollgate:{0}:meta", "chain", &chain]);
}

#[test]
fn the_chain_is_shown_to_those_who_see_every_tenant() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    put(&tollgate, "c1", &json!({}));
    let viewer = role(&tollgate, "viewer");
    let path = "/v1/audit/chain?partition=0";
    let page = with_token(&tollgate, &viewer, "GET", path, None).json();
    assert_eq!(page["head"], page["links"][1]["chain"], "{page}");
    let entry: Value = serde_json::from_str(page["links"][0]["entry"].as_str().unwrap_or_default())
        .unwrap_or_default();
    assert_eq!(entry["subject"], "default:c1");
    let after = page["links"][0]["id"].as_str().unwrap_or_default();
    let rest = with_token(&tollgate, &viewer, "GET", &format!("{path}&after={after}"), None);
    assert_eq!(rest.json()["links"].as_array().map(Vec::len), Some(1));

    let acme = key(&tollgate, &json!({"name": "a", "role": "admin", "tenant": "acme"}));
    assert_refused(&with_token(&tollgate, &acme, "GET", path, None), 403, "NO_TENANT_ACCESS");
    let app = role(&tollgate, "app");
    assert_refused(&with_token(&tollgate, &app, "GET", path, None), 403, "INSUFFICIENT_ROLE");
    for (query, field) in
        [("partition=1", "partition"), ("partition=x", "partition"), ("after=x", "after")]
    {
        let answer = tollgate.operate("GET", &format!("/v1/audit/chain?{query}"), None);
        assert_refused(&answer, 400, "VALIDATION_ERROR");
        assert_eq!(named(&answer), [field], "{query}");
    }
}

#[test]
fn a_chain_that_was_made_anew_does_not_have_what_was_signed() {
    let mut forger = Forger::begin();
    let directory = forger.tollgate.data_dir();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (key_file, other_key, heads) = (path("audit.key"), path("other.key"), path("audit-heads"));
    std::fs::write(&key_file, "a key of many bytes").unwrap_or_else(|it| panic!("{it}"));
    std::fs::write(&other_key, "another key of as many").unwrap_or_else(|it| panic!("{it}"));
    forger.tollgate.terminate();
    let flags = ["--store", &forger.server.url(), "--audit-key-file", &key_file];
    forger.tollgate = Tollgate::start_in(directory.clone(), &flags);
    let signed = || std::fs::read_to_string(&heads).unwrap_or_default();
    forger.tollgate.wait_until("signed", || signed().ends_with('\n'));
    assert!(!signed().contains("a key of"), "{}", signed());

    let with_heads = ["--key-file", &key_file, "--heads", &heads];
    assert_eq!(verified(&forger.tollgate, &with_heads).0, Some(0));
    act(&forger.tollgate, "c1", "freeze", &json!({}));
    assert_eq!(verified(&forger.tollgate, &with_heads).0, Some(0));
    let trail = forger.trail();
    let mut altered = trail.clone();
    altered[3].entry = altered[3].entry.replace("disable", "freeze");
    forge(&forger, &mut altered);
    assert_eq!(verified(&forger.tollgate, &[]).0, Some(0));
    let (code, told) = verified(&forger.tollgate, &with_heads);
    assert_eq!((code, &told["why"]), (Some(1), &json!("other_than_signed")));
    assert_eq!(told["brokenAt"], json!(trail[5].id), "{told}");

    let output =
        forger.tollgate.cli(&["audit", "verify", "--key-file", &other_key, "--heads", &heads]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap_or_default();
    assert!(said.contains("line 1 of") && said.contains("not signed with this key"), "{said}");
}

/// A store with some entries that get old at once, and where they are archived.
fn archived(store: &[&str]) -> (Tollgate, String) {
    let flags = [store, &["--audit-retention", "1s"]].concat();
    let tollgate = Tollgate::start(&flags);
    put(&tollgate, "c1", &json!({}));
    act(&tollgate, "c1", "freeze", &json!({"notes": "called on Monday"}));
    act(&tollgate, "c1", "unfreeze", &json!({}));
    act(&tollgate, "c1", "disable", &json!({"notes": "called on Friday"}));
    let entries = || tollgate.list("/v1/audit", "entries", "before").len();
    tollgate.wait_until("archived", || entries() == 1);
    let archive = tollgate.data_dir().path().join("audit-archive/audit-0.ndjson");
    (tollgate, archive.display().to_string())
}

fn read_lines(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|it| panic!("{path}: {it}"));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_old_goes_to_the_archive_first_and_both_together_are_the_whole_chain() {
    let server = RedisServer::start(Flavor::Valkey, Persistence::None);
    for store in [&["--store", &server.url()][..], &["--store", "memory:"]] {
        let (tollgate, archive) = archived(store);
        let lines = read_lines(&archive);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].contains("called on Monday"), "{lines:?}");
        // The newest entry stays, with its notes, in both trails.
        for path in ["/v1/audit", "/v1/customers/c1/audit"] {
            let page = tollgate.operate("GET", path, None).json();
            assert_eq!(page["entries"].as_array().map(Vec::len), Some(1), "{page}");
            assert_eq!(page["entries"][0]["notes"], "called on Friday");
            assert!(page["archivedUntil"].is_string(), "{page}");
        }
        assert_eq!(tollgate.metric("tollgate_audit_archived_total"), 3);

        let (code, trail) = verified(&tollgate, &[]);
        assert_eq!((code, &trail["why"]), (Some(1), &json!("no_beginning")), "{trail}");
        assert_eq!(verified(&tollgate, &["--archived"]).0, Some(0));
        let with_archive = ["--archive", &archive, "--archive", &archive];
        let (code, trail) = verified(&tollgate, &with_archive);
        assert_eq!((code, &trail["entries"]), (Some(0), &json!(4)), "{trail}");

        let forged = format!("{archive}.forged");
        for (from, to) in [("unfreeze", "enable"), ("called on Monday", "called on Tuesday")] {
            let text = lines.join("\n").replace(from, to);
            std::fs::write(&forged, text).unwrap_or_else(|it| panic!("{it}"));
            let (code, trail) = verified(&tollgate, &["--archive", &forged]);
            assert_eq!(code, Some(1), "{from}: {trail}");
        }
        // A line of it that is missing is a gap.
        std::fs::write(&forged, [&*lines[0], &lines[2]].join("\n"))
            .unwrap_or_else(|it| panic!("{it}"));
        let (code, trail) = verified(&tollgate, &["--archive", &forged]);
        assert_eq!((code, &trail["why"]), (Some(1), &json!("does_not_follow")), "{trail}");
    }
}

#[test]
fn nothing_is_undone_from_before_what_is_archived() {
    let (tollgate, _) = archived(&["--store", "memory:"]);
    let undo = |since: &str| {
        let flags = ["undo", "--source", "operator", "--since", since, "--dry-run"];
        let output = tollgate.cli(&flags);
        (output.status.code(), String::from_utf8(output.stderr).unwrap_or_default())
    };
    let (code, said) = undo("1h");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("was archived") && said.contains("--since a later time"), "{said}");
    assert_eq!(undo("0s").0, Some(0));
}

#[test]
fn what_cannot_be_archived_stays_in_the_store() {
    let directory = tempfile::tempdir().unwrap_or_else(|it| panic!("{it}"));
    let archive = directory.path().join("archive");
    std::fs::write(&archive, "not a directory").unwrap_or_else(|it| panic!("{it}"));
    let archive = archive.display().to_string();
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &server.url(), "--audit-retention", "1s", "--audit-archive", &archive];
    let tollgate = Tollgate::start(&flags);
    put(&tollgate, "c1", &json!({}));
    act(&tollgate, "c1", "freeze", &json!({}));
    act(&tollgate, "c1", "unfreeze", &json!({}));
    let failures = || tollgate.metric("tollgate_audit_archive_failures_total");
    tollgate.wait_until("failures", || failures() >= 2);
    let entries = || tollgate.list("/v1/audit", "entries", "before").len();
    assert_eq!(entries(), 3);
    assert_eq!(verified(&tollgate, &[]).0, Some(0));
    let told = tollgate.wait_for_log("The audit trail is not archived");
    assert!(told.contains(&archive), "{told}");

    std::fs::remove_file(&archive).unwrap_or_else(|it| panic!("{it}"));
    tollgate.wait_until("archived", || entries() == 1);
    let file = format!("{archive}/audit-0.ndjson");
    assert_eq!(verified(&tollgate, &["--archive", &file]).1["entries"], 3);
}
