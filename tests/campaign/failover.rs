//! Another server becomes the master, by order or because the old one is gone. What it had not been
//! sent yet is forgotten, and comes back.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    campaign::Scene,
    fleet::{Fleet, Servers, master},
    store,
    support::sentinels::Sentinels,
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

fn watched(fleet: &mut Fleet) -> &mut Sentinels {
    match &mut fleet.servers {
        Servers::Watched(sentinels) => sentinels,
        Servers::One(_) => panic!("nobody watches this server"),
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

const PATIENCE: Duration = Duration::from_mins(1);
