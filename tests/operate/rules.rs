//! Every alert says what is wrong, was seen to fire and not to fire, and has a way out that works.

use std::{collections::BTreeSet, fs};

use clap::CommandFactory as _;
use tollgate::cli::Cli;

use crate::prometheus::promtool;

/// A rule of the file: what it is called and what it computes.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The alert's name; nothing of a rule that only records.
    pub(crate) alert: Option<String>,
    /// Its expression.
    pub(crate) expression: String,
    text: String,
}

/// The rules of the file, in their order.
pub(crate) fn rules() -> Vec<Rule> {
    let file = fs::read_to_string(RULES).unwrap();
    file.split("\n      - ").skip(1).map(Rule::read).collect()
}

impl Rule {
    /// Reads one, as the file writes it: a field a line, or a field and indented lines under it.
    fn read(text: &str) -> Self {
        let text = text.split("\n  - name: ").next().unwrap().to_owned();
        let expression = field(&text, "expr").unwrap_or_else(|| panic!("no expr in {text}"));
        Self { alert: field(&text, "alert"), expression, text }
    }

    fn says(&self, name: &str) -> String {
        field(&self.text, name).unwrap_or_else(|| panic!("no {name} in {}", self.text))
    }
}

fn field(text: &str, name: &str) -> Option<String> {
    let start = format!("{name}: ");
    let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with(&start));
    let first = lines.next()?;
    let indent = |line: &str| line.len() - line.trim_start().len();
    // The first line of a rule lost its indentation.
    let depth = indent(first).max(8);
    let value = first.trim_start().strip_prefix(&start)?.trim_start_matches(['|', '>', '-']).trim();
    let more = lines.take_while(|line| indent(line) > depth).map(str::trim);
    Some([value].into_iter().chain(more).collect::<Vec<_>>().join(" ").trim().to_owned())
}

#[test]
fn prometheus_takes_the_rules_and_every_case_comes_out_as_written() {
    promtool(&["check", "rules", RULES], "");
    promtool(&["test", "rules", CASES], "");
}

#[test]
fn every_alert_was_seen_to_fire_and_not_to_fire() {
    let cases = fs::read_to_string(CASES).unwrap();
    let (mut fires, mut is_quiet) = (BTreeSet::new(), BTreeSet::new());
    for case in cases.split("      - alertname: ").skip(1) {
        let name = case.lines().next().unwrap().to_owned();
        let seen = if case.contains("exp_alerts: []") { &mut is_quiet } else { &mut fires };
        seen.insert(name);
    }
    let alerts: BTreeSet<_> = rules().into_iter().filter_map(|rule| rule.alert).collect();
    assert!(alerts.len() > 40, "{alerts:?}");
    assert_eq!(fires, alerts);
    assert_eq!(is_quiet, alerts);
}

#[test]
fn every_alert_says_what_is_wrong_and_names_its_section_of_the_runbook() {
    let (_, runbook) = README.split_once("\n## Runbook\n").unwrap();
    let (runbook, _) = runbook.split_once("\n## ").unwrap();
    let sections: Vec<_> = runbook.split("\n### ").skip(1).collect();
    let alerts: Vec<_> = rules().into_iter().filter(|rule| rule.alert.is_some()).collect();
    let names = alerts.iter().filter_map(|rule| rule.alert.as_deref());
    let titles = sections.iter().filter_map(|section| section.lines().next());
    assert_eq!(titles.collect::<Vec<_>>(), names.collect::<Vec<_>>());
    for (alert, section) in alerts.iter().zip(sections) {
        let name = alert.alert.clone().unwrap();
        assert!(["critical", "warning"].contains(&&*alert.says("severity")), "{name}");
        assert!(alert.says("summary").ends_with('.'), "{name}");
        assert!(alert.says("description").contains("$value"), "{name} does not tell the value");
        assert_eq!(alert.says("runbook"), format!("README.md#{}", name.to_lowercase()));
        let lines: Vec<_> = section.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
        for part in ["Look at ", "Way out: "] {
            assert!(lines.iter().any(|line| line.starts_with(part)), "{name} lacks {part}");
        }
        assert!(!lines[1].starts_with("Look at"), "{name} does not say what it means");
    }
}

#[test]
fn every_command_of_the_runbook_is_one() {
    let (_, runbook) = README.split_once("\n## Runbook\n").unwrap();
    let (runbook, _) = runbook.split_once("\n## ").unwrap();
    let runbook = runbook.split_whitespace().collect::<Vec<_>>().join(" ");
    let quoted = runbook.split('`').skip(1).step_by(2);
    let commands: Vec<_> = quoted.filter(|it| it.starts_with("tollgate ")).collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let words = command.split(' ').map(|word| match word {
            "TOKEN" => "f387f24cf046bbf7:0.3",
            "SOURCE" => "billing",
            "http://INSTANCE" => "http://127.0.0.1:7602",
            word => word,
        });
        let read = Cli::command().try_get_matches_from(words);
        assert!(read.is_ok(), "`{command}`: {}", read.unwrap_err());
    }
}

const RULES: &str = "helm/tollgate/rules/tollgate.yaml";
const CASES: &str = "helm/tollgate/rules/tests.yaml";
const README: &str = include_str!("../../README.md");
