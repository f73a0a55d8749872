//! An nginx that belongs to one test alone, with the configuration of `examples/nginx`.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its nginx has failed")]

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A single process in the foreground, on a free port. Killed on drop.
#[derive(Debug)]
pub(crate) struct Nginx {
    child: Child,
    /// Where clients ask.
    pub(crate) address: SocketAddr,
    // Last, so that it is removed when nobody writes to it any more.
    _directory: TempDir,
}

impl Nginx {
    /// Starts one that asks `tollgate` about every request to `app`.
    pub(crate) fn start(tollgate: SocketAddr, app: SocketAddr) -> Self {
        Self::start_changed(tollgate, app, &[])
    }

    /// Starts one in whose configuration more is replaced, each by what follows it.
    pub(crate) fn start_changed(
        tollgate: SocketAddr,
        app: SocketAddr,
        changes: &[(&str, &str)],
    ) -> Self {
        Self::start_with(|address, files| {
            let mut text = configuration(tollgate, app, address, files);
            for (from, to) in changes {
                assert_eq!(text.matches(from).count(), 1, "{from} in the example");
                text = text.replace(from, to);
            }
            text
        })
    }

    /// Starts one with a configuration that is written for its address, and for the settings that
    /// keep its files in a directory of its own.
    pub(crate) fn start_with(configuration: impl Fn(SocketAddr, &str) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().display();
        let files = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path {here}/{kind};\n"))
            .concat();
        for _ in 0..ATTEMPTS {
            let address = free_address();
            fs::write(directory.path().join("conf"), configuration(address, &files)).unwrap();
            fs::copy(format!("examples/nginx/{DENIES}"), directory.path().join(DENIES)).unwrap();
            if let Some(child) = ready(spawn(directory.path()), directory.path()) {
                return Self { child, address, _directory: directory };
            }
        }
        let log = fs::read_to_string(directory.path().join("error.log")).unwrap_or_default();
        panic!("nginx did not start; it left {log}");
    }

    /// The id of its one process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example's, with other addresses, and with every file where `nginx` was started.
fn configuration(tollgate: SocketAddr, app: SocketAddr, listen: SocketAddr, files: &str) -> String {
    let replaced = [
        ("http {\n", format!("http {{\n{files}")),
        ("/var/log/nginx", ".".to_owned()),
        ("listen 8000;", format!("listen {listen};")),
        ("127.0.0.1:7600", tollgate.to_string()),
        ("127.0.0.1:8080", app.to_string()),
    ];
    let example = fs::read_to_string("examples/nginx/nginx.conf").unwrap();
    replaced.iter().fold(example, |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from} in the example");
        text.replace(from, to)
    })
}

fn spawn(directory: &Path) -> Child {
    let here = directory.display();
    let mut command = Command::new("nginx");
    command
        .args(["-p", &here.to_string(), "-c", "conf", "-e", "error.log"])
        .args(["-g", &format!("daemon off; master_process off; pid {here}/pid;")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| {
        panic!("no nginx ({error}): `apt-get install nginx` or `tests/run`")
    })
}

/// Waits until it wrote its process id, which it does once it listens. Nothing if it ended instead.
fn ready(mut child: Child, directory: &Path) -> Option<Child> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && child.try_wait().unwrap().is_none() {
        if directory.join("pid").exists() {
            return Some(child);
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Free a moment ago. Somebody may take it meanwhile; then nginx ends at once.
fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

const DENIES: &str = "tollgate-deny.conf";
const ATTEMPTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);
