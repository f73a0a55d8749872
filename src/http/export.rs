//! Every customer, a line each, as an import takes it.

use axum::{
    extract::{RawQuery, Request, State},
    response::Response,
};
use serde::{
    Deserialize as _,
    de::{IntoDeserializer as _, value::Error as NotAmongThem},
};

use super::{
    OperatorPlane,
    authenticate::Caller,
    fields::query,
    lines::{self, Broken, Lines, More, Told},
    openapi::{
        parameters::{ExportWanted, InTenant},
        refusals::Turn,
    },
    problem::Problem,
    resource::Resource,
};
use crate::{
    domain::{CustomerKey, Role, Status},
    store::{Among, CustomerPage, Direction},
};

/// Every customer, a line of JSON each, as an import takes it.
///
/// Of one tenant if `Tenant-ID` names one or the key sees but one, else of all.
#[utoipa::path(
    get,
    path = "/v1/export",
    tag = "Customers",
    operation_id = "exportCustomers",
    security(("bearer" = ["manager"])),
    params(ExportWanted, InTenant),
    responses(
        (
            status = 200,
            description = "A `Customer` a line, in the order of tenant and id; the last line is \
                `{\"end\":true,\"customers\":N}`, and without it the export was broken off.",
            body = String,
            content_type = "application/x-ndjson",
        ),
        Turn,
    ),
)]
pub(super) async fn export(
    State(plane): State<OperatorPlane>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(Role::Manager)?;
    let mut given = query(raw.as_deref(), &["status", "startAfter"])?;
    let status = given.remove("status").map(|raw| {
        let status = Status::deserialize(raw.as_str().into_deserializer());
        status.map_err(|_: NotAmongThem| {
            let rule = "must be one of active, frozen, inactive, disabled";
            Problem::invalid_field("status", rule)
        })
    });
    let status = status.transpose()?;
    let after = given.remove("startAfter").map(|raw| {
        let key = CustomerKey::parse(&raw);
        key.map_err(|_| Problem::invalid_field("startAfter", "must be a tenant, `:` and an id"))
    });
    let after = after.transpose()?.map(|key| key.to_string());
    let is_bound = caller.names_tenant || caller.actor.tenant.is_some();
    let tenant = caller.tenant.as_ref().filter(|_| is_bound);
    let restricted = status.is_some_and(|status| status != Status::Active);
    let page = CustomerPage {
        among: if restricted { Among::Restricted } else { Among::All },
        prefix: tenant.map(|tenant| format!("{tenant}:")).unwrap_or_default(),
        after,
        limit: AT_ONCE,
        direction: Direction::Ascending,
    };
    let draining = plane.draining.clone();
    lines::answer(Customers { plane, page, status }, draining).await
}

/// Tells customers, in the order of tenant and id.
struct Customers {
    plane: OperatorPlane,
    page: CustomerPage,
    status: Option<Status>,
}

impl Told for Customers {
    const WHAT: &'static str = "customers";

    async fn tell(&mut self, lines: &mut Lines) -> Result<More, Broken> {
        let control = &self.plane.operators.control;
        let found = control.customers(&self.page).await?;
        let more = if found.len() < self.page.limit { More::None } else { More::Maybe };
        let now = control.clock.now();
        for customer in found {
            self.page.after = Some(customer.record.key.to_string());
            let body = &customer.record.body;
            let is_wanted = |wanted| body.restrictions.status_at(now) == wanted;
            if body.purged_at.is_none() && self.status.is_none_or(is_wanted) {
                lines.push(&Resource::of(customer, control, &self.plane.plane.gate))?;
            }
        }
        Ok(more)
    }
}

const AT_ONCE: usize = 200;
