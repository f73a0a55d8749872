//! `/v1/envoy` as Envoy's `ext_authz` asks it over HTTP: the question is the original request
//! itself, behind a prefix.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{net::SocketAddr, time::Duration};

use axum::http::{Method, Request, Response};
use h2::ext::Protocol;

use raw::{Raw, RawAnswer, raw};
use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};

#[test]
fn the_method_of_the_question_is_the_original_one_and_every_method_is_answered() {
    let tollgate = with_frozen();
    for method in ["GET", "HEAD", "OPTIONS"] {
        let answer = ask(&tollgate, method, "/things?page=1", &[]);
        assert_eq!((answer.status, answer.reason()), (200, "frozen_read"), "{method}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "QUERY", "get", "X-Y"] {
        let answer = ask(&tollgate, method, "/things?page=1", &[]);
        assert_eq!((answer.status, answer.reason()), (423, "customer_frozen"), "{method}");
    }
}

#[test]
fn a_pass_is_exactly_200_without_a_body_and_a_deny_is_its_own_status_and_json() {
    let tollgate = with_frozen();
    let pass = ask(&tollgate, "GET", "/", &[]);
    assert!(pass.head.starts_with("HTTP/1.1 200 "), "{pass:?}");
    assert_eq!(pass.header("content-length"), Some("0"));
    for name in ["content-type", "set-cookie", "cache-control"] {
        assert_eq!(pass.header(name), None, "{name}");
    }

    let deny = ask(&tollgate, "POST", "/", &[]);
    assert_eq!(deny.status, 423);
    assert_eq!(deny.json()["error"]["code"], "CUSTOMER_FROZEN");
    assert_eq!(deny.header("content-type"), Some("application/json"));
    assert_eq!(deny.header("cache-control"), Some("no-store"));
    for answer in [pass, deny] {
        let own = answer.head.lines().filter_map(|line| line.strip_prefix("x-tollgate-"));
        let told =
            own.filter(|own| own.split_once(": ").is_some_and(|(_, value)| !value.is_empty()));
        assert_eq!(told.count(), 8, "{answer:?}");
    }

    let mut connection = Raw::connect(tollgate.check);
    let head = connection.request("HEAD /v1/envoy/x HTTP/1.1", &[]).head();
    assert_eq!((head.status, head.reason()), (401, "customer_missing"));
    assert!(head.header("www-authenticate").is_some());
    // Nothing of a body comes between: the next answer follows at once.
    let next = connection.request("GET /v1/envoy/x HTTP/1.1", &[C1]).answer();
    assert_eq!(next.status, 200);
}

#[test]
fn no_decision_is_503_so_that_envoys_own_failure_mode_decides() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &redis.url(), "--when-unlisted", "error"]);
    redis.pause();
    let answer = ask(&tollgate, "GET", "/", &[]);
    redis.resume();
    assert_eq!((answer.status, answer.reason()), (503, "store_unreachable"));
    assert_eq!(answer.header("x-tollgate-decision"), Some("undecided"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json()["error"]["code"], "STORE_UNREACHABLE");
}

#[test]
fn the_prefix_is_compared_on_bytes_and_no_dots_lead_out_from_behind_it() {
    let tollgate = with_frozen();
    for target in
        ["/", "/../v1/check", "/../../metrics", "//a", "/a/../b", "/v1/nginx", "/x?y=/../%2e"]
    {
        for (method, expected) in [("GET", "frozen_read"), ("POST", "customer_frozen")] {
            assert_eq!(ask(&tollgate, method, target, &[]).reason(), expected, "{target}");
        }
    }
    for hidden in ["/%2e%2e/a", "/a%2fb", "/a;b", "/a%5cb", "/a%00"] {
        let answer = ask(&tollgate, "GET", hidden, &[]);
        assert_eq!((answer.status, answer.reason()), (423, "customer_frozen"), "{hidden}");
    }
    // What Envoy tells no target of is nothing that only looks.
    for untold in ["/v1/envoy", "/v1/envoy?/"] {
        let answer = raw(tollgate.check, &format!("GET {untold} HTTP/1.1"), &[C1]);
        assert_eq!((answer.status, answer.reason()), (423, "customer_frozen"), "{untold}");
    }
    for elsewhere in ["/v1/envoys/", "/V1/envoy/", "//v1/envoy/", "/v1/%65nvoy/", "/v1/../v1/envoy"]
    {
        let answer = raw(tollgate.check, &format!("GET {elsewhere} HTTP/1.1"), &[C1]);
        assert_eq!((answer.status, answer.reason()), (404, ""), "{elsewhere}");
    }
}

#[test]
fn what_other_gateways_say_in_headers_is_the_clients_word_here() {
    let tollgate = with_frozen();
    let reads = [
        ("X-Forwarded-Method", "GET"),
        ("X-Forwarded-Uri", "/"),
        ("X-Original-Method", "GET"),
        ("X-Original-URI", "/"),
        ("X-Original-URL", "http://h/"),
        ("X-Envoy-Original-Path", "/"),
        ("X-Tollgate-Status", "active"),
    ];
    assert_eq!(ask(&tollgate, "POST", "/a", &reads).reason(), "customer_frozen");
    let writes = [
        ("X-Forwarded-Method", "POST"),
        ("X-Forwarded-Uri", "/%2e%2e"),
        ("X-Original-Method", "POST"),
        ("X-Original-URI", "/%2e%2e"),
    ];
    assert_eq!(ask(&tollgate, "GET", "/a", &writes).reason(), "frozen_read");
    for more in [("Upgrade", "websocket"), ("X-HTTP-Method-Override", "DELETE")] {
        assert_eq!(ask(&tollgate, "GET", "/a", &[more]).reason(), "customer_frozen", "{more:?}");
    }
    let joined = raw(tollgate.check, "GET /v1/envoy/ HTTP/1.1", &[("X-Customer-Id", "c1,c2")]);
    assert_eq!((joined.status, joined.reason()), (400, "customer_ambiguous"));
}

#[test]
fn a_body_that_is_promised_and_never_comes_is_not_waited_for() {
    let tollgate = with_frozen();
    for (method, status) in [("GET", 200), ("POST", 423)] {
        let mut connection = Raw::connect(tollgate.check);
        let line = format!("{method} /v1/envoy/upload HTTP/1.1");
        let answer = connection.request(&line, &[C1, ("Content-Length", "1000")]).answer();
        assert_eq!(answer.status, status);
        assert!(connection.is_closed(), "the connection stays open");
    }
}

#[test]
fn a_websocket_over_http_2_is_a_connect_and_is_answered_without_a_tunnel() {
    let tollgate = with_frozen();
    let refused = over_http_2(tollgate.check, websocket("/v1/envoy/chat"));
    assert_eq!(refused.status(), 423);
    assert_eq!(refused.headers()["x-tollgate-reason"], "customer_frozen");

    let unfrozen = tollgate.cli(&["unfreeze", "c1"]);
    assert!(unfrozen.status.success(), "{unfrozen:?}");
    let passed = over_http_2(tollgate.check, websocket("/v1/envoy/chat"));
    assert_eq!(passed.status(), 200);
    assert_eq!(passed.headers()["x-tollgate-reason"], "active");
    assert!(passed.body().is_empty());
}

#[test]
fn its_questions_are_counted_under_its_name() {
    let tollgate = with_frozen();
    ask(&tollgate, "GET", "/", &[]);
    ask(&tollgate, "POST", "/", &[]);
    let counted = tollgate.sum_of("tollgate_checks_total", "dialect=\"envoy\"");
    assert!((counted - 2.0).abs() < f64::EPSILON, "{counted}");
}

fn with_frozen() -> Tollgate {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let frozen = tollgate.cli(&["freeze", "c1", "--create"]);
    assert!(frozen.status.success(), "{frozen:?}");
    tollgate
}

/// Asks about `c1`'s request as Envoy does.
fn ask(tollgate: &Tollgate, method: &str, target: &str, more: &[(&str, &str)]) -> RawAnswer {
    let mut connection = Raw::connect(tollgate.check);
    let line = format!("{method} /v1/envoy{target} HTTP/1.1");
    connection.request(&line, &[&[C1], more].concat());
    if method == "HEAD" { connection.head() } else { connection.answer() }
}

/// An extended CONNECT.
fn websocket(path: &str) -> Request<()> {
    Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://app.example{path}"))
        .header(C1.0, C1.1)
        .extension(Protocol::from_static("websocket"))
        .body(())
        .unwrap()
}

/// One request without a body over HTTP/2, and its answer to the end of the stream.
#[tokio::main(flavor = "current_thread")]
async fn over_http_2(address: SocketAddr, request: Request<()>) -> Response<Vec<u8>> {
    let conversation = async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut sender = sender.ready().await.unwrap();
        // What the server takes is told in its settings.
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let (response, _) = sender.send_request(request, true).unwrap();
        let (head, mut stream) = response.await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            body.extend_from_slice(&data.unwrap());
        }
        connection.abort();
        Response::from_parts(head, body)
    };
    tokio::time::timeout(PATIENCE, conversation).await.unwrap()
}

const C1: (&str, &str) = ("X-Customer-Id", "c1");
const PATIENCE: Duration = Duration::from_secs(10);
