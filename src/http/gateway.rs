//! The gateway dialects: forward auth, nginx's `auth_request`, and Envoy's `ext_authz` over HTTP.
//! Each reads only what its own gateways say, decides on the head of the request alone, and never
//! reads a body.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};

use super::DataPlane;
use crate::{
    domain::{Check, Enforcement},
    gate::Answer,
    identify, policy,
    telemetry::Dialect,
    wire,
};

/// Traefik, Caddy, APISIX, HAProxy's Lua: the original request is in `X-Forwarded-*`, and the
/// answer's status, headers and body go to the client as they are.
pub(super) async fn forward_auth(
    State(plane): State<DataPlane>,
    request: Request<Body>,
) -> Response {
    let headers = request.headers();
    let original = identify::request(headers, &FORWARDED_METHOD, &FORWARDED_URI);
    respond(&plane, Dialect::ForwardAuth, &check(&plane, headers, &original)).await
}

/// Envoy asks with the original request itself: its method, and its target behind a prefix. What
/// other gateways say in headers is the client's word here.
pub(super) async fn envoy(State(plane): State<DataPlane>, request: Request<Body>) -> Response {
    let (method, headers) = (request.method().as_str(), request.headers());
    let target = envoy_target(request.uri());
    let becomes = identify::becomes(headers);
    let original = policy::Request { method: Some(method), target, becomes };
    respond(&plane, Dialect::Envoy, &check(&plane, headers, &original)).await
}

/// The original target as the client wrote it: nothing of it is decoded, and no dots are resolved.
/// Nothing if Envoy was not told any, as for a CONNECT without a path.
fn envoy_target(asked: &Uri) -> Option<&str> {
    let target = asked.path_and_query()?.as_str().strip_prefix(ENVOY)?;
    target.starts_with('/').then_some(target)
}

/// The status, headers and body that the gateway passes on to the client as they are.
async fn respond(plane: &DataPlane, dialect: Dialect, check: &Check) -> Response {
    let answer = plane.check(dialect, check).await;
    let status = wire::enforced_status(&answer);
    let mut response = match answer.enforcement {
        Enforcement::Pass => status.into_response(),
        Enforcement::Fail | Enforcement::Refuse => {
            let json = HeaderValue::from_static("application/json");
            (status, [(header::CONTENT_TYPE, json)], wire::refusal_body(&answer)).into_response()
        }
    };
    finish(&mut response, &answer);
    response
}

/// nginx passes on 401 and 403 only, and drops every body; so the real status and the body go in
/// headers, from which the configuration answers the client.
pub(super) async fn nginx(State(plane): State<DataPlane>, request: Request<Body>) -> Response {
    let headers = request.headers();
    let original = identify::request(headers, &ORIGINAL_METHOD, &ORIGINAL_URI);
    let answer = plane.check(Dialect::Nginx, &check(&plane, headers, &original)).await;
    let status = wire::enforced_status(&answer);
    let mut response = match answer.enforcement {
        Enforcement::Pass => StatusCode::OK.into_response(),
        Enforcement::Refuse if status != StatusCode::UNAUTHORIZED => {
            StatusCode::FORBIDDEN.into_response()
        }
        Enforcement::Fail | Enforcement::Refuse => status.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CODE.clone(), HeaderValue::from(status.as_u16()));
    if answer.enforcement != Enforcement::Pass
        && let Ok(body) = HeaderValue::try_from(wire::refusal_body(&answer))
    {
        headers.insert(BODY.clone(), body);
    }
    finish(&mut response, &answer);
    response
}

fn check(plane: &DataPlane, headers: &HeaderMap, original: &policy::Request<'_>) -> Check {
    let named = plane.min_revision_header.as_ref();
    let min_revision = named.and_then(|name| identify::min_revision(headers, name));
    let asked = plane.gate.rules().ask(original);
    asked.of(plane.identity.identity(headers), min_revision)
}

/// What every answer of a gateway dialect carries. A pass has nothing else: what it carried would
/// leak into the client's answer at some gateway.
fn finish(response: &mut Response, answer: &Answer) {
    let is_pass = answer.enforcement == Enforcement::Pass;
    let status = response.status();
    let headers = response.headers_mut();
    headers.extend(wire::headers(answer));
    if is_pass {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        return;
    }
    wire::complete_refusal(status, headers);
}

/// Where Envoy asks: this, and the original target behind it.
pub(super) const ENVOY: &str = "/v1/envoy";

static FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
static FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
static ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
static ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
/// The status that the client is to be answered with.
static CODE: HeaderName = HeaderName::from_static("x-tollgate-code");
/// The body that the client is to be answered with.
static BODY: HeaderName = HeaderName::from_static("x-tollgate-body");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_prefix_is_the_clients_target_byte_for_byte() {
        let target = |asked: &'static str| {
            let asked = Uri::from_static(asked);
            envoy_target(&asked).map(str::to_owned)
        };
        for (asked, expected) in [
            ("/v1/envoy/", "/"),
            ("/v1/envoy/a?b=c", "/a?b=c"),
            ("/v1/envoy/../v1/check", "/../v1/check"),
            ("/v1/envoy//a/%2e%2e/%2F", "//a/%2e%2e/%2F"),
            ("/v1/envoy/v1/envoy/a", "/v1/envoy/a"),
            ("http://anybody/v1/envoy/a", "/a"),
        ] {
            assert_eq!(target(asked).as_deref(), Some(expected), "{asked}");
        }
        for asked in ["/v1/envoy", "/v1/envoy?a=/b", "/v1/envoys/a", "/v1/Envoy/a", "/"] {
            assert_eq!(target(asked), None, "{asked}");
        }
    }
}
