//! The ways out, as the API takes them.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::http::console::{
    api::{Api, Call, Refused, in_path},
    customer::shape::Customer,
    form::Form,
};

/// A way out of some trouble.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// An id that nobody knew becomes some customer's.
    Attach,
    /// The fleet enforces again.
    Enforce,
    /// A path of the API, and the field that says what it is about.
    Plain(&'static str, Option<&'static str>),
    /// What nobody offered.
    None,
}

impl Way {
    pub(super) fn of(said: &Form) -> Self {
        match said.text("way") {
            Some("attach") => Self::Attach,
            Some("enforce") => Self::Enforce,
            Some("refill") => Self::Plain("/v1/store/refill", None),
            Some("resume") => Self::Plain("/v1/ingest/resume", Some("source")),
            Some("settle") => Self::Plain("/v1/store/conflicts/settle", Some("forgotten")),
            Some("trust") => Self::Plain("/v1/store/trust", None),
            Some("whole") => Self::Plain("/v1/store/whole", None),
            Some(_) | None => Self::None,
        }
    }

    /// Takes it.
    pub(super) async fn take(self, api: &Api, said: &Form) -> Result<(), Refused> {
        let call = match self {
            Self::Attach => attach(api, said).await?,
            Self::Enforce => Call { method: Method::POST, ..Call::get("/v1/fleet/enforce") },
            Self::Plain(path, about) => {
                let about = about.map(|name| (name.to_owned(), json!(said.text(name))));
                Call::post(path, Value::Object(about.into_iter().collect()))
            }
            Self::None => {
                let message = "the form names no way out";
                return Err(Refused::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", message));
            }
        };
        let tenant = said.text("of_tenant").or(said.text("tenant"));
        api.call::<IgnoredAny>(call.by_form(said).of(tenant)).await.map(|_| ())
    }
}

/// The call that gives a customer one alias more. The others stay: it has to be as it was read.
async fn attach(api: &Api, said: &Form) -> Result<Call<'static>, Refused> {
    let field = |name: &str| said.text(name).unwrap_or_default().to_owned();
    let tenant = said.text("of_tenant").or(said.text("tenant"));
    let path = format!("/v1/customers/{}", in_path(&field("customer")));
    let Customer { aliases, revision, .. } = api.get(path.clone(), tenant).await?;
    let mut aliases: BTreeMap<_, _> = aliases;
    aliases.insert(field("source"), field("external"));
    let body = json!({ "aliases": aliases, "revision": revision });
    Ok(Call { method: Method::PUT, ..Call::post(path, body) })
}
