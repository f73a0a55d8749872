//! Who there is: the restricted ones first, then everybody by id.

use axum::{
    extract::RawQuery,
    http::StatusCode,
    response::{Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    api::{Api, Refused, Session, SignedIn, in_path, with_query},
    customer::shape::Customer,
    form::Form,
    page::{self, Page, Place},
    words,
};
use crate::domain::{RestrictionReason, Status};

/// `GET /`
pub(super) async fn home(_: SignedIn) -> Redirect {
    Redirect::to("/customers")
}

/// `GET /customers`
pub(super) async fn page(visit: SignedIn, RawQuery(raw): RawQuery) -> Response {
    let SignedIn { api, session } = &visit;
    let asked = Form::of_query(raw.as_deref());
    let wanted = Wanted::of(&asked);
    let (found, counts, restricted) = tokio::join!(
        wanted.read(api),
        Counts::read(api, session, wanted.is_everybody()),
        Restricted::read(api, wanted.tenant, wanted.is_everybody()),
    );
    let status = found.as_ref().err().map_or(StatusCode::OK, |refused| refused.status);
    let main = html! {
        h1 { "Customers" }
        (filters(&wanted, session))
        @if let Some(restricted) = &restricted { (restricted.section(&wanted, &counts)) }
        section aria-labelledby="all" {
            h2 #all {
                @if wanted.is_filtered() { "Found" } @else { "By id" }
                @if let Some(all) = counts.customers.filter(|_| wanted.is_everybody()) {
                    " " span.count { (words::count(all, "customer", "customers")) }
                }
            }
            @match &found {
                Ok(list) => (listed(list, &wanted)),
                Err(refused) => (page::refusal(refused)),
            }
        }
        @if wanted.status.is_none() && wanted.alias().is_none() {
            p.hint {
                "Inactive customers are left out here. "
                a href=(wanted.url([("status", Some("inactive"))])) { "Show those who are inactive" }
                ". " (words::INACTIVE)
            }
        }
    };
    let tenant = wanted.tenant;
    Page {
        title: "Customers",
        session: Some(session),
        place: Some(Place::Customers),
        tenant,
        ..Page::default()
    }
    .around(status, &main)
}

/// A page of customers, as the API lists them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    pub(super) customers: Vec<Customer>,
    pub(super) next_cursor: Option<String>,
}

/// Whom somebody looks for.
struct Wanted<'a> {
    tenant: Option<&'a str>,
    prefix: Option<&'a str>,
    alias_source: Option<&'a str>,
    alias_id: Option<&'a str>,
    status: Option<&'a str>,
    source: Option<&'a str>,
    reason: Option<&'a str>,
    after: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(asked: &'a Form) -> Self {
        Self {
            tenant: asked.text("tenant"),
            prefix: asked.text("prefix"),
            alias_source: asked.text("alias_source"),
            alias_id: asked.text("alias"),
            status: asked.text("status"),
            source: asked.text("source"),
            reason: asked.text("reason"),
            after: asked.text("after"),
        }
    }

    /// Whether only some are looked for.
    fn is_filtered(&self) -> bool {
        let said = [self.prefix, self.alias_id, self.status, self.source, self.reason];
        said.iter().any(Option::is_some)
    }

    /// Whether this is the first page of all.
    fn is_everybody(&self) -> bool {
        !self.is_filtered() && self.after.is_none()
    }

    fn alias(&self) -> Option<String> {
        let id = self.alias_id?;
        Some(format!("{}:{id}", self.alias_source.unwrap_or_default()))
    }

    /// The URL of this page, with something else said.
    fn url<const N: usize>(&self, other: [(&'a str, Option<&'a str>); N]) -> String {
        let mut said = vec![
            ("tenant", self.tenant),
            ("prefix", self.prefix),
            ("alias_source", self.alias_source),
            ("alias", self.alias_id),
            ("status", self.status),
            ("source", self.source),
            ("reason", self.reason),
        ];
        said.retain(|(name, _)| other.iter().all(|(replaced, _)| replaced != name));
        with_query("/customers", said.into_iter().chain(other))
    }

    async fn read(&self, api: &Api) -> Result<List, Refused> {
        let alias = self.alias();
        let path = with_query(
            "/v1/customers",
            [
                ("prefix", self.prefix),
                ("alias", alias.as_deref()),
                ("status", self.status),
                ("source", self.source),
                ("reason", self.reason),
                ("startAfter", self.after),
            ],
        );
        let mut list: List = api.get(path, self.tenant).await?;
        // Who is named in full is meant, hidden from lists or not.
        if let Some(id) = self.prefix.filter(|_| list.customers.is_empty() && self.after.is_none())
            && self.status.or(self.source).or(self.reason).or(self.alias_id).is_none()
        {
            let named = api.get(format!("/v1/customers/{}", in_path(id)), self.tenant).await;
            list.customers.extend(named.ok());
        }
        Ok(list)
    }
}

/// How many there are, as far as that is known at no cost.
#[derive(Default)]
struct Counts {
    customers: Option<u64>,
    restricted: Option<u64>,
}

impl Counts {
    /// Both are of every tenant, and for those who see every tenant.
    async fn read(api: &Api, session: &Session, wanted: bool) -> Self {
        #[derive(Deserialize)]
        struct Ingest {
            guard: Option<Guard>,
        }
        #[derive(Deserialize)]
        struct Guard {
            customers: u64,
        }
        #[derive(Deserialize)]
        struct Instance {
            cache: Cache,
        }
        #[derive(Deserialize)]
        struct Cache {
            restricted: u64,
        }
        if !wanted || session.tenant.is_some() {
            return Self::default();
        }
        let (ingest, instance) = tokio::join!(
            api.get::<Ingest>("/v1/ingest", None),
            api.get::<Instance>("/v1/instance", None),
        );
        Self {
            customers: ingest.ok().and_then(|it| it.guard).map(|guard| guard.customers),
            restricted: instance.ok().map(|it| it.cache.restricted),
        }
    }
}

/// Some of those who are kept out, whatever their ids.
struct Restricted {
    disabled: List,
    frozen: List,
}

impl Restricted {
    async fn read(api: &Api, tenant: Option<&str>, wanted: bool) -> Option<Self> {
        if !wanted {
            return None;
        }
        let of = |status| {
            let query = [("status", Some(status)), ("limit", Some(AT_FIRST))];
            api.get::<List>(with_query("/v1/customers", query), tenant)
        };
        let (disabled, frozen) = tokio::join!(of("disabled"), of("frozen"));
        Some(Self { disabled: disabled.ok()?, frozen: frozen.ok()? })
    }

    fn section(&self, wanted: &Wanted<'_>, counts: &Counts) -> Markup {
        let some = [&self.disabled, &self.frozen];
        let rows: Vec<_> = some.iter().flat_map(|list| &list.customers).collect();
        let more = [
            ("disabled", "All who are disabled", &self.disabled),
            ("frozen", "All who are frozen", &self.frozen),
        ];
        html! {
            section aria-labelledby="restricted" {
                h2 #restricted {
                    "Restricted"
                    @if let Some(all) = counts.restricted {
                        " " span.count {
                            (words::count(all, "customer", "customers")) " with a restriction, \
                             inactive ones too"
                        }
                    }
                }
                @if rows.is_empty() { p.dim { "Nobody is disabled or frozen." } }
                @else { (table(&rows, wanted.tenant, "restricted")) }
                p.more {
                    @for (status, word, list) in more {
                        @if list.next_cursor.is_some() {
                            a href=(wanted.url([("status", Some(status))])) { (word) } " "
                        }
                    }
                }
            }
        }
    }
}

fn filters(wanted: &Wanted<'_>, session: &Session) -> Markup {
    let statuses = [Status::Active, Status::Frozen, Status::Disabled, Status::Inactive];
    html! {
        form.filters method="get" action="/customers" role="search" aria-label="Customers" {
            (field("prefix", "Id begins with", wanted.prefix))
            (field("alias_source", "Alias: system", wanted.alias_source))
            (field("alias", "Alias: id", wanted.alias_id))
            div.field {
                label for="status" { "Status" }
                select #status name="status" {
                    option value="" { "All but inactive" }
                    @for status in statuses.map(Status::as_str) {
                        option value=(status) selected[wanted.status == Some(status)] { (status) }
                    }
                }
            }
            (field("source", "Restricted by", wanted.source))
            div.field {
                label for="reason" { "Reason" }
                select #reason name="reason" {
                    option value="" { "Any" }
                    @for reason in RestrictionReason::ALL {
                        option value=(reason.as_str())
                            selected[wanted.reason == Some(reason.as_str())]
                            { (words::reason(reason)) }
                    }
                }
            }
            @if session.tenant.is_none() { (field("tenant", "Tenant", wanted.tenant)) }
            button type="submit" { "Search" }
            @if wanted.is_filtered() {
                a href=(with_query("/customers", [("tenant", wanted.tenant)])) { "Clear" }
            }
        }
    }
}

fn field(name: &str, label: &str, value: Option<&str>) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) value=[value] autocomplete="off" spellcheck="false"
                autocapitalize="none";
        }
    }
}

fn listed(list: &List, wanted: &Wanted<'_>) -> Markup {
    let rows: Vec<_> = list.customers.iter().collect();
    html! {
        @if rows.is_empty() { p.dim { "Nobody is found here." } }
        @else { (table(&rows, wanted.tenant, "all")) }
        p.more {
            @if wanted.after.is_some() {
                a href=(wanted.url([])) { "From the beginning" } " "
            }
            @if let Some(next) = &list.next_cursor {
                a rel="next" href=(wanted.url([("after", Some(next))])) { "Go on" }
            }
        }
    }
}

fn table(rows: &[&Customer], tenant: Option<&str>, named_by: &str) -> Markup {
    html! {
        table.cards aria-labelledby=(named_by) {
            thead {
                tr {
                    th scope="col" { "Customer" }
                    th scope="col" { "Status" }
                    th scope="col" { "Why" }
                    th scope="col" { "Since" }
                    th scope="col" { "Plan" }
                }
            }
            tbody { @for customer in rows { (row(customer, tenant)) } }
        }
    }
}

fn row(customer: &Customer, tenant: Option<&str>) -> Markup {
    let held = customer.deciding();
    html! {
        tr {
            th scope="row" data-label="Customer" {
                a href=(customer.url(tenant)) { (customer.id) }
                @if let Some(name) = &customer.name { " " span.dim { (name) } }
            }
            td data-label="Status" { (words::status(customer.status)) }
            td data-label="Why" {
                @if let Some(held) = held {
                    (words::reason(held.reason)) " " span.dim { "by " (held.source) }
                    @if customer.restrictions.len() > 1 {
                        " " span.dim { "and " (customer.restrictions.len() - 1) " more" }
                    }
                }
            }
            td data-label="Since" { @if let Some(held) = held { (words::At(held.since)) } }
            td data-label="Plan" { @if let Some(plan) = &customer.plan { (plan) } }
        }
    }
}

/// How many of each are shown before they are asked for.
const AT_FIRST: &str = "10";
