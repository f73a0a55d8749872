//! A Prometheus that belongs to one test alone, and its tool.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::tollgate::http;

/// A server on a free port that scrapes five times a second and evaluates the rules. Killed on drop.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    // Last, so that it is removed when nobody writes to it any more.
    _directory: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes these admin listeners.
    pub(crate) fn start(targets: &[SocketAddr]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let rules = fs::canonicalize("helm/tollgate/rules/tollgate.yaml").unwrap();
        let targets: Vec<_> = targets.iter().map(|it| format!("'{it}'")).collect();
        let configuration = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n- job_name: tollgate\n  static_configs:\n  - targets: [{}]\n",
            rules.display(),
            targets.join(", "),
        );
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, configuration).unwrap();
        promtool(&["check", "config", file.to_str().unwrap()], "");
        let mut child = spawn(&file, &directory.path().join("data"));
        let stderr = child.stderr.take().unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut started = Self { child, address: nowhere, _directory: directory };
        started.address = ready(stderr);
        started
    }

    /// What an expression comes to now: a number for each series.
    pub(crate) fn query(&self, expression: &str) -> Vec<f64> {
        let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let answer = self.ask(&format!("/api/v1/query?query={query}"));
        let result = answer["result"].as_array().unwrap_or_else(|| panic!("{expression}"));
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
        result.iter().map(value).collect()
    }

    /// Every rule that it evaluates, as it tells of it.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let groups = self.ask("/api/v1/rules")["groups"].as_array().unwrap().clone();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    fn ask(&self, path: &str) -> Value {
        let answer = http(self.address, "GET", path, &[], None);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()["data"].clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(file: &Path, data: &Path) -> Child {
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg("--web.listen-address=127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("no prometheus ({error}): {INSTALL}"))
}

/// Waits until it says that it is ready. Gives the address that it said before.
fn ready(stderr: ChildStderr) -> SocketAddr {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        // Read to the end, whoever listens: it must not stall.
        let lines = BufReader::new(stderr).lines().map_while(Result::ok);
        lines.for_each(|line| drop(sender.send(line)));
    });
    let mut told: Vec<String> = Vec::new();
    while !told.last().is_some_and(|line| line.contains("ready to receive web requests")) {
        let line = lines.recv_timeout(PATIENCE);
        told.push(line.unwrap_or_else(|error| panic!("{error} after {told:#?}")));
    }
    let listening = told.iter().find(|line| line.contains("Listening on"));
    let (_, address) = listening.unwrap().rsplit_once("address=").unwrap();
    address.trim().parse().unwrap()
}

/// Runs promtool with this on its standard input. Whatever it finds fails the test.
pub(crate) fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("no promtool ({error}): {INSTALL}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // It may end before it has read all of it.
    let written = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    written.join().unwrap();
    assert!(output.status.success(), "promtool {arguments:?}: {output:#?}");
}

const INSTALL: &str = "`apt-get install prometheus` or `tests/run`";
const PATIENCE: Duration = Duration::from_secs(30);
