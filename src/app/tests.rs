//! What a check that memory answers costs, counted rather than timed: a time says as much of the
//! machine as of the program.
//!
//! Each test runs again in a process of its own, where nothing else happens.

use std::{env, fmt::Write as _, fs, hint::black_box, mem::MaybeUninit, process::Command};

use axum::http::Request;
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest,
    attribute_context::{HttpRequest, Request as Asked},
};
use futures_util::future::{Either, FutureExt as _};
use http_body_util::Full;
use prost::Message as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use super::listeners::authorizer;
use crate::{
    domain::TenantId,
    gate::tests::Gated,
    grpc::Authorizer,
    http::{
        DataPlane, DisabledBilling, Gateways,
        serve::{ByHead, Parsed, parse},
    },
    identify::{CustomerFrom, IdentitySource},
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// How a check is asked.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    question: fn() -> Vec<u8>,
    /// Whether the customer is disabled.
    disabled: bool,
    ask: fn(&Asking, &[u8]),
    /// What one of them allocates: what the answer and the question are kept in over gRPC.
    allocations: usize,
}

const CASES: [Case; 5] = [
    Case {
        name: "forward auth, few headers",
        question: || http("/v1/forward-auth", "forwarded", &[]),
        disabled: false,
        ask: Asking::over_http,
        allocations: 0,
    },
    Case {
        name: "forward auth, 14 headers",
        question: || http("/v1/forward-auth", "forwarded", &BESIDE),
        disabled: false,
        ask: Asking::over_http,
        allocations: 0,
    },
    Case {
        name: "forward auth, 14 headers, denied",
        question: || http("/v1/forward-auth", "forwarded", &BESIDE),
        disabled: true,
        ask: Asking::over_http,
        allocations: 0,
    },
    Case {
        name: "nginx, 14 headers",
        question: || http("/v1/nginx", "original", &BESIDE),
        disabled: false,
        ask: Asking::over_http,
        allocations: 0,
    },
    Case {
        name: "Envoy over gRPC",
        question: grpc,
        disabled: false,
        ask: Asking::over_grpc,
        allocations: 9,
    },
];

/// What answers.
struct Asking {
    gateways: Gateways,
    envoy: Authorizer,
}

impl Asking {
    async fn about(disabled: bool) -> Self {
        let mut gated = Gated::new().await;
        gated.commit(disabled).await;
        gated.hear();
        // The record is read for the first check.
        let reason = gated.reason(None).await;
        assert_eq!(reason.as_str(), if disabled { "customer_disabled" } else { "active" });
        let identity = IdentitySource {
            customer_from: CustomerFrom::Header,
            customer_header: "x-customer-id".parse().unwrap(),
            tenant_header: None,
            default_tenant: TenantId::parse("default").ok(),
        };
        let (clock, metrics) = gated.beside();
        let plane = DataPlane {
            gate: gated.gate.clone(),
            clock,
            metrics,
            identity,
            min_revision_header: None,
            disabled_billing: DisabledBilling::Active,
            guard: None,
        };
        Self { envoy: authorizer(&plane), gateways: Gateways::new(plane) }
    }

    fn over_http(&self, question: &[u8]) {
        let mut room = [const { MaybeUninit::uninit() }; 32];
        let Parsed::Whole(head, length) = parse(question, &mut room) else { panic!() };
        assert_eq!(length, question.len());
        WRITTEN.with_borrow_mut(|written| {
            written.clear();
            let answered = self.gateways.answer_head(&head, written);
            assert!(matches!(answered, ByHead::Answered));
            black_box(written);
        });
    }

    fn over_grpc(&self, question: &[u8]) {
        let body = Full::new(bytes::Bytes::copy_from_slice(question));
        let request = Request::post("/").body(body).unwrap();
        let answered = self.envoy.answer_at_once(request).now_or_never().unwrap();
        let Either::Left(answer) = answered else { panic!("the library is asked") };
        black_box(answer);
    }
}

thread_local! {
    static WRITTEN: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Asks again and again. Callgrind counts within this function.
#[inline(never)]
fn counted(case: &Case, asking: &Asking, question: &[u8]) {
    for _ in 0..CHECKS {
        (case.ask)(asking, question);
    }
}

/// Runs the case that the environment names, if it does: returns what was allocated for each check,
/// and what is expected.
async fn run_here() -> Option<(usize, usize)> {
    let name = env::var(CASE).ok()?;
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    let (asking, question) = (Asking::about(case.disabled).await, (case.question)());
    // What is written once is written now.
    for _ in 0..3 {
        (case.ask)(&asking, &question);
    }
    let region = Region::new(ALLOCATOR);
    counted(case, &asking, &question);
    Some((region.change().allocations / CHECKS, case.allocations))
}

/// Runs `test` again in a process of its own, with `case` in its environment.
fn run_apart(before: &[&str], test: &str, case: &Case) {
    let program = env::current_exe().unwrap();
    let command = [before, &[program.to_str().unwrap(), "--exact", test]].concat();
    let mut command = command.into_iter();
    let mut apart = Command::new(command.next().unwrap());
    apart.args(command).args(["--include-ignored", "--nocapture"]).env(CASE, case.name);
    let output = apart.output().unwrap_or_else(|error| {
        panic!("{} does not run ({error}): it is in Debian's package valgrind", before[0])
    });
    assert!(output.status.success(), "{}: {output:?}", case.name);
}

#[tokio::test]
async fn a_check_allocates_nothing_but_what_grpc_keeps_question_and_answer_in() {
    let name = "app::tests::a_check_allocates_nothing_but_what_grpc_keeps_question_and_answer_in";
    if let Some((allocations, expected)) = run_here().await {
        assert_eq!(allocations, expected);
        return;
    }
    for case in CASES {
        run_apart(&[], name, &case);
    }
}

/// Counts are those of one toolchain: another one may count otherwise, and so only `.ci/run` asks.
#[tokio::test]
#[ignore = "needs valgrind, and the toolchain that the counts are of; `.ci/run`"]
async fn no_check_takes_five_percent_more_instructions_than_it_did() {
    let name = "app::tests::no_check_takes_five_percent_more_instructions_than_it_did";
    if run_here().await.is_some() {
        return;
    }
    let before = fs::read_to_string(COUNTS).unwrap_or_default();
    let now = CASES.iter().map(|case| (count(name, case), case.name));
    let now: Vec<(u64, &str)> = now.collect();
    if env::var_os(WRITE).is_some() {
        let mut counts = String::new();
        for (count, name) in now {
            writeln!(counts, "{count:>8} {name}").unwrap();
        }
        fs::write(COUNTS, counts).unwrap();
        return;
    }
    let before = before.lines().map(|line| line.trim_start().split_once(' ').unwrap());
    let before: Vec<(u64, &str)> =
        before.map(|(count, name)| (count.parse().unwrap(), name)).collect();
    let is_more = |((before, was), (now, is)): (&(u64, &str), &(u64, &str))| {
        assert_eq!(was, is);
        now * 100 > before * 105
    };
    assert!(
        before.len() == now.len() && !before.iter().zip(&now).any(is_more),
        "more than 5 % more instructions: {before:?} before, {now:?} now. If that is worth it, run \
         this test with {WRITE}=1."
    );
}

/// Instructions for one check, as this crate is built for its tests.
fn count(test: &str, case: &Case) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("counted");
    let to = format!("--callgrind-out-file={}", out.display());
    let within = "--toggle-collect=*app::tests::counted*";
    run_apart(&["valgrind", "--tool=callgrind", within, &to], test, case);
    let counted = fs::read_to_string(out).unwrap();
    let total = counted.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    total.trim().parse::<u64>().unwrap() / CHECKS as u64
}

fn http(path: &str, original: &str, beside: &[(&str, &str)]) -> Vec<u8> {
    let mut question = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:7600\r\nUser-Agent: Firefox/140.0\r\n\
         X-Customer-Id: c1\r\nX-{original}-Method: GET\r\nX-{original}-Uri: /api/orders/1234\r\n"
    );
    for (name, value) in beside {
        write!(question, "{name}: {value}\r\n").unwrap();
    }
    (question + "\r\n").into_bytes()
}

fn grpc() -> Vec<u8> {
    let said = [(":method", "GET"), (":path", "/api/orders/1234"), ("x-customer-id", "c1")];
    let headers = said.iter().chain(&BESIDE);
    let http = HttpRequest {
        id: "11424595473085213954".to_owned(),
        method: "GET".to_owned(),
        path: "/api/orders/1234".to_owned(),
        host: "api.example.com".to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        headers: headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..HttpRequest::default()
    };
    let request = Some(Asked { time: None, http: Some(http) });
    let attributes = AttributeContext { request, ..AttributeContext::default() };
    let message = CheckRequest { attributes: Some(attributes) }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &message].concat()
}

/// What a gateway passes on of a browser's request beside what is looked at.
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

const CHECKS: usize = 200;
const CASE: &str = "TOLLGATE_TEST_COUNTED_CASE";
const WRITE: &str = "TOLLGATE_TEST_WRITE_COUNTS";
const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/checks.txt");
