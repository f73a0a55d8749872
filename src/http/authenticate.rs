//! Who is calling the operator plane, and for which tenant.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

use super::{OperatorPlane, Operators, problem::Problem, serve::Peer, session};
use crate::{
    control,
    domain::{Actor, CustomerId, CustomerKey, Role, TenantId},
    store::{Idempotency, format::hex},
    telemetry::{ActDialect, AuthFailure},
};

/// A caller of the operator plane whose credentials are right.
#[derive(Debug)]
pub(super) struct Caller {
    /// Who it is.
    pub actor: Actor,
    /// The tenant that it means, if it means one.
    pub tenant: Option<TenantId>,
    /// Whether the request itself names the tenant.
    pub names_tenant: bool,
    /// The request's id.
    pub request_id: String,
}

impl Caller {
    /// Tells who calls and which tenant is meant.
    pub(super) fn of(plane: &OperatorPlane, request: &Request) -> Result<Self, Problem> {
        let actor = actor(&plane.operators, request)?;
        let named = match one(request.headers(), &TENANT)? {
            None => None,
            Some(raw) => Some(
                TenantId::parse(raw).map_err(|error| Problem::invalid_field("Tenant-ID", error))?,
            ),
        };
        let names_tenant = named.is_some();
        let default = plane.plane.identity.default_tenant.as_ref();
        let tenant = tenant_meant(named, actor.tenant.as_ref(), default)?;
        Ok(Self { tenant, names_tenant, ..Self::of_no_tenant(actor, request) })
    }

    /// Who calls, for what is of no tenant.
    pub(super) fn of_no_tenant(actor: Actor, request: &Request) -> Self {
        let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone());
        let request_id = request_id.unwrap_or_default();
        Self { actor, tenant: None, names_tenant: false, request_id }
    }

    /// Whether the caller's role reaches `needed`.
    pub(super) fn require(&self, needed: Role) -> Result<(), Problem> {
        Ok(self.actor.require(needed)?)
    }

    /// Whether the caller's key sees every tenant, as whoever acts on `what` has to.
    pub(super) fn require_every_tenant(&self, what: &str) -> Result<(), Problem> {
        every_tenant(&self.actor, what)
    }

    /// The tenant that it means. What is of no tenant does not ask.
    pub(super) fn tenant(&self) -> Result<&TenantId, Problem> {
        let required = || Problem::invalid_field("Tenant-ID", "this header is required");
        self.tenant.as_ref().ok_or_else(required)
    }

    /// The customer that an id in the URL names.
    pub(super) fn customer(&self, id: &str) -> Result<CustomerKey, Problem> {
        let id = CustomerId::parse(id).map_err(|error| Problem::invalid_field("id", error))?;
        Ok(CustomerKey::new(self.tenant()?, &id))
    }

    /// The caller's request as [`control::Control`] takes it. `what` is what an idempotency key
    /// stands for, `body` what was asked for under it.
    pub(super) fn request(
        &self,
        headers: &HeaderMap,
        what: &str,
        body: &[u8],
    ) -> Result<control::Request, Problem> {
        use sha2::{Digest as _, Sha256};
        let expected = match one(headers, &header::IF_MATCH)? {
            None => None,
            Some(raw) => Some(
                raw.trim_matches('"')
                    .parse()
                    .map_err(|error| Problem::invalid_field("If-Match", error))?,
            ),
        };
        let idempotency = match one(headers, &IDEMPOTENCY_KEY)? {
            None => None,
            Some(key) if (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) => {
                // Two keys may have one name.
                let actor = self.actor.key_id.as_deref().unwrap_or(&self.actor.name);
                let scope = [actor, what, key].join("\0");
                let key_digest = hex(&Sha256::digest(scope));
                Some(Idempotency { key_digest, body_digest: hex(&Sha256::digest(body)) })
            }
            Some(_) => {
                let message = format!("must be 1 to {MAX_IDEMPOTENCY_KEY} bytes");
                return Err(Problem::invalid_field("Idempotency-Key", message));
            }
        };
        Ok(control::Request {
            actor: self.actor.clone(),
            dialect: ActDialect::Native,
            request_id: Some(self.request_id.clone()),
            expected,
            idempotency,
        })
    }
}

/// Whether `actor` sees every tenant, as whoever acts on `what` has to.
pub(super) fn every_tenant(actor: &Actor, what: &str) -> Result<(), Problem> {
    if actor.tenant.is_none() {
        return Ok(());
    }
    let message = format!("this key sees one tenant only, and {what} is of all");
    Err(Problem::turned_away(AuthFailure::NoTenantAccess, message))
}

/// The tenant that a caller means: the one named, else the one its key is bound to, else the
/// default one. A key sees no tenant but its own.
pub(super) fn tenant_meant(
    named: Option<TenantId>,
    own: Option<&TenantId>,
    default: Option<&TenantId>,
) -> Result<Option<TenantId>, Problem> {
    if own.is_some_and(|own| named.as_ref().is_some_and(|named| named != own)) {
        let message = "this key sees another tenant only";
        return Err(Problem::turned_away(AuthFailure::NoTenantAccess, message));
    }
    Ok(named.or_else(|| own.or(default).cloned()))
}

/// The tenant that the key of a guarded request is bound to, if it is.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnTenant(pub(super) Option<TenantId>);

impl OwnTenant {
    /// As the guard of the check listener left it.
    pub(super) fn of(request: &Request) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }
}

/// Tells whose credentials a request carries: those of a key or, from a browser, of a session.
pub(super) fn actor(operators: &Operators, request: &Request) -> Result<Actor, Problem> {
    let Some(cookie) = session::cookie(request.headers())? else {
        return key_holder(operators, request);
    };
    let session = operators.control.authenticate_session(operators.admin.as_ref(), &cookie);
    if token(request.headers())?.is_some() {
        let actor = key_holder(operators, request)?;
        return match session {
            Ok(session) if session.actor.key_id == actor.key_id => Ok(actor),
            Ok(_) | Err(_) => Err(Problem::differing_credentials()),
        };
    }
    let session = session?;
    session::require_own_site(&session, request)
        .map_err(|why| Problem::turned_away(AuthFailure::CsrfRequired, why))?;
    Ok(Actor { address: address(request), ..session.actor })
}

/// Tells whose key a request carries, whatever session it carries beside it.
pub(super) fn key_holder(operators: &Operators, request: &Request) -> Result<Actor, Problem> {
    let token = token(request.headers())?;
    let token =
        token.ok_or_else(|| Problem::turned_away(AuthFailure::AuthRequired, "this needs a key"))?;
    let actor = operators.control.authenticate(operators.admin.as_ref(), token)?;
    Ok(Actor { address: address(request), ..actor })
}

fn address(request: &Request) -> Option<String> {
    request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_string())
}

/// The one token that a request presents, in whichever header.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let bearer = one(headers, &header::AUTHORIZATION)?.map(|value| {
        let scheme = value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer "));
        scheme.map_or(value, |_| value.get(7..).unwrap_or_default()).trim()
    });
    let mut presented =
        [bearer, one(headers, &API_KEY)?, one(headers, &WINGBACK_KEY)?].into_iter().flatten();
    let first = presented.next();
    if presented.any(|other| Some(other) != first) {
        return Err(Problem::differing_credentials());
    }
    Ok(first)
}

/// A header that may be given once.
pub(super) fn one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Problem> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => match line.to_str() {
            Ok(value) => Ok(Some(value.trim())),
            Err(_) => Err(Problem::invalid_field(name.as_str(), "must be visible ASCII")),
        },
        (Some(_), Some(_)) => Err(Problem::invalid_field(name.as_str(), "may be given only once")),
    }
}

/// Gives every request an id, the caller's own if it has a sound one, and tells it in the answer.
pub(super) async fn name_request(mut request: Request, next: Next) -> Response {
    let is_sound = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let own = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(is_sound);
    let id = own.map_or_else(|| format!("{:016x}", fastrand::u64(..)), str::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID.clone(), id);
    }
    response
}

/// A request's id.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

pub(super) static TENANT: HeaderName = HeaderName::from_static("tenant-id");
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static WINGBACK_KEY: HeaderName = HeaderName::from_static("wb-key");
pub(super) static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_IDEMPOTENCY_KEY: usize = 255;
