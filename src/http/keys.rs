//! Operators' keys: made, listed, revoked.

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    OperatorPlane,
    authenticate::{Caller, tenant_meant},
    fields::{Fields, InPath},
    openapi::{
        bodies::{KeyMade, KeyRotation},
        parameters::{InTenant, KeyInPath},
        refusals::{Writing, WritingThere},
    },
    problem::Problem,
};
use crate::{
    cache::keyring::StoredKey,
    control::keys::NewKey,
    domain::{Role, Source, TenantId, Timestamp},
};

/// Makes a key. This is the only answer that tells its token.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "Keys and sessions",
    operation_id = "createKey",
    security(("bearer" = ["admin"])),
    params(InTenant),
    request_body = KeyMade,
    responses((status = 201, description = "The key, with its token.", body = Shown), Writing),
)]
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

/// Lists keys. A key of one tenant sees those of that tenant.
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "Keys and sessions",
    operation_id = "listKeys",
    security(("bearer" = ["admin"])),
    params(InTenant),
    responses((status = 200, description = "All keys that are seen.", body = List)),
)]
pub(super) async fn list(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(Role::Admin)?;
    let control = &plane.operators.control;
    let uses = control.key_uses().await?;
    let keys = control.keyring.keys().into_iter().filter(|(_, stored)| is_seen(stored, &caller));
    let keys = keys.map(|(id, stored)| Shown {
        last_used_at: uses.get(&id).copied(),
        open_sessions: control.open_sessions(&id),
        ..Shown::of(id, stored)
    });
    let keys = keys.collect();
    Ok(Json(List { keys }).into_response())
}

/// Gives a key another token. This is the only answer that tells it.
#[utoipa::path(
    post,
    path = "/v1/keys/{id}/rotate",
    tag = "Keys and sessions",
    operation_id = "rotateKey",
    security(("bearer" = ["admin"])),
    params(KeyInPath),
    request_body = Option<KeyRotation>,
    responses((status = 200, description = "The key, with its token.", body = Shown), WritingThere),
)]
pub(super) async fn rotate(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(Role::Admin)?;
    let control = &plane.operators.control;
    find(&plane, &caller, &id)?;
    let headers = request.headers().clone();
    let (mut fields, body) = Fields::of_request(request).await?;
    let overlap = fields.take::<u64>("overlapSeconds").map(Duration::from_secs);
    if overlap.is_some_and(|overlap| overlap > OVERLAP_AT_MOST) {
        fields.reject("overlapSeconds", "must be 2592000, which is 30 days, or less");
    }
    fields.finish()?;
    let asked = caller.request(&headers, &format!("keys\0{id}"), &body)?;
    let made = control.rotate_key(&asked, &id, overlap.filter(|it| !it.is_zero())).await?;
    Ok(Json(Shown { token: Some(made.token), ..Shown::of(made.id, made.stored) }).into_response())
}

/// Revokes a key. Every instance refuses it from then on.
#[utoipa::path(
    delete,
    path = "/v1/keys/{id}",
    tag = "Keys and sessions",
    operation_id = "revokeKey",
    security(("bearer" = ["admin"])),
    params(KeyInPath),
    responses((status = 200, description = "It is revoked.", body = Revoked), WritingThere),
)]
pub(super) async fn revoke(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(Role::Admin)?;
    find(&plane, &caller, &id)?;
    let asked = caller.request(request.headers(), &format!("keys\0{id}"), b"")?;
    plane.operators.control.revoke_key(&asked, &id).await?;
    Ok(Json(Revoked { success: true, id }).into_response())
}

/// The key with this id, if there is one that the caller sees.
fn find(plane: &OperatorPlane, caller: &Caller, id: &str) -> Result<StoredKey, Problem> {
    let key = plane.operators.control.keyring.find(id);
    key.filter(|key| key.session_of.is_none() && is_seen(key, caller))
        .ok_or_else(|| Problem::not_found("key"))
}

/// A key of one tenant sees the keys of that tenant only.
fn is_seen(stored: &StoredKey, caller: &Caller) -> bool {
    caller.actor.tenant.is_none() || stored.tenant == caller.actor.tenant
}

#[derive(Serialize, ToSchema)]
#[schema(as = KeyList)]
struct List {
    keys: Vec<Shown>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KeyRevoked)]
struct Revoked {
    success: bool,
    id: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Key)]
struct Shown {
    id: String,
    name: String,
    role: Role,
    tenant: Option<TenantId>,
    source: Option<Source>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    /// Until when the token before the present one is good.
    previous_until: Option<Timestamp>,
    /// When it was last used, to the minute.
    last_used_at: Option<Timestamp>,
    open_sessions: usize,
    /// What its holder presents, where it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<String>,
}

impl Shown {
    fn of(id: String, stored: StoredKey) -> Self {
        let StoredKey { name, role, tenant, source, expires_at, created_at, .. } = stored;
        Self {
            id,
            name,
            role,
            tenant,
            source,
            created_at,
            expires_at,
            previous_until: stored.previous.map(|previous| previous.until),
            last_used_at: None,
            open_sessions: 0,
            token: None,
        }
    }
}

const OVERLAP_AT_MOST: Duration = Duration::from_hours(720);
