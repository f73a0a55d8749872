//! Wingback: a customer is frozen by a call named *inactivate*.

use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::{
        OperatorPlane,
        fields::{InPath, MAX_NOTES},
        openapi::{
            bodies::WingbackNotes,
            parameters::{ByAlias, Conditional, Repeatable},
            refusals::Acting,
        },
        problem::Problem,
        resource::ShownRestriction,
    },
    Asked, Dialect, read,
};
use crate::{
    domain::{Action, Placement, Verb},
    telemetry::ActDialect,
};

/// Freezes the customer for the source `wingback`. What Wingback calls inactive is `frozen` here.
#[utoipa::path(
    post,
    path = "/v1/c/customer/{id}/inactivate",
    tag = "Wingback",
    operation_id = "wingbackInactivate",
    security(("bearer" = ["support"])),
    params(ByAlias, Repeatable, Conditional),
    request_body = WingbackNotes,
    responses((status = 200, description = "Inactivated: an empty object.", body = Done), Acting),
)]
pub(in super::super) async fn inactivate(
    plane: State<OperatorPlane>,
    id: InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    act(plane, id, request, Verb::Freeze).await
}

/// Lifts the freeze of the source `wingback`. Wingback itself documents no such call.
#[utoipa::path(
    post,
    path = "/v1/c/customer/{id}/activate",
    tag = "Wingback",
    operation_id = "wingbackActivate",
    security(("bearer" = ["support"])),
    params(ByAlias, Repeatable, Conditional),
    request_body = WingbackNotes,
    responses(
        (
            status = 200,
            description = "Done: an empty object, unless other sources still restrict the customer.",
            body = Done,
        ),
        Acting,
    ),
)]
pub(in super::super) async fn activate(
    plane: State<OperatorPlane>,
    id: InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    act(plane, id, request, Verb::Unfreeze).await
}

async fn act(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    request: Request,
    verb: Verb,
) -> Result<Response, Problem> {
    let caller = WINGBACK.caller(&plane, &request)?;
    let (headers, mut fields, body) = read(request).await?;
    if body.is_empty() {
        return Err(Problem::invalid_field("body", "is required: an object, which may be empty"));
    }
    let notes = fields.take::<String>("notes").map(cut);
    fields.finish_ignoring_others()?;
    let placement = Placement { notes, ..Placement::default() };
    let asked = Asked { caller: &caller, id: &id, headers: &headers, body: &body };
    let action = Action { placement, ..Action::of(verb) };
    let remaining = WINGBACK.act(&plane, asked, action).await?;
    let remaining = Some(remaining).filter(|it| verb.lifts().is_some() && !it.is_empty());
    Ok(Json(Done { remaining }).into_response())
}

/// Wingback documents no body of the answer.
#[derive(Serialize, ToSchema)]
#[schema(as = WingbackDone)]
struct Done {
    /// What still restricts a customer who was to be let back in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remaining: Option<Vec<ShownRestriction>>,
}

/// Notes that are too long are cut and marked: nobody stays unfrozen for them.
fn cut(notes: String) -> String {
    if notes.chars().count() <= MAX_NOTES {
        return notes;
    }
    let kept = MAX_NOTES - CUT.chars().count();
    notes.chars().take(kept).chain(CUT.chars()).collect()
}

const CUT: &str = " [cut]";
const WINGBACK: Dialect = Dialect { acts: ActDialect::Wingback };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_two_thousand_characters_are_kept_and_longer_ones_are_cut_and_marked() {
        let whole = "ü".repeat(MAX_NOTES);
        assert_eq!(cut(whole.clone()), whole);
        let shortened = cut(format!("{whole}ü"));
        assert_eq!(shortened.chars().count(), MAX_NOTES);
        assert!(shortened.ends_with("ü [cut]"));
    }
}
