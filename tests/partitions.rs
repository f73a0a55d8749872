//! A store cut into parts.

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::collections::BTreeSet;

use serde_json::json;

use raw::redis;
use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};

#[test]
fn a_store_of_many_partitions_is_one_store_to_everybody() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let store = server.url();
    let first = Tollgate::start(&["--store", &store, "--partitions", "16"]);
    // Who comes later takes the number from the store.
    let second = Tollgate::start(&["--store", &store]);
    assert_eq!(second.status()["feed"]["partitions"].as_array().unwrap().len(), 16);

    let customers: Vec<String> = (0..40).map(|number| format!("c{number:02}")).collect();
    for customer in &customers {
        let body = json!({"reason": "dispute", "create": true});
        let acted = first.operate("POST", &format!("/v1/customers/{customer}/freeze"), Some(&body));
        assert_eq!(acted.status, 200, "{acted:?}");
        let revision = acted.json()["revision"].clone();
        let question = json!({"customerId": customer, "action": "write", "minRevision": revision});
        assert_eq!(second.check(&question).json()["reason"], "customer_frozen");
    }

    let listed = second.list("/v1/customers", "customers", "startAfter");
    let listed: Vec<_> = listed.iter().map(|it| it["customerId"].as_str().unwrap()).collect();
    assert_eq!(listed, customers);
}

#[test]
fn the_audit_trail_of_many_partitions_is_read_page_by_page_without_loss() {
    let server = RedisServer::start(Flavor::Valkey, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url(), "--partitions", "8"]);
    // Acts at the same time, so that entries of several partitions have the same id.
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let tollgate = &tollgate;
            scope.spawn(move || {
                for number in 0..10 {
                    let path = format!("/v1/customers/c{worker}-{number}/disable");
                    let body = json!({"create": true});
                    assert_eq!(tollgate.operate("POST", &path, Some(&body)).status, 200);
                }
            });
        }
    });
    let entries = tollgate.list("/v1/audit", "entries", "before");
    let seen: BTreeSet<_> = entries.iter().map(|it| it["subject"].as_str().unwrap()).collect();
    assert_eq!((seen.len(), entries.len()), (80, 80));
}

#[test]
fn a_creation_that_was_never_finished_is_completed_as_it_was_begun() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let store = server.url();
    drop(Tollgate::start(&["--store", &store, "--partitions", "4"]));
    let begun = redis(&store, &["HGET", "tollgate:{3}:meta", "epoch"]);
    redis(&store, &["DEL", "tollgate:{0}:meta", "tollgate:{0}:log", "tollgate:{1}:meta"]);
    redis(&store, &["DEL", "tollgate:{1}:log"]);

    let tollgate = Tollgate::start(&["--store", &store]);
    assert_eq!(tollgate.status()["feed"]["partitions"].as_array().unwrap().len(), 4);
    for partition in 0..4 {
        let meta = format!("tollgate:{{{partition}}}:meta");
        assert_eq!(redis(&store, &["HGET", &meta, "epoch"]), begun);
    }
}

#[test]
fn a_store_that_lost_its_first_partition_is_not_begun_anew() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let store = server.url();
    let first = Tollgate::start(&["--store", &store, "--partitions", "4"]);
    let disabled =
        first.operate("POST", "/v1/customers/c1/disable", Some(&json!({"create": true})));
    assert_eq!(disabled.status, 200, "{disabled:?}");
    drop(first);
    redis(&store, &["DEL", "tollgate:{0}:meta", "tollgate:{0}:log"]);

    let second = Tollgate::start_unready(&["--store", &store]);
    second.wait_for_log("no history");
    assert_eq!(second.admin("/readyz").status, 503);
    assert_eq!(redis(&store, &["EXISTS", "tollgate:{0}:meta"]), "0");
}
