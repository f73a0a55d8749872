//! FlexPortal calls nobody, so it is asked: who is inactive there is inactive here.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, unused_imports, reason = "other suites share it and use the rest")]
mod support;

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{
    authority::{Authority, Issued},
    operators::{act, audit, key, kinds, put, read},
    tollgate::{ADMIN_TOKEN, Tollgate},
};

/// A small FlexPortal that replays pages as it answers them.
struct Portal {
    address: SocketAddr,
    replies: Arc<Mutex<Replies>>,
}

#[derive(Default)]
struct Replies {
    pages: HashMap<String, Reply>,
    /// Each is given once, before the page.
    faults: Vec<(String, Reply)>,
    asked: Vec<Asked>,
}

/// What was asked for, when and with which headers.
#[derive(Clone, Debug)]
struct Asked {
    at: Instant,
    target: String,
    headers: String,
}

#[derive(Clone, Debug, Default)]
struct Reply {
    status: u16,
    headers: String,
    body: String,
}

impl Portal {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let replies = Arc::new(Mutex::new(Replies::default()));
        let answered = Arc::clone(&replies);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(&stream, &answered);
            }
        });
        Self { address, replies }
    }

    /// From now on it has these customers, in these pages.
    fn holds(&self, others: &[&[&str]], inactive: &[&[&str]]) {
        let mut replies = self.replies.lock().unwrap();
        replies.pages.clear();
        for (pages, filter, status) in
            [(others, "", "active"), (inactive, "&status=inactive", "inactive")]
        {
            for place in 0..pages.len().max(1) {
                let ids = pages.get(place).copied().unwrap_or_default();
                let more = place + 1 < pages.len();
                let cursor =
                    if place == 0 { String::new() } else { format!("&startAfter=p{place}") };
                let next = more.then(|| format!("p{}", place + 1));
                let page = recorded(ids, status, next.as_deref());
                let reply = Reply { status: 200, body: page, ..Reply::default() };
                replies.pages.insert(format!("/v1/customers?limit=100{cursor}{filter}"), reply);
            }
        }
    }

    /// Gives this instead, the next time it is asked for `query`.
    fn fails_once(&self, query: &str, status: u16, headers: &str, body: &str) {
        let (headers, body) = (headers.to_owned(), body.to_owned());
        let fault = (target(query), Reply { status, headers, body });
        self.replies.lock().unwrap().faults.push(fault);
    }

    /// Gives this whenever it is asked for `query`.
    fn says(&self, query: &str, status: u16, headers: &str, body: &str) {
        let (headers, body) = (headers.to_owned(), body.to_owned());
        let mut replies = self.replies.lock().unwrap();
        replies.pages.insert(target(query), Reply { status, headers, body });
    }

    fn asked(&self) -> Vec<Asked> {
        self.replies.lock().unwrap().asked.clone()
    }
}

fn target(query: &str) -> String {
    format!("/v1/customers?limit=100{query}")
}

fn answer(mut stream: &TcpStream, replies: &Mutex<Replies>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let target = first.split(' ').nth(1).unwrap().to_owned();
    let headers = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let reply = {
        let mut replies = replies.lock().unwrap();
        replies.asked.push(Asked { at: Instant::now(), target: target.clone(), headers });
        let fault = replies.faults.iter().position(|(of, _)| *of == target);
        match fault {
            Some(place) => replies.faults.remove(place).1,
            None => replies
                .pages
                .get(&target)
                .cloned()
                .unwrap_or(Reply { status: 404, ..Reply::default() }),
        }
    };
    let Reply { status, headers, body } = reply;
    let size = body.len();
    // Whoever asked may be gone.
    let _ = write!(
        stream,
        "HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\
         connection: close\r\n{headers}\r\n{body}"
    );
}

/// A page as FlexPortal answers it, with more in it than anybody reads.
fn recorded(ids: &[&str], status: &str, next: Option<&str>) -> String {
    let customers: Vec<_> = ids
        .iter()
        .map(|id| {
            json!({
                "customerId": id,
                "customerNumber": "CUST-000123",
                "type": "business",
                "status": status,
                "firstName": "Erika",
                "lastName": "Mustermann",
                "email": "erika@example.com",
                "addresses": [{"type": "billing", "city": "Berlin", "country": "DE"}],
                "createdAt": "2025-01-15T10:30:00Z",
                "updatedAt": "2025-06-01T08:00:00Z",
            })
        })
        .collect();
    let (count, more) = (ids.len(), next.is_some());
    json!({
        "customers": customers, "count": count, "limit": 100, "hasMore": more, "nextCursor": next,
    })
    .to_string()
}

/// Polls `url` for `tollgate`, with these flags more.
fn command(tollgate: &Tollgate, url: &str, token: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command
        .args(["poll", "flexportal", "--url", url, "--tenant", "default"])
        .args(more)
        .env("TOLLGATE_OPERATOR_URL", format!("http://{}", tollgate.operator))
        .env("TOLLGATE_TOKEN", token)
        .env("TOLLGATE_FLEXPORTAL_KEY", PORTAL_KEY);
    command
}

/// One round; its key is in nothing that it told.
fn once(tollgate: &Tollgate, portal: &Portal, more: &[&str]) -> Told {
    let token = poller_key(tollgate);
    once_as(&token, tollgate, portal, more)
}

fn once_as(token: &str, tollgate: &Tollgate, portal: &Portal, more: &[&str]) -> Told {
    let url = format!("http://{}", portal.address);
    let flags = [&["--once", "--output", "json"][..], more].concat();
    Told::of(&command(tollgate, &url, token, &flags).output().unwrap())
}

/// A key that can do nothing but what is needed.
fn poller_key(tollgate: &Tollgate) -> String {
    key(tollgate, &json!({"name": "poller", "role": "support", "source": "flexportal"}))
}

/// How a round ended and what it told.
#[derive(Debug)]
struct Told {
    exit: Option<i32>,
    changes: Vec<Value>,
    messages: String,
}

impl Told {
    fn of(output: &Output) -> Self {
        let data = String::from_utf8(output.stdout.clone()).unwrap();
        let messages = String::from_utf8(output.stderr.clone()).unwrap();
        for told in [&data, &messages] {
            assert!(!told.contains(PORTAL_KEY), "{told}");
        }
        let changes = data.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Self { exit: output.status.code(), changes, messages }
    }

    fn changed(&self) -> Vec<(&str, &str)> {
        self.changes
            .iter()
            .map(|it| (it["customerId"].as_str().unwrap(), it["status"].as_str().unwrap()))
            .collect()
    }

    #[track_caller]
    fn ended(&self, exit: i32, says: &str) {
        assert_eq!(self.exit, Some(exit), "{self:#?}");
        assert!(self.messages.contains(says), "{self:#?}");
    }
}

/// A poll that goes on, and every line that it wrote. Killed on drop.
struct Going {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Going {
    fn start(tollgate: &Tollgate, portal: &Portal) -> Self {
        let (url, token) = (format!("http://{}", portal.address), poller_key(tollgate));
        let mut command = command(tollgate, &url, &token, &["--every", "1s"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let out = child.stdout.take().map(|out| Box::new(out) as Box<dyn std::io::Read + Send>);
        let messages =
            child.stderr.take().map(|out| Box::new(out) as Box<dyn std::io::Read + Send>);
        for from in [out, messages].into_iter().flatten() {
            let lines = Arc::clone(&lines);
            thread::spawn(move || {
                for line in BufReader::new(from).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(line);
                }
            });
        }
        Self { child, lines }
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        let begun = Instant::now();
        loop {
            let lines = self.lines.lock().unwrap().clone();
            if lines.iter().any(|line| line.contains(text)) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "never told {text}: {lines:#?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn held(kind: &str, source: &str) -> (String, String) {
    (kind.to_owned(), source.to_owned())
}

#[test]
fn who_is_inactive_there_is_inactive_here_and_nobody_else_is_touched() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let portal = Portal::start();
    for id in ["back", "closed", "same", "unlisted", "disabled"] {
        put(&tollgate, id, &json!({}));
    }
    put(&tollgate, "ours", &json!({"aliases": {"flexportal": "theirs"}}));
    let inactive = json!({"source": "flexportal"});
    for id in ["back", "unlisted"] {
        act(&tollgate, id, "deactivate", &inactive);
    }
    act(&tollgate, "disabled", "disable", &json!({"reason": "compliance"}));
    act(&tollgate, "disabled", "deactivate", &inactive);
    let before = audit(&tollgate, "same").len();
    portal.holds(&[&["back", "same"], &["disabled", "new"]], &[&["closed"], &["theirs", "gone"]]);

    let dry = once(&tollgate, &portal, &["--dry-run"]);
    dry.ended(0, "7 seen, 3 of them inactive; 6 would be changed");
    assert_eq!(kinds(&read(&tollgate, "closed")), []);
    let first = once(&tollgate, &portal, &[]);
    first.ended(0, "7 seen, 3 of them inactive; 6 changed, 0 refused");
    let changes = [
        ("back", "active"),
        ("closed", "inactive"),
        ("disabled", "active"),
        ("gone", "inactive"),
        ("new", "active"),
        ("ours", "inactive"),
    ];
    assert_eq!(first.changed(), changes);
    assert_eq!(dry.changed(), changes);
    for (id, restrictions) in [
        ("back", vec![]),
        ("closed", vec![held("inactive", "flexportal")]),
        ("same", vec![]),
        // It is in neither list.
        ("unlisted", vec![held("inactive", "flexportal")]),
        // What an operator holds stays.
        ("disabled", vec![held("disabled", "operator")]),
        ("new", vec![]),
        ("ours", vec![held("inactive", "flexportal")]),
        ("gone", vec![held("inactive", "flexportal")]),
    ] {
        assert_eq!(kinds(&read(&tollgate, id)), restrictions, "{id}");
    }
    assert_eq!(tollgate.operate("GET", "/v1/customers/theirs", None).status, 404);

    // What is so already is not asked for, and leaves no trace in the audit trail.
    once(&tollgate, &portal, &[]).ended(0, "7 seen, 3 of them inactive; 0 changed, 0 refused");
    assert_eq!(audit(&tollgate, "same").len(), before);
    for asked in portal.asked() {
        let headers = asked.headers.to_lowercase();
        assert!(headers.contains(&format!("authorization: bearer {PORTAL_KEY}")), "{asked:?}");
        assert!(headers.contains("tenant-id: default"), "{asked:?}");
    }
}

#[test]
fn what_changes_between_two_rounds_is_told_and_a_signal_ends_it_with_a_summary() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let portal = Portal::start();
    put(&tollgate, "c1", &json!({}));
    portal.holds(&[&["c1", "c2"]], &[]);
    let mut going = Going::start(&tollgate, &portal);
    going.wait_for("Round 1: 2 seen, 0 of them inactive; 1 changed");
    portal.holds(&[&["c2"]], &[&["c1"]]);
    going.wait_for("c1  inactive by flexportal");
    assert_eq!(kinds(&read(&tollgate, "c1")), [held("inactive", "flexportal")]);
    // A round that fails is told, and the next one goes on.
    portal.fails_once("", 401, "", "{}");
    going.wait_for("does not accept the key");
    portal.holds(&[&["c1", "c2"]], &[]);
    going.wait_for("c1  active by flexportal");
    assert_eq!(kinds(&read(&tollgate, "c1")), []);

    kill_process(Pid::from_child(&going.child), Signal::TERM).unwrap();
    assert_eq!(going.child.wait().unwrap().code(), Some(0));
    going.wait_for("3 customers were changed in all");
}

#[test]
fn what_an_operator_lifts_of_flexportal_is_placed_again() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let portal = Portal::start();
    portal.holds(&[], &[&["c1"]]);
    let going = Going::start(&tollgate, &portal);
    going.wait_for("c1  inactive by flexportal, a new customer");
    act(&tollgate, "c1", "reactivate", &json!({"source": "flexportal"}));
    let begun = Instant::now();
    while kinds(&read(&tollgate, "c1")).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{:#?}", going.lines.lock().unwrap());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(kinds(&read(&tollgate, "c1")), [held("inactive", "flexportal")]);
}

#[test]
fn who_moves_while_the_lists_are_read_stays_restricted() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let portal = Portal::start();
    put(&tollgate, "moved", &json!({}));
    act(&tollgate, "moved", "deactivate", &json!({"source": "flexportal"}));
    portal.holds(&[&["moved"], &["c2"]], &[&["c3"], &["moved"]]);
    once(&tollgate, &portal, &[]).ended(0, "3 seen, 2 of them inactive; 2 changed");
    assert_eq!(kinds(&read(&tollgate, "moved")), [held("inactive", "flexportal")]);
}

#[test]
fn a_page_that_fails_lets_nobody_in_and_shuts_nobody_out() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let portal = Portal::start();
    put(&tollgate, "in", &json!({}));
    put(&tollgate, "out", &json!({}));
    act(&tollgate, "out", "deactivate", &json!({"source": "flexportal"}));
    portal.holds(&[&["out"]], &[&["in"], &["c3"]]);
    let later = "&startAfter=p1&status=inactive";
    for (status, headers, body, exit, says) in [
        (500, "", "", 3, "FlexPortal answered 500"),
        (200, "", "{\"customers\":", 3, "no list of customers"),
        (302, "location: http://127.0.0.1:1/\r\n", "", 1, "points elsewhere"),
        (403, "", r#"{"error":{"code":"NO_TENANT_ACCESS"}}"#, 1, "answered 403 NO_TENANT_ACCESS"),
        (200, "", &recorded(&["in"], "active", None), 1, "lists \"in\" as inactive, with"),
        (200, "", &recorded(&["c3"], "inactive", Some("p1")), 1, "has no end"),
    ] {
        portal.says(later, status, headers, body);
        let told = once(&tollgate, &portal, &[]);
        told.ended(exit, says);
        assert_eq!(told.changes, [] as [Value; 0]);
        assert_eq!(kinds(&read(&tollgate, "in")), [], "{status}");
        assert_eq!(kinds(&read(&tollgate, "out")), [held("inactive", "flexportal")], "{status}");
    }
    // One that fails for a moment is asked for again.
    portal.holds(&[&["out"]], &[&["in"], &["c3"]]);
    portal.fails_once(later, 502, "", "");
    once(&tollgate, &portal, &[]).ended(0, "3 changed, 0 refused");
}

#[test]
fn flexportal_is_asked_no_faster_than_it_allows() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let portal = Portal::start();
    portal.holds(&[&["c1"], &["c2"]], &[]);
    let page = recorded(&["c1"], "active", Some("p1"));
    for (status, headers, body) in [
        (429, "Retry-After: 1\r\n", ""),
        (503, "Retry-After: 1\r\n", ""),
        (429, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1\r\n", ""),
        (200, "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1\r\n", &*page),
        (200, "RateLimit-Remaining: 0\r\nRateLimit-Reset: 1\r\n", &*page),
    ] {
        let before = portal.asked().len();
        portal.fails_once("", status, headers, body);
        once(&tollgate, &portal, &[]).ended(0, "2 seen");
        let asked = &portal.asked()[before..];
        let waited = asked[1].at.saturating_duration_since(asked[0].at);
        assert!(waited >= Duration::from_secs(1), "{headers}: {waited:?}");
        let targets: Vec<_> = asked.iter().map(|it| it.target.clone()).collect();
        assert_eq!(targets.len(), if status == 200 { 3 } else { 4 }, "{targets:?}");
    }
}

#[test]
fn the_guard_pauses_a_flexportal_that_closes_everybody() {
    let tollgate = Tollgate::start(&["--store", "memory:", "--ingest-guard", "1%/10m"]);
    let portal = Portal::start();
    let ids: Vec<_> = (0..40).map(|number| format!("c{number:02}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    for id in &ids {
        put(&tollgate, id, &json!({}));
    }
    act(&tollgate, "c39", "deactivate", &json!({"source": "flexportal"}));
    portal.holds(&[&["c39"]], &[&ids[..39]]);
    let paused = once(&tollgate, &portal, &[]);
    paused.ended(3, "tollgate ingest resume flexportal");
    assert!(paused.messages.matches("waiting:").count() == 1, "{paused:#?}");
    // Who is let in is not a risk.
    assert_eq!(kinds(&read(&tollgate, "c39")), []);
    let shut = paused.changes.iter().filter(|change| change["status"] == "inactive").count();
    assert!((1..=20).contains(&shut), "{shut}");
    assert!(tollgate.cli(&["ingest", "resume", "flexportal"]).status.success());
    let resumed = once(&tollgate, &portal, &[]);
    resumed.ended(0, "0 waiting");
    assert_eq!(resumed.changes.len(), 39 - shut);
}

#[test]
fn one_customer_that_is_refused_does_not_keep_the_others() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let portal = Portal::start();
    put(&tollgate, "busy", &json!({"obligations": {"activeSubscriptions": 1}}));
    portal.holds(&[], &[&["a", "busy", "no/id", "z"]]);
    let told = once(&tollgate, &portal, &[]);
    told.ended(1, "4 seen, 3 of them inactive; 2 changed, 2 refused");
    assert!(told.messages.contains("busy: CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS"), "{told:#?}");
    assert!(told.messages.contains("refused: \"no/id\""), "{told:#?}");
    assert_eq!(told.changed(), [("a", "inactive"), ("z", "inactive")]);
    // It is not refused again and again: each time would be on record.
    let refused = || audit(&tollgate, "busy").len();
    let (before, going) = (refused(), Going::start(&tollgate, &portal));
    going.wait_for("Round 3: 4 seen, 3 of them inactive; 0 changed, 2 refused");
    assert_eq!(refused(), before + 1);
}

#[test]
fn an_erased_customer_is_not_made_anew() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let portal = Portal::start();
    put(&tollgate, "erased", &json!({"name": "Erika"}));
    let purged = tollgate.operate("POST", "/v1/customers/erased/purge", Some(&json!({})));
    assert_eq!(purged.status, 200, "{purged:?}");
    portal.holds(&[&["erased"]], &[]);
    once(&tollgate, &portal, &[]).ended(0, "1 seen, 0 of them inactive; 0 changed, 0 refused");
    // Its restrictions are all that is kept of it.
    portal.holds(&[], &[&["erased"]]);
    once(&tollgate, &portal, &[]).ended(0, "1 changed, 0 refused");
    let erased = read(&tollgate, "erased");
    assert_eq!(kinds(&erased), [held("inactive", "flexportal")]);
    assert!(erased["purgedAt"].is_string() && erased["name"].is_null(), "{erased}");
    once(&tollgate, &portal, &[]).ended(0, "0 changed, 0 refused");
}

#[test]
fn keys_that_do_not_do_and_a_tollgate_that_is_away_are_told() {
    let mut tollgate = Tollgate::start(&["--store", "memory:"]);
    let portal = Portal::start();
    portal.holds(&[], &[&["c1", "c2", "c3", "c4"]]);
    once_as("no-such-token", &tollgate, &portal, &[]).ended(1, "INVALID_TOKEN");
    assert!(portal.asked().is_empty());
    let unbound = key(&tollgate, &json!({"name": "unbound", "role": "support"}));
    let weak = once_as(&unbound, &tollgate, &portal, &[]);
    weak.ended(1, "--role support --source flexportal");
    assert_eq!(weak.messages.matches("refused: ").count(), 2, "{weak:#?}");
    portal.fails_once("", 401, "", r#"{"error":{"code":"INVALID_TOKEN"}}"#);
    once_as(ADMIN_TOKEN, &tollgate, &portal, &[]).ended(1, "401 INVALID_TOKEN");
    tollgate.kill9();
    once_as(ADMIN_TOKEN, &tollgate, &portal, &[]).ended(3, "cannot reach tollgate");
}

#[test]
fn a_wrong_use_is_told_before_anybody_is_asked() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let portal = Portal::start();
    let url = format!("http://{}", portal.address);
    for (url, more, says) in [
        ("http://flexportal.example", &[][..], "in the clear"),
        (&*url, &["--every", "0s"], "at least 1s"),
        (&*url, &["--key-file", "/nowhere"], "--key-file"),
        (&*url, &["--ca", "/nowhere"], "--ca"),
    ] {
        Told::of(&command(&tollgate, url, ADMIN_TOKEN, more).output().unwrap()).ended(2, says);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(["poll", "flexportal", "--url", &url, "--once"]);
    let told = command.env("TOLLGATE_FLEXPORTAL_KEY", PORTAL_KEY).output().unwrap();
    Told::of(&told).ended(2, "--tenant");
    assert!(portal.asked().is_empty());
}

#[test]
fn flexportal_is_trusted_by_a_private_authority_and_its_key_is_read_from_a_file() {
    // Tollgate answers as FlexPortal does, so that it can stand for it.
    let authority = Authority::new();
    let Issued { certificate, key } = authority.issue("127.0.0.1");
    let flags = ["--store", "memory:", "--operator-tls-cert", &certificate, "--operator-tls-key"];
    let theirs = Tollgate::start(&[&flags[..], &[&key]].concat());
    let url = format!("https://{}", theirs.operator);
    for (verb, id) in [("deactivate", "closed"), ("disable", "disabled")] {
        let mut act = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        act.args([verb, id, "--create", "--operator-url", &url, "--operator-ca"]);
        let done = act.arg(authority.certificate()).env("TOLLGATE_TOKEN", ADMIN_TOKEN).output();
        assert!(done.as_ref().unwrap().status.success(), "{done:?}");
    }
    let ours = Tollgate::start(&["--store", "memory:"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key").display().to_string();
    fs::write(&file, format!("{ADMIN_TOKEN}\n")).unwrap();
    let ca = authority.certificate();
    let flags = ["--once", "--output", "json", "--key-file", &file];
    let trusting = [&flags[..], &["--ca", &ca]].concat();
    let told = Told::of(&command(&ours, &url, ADMIN_TOKEN, &trusting).output().unwrap());
    told.ended(0, "2 seen, 1 of them inactive; 2 changed");
    assert_eq!(told.changed(), [("closed", "inactive"), ("disabled", "active")]);
    let stranger = Told::of(&command(&ours, &url, ADMIN_TOKEN, &flags).output().unwrap());
    stranger.ended(3, "FlexPortal cannot be reached");
}

const PORTAL_KEY: &str = "fp_live_never_to_be_shown";
const PATIENCE: Duration = Duration::from_secs(30);
