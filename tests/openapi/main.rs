//! The descriptions of the API: they are what is committed, they say what is served, and what is
//! served does as they say.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, unused_imports, reason = "other suites share it and use the rest")]
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use support::{
    operators::{put, read},
    tollgate::{ADMIN_TOKEN, Tollgate, http},
};

#[test]
fn the_committed_descriptions_are_those_that_are_served() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    for listener in Listener::BOTH {
        let committed = fs::read_to_string(listener.committed()).unwrap();
        let is_same = committed == listener.served(&tollgate);
        assert!(is_same, "{} is not what is served; {REWRITE}", listener.committed());
    }
}

#[test]
#[ignore = "it writes the committed descriptions anew"]
fn write_the_committed_descriptions() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    for listener in Listener::BOTH {
        fs::write(listener.committed(), listener.served(&tollgate)).unwrap();
    }
}

#[test]
fn every_path_takes_the_methods_that_are_described_and_no_other() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    for listener in Listener::BOTH {
        let described: Value = serde_json::from_str(&listener.served(&tollgate)).unwrap();
        for (path, item) in described["paths"].as_object().unwrap() {
            let mut methods: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
            // Whatever is read may be asked for without its body.
            methods.extend(methods.contains(&"get".to_owned()).then(|| "head".to_owned()));
            methods.sort_unstable();
            let path = path.replace("{id}", "c1");
            let answer = http(listener.address(&tollgate), "PATCH", &path, &[], None);
            assert_eq!((answer.status, answer.code().as_str()), (405, "METHOD_NOT_ALLOWED"));
            let allowed = answer.header("allow").unwrap_or_default().to_lowercase();
            let mut allowed: Vec<_> = allowed.split(',').map(str::trim).collect();
            allowed.sort_unstable();
            assert_eq!(allowed, methods, "{path}");
        }
    }
}

#[test]
fn schemathesis_finds_nothing_on_the_operator_listener() {
    Run::of(Listener::Operator).finds_nothing(8);
}

#[test]
fn schemathesis_finds_nothing_on_the_check_listener() {
    Run::of(Listener::Check).finds_nothing(20);
}

#[test]
#[ignore = "it takes some twenty minutes"]
fn long_form() {
    for listener in Listener::BOTH {
        Run::of(listener).finds_nothing(300);
    }
}

/// A listener that describes itself.
#[derive(Clone, Copy)]
enum Listener {
    Check,
    Operator,
}

impl Listener {
    const BOTH: [Self; 2] = [Self::Check, Self::Operator];

    fn committed(self) -> &'static str {
        match self {
            Self::Check => "tests/openapi/check.json",
            Self::Operator => "tests/openapi/operator.json",
        }
    }

    fn address(self, tollgate: &Tollgate) -> SocketAddr {
        match self {
            Self::Check => tollgate.check,
            Self::Operator => tollgate.operator,
        }
    }

    fn served(self, tollgate: &Tollgate) -> String {
        let path = match self {
            Self::Check => "/openapi/check.json",
            Self::Operator => "/openapi.json",
        };
        let answer = http(tollgate.operator, "GET", path, &[], None);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }
}

/// A Tollgate that schemathesis is let loose on.
struct Run {
    tollgate: Tollgate,
    listener: Listener,
    session: String,
    revision: String,
}

impl Run {
    fn of(listener: Listener) -> Self {
        let tollgate = Tollgate::start(&["--store", "memory:", "--ingest-guard", "off"]);
        let limits = json!({"seats": {"max": 25, "used": 3}, "sso": {"max": "unlimited"}});
        let body = json!({"plan": "pro", "features": ["sso", "pro"], "limits": limits});
        put(&tollgate, "c1", &body);
        put(&tollgate, "c2", &json!({}));
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        let headers = [("authorization", bearer.as_str())];
        let begun = http(tollgate.operator, "POST", "/session", &headers, None);
        let cookie = begun.header("set-cookie").unwrap();
        let cookie = cookie.strip_prefix("app-session=").unwrap();
        let (session, _) = cookie.split_once(';').unwrap();
        let revision = read(&tollgate, "c1")["revision"].as_str().unwrap().to_owned();
        Self { session: session.to_owned(), tollgate, listener, revision }
    }

    /// Asks everything that is described in as many ways, and fails with what is not as described.
    fn finds_nothing(&self, ways: u32) {
        let directory = tempfile::tempdir().unwrap();
        let description = directory.path().join("openapi.json");
        let served = serde_json::from_str(&self.listener.served(&self.tollgate)).unwrap();
        fs::write(&description, closed(served).to_string()).unwrap();
        let seed = env::var("TOLLGATE_TEST_SEED").unwrap_or_else(|_| "1".to_owned());
        let ran = Command::new("python3")
            .arg(schemathesis())
            .arg("--config-file")
            .arg(fs::canonicalize("tests/openapi/schemathesis.toml").unwrap())
            .args(["--no-color", "run"])
            .arg(&description)
            .args(["--url", &format!("http://{}", self.listener.address(&self.tollgate))])
            .args(["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"])
            .args(["--seed", &seed, "--max-examples", &ways.to_string()])
            .current_dir(directory.path())
            .env("PYTHONPATH", modules())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TOLLGATE_TEST_HOOKS", fs::canonicalize("tests/openapi/hooks.py").unwrap())
            .env("TOLLGATE_TEST_TOKEN", ADMIN_TOKEN)
            .env("TOLLGATE_TEST_SESSION", &self.session)
            .env("TOLLGATE_TEST_REVISION", &self.revision)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stdout);
        let complained = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "with the seed {seed}:\n{told}\n{complained}");
    }
}

/// The description as those who answer have to keep to it: nothing may be in an answer that is not
/// described. Those who ask have to bear more, since fields may be added.
fn closed(mut described: Value) -> Value {
    let mut open = BTreeSet::new();
    note_open(&described, &described, &mut open);
    for (name, schema) in described["components"]["schemas"].as_object_mut().unwrap() {
        if !open.contains(name) {
            close(schema, false);
        }
    }
    close(&mut described["components"]["responses"], false);
    described
}

/// Notes what must not be closed: what requests say, and what is a part of something else.
fn note_open(spelled: &Value, described: &Value, open: &mut BTreeSet<String>) {
    match spelled {
        Value::Object(fields) => {
            for part in fields.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                open.extend(named(part).map(str::to_owned));
            }
            if let Some(body) = fields.get("requestBody") {
                note_asked(body, described, open);
            }
            fields.values().for_each(|it| note_open(it, described, open));
        }
        Value::Array(items) => items.iter().for_each(|it| note_open(it, described, open)),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

fn note_asked(spelled: &Value, described: &Value, open: &mut BTreeSet<String>) {
    if let Some(name) = named(spelled)
        && open.insert(name.to_owned())
    {
        note_asked(&described["components"]["schemas"][name], described, open);
    }
    let fields = spelled.as_object().into_iter().flat_map(serde_json::Map::values);
    let items = spelled.as_array().into_iter().flatten();
    fields.chain(items).for_each(|it| note_asked(it, described, open));
}

/// The schema that it refers to.
fn named(spelled: &Value) -> Option<&str> {
    spelled.get("$ref")?.as_str()?.strip_prefix("#/components/schemas/")
}

fn close(spelled: &mut Value, is_part: bool) {
    match spelled {
        Value::Object(fields) => {
            for (name, field) in &mut *fields {
                for part in field.as_array_mut().into_iter().flatten().filter(|_| name == "allOf") {
                    close(part, true);
                }
                if name != "allOf" {
                    close(field, false);
                }
            }
            let is_object = fields.contains_key("allOf")
                || (fields.get("properties").is_some_and(|it| it.get("type").is_none())
                    && !fields.contains_key("additionalProperties"));
            if is_object && !is_part {
                fields.insert("unevaluatedProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|it| close(it, false)),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// The program, as `tests/run` installs it.
fn schemathesis() -> PathBuf {
    let installed = || Path::new(INSTALLED).join("bin/schemathesis").canonicalize().ok();
    let named = env::var_os("TOLLGATE_TEST_SCHEMATHESIS").map(PathBuf::from);
    named.or_else(installed).unwrap_or_else(|| {
        panic!(
            "there is no schemathesis: `tests/run` installs it; so does `python3 -m pip install \
             --target {INSTALLED} schemathesis`, and TOLLGATE_TEST_SCHEMATHESIS names the program"
        )
    })
}

/// Where its modules are, if they are apart.
fn modules() -> PathBuf {
    Path::new(INSTALLED).canonicalize().unwrap_or_default()
}

const INSTALLED: &str = "target/tools/schemathesis";
const REWRITE: &str =
    "`cargo test --test openapi write_the_committed_descriptions -- --ignored` writes it anew";
