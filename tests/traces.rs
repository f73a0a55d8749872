//! Checks and requests stand in the traces that their callers tell of.

#[expect(dead_code, unused_imports, reason = "other suites share it and use the rest")]
mod support;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind},
};
use serde_json::json;
use tokio::{net::TcpListener, sync::oneshot};
use tonic::{Request, Response, Status, service::Routes};

use support::{
    operators::{act, put},
    tollgate::{ADMIN_TOKEN, Tollgate},
};

/// A collector on a port of its own, which keeps what it is sent. It goes when this does.
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    _stop: oneshot::Sender<()>,
}

#[derive(Clone)]
struct Keeps(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Keeps {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|it| it.scope_spans);
        self.0.lock().unwrap_or_else(|it| panic!("{it}")).extend(scopes.flat_map(|it| it.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn start() -> Self {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let service = TraceServiceServer::new(Keeps(Arc::clone(&spans)));
        let (bound, address) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap_or_else(|it| panic!("{it}")).block_on(async {
                let socket = TcpListener::bind("127.0.0.1:0").await;
                let socket = socket.unwrap_or_else(|it| panic!("{it}"));
                let _ = bound.send(socket.local_addr().unwrap_or_else(|it| panic!("{it}")));
                let serving = axum::serve(socket, Routes::new(service).into_axum_router());
                let _ = serving.with_graceful_shutdown(async { drop(stopped.await) }).await;
            });
        });
        let address = address.recv().unwrap_or_else(|it| panic!("{it}"));
        Self { address, spans, _stop: stop }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(|it| panic!("{it}")).clone()
    }
}

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
    let attribute = span.attributes.iter().find(|it| it.key == name);
    match attribute.and_then(|it| it.value.clone()).and_then(|it| it.value) {
        Some(Value::StringValue(value)) => value,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
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
    let collector = Collector::start();
    let mut tollgate = start(&collector, "100%");
    drop(collector);
    for _ in 0..20 {
        assert_eq!(tollgate.reason_to_write("late"), "customer_disabled");
    }
    tollgate.wait_until("counted", || tollgate.metric("tollgate_spans_unsent_total") > 0);
    tollgate.wait_for_log("The collector does not take spans");
    assert!(tollgate.terminate().success());
}
