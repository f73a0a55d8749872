//! The README tells the truth: its first minute goes as printed, and its tables say what the
//! program says of itself.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, unused_imports, reason = "other suites share it and use the rest")]
mod support;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use clap::Args as _;
use support::{
    authority::{Authority, Issued},
    tollgate::Tollgate,
};
use tollgate::{
    config::Config,
    domain::{Decision, Outcome, Reason},
    telemetry::catalogue::{self, Kind},
    wire,
};

#[test]
fn the_first_minute_goes_as_printed() {
    let (_, minute) = README.split_once("\n## The first minute\n").unwrap();
    let (minute, _) = minute.split_once("\n## ").unwrap();
    let mut steps = minute.split("```console\n").skip(1).flat_map(|block| {
        let (block, _) = block.split_once("\n```").unwrap();
        block.trim_start_matches("$ ").split("\n$ ")
    });
    assert_eq!(steps.next(), Some("cargo run --release -- serve"));
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(directory.path());
    for step in steps {
        let (command, printed) = step.split_once('\n').unwrap_or((step, ""));
        assert_eq!(masked(&serving.run(command)), masked(printed), "$ {command}");
    }
}

#[test]
fn every_setting_is_listed() {
    let mut table = "| Flag | Variable | Default | |\n|---|---|---|---|\n".to_owned();
    for setting in Config::augment_args(clap::Command::new("serve")).get_arguments() {
        let name = setting.get_long().unwrap();
        let takes = setting.get_value_names().filter(|_| setting.get_action().takes_values());
        let takes = takes.map(|names| format!(" {}", names[0])).unwrap_or_default();
        let variable = setting.get_env().unwrap().to_str().unwrap();
        let default = match setting.get_default_values() {
            [] => "none".to_owned(),
            [default, ..] => format!("`{}`", default.to_str().unwrap()),
        };
        let choices = setting.get_possible_values().into_iter().filter(|_| !takes.is_empty());
        let choices = choices.map(|choice| format!("`{}`", choice.get_name()));
        let others: Vec<_> = choices.filter(|choice| *choice != default).collect();
        let default = [vec![default], others].concat().join(" or ");
        let help = setting.get_help().unwrap();
        let takes = takes.replace('|', "\\|");
        writeln!(table, "| `--{name}{takes}` | `{variable}` | {default} | {help}. |").unwrap();
    }
    assert_holds(&table);
}

#[test]
fn every_metric_is_listed() {
    let mut table = "| Metric | Kind | Labels | |\n|---|---|---|---|\n".to_owned();
    for metric in catalogue::ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>();
        let (name, labels, help) = (metric.name, labels.join(", "), metric.help);
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    assert_holds(&table);

    // Some are only of listeners over TLS.
    let authority = Authority::new();
    let Issued { certificate, key } = authority.issue("127.0.0.1");
    let tls = ["--check-tls-cert", &certificate, "--check-tls-key", &key];
    let scraped = Tollgate::start(&[&["--store", "memory:"], &tls[..]].concat());
    let scraped = scraped.admin("/metrics").body;
    let announced = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE tollgate_"));
    let announced: BTreeSet<_> = announced.filter_map(|it| it.split(' ').next()).collect();
    let listed = catalogue::ALL.iter().filter_map(|it| it.name.strip_prefix("tollgate_"));
    assert_eq!(announced, listed.collect());
}

#[test]
fn every_reason_is_listed() {
    let mut table = "| Reason | Decision | HTTP | |\n|---|---|---|---|\n".to_owned();
    for outcome in [Outcome::Allow, Outcome::Deny, Outcome::Undecided] {
        for reason in Reason::ALL.into_iter().filter(|reason| reason.outcome() == outcome) {
            let [usual, unpaid] = [false, true].map(|payment_required| {
                wire::spelling(&Decision { reason, status: None, access: None, payment_required })
            });
            let mut status = usual.status.as_u16().to_string();
            if unpaid.status != usual.status {
                write!(status, ", or {} for `non_payment`", unpaid.status.as_u16()).unwrap();
            }
            let (outcome, sentence) = (outcome.as_str(), usual.sentence);
            writeln!(table, "| `{reason}` | {outcome} | {status} | {sentence} |").unwrap();
        }
    }
    assert_holds(&table);
}

#[test]
fn every_gateway_of_the_examples_is_named_and_says_whether_it_was_run() {
    let (_, not_run) = EXAMPLES.split_once("**not run**").unwrap();
    for entry in fs::read_dir("examples").unwrap() {
        let directory = entry.unwrap().path();
        if !directory.is_dir() {
            continue;
        }
        assert_holds(&format!("[`{0}`]({0})", directory.display()));
        for entry in fs::read_dir(&directory).unwrap() {
            let file = entry.unwrap().path();
            let name = file.strip_prefix("examples").unwrap().display().to_string();
            assert!(EXAMPLES.contains(&name), "examples/README.md does not name {name}");
            let text = fs::read_to_string(&file).unwrap();
            let says_so = text.lines().take(5).any(|line| line.starts_with("# NOT RUN HERE"));
            assert_eq!(says_so, not_run.contains(&name), "{name}");
        }
    }
}

#[track_caller]
fn assert_holds(part: &str) {
    assert!(README.contains(part), "README.md does not hold\n\n{part}");
}

/// What `cargo run --release -- serve` starts, on free ports and in a directory of its own.
struct Serving<'a> {
    child: Child,
    directory: &'a Path,
    /// The variables that lead the CLI there.
    variables: Vec<(&'static str, String)>,
}

impl<'a> Serving<'a> {
    /// Starts it, and waits until it has told everything that the CLI needs.
    fn start(directory: &'a Path) -> Self {
        let listeners =
            ["TOLLGATE_CHECK_LISTEN", "TOLLGATE_OPERATOR_LISTEN", "TOLLGATE_ADMIN_LISTEN"];
        let mut child = Command::new(TOLLGATE)
            .arg("serve")
            .envs(listeners.map(|listener| (listener, "127.0.0.1:0")))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            // Read to the end, whoever listens: it must not stall.
            stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let mut serving = Self { child, directory, variables: Vec::new() };
        let mut told = Vec::new();
        while !told.last().is_some_and(|line: &String| line.contains("Made the first operator key"))
        {
            let line = lines.recv_timeout(PATIENCE);
            told.push(line.unwrap_or_else(|error| panic!("{error} after {told:#?}")));
        }
        for (setting, variable) in [
            ("(--check-listen)", "TOLLGATE_CHECK_URL"),
            ("(--operator-listen)", "TOLLGATE_OPERATOR_URL"),
            ("(--admin-listen)", "TOLLGATE_ADMIN_URL"),
        ] {
            let address = told.iter().find_map(|line| {
                let (before, _) = line.split_once(setting)?;
                before.split_whitespace().last()
            });
            serving.variables.push((variable, format!("http://{}", address.unwrap())));
        }
        serving
    }

    /// What a person who types `command` sees.
    fn run(&self, command: &str) -> String {
        let command = command.replace("target/release/tollgate", TOLLGATE);
        let ran = Command::new("sh")
            .args(["-c", &format!("{command} 2>&1")])
            .envs(self.variables.iter().cloned())
            .current_dir(self.directory)
            .output()
            .unwrap();
        String::from_utf8(ran.stdout).unwrap()
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without what differs from one run to the next: times, histories and ages.
fn masked(text: &str) -> String {
    let mask = |word: &str| match word.split_once(':') {
        _ if word.bytes().all(|byte| byte.is_ascii_digit()) => "NUMBER".to_owned(),
        Some(_) if word.ends_with('Z') && word.starts_with("20") => "TIME".to_owned(),
        Some((epoch, position)) if epoch.len() == 16 => format!("HISTORY:{position}"),
        _ => word.to_owned(),
    };
    let line = |line: &str| line.split_whitespace().map(mask).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

const EXAMPLES: &str = include_str!("../examples/README.md");
const README: &str = include_str!("../README.md");
const TOLLGATE: &str = env!("CARGO_BIN_EXE_tollgate");
const PATIENCE: Duration = Duration::from_secs(10);
