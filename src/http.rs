//! The whole URL space, per listener.

mod admin;
mod audit;
mod authenticate;
mod authzen;
mod changes;
mod check;
mod console;
mod customers;
mod dialect;
mod explain;
mod export;
mod fields;
mod fleet;
mod gateway;
mod import;
mod ingest;
mod instance;
mod keys;
mod limits;
mod lines;
mod openapi;
mod operator;
mod problem;
mod resource;
pub mod serve;
mod session;
mod snapshot;
mod store;
pub mod traced;
mod webhook;

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderName, StatusCode},
    middleware::{from_fn, from_fn_with_state},
    response::Response,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

pub use self::{
    admin::{Admin, PolicyShown, router as admin},
    gateway::Gateways,
    ingest::IngestView,
    limits::DisabledBilling,
    webhook::{
        Endpoint as WebhookEndpoint, Secrets as WebhookSecrets, WebhookPlane, router as webhooks,
    },
};
use self::{
    authenticate::OwnTenant,
    dialect::{billabear, wingback},
    problem::Problem,
};
use crate::{
    clock::{Clock, Moment},
    control::{Control, keys::AdminToken},
    domain::{Check, Role},
    gate::{Answer, Gate},
    identify::IdentitySource,
    lifecycle::Readiness,
    telemetry::{Dialect, Metrics},
};

/// What the check listener works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DataPlane {
    /// Decides.
    pub gate: Gate,
    /// Tells how long that took.
    pub clock: Clock,
    /// Counts it.
    pub metrics: Metrics,
    /// Tells who a request is about.
    pub identity: IdentitySource,
    /// The header in which gateways ask for a minimum revision; nothing when none is read.
    pub min_revision_header: Option<HeaderName>,
    /// Whether a disabled customer's billing goes on.
    pub disabled_billing: DisabledBilling,
    /// Who may ask what is not a gateway's question; nothing when anybody may.
    pub guard: Option<Operators>,
}

impl DataPlane {
    async fn check(&self, dialect: Dialect, check: &Check) -> Answer {
        self.check_since(dialect, check, self.clock.moment()).await
    }

    async fn check_since(&self, dialect: Dialect, check: &Check, begun: Moment) -> Answer {
        let answer = self.gate.check(check, begun).await;
        if let Some(untold) = self.gate.tell(dialect, Some(check), &answer, begun) {
            untold.tell().await;
        }
        answer
    }
}

/// Who may operate, and how an act is performed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Operators {
    /// Performs acts.
    pub control: Control,
    /// The token that the configuration gives to automation.
    pub admin: Option<AdminToken>,
}

/// How operators' sessions are made.
#[derive(Clone, Copy, Debug)]
pub struct Sessions {
    /// How long one goes on at most.
    pub lifetime: Duration,
    /// Whether the operator listener encrypts, so that a cookie need never go without.
    pub encrypted: bool,
}

/// What the operator listener works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OperatorPlane {
    /// Who may operate.
    pub operators: Operators,
    /// Shows limits.
    pub plane: DataPlane,
    /// Shows what billing systems say without the API; nothing where nobody may write.
    pub ingest: Option<IngestView>,
    /// How sessions are made.
    pub sessions: Sessions,
    /// Whether this instance takes traffic.
    pub readiness: Readiness,
    /// What is told of the policy file.
    pub policy: watch::Receiver<PolicyShown>,
    /// Ends the answers that would go on for ever.
    pub draining: CancellationToken,
}

/// The check listener's URLs, beside those of [gateways](Gateways).
pub fn check(plane: DataPlane) -> Router {
    let guarded = Router::from(check_routes());
    let guarded = guarded.route_layer(from_fn_with_state(plane.clone(), guard));
    Router::new()
        .merge(guarded)
        .fallback(no_such_url)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_AT_MOST))
        .layer(from_fn_with_state(plane.metrics.clone(), problem::tell_causes))
        .with_state(plane)
}

/// Whatever of it is no gateway's, each with its description.
fn check_routes() -> OpenApiRouter<DataPlane> {
    OpenApiRouter::default()
        .routes(routes!(check::one))
        .routes(routes!(check::many))
        .routes(routes!(authzen::evaluation))
        .routes(routes!(authzen::evaluations))
        .routes(routes!(authzen::configuration))
        .routes(routes!(limits::of_data_plane))
}

/// The operator listener's URLs: the API, and the console over it.
pub fn operator(plane: OperatorPlane) -> Router {
    let api = Router::from(operator_routes())
        .fallback(no_such_url)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_AT_MOST))
        .layer(from_fn_with_state(plane.operators.control.metrics.clone(), problem::tell_causes))
        .layer(from_fn(authenticate::name_request))
        .with_state(plane);
    console::over(api)
}

/// Each with its description: a handler without one makes no route.
fn operator_routes() -> OpenApiRouter<OperatorPlane> {
    OpenApiRouter::default()
        .routes(routes!(openapi::of_operator))
        .routes(routes!(openapi::of_check))
        .routes(routes!(customers::list))
        .routes(routes!(customers::read, customers::write, customers::delete))
        .routes(routes!(audit::of_customer))
        .routes(routes!(limits::of_operator_plane))
        .routes(routes!(operator::disable))
        .routes(routes!(operator::enable))
        .routes(routes!(operator::freeze))
        .routes(routes!(operator::unfreeze))
        .routes(routes!(operator::deactivate))
        .routes(routes!(operator::reactivate))
        .routes(routes!(operator::purge))
        // Not beneath `/v1/customers`, where any name may be a customer's.
        .routes(routes!(export::export))
        .routes(routes!(import::import).layer(DefaultBodyLimit::max(import::BODY_AT_MOST)))
        .routes(routes!(audit::of_all))
        .routes(routes!(audit::chain))
        .routes(routes!(explain::explain))
        .routes(routes!(changes::watch))
        .routes(routes!(snapshot::read))
        .routes(routes!(ingest::status))
        .routes(routes!(ingest::unresolved))
        .routes(routes!(ingest::resume))
        .routes(routes!(wingback::inactivate))
        .routes(routes!(wingback::activate))
        .routes(routes!(billabear::list))
        .routes(routes!(billabear::disable))
        .routes(routes!(billabear::enable))
        .routes(routes!(billabear::limits))
        .routes(routes!(instance::read))
        .routes(routes!(fleet::status))
        .routes(routes!(fleet::shadow))
        .routes(routes!(fleet::enforce))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(session::read, session::begin, session::end))
        .routes(routes!(store::stat))
        .routes(routes!(store::trust))
        .routes(routes!(store::refill))
        .routes(routes!(store::whole))
        .routes(routes!(store::conflicts))
        .routes(routes!(store::settle))
}

/// Off loopback, whoever is not a gateway needs a key: otherwise anybody could enumerate
/// customers.
async fn guard(
    State(plane): State<DataPlane>,
    mut request: Request,
    next: axum::middleware::Next,
) -> Result<Response, Problem> {
    if let Some(operators) = &plane.guard {
        let actor = authenticate::key_holder(operators, &request)?;
        actor.require(Role::App)?;
        request.extensions_mut().insert(OwnTenant(actor.tenant));
    }
    Ok(next.run(request).await)
}

async fn no_such_url() -> Problem {
    Problem::not_found("URL")
}

async fn wrong_method() -> Problem {
    let message = "this URL does not take that method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
}

const BODY_AT_MOST: usize = 64 * 1024;
