//! `tollgate policy`: what a policy file says, without a running Tollgate.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    failure::{Exit, Failure},
    operator::Printing,
    out::{Out, Rows},
};
use crate::{
    domain::{
        Code, CustomerKey, Decision, Evidence, Operation, Policy, Readings, RecordEvidence,
        Restrictions, Shared, Staleness, Timestamp, customer::RecordBody, decide,
    },
    policy::{Becomes, Fault, InvalidPolicy, Request, Rules, Shown, path::canonical},
};

/// What to do with a policy file.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyVerb {
    /// Tells whether `tollgate serve` would take the file, and everything that is wrong with it
    Check(OneFile),
    /// Shows which rule a request meets, and what it asks for
    Explain(Explain),
    /// Decides made-up requests by the file, and compares with what is expected
    Test(Test),
}

/// A policy file.
#[derive(Args, Debug)]
pub(super) struct OneFile {
    /// The policy file
    #[arg(env = "TOLLGATE_POLICY", value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    printing: Printing,
}

/// A request.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// Its method
    method: String,

    /// Its path, as the client sends it
    path: String,

    /// The method that it names in a header beside its own
    #[arg(long = "override", value_name = "METHOD")]
    method_override: Option<String>,

    /// Whether it asks for an upgrade
    #[arg(long)]
    upgrade: bool,

    /// The policy file
    #[arg(long = "policy", env = "TOLLGATE_POLICY", value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    printing: Printing,
}

/// A file of expectations.
#[derive(Args, Debug)]
pub(super) struct Test {
    /// The expectations: a TOML file with `[[tests]]`
    tests: PathBuf,

    /// The policy file
    #[arg(long = "policy", env = "TOLLGATE_POLICY", value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    printing: Printing,
}

impl PolicyVerb {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Check(file) => file.check(out),
            Self::Explain(explain) => explain.run(out),
            Self::Test(test) => test.run(out),
        }
    }
}

impl OneFile {
    fn check(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let rules = read_rules(&self.file)?;
        let answer = json!({
            "file": self.file, "hash": rules.hash, "routes": rules.route_count,
            "mode": rules.policy.mode.as_str(),
        });
        out.data(self.printing.output, &answer, || {
            let (file, routes, mode) =
                (self.file.display(), rules.route_count, rules.policy.mode.as_str());
            Rows::plain().row([format!("{file} is sound: {routes} routes, mode {mode}")])
        });
        Ok(Exit::Done)
    }
}

impl Explain {
    fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let rules = read_rules(&self.file)?;
        let becomes = becomes(self.upgrade, self.method_override.as_deref());
        let readings = ask(&rules, &self.method, &self.path, becomes);
        let path = canonical(&self.path);
        let shown = |asked| Shown::of(asked, rules.policy.mode);
        let answer = Explained {
            path: path.as_deref(),
            first: shown(&readings.first),
            also: readings.others.iter().map(shown).collect(),
        };
        out.data(self.printing.output, &answer, || {
            let head = ["PATH", "ROUTE", "RULE", "ACTION", "EXEMPT", "FEATURE", "LIMIT", "MODE"];
            let rows = Rows::under(head).row(cells(&answer.first, answer.path.unwrap_or("-")));
            answer.also.iter().fold(rows, |rows, also| rows.row(cells(also, "or also")))
        });
        Ok(Exit::Done)
    }
}

/// What a request asks, as it is shown.
#[derive(Serialize)]
struct Explained<'a> {
    path: Option<&'a str>,
    #[serde(flatten)]
    first: Shown<'a>,
    /// What it must be allowed as, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<Shown<'a>>,
}

fn cells(shown: &Shown<'_>, path: &str) -> [String; 8] {
    let action = match shown.action {
        Operation::Read => "read",
        Operation::Write => "write",
    };
    let (feature, limit) = (shown.feature.unwrap_or("-"), shown.limit.unwrap_or("-"));
    [path, shown.route, shown.rule, action, &shown.exempt, feature, limit, shown.mode]
        .map(str::to_owned)
}

/// What a file of expectations holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tests {
    tests: Vec<Expected>,
}

/// One made-up request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Method and path: `POST /api/export/7`.
    request: String,
    /// The method that it names in a header beside its own.
    #[serde(rename = "override")]
    method_override: Option<String>,
    /// Whether it asks for an upgrade.
    #[serde(default)]
    upgrade: bool,
    /// What restricts the customer, each `kind:reason`, or only a kind.
    #[serde(default)]
    restrictions: Vec<String>,
    /// What the customer may use; nothing when no source has said.
    features: Option<BTreeSet<Code>>,
    /// The decision or the reason that it is to come to.
    expect: String,
}

impl Test {
    fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let rules = read_rules(&self.file)?;
        let tests: Tests = toml::from_str(&read_text(&self.tests)?)
            .map_err(|error| Failure::local(&Unreadable(&self.tests, error.to_string())))?;
        let mut failed = 0;
        let mut shown = Vec::with_capacity(tests.tests.len());
        for test in &tests.tests {
            let came =
                test.decide(&rules).map_err(|why| Failure::local(&Unreadable(&self.tests, why)))?;
            let (outcome, reason) = (came.outcome().as_str(), came.reason.as_str());
            let is_so = [outcome, reason].contains(&test.expect.as_str());
            failed += u32::from(!is_so);
            shown.push((is_so, &test.request, &test.expect, reason));
        }
        let answer: Vec<_> = shown
            .iter()
            .map(|(is_so, request, expect, reason)| {
                json!({"passed": is_so, "request": request, "expect": expect, "reason": reason})
            })
            .collect();
        out.data(self.printing.output, &answer, || {
            let rows = Rows::under(["RESULT", "REQUEST", "EXPECTED", "CAME"]);
            shown.iter().fold(rows, |rows, (is_so, request, expect, reason)| {
                let result = if *is_so { "pass" } else { "FAIL" };
                rows.row([result, request.as_str(), expect.as_str(), reason].map(str::to_owned))
            })
        });
        Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
    }
}

impl Expected {
    fn decide(&self, rules: &Rules) -> Result<Decision, String> {
        let wrong = |rule: &str| format!("`{}`: {rule}", self.request);
        let (method, path) = self
            .request
            .split_once(' ')
            .ok_or_else(|| wrong("a request is a method and a path, as in `GET /api`"))?;
        let compact: Vec<_> = self
            .restrictions
            .iter()
            .map(|it| {
                let (kind, reason) = it.split_once(':').unwrap_or((it, "other"));
                format!("{kind},operator-{kind}-{reason},{reason},0,")
            })
            .collect();
        let restrictions = Restrictions::parse_compact(&compact.join(";"))
            .map_err(|_| wrong("a restriction is a kind, or a kind and a reason"))?;
        let body = RecordBody {
            features: self.features.clone().map(Shared::from),
            ..RecordBody::default()
        };
        let evidence = Evidence {
            restrictions: &restrictions,
            record: RecordEvidence::Known(&body),
            staleness: FRESH,
            revision_reached: true,
        };
        let customer = CustomerKey::parse("test:customer").map_err(|error| error.to_string())?;
        let becomes = becomes(self.upgrade, self.method_override.as_deref());
        let check = ask(rules, method, path, becomes).of(Ok(customer), None);
        Ok(decide(&evidence, &check, &rules.policy, None, Timestamp::from_millis(1)).decision)
    }
}

fn becomes(upgrade: bool, method: Option<&str>) -> Becomes {
    let mut becomes = Becomes { upgrade, ..Becomes::default() };
    if let Some(method) = method {
        becomes.name(method.as_bytes());
    }
    becomes
}

fn ask(rules: &Rules, method: &str, path: &str, becomes: Becomes) -> Readings {
    rules.ask(&Request { method: Some(method), target: Some(path), becomes })
}

fn read_rules(path: &Path) -> Result<Rules, Failure> {
    let text = read_text(path)?;
    Rules::read(&text, Policy::default()).map_err(|InvalidPolicy(faults)| {
        let line = |fault: &Fault| format!("{}:{}: {}", path.display(), fault.line, fault.message);
        Failure::Policy(path.display().to_string(), faults.iter().map(line).collect())
    })
}

fn read_text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::local(&Unreadable(path, error.to_string())))
}

/// Of a picture that was confirmed just now.
const FRESH: Staleness = Staleness {
    age: Some(Duration::ZERO),
    max_staleness: Duration::MAX,
    stale_limit: Duration::MAX,
    suspect: false,
};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {_1}", .0.display())]
struct Unreadable<'a>(&'a Path, String);
