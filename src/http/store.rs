//! The store itself: how it stands, and what is decided about one that lost what it held.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::json;

use super::{OperatorPlane, authenticate::Caller, fields::Fields, problem::Problem};
use crate::{
    control::{conflicts::Conflict, succession::Right},
    domain::{Role, Token},
};

/// `GET /v1/store`: how every partition stands here and in the store.
pub(super) async fn stat(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    of_all_tenants(&plane, &request, Role::Viewer)?;
    let partitions = plane.operators.control.store_stat().await?;
    Ok(Json(json!({ "partitions": partitions })).into_response())
}

/// `POST /v1/store/trust`: the store is right about what it lost.
pub(super) async fn trust(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    succeed(plane, request, Right::Store).await
}

/// `POST /v1/store/refill`: this instance is.
pub(super) async fn refill(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    succeed(plane, request, Right::Instance).await
}

/// `POST /v1/store/whole`: it has every record there is again.
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
    Ok(Json(json!({ "changed": changed })).into_response())
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
    Ok(Json(json!({ "done": !dry_run, "effect": effect })).into_response())
}

/// `GET /v1/store/conflicts`: forgotten changes that are not written back.
pub(super) async fn conflicts(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Listed {
        forgotten: Token,
        #[serde(flatten)]
        conflict: Conflict,
    }
    of_all_tenants(&plane, &request, Role::Viewer)?;
    let conflicts = plane.operators.control.conflicts().await?.into_iter();
    let conflicts = conflicts.map(|(forgotten, conflict)| Listed { forgotten, conflict });
    Ok(Json(json!({ "conflicts": conflicts.collect::<Vec<_>>() })).into_response())
}

/// `POST /v1/store/conflicts/settle`: the store is right about one of them.
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
    Ok(Json(json!({ "settled": forgotten })).into_response())
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
