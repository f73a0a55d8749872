//! One customer: what it is, why, what may be done about it, and what was.

mod acts;
mod entitlements;
mod question;
pub(super) mod shape;
mod trail;
mod why;

use axum::{
    extract::{Path, RawQuery},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::{
    question::Question,
    shape::{Customer, Explanation, Held, Trail},
};
use super::{
    api::{Api, Call, Refused, SignedIn, in_path, with_query},
    form::Form,
    page::{self, Page, Place},
    words,
};
use crate::domain::{Status, Verb};

/// `GET /customers/{id}`
pub(super) async fn page(
    visit: SignedIn,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Response {
    shown(&visit, &id, &Form::of_query(raw.as_deref()), None).await
}

/// `POST /customers/{id}`
pub(super) async fn act(visit: SignedIn, Path(id): Path<String>, said: Form) -> Response {
    let (tenant, once) = (said.text("tenant"), said.text("once"));
    let acted = match read_act(&said) {
        Ok((verb, body)) => {
            let path = format!("/v1/customers/{}/{}", in_path(&id), verb.as_str());
            visit.api.call::<Acted>(Call::post(path, body).by_form(&said).of(tenant)).await
        }
        Err(refused) => Err(refused),
    };
    match acted {
        Ok(acted) => {
            let path = format!("/customers/{}", in_path(&acted.customer_id));
            let shows = [("tenant", tenant), ("done", once)];
            Redirect::to(&with_query(&path, shows)).into_response()
        }
        Err(refused) => shown(&visit, &id, &said, Some(&refused)).await,
    }
}

/// What the API says of an act, as far as the page behind it needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Acted {
    customer_id: String,
}

/// The verb that a form asks for, and what it says about it.
fn read_act(said: &Form) -> Result<(Verb, Value), Refused> {
    let verb = said.text("verb");
    let verb = Verb::STATUS.into_iter().find(|it| Some(it.as_str()) == verb).ok_or_else(|| {
        Refused::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "the form names no act")
    })?;
    let text = |name| said.text(name).map(str::to_owned);
    let fields = [
        ("source", text("source")),
        ("reason", text("reason")),
        ("notes", text("notes")),
        ("until", said.moment("until")),
    ];
    let fields = fields.into_iter().filter_map(|(name, it)| Some((name.to_owned(), json!(it?))));
    Ok((verb, Value::Object(fields.collect::<Map<_, _>>())))
}

/// The page, with what was refused of what was `said`.
async fn shown(visit: &SignedIn, id: &str, said: &Form, refused: Option<&Refused>) -> Response {
    let SignedIn { api, session } = visit;
    let (tenant, question) = (said.text("tenant"), Question::of(said));
    let (customer, explained, trail) = tokio::join!(
        api.get::<Customer>(format!("/v1/customers/{}", in_path(id)), tenant),
        explain(api, id, tenant, &question),
        api.get::<Trail>(trail::path(id, said.text("before")), tenant),
    );
    let explained = match explained {
        Ok(explained) => explained,
        Err(refusal) => return page::of_refusal(Some(session), &refusal),
    };
    let parts = Parts {
        id,
        tenant,
        customer: customer.as_ref().ok(),
        explained: &explained.page,
        trail: trail.as_ref().ok(),
    };
    let status = match (refused, &customer) {
        (Some(refused), _) => refused.status,
        (None, Err(missing)) if explained.page.known == Some(false) => missing.status,
        (None, _) => StatusCode::OK,
    };
    let main = html! {
        (parts.head())
        (trail::flash(said.text("done"), &parts))
        @if let Err(missing) = &customer { (page::refusal(missing)) }
        (parts.warnings())
        @if explained.page.known != Some(false) {
            (acts::section(&parts, session, refused.map(|refused| (said, refused))))
            (why::section(&parts, session))
        }
        @if let Some(customer) = &customer.as_ref().ok() { (entitlements::section(customer)) }
        (question.section(&parts, explained.refused.as_ref()))
        (trail::section(&parts, &trail))
    };
    Page {
        title: id,
        session: Some(session),
        place: Some(Place::Customers),
        tenant,
        ..Page::default()
    }
    .around(status, &main)
}

/// Why it is answered as it is, and what is wrong with the question, if it cannot be answered.
struct Explained {
    page: Explanation,
    refused: Option<Refused>,
}

async fn explain(
    api: &Api,
    id: &str,
    tenant: Option<&str>,
    question: &Question<'_>,
) -> Result<Explained, Refused> {
    let path = format!("/v1/explain/{}", in_path(id));
    match api.get(question.path(&path), tenant).await {
        Ok(page) => Ok(Explained { page, refused: None }),
        // The page is shown all the same, if it was the question.
        Err(refused) if question.is_asked() => {
            Ok(Explained { page: api.get(path, tenant).await?, refused: Some(refused) })
        }
        Err(refused) => Err(refused),
    }
}

/// What the sections of the page are about.
struct Parts<'a> {
    id: &'a str,
    tenant: Option<&'a str>,
    /// Nothing where there is none, or the store does not answer.
    customer: Option<&'a Customer>,
    explained: &'a Explanation,
    trail: Option<&'a Trail>,
}

impl Parts<'_> {
    /// Every restriction that is in force, as it decides.
    fn in_force(&self) -> impl Iterator<Item = &Held> {
        self.explained.restrictions.iter().map(|standing| &standing.held)
    }

    fn status(&self) -> Status {
        self.in_force().map(|held| held.kind).max().into()
    }

    fn head(&self) -> Markup {
        let Explanation { record, .. } = self.explained;
        let newest = self.customer.and_then(|customer| customer.revision.as_deref());
        html! {
            p.back {
                a href=(with_query("/customers", [("tenant", self.tenant)])) { "Customers" }
            }
            div.title #customer data-id=(self.id) data-tenant=[self.tenant]
                data-revision=[newest] data-status=(self.status().as_str()) {
                h1 { (self.id) }
                @if let Some(name) = self.customer.and_then(|it| it.name.as_ref()) {
                    span.dim { (name) }
                }
                @if self.explained.known == Some(true) || self.status() != Status::Active {
                    (words::status(self.status()))
                }
            }
            @if let Some(customer) = self.customer {
                p { (words::meaning(self.status())) " Access: "
                    strong { (words::access(&customer.access)) } "." }
                p.dim {
                    "Revision " code { (newest.unwrap_or("-")) }
                    ", changed " (words::At(customer.updated_at))
                    ", made " (words::At(customer.created_at)) ". This instance decides by "
                    code { (record.revision.as_deref().unwrap_or("-")) }
                    @if let Some(age) = record.age_ms { ", confirmed " (age) " ms ago" }
                    "."
                }
            }
        }
    }

    /// What makes all the rest less true than it looks.
    fn warnings(&self) -> Markup {
        let Explanation { record, store, withheld, fleet, .. } = self.explained;
        html! {
            @if let Some(until) = fleet.shadow_until {
                div.notice.warn {
                    p { strong { "The whole fleet is in shadow until " (words::At(until)) ":" }
                        " nobody is refused, whatever is said here." }
                }
            }
            @if !store.answered {
                div.notice.warn {
                    p { strong { "The store does not answer." } " What is in memory decides; "
                        "who is known to be restricted stays refused." }
                }
            } @else if let Some(lost) = &store.lost {
                div.notice.warn {
                    p { strong { "The store is not believed:" } " " (lost) ". "
                        a href="/trouble" { "What to do about it" } }
                }
            }
            @if record.stale {
                div.notice.warn {
                    p { strong { "What this instance knows is stale." } " "
                        a href="/live" { "How stale" } }
                }
            }
            @if !withheld.is_empty() {
                div.notice.warn {
                    p { strong { "The store forgot an act on this customer." }
                        " Whom it restricts stays refused until that is settled. "
                        a href="/trouble" { "What to do about it" } }
                }
            }
            @if let Some(purged) = self.customer.and_then(|it| it.purged_at) {
                div.notice.warn {
                    p { strong { "This customer was erased " (words::At(purged)) "." } }
                }
            }
        }
    }
}
