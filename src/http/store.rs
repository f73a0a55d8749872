//! The store itself: how it stands, and what is decided about one that lost what it held.

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
        bodies::{ConflictNamed, Nothing, SuccessionWanted},
        parameters::InTenant,
        refusals::{Writing, WritingThere},
    },
    problem::Problem,
};
use crate::{
    control::{
        conflicts::Conflict,
        succession::{Effect, PartitionStand, Right},
    },
    domain::{Role, Token},
};

/// How every partition stands here and in the store.
#[utoipa::path(
    get,
    path = "/v1/store",
    tag = "Store",
    operation_id = "readStore",
    security(("bearer" = ["viewer"])),
    params(InTenant),
    responses((status = 200, description = "Every partition.", body = Stands)),
)]
pub(super) async fn stat(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    of_all_tenants(&plane, &request, Role::Viewer)?;
    let partitions = plane.operators.control.store_stat().await?;
    Ok(Json(Stands { partitions }).into_response())
}

/// Says that the store is right about what it lost.
#[utoipa::path(
    post,
    path = "/v1/store/trust",
    tag = "Store",
    operation_id = "trustStore",
    security(("bearer" = ["admin"])),
    params(InTenant),
    request_body = Option<SuccessionWanted>,
    responses((status = 200, description = "Done, or what it would do.", body = Succeeded), Writing),
)]
pub(super) async fn trust(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    succeed(plane, request, Right::Store).await
}

/// Says that this instance is right about what the store lost, and fills it again.
#[utoipa::path(
    post,
    path = "/v1/store/refill",
    tag = "Store",
    operation_id = "refillStore",
    security(("bearer" = ["admin"])),
    params(InTenant),
    request_body = Option<SuccessionWanted>,
    responses((status = 200, description = "Done, or what it would do.", body = Succeeded), Writing),
)]
pub(super) async fn refill(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    succeed(plane, request, Right::Instance).await
}

/// Says that the store has every record there is again.
#[utoipa::path(
    post,
    path = "/v1/store/whole",
    tag = "Store",
    operation_id = "declareStoreWhole",
    security(("bearer" = ["admin"])),
    params(InTenant),
    request_body = Option<Nothing>,
    responses((status = 200, description = "It is whole.", body = MadeWhole), Writing),
)]
pub(super) async fn whole(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = of_all_tenants(&plane, &request, Role::Admin)?;
    let headers = request.headers().clone();
    let (fields, body) = Fields::of_request(request).await?;
    fields.finish()?;
    let control = &plane.operators.control;
    let changed = control.make_whole(&caller.request(&headers, "store", &body)?).await?;
    Ok(Json(MadeWhole { changed }).into_response())
}

/// With `"dryRun": true` it only tells what it would do.
async fn succeed(
    plane: OperatorPlane,
    request: Request,
    right: Right,
) -> Result<Response, Problem> {
    let caller = of_all_tenants(&plane, &request, Role::Admin)?;
    let headers = request.headers().clone();
    let (mut fields, body) = Fields::of_request(request).await?;
    let dry_run = fields.take("dryRun").unwrap_or(false);
    fields.finish()?;
    let control = &plane.operators.control;
    let effect = control.effect_of(right).await?;
    if !dry_run {
        control.succeed(&caller.request(&headers, "store", &body)?, right).await?;
    }
    Ok(Json(Succeeded { done: !dry_run, effect }).into_response())
}

/// Changes that the store forgot and that are not written back: somebody has to decide.
#[utoipa::path(
    get,
    path = "/v1/store/conflicts",
    tag = "Store",
    operation_id = "listConflicts",
    security(("bearer" = ["viewer"])),
    params(InTenant),
    responses((status = 200, description = "All of them.", body = List)),
)]
pub(super) async fn conflicts(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    of_all_tenants(&plane, &request, Role::Viewer)?;
    let conflicts = plane.operators.control.conflicts().await?.into_iter();
    let conflicts = conflicts.map(|(forgotten, conflict)| Listed { forgotten, conflict });
    Ok(Json(List { conflicts: conflicts.collect() }).into_response())
}

/// Says that the store is right about a change that it forgot.
#[utoipa::path(
    post,
    path = "/v1/store/conflicts/settle",
    tag = "Store",
    operation_id = "settleConflict",
    security(("bearer" = ["admin"])),
    params(InTenant),
    request_body = ConflictNamed,
    responses((status = 200, description = "It is settled.", body = Settled), WritingThere),
)]
pub(super) async fn settle(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = of_all_tenants(&plane, &request, Role::Admin)?;
    let headers = request.headers().clone();
    let (mut fields, body) = Fields::of_request(request).await?;
    let forgotten = fields.parse("forgotten", str::parse::<Token>);
    if forgotten.is_none() && !fields.has_errors() {
        fields.reject("forgotten", "is required: the token that the list of conflicts has");
    }
    fields.finish()?;
    let Some(forgotten) = forgotten else {
        return Err(Problem::invalid_field("forgotten", "is required"));
    };
    let asked = caller.request(&headers, "conflicts", &body)?;
    plane.operators.control.settle_conflict(&asked, &forgotten).await?;
    Ok(Json(Settled { settled: forgotten }).into_response())
}

/// The store is everybody's, so who sees one tenant only has no say in it.
fn of_all_tenants(
    plane: &OperatorPlane,
    request: &Request,
    needed: Role,
) -> Result<Caller, Problem> {
    let caller = Caller::of(plane, request)?;
    caller.require(needed)?;
    caller.require_every_tenant("the store")?;
    Ok(caller)
}

#[derive(Serialize, ToSchema)]
#[schema(as = StoreStand)]
struct Stands {
    partitions: Vec<PartitionStand>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StoreSucceeded)]
struct Succeeded {
    /// Whether it was done, and not only told.
    done: bool,
    effect: Effect,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ConflictList)]
struct List {
    conflicts: Vec<Listed>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ListedConflict)]
struct Listed {
    /// The revision of the forgotten change.
    forgotten: Token,
    #[serde(flatten)]
    conflict: Conflict,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ConflictSettled)]
struct Settled {
    settled: Token,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StoreMadeWhole)]
struct MadeWhole {
    /// Whether it was not so before.
    changed: bool,
}
