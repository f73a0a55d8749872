//! BillaBear: customers are disabled and enabled, and the limits API says so.

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    super::{
        OperatorPlane,
        authenticate::Caller,
        customers::{DEFAULT_LIMIT, Wanted},
        fields::{InPath, query},
        limits,
        openapi::{
            bodies::{BillaBearDisable, BillaBearEnable},
            parameters::{BillaBearPages, ByAlias, Conditional, InTenant, Repeatable},
            refusals::{Acting, Limited, TooLong},
        },
        operator::{READS, read_placement},
        problem::Problem,
        resource::ShownRestriction,
    },
    Asked, Dialect, read,
};
use crate::{
    domain::{
        Access, Action, Code, Customer, CustomerKey, Kind, Maximum, Role, Status, Timestamp, Token,
        Verb,
    },
    gate::View,
    telemetry::ActDialect,
    wire::complete_refusal,
};

/// Disables the customer for the source `billabear`.
#[utoipa::path(
    post,
    path = "/api/v1/customer/{id}/disable",
    tag = "BillaBear",
    operation_id = "billabearDisable",
    security(("bearer" = ["support"])),
    params(ByAlias, Repeatable, Conditional),
    request_body = Option<BillaBearDisable>,
    responses((status = 202, description = "Done: an empty object.", body = Done), Acting),
)]
pub(in super::super) async fn disable(
    plane: State<OperatorPlane>,
    id: Result<InPath<String>, Problem>,
    request: Request,
) -> Result<Response, Refused> {
    act(plane, id?, request, Verb::Disable).await
}

/// Lifts the disable of the source `billabear`.
#[utoipa::path(
    post,
    path = "/api/v1/customer/{id}/enable",
    tag = "BillaBear",
    operation_id = "billabearEnable",
    security(("bearer" = ["support"])),
    params(ByAlias, Repeatable, Conditional),
    request_body = Option<BillaBearEnable>,
    responses(
        (
            status = 202,
            description = "Done: an empty object, unless other sources still restrict the customer.",
            body = Done,
        ),
        Acting,
    ),
)]
pub(in super::super) async fn enable(
    plane: State<OperatorPlane>,
    id: Result<InPath<String>, Problem>,
    request: Request,
) -> Result<Response, Refused> {
    act(plane, id?, request, Verb::Enable).await
}

async fn act(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    request: Request,
    verb: Verb,
) -> Result<Response, Refused> {
    let caller = BILLABEAR.caller(&plane, &request)?;
    let (headers, mut fields, body) = read(request).await?;
    let placement = read_placement(&mut fields);
    if placement.since.is_some() {
        fields.reject("since", "is not a field of this request");
    }
    if verb.lifts().is_some() && placement.until.is_some() {
        fields.reject("until", "who is enabled has no `until`");
    }
    fields.finish()?;
    let asked = Asked { caller: &caller, id: &id, headers: &headers, body: &body };
    let action = Action { placement, ..Action::of(verb) };
    let remaining = BILLABEAR.act(&plane, asked, action).await?;
    let remaining = Some(remaining).filter(|it| verb.lifts().is_some() && !it.is_empty());
    Ok((StatusCode::ACCEPTED, Json(Done { remaining })).into_response())
}

/// The limits in BillaBear's shape, with the customer's status.
#[utoipa::path(
    get,
    path = "/api/v1/customer/{id}/limits",
    tag = "BillaBear",
    operation_id = "billabearLimits",
    security(("bearer" = ["app"])),
    params(ByAlias),
    responses(
        (
            status = 200,
            description = "The limits; the lists are empty for whom nothing is allowed.",
            body = Twin<'_>,
        ),
        Limited,
    ),
)]
pub(in super::super) async fn limits(
    State(plane): State<OperatorPlane>,
    id: Result<InPath<String>, Problem>,
    request: Request,
) -> Result<Response, Refused> {
    let InPath(id) = id?;
    let caller = BILLABEAR.caller(&plane, &request)?;
    caller.require(Role::App)?;
    let key = BILLABEAR.customer(&plane, &caller, &id).await?;
    match limits::seen(&plane.plane, &key, None).await {
        Ok(view) => Ok(Json(Twin::of(&plane, &key, &view)?).into_response()),
        // As BillaBear answers here, and nowhere else.
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            let mut answer = (StatusCode::NOT_FOUND, Json(json!([]))).into_response();
            complete_refusal(StatusCode::NOT_FOUND, answer.headers_mut());
            Ok(answer)
        }
        Err(problem) => Err(problem.into()),
    }
}

/// Lists customers in the order of their ids, page by page.
#[utoipa::path(
    get,
    path = "/api/v1/customer",
    tag = "BillaBear",
    operation_id = "billabearList",
    security(("bearer" = ["viewer"])),
    params(BillaBearPages, InTenant),
    responses((status = 200, description = "A page.", body = Page), TooLong),
)]
pub(in super::super) async fn list(
    State(plane): State<OperatorPlane>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Refused> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let mut given = query(raw.as_deref(), &["limit", "last_key"])?;
    let limit = page_limit(given.remove("limit").as_deref())?;
    let after = given.remove("last_key").filter(|id| !id.is_empty());
    let control = &plane.operators.control;
    let page = Wanted::all(limit, after).read(control, caller.tenant()?).await;
    let (found, next) = page.map_err(Problem::from)?;
    let now = control.clock.now();
    let data = found.iter().map(|customer| Item::of(customer, now)).collect();
    let page = Page { data, has_more: next.is_some(), last_key: next };
    Ok(Json(page).into_response())
}

/// Reads a page's `limit`: less than one is 400 and more than a hundred 413 at BillaBear.
fn page_limit(raw: Option<&str>) -> Result<usize, Problem> {
    let Some(raw) = raw else { return Ok(DEFAULT_LIMIT) };
    match raw.parse::<u64>() {
        Ok(limit @ 1..=MOST_PER_PAGE) => Ok(usize::try_from(limit).unwrap_or(DEFAULT_LIMIT)),
        Ok(0) | Err(_) => Err(Problem::invalid_field("limit", "must be a number from 1 to 100")),
        Ok(_) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            "a page has at most 100 customers",
        )),
    }
}

/// A problem as BillaBear tells one.
pub(in super::super) struct Refused(Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let is_unknown = self.0.status() == StatusCode::NOT_FOUND;
        self.0.into_response_as(|error| {
            let mut body = json!({ "success": false });
            if !is_unknown {
                body["error"] = error;
            }
            body
        })
    }
}

/// What BillaBear answers an act with: nothing, unless somebody else still restricts who was to
/// be enabled.
#[derive(Serialize, ToSchema)]
#[schema(as = BillaBearDone)]
struct Done {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remaining: Option<Vec<ShownRestriction>>,
}

/// The limits in BillaBear's shape, and what BillaBear does not say: a disabled customer looks there
/// like one without a plan.
#[derive(Serialize, ToSchema)]
#[schema(as = BillaBearLimits)]
struct Twin<'a> {
    limits: Vec<LimitOf<'a>>,
    features: Vec<Feature<'a>>,
    #[serde(rename = "userCount")]
    user_count_sent: u64,
    /// What its clients read.
    user_count: u64,
    status: Status,
    access: Access,
    disabled: bool,
    revision: Option<Token>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BillaBearLimit)]
struct LimitOf<'a> {
    feature: Feature<'a>,
    limit: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BillaBearFeature)]
struct Feature<'a> {
    code: &'a Code,
    name: &'a Code,
    description: &'static str,
}

impl<'a> Feature<'a> {
    const fn of(code: &'a Code) -> Self {
        Self { code, name: code, description: "" }
    }
}

impl<'a> Twin<'a> {
    fn of(plane: &OperatorPlane, key: &CustomerKey, view: &'a View) -> Result<Self, Problem> {
        let body = &limits::record_of(view, key)?.body;
        let access = view.restrictions.access_at(view.now, plane.plane.gate.rules().policy.access);
        let may_nothing = access == Access::None;
        let limits = body.limits.iter().flat_map(|it| it.iter()).filter(|_| !may_nothing);
        let features = body.features.iter().flat_map(|it| it.iter()).filter(|_| !may_nothing);
        let seats = body.limits.as_ref().and_then(|limits| {
            limits.iter().find(|(code, _)| code.as_str() == SEATS).and_then(|(_, seats)| seats.used)
        });
        let user_count = seats.filter(|_| !may_nothing).unwrap_or_default();
        let mut in_force = view.restrictions.in_force_at(view.now);
        Ok(Self {
            // What is unlimited has no limit.
            limits: limits
                .filter_map(|(code, limit)| match limit.max {
                    Maximum::AtMost(limit) => Some(LimitOf { feature: Feature::of(code), limit }),
                    Maximum::Unlimited => None,
                })
                .collect(),
            features: features.map(Feature::of).collect(),
            user_count_sent: user_count,
            user_count,
            status: view.restrictions.status_at(view.now),
            access,
            disabled: in_force.any(|held| held.kind == Kind::Disabled),
            revision: view.revision.clone(),
        })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = BillaBearPage)]
struct Page {
    data: Vec<Item>,
    has_more: bool,
    last_key: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BillaBearCustomer)]
struct Item {
    id: String,
    name: Option<String>,
    status: Status,
    is_disabled: bool,
}

impl Item {
    fn of(customer: &Customer, now: Timestamp) -> Self {
        let restrictions = &customer.record.body.restrictions;
        Self {
            id: customer.record.key.id().to_owned(),
            name: customer.private.name.clone(),
            status: restrictions.status_at(now),
            is_disabled: restrictions.in_force_at(now).any(|held| held.kind == Kind::Disabled),
        }
    }
}

/// The limit whose use BillaBear tells as a number of users.
const SEATS: &str = "seats";
const MOST_PER_PAGE: u64 = 100;
const BILLABEAR: Dialect = Dialect { acts: ActDialect::Billabear };
