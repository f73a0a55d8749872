//! A running Tollgate that belongs to one test alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its Tollgate has failed")]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A process with free ports and a data directory of its own. Killed on drop.
#[derive(Debug)]
pub(crate) struct Tollgate {
    child: Child,
    log: Arc<Log>,
    /// Where gateways ask.
    pub(crate) check: SocketAddr,
    /// Where operators act; port 0 when that is off.
    pub(crate) operator: SocketAddr,
    /// Where it is watched.
    pub(crate) admin: SocketAddr,
    /// Where billing systems call back; port 0 when that is off.
    pub(crate) webhook: SocketAddr,
    data_dir: Arc<TempDir>,
}

/// What it wrote to standard error so far.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    written: Condvar,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers, by lower-case name.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: String,
}

impl Answer {
    /// One header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(found, _)| found == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// `error.code` of the body.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The token that every Tollgate of the tests takes for an admin's.
pub(crate) const ADMIN_TOKEN: &str = "an-admin-token-for-tests";

impl Tollgate {
    /// Starts one with these flags beside those for free ports, and waits until it is ready.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let tollgate = Self::start_unready(flags);
        tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
        tollgate
    }

    /// Starts one and waits only until its ports are bound.
    pub(crate) fn start_unready(flags: &[&str]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), flags)
    }

    /// Starts one in a data directory that another one used before.
    pub(crate) fn start_in(data_dir: Arc<TempDir>, flags: &[&str]) -> Self {
        let command = serve(data_dir.path(), flags);
        Self::start_as(command, data_dir, flags)
    }

    /// Starts one by `program` and its arguments, in the place of the one that was built beside
    /// the test.
    pub(crate) fn start_by(program: &[&str], flags: &[&str]) -> Self {
        let data_dir = Arc::new(tempfile::tempdir().unwrap());
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(serve(data_dir.path(), flags).get_args());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::start_as(command, data_dir, flags)
    }

    fn start_as(mut command: Command, data_dir: Arc<TempDir>, flags: &[&str]) -> Self {
        if !flags.contains(&"--admin-token-file") {
            command.env("TOLLGATE_ADMIN_TOKEN", ADMIN_TOKEN);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, written) = (child.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                written.lines.lock().unwrap().push(line);
                written.written.notify_all();
            }
        });
        let bound = |setting: &str| {
            let line = log.wait_for(|line| {
                line.contains("listen.setting") && line.contains(&format!("\"{setting}\""))
            });
            let line: Value = serde_json::from_str(&line).unwrap();
            line["listen.address"].as_str().unwrap().parse().unwrap()
        };
        let has_operator = !flags.windows(2).any(|pair| pair == ["--operator-listen", "off"]);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let operator = if has_operator { bound("--operator-listen") } else { nowhere };
        let (check, admin) = (bound("--check-listen"), bound("--admin-listen"));
        let has_webhooks = flags.contains(&"--webhook-listen");
        let webhook = if has_webhooks { bound("--webhook-listen") } else { nowhere };
        Self { child, log, check, operator, admin, webhook, data_dir }
    }

    /// The data directory, to start another one in.
    pub(crate) fn data_dir(&self) -> Arc<TempDir> {
        Arc::clone(&self.data_dir)
    }

    /// Asks the check listener. `headers` are `name: value` lines.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        http(self.check, method, path, headers, None)
    }

    /// Asks `/v1/check`.
    pub(crate) fn check(&self, question: &Value) -> Answer {
        http(self.check, "POST", "/v1/check", JSON, Some(&question.to_string()))
    }

    /// Whether a customer may write, as `/v1/check` gives its reason.
    pub(crate) fn reason_to_write(&self, customer: &str) -> String {
        let question = serde_json::json!({"customerId": customer, "action": "write"});
        self.check(&question).json()["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Calls the operator listener as an admin, with a JSON body if there is one.
    pub(crate) fn operate(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let token = format!("Bearer {ADMIN_TOKEN}");
        self.operate_as(&[("authorization", &token)], method, path, body)
    }

    /// Calls the operator listener with these headers.
    pub(crate) fn operate_as(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let mut all = headers.to_vec();
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            all.extend_from_slice(JSON);
        }
        http(self.operator, method, path, &all, body.map(Value::to_string).as_deref())
    }

    /// Everything that the operator listener lists at `path` under `field`, page by page; `cursor`
    /// is the parameter that begins the next one.
    pub(crate) fn list(&self, path: &str, field: &str, cursor: &str) -> Vec<Value> {
        let mut listed = Vec::new();
        let mut next = format!("{path}?limit=7");
        loop {
            let page = self.operate("GET", &next, None).json();
            listed.extend(page[field].as_array().unwrap().iter().cloned());
            let Some(at) = page["nextCursor"].as_str() else { return listed };
            next = format!("{path}?limit=7&{cursor}={at}");
        }
    }

    /// Asks the admin listener.
    pub(crate) fn admin(&self, path: &str) -> Answer {
        http(self.admin, "GET", path, &[], None)
    }

    /// A whole number of `/metrics`, named with its labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.admin("/metrics").body;
        let mut lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
        let value = lines.find(|(found, _)| *found == name).map(|(_, value)| value);
        value.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
    }

    /// The sum of a metric's samples that carry a label, written `name="value"`; of all of them
    /// when it is empty.
    pub(crate) fn sum_of(&self, name: &str, label: &str) -> f64 {
        let metrics = self.admin("/metrics").body;
        let samples = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            let (labels, value) = rest.rsplit_once(' ')?;
            labels.contains(label).then(|| value.parse::<f64>().unwrap())
        });
        samples.sum()
    }

    /// `/status`.
    pub(crate) fn status(&self) -> Value {
        self.admin("/status").json()
    }

    /// The id of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it took so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// How long its threads of this name have had something to do: running, or waiting for a core.
    pub(crate) fn busy_time_of(&self, name: &str) -> Duration {
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap() {
            let task = task.unwrap().path();
            // One that has ended meanwhile has nothing to do.
            let read = |file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
            if read("comm").trim() == name {
                let times = read("schedstat");
                let times = times.split(' ').take(2).filter_map(|time| time.parse::<u64>().ok());
                nanos += times.sum::<u64>();
            }
        }
        Duration::from_nanos(nanos)
    }

    /// Runs the CLI against this Tollgate.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The CLI against this Tollgate, to be run in some other way.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command
            .args(arguments)
            .env("TOLLGATE_OPERATOR_URL", format!("http://{}", self.operator))
            .env("TOLLGATE_CHECK_URL", format!("http://{}", self.check))
            .env("TOLLGATE_ADMIN_URL", format!("http://{}", self.admin))
            .env("TOLLGATE_TOKEN", ADMIN_TOKEN);
        command
    }

    /// Waits until `is_so`, for ten seconds at most.
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "never {what}; it logged {:#?}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for a log line that holds `text`.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.log.wait_for(|line| line.contains(text))
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lines.lock().unwrap().clone()
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "did not stop; it logged {:#?}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes it hang until it gets `SIGCONT`. Every thread has stopped when this returns: some run
    /// on for a moment after the signal is sent.
    pub(crate) fn hang(&self) {
        self.signal(Signal::STOP);
        let has_stopped = |task: &Path| {
            let stat = std::fs::read_to_string(task.join("stat")).unwrap();
            stat.rsplit(") ").next().unwrap().starts_with('T')
        };
        self.wait_until("stopped", || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
            tasks.into_iter().all(|task| has_stopped(&task.unwrap().path()))
        });
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Tollgate {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let status = self.child.wait();
        let crashed = status.is_ok_and(|status| {
            status.code() == Some(101)
                || matches!(status.signal(), Some(signal) if signal != 9 && signal != 15)
        });
        assert!(!crashed || thread::panicking(), "Tollgate crashed; it logged {:#?}", self.log());
    }
}

impl Log {
    fn wait_for(&self, is_it: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| is_it(line)) {
                return line.clone();
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            assert!(!left.is_zero(), "the line never came; there are {lines:#?}");
            lines = self.written.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// `tollgate serve` with free ports, to be given more flags, for a start that fails.
pub(crate) fn serve(data_dir: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.arg("serve").args(["--log-format", "json", "--data-dir"]).arg(data_dir);
    for setting in ["--check-listen", "--operator-listen", "--admin-listen"] {
        if !flags.contains(&setting) {
            command.args([setting, "127.0.0.1:0"]);
        }
    }
    command.args(flags).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// One request over HTTP/1.1, whatever its answer.
pub(crate) fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Answer {
    Client::new(PATIENCE).ask(address, method, path, headers, body)
}

/// Asks over HTTP/1.1, on connections that it keeps.
#[derive(Clone, Debug)]
pub(crate) struct Client(ureq::Agent);

impl Client {
    /// One that waits this long for an answer.
    pub(crate) fn new(patience: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(patience))
            .max_redirects(0);
        Self(config.build().new_agent())
    }

    /// One request, whatever its answer; status 0 when there is none.
    pub(crate) fn ask(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answered = match body {
            Some(body) => self.0.run(request.body(body.to_owned()).unwrap()),
            None => self.0.run(request.body(()).unwrap()),
        };
        let no_answer = |why: String| Answer { status: 0, headers: Vec::new(), body: why };
        let mut answered = match answered {
            Ok(answered) => answered,
            Err(error) => return no_answer(format!("{error:?}")),
        };
        let headers = answered
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
        let (status, headers) = (answered.status().as_u16(), headers.collect());
        match answered.body_mut().read_to_string() {
            Ok(body) => Answer { status, headers, body },
            Err(error) => no_answer(format!("{error:?}")),
        }
    }
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const PATIENCE: Duration = Duration::from_secs(10);
