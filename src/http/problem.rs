//! The error body, alike everywhere, and the one place where a failure is logged.

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    control::{ActError, keys::AuthError},
    domain::{Decision, Reason, Refusal, actor::RoleTooWeak},
    store::StoreError,
    telemetry::{AuthFailure, Metrics, event::AuthFailed},
    wire::{complete_refusal, spelling},
};

/// A request that was not done, as its caller is told:
/// `{"error":{"code","message","details"?}}`.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<Detail>,
    /// What the caller is not told, for the log.
    cause: Option<Cause>,
    /// Why the caller was turned away, if that is it.
    turned_away: Option<AuthFailure>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Detail {
    /// Which field.
    pub path: String,
    /// Which rule it breaks.
    pub message: String,
    /// What kind of rule.
    pub code: &'static str,
}

#[derive(Clone, Debug)]
struct Cause(String);

impl Problem {
    /// A problem with this status, code and sentence.
    #[must_use]
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let (details, cause, turned_away) = (Vec::new(), None, None);
        Self { status, code, message: message.into(), details, cause, turned_away }
    }

    /// The caller's credentials do not do. It is counted.
    #[must_use]
    pub(super) fn turned_away(why: AuthFailure, message: impl Into<String>) -> Self {
        let (status, code) = match why {
            AuthFailure::AuthRequired | AuthFailure::InvalidToken => {
                (StatusCode::UNAUTHORIZED, why.as_str())
            }
            AuthFailure::CsrfRequired
            | AuthFailure::InsufficientRole
            | AuthFailure::NoTenantAccess => (StatusCode::FORBIDDEN, why.as_str()),
            AuthFailure::ConflictingCredentials => (StatusCode::BAD_REQUEST, "VALIDATION_ERROR"),
        };
        Self { turned_away: Some(why), ..Self::new(status, code, message) }
    }

    /// The request carries credentials of two who may not be the same.
    #[must_use]
    pub(super) fn differing_credentials() -> Self {
        let message = "the request carries two credentials that differ";
        Self::turned_away(AuthFailure::ConflictingCredentials, message)
    }

    /// Fields that break their rules. Nothing was changed.
    #[must_use]
    pub(super) fn invalid(details: Vec<Detail>) -> Self {
        let fields: Vec<_> =
            details.iter().map(|it| format!("{}: {}", it.path, it.message)).collect();
        let problem = Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", fields.join("; "));
        Self { details, ..problem }
    }

    /// The HTTP status.
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// One field that breaks its rule.
    #[must_use]
    pub(super) fn invalid_field(path: &str, message: impl ToString) -> Self {
        let detail =
            Detail { path: path.to_owned(), message: message.to_string(), code: "invalid" };
        Self::invalid(vec![detail])
    }

    /// There is no such thing.
    #[must_use]
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("there is no such {what}"))
    }

    /// The store does not answer.
    #[must_use]
    pub(super) fn store_unreachable(cause: impl ToString) -> Self {
        let message = "the store does not answer now; what was asked for may not have been done";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "STORE_UNREACHABLE", message);
        Self { cause: Some(Cause(cause.to_string())), ..problem }
    }

    /// It cannot be known now, for the reason that a check would be given.
    #[must_use]
    pub(super) fn undecided(reason: Reason) -> Self {
        let spelling = spelling(&Decision::about_nobody(reason));
        Self::new(spelling.status, spelling.code, spelling.sentence)
    }
}

impl Problem {
    fn refused(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::CustomerUnknown => StatusCode::NOT_FOUND,
            Refusal::EndsBeforeStart => return Self::invalid_field("until", refusal),
            Refusal::AliasTaken
            | Refusal::CustomerPurged
            | Refusal::HasActiveSubscriptions
            | Refusal::HasPendingOrders
            | Refusal::HasUnreturnedDevices
            | Refusal::KeptChanging
            | Refusal::MessageOutdated
            | Refusal::MessageRepeated
            | Refusal::NothingLapsed => StatusCode::CONFLICT,
            Refusal::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::MessageAhead => return Self::invalid_field("at", refusal),
            Refusal::NotAtRevision => StatusCode::PRECONDITION_FAILED,
            Refusal::RevisionRequired => return Self::invalid_field("revision", refusal),
            Refusal::RoleTooWeak(_) => {
                return Self::turned_away(AuthFailure::InsufficientRole, refusal.to_string());
            }
        };
        Self::new(status, refusal.code(), refusal.to_string())
    }
}

impl Problem {
    /// What its caller is told: code, message and details.
    pub(super) fn told(&self) -> Value {
        let Self { code, message, details, .. } = self;
        let mut told = json!({ "code": code, "message": message });
        if !details.is_empty() {
            told["details"] = json!(details);
        }
        told
    }

    /// The fields that break their rules.
    pub(super) fn into_details(self) -> Vec<Detail> {
        self.details
    }

    /// The machine's code.
    pub(super) const fn code(&self) -> &'static str {
        self.code
    }

    /// The answer, with a body that `shape` makes of what is [told](Self::told).
    pub(super) fn into_response_as(self, shape: impl FnOnce(Value) -> Value) -> Response {
        let told = self.told();
        let Self { status, cause, turned_away, .. } = self;
        let mut response = (status, Json(shape(told))).into_response();
        complete_refusal(status, response.headers_mut());
        if let Some(cause) = cause {
            response.extensions_mut().insert(cause);
        }
        if let Some(why) = turned_away {
            response.extensions_mut().insert(why);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::store_unreachable(error)
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::InvalidToken => {
                Self::turned_away(AuthFailure::InvalidToken, error.to_string())
            }
            AuthError::KeysUnread => Self::store_unreachable(error),
        }
    }
}

impl From<RoleTooWeak> for Problem {
    fn from(error: RoleTooWeak) -> Self {
        Self::refused(error.into())
    }
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        let message = error.to_string();
        match error {
            ActError::Refused(refusal) => Self::refused(refusal),
            ActError::AliasTaken { of, .. } => {
                let path = format!("aliases.{of}");
                let detail = Detail { path, message: message.clone(), code: "taken" };
                let conflict = Self::new(StatusCode::CONFLICT, "CONFLICT", message);
                Self { details: vec![detail], ..conflict }
            }
            ActError::NotNow(_) => Self::new(StatusCode::CONFLICT, "CONFLICT", message),
            ActError::NotThere(what) => Self::not_found(what),
            ActError::SourcePaused { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "SOURCE_PAUSED", message)
            }
            ActError::Store(error) => error.into(),
            ActError::StoreLost(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "STORE_LOST",
                format!(
                    "{message}; nothing is written to it. If the store is right, say so with \
                     `tollgate store trust-redis`; if this instance is, fill it again with \
                     `tollgate store refill-redis`"
                ),
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.into_response_as(|error| json!({ "error": error }))
    }
}

/// A path as it may be logged: behind a source of webhooks stands a secret.
fn shown(path: &str) -> String {
    let secret = path.strip_prefix("/webhooks/").and_then(|rest| rest.split_once('/'));
    secret.map_or_else(|| path.to_owned(), |(source, _)| format!("/webhooks/{source}/***"))
}

/// Logs what a caller was not told and counts who was turned away, once, at the boundary.
pub(super) async fn tell_causes(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), shown(request.uri().path()));
    let response = next.run(request).await;
    if let Some(Cause(cause)) = response.extensions().get::<Cause>() {
        let status = response.status().as_u16();
        tracing::warn!(
            http.method = %method, http.path = path, http.status = status, cause,
            "A request failed with {status}: {cause}",
        );
    }
    if let Some(code) = response.extensions().get() {
        AuthFailed { code: *code }.emit(&metrics);
    }
    response
}
