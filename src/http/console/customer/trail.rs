//! What was done to a customer, and what has just been.

use maud::{Markup, html};

use super::{
    Parts,
    shape::{Recorded, Trail, url},
};
use crate::{
    domain::{Verb, audit::AuditOutcome},
    http::console::{
        api::{Refused, in_path, with_query},
        page, words,
    },
};

/// Where the API has it.
pub(super) fn path(id: &str, before: Option<&str>) -> String {
    let path = format!("/v1/customers/{}/audit", in_path(id));
    with_query(&path, [("limit", Some("20")), ("before", before)])
}

/// What came of the form of this key, as the trail tells it.
pub(super) fn flash(once: Option<&str>, parts: &Parts<'_>) -> Markup {
    let entries = parts.trail.map_or(&[][..], |trail| &trail.entries);
    let found = once.and_then(|once| entries.iter().find(|recorded| recorded.is_of(once)));
    let Some(recorded) = found else { return Markup::default() };
    let Recorded { revision, entry, .. } = recorded;
    let revision = revision.as_deref().unwrap_or("-");
    let verb = Verb::STATUS.into_iter().find(|verb| verb.as_str() == entry.action);
    let done = verb.map_or(entry.action.as_str(), |verb| words::verb(verb).done);
    page::done(&html! {
        @match entry.outcome {
            AuditOutcome::Changed => {
                p { strong { (done) " at revision " code { (revision) } "." } }
            }
            AuditOutcome::Unchanged => {
                p { strong { "Nothing had to be changed." } " It was so already." }
            }
            AuditOutcome::Refused => { p { strong { "It was refused." } } }
        }
        p {
            @if parts.explained.restrictions.is_empty() {
                "Nothing restricts the customer now."
            } @else {
                "In force now: "
                @for (place, held) in parts.in_force().enumerate() {
                    @if place > 0 { ", " }
                    (held.kind) " by " (held.source)
                }
                "."
            }
        }
    })
}

/// The newest entries, or older ones.
pub(super) fn section(parts: &Parts<'_>, trail: &Result<Trail, Refused>) -> Markup {
    html! {
        section aria-labelledby="trail" {
            h2 #trail { "What was done" }
            @match trail {
                Err(refused) => (page::refusal(refused)),
                Ok(trail) if trail.entries.is_empty() => {
                    p.dim { "Nothing is on record." }
                }
                Ok(trail) => {
                    (table(trail))
                    @if let Some(next) = &trail.next_cursor {
                        @let here = url(parts.id, None);
                        @let older = [("tenant", parts.tenant), ("before", Some(next.as_str()))];
                        p.more { a href={ (with_query(&here, older)) "#trail" } { "Older" } }
                    }
                }
            }
        }
    }
}

fn table(trail: &Trail) -> Markup {
    html! {
        table.cards aria-labelledby="trail" {
            thead {
                tr {
                    th scope="col" { "When" }
                    th scope="col" { "Who" }
                    th scope="col" { "What" }
                    th scope="col" { "For" }
                    th scope="col" { "Reason" }
                    th scope="col" { "Notes" }
                    th scope="col" { "Revision" }
                }
            }
            tbody { @for recorded in &trail.entries { (row(recorded)) } }
        }
    }
}

fn row(Recorded { revision, entry, notes_erased }: &Recorded) -> Markup {
    html! {
        tr {
            th scope="row" data-label="When" { (words::At(entry.at)) }
            td data-label="Who" {
                (entry.actor.name) " " span.dim { (entry.actor.role.as_str()) }
            }
            td data-label="What" {
                (entry.action)
                @match entry.outcome {
                    AuditOutcome::Changed => {}
                    AuditOutcome::Unchanged => { " " span.dim { "unchanged" } }
                    AuditOutcome::Refused => {
                        " " span.bad { "refused" } " "
                        code { (entry.refusal.as_deref().unwrap_or_default()) }
                    }
                }
            }
            td data-label="For" {
                @if let Some(source) = &entry.source { (source) }
            }
            td data-label="Reason" {
                @if let Some(reason) = entry.reason { (words::reason(reason)) }
            }
            td.notes data-label="Notes" {
                @match &entry.notes {
                    Some(notes) => { (notes) }
                    None if *notes_erased => { span.dim { "Erased with the customer" } }
                    None => {}
                }
            }
            td data-label="Revision" { code { (revision.as_deref().unwrap_or("-")) } }
        }
    }
}
