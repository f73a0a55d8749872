//! Sessions: what a browser has in the place of a key.
//!
//! A browser sends its cookie along with whatever any site makes it ask for. So a request that may
//! change something has to come from a page of this very listener and to say the session's CSRF
//! token, which no other site can read.

use axum::{
    Json,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{CACHE_CONTROL, COOKIE, HOST, ORIGIN, SET_COOKIE},
        uri::Authority,
    },
    response::{IntoResponse as _, Response},
};
use cookie::{Cookie, SameSite};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use super::{
    OperatorPlane,
    authenticate::{Caller, actor, key_holder, one, token},
    openapi::refusals::Writing,
    problem::Problem,
};
use crate::{
    control::sessions::Session,
    domain::{Role, Source, TenantId, Timestamp},
    telemetry::AuthFailure,
};

/// Begins a session for the key that the request carries.
#[utoipa::path(
    post,
    path = "/session",
    tag = "Keys and sessions",
    operation_id = "beginSession",
    security(("bearer" = ["app"])),
    responses(
        (
            status = 201,
            description = "Whose it is, and its CSRF token.",
            body = Shown,
            headers(
                ("Set-Cookie" = String, description = "The cookie `app-session`: HttpOnly, \
                    SameSite=Strict, and Secure where it is encrypted."),
                ("Cache-Control" = String, description = "`no-store`."),
            ),
        ),
        Writing,
    ),
)]
pub(super) async fn begin(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let operators = &plane.operators;
    let actor = key_holder(operators, &request)?;
    let headers = request.headers();
    let token = token(headers)?.ok_or_else(|| Problem::not_found("key"))?;
    let asked = Caller::of_no_tenant(actor, &request).request(headers, "session", b"")?;
    let begun = operators.control.begin_session(
        &asked,
        operators.admin.as_ref(),
        token,
        plane.sessions.lifetime,
    );
    let (session, value) = begun.await?;
    let lifetime = session.expires_at.saturating_since(operators.control.clock.now());
    let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let cookie = cookie_of(&value, lifetime, &plane, headers);
    Ok((StatusCode::CREATED, with(&cookie, shown(session))?).into_response())
}

/// Whose session it is.
#[utoipa::path(
    get,
    path = "/session",
    tag = "Keys and sessions",
    operation_id = "readSession",
    security(("bearer" = ["app"])),
    responses((
        status = 200,
        description = "Whose it is, and its CSRF token.",
        body = Shown,
        headers(("Cache-Control" = String, description = "`no-store`.")),
    )),
)]
pub(super) async fn read(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    Ok(([(CACHE_CONTROL, NO_STORE)], shown(held(&plane, &request)?)).into_response())
}

/// Ends the session.
#[utoipa::path(
    delete,
    path = "/session",
    tag = "Keys and sessions",
    operation_id = "endSession",
    security(("bearer" = ["app"])),
    responses(
        (
            status = 200,
            description = "It is over.",
            body = Ended,
            headers(
                ("Set-Cookie" = String, description = "The cookie, taken away."),
                ("Cache-Control" = String, description = "`no-store`."),
            ),
        ),
        Writing,
    ),
)]
pub(super) async fn end(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let session = held(&plane, &request)?;
    let actor = actor(&plane.operators, &request)?;
    let headers = request.headers();
    let asked = Caller::of_no_tenant(actor, &request).request(headers, "session", b"")?;
    plane.operators.control.end_session(&asked, &session.id).await?;
    with(&cookie_of("", 0, &plane, headers), Json(Ended { success: true }))
}

/// The session that a request carries.
fn held(plane: &OperatorPlane, request: &Request) -> Result<Session, Problem> {
    let operators = &plane.operators;
    let cookie = cookie(request.headers())?;
    let cookie = cookie.ok_or_else(|| {
        Problem::turned_away(AuthFailure::AuthRequired, "this needs a session's cookie")
    })?;
    let session = operators.control.authenticate_session(operators.admin.as_ref(), &cookie);
    Ok(session?)
}

/// What a request's cookie says, if it has one.
pub(super) fn cookie(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut found: Option<String> = None;
    for line in headers.get_all(COOKIE) {
        // Other cookies may be spelled however they like.
        let line = String::from_utf8_lossy(line.as_bytes());
        for cookie in Cookie::split_parse(line.into_owned()).flatten() {
            if cookie.name() != NAME {
                continue;
            }
            if found.as_ref().is_some_and(|found| found != cookie.value()) {
                return Err(Problem::differing_credentials());
            }
            found = Some(cookie.value().to_owned());
        }
    }
    Ok(found.filter(|value| !value.is_empty()))
}

/// Refuses what may have been asked for by another site, of what may change something.
pub(super) fn require_own_site(session: &Session, request: &Request) -> Result<(), &'static str> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    if !is_of_own_site(request) {
        return Err("with a cookie, this needs `Sec-Fetch-Site: same-origin` or an `Origin` that \
                    is this host");
    }
    let said = one(request.headers(), &CSRF_TOKEN).ok().flatten().unwrap_or_default();
    if bool::from(said.as_bytes().ct_eq(session.csrf_token.as_bytes())) {
        Ok(())
    } else {
        Err("with a cookie, this needs the session's CSRF token in `X-CSRF-Token`")
    }
}

/// Whether a browser says that a page of this very listener asks.
pub(super) fn is_of_own_site(request: &Request) -> bool {
    let headers = request.headers();
    match one(headers, &SEC_FETCH_SITE) {
        Ok(Some(site)) => return site == "same-origin",
        Ok(None) => {}
        Err(_) => return false,
    }
    let host = request.uri().authority().cloned();
    let named = one(headers, &HOST).ok().flatten().and_then(|host| host.parse().ok());
    let origin = one(headers, &ORIGIN).ok().flatten();
    match (host.or(named), origin.and_then(authority)) {
        (Some(host), Some((scheme, origin))) => {
            let bare = |it: &Authority| it.as_str().to_ascii_lowercase();
            let usual = if scheme == "https" { ":443" } else { ":80" };
            let spelled = |it: String| it.strip_suffix(usual).map(str::to_owned).unwrap_or(it);
            spelled(bare(&host)) == spelled(bare(&origin))
        }
        _ => false,
    }
}

/// The scheme and the authority of an origin.
fn authority(origin: &str) -> Option<(&str, Authority)> {
    let (scheme, authority) = origin.split_once("://")?;
    let is_web = matches!(scheme, "http" | "https");
    Some((scheme, authority.parse().ok()?)).filter(|_| is_web)
}

/// Only this site's pages send it, and no script reads it.
fn cookie_of(
    value: &str,
    seconds: i64,
    plane: &OperatorPlane,
    headers: &HeaderMap,
) -> Cookie<'static> {
    // Behind a proxy that encrypts, the browser tells.
    let origin = one(headers, &ORIGIN).ok().flatten();
    let is_encrypted =
        plane.sessions.encrypted || origin.is_some_and(|it| it.starts_with("https://"));
    Cookie::build((NAME, value.to_owned()))
        .path("/")
        .http_only(true)
        .secure(is_encrypted)
        .same_site(SameSite::Strict)
        .max_age(cookie::time::Duration::seconds(seconds))
        .build()
}

fn with(cookie: &Cookie<'_>, body: impl axum::response::IntoResponse) -> Result<Response, Problem> {
    let cookie = HeaderValue::try_from(cookie.to_string());
    let cookie = cookie.map_err(|_| Problem::invalid_field("cookie", "cannot be sent"))?;
    Ok(([(SET_COOKIE, cookie), (CACHE_CONTROL, NO_STORE)], body).into_response())
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
struct Shown {
    name: String,
    role: Role,
    tenant: Option<TenantId>,
    source: Option<Source>,
    expires_at: Timestamp,
    /// What `X-CSRF-Token` takes.
    csrf_token: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SessionEnded)]
struct Ended {
    success: bool,
}

fn shown(session: Session) -> Json<Shown> {
    let Session { actor, expires_at, csrf_token, .. } = session;
    let (name, role, tenant, source) = (actor.name, actor.role, actor.tenant, actor.source);
    Json(Shown { name, role, tenant, source, expires_at, csrf_token })
}

const NAME: &str = "app-session";
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
pub(super) static CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
pub(super) static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request {
        let request = Request::builder().method(Method::POST).uri(uri);
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .body(Body::empty())
            .unwrap()
    }

    #[test]
    fn a_page_of_this_listener_is_told_from_one_of_another_site() {
        for (own, headers) in [
            (true, &[("sec-fetch-site", "same-origin")][..]),
            (false, &[("sec-fetch-site", "same-site"), ("origin", "http://ops:7601")]),
            (false, &[("sec-fetch-site", "cross-site")]),
            (false, &[("sec-fetch-site", "none")]),
            (true, &[("origin", "http://ops:7601")]),
            (true, &[("origin", "https://OPS:7601")]),
            (false, &[("origin", "http://ops")]),
            (false, &[("origin", "http://ops:7602")]),
            (false, &[("origin", "http://ops:7601.evil.example")]),
            (false, &[("origin", "null")]),
            (false, &[("origin", "file://ops:7601")]),
            (false, &[("origin", "http://ops:7601"), ("origin", "http://evil.example")]),
            (false, &[]),
        ] {
            let mut all = vec![("host", "ops:7601")];
            all.extend(headers);
            assert_eq!(is_of_own_site(&request("/v1/keys", &all)), own, "{headers:?}");
        }
        // The port that a scheme means need not be said; HTTP/2 has no `Host`.
        let usual = [("host", "ops"), ("origin", "https://ops:443")];
        assert!(is_of_own_site(&request("/", &usual)));
        assert!(is_of_own_site(&request("http://ops/", &[("origin", "https://ops")])));
        assert!(!is_of_own_site(&request("/", &[("origin", "https://ops")])));
    }

    #[test]
    fn a_cookie_is_found_among_others_and_two_that_differ_are_refused() {
        let found = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            cookie(request("/", &lines).headers())
        };
        assert_eq!(found(&["a=b; app-session=tgs_1; c"]).unwrap().as_deref(), Some("tgs_1"));
        assert_eq!(found(&["a=b", "app-session=tgs_1"]).unwrap().as_deref(), Some("tgs_1"));
        assert_eq!(found(&["app-session=x; app-session=x"]).unwrap().as_deref(), Some("x"));
        assert!(found(&["app-session=x; app-session=y"]).is_err());
        for none in [&["a=b; xapp-session=x"][..], &["app-session="], &[]] {
            assert_eq!(found(none).unwrap(), None, "{none:?}");
        }
    }
}
