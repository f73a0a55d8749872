//! The handles of every metric, resolved once: nothing is looked up or allocated per check.

use std::{
    fmt,
    marker::PhantomData,
    ops::{Deref, Index},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram};
use tokio::runtime::RuntimeMetrics;

use super::{
    catalogue::{self, Metric},
    label::{
        ActDialect, AuthFailure, BootSource, CertificateResult, Dialect, FillResult, FoundIn,
        IngestResult, Label, Listener, LogLoss, PolicyResult, ReachedBy, RewrittenFrom,
        SnapshotResult, StoreCommand, Tier, Unreadable, Via, WebhookResult, WebhookSource,
    },
    pace::Pace,
    process::Process,
    runtime::Runtime,
};
use crate::{
    clock::Clock,
    domain::{Outcome, Reason, Timestamp, Verb, audit::AuditOutcome},
};

/// Every metric, ready to be written. A clone is the same metrics.
///
/// ```
/// # use tollgate::telemetry::{FillResult, Metrics, Tier};
/// let metrics = Metrics::new();
/// metrics.fill(FillResult::Accepted);
/// metrics.cache_entries[Tier::Restricted].set(600_000);
/// metrics.feed_connected.raise();
/// ```
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Handles>);

impl Metrics {
    /// The metrics of whichever recorder is current; without one, writing to them does nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// The same, with log lines paced by `clock`.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        let handles = Handles::new(clock);
        handles.build_info.raise();
        Self(Arc::new(handles))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Metrics {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}

/// The handles themselves. What each one means is in [`catalogue`].
#[derive(Debug)]
pub struct Handles {
    checks: By<Dialect, By<Reason, Tally>>,
    check_seconds: By<Dialect, Histogram>,
    policy_hash: Gauge,
    pub(super) policy_reads: By<PolicyResult, Counter>,
    /// [`catalogue::POLICY_REFUSED`].
    pub policy_refused: Flag,
    /// [`catalogue::STALE_ANSWERS`].
    pub stale_answers: By<Dialect, Counter>,
    /// [`catalogue::DECISIONS_LOGGED`].
    pub decisions_logged: Counter,
    /// [`catalogue::DECISIONS_UNLOGGED`].
    pub decisions_unlogged: By<LogLoss, Counter>,
    /// [`catalogue::SPANS_SENT`].
    pub spans_sent: Counter,
    /// [`catalogue::SPANS_UNSENT`].
    pub spans_unsent: Counter,
    /// [`catalogue::CACHE_LOOKUPS`].
    pub cache_lookups: By<FoundIn, Counter>,
    /// [`catalogue::CACHE_EVICTIONS`].
    pub cache_evictions: By<Tier, Counter>,
    fills: By<FillResult, Counter>,
    /// [`catalogue::FILLS_COALESCED`].
    pub fills_coalesced: Counter,
    /// [`catalogue::MIN_REVISIONS`].
    pub min_revisions: By<ReachedBy, Counter>,
    /// [`catalogue::CACHE_ENTRIES`].
    pub cache_entries: By<Tier, Level>,
    /// [`catalogue::FEED_CONNECTED`].
    pub feed_connected: Flag,
    /// [`catalogue::FEED_STALENESS`].
    pub feed_staleness: Span,
    /// [`catalogue::STALENESS_BUDGET`].
    pub staleness_budget: Span,
    /// [`catalogue::STALENESS_LIMIT`].
    pub staleness_limit: Span,
    /// [`catalogue::FEED_WATERMARK`].
    pub feed_watermark: Level,
    /// [`catalogue::FEED_LAG`].
    pub feed_lag: Level,
    /// [`catalogue::FEED_CHANGES`].
    pub feed_changes: Counter,
    /// [`catalogue::FEED_GAPS`].
    pub feed_gaps: Counter,
    /// [`catalogue::FEED_CATCH_UPS`].
    pub feed_catch_ups: Counter,
    /// [`catalogue::FEED_RESNAPSHOTS`].
    pub feed_resnapshots: Counter,
    /// [`catalogue::FEED_DISCONNECTS`].
    pub feed_disconnects: Counter,
    /// [`catalogue::FEED_MOVES`].
    pub feed_moves: Counter,
    /// [`catalogue::FEED_SUSPECT`].
    pub feed_suspect: Flag,
    /// [`catalogue::STORE_LOST`].
    pub store_lost: Flag,
    /// [`catalogue::SUCCESSIONS`].
    pub successions: Counter,
    /// [`catalogue::CHANGES_FORGOTTEN`].
    pub changes_forgotten: Counter,
    /// [`catalogue::CHANGES_RECOVERED`].
    pub changes_recovered: Counter,
    /// [`catalogue::CHANGES_WITHHELD`].
    pub changes_withheld: Level,
    /// [`catalogue::STORE_EVICTS`].
    pub store_evicts: Flag,
    /// [`catalogue::RESTRICTED_LOST`].
    pub restricted_lost: Flag,
    /// [`catalogue::RESTRICTED_REWRITES`].
    pub restricted_rewrites: By<RewrittenFrom, Counter>,
    /// [`catalogue::REPAIRS`].
    pub repairs: Counter,
    /// [`catalogue::UNREADABLE`].
    pub unreadable: By<Unreadable, Counter>,
    /// [`catalogue::CHANGE_EFFECT_SECONDS`]: record a [`Duration`].
    pub change_effect: Histogram,
    store_commands: By<StoreCommand, Histogram>,
    store_errors: By<StoreCommand, Counter>,
    ingest_messages: By<Via, By<IngestResult, Counter>>,
    /// [`catalogue::INGEST_HOLDER`].
    pub ingest_holder: Flag,
    /// [`catalogue::INGEST_LISTENING`].
    pub ingest_listening: Flag,
    webhooks: By<WebhookSource, By<WebhookResult, Counter>>,
    /// [`catalogue::WEBHOOKS_UNRESOLVED`].
    pub webhooks_unresolved: Level,
    /// [`catalogue::SOURCES_PAUSED`].
    pub sources_paused: Level,
    /// [`catalogue::FLEET_SHADOW`].
    pub fleet_shadow: Flag,
    pub(super) route_settings_malformed: Counter,
    /// [`catalogue::DEADLINES_MISSED`].
    pub deadlines_missed: Counter,
    /// [`catalogue::AUTH_FAILURES`].
    pub auth_failures: By<AuthFailure, Counter>,
    /// [`catalogue::CONNECTIONS`].
    pub connections: By<Listener, Population>,
    pub(super) connections_full: By<Listener, Counter>,
    /// [`catalogue::SNAPSHOT_AGE`].
    pub snapshot_age: Span,
    /// [`catalogue::SNAPSHOT_WRITES`].
    pub snapshot_writes: By<SnapshotResult, Counter>,
    /// [`catalogue::JOURNAL_ERRORS`].
    pub journal_errors: Counter,
    /// [`catalogue::AUDIT_ARCHIVED`].
    pub audit_archived: Counter,
    /// [`catalogue::AUDIT_ARCHIVE_FAILURES`].
    pub audit_archive_failures: Counter,
    /// [`catalogue::READY`].
    pub ready: Flag,
    /// [`catalogue::BOOT_UNCONFIRMED`].
    pub boot_unconfirmed: Flag,
    boot_source: By<BootSource, Flag>,
    runtime: Runtime,
    build_info: Flag,
    process: Process,
    pub(super) clock: Clock,
    pub(super) lines: Lines,
    tls: By<Listener, OnceLock<Tls>>,
}

/// The metrics of one listener over TLS.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) reloads: By<CertificateResult, Counter>,
    pub(super) handshake_failures: Counter,
    certificate_expiry: Gauge,
}

impl Tls {
    fn of(listener: Listener) -> Self {
        let label = (Listener::NAME, listener.as_str());
        Self {
            reloads: By::each(|result: CertificateResult| {
                let labels = [label, (CertificateResult::NAME, result.as_str())];
                metrics::counter!(catalogue::TLS_RELOADS.name, &labels)
            }),
            handshake_failures: metrics::counter!(catalogue::TLS_HANDSHAKE_FAILURES.name, &[label]),
            certificate_expiry: metrics::gauge!(catalogue::TLS_CERTIFICATE_EXPIRY.name, &[label]),
        }
    }

    /// Says when the certificate that is shown expires.
    pub(super) fn expires(&self, at: Timestamp) {
        self.certificate_expiry.set(Duration::from_millis(at.as_millis()));
    }
}

/// What keeps log lines that could flood the log to one in a while.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) unreadable: By<Unreadable, Pace>,
    pub(super) auth: Pace,
    pub(super) decision: Pace,
    pub(super) span: Pace,
    pub(super) ingest: By<IngestResult, Pace>,
    pub(super) ingest_trouble: By<Via, Pace>,
    pub(super) webhook: By<WebhookSource, By<WebhookResult, Pace>>,
    pub(super) succession: Pace,
    pub(super) route_setting: Pace,
    pub(super) handshake: By<Listener, Pace>,
    pub(super) full: By<Listener, Pace>,
}

impl Lines {
    fn new() -> Self {
        let minute = Duration::from_mins(1);
        Self {
            unreadable: By::each(|_| Pace::every(Duration::from_secs(1))),
            auth: Pace::every(minute),
            decision: Pace::every(minute),
            span: Pace::every(minute),
            ingest: By::each(|_| Pace::every(minute)),
            ingest_trouble: By::each(|_| Pace::every(minute)),
            webhook: By::each(|_| By::each(|_| Pace::every(minute))),
            succession: Pace::every(minute),
            route_setting: Pace::every(minute),
            handshake: By::each(|_| Pace::every(minute)),
            full: By::each(|_| Pace::every(minute)),
        }
    }
}

impl Handles {
    fn new(clock: Clock) -> Self {
        for reason in Reason::ALL.iter().filter(|reason| reason.outcome() != Outcome::Allow) {
            // There from the start, so that the first one is seen to be more than none.
            shadow_passes(*reason, NO_ROUTE).increment(0);
        }
        for verb in Verb::ALL {
            for outcome in <AuditOutcome as Label>::ALL {
                operator_acts(ActDialect::Native, verb, *outcome).increment(0);
            }
        }
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        Self {
            checks: By::each(|dialect: Dialect| {
                By::each(|reason: Reason| Tally::told_to(counter_of_check(dialect, reason)))
            }),
            check_seconds: histograms(catalogue::CHECK_SECONDS),
            policy_hash: gauge(catalogue::POLICY_HASH),
            policy_reads: counters(catalogue::POLICY_READS),
            policy_refused: Flag(gauge(catalogue::POLICY_REFUSED)),
            stale_answers: counters(catalogue::STALE_ANSWERS),
            decisions_logged: counter(catalogue::DECISIONS_LOGGED),
            decisions_unlogged: counters(catalogue::DECISIONS_UNLOGGED),
            spans_sent: counter(catalogue::SPANS_SENT),
            spans_unsent: counter(catalogue::SPANS_UNSENT),
            cache_lookups: counters(catalogue::CACHE_LOOKUPS),
            cache_evictions: counters(catalogue::CACHE_EVICTIONS),
            fills: counters(catalogue::FILLS),
            fills_coalesced: counter(catalogue::FILLS_COALESCED),
            min_revisions: counters(catalogue::MIN_REVISIONS),
            cache_entries: gauges(catalogue::CACHE_ENTRIES, Level),
            feed_connected: Flag(gauge(catalogue::FEED_CONNECTED)),
            feed_staleness: Span(gauge(catalogue::FEED_STALENESS)),
            staleness_budget: Span(gauge(catalogue::STALENESS_BUDGET)),
            staleness_limit: Span(gauge(catalogue::STALENESS_LIMIT)),
            feed_watermark: Level(gauge(catalogue::FEED_WATERMARK)),
            feed_lag: Level(gauge(catalogue::FEED_LAG)),
            feed_changes: counter(catalogue::FEED_CHANGES),
            feed_gaps: counter(catalogue::FEED_GAPS),
            feed_catch_ups: counter(catalogue::FEED_CATCH_UPS),
            feed_resnapshots: counter(catalogue::FEED_RESNAPSHOTS),
            feed_disconnects: counter(catalogue::FEED_DISCONNECTS),
            feed_moves: counter(catalogue::FEED_MOVES),
            feed_suspect: Flag(gauge(catalogue::FEED_SUSPECT)),
            store_lost: Flag(gauge(catalogue::STORE_LOST)),
            successions: counter(catalogue::SUCCESSIONS),
            changes_forgotten: counter(catalogue::CHANGES_FORGOTTEN),
            changes_recovered: counter(catalogue::CHANGES_RECOVERED),
            changes_withheld: Level(gauge(catalogue::CHANGES_WITHHELD)),
            store_evicts: Flag(gauge(catalogue::STORE_EVICTS)),
            restricted_lost: Flag(gauge(catalogue::RESTRICTED_LOST)),
            restricted_rewrites: counters(catalogue::RESTRICTED_REWRITES),
            repairs: counter(catalogue::REPAIRS),
            unreadable: counters(catalogue::UNREADABLE),
            change_effect: metrics::histogram!(catalogue::CHANGE_EFFECT_SECONDS.name),
            store_commands: histograms(catalogue::STORE_COMMAND_SECONDS),
            store_errors: counters(catalogue::STORE_ERRORS),
            ingest_messages: counters_by_two(catalogue::INGEST_MESSAGES),
            ingest_holder: Flag(gauge(catalogue::INGEST_HOLDER)),
            ingest_listening: Flag(gauge(catalogue::INGEST_LISTENING)),
            webhooks: counters_by_two(catalogue::WEBHOOKS),
            webhooks_unresolved: Level(gauge(catalogue::WEBHOOKS_UNRESOLVED)),
            sources_paused: Level(gauge(catalogue::SOURCES_PAUSED)),
            fleet_shadow: Flag(gauge(catalogue::FLEET_SHADOW)),
            route_settings_malformed: counter(catalogue::ROUTE_SETTINGS_MALFORMED),
            deadlines_missed: counter(catalogue::DEADLINES_MISSED),
            auth_failures: counters(catalogue::AUTH_FAILURES),
            connections: By::each(|listener: Listener| {
                let labels = [(Listener::NAME, listener.as_str())];
                let gauge = metrics::gauge!(catalogue::CONNECTIONS.name, &labels);
                gauge.set(0);
                Population(gauge)
            }),
            connections_full: counters(catalogue::CONNECTIONS_FULL),
            snapshot_age: Span(gauge(catalogue::SNAPSHOT_AGE)),
            snapshot_writes: counters(catalogue::SNAPSHOT_WRITES),
            journal_errors: counter(catalogue::JOURNAL_ERRORS),
            audit_archived: counter(catalogue::AUDIT_ARCHIVED),
            audit_archive_failures: counter(catalogue::AUDIT_ARCHIVE_FAILURES),
            ready: Flag(gauge(catalogue::READY)),
            boot_unconfirmed: Flag(gauge(catalogue::BOOT_UNCONFIRMED)),
            boot_source: gauges(catalogue::BOOT_SOURCE, Flag),
            runtime: Runtime::new(),
            build_info: Flag(metrics::gauge!(catalogue::BUILD_INFO.name, &version)),
            process: Process::new(),
            clock,
            lines: Lines::new(),
            tls: By::each(|_| OnceLock::new()),
        }
    }

    /// Counts one check that was answered with `reason`, `took` after it arrived.
    pub fn check(&self, dialect: Dialect, reason: Reason, took: Duration) {
        self.checks[dialect][reason].increment();
        self.check_seconds[dialect].record(took);
    }

    /// How many checks were answered with each reason since the process began.
    pub fn checks_by_reason(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.into_iter().map(|reason| {
            let of_dialect = |dialect: &Dialect| self.checks[*dialect][reason].count();
            (reason, <Dialect as Label>::ALL.iter().map(of_dialect).sum())
        })
    }

    /// Tells how many checks there were; call it before rendering.
    pub fn observe_checks(&self) {
        for tallies in &self.checks.handles {
            for tally in &tallies.handles {
                tally.tell();
            }
        }
    }

    /// Counts one fill.
    pub fn fill(&self, result: FillResult) {
        self.fills[result].increment(1);
    }

    /// Counts one command to the store that took so long, and whether it was answered well.
    pub fn store_command(&self, command: StoreCommand, took: Duration, is_answered: bool) {
        self.store_commands[command].record(took);
        if !is_answered {
            self.store_errors[command].increment(1);
        }
    }

    /// Counts one act on a customer. Nothing is held for it: an act goes to the store, and few
    /// of the dialects are used anywhere.
    pub fn operator_act(&self, dialect: ActDialect, verb: Verb, outcome: AuditOutcome) {
        operator_acts(dialect, verb, outcome).increment(1);
    }

    /// Counts one check that shadow mode let through. Nothing is held for it: patterns come and
    /// go with the policy, and a refusal may take its time.
    pub fn shadow_pass(&self, reason: Reason, pattern: &str) {
        shadow_passes(reason, pattern).increment(1);
    }

    /// Says which policy is in force, by the SHA-256 of its file (hex).
    pub fn policy_is(&self, hash: &str) {
        let bits = hash.get(..12).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        #[expect(clippy::cast_precision_loss, reason = "48 bits fit")]
        self.policy_hash.set(bits.unwrap_or_default() as f64);
    }

    /// Says where the first picture of this process came from.
    pub fn booted_from(&self, source: BootSource) {
        for other in BootSource::ALL {
            self.boot_source[*other].lower();
        }
        self.boot_source[source].raise();
    }

    /// The metrics of a listener over TLS, which are there from the first call on. The others have
    /// none: what never expires would look like what has expired.
    pub(super) fn tls(&self, listener: Listener) -> &Tls {
        self.tls[listener].get_or_init(|| Tls::of(listener))
    }

    /// Counts one message of a billing system.
    pub fn ingest_message(&self, via: Via, result: IngestResult) {
        self.ingest_messages[via][result].increment(1);
    }

    /// Counts messages that nobody could take.
    pub fn ingest_lost(&self, count: u64) {
        self.ingest_messages[Via::Channel][IngestResult::Lost].increment(count);
    }

    /// Counts one webhook.
    pub fn webhook(&self, source: WebhookSource, result: WebhookResult) {
        self.webhooks[source][result].increment(1);
    }

    /// Reads the process's memory, CPU time and file descriptors anew; call it before rendering.
    pub fn observe_process(&self) {
        self.process.observe();
    }

    /// Reads anew how busy the threads of a runtime are; call it before rendering.
    pub fn observe_runtime(&self, seen: &RuntimeMetrics) {
        self.runtime.observe(seen);
    }
}

/// One handle for each value of a label: `metrics.cache_entries[Tier::Recent]`.
pub struct By<L, H> {
    handles: Box<[H]>,
    label: PhantomData<fn(L)>,
}

impl<L: Label, H> By<L, H> {
    fn each(make: impl Fn(L) -> H) -> Self {
        Self { handles: L::ALL.iter().map(|value| make(*value)).collect(), label: PhantomData }
    }
}

impl<L: Label, H> Index<L> for By<L, H> {
    type Output = H;

    fn index(&self, value: L) -> &H {
        &self.handles[value.index()]
    }
}

impl<L, H: fmt::Debug> fmt::Debug for By<L, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.handles).finish()
    }
}

/// A counter that is read here too, and costs a check no more than one addition: what renders it
/// is told when it is about to.
#[derive(Debug)]
struct Tally {
    count: AtomicU64,
    told: Counter,
}

impl Tally {
    const fn told_to(told: Counter) -> Self {
        Self { count: AtomicU64::new(0), told }
    }

    fn increment(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn tell(&self) {
        self.told.absolute(self.count());
    }
}

/// A gauge that is 0 or 1.
#[derive(Clone, Debug)]
pub struct Flag(Gauge);

impl Flag {
    /// Makes it 1.
    pub fn raise(&self) {
        self.0.set(1);
    }

    /// Makes it 0.
    pub fn lower(&self) {
        self.0.set(0);
    }

    /// Makes it 1 if `is_so`, else 0.
    pub fn set(&self, is_so: bool) {
        if is_so { self.raise() } else { self.lower() }
    }
}

/// A gauge that is a whole number.
#[derive(Clone, Debug)]
pub struct Level(Gauge);

impl Level {
    /// Makes it `value`.
    pub fn set(&self, value: u64) {
        self.0.set(gauge_value(value));
    }
}

/// A gauge that is how many there are.
#[derive(Clone, Debug)]
pub struct Population(Gauge);

/// One of a [`Population`], until it is dropped.
#[derive(Debug)]
pub struct Individual(Gauge);

impl Population {
    /// One more, as long as what this gives is kept.
    #[must_use]
    pub fn one(&self) -> Individual {
        self.0.increment(1);
        Individual(self.0.clone())
    }
}

impl Drop for Individual {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// A gauge that is a length of time, in seconds.
#[derive(Clone, Debug)]
pub struct Span(Gauge);

impl Span {
    /// Makes it `span`.
    pub fn set(&self, span: Duration) {
        self.0.set(span);
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, far above anything counted here")]
pub(super) fn gauge_value(value: u64) -> f64 {
    value as f64
}

fn shadow_passes(reason: Reason, pattern: &str) -> Counter {
    let labels = [("reason", reason.as_str().to_owned()), ("route", pattern.to_owned())];
    metrics::counter!(catalogue::SHADOW_PASSES.name, &labels)
}

fn operator_acts(dialect: ActDialect, verb: Verb, outcome: AuditOutcome) -> Counter {
    let labels = [
        (ActDialect::NAME, dialect.as_str()),
        (Verb::NAME, verb.as_str()),
        (AuditOutcome::NAME, outcome.as_str()),
    ];
    metrics::counter!(catalogue::OPERATOR_ACTS.name, &labels)
}

/// In the place of a pattern where no route was met.
pub const NO_ROUTE: &str = "-";

fn counter_of_check(dialect: Dialect, reason: Reason) -> Counter {
    let labels = [
        (Dialect::NAME, dialect.as_str()),
        ("outcome", reason.outcome().as_str()),
        (Reason::NAME, reason.as_str()),
    ];
    metrics::counter!(catalogue::CHECKS.name, &labels)
}

fn counter(metric: Metric) -> Counter {
    metrics::counter!(metric.name)
}

fn counters<L: Label>(metric: Metric) -> By<L, Counter> {
    By::each(|value: L| metrics::counter!(metric.name, &[(L::NAME, value.as_str())]))
}

fn counters_by_two<K: Label, L: Label>(metric: Metric) -> By<K, By<L, Counter>> {
    By::each(|one: K| {
        By::each(|other: L| {
            let labels = [(K::NAME, one.as_str()), (L::NAME, other.as_str())];
            metrics::counter!(metric.name, &labels)
        })
    })
}

fn gauge(metric: Metric) -> Gauge {
    metrics::gauge!(metric.name)
}

fn gauges<L: Label, G>(metric: Metric, of: impl Fn(Gauge) -> G) -> By<L, G> {
    By::each(|value: L| of(metrics::gauge!(metric.name, &[(L::NAME, value.as_str())])))
}

fn histograms<L: Label>(metric: Metric) -> By<L, Histogram> {
    By::each(|value: L| metrics::histogram!(metric.name, &[(L::NAME, value.as_str())]))
}
