//! One step of an axis: instances on one Redis, what they are asked, and what it costs.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    checks::{self, Checks},
    cores::{Cores, on},
    effect::{self, Effects, Pace},
    effort::Effort,
    ready,
    subscribers::Subscribers,
    support::{RedisServer, tollgate::Tollgate},
    usage,
};

/// What is measured. Beside the instance that is asked there is one that is told of the changes,
/// and at least one that only hears of them.
#[derive(Clone, Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) redis: &'a RedisServer,
    /// How many customers are asked about.
    pub(crate) customers: u64,
    /// Flags of all but the instance that is told.
    pub(crate) flags: Vec<String>,
    pub(crate) routes: u32,
    pub(crate) instances: usize,
    pub(crate) subscribers: usize,
    pub(crate) changes_a_second: u32,
}

/// What it came to.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) ready_after: Duration,
    pub(crate) checks: Checks,
    pub(crate) effects: Effects,
    /// The share of a core that an instance takes which only hears of the changes.
    pub(crate) hearing_cpu: f64,
    /// The memory of that one, and of the one that is asked, in bytes.
    pub(crate) hearing_memory: u64,
    pub(crate) asked_memory: u64,
    /// The share of a core that Redis takes while there are changes.
    pub(crate) redis_cpu: f64,
    /// Bytes a second that it sends.
    pub(crate) redis_sends: f64,
    /// Bytes.
    pub(crate) redis_memory: u64,
}

impl<'a> Scene<'a> {
    /// What every axis begins with.
    pub(crate) fn usual(redis: &'a RedisServer, customers: u64) -> Self {
        Self {
            redis,
            customers,
            flags: Vec::new(),
            routes: 0,
            instances: 3,
            subscribers: 0,
            changes_a_second: 500,
        }
    }

    /// Starts all of it, asks, changes, and ends all of it.
    pub(crate) fn measure(&self, effort: &Effort) -> Measured {
        let cores = Cores::of_this_machine();
        let store = self.redis.url();
        let mut flags = vec!["--store", &store];
        let changed = Tollgate::start(&flags);
        flags.extend(self.flags.iter().map(String::as_str));
        let (asked, ready_after) = on(cores.server, || ready::start(&flags));
        let hearing = hearing(self.instances - 2, &flags);
        let subscribers = Subscribers::start(self.subscribers, self.redis);
        let checks = checks::measure(&asked, self.customers, self.routes, effort.checks, &cores);
        let pace = Pace {
            changes_a_second: self.changes_a_second,
            warm_up: Duration::from_secs(1),
            measured: effort.changes,
        };
        let (effects, used) = effect::measure(self.redis, &changed, &asked, pace, || {
            let before = self.used(&hearing[0]);
            thread::sleep(pace.measured);
            self.used(&hearing[0]).since(&before)
        });
        drop(subscribers);
        Measured {
            ready_after,
            checks,
            effects,
            hearing_cpu: used.hearing.as_secs_f64() / used.time(),
            hearing_memory: usage::resident(hearing[0].process()),
            asked_memory: usage::resident(asked.process()),
            redis_cpu: used.redis.as_secs_f64() / used.time(),
            redis_sends: used.sent / used.time(),
            redis_memory: info(self.redis, "used_memory"),
        }
    }

    fn used(&self, hearing: &Tollgate) -> Used {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
        let sent = info(self.redis, "total_net_output_bytes") as f64;
        Used {
            at: Instant::now(),
            took: Duration::ZERO,
            hearing: usage::cpu_time(hearing.process()),
            redis: usage::cpu_time(self.redis.process()),
            sent,
        }
    }
}

/// Instances that nobody asks.
fn hearing(count: usize, flags: &[&str]) -> Vec<Tollgate> {
    let mut hearing = Vec::new();
    // Not all at once: what a start costs is another axis.
    while hearing.len() < count {
        let begun = Instant::now();
        let next = (count - hearing.len()).min(8);
        let next: Vec<_> = (0..next).map(|_| Tollgate::start_unready(flags)).collect();
        for tollgate in &next {
            ready::wait_for(tollgate, begun);
        }
        hearing.extend(next);
    }
    hearing
}

/// A number of Redis's own statistics.
pub(crate) fn info(redis: &RedisServer, name: &str) -> u64 {
    let mut connection = redis::Client::open(redis.tcp_url()).unwrap().get_connection().unwrap();
    let info: redis::InfoDict = redis::cmd("INFO").query(&mut connection).unwrap();
    info.get(name).unwrap_or_else(|| panic!("Redis tells no {name}"))
}

/// What was used so far, or since.
struct Used {
    at: Instant,
    took: Duration,
    hearing: Duration,
    redis: Duration,
    sent: f64,
}

impl Used {
    fn since(&self, before: &Self) -> Self {
        Self {
            at: self.at,
            took: self.at - before.at,
            hearing: self.hearing.saturating_sub(before.hearing),
            redis: self.redis.saturating_sub(before.redis),
            sent: self.sent - before.sent,
        }
    }

    fn time(&self) -> f64 {
        self.took.as_secs_f64()
    }
}
