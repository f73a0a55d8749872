//! Every metric: name, help text, kind, labels and buckets, and nothing else.
//!
//! Units are in the names, and are base units: seconds, bytes, plain counts. Label values come
//! from the closed sets of [`super::label`].

pub use super::label::{
    ActDialect, AuthFailure, BootSource, CertificateResult, Dialect, FillResult, FoundIn,
    IngestResult, Listener, PolicyResult, ReachedBy, RewrittenFrom, SnapshotResult, StoreCommand,
    Tier, Unreadable, Via, WebhookResult, WebhookSource,
};

/// What is said of one metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// One sentence about it.
    pub help: &'static str,
    /// What it counts or measures with.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets, by their upper bounds.
    Histogram(&'static [f64]),
}

impl Metric {
    const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, help, kind: Kind::Counter, labels }
    }

    const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, help, kind: Kind::Gauge, labels }
    }

    const fn histogram(
        name: &'static str,
        buckets: &'static [f64],
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, help, kind: Kind::Histogram(buckets), labels }
    }

    /// Describes it to the current recorder.
    pub fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Histogram(_) => metrics::describe_histogram!(self.name, self.help),
        }
    }
}

/// Declares the constants, and [`ALL`] with each of them.
macro_rules! catalogue {
    ($( $(#[$meta:meta])* $id:ident = $metric:expr; )+) => {
        $( $(#[$meta])* pub const $id: Metric = $metric; )+

        /// Every metric of Tollgate's own.
        pub const ALL: &[Metric] = &[$( $id, )+];
    };
}

catalogue! {
    /// By dialect, outcome and reason.
    CHECKS = Metric::counter("tollgate_checks_total", &["dialect", "outcome", "reason"],
        "Checks answered, by the dialect they were asked in, and by what was answered and why.");
    /// By reason and route.
    SHADOW_PASSES = Metric::counter("tollgate_shadow_passes_total", &["reason", "route"],
        "Checks that shadow mode let through and that would have been refused, by reason and by the route's pattern in the policy.");
    /// 48 bits.
    POLICY_HASH = Metric::gauge("tollgate_policy_hash", &[],
        "The first 48 bits of the policy file's SHA-256; 0 for the policy that is built in. Instances that differ have different policies.");
    /// By result.
    POLICY_READS = Metric::counter("tollgate_policy_reads_total", &["result"],
        "Times the policy file was read, at the start and because it had changed, by what came of it.");
    /// 0 or 1.
    POLICY_REFUSED = Metric::gauge("tollgate_policy_refused", &[],
        "1 while the policy file cannot be used and the policy before it stays in force, else 0.");
    /// By dialect.
    CHECK_SECONDS = Metric::histogram("tollgate_check_duration_seconds", CHECK_BUCKETS, &["dialect"],
        "Time from a check's arrival to its answer.");
    /// By dialect.
    STALE_ANSWERS = Metric::counter("tollgate_stale_answers_total", &["dialect"],
        "Checks answered from a picture older than the staleness budget.");
    /// Without labels.
    DECISIONS_LOGGED = Metric::counter("tollgate_decisions_logged_total", &[],
        "Decisions written to the decision log.");
    /// By why.
    DECISIONS_UNLOGGED = Metric::counter("tollgate_decisions_unlogged_total", &["why"],
        "Decisions that should have been in the decision log and are not: too many waited to be written, or it could not be written.");
    /// Without labels.
    SPANS_SENT = Metric::counter("tollgate_spans_sent_total", &[],
        "Spans of traces that the collector took.");
    /// Without labels.
    SPANS_UNSENT = Metric::counter("tollgate_spans_unsent_total", &[],
        "Spans of traces that the collector did not take.");
    /// By where.
    CACHE_LOOKUPS = Metric::counter("tollgate_cache_lookups_total", &["found"],
        "Checks of a customer, by where in memory it was found what decides; for those found nowhere the store was read.");
    /// By tier.
    CACHE_EVICTIONS = Metric::counter("tollgate_cache_evictions_total", &["tier"],
        "Customers dropped from memory because others needed the room, by the part of the cache that held them; never from the restricted one.");
    /// By result.
    FILLS = Metric::counter("tollgate_fills_total", &["result"],
        "Reads of the store for a customer that was not in memory, by what came of them.");
    /// Without labels.
    FILLS_COALESCED = Metric::counter("tollgate_fills_coalesced_total", &[],
        "Checks that waited for a fill begun by another check of the same customer.");
    /// By what reached them.
    MIN_REVISIONS = Metric::counter("tollgate_min_revisions_total", &["by"],
        "Questions with a minimum revision, by what reached it: memory at once, the feed, a read of the store, or nothing in time.");
    /// By tier.
    CACHE_ENTRIES = Metric::gauge("tollgate_cache_entries", &["tier"],
        "Customers held in memory, by the part of the cache that holds them.");
    /// 0 or 1.
    FEED_CONNECTED = Metric::gauge("tollgate_feed_connected", &[],
        "1 while this instance hears the store's changes, else 0.");
    /// In seconds.
    FEED_STALENESS = Metric::gauge("tollgate_feed_staleness_seconds", &[],
        "Time since the picture in memory was last confirmed by the store. Alert on this one.");
    /// In seconds.
    STALENESS_BUDGET = Metric::gauge("tollgate_feed_staleness_budget_seconds", &[],
        "The staleness from which on answers are marked stale (--max-staleness).");
    /// In seconds.
    STALENESS_LIMIT = Metric::gauge("tollgate_feed_staleness_limit_seconds", &[],
        "The staleness from which on nobody passes who is not known to be restricted (--stale-limit): their checks are undecided.");
    /// Revisions.
    FEED_WATERMARK = Metric::gauge("tollgate_feed_watermark", &[],
        "The store's revision up to which every change is applied here; the sum over all partitions.");
    /// Changes.
    FEED_LAG = Metric::gauge("tollgate_feed_lag", &[],
        "Changes that the store told of, when it was last asked, and that are not applied here; the sum over all partitions.");
    /// Without labels.
    FEED_CHANGES = Metric::counter("tollgate_feed_changes_total", &[],
        "Changes heard and applied.");
    /// Without labels.
    FEED_GAPS = Metric::counter("tollgate_feed_gaps_total", &[],
        "Times the feed skipped a revision.");
    /// Without labels.
    FEED_CATCH_UPS = Metric::counter("tollgate_feed_catch_ups_total", &[],
        "Times missed changes were read from the store's log.");
    /// Without labels.
    FEED_RESNAPSHOTS = Metric::counter("tollgate_feed_resnapshots_total", &[],
        "Times the whole restricted set was read from the store, the first one included.");
    /// Without labels.
    FEED_DISCONNECTS = Metric::counter("tollgate_feed_disconnects_total", &[],
        "Times the feed's connection to the store was lost.");
    /// Without labels.
    FEED_MOVES = Metric::counter("tollgate_feed_moves_total", &[],
        "Times a node of a cluster no longer served what the feed followed there.");
    /// 0 or 1.
    FEED_SUSPECT = Metric::gauge("tollgate_feed_suspect", &[],
        "1 while the picture in memory disagrees with the store, else 0.");
    /// 0 or 1.
    STORE_LOST = Metric::gauge("tollgate_store_lost", &[],
        "1 while the store has forgotten what this instance knows and is not believed, else 0.");
    /// Without labels.
    SUCCESSIONS = Metric::counter("tollgate_store_successions_total", &[],
        "Times this instance ended a history of the store that had lost its end, and began the next.");
    /// Without labels.
    CHANGES_FORGOTTEN = Metric::counter("tollgate_changes_forgotten_total", &[],
        "Changes that the store forgot and that cannot be written back: fields of records, keys, and \
         what is older than this instance remembers.");
    /// Without labels.
    CHANGES_RECOVERED = Metric::counter("tollgate_changes_recovered_total", &[],
        "Status changes that the store forgot and that this instance wrote back.");
    /// Acts.
    CHANGES_WITHHELD = Metric::gauge("tollgate_changes_withheld", &[],
        "Status changes that the store forgot and that are not written back yet; whom they restrict \
         is refused here.");
    /// 0 or 1.
    STORE_EVICTS = Metric::gauge("tollgate_store_evicts", &[],
        "1 while the store would rather forget customers than refuse changes when its memory is full, else 0.");
    /// 0 or 1.
    RESTRICTED_LOST = Metric::gauge("tollgate_restricted_lost", &[],
        "1 while the store's restricted set is not whole and customers cannot be changed, else 0.");
    /// By where from.
    RESTRICTED_REWRITES = Metric::counter("tollgate_restricted_rewrites_total", &["from"],
        "Times this instance wrote the store's restricted set anew, by where it had it from.");
    /// Without labels.
    REPAIRS = Metric::counter("tollgate_repairs_total", &[],
        "Records in memory that differed from the store's and were put right. Anything but zero is a bug, or somebody else who writes to the store.");
    /// By what.
    UNREADABLE = Metric::counter("tollgate_unreadable_total", &["what"],
        "Things in the store that this version could not read.");
    /// In seconds.
    CHANGE_EFFECT_SECONDS = Metric::histogram("tollgate_change_effect_seconds", EFFECT_BUCKETS, &[],
        "Time from a change's commit in the store to its effect on this instance.");
    /// By command.
    STORE_COMMAND_SECONDS = Metric::histogram(
        "tollgate_store_command_duration_seconds", STORE_BUCKETS, &["command"],
        "Time the store took to answer a command.");
    /// By command.
    STORE_ERRORS = Metric::counter("tollgate_store_errors_total", &["command"],
        "Commands that the store did not answer, or answered with an error.");
    /// By dialect, verb and outcome.
    OPERATOR_ACTS = Metric::counter("tollgate_operator_acts_total", &["dialect", "verb", "outcome"],
        "Acts on customers asked for by operators and systems, by how they were asked for and what came of them.");
    /// By way and result.
    INGEST_MESSAGES = Metric::counter("tollgate_ingest_messages_total", &["via", "result"],
        "Messages of billing systems that this instance looked at, by how they came and what came of them.");
    /// 0 or 1.
    INGEST_HOLDER = Metric::gauge("tollgate_ingest_holder", &[],
        "1 while this instance is the one that applies the messages of billing systems, else 0.");
    /// 0 or 1.
    INGEST_LISTENING = Metric::gauge("tollgate_ingest_listening", &[],
        "1 while this instance hears what billing systems publish, else 0.");
    /// By source and result.
    WEBHOOKS = Metric::counter("tollgate_webhooks_total", &["source", "result"],
        "Webhooks of billing systems, by whose they are and what came of them.");
    /// A count.
    WEBHOOKS_UNRESOLVED = Metric::gauge("tollgate_webhooks_unresolved", &[],
        "Webhooks that wait because nobody knows their customer, as the instance that tries them again sees it; 0 on the others.");
    /// A count.
    SOURCES_PAUSED = Metric::gauge("tollgate_sources_paused", &[],
        "Sources that the guard has paused because they restricted too many customers. Alert on this one.");
    /// 0 or 1.
    FLEET_SHADOW = Metric::gauge("tollgate_fleet_shadow", &[],
        "1 while operators have put the whole fleet into shadow, so that denies are told and let through, else 0.");
    /// Without labels.
    AUDIT_ARCHIVED = Metric::counter("tollgate_audit_archived_total", &[],
        "Entries of the audit trail that this instance put into its archive and took out of the store.");
    /// Without labels.
    AUDIT_ARCHIVE_FAILURES = Metric::counter("tollgate_audit_archive_failures_total", &[],
        "Times old entries of the audit trail could not be archived, or not be taken out of the store.");
    /// Without labels.
    ROUTE_SETTINGS_MALFORMED = Metric::counter("tollgate_route_settings_malformed_total", &[],
        "Checks for which the gateway's configuration asked something that cannot be understood. Anything but zero needs a look at that configuration.");
    /// Without labels.
    DEADLINES_MISSED = Metric::counter("tollgate_deadlines_missed_total", &[],
        "Checks over gRPC whose caller stopped waiting before there was an answer.");
    /// By code.
    AUTH_FAILURES = Metric::counter("tollgate_auth_failures_total", &["code"],
        "Callers turned away because of their credentials.");
    /// By listener.
    CONNECTIONS = Metric::gauge("tollgate_connections", &["listener"],
        "Connections that are open, by listener.");
    /// By listener.
    CONNECTIONS_FULL = Metric::counter("tollgate_connections_full_total", &["listener"],
        "Times a listener had as many connections as it may, so that others had to wait.");
    /// By listener and result.
    TLS_RELOADS = Metric::counter("tollgate_tls_reloads_total", &["listener", "result"],
        "Times the certificate of a listener was read because its files had changed, by what came of it; only of listeners over TLS.");
    /// In seconds since 1970, by listener.
    TLS_CERTIFICATE_EXPIRY = Metric::gauge("tollgate_tls_certificate_expiry_seconds", &["listener"],
        "When the certificate that a listener shows expires, in seconds since 1970; only of listeners over TLS. Alert on this one.");
    /// By listener.
    TLS_HANDSHAKE_FAILURES = Metric::counter("tollgate_tls_handshake_failures_total", &["listener"],
        "Connections that ended before they were encrypted; only of listeners over TLS.");
    /// In seconds.
    SNAPSHOT_AGE = Metric::gauge("tollgate_snapshot_age_seconds", &[],
        "How old a picture the snapshot file and its journal hold; 0 while there is none.");
    /// By result.
    SNAPSHOT_WRITES = Metric::counter("tollgate_snapshot_writes_total", &["result"],
        "Times the snapshot file was to be written, by what came of it.");
    /// Without labels.
    JOURNAL_ERRORS = Metric::counter("tollgate_snapshot_journal_errors_total", &[],
        "Times a change could not be noted beside the snapshot file, which is then written anew.");
    /// 0 or 1.
    READY = Metric::gauge("tollgate_ready", &[],
        "1 while this instance takes traffic, as /readyz says, else 0.");
    /// 0 or 1.
    BOOT_UNCONFIRMED = Metric::gauge("tollgate_boot_unconfirmed", &[],
        "1 while this instance answers by what it began with, a file or another instance's picture, and the store has not confirmed that yet, else 0.");
    /// 0 or 1, by source.
    BOOT_SOURCE = Metric::gauge("tollgate_boot_source", &["source"],
        "1 for where the first picture of this process came from, else 0.");
    /// A count.
    RUNTIME_WORKERS = Metric::gauge("tollgate_runtime_workers", &[],
        "Threads that answer checks and follow the store (--workers); probes and metrics have one of their own.");
    /// A count.
    RUNTIME_TASKS = Metric::gauge("tollgate_runtime_tasks", &[],
        "Tasks that are alive on those threads: a few for each connection, and those of the process.");
    /// A count.
    RUNTIME_QUEUED = Metric::gauge("tollgate_runtime_queued_tasks", &[],
        "Tasks that wait for any of those threads, in the queue that they share.");
    /// In whole seconds.
    RUNTIME_BUSY_SECONDS = Metric::counter("tollgate_runtime_busy_seconds_total", &[],
        "Time that those threads were at work, summed over them, in whole seconds; its rate by tollgate_runtime_workers is how busy they are.");
    /// Always 1.
    BUILD_INFO = Metric::gauge("tollgate_build_info", &["version"],
        "Always 1; the label tells which version is running.");
}

/// A check answered from memory takes microseconds; one that fills has 50 ms by default.
const CHECK_BUCKETS: &[f64] = &[
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];

/// From the 50 us that a push takes on one machine to the 10 s of a reconnect.
const EFFECT_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// From an embedded read to a commit that waits for a slow disk or network.
const STORE_BUCKETS: &[f64] = &[
    0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 1.0, 5.0,
];
