//! A store cut into parts.

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::collections::BTreeSet;

use serde_json::json;

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

    let mut listed = Vec::new();
    let mut path = "/v1/customers?limit=7".to_owned();
    loop {
        let page = second.operate("GET", &path, None).json();
        for customer in page["customers"].as_array().unwrap() {
            listed.push(customer["customerId"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/v1/customers?limit=7&startAfter={cursor}");
    }
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
    let (mut seen, mut entries) = (BTreeSet::new(), 0);
    let mut path = "/v1/audit?limit=3".to_owned();
    loop {
        let page = tollgate.operate("GET", &path, None).json();
        for entry in page["entries"].as_array().unwrap() {
            seen.insert(entry["subject"].as_str().unwrap().to_owned());
            entries += 1;
        }
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/v1/audit?limit=3&before={cursor}");
    }
    assert_eq!((seen.len(), entries), (80, 80));
}
