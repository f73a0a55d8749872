//! How this very instance stands, for whoever operates it and reaches no admin listener.

use axum::{
    Json,
    extract::{Request, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    OperatorPlane,
    admin::oldest,
    authenticate::Caller,
    openapi::{parameters::InTenant, words},
    operator::READS,
    problem::Problem,
};
use crate::{
    domain::{Freshness, Timestamp},
    telemetry::Metrics,
};

/// How fresh this instance is, and whom it refuses.
///
/// Told from memory alone. Each instance tells of itself: behind a balancer it is whichever is asked.
#[utoipa::path(
    get,
    path = "/v1/instance",
    tag = "Fleet",
    operation_id = "readInstance",
    security(("bearer" = ["viewer"])),
    params(InTenant),
    responses((
        status = 200,
        description = "How it stands.",
        body = Shown,
        headers(("Cache-Control" = String, description = "`no-store`.")),
    )),
)]
pub(super) async fn read(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    caller.require_every_tenant("what an instance tells of itself")?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Shown::of(&plane))).into_response())
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Instance)]
struct Shown {
    version: &'static str,
    /// When all this was so.
    at: Timestamp,
    /// Whether it takes traffic.
    ready: bool,
    store: StoreShown,
    feed: FeedShown,
    staleness: StalenessShown,
    cache: CacheShown,
    policy: PolicyShown,
    fleet: FleetShown,
    /// How many checks were answered with each reason since the process began.
    checks: Vec<ReasonCounted>,
}

impl Shown {
    fn of(plane: &OperatorPlane) -> Self {
        let (control, gate) = (&plane.operators.control, &plane.plane.gate);
        let settings = gate.settings();
        let staleness = oldest(&control.cache, gate, control.clock.moment());
        let feed = control.feed.borrow().clone();
        let (restricted, recent, unknown) = control.cache.sizes();
        let rules = gate.rules();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            at: control.clock.now(),
            ready: plane.readiness.is_ready(),
            store: StoreShown { lost: feed.lost(), restricted_lost: feed.is_restricted_lost() },
            feed: FeedShown {
                connected: feed.is_connected(),
                phase: feed.phase(),
                suspect: feed.is_suspect(),
            },
            staleness: StalenessShown {
                seconds: staleness.age.map(|age| age.as_secs_f64()),
                stale: staleness.judge() != Freshness::Fresh,
                too_stale: staleness.judge() == Freshness::TooStale,
                budget_seconds: settings.max_staleness.as_secs_f64(),
                limit_seconds: settings.stale_limit.as_secs_f64(),
            },
            cache: CacheShown { restricted, recent, unknown },
            policy: PolicyShown {
                hash: rules.hash.clone(),
                routes: rules.route_count,
                mode: rules.policy.mode.as_str(),
                refused: plane.policy.borrow().refused.clone(),
            },
            fleet: FleetShown { shadow_until: control.fleet.shadow().map(|it| it.until) },
            checks: ReasonCounted::all(&plane.plane.metrics),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InstanceStore)]
struct StoreShown {
    /// Why the store is not believed, if it is not.
    lost: Option<&'static str>,
    /// Whether the store's restricted set is not whole.
    restricted_lost: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InstanceFeed)]
struct FeedShown {
    connected: bool,
    phase: &'static str,
    /// Whether the picture in memory is doubtful.
    suspect: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InstanceStaleness)]
struct StalenessShown {
    /// How long ago the feed was last confirmed; `null` before the first picture.
    seconds: Option<f64>,
    /// Whether that is past the budget.
    stale: bool,
    /// Whether that is past the limit.
    too_stale: bool,
    /// Past this, answers are marked stale.
    budget_seconds: f64,
    /// Past this, nobody is let in who is not known to be allowed.
    limit_seconds: f64,
}

/// How many of each kind are in memory.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceCache)]
struct CacheShown {
    restricted: u64,
    recent: u64,
    unknown: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InstancePolicy)]
struct PolicyShown {
    hash: Option<String>,
    routes: usize,
    #[schema(schema_with = words::mode)]
    mode: &'static str,
    /// Why the policy file cannot be used as it is now, if it cannot.
    refused: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InstanceFleet)]
struct FleetShown {
    /// Until when the whole fleet is in shadow, while it is.
    shadow_until: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
struct ReasonCounted {
    #[schema(schema_with = words::reason)]
    reason: &'static str,
    #[schema(schema_with = words::decision)]
    decision: &'static str,
    count: u64,
}

impl ReasonCounted {
    fn all(metrics: &Metrics) -> Vec<Self> {
        let counted = metrics.checks_by_reason().map(|(reason, count)| Self {
            reason: reason.as_str(),
            decision: reason.outcome().as_str(),
            count,
        });
        counted.collect()
    }
}
