//! A network that belongs to one test alone, and gaps in it.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its network has failed")]

use std::{env, process::Command};

/// Runs `body` where nothing but this test can be reached: this test is started again, in a
/// network namespace of its own. `name` is the test's whole name.
pub(crate) fn in_its_own(name: &str, body: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        return body();
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let inside = command
        .arg("--net")
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--include-ignored", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap_or_else(|error| panic!("no unshare ({error}): it is in `util-linux`"));
    assert!(inside.success(), "it failed in its network namespace");
}

/// While it lives every packet to and from one port of this network vanishes, and nobody is told.
#[derive(Debug)]
pub(crate) struct Gap {
    port: u16,
}

impl Gap {
    /// Takes the packets away.
    pub(crate) fn around(port: u16) -> Self {
        drop_packets("-I", port);
        Self { port }
    }
}

impl Drop for Gap {
    fn drop(&mut self) {
        drop_packets("-D", self.port);
    }
}

fn drop_packets(how: &str, port: u16) {
    for side in ["--dport", "--sport"] {
        run("iptables", &[how, "INPUT", "-p", "tcp", side, &port.to_string(), "-j", "DROP"]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).output();
    let ran = ran.unwrap_or_else(|error| panic!("no {program} ({error}): `tests/run` installs it"));
    assert!(ran.status.success(), "{program} {arguments:?}: {ran:?}");
}

const INSIDE: &str = "TOLLGATE_TEST_INSIDE_ITS_OWN_NETWORK";
