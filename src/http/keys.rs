//! Operators' keys: made, listed, revoked.

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::{
    OperatorPlane,
    authenticate::{Caller, tenant_meant},
    fields::{Fields, InPath},
    problem::Problem,
};
use crate::{
    cache::keyring::StoredKey,
    control::keys::NewKey,
    domain::{Role, Source, TenantId, Timestamp},
};

/// `POST /v1/keys`: the only answer that tells the token.
pub(super) async fn create(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(Role::Admin)?;
    let headers = request.headers().clone();
    let (mut fields, body) = Fields::of_request(request).await?;
    let name: Option<String> = fields.take("name");
    let role = fields.parse("role", str::parse::<Role>);
    let tenant = fields.parse("tenant", TenantId::parse);
    let source = fields.parse("source", Source::parse);
    let expires_at = fields.parse("expiresAt", str::parse::<Timestamp>);
    let name = name.filter(|name| (1..=64).contains(&name.chars().count()));
    if name.is_none() {
        fields.reject("name", "must be 1 to 64 characters");
    }
    if role.is_none() && !fields.has_errors() {
        fields.reject("role", "must be one of app, viewer, support, manager, admin");
    }
    if expires_at.is_some_and(|end| end <= plane.operators.control.clock.now()) {
        fields.reject("expiresAt", "must lie in the future");
    }
    fields.finish()?;
    let (Some(name), Some(role)) = (name, role) else {
        return Err(Problem::invalid_field("role", "is required"));
    };
    // Who sees one tenant makes no key that sees more.
    let tenant = tenant_meant(tenant, caller.actor.tenant.as_ref(), None)?;
    let asked = caller.request(&headers, "keys", &body)?;
    let new = NewKey { name, role, tenant, source, expires_at };
    let made = plane.operators.control.create_key(&asked, new).await?;
    let shown = Shown { token: Some(made.token), ..Shown::of(made.id, made.stored) };
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// `GET /v1/keys`.
pub(super) async fn list(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(Role::Admin)?;
    let keys = plane.operators.control.keyring.all();
    let keys = keys.into_iter().filter(|(_, stored)| is_seen(stored, &caller));
    let keys = keys.map(|(id, stored)| Shown::of(id, stored)).collect();
    Ok(Json(List { keys }).into_response())
}

/// `DELETE /v1/keys/{id}`.
pub(super) async fn revoke(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(Role::Admin)?;
    let control = &plane.operators.control;
    if control.keyring.find(&id).is_none_or(|stored| !is_seen(&stored, &caller)) {
        return Err(Problem::not_found("key"));
    }
    let asked = caller.request(request.headers(), &format!("keys\0{id}"), b"")?;
    control.revoke_key(&asked, &id).await?;
    Ok(Json(Revoked { success: true, id }).into_response())
}

/// A key of one tenant sees the keys of that tenant only.
fn is_seen(stored: &StoredKey, caller: &Caller) -> bool {
    caller.actor.tenant.is_none() || stored.tenant == caller.actor.tenant
}

#[derive(Serialize)]
struct List {
    keys: Vec<Shown>,
}

#[derive(Serialize)]
struct Revoked {
    success: bool,
    id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    name: String,
    role: Role,
    tenant: Option<TenantId>,
    source: Option<Source>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Shown {
    fn of(id: String, stored: StoredKey) -> Self {
        let StoredKey { name, role, tenant, source, expires_at, created_at, .. } = stored;
        Self { id, name, role, tenant, source, created_at, expires_at, token: None }
    }
}
