//! What the console's forms say.

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::{FromRequest, Request},
    http::{StatusCode, header},
    response::Response,
};

use super::{api::Refused, page};
use crate::http::fields::whole_body;

/// What a form says, field by field. A field may be said several times.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(BTreeMap<String, Vec<String>>);

impl Form {
    /// What a query says.
    pub(super) fn of_query(raw: Option<&str>) -> Self {
        Self::of(raw.unwrap_or_default().as_bytes())
    }

    fn of(raw: &[u8]) -> Self {
        let mut fields = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in form_urlencoded::parse(raw) {
            fields.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        Self(fields)
    }

    /// What a field says, without the white space around it; nothing if that is nothing.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let said = self.0.get(name).and_then(|values| values.first());
        said.map(|said| said.trim()).filter(|said| !said.is_empty())
    }

    /// Everything that a field says.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// A moment that a field says as browsers do: without a zone, in UTC.
    pub(super) fn moment(&self, name: &str) -> Option<String> {
        let said = self.text(name)?;
        let has_seconds = said.matches(':').count() > 1;
        Some(if has_seconds { format!("{said}Z") } else { format!("{said}:00Z") })
    }
}

impl FromRequest<Router> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, _: &Router) -> Result<Self, Response> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let message = "this takes what a form of the console sends";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let refused = Refused::new(status, "UNSUPPORTED_MEDIA_TYPE", message);
            return Err(page::of_refusal(None, &refused));
        }
        let body = whole_body(request).await.map_err(|problem| {
            let refused = Refused::new(problem.status(), problem.code(), problem.message());
            page::of_refusal(None, &refused)
        })?;
        Ok(Self::of(&body))
    }
}

/// A key for a form that is about to be shown: whatever is sent with it is done once.
pub(super) fn once() -> String {
    format!("console-{:032x}", fastrand::u128(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_field_by_field() {
        let form = Form::of_query(Some("a=1&b=+x+y+&pick=1&pick=2&c="));
        assert_eq!((form.text("a"), form.text("b")), (Some("1"), Some("x y")));
        assert_eq!((form.text("c"), form.text("d")), (None, None));
        assert_eq!(form.all("pick"), ["1", "2"]);
        assert!(form.all("none").is_empty());
    }

    #[test]
    fn a_moment_is_read_with_seconds_and_without() {
        let read = |raw: &str| Form::of_query(Some(&format!("until={raw}"))).moment("until");
        assert_eq!(read("2026-11-23T10:00").as_deref(), Some("2026-11-23T10:00:00Z"));
        assert_eq!(read("2026-11-23T10:00:30").as_deref(), Some("2026-11-23T10:00:30Z"));
        assert_eq!(read(""), None);
    }
}
