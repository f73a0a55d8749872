//! What the store forgot comes back, and a store that lost everything is not believed.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::process::Output;

use redis::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};

#[test]
fn acknowledged_changes_that_a_failover_lost_are_written_back() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let writer = Tollgate::start(&["--store", &server.url()]);
    let sidecar = Tollgate::start(&["--store", &server.url(), "--operator-listen", "off"]);
    act(&writer, "c1", "freeze");
    let kept = act(&writer, "c2", "freeze")["revision"].clone();
    let saved = Saved::of(&server);
    act(&writer, "c1", "disable");
    act(&writer, "c2", "unfreeze");
    let forgotten = act(&writer, "c3", "deactivate")["revision"].clone();
    let fields = json!({"features": ["sso"]});
    assert_eq!(writer.operate("PUT", "/v1/customers/c4", Some(&fields)).status, 201);
    let active = json!({"status": "active"});
    assert_eq!(writer.operate("PUT", "/v1/customers/c5", Some(&active)).status, 201);
    sidecar.wait_until("told of it", || sidecar.reason_to_write("c3") == "customer_inactive");
    saved.put_back(&server);

    writer.wait_until("writing it back", || {
        assert_eq!(sidecar.reason_to_write("c1"), "customer_disabled");
        assert_eq!(sidecar.reason_to_write("c3"), "customer_inactive");
        counted(&writer, "tollgate_changes_recovered_total") == 4
    });
    for tollgate in [&writer, &sidecar] {
        tollgate.wait_until("equal to the store", || tollgate.reason_to_write("c2") == "active");
        assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
        assert_eq!(tollgate.reason_to_write("c3"), "customer_inactive");
        tollgate.wait_until("free of it", || counted(tollgate, "tollgate_changes_withheld") == 0);
    }
    let stored = |id: &str| writer.operate("GET", &format!("/v1/customers/{id}"), None);
    assert_eq!(stored("c1").json()["status"], "disabled");
    assert_eq!(stored("c2").json()["status"], "active");
    assert_eq!(stored("c3").json()["status"], "inactive");
    assert_eq!(stored("c5").json()["status"], "active");
    // What only the store knew cannot come back, and is counted.
    assert_eq!(stored("c4").status, 404);
    assert_eq!(counted(&writer, "tollgate_changes_forgotten_total"), 1);
    assert_eq!(counted(&writer, "tollgate_store_successions_total"), 1);
    let trail = writer.operate("GET", "/v1/customers/c1/audit", None).json();
    assert_eq!(trail["entries"][0]["actor"]["name"], "recovery");

    // A token is good for as long as what it stands for is there.
    let reason = |token: &Value| {
        let question = json!({"customerId": "c2", "action": "write", "minRevision": token});
        sidecar.check(&question).json()["reason"].clone()
    };
    assert_eq!(reason(&kept), "active");
    assert_eq!(reason(&forgotten), "revision_not_reached");
}

#[test]
fn an_instance_that_comes_later_finds_what_another_one_wrote_back() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let first = Tollgate::start(&["--store", &server.url()]);
    let second = Tollgate::start(&["--store", &server.url()]);
    let sidecar = Tollgate::start(&["--store", &server.url(), "--operator-listen", "off"]);
    act(&first, "c1", "freeze");
    let saved = Saved::of(&server);
    act(&first, "c1", "disable");
    act(&first, "c2", "deactivate");
    let late = [&second, &sidecar];
    for tollgate in late {
        tollgate.wait_until("told", || tollgate.reason_to_write("c2") == "customer_inactive");
        tollgate.signal(Signal::STOP);
    }
    saved.put_back(&server);
    first.wait_until("writing it back", || {
        counted(&first, "tollgate_changes_recovered_total") == 2
            && counted(&first, "tollgate_changes_withheld") == 0
    });
    for tollgate in late {
        tollgate.signal(Signal::CONT);
        tollgate.wait_until("following", || {
            let status = tollgate.status();
            let followed = |it: &Tollgate| it.status()["feed"]["partitions"].clone();
            status["feed"]["phase"] == "following"
                && followed(tollgate)[0]["epoch"] == followed(&first)[0]["epoch"]
        });
        tollgate.wait_until("free of it", || counted(tollgate, "tollgate_changes_withheld") == 0);
        assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
        assert_eq!(counted(tollgate, "tollgate_changes_recovered_total"), 0);
    }
    act(&first, "c1", "enable");
    for tollgate in late {
        tollgate.wait_until("told", || tollgate.reason_to_write("c1") == "customer_frozen");
    }
}

#[test]
fn who_was_acted_on_since_is_refused_until_an_operator_settles_it() {
    let server = RedisServer::start(Flavor::Valkey, Persistence::None);
    let first = Tollgate::start(&["--store", &server.url()]);
    act(&first, "c1", "freeze");
    act(&first, "c1", "unfreeze");
    let saved = Saved::of(&server);
    act(&first, "c1", "disable");
    first.signal(Signal::STOP);
    saved.put_back(&server);
    let second = Tollgate::start(&["--store", &server.url()]);
    act(&second, "c1", "freeze");
    act(&second, "c2", "freeze");
    first.signal(Signal::CONT);

    let conflicts =
        || cli(&first, &["store", "conflicts", "--output", "json"]).0["conflicts"].clone();
    first.wait_until("listing it", || {
        assert_eq!(first.reason_to_write("c1"), "customer_disabled");
        conflicts().as_array().is_some_and(|conflicts| conflicts.len() == 1)
    });
    let conflict = conflicts()[0].clone();
    assert_eq!(
        (&conflict["customer"], &conflict["verb"]),
        (&json!("default:c1"), &json!("disable"))
    );
    assert_eq!(second.reason_to_write("c1"), "customer_frozen");
    assert_eq!(first.reason_to_write("c2"), "customer_frozen");
    assert_eq!(first.reason_to_write("c1"), "customer_disabled");
    let explained = first.operate("GET", "/v1/explain/c1?action=read", None).json();
    assert_eq!(explained["questions"][0]["reason"], "customer_disabled");
    let withheld = &explained["withheld"][0];
    assert_eq!(
        (&withheld["revision"], &withheld["inConflict"]),
        (&conflict["forgotten"], &json!(true))
    );

    let token = conflict["forgotten"].as_str().unwrap();
    let (settled, ended) =
        cli(&first, &["store", "conflicts", "--settle", token, "--output", "json"]);
    assert_eq!(settled["settled"], token, "{ended:?}");
    first.wait_until("settled", || first.reason_to_write("c1") == "customer_frozen");
    assert_eq!(conflicts(), json!([]));
}

#[test]
fn messages_that_a_failover_lost_keep_their_place_among_those_of_their_source() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let first = Tollgate::start(&["--store", &server.url()]);
    let applies =
        |it: &Tollgate| it.operate("GET", "/v1/ingest", None).json()["applies"] == json!(true);
    first.wait_until("the one that applies", || applies(&first));
    let put = |customer: &str, status: &str, minute: u32| {
        let at = format!("2026-11-20T10:{minute:02}:00Z");
        let message = json!({"customerId": customer, "status": status, "at": at}).to_string();
        let inbox = "tollgate:customer-status:inbox";
        let to = &mut connect(&server);
        redis::cmd("XADD").arg(inbox).arg("*").arg("data").arg(message).exec(to).unwrap();
    };
    let is_empty = || {
        let sizes = first.operate("GET", "/v1/ingest", None).json();
        sizes["inbox"] == json!(0)
    };
    for customer in ["c1", "c2", "c3"] {
        put(customer, "active", 1);
    }
    first.wait_until("done with them", is_empty);
    let saved = Saved::of(&server);
    for customer in ["c1", "c2", "c3"] {
        put(customer, "disabled", 5);
    }
    first.wait_until("done with them", is_empty);
    first.signal(Signal::STOP);
    saved.put_back(&server);
    let second = Tollgate::start(&["--store", &server.url()]);
    second.wait_until("the one that applies", || applies(&second));
    // One came late and one was sent later, and both before anybody knew what was lost.
    put("c1", "frozen", 3);
    put("c2", "active", 7);
    second.wait_until("told of it", || second.reason_to_write("c1") == "customer_frozen");
    second.wait_until("done with them", || {
        second.operate("GET", "/v1/ingest", None).json()["inbox"] == json!(0)
    });
    first.signal(Signal::CONT);

    for tollgate in [&first, &second] {
        tollgate.wait_until("right again", || {
            ["c1", "c2", "c3"].map(|customer| tollgate.reason_to_write(customer))
                == ["customer_disabled", "active", "customer_disabled"]
        });
        tollgate.wait_until("free of it", || counted(tollgate, "tollgate_changes_withheld") == 0);
    }
    assert_eq!(cli(&first, &["store", "conflicts", "--output", "json"]).0["conflicts"], json!([]));
    // What came back is remembered too.
    put("c3", "active", 4);
    put("c4", "frozen", 4);
    first.wait_until("told of it", || first.reason_to_write("c4") == "customer_frozen");
    assert_eq!(first.reason_to_write("c3"), "customer_disabled");
}

#[test]
fn a_store_that_was_emptied_is_filled_again_with_what_an_instance_knows() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let store = server.url();
    let first = Tollgate::start(&["--store", &store]);
    let second = Tollgate::start(&["--store", &store, "--operator-listen", "off"]);
    for number in 0..700 {
        act(&first, &format!("r{number}"), "freeze");
    }
    let body = json!({"features": ["sso"]});
    first.operate("PUT", "/v1/customers/plain", Some(&body));
    assert_eq!(first.reason_to_write("plain"), "active");
    let key = first.operate("POST", "/v1/keys", Some(&json!({"name": "ann", "role": "support"})));
    let token = format!("Bearer {}", key.json()["token"].as_str().unwrap());
    second.wait_until("told of it", || second.reason_to_write("r699") == "customer_frozen");

    redis::cmd("FLUSHALL").exec(&mut connect(&server)).unwrap();
    for tollgate in [&first, &second] {
        tollgate.wait_until("aware of it", || !tollgate.status()["store"]["lost"].is_null());
        assert_eq!(tollgate.reason_to_write("r5"), "customer_frozen");
    }
    let refused = first.operate("POST", "/v1/customers/r5/unfreeze", None);
    assert_eq!((refused.status, refused.code().as_str()), (503, "STORE_LOST"));
    assert!(refused.body.contains("refill-redis") && refused.body.contains("trust-redis"));
    // Nobody begins anew meanwhile.
    let third = Tollgate::start_unready(&["--store", &store]);
    third.wait_for_log("refill-redis");
    assert_eq!(third.admin("/readyz").status, 503);

    let (told, ended) = cli(&first, &["store", "refill-redis", "--dry-run", "--output", "json"]);
    assert_eq!(
        told["effect"],
        json!({"letsIn": 0, "shutsOut": 700, "restricted": 700}),
        "{ended:?}"
    );
    let unconfirmed = cli(&first, &["store", "refill-redis"]).1;
    assert_eq!(unconfirmed.status.code(), Some(1), "{unconfirmed:?}");
    let (done, ended) = cli(&first, &["store", "refill-redis", "--yes", "--output", "json"]);
    assert_eq!(done["done"], true, "{ended:?}");
    for tollgate in [&first, &second, &third] {
        tollgate.wait_until("following", || {
            tollgate.admin("/readyz").status == 200
                && tollgate.status()["feed"]["phase"] == "following"
                && tollgate.status()["store"]["lost"].is_null()
        });
        for number in [0, 5, 350, 699] {
            let customer = format!("r{number}");
            assert_eq!(tollgate.reason_to_write(&customer), "customer_frozen");
        }
        // Records are missing, so nobody is called unknown.
        assert_eq!(tollgate.reason_to_write("nobody"), "not_restricted");
        assert_eq!(tollgate.ask("GET", "/v1/customers/nobody/limits", &[]).status, 503);
    }
    // Customers, keys and what was known of records are there, and can be acted on.
    let bearer = [("authorization", token.as_str())];
    let lifted = first.operate_as(&bearer, "POST", "/v1/customers/r5/unfreeze", None);
    assert_eq!(lifted.status, 200, "{lifted:?}");
    third.wait_until("told of it", || third.reason_to_write("r5") == "active");
    let plain = third.operate("GET", "/v1/customers/plain", None).json();
    assert_eq!(plain["features"], json!(["sso"]), "{plain}");
    let trail = first.operate("GET", "/v1/audit", None).json();
    let actions = trail["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]);
    assert!(actions.clone().any(|action| action == "store_refilled"), "{trail}");
}

#[test]
fn a_store_that_was_emptied_on_purpose_is_followed_once_an_operator_says_so() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let first = Tollgate::start(&["--store", &server.url()]);
    let second = Tollgate::start(&["--store", &server.url(), "--operator-listen", "off"]);
    act(&first, "c1", "disable");
    second.wait_until("told of it", || second.reason_to_write("c1") == "customer_disabled");
    let early = cli(&first, &["store", "trust-redis", "--yes"]).1;
    assert_eq!(early.status.code(), Some(1), "{early:?}");

    redis::cmd("FLUSHALL").exec(&mut connect(&server)).unwrap();
    first.wait_until("aware of it", || !first.status()["store"]["lost"].is_null());
    let (done, ended) = cli(&first, &["store", "trust-redis", "--yes", "--output", "json"]);
    assert_eq!(done["effect"]["letsIn"], 1, "{ended:?}");
    for tollgate in [&first, &second] {
        tollgate.wait_until("following", || tollgate.reason_to_write("c1") == "customer_unknown");
        assert!(tollgate.status()["store"]["lost"].is_null());
    }
    act(&first, "c1", "freeze");
    second.wait_until("told of it", || second.reason_to_write("c1") == "customer_frozen");
}

#[test]
fn two_operators_who_refill_at_once_do_no_harm() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgates = [(); 2].map(|()| Tollgate::start(&["--store", &server.url()]));
    for number in 0..20 {
        act(&tollgates[0], &format!("c{number}"), "freeze");
    }
    let newest = |tollgate: &Tollgate| tollgate.reason_to_write("c19") == "customer_frozen";
    tollgates[1].wait_until("told of it", || newest(&tollgates[1]));
    redis::cmd("FLUSHALL").exec(&mut connect(&server)).unwrap();
    for tollgate in &tollgates {
        tollgate.wait_until("aware of it", || !tollgate.status()["store"]["lost"].is_null());
    }
    let statuses = std::thread::scope(|scope| {
        let refills = tollgates.each_ref().map(|tollgate| {
            scope.spawn(|| tollgate.operate("POST", "/v1/store/refill", Some(&json!({}))).status)
        });
        refills.map(|refill| refill.join().unwrap())
    });
    assert!(
        statuses.contains(&200) && statuses.iter().all(|it| [200, 409].contains(it)),
        "{statuses:?}"
    );
    for tollgate in &tollgates {
        tollgate.wait_until("following", || {
            tollgate.status()["feed"]["phase"] == "following"
                && tollgate.status()["store"]["lost"].is_null()
        });
        for number in 0..20 {
            assert_eq!(tollgate.reason_to_write(&format!("c{number}")), "customer_frozen");
        }
        assert_eq!(tollgate.status()["cache"]["restricted"], 20);
    }
}

#[test]
fn a_store_that_is_a_cache_of_something_else_may_be_believed_always() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &server.url(), "--on-store-loss", "adopt"];
    let tollgate = Tollgate::start(&flags);
    act(&tollgate, "c1", "freeze");
    let saved = Saved::of(&server);
    act(&tollgate, "c1", "disable");
    saved.put_back(&server);
    tollgate.wait_until("following", || tollgate.reason_to_write("c1") == "customer_frozen");
    redis::cmd("FLUSHALL").exec(&mut connect(&server)).unwrap();
    tollgate.wait_until("following", || tollgate.reason_to_write("c1") == "customer_unknown");
    act(&tollgate, "c1", "freeze");
    assert_eq!(tollgate.reason_to_write("c1"), "customer_frozen");
}

/// What a server held at one moment.
struct Saved(Vec<String>);

impl Saved {
    fn of(server: &RedisServer) -> Self {
        let mut redis = connect(server);
        let mut keys: Vec<String> = redis::cmd("KEYS").arg("tollgate:*").query(&mut redis).unwrap();
        // It lapses before it could be put back.
        keys.retain(|key| key != "tollgate:{0}:ingest");
        for key in &keys {
            redis::cmd("COPY").arg(key).arg(format!("old:{key}")).exec(&mut redis).unwrap();
        }
        Self(keys)
    }

    /// Puts it back at one moment, and ends every connection as a failover does.
    fn put_back(&self, server: &RedisServer) {
        let mut redis = connect(server);
        let now: Vec<String> = redis::cmd("KEYS").arg("tollgate:*").query(&mut redis).unwrap();
        let mut rollback = redis::pipe();
        rollback.atomic();
        for key in &now {
            rollback.cmd("DEL").arg(key);
        }
        for key in &self.0 {
            rollback.cmd("RENAME").arg(format!("old:{key}")).arg(key);
        }
        rollback.cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]);
        rollback.exec(&mut redis).unwrap();
    }
}

fn act(tollgate: &Tollgate, customer: &str, verb: &str) -> Value {
    let lifts = ["enable", "unfreeze", "reactivate"].contains(&verb);
    let body = if lifts { json!({}) } else { json!({"create": true}) };
    let path = format!("/v1/customers/{customer}/{verb}");
    let acted = tollgate.operate("POST", &path, Some(&body));
    assert_eq!(acted.status, 200, "{acted:?}");
    acted.json()
}

/// Runs the command line against an instance: what it printed as JSON, and how it ended.
fn cli(tollgate: &Tollgate, arguments: &[&str]) -> (Value, Output) {
    let ended = tollgate.cli(arguments);
    (serde_json::from_slice(&ended.stdout).unwrap_or_default(), ended)
}

fn counted(tollgate: &Tollgate, metric: &str) -> u64 {
    let metrics = tollgate.admin("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

fn connect(server: &RedisServer) -> Connection {
    redis::Client::open(server.url()).unwrap().get_connection().unwrap()
}
