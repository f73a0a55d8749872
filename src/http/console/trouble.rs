//! What is wrong, what that means, and the button for each way out, with how many customers it lets in
//! or keeps out.

mod sources;
mod store;
mod unresolved;
mod ways;

use axum::{
    extract::RawQuery,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use maud::{Markup, html};

use self::{sources::Ingest, store::Store, unresolved::Unresolved, ways::Way};
use super::{
    api::{Api, Refused, Session, SignedIn, with_query},
    customer::shape::Trail,
    form::{Form, once},
    live::Instance,
    page::{self, Page, Place},
    words,
};
use crate::domain::Role;

/// `GET /trouble`
pub(super) async fn page(visit: SignedIn, RawQuery(raw): RawQuery) -> Response {
    shown(&visit, &Form::of_query(raw.as_deref()), None).await
}

/// `POST /trouble`
pub(super) async fn act(visit: SignedIn, said: Form) -> Response {
    match Way::of(&said).take(&visit.api, &said).await {
        Ok(()) => {
            let shows = [("tenant", said.text("tenant")), ("done", said.text("once"))];
            Redirect::to(&with_query("/trouble", shows)).into_response()
        }
        Err(refused) => shown(&visit, &said, Some(&refused)).await,
    }
}

async fn shown(visit: &SignedIn, said: &Form, refused: Option<&Refused>) -> Response {
    let SignedIn { api, session } = visit;
    let tenant = said.text("tenant");
    let (instance, store, ingest, unresolved, done) = tokio::join!(
        api.get::<Instance>("/v1/instance", None),
        Store::read(api, session),
        api.get::<Ingest>("/v1/ingest", tenant),
        api.get::<Unresolved>("/v1/ingest/unresolved", tenant),
        done(api, tenant, said.text("done")),
    );
    let acts = Acts { session, tenant };
    let sections = [
        instance.as_ref().map(|instance| of_instance(instance, &acts)).unwrap_or_default(),
        store.section(&acts),
        section_of(&ingest, |ingest| ingest.section(&acts)),
        section_of(&unresolved, |unresolved| unresolved.section(&acts)),
    ];
    let is_fine = sections.iter().all(|section| section.0.is_empty());
    let main = html! {
        h1 { "Trouble" }
        @if let Some(action) = done {
            (page::done(&html! {
                p { strong { "Done." } " It is on record as " code { (action) } "." }
            }))
        }
        @if let Some(refused) = refused { (page::refusal(refused)) }
        @if is_fine {
            div.notice.good {
                p { strong { "Nothing is wrong." } " The store answers and is believed, no source is \
                    paused, nothing waits for a customer that nobody knows, and denies are enforced." }
            }
        }
        @for section in &sections { (section) }
        @if session.tenant.is_some() {
            p.dim { "Your key sees one tenant: how the store and this instance stand is not shown." }
        }
    };
    let status = refused.map_or(StatusCode::OK, |refused| refused.status);
    let (title, place) = ("Trouble", Some(Place::Trouble));
    Page { title, session: Some(session), place, tenant, ..Page::default() }.around(status, &main)
}

fn section_of<T>(read: &Result<T, Refused>, section: impl FnOnce(&T) -> Markup) -> Markup {
    match read {
        Ok(read) => section(read),
        Err(refused) => page::refusal(refused),
    }
}

/// As what the form of this key is on record, if it is.
async fn done(api: &Api, tenant: Option<&str>, once: Option<&str>) -> Option<String> {
    let once = once?;
    let trail = api.get::<Trail>("/v1/audit?limit=50", tenant).await.ok()?;
    let entry = trail.entries.into_iter().find(|recorded| recorded.is_of(once))?;
    Some(entry.entry.action)
}

/// How this very instance stands, where that is not well.
fn of_instance(instance: &Instance, acts: &Acts<'_>) -> Markup {
    let Instance { store, feed, staleness, policy, fleet, cache, .. } = instance;
    html! {
        @if !feed.connected || staleness.stale || feed.suspect {
            section.trouble aria-labelledby="feed" {
                h2 #feed { "This instance does not hear of changes" }
                p {
                    @match staleness.seconds {
                        Some(age) => { "What it knows was last confirmed " (format!("{age:.0}")) " s ago. " }
                        None => { "It has no picture of the store yet. " }
                    }
                    @if staleness.too_stale {
                        "That is past the limit: only known restrictions decide, and everybody else \
                         is undecided."
                    } @else {
                        "It goes on answering from memory: who is known to be restricted stays \
                         refused, and everybody else passes until " (staleness.limit_seconds)
                        " s have gone by."
                    }
                }
                p { "The way out is the store: it is not reached from here. Nothing has to be said \
                    once it is back." }
            }
        }
        @if store.restricted_lost {
            section.trouble aria-labelledby="set" {
                h2 #set { "The store's restricted set is not whole" }
                p { "Somebody deleted a part of it. Instances write it again from what they know; \
                    meanwhile nobody is let in for it." }
            }
        }
        @if let Some(until) = fleet.shadow_until {
            section.trouble aria-labelledby="shadow" {
                h2 #shadow { "The whole fleet is in shadow" }
                p { "Until " (words::At(until)) " nobody is refused." }
                (acts.button(Role::Admin, "enforce", "Enforce again", &html! {
                    p.effect { strong { "Keeps "
                        (words::count(cache.restricted, "customer", "customers")) " out" }
                        " again, whom something restricts." }
                }))
            }
        }
        @if let Some(refused) = &policy.refused {
            section.trouble aria-labelledby="policy" {
                h2 #policy { "The policy file cannot be used" }
                p { "The one before it stays in force. The way out is the file:" }
                pre { (refused) }
            }
        }
    }
}

/// Who may press what.
struct Acts<'a> {
    session: &'a Session,
    tenant: Option<&'a str>,
}

impl Acts<'_> {
    /// A way out: what it does, and its button for those who may.
    fn button(&self, needed: Role, way: &str, label: &str, says: &Markup) -> Markup {
        self.form(needed, way, label, says, &[])
    }

    /// The same, of something.
    fn form(
        &self,
        needed: Role,
        way: &str,
        label: &str,
        says: &Markup,
        about: &[(&str, &str)],
    ) -> Markup {
        html! {
            form.card.way method="post" action="/trouble" {
                (says)
                @if self.session.may(needed) {
                    input type="hidden" name="csrf" value=(self.session.csrf_token);
                    input type="hidden" name="once" value=(once());
                    input type="hidden" name="way" value=(way);
                    @if let Some(tenant) = self.tenant {
                        input type="hidden" name="tenant" value=(tenant);
                    }
                    @for (name, value) in about {
                        input type="hidden" name=(name) value=(value);
                    }
                    button.primary type="submit" { (label) }
                } @else {
                    p.dim { (label) " takes the role " (needed.as_str()) "." }
                }
            }
        }
    }
}
