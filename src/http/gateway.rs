//! The gateway dialects: forward auth, and nginx's `auth_request`. Each reads only its own
//! gateways' headers, decides on the head of the request alone, and never reads a body.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::DataPlane;
use crate::{
    domain::{Check, Enforcement},
    gate::Answer,
    identify,
    telemetry::Dialect,
    wire,
};

/// Traefik, Caddy, APISIX, HAProxy's Lua: the original request is in `X-Forwarded-*`, and the
/// answer's status, headers and body go to the client as they are.
pub(super) async fn forward_auth(
    State(plane): State<DataPlane>,
    request: Request<Body>,
) -> Response {
    let check = check(&plane, request.headers(), &FORWARDED_METHOD, &FORWARDED_URI);
    let answer = plane.check(Dialect::ForwardAuth, &check).await;
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
    let check = check(&plane, request.headers(), &ORIGINAL_METHOD, &ORIGINAL_URI);
    let answer = plane.check(Dialect::Nginx, &check).await;
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

fn check(
    plane: &DataPlane,
    headers: &HeaderMap,
    method: &HeaderName,
    target: &HeaderName,
) -> Check {
    let operation = identify::operation_told(headers, method, target);
    let asked = plane.min_revision_header.as_ref();
    let min_revision = asked.and_then(|name| identify::min_revision(headers, name));
    Check { min_revision, ..Check::of(plane.identity.identity(headers), operation) }
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

static FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
static FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
static ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
static ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
/// The status that the client is to be answered with.
static CODE: HeaderName = HeaderName::from_static("x-tollgate-code");
/// The body that the client is to be answered with.
static BODY: HeaderName = HeaderName::from_static("x-tollgate-body");
