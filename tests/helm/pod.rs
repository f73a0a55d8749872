//! A rendered container, started as a cluster would: the same command line, variables, volumes, user
//! and ports, but for directories and free ports in the place of those that only a pod has.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    objects::{list, texts},
    volumes::{Volumes, is_root},
};

/// A running container. Killed on drop.
#[derive(Debug)]
pub(crate) struct Running {
    /// What was rendered.
    pub(crate) container: Value,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// Where each port of the container is.
    ports: BTreeMap<u16, SocketAddr>,
    variables: Vec<(String, String)>,
}

impl Running {
    /// Starts the container `name` of a pod, and waits until its ports are bound. `elsewhere` says
    /// which text of its arguments stands for what, where a cluster's names mean nothing here.
    pub(crate) fn start(
        pod: &Value,
        container: &Value,
        volumes: &Volumes,
        elsewhere: &[(&str, &str)],
    ) -> Self {
        let mut settings = BTreeMap::new();
        let arguments = arguments(container, volumes, elsewhere).into_iter().map(|argument| {
            let Some((setting, address)) = listener(&argument) else { return argument };
            settings.insert(setting.to_owned(), address.port());
            format!("{setting}={}", SocketAddr::new(address.ip(), 0))
        });
        let arguments: Vec<_> = arguments.collect();
        let variables: Vec<_> = list(&container["env"])
            .iter()
            .map(|variable| {
                let value = variable["value"].as_str().unwrap_or_default();
                let name = variable["name"].as_str().unwrap().to_owned();
                (name, volumes.map(container, value))
            })
            .collect();
        let mut command = as_its_user(pod, container, volumes.program());
        let mut child = command
            .args(&arguments)
            .env_clear()
            .envs(variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("no setpriv ({error}): it is in `util-linux`"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, written) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        thread::spawn(move || {
            lines.lines().map_while(Result::ok).for_each(|line| written.lock().unwrap().push(line));
        });
        let container = container.clone();
        let mut running = Self { container, child, log, ports: BTreeMap::new(), variables };
        for (setting, port) in settings {
            let bound = running.bound(&setting);
            running.ports.insert(port, bound);
        }
        running
    }

    /// Where one of its ports is, by the name that it has.
    pub(crate) fn port(&self, name: &str) -> SocketAddr {
        let ports = list(&self.container["ports"]).iter();
        let mut named = ports.filter(|port| port["name"] == name);
        let port = named.next().unwrap_or_else(|| panic!("no port is called {name}"));
        self.ports[&u16::try_from(port["containerPort"].as_u64().unwrap()).unwrap()]
    }

    /// Where the listener is that the container has on this port, exposed or not.
    pub(crate) fn listener(&self, port: u16) -> Option<SocketAddr> {
        self.ports.get(&port).copied()
    }

    /// Runs the program beside it, as `kubectl exec` does.
    pub(crate) fn exec(&self, volumes: &Volumes, arguments: &[&str]) -> Output {
        let variables = self.variables.iter().map(|(name, value)| {
            let here = |text: String, (port, address): (&u16, &SocketAddr)| {
                text.replace(&format!("127.0.0.1:{port}"), &address.to_string())
            };
            (name, self.ports.iter().fold(value.clone(), here))
        });
        let mut command = Command::new(volumes.program());
        command.args(arguments).env_clear().envs(variables);
        command.output().unwrap()
    }

    /// Waits until `is_so`, for a quarter of a minute at most.
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "never {what}; it logged {:#?}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Asks it to end, as the kubelet does, and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "did not stop; it logged {:#?}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as a crash does.
    pub(crate) fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn bound(&mut self, setting: &str) -> SocketAddr {
        let begun = Instant::now();
        let named = format!("({setting})");
        loop {
            for line in self.log() {
                if let Some((before, _)) = line.split_once(&named)
                    && let Some(address) = before.split_whitespace().last()
                    && let Ok(address) = address.parse()
                {
                    return local(address);
                }
            }
            let ended = self.child.try_wait().unwrap();
            let has_time = begun.elapsed() < PATIENCE && ended.is_none();
            assert!(has_time, "{setting} was not bound; it logged {:#?}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A container's arguments, with the directories of its volumes. `elsewhere` is as above.
pub(crate) fn arguments(
    container: &Value,
    volumes: &Volumes,
    elsewhere: &[(&str, &str)],
) -> Vec<String> {
    let mapped = texts(&container["args"]).into_iter().map(|argument| {
        let replaced = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        volumes.map(container, &elsewhere.iter().fold(argument.to_owned(), replaced))
    });
    mapped.collect()
}

/// A command that runs as the container's user, in its groups, without privileges. Only root can
/// choose; anybody else runs it as it is.
pub(crate) fn as_its_user(
    pod: &Value,
    container: &Value,
    program: impl AsRef<std::ffi::OsStr>,
) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let of = |field: &str| {
        let id = container["securityContext"][field].as_u64();
        id.or(pod["securityContext"][field].as_u64()).unwrap().to_string()
    };
    let groups = pod["securityContext"]["fsGroup"].as_u64().unwrap().to_string();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &of("runAsUser"), "--regid", &of("runAsGroup"), "--groups", &groups])
        .args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"])
        .arg(program);
    command
}

/// The setting and the address, if an argument says where to listen.
fn listener(argument: &str) -> Option<(&str, SocketAddr)> {
    let (setting, address) = argument.split_once('=')?;
    Some((setting, address.parse().ok()?)).filter(|_| setting.ends_with("-listen"))
}

/// Where this machine reaches what listens on every address.
fn local(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { ([127, 0, 0, 1], address.port()).into() } else { address }
}

const PATIENCE: Duration = Duration::from_secs(15);
