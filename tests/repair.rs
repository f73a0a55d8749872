//! What holds when the store's restricted set is deleted or damaged: nobody is let in, and it is
//! written anew.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::collections::BTreeMap;

use serde_json::json;

use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};
use tollgate::{
    domain::Partition,
    store::{Step, Store, format, redis::Redis},
};

#[test]
fn a_deleted_restricted_set_is_written_anew_by_an_instance_that_holds_it() {
    let world = World::start(2);
    let before = world.restricted();
    let _: () = redis::cmd("DEL").arg(RESTRICTED).arg(INDEX).query(&mut world.redis()).unwrap();

    world.refuses_a_change_and_lets_nobody_in();
    world.writes_again();
    assert_eq!(world.restricted(), before);
    assert_eq!(world.rewrites("memory"), 1);
    let third = Tollgate::start(&["--store", &world.server.url()]);
    assert_eq!(third.reason_to_write("c07"), "customer_disabled");
    for tollgate in &world.tollgates {
        tollgate.wait_until("told that it is whole", || {
            tollgate.status()["store"]["restrictedLost"] == false
        });
        assert_eq!(tollgate.metric("tollgate_restricted_lost"), 0);
    }
}

#[test]
fn what_does_not_belong_into_the_restricted_set_is_taken_out() {
    let world = World::start(2);
    let before = world.restricted();
    let mut redis = world.redis();
    let _: () = redis::cmd("HDEL").arg(RESTRICTED).arg("default:c03").query(&mut redis).unwrap();
    for stranger in ["default:x1", "default:x2"] {
        let entry = "3|disabled,operator,other,1,";
        let _: () =
            redis::cmd("HSET").arg(RESTRICTED).arg(stranger).arg(entry).query(&mut redis).unwrap();
    }

    world.refuses_a_change_and_lets_nobody_in();
    world.writes_again();
    assert_eq!(world.restricted(), before);
    let left: Vec<String> =
        redis::cmd("KEYS").arg("tollgate:{0}:staged:*").query(&mut redis).unwrap();
    assert_eq!(left, [""; 0]);
}

#[test]
fn with_nobody_left_who_holds_it_the_restricted_set_is_written_anew_from_the_records() {
    let mut world = World::start(2);
    let before = world.restricted();
    world.tollgates.iter_mut().for_each(Tollgate::kill9);
    let _: () = redis::cmd("DEL").arg(RESTRICTED).arg(INDEX).query(&mut world.redis()).unwrap();

    world.tollgates = vec![Tollgate::start(&["--store", &world.server.url()])];
    assert_eq!(world.restricted(), before);
    assert_eq!(world.rewrites("records"), 1);
    world.lets_nobody_in();
    world.writes_again();
}

#[test]
fn an_instance_that_only_reads_waits_for_one_that_may_write() {
    let mut world = World::start(1);
    world.tollgates.iter_mut().for_each(Tollgate::kill9);
    let _: () = redis::cmd("DEL").arg(RESTRICTED).query(&mut world.redis()).unwrap();
    let store = world.server.url();

    let reader = Tollgate::start_unready(&["--store", &store, "--operator-listen", "off"]);
    reader.wait_until("aware of it", || reader.status()["store"]["restrictedLost"] == true);
    assert_eq!(reader.admin("/readyz").status, 503);
    assert_eq!(world.restricted().len(), 0);
    let _writer = Tollgate::start(&["--store", &store]);
    reader.wait_until("ready", || reader.admin("/readyz").status == 200);
    assert_eq!(reader.reason_to_write("c07"), "customer_disabled");
    assert_eq!(reader.status()["store"]["restrictedLost"], false);
}

#[test]
fn records_that_make_another_set_than_the_store_counts_are_not_believed() {
    let mut world = World::start(1);
    world.tollgates.iter_mut().for_each(Tollgate::kill9);
    let record = "tollgate:{0}:record:default:c07";
    let _: () = redis::cmd("DEL").arg(RESTRICTED).arg(record).query(&mut world.redis()).unwrap();

    let tollgate = Tollgate::start_unready(&["--store", &world.server.url()]);
    tollgate.wait_for_log("do not agree with its count and digest");
    assert_eq!(tollgate.admin("/readyz").status, 503);
    assert_eq!(world.restricted().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_it_anew_slowly_never_writes_over_a_newer_change() {
    let world = World::start(1);
    let before = world.restricted();
    let store = Store::Redis(Redis::open(&world.server.settings()).unwrap());
    let session = store.open_session(&[Partition(0)]).await.unwrap();
    let head = session.reader.head(Partition(0)).await.unwrap().unwrap();
    let entries = before.iter().map(|(key, value)| format::read_restricted(key, value).unwrap());
    let entries: Vec<_> = entries.collect();
    let begin = || store.rewrite_restricted(Partition(0), &head.epoch, head.restricted).unwrap();

    let incomplete = begin();
    assert_eq!(incomplete.stage(&entries[1..]).await.unwrap(), Step::Taken);
    assert_eq!(incomplete.install().await.unwrap(), Step::Overtaken);
    assert_eq!(world.restricted(), before);

    let (first, second) = (begin(), begin());
    for rewrite in [&first, &second] {
        assert_eq!(rewrite.stage(&entries).await.unwrap(), Step::Taken);
    }
    assert_eq!(first.install().await.unwrap(), Step::Taken);
    assert_eq!(second.install().await.unwrap(), Step::Taken);
    assert_eq!(world.restricted(), before);
    let lasts: i64 = redis::cmd("TTL").arg(RESTRICTED).query(&mut world.redis()).unwrap();
    assert_eq!(lasts, -1, "it lasts for good");

    let slow = begin();
    assert_eq!(slow.stage(&entries).await.unwrap(), Step::Taken);
    tokio::task::block_in_place(|| {
        let enabled = world.tollgates[0].operate("POST", "/v1/customers/c07/enable", None);
        assert_eq!(enabled.status, 200, "{enabled:?}");
    });
    let changed = world.restricted();
    assert_eq!(slow.install().await.unwrap(), Step::Overtaken);
    assert_eq!(slow.stage(&entries).await.unwrap(), Step::Overtaken);
    assert_eq!(world.restricted(), changed);
    assert_eq!(changed.len(), before.len() - 1);
}

/// Some instances on one Redis with twenty disabled customers, `c00` to `c19`.
struct World {
    server: RedisServer,
    tollgates: Vec<Tollgate>,
}

impl World {
    fn start(instances: usize) -> Self {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let flags = ["--store", &server.url()];
        let tollgates: Vec<_> = (0..instances).map(|_| Tollgate::start(&flags)).collect();
        for customer in customers() {
            let path = format!("/v1/customers/{customer}/disable");
            let disabled = tollgates[0].operate("POST", &path, Some(&json!({"create": true})));
            assert_eq!(disabled.status, 200, "{disabled:?}");
        }
        let world = Self { server, tollgates };
        for tollgate in &world.tollgates {
            let knows = || tollgate.reason_to_write("c19") == "customer_disabled";
            tollgate.wait_until("aware of all", knows);
        }
        world
    }

    fn redis(&self) -> redis::Connection {
        redis::Client::open(self.server.tcp_url()).unwrap().get_connection().unwrap()
    }

    /// The restricted set as the store has it. Its index has to name the same customers.
    fn restricted(&self) -> BTreeMap<String, String> {
        let mut redis = self.redis();
        let set: BTreeMap<String, String> =
            redis::cmd("HGETALL").arg(RESTRICTED).query(&mut redis).unwrap();
        if !set.is_empty() {
            let index: Vec<String> =
                redis::cmd("ZRANGE").arg(INDEX).arg(0).arg(-1).query(&mut redis).unwrap();
            assert_eq!(index, set.keys().cloned().collect::<Vec<_>>());
        }
        set
    }

    fn refuses_a_change_and_lets_nobody_in(&self) {
        let refused = self.tollgates[0].operate("POST", "/v1/customers/c00/enable", None);
        assert_eq!((refused.status, refused.code().as_str()), (503, "STORE_LOST"), "{refused:?}");
        assert!(refused.body.contains("restricted set is not whole"), "{refused:?}");
        self.lets_nobody_in();
    }

    fn lets_nobody_in(&self) {
        for tollgate in &self.tollgates {
            for customer in customers() {
                assert_eq!(tollgate.reason_to_write(&customer), "customer_disabled");
            }
        }
    }

    /// Waits until customers that are not restricted can be changed again.
    fn writes_again(&self) {
        let tollgate = &self.tollgates[0];
        tollgate.wait_until("writing again", || {
            let written = tollgate.operate("PUT", "/v1/customers/good", Some(&json!({})));
            self.lets_nobody_in();
            matches!(written.status, 200 | 201)
        });
    }

    fn rewrites(&self, from: &str) -> u64 {
        let metric = format!("tollgate_restricted_rewrites_total{{from=\"{from}\"}}");
        self.tollgates.iter().map(|tollgate| tollgate.metric(&metric)).sum()
    }
}

fn customers() -> impl Iterator<Item = String> {
    (0..20).map(|number| format!("c{number:02}"))
}

const RESTRICTED: &str = "tollgate:{0}:restricted";
const INDEX: &str = "tollgate:{0}:restricted-index";
