//! Changes of status, told as they happen.

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use raw::redis;
use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, assert_refused, key, put, role},
    tollgate::{ADMIN_TOKEN, Tollgate},
};

/// One who watches over a socket of its own.
struct Watcher(BufReader<TcpStream>);

#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Watcher {
    fn begin(tollgate: &Tollgate, token: &str, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(tollgate.operator).unwrap_or_else(|it| panic!("{it}"));
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).unwrap_or_else(|it| panic!("{it}"));
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let request =
            format!("GET /v1/changes HTTP/1.1\r\nhost: x\r\nx-api-key: {token}\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).unwrap_or_else(|it| panic!("{it}"));
        let mut watcher = Self(BufReader::new(stream));
        let status = watcher.line().unwrap_or_default();
        assert_eq!(status, "HTTP/1.1 200 OK");
        while watcher.line().is_some_and(|line| !line.is_empty()) {}
        watcher
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).unwrap_or_else(|it| panic!("{it}"));
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event; nothing when the connection ends.
    fn next(&mut self) -> Option<Event> {
        let mut event = Event { name: String::new(), id: String::new(), data: Value::Null };
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("id", id)) => id.clone_into(&mut event.id),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap_or_default(),
                // The length of a chunk, or the end of one.
                _ if !event.name.is_empty() && line.is_empty() => return Some(event),
                _ => {}
            }
        }
    }

    fn expect(&mut self, name: &str) -> Event {
        let event = self.next().unwrap_or_else(|| panic!("the connection ended"));
        assert_eq!(event.name, name, "{event:?}");
        event
    }
}

#[test]
fn whoever_watches_is_told_every_change_of_status_and_nothing_else() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    put(&tollgate, "c1", &json!({}));
    let mut watcher = Watcher::begin(&tollgate, &role(&tollgate, "viewer"), None);
    watcher.expect("ready");
    put(&tollgate, "c1", &json!({"plan": "pro"}));
    role(&tollgate, "app");
    let body = json!({"reason": "fraud", "notes": "private", "until": "2090-01-01T00:00:00Z"});
    let acted = act(&tollgate, "c1", "disable", &body);
    let told = watcher.expect("status");
    assert_eq!(told.id, told.data["revision"]);
    assert_eq!(told.data["revision"], acted["revision"]);
    for (field, value) in [
        ("customerId", "c1"),
        ("tenantId", "default"),
        ("status", "disabled"),
        ("access", "none"),
        ("verb", "disable"),
        ("source", "operator"),
        ("kind", "disabled"),
        ("reason", "fraud"),
    ] {
        assert_eq!(told.data[field], value, "{field}");
    }
    assert_eq!(told.data["restrictions"][0]["until"], body["until"]);
    assert!(!told.data.to_string().contains("private") && told.data["at"].is_string());
    act(&tollgate, "c1", "enable", &json!({}));
    // What changes nothing is no change.
    act(&tollgate, "c1", "enable", &json!({}));
    act(&tollgate, "c1", "freeze", &json!({}));
    assert_eq!(watcher.expect("status").data["status"], "active");
    assert_eq!(watcher.expect("status").data["status"], "frozen");
}

#[test]
fn whoever_comes_back_is_told_what_it_missed_or_that_it_cannot_be_told() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let store = server.url();
    let tollgate = Tollgate::start(&["--store", &store, "--partitions", "4"]);
    let mut watcher = Watcher::begin(&tollgate, ADMIN_TOKEN, None);
    let ready = watcher.expect("ready");
    assert_eq!(ready.id.split(',').count(), 4);
    let freeze = |id: &str| act(&tollgate, id, "freeze", &json!({"create": true}));
    (0..8).for_each(|number| drop(freeze(&format!("c{number}"))));
    let seen: Vec<_> = (0..3).map(|_| watcher.expect("status")).collect();
    drop(watcher);

    let told = |event: &Event| event.data["customerId"].as_str().map(str::to_owned);
    let mut watcher = Watcher::begin(&tollgate, ADMIN_TOKEN, Some(&seen[2].id));
    watcher.expect("ready");
    let missed: Vec<_> = (3..8).map(|_| told(&watcher.expect("status"))).collect();
    let mut all: Vec<_> = seen.iter().map(told).chain(missed).collect();
    all.sort();
    assert_eq!(all, (0..8).map(|number| Some(format!("c{number}"))).collect::<Vec<_>>());

    // Another process was not there, and another history is another.
    let other = Tollgate::start(&["--store", &store]);
    let mut elsewhere = Watcher::begin(&other, ADMIN_TOKEN, Some(&ready.id));
    let reset = elsewhere.expect("reset");
    assert_ne!(reset.id, ready.id);
    redis(&store, &["FLUSHALL"]);
    tollgate.wait_until("told of the loss", || !tollgate.status()["store"]["lost"].is_null());
    assert!(tollgate.cli(&["store", "refill-redis", "--yes"]).status.success());
    watcher.expect("reset");
    let wrong = tollgate.operate_as(
        &[("x-api-key", ADMIN_TOKEN), ("last-event-id", "yesterday")],
        "GET",
        "/v1/changes",
        None,
    );
    assert_refused(&wrong, 400, "VALIDATION_ERROR");
}

#[test]
fn a_key_of_one_tenant_is_told_of_that_tenant_and_less_than_a_viewer_of_nothing() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let of_acme = json!({"name": "acme", "role": "viewer", "tenant": "acme"});
    let mut watcher = Watcher::begin(&tollgate, &key(&tollgate, &of_acme), None);
    watcher.expect("ready");
    let freeze = |tenant: &str| {
        let headers = [("x-api-key", ADMIN_TOKEN), ("tenant-id", tenant)];
        let body = json!({"create": true});
        let path = "/v1/customers/c1/freeze";
        assert_eq!(tollgate.operate_as(&headers, "POST", path, Some(&body)).status, 200);
    };
    ["default", "other", "acme"].into_iter().for_each(freeze);
    assert_eq!(watcher.expect("status").data["tenantId"], "acme");
    let app = role(&tollgate, "app");
    let answer = tollgate.operate_as(&[("x-api-key", &app)], "GET", "/v1/changes", None);
    assert_refused(&answer, 403, "INSUFFICIENT_ROLE");
}

#[test]
fn an_instance_that_stops_ends_what_would_go_on_for_ever() {
    let mut tollgate = Tollgate::start(&["--store", "memory:", "--grace", "10s"]);
    let mut watcher = Watcher::begin(&tollgate, ADMIN_TOKEN, None);
    watcher.expect("ready");
    assert!(tollgate.terminate().success());
    assert!(watcher.next().is_none());
}

#[test]
fn the_command_prints_a_line_for_each_change() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    put(&tollgate, "c1", &json!({}));
    let mut watching = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["watch", "--output", "json", "--operator-url"])
        .arg(format!("http://{}", tollgate.operator))
        .env("TOLLGATE_TOKEN", ADMIN_TOKEN)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}"));
    let out = watching.stdout.take().unwrap_or_else(|| panic!("no output"));
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    let mut verbs = ["freeze", "unfreeze"].into_iter().cycle();
    // Until the first one is seen, nobody knows that it watches.
    let first = (0..100).find_map(|_| {
        act(&tollgate, "c1", verbs.next().unwrap_or_default(), &json!({}));
        lines.recv_timeout(Duration::from_millis(200)).ok()
    });
    let first: Value = serde_json::from_str(&first.unwrap_or_default()).unwrap_or_default();
    assert_eq!((&first["customerId"], &first["tenantId"]), (&json!("c1"), &json!("default")));
    watching.kill().unwrap_or_else(|error| panic!("{error}"));
    watching.wait().unwrap_or_else(|error| panic!("{error}"));
}
