//! The limits endpoint on each listener: who asks, and about which tenant.

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};

use super::{
    super::{
        DataPlane, OperatorPlane,
        authenticate::{Caller, OwnTenant, tenant_meant},
        fields::InPath,
        openapi::{
            parameters::{Customer, CustomerAlone, Fresh},
            refusals::{Limited, LimitedHere},
        },
        problem::Problem,
    },
    Shown, limits,
};
use crate::{
    domain::{CustomerId, CustomerKey, IdentityFault, Role, key::InvalidKey},
    telemetry::Dialect,
};

/// What a customer may do.
///
/// A customer who is disabled is said to be so, and its limits are listed all the same.
#[utoipa::path(
    get,
    path = "/v1/customers/{id}/limits",
    tag = "Limits",
    operation_id = "readLimits",
    security(("bearer" = ["app"])),
    params(CustomerAlone, Fresh),
    responses(
        (
            status = 200,
            description = "What it may do.",
            body = Shown<'_>,
            headers(
                ("ETag" = String, description = "A weak tag: of all but `asOf`, `ageMs` and `stale`."),
                ("Cache-Control" = String, description = "`no-cache`."),
            ),
        ),
        (
            status = 304,
            description = "Nothing has changed.",
            headers(
                ("ETag" = String, description = "The same tag."),
                ("Cache-Control" = String, description = "`no-cache`."),
            ),
        ),
        LimitedHere,
    ),
)]
pub(in crate::http) async fn of_data_plane(
    State(plane): State<DataPlane>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let malformed = |error: &dyn std::fmt::Display| {
        Problem::new(StatusCode::BAD_REQUEST, "CUSTOMER_MALFORMED", error.to_string())
    };
    let Path(id) = id.map_err(|_| malformed(&InvalidKey::Customer))?;
    let id = CustomerId::parse(&id).map_err(|error| malformed(&error))?;
    let named =
        plane.identity.named_tenant(request.headers()).map_err(|error| malformed(&error))?;
    let own = OwnTenant::of(&request).0;
    let tenant = tenant_meant(named, own.as_ref(), plane.identity.default_tenant.as_ref())?
        .ok_or_else(|| malformed(&IdentityFault::Malformed))?;
    let customer = CustomerKey::new(&tenant, &id);
    count_limits(&plane, &customer, request).await
}

/// What a customer may do.
///
/// A customer who is disabled is said to be so, and its limits are listed all the same.
#[utoipa::path(
    get,
    path = "/v1/customers/{id}/limits",
    tag = "Limits",
    operation_id = "readLimits",
    security(("bearer" = ["app"])),
    params(Customer, Fresh),
    responses(
        (
            status = 200,
            description = "What it may do.",
            body = Shown<'_>,
            headers(
                ("ETag" = String, description = "A weak tag: of all but `asOf`, `ageMs` and `stale`."),
                ("Cache-Control" = String, description = "`no-cache`."),
            ),
        ),
        (
            status = 304,
            description = "Nothing has changed.",
            headers(
                ("ETag" = String, description = "The same tag."),
                ("Cache-Control" = String, description = "`no-cache`."),
            ),
        ),
        Limited,
    ),
)]
pub(in crate::http) async fn of_operator_plane(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(Role::App)?;
    let customer = caller.customer(&id)?;
    count_limits(&plane.plane, &customer, request).await
}

async fn count_limits(
    plane: &DataPlane,
    customer: &CustomerKey,
    request: Request,
) -> Result<Response, Problem> {
    let (answer, stale) = limits(plane, customer, request).await?;
    if stale {
        plane.metrics.stale_answers[Dialect::Limits].increment(1);
    }
    Ok(answer)
}
