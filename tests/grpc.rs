//! gRPC on the check listener, asked with Envoy's own complete messages.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::{Duration, Instant},
};

use envoy_types::pb::{
    envoy::{
        config::core::v3::{
            HeaderMap, HeaderValue, HeaderValueOption, Metadata,
            header_value_option::HeaderAppendAction,
        },
        service::auth::v3::{
            AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
            attribute_context::{HttpRequest, Peer, Request},
            authorization_client::AuthorizationClient,
            check_response::HttpResponse,
        },
    },
    google::protobuf::{Struct, Value, value::Kind},
};
use serde_json::json;
use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{Tollgate, http},
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

#[tokio::test]
async fn envoy_is_told_what_forward_auth_is_told() {
    let tollgate = start(&[]);
    for (customer, verb, reason) in [
        ("frozen", "freeze", "non_payment"),
        ("unpaid", "disable", "non_payment"),
        ("fraud", "disable", "fraud"),
        ("closed", "deactivate", "account_closure"),
    ] {
        put(&tollgate, customer, &json!({"plan": "pro"}));
        act(&tollgate, customer, verb, &json!({ "reason": reason }));
    }
    put(&tollgate, "active", &json!({"plan": "pro"}));
    let mut client = over_tcp(tollgate.check);

    let mut refused = 0;
    for customer in ["active", "frozen", "unpaid", "fraud", "closed", "nobody", "a,b", "a b", ""] {
        for method in ["GET", "POST"] {
            let expected = tollgate.ask(
                "GET",
                "/v1/forward-auth",
                &[
                    ("x-forwarded-method", method),
                    ("x-forwarded-uri", "/orders?page=2"),
                    ("x-customer-id", customer),
                ],
            );
            let expected_headers = headers_of_interest(expected.headers.iter().cloned());
            for request in [
                asking(method, "/orders?page=2", &[("x-customer-id", customer)]),
                asking_raw(method, "/orders?page=2", &[("x-customer-id", customer)]),
            ] {
                let told = client.check(request).await.unwrap().into_inner();
                let code = told.status.clone().unwrap().code;
                let (status, headers, body) = match told.http_response.clone().unwrap() {
                    HttpResponse::OkResponse(passed) => {
                        (200, passed_headers(&passed), String::new())
                    }
                    HttpResponse::DeniedResponse(denied) => denied_parts(&denied),
                    HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
                };
                assert_eq!(code, if status == 200 { 0 } else { 7 }, "{told:?}");
                assert_eq!((status, &body), (expected.status, &expected.body), "{told:?}");
                assert_eq!(headers_of_interest(headers), expected_headers, "{customer} {method}");
                refused += u32::from(status != 200);
            }
        }
    }
    assert_eq!(refused, 2 * (1 + 2 + 2 + 2 + 2 + 2 + 2 + 2));
    let counted = "dialect=\"envoy_grpc\"";
    assert!((tollgate.sum_of("tollgate_checks_total", counted) - 36.0).abs() < 0.1);
}

#[tokio::test]
async fn the_unix_socket_answers_as_the_port_does() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("check.sock");
    let tollgate = start(&["--check-socket", socket.to_str().unwrap()]);
    put(&tollgate, "c1", &json!({"plan": "pro"}));
    let mut client = over(&format!("unix://{}", socket.display()));
    let passed = client.check(asking("GET", "/", &[C1])).await.unwrap().into_inner();
    assert_eq!(passed_header(&passed, "x-tollgate-reason"), "active");
}

#[tokio::test]
async fn what_a_client_forged_is_overwritten_and_decides_nothing() {
    let tollgate = start(&[]);
    put(&tollgate, "c1", &json!({"plan": "pro"}));
    act(&tollgate, "c1", "freeze", &json!({"reason": "dispute"}));
    let forged = [
        C1,
        ("x-tollgate-status", "active"),
        ("x-tollgate-decision", "allow"),
        ("x-forwarded-method", "GET"),
        ("x-original-method", "GET"),
        ("x-envoy-original-path", "/public"),
        ("x-tenant", "other"),
    ];
    let mut client = over_tcp(tollgate.check);
    let read = client.check(asking("GET", "/", &forged)).await.unwrap().into_inner();
    let Some(HttpResponse::OkResponse(passed)) = &read.http_response else { panic!("{read:?}") };
    assert_eq!(passed.headers.len(), 8);
    for option in &passed.headers {
        let overwrites = HeaderAppendAction::OverwriteIfExistsOrAdd as i32;
        assert_eq!(option.append_action, overwrites, "{option:?}");
    }
    assert_eq!(passed_header(&read, "x-tollgate-status"), "frozen");
    let write = client.check(asking("POST", "/", &forged)).await.unwrap().into_inner();
    assert_eq!(denied(&write).0, 423);

    for (method, path, header) in [
        ("GET", "/", ("x-http-method-override", "PUT")),
        ("GET", "/", ("upgrade", "websocket")),
        ("CONNECT", "", C1),
        ("GET", "/a/%2e%2e/b", C1),
        ("OPTIONS", "/a%2fb", C1),
    ] {
        let headers = if header == C1 { vec![C1] } else { vec![C1, header] };
        let told = client.check(asking(method, path, &headers)).await.unwrap().into_inner();
        assert_eq!(denied(&told).0, 423, "{method} {path} {header:?}");
    }
}

#[tokio::test]
async fn two_ids_are_nobody_in_either_form() {
    let tollgate = start(&["--tenant-header", "X-Tenant"]);
    put(&tollgate, "c1", &json!({"plan": "pro"}));
    let mut client = over_tcp(tollgate.check);
    for request in [
        asking("GET", "/", &[("x-customer-id", "c1,c2")]),
        asking_raw("GET", "/", &[C1, C1]),
        asking_raw("GET", "/", &[C1, ("X-Customer-Id", "c2")]),
        asking_raw("GET", "/", &[C1, ("x-tenant", "a"), ("x-tenant", "a")]),
        with_extensions(asking("GET", "/", &[C1, ("x-tenant", "a")]), &[("tenant", "b")]),
    ] {
        let told = client.check(request).await.unwrap().into_inner();
        let (status, headers, body) = denied(&told);
        assert_eq!(status, 400, "{told:?}");
        assert_eq!(headers["x-tollgate-reason"], "customer_ambiguous");
        assert!(body.contains("CUSTOMER_AMBIGUOUS"), "{body}");
    }
}

#[tokio::test]
async fn a_route_asks_for_a_feature_a_limit_and_an_action() {
    let tollgate = start(&[]);
    let now = jiff_now();
    let limits =
        json!({"seats": {"max": 2, "used": 2, "usedAt": now}, "calls": {"max": "unlimited"}});
    put(&tollgate, "c1", &json!({"features": ["export"], "limits": limits}));
    put(&tollgate, "frozen", &json!({"plan": "pro"}));
    act(&tollgate, "frozen", "freeze", &json!({"reason": "dispute"}));
    let mut client = over_tcp(tollgate.check);
    let frozen = ("x-customer-id", "frozen");
    for (customer, method, extensions, reason) in [
        (C1, "GET", &[("feature", "export")][..], "active"),
        (C1, "GET", &[("feature", "sso")], "feature_missing"),
        (C1, "GET", &[("limit", "calls"), ("feature", "export")], "active"),
        (C1, "GET", &[("limit", "seats")], "limit_exceeded"),
        (frozen, "POST", &[("action", "read")], "frozen_read"),
        (frozen, "GET", &[("action", "write")], "customer_frozen"),
        (C1, "GET", &[("tenant", "acme")], "customer_unknown"),
        (C1, "GET", &[("somebody", "elses key")], "active"),
    ] {
        let request = with_extensions(asking(method, "/", &[customer]), extensions);
        let told = client.check(request).await.unwrap().into_inner();
        assert_eq!(logged(&told)["reason"], reason, "{extensions:?}");
    }
}

/// Named as its rule is; the others are in `gateway_rules.rs`.
#[tokio::test]
async fn rule_20_raw_headers_the_path_and_the_routes_settings_are_read_and_the_log_is_told() {
    let tollgate = start(&[]);
    put(&tollgate, "c1", &json!({"features": []}));
    let mut client = over_tcp(tollgate.check);
    let settings = [("feature", "export"), ("action", "read")];
    for (request, expected) in [
        (asking_raw("POST", "/a", &[C1]), "active"),
        (asking("POST", "/a", &[C1]), "active"),
        (with_extensions(asking_raw("GET", "/a", &[C1]), &settings), "feature_missing"),
    ] {
        let told = client.check(request).await.unwrap().into_inner();
        let (code, is_refused) = match &told.http_response {
            Some(HttpResponse::OkResponse(_)) => (0, false),
            Some(HttpResponse::DeniedResponse(_)) => (7, true),
            other => panic!("{other:?}"),
        };
        assert_eq!(told.status.as_ref().unwrap().code, code, "{told:?}");
        assert_eq!(is_refused, expected == "feature_missing");
        let logged = logged(&told);
        assert_eq!(
            (&*logged["customer"], &*logged["status"], &*logged["reason"]),
            ("c1", "active", expected)
        );
    }
}

#[tokio::test]
async fn a_route_set_up_wrongly_is_undecided_and_on_record_and_lets_nobody_restricted_in() {
    let tollgate = start(&[]);
    put(&tollgate, "c1", &json!({"features": ["export"], "limits": {}}));
    put(&tollgate, "bad", &json!({"plan": "pro"}));
    act(&tollgate, "bad", "disable", &json!({"reason": "fraud"}));
    let mut client = over_tcp(tollgate.check);
    let settings = [("feature", "a b"), ("limit", ""), ("action", "raed"), ("tenant", "a/b")];
    for setting in settings {
        let request = with_extensions(asking("GET", "/", &[C1]), &[setting]);
        let undecided = client.check(request).await.unwrap_err();
        assert_eq!(undecided.code(), Code::Unavailable, "{setting:?}");
        assert!(undecided.message().contains(setting.0), "{undecided:?}");
        assert_eq!(undecided.metadata().get("x-tollgate-decision").unwrap(), "undecided");
    }
    let logged = tollgate.wait_for_log("route.setting");
    assert!(logged.contains("\"feature\"") && logged.contains("a b"), "{logged}");
    let lines = tollgate.log().into_iter().filter(|line| line.contains("route.setting"));
    assert_eq!(lines.count(), 1);
    assert_eq!(tollgate.metric("tollgate_route_settings_malformed_total"), 4);
    for setting in &settings[..3] {
        let request = asking("GET", "/", &[("x-customer-id", "bad")]);
        let told = client.check(with_extensions(request, &[*setting])).await.unwrap();
        assert_eq!(denied(told.get_ref()).0, 403, "{setting:?}");
    }
}

#[tokio::test]
async fn the_customer_comes_from_a_verified_claim_and_from_nowhere_else() {
    let place = "metadata:envoy.filters.http.jwt_authn:jwt_payload.sub";
    let tollgate = start(&["--customer-from", place]);
    put(&tollgate, "c1", &json!({"plan": "pro"}));
    put(&tollgate, "c2", &json!({"plan": "pro"}));
    act(&tollgate, "c2", "disable", &json!({"reason": "fraud"}));
    let mut client = over_tcp(tollgate.check);
    let claimed = with_claim(asking("GET", "/", &[C1]), "c2");
    assert_eq!(denied(client.check(claimed).await.unwrap().get_ref()).0, 403);
    let claimed = with_claim(asking("GET", "/", &[("x-customer-id", "c2")]), "c1");
    let passed = client.check(claimed).await.unwrap().into_inner();
    assert_eq!(logged(&passed)["customer"], "c1");

    let unclaimed = client.check(asking("GET", "/", &[C1])).await.unwrap().into_inner();
    let (status, headers, _) = denied(&unclaimed);
    assert_eq!((status, headers["x-tollgate-reason"].as_str()), (401, "customer_missing"));
    assert!(headers.contains_key("www-authenticate"));
    let read = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/"), C1];
    let elsewhere = tollgate.ask("GET", "/v1/forward-auth", &read);
    assert_eq!((elsewhere.status, elsewhere.code().as_str()), (401, "CUSTOMER_MISSING"));
}

#[tokio::test]
async fn the_customer_comes_from_the_route_where_that_is_configured() {
    let tollgate = start(&["--customer-from", "context:customer"]);
    put(&tollgate, "c1", &json!({"plan": "pro"}));
    let mut client = over_tcp(tollgate.check);
    let request = with_extensions(asking("GET", "/", &[]), &[("customer", "c1")]);
    let passed = client.check(request).await.unwrap().into_inner();
    assert_eq!(passed_header(&passed, "x-tollgate-reason"), "active");
    let missing = client.check(asking("GET", "/", &[C1])).await.unwrap().into_inner();
    assert_eq!(denied(&missing).0, 401);
}

#[tokio::test]
async fn the_access_log_is_told_who_and_why() {
    let tollgate = start(&[]);
    let revision = put(&tollgate, "c1", &json!({"plan": "pro"}))["revision"].clone();
    let mut client = over_tcp(tollgate.check);
    let told = client.check(asking("GET", "/", &[C1])).await.unwrap().into_inner();
    let expected = json!({
        "customer": "c1", "tenant": "default", "status": "active", "reason": "active",
        "decision": "allow", "revision": revision,
    });
    assert_eq!(json!(logged(&told)), expected);
}

#[tokio::test]
async fn without_a_decision_the_call_fails_and_whoever_is_restricted_is_refused() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let writer = Tollgate::start(&["--store", &redis.url()]);
    put(&writer, "cold", &json!({"plan": "pro"}));
    put(&writer, "bad", &json!({"plan": "pro"}));
    act(&writer, "bad", "disable", &json!({"reason": "fraud"}));
    let sidecar = |more: &[&str]| {
        let flags = ["--store", &redis.url(), "--operator-listen", "off"];
        Tollgate::start(&[&flags[..], &["--when-unlisted", "error"], more].concat())
    };
    let fleet = ["gateway", "deny", "allow"].map(|what| sidecar(&["--when-undecided", what]));
    redis.pause();
    let cold = || asking("GET", "/", &[("x-customer-id", "cold")]);
    let [gateway, deny, allow] = &fleet;

    let failed = over_tcp(gateway.check).check(cold()).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    let told = |name| failed.metadata().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(told("x-tollgate-decision"), "undecided");
    assert_eq!(told("x-tollgate-reason"), "store_unreachable");
    let eight = failed.metadata().clone().into_headers();
    assert_eq!(eight.keys().filter(|name| name.as_str().starts_with("x-tollgate-")).count(), 8);

    let refused = over_tcp(deny.check).check(cold()).await.unwrap().into_inner();
    let (status, headers, body) = denied(&refused);
    assert_eq!((status, headers["x-tollgate-decision"].as_str()), (403, "undecided"));
    assert!(body.contains("STORE_UNREACHABLE"), "{body}");
    let passed = over_tcp(allow.check).check(cold()).await.unwrap().into_inner();
    assert_eq!(passed_header(&passed, "x-tollgate-decision"), "undecided");

    for tollgate in &fleet {
        let bad = asking("GET", "/", &[("x-customer-id", "bad")]);
        let told = over_tcp(tollgate.check).check(bad).await.unwrap().into_inner();
        assert_eq!(denied(&told).0, 403);
    }
    redis.resume();
}

#[tokio::test]
async fn an_answer_comes_before_its_deadline_or_not_at_all() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &redis.url(), "--fill-timeout", "20s"];
    let tollgate = Tollgate::start(&flags);
    put(&tollgate, "c1", &json!({"plan": "pro"}));
    redis.pause();
    let mut client = over_tcp(tollgate.check);
    let within = |timeout: &str| {
        let mut request = tonic::Request::new(asking("GET", "/", &[("x-customer-id", "cold")]));
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        request
    };
    let begun = Instant::now();
    let told = client.check(within("2S")).await.unwrap().into_inner();
    assert_eq!(passed_header(&told, "x-tollgate-reason"), "not_restricted");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());

    let over = raw_call(tollgate.check, CHECK, &[("grpc-timeout", "1n")], &framed(&[])).await;
    assert_eq!(over.0, Code::DeadlineExceeded);
    assert_eq!(tollgate.metric("tollgate_deadlines_missed_total"), 1);
    redis.resume();
}

#[tokio::test]
async fn no_bytes_are_more_than_an_error() {
    let tollgate = start(&[]);
    put(&tollgate, "c1", &json!({"plan": "pro"}));
    let too_long = framed(&vec![0; 300 * 1024]);
    let (code, _) = raw_call(tollgate.check, CHECK, &[], &too_long).await;
    assert_eq!(code, Code::ResourceExhausted);
    for junk in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\0\x05abc", &framed(b"\x0a\xff\xff"), b"junk!"] {
        let (code, _) = raw_call(tollgate.check, CHECK, &[], junk).await;
        assert!(matches!(code, Code::Internal | Code::Unimplemented), "{junk:?}: {code:?}");
    }
    // Not UTF-8 where Envoy's definition has a string: it is one strange header among others.
    let path = b"\x0a\x09\x22\x07\x12\x05\x22\x03/\xff/";
    let (code, _) = raw_call(tollgate.check, CHECK, &[], &framed(path)).await;
    assert_eq!(code, Code::Ok);
    let (code, _) =
        raw_call(tollgate.check, "/envoy.service.auth.v3.Authorization/Tell", &[], b"").await;
    assert_eq!(code, Code::Unimplemented);
    let mut client = over_tcp(tollgate.check);
    let told = client.check(asking("GET", "/", &[C1])).await.unwrap().into_inner();
    assert_eq!(passed_header(&told, "x-tollgate-reason"), "active");
}

#[tokio::test]
async fn one_port_answers_http_1_and_grpc_and_takes_neither_for_the_other() {
    let tollgate = start(&[]);
    put(&tollgate, "c1", &json!({"plan": "pro"}));
    let mut client = over_tcp(tollgate.check);
    for _ in 0..3 {
        client.check(asking("GET", "/", &[C1])).await.unwrap();
        assert_eq!(tollgate.check(&json!({"customerId": "c1"})).json()["decision"], "allow");
    }
    // A gateway of another dialect would take any 200 for a pass.
    for path in [CHECK, "/grpc.health.v1.Health/Check", "/envoy.service.auth.v3.Authorization/x"] {
        for kind in ["application/json", "application/grpc", "application/grpc-web"] {
            for method in ["GET", "POST", "HEAD"] {
                let headers = [C1, ("content-type", kind)];
                let refused = http(tollgate.check, method, path, &headers, None);
                assert_eq!(refused.status, 415, "{method} {path} {kind}");
            }
        }
    }
    let absent =
        http(tollgate.check, "POST", "/a.B/C", &[("content-type", "application/grpc")], None);
    assert_eq!((absent.status, absent.code().as_str()), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn off_loopback_envoy_needs_no_key_as_no_gateway_does() {
    let tollgate = start(&["--check-listen", "0.0.0.0:0"]);
    put(&tollgate, "c1", &json!({"plan": "pro"}));
    let local = SocketAddr::from(([127, 0, 0, 1], tollgate.check.port()));
    let told = over_tcp(local).check(asking("GET", "/", &[C1])).await.unwrap().into_inner();
    assert_eq!(passed_header(&told, "x-tollgate-reason"), "active");
}

#[tokio::test]
async fn health_is_readiness_and_who_watches_does_not_hold_up_the_end() {
    let mut redis = RedisServer::start(Flavor::Redis, Persistence::None);
    redis.kill9();
    let mut tollgate = Tollgate::start_unready(&["--store", &redis.url()]);
    let channel = channel(&format!("http://{}", tollgate.check));
    let mut health = HealthClient::new(channel.clone());
    let services = ["", "envoy.service.auth.v3.Authorization"];
    for service in services {
        let unready = health.check(HealthCheckRequest { service: service.to_owned() }).await;
        assert_eq!(unready.unwrap().get_ref().status(), ServingStatus::NotServing, "{service}");
    }
    let unknown = HealthCheckRequest { service: "a.B".to_owned() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let seen = watched.message().await.unwrap().unwrap();
    assert_eq!(seen.status(), ServingStatus::NotServing);

    redis.restart();
    let seen = watched.message().await.unwrap().unwrap();
    assert_eq!(seen.status(), ServingStatus::Serving);
    for service in services {
        let ready = health.check(HealthCheckRequest { service: service.to_owned() }).await;
        assert_eq!(ready.unwrap().get_ref().status(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(tollgate.admin("/readyz").status, 200);

    let begun = Instant::now();
    let ended = tokio::task::spawn_blocking(move || tollgate.terminate());
    let seen = watched.message().await.unwrap().unwrap();
    assert_eq!(seen.status(), ServingStatus::NotServing);
    assert!(ended.await.unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(9), "it waited for who watches");
}

#[tokio::test]
async fn reflection_tells_what_is_here_and_in_which_words() {
    let tollgate = start(&[]);
    let asked = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("envoy.service.auth.v3.Authorization".to_owned()),
    ];
    let asked = asked.map(|message| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    });
    let mut client = ServerReflectionClient::new(channel(&format!("http://{}", tollgate.check)));
    let stream = futures_util::stream::iter(asked);
    let mut told = client.server_reflection_info(stream).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(listed)) =
        told.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list")
    };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let expected = [
        "envoy.service.auth.v3.Authorization",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ];
    assert_eq!(names, expected);
    let described = told.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::FileDescriptorResponse(files) = described else { panic!("{described:?}") };
    let file = String::from_utf8_lossy(&files.file_descriptor_proto[0]).into_owned();
    assert!(file.contains("external_auth.proto"), "{file}");
}

const MEMORY: &[&str] = &["--store", "memory:"];
const C1: (&str, &str) = ("x-customer-id", "c1");
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Starts one on a memory store, with more flags.
fn start(more: &[&str]) -> Tollgate {
    Tollgate::start(&[MEMORY, more].concat())
}

/// Writes a customer.
fn put(tollgate: &Tollgate, id: &str, body: &serde_json::Value) -> serde_json::Value {
    let answer = tollgate.operate("PUT", &format!("/v1/customers/{id}"), Some(body));
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.json()
}

/// Acts on a customer.
fn act(tollgate: &Tollgate, id: &str, verb: &str, body: &serde_json::Value) {
    let answer = tollgate.operate("POST", &format!("/v1/customers/{id}/{verb}"), Some(body));
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Now, as JSON has it.
fn jiff_now() -> String {
    jiff::Timestamp::now().to_string()
}

fn channel(uri: &str) -> Channel {
    Endpoint::from_shared(uri.to_owned()).unwrap().connect_lazy()
}

fn over(uri: &str) -> AuthorizationClient<Channel> {
    AuthorizationClient::new(channel(uri))
}

fn over_tcp(address: SocketAddr) -> AuthorizationClient<Channel> {
    over(&format!("http://{address}"))
}

/// A question with joined headers, and with all else that Envoy sends beside them.
fn asking(method: &str, path: &str, headers: &[(&str, &str)]) -> CheckRequest {
    let pseudo = [(":method", method), (":path", path), (":authority", "app"), (":scheme", "http")];
    let lines = pseudo.iter().chain(headers);
    let headers = lines.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    about(HttpRequest {
        id: "11424595473085213954".to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        host: "app".to_owned(),
        scheme: "http".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        headers: headers.collect(),
        ..HttpRequest::default()
    })
}

/// A question with raw headers.
fn asking_raw(method: &str, path: &str, headers: &[(&str, &str)]) -> CheckRequest {
    let lines = headers.iter().map(|(name, value)| HeaderValue {
        key: (*name).to_owned(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    });
    about(HttpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        header_map: Some(HeaderMap { headers: lines.collect() }),
        ..HttpRequest::default()
    })
}

fn about(http: HttpRequest) -> CheckRequest {
    let peer = Peer { principal: "spiffe://mesh/app".to_owned(), ..Peer::default() };
    let attributes = AttributeContext {
        source: Some(peer.clone()),
        destination: Some(peer),
        request: Some(Request { time: None, http: Some(http) }),
        ..AttributeContext::default()
    };
    CheckRequest { attributes: Some(attributes) }
}

fn with_extensions(mut request: CheckRequest, extensions: &[(&str, &str)]) -> CheckRequest {
    let given = extensions.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    request.attributes.as_mut().unwrap().context_extensions = given.collect();
    request
}

/// As `jwt_authn` passes on a token that it verified.
fn with_claim(mut request: CheckRequest, customer: &str) -> CheckRequest {
    let holding = |name: &str, kind| Struct {
        fields: [(name.to_owned(), Value { kind: Some(kind) })].into_iter().collect(),
    };
    let payload = holding("sub", Kind::StringValue(customer.to_owned()));
    let found = holding("jwt_payload", Kind::StructValue(payload));
    let filter_metadata = HashMap::from([("envoy.filters.http.jwt_authn".to_owned(), found)]);
    let metadata = Metadata { filter_metadata, ..Metadata::default() };
    request.attributes.as_mut().unwrap().metadata_context = Some(metadata);
    request
}

fn lines(options: &[HeaderValueOption]) -> Vec<(String, String)> {
    let headers = options.iter().map(|option| option.header.clone().unwrap());
    headers.map(|header| (header.key, header.value)).collect()
}

fn passed_headers(passed: &OkHttpResponse) -> Vec<(String, String)> {
    lines(&passed.headers)
}

fn denied_parts(denied: &DeniedHttpResponse) -> (u16, Vec<(String, String)>, String) {
    let status = u16::try_from(denied.status.as_ref().unwrap().code).unwrap();
    (status, lines(&denied.headers), denied.body.clone())
}

/// A refusal's status, headers and body.
fn denied(told: &CheckResponse) -> (u16, BTreeMap<String, String>, String) {
    assert_eq!(told.status.as_ref().unwrap().code, 7, "{told:?}");
    let Some(HttpResponse::DeniedResponse(denied)) = &told.http_response else {
        panic!("no refusal: {told:?}")
    };
    let (status, headers, body) = denied_parts(denied);
    (status, headers.into_iter().collect(), body)
}

/// A header that a pass sets.
fn passed_header(told: &CheckResponse, name: &str) -> String {
    assert_eq!(told.status.as_ref().unwrap().code, 0, "{told:?}");
    let Some(HttpResponse::OkResponse(passed)) = &told.http_response else {
        panic!("no pass: {told:?}")
    };
    let mut named = passed_headers(passed).into_iter().filter(|(found, _)| found == name);
    named.next().unwrap().1
}

/// What Envoy's access log can show.
fn logged(told: &CheckResponse) -> BTreeMap<String, String> {
    let fields = told.dynamic_metadata.clone().unwrap().fields;
    let texts = fields.into_iter().map(|(name, value)| match value.kind {
        Some(Kind::StringValue(text)) => (name, text),
        other => panic!("{name}: {other:?}"),
    });
    texts.collect()
}

/// What an answer says, without what differs from one to the next.
fn headers_of_interest(
    headers: impl IntoIterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let differs = ["content-length", "date", "connection", "x-tollgate-age-ms"];
    headers.into_iter().filter(|(name, _)| !differs.contains(&name.as_str())).collect()
}

/// A message as it is framed on the wire.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// A call whose every byte is the test's own: its status, whatever comes before that.
async fn raw_call(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (Code, String) {
    use http_body_util::{BodyExt as _, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let mut request = axum::http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(bytes::Bytes::copy_from_slice(body))).unwrap();
    let stream = TokioIo::new(tokio::net::TcpStream::connect(address).await.unwrap());
    let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await;
    let (mut sender, connection) = shaken.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let (head, body) = answer.into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&head.headers)
        .or_else(|| Status::from_header_map(&trailers))
        .unwrap();
    (status.code(), status.message().to_owned())
}
