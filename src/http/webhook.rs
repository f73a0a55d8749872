//! Systems that call back. Each proves where its event comes from before anybody reads it, and is
//! answered 2xx once what it says is committed, waits for its customer, or is nothing to Tollgate.

mod billabear;
mod proof;
mod standard;
mod stripe;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::StatusCode,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde::Serialize;

pub use self::proof::Secrets;
use self::proof::{Presented, Unproven};
use super::{
    authenticate::name_request,
    fields::{InPath, whole_body_within},
    no_such_url,
    problem::{Problem, tell_causes},
    serve::Peer,
    wrong_method,
};
use crate::{
    control::{
        ActError, Control,
        foreign::{Heard, Statement},
    },
    domain::{Source, TenantId},
    gate::Gate,
    telemetry::{WebhookResult, WebhookSource, event::WebhookTurnedAway},
};

/// What the webhook listener works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WebhookPlane {
    /// Performs the acts.
    pub control: Control,
    /// Knows the policy.
    pub gate: Gate,
    /// Who may call back.
    pub endpoints: Arc<[Endpoint]>,
}

/// A system that may call back.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// In which shape.
    pub kind: WebhookSource,
    /// For which source.
    pub source: Source,
    /// The tenant that it is bound to, if it is.
    pub bound_to: Option<TenantId>,
    /// The tenant of an event that names none.
    pub tenant: Option<TenantId>,
    /// By what it is known.
    pub secrets: Secrets,
}

/// The webhook listener's URLs.
pub fn router(plane: WebhookPlane) -> Router {
    Router::new()
        .route("/webhooks/{source}", post(receive))
        .route("/webhooks/{source}/{secret}", post(receive_with_secret))
        .fallback(no_such_url)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_AT_MOST))
        .layer(from_fn_with_state(plane.control.metrics.clone(), tell_causes))
        .layer(from_fn(name_request))
        .with_state(plane)
}

/// `POST /webhooks/{source}`.
async fn receive(
    State(plane): State<WebhookPlane>,
    InPath(source): InPath<String>,
    request: Request,
) -> Result<Response, Problem> {
    let endpoint = plane.endpoint(&source)?;
    plane.answer(endpoint, None, request).await
}

/// `POST /webhooks/{source}/{secret}`, for who can show nothing else.
async fn receive_with_secret(
    State(plane): State<WebhookPlane>,
    InPath((source, secret)): InPath<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let endpoint = plane.endpoint(&source)?;
    if endpoint.kind != WebhookSource::Billabear {
        return Err(no_such_url().await);
    }
    plane.answer(endpoint, Some(&secret), request).await
}

/// What an event comes to.
enum Event {
    /// It says something of a customer.
    Says(Statement),
    /// It is of no type that says anything here.
    Ignored,
    /// It does not tell all.
    Incomplete,
}

/// Why an event that is proven does nothing.
enum Unusable {
    /// A field breaks a rule.
    Malformed(String, &'static str),
    /// It is about a tenant that its source is not bound to.
    OtherTenant,
}

/// An event that did nothing, how it is counted, and what its sender is told.
struct TurnedAway {
    result: WebhookResult,
    why: String,
    problem: Problem,
}

impl TurnedAway {
    fn unproven(Unproven { code, why }: Unproven) -> Self {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, code, why);
        Self { result: WebhookResult::Unproven, why: why.to_owned(), problem }
    }

    fn unusable(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Malformed(path, rule) => Self {
                result: WebhookResult::Malformed,
                why: format!("{path}: {rule}"),
                problem: Problem::invalid_field(&path, rule),
            },
            Unusable::OtherTenant => {
                let why = "its source is bound to another tenant (--webhook-tenant)";
                let code = "NO_TENANT_ACCESS";
                let problem = Problem::new(StatusCode::FORBIDDEN, code, why);
                Self { result: WebhookResult::Refused, why: why.to_owned(), problem }
            }
        }
    }
}

impl WebhookPlane {
    fn endpoint(&self, source: &str) -> Result<&Endpoint, Problem> {
        let found = self.endpoints.iter().find(|it| it.kind.as_str() == source);
        found.ok_or_else(|| Problem::not_found("URL"))
    }

    /// Answers an event, and counts it.
    async fn answer(
        &self,
        endpoint: &Endpoint,
        secret: Option<&str>,
        request: Request,
    ) -> Result<Response, Problem> {
        let (metrics, source) = (&self.control.metrics, endpoint.kind);
        match self.take(endpoint, secret, request).await {
            Ok(result) => {
                if result == WebhookResult::Incomplete {
                    WebhookTurnedAway { source, result, why: INCOMPLETE }.emit(metrics);
                } else {
                    metrics.webhook(source, result);
                }
                let is_done = !matches!(
                    result,
                    WebhookResult::Ignored | WebhookResult::Incomplete | WebhookResult::Unresolved
                );
                let status = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
                Ok((status, Json(Told { result: result.as_str() })).into_response())
            }
            Err(TurnedAway { result, why, problem }) => {
                WebhookTurnedAway { source, result, why }.emit(metrics);
                Err(problem)
            }
        }
    }

    async fn take(
        &self,
        endpoint: &Endpoint,
        secret: Option<&str>,
        request: Request,
    ) -> Result<WebhookResult, TurnedAway> {
        let now = self.control.clock.now();
        let address = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_string());
        let presented = Presented::of(endpoint.kind, request.headers(), secret, now);
        let presented = presented.map_err(TurnedAway::unproven)?;
        presented.admit_early(&endpoint.secrets).map_err(TurnedAway::unproven)?;
        let body = whole_body_within(request, BODY_AT_MOST).await.map_err(|problem| {
            let (result, why) = (WebhookResult::Unread, problem.message().to_owned());
            TurnedAway { result, why, problem }
        })?;
        presented.admit(&endpoint.secrets, &body).map_err(TurnedAway::unproven)?;
        let event = match endpoint.kind {
            WebhookSource::Billabear => billabear::read(endpoint, &body, now),
            WebhookSource::Standard => standard::read(endpoint, presented.id(), &body, now),
            WebhookSource::Stripe => stripe::read(endpoint, &body, &self.gate.rules()),
        };
        match event.map_err(TurnedAway::unusable)? {
            Event::Says(statement) => self.hear(endpoint, &statement, address).await,
            Event::Ignored => Ok(WebhookResult::Ignored),
            Event::Incomplete => Ok(WebhookResult::Incomplete),
        }
    }

    /// Does what it says, or keeps it until somebody knows whom it is about.
    async fn hear(
        &self,
        endpoint: &Endpoint,
        statement: &Statement,
        address: Option<String>,
    ) -> Result<WebhookResult, TurnedAway> {
        let request = statement.by_webhook(&endpoint.source, address.clone());
        let (result, error) = match self.control.hear(&request, statement).await {
            Heard::Applied => return Ok(WebhookResult::Applied),
            Heard::Outdated => return Ok(WebhookResult::Outdated),
            Heard::Repeated => return Ok(WebhookResult::Repeated),
            Heard::Unchanged => return Ok(WebhookResult::Unchanged),
            Heard::Unresolved => {
                let control = &self.control;
                let kept =
                    control.keep_unresolved(statement, &endpoint.source, address.as_deref()).await;
                match kept {
                    Ok(dropped) => {
                        self.tell_dropped(endpoint.kind, dropped);
                        return Ok(WebhookResult::Unresolved);
                    }
                    Err(error) => (WebhookResult::Failed, error),
                }
            }
            Heard::Refused(refusal) => (WebhookResult::Refused, refusal.into()),
            Heard::Waits(error @ ActError::SourcePaused { .. }) => (WebhookResult::Paused, error),
            Heard::Waits(error) => (WebhookResult::Failed, error),
        };
        Err(TurnedAway { result, why: error.to_string(), problem: error.into() })
    }

    fn tell_dropped(&self, source: WebhookSource, dropped: u64) {
        for _ in 0..dropped {
            let (result, why) = (WebhookResult::Dropped, "too many wait for their customers");
            WebhookTurnedAway { source, result, why }.emit(&self.control.metrics);
        }
    }
}

#[derive(Serialize)]
struct Told {
    result: &'static str,
}

const INCOMPLETE: &str = "it tells only a part of the customer's entitlements (`has_more`), so its \
                          features stay as they are";
const BODY_AT_MOST: usize = 256 * 1024;

#[cfg(test)]
mod tests;
