//! Reads a JSON object field by field, so that every error names the field and the rule.
//!
//! A field that nobody asked for is an error too: a misspelled `feature` that is ignored would
//! be a wrong allow.

pub(super) mod json;

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest as _, FromRequestParts, Path, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::{
    BODY_AT_MOST,
    problem::{Detail, Problem},
};

/// Reads a request's body to its end. Whoever sends too much of it, or takes too long, is refused.
pub(super) async fn whole_body(request: Request) -> Result<Bytes, Problem> {
    whole_body_within(request, BODY_AT_MOST).await
}

/// The same where the router takes bodies of `at_most` bytes.
pub(super) async fn whole_body_within(request: Request, at_most: usize) -> Result<Bytes, Problem> {
    let body = timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await;
    let body = body.map_err(|_| {
        let message = format!("the body did not arrive within {BODY_TIMEOUT:?}");
        Problem::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", message)
    })?;
    body.map_err(|rejected| {
        if rejected.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let message = format!("a body may have at most {at_most} bytes");
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message);
        }
        Problem::invalid_field("body", "the body did not arrive whole")
    })
}

/// The fields of a JSON object that are not yet read, and what was wrong with those that were.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    rest: Map<String, Value>,
    wrong: Vec<Detail>,
}

impl Fields {
    /// Reads a request's body. No body at all is an empty object.
    pub(super) async fn of_request(request: Request) -> Result<(Self, Bytes), Problem> {
        require_json(request.headers())?;
        let body = whole_body(request).await?;
        if body.is_empty() {
            return Ok((Self::of("", Map::new()), body));
        }
        let value = json::read(&body)
            .map_err(|error| Problem::invalid_field("body", format!("not JSON: {error}")))?;
        Ok((Self::of_value("", value)?, body))
    }

    /// Reads a value that has to be an object. `path` is where it stands in the body.
    pub(super) fn of_value(path: &str, value: Value) -> Result<Self, Problem> {
        if let Value::Object(fields) = value {
            Ok(Self::of(path, fields))
        } else {
            let path = if path.is_empty() { "body" } else { path };
            Err(Problem::invalid_field(path, "must be a JSON object"))
        }
    }

    fn of(path: &str, rest: Map<String, Value>) -> Self {
        Self { path: path.to_owned(), rest, wrong: Vec::new() }
    }

    /// Whether the field is there, `null` included.
    #[must_use]
    pub(super) fn has(&self, name: &str) -> bool {
        self.rest.contains_key(name)
    }

    /// Takes a field as it is; nothing if it is absent or `null`.
    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        self.rest.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a field by its type; nothing if it is absent or `null`.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.value(name)?;
        match serde_json::from_value(value) {
            Ok(taken) => Some(taken),
            Err(error) => {
                self.reject(name, error);
                None
            }
        }
    }

    /// Takes a text field and parses it; nothing if it is absent or `null`.
    pub(super) fn parse<T, E: ToString>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text: String = self.take(name)?;
        match parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.reject(name, error.to_string());
                None
            }
        }
    }

    /// Takes a field that may also be cleared: the outer nothing is "not named", the inner one
    /// `null`.
    #[expect(clippy::option_option, reason = "not named and null are two different wishes")]
    pub(super) fn settable<T: DeserializeOwned>(&mut self, name: &str) -> Option<Option<T>> {
        self.has(name).then(|| self.take(name))
    }

    /// Takes notes: free text of at most 2,000 characters.
    pub(super) fn notes(&mut self) -> Option<String> {
        let notes: String = self.take("notes")?;
        if notes.chars().count() > MAX_NOTES {
            self.reject("notes", format!("may have at most {MAX_NOTES} characters"));
        }
        Some(notes)
    }

    /// Where a field stands in the body.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Says that a field breaks a rule.
    pub(super) fn reject(&mut self, name: &str, message: impl ToString) {
        let path = self.path_of(name);
        self.wrong.push(Detail { path, message: message.to_string(), code: "invalid" });
    }

    /// Takes over what was wrong with a part of it.
    pub(super) fn take_errors(&mut self, problem: Problem) {
        self.wrong.extend(problem.into_details());
    }

    /// Whether anything was wrong so far.
    #[must_use]
    pub(super) fn has_errors(&self) -> bool {
        !self.wrong.is_empty()
    }

    /// Ends reading where another system's callers may say more than is read: an error if anything
    /// was wrong.
    pub(super) fn finish_ignoring_others(self) -> Result<(), Problem> {
        if self.wrong.is_empty() { Ok(()) } else { Err(Problem::invalid(self.wrong)) }
    }

    /// Ends reading: an error if anything was wrong, or if a field is left.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let unknown: Vec<_> = self.rest.keys().cloned().collect();
        for name in unknown {
            self.reject(&name, "is not a field of this request");
        }
        self.finish_ignoring_others()
    }
}

/// What the URL's path names.
#[derive(Debug)]
pub(super) struct InPath<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = Path::from_request_parts(parts, state).await;
        let Path(named) = named.map_err(|_| Problem::invalid_field("id", "must be UTF-8"))?;
        Ok(Self(named))
    }
}

/// Query parameters, each at most once.
pub(super) fn query(
    raw: Option<&str>,
    known: &[&str],
) -> Result<BTreeMap<String, String>, Problem> {
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
        if !known.contains(&name.as_ref()) {
            return Err(Problem::invalid_field(&name, "is not a parameter of this request"));
        }
        if parameters.insert(name.to_string(), value.into_owned()).is_some() {
            return Err(Problem::invalid_field(&name, "may be given only once"));
        }
    }
    Ok(parameters)
}

/// Whether a request's body, if it has one, is JSON.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    require_kind(headers, "application/json")
}

/// Refuses a body that says it is something else than `expected`, or JSON of its own kind where
/// JSON is expected.
pub(super) fn require_kind(headers: &HeaderMap, expected: &str) -> Result<(), Problem> {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_json = expected == "application/json" && kind.ends_with("+json");
    if kind.eq_ignore_ascii_case(expected) || is_json {
        return Ok(());
    }
    let message = format!("the body must be {expected}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message))
}

/// How many characters notes may have.
pub(super) const MAX_NOTES: usize = 2000;
/// A gateway or an application sends a question of 64 KiB at once.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_wrong_field_is_named_with_its_place() {
        let value = json!({"value": -1, "code": "seats", "odd": 1});
        let mut fields = Fields::of_value("limit", value).unwrap();
        assert_eq!(fields.take::<u64>("value"), None);
        assert_eq!(fields.take::<String>("code").as_deref(), Some("seats"));
        let problem = format!("{:?}", fields.finish().unwrap_err());
        assert!(problem.contains("limit.value") && problem.contains("limit.odd"), "{problem}");
    }

    #[test]
    fn a_settable_field_tells_null_from_absent() {
        let mut fields = Fields::of_value("", json!({"plan": null})).unwrap();
        assert_eq!(fields.settable::<String>("plan"), Some(None));
        assert_eq!(fields.settable::<String>("name"), None);
    }

    #[test]
    fn a_parameter_that_is_unknown_or_given_twice_is_refused() {
        assert!(query(Some("limit=1"), &["limit"]).is_ok());
        assert!(query(Some("limit=1&limit=2"), &["limit"]).is_err());
        assert!(query(Some("limti=1"), &["limit"]).is_err());
    }
}
