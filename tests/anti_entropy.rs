//! Memory and store are compared: what differs is put right and counted, and nothing else is.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::time::{Instant, sleep};

use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};
use tollgate::{
    cache::{Cache, Comparing, Held, Keeping, Picture},
    clock::Clock,
    domain::{CustomerKey, Partition, Position, Record, Watermark},
    store::{Head, Session, Store, StoredRecord, redis::Redis},
    telemetry::{self, Metrics},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_differs_from_the_store_is_noticed_counted_and_put_right() {
    let world = World::start().await;
    for customer in ["c1", "c2", "c3"] {
        world.put(customer, json!({"plan": "pro", "features": ["sso"]}));
        world.fill(customer).await;
    }
    let comparing = tokio::spawn(world.cache.clone().keep_comparing(OFTEN));

    let mut redis = world.redis();
    let record: String = redis::cmd("GET").arg(record_of("c1")).query(&mut redis).unwrap();
    let other = record.replace("sso", "api");
    let _: () = redis::cmd("SET").arg(record_of("c1")).arg(other).query(&mut redis).unwrap();
    let has_other = |held: triomphe::Arc<Held>| match &held.record {
        StoredRecord::Known(Record { body, .. }) => {
            body.features.iter().flat_map(|it| it.iter()).any(|feature| feature.as_str() == "api")
        }
        StoredRecord::Absent | StoredRecord::Unreadable(_) => false,
    };
    until("put right", || world.held("c1").is_some_and(has_other)).await;
    assert_eq!(world.repairs(), 1);

    let _: () = redis::cmd("DEL").arg(record_of("c2")).query(&mut redis).unwrap();
    until("dropped", || world.held("c2").is_none()).await;
    assert_eq!(world.repairs(), 2);

    let _: () = redis::cmd("SET").arg(record_of("c3")).arg("no record").query(&mut redis).unwrap();
    let is_unreadable =
        |held: triomphe::Arc<Held>| matches!(held.record, StoredRecord::Unreadable(_));
    until("not readable", || world.held("c3").is_some_and(is_unreadable)).await;
    assert_eq!(world.repairs(), 3);
    comparing.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_much_is_changed_nothing_differs() {
    let world = World::start().await;
    let customers: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
    for customer in &customers {
        world.put(customer, json!({"features": []}));
        world.fill(customer).await;
    }
    let _comparing = tokio::spawn(world.cache.clone().keep_comparing(OFTEN));
    for round in 0..30 {
        for (number, customer) in customers.iter().enumerate() {
            let path = format!("/v1/customers/{customer}");
            tokio::task::block_in_place(|| match (round + number) % 3 {
                0 => world.put(customer, json!({"features": [format!("f{round}")]})),
                1 => world.act(&format!("{path}/freeze"), json!({"reason": "dispute"})),
                _ => world.act(&format!("{path}/unfreeze"), json!({})),
            });
            let _ = world.cache.fill(&key(customer), Duration::from_secs(1)).await;
        }
    }
    assert_eq!(world.repairs(), 0);
    assert!(world.asked_for_many() > 10, "only {} times", world.asked_for_many());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nothing_in_memory_nothing_is_asked() {
    let world = World::start().await;
    let _comparing = tokio::spawn(world.cache.clone().keep_comparing(OFTEN));
    sleep(20 * OFTEN.round).await;
    assert_eq!(world.asked_for_many(), 0);
    world.put("c1", json!({}));
    world.fill("c1").await;
    until("compared", || world.asked_for_many() > 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_an_older_picture_are_read_anew_many_at_a_time() {
    let world = World::start().await;
    let customers: Vec<String> = (0..120).map(|number| format!("c{number}")).collect();
    for customer in &customers {
        world.put(customer, json!({}));
        world.fill(customer).await;
    }
    world.install(2).await;
    for customer in customers.iter().chain(&customers) {
        world.cache.refresh_old(&key(customer));
    }
    let _refreshing = tokio::spawn(world.cache.clone().keep_refreshing());
    let is_young =
        |customer: &String| world.held(customer).is_some_and(|held| held.position.generation == 2);
    until("all read anew", || customers.iter().all(is_young)).await;
    assert_eq!((world.asked_for_many(), world.repairs()), (3, 0));
}

/// A cache of this process, and a Tollgate that makes the changes which it hears.
struct World {
    server: RedisServer,
    writer: Tollgate,
    store: Store,
    cache: Cache,
    shown: PrometheusHandle,
}

impl World {
    async fn start() -> Self {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let writer = Tollgate::start(&["--store", &server.url()]);
        let store = Store::Redis(Redis::open(&server.settings()).unwrap());
        let recorder = telemetry::recorder().unwrap();
        let shown = recorder.handle();
        let metrics = metrics::with_local_recorder(&recorder, Metrics::new);
        let patience = Duration::from_secs(1);
        let cache =
            Cache::new(store.clone(), Keeping::Recent(1000), patience, Clock::system(), metrics);
        cache.lay_out();
        let session = store.open_session(&[Partition(0)]).await.unwrap();
        store.read_on(&[Partition(0)], &session);
        let Session { mut pushes, reader } = session;
        let head = reader.head(Partition(0)).await.unwrap().unwrap();
        let world = Self { server, writer, store, cache, shown };
        world.install_at(1, head);
        let follower = world.cache.clone();
        tokio::spawn(async move {
            while let Some(push) = pushes.recv().await {
                let watermark = follower.watermark(Partition(0)).unwrap();
                if push.change.revision > watermark.position.revision {
                    let position =
                        Position { revision: push.change.revision, ..watermark.position };
                    let log_id = push.change.log_id.clone();
                    let watermark = Watermark { position, log_id, ..watermark };
                    follower.apply(Partition(0), &push.change, watermark);
                }
            }
        });
        world
    }

    /// Takes a picture of a store in which nobody is restricted.
    async fn install(&self, generation: u64) {
        let Session { pushes: _pushes, reader } =
            self.store.open_session(&[Partition(0)]).await.unwrap();
        self.install_at(generation, reader.head(Partition(0)).await.unwrap().unwrap());
    }

    fn install_at(&self, generation: u64, head: Head) {
        let picture = Arc::new(Picture::new(generation, head.epoch.clone()));
        let position = Position { generation, revision: head.revision };
        let watermark = Watermark { position, epoch: head.epoch, log_id: head.log_id };
        self.cache.install(Partition(0), picture, watermark);
    }

    fn put(&self, customer: &str, body: serde_json::Value) {
        let path = format!("/v1/customers/{customer}");
        let put = self.writer.operate("PUT", &path, Some(&body));
        assert!(matches!(put.status, 200 | 201), "{put:?}");
    }

    fn act(&self, path: &str, body: serde_json::Value) {
        let acted = self.writer.operate("POST", path, Some(&body));
        assert_eq!(acted.status, 200, "{acted:?}");
    }

    async fn fill(&self, customer: &str) {
        self.cache.fill(&key(customer), Duration::from_secs(5)).await.unwrap();
    }

    fn held(&self, customer: &str) -> Option<triomphe::Arc<Held>> {
        self.cache.find(&key(customer)).held
    }

    fn repairs(&self) -> u64 {
        let shown = self.shown.render();
        let line = shown.lines().find_map(|line| line.strip_prefix("tollgate_repairs_total "));
        line.unwrap().parse().unwrap()
    }

    /// How often the store was asked for many records at once.
    fn asked_for_many(&self) -> u64 {
        let info: String = redis::cmd("INFO").arg("commandstats").query(&mut self.redis()).unwrap();
        let calls = info.lines().find_map(|line| line.strip_prefix("cmdstat_mget:calls="));
        calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
    }

    fn redis(&self) -> redis::Connection {
        redis::Client::open(self.server.tcp_url()).unwrap().get_connection().unwrap()
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "never {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

fn key(customer: &str) -> CustomerKey {
    CustomerKey::parse(&format!("default:{customer}")).unwrap()
}

fn record_of(customer: &str) -> String {
    format!("tollgate:{{0}}:record:default:{customer}")
}

const OFTEN: Comparing = Comparing { records: 500, at_once: 50, round: Duration::from_millis(5) };
