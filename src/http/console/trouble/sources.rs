//! Sources that the guard has paused.

use maud::{Markup, html};
use serde::Deserialize;

use super::Acts;
use crate::{
    domain::{Role, Timestamp},
    http::console::words,
};

/// What billing systems say without the API, and what the guard made of it.
#[derive(Deserialize)]
pub(super) struct Ingest {
    inbox: Option<u64>,
    dead: Option<u64>,
    guard: Option<Guard>,
    sources: Vec<Source>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Guard {
    window_seconds: u64,
    customers: u64,
    limit: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    #[serde(rename = "source")]
    name: String,
    restricted: u64,
    paused: bool,
    paused_since: Option<Timestamp>,
}

impl Ingest {
    pub(super) fn section(&self, acts: &Acts<'_>) -> Markup {
        let paused = || self.sources.iter().filter(|source| source.paused);
        html! {
            @if paused().next().is_some() {
                section.trouble aria-labelledby="paused" {
                    h2 #paused { "A source is paused by the guard" }
                    p { "It restricted more customers than one source may. Until somebody resumes it, \
                        what it asks for is refused or waits; who is restricted stays so, and what \
                        lifts goes on." }
                    @for source in paused() { (self.way(source, acts)) }
                }
            }
            @if let Some(dead) = self.dead.filter(|dead| *dead > 0) {
                section.trouble aria-labelledby="dead" {
                    h2 #dead { "Messages that can never be applied" }
                    p { (words::count(dead, "entry of the inbox was", "entries of the inbox were"))
                        " put aside. The log says why of each; the way out is whoever wrote them." }
                }
            }
        }
    }

    fn way(&self, source: &Source, acts: &Acts<'_>) -> Markup {
        let waiting = self.inbox.unwrap_or_default();
        let label = format!("Resume {}", source.name);
        acts.form(
            Role::Manager,
            "resume",
            &label,
            &html! {
                h3 { (source.name) }
                p {
                    "Paused since " (words::at_or(source.paused_since, "some time")) ". "
                    @if let Some(Guard { window_seconds, customers, limit }) = &self.guard {
                        "It restricted " (words::count(source.restricted, "customer", "customers"))
                        " within " (window_seconds / 60) " min; the guard lets it restrict "
                        (words::grouped(*limit)) " of " (words::grouped(*customers)) "."
                    }
                }
                p.effect {
                    @if waiting == 0 {
                        strong { "Lets nobody in, and nobody waits to be kept out." }
                        " From then on it restricts again whom it asks for."
                    } @else {
                        strong { "Keeps up to " (words::count(waiting, "customer", "customers")) " out" }
                        ": as many entries wait in the inbox, and are applied in their order."
                    }
                }
                p.dim {
                    a href={ "/review?status=disabled&source=" (source.name) } { "Whom it disabled" } " · "
                    a href={ "/review?status=frozen&source=" (source.name) } { "Whom it froze" }
                    " · to reverse a batch: " code { "tollgate undo --source " (source.name) }
                }
            },
            &[("source", &source.name)],
        )
    }
}
