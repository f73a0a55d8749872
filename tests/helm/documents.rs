//! The chart's README says what its values say, and its version is the program's.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use clap::Args as _;
use serde_json::Value;
use tollgate::config::Config;

use crate::{
    cases::{Case, RELEASE},
    objects::{Objects, container, texts},
    program::{CHART, notes, template},
};

#[test]
fn the_version_is_that_of_the_program() {
    let chart = fs::read_to_string(Path::new(CHART).join("Chart.yaml")).unwrap();
    let chart = Objects::read(&chart).all()[0].clone();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_readme_lists_every_value() {
    let readme = fs::read_to_string(README).unwrap();
    let (_, listed) = readme.split_once(HEADING).unwrap();
    assert!(listed == table(), "{README} does not list what values.yaml says; {REWRITE}");
}

#[test]
#[ignore = "it writes the chart's README anew"]
fn write_the_readme() {
    let readme = fs::read_to_string(README).unwrap();
    let (written, _) = readme.split_once(HEADING).unwrap();
    fs::write(README, format!("{written}{HEADING}{}", table())).unwrap();
}

#[test]
fn every_value_is_described_and_has_a_schema() {
    let values = values();
    let described: BTreeSet<_> = described().into_iter().map(|it| it.path).collect();
    let mut leaves = Vec::new();
    note_leaves(&values, String::new(), &described, &mut leaves);
    assert_eq!(leaves, Vec::<String>::new(), "these are not described");

    let schema = fs::read_to_string(Path::new(CHART).join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_closed(&schema, &schema, &values, "");
}

#[test]
fn whoever_installs_the_chart_is_told_what_to_do_next() {
    for (values, told) in [
        ("shared-default", "Nobody acts on customers through these pods: operator.reach is none."),
        ("shared-default", "label the gateway's pods tollgate/gateway=true"),
        ("embedded", "exec deployment/gate-tollgate -- tollgate put c1"),
        ("everything", "Operators and billing systems act at https://gate.default:7601."),
    ] {
        let notes = notes(&Path::new(CHART).join("ci").join(format!("{values}-values.yaml")));
        assert!(notes.contains(told), "{values}: {notes}");
    }
}

/// What the chart decides by itself cannot be said twice, and everything else can be said.
#[test]
fn every_setting_can_be_given_once() {
    let settings: Vec<_> = Config::augment_args(clap::Command::new("serve"))
        .get_arguments()
        .map(|setting| setting.get_long().unwrap().to_owned())
        .collect();
    let mut given = BTreeSet::from(["data-dir".to_owned()]);
    for case in Case::all() {
        let objects = case.objects();
        let arguments = texts(&container(objects.pod(), "tollgate")["args"]);
        for argument in arguments.iter().filter_map(|it| it.strip_prefix("--")) {
            let flag = argument.split('=').next().unwrap();
            assert!(settings.iter().any(|setting| setting == flag), "--{flag} in {}", case.name);
            given.insert(flag.to_owned());
        }
    }
    // Only the values of this one case say them.
    for other in
        ["cache-capacity", "check-open", "customer-header", "stale-limit", "audit-key-file"]
    {
        assert!(given.remove(other), "{other}");
    }
    for setting in settings {
        let set = format!("settings.{setting}=1m");
        let rendered = template(Path::new(CHART), RELEASE, &["--set", &set]);
        let is_own =
            given.contains(&setting) || setting.contains("-tls-") || setting == "check-socket";
        assert_eq!(rendered.is_err(), is_own, "{set}: {rendered:?}");
    }
}

/// One value and what is said of it.
struct Described {
    path: String,
    text: String,
}

/// Every value that has a description, in order.
fn described() -> Vec<Described> {
    let text = fs::read_to_string(VALUES).unwrap();
    let (mut found, mut path): (Vec<Described>, Vec<(usize, String)>) = (Vec::new(), Vec::new());
    let mut said: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        let depth = line.len() - trimmed.len();
        if let Some(begun) = trimmed.strip_prefix("# -- ") {
            said = Some(begun.to_owned());
        } else if let Some(more) = trimmed.strip_prefix("# ") {
            if let Some(said) = &mut said {
                write!(said, " {more}").unwrap();
            }
        } else if let Some((key, _)) = trimmed.split_once(':').filter(|_| is_key(trimmed)) {
            path.retain(|(above, _)| *above < depth);
            path.push((depth, key.to_owned()));
            if let Some(text) = said.take() {
                let path: Vec<_> = path.iter().map(|(_, key)| key.as_str()).collect();
                found.push(Described { path: path.join("."), text });
            }
        }
    }
    found
}

fn is_key(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// The table of all values.
fn table() -> String {
    let values = values();
    let mut table = "| Value | Default | |\n|---|---|---|\n".to_owned();
    for Described { path, text } in described() {
        let default = path.split('.').fold(&values, |value, key| &value[key]);
        let text = text.replace('|', "\\|");
        writeln!(table, "| `{path}` | `{default}` | {text} |").unwrap();
    }
    table
}

fn values() -> Value {
    Objects::read(&fs::read_to_string(VALUES).unwrap()).all()[0].clone()
}

/// Notes what nothing is said of, neither of it nor of what it is a part of.
fn note_leaves(
    value: &Value,
    path: String,
    described: &BTreeSet<String>,
    leaves: &mut Vec<String>,
) {
    if described.contains(&path) {
        return;
    }
    match value.as_object() {
        Some(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                note_leaves(field, path, described, leaves);
            }
        }
        None => leaves.push(path),
    }
}

/// Every value has a place in the schema, and where the chart names all fields no others are taken.
fn assert_closed(schema: &Value, whole: &Value, value: &Value, path: &str) {
    let named = schema["$ref"].as_str().and_then(|it| whole.pointer(it.trim_start_matches('#')));
    let schema = named.unwrap_or(schema);
    assert!(schema.is_object(), "{path} has no schema");
    let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return;
    };
    for (name, field) in fields {
        let path = format!("{path}/{name}");
        let part = known.get(name).or(schema.get("additionalProperties")).unwrap();
        assert_closed(part, whole, field, &path);
    }
    assert!(!schema["additionalProperties"].is_null(), "{path} takes anything");
}

const VALUES: &str = "helm/tollgate/values.yaml";
const README: &str = "helm/tollgate/README.md";
const HEADING: &str = "\n## Values\n\n";
const REWRITE: &str = "`cargo test --test helm write_the_readme -- --ignored` writes it anew";
