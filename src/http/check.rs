//! Checks in JSON: one, or up to a hundred.

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    DataPlane,
    authenticate::{OwnTenant, tenant_meant},
    fields::Fields,
    openapi::{
        questions::{CheckAsked, ChecksAsked},
        refusals::Malformed,
        words,
    },
    problem::Problem,
};
use crate::{
    domain::{
        Asked, Check, Code, CustomerId, CustomerKey, Identity, IdentityFault, LimitCheck,
        Operation, Readings, TenantId, Token,
    },
    gate::Answer,
    policy::{self, Becomes},
    telemetry::Dialect,
    wire::{self, Beside},
};

/// Whether a customer may do something: 200 to every well-formed question.
#[utoipa::path(
    post,
    path = "/v1/check",
    tag = "Checks",
    operation_id = "check",
    security(("bearer" = ["app"])),
    request_body = CheckAsked,
    responses(
        (
            status = 200,
            description = "The decision.",
            body = Shown,
            headers(
                ("X-Tollgate-Decision" = String, description = "As `decision`."),
                ("X-Tollgate-Reason" = String, description = "As `reason`."),
                ("X-Tollgate-Status" = String, description = "As `status`."),
                ("X-Tollgate-Access" = String, description = "As `access`."),
                ("X-Tollgate-Revision" = String, description = "As `revision`, `-` for `null`."),
                ("X-Tollgate-Age-Ms" = String, description = "As `ageMs`, `-` for `null`."),
                ("X-Tollgate-Stale" = String, description = "As `stale`."),
                ("X-Tollgate-Mode" = String, description = "As `mode`."),
                ("Cache-Control" = String, description = "`no-store`."),
            ),
        ),
        Malformed,
    ),
)]
pub(super) async fn one(
    State(plane): State<DataPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let own = OwnTenant::of(&request);
    let (fields, _) = Fields::of_request(request).await?;
    let check = read(&plane, &own, fields)?;
    let answer = plane.check(Dialect::Check, &check).await;
    let mut headers = wire::headers(&answer, Beside::Nothing);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    if let Err(fault) = check.identity {
        let code = match fault {
            IdentityFault::Missing => "CUSTOMER_MISSING",
            IdentityFault::Ambiguous | IdentityFault::Malformed => "CUSTOMER_MALFORMED",
        };
        let problem = Problem::new(StatusCode::BAD_REQUEST, code, fault.to_string());
        return Ok((headers, problem).into_response());
    }
    Ok((headers, Json(Shown::of(&answer))).into_response())
}

/// Several checks, answered in order.
///
/// That a check names no customer, or a malformed one, is an answer too.
#[utoipa::path(
    post,
    path = "/v1/checks",
    tag = "Checks",
    operation_id = "checkMany",
    security(("bearer" = ["app"])),
    request_body = ChecksAsked,
    responses((
        status = 200,
        description = "The decisions.",
        body = Results,
        headers(("Cache-Control" = String, description = "`no-store`.")),
    )),
)]
pub(super) async fn many(
    State(plane): State<DataPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let own = OwnTenant::of(&request);
    let (mut fields, _) = Fields::of_request(request).await?;
    let questions = fields.value("checks");
    fields.finish()?;
    let Some(Value::Array(questions)) = questions else {
        return Err(Problem::invalid_field("checks", "must be a list of checks"));
    };
    if !(1..=MOST_CHECKS).contains(&questions.len()) {
        let message = format!("must hold 1 to {MOST_CHECKS} checks");
        return Err(Problem::invalid_field("checks", message));
    }
    let mut checks = Vec::with_capacity(questions.len());
    for (index, question) in questions.into_iter().enumerate() {
        let fields = Fields::of_value(&format!("checks[{index}]"), question)?;
        checks.push(read(&plane, &own, fields)?);
    }
    // Side by side: when the store is away, the whole takes no longer than one of them.
    let answers = join_all(checks.iter().map(|check| plane.check(Dialect::Checks, check))).await;
    let results = answers.iter().map(Shown::of).collect();
    let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, NO_STORE)]);
    Ok((headers, Json(Results { results })).into_response())
}

fn read(plane: &DataPlane, own: &OwnTenant, mut fields: Fields) -> Result<Check, Problem> {
    let customer: Option<String> = fields.take("customerId");
    let tenant: Option<String> = fields.take("tenantId");
    let readings = read_asked(plane, &mut fields)?;
    let min_revision = fields.parse("minRevision", str::parse::<Token>);
    fields.finish()?;
    let identity = identity(plane, own, customer.as_deref(), tenant.as_deref())?;
    Ok(readings.of(identity, min_revision.map(Ok)))
}

/// Reads what a question asks, whoever it is about.
pub(super) fn read_asked(plane: &DataPlane, fields: &mut Fields) -> Result<Readings, Problem> {
    let action: Option<Operation> = fields.take("action");
    let method: Option<String> = fields.take("method");
    let path: Option<String> = fields.take("path");
    let feature = fields.parse("feature", Code::parse);
    let limit = match fields.value("limit") {
        Some(limit) => Some(read_limit(&fields.path_of("limit"), limit)?),
        None => None,
    };
    let plain = |operation| Asked::plain(operation).into_readings();
    let readings = match (action, &method, &path) {
        (Some(action), None, None) => plain(action),
        (None, Some(method), Some(path)) => plane.gate.rules().ask(&policy::Request {
            method: Some(method),
            target: Some(path),
            becomes: Becomes::default(),
        }),
        // The stricter question: what is not said to be a read is none.
        (None, None, None) => plain(Operation::Write),
        _ => {
            fields.reject("action", "give either `action`, or `method` and `path`");
            plain(Operation::Write)
        }
    };
    // What is asked for by name goes before what the route asks for.
    Ok(readings.map(|asked| Asked {
        feature: feature.clone().or(asked.feature),
        limit: limit.clone().or(asked.limit),
        ..asked
    }))
}

fn read_limit(path: &str, limit: Value) -> Result<LimitCheck, Problem> {
    let mut fields = Fields::of_value(path, limit)?;
    let code = fields.parse("code", Code::parse);
    let value = fields.take("value");
    if code.is_none() {
        fields.reject("code", "names the limit and is required");
    }
    fields.finish()?;
    let code = code.ok_or_else(|| Problem::invalid_field("limit.code", "is required"))?;
    Ok(LimitCheck { code, value })
}

/// The customer that a question names. That it may not ask about its tenant is an error; that it
/// names none is part of the question.
pub(super) fn identity(
    plane: &DataPlane,
    own: &OwnTenant,
    customer: Option<&str>,
    tenant: Option<&str>,
) -> Result<Identity, Problem> {
    let Ok(named) = tenant.map(TenantId::parse).transpose() else {
        return Ok(Err(IdentityFault::Malformed));
    };
    let tenant = tenant_meant(named, own.0.as_ref(), plane.identity.default_tenant.as_ref())?;
    let id = customer.filter(|id| !id.is_empty()).ok_or(IdentityFault::Missing);
    let id = id.and_then(|id| CustomerId::parse(id).map_err(|_| IdentityFault::Malformed));
    let tenant = tenant.ok_or(IdentityFault::Malformed);
    Ok(id.and_then(|id| Ok(CustomerKey::new(&tenant?, &id))))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Decisions)]
struct Results {
    results: Vec<Shown>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Decision)]
struct Shown {
    #[schema(schema_with = words::decision)]
    decision: &'static str,
    #[schema(schema_with = words::reason)]
    reason: &'static str,
    /// What the gateway would do.
    allowed: bool,
    #[schema(schema_with = words::status_or_unknown)]
    status: &'static str,
    #[schema(schema_with = words::access_or_unknown)]
    access: &'static str,
    /// A sentence for people.
    message: &'static str,
    /// The revision that it stands on.
    revision: Option<Token>,
    /// How many milliseconds ago that was last confirmed.
    age_ms: Option<u64>,
    /// Whether that is too long ago.
    stale: bool,
    #[schema(schema_with = words::mode)]
    mode: &'static str,
}

impl Shown {
    fn of(answer: &Answer) -> Self {
        let decision = &answer.decision;
        Self {
            decision: decision.outcome().as_str(),
            reason: decision.reason.as_str(),
            allowed: answer.allowed(),
            status: wire::status_word(decision.status),
            access: wire::access_word(decision.access),
            message: wire::spelling(decision).sentence,
            revision: answer.revision.clone(),
            age_ms: answer.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            stale: answer.stale,
            mode: answer.mode.as_str(),
        }
    }
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
pub(super) const MOST_CHECKS: usize = 100;
