//! The faults, in one table.

use std::{env, fs, thread, time::Duration};

use super::{
    campaign::{Campaign, Scene, seed_or},
    embedded, failover,
    fleet::Fleet,
    flushed, recovery,
    report::{HEAD, Row},
    store,
    support::{Flavor, network},
};

/// Something that goes wrong.
#[derive(Clone, Copy)]
struct Fault {
    name: &'static str,
    /// How often it is injected in the short form.
    short: u32,
    /// How often it is injected in the long form.
    long: u32,
    course: Course,
}

/// What it goes wrong with.
#[derive(Clone, Copy)]
enum Course {
    /// Two instances on one Redis, which keeps what it was told.
    Fleet(fn(&mut Fleet, &mut Scene<'_>)),
    /// Two instances on one Redis, which forgets: what it forgot has to come back.
    Forgetful(fn(&mut Fleet, &mut Scene<'_>)),
    /// The same, where sentinels watch Redis.
    Watched(fn(&mut Fleet, &mut Scene<'_>)),
    /// The same on a cluster.
    Cluster(fn(&mut Fleet, &mut Scene<'_>)),
    /// Something of its own, told its name, a server, a seed and how often.
    Apart(fn(&'static str, Flavor, u64, u32) -> Row),
}

/// Makes a test of the short form of each fault, and the list of all for the long form.
macro_rules! faults {
    ($($test:ident: $name:literal, $short:literal, $long:literal, $course:expr;)+) => {
        $( #[test] fn $test() { short(stringify!($test)); } )+

        /// Every fault, by the name of its test.
        const FAULTS: &[(&str, Fault)] = &[$(
            (stringify!($test), Fault { name: $name, short: $short, long: $long, course: $course }),
        )+];
    };
}

faults! {
    redis_is_killed: "`kill -9` of Redis", 2, 20, Course::Fleet(kill_redis);
    redis_hangs_shortly: "Redis hangs for 200 ms", 3, 20, Course::Fleet(hang_shortly);
    redis_hangs_for_long: "Redis hangs for 5 s", 1, 6, Course::Fleet(hang_for_long);
    every_client_is_killed: "`CLIENT KILL` of all", 3, 20, Course::Fleet(kill_clients);
    every_subscriber_is_killed:
        "`CLIENT KILL` of subscribers", 3, 20, Course::Fleet(kill_subscribers);
    the_network_is_half_open: "half-open connections", 1, 6, Course::Fleet(half_open);
    the_log_is_trimmed: "log trimmed to one entry", 2, 10, Course::Fleet(trim_to_one);
    the_log_is_emptied: "log trimmed to nothing", 2, 10, Course::Fleet(trim_to_nothing);
    an_instance_is_killed:
        "`kill -9` of an instance, at every step", 5, 20, Course::Fleet(kill_instance);
    an_instance_hangs: "an instance hangs for 2 s", 1, 6, Course::Fleet(hang_instance);
    a_file_survives_its_instance:
        "`kill -9` of an instance on a file", 3, 20, Course::Apart(embedded::run);
    redis_is_flushed: "`FLUSHALL`", 1, 4, Course::Apart(flushed::run);
    a_flushed_redis_is_refilled:
        "`FLUSHALL`, `store refill-redis`", 1, 4, Course::Apart(flushed::run_and_refill);
    another_store_is_trusted:
        "another store, `store trust-redis`", 1, 4, Course::Apart(recovery::trust);
    the_restricted_set_is_deleted:
        "`DEL` of the restricted set", 1, 4, Course::Fleet(recovery::delete_restricted);
    redis_is_rolled_back:
        "Redis restarted from an older file", 2, 10, Course::Forgetful(recovery::roll_back);
    redis_goes_another_way:
        "the same, after others wrote to it", 1, 4, Course::Forgetful(recovery::diverge);
    the_master_crashes: "failover by sentinels", 1, 6, Course::Watched(failover::crash);
    the_master_is_switched_by_order:
        "switch ordered of sentinels", 1, 6, Course::Watched(failover::order);
    a_master_of_a_cluster_crashes:
        "failover of a cluster", 1, 6, Course::Cluster(failover::crash_of_cluster);
    a_master_of_a_cluster_is_switched_by_order:
        "failover ordered of a cluster", 1, 6, Course::Cluster(failover::order_of_cluster);
}

/// Runs one fault's short form.
fn short(test: &'static str) {
    let (index, (_, fault)) =
        FAULTS.iter().enumerate().find(|(_, (name, _))| *name == test).unwrap();
    let body = || {
        println!("{HEAD}\n{}", run(fault, flavor(index), seed_or(1), fault.short));
    };
    if test == "the_network_is_half_open" {
        network::in_its_own(&format!("faults::{test}"), body);
    } else {
        body();
    }
}

/// Every fault, on both servers, each as often as its long form says; only one of them when
/// `TOLLGATE_TEST_FAULT` names its test.
#[test]
#[ignore = "takes a quarter of an hour; `tests/run --campaign`"]
fn long_form() {
    network::in_its_own("faults::long_form", || {
        let seed = seed_or(fastrand::u64(..));
        let (mut rows, mut failed) = (Vec::new(), Vec::new());
        let only = env::var("TOLLGATE_TEST_FAULT").ok();
        let is_wanted = |test: &&str| only.as_ref().is_none_or(|only| only == test);
        for (test, fault) in FAULTS.iter().filter(|(test, _)| is_wanted(test)) {
            let mut row = Row { fault: fault.name, ..Row::default() };
            for index in 0..2 {
                let times = fault.long.div_ceil(2);
                // On a thread of its own: what fails does not keep the others from being tried.
                let ran = thread::spawn(move || run(fault, flavor(index), seed, times)).join();
                match ran {
                    Ok(ran) => row.add(&ran),
                    Err(_) => failed.push(*test),
                }
            }
            println!("{HEAD}\n{row}");
            rows.push(row.to_string());
        }
        println!("\nTOLLGATE_TEST_SEED={seed}\n\n{HEAD}\n{}\n", rows.join("\n"));
        assert!(failed.is_empty(), "failed: {failed:?}");
    });
}

fn run(fault: &Fault, flavor: Flavor, seed: u64, times: u32) -> Row {
    let forgets = |start: fn(Flavor) -> Fleet, inject: fn(&mut Fleet, &mut Scene<'_>)| {
        let mut campaign = Campaign::start_with(fault.name, flavor, seed, start);
        (0..times).for_each(|_| campaign.forgetful_round(inject));
        campaign.end()
    };
    match fault.course {
        Course::Apart(run) => run(fault.name, flavor, seed, times),
        Course::Fleet(inject) => {
            let mut campaign = Campaign::start(fault.name, flavor, seed);
            (0..times).for_each(|_| campaign.round(inject));
            campaign.end()
        }
        Course::Forgetful(inject) => forgets(Fleet::start, inject),
        Course::Watched(inject) => forgets(Fleet::start_watched, inject),
        Course::Cluster(inject) => forgets(Fleet::start_on_cluster, inject),
    }
}

fn flavor(index: usize) -> Flavor {
    if index.is_multiple_of(2) { Flavor::Redis } else { Flavor::Valkey }
}

fn kill_redis(fleet: &mut Fleet, scene: &mut Scene<'_>) {
    fleet.redis_mut().kill9();
    scene.pause(0..400);
    fleet.redis_mut().restart();
}

fn hang_shortly(fleet: &mut Fleet, _: &mut Scene<'_>) {
    fleet.redis().pause();
    thread::sleep(Duration::from_millis(200));
    fleet.redis().resume();
}

fn hang_for_long(fleet: &mut Fleet, _: &mut Scene<'_>) {
    fleet.redis().pause();
    thread::sleep(Duration::from_secs(5));
    fleet.redis().resume();
}

fn kill_clients(fleet: &mut Fleet, _: &mut Scene<'_>) {
    fleet.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    kill_subscribers_of(fleet);
}

fn kill_subscribers(fleet: &mut Fleet, _: &mut Scene<'_>) {
    kill_subscribers_of(fleet);
}

fn kill_subscribers_of(fleet: &Fleet) {
    fleet.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
}

/// One instance's packets to and from Redis vanish; the other one is on the socket, and goes on.
fn half_open(fleet: &mut Fleet, scene: &mut Scene<'_>) {
    let gap = network::Gap::around(fleet.redis().port());
    scene.pause(3000..6000);
    drop(gap);
}

fn trim_to_one(fleet: &mut Fleet, scene: &mut Scene<'_>) {
    trim(fleet, scene, "1");
}

fn trim_to_nothing(fleet: &mut Fleet, scene: &mut Scene<'_>) {
    trim(fleet, scene, "0");
}

/// Takes the log away from an instance that hangs and has changes to catch up with.
fn trim(fleet: &Fleet, scene: &mut Scene<'_>, kept: &str) {
    let instance = scene.rng.usize(..fleet.tollgates.len());
    fleet.pause_tollgate(instance);
    // Its session ends, so that it cannot hear what comes now.
    kill_subscribers_of(fleet);
    scene.wait_for_acts(30);
    let partitions = store::heads(fleet).len();
    for partition in 0..u16::try_from(partitions).unwrap() {
        fleet.command(&["XTRIM", &store::key(partition, "log"), "MAXLEN", kept]);
    }
    fleet.resume_tollgate(instance);
}

/// Kills an instance in the middle of its writes, and again at a step of its start.
fn kill_instance(fleet: &mut Fleet, scene: &mut Scene<'_>) {
    let instance = scene.rng.usize(..fleet.tollgates.len());
    let file = fleet.tollgates[instance].data_dir().path().join("snapshot");
    fleet.tollgates[instance].wait_until("kept on disk", || file.exists());
    fleet.kill_tollgate(instance);
    let step = STEPS.get(scene.rng.usize(..=STEPS.len()));
    if let Some((Begins::WithoutFile, _)) = step {
        fs::remove_file(file).unwrap();
    }
    fleet.start_tollgate(instance);
    if let Some((_, step)) = step {
        fleet.tollgates[instance].wait_for_log(step);
        fleet.kill_tollgate(instance);
        fleet.start_tollgate(instance);
    }
}

fn hang_instance(fleet: &mut Fleet, scene: &mut Scene<'_>) {
    let instance = scene.rng.usize(..fleet.tollgates.len());
    fleet.pause_tollgate(instance);
    thread::sleep(Duration::from_secs(2));
    fleet.resume_tollgate(instance);
}

/// What an instance begins with that is started again.
#[derive(Clone, Copy)]
enum Begins {
    WithFile,
    WithoutFile,
}

/// What it says on its way to following the store.
const STEPS: [(Begins, &str); 7] = [
    (Begins::WithFile, "listen.setting"),
    (Begins::WithFile, "Began with a picture"),
    (Begins::WithFile, "The feed is connected"),
    (Begins::WithFile, "The feed caught up"),
    (Begins::WithoutFile, "The feed is connected"),
    (Begins::WithoutFile, "Reading a snapshot"),
    (Begins::WithoutFile, "The snapshot decides now"),
];
