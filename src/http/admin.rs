//! The admin listener: probes, metrics and the state of this instance. It runs on a thread and a
//! runtime of its own, so that it answers while the data plane is saturated.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::{runtime::RuntimeMetrics, sync::watch};

use crate::{
    cache::Cache,
    clock::{Clock, Moment},
    domain::{Freshness, Staleness, Timestamp},
    feed::{FeedStatus, snapshot_file::Kept},
    gate::{Gate, Spared},
    lifecycle::Readiness,
    telemetry::{BootSource, Metrics, Tier},
};

/// What the admin listener shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Whether this instance takes traffic.
    pub readiness: Readiness,
    /// What it holds.
    pub cache: Cache,
    /// Tells how long there has been no picture.
    pub clock: Clock,
    /// When it started.
    pub started: Moment,
    /// What shapes its answers.
    pub gate: Gate,
    /// How its feed stands.
    pub feed: watch::Receiver<FeedStatus>,
    /// What it counts.
    pub metrics: Metrics,
    /// How busy the threads are that answer checks.
    pub runtime: RuntimeMetrics,
    /// What shows it.
    pub prometheus: PrometheusHandle,
    /// Its store, without a password.
    pub store: String,
    /// What is told of its policy file.
    pub policy: watch::Receiver<PolicyShown>,
    /// The snapshot file that it keeps.
    pub snapshot: Option<Kept>,
    /// Where its first picture came from, if it was not the store.
    pub booted_from: watch::Receiver<BootSource>,
}

/// The admin listener's URLs.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(async || "live\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(admin)
}

/// True from the first whole picture on, however stale: one blip of the store must not take every
/// instance out of the gateway at once.
async fn ready(State(admin): State<Admin>) -> Response {
    if admin.readiness.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.observe();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], admin.prometheus.render()).into_response()
}

async fn status(State(admin): State<Admin>) -> Json<Status> {
    let feed = admin.feed.borrow().clone();
    let settings = admin.gate.settings();
    let partitions = admin.cache.partitions();
    let staleness = oldest(&admin.cache, &admin.gate, admin.clock.moment());
    let (restricted, recent, unknown) = admin.cache.sizes();
    let partitions = partitions.all().map(|partition| {
        let watermark = admin.cache.watermark(partition);
        PartitionStatus {
            partition: partition.0,
            epoch: watermark.as_ref().map(|it| it.epoch.to_string()),
            revision: watermark.as_ref().map(|it| it.position.revision.0),
            generation: watermark.as_ref().map(|it| it.position.generation),
        }
    });
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        ready: admin.readiness.is_ready(),
        store: StoreStatus {
            url: admin.store.clone(),
            created: admin.cache.created().map(|epoch| epoch.to_string()),
            lost: feed.lost(),
            restricted_lost: feed.is_restricted_lost(),
        },
        feed: FeedShown {
            connected: feed.is_connected(),
            phase: feed.phase(),
            suspect: feed.is_suspect(),
            partitions: partitions.collect(),
        },
        staleness: StalenessShown {
            seconds: staleness.age.map(|age| age.as_secs_f64()),
            stale: staleness.judge() != Freshness::Fresh,
            too_stale: staleness.judge() == Freshness::TooStale,
        },
        cache: CacheStatus { restricted, recent, unknown },
        policy: admin.policy(),
        fleet: FleetShown { shadow_until: settings.fleet.shadow().map(|shadow| shadow.until) },
        shadow: admin.gate.shadow().lines().into_iter().map(SparedShown::from).collect(),
        snapshot: SnapshotShown {
            file: admin.snapshot.as_ref().map(|kept| kept.path().display().to_string()),
            age_seconds: admin.snapshot_age().map(|age| age.as_secs_f64()),
            booted_from: admin.booted_from().as_str(),
            only_refuses: admin.cache.has_picture() && !admin.cache.decides(),
        },
    })
}

/// How stale the partition is that was confirmed longest ago. None at all is the oldest.
pub(super) fn oldest(cache: &Cache, gate: &Gate, at: Moment) -> Staleness {
    let settings = gate.settings();
    let (max_staleness, stale_limit) = (settings.max_staleness, settings.stale_limit);
    let staleness = |it| cache.staleness(it, at, max_staleness, stale_limit);
    let each = cache.partitions().all().map(staleness);
    let oldest = each.max_by_key(|it| it.age.unwrap_or(Duration::MAX));
    oldest.unwrap_or_else(|| gate.no_staleness())
}

impl Admin {
    /// Brings the gauges up to now.
    fn observe(&self) {
        let settings = self.gate.settings();
        let (max_staleness, stale_limit) = (settings.max_staleness, settings.stale_limit);
        // Before the first picture, what there is is as old as the process.
        let uptime = self.clock.moment().saturating_since(self.started);
        let at = self.clock.moment();
        let staleness = |it| self.cache.staleness(it, at, max_staleness, stale_limit);
        let age = |it| staleness(it).age.unwrap_or(uptime);
        let oldest = self.cache.partitions().all().map(age).max();
        self.metrics.feed_staleness.set(oldest.unwrap_or(uptime));
        self.metrics.staleness_budget.set(max_staleness);
        self.metrics.staleness_limit.set(stale_limit);
        let (reached, lag) = self.cache.progress();
        self.metrics.feed_watermark.set(reached);
        self.metrics.feed_lag.set(lag);
        self.metrics.ready.set(self.readiness.is_ready());
        let (restricted, recent, unknown) = self.cache.sizes();
        self.metrics.cache_entries[Tier::Restricted].set(restricted);
        self.metrics.cache_entries[Tier::Recent].set(recent);
        self.metrics.cache_entries[Tier::Unknown].set(unknown);
        self.metrics.snapshot_age.set(self.snapshot_age().unwrap_or_default());
        self.metrics.booted_from(self.booted_from());
        self.metrics.boot_unconfirmed.set(self.cache.is_unconfirmed());
        let feed = self.feed.borrow().clone();
        self.metrics.feed_connected.set(feed.is_connected());
        self.metrics.feed_suspect.set(feed.is_suspect());
        self.metrics.store_lost.set(feed.lost().is_some());
        let pictures = self.cache.partitions().all().filter_map(|it| self.cache.picture(it));
        let withheld: usize = pictures.map(|picture| picture.withheld.list().len()).sum();
        self.metrics.changes_withheld.set(u64::try_from(withheld).unwrap_or(u64::MAX));
        self.metrics.fleet_shadow.set(settings.fleet.shadow().is_some());
        self.metrics.observe_checks();
        self.metrics.observe_process();
        self.metrics.observe_runtime(&self.runtime);
    }

    fn policy(&self) -> PolicyStatus {
        let rules = self.gate.rules();
        PolicyStatus {
            shown: self.policy.borrow().clone(),
            hash: rules.hash.clone(),
            routes: rules.route_count,
            mode: rules.policy.mode.as_str(),
        }
    }

    /// How old a picture the snapshot file holds, if there is one.
    fn snapshot_age(&self) -> Option<Duration> {
        self.snapshot.as_ref()?.age()
    }

    fn booted_from(&self) -> BootSource {
        let told = *self.booted_from.borrow();
        if told == BootSource::None && self.cache.has_picture() { BootSource::Store } else { told }
    }
}

/// What is told of the policy.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyShown {
    /// Which file it is; nothing of the one that is built in.
    pub file: Option<String>,
    /// Why the file cannot be used as it is now, so that the policy before it stays in force.
    pub refused: Option<String>,
}

#[derive(Serialize)]
struct PolicyStatus {
    #[serde(flatten)]
    shown: PolicyShown,
    hash: Option<String>,
    routes: usize,
    mode: &'static str,
}

#[derive(Serialize)]
struct SparedShown {
    route: String,
    reason: &'static str,
    count: u64,
}

impl From<Spared> for SparedShown {
    fn from(Spared { route, reason, count }: Spared) -> Self {
        Self { route, reason, count }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    version: &'static str,
    ready: bool,
    store: StoreStatus,
    feed: FeedShown,
    staleness: StalenessShown,
    cache: CacheStatus,
    policy: PolicyStatus,
    fleet: FleetShown,
    /// What shadow mode let through and would have been refused, since the process began.
    shadow: Vec<SparedShown>,
    snapshot: SnapshotShown,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StoreStatus {
    url: String,
    created: Option<String>,
    lost: Option<&'static str>,
    restricted_lost: bool,
}

#[derive(Serialize)]
struct FeedShown {
    connected: bool,
    phase: &'static str,
    suspect: bool,
    partitions: Vec<PartitionStatus>,
}

#[derive(Serialize)]
struct PartitionStatus {
    partition: u16,
    epoch: Option<String>,
    revision: Option<u64>,
    generation: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StalenessShown {
    seconds: Option<f64>,
    stale: bool,
    too_stale: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SnapshotShown {
    file: Option<String>,
    age_seconds: Option<f64>,
    booted_from: &'static str,
    only_refuses: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FleetShown {
    /// Until when the whole fleet is in shadow, while it is.
    shadow_until: Option<Timestamp>,
}

#[derive(Serialize)]
struct CacheStatus {
    restricted: u64,
    recent: u64,
    unknown: u64,
}
