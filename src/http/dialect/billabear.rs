//! BillaBear: customers are disabled and enabled, and the limits API says so.

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use super::{
    super::{
        OperatorPlane,
        authenticate::Caller,
        customers::{DEFAULT_LIMIT, Wanted},
        fields::{InPath, query},
        limits,
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
};

/// `POST /api/v1/customer/{id}/disable`.
pub(in super::super) async fn disable(
    plane: State<OperatorPlane>,
    id: Result<InPath<String>, Problem>,
    request: Request,
) -> Result<Response, Refused> {
    act(plane, id?, request, Verb::Disable).await
}

/// `POST /api/v1/customer/{id}/enable`.
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

/// `GET /api/v1/customer/{id}/limits`.
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
            Ok((StatusCode::NOT_FOUND, Json(json!([]))).into_response())
        }
        Err(problem) => Err(problem.into()),
    }
}

/// `GET /api/v1/customer`: in the order of their ids, page by page.
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
#[derive(Serialize)]
struct Done {
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<Vec<ShownRestriction>>,
}

/// The limits in BillaBear's shape, and what BillaBear does not say: a disabled customer looks there
/// like one without a plan.
#[derive(Serialize)]
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

#[derive(Serialize)]
struct LimitOf<'a> {
    feature: Feature<'a>,
    limit: u64,
}

#[derive(Serialize)]
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
        let limits = body.limits.iter().flatten().filter(|_| !may_nothing);
        let features = body.features.iter().flatten().filter(|_| !may_nothing);
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

#[derive(Serialize)]
struct Page {
    data: Vec<Item>,
    has_more: bool,
    last_key: Option<String>,
}

#[derive(Serialize)]
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
const BILLABEAR: Dialect = Dialect { name: "billabear" };
