//! The six verbs, and the one that erases.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::{
    OperatorPlane,
    authenticate::Caller,
    fields::{Fields, InPath},
    problem::Problem,
    resource::{Resource, ShownRestriction},
};
use crate::domain::{Action, Placement, RestrictionReason, Role, Source, Timestamp, Verb};

/// `POST /v1/customers/{id}/{verb}`.
pub(super) async fn act(
    State(plane): State<OperatorPlane>,
    InPath((id, verb)): InPath<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    let mut known = Verb::STATUS.into_iter().chain([Verb::Purge]);
    let known = known.find(|known| known.as_str() == verb);
    let verb = known.ok_or_else(|| Problem::not_found("verb"))?;
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

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    customer: Resource,
    changed: bool,
    remaining: Vec<ShownRestriction>,
}

/// Reading needs the weakest role that may see customers at all.
pub(super) const READS: Role = Role::Viewer;
