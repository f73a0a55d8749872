//! The gateway dialects: forward auth, nginx's `auth_request`, and Envoy's `ext_authz` over HTTP.
//! Each reads only what its own gateways say, decides on the head of the request alone, and never
//! reads a body.
//!
//! They are what every request of every customer waits for. So no router is asked, and what memory
//! answers is answered without waiting: plain questions over HTTP/1.1 by their heads, in bytes that
//! were written before, and all others by the library, without allocating but for the headers.

mod written;

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};

use super::{
    DataPlane,
    serve::{ByHead, Head, Reply, ResponseFuture, at_once, later},
    traced,
};
use crate::{
    domain::{Check, CustomerName, Enforcement},
    gate::Answer,
    identify::{self, Headers},
    policy,
    telemetry::Dialect,
    wire::{self, Beside},
};

/// Answers the questions of gateways.
#[derive(Clone, Debug)]
pub struct Gateways(DataPlane);

impl Gateways {
    /// Answers by what `plane` knows.
    #[must_use]
    pub const fn new(plane: DataPlane) -> Self {
        Self(plane)
    }

    /// Answers `request`, if it is the question of a gateway: of any method, since each passes on
    /// another one.
    pub fn answer<B>(&self, request: &Request<B>) -> Option<ResponseFuture> {
        let Self(plane) = self;
        let (method, headers) = (request.method(), request.headers());
        Some(match request.uri().path() {
            FORWARD_AUTH => {
                let original = identify::request(headers, &FORWARDED_METHOD, &FORWARDED_URI);
                plane.pass_or_refuse(Dialect::ForwardAuth, headers, &original, forward)
            }
            NGINX => {
                let original = identify::request(headers, &ORIGINAL_METHOD, &ORIGINAL_URI);
                plane.pass_or_refuse(Dialect::Nginx, headers, &original, nginx)
            }
            path if is_envoys(path) => {
                let original = envoys(method, request.uri(), headers);
                plane.pass_or_refuse(Dialect::Envoy, headers, &original, forward)
            }
            _ => return None,
        })
    }

    /// Answers the request with this head behind what stands in `written`, if a gateway asks it
    /// that says everything in headers.
    pub fn answer_head(&self, head: &Head<'_>, written: &mut Vec<u8>) -> ByHead {
        let Self(plane) = self;
        // What tells of a check in its trace reads the library's headers.
        if plane.gate.settings().traces.is_some() {
            return ByHead::NeedsMore;
        }
        match head.target {
            FORWARD_AUTH => {
                let original = identify::request(head, &FORWARDED_METHOD, &FORWARDED_URI);
                plane.write(Dialect::ForwardAuth, head, &original, forward, written)
            }
            NGINX => {
                let original = identify::request(head, &ORIGINAL_METHOD, &ORIGINAL_URI);
                plane.write(Dialect::Nginx, head, &original, nginx, written)
            }
            _ => ByHead::NeedsMore,
        }
    }
}

/// Envoy asks with the original request itself: its method, and its target behind a prefix. What
/// other gateways say in headers is the client's word here.
fn envoys<'a>(method: &'a Method, uri: &'a Uri, headers: &HeaderMap) -> policy::Request<'a> {
    policy::Request {
        method: Some(method.as_str()),
        target: envoy_target(uri),
        becomes: identify::becomes(headers),
    }
}

fn is_envoys(path: &str) -> bool {
    path.strip_prefix(ENVOY).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The original target as the client wrote it: nothing of it is decoded, and no dots are resolved.
/// Nothing if Envoy was not told any, as for a CONNECT without a path.
fn envoy_target(asked: &Uri) -> Option<&str> {
    let target = asked.path_and_query()?.as_str().strip_prefix(ENVOY)?;
    target.starts_with('/').then_some(target)
}

impl DataPlane {
    fn pass_or_refuse(
        &self,
        dialect: Dialect,
        headers: &HeaderMap,
        original: &policy::Request<'_>,
        respond: Respond,
    ) -> ResponseFuture {
        let respond = move |answer: &Answer| respond(answer).map(Reply::of);
        if let Some(traces) = &self.gate.settings().traces {
            let (plane, caller) = (self.clone(), traced::caller(traces, headers));
            let begun = self.clock.moment();
            let check = self.asked(headers, original).kept();
            let answer = async move { respond(&plane.check_since(dialect, &check, begun).await) };
            return later(caller.within(answer));
        }
        match self.decide(dialect, headers, original) {
            Decided::Now(answer) => at_once(respond(&answer)),
            Decided::Later(answer) => later(answer.map(move |answer| respond(&answer))),
        }
    }

    fn write(
        &self,
        dialect: Dialect,
        headers: &impl Headers,
        original: &policy::Request<'_>,
        respond: Respond,
        written: &mut Vec<u8>,
    ) -> ByHead {
        match self.decide(dialect, headers, original) {
            Decided::Now(answer) => {
                written::write(dialect, &answer, respond, self.clock.now(), written);
                ByHead::Answered
            }
            Decided::Later(answer) => {
                let clock = self.clock.clone();
                let write = move |answer| {
                    let mut written = Vec::new();
                    written::write(dialect, &answer, respond, clock.now(), &mut written);
                    written
                };
                ByHead::Later(answer.map(write).boxed())
            }
        }
    }

    /// Decides without waiting, if memory does and nothing else is to be waited for.
    fn decide(
        &self,
        dialect: Dialect,
        headers: &impl Headers,
        original: &policy::Request<'_>,
    ) -> Decided {
        let begun = self.clock.moment();
        let check = self.asked(headers, original);
        let Some(answer) = self.gate.check_now(&check, begun) else {
            let (plane, check) = (self.clone(), check.kept());
            let answer = async move { plane.check_since(dialect, &check, begun).await };
            return Decided::Later(answer.boxed());
        };
        match self.gate.tell(dialect, Some(&check), &answer, begun) {
            None => Decided::Now(answer),
            Some(untold) => Decided::Later(untold.tell().map(|()| answer).boxed()),
        }
    }

    fn asked(&self, headers: &impl Headers, original: &policy::Request<'_>) -> Check<CustomerName> {
        let named = self.min_revision_header.as_ref();
        let min_revision = named.and_then(|name| identify::min_revision(headers, name));
        let asked = self.gate.rules().ask(original);
        asked.of(self.identity.identity(headers), min_revision)
    }
}

/// An answer that is there, or one that something has to be waited for.
enum Decided {
    Now(Answer),
    Later(BoxFuture<'static, Answer>),
}

/// How a gateway is told of an answer.
type Respond = fn(&Answer) -> Response<Bytes>;

/// The status, headers and body that the gateway passes on to the client as they are. A pass has
/// nothing else than its headers: what it carried would leak into the client's answer at some
/// gateway.
fn forward(answer: &Answer) -> Response<Bytes> {
    let status = wire::enforced_status(answer);
    if answer.enforcement == Enforcement::Pass {
        return response(status, wire::headers(answer, Beside::Pass), Bytes::new());
    }
    let mut headers = wire::headers(answer, Beside::Refusal);
    wire::complete_refusal(status, &mut headers);
    response(status, headers, wire::refusal_body(&answer.decision))
}

/// nginx passes on 401 and 403 only, and drops every body; so the real status and the body go in
/// headers, from which the configuration answers the client.
fn nginx(answer: &Answer) -> Response<Bytes> {
    let status = wire::enforced_status(answer);
    if answer.enforcement == Enforcement::Pass {
        return response(status, wire::headers(answer, Beside::NginxPass), Bytes::new());
    }
    let passed_on = match answer.enforcement {
        Enforcement::Refuse if status != StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        Enforcement::Fail | Enforcement::Pass | Enforcement::Refuse => status,
    };
    let mut headers = wire::headers(answer, Beside::Nothing);
    headers.insert(&wire::CODE, HeaderValue::from(status.as_u16()));
    if let Ok(body) = HeaderValue::from_maybe_shared(wire::refusal_body(&answer.decision)) {
        headers.insert(&BODY, body);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    wire::complete_refusal(passed_on, &mut headers);
    response(passed_on, headers, Bytes::new())
}

fn response(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Where Traefik, Caddy, APISIX and HAProxy's Lua ask: the original request is in `X-Forwarded-*`.
const FORWARD_AUTH: &str = "/v1/forward-auth";
/// Where nginx asks: the original request is in `X-Original-*`.
const NGINX: &str = "/v1/nginx";
/// Where Envoy asks: this, and the original target behind it.
const ENVOY: &str = "/v1/envoy";

static FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
static FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
static ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
static ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
/// The body that the client is to be answered with.
static BODY: HeaderName = HeaderName::from_static("x-tollgate-body");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoy_asks_at_its_prefix_and_beneath_it() {
        for (path, expected) in [
            ("/v1/envoy", true),
            ("/v1/envoy/", true),
            ("/v1/envoy/a", true),
            ("/v1/envoys", false),
            ("/v1/envo", false),
            ("//v1/envoy", false),
        ] {
            assert_eq!(is_envoys(path), expected, "{path}");
        }
    }

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
