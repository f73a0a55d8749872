//! A store on the masters of a cluster: one store to everybody, whatever becomes of its nodes.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[path = "../support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
mod refusals;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;
mod tls;
mod traffic;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::timeout;

use support::{
    Flavor,
    redis_cluster::{RedisCluster, Replicas},
    tollgate::Tollgate,
};
use tollgate::{
    domain::{CustomerKey, Epoch, Partition, Partitions},
    store::{Store, StoreError, redis::Redis},
};
use traffic::Traffic;

#[tokio::test]
async fn partitions_are_grouped_by_the_master_that_the_cluster_says() {
    for flavor in [Flavor::Redis, Flavor::Valkey] {
        let cluster = RedisCluster::start(flavor, 3, Replicas::None);
        let store = Store::Redis(Redis::open(&cluster.settings()).unwrap());
        let all: Vec<_> = Partitions::new(256).unwrap().all().collect();
        let mut expected = BTreeMap::<_, Vec<_>>::new();
        for Partition(number) in &all {
            let master = cluster.master_of(0, cluster.slot_of(*number)).unwrap();
            expected.entry(master).or_default().push(Partition(*number));
        }
        let found: BTreeSet<_> = store.by_node(&all).await.unwrap().into_iter().collect();
        assert_eq!(found, expected.into_values().collect());
    }
}

#[test]
fn acts_on_one_instance_are_decided_on_the_other() {
    for flavor in [Flavor::Redis, Flavor::Valkey] {
        let cluster = RedisCluster::start(flavor, 3, Replicas::None);
        let first = Tollgate::start(&["--store", &cluster.url(), "--partitions", "6"]);
        // Who comes later takes the number from the store, and any node for a beginning.
        let last = format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", cluster.servers[2].port());
        let second = Tollgate::start(&["--store", &last]);
        assert_eq!(second.status()["feed"]["partitions"].as_array().unwrap().len(), 6);

        let customers: Vec<String> = (0..30).map(|number| format!("c{number:02}")).collect();
        for customer in &customers {
            let acted = act(&first, "freeze", customer);
            let question = json!({"customerId": customer, "action": "write", "minRevision": acted});
            assert_eq!(second.check(&question).json()["reason"], "customer_frozen");
        }
        let partitions: BTreeSet<_> = customers.iter().map(|it| partition_of(it)).collect();
        assert_eq!(partitions.len(), 6, "the customers are not everywhere");

        let listed = second.list("/v1/customers", "customers", "startAfter");
        let listed: Vec<_> = listed.iter().map(|it| it["customerId"].as_str().unwrap()).collect();
        assert_eq!(listed, customers);
        let audited = second.list("/v1/audit", "entries", "before");
        assert_eq!(audited.len(), 30);

        let made = first.operate("POST", "/v1/keys", Some(&json!({"name": "a", "role": "viewer"})));
        assert_eq!(made.status, 201, "{made:?}");
        let token = format!("Bearer {}", made.json()["token"].as_str().unwrap());
        let headers = [("authorization", token.as_str())];
        wait_until("told of the key", || {
            second.operate_as(&headers, "GET", "/v1/customers/c01", None).status == 200
        });
    }
}

#[test]
fn a_slot_that_moves_with_its_keys_under_traffic_is_followed_without_a_wrong_decision() {
    for flavor in [Flavor::Redis, Flavor::Valkey] {
        let cluster = RedisCluster::start(flavor, 3, Replicas::None);
        let flags = ["--store", &cluster.url(), "--partitions", "6", "--heartbeat", "100ms"];
        let traffic = Traffic::between([(); 2].map(|()| Tollgate::start(&flags)));
        thread::scope(|scope| {
            for partition in 0..6 {
                let traffic = &traffic;
                scope.spawn(move || traffic.flow(partition));
            }
            // The second one holds the operators' keys too.
            for partition in [1, 0] {
                let slot = cluster.slot_of(partition);
                let from = cluster.master_of(0, slot).unwrap();
                let to = (from + 1) % 3;
                traffic.wait_for_acts(partition, 2);
                cluster.begin_move(slot, from, to);
                assert_eq!(cluster.move_keys(slot, from, to, 5), 5);
                traffic.wait_for_refusal(partition);
                while cluster.move_keys(slot, from, to, 100) > 0 {}
                cluster.end_move(slot, to);
                traffic.wait_for_acts(partition, 4);
            }
            traffic.is_over.store(true, Ordering::Relaxed);
        });
        for tollgate in &traffic.tollgates {
            tollgate.wait_for_log("goes on at another node of the cluster");
            let metrics = tollgate.admin("/metrics").body;
            let moves = metrics.lines().find(|line| line.starts_with("tollgate_feed_moves_total"));
            assert_ne!(moves, Some("tollgate_feed_moves_total 0"));
            assert!(metrics.lines().any(|line| line == "tollgate_feed_connected 1"), "{metrics}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_of_a_session_whose_slot_moved_is_one_to_another_question() {
    let cluster = RedisCluster::start(Flavor::Redis, 2, Replicas::None);
    let store = Store::Redis(Redis::open(&cluster.settings()).unwrap());
    let (epoch, partitions) = (Epoch::parse("k3f9").unwrap(), Partitions::new(16).unwrap());
    store.create(&epoch, partitions).await.unwrap();
    for _ in 0..5 {
        // After a move the nodes agree a little later: a session is opened anew until they do.
        let all: Vec<_> = partitions.all().collect();
        let opened = async {
            loop {
                let groups = store.by_node(&all).await.unwrap();
                let group = groups.into_iter().max_by_key(Vec::len).unwrap();
                match store.open_session(&group).await {
                    Ok(session) => break (group, session),
                    Err(error) => assert!(matches!(error, StoreError::Moved(_)), "{error}"),
                }
            }
        };
        let (group, session) = timeout(PATIENCE, opened).await.unwrap();
        let (moving, others) = group.split_first().unwrap();
        let heads = session.reader.heads(others).await.unwrap();
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let reader = session.reader.clone();
                let (others, heads) = (others.to_vec(), heads.clone());
                tokio::spawn(async move {
                    loop {
                        match reader.heads(&others).await {
                            Ok(found) => assert_eq!(found, heads),
                            Err(error) => break error,
                        }
                    }
                })
            })
            .collect();
        let slot = cluster.slot_of(moving.0);
        let from = cluster.master_of(0, slot).unwrap();
        cluster.begin_move(slot, from, 1 - from);
        while cluster.move_keys(slot, from, 1 - from, 100) > 0 {}
        cluster.end_move(slot, 1 - from);
        for asking in asking {
            let error = timeout(PATIENCE, asking).await.unwrap().unwrap();
            assert!(matches!(error, StoreError::Moved(_)), "{error}");
        }
    }
}

#[test]
fn the_users_that_the_readme_makes_follow_and_write_on_a_cluster() {
    for flavor in [Flavor::Redis, Flavor::Valkey] {
        let cluster = RedisCluster::start(flavor, 3, Replicas::None);
        let (writer, sidecar) = (as_user(&cluster, "writer"), as_user(&cluster, "sidecar"));
        let writer = Tollgate::start(&["--store", &writer, "--partitions", "6"]);
        let sidecar = Tollgate::start(&["--store", &sidecar, "--operator-listen", "off"]);
        for partition in 0..6 {
            let customer = customer_in(partition);
            act(&writer, "disable", &customer);
            wait_until("followed", || sidecar.reason_to_write(&customer) == "customer_disabled");
        }
        nobody_was_denied_anything(&cluster);
    }
}

#[test]
fn billing_systems_are_heard_whichever_node_they_speak_to() {
    for flavor in [Flavor::Redis, Flavor::Valkey] {
        let cluster = RedisCluster::start(flavor, 3, Replicas::None);
        let store = as_user(&cluster, "writer");
        let tollgate = Tollgate::start(&["--store", &store, "--partitions", "6"]);
        tollgate.wait_for_log("Listening to billing systems");
        let shown = || tollgate.operate("GET", "/v1/ingest", None).json();
        wait_until("the one that applies", || shown()["applies"] == true);
        let message =
            |customer: &str| json!({"customerId": customer, "status": "frozen"}).to_string();
        let is_frozen = |customer: &str| tollgate.reason_to_write(customer) == "customer_frozen";
        for (place, customer) in ["p0", "p1", "p2"].iter().enumerate() {
            let said = ["PUBLISH", "tollgate:customer-status", &message(customer)];
            wait_until("told", || {
                // A busy cluster may lose what is published on the way between its nodes.
                cluster.ask::<u64>(place, &said).unwrap();
                is_frozen(customer)
            });
        }

        let inbox = "tollgate:customer-status:inbox";
        let slot: u16 = cluster.ask(0, &["CLUSTER", "KEYSLOT", inbox]).unwrap();
        let put = |place: usize, text: &str| {
            cluster.ask::<String>(place, &["XADD", inbox, "*", "data", text]).unwrap();
        };
        let home = cluster.master_of(0, slot).unwrap();
        put(home, &message("i1"));
        put(home, "no json");
        wait_until("told", || is_frozen("i1"));
        wait_until("done", || {
            (shown()["inbox"].clone(), shown()["dead"].clone()) == (json!(0), json!(1))
        });

        let new_home = (home + 1) % 3;
        cluster.begin_move(slot, home, new_home);
        while cluster.move_keys(slot, home, new_home, 100) > 0 {}
        cluster.end_move(slot, new_home);
        put(new_home, &message("i2"));
        wait_until("told", || is_frozen("i2"));
        wait_until("done", || shown()["inbox"] == 0);
        act(&tollgate, "disable", "i2");
        nobody_was_denied_anything(&cluster);
    }
}

#[test]
fn while_a_master_of_redis_is_down_the_partitions_of_the_others_stay_fresh() {
    the_partitions_of_the_others_stay_fresh(Flavor::Redis);
}

#[test]
fn while_a_master_of_valkey_is_down_the_partitions_of_the_others_stay_fresh() {
    the_partitions_of_the_others_stay_fresh(Flavor::Valkey);
}

fn the_partitions_of_the_others_stay_fresh(flavor: Flavor) {
    let mut cluster = RedisCluster::start(flavor, 3, Replicas::OneEach);
    let store = cluster.url();
    let flags = ["--store", &store, "--partitions", "6"];
    let flags = [&flags[..], &["--heartbeat", "200ms", "--max-staleness", "5s"]].concat();
    let tollgates = [(); 2].map(|()| Tollgate::start(&flags));
    let customers: Vec<_> = (0..6).map(customer_in).collect();
    for customer in &customers {
        let disabled = act(&tollgates[0], "disable", customer);
        let question = json!({"customerId": customer, "minRevision": disabled});
        assert_eq!(tollgates[1].check(&question).json()["reason"], "customer_disabled");
    }
    let victim = cluster.master_of(0, cluster.slot_of(1)).unwrap();
    let is_lost = |partition: u16| cluster.master_of(5, cluster.slot_of(partition)) == Some(victim);
    let lost: Vec<bool> = (0..6).map(is_lost).collect();
    assert!(lost.contains(&false));
    cluster.wait_for_replica(victim, victim + 3);
    // Nobody takes over before this test has seen enough.
    cluster.servers[victim + 3].pause();
    cluster.servers[victim].kill9();

    let begun = Instant::now();
    let mut is_stale = false;
    while !is_stale {
        assert!(begun.elapsed() < PATIENCE, "the lost partitions never grew stale");
        is_stale = true;
        for tollgate in &tollgates {
            for (customer, is_lost) in customers.iter().zip(&lost) {
                let answer = tollgate.check(&json!({"customerId": customer})).json();
                assert_eq!(answer["reason"], "customer_disabled");
                assert!(*is_lost || answer["stale"] == false, "{customer}: {answer}");
                is_stale &= !is_lost || answer["stale"] == true;
            }
            assert_eq!(tollgate.admin("/readyz").status, 200);
        }
    }
    for (customer, is_lost) in customers.iter().zip(&lost) {
        let path = format!("/v1/customers/{customer}/enable");
        let enable = || tollgates[0].operate("POST", &path, Some(&json!({}))).status;
        if *is_lost {
            assert_eq!(enable(), 503);
        } else {
            wait_until("written to as before", || enable() == 200);
        }
    }

    cluster.servers[victim + 3].resume();
    let follow = |verb: &str, reason: &str| {
        for customer in &customers {
            let path = format!("/v1/customers/{customer}/{verb}");
            wait_until("written to again", || {
                tollgates[1].operate("POST", &path, Some(&json!({}))).status == 200
            });
            for tollgate in &tollgates {
                let is_followed = || tollgate.reason_to_write(customer) == reason;
                wait_until("followed on the new master", is_followed);
            }
        }
        for tollgate in &tollgates {
            wait_until("fresh again", || {
                let told = tollgate.status();
                told["staleness"]["stale"] == false && told["feed"]["connected"] == true
            });
            let lost = tollgate.status()["store"]["lost"].clone();
            assert!(lost.is_null(), "{lost}");
        }
    };
    follow("enable", "active");
    // It comes back empty, says for a moment that it is the master, and nobody believes it.
    cluster.servers[victim].restart();
    follow("disable", "customer_disabled");
    follow("enable", "active");
}

#[test]
fn instances_that_create_one_store_at_once_follow_one_history() {
    let cluster = RedisCluster::start(Flavor::Valkey, 3, Replicas::None);
    let flags = ["--store", &cluster.url(), "--partitions", "16"];
    let tollgates = [(); 4].map(|()| Tollgate::start_unready(&flags));
    for tollgate in &tollgates {
        wait_until("ready", || tollgate.admin("/readyz").status == 200);
    }
    let mut epochs = BTreeSet::new();
    for partition in 0..16 {
        let master = cluster.master_of(0, cluster.slot_of(partition)).unwrap();
        let meta = format!("tollgate:{{{partition}}}:meta");
        epochs.insert(cluster.ask::<String>(master, &["HGET", &meta, "created"]).unwrap());
    }
    assert_eq!(epochs.len(), 1, "{epochs:?}");
}

#[test]
fn an_idle_instance_costs_every_node_little() {
    let cluster = RedisCluster::start(Flavor::Redis, 3, Replicas::None);
    let tollgate = Tollgate::start(&["--store", &cluster.url(), "--partitions", "6"]);
    act(&tollgate, "disable", "c1");
    let commands = || (0..3).map(|place| commands_of(&cluster, place)).sum::<u64>();
    let (begun, before) = (Instant::now(), commands());
    wait_until("idle for a while", || begun.elapsed() > Duration::from_secs(5));
    let (after, took) = (commands(), begun.elapsed().as_secs_f64());
    // Four for each of the three nodes, and two for each of the six partitions.
    let sent = f64::from(u32::try_from(after - before).unwrap());
    let (cost, limit) = (sent / took, f64::from(4 * 3 + 2 * 6));
    assert!(cost > 0.0 && cost <= limit, "{cost} commands a second");
}

/// Where a user of the README, who is made by this, finds the store.
fn as_user(cluster: &RedisCluster, user: &str) -> String {
    let begin = format!("ACL SETUSER {user} ");
    let readme = include_str!("../../README.md").lines().map(str::trim);
    let lines: Vec<_> = readme.filter(|it| it.starts_with(&begin)).collect();
    assert_eq!(lines.len(), 2, "one for every store, and one for clusters");
    for (place, line) in (0..3).flat_map(|place| lines.iter().map(move |it| (place, it))) {
        let words: Vec<_> = line.split(' ').collect();
        cluster.ask::<String>(place, &words).unwrap();
    }
    cluster.url().replace("//", &format!("//{user}:change-me@"))
}

fn nobody_was_denied_anything(cluster: &RedisCluster) {
    for place in 0..3 {
        let denied: Vec<redis::Value> = cluster.ask(place, &["ACL", "LOG"]).unwrap();
        assert!(denied.is_empty(), "{denied:?}");
    }
}

/// Acts on a customer who may be new, and gives the revision.
fn act(tollgate: &Tollgate, verb: &str, customer: &str) -> serde_json::Value {
    let body = json!({"reason": "dispute", "create": true});
    let acted = tollgate.operate("POST", &format!("/v1/customers/{customer}/{verb}"), Some(&body));
    assert_eq!(acted.status, 200, "{acted:?}");
    acted.json()["revision"].clone()
}

/// Which of six partitions it is in.
fn partition_of(customer: &str) -> u16 {
    let key = CustomerKey::parse(&format!("default:{customer}")).unwrap();
    Partitions::new(6).unwrap().of(&key).0
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How many commands a server was sent, without those that tests send.
fn commands_of(cluster: &RedisCluster, place: usize) -> u64 {
    let told: String = cluster.ask(place, &["INFO", "commandstats"]).unwrap();
    let calls = told.lines().filter_map(|line| {
        let (name, counted) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let of_tests = name.starts_with("client|") || matches!(name, "info" | "hello");
        let (calls, _) = counted.split_once(',')?;
        if of_tests { None } else { calls.parse::<u64>().ok() }
    });
    calls.sum()
}

/// A customer of this one of six partitions.
fn customer_in(partition: u16) -> String {
    let mut names = (0..).map(|number| format!("c{number}"));
    names.find(|name| partition_of(name) == partition).unwrap()
}

const PATIENCE: Duration = Duration::from_secs(30);
