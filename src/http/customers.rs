//! The customer resource: read, write, delete softly, list.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    OperatorPlane,
    authenticate::Caller,
    fields::{Fields as BodyFields, InPath, query},
    openapi::{
        bodies::CustomerWritten,
        parameters::{
            Conditional, Customer as CustomerInPath, CustomersWanted, InTenant, Repeatable,
        },
        refusals::{Acting, NotThere},
    },
    operator::{READS, read_placement},
    problem::Problem,
    resource::Resource,
};
use crate::{
    control::{Acted, Control},
    domain::{
        Action, Code, Customer, CustomerId, Kind, Placement, RestrictionReason, Source, Status,
        TenantId, Timestamp, Token, Verb, action::Fields, alias::Alias,
    },
    store::{Among, CustomerPage, Direction, StoreError},
};

/// Reads a customer.
#[utoipa::path(
    get,
    path = "/v1/customers/{id}",
    tag = "Customers",
    operation_id = "readCustomer",
    security(("bearer" = ["viewer"])),
    params(CustomerInPath),
    responses(
        (
            status = 200,
            description = "The customer.",
            body = Resource,
            headers(("ETag" = String, description = "The revision, in quotes.")),
        ),
        NotThere,
    ),
)]
pub(super) async fn read(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let key = caller.customer(&id)?;
    let control = &plane.operators.control;
    let customer = control.customer(&key).await?.ok_or_else(|| Problem::not_found("customer"))?;
    let resource = Resource::of(customer, control, &plane.plane.gate);
    let mut headers = HeaderMap::new();
    if let Some(revision) = &resource.revision
        && let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\""))
    {
        headers.insert(header::ETAG, tag);
    }
    Ok((headers, Json(resource)).into_response())
}

/// Makes a customer, or writes what is named of one.
///
/// To name only `status` takes the role `support`.
#[utoipa::path(
    put,
    path = "/v1/customers/{id}",
    tag = "Customers",
    operation_id = "writeCustomer",
    security(("bearer" = ["manager"])),
    params(CustomerInPath, Repeatable, Conditional),
    request_body = Option<CustomerWritten>,
    responses(
        (status = 200, description = "There was such a customer.", body = Written),
        (status = 201, description = "The customer was made.", body = Written),
        Acting,
    ),
)]
pub(super) async fn write(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    let key = caller.customer(&id)?;
    let headers = request.headers().clone();
    let (fields, body) = BodyFields::of_request(request).await?;
    let (action, revision) = read_put(fields)?;
    let mut asked = caller.request(&headers, &format!("{key}\0put"), &body)?;
    let control = &plane.operators.control;
    match (revision, asked.expected.take()) {
        (Some(body), Some(header)) if body != header => {
            let message = "differs from the one in If-Match";
            return Err(Problem::invalid_field("revision", message));
        }
        (named, header) => asked.expected = named.or(header),
    }
    let acted = control.act(&asked, &key, &action).await?;
    let status = if acted.created { StatusCode::CREATED } else { StatusCode::OK };
    let message = match (acted.created, acted.changed) {
        (true, _) => "Customer created",
        (false, true) => "Customer updated",
        (false, false) => "Nothing to change",
    };
    Ok((status, Json(shown(&plane, acted, message, Whole::Resource))).into_response())
}

/// Closes the customer; everything is preserved.
///
/// FlexPortal's soft delete: the customer becomes `inactive`, and is left out of lists.
#[utoipa::path(
    delete,
    path = "/v1/customers/{id}",
    tag = "Customers",
    operation_id = "deleteCustomer",
    security(("bearer" = ["support"])),
    params(CustomerInPath, Repeatable, Conditional),
    responses((status = 200, description = "It is closed.", body = Written), Acting),
)]
pub(super) async fn delete(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    let key = caller.customer(&id)?;
    let asked = caller.request(request.headers(), &format!("{key}\0delete"), b"")?;
    let action = Action::of(Verb::Delete);
    let acted = plane.operators.control.act(&asked, &key, &action).await?;
    let message = "Customer is inactive; its record is preserved";
    Ok(Json(shown(&plane, acted, message, Whole::Nothing)).into_response())
}

/// Lists customers in the order of their ids, page by page.
///
/// A page may come short while `hasMore` says that there are more. With `alias` it holds whoever has
/// that, inactive or not, if the rest that is asked for is so too.
#[utoipa::path(
    get,
    path = "/v1/customers",
    tag = "Customers",
    operation_id = "listCustomers",
    security(("bearer" = ["viewer"])),
    params(CustomersWanted, InTenant),
    responses((status = 200, description = "A page.", body = List)),
)]
pub(super) async fn list(
    State(plane): State<OperatorPlane>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let wanted = Wanted::of_query(raw.as_deref())?;
    let control = &plane.operators.control;
    let (found, next_cursor) = wanted.read(control, caller.tenant()?).await?;
    let resource = |customer| Resource::of(customer, control, &plane.plane.gate);
    let customers: Vec<_> = found.into_iter().map(resource).collect();
    let (count, has_more) = (customers.len(), next_cursor.is_some());
    Ok(Json(List { customers, count, limit: wanted.limit, has_more, next_cursor }).into_response())
}

/// Reads a `PUT` body: the action, and the revision that it expects.
fn read_put(mut body: BodyFields) -> Result<(Action, Option<Token>), Problem> {
    let revision = body.parse("revision", str::parse::<Token>);
    let fields = read_record(&mut body);
    let source = body.parse("source", str::parse::<Source>);
    let (status, placement) = read_status(&mut body);
    body.finish()?;
    Ok((Action { source, placement, fields, status, ..Action::of(Verb::Put) }, revision))
}

/// Reads the fields of the record.
pub(super) fn read_record(body: &mut BodyFields) -> Fields {
    Fields {
        name: body.settable("name"),
        metadata: body.settable("metadata"),
        plan: body.settable::<Code>("plan"),
        features: body.settable::<BTreeSet<Code>>("features"),
        limits: body.settable("limits"),
        obligations: body.settable("obligations"),
        aliases: body.settable("aliases"),
    }
}

/// Reads the kind that a source is to hold from now on, and what is said about it.
#[expect(clippy::option_option, reason = "nothing said and nothing held are two different things")]
pub(super) fn read_status(body: &mut BodyFields) -> (Option<Option<Kind>>, Placement) {
    let names_status = body.has("status");
    let status: Option<Status> = body.take("status");
    if names_status && status.is_none() {
        body.reject("status", "must be one of active, frozen, inactive, disabled");
    }
    let kept = status.map(|status| match status {
        Status::Active => None,
        Status::Frozen => Some(Kind::Frozen),
        Status::Inactive => Some(Kind::Inactive),
        Status::Disabled => Some(Kind::Disabled),
    });
    let placement = read_placement(body);
    if status.is_none() && placement != Placement::default() {
        body.reject("status", "is required with `reason`, `notes`, `since`, `until`, `informedAt`");
    }
    if kept == Some(None) && (placement.since.is_some() || placement.until.is_some()) {
        body.reject("until", "the status `active` has no `since` and no `until`");
    }
    (kept, placement)
}

fn shown(plane: &OperatorPlane, acted: Acted, message: &'static str, whole: Whole) -> Written {
    let resource = Resource::of(acted.customer, &plane.operators.control, &plane.plane.gate);
    Written {
        success: true,
        message,
        customer_id: resource.customer_id().to_owned(),
        changed: acted.changed,
        revision: resource.revision.clone(),
        customer: match whole {
            Whole::Resource => Some(resource),
            Whole::Nothing => None,
        },
    }
}

/// Whether an answer carries the customer.
enum Whole {
    Nothing,
    Resource,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CustomerWriteDone)]
struct Written {
    success: bool,
    /// What was done, for people.
    message: &'static str,
    customer_id: String,
    /// The customer, unless it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    customer: Option<Resource>,
    /// Whether anything was changed.
    changed: bool,
    revision: Option<Token>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CustomerList)]
struct List {
    customers: Vec<Resource>,
    /// How many this page holds.
    count: usize,
    /// How many it may hold.
    limit: usize,
    has_more: bool,
    /// What `startAfter` of the next page is.
    next_cursor: Option<String>,
}

/// Which customers a list is to hold.
pub(super) struct Wanted {
    limit: usize,
    start_after: Option<String>,
    prefix: String,
    alias: Option<(Source, CustomerId)>,
    status: Option<Status>,
    source: Option<Source>,
    reason: Option<RestrictionReason>,
    direction: Direction,
}

impl Wanted {
    /// Every customer who is not hidden, from the one after `start_after` on.
    pub(super) const fn all(limit: usize, start_after: Option<String>) -> Self {
        Self {
            limit,
            start_after,
            prefix: String::new(),
            alias: None,
            status: None,
            source: None,
            reason: None,
            direction: Direction::Ascending,
        }
    }

    /// Reads them, and the id after which the next page begins, if there is one.
    pub(super) async fn read(
        &self,
        control: &Control,
        tenant: &TenantId,
    ) -> Result<(Vec<Customer>, Option<String>), StoreError> {
        if let Some((source, id)) = &self.alias {
            let (tenant, source, id) = (tenant.clone(), source.clone(), id.clone());
            let found = control.customer_by_alias(&Alias { tenant, source, id }).await?;
            let now = control.clock.now();
            let meant = |it: &Customer| self.reaches(it.record.key.id()) && self.includes(it, now);
            return Ok((found.into_iter().filter(meant).collect(), None));
        }
        let scope = format!("{tenant}:");
        let mut page = CustomerPage {
            among: self.among(),
            prefix: format!("{scope}{}", self.prefix),
            after: self.start_after.as_ref().map(|id| format!("{scope}{id}")),
            limit: self.limit + 1,
            direction: self.direction,
        };
        let now = control.clock.now();
        let mut customers = Vec::new();
        let mut has_more = true;
        // A page may come short: no list is worth reading every customer for.
        for _ in 0..PAGES_READ {
            let mut found = control.customers(&page).await?;
            has_more = found.len() > self.limit;
            found.truncate(self.limit);
            page.after = found.last().map(|last| last.record.key.to_string()).or(page.after);
            for customer in found {
                if customers.len() == self.limit {
                    has_more = true;
                    break;
                }
                page.after = Some(customer.record.key.to_string());
                if self.includes(&customer, now) {
                    customers.push(customer);
                }
            }
            if !has_more || customers.len() == self.limit {
                break;
            }
        }
        let next = page.after.filter(|_| has_more);
        Ok((customers, next.and_then(|key| key.strip_prefix(&scope).map(str::to_owned))))
    }

    fn of_query(raw: Option<&str>) -> Result<Self, Problem> {
        let known =
            ["limit", "startAfter", "prefix", "alias", "status", "source", "reason", "sortDir"];
        let mut given = query(raw, &known)?;
        let limit = match given.remove("limit") {
            None => DEFAULT_LIMIT,
            Some(raw) => page_limit(&raw)?,
        };
        let status = given.remove("status").map(|raw| {
            let word = serde_json::Value::String(raw);
            serde_json::from_value(word).map_err(|_| {
                let rule = "must be one of active, frozen, inactive, disabled";
                Problem::invalid_field("status", rule)
            })
        });
        let source = given.remove("source").map(|raw| {
            Source::parse(&raw).map_err(|error| Problem::invalid_field("source", error))
        });
        let alias = given.remove("alias").map(|raw| {
            read_alias(&raw).ok_or_else(|| {
                let rule = "must be a source, a colon, and the id that it has for the customer";
                Problem::invalid_field("alias", rule)
            })
        });
        let reason = given
            .remove("reason")
            .map(|raw| raw.parse().map_err(|error| Problem::invalid_field("reason", error)));
        let direction = match given.remove("sortDir").as_deref() {
            None | Some("asc") => Direction::Ascending,
            Some("desc") => Direction::Descending,
            Some(_) => return Err(Problem::invalid_field("sortDir", "must be asc or desc")),
        };
        Ok(Self {
            limit,
            start_after: given.remove("startAfter").filter(|id| !id.is_empty()),
            prefix: given.remove("prefix").unwrap_or_default(),
            alias: alias.transpose()?,
            status: status.transpose()?,
            source: source.transpose()?,
            reason: reason.transpose()?,
            direction,
        })
    }

    fn among(&self) -> Among {
        let restricted = self.status.is_some_and(|status| status != Status::Active)
            || self.source.is_some()
            || self.reason.is_some();
        if restricted { Among::Restricted } else { Among::All }
    }

    /// Whether an id is among those that the page goes over.
    fn reaches(&self, id: &str) -> bool {
        let is_behind = |after: &String| match self.direction {
            Direction::Ascending => id > after.as_str(),
            Direction::Descending => id < after.as_str(),
        };
        id.starts_with(&self.prefix) && self.start_after.as_ref().is_none_or(is_behind)
    }

    /// Inactive customers are hidden from lists that do not ask for them, erased ones from all.
    fn includes(&self, customer: &Customer, now: Timestamp) -> bool {
        let body = &customer.record.body;
        let restrictions = &body.restrictions;
        let status = restrictions.status_at(now);
        let of_status = match self.status {
            Some(wanted) => status == wanted,
            None => status != Status::Inactive || self.alias.is_some(),
        };
        let holds = |wanted: &dyn Fn(&crate::domain::Restriction) -> bool| {
            restrictions.in_force_at(now).any(wanted)
        };
        of_status
            && body.purged_at.is_none()
            && self.source.as_ref().is_none_or(|source| holds(&|held| held.source == *source))
            && self.reason.is_none_or(|reason| holds(&|held| held.reason == reason))
    }
}

/// Reads `source:id`. No source has a colon.
fn read_alias(raw: &str) -> Option<(Source, CustomerId)> {
    let (source, id) = raw.split_once(':')?;
    Some((Source::parse(source).ok()?, CustomerId::parse(id).ok()?))
}

/// Reads a page's `limit`.
pub(super) fn page_limit(raw: &str) -> Result<usize, Problem> {
    match raw.parse() {
        Ok(limit) if (1..=MOST_PER_PAGE).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid_field(
            "limit",
            format!("must be a number from 1 to {MOST_PER_PAGE}"),
        )),
    }
}

/// How many a page holds when nothing is said.
pub(super) const DEFAULT_LIMIT: usize = 50;
const MOST_PER_PAGE: usize = 100;
const PAGES_READ: usize = 20;
