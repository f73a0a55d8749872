//! Sends the decision log to a collector: log records, over OTLP with gRPC.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, logs_service_client::LogsServiceClient,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{
    line::{Decided, Line, Masked},
    writer::Loss,
};
use crate::domain::Outcome;

/// A collector that log records are sent to.
#[derive(Debug)]
pub struct Collector {
    client: LogsServiceClient<Channel>,
    /// Whether it is worth waiting for: not while it is away, and not at the end of the process.
    awaited: bool,
}

impl Collector {
    /// The one at `endpoint`. Nothing is sent yet. To be called within a runtime.
    pub fn at(endpoint: &str) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned())?;
        Ok(Self { client: LogsServiceClient::new(endpoint.connect_lazy()), awaited: true })
    }

    /// Sends a batch. One that fails in passing is sent again, unless that failed the last time,
    /// too: while a collector is away, what comes next is soon known to be lost.
    pub(super) async fn send(&mut self, batch: &[Decided], masked: &[Masked]) -> Result<(), Loss> {
        let sent = self.send_within(request(batch, masked), SENT_WITHIN).await;
        self.awaited = sent.is_ok();
        let count = batch.len() as u64;
        let refused = sent.map_err(|status| Loss {
            count,
            why: format!("the collector: {}: {}", status.code(), status.message()),
        })?;
        match u64::try_from(refused.rejected_log_records).unwrap_or_default() {
            0 => Ok(()),
            refusals => Err(Loss {
                count: refusals.min(count),
                why: format!("the collector refused some: {}", refused.error_message),
            }),
        }
    }

    /// From now on nothing is sent twice.
    pub(super) fn hurry(&mut self) {
        self.awaited = false;
    }

    /// What it did not want of those that it was sent.
    async fn send_within(
        &mut self,
        request: ExportLogsServiceRequest,
        span: Duration,
    ) -> Result<ExportLogsPartialSuccess, Status> {
        let sending = async {
            let mut pauses = PAUSES.into_iter().filter(|_| self.awaited);
            loop {
                match (self.client.export(request.clone()).await, pauses.next()) {
                    (Err(status), Some(pause)) if is_passing(&status) => sleep(pause).await,
                    (sent, _) => {
                        let answer = sent?.into_inner();
                        return Ok(answer.partial_success.unwrap_or_default());
                    }
                }
            }
        };
        let late = || Status::deadline_exceeded(format!("it did not answer within {span:?}"));
        timeout(span, sending).await.unwrap_or_else(|_| Err(late()))
    }
}

/// Whether the same may be taken in a moment, as OTLP has it.
fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Aborted
            | Code::Cancelled
            | Code::DataLoss
            | Code::DeadlineExceeded
            | Code::OutOfRange
            | Code::Unavailable
    )
}

fn request(batch: &[Decided], masked: &[Masked]) -> ExportLogsServiceRequest {
    let (name, version) = ("tollgate", env!("CARGO_PKG_VERSION"));
    let scope = InstrumentationScope {
        name: name.to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_logs = ScopeLogs {
        scope: Some(scope),
        log_records: batch.iter().map(|decided| record(decided, masked)).collect(),
        ..ScopeLogs::default()
    };
    let resource = Resource {
        attributes: vec![
            attribute("service.name", text(name)),
            attribute("service.version", text(version)),
        ],
        ..Resource::default()
    };
    let logs = ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![scope_logs],
        ..ResourceLogs::default()
    };
    ExportLogsServiceRequest { resource_logs: vec![logs] }
}

/// The record for a decision. Its attributes are what a line says, under the same names.
fn record(decided: &Decided, masked: &[Masked]) -> LogRecord {
    let (outcome, reason) = (decided.decision.outcome(), decided.decision.reason);
    let (severity_number, severity_text) = match outcome {
        Outcome::Allow => (SeverityNumber::Info, "INFO"),
        Outcome::Deny => (SeverityNumber::Warn, "WARN"),
        Outcome::Undecided => (SeverityNumber::Error, "ERROR"),
    };
    let nanos = decided.at.as_millis().saturating_mul(1_000_000);
    let place = decided.place.as_ref();
    LogRecord {
        time_unix_nano: nanos,
        observed_time_unix_nano: nanos,
        severity_number: severity_number.into(),
        severity_text: severity_text.to_owned(),
        event_name: EVENT.to_owned(),
        body: Some(text(&format!("{} {}", outcome.as_str(), reason.as_str()))),
        attributes: attributes(&Line::of(decided, masked)),
        flags: place.map_or(0, |place| place.flags.into()),
        trace_id: place.map_or_else(Vec::new, |place| place.trace.to_vec()),
        span_id: place.map_or_else(Vec::new, |place| place.span.to_vec()),
        ..LogRecord::default()
    }
}

fn attributes(line: &Line<'_>) -> Vec<KeyValue> {
    // Plain words and numbers can be written.
    let Ok(Value::Object(fields)) = serde_json::to_value(line) else { return Vec::new() };
    let said = fields.into_iter().filter(|(name, _)| name != TIME);
    said.filter_map(|(name, value)| Some(attribute(&name, shown(value)?))).collect()
}

/// The value of an attribute; nothing for what is not known.
fn shown(value: Value) -> Option<AnyValue> {
    let value = match value {
        Value::Null => return None,
        Value::Bool(value) => any_value::Value::BoolValue(value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => any_value::Value::IntValue(whole),
            None => any_value::Value::DoubleValue(number.as_f64()?),
        },
        Value::String(text) => any_value::Value::StringValue(text),
        Value::Array(_) | Value::Object(_) => any_value::Value::StringValue(value.to_string()),
    };
    Some(AnyValue { value: Some(value) })
}

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}

fn attribute(name: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// What each record is.
const EVENT: &str = "tollgate.decision";
/// The field of a line that is the time of the record.
const TIME: &str = "at";
/// A collector that takes longer gets no more of this batch.
const SENT_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait before each time that a batch is sent again; less than that in all.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];
