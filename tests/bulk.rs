//! Many customers go in and out as lines of JSON.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]
#![expect(clippy::print_stdout, reason = "what was measured is printed")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, assert_refused, audit, key, put, read, role},
    tollgate::{ADMIN_TOKEN, Answer, Tollgate},
};

/// A directory with a file of lines in it.
struct Input {
    directory: TempDir,
}

impl Input {
    fn of(lines: &[Value]) -> Self {
        let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
        Self::text(&(lines.join("\n") + "\n"))
    }

    fn text(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("customers.ndjson"), text).unwrap();
        Self { directory }
    }

    /// So many customers, of whom three of ten are restricted.
    fn crowd(count: u32) -> Self {
        let line = |number: u32| {
            let kind = ["disabled", "frozen", "inactive"].get(number as usize % 10);
            let restrictions = kind.map(|kind| {
                json!({"kind": kind, "source": "billing", "reason": "non_payment",
                       "since": "2026-01-01T00:00:00Z"})
            });
            json!({
                "customerId": format!("c{number:06}"),
                "restrictions": restrictions.into_iter().collect::<Vec<_>>(),
                "plan": "pro", "features": ["sso"], "limits": {"seats": {"max": number}},
                "name": format!("Customer {number}"),
            })
        };
        let input = Self::text("");
        let mut file = BufWriter::new(fs::File::create(input.path()).unwrap());
        for number in 0..count {
            writeln!(file, "{}", line(number)).unwrap();
        }
        file.flush().unwrap();
        input
    }

    fn path(&self) -> String {
        self.file("customers.ndjson").to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn state(&self) -> PathBuf {
        self.file("customers.ndjson.import-state")
    }
}

fn in_memory() -> Tollgate {
    Tollgate::start(&["--store", "memory:"])
}

/// Imports a file, and gives its summary in JSON with its exit code and what it told beside that.
fn import(tollgate: &Tollgate, input: &Input, more: &[&str]) -> (Value, Option<i32>, String) {
    let path = input.path();
    let arguments = [&["import", &path, "--output", "json"][..], more].concat();
    summary(&tollgate.cli(&arguments))
}

fn summary(output: &Output) -> (Value, Option<i32>, String) {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (serde_json::from_slice(&output.stdout).unwrap_or_default(), output.status.code(), told)
}

fn counts(summary: &Value) -> [u64; 4] {
    ["created", "updated", "unchanged", "refused"].map(|name| summary[name].as_u64().unwrap())
}

fn exported(tollgate: &Tollgate, more: &[&str]) -> Vec<Value> {
    let output = tollgate.cli(&[&["export"][..], more].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What an export says of customers that is not about this store alone.
fn portable(lines: Vec<Value>) -> Vec<Value> {
    let strip = |mut line: Value| {
        for of_store in ["revision", "createdAt", "updatedAt"] {
            assert!(line.as_object_mut().unwrap().remove(of_store).is_some());
        }
        line
    };
    lines.into_iter().map(strip).collect()
}

fn send(tollgate: &Tollgate, token: &str, query: &str, body: &str) -> Answer {
    let headers = [("x-api-key", token), ("content-type", "application/x-ndjson")];
    support::tollgate::http(
        tollgate.operator,
        "POST",
        &format!("/v1/import{query}"),
        &headers,
        Some(body),
    )
}

/// The audit entries of imports, the newest first.
fn batches(tollgate: &Tollgate) -> Vec<Value> {
    let answer = tollgate.operate("GET", "/v1/audit?action=import&limit=100", None);
    answer.json()["entries"].as_array().unwrap().clone()
}

#[test]
fn what_was_exported_is_imported_as_it_was() {
    let from = in_memory();
    let whole = json!({
        "name": "Ann", "metadata": {"crm": "42"}, "plan": "pro", "features": ["sso", "export"],
        "limits": {"seats": {"max": 25, "used": 3, "usedAt": "2026-01-01T00:00:00Z"},
                   "calls": {"max": "unlimited"}},
        "obligations": {"activeSubscriptions": 2}, "aliases": {"stripe": "cus_1"},
    });
    put(&from, "whole", &whole);
    put(&from, "plain", &json!({}));
    put(&from, "closed", &json!({"status": "inactive", "reason": "customer_request"}));
    let notes =
        json!({"reason": "fraud", "notes": "called twice", "until": "2090-01-01T00:00:00Z"});
    act(&from, "whole", "disable", &notes);
    act(&from, "whole", "freeze", &json!({"source": "billabear", "reason": "non_payment"}));
    act(&from, "whole", "freeze", &json!({"informedAt": "2026-01-01T00:00:00Z"}));
    act(&from, "plain", "freeze", &json!({"since": "2089-01-01T00:00:00Z"}));
    let headers = [("tenant-id", "acme"), ("x-api-key", ADMIN_TOKEN)];
    from.operate_as(&headers, "PUT", "/v1/customers/plain", Some(&json!({"plan": "free"})));

    let lines = exported(&from, &[]);
    let ids = lines.iter().map(|it| format!("{}:{}", it["tenantId"], it["customerId"]));
    let expected = ["acme:plain", "default:closed", "default:plain", "default:whole"];
    assert_eq!(ids.map(|id| id.replace('"', "")).collect::<Vec<_>>(), expected);
    assert_eq!(lines[3]["restrictions"].as_array().unwrap().len(), 3, "{}", lines[3]);

    let to = in_memory();
    let input = Input::of(&lines);
    let (told, code, _) = import(&to, &input, &[]);
    assert_eq!((counts(&told), code), ([4, 0, 0, 0], Some(0)));
    assert_eq!(portable(exported(&to, &[])), portable(lines));
    // Also as a check sees it, and by the alias.
    assert_eq!(to.reason_to_write("whole"), "customer_disabled");
    let by_alias = json!({"source": "stripe", "status": "active", "customerId": "cus_1"});
    let (told, _, _) = import(&to, &Input::of(&[by_alias]), &[]);
    assert_eq!(counts(&told), [0, 0, 1, 0]);

    let (told, _, _) = import(&to, &input, &[]);
    assert_eq!(counts(&told), [0, 0, 4, 0], "the same again changes nothing");
    assert!(!input.state().exists());
}

#[test]
fn an_export_is_of_the_customers_that_are_asked_for_and_whole_or_not_there() {
    let tollgate = in_memory();
    import(&tollgate, &Input::crowd(50), &[]);
    let tenant = [("tenant-id", "acme"), ("x-api-key", ADMIN_TOKEN)];
    tollgate.operate_as(&tenant, "PUT", "/v1/customers/other", Some(&json!({})));

    for (status, count) in [("active", 36), ("frozen", 5), ("inactive", 5), ("disabled", 5)] {
        assert_eq!(exported(&tollgate, &["--status", status]).len(), count, "{status}");
    }
    assert_eq!(exported(&tollgate, &["--tenant", "acme"]).len(), 1);
    assert_eq!(exported(&tollgate, &[]).len(), 51);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("all.ndjson");
    let output = tollgate.cli(&["export", "--out", path.to_str().unwrap()]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 51);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

    // The last line tells an end from a cut.
    let answer = tollgate.operate("GET", "/v1/export", None);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.body.lines().last().unwrap(), r#"{"customers":51,"end":true}"#);
    let rest = tollgate.operate("GET", "/v1/export?startAfter=default:c000047", None);
    assert_eq!(rest.body.lines().count(), 3);
    for role_name in ["viewer", "support"] {
        let token = role(&tollgate, role_name);
        let answer = tollgate.operate_as(&[("x-api-key", &token)], "GET", "/v1/export", None);
        assert_refused(&answer, 403, "INSUFFICIENT_ROLE");
    }
}

#[test]
fn a_refused_line_is_refused_alone_and_by_name() {
    let tollgate = in_memory();
    put(&tollgate, "owner", &json!({"aliases": {"stripe": "cus_1"}}));
    let obliged = json!({
        "customerId": "obliged", "status": "inactive", "plan": "pro",
        "obligations": {"pendingOrders": 1},
    });
    let lines = [
        json!({"customerId": "first", "plan": "pro"}).to_string(),
        "{\"customerId\":".to_owned(),
        String::new(),
        json!({"customerId": "typo", "fetures": ["sso"]}).to_string(),
        json!({"customerId": "taken", "aliases": {"stripe": "cus_1"}}).to_string(),
        obliged.to_string(),
        json!({"customerId": "two words", "limits": {"seats": {"max": -1}}}).to_string(),
        format!("{{\"customerId\":\"long\",\"name\":\"{}\"}}", "x".repeat(70_000)),
        "\r".to_owned(),
        json!({"customerId": "last", "status": "disabled", "reason": "fraud"}).to_string() + "\r",
    ];
    let input = Input::text(&("\u{feff}".to_owned() + &lines.join("\n")));
    let (told, code, messages) = import(&tollgate, &input, &[]);
    assert_eq!((counts(&told), code), ([2, 0, 0, 6], Some(1)), "{messages}");
    for message in [
        "line 2: VALIDATION_ERROR: line: not JSON",
        "line 4: VALIDATION_ERROR: fetures: is not a field of this request",
        "line 5: CONFLICT: aliases.stripe: default:owner has the alias cus_1 of stripe",
        "line 6: CUSTOMER_HAS_PENDING_ORDERS: the customer has pending orders",
        "line 7: VALIDATION_ERROR: customerId: ",
        "line 7: VALIDATION_ERROR: limits: ",
        "line 8: PAYLOAD_TOO_LARGE: a line may have at most 65536 bytes",
        "2 created, 0 updated, 0 unchanged, 6 refused",
    ] {
        assert!(messages.contains(message), "no {message:?} in {messages}");
    }
    // Nothing of a refused line is done.
    let ids: Vec<_> =
        exported(&tollgate, &[]).into_iter().map(|it| it["customerId"].clone()).collect();
    assert_eq!(ids, ["first", "last", "owner"]);
    assert_eq!(tollgate.reason_to_write("last"), "customer_disabled");

    let errors = input.file("errors.ndjson");
    let (_, _, messages) = import(&tollgate, &input, &["--errors", errors.to_str().unwrap()]);
    assert!(!messages.contains("VALIDATION_ERROR"), "{messages}");
    let errors = fs::read_to_string(&errors).unwrap();
    let errors: Vec<Value> = errors.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(errors.len(), 7, "{errors:?}");
    assert_eq!(errors[1]["line"], 4);
    assert_eq!(errors[1]["path"], "fetures");
}

#[test]
fn a_batch_is_one_entry_of_the_trail_and_each_customer_tells_its_own() {
    let tollgate = in_memory();
    act(&tollgate, "b", "disable", &json!({"create": true, "source": "stripe"}));
    let before = tollgate.list("/v1/audit", "entries", "before").len();
    let lines = [
        json!({"customerId": "a", "plan": "pro"}),
        json!({"customerId": "b", "source": "stripe", "status": "frozen", "notes": "marker-of-note"}),
        json!({"customerId": "c", "status": "odd"}),
        json!({"customerId": "a", "plan": "free"}),
    ];
    import(&tollgate, &Input::of(&lines), &[]);
    assert_eq!(tollgate.list("/v1/audit", "entries", "before").len(), before + 1);
    let [entry] = batches(&tollgate).try_into().unwrap();
    for (field, value) in [
        ("subject", json!("import:customers.ndjson")),
        ("outcome", json!("changed")),
        ("dialect", json!("import")),
    ] {
        assert_eq!(entry[field], value, "{entry}");
    }
    assert_eq!(entry["actor"]["address"], "127.0.0.1", "{entry}");
    let batch = &entry["batch"];
    assert_eq!(counts(batch), [1, 2, 0, 1], "{batch}");
    assert_eq!((&batch["firstLine"], &batch["lastLine"]), (&json!(1), &json!(4)));
    assert_eq!(batch["refusals"], json!({"VALIDATION_ERROR": 1}));
    assert_eq!(batch["restricted"][0]["customer"], "default:b");
    assert_eq!(batch["restricted"][0]["before"][0]["kind"], "disabled");
    assert!(!entry.to_string().contains("marker-of-note"), "{entry}");

    // What was done to each is in its own trail, with who did it and before and after.
    let own = audit(&tollgate, "b");
    assert_eq!(own.len(), 2, "{own:?}");
    assert_eq!((&own[0]["dialect"], &own[0]["requestId"]), (&json!("import"), &entry["requestId"]));
    assert_eq!(
        (&own[0]["before"][0]["kind"], &own[0]["after"][0]["kind"]),
        (&json!("disabled"), &json!("frozen"))
    );
    assert_eq!(audit(&tollgate, "a").len(), 2);
    // And later acts go on behind it.
    act(&tollgate, "b", "unfreeze", &json!({"source": "stripe"}));
    let actions: Vec<_> =
        audit(&tollgate, "b").into_iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["unfreeze", "put", "disable"]);

    let verified = tollgate.cli(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let undone = tollgate.cli(&["undo", "--source", "stripe", "--since", "1h", "--yes"]);
    assert!(undone.status.success(), "{undone:?}");
}

#[test]
fn what_an_import_did_to_restrictions_is_undone_by_source() {
    let tollgate = in_memory();
    put(&tollgate, "free", &json!({}));
    act(&tollgate, "held", "disable", &json!({"create": true, "reason": "fraud"}));
    let since = read(&tollgate, "held")["updatedAt"].as_str().unwrap().to_owned();
    thread::sleep(Duration::from_millis(2));
    let line = |id: &str| json!({"customerId": id, "status": "frozen"});
    let input = Input::of(&[line("free"), line("held"), line("new")]);
    import(&tollgate, &input, &["--source", "stripe"]);
    assert_eq!(tollgate.reason_to_write("free"), "customer_frozen");

    let since = ["undo", "--source", "stripe", "--since", &since, "--yes"];
    let undone = tollgate.cli(&since);
    assert!(undone.status.success(), "{undone:?}");
    assert!(String::from_utf8_lossy(&undone.stderr).contains("3 customers were given back"));
    assert_eq!(tollgate.reason_to_write("free"), "active");
    assert_eq!(tollgate.reason_to_write("held"), "customer_disabled");
}

#[test]
fn an_import_by_a_person_restricts_as_many_as_it_says_and_one_by_a_billing_system_is_guarded() {
    let tollgate = in_memory();
    let (told, code, messages) = import(&tollgate, &Input::crowd(200), &[]);
    assert_eq!((counts(&told), code), ([200, 0, 0, 0], Some(0)), "{messages}");
    // It is not held against the source either.
    let once = json!({"create": true, "source": "billing"});
    act(&tollgate, "one-more", "disable", &once);

    let token = key(&tollgate, &json!({"name": "stripe", "role": "manager", "source": "stripe"}));
    let lines = |from: u32| {
        let line =
            |it: u32| json!({"customerId": format!("s{it}"), "status": "disabled"}).to_string();
        (from..from + 15).map(line).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(send(&tollgate, &token, "", &lines(0)).status, 200);
    assert_refused(&send(&tollgate, &token, "", &lines(15)), 503, "SOURCE_PAUSED");
}

#[test]
fn a_source_that_a_line_does_not_name_keeps_what_it_holds() {
    let tollgate = in_memory();
    act(&tollgate, "c1", "disable", &json!({"create": true, "reason": "compliance"}));
    let lines = [
        json!({"customerId": "c1", "status": "active", "source": "stripe"}),
        json!({"customerId": "c1", "status": "active", "restrictions": [], "scheduled": []}),
        json!({"customerId": "c1", "status": "frozen",
               "restrictions": [{"kind": "frozen", "source": "stripe"}]}),
    ];
    let (told, _, _) = import(&tollgate, &Input::of(&lines), &[]);
    assert_eq!(counts(&told), [0, 1, 2, 0]);
    assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
    // One that is named holds what is said, and a manager may say so.
    let line = json!({"customerId": "c1", "status": "active"});
    import(&tollgate, &Input::of(&[line]), &["--source", "operator"]);
    assert_eq!(tollgate.reason_to_write("c1"), "customer_frozen");
}

#[test]
fn aliases_go_from_one_customer_to_another_within_a_file() {
    let tollgate = in_memory();
    let swap = |one: &str, other: &str| {
        Input::of(&[
            json!({"customerId": "a", "aliases": {"stripe": one}}),
            json!({"customerId": "b", "aliases": {"stripe": other}}),
        ])
    };
    let (told, _, messages) = import(&tollgate, &swap("cus_1", "cus_2"), &[]);
    assert_eq!(counts(&told), [2, 0, 0, 0], "{messages}");
    // Whoever takes it first comes later in the file.
    let (told, _, messages) = import(&tollgate, &swap("cus_2", "cus_3"), &[]);
    assert_eq!(counts(&told), [0, 2, 0, 0], "{messages}");
}

#[test]
fn who_gets_an_alias_by_one_line_is_meant_by_it_in_the_next() {
    let tollgate = in_memory();
    let lines = [
        json!({"customerId": "c1", "aliases": {"stripe": "cus_1"}}),
        json!({"customerId": "cus_1", "source": "stripe", "status": "frozen"}),
    ];
    let (told, _, messages) = import(&tollgate, &Input::of(&lines), &[]);
    assert_eq!(counts(&told), [1, 1, 0, 0], "{messages}");
    assert_eq!(tollgate.reason_to_write("c1"), "customer_frozen");
}

#[test]
fn who_may_import_and_what_is_no_import() {
    let tollgate = in_memory();
    let line = r#"{"customerId":"c1"}"#;
    for weak in ["viewer", "support"] {
        let token = role(&tollgate, weak);
        assert_refused(&send(&tollgate, &token, "", line), 403, "INSUFFICIENT_ROLE");
    }
    assert_eq!(send(&tollgate, &role(&tollgate, "manager"), "", line).status, 200);
    for query in ["?line=0", "?source=Not%20one", "?name=", "?store=another", "?odd=1"] {
        assert_refused(&send(&tollgate, ADMIN_TOKEN, query, line), 400, "VALIDATION_ERROR");
    }
    assert_refused(&send(&tollgate, ADMIN_TOKEN, "", "\n"), 400, "VALIDATION_ERROR");
    let many = "{}\n".repeat(1001);
    assert_refused(&send(&tollgate, ADMIN_TOKEN, "", &many), 400, "VALIDATION_ERROR");
    let much = "x".repeat(1024 * 1024 + 1);
    assert_refused(&send(&tollgate, ADMIN_TOKEN, "", &much), 413, "PAYLOAD_TOO_LARGE");
    let body = json!({"customerId": "c1"});
    let as_json = tollgate.operate("POST", "/v1/import", Some(&body));
    assert_refused(&as_json, 415, "UNSUPPORTED_MEDIA_TYPE");

    let token = key(&tollgate, &json!({"name": "t", "role": "manager", "tenant": "acme"}));
    let lines = "{\"customerId\":\"own\"}\n{\"customerId\":\"x\",\"tenantId\":\"default\"}";
    let answer = send(&tollgate, &token, "", lines).json();
    assert_eq!(answer["lines"][0]["outcome"], "created", "{answer}");
    assert_eq!(answer["lines"][1]["error"]["code"], "NO_TENANT_ACCESS", "{answer}");
    // And sees its own batches alone.
    let seen =
        tollgate.operate_as(&[("x-api-key", &token)], "GET", "/v1/audit?action=import", None);
    assert_eq!(seen.json()["entries"].as_array().unwrap().len(), 1, "{seen:?}");

    let nowhere = ["import", "/nowhere/at-all", "--rate", "10"];
    assert_eq!(tollgate.cli(&nowhere).status.code(), Some(2));
    let input = Input::crowd(1);
    let mut unreachable = tollgate.command(&["import", &input.path()]);
    let unreachable = unreachable.env("TOLLGATE_OPERATOR_URL", "http://127.0.0.1:1").output();
    assert_eq!(unreachable.unwrap().status.code(), Some(3));
}

#[test]
fn what_is_kept_of_customers_for_operators_alone_is_never_logged() {
    let tollgate = Tollgate::start(&["--store", "memory:", "--log-level", "trace"]);
    let marker = "planted-marker";
    let lines = [
        json!({"customerId": "a", "name": marker, "metadata": {"k": marker}, "status": "frozen", "notes": marker}),
        json!({"customerId": "b", "limits": marker, "notes": marker}),
        json!({"customerId": "c", "name": {"deep": marker}}),
    ];
    let (told, _, _) = import(&tollgate, &Input::of(&lines), &[]);
    assert_eq!(counts(&told), [1, 0, 0, 2]);
    assert_eq!(exported(&tollgate, &[])[0]["name"], marker);
    assert!(!tollgate.log().iter().any(|line| line.contains(marker)));
    assert!(!tollgate.admin("/metrics").body.contains(marker));
}

/// An import that runs on, and what it told so far.
struct Running {
    child: Child,
    told: thread::JoinHandle<String>,
}

impl Running {
    fn begin(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let told = thread::spawn(move || {
            let mut told = String::new();
            stderr.read_to_string(&mut told).unwrap();
            told
        });
        Self { child, told }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn ended(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), self.told.join().unwrap())
    }
}

/// How many lines the state file says are done.
fn lines_done(state: &Path) -> u64 {
    let text = fs::read_to_string(state).unwrap_or_default();
    let state: Value = serde_json::from_str(&text).unwrap_or_default();
    state["lines"].as_u64().unwrap_or_default()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_mins(1), "never {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Every customer of the crowd is there, once, as its line says.
fn is_all_there(tollgate: &Tollgate, count: u32) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("all");
    let output = tollgate.cli(&["export", "--out", path.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let mut found = 0;
    for line in BufReader::new(fs::File::open(&path).unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(line["customerId"], format!("c{found:06}"));
        let status = ["disabled", "frozen", "inactive"].get(found % 10).unwrap_or(&"active");
        assert_eq!(line["status"], *status, "{line}");
        assert_eq!(line["limits"]["seats"]["max"], found, "{line}");
        found += 1;
    }
    assert_eq!(found, count as usize);
}

#[test]
fn an_import_that_is_interrupted_goes_on_where_it_was_left() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &redis.url()]);
    let input = Input::crowd(2000);
    let path = input.path();
    let running = Running::begin(&mut tollgate.command(&["import", &path, "--rate", "400"]));
    wait_until("half way", || lines_done(&input.state()) >= 400);
    running.signal(Signal::INT);
    let (code, told) = running.ended();
    let done = lines_done(&input.state());
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&format!("It came to line {done};")), "{told}");
    assert!((400..2000).contains(&done), "{done}");
    assert_eq!(exported(&tollgate, &[]).len() as u64, done);

    // Another source is another import.
    let (_, code, told) = import(&tollgate, &input, &["--source", "stripe"]);
    assert_eq!(code, Some(2), "{told}");
    let (told, code, messages) = import(&tollgate, &input, &[]);
    assert_eq!((counts(&told), code), ([2000, 0, 0, 0], Some(0)), "{messages}");
    assert!(messages.contains(&format!("Going on behind line {done},")), "{messages}");
    assert!(!input.state().exists());
    is_all_there(&tollgate, 2000);
}

#[test]
fn a_file_that_was_changed_half_way_is_not_gone_on_with() {
    let tollgate = in_memory();
    let input = Input::crowd(1000);
    let path = input.path();
    let running = Running::begin(&mut tollgate.command(&["import", &path, "--rate", "300"]));
    wait_until("half way", || lines_done(&input.state()) >= 150);
    running.signal(Signal::TERM);
    running.ended();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("pro", "max", 1)).unwrap();
    let (_, code, told) = import(&tollgate, &input, &[]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("was changed since") && told.contains("--restart"), "{told}");
    let (told, code, _) = import(&tollgate, &input, &["--restart"]);
    assert_eq!(code, Some(0));
    assert_eq!(counts(&told).iter().sum::<u64>(), 1000);
    is_all_there(&tollgate, 1000);
}

#[test]
fn standard_input_is_read_as_it_comes() {
    let tollgate = in_memory();
    let mut command = tollgate.command(&["import", "-", "--output", "json"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&fs::read(Input::crowd(700).path()).unwrap()).unwrap();
    drop(stdin);
    let (told, code, _) = summary(&child.wait_with_output().unwrap());
    assert_eq!((counts(&told), code), ([700, 0, 0, 0], Some(0)));
    is_all_there(&tollgate, 700);
}

#[test]
fn redis_that_goes_away_half_way_is_waited_for() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &redis.url()]);
    let input = Input::crowd(1500);
    let path = input.path();
    let running = Running::begin(&mut tollgate.command(&["import", &path, "--rate", "500"]));
    wait_until("half way", || lines_done(&input.state()) >= 250);
    redis.pause();
    thread::sleep(Duration::from_secs(2));
    redis.resume();
    let (code, told) = running.ended();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("trying again") && told.contains("It answers again."), "{told}");
    is_all_there(&tollgate, 1500);
}

#[test]
fn a_server_that_is_killed_half_way_costs_nothing() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &redis.url()];
    let mut first = Tollgate::start(&flags);
    let input = Input::crowd(2000);
    let path = input.path();
    let arguments = ["import", &path, "--rate", "500", "--wait", "1s"];
    let running = Running::begin(&mut first.command(&arguments));
    wait_until("half way", || lines_done(&input.state()) >= 500);
    first.kill9();
    let (code, told) = running.ended();
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("the same command goes on there"), "{told}");
    let second = Tollgate::start(&flags);
    let (told, code, messages) = import(&second, &input, &[]);
    // Those of the batch in flight may have been made before it was killed.
    let [created, updated, unchanged, refused] = counts(&told);
    assert_eq!((created + unchanged, updated, refused, code), (2000, 0, 0, Some(0)), "{messages}");
    is_all_there(&second, 2000);
    // Whatever was done is on record as a batch.
    let entries = batches(&second);
    let first_lines: Vec<_> = entries.iter().map(|it| it["batch"]["firstLine"].as_u64()).collect();
    assert!(first_lines.iter().all(Option::is_some) && first_lines.contains(&Some(1)));
    let verified = second.cli(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn two_imports_at_once_leave_each_customer_as_one_of_them_says() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &redis.url()]);
    let lines = |plan: &str| {
        let line = |it: u32| json!({"customerId": format!("c{it:06}"), "plan": plan, "name": plan});
        Input::of(&(0..1200).map(line).collect::<Vec<_>>())
    };
    let inputs = [lines("one"), lines("two")];
    let paths = inputs.each_ref().map(Input::path);
    let running =
        paths.each_ref().map(|path| Running::begin(&mut tollgate.command(&["import", path])));
    for running in running {
        let (code, told) = running.ended();
        assert_eq!(code, Some(0), "{told}");
    }
    let lines = exported(&tollgate, &[]);
    assert_eq!(lines.len(), 1200);
    assert!(lines.iter().all(|line| line["plan"] == line["name"]));
}

#[test]
fn instances_follow_an_import_change_by_change() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &redis.url(), "--max-staleness", "2s"];
    let (writer, other) = (Tollgate::start(&flags), Tollgate::start(&flags));
    let before = resnapshots(&other);
    let input = Input::crowd(3000);
    let path = input.path();
    let running = Running::begin(&mut writer.command(&["import", &path]));
    let mut stalest = 0.0_f64;
    while lines_done(&input.state()) < 3000 && input.state().exists() || stalest == 0.0 {
        stalest = stalest.max(other.sum_of("tollgate_feed_staleness_seconds", ""));
        thread::sleep(Duration::from_millis(10));
    }
    let (code, told) = running.ended();
    assert_eq!(code, Some(0), "{told}");
    assert!(stalest < 2.0, "{stalest}");
    other.wait_until("following", || other.status()["cache"]["restricted"] == 900);
    assert_eq!(resnapshots(&other), before, "it read everything anew");
    assert_eq!(other.reason_to_write("c002990"), "customer_disabled");
}

#[test]
fn a_store_that_was_filled_again_lacks_records_until_an_import_of_all_of_them() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &redis.url()];
    let (first, second) = (Tollgate::start(&flags), Tollgate::start(&flags));
    let input = Input::crowd(50);
    import(&first, &input, &[]);
    let heard = |tollgate: &Tollgate| tollgate.status()["cache"]["restricted"] == 15;
    second.wait_until("told of it", || heard(&second));
    let client = redis::Client::open(redis.tcp_url()).unwrap();
    redis::cmd("FLUSHALL").exec(&mut client.get_connection().unwrap()).unwrap();
    for tollgate in [&first, &second] {
        tollgate.wait_until("aware of it", || !tollgate.status()["store"]["lost"].is_null());
    }
    let refilled = first.cli(&["store", "refill-redis", "--yes"]);
    assert!(refilled.status.success(), "{refilled:?}");
    for tollgate in [&first, &second] {
        tollgate.wait_until("partial", || tollgate.reason_to_write("nobody") == "not_restricted");
    }

    // What is refused is lacking.
    let broken = Input::text(&(fs::read_to_string(input.path()).unwrap() + "{}\n"));
    let (told, code, messages) = import(&first, &broken, &["--whole"]);
    assert_eq!((counts(&told)[3], code), (1, Some(1)), "{messages}");
    assert!(messages.contains("not taken for whole"), "{messages}");
    assert_eq!(first.reason_to_write("nobody"), "not_restricted");
    // A file of all customers is not told from one of a few, so somebody has to say it.
    assert_eq!(import(&first, &input, &[]).1, Some(0));
    assert_eq!(first.reason_to_write("nobody"), "not_restricted");

    let before = [&first, &second].map(resnapshots);
    assert_eq!(import(&first, &input, &["--whole"]).1, Some(0));
    for tollgate in [&first, &second] {
        tollgate.wait_until("whole", || tollgate.reason_to_write("nobody") == "customer_unknown");
        assert_eq!(tollgate.reason_to_write("c000000"), "customer_disabled");
        assert_eq!(tollgate.reason_to_write("c000009"), "active");
    }
    assert_eq!([&first, &second].map(resnapshots), before);
    // Also for those who come later.
    assert_eq!(Tollgate::start(&flags).reason_to_write("nobody"), "customer_unknown");
    let trail = first.operate("GET", "/v1/audit?action=store_whole", None).json();
    assert_eq!(trail["entries"].as_array().unwrap().len(), 1, "{trail}");
    let token = role(&first, "manager");
    let weak = first.operate_as(&[("x-api-key", &token)], "POST", "/v1/store/whole", None);
    assert_refused(&weak, 403, "INSUFFICIENT_ROLE");
}

/// How often an instance has read everything anew.
fn resnapshots(tollgate: &Tollgate) -> u64 {
    tollgate.metric("tollgate_feed_resnapshots_total")
}

#[test]
#[ignore = "takes minutes, and says nothing of the program without --release"]
fn long_form() {
    const CUSTOMERS: u32 = 1_000_000;
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &redis.url()];
    let (writer, other) = (Tollgate::start(&flags), Tollgate::start(&flags));
    let before = resnapshots(&other);
    let input = Input::crowd(CUSTOMERS);
    let path = input.path();
    let arguments = ["import", &path, "--rate", "1000000"];

    let (mut stalest, mut memory) = (0.0_f64, 0);
    let mut watch = |running: &Running, until: &dyn Fn() -> bool| {
        while !until() {
            stalest = stalest.max(other.sum_of("tollgate_feed_staleness_seconds", ""));
            memory = memory.max(peak_memory(running.child.id()));
            thread::sleep(Duration::from_millis(50));
        }
    };
    let begun = Instant::now();
    let running = Running::begin(&mut writer.command(&arguments));
    watch(&running, &|| lines_done(&input.state()) >= u64::from(CUSTOMERS / 2));
    running.signal(Signal::INT);
    let (code, told) = running.ended();
    println!("{told}");
    assert_eq!(code, Some(1));
    let running = Running::begin(&mut writer.command(&arguments));
    thread::sleep(Duration::from_millis(100));
    watch(&running, &|| !input.state().exists());
    let (code, told) = running.ended();
    println!("{told}");
    assert_eq!(code, Some(0));
    let took = begun.elapsed();

    other.wait_until("following", || other.status()["cache"]["restricted"] == CUSTOMERS * 3 / 10);
    let megabytes = |bytes: u64| bytes >> 20;
    println!(
        "{CUSTOMERS} customers, interrupted half way: {took:.1?}, {:.0} a second; peak memory: \
         the import {} MiB, its instance {} MiB, another instance {} MiB; that one was never \
         further behind than {stalest:.3} s, and read {} snapshots",
        f64::from(CUSTOMERS) / took.as_secs_f64(),
        megabytes(memory),
        megabytes(writer.peak_memory()),
        megabytes(other.peak_memory()),
        resnapshots(&other) - before,
    );
    // Every line is on record once: none was lost, and none was done again.
    let batches = writer.list("/v1/audit", "entries", "before");
    let batches = batches.iter().filter(|entry| entry["action"] == "import").rev();
    let mut next = 1;
    for entry in batches {
        assert_eq!(entry["batch"]["firstLine"], next, "{entry}");
        next = entry["batch"]["lastLine"].as_u64().unwrap() + 1;
    }
    assert_eq!(next, u64::from(CUSTOMERS) + 1);
    is_all_there(&writer, CUSTOMERS);
    assert!(stalest < 30.0, "{stalest}");
    assert_eq!(resnapshots(&other), before);
}

/// The most memory that a process took so far, in bytes; nothing once it has ended.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>().ok());
    peak.unwrap_or_default() * 1024
}
