//! The six verbs, and the one that erases.

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
    fields::{Fields, InPath},
    openapi::{
        bodies::{Lifting, Placing},
        parameters::{Conditional, Customer, Repeatable},
        refusals::Acting,
    },
    problem::Problem,
    resource::{Resource, ShownRestriction},
};
use crate::domain::{Action, Placement, RestrictionReason, Role, Source, Timestamp, Verb};

/// One path for each verb.
macro_rules! verbs {
    ($(
        $(#[doc = $says:literal])+
        $name:ident = $path:literal, $id:literal, $role:literal, $body:ty, $verb:expr;
    )+) => {$(
        $(#[doc = $says])+
        #[utoipa::path(
            post,
            path = $path,
            tag = "Status",
            operation_id = $id,
            security(("bearer" = [$role])),
            params(Customer, Repeatable, Conditional),
            request_body = Option<$body>,
            responses((status = 200, description = "The customer after it.", body = Shown), Acting),
        )]
        pub(super) async fn $name(
            plane: State<OperatorPlane>,
            id: InPath<String>,
            request: Request,
        ) -> Result<Response, Problem> {
            act(plane, id, request, $verb).await
        }
    )+};
}

verbs! {
    /// Disables the customer: it has no access.
    disable = "/v1/customers/{id}/disable", "disableCustomer", "support", Placing, Verb::Disable;
    /// Lifts a disable.
    enable = "/v1/customers/{id}/enable", "enableCustomer", "support", Lifting, Verb::Enable;
    /// Freezes the customer: it may only read, and is not charged.
    freeze = "/v1/customers/{id}/freeze", "freezeCustomer", "support", Placing, Verb::Freeze;
    /// Lifts a freeze.
    unfreeze = "/v1/customers/{id}/unfreeze", "unfreezeCustomer", "support", Lifting, Verb::Unfreeze;
    /// Closes the customer; everything is preserved.
    deactivate = "/v1/customers/{id}/deactivate", "deactivateCustomer", "support", Placing, Verb::Deactivate;
    /// Opens a customer that was closed.
    reactivate = "/v1/customers/{id}/reactivate", "reactivateCustomer", "support", Lifting, Verb::Reactivate;
    /// Erases the customer: its record and what operators keep beside it are gone for good.
    ///
    /// Its restrictions and aliases stay, and its audit trail without notes. To write its record
    /// afterwards is 409 `CUSTOMER_PURGED`.
    purge = "/v1/customers/{id}/purge", "purgeCustomer", "admin", Lifting, Verb::Purge;
}

async fn act(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    request: Request,
    verb: Verb,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    let key = caller.customer(&id)?;
    let headers = request.headers().clone();
    let (fields, body) = Fields::of_request(request).await?;
    let action = read_action(verb, fields)?;
    let what = format!("{key}\0{}", verb.as_str());
    let asked = caller.request(&headers, &what, &body)?;
    let control = &plane.operators.control;
    let acted = control.act(&asked, &key, &action).await?;
    let customer = Resource::of(acted.customer, control, &plane.plane.gate);
    let remaining = customer.remaining();
    Ok(Json(Shown { customer, changed: acted.changed, remaining }).into_response())
}

fn read_action(verb: Verb, mut fields: Fields) -> Result<Action, Problem> {
    let action = Action {
        source: fields.parse("source", str::parse::<Source>),
        create: fields.take("create").unwrap_or(false),
        placement: read_placement(&mut fields),
        ..Action::of(verb)
    };
    if verb.places().is_none()
        && (action.placement.since.is_some() || action.placement.until.is_some())
    {
        fields.reject("until", "only a verb that restricts has `since` and `until`");
    }
    fields.finish()?;
    Ok(action)
}

/// Reads what is said about a restriction.
pub(super) fn read_placement(fields: &mut Fields) -> Placement {
    let placement = Placement {
        reason: fields.parse("reason", str::parse::<RestrictionReason>),
        since: fields.parse("since", str::parse::<Timestamp>),
        until: fields.parse("until", str::parse::<Timestamp>),
        notes: fields.notes(),
        informed_at: fields.parse("informedAt", str::parse::<Timestamp>),
        placed_by: None,
    };
    if let (Some(since), Some(until)) = (placement.since, placement.until)
        && until <= since
    {
        fields.reject("until", "must lie after `since`");
    }
    placement
}

#[derive(Serialize, ToSchema)]
#[schema(as = CustomerActed)]
struct Shown {
    #[serde(flatten)]
    customer: Resource,
    /// Whether anything was changed.
    changed: bool,
    /// What still restricts the customer.
    remaining: Vec<ShownRestriction>,
}

/// Reading needs the weakest role that may see customers at all.
pub(super) const READS: Role = Role::Viewer;
