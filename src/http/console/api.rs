//! The API, as a browser's request reaches it: asked in process, with that browser's cookie and proof.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tower::ServiceExt as _;

use super::{form::Form, page, sign_in};
use crate::{
    domain::{Role, Source},
    http::{
        authenticate::{IDEMPOTENCY_KEY, REQUEST_ID, RequestId, TENANT},
        serve::Peer,
        session::{self, CSRF_TOKEN, SEC_FETCH_SITE},
    },
};

/// The API, for one request of a browser.
#[derive(Clone, Debug)]
pub(super) struct Api {
    router: Router,
    /// What the browser says of itself, and the request's id.
    said: HeaderMap,
    /// The URL that the browser asked for: over HTTP/2 it names the host.
    asked: Uri,
    peer: Option<Peer>,
}

/// One call of it.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// The path and the query.
    pub(super) path: String,
    pub(super) tenant: Option<&'a str>,
    /// The CSRF token, as a form says it.
    pub(super) proof: Option<&'a str>,
    /// What makes a repetition harmless.
    pub(super) key: Option<&'a str>,
    /// The request's id, where it is not that of the browser's request: what the audit trail tells
    /// what came of it by.
    pub(super) id: Option<&'a str>,
    /// The revision that the customer has to be at.
    pub(super) at: Option<&'a str>,
    pub(super) body: Option<Value>,
}

impl<'a> Call<'a> {
    /// Reads `path`.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// Asks for something to be done.
    pub(super) fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    /// In this tenant; in the one that the API means if there is none.
    pub(super) fn of(self, tenant: Option<&'a str>) -> Self {
        Self { tenant, ..self }
    }

    /// As what a form with these two hidden fields asks for: its proof, and its key.
    pub(super) fn by_form(self, form: &'a Form) -> Self {
        let (proof, once) = (form.text("csrf"), form.text("once"));
        Self { proof, key: once, id: once, ..self }
    }
}

/// A call that the API refused, or that it has no answer to.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) message: String,
}

impl Refused {
    /// A refusal of the console's own.
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }
}

impl Api {
    /// The API for the request that `parts` begin.
    pub(super) fn of(router: &Router, parts: &Parts) -> Self {
        let mut said = HeaderMap::new();
        // What the API needs to know of a browser to judge its request.
        for name in [&header::COOKIE, &header::HOST, &header::ORIGIN, &SEC_FETCH_SITE] {
            for value in parts.headers.get_all(name) {
                said.append(name.clone(), value.clone());
            }
        }
        let id = parts.extensions.get::<RequestId>();
        if let Some(id) = id.and_then(|RequestId(id)| HeaderValue::try_from(id).ok()) {
            said.insert(REQUEST_ID.clone(), id);
        }
        let peer = parts.extensions.get::<Peer>().copied();
        Self { router: router.clone(), said, asked: parts.uri.clone(), peer }
    }

    /// Whose session the browser shows; nothing where it shows none. Who has not signed in yet is
    /// nobody to be turned away.
    pub(super) async fn session(&self) -> Result<Option<Session>, Refused> {
        if session::cookie(&self.said).is_ok_and(|cookie| cookie.is_none()) {
            return Ok(None);
        }
        match self.get("/session", None).await {
            Ok(session) => Ok(Some(session)),
            Err(refused) if refused.status == StatusCode::UNAUTHORIZED => Ok(None),
            Err(refused) => Err(refused),
        }
    }

    /// The same, for somebody who shows a key and no cookie.
    pub(super) fn with_key(mut self, key: &str) -> Option<Self> {
        let is_sound = key.bytes().all(|byte| byte.is_ascii_graphic());
        let key = is_sound.then(|| HeaderValue::try_from(format!("Bearer {key}")));
        let mut key = key?.ok()?;
        key.set_sensitive(true);
        self.said.remove(header::COOKIE);
        self.said.insert(header::AUTHORIZATION, key);
        Some(self)
    }

    /// The same, for what this very page asks and what changes nothing. The session is the
    /// browser's own all the same.
    pub(super) fn of_own_page(mut self) -> Self {
        self.said.insert(SEC_FETCH_SITE.clone(), HeaderValue::from_static("same-origin"));
        self
    }

    /// Reads what `path` has, in `tenant`.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        tenant: Option<&str>,
    ) -> Result<T, Refused> {
        self.call(Call::get(path).of(tenant)).await
    }

    /// Calls it, and reads the answer.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Refused> {
        Self::read(self.answer(call).await?).await
    }

    /// Reads an answer of it.
    pub(super) async fn read<T: DeserializeOwned>(answer: Response) -> Result<T, Refused> {
        let status = answer.status();
        let body = to_bytes(answer.into_body(), ANSWER_AT_MOST).await;
        let body = body.map_err(|error| strange(&error.to_string()))?;
        if status.is_success() {
            // The place and not the text, which may be somebody's notes.
            return serde_json::from_slice(&body).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                strange(&format!("{:?} error at {line}:{column}", error.classify()))
            });
        }
        let told = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let word = |name: &str| told["error"][name].as_str().unwrap_or_default().to_owned();
        Err(Refused { status, code: word("code"), message: word("message") })
    }

    /// Calls it, whatever the answer.
    pub(super) async fn answer(&self, call: Call<'_>) -> Result<Response, Refused> {
        let impossible = || Refused::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", UNASKABLE);
        let mut uri = self.asked.clone().into_parts();
        uri.path_and_query = Some(call.path.parse().map_err(|_| impossible())?);
        let mut request = Request::builder()
            .method(call.method)
            .uri(Uri::from_parts(uri).map_err(|_| impossible())?);
        let said = [
            (&TENANT, call.tenant),
            (&CSRF_TOKEN, call.proof),
            (&IDEMPOTENCY_KEY, call.key),
            (&header::IF_MATCH, call.at),
        ];
        for (name, value) in said {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let body = call.body.map(|body| {
            let json = HeaderValue::from_static("application/json");
            (json, Body::from(body.to_string()))
        });
        if let Some((kind, _)) = &body {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let body = body.map(|(_, body)| body).unwrap_or_default();
        let mut request = request.body(body).map_err(|_| impossible())?;
        let mut said = self.said.clone();
        if let Some(id) = call.id.and_then(|id| HeaderValue::try_from(id).ok()) {
            said.insert(REQUEST_ID.clone(), id);
        }
        request.headers_mut().extend(said);
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        match self.router.clone().oneshot(request).await {
            Ok(answer) => Ok(answer),
            Err::<_, Infallible>(never) => match never {},
        }
    }
}

/// An answer that is not what it should be.
fn strange(why: &str) -> Refused {
    tracing::warn!(error = why, "The console cannot read an answer of the API: {why}");
    let message = "the answer cannot be shown; the log says why";
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message)
}

/// A part of a path, whatever it is made of.
pub(super) fn in_path(part: &str) -> String {
    utf8_percent_encode(part, NON_ALPHANUMERIC).to_string()
}

/// `path` with a query of whatever is there to be said.
pub(super) fn with_query<'a>(
    path: &str,
    said: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in said {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Whose session a browser shows.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Session {
    pub(super) name: String,
    pub(super) role: Role,
    /// The only tenant that it sees, if it is but one.
    pub(super) tenant: Option<String>,
    source: Option<Source>,
    pub(super) csrf_token: String,
}

impl Session {
    /// The source that it acts for when it names none.
    pub(super) fn source(&self) -> Source {
        self.source.clone().unwrap_or_else(Source::operator)
    }

    /// Whether its role reaches `needed`. That decides what is shown, and nothing else.
    pub(super) fn may(&self, needed: Role) -> bool {
        self.role >= needed
    }
}

/// Somebody who is signed in. Whoever is not is sent to do so.
#[derive(Clone, Debug)]
pub(super) struct SignedIn {
    pub(super) api: Api,
    pub(super) session: Session,
}

impl FromRequestParts<Router> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, router: &Router) -> Result<Self, Response> {
        let api = Api::of(router, parts);
        match api.session().await {
            Ok(Some(session)) => Ok(Self { api, session }),
            Ok(None) => Err(sign_in::redirect(&parts.uri).into_response()),
            Err(refused) => Err(page::of_refusal(None, &refused)),
        }
    }
}

const UNASKABLE: &str = "this cannot be asked for";
/// A page of the largest customers there may be.
const ANSWER_AT_MOST: usize = 64 * 1024 * 1024;
