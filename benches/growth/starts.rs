//! Many instances that start at once on a store with many restricted customers.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    axes::thousands,
    crowd::Crowd,
    effort::Effort,
    scene::info,
    support::{RedisServer, tollgate::Tollgate},
    usage,
};

/// Starts them, and prints how long it took and what it cost Redis.
pub(crate) fn measure(effort: &Effort) {
    let restricted = effort.starts_on;
    let redis = Crowd { customers: restricted, restricted }.settle();
    println!(
        "\n| instances that start at once, {} restricted | first ready after | last ready after \
         | core of Redis, at most | commands a second, at most | Redis sends, at most | in all \
         | memory of each |",
        thousands(restricted)
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for instances in effort.starts {
        let sent = info(&redis, SENT);
        let (started, peak) = watched(&redis, || start(*instances, &redis));
        let sent = info(&redis, SENT) - sent;
        let resident = started.iter().map(|(tollgate, _)| usage::resident(tollgate.process()));
        let each = resident.sum::<u64>() / started.len() as u64;
        let mut times: Vec<_> = started.iter().map(|(_, took)| took.as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        println!(
            "| {instances} | {:.2} s | {:.2} s | {:.0} % | {:.0} | {:.1} MB/s | {} MB | {} MB |",
            times[0],
            times[times.len() - 1],
            peak.core * 100.0,
            peak.commands,
            peak.sent / 1e6,
            sent / 1_000_000,
            each / 1_000_000,
        );
    }
}

/// Every one, and how long it took until it was ready.
fn start(instances: usize, redis: &RedisServer) -> Vec<(Tollgate, Duration)> {
    let store = redis.url();
    let begun = Instant::now();
    thread::scope(|scope| {
        let starting: Vec<_> = (0..instances)
            .map(|_| {
                scope.spawn(|| {
                    let tollgate = Tollgate::start_unready(&["--store", &store]);
                    // Asked a hundred times a second, fifty would have no time for anything else.
                    while tollgate.admin("/readyz").status != 200 {
                        assert!(begun.elapsed() < Duration::from_mins(5), "it takes too long");
                        thread::sleep(Duration::from_millis(100));
                    }
                    (tollgate, begun.elapsed())
                })
            })
            .collect();
        starting.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

/// The most that Redis had to do within [`WINDOW`].
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    core: f64,
    commands: f64,
    sent: f64,
}

/// Watches Redis while something is done.
fn watched<T>(redis: &RedisServer, something: impl FnOnce() -> T) -> (T, Peak) {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = Peak::default();
            let mut before = Seen::of(redis);
            while !is_done.load(Ordering::SeqCst) {
                thread::sleep(WINDOW);
                let now = Seen::of(redis);
                let took = (now.at - before.at).as_secs_f64();
                let more = |now: u64, before: u64| f64::from(u32::try_from(now - before).unwrap());
                peak = Peak {
                    core: peak.core.max(now.cpu.saturating_sub(before.cpu).as_secs_f64() / took),
                    commands: peak.commands.max(more(now.commands, before.commands) / took),
                    sent: peak.sent.max(more(now.sent, before.sent) / took),
                };
                before = now;
            }
            peak
        });
        let done = something();
        is_done.store(true, Ordering::SeqCst);
        (done, watch.join().unwrap())
    })
}

struct Seen {
    at: Instant,
    cpu: Duration,
    commands: u64,
    sent: u64,
}

impl Seen {
    fn of(redis: &RedisServer) -> Self {
        let (commands, sent) = (info(redis, "total_commands_processed"), info(redis, SENT));
        Self { at: Instant::now(), cpu: usage::cpu_time(redis.process()), commands, sent }
    }
}

const WINDOW: Duration = Duration::from_millis(500);
const SENT: &str = "total_net_output_bytes";
