//! The console in a real Chromium, driven by playwright-core; run by `tests/run --console`.
//!
//! Each test starts a Redis of its own and two Tollgates on it, and a part of `steps.mjs` at them.

use std::{
    env, fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    support::{
        Flavor, Persistence, RedisServer,
        operators::{act, put, role},
        tollgate::{ADMIN_TOKEN, Tollgate},
    },
    visitor::Visitor,
};

/// Two instances on one store, and whoever looks at them.
struct World {
    _server: RedisServer,
    here: Tollgate,
    there: Tollgate,
}

impl World {
    fn start() -> Self {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let flags = ["--store", &server.url()];
        let (here, there) = (Tollgate::start(&flags), Tollgate::start(&flags));
        put(&here, "Cust_1", &json!({"name": "Ada & Sons", "plan": "pro", "features": ["sso"]}));
        there.wait_until("known", || there.reason_to_write("Cust_1") == "active");
        Self { _server: server, here, there }
    }

    /// Runs a part of the script, and returns what it printed.
    fn run(&self, part: &str) -> String {
        let keys: Vec<_> = ["viewer", "support", "manager"]
            .map(|name| (name.to_owned(), json!(role(&self.here, name))))
            .into_iter()
            .chain([("admin".to_owned(), json!(ADMIN_TOKEN))])
            .collect();
        let told = json!({
            "console": format!("http://{}", self.here.operator),
            "check": format!("http://{}", self.here.check),
            "other": format!("http://{}", self.there.operator),
            "keys": Value::Object(keys.into_iter().collect()),
            "chromium": chromium(),
            "modules": tools(),
            "pictures": pictures(),
        });
        let run = Command::new("node")
            .args(["tests/console/steps.mjs", part])
            .env("TOLLGATE_TEST_CONSOLE", told.to_string())
            .output()
            .unwrap_or_else(|error| panic!("node does not run ({error}); {INSTALLED}"));
        let printed = String::from_utf8_lossy(&run.stdout).into_owned();
        let errors = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{:#?}\n{printed}\n{errors}", self.here.log());
        assert!(!self.here.log().join("\n").contains(MARKER), "notes are in the log");
        printed
    }
}

/// Where Chromium is: what `TOLLGATE_TEST_CHROMIUM` names, else on the `PATH`.
fn chromium() -> PathBuf {
    if let Some(named) = env::var_os("TOLLGATE_TEST_CHROMIUM") {
        return named.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|place| place.join("chromium")).find(|it| it.exists());
    found.unwrap_or_else(|| panic!("there is no chromium; {INSTALLED}"))
}

/// Where playwright-core and axe-core are.
fn tools() -> PathBuf {
    let modules = Path::new("target/tools/console/node_modules");
    for name in ["playwright-core", "axe-core"] {
        assert!(modules.join(name).exists(), "there is no {name}; {INSTALLED}");
    }
    fs::canonicalize(modules).unwrap()
}

/// Where pages are pictured.
fn pictures() -> PathBuf {
    fs::create_dir_all("target/console").unwrap();
    fs::canonicalize("target/console").unwrap()
}

#[test]
#[ignore = "tests/run --console runs it"]
fn disable_and_enable_take_billabears_five_steps_and_bite_at_once() {
    World::start().run("guide");
}

#[test]
#[ignore = "tests/run --console runs it"]
fn without_scripts_the_same_forms_do_the_same() {
    World::start().run("plain");
}

#[test]
#[ignore = "tests/run --console runs it"]
fn a_freeze_with_an_end_lifts_itself_on_the_page_that_shows_it() {
    World::start().run("freeze");
}

#[test]
#[ignore = "tests/run --console runs it"]
fn a_refused_deactivation_says_why_at_its_form() {
    let world = World::start();
    put(&world.here, "Cust_1", &json!({"obligations": {"activeSubscriptions": 2}}));
    world.run("refused");
}

#[test]
#[ignore = "tests/run --console runs it"]
fn a_viewer_has_no_button_and_forges_nothing() {
    World::start().run("viewer");
}

#[test]
#[ignore = "tests/run --console runs it"]
fn notes_with_a_script_are_text() {
    World::start().run("notes");
}

#[test]
#[ignore = "tests/run --console runs it"]
fn what_another_instance_changes_is_live_within_a_second() {
    print(&World::start().run("live"));
}

#[test]
#[ignore = "tests/run --console runs it"]
fn many_are_let_in_at_once() {
    let world = World::start();
    for number in 0..5 {
        let id = format!("many_{number}");
        put(&world.here, &id, &json!({}));
        act(&world.here, &id, "disable", &json!({}));
    }
    world.run("review");
}

#[test]
#[ignore = "tests/run --console runs it"]
fn every_page_is_accessible_by_day_and_by_night_and_on_a_telephone() {
    let world = World::start();
    world.populate();
    print(&world.run("pages"));
    // And while something is wrong: a source is paused, and the fleet is in shadow.
    let body = json!({"source": "wingback"});
    let act = |number: u32| {
        let path = format!("/v1/customers/Cust_n{number:02}/freeze");
        world.here.operate("POST", &path, Some(&body)).status
    };
    assert!((0..30).map(act).any(|status| status == 503), "the guard paused nobody");
    let body = json!({"forSeconds": 3600});
    assert_eq!(world.here.operate("POST", "/v1/fleet/shadow", Some(&body)).status, 200);
    print(&world.run("troubled"));
}

impl World {
    /// Customers as there may be, for whoever looks.
    fn populate(&self) {
        let limits = json!({
            "seats": {"max": 25, "used": 12, "usedAt": "2026-11-20T08:00:00Z"},
            "exports": {"max": "unlimited"},
        });
        for (id, name, verb, body) in [
            (
                "Cust_acme",
                "Acme Corporation",
                "disable",
                json!({
                    "reason": "non_payment", "since": "2026-10-02T09:14:00Z",
                    "notes": "Two invoices are open. They pay by Friday.",
                }),
            ),
            (
                "Cust_globex",
                "Globex",
                "freeze",
                json!({
                    "reason": "dispute", "source": "billabear", "since": "2026-11-03T16:40:00Z",
                }),
            ),
            (
                "Cust_initech",
                "Initech",
                "deactivate",
                json!({
                    "reason": "account_closure", "source": "flexportal", "since": "2026-08-30T07:00:00Z",
                }),
            ),
            (
                "Cust_umbrella",
                "Umbrella",
                "disable",
                json!({
                    "reason": "compliance", "since": "2026-09-11T12:05:00Z",
                }),
            ),
        ] {
            let alias = id.replace("Cust_", "cus_");
            let record = json!({
                "name": name, "plan": "pro", "features": ["export", "sso"], "limits": limits,
                "aliases": {"stripe": alias},
            });
            put(&self.here, id, &record);
            act(&self.here, id, verb, &body);
        }
        let until = "2027-01-01T00:00:00Z";
        let body = json!({"source": "billabear", "reason": "non_payment", "until": until,
                          "since": "2026-10-09T09:00:00Z"});
        act(&self.here, "Cust_acme", "freeze", &body);
        for number in 0..30 {
            put(&self.here, &format!("Cust_n{number:02}"), &json!({"plan": "basic"}));
        }
    }
}

#[test]
#[ignore = "tests/run --console runs it"]
fn of_a_hundred_thousand_customers_the_first_page_is_there_in_a_tenth_of_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("customers.ndjson");
    let mut lines = BufWriter::new(fs::File::create(&path).unwrap());
    for number in 0..100_000 {
        let kind = ["disabled", "frozen", "inactive"].get(number % 10);
        let held = |kind: &&str| {
            json!({"kind": kind, "source": "billing", "reason": "non_payment",
                   "since": "2026-01-01T00:00:00Z"})
        };
        let restrictions: Vec<_> = kind.iter().map(|kind| held(kind)).collect();
        let line = json!({
            "customerId": format!("c{number:06}"), "restrictions": restrictions, "plan": "pro",
            "features": ["sso"], "name": format!("Customer {number}"),
        });
        writeln!(lines, "{line}").unwrap();
    }
    lines.flush().unwrap();
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    for store in [server.url(), "file:tollgate.redb".to_owned()] {
        let tollgate = Tollgate::start(&["--store", &store]);
        let imported = tollgate.cli(&["import", path.to_str().unwrap()]);
        assert!(imported.status.success(), "{imported:?}");
        let visitor = Visitor::with_key(&tollgate, ADMIN_TOKEN);
        // Once, for connections and what is read lazily.
        assert!(visitor.page("/customers").contains("100,000 customers"));
        let mut took: Vec<_> = (0..20)
            .map(|_| {
                let begun = Instant::now();
                visitor.page("/customers");
                begun.elapsed()
            })
            .collect();
        took.sort();
        let (half, most) = (took[took.len() / 2], took[took.len() - 1]);
        print(&format!(
            "first page of 100,000 customers on {store}: median {half:?}, most {most:?}"
        ));
        assert!(half < Duration::from_millis(100), "{took:?}");
    }
}

#[expect(clippy::print_stdout, reason = "what was measured is printed")]
fn print(said: &str) {
    println!("{said}");
}

/// How to get what a test lacks.
const INSTALLED: &str = "`tests/run --console` installs it, as do `apt install chromium nodejs npm` \
                         and `npm install --prefix target/tools/console playwright-core axe-core`";
/// What notes hold in the script, and no log line may.
const MARKER: &str = "notes-marker-51c0";
