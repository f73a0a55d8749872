//! How many instructions a check costs the process that answers it.
//!
//! `benches/count` runs Tollgate under callgrind, asks it in each dialect, and compares what was
//! counted with `benches/instructions.txt`. Instructions are repeatable where seconds are not: more
//! than 5 % above fails. `benches/count --write` writes the file anew, and `benches/count --release`
//! counts those of a release, whose linking takes minutes, for the goals.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has failed")]

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests, which need more of it")]
mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use envoy_types::pb::envoy::{
    config::core::v3::Metadata,
    service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Request},
    },
};
use prost::Message as _;
use serde_json::json;
use support::tollgate::Tollgate;

fn main() -> ExitCode {
    // `cargo test --benches` only wants to know that it compiles.
    let Some(program) = std::env::args().skip_while(|it| it != "--program").nth(1) else {
        return ExitCode::SUCCESS;
    };
    let counted = count(&program);
    if std::env::args().any(|it| it == "--write") {
        let lines = counted.iter().map(|(name, count)| format!("{count:>7} {name}\n"));
        fs::write(BASELINE, lines.collect::<String>()).unwrap();
    }
    if std::env::args().any(|it| it == "--goals") { reach(&counted) } else { compare(&counted) }
}

/// What a check cost, by what was asked.
type Counted = BTreeMap<String, u64>;

fn count(program: &str) -> Counted {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("counted");
    let tollgate = start(program, &out);
    for (id, act, reason) in
        [("cus_00000001", "enable", "active"), ("cus_00000002", "disable", "customer_disabled")]
    {
        let path = format!("/v1/customers/{id}");
        for (method, path, body) in [
            ("PUT", path.clone(), Some(json!({"plan": "pro"}))),
            ("POST", format!("{path}/{act}"), None),
        ] {
            // Under callgrind the first commit may take longer than it is waited for.
            let is_done = || tollgate.operate(method, &path, body.as_ref()).status < 300;
            tollgate.wait_until(act, is_done);
        }
        tollgate.wait_until(reason, || tollgate.reason_to_write(id) == reason);
    }
    let mut dumps = Dumps { out, taken: 0, process: tollgate.process() };
    let mut counted = Counted::new();
    for question in questions(dir.path()) {
        ask(&tollgate, &question, WARM_UP);
        // What one round costs beside its checks: connections, and what goes on meanwhile.
        dumps.take();
        ask(&tollgate, &question, CHECKS);
        let few = dumps.take();
        ask(&tollgate, &question, CHECKS * 3);
        let many = dumps.take();
        counted.insert(question.name.to_owned(), (many - few) / u64::from(CHECKS * 2));
    }
    counted
}

fn start(program: &str, out: &Path) -> Tollgate {
    let out = format!("--callgrind-out-file={}", out.display());
    // One thread is as many as are counted at a time.
    let counted = ["taskset", "--cpu-list", "0", "valgrind", "--tool=callgrind", &out, program];
    Tollgate::start_by(&counted, &["--store", "memory:"])
}

/// What is asked again and again.
struct Question {
    name: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<PathBuf>,
    http_2: bool,
    status: &'static str,
}

fn questions(dir: &Path) -> Vec<Question> {
    let json = dir.join("check.json");
    let asked = json!({"customerId": "cus_00000001", "method": "GET", "path": "/api/orders/1234"});
    fs::write(&json, asked.to_string()).unwrap();
    let grpc = dir.join("check.grpc");
    fs::write(&grpc, framed(&check_request().encode_to_vec())).unwrap();
    let customer = ("x-customer-id", "cus_00000001");
    let http = || Question {
        name: "",
        path: "/v1/forward-auth",
        headers: Vec::new(),
        body: None,
        http_2: false,
        status: "2xx",
    };
    let forwarded = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/api/orders/1234")];
    let original = [("x-original-method", "GET"), ("x-original-uri", "/api/orders/1234")];
    let beside = || BESIDE.into_iter();
    vec![
        Question {
            name: "forward auth, few headers",
            headers: forwarded.into_iter().chain([customer]).collect(),
            ..http()
        },
        Question {
            name: "forward auth, 14 headers",
            headers: forwarded.into_iter().chain([customer]).chain(beside()).collect(),
            ..http()
        },
        Question {
            name: "forward auth, 14 headers, denied",
            headers: forwarded
                .into_iter()
                .chain([("x-customer-id", "cus_00000002")])
                .chain(beside())
                .collect(),
            status: "4xx",
            ..http()
        },
        Question {
            name: "nginx, 14 headers",
            path: "/v1/nginx",
            headers: original.into_iter().chain([customer]).chain(beside()).collect(),
            ..http()
        },
        Question {
            name: "Envoy over HTTP, 14 headers",
            path: "/v1/envoy/api/orders/1234",
            headers: forwarded.into_iter().chain([customer]).chain(beside()).collect(),
            ..http()
        },
        Question {
            name: "check in JSON",
            path: "/v1/check",
            headers: vec![("content-type", "application/json")],
            body: Some(json),
            ..http()
        },
        Question {
            name: "Envoy over gRPC",
            path: "/envoy.service.auth.v3.Authorization/Check",
            headers: vec![("content-type", "application/grpc"), ("te", "trailers")],
            body: Some(grpc),
            http_2: true,
            ..http()
        },
    ]
}

/// What Traefik passes on of a browser's request beside what is looked at. With the host and the
/// client's own name they are 14.
const BESIDE: [(&str, &str); 9] = [
    ("accept", "application/json, text/plain, */*"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjdXMifQ.c2lnbmF0dXJl"),
    ("cookie", "session=4bf92f3577b34da6a3ce929d0e0e4736; theme=dark"),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-host", "api.example.com"),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "0af7651916cd43dd8448eb211c80319c"),
];

/// As Envoy asks, about 700 bytes.
fn check_request() -> CheckRequest {
    let pseudo = [
        (":method", "GET"),
        (":path", "/api/orders/1234"),
        (":authority", "api.example.com"),
        (":scheme", "https"),
        ("x-customer-id", "cus_00000001"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ];
    let headers = pseudo.into_iter().chain(BESIDE);
    let http = HttpRequest {
        id: "11424595473085213954".to_owned(),
        method: "GET".to_owned(),
        path: "/api/orders/1234".to_owned(),
        host: "api.example.com".to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..HttpRequest::default()
    };
    let request = Some(Request { time: None, http: Some(http) });
    let metadata_context = Some(Metadata::default());
    let attributes = AttributeContext { request, metadata_context, ..AttributeContext::default() };
    CheckRequest { attributes: Some(attributes) }
}

/// A message as it is framed on the wire.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// Asks `count` times, on a few connections.
fn ask(tollgate: &Tollgate, question: &Question, count: u32) {
    let mut load = Command::new("h2load");
    let (clients, streams) = if question.http_2 { ("1", "64") } else { ("8", "1") };
    load.args(["-n", &count.to_string(), "-c", clients, "-m", streams]);
    if !question.http_2 {
        load.arg("--h1");
    }
    if let Some(body) = &question.body {
        load.arg("-d").arg(body);
    }
    for (name, value) in &question.headers {
        load.args(["-H", &format!("{name}: {value}")]);
    }
    let printed = load.arg(format!("http://{}{}", tollgate.check, question.path)).output();
    let printed = printed.unwrap_or_else(|error| {
        panic!("h2load does not run ({error}); it is in Debian's package nghttp2-client")
    });
    let printed = String::from_utf8(printed.stdout).unwrap();
    let answered = format!("{count} {}", question.status);
    let codes = printed.lines().find(|line| line.starts_with("status codes:"));
    assert!(
        codes.is_some_and(|line| line.contains(&format!(" {answered}"))),
        "not all of {:?} were {answered}: {printed}",
        question.name
    );
}

/// What callgrind counted, between one time that it is asked and the next.
struct Dumps {
    out: PathBuf,
    taken: u32,
    process: u32,
}

impl Dumps {
    fn take(&mut self) -> u64 {
        self.taken += 1;
        let asked = Command::new("callgrind_control")
            .args(["--dump", &self.process.to_string()])
            .output()
            .unwrap_or_else(|error| panic!("callgrind_control does not run: {error}"));
        assert!(asked.status.success(), "{asked:?}");
        let path = self.out.with_extension(self.taken.to_string());
        let begun = Instant::now();
        loop {
            let written = fs::read_to_string(&path).unwrap_or_default();
            let mut lines = written.lines().filter_map(|line| line.strip_prefix("totals: "));
            if let Some(total) = lines.next() {
                return total.trim().parse().unwrap();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "there is no {}", path.display());
        }
    }
}

fn baseline() -> Counted {
    let text = fs::read_to_string(BASELINE).unwrap();
    let lines = text.lines().map(|line| line.trim_start().split_once(' ').unwrap());
    lines.map(|(count, name)| (name.to_owned(), count.parse().unwrap())).collect()
}

/// Prints what was counted beside what was before. Fails on too much of it.
fn compare(counted: &Counted) -> ExitCode {
    let before = baseline();
    println!("| instructions per check | before | now | change |\n|---|---:|---:|---:|");
    let mut grown = Vec::new();
    for (name, now) in counted {
        let before = before.get(name).copied().unwrap_or_default();
        let permille = (i128::from(*now) - i128::from(before)) * 1000 / i128::from(before.max(1));
        let sign = if permille < 0 { '-' } else { '+' };
        let permille = permille.unsigned_abs();
        println!("| {name} | {before} | {now} | {sign}{}.{} % |", permille / 10, permille % 10);
        if now * 100 > before * (100 + AT_MOST_MORE) {
            grown.push(name.as_str());
        }
    }
    if grown.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!(
        "More than {AT_MOST_MORE} % more instructions than in benches/instructions.txt: {}. If \
         that is worth it, write the file anew with `benches/count --write`.",
        grown.join("; ")
    );
    ExitCode::FAILURE
}

/// Prints the goals, a row for each, and what was counted.
fn reach(counted: &Counted) -> ExitCode {
    for (name, goal) in GOALS {
        let count = counted[name];
        let met = if count <= goal { "yes" } else { "no" };
        println!("GOAL | user instructions: {name} | <= {goal} | {count} | {met} |");
    }
    ExitCode::SUCCESS
}

const GOALS: [(&str, u64); 3] = [
    ("forward auth, few headers", 12_000),
    ("forward auth, 14 headers", 20_000),
    ("Envoy over gRPC", 46_000),
];
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
const WARM_UP: u32 = 400;
const CHECKS: u32 = 1000;
/// Of what was counted before, in percent.
const AT_MOST_MORE: u64 = 5;
