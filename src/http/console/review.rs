//! Who is kept out, since when, by whom and why, the oldest first; and lifting many at once.

mod export;

use std::collections::BTreeMap;

use axum::{
    extract::RawQuery,
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

pub(super) use self::export::export;
use super::{
    api::{Api, Call, Refused, Session, SignedIn, in_path, with_query},
    customer::shape::{Customer, Held, Trail},
    customers::List,
    form::{Form, once},
    page::{self, Page, Place},
    words,
};
use crate::domain::{Kind, Role, audit::AuditOutcome};

/// `GET /review`
pub(super) async fn page(visit: SignedIn, RawQuery(raw): RawQuery) -> Response {
    let said = Form::of_query(raw.as_deref());
    shown(&visit, &said, StatusCode::OK, &[]).await
}

/// `POST /review`: lifts what was picked, one by one, each as it was when it was listed.
pub(super) async fn lift(visit: SignedIn, said: Form) -> Response {
    let wanted = Wanted::of(&said);
    let refused = wanted.lift(&visit.api, &said).await;
    let Some((_, first)) = refused.first() else {
        let shows = [("done", said.text("once"))];
        return Redirect::to(&wanted.url("/review", shows)).into_response();
    };
    let status = first.status;
    shown(&visit, &said, status, &refused).await
}

async fn shown(
    visit: &SignedIn,
    said: &Form,
    status: StatusCode,
    refused: &[(String, Refused)],
) -> Response {
    let SignedIn { api, session } = visit;
    let wanted = Wanted::of(said);
    let (found, lifted) = tokio::join!(
        wanted.read(api),
        lifted(api, session, wanted.tenant, said.text("once").or(said.text("done")))
    );
    let status = found.as_ref().err().map_or(status, |refused| refused.status);
    let main = html! {
        h1 { "Review" }
        @if let Some(count) = lifted.filter(|count| *count > 0) {
            (page::done(&html! {
                p { strong { (words::verb(words::lifts(wanted.kind)).done) ": "
                    (words::count(count, "customer", "customers")) "." } }
            }))
        }
        @if !refused.is_empty() {
            div.notice.bad role="alert" {
                p { strong { (words::count(refused.len() as u64, "act was", "acts were")) " refused." } }
                ul { @for (id, why) in refused { li { code { (id) } ": " (why.message) } } }
            }
        }
        (wanted.filters(session))
        @match &found {
            Ok(found) => (listed(found, &wanted, session)),
            Err(refused) => (page::refusal(refused)),
        }
    };
    let (title, tenant) = ("Review", wanted.tenant);
    Page { title, session: Some(session), place: Some(Place::Review), tenant, ..Page::default() }
        .around(status, &main)
}

/// How many acts of the form of this key are on record as having changed something.
async fn lifted(
    api: &Api,
    session: &Session,
    tenant: Option<&str>,
    once: Option<&str>,
) -> Option<u64> {
    let once = once?;
    let by = [("actor", Some(session.name.as_str())), ("limit", Some("100"))];
    let trail = api.get::<Trail>(with_query("/v1/audit", by), tenant).await.ok()?;
    let entries = trail.entries.iter();
    let of_it = entries.filter(|it| it.is_of(once) && it.entry.outcome == AuditOutcome::Changed);
    Some(of_it.count() as u64)
}

/// Whom to look at.
struct Wanted<'a> {
    tenant: Option<&'a str>,
    kind: Kind,
    source: Option<&'a str>,
}

/// A restriction of somebody who is looked at.
struct Row {
    customer: Customer,
    held: Held,
}

/// What was found, as far as was read.
struct Found {
    rows: Vec<Row>,
    has_more: bool,
}

impl<'a> Wanted<'a> {
    fn of(said: &'a Form) -> Self {
        let status = said.text("status");
        let kind = Kind::ALL.into_iter().find(|kind| Some(kind.as_str()) == status);
        Self {
            tenant: said.text("tenant"),
            kind: kind.unwrap_or(Kind::Disabled),
            source: said.text("source"),
        }
    }

    fn url<const N: usize>(&self, path: &str, more: [(&'a str, Option<&'a str>); N]) -> String {
        let said = [
            ("status", Some(self.kind.as_str())),
            ("source", self.source),
            ("tenant", self.tenant),
        ];
        with_query(path, said.into_iter().chain(more))
    }

    /// The next of them, in the order of their ids, and where it goes on.
    async fn page(
        &self,
        api: &Api,
        after: Option<&str>,
    ) -> Result<(Vec<Row>, Option<String>), Refused> {
        let query = [
            ("status", Some(self.kind.as_str())),
            ("source", self.source),
            ("limit", Some("100")),
            ("startAfter", after),
        ];
        let list: List = api.get(with_query("/v1/customers", query), self.tenant).await?;
        let mut rows = Vec::new();
        for customer in list.customers {
            for held in &customer.restrictions {
                let is_meant = self.source.is_none_or(|source| held.source.as_str() == source);
                if held.kind == self.kind && is_meant {
                    rows.push(Row { customer: customer.clone(), held: held.clone() });
                }
            }
        }
        Ok((rows, list.next_cursor))
    }

    async fn read(&self, api: &Api) -> Result<Found, Refused> {
        let mut rows = Vec::new();
        let mut after = None;
        for _ in 0..PAGES_READ {
            let (more, next) = self.page(api, after.as_deref()).await?;
            rows.extend(more);
            after = next;
            if after.is_none() {
                break;
            }
        }
        rows.sort_by_key(|row| row.held.since);
        Ok(Found { rows, has_more: after.is_some() })
    }

    /// Lifts what was picked, and tells what was refused.
    async fn lift(&self, api: &Api, said: &Form) -> Vec<(String, Refused)> {
        #[derive(Deserialize)]
        struct Acted {
            revision: String,
        }
        let verb = words::lifts(self.kind).as_str();
        let (mut refused, mut revisions) = (Vec::new(), BTreeMap::new());
        let once = said.text("once").unwrap_or_default();
        for (place, picked) in said.all("pick").iter().enumerate() {
            let mut parts = picked.splitn(3, '|');
            let mut part = || parts.next().unwrap_or_default();
            let (id, source, listed) = (part(), part(), part());
            // What was lifted of the same customer a moment ago is no reason to stop.
            let at = revisions.get(id).map_or(listed, String::as_str);
            let body = json!({ "source": source, "notes": said.text("notes") });
            // One form, and yet each is an act of its own.
            let key = format!("{once}-{place}");
            let call = Call::post(format!("/v1/customers/{}/{verb}", in_path(id)), body);
            let call = Call { key: Some(&key), at: Some(at), ..call.by_form(said) };
            match api.call::<Acted>(call.of(self.tenant)).await {
                Ok(acted) => drop(revisions.insert(id, acted.revision)),
                Err(why) => refused.push((id.to_owned(), why)),
            }
        }
        refused
    }

    fn filters(&self, session: &Session) -> Markup {
        html! {
            form.filters method="get" action="/review" role="search" aria-label="Review" {
                div.field {
                    label for="status" { "Who is" }
                    select #status name="status" {
                        @for kind in [Kind::Disabled, Kind::Frozen, Kind::Inactive] {
                            option value=(kind.as_str()) selected[self.kind == kind] { (kind) }
                        }
                    }
                }
                div.field {
                    label for="source" { "Held by" }
                    input #source name="source" value=[self.source] autocomplete="off"
                        spellcheck="false" autocapitalize="none";
                }
                @if session.tenant.is_none() {
                    div.field {
                        label for="tenant" { "Tenant" }
                        input #tenant name="tenant" value=[self.tenant] autocomplete="off"
                            spellcheck="false";
                    }
                }
                button type="submit" { "Look" }
                a href=(self.url("/review/export", [])) download { "Export as CSV" }
            }
        }
    }
}

fn listed(found: &Found, wanted: &Wanted<'_>, session: &Session) -> Markup {
    let act = words::verb(words::lifts(wanted.kind));
    let may_act = found.rows.iter().any(|row| session.may(needed(session, &row.held)));
    html! {
        p.count #found {
            (words::count(found.rows.len() as u64, "restriction", "restrictions"))
            ", the oldest first"
            @if found.has_more {
                "; there are more, which the export has, and " code { "tollgate review" }
            }
            "."
        }
        @if found.rows.is_empty() { p.dim { "Nobody is " (wanted.kind) "." } }
        @else {
            form #bulk method="post" action="/review" {
                input type="hidden" name="csrf" value=(session.csrf_token);
                input type="hidden" name="once" value=(once());
                input type="hidden" name="status" value=(wanted.kind.as_str());
                @if let Some(source) = wanted.source {
                    input type="hidden" name="source" value=(source);
                }
                @if let Some(tenant) = wanted.tenant {
                    input type="hidden" name="tenant" value=(tenant);
                }
                (table(found, wanted, session))
                @if may_act {
                    div.card.bulk {
                        label for="notes" { "Notes on each, for operators only" }
                        input #notes name="notes" maxlength="2000" autocomplete="off";
                        button.primary type="submit" data-verb=(act.button) {
                            (act.button) " who is picked"
                        }
                        p.hint {
                            "Each as it is listed here: who was changed meanwhile is left alone."
                        }
                    }
                }
            }
        }
    }
}

fn table(found: &Found, wanted: &Wanted<'_>, session: &Session) -> Markup {
    html! {
        table.cards aria-labelledby="found" {
            thead {
                tr {
                    th scope="col" { "Pick" }
                    th scope="col" { "Customer" }
                    th scope="col" { "Since" }
                    th scope="col" { "Held by" }
                    th scope="col" { "Reason" }
                    th scope="col" { "Until" }
                    th scope="col" { "Placed by" }
                    th scope="col" { "Notes" }
                }
            }
            tbody { @for row in &found.rows { (line(row, wanted, session)) } }
        }
    }
}

fn line(Row { customer, held }: &Row, wanted: &Wanted<'_>, session: &Session) -> Markup {
    let id = &customer.id;
    let revision = customer.revision.as_deref().unwrap_or_default();
    html! {
        tr {
            td data-label="Pick" {
                @if session.may(needed(session, held)) {
                    input type="checkbox" name="pick" aria-label={ "Pick " (id) " of " (held.source) }
                        value={ (id) "|" (held.source) "|" (revision) };
                }
            }
            th scope="row" data-label="Customer" {
                a href=(customer.url(wanted.tenant)) { (id) }
                @if let Some(name) = &customer.name { " " span.dim { (name) } }
            }
            td data-label="Since" { (words::At(held.since)) }
            td data-label="Held by" { (held.source) }
            td data-label="Reason" { (words::reason(held.reason)) }
            td data-label="Until" { (words::at_or(held.until, "Until lifted")) }
            td data-label="Placed by" {
                (held.actor.as_deref().unwrap_or("-"))
                @if let Some(informed) = held.informed_at {
                    " " span.dim { "told the customer " (words::At(informed)) }
                }
            }
            td.notes data-label="Notes" { (held.notes.as_deref().unwrap_or_default()) }
        }
    }
}

/// The role that lifting takes, as far as that decides what is shown.
fn needed(session: &Session, held: &Held) -> Role {
    let is_own = held.source == session.source();
    if is_own && !held.reason.is_sensitive() { Role::Support } else { Role::Manager }
}

const PAGES_READ: usize = 20;
