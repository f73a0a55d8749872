//! What the chart renders is what is committed: a change of a template shows what it changes.

use std::fs;

use crate::cases::Case;

#[test]
fn every_case_renders_as_committed() {
    for case in Case::all() {
        let committed = fs::read_to_string(golden(&case)).unwrap_or_default();
        let is_same = committed == masked(&case.text);
        assert!(is_same, "{} is not what is rendered; {REWRITE}", golden(&case));
    }
}

#[test]
#[ignore = "it writes the committed files anew"]
fn write_the_committed_files() {
    for case in Case::all() {
        fs::write(golden(&case), masked(&case.text)).unwrap();
    }
}

fn golden(case: &Case) -> String {
    format!("tests/helm/golden/{}.yaml", case.name)
}

/// Without the version, and without the rules and dashboards, which are files of their own.
fn masked(text: &str) -> String {
    let documents = text.split("---\n# Source: ").filter(|document| {
        let source = document.lines().next().unwrap_or_default();
        !source.ends_with("/prometheusrule.yaml") && !source.ends_with("/dashboard.yaml")
    });
    let documents: Vec<_> = documents.collect();
    documents.join("---\n# Source: ").replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

const REWRITE: &str =
    "`cargo test --test helm write_the_committed_files -- --ignored` writes it anew";
