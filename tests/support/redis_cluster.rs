//! A cluster of Redis or Valkey servers that belongs to one test alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its cluster has failed")]

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use redis::FromRedisValue;
use tollgate::store::redis::{Server, Servers, Settings};

use super::redis_server::{Flavor, Persistence, RedisServer, free_port, settings_at};

/// Servers on free ports that know each other and serve every slot. Killed on drop.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    /// First the masters, then their replicas in the same order; failovers change the roles.
    pub(crate) servers: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts so many masters, each with an equal share of the slots, and as many replicas if
    /// there are to be any. Waits until all of them are well.
    pub(crate) fn start(flavor: Flavor, masters: usize, replicas: Replicas) -> Self {
        Self::start_with(flavor, masters, replicas, |_| Vec::new())
    }

    /// The same with more arguments, which may depend on a server's place.
    pub(crate) fn start_with(
        flavor: Flavor,
        masters: usize,
        replicas: Replicas,
        more: impl Fn(usize) -> Vec<String>,
    ) -> Self {
        let count = match replicas {
            Replicas::None => masters,
            Replicas::OneEach => 2 * masters,
        };
        let mut ports = Vec::new();
        let servers = (0..count).map(|place| {
            let bus = free_port();
            ports.push(bus);
            let arguments = [arguments(bus, replicas), more(place)].concat();
            RedisServer::start_with(flavor, Persistence::None, |_| arguments.clone())
        });
        let cluster = Self { servers: servers.collect() };
        for place in 0..masters {
            let slots = [place, place + 1].map(|place| place * SLOTS / masters);
            let (first, last) = (slots[0].to_string(), (slots[1] - 1).to_string());
            let epoch = (place + 1).to_string();
            cluster.order(place, &["SET-CONFIG-EPOCH", &epoch]);
            cluster.order(place, &["ADDSLOTSRANGE", &first, &last]);
        }
        for (server, bus) in cluster.servers.iter().zip(&ports).skip(1) {
            let (port, bus) = (server.port().to_string(), bus.to_string());
            cluster.order(0, &["MEET", "127.0.0.1", &port, &bus]);
        }
        cluster.wait_until("acquainted", || {
            (0..count).all(|place| {
                let nodes: String = cluster.ask(place, &["CLUSTER", "NODES"]).unwrap_or_default();
                nodes.lines().count() == count && !nodes.contains("handshake")
            })
        });
        for place in masters..count {
            cluster.order(place, &["REPLICATE", &cluster.id(place - masters)]);
        }
        cluster.wait_until("well", || {
            (0..count).all(|place| {
                cluster.is_well(place)
                    && (place < masters || cluster.is_in_step(place))
                    && cluster.master_of(place, 0).is_some_and(|master| master == 0)
            })
        });
        cluster
    }

    /// What a store is opened with; it names the first two servers.
    pub(crate) fn url(&self) -> String {
        let nodes = self.servers.iter().take(2).map(|it| format!("127.0.0.1:{}", it.port()));
        format!("redis+cluster://{}", nodes.collect::<Vec<_>>().join(","))
    }

    /// The same for a store without a process around it.
    pub(crate) fn settings(&self) -> Settings {
        let node = |it: &RedisServer| Server { host: "127.0.0.1".to_owned(), port: it.port() };
        settings_at(Servers::Cluster(self.servers.iter().take(2).map(node).collect()))
    }

    /// Asks one server. Nothing if it refuses, or does not answer.
    pub(crate) fn ask<T: FromRedisValue>(&self, place: usize, words: &[&str]) -> Option<T> {
        let client = redis::Client::open(self.servers[place].tcp_url()).unwrap();
        let mut connection = client.get_connection_with_timeout(PATIENCE).ok()?;
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection).ok()
    }

    /// The place of the master of `slot`, as the server at `place` says.
    pub(crate) fn master_of(&self, place: usize, slot: u16) -> Option<usize> {
        type Node = (String, u16, String, redis::Value);
        let slots: Vec<Vec<redis::Value>> = self.ask(place, &["CLUSTER", "SLOTS"])?;
        let port = slots.into_iter().find_map(|range| {
            let [first, last, master, ..] = range.as_slice() else { return None };
            let first = u16::from_redis_value_ref(first).ok()?;
            let last = u16::from_redis_value_ref(last).ok()?;
            let (_, port, ..) = Node::from_redis_value_ref(master).ok()?;
            (first..=last).contains(&slot).then_some(port)
        })?;
        self.servers.iter().position(|server| server.port() == port)
    }

    /// The slot of a partition's keys.
    pub(crate) fn slot_of(&self, partition: u16) -> u16 {
        let key = format!("tollgate:{{{partition}}}:meta");
        let ask = |place| self.ask(place, &["CLUSTER", "KEYSLOT", &key]);
        (0..self.servers.len()).find_map(ask).unwrap()
    }

    /// Begins to move a slot: from now on keys that are not at `from` are asked for at `to`.
    ///
    /// First waits until every node knows of the move before. The new master takes an epoch above
    /// all that it knows of; one that is not above its predecessor's may lose the slot to it again,
    /// and then each of the two says for ever that the other one serves it.
    pub(crate) fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let epochs = |place| self.epochs_of_masters(place);
        self.wait_until("of one mind about the epochs", || {
            let first = epochs(0);
            !first.is_empty() && (1..self.servers.len()).all(|place| epochs(place) == first)
        });
        let slot = slot.to_string();
        self.order(to, &["SETSLOT", &slot, "IMPORTING", &self.id(from)]);
        self.order(from, &["SETSLOT", &slot, "MIGRATING", &self.id(to)]);
    }

    /// Moves at most so many keys of the slot, and says how many it moved.
    pub(crate) fn move_keys(&self, slot: u16, from: usize, to: usize, at_most: usize) -> usize {
        let (slot, at_most) = (slot.to_string(), at_most.to_string());
        let keys: Vec<String> =
            self.ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, &at_most]).unwrap();
        let port = self.servers[to].port().to_string();
        for key in &keys {
            let words = ["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
            self.ask::<String>(from, &words).unwrap();
        }
        keys.len()
    }

    /// Ends the move: everybody is told, the new master first.
    pub(crate) fn end_move(&self, slot: u16, to: usize) {
        let (slot, id) = (slot.to_string(), self.id(to));
        let others = (0..self.servers.len()).filter(|place| *place != to);
        for place in std::iter::once(to).chain(others) {
            // A replica takes no such order; it hears of it from the others.
            let _ = self.ask::<String>(place, &["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
    }

    /// Waits until every write to the server at `place` is on the replica at `replica` too.
    pub(crate) fn wait_for_replica(&self, place: usize, replica: usize) {
        let offset = |place: usize| {
            let info: String = self.ask(place, &["INFO", "replication"]).unwrap();
            let found = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
            found.unwrap().trim().parse::<u64>().unwrap()
        };
        let written = offset(place);
        self.wait_until("replicated", || offset(replica) >= written);
    }

    /// Whether the server takes the cluster for whole.
    fn is_well(&self, place: usize) -> bool {
        let info: String = self.ask(place, &["CLUSTER", "INFO"]).unwrap_or_default();
        let says = |what: &str| info.lines().any(|line| line.trim() == what);
        says("cluster_state:ok") && says("cluster_slots_ok:16384")
    }

    /// Whether the server is a replica that hears its master.
    pub(crate) fn is_in_step(&self, place: usize) -> bool {
        let role: Option<(String, String, u16, String, i64)> = self.ask(place, &["ROLE"]);
        role.is_some_and(|(role, _, _, link, _)| role == "slave" && link == "connected")
    }

    /// Whether the server calls itself a master.
    pub(crate) fn is_elected(&self, place: usize) -> bool {
        let told: Option<String> = self.ask(place, &["INFO", "replication"]);
        told.is_some_and(|told| told.contains("role:master"))
    }

    /// Each master's id and the epoch of its claim to its slots, as the server at `place` knows.
    fn epochs_of_masters(&self, place: usize) -> BTreeSet<(String, String)> {
        let nodes: String = self.ask(place, &["CLUSTER", "NODES"]).unwrap_or_default();
        let masters = nodes.lines().filter_map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let is_master = fields.get(2)?.contains("master");
            is_master.then_some((fields[0].to_owned(), (*fields.get(6)?).to_owned()))
        });
        masters.collect()
    }

    fn id(&self, place: usize) -> String {
        self.ask(place, &["CLUSTER", "MYID"]).unwrap()
    }

    fn order(&self, place: usize, words: &[&str]) {
        let all = [&["CLUSTER"], words].concat();
        self.ask::<String>(place, &all).unwrap_or_else(|| panic!("{all:?} is refused"));
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            let told: Option<String> = self.ask(0, &["CLUSTER", "NODES"]);
            assert!(begun.elapsed() < PATIENCE, "the cluster was never {what}: {told:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether masters have replicas.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Replicas {
    /// They have none.
    None,
    /// Each has one.
    OneEach,
}

/// A master that is away is replaced however early it goes, and the others go on meanwhile. Where
/// nobody could replace one, nobody is in a hurry to find it missing.
fn arguments(bus: u16, replicas: Replicas) -> Vec<String> {
    let bus = bus.to_string();
    let timeout = match replicas {
        Replicas::None => "10000",
        Replicas::OneEach => "2000",
    };
    let arguments = [
        ("--cluster-enabled", "yes"),
        ("--cluster-port", &bus),
        ("--cluster-node-timeout", timeout),
        ("--cluster-require-full-coverage", "no"),
        ("--cluster-replica-validity-factor", "0"),
        ("--repl-diskless-sync-delay", "0"),
    ];
    arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]).collect()
}

const SLOTS: usize = 16384;
const PATIENCE: Duration = Duration::from_secs(20);
