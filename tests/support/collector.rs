//! A collector: takes spans and log records over OTLP with gRPC, and keeps what it is sent.

#![expect(clippy::unwrap_used, reason = "a collector that does not work has failed the test")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    trace::v1::Span,
};
use tokio::{net::TcpListener, sync::oneshot};
use tonic::{Request, Response, Status, service::Routes};

/// A collector on a port of its own. It goes when this does.
pub(crate) struct Collector {
    address: SocketAddr,
    kept: Kept,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<Span>>>,
    records: Arc<Mutex<Vec<LogRecord>>>,
    /// Whether it takes but one record of each batch.
    is_picky: Arc<Mutex<bool>>,
    /// How many batches of records it sends away.
    sent_away: Arc<Mutex<u32>>,
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|it| it.scope_spans);
        self.spans.lock().unwrap().extend(scopes.flat_map(|it| it.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Kept {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let mut left = self.sent_away.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Err(Status::unavailable("not now"));
        }
        drop(left);
        let resources = request.into_inner().resource_logs;
        for resource in &resources {
            let named = resource.resource.as_ref().map(|it| said(&it.attributes, "service.name"));
            assert_eq!(named.as_deref(), Some("tollgate"));
        }
        let scopes = resources.into_iter().flat_map(|it| it.scope_logs);
        let mut records: Vec<_> = scopes.flat_map(|it| it.log_records).collect();
        let mut answer = ExportLogsServiceResponse::default();
        if *self.is_picky.lock().unwrap() {
            answer.partial_success = Some(ExportLogsPartialSuccess {
                rejected_log_records: i64::try_from(records.len()).unwrap() - 1,
                error_message: "one is enough".to_owned(),
            });
            records.truncate(1);
        }
        self.records.lock().unwrap().extend(records);
        Ok(Response::new(answer))
    }
}

impl Collector {
    pub(crate) fn start() -> Self {
        let mut ports = std::iter::repeat_with(|| fastrand::u16(PORTS));
        let kept = Kept::default();
        let (address, running) = ports.find_map(|port| serve(port, kept.clone())).unwrap();
        Self { address, kept, running: Some(running) }
    }

    /// Ends it, and all its connections.
    pub(crate) fn stop(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            drop(stop);
            thread.join().unwrap();
        }
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let (_, running) = serve(self.address.port(), self.kept.clone()).unwrap();
        self.running = Some(running);
    }

    /// From now on it takes but one record of each batch.
    pub(crate) fn becomes_picky(&self) {
        *self.kept.is_picky.lock().unwrap() = true;
    }

    /// It sends so many batches of records away, as one that has no room for the moment.
    pub(crate) fn sends_away(&self, batches: u32) {
        *self.kept.sent_away.lock().unwrap() = batches;
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().unwrap().clone()
    }

    pub(crate) fn records(&self) -> Vec<LogRecord> {
        self.kept.records.lock().unwrap().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Nothing if somebody else has the port.
fn serve(port: u16, kept: Kept) -> Option<(SocketAddr, Running)> {
    let (bound, address) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let Ok(socket) = TcpListener::bind(("127.0.0.1", port)).await else { return };
            bound.send(socket.local_addr().unwrap()).unwrap();
            let routes = Routes::new(TraceServiceServer::new(kept.clone()));
            let routes = routes.add_service(LogsServiceServer::new(kept));
            tokio::select! {
                served = axum::serve(socket, routes.into_axum_router()) => served.unwrap(),
                _ = stopped => {}
            }
        });
    });
    address.recv().ok().map(|address| (address, Running { stop, thread }))
}

/// What an attribute says.
pub(crate) fn said(attributes: &[KeyValue], name: &str) -> String {
    let attribute = attributes.iter().find(|it| it.key == name);
    match attribute.and_then(|it| it.value.clone()).and_then(|it| it.value) {
        Some(Value::StringValue(value)) => value,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Below those that the system gives to whoever connects: it finds its port free when it is started
/// again.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
