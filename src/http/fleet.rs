//! The mode of the whole fleet.

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    OperatorPlane,
    authenticate::Caller,
    fields::Fields,
    openapi::{
        bodies::ShadowWanted,
        parameters::{InTenant, Repeatable},
        refusals::ActingApart,
        words,
    },
    operator::READS,
    problem::Problem,
};
use crate::domain::{Mode, Role, Timestamp, fleet::FleetShadow};

/// Whether every instance is in shadow, and until when.
#[utoipa::path(
    get,
    path = "/v1/fleet",
    tag = "Fleet",
    operation_id = "readFleet",
    security(("bearer" = ["viewer"])),
    params(InTenant),
    responses((status = 200, description = "The mode.", body = Shown)),
)]
pub(super) async fn status(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let shadow = plane.operators.control.fleet.shadow();
    Ok(Json(Shown::of(shadow, None)).into_response())
}

/// Puts every instance into shadow: whoever would be refused is told so, and passes.
#[utoipa::path(
    post,
    path = "/v1/fleet/shadow",
    tag = "Fleet",
    operation_id = "shadowFleet",
    security(("bearer" = ["admin"])),
    params(InTenant, Repeatable),
    request_body = ShadowWanted,
    responses((status = 200, description = "The mode after it.", body = Shown), ActingApart),
)]
pub(super) async fn shadow(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = of_every_tenant(&plane, &request)?;
    let headers = request.headers().clone();
    let (mut fields, body) = Fields::of_request(request).await?;
    let seconds: Option<u64> = fields.take("forSeconds");
    let at_most = FleetShadow::AT_MOST.as_secs();
    let seconds = seconds.filter(|seconds| (1..=at_most).contains(seconds));
    if seconds.is_none() && !fields.has_errors() {
        fields.reject("forSeconds", format!("must be a whole number from 1 to {at_most}"));
    }
    fields.finish()?;
    let lasts = Duration::from_secs(seconds.unwrap_or_default());
    let asked = caller.request(&headers, "fleet\0shadow", &body)?;
    let shadow = plane.operators.control.shadow_fleet(&asked, lasts).await?;
    Ok(Json(Shown::of(shadow, Some(true))).into_response())
}

/// Lets every instance enforce what its policy says again.
#[utoipa::path(
    post,
    path = "/v1/fleet/enforce",
    tag = "Fleet",
    operation_id = "enforceFleet",
    security(("bearer" = ["admin"])),
    params(InTenant, Repeatable),
    responses((status = 200, description = "The mode after it.", body = Shown), ActingApart),
)]
pub(super) async fn enforce(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = of_every_tenant(&plane, &request)?;
    let asked = caller.request(request.headers(), "fleet\0enforce", b"")?;
    let changed = plane.operators.control.enforce_fleet(&asked).await?;
    Ok(Json(Shown::of(None, Some(changed))).into_response())
}

fn of_every_tenant(plane: &OperatorPlane, request: &Request) -> Result<Caller, Problem> {
    let caller = Caller::of(plane, request)?;
    caller.require(Role::Admin)?;
    caller.require_every_tenant("the fleet")?;
    Ok(caller)
}

#[derive(Serialize, ToSchema)]
#[schema(as = FleetMode)]
struct Shown {
    /// `shadow`, or `policy` where each instance does what its policy says.
    #[schema(schema_with = words::fleet_mode)]
    mode: &'static str,
    /// Until when it is in shadow.
    until: Option<Timestamp>,
    /// Whether that is another mode than before, for an act.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    changed: Option<bool>,
}

impl Shown {
    fn of(shadow: Option<FleetShadow>, changed: Option<bool>) -> Self {
        let mode = if shadow.is_some() { Mode::Shadow.as_str() } else { "policy" };
        Self { mode, until: shadow.map(|shadow| shadow.until), changed }
    }
}
