//! The audit trail, newest first.

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::{
    OperatorPlane,
    authenticate::Caller,
    customers::{DEFAULT_LIMIT, page_limit},
    fields::{InPath, query},
    operator::READS,
    problem::Problem,
};
use crate::{
    domain::{AuditEntry, CustomerKey, Token, audit::StoredAudit},
    store::{AuditCursor, AuditPage},
};

/// `GET /v1/customers/{id}/audit`.
pub(super) async fn of_customer(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let customer = caller.customer(&id)?;
    page(&plane, Some(customer), None, raw.as_deref()).await
}

/// `GET /v1/audit`.
pub(super) async fn of_all(
    State(plane): State<OperatorPlane>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let is_bound = caller.names_tenant || caller.actor.tenant.is_some();
    let bound_to = caller.tenant.as_ref().filter(|_| is_bound);
    let scope = bound_to.map(|tenant| format!("{tenant}:"));
    page(&plane, None, scope.as_deref(), raw.as_deref()).await
}

async fn page(
    plane: &OperatorPlane,
    customer: Option<CustomerKey>,
    scope: Option<&str>,
    raw: Option<&str>,
) -> Result<Response, Problem> {
    let mut given = query(raw, &["limit", "before"])?;
    let limit = given.remove("limit").map_or(Ok(DEFAULT_LIMIT), |raw| page_limit(&raw))?;
    let before = given.remove("before").filter(|id| !id.is_empty());
    let before = before.map(|raw| raw.parse::<AuditCursor>()).transpose();
    let before = before.map_err(|error| Problem::invalid_field("before", error))?;
    let control = &plane.operators.control;
    let mut found = control.audit(&AuditPage { customer, before, limit: limit + 1 }).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().map(|entry| AuditCursor::from(entry).to_string());
    let next_cursor = next_cursor.filter(|_| has_more);
    // Keys and sources are of no tenant, also not of one that is named `key`.
    let in_scope = |StoredAudit { entry, .. }: &StoredAudit| {
        scope.is_none_or(|scope| {
            entry.subject.starts_with(scope)
                && !entry.action.starts_with("keys_")
                && !entry.action.starts_with("ingest_")
        })
    };
    let entries = found.into_iter().filter(in_scope).map(|stored| Shown {
        revision: control.token(stored.partition, stored.revision),
        id: stored.id,
        entry: stored.entry,
    });
    Ok(Json(Page { entries: entries.collect(), has_more, next_cursor }).into_response())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    entries: Vec<Shown>,
    has_more: bool,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    revision: Option<Token>,
    #[serde(flatten)]
    entry: AuditEntry,
}
