//! The audit trail, newest first.

mod chain;
mod export;
mod wanted;

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use self::chain::{__path_chain, chain};
use self::{
    export::Entries,
    wanted::{Asked, Format, Wanted},
};
use super::{
    OperatorPlane,
    authenticate::Caller,
    fields::InPath,
    lines,
    openapi::{
        parameters::{AuditWanted, Customer, InTenant},
        refusals::Turn,
    },
    operator::READS,
    problem::Problem,
};
use crate::{
    control::Control,
    domain::{AuditEntry, Timestamp, Token, audit::StoredAudit},
};

/// Who did what to a customer, the newest first: its last 50 entries.
#[utoipa::path(
    get,
    path = "/v1/customers/{id}/audit",
    tag = "Audit",
    operation_id = "readCustomerAudit",
    security(("bearer" = ["viewer"])),
    params(Customer, AuditWanted),
    responses(
        (
            status = 200,
            description = "A page, or with `format=ndjson` an entry a line; the last line is \
                `{\"end\":true,\"entries\":N}`, and without it the export was broken off.",
            content((Page = "application/json"), (String = "application/x-ndjson")),
        ),
        Turn,
    ),
)]
pub(super) async fn of_customer(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let customer = caller.customer(&id)?;
    let asked = Asked::of_query(raw.as_deref(), accepted(&request))?;
    answer(plane, asked.about(customer)).await
}

/// Who did what, the newest first.
///
/// Of one tenant if `Tenant-ID` names one or the key sees but one, else of all.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "Audit",
    operation_id = "readAudit",
    security(("bearer" = ["viewer"])),
    params(AuditWanted, InTenant),
    responses(
        (
            status = 200,
            description = "A page, or with `format=ndjson` an entry a line; the last line is \
                `{\"end\":true,\"entries\":N}`, and without it the export was broken off.",
            content((Page = "application/json"), (String = "application/x-ndjson")),
        ),
        Turn,
    ),
)]
pub(super) async fn of_all(
    State(plane): State<OperatorPlane>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let is_bound = caller.names_tenant || caller.actor.tenant.is_some();
    let bound_to = caller.tenant.as_ref().filter(|_| is_bound);
    let asked = Asked::of_query(raw.as_deref(), accepted(&request))?;
    answer(plane, asked.within(bound_to)).await
}

async fn answer(plane: OperatorPlane, asked: Asked) -> Result<Response, Problem> {
    let Asked { wanted, before, format } = asked;
    let limit = match format {
        Format::Page { limit } => limit,
        Format::Lines => {
            let control = plane.operators.control;
            return lines::answer(Entries { control, wanted, before }, plane.draining).await;
        }
    };
    let control = &plane.operators.control;
    let found = wanted.read(control, before, limit).await?;
    let entries = found.entries.into_iter().map(|stored| Shown::of(control, stored)).collect();
    let next_cursor = found.next.map(|cursor| cursor.to_string());
    // Asked for last, so that it tells of everything that is missing.
    let archived_until = control.audit_archived_until().await?;
    let has_more = next_cursor.is_some();
    Ok(Json(Page { entries, has_more, next_cursor, archived_until }).into_response())
}

/// Whether the caller asks for lines of JSON.
fn accepted(request: &Request) -> bool {
    let kinds = request.headers().get_all(header::ACCEPT).iter();
    let mut kinds = kinds.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    kinds.any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case(lines::KIND)
    })
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditPage)]
struct Page {
    entries: Vec<Shown>,
    has_more: bool,
    /// What `before` of the next page is.
    next_cursor: Option<String>,
    /// Entries until then may be in an archive and no longer here.
    archived_until: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditRecord)]
struct Shown {
    /// Its place in the trail.
    id: String,
    revision: Option<Token>,
    #[serde(flatten)]
    entry: AuditEntry,
    /// Whether it had notes that were erased with their customer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    notes_erased: bool,
}

impl Shown {
    fn of(control: &Control, stored: StoredAudit) -> Self {
        Self {
            revision: control.token(stored.partition, stored.revision),
            id: stored.id,
            notes_erased: stored.entry.notes.is_none() && stored.entry.notes_digest.is_some(),
            entry: stored.entry,
        }
    }
}
