//! What waits because nobody knows the customer.

use maud::{Markup, html};
use serde::Deserialize;

use super::Acts;
use crate::{
    domain::{Role, Timestamp},
    http::console::{form::once, words},
};

/// A page of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unresolved {
    unresolved: Vec<Waiting>,
    has_more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    source: String,
    tenant_id: String,
    external_id: String,
    status: Option<String>,
    received_at: Timestamp,
}

impl Unresolved {
    pub(super) fn section(&self, acts: &Acts<'_>) -> Markup {
        html! {
            @if !self.unresolved.is_empty() {
                section.trouble aria-labelledby="unresolved" {
                    h2 #unresolved { "Events of customers that nobody knows" }
                    p { "A billing system told of an id that is no customer's and nobody's alias. It is \
                        tried again by itself: say whose id it is, or make the customer. Each keeps \
                        out, or lets in, one customer." }
                    table.cards aria-labelledby="unresolved" {
                        thead {
                            tr {
                                th scope="col" { "Received" }
                                th scope="col" { "Source" }
                                th scope="col" { "Its id" }
                                th scope="col" { "Says" }
                                th scope="col" { "Whose it is" }
                            }
                        }
                        tbody {
                            @for (place, waiting) in self.unresolved.iter().enumerate() {
                                (row(place, waiting, acts))
                            }
                        }
                    }
                    @if self.has_more { p.dim { "There are more." } }
                }
            }
        }
    }
}

fn row(place: usize, waiting: &Waiting, acts: &Acts<'_>) -> Markup {
    html! {
        tr {
            th scope="row" data-label="Received" { (words::At(waiting.received_at)) }
            td data-label="Source" { (waiting.source) }
            td data-label="Its id" {
                code { (waiting.external_id) } " " span.dim { "tenant " (waiting.tenant_id) }
            }
            td data-label="Says" { (waiting.status.as_deref().unwrap_or("features")) }
            td data-label="Whose it is" {
                @if acts.session.may(Role::Manager) { (attach(place, waiting, acts)) }
                @else { span.dim { "To say so takes the role manager" } }
            }
        }
    }
}

fn attach(place: usize, waiting: &Waiting, acts: &Acts<'_>) -> Markup {
    html! {
        form.inline method="post" action="/trouble" {
            input type="hidden" name="csrf" value=(acts.session.csrf_token);
            input type="hidden" name="once" value=(once());
            input type="hidden" name="way" value="attach";
            input type="hidden" name="source" value=(waiting.source);
            input type="hidden" name="external" value=(waiting.external_id);
            input type="hidden" name="of_tenant" value=(waiting.tenant_id);
            @if let Some(tenant) = acts.tenant {
                input type="hidden" name="tenant" value=(tenant);
            }
            label for={ "whose-" (place) } { "Customer id" }
            input id={ "whose-" (place) } name="customer" required autocomplete="off"
                spellcheck="false";
            button type="submit" { "It is theirs" }
        }
    }
}
