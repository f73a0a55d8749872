//! Why a customer is what it is: each restriction, whoever holds it.

use maud::{Markup, html};

use super::{Parts, acts, shape::Standing};
use crate::http::console::{api::Session, words};

/// What restricts it now, and what will.
pub(super) fn section(parts: &Parts<'_>, session: &Session) -> Markup {
    html! {
        section aria-labelledby="why" {
            h2 #why { "Why" }
            @if parts.explained.restrictions.is_empty() {
                p.dim { "Nothing restricts this customer." }
            } @else {
                (table(&parts.explained.restrictions, "why", parts, session))
            }
            @if !parts.explained.scheduled.is_empty() {
                h3 #scheduled { "Still to come" }
                (table(&parts.explained.scheduled, "scheduled", parts, session))
            }
        }
    }
}

fn table(held: &[Standing], named_by: &str, parts: &Parts<'_>, session: &Session) -> Markup {
    html! {
        table.cards aria-labelledby=(named_by) {
            thead {
                tr {
                    th scope="col" { "Kind" }
                    th scope="col" { "Held by" }
                    th scope="col" { "Reason" }
                    th scope="col" { "Since" }
                    th scope="col" { "Until" }
                    th scope="col" { "Placed by" }
                    th scope="col" { "Notes" }
                    th scope="col" { "Lift" }
                }
            }
            tbody { @for standing in held { (row(standing, parts, session)) } }
        }
    }
}

fn row(standing: &Standing, parts: &Parts<'_>, session: &Session) -> Markup {
    let held = &standing.held;
    html! {
        tr {
            th scope="row" data-label="Kind" { (words::kind(held.kind)) }
            td data-label="Held by" {
                (held.source)
                @if standing.source_paused {
                    " " a href="/trouble" { "paused by the guard" }
                }
            }
            td data-label="Reason" { (words::reason(held.reason)) }
            td data-label="Since" { (words::At(held.since)) }
            td data-label="Until" {
                @if let Some(until) = held.until {
                    span.ends data-at=(until) { (words::At(until)) }
                } @else { span.dim { "Until lifted" } }
            }
            td data-label="Placed by" {
                (held.actor.as_deref().unwrap_or("-"))
                @if let Some(informed) = held.informed_at {
                    " " span.dim { "told the customer " (words::At(informed)) }
                }
            }
            td.notes data-label="Notes" { (held.notes.as_deref().unwrap_or_default()) }
            td data-label="Lift" { (acts::lift_of(parts, session, standing)) }
        }
    }
}
