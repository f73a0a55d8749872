//! A master, its replicas, and the sentinels that watch them, for one test alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its sentinels has failed")]

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::redis_server::{Flavor, Persistence, RedisServer, free_port};

/// Three servers and three sentinels, all on free ports. Killed on drop.
#[derive(Debug)]
pub(crate) struct Sentinels {
    sentinels: Vec<Sentinel>,
    /// The servers; which of them is the master changes.
    pub(crate) servers: Vec<RedisServer>,
}

/// What differs from sentinels that anyone may ask, in the clear.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// Arguments of every server beside the usual.
    pub(crate) server_arguments: Vec<String>,
    /// Lines in every sentinel's configuration beside the usual.
    pub(crate) sentinel_lines: Vec<String>,
    /// Whether everybody speaks TLS, with what the arguments name.
    pub(crate) encrypted: bool,
}

/// One process.
#[derive(Debug)]
pub(crate) struct Sentinel {
    /// Where it listens.
    pub(crate) port: u16,
    child: Child,
    directory: TempDir,
}

impl Sentinels {
    /// Starts them, and waits until every sentinel knows everybody.
    pub(crate) fn start(flavor: Flavor) -> Self {
        Self::start_with(flavor, &Manner::default())
    }

    /// Starts them in this manner, and waits until every sentinel knows everybody.
    pub(crate) fn start_with(flavor: Flavor, manner: &Manner) -> Self {
        let server = |master: Option<u16>| {
            RedisServer::start_with(flavor, Persistence::None, |port| {
                let mut arguments: Vec<String> =
                    ["--repl-diskless-sync-delay", "0"].map(str::to_owned).into();
                if let Some(master) = master {
                    arguments.extend(["--replicaof", "127.0.0.1"].map(str::to_owned));
                    arguments.push(master.to_string());
                }
                if manner.encrypted {
                    let encrypted = ["--port", "0", "--tls-port", &port.to_string()];
                    arguments.extend(encrypted.map(str::to_owned));
                    arguments.extend(["--tls-replication", "yes"].map(str::to_owned));
                }
                arguments.extend_from_slice(&manner.server_arguments);
                arguments
            })
        };
        let master = server(None);
        let at = master.port();
        let mut servers = vec![master];
        servers.extend((0..2).map(|_| server(Some(at))));
        let sentinels = (0..3).map(|_| Sentinel::start(flavor, at, manner)).collect();
        let started = Self { sentinels, servers };
        started.wait_until("acquainted", || {
            let is_whole = |sentinel: &Sentinel| {
                let state = sentinel.state();
                state.get("num-slaves").is_some_and(|count| count == "2")
                    && state.get("num-other-sentinels").is_some_and(|count| count == "2")
                    && state.get("flags").is_some_and(|flags| flags == "master")
            };
            started.sentinels.iter().all(is_whole) && started.has_good_replicas()
        });
        started
    }

    /// Their addresses, as they stand in a URL.
    pub(crate) fn hosts(&self) -> String {
        let hosts = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
        hosts.collect::<Vec<_>>().join(",")
    }

    /// What a store is opened with.
    pub(crate) fn url(&self) -> String {
        format!("redis+sentinel://{}/{MASTER}", self.hosts())
    }

    /// Orders a switch.
    pub(crate) fn order_switch(&self) {
        self.wait_until("willing to switch", || {
            self.sentinels[0].ask::<()>(&["FAILOVER", MASTER]).is_some()
        });
    }

    /// The place among the servers of the one that most sentinels call the master.
    pub(crate) fn master(&self) -> Option<usize> {
        let named: Vec<_> = self.sentinels.iter().filter_map(Sentinel::master_port).collect();
        let most = |port: &u16| named.iter().filter(|named| *named == port).count() * 2 > 3;
        let port = named.iter().find(|port| most(port))?;
        self.servers.iter().position(|server| server.port() == *port)
    }

    fn has_good_replicas(&self) -> bool {
        let of = |sentinel: &Sentinel| {
            let told: Option<Vec<HashMap<String, String>>> = sentinel.ask(&["REPLICAS", MASTER]);
            told.unwrap_or_default()
        };
        let is_good = |replica: &HashMap<String, String>| {
            replica.get("master-link-status").is_some_and(|status| status == "ok")
                && replica.get("flags").is_some_and(|flags| flags == "slave")
        };
        self.sentinels
            .iter()
            .all(|sentinel| of(sentinel).iter().filter(|it| is_good(it)).count() == 2)
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            let logs = || self.sentinels.iter().map(Sentinel::log).collect::<Vec<_>>().join("\n\n");
            assert!(begun.elapsed() < PATIENCE, "the sentinels were never {what}:\n{}", logs());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Sentinel {
    fn start(flavor: Flavor, master: u16, manner: &Manner) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut lines = format!(
            "bind 127.0.0.1\n\
             dir {here}\n\
             logfile {here}/log\n\
             unixsocket {here}/socket\n\
             sentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER} 500\n\
             sentinel failover-timeout {MASTER} 3000\n",
            here = directory.path().display(),
        );
        let listen =
            if manner.encrypted { "port 0\ntls-replication yes\ntls-port" } else { "port" };
        writeln!(lines, "{listen} {port}").unwrap();
        for line in &manner.sentinel_lines {
            writeln!(lines, "{line}").unwrap();
        }
        let conf = directory.path().join("conf");
        fs::write(&conf, lines).unwrap();
        let child = Command::new(flavor.program())
            .arg(&conf)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { port, child, directory }
    }

    /// What it knows of the master; nothing while it does not answer.
    fn state(&self) -> HashMap<String, String> {
        self.ask(&["MASTER", MASTER]).unwrap_or_default()
    }

    fn master_port(&self) -> Option<u16> {
        let told: Option<(String, u16)> = self.ask(&["GET-MASTER-ADDR-BY-NAME", MASTER])?;
        told.map(|(_, port)| port)
    }

    /// Asks on its unix socket, where nobody needs TLS. Nothing if it refuses, or does not answer.
    fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        let url = format!("redis+unix://{}/socket", self.directory.path().display());
        let mut connection = redis::Client::open(url).unwrap().get_connection().ok()?;
        redis::cmd("SENTINEL").arg(words).query(&mut connection).ok()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// What the sentinels call the master.
pub(crate) const MASTER: &str = "main";
const PATIENCE: Duration = Duration::from_secs(20);
