//! Follows the trace that a caller tells of in `traceparent` (W3C Trace Context).

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::HeaderMap,
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use opentelemetry::propagation::Extractor;

use crate::{
    clock::Clock,
    telemetry::traces::{Caller, Traces},
};

/// Where spans go, and what tells the time.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// Where they go.
    pub traces: Traces,
    /// What tells the time.
    pub clock: Clock,
}

/// Lets the checks that `router` answers be told of in their traces.
pub fn of_checks(router: Router, tracing: Option<&Tracing>) -> Router {
    match tracing.cloned() {
        Some(tracing) => router.layer(from_fn_with_state(tracing, checks)),
        None => router,
    }
}

/// Lets the requests that `router` answers be told of in their traces.
pub fn of_requests(router: Router, tracing: Option<&Tracing>) -> Router {
    match tracing.cloned() {
        Some(tracing) => router.layer(from_fn_with_state(tracing, requests)),
        None => router,
    }
}

/// What the caller of a request with these headers tells of its trace.
pub(super) fn caller(traces: &Traces, headers: &HeaderMap) -> Caller {
    traces.caller(&Headers(headers))
}

async fn checks(State(tracing): State<Tracing>, request: Request, next: Next) -> Response {
    let caller = caller(&tracing.traces, request.headers());
    caller.within(next.run(request)).await
}

/// Tells of the request as a whole.
async fn requests(State(tracing): State<Tracing>, request: Request, next: Next) -> Response {
    let Tracing { traces, clock } = &tracing;
    let caller = caller(traces, request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str);
    let (name, begun) = (format!("{} {route}", request.method()), clock.moment());
    let answered = async {
        let response = next.run(request).await;
        let took = clock.moment().saturating_since(begun);
        traces.request(name, response.status().as_u16(), clock.now(), took);
        response
    };
    caller.within(answered).await
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

/// What stands for a URL that there is not.
const NO_ROUTE: &str = "-";
