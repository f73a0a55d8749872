//! The audit trail as it is held, for those who verify it.

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::super::{
    OperatorPlane,
    authenticate::{Caller, every_tenant},
    fields::query,
    operator::READS,
    problem::Problem,
};
use crate::{
    domain::{Partition, audit::chain::ChainPage},
    store::AuditCursor,
};

/// `GET /v1/audit/chain`.
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

#[derive(Serialize)]
struct Told {
    partition: u16,
    partitions: u16,
    #[serde(flatten)]
    page: ChainPage,
}

const AT_ONCE: usize = 200;
