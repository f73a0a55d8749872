use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use clap::{CommandFactory, FromArgMatches};

use super::*;

/// A listener that gives these answers in turn, and what it was asked.
struct Tollgate {
    url: String,
    asked: JoinHandle<Vec<String>>,
}

impl Tollgate {
    fn answering(answers: &'static [(u16, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = thread::spawn(move || {
            answers.iter().map(|answer| answer_once(&listener, *answer)).collect()
        });
        Self { url, asked }
    }
}

fn answer_once(listener: &TcpListener, (status, body): (u16, &str)) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent).unwrap();
    let size = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Whatever\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
    format!("{head}\r\n{}", String::from_utf8(sent).unwrap())
}

/// What a verb made of the answers: exit, standard output, standard error, and what was asked.
struct Told {
    exit: Exit,
    data: String,
    messages: String,
    asked: Vec<String>,
}

fn tollgate(line: &str, answers: &'static [(u16, &'static str)]) -> Told {
    let server = Tollgate::answering(answers);
    let nowhere = ["--data-dir", "/nowhere"];
    let url = match line.split(' ').next() {
        Some("check") => vec!["--check-url", &server.url],
        Some("ready" | "health") => vec!["--admin-url", &server.url],
        _ => [&["--operator-url", &server.url], &nowhere[..]].concat(),
    };
    let words = ["tollgate"].into_iter().chain(line.split(' ')).chain(url);
    let (exit, data, messages) = run_line(words);
    Told { exit, data, messages, asked: server.asked.join().unwrap() }
}

fn run_line<'a>(words: impl Iterator<Item = &'a str>) -> (Exit, String, String) {
    let matches = Cli::command().try_get_matches_from(words).unwrap();
    let cli = Cli::from_arg_matches(&matches).unwrap();
    let (mut data, mut messages) = (Vec::new(), Vec::new());
    let exit = run(cli, &matches, &mut Out::to(&mut data, &mut messages));
    (exit, String::from_utf8(data).unwrap(), String::from_utf8(messages).unwrap())
}

const DISABLED: &str = r#"{"customerId":"c1","status":"disabled","access":"none","changed":true,
    "remaining":[{"kind":"disabled","source":"operator","reason":"other"}],"revision":"k3:0.7"}"#;
const ENABLED: &str = r#"{"customerId":"c1","status":"disabled","access":"none","changed":true,
    "remaining":[{"kind":"disabled","source":"billabear","reason":"non_payment"}],
    "revision":"k3:0.8"}"#;
const ACTIVE: &str = r#"{"customerId":"c1","status":"active","access":"read_write",
    "changed":false,"remaining":[],"revision":"k3:0.9"}"#;

#[test]
fn the_verbs_and_flags_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn no_token_can_be_given_as_a_flag() {
    fn flags(command: &clap::Command) -> Vec<String> {
        let own = command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned);
        own.chain(command.get_subcommands().flat_map(flags)).collect()
    }
    for flag in flags(&Cli::command()) {
        assert!(!["token", "admin-token", "password"].contains(&flag.as_str()), "--{flag}");
    }
}

#[test]
fn a_disable_says_what_became_of_the_customer() {
    let told = tollgate("disable c1 --reason non_payment --notes unpaid", &[(200, DISABLED)]);
    assert_eq!(told.exit, Exit::Done);
    assert_eq!(
        told.data,
        "CUSTOMER  STATUS    ACCESS  CHANGED  REVISION\n\
         c1        disabled  none    yes      k3:0.7\n"
    );
    assert_eq!(told.messages, "");
    assert!(told.asked[0].starts_with("POST /v1/customers/c1/disable HTTP/1.1\r\n"));
    assert!(told.asked[0].ends_with(r#"{"notes":"unpaid","reason":"non_payment"}"#));
}

#[test]
fn a_lift_that_leaves_restrictions_names_the_command_that_lifts_them() {
    let told = tollgate("enable c1 --tenant acme", &[(200, ENABLED)]);
    assert_eq!(
        told.messages,
        "hint: still disabled by billabear; lift it with: \
         tollgate enable c1 --tenant acme --source billabear, or --all-sources\n"
    );
    assert!(told.asked[0].to_lowercase().contains("tenant-id: acme\r\n"));
}

#[test]
fn all_sources_lifts_one_after_the_other() {
    let known = r#"{"restrictions":[{"kind":"disabled","source":"stripe"},
        {"kind":"frozen","source":"wingback"}],"scheduled":[{"kind":"disabled","source":"billabear"}]}"#;
    let answers: &[_] = Box::leak(Box::new([(200, known), (200, ENABLED), (200, ACTIVE)]));
    let told = tollgate("enable c1 --all-sources --output json", answers);
    assert_eq!(told.exit, Exit::Done);
    assert!(told.asked[1].ends_with(r#"{"source":"billabear"}"#), "{}", told.asked[1]);
    assert!(told.asked[2].ends_with(r#"{"source":"stripe"}"#), "{}", told.asked[2]);
    assert!(told.data.contains(r#""changed": true"#), "{}", told.data);
}

#[test]
fn a_check_ends_with_the_decision() {
    for (body, exit) in [
        (r#"{"decision":"allow","reason":"active"}"#, Exit::Done),
        (r#"{"decision":"deny","reason":"customer_frozen"}"#, Exit::Failed),
        (r#"{"decision":"undecided","reason":"too_stale"}"#, Exit::Undecided),
    ] {
        let answers: &[_] = Box::leak(Box::new([(200, body)]));
        let told = tollgate("check c1 --write --feature sso --limit seats=26", answers);
        assert_eq!(told.exit, exit, "{body}");
        assert!(told.asked[0].ends_with(
            r#"{"action":"write","customerId":"c1","feature":"sso","limit":{"code":"seats","value":26}}"#
        ));
    }
}

#[test]
fn what_tollgate_refuses_is_told_in_its_words() {
    let told = tollgate(
        "freeze c1 --notes x",
        &[(
            400,
            r#"{"error":{"code":"VALIDATION_ERROR","message":"The request is not valid.",
                "details":[{"path":"notes","message":"is too long","code":"too_long"}]}}"#,
        )],
    );
    assert_eq!((told.exit, told.data.as_str()), (Exit::Failed, ""));
    assert_eq!(
        told.messages,
        "error: VALIDATION_ERROR: The request is not valid.\n  notes: is too long\n"
    );
}

#[test]
fn a_refusal_that_can_be_helped_has_a_hint() {
    let unknown = r#"{"error":{"code":"NOT_FOUND","message":"There is no such customer."}}"#;
    let refused = r#"{"error":{"code":"AUTH_REQUIRED","message":"A token is needed."}}"#;
    let answers: &[_] = Box::leak(Box::new([(404, unknown)]));
    assert!(tollgate("freeze c1", answers).messages.contains("hint: add --create"));
    let answers: &[_] = Box::leak(Box::new([(401, refused)]));
    assert!(tollgate("show c1", answers).messages.contains("hint: give a token"));
}

#[test]
fn undecided_and_unreachable_end_alike() {
    let lost = r#"{"error":{"code":"STORE_UNREACHABLE","message":"The store is away."}}"#;
    let answers: &[_] = Box::leak(Box::new([(503, lost)]));
    assert_eq!(tollgate("show c1", answers).exit, Exit::Undecided);
    assert_eq!(tollgate("show c1", &[(200, "<html>")]).exit, Exit::Undecided);
    let words = "tollgate show c1 --operator-url http://127.0.0.1:1 --data-dir /nowhere";
    let (exit, _, messages) = run_line(words.split(' '));
    assert_eq!(exit, Exit::Undecided);
    assert_eq!(
        messages,
        "error: cannot reach tollgate at http://127.0.0.1:1: connection refused\n\
         hint: start it with `tollgate serve`, or say where it is with --operator-url or \
         TOLLGATE_OPERATOR_URL\n"
    );
}

#[test]
fn limits_can_be_asked_for_at_a_revision() {
    let told = tollgate("limits c1 --min-revision k3f9:0.42", &[(200, ACTIVE)]);
    let asked = "GET /v1/customers/c1/limits?minRevision=k3f9%3A0.42 ";
    assert!(told.asked[0].starts_with(asked), "{}", told.asked[0]);
    let late = r#"{"error":{"code":"REVISION_NOT_REACHED","message":"It was not reached."}}"#;
    let answers: &[_] = Box::leak(Box::new([(503, late)]));
    assert_eq!(tollgate("limits c1 --min-revision k3f9:0.42", answers).exit, Exit::Undecided);
}

#[test]
fn a_list_walks_every_page() {
    let told = tollgate(
        "list --all --status frozen",
        &[
            (
                200,
                r#"{"customers":[{"customerId":"c1","restrictions":[{"kind":"frozen",
                    "source":"wingback","reason":"dispute"}]}],"hasMore":true,"nextCursor":"a/b"}"#,
            ),
            (200, r#"{"customers":[{"customerId":"c2"}],"hasMore":false,"nextCursor":null}"#),
        ],
    );
    assert!(
        told.asked[1].starts_with("GET /v1/customers?limit=100&status=frozen&startAfter=a%2Fb ")
    );
    assert!(told.data.contains("frozen by wingback (dispute)"), "{}", told.data);
    assert_eq!(told.data.lines().count(), 3);
}

#[test]
fn a_new_key_is_the_only_line_on_standard_output() {
    let told = tollgate(
        "keys create --role support --name alice --expires 90d",
        &[(201, r#"{"id":"k1","name":"alice","role":"support","token":"tg_secret"}"#)],
    );
    assert_eq!(told.data, "tg_secret\n");
    assert_eq!(told.messages, "Made key k1 of role support for alice. Its token:\n");
    assert!(told.asked[0].contains(r#""expiresAt":"2"#), "{}", told.asked[0]);
}

#[test]
fn a_token_of_this_machine_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("operator.token"), "tg_local\n").unwrap();
    let server = Tollgate::answering(&[(200, ACTIVE)]);
    let directory = directory.path().to_str().unwrap();
    let words = ["tollgate", "show", "c1", "--operator-url", &server.url, "--data-dir", directory];
    assert_eq!(run_line(words.into_iter()).0, Exit::Done);
    let asked = server.asked.join().unwrap();
    assert!(asked[0].to_lowercase().contains("authorization: bearer tg_local\r\n"), "{}", asked[0]);
}

#[test]
fn probes_tell_ready_from_not_ready() {
    assert_eq!(tollgate("ready", &[(200, "ok")]).exit, Exit::Done);
    let told = tollgate("ready", &[(503, "starting")]);
    assert_eq!((told.exit, told.data.as_str()), (Exit::Failed, "not ready\n"));
}

#[test]
fn a_configuration_is_shown_with_where_it_came_from() {
    let words = "tollgate config show --stale-limit 2h --store redis://a:hunter2@redis";
    let (exit, data, _) = run_line(words.split(' '));
    assert_eq!(exit, Exit::Done);
    let row = |name: &str| data.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row("stale-limit").split_whitespace().eq(["stale-limit", "2h", "flag"]));
    assert!(row("store ").split_whitespace().eq(["store", "redis://a:***@redis", "flag"]));
}

#[test]
fn an_impossible_configuration_is_a_wrong_use() {
    let (exit, _, messages) = run_line("tollgate config check --grace 0s".split(' '));
    assert_eq!(
        (exit, messages.as_str()),
        (Exit::Usage, "error: --grace must be longer than zero\n")
    );
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    for line in [
        "enable c1 --all-sources --source stripe",
        "check c1 --write --method GET --path /",
        "check c1 --method GET",
        "disable a/b",
        "list --limit 0",
        "keys create --role boss --name alice",
        "disable c1 --until soon",
        "show c1 --operator-url ftp://tollgate",
    ] {
        let words = ["tollgate"].into_iter().chain(line.split(' '));
        assert!(Cli::command().try_get_matches_from(words).is_err(), "{line}");
    }
}
