//! Traces: a span for each check, and for each request of an operator or a billing system, in the
//! trace that its caller tells of. They are sent over OTLP by a thread of their own; what there is
//! no room for is forgotten.

mod fill;

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    Context, KeyValue, Value,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{
        Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter},
};

use self::fill::Fills;
pub use self::fill::{DatabaseCall, FillNote};
use super::{Dialect, Metrics, decision_log::Decided, event::SpansUnsent};
use crate::{
    clock::Moment,
    domain::{CustomerKey, Outcome, Timestamp},
};

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
pub struct Caller(Call);

impl Caller {
    /// Does `work` for it.
    pub async fn within<T>(self, work: impl Future<Output = T>) -> T {
        CALL.scope(self.0, work).await
    }
}

/// A call, as far as its trace is concerned.
#[derive(Clone, Debug)]
struct Call {
    /// What its caller told.
    caller: Context,
    /// What it reads from the store; nothing when it is not to be told of.
    fills: Option<Fills>,
}

tokio::task_local! {
    /// The call under way.
    static CALL: Call;
}

/// Where in a trace something stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The trace.
    pub trace: [u8; 16],
    /// The span in it.
    pub span: [u8; 8],
    /// Its flags, as in `traceparent`.
    pub flags: u8,
}

impl Place {
    fn of(span: &SpanContext) -> Self {
        Self {
            trace: span.trace_id().to_bytes(),
            span: span.span_id().to_bytes(),
            flags: span.trace_flags().to_u8(),
        }
    }
}

/// The moments of a check on the clock that spans have.
#[derive(Clone, Copy, Debug)]
struct When {
    begun: Moment,
    begin: SystemTime,
    end: SystemTime,
}

impl When {
    /// Those of a check that began at `begun`, took so long and ended at `at`.
    fn ended(begun: Moment, at: Timestamp, took: Duration) -> Self {
        let end = UNIX_EPOCH + Duration::from_millis(at.as_millis());
        Self { begun, begin: end.checked_sub(took).unwrap_or(end), end }
    }

    fn of(self, moment: Moment) -> SystemTime {
        let at = self.begin.checked_add(moment.saturating_since(self.begun));
        at.unwrap_or(self.end).min(self.end)
    }
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
        let caller = TraceContextPropagator::new().extract(headers);
        let told = caller.span().span_context().clone();
        let may_be_wanted = if told.is_valid() { told.is_sampled() } else { self.share > 0.0 };
        Caller(Call { caller, fills: may_be_wanted.then(Fills::default) })
    }

    /// Whether what happens now may have to be told: those who ask say so, or say nothing, and some
    /// of these are traced.
    #[must_use]
    pub fn may_want(&self) -> bool {
        CALL.try_with(|call| call.fills.is_some()).unwrap_or(self.share > 0.0)
    }

    /// Where in its trace the caller of the call under way stands, if it told.
    #[must_use]
    pub fn callers_place(&self) -> Option<Place> {
        let told = |call: &Call| Some(call.caller.span().span_context().clone());
        let told = CALL.try_with(told).ok().flatten();
        told.filter(SpanContext::is_valid).as_ref().map(Place::of)
    }

    /// Tells of a decision that was just made on what was asked at `begun`. Says where that stands,
    /// if it is sent.
    pub fn check(&self, decided: &Decided, begun: Moment) -> Option<Place> {
        let when = When::ended(begun, decided.at, decided.took);
        let mut span = self.span("check", when)?;
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
        if decision.outcome() == Outcome::Undecided {
            span.set_status(Status::error(decision.reason.as_str()));
        }
        if let Some(customer) = customer {
            self.fills(customer, span.span_context(), when);
        }
        span.end_with_timestamp(when.end);
        Some(Place::of(span.span_context()))
    }

    /// Tells of a check of `customer` whose caller had gone before there was a decision.
    pub fn missed(
        &self,
        dialect: Dialect,
        customer: Option<&CustomerKey>,
        begun: Moment,
        at: Timestamp,
        took: Duration,
    ) {
        let when = When::ended(begun, at, took);
        let Some(mut span) = self.span("check", when) else { return };
        span.set_attribute(KeyValue::new("check.dialect", dialect.as_str()));
        span.set_attribute(KeyValue::new("error.type", MISSED));
        span.set_status(Status::error(MISSED));
        if let Some(customer) = customer {
            span.set_attribute(KeyValue::new("customer.id", customer.to_string()));
            self.fills(customer, span.span_context(), when);
        }
        span.end_with_timestamp(when.end);
    }

    /// Tells of a request that was just answered: its method and the pattern of its URL.
    pub fn request(&self, name: String, status: u16, at: Timestamp, took: Duration) {
        let when = When::ended(Moment::default(), at, took);
        let Some(mut span) = self.span(name, when) else { return };
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(when.end);
    }

    /// A span in the trace of the caller, if it is to be sent.
    fn span(&self, name: impl Into<Cow<'static, str>>, when: When) -> Option<Span> {
        let caller = CALL.try_with(|call| call.caller.clone()).unwrap_or_default();
        // What the thread is in otherwise says nothing of this request.
        let caller = if caller.has_active_span() { caller } else { Context::new() };
        self.span_in(&caller, name, SpanKind::Server, when.begin)
    }

    /// A span below another one of ours.
    fn below(
        &self,
        above: &SpanContext,
        name: &'static str,
        kind: SpanKind,
        begin: SystemTime,
    ) -> Option<Span> {
        let above = Context::new().with_remote_span_context(above.clone());
        self.span_in(&above, name, kind, begin)
    }

    fn span_in(
        &self,
        above: &Context,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        begin: SystemTime,
    ) -> Option<Span> {
        let builder = self.tracer.span_builder(name).with_kind(kind).with_start_time(begin);
        let span = self.tracer.build_with_context(builder, above);
        Some(span).filter(Span::is_recording)
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

/// What is wrong with a check whose caller had gone.
const MISSED: &str = "deadline_exceeded";
/// A collector that takes longer gets no spans.
const SENT_WITHIN: Duration = Duration::from_secs(5);
