//! Traces: a span for each check, and for each request of an operator or a billing system, in the
//! trace that its caller tells of. They are sent over OTLP by a thread of their own; what there is
//! no room for is forgotten.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    Context, KeyValue, Value,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter},
};

use super::{Metrics, decision_log::Decided, event::SpansUnsent};
use crate::domain::{CustomerKey, Timestamp};

/// Where spans go. Cheap to clone.
#[derive(Clone)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    share: f64,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

/// What a caller told of its trace.
#[derive(Clone, Debug)]
pub struct Caller(Context);

impl Caller {
    /// Does `work` for it.
    pub async fn within<T>(self, work: impl Future<Output = T>) -> T {
        CALLER.scope(self.0, work).await
    }
}

tokio::task_local! {
    /// What the caller of the request under way told of its trace.
    static CALLER: Context;
}

impl Traces {
    /// Sends spans to the collector at `endpoint`: all of those whose caller says so, and this
    /// `share` (0 to 1) of those whose caller says nothing. To be called within a runtime.
    pub fn start(endpoint: &str, share: f64, metrics: Metrics) -> Result<Self, ExporterBuildError> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(SENT_WITHIN)
            .build()?;
        let own = Sampler::TraceIdRatioBased(share);
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder_empty().with_service_name("tollgate");
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Counted { exporter, metrics })
            .with_sampler(Sampler::ParentBased(Box::new(own)))
            .with_resource(resource.with_attribute(version).build())
            .build();
        let tracer = provider.tracer("tollgate");
        Ok(Self { provider, tracer, share })
    }

    /// What the caller of a request that came with `headers` tells of its trace.
    pub fn caller(&self, headers: &impl Extractor) -> Caller {
        Caller(TraceContextPropagator::new().extract(headers))
    }

    /// Whether what happens now may have to be told: those who ask say so, or say nothing, and some
    /// of these are traced.
    #[must_use]
    pub fn may_want(&self) -> bool {
        let begins_own = self.share > 0.0;
        let wanted = CALLER.try_with(|caller| {
            let told = caller.span().span_context().clone();
            if told.is_valid() { told.is_sampled() } else { begins_own }
        });
        wanted.unwrap_or(begins_own)
    }

    /// Tells of a decision that was just made.
    pub fn check(&self, decided: &Decided) {
        let Some(mut span) = self.span("check", decided.at, decided.took) else { return };
        let mut set = |name: &'static str, value: Option<Value>| {
            if let Some(value) = value {
                span.set_attribute(KeyValue::new(name, value));
            }
        };
        let decision = &decided.decision;
        set("check.dialect", Some(decided.dialect.as_str().into()));
        set("decision.outcome", Some(decision.outcome().as_str().into()));
        set("decision.reason", Some(decision.reason.as_str().into()));
        set("decision.allowed", Some(decided.allowed.into()));
        set("decision.mode", Some(decided.mode.as_str().into()));
        set("decision.stale", Some(decided.stale.into()));
        set("decision.revision", decided.revision.as_ref().map(|it| it.to_string().into()));
        set("decision.age_seconds", decided.age.map(|age| age.as_secs_f64().into()));
        set("check.route", decided.route.clone().map(Value::from));
        let customer = decided.customer.as_ref();
        set("customer.id", customer.map(CustomerKey::to_string).map(Value::from));
        span.end_with_timestamp(moment(decided.at));
    }

    /// Tells of a request that was just answered: its method and the pattern of its URL.
    pub fn request(&self, name: String, status: u16, at: Timestamp, took: Duration) {
        let Some(mut span) = self.span(name, at, took) else { return };
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        span.end_with_timestamp(moment(at));
    }

    /// A span that ended then and took so long, if it is to be sent.
    fn span(
        &self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        end: Timestamp,
        took: Duration,
    ) -> Option<opentelemetry_sdk::trace::Span> {
        let end = moment(end);
        let begun = end.checked_sub(took).unwrap_or(end);
        let builder = self.tracer.span_builder(name);
        let builder = builder.with_kind(SpanKind::Server).with_start_time(begun);
        let caller = CALLER.try_with(Clone::clone).unwrap_or_default();
        // What the thread is in otherwise says nothing of this request.
        let caller = if caller.has_active_span() { caller } else { Context::new() };
        let span = self.tracer.build_with_context(builder, &caller);
        Some(span).filter(opentelemetry_sdk::trace::Span::is_recording)
    }

    /// Sends what is left, within `grace`, and nothing more.
    pub async fn finish(self, grace: Duration) {
        let finished =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(grace));
        if !matches!(finished.await, Ok(Ok(()))) {
            tracing::debug!("The last spans were not sent");
        }
    }
}

fn moment(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at.as_millis())
}

/// Sends spans, and counts them.
#[derive(Debug)]
struct Counted {
    exporter: opentelemetry_otlp::SpanExporter,
    metrics: Metrics,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let sent = self.exporter.export(batch).await;
        match &sent {
            Ok(()) => self.metrics.spans_sent.increment(count),
            Err(why) => SpansUnsent { count, why }.emit(&self.metrics),
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// A collector that takes longer gets no spans.
const SENT_WITHIN: Duration = Duration::from_secs(5);
