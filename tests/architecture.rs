//! Keeps the rings: who may name whom in `src`, and which ring may use which crate.
//!
//! It reads paths, not types: comments and strings are dropped, `use` trees are written out, and
//! each path is held against the rules below. Unit tests at the end of a file are free.

#![expect(clippy::unwrap_used, reason = "sources that cannot be read have failed the test")]

use std::{fs, path::Path};

/// Each ring, and the rings it may name, from the outermost to the innermost.
const RINGS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["app", "config", "policy", "domain"]),
    (
        "app",
        &[
            "config",
            "http",
            "grpc",
            "identify",
            "ingest",
            "recovery",
            "sweep",
            "trail",
            "unresolved",
            "policy",
            "gate",
            "control",
            "feed",
            "cache",
            "store",
            "domain",
        ],
    ),
    ("ingest", &["control", "feed", "cache", "store", "domain"]),
    ("sweep", &["control", "feed", "cache", "store", "domain"]),
    ("trail", &["control", "store", "domain"]),
    ("unresolved", &["control", "feed", "cache", "store", "domain"]),
    ("config", &["identify", "domain"]),
    ("recovery", &["control", "feed", "cache", "store", "domain"]),
    (
        "http",
        &["identify", "wire", "policy", "gate", "control", "feed", "cache", "store", "domain"],
    ),
    ("grpc", &["identify", "wire", "policy", "gate", "domain"]),
    ("identify", &["policy", "domain"]),
    ("wire", &["gate", "control", "domain"]),
    ("gate", &["policy", "feed", "cache", "store", "domain"]),
    ("policy", &["domain"]),
    ("control", &["feed", "cache", "store", "domain"]),
    ("feed", &["cache", "store", "domain"]),
    ("cache", &["store", "domain"]),
    ("store", &["domain"]),
    ("domain", &[]),
    ("clock", &["domain"]),
    ("lifecycle", &["domain"]),
    ("telemetry", &["domain"]),
];

/// Every ring but the domain may name these.
const BESIDE: &[&str] = &["clock", "lifecycle", "telemetry"];

/// What the domain does without.
const NOT_IN_DOMAIN: &[&str] = &[
    "async",
    "axum",
    "metrics",
    "moka",
    "redis",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tonic",
    "tracing",
];

/// Crates that one part of the program hides from the others.
const HIDDEN: &[(&str, &[&str])] = &[
    ("axum", &["app", "grpc", "http", "identify", "wire"]),
    ("maud", &["http/console"]),
    ("moka", &["cache"]),
    ("opentelemetry", &["http/traced", "telemetry/traces"]),
    ("opentelemetry_otlp", &["telemetry/traces"]),
    ("opentelemetry_proto", &["telemetry/decision_log/collector"]),
    ("opentelemetry_sdk", &["telemetry/traces"]),
    ("prost", &["grpc"]),
    ("prost_types", &["grpc"]),
    // In `store.rs` the name means the adapter of that name.
    ("redis", &["store.rs", "store/redis"]),
    ("rustls", &["config", "http/serve/tls", "main", "store/redis"]),
    ("tokio_rustls", &["http/serve/tls"]),
    ("tonic", &["grpc", "telemetry/decision_log/collector"]),
    ("tonic_health", &["grpc"]),
    ("tonic_reflection", &["grpc"]),
    ("utoipa", &["http"]),
    ("utoipa_axum", &["http"]),
    ("x509_parser", &["config"]),
];

/// Calls that one part of the program makes for the others.
const RESERVED: &[(&str, &str)] = &[
    ("clock_gettime", "clock"),
    ("Instant::now", "clock"),
    ("SystemTime::now", "clock"),
    ("env::var", "config"),
    ("env::var_os", "config"),
    ("env::vars", "config"),
    ("env::vars_os", "config"),
];

#[test]
fn the_sources_keep_the_rings() {
    let mut broken = Vec::new();
    for file in sources(Path::new("src")) {
        let source = fs::read_to_string(&file).unwrap();
        broken.extend(violations(file.strip_prefix("src").unwrap().to_str().unwrap(), &source));
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn a_source_that_breaks_a_rule_is_named_with_its_ring() {
    let told = |file, source| violations(file, source).join("\n");
    assert_eq!(
        told("domain/key.rs", "use std::fmt;\nuse tokio::sync::Mutex;"),
        "src/domain/key.rs: ring domain names tokio::sync::Mutex, and does without tokio"
    );
    assert_eq!(
        told("gate.rs", "use crate::{cache::Cache, control::{Control, keys}};"),
        "src/gate.rs: ring gate names crate::control::Control, which is not below it\n\
         src/gate.rs: ring gate names crate::control::keys, which is not below it"
    );
    let broken = [
        ("domain.rs", "pub async fn now() {}"),
        ("domain/time.rs", "#[cfg(test)]\nmod tests {\n}\nuse tokio as _;"),
        ("domain/time.rs", "\n#[cfg(test)]\nmod tests {\n    fn a() {}\n}\nuse tokio as _;"),
        ("domain/time.rs", "use std::{fmt, time::{Duration, Instant}};"),
        ("domain/time.rs", "use crate::clock::Clock;"),
        ("cache/recent.rs", "use super::super::gate::Gate;"),
        ("feed.rs", "let url = redis::Client::open(url);"),
        ("store.rs", "use axum::Json;"),
        ("gate.rs", "let cache = moka::sync::Cache::new(1);"),
        ("http/check.rs", "let begun = std::time::Instant::now();"),
        ("http/check.rs", "let home = std::env::var(HOME);"),
        ("http/check.rs", "use crate::config::Config;"),
        ("grpc/question.rs", "use crate::http::DataPlane;"),
        ("http/gateway.rs", "let status = tonic::Status::unavailable(why);"),
        ("webhooks.rs", "use crate::domain::Check;"),
    ];
    for (file, source) in broken {
        assert_eq!(violations(file, source).len(), 1, "{file}: {source}");
    }
}

#[test]
fn a_source_that_keeps_the_rules_passes() {
    let kept = [
        (
            "domain/key.rs",
            "// use tokio::sync;\nconst A: &str = \"use tokio::sync\"; use super::b;",
        ),
        ("gate.rs", "use crate::{cache::Cache, domain::{Check, decide}, telemetry::Metrics};"),
        ("store/redis/script.rs", "use redis::{Script, ScriptInvocation};"),
        ("app.rs", "use crate::{domain::Policy, store::{Store, redis::Redis}};"),
        ("main.rs", "use tollgate::cli::{self, Cli};"),
        ("domain/key.rs", "fn a<'a>() { '\"'; }\n#[cfg(test)]\nmod tests { use tokio::test; }"),
    ];
    for (file, source) in kept {
        assert_eq!(violations(file, source), [""; 0], "{file}: {source}");
    }
}

/// Every rule that `source`, the text of `src/<file>`, breaks.
fn violations(file: &str, source: &str) -> Vec<String> {
    let ring = file.split(['/', '.']).next().unwrap();
    if ring == "lib" {
        return Vec::new();
    }
    let Some((_, below)) = RINGS.iter().find(|(name, _)| *name == ring) else {
        return vec![format!("src/{file}: {ring} is not a ring; give it a place among them")];
    };
    let mut broken = Vec::new();
    for path in paths(&without_tests(source)) {
        let mut breaks = |rule: &str| {
            broken.push(format!("src/{file}: ring {ring} names {path}, {rule}"));
        };
        if let Some(named) = ring_named(&path)
            && named != ring
            && !below.contains(&named)
            && (ring == "domain" || !BESIDE.contains(&named))
        {
            breaks("which is not below it");
        }
        for shunned in NOT_IN_DOMAIN.iter().filter(|_| ring == "domain") {
            if begins_with(&path, shunned) {
                breaks(&format!("and does without {shunned}"));
            }
        }
        for (hidden, places) in HIDDEN.iter().filter(|_| ring != "domain") {
            let is_at_home = places.iter().any(|place| file.starts_with(place));
            if begins_with(&path, hidden) && !is_at_home {
                breaks(&format!("which is for {} alone", places.join(", ")));
            }
        }
        for (call, place) in RESERVED {
            if format!("::{path}").ends_with(&format!("::{call}")) && ring != *place {
                breaks(&format!("which is for {place} alone"));
            }
        }
    }
    broken
}

/// `source` without its module of tests, which ends with the first brace that begins a line.
fn without_tests(source: &str) -> String {
    let Some((before, tests)) = source.split_once("\n#[cfg(test)]\nmod tests {") else {
        return source.to_owned();
    };
    let (_, after) = tests.split_once("\n}").unwrap_or((tests, ""));
    format!("{before}\n{after}")
}

/// The ring that a path from the root of the crate leads into, if it is such a path.
fn ring_named(path: &str) -> Option<&str> {
    let mut segments = path.split("::");
    segments.next().filter(|first| ["crate", "super", "tollgate"].contains(first))?;
    let named = segments.find(|segment| *segment != "super")?;
    RINGS.iter().map(|(ring, _)| *ring).find(|ring| *ring == named)
}

fn begins_with(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path in `source`, with those of `use` trees written out.
fn paths(source: &str) -> Vec<String> {
    let (mut found, mut path, mut trees) = (Vec::new(), String::new(), vec![String::new()]);
    for token in tokens(source) {
        let continues = path.is_empty() || path.ends_with("::");
        match token {
            "::" => path.push_str("::"),
            word if word.starts_with(is_of_word) && continues => {
                if path.is_empty() {
                    path.clone_from(trees.last().unwrap());
                }
                path.push_str(word);
            }
            "{" if path.ends_with("::") => trees.push(std::mem::take(&mut path)),
            other => {
                found.push(std::mem::take(&mut path));
                match other {
                    "{" => trees.push(String::new()),
                    "}" if trees.len() > 1 => drop(trees.pop()),
                    word if word.starts_with(is_of_word) => {
                        path = format!("{}{word}", trees.last().unwrap());
                    }
                    _ => {}
                }
            }
        }
    }
    found.push(path);
    found.retain(|path| !path.is_empty());
    found
}

/// Words, `::` and single other characters; no white space, comments, strings or characters.
fn tokens(source: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), source);
    while let Some(first) = rest.chars().next() {
        let is_character = rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            end_of_quoted(rest, '"')
        } else if first == '\'' && is_character {
            end_of_quoted(rest, '\'')
        } else {
            let word = rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
            let length = if rest.starts_with("::") { 2 } else { word.max(first.len_utf8()) };
            found.push(&rest[..length]);
            length
        };
        rest = &rest[length..];
    }
    found.retain(|token| !token.trim().is_empty());
    found
}

/// How long the quoted text is that `rest` begins with.
fn end_of_quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, letter)| {
        let ends = *letter == quote && !is_escaped;
        is_escaped = *letter == '\\' && !is_escaped;
        ends
    });
    end.map_or(rest.len(), |(place, _)| place + 1)
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn sources(directory: &Path) -> Vec<std::path::PathBuf> {
    let inside = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = inside.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.file_name().is_some_and(|name| name != "tests.rs")).collect()
}
