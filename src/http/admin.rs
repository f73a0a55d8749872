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
use tokio::sync::watch;

use crate::{
    cache::Cache,
    clock::{Clock, Moment},
    domain::Freshness,
    feed::FeedStatus,
    gate::Gate,
    lifecycle::Readiness,
    telemetry::{Metrics, Tier},
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
    /// What shows it.
    pub prometheus: PrometheusHandle,
    /// Its store, without a password.
    pub store: String,
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
    let (max_staleness, stale_limit) = (settings.max_staleness, settings.stale_limit);
    let partitions = admin.cache.partitions();
    let each = partitions.all().map(|it| admin.cache.staleness(it, max_staleness, stale_limit));
    // None at all is the oldest.
    let oldest = each.max_by_key(|it| it.age.unwrap_or(Duration::MAX));
    let staleness = oldest.unwrap_or_else(|| admin.gate.no_staleness());
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
    })
}

impl Admin {
    /// Brings the gauges up to now.
    fn observe(&self) {
        let settings = self.gate.settings();
        let (max_staleness, stale_limit) = (settings.max_staleness, settings.stale_limit);
        // Before the first picture, what there is is as old as the process.
        let uptime = self.clock.moment().saturating_since(self.started);
        let age = |it| self.cache.staleness(it, max_staleness, stale_limit).age.unwrap_or(uptime);
        let oldest = self.cache.partitions().all().map(age).max();
        self.metrics.feed_staleness.set(oldest.unwrap_or(uptime));
        let (restricted, recent, unknown) = self.cache.sizes();
        self.metrics.cache_entries[Tier::Restricted].set(restricted);
        self.metrics.cache_entries[Tier::Recent].set(recent);
        self.metrics.cache_entries[Tier::Unknown].set(unknown);
        let feed = self.feed.borrow().clone();
        self.metrics.feed_connected.set(feed.is_connected());
        self.metrics.feed_suspect.set(feed.is_suspect());
        self.metrics.store_lost.set(feed.lost().is_some());
        let pictures = self.cache.partitions().all().filter_map(|it| self.cache.picture(it));
        let withheld: usize = pictures.map(|picture| picture.withheld.list().len()).sum();
        self.metrics.changes_withheld.set(u64::try_from(withheld).unwrap_or(u64::MAX));
        self.metrics.observe_process();
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
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StoreStatus {
    url: String,
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
struct CacheStatus {
    restricted: u64,
    recent: u64,
    unknown: u64,
}
