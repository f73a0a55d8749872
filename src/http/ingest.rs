//! What billing systems say without the API, and the sources that the guard has paused.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    OperatorPlane,
    authenticate::Caller,
    customers::{DEFAULT_LIMIT, page_limit},
    fields::{Fields, query},
    openapi::{
        bodies::SourceNamed,
        parameters::{InTenant, UnresolvedWanted},
        refusals::Writing,
    },
    operator::READS,
    problem::Problem,
};
use crate::{
    control::{foreign::unresolved::Unresolved, tenure::Tenure},
    domain::{
        Code, CustomerId, RestrictionReason, Role, Source, Status, TenantId, Timestamp,
        guard::GuardRule,
    },
    store::{AuditCursor, ForeignWriters},
};

/// What is shown of ingest beside the guard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct IngestView {
    /// Where billing systems speak, if they may.
    pub writers: Option<ForeignWriters>,
    /// The source that it counts for.
    pub source: Source,
    /// Tells whether this instance applies it.
    pub tenure: Tenure,
}

/// What waits in the inbox, and what each source restricted lately.
#[utoipa::path(
    get,
    path = "/v1/ingest",
    tag = "Ingest",
    operation_id = "readIngest",
    security(("bearer" = ["viewer"])),
    params(InTenant),
    responses((status = 200, description = "How it stands.", body = Shown)),
)]
pub(super) async fn status(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let control = &plane.operators.control;
    let view = plane.ingest.as_ref();
    let writers = view.and_then(|view| view.writers.as_ref());
    let sizes = match writers {
        Some(writers) => Some(writers.sizes().await?),
        None => None,
    };
    let customers = control.count_customers().await?;
    let unresolved = control.store.count_unresolved().await?;
    let rule = control.guard.rule();
    let sources =
        control.guard.sources().into_iter().map(|(source, (restricted, state))| ShownSource {
            source,
            restricted,
            paused: rule.is_some() && state.paused_since.is_some(),
            paused_since: state.paused_since,
            resumed_at: state.resumed_at,
        });
    let shown = Shown {
        channel: writers.map(|writers| writers.channel().to_owned()),
        source: view.map(|view| view.source.clone()),
        applies: view.is_some_and(|view| view.tenure.holds()),
        inbox: sizes.map(|sizes| sizes.waiting),
        dead: sizes.map(|sizes| sizes.dead),
        unresolved,
        guard: rule.map(|rule| ShownGuard::of(rule, customers)),
        sources: sources.collect(),
    };
    Ok(Json(shown).into_response())
}

/// What waits because nobody knows the customer, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/ingest/unresolved",
    tag = "Ingest",
    operation_id = "listUnresolved",
    security(("bearer" = ["viewer"])),
    params(UnresolvedWanted, InTenant),
    responses((status = 200, description = "A page.", body = UnresolvedPage)),
)]
pub(super) async fn unresolved(
    State(plane): State<OperatorPlane>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let mut given = query(raw.as_deref(), &["limit", "startAfter"])?;
    let limit = given.remove("limit").map_or(Ok(DEFAULT_LIMIT), |raw| page_limit(&raw))?;
    let after = given.remove("startAfter").map(|raw| raw.parse::<AuditCursor>()).transpose();
    let after = after.map_err(|error| Problem::invalid_field("startAfter", error))?;
    let mut after = after.map(|cursor| cursor.id);
    // Who has named a tenant, or sees one alone, is shown what is of that one.
    let tenant = Some(&caller).filter(|it| it.names_tenant || it.actor.tenant.is_some());
    let tenant = tenant.map(Caller::tenant).transpose()?;
    let (mut shown, mut has_more) = (Vec::new(), false);
    'pages: loop {
        let page = plane.operators.control.unresolved(after.as_deref(), UNRESOLVED_AT_ONCE).await?;
        let Some((last, _)) = page.last() else { break };
        let last = last.clone();
        for (id, found) in page {
            let Some(found) = found else { continue };
            if tenant.is_some_and(|tenant| *tenant != found.tenant) {
                continue;
            }
            if shown.len() == limit {
                has_more = true;
                break 'pages;
            }
            shown.push(ShownUnresolved::of(id, found));
        }
        after = Some(last);
    }
    let next_cursor = shown.last().filter(|_| has_more).map(|last| last.cursor.clone());
    Ok(Json(UnresolvedPage { count: shown.len(), unresolved: shown, limit, has_more, next_cursor })
        .into_response())
}

/// Lets a paused source go on: what waits of it is applied.
#[utoipa::path(
    post,
    path = "/v1/ingest/resume",
    tag = "Ingest",
    operation_id = "resumeSource",
    security(("bearer" = ["manager"])),
    params(InTenant),
    request_body = SourceNamed,
    responses((status = 200, description = "It goes on.", body = Resumed), Writing),
)]
pub(super) async fn resume(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(Role::Manager)?;
    caller.require_every_tenant("a source")?;
    let headers = request.headers().clone();
    let (mut fields, body) = Fields::of_request(request).await?;
    let source = fields.parse("source", str::parse::<Source>);
    if source.is_none() && !fields.has_errors() {
        fields.reject("source", "is required");
    }
    fields.finish()?;
    let Some(source) = source else {
        return Err(Problem::invalid_field("source", "is required"));
    };
    let asked = caller.request(&headers, "ingest\0resume", &body)?;
    let changed = plane.operators.control.resume(&asked, &source).await?;
    Ok(Json(Resumed { success: true, source, changed }).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = Ingest)]
struct Shown {
    /// The channel that is listened on; `null` where there is none.
    channel: Option<String>,
    /// The source that it counts for.
    source: Option<Source>,
    /// Whether this instance applies it.
    applies: bool,
    /// How many entries wait.
    inbox: Option<u64>,
    /// How many can never be applied.
    dead: Option<u64>,
    /// How many webhooks wait because nobody knows their customer.
    unresolved: u64,
    /// What the guard lets sources do; `null` where it is off.
    guard: Option<ShownGuard>,
    sources: Vec<ShownSource>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IngestGuard)]
struct ShownGuard {
    /// How many per cent of the customers a source may restrict.
    share_percent: f64,
    /// Within how long.
    window_seconds: u64,
    /// How many customers there are.
    customers: u64,
    /// How many of them that is.
    limit: u64,
}

impl ShownGuard {
    fn of(rule: GuardRule, customers: u64) -> Self {
        Self {
            share_percent: f64::from(rule.basis_points) / 100.0,
            window_seconds: rule.window.as_secs(),
            customers,
            limit: rule.limit(customers),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IngestSource)]
struct ShownSource {
    source: Source,
    /// How many it restricted within the window.
    restricted: u64,
    paused: bool,
    paused_since: Option<Timestamp>,
    resumed_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UnresolvedPage {
    unresolved: Vec<ShownUnresolved>,
    /// How many this page holds.
    count: usize,
    /// How many it may hold.
    limit: usize,
    has_more: bool,
    /// What `startAfter` of the next page is.
    next_cursor: Option<String>,
}

/// What waits, without what is for nobody's eyes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Unresolved)]
struct ShownUnresolved {
    #[serde(skip)]
    cursor: String,
    source: Source,
    tenant_id: TenantId,
    /// The source's own id of the customer, which is to be an alias.
    external_id: CustomerId,
    status: Option<Status>,
    reason: Option<RestrictionReason>,
    features: Option<BTreeSet<Code>>,
    event_id: Option<String>,
    sent_at: Option<Timestamp>,
    received_at: Timestamp,
    address: Option<String>,
}

impl ShownUnresolved {
    fn of(cursor: String, found: Unresolved) -> Self {
        Self {
            cursor,
            source: found.source,
            tenant_id: found.tenant,
            external_id: found.customer,
            status: found.status,
            reason: found.reason,
            features: found.features,
            event_id: found.id,
            sent_at: found.sent_at,
            received_at: found.received_at,
            address: found.address,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = SourceResumed)]
struct Resumed {
    success: bool,
    source: Source,
    /// Whether it was paused.
    changed: bool,
}

const UNRESOLVED_AT_ONCE: usize = 500;
