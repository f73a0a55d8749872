//! A store and the instances that follow it, and what can be done to them. One server holds the
//! store in one partition, the other in three.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use redis::Connection;
use rustix::process::Signal;
use serde_json::Value;

use super::{
    store,
    support::{
        Flavor, Persistence, RedisServer,
        redis_cluster::{RedisCluster, Replicas},
        sentinels::Sentinels,
        tollgate::Tollgate,
    },
};

/// One Redis or Valkey and two instances on it: one over its socket, one over TCP.
pub(crate) struct Fleet {
    /// Where the store is.
    pub(crate) servers: Servers,
    /// The instances.
    pub(crate) tollgates: Vec<Tollgate>,
    /// Where the instances are found.
    pub(crate) seats: Arc<[Seat]>,
    /// Which server the store is.
    pub(crate) flavor: Flavor,
    /// How many partitions the store has.
    pub(crate) partitions: &'static str,
    /// Snapshots that instances read beyond their first and that ended since.
    resnapshots: f64,
}

/// Where a store is.
pub(crate) enum Servers {
    /// On one server.
    One(RedisServer),
    /// On the one of three that sentinels call the master.
    Watched(Sentinels),
    /// On three masters, each with a replica.
    Cluster(RedisCluster),
}

/// Where an instance is found. It moves when the instance is restarted.
#[derive(Debug, Default)]
pub(crate) struct Seat(Mutex<Option<Place>>);

/// The listeners of one process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// Where gateways ask.
    pub(crate) check: SocketAddr,
    /// Where operators act.
    pub(crate) operator: SocketAddr,
    /// Where it is watched.
    pub(crate) admin: SocketAddr,
}

impl Seat {
    /// Where the instance is, unless it is down or made to hang.
    pub(crate) fn place(&self) -> Option<Place> {
        *self.0.lock().unwrap()
    }

    /// Tells where the instance is from now on.
    pub(crate) fn put(&self, tollgate: Option<&Tollgate>) {
        *self.0.lock().unwrap() = tollgate.map(|tollgate| Place {
            check: tollgate.check,
            operator: tollgate.operator,
            admin: tollgate.admin,
        });
    }
}

impl Fleet {
    /// Starts them, and waits until every instance is ready.
    pub(crate) fn start(flavor: Flavor) -> Self {
        let redis = RedisServer::start(flavor, Persistence::AppendOnlyFile);
        Self::start_on(Servers::One(redis), flavor)
    }

    /// The same with sentinels, and two replicas.
    pub(crate) fn start_watched(flavor: Flavor) -> Self {
        Self::start_on(Servers::Watched(Sentinels::start(flavor)), flavor)
    }

    /// The same on a cluster.
    pub(crate) fn start_on_cluster(flavor: Flavor) -> Self {
        let cluster = RedisCluster::start(flavor, 3, Replicas::OneEach);
        Self::start_on(Servers::Cluster(cluster), flavor)
    }

    fn start_on(servers: Servers, flavor: Flavor) -> Self {
        let partitions = match (&servers, flavor) {
            (Servers::Cluster(_), _) => "6",
            (_, Flavor::Redis) => "1",
            (_, Flavor::Valkey) => "3",
        };
        let start = |index| Tollgate::start(&flags(&servers.url(index), partitions));
        let tollgates: Vec<_> = (0..INSTANCES).map(start).collect();
        let seats = tollgates.iter().map(|tollgate| {
            let seat = Seat::default();
            seat.put(Some(tollgate));
            seat
        });
        let seats = seats.collect();
        Self { servers, tollgates, seats, flavor, partitions, resnapshots: 0.0 }
    }

    /// The server that the store is on, or its first partition.
    pub(crate) fn redis(&self) -> &RedisServer {
        self.redis_of(0)
    }

    /// Connects to the server that a partition is on.
    pub(crate) fn connect(&self, partition: u16) -> Connection {
        store::connect(self.redis_of(partition))
    }

    fn redis_of(&self, partition: u16) -> &RedisServer {
        match &self.servers {
            Servers::One(server) => server,
            Servers::Watched(sentinels) => &sentinels.servers[master(sentinels)],
            Servers::Cluster(cluster) => &cluster.servers[place_of(cluster, partition)],
        }
    }

    /// The same, to do something to it.
    pub(crate) fn redis_mut(&mut self) -> &mut RedisServer {
        match &mut self.servers {
            Servers::One(server) => server,
            Servers::Watched(sentinels) => {
                let master = master(sentinels);
                &mut sentinels.servers[master]
            }
            Servers::Cluster(cluster) => {
                let place = place_of(cluster, 0);
                &mut cluster.servers[place]
            }
        }
    }

    /// Ends an instance as a crash would.
    pub(crate) fn kill_tollgate(&mut self, index: usize) {
        self.seats[index].put(None);
        self.resnapshots += resnapshots_of(&self.tollgates[index]);
        self.tollgates[index].kill9();
    }

    /// Starts it again, in the same data directory, and waits only until its ports are bound.
    pub(crate) fn start_tollgate(&mut self, index: usize) {
        let data_dir = self.tollgates[index].data_dir();
        let started =
            Tollgate::start_in(data_dir, &flags(&self.servers.url(index), self.partitions));
        self.seats[index].put(Some(&started));
        self.tollgates[index] = started;
    }

    /// Makes an instance hang.
    pub(crate) fn pause_tollgate(&self, index: usize) {
        self.seats[index].put(None);
        self.tollgates[index].signal(Signal::STOP);
    }

    /// Ends [`Self::pause_tollgate`].
    pub(crate) fn resume_tollgate(&self, index: usize) {
        self.tollgates[index].signal(Signal::CONT);
        self.seats[index].put(Some(&self.tollgates[index]));
    }

    /// Sends Redis one command over a connection of its own, whatever its answer.
    pub(crate) fn command(&self, words: &[&str]) {
        let (name, arguments) = words.split_first().unwrap();
        redis::cmd(name).arg(arguments).exec(&mut store::connect(self.redis())).unwrap();
    }

    /// Waits until every instance has heard what the store holds now, and says how long it took.
    pub(crate) fn settle(&self) -> Duration {
        let begun = Instant::now();
        loop {
            let heads = store::heads(self);
            let behind: Vec<_> =
                self.tollgates.iter().filter(|it| !is_level(&it.status(), &heads)).collect();
            if behind.is_empty() {
                return begun.elapsed();
            }
            if begun.elapsed() > PATIENCE {
                let told = behind.iter().map(|it| (it.status(), it.log()));
                panic!("never level with {heads:?}: {:#?}", told.collect::<Vec<_>>());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How often instances read the whole restricted set beyond their first time.
    pub(crate) fn resnapshots(&self) -> f64 {
        self.resnapshots + self.tollgates.iter().map(resnapshots_of).sum::<f64>()
    }
}

/// Whether an instance follows the store, and has heard everything up to these heads.
fn is_level(status: &Value, heads: &[store::Head]) -> bool {
    let follows = status["feed"]["phase"] == "following"
        && status["feed"]["suspect"] == false
        && status["store"]["lost"].is_null()
        && status["staleness"]["stale"] == false;
    follows
        && heads.iter().enumerate().all(|(index, head)| {
            let reached = &status["feed"]["partitions"][index];
            reached["epoch"] == head.epoch
                && reached["revision"].as_u64().is_some_and(|revision| revision >= head.revision)
        })
}

/// How often the running process read the whole restricted set of a partition beyond the first
/// time.
fn resnapshots_of(tollgate: &Tollgate) -> f64 {
    let read = tollgate.sum_of("tollgate_feed_resnapshots_total", "");
    let partitions = tollgate.status()["feed"]["partitions"].as_array().unwrap().len();
    (read - f64::from(u16::try_from(partitions).unwrap())).max(0.0)
}

impl Servers {
    /// How an instance is told where the store is.
    fn url(&self, index: usize) -> String {
        match self {
            Self::One(redis) if index.is_multiple_of(2) => redis.url(),
            Self::One(redis) => redis.tcp_url(),
            Self::Watched(sentinels) => sentinels.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }
}

/// The place of the master of a partition, as most servers of the cluster say.
pub(crate) fn place_of(cluster: &RedisCluster, partition: u16) -> usize {
    let slot = cluster.slot_of(partition);
    let places = 0..cluster.servers.len();
    let told: Vec<_> = places.clone().filter_map(|it| cluster.master_of(it, slot)).collect();
    places.max_by_key(|place| told.iter().filter(|told| *told == place).count()).unwrap()
}

/// The place of the master, as soon as the sentinels agree on one.
pub(crate) fn master(sentinels: &Sentinels) -> usize {
    let begun = Instant::now();
    loop {
        match sentinels.master() {
            Some(master) => return master,
            None => assert!(begun.elapsed() < PATIENCE, "the sentinels never agreed"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn flags<'a>(url: &'a str, partitions: &'a str) -> [&'a str; 7] {
    ["--store", url, "--max-staleness", "2s", "--partitions", partitions, UNGUARDED]
}

/// More of its few customers are restricted in a campaign than the guard would let pass.
pub(crate) const UNGUARDED: &str = "--ingest-guard=off";

const INSTANCES: usize = 2;
const PATIENCE: Duration = Duration::from_secs(30);
