//! Another server becomes the master, by order or because the old one is gone. What it had not been
//! sent yet is forgotten, and comes back.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    campaign::Scene,
    fleet::{Fleet, Servers, master, place_of},
    store,
    support::{redis_cluster::RedisCluster, sentinels::Sentinels},
};

/// Kills the master, and starts it again once another one was elected.
pub(crate) fn crash(fleet: &mut Fleet, _: &mut Scene<'_>) {
    let sentinels = watched(fleet);
    wait_for_replicas(sentinels);
    let before = master(sentinels);
    sentinels.servers[before].kill9();
    wait_for_switch(sentinels, before);
    sentinels.servers[before].restart();
}

/// Has the sentinels switch.
pub(crate) fn order(fleet: &mut Fleet, _: &mut Scene<'_>) {
    let sentinels = watched(fleet);
    wait_for_replicas(sentinels);
    let before = master(sentinels);
    sentinels.order_switch();
    wait_for_switch(sentinels, before);
}

/// Kills one of a cluster's masters, and starts it again once its replica is in its place.
pub(crate) fn crash_of_cluster(fleet: &mut Fleet, scene: &mut Scene<'_>) {
    let cluster = clustered(fleet);
    let before = place_of(cluster, scene.rng.u16(..PARTITIONS));
    wait_until_replicated(cluster, before);
    cluster.servers[before].kill9();
    wait_until_left(cluster, before);
    cluster.servers[before].restart();
}

/// Has a replica take its master's place.
pub(crate) fn order_of_cluster(fleet: &mut Fleet, scene: &mut Scene<'_>) {
    let cluster = clustered(fleet);
    let before = place_of(cluster, scene.rng.u16(..PARTITIONS));
    wait_until_replicated(cluster, before);
    let begun = Instant::now();
    let mut ordered: Option<Instant> = None;
    while is_master(cluster, before) {
        assert!(begun.elapsed() < PATIENCE, "the replica did not take the master's place");
        // It gives up, and tells nobody, when it has not caught up or got the votes in time.
        if ordered.is_none_or(|ordered| ordered.elapsed() > ORDER_TAKES) {
            let order = ["CLUSTER", "FAILOVER"];
            let taken = cluster.ask::<String>(partner(before), &order).is_some();
            ordered = taken.then(Instant::now);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn clustered(fleet: &mut Fleet) -> &mut RedisCluster {
    match &mut fleet.servers {
        Servers::Cluster(cluster) => cluster,
        Servers::One(_) | Servers::Watched(_) => panic!("this is no cluster"),
    }
}

/// The place of the server that has the same slots as the one at `place`.
const fn partner(place: usize) -> usize {
    (place + 3) % 6
}

/// Waits until the partner of a master hears it, as after the fault before this one.
fn wait_until_replicated(cluster: &RedisCluster, master: usize) {
    let begun = Instant::now();
    while !cluster.is_in_step(partner(master)) {
        assert!(begun.elapsed() < PATIENCE, "the replica did not come back");
        thread::sleep(Duration::from_millis(20));
    }
}

fn wait_until_left(cluster: &RedisCluster, before: usize) {
    let begun = Instant::now();
    // It comes back with nothing, so not before its replica says itself that it was elected.
    while !cluster.is_elected(partner(before)) || is_master(cluster, before) {
        assert!(begun.elapsed() < PATIENCE, "nobody took the master's place");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether most servers take the one at that place for a master.
fn is_master(cluster: &RedisCluster, place: usize) -> bool {
    (0..PARTITIONS).any(|partition| place_of(cluster, partition) == place)
}

fn watched(fleet: &mut Fleet) -> &mut Sentinels {
    match &mut fleet.servers {
        Servers::Watched(sentinels) => sentinels,
        Servers::One(_) | Servers::Cluster(_) => panic!("nobody watches these servers"),
    }
}

/// Waits until both replicas have what the master has, as after the fault before this one.
fn wait_for_replicas(sentinels: &Sentinels) {
    let begun = Instant::now();
    loop {
        let mut redis = store::connect(&sentinels.servers[master(sentinels)]);
        redis::cmd("SET").arg("marker").arg(1).exec(&mut redis).unwrap();
        let heard: u32 = redis::cmd("WAIT").arg(2).arg(1000).query(&mut redis).unwrap();
        if heard == 2 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the replicas did not come back");
    }
}

fn wait_for_switch(sentinels: &Sentinels, before: usize) {
    let begun = Instant::now();
    while master(sentinels) == before {
        assert!(begun.elapsed() < PATIENCE, "nobody else became the master");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Twice what a replica takes for an order before it gives up.
const ORDER_TAKES: Duration = Duration::from_secs(10);
/// Of a store on a cluster.
const PARTITIONS: u16 = 6;
const PATIENCE: Duration = Duration::from_mins(1);
