//! `--cache all`: every record is in memory, so that no check waits for the store, and who is not
//! there is known to be nobody.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use fastrand::Rng;
use serde_json::{Value, json};

use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, put, read},
    redis_cluster::{RedisCluster, Replicas},
    tollgate::Tollgate,
};

#[test]
fn no_check_waits_for_the_store_whoever_it_is_about() {
    let mut redis = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
    let store = redis.url();
    let writer = Tollgate::start(&["--store", &store]);
    for number in 0..CUSTOMERS {
        put(&writer, &id(number), &entitled(number));
    }
    act(&writer, &id(0), "disable", &json!({}));
    let sidecar = sidecar(&store);
    assert_eq!(sidecar.metric("tollgate_cache_entries{tier=\"recent\"}"), u64::from(CUSTOMERS));
    agrees(&sidecar, &writer);
    // A change is in memory before long, of features too, and so is a new customer.
    put(&writer, &id(1), &json!({"features": ["fast"]}));
    put(&writer, &id(CUSTOMERS), &entitled(CUSTOMERS));
    sidecar.wait_until("features", || reason(&sidecar, &id(1), "fast") == "active");
    sidecar.wait_until("the new one", || reason(&sidecar, &id(CUSTOMERS), "sso") != UNKNOWN);
    let fills = fills(&sidecar);

    redis.kill9();
    drop(writer);
    sidecar.wait_until("alone", || sidecar.metric("tollgate_feed_connected") == 0);
    assert_eq!(reason(&sidecar, &id(0), "sso"), "customer_disabled");
    assert_eq!(reason(&sidecar, &id(1), "fast"), "active");
    assert_eq!(reason(&sidecar, &id(2), "fast"), "feature_missing");
    for number in 0..100 {
        assert_eq!(reason(&sidecar, &format!("nobody{number}"), "sso"), UNKNOWN);
    }
    let limits = sidecar.ask("GET", &format!("/v1/customers/{}/limits", id(2)), &[]);
    assert_eq!((limits.status, &limits.json()["plan"]), (200, &json!("pro")));
    let unknown = sidecar.ask("GET", "/v1/customers/nobody/limits", &[]);
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "CUSTOMER_UNKNOWN"));
    assert!((self::fills(&sidecar) - fills).abs() < 0.5, "something was read for a check");
}

#[test]
fn whatever_happens_it_comes_to_hold_what_the_store_holds() {
    let mut redis = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
    let store = redis.url();
    let writer = Tollgate::start(&["--store", &store]);
    let sidecar = sidecar(&store);
    let mut rng = Rng::with_seed(7);
    for round in 0..6 {
        for _ in 0..40 {
            change(&writer, &mut rng);
        }
        match round {
            1 => {
                redis.kill9();
                redis.restart();
                writer.wait_until("back", || writer.metric("tollgate_feed_connected") == 1);
            }
            3 => {
                // What it misses is not in the log any more.
                sidecar.signal(rustix::process::Signal::STOP);
                for _ in 0..20 {
                    change(&writer, &mut rng);
                }
                trim(&redis);
                sidecar.signal(rustix::process::Signal::CONT);
            }
            _ => {}
        }
    }
    agrees(&sidecar, &writer);
    let fills = fills(&sidecar);
    agrees(&sidecar, &writer);
    assert!((self::fills(&sidecar) - fills).abs() < 0.5, "something was read for a check");
    assert!((sidecar.sum_of("tollgate_repairs_total", "")).abs() < 0.5);
}

#[test]
fn a_store_in_the_process_is_held_whole_as_well() {
    let first = Tollgate::start(&["--cache", "all"]);
    for number in 0..CUSTOMERS {
        put(&first, &id(number), &entitled(number));
    }
    let data_dir = first.data_dir();
    drop(first);
    let again = Tollgate::start_in(data_dir, &["--cache", "all"]);
    again.wait_until("ready", || again.admin("/readyz").status == 200);
    agrees(&again, &again);
    put(&again, &id(1), &json!({"features": ["fast"]}));
    again.wait_until("features", || reason(&again, &id(1), "fast") == "active");
    assert!(fills(&again) < 0.5, "something was read for a check");
}

#[test]
fn a_cluster_is_held_whole_as_well() {
    let cluster = RedisCluster::start(Flavor::Valkey, 3, Replicas::None);
    let store = cluster.url();
    let writer = Tollgate::start(&["--store", &store]);
    for number in 0..CUSTOMERS {
        put(&writer, &id(number), &entitled(number));
    }
    let sidecar = sidecar(&store);
    agrees(&sidecar, &writer);
    put(&writer, &id(CUSTOMERS), &entitled(CUSTOMERS));
    sidecar.wait_until("the new one", || reason(&sidecar, &id(CUSTOMERS), "sso") != UNKNOWN);
    assert!(fills(&sidecar) < 1.5, "something was read for a check");
}

#[test]
fn begun_from_a_snapshot_it_asks_for_what_is_not_there_until_all_is_read() {
    let mut redis = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
    let store = redis.url();
    let first = Tollgate::start(&["--store", &store, "--cache", "all"]);
    put(&first, &id(1), &entitled(1));
    put(&first, &id(2), &entitled(2));
    act(&first, &id(2), "disable", &json!({}));
    let data_dir = first.data_dir();
    let mut first = first;
    first.terminate();
    redis.kill9();

    let again = Tollgate::start_in(data_dir, &["--store", &store, "--cache", "all"]);
    again.wait_until("ready", || again.admin("/readyz").status == 200);
    assert_eq!(reason(&again, &id(2), "sso"), "customer_disabled");
    assert_eq!(reason(&again, &id(1), "sso"), "store_unreachable");
    assert_eq!(again.reason_to_write("nobody"), "not_restricted");
    redis.restart();
    again.wait_until("whole", || {
        again.metric("tollgate_cache_entries{tier=\"recent\"}") == 2
            && again.reason_to_write("nobody") == UNKNOWN
    });
    assert_eq!(reason(&again, &id(1), "sso"), "active");
    again.wait_until("an absence is known", || {
        let fills = fills(&again);
        again.reason_to_write("nobody-else");
        (self::fills(&again) - fills).abs() < 0.5
    });
}

/// An instance that only reads, and keeps every record.
fn sidecar(store: &str) -> Tollgate {
    Tollgate::start(&["--store", store, "--cache", "all", "--operator-listen", "off"])
}

fn id(number: u32) -> String {
    format!("c{number}")
}

fn entitled(number: u32) -> Value {
    json!({"plan": "pro", "features": ["sso"], "limits": {"seats": {"max": number}}})
}

/// Does something to somebody, known or not.
fn change(writer: &Tollgate, rng: &mut Rng) {
    let id = id(rng.u32(..60));
    match rng.u32(..6) {
        0 => drop(act(writer, &id, "disable", &json!({"create": true}))),
        1 => drop(act(writer, &id, "freeze", &json!({"create": true}))),
        2 => drop(writer.operate("POST", &format!("/v1/customers/{id}/enable"), None)),
        3 => drop(writer.operate("POST", &format!("/v1/customers/{id}/unfreeze"), None)),
        4 => drop(put(writer, &id, &json!({"features": ["sso"], "plan": "pro"}))),
        _ => drop(put(writer, &id, &json!({"features": null, "plan": rng.u32(..9).to_string()}))),
    }
}

/// Waits until `sidecar` says of everybody what the store says.
fn agrees(sidecar: &Tollgate, writer: &Tollgate) {
    for number in 0..CUSTOMERS {
        let id = id(number);
        let stored = writer.operate("GET", &format!("/v1/customers/{id}"), None);
        let path = format!("/v1/customers/{id}/limits");
        sidecar.wait_until(&format!("{id}: {}", stored.body), || {
            let shown = sidecar.ask("GET", &path, &[]);
            if stored.status == 404 {
                return shown.status == 404 && reason(sidecar, &id, "sso") == UNKNOWN;
            }
            let (shown, stored) = (shown.json(), read(writer, &id));
            let fields = ["status", "plan", "features"];
            fields.iter().all(|field| shown[field] == stored[field])
        });
    }
}

fn reason(tollgate: &Tollgate, customer: &str, feature: &str) -> String {
    let question = json!({"customerId": customer, "action": "write", "feature": feature});
    tollgate.check(&question).json()["reason"].as_str().unwrap().to_owned()
}

fn fills(tollgate: &Tollgate) -> f64 {
    tollgate.sum_of("tollgate_fills_total", "")
}

fn trim(redis: &RedisServer) {
    let client = redis::Client::open(redis.tcp_url()).unwrap();
    let mut trim = redis::cmd("XTRIM");
    trim.arg("tollgate:{0}:log").arg("MAXLEN").arg(1);
    trim.exec(&mut client.get_connection().unwrap()).unwrap();
}

const CUSTOMERS: u32 = 60;
const UNKNOWN: &str = "customer_unknown";
