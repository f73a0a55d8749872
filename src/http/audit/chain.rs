//! The audit trail as it is held, for those who verify it.

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::{
    OperatorPlane,
    authenticate::{Caller, every_tenant},
    fields::query,
    openapi::parameters::{ChainWanted, InTenant},
    operator::READS,
    problem::Problem,
};
use crate::{
    domain::{Partition, audit::chain::ChainPage},
    store::AuditCursor,
};

/// A partition's trail as it is held, the oldest entry first, for those who verify it.
#[utoipa::path(
    get,
    path = "/v1/audit/chain",
    tag = "Audit",
    operation_id = "readAuditChain",
    security(("bearer" = ["viewer"])),
    params(ChainWanted, InTenant),
    responses((status = 200, description = "A part of it.", body = Told)),
)]
pub(in crate::http) async fn chain(
    State(plane): State<OperatorPlane>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    every_tenant(&caller.actor, "the chain of the audit trail")?;
    let control = &plane.operators.control;
    let partitions = control.store.partitions().count();
    let mut given = query(raw.as_deref(), &["partition", "after"])?;
    let partition = given.remove("partition").map_or(Ok(0), |raw| raw.parse());
    let partition = partition.ok().filter(|partition| *partition < partitions);
    let partition = partition.ok_or_else(|| {
        let rule = format!("must be a number from 0 to {}", partitions.saturating_sub(1));
        Problem::invalid_field("partition", rule)
    })?;
    let after = given.remove("after").map(|raw| raw.parse::<AuditCursor>()).transpose();
    let after = after.map_err(|error| Problem::invalid_field("after", error))?;
    let after = after.as_ref().map(|after| after.id.as_str());
    let page = control.audit_chain(Partition(partition), after, AT_ONCE).await?;
    Ok(Json(Told { partition, partitions, page }).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = AuditChainPage)]
struct Told {
    partition: u16,
    /// How many there are.
    partitions: u16,
    #[serde(flatten)]
    page: ChainPage,
}

const AT_ONCE: usize = 200;
