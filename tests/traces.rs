//! Checks and requests stand in the traces that their callers tell of.

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

#[expect(dead_code, reason = "other suites share it and use the rest")]
#[path = "support/collector.rs"]
mod collector;

use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest,
    attribute_context::{HttpRequest, Request as Asked},
    authorization_client::AuthorizationClient,
};
use opentelemetry_proto::tonic::trace::v1::{
    Span, Status,
    span::SpanKind,
    status::StatusCode::{self, Error, Unset},
};
use serde_json::json;
use tonic::{Request, transport::Endpoint};

use collector::{Collector, hex};
use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, put},
    tollgate::{ADMIN_TOKEN, Tollgate},
};

fn start(collector: &Collector, share: &str) -> Tollgate {
    let endpoint = collector.endpoint();
    let flags = ["--store", "memory:", "--otlp-endpoint", &endpoint, "--otlp-share", share];
    let tollgate = Tollgate::start(&flags);
    put(&tollgate, "paying", &json!({}));
    let body = json!({"create": true, "notes": "MARKER", "reason": "fraud"});
    act(&tollgate, "late", "disable", &body);
    tollgate
}

fn said(span: &Span, name: &str) -> String {
    collector::said(&span.attributes, name)
}

fn status(span: &Span) -> StatusCode {
    span.status.as_ref().map_or(Unset, Status::code)
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

#[test]
fn a_check_stands_in_the_trace_of_its_gateway_and_only_if_that_is_sampled() {
    let collector = Collector::start();
    let tollgate = start(&collector, "0%");
    let ask = |customer: &str, flags: &str| {
        let parent = format!("00-{TRACE}-{CALLER}-{flags}");
        let headers = [
            ("x-original-method", "GET"),
            ("x-original-uri", "/reports"),
            ("x-customer-id", customer),
            ("traceparent", &parent),
        ];
        tollgate.ask("GET", "/v1/nginx", &headers).status
    };
    assert_eq!(ask("paying", "00"), 200);
    assert_eq!(ask("paying", "01"), 200);
    assert_eq!(ask("late", "01"), 403);
    // Without a trace, and none is begun for it.
    assert_eq!(tollgate.reason_to_write("paying"), "active");
    tollgate.wait_until("sent", || collector.spans().len() >= 2);
    let spans = collector.spans();
    assert_eq!(spans.len(), 2, "{spans:?}");
    for (span, customer, outcome, reason) in
        [(&spans[0], "paying", "allow", "active"), (&spans[1], "late", "deny", "customer_disabled")]
    {
        assert_eq!((span.name.as_str(), span.kind), ("check", SpanKind::Server as i32));
        assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.into(), CALLER.into()));
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        assert_eq!(said(span, "customer.id"), format!("default:{customer}"));
        assert_eq!(said(span, "decision.outcome"), outcome);
        assert_eq!(said(span, "decision.reason"), reason);
        assert_eq!(said(span, "check.dialect"), "nginx");
    }
    let told = format!("{spans:?}");
    assert!(!told.contains("MARKER") && !told.contains("fraud"), "{told}");
    tollgate.wait_until("counted", || tollgate.metric("tollgate_spans_sent_total") == 2);
}

#[test]
fn an_operators_request_is_a_span_named_by_its_url() {
    let collector = Collector::start();
    let tollgate = start(&collector, "0%");
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let headers = [("x-api-key", ADMIN_TOKEN), ("traceparent", &*parent)];
    assert_eq!(
        tollgate.operate_as(&headers, "POST", "/v1/customers/late/enable", None).status,
        200
    );
    tollgate.wait_until("sent", || !collector.spans().is_empty());
    let spans = collector.spans();
    assert_eq!(spans[0].name, "POST /v1/customers/{id}/enable");
    assert_eq!(said(&spans[0], "http.response.status_code"), "200");
    assert_eq!(hex(&spans[0].trace_id), TRACE);
}

#[test]
fn a_share_of_those_who_tell_of_no_trace_begins_one() {
    let collector = Collector::start();
    let mut tollgate = start(&collector, "100%");
    let before = collector.spans().len();
    for _ in 0..10 {
        assert_eq!(tollgate.reason_to_write("late"), "customer_disabled");
    }
    // What is left is sent before the process ends.
    assert!(tollgate.terminate().success());
    let spans = collector.spans();
    let checks: Vec<_> = spans[before..].iter().filter(|span| span.name == "check").collect();
    assert_eq!(checks.len(), 10, "{spans:?}");
    assert!(checks.iter().all(|span| span.parent_span_id.is_empty()));
}

#[test]
fn a_collector_that_is_gone_is_in_nobodys_way() {
    let mut collector = Collector::start();
    let mut tollgate = start(&collector, "100%");
    collector.stop();
    for _ in 0..20 {
        assert_eq!(tollgate.reason_to_write("late"), "customer_disabled");
    }
    tollgate.wait_until("counted", || tollgate.metric("tollgate_spans_unsent_total") > 0);
    tollgate.wait_for_log("The collector does not take spans");
    assert!(tollgate.terminate().success());
}

/// A question of Envoy about a GET, with these headers of its own caller.
fn asking(customer: &str, headers: &[(&str, &str)]) -> CheckRequest {
    let named = [("x-customer-id", customer)];
    let headers = headers.iter().chain(&named);
    let http = HttpRequest {
        method: "GET".to_owned(),
        path: "/reports".to_owned(),
        headers: headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..HttpRequest::default()
    };
    let request = Some(Asked { time: None, http: Some(http) });
    let attributes = AttributeContext { request, ..AttributeContext::default() };
    CheckRequest { attributes: Some(attributes) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_envoy_asks_over_grpc_stands_below_its_own_call_or_else_below_its_caller() {
    let collector = Collector::start();
    let tollgate = start(&collector, "0%");
    let channel =
        Endpoint::from_shared(format!("http://{}", tollgate.check)).map(|it| it.connect_lazy());
    let mut client = AuthorizationClient::new(channel.unwrap_or_else(|it| panic!("{it}")));
    let own = format!("00-{TRACE}-{CALLER}-01");
    let above = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let unsampled = format!("00-{TRACE}-{CALLER}-00");
    for (customer, own, above) in [
        ("paying", Some(&own), Some(&above)),
        ("late", Some(&own), None),
        ("late", None, Some(&above)),
        // What Envoy says of its own call counts.
        ("paying", Some(&unsampled), Some(&above)),
        ("paying", None, None),
        ("a b", Some(&own), None),
    ] {
        let headers: Vec<_> = above.iter().map(|it| ("traceparent", it.as_str())).collect();
        let mut request = Request::new(asking(customer, &headers));
        if let Some(own) = own {
            let own = own.parse().unwrap_or_else(|it| panic!("{it}"));
            request.metadata_mut().insert("traceparent", own);
        }
        client.check(request).await.unwrap_or_else(|it| panic!("{it}"));
    }
    let mut late = Request::new(asking("paying", &[("traceparent", &above)]));
    late.metadata_mut().insert("grpc-timeout", "1n".parse().unwrap_or_else(|it| panic!("{it}")));
    assert!(client.check(late).await.is_err());
    let checks = || -> Vec<Span> {
        collector.spans().into_iter().filter(|span| span.name == "check").collect()
    };
    tollgate.wait_until("sent", || checks().len() >= 5);
    let spans = checks();
    assert_eq!(spans.len(), 5, "{spans:?}");
    let told = spans.iter().map(|span| {
        assert_eq!((hex(&span.trace_id).as_str(), span.kind), (TRACE, SpanKind::Server as i32));
        assert_eq!(said(span, "check.dialect"), "envoy_grpc");
        let is_missed = said(span, "error.type") == "deadline_exceeded";
        let reason = if is_missed { "missed".to_owned() } else { said(span, "decision.reason") };
        (hex(&span.parent_span_id), reason, status(span))
    });
    let told: Vec<_> = told.collect();
    let told: Vec<_> =
        told.iter().map(|(at, what, how)| (at.as_str(), what.as_str(), *how)).collect();
    assert_eq!(
        told,
        [
            (CALLER, "active", Unset),
            (CALLER, "customer_disabled", Unset),
            ("00f067aa0ba902b7", "customer_disabled", Unset),
            (CALLER, "customer_malformed", Unset),
            ("00f067aa0ba902b7", "missed", Error),
        ]
    );
    assert_eq!(said(&spans[0], "customer.id"), "default:paying");
    assert_eq!(said(&spans[4], "customer.id"), "default:paying");
}

#[test]
fn what_a_check_reads_from_redis_stands_below_it() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let flags = ["--store", &redis.url(), "--otlp-endpoint", &endpoint, "--otlp-share", "0%"];
    let reader = [&flags[..], &["--fill-timeout", "300ms"]].concat();
    let [writer, reader] = [&flags[..], &reader].map(Tollgate::start);
    put(&writer, "paying", &json!({"features": ["export"]}));
    let ask = |customer: &str, flags: &str| {
        let parent = format!("00-{TRACE}-{CALLER}-{flags}");
        let headers = [("content-type", "application/json"), ("traceparent", &*parent)];
        let question = json!({"customerId": customer, "feature": "export"}).to_string();
        let client = support::tollgate::Client::new(std::time::Duration::from_secs(10));
        client.ask(reader.check, "POST", "/v1/check", &headers, Some(&question)).json()
    };
    let asked = |customer: &str| ask(customer, "01")["decision"].clone();
    assert_eq!(asked("paying"), "allow");
    // Now it is in memory.
    assert_eq!(asked("paying"), "allow");
    // Nobody wants to know of this one.
    assert_eq!(ask("somebody", "00")["decision"], "deny");
    let named = |name: &str| -> Vec<Span> {
        collector.spans().into_iter().filter(|span| span.name == name).collect()
    };
    reader.wait_until("sent", || named("check").len() == 2);
    let (checks, fills, commands) = (named("check"), named("fill"), named("PIPELINE"));
    assert_eq!((fills.len(), commands.len()), (1, 1));
    let (check, fill, command) = (&checks[0], &fills[0], &commands[0]);
    assert_eq!(hex(&check.parent_span_id), CALLER);
    assert_eq!((&fill.parent_span_id, &command.parent_span_id), (&check.span_id, &fill.span_id));
    for (span, kind) in [(fill, SpanKind::Internal), (command, SpanKind::Client)] {
        assert_eq!((hex(&span.trace_id).as_str(), span.kind), (TRACE, kind as i32));
        assert!(span.start_time_unix_nano >= check.start_time_unix_nano, "{span:?} {check:?}");
        assert!(span.end_time_unix_nano <= check.end_time_unix_nano, "{span:?} {check:?}");
        assert_eq!(status(span), Unset);
    }
    assert_eq!(
        (said(fill, "fill.result"), said(fill, "fill.coalesced")),
        ("accepted".into(), "false".into())
    );
    for (name, value) in [
        ("db.system.name", "redis"),
        ("db.operation.name", "PIPELINE"),
        ("db.operation.batch.size", "3"),
        ("store.command", "fill"),
    ] {
        assert_eq!(said(command, name), value);
    }
    let told = format!("{fill:?}{command:?}");
    assert!(!told.contains("paying") && !told.contains("default"), "{told}");

    redis.pause();
    assert_eq!(ask("unheard-of", "01")["decision"], "undecided");
    reader.wait_until("sent", || named("check").len() == 3);
    let (checks, fills, commands) = (named("check"), named("fill"), named("PIPELINE"));
    let (check, fill, command) = (&checks[2], &fills[1], &commands[1]);
    assert_eq!([status(check), status(fill), status(command)], [Error; 3]);
    assert_eq!(
        (said(fill, "fill.result"), said(command, "error.type")),
        ("timeout".into(), "timeout".into())
    );
    let took = fill.end_time_unix_nano - fill.start_time_unix_nano;
    assert!(took >= 250_000_000, "{took}");
    redis.resume();
}
