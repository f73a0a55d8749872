//! What happens now: how fresh this instance is, whom it refuses, and what changes.
//!
//! The numbers are written once and kept live by a script; where there is none, the page is loaded
//! anew every few seconds.

use axum::{extract::RawQuery, http::StatusCode, response::Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    api::{Refused, SignedIn},
    assets,
    customer::shape::Fleet,
    form::Form,
    page::{self, Page, Place},
    words,
};
use crate::domain::Status;

/// `GET /live`
pub(super) async fn page(visit: SignedIn, RawQuery(raw): RawQuery) -> Response {
    let SignedIn { api, session } = &visit;
    let said = Form::of_query(raw.as_deref());
    let instance = api.get::<Instance>("/v1/instance", None).await;
    let main = html! {
        h1 { "Live" }
        @match &instance {
            Ok(instance) => (numbers(instance)),
            Err(refused) => (unavailable(refused)),
        }
        (changes())
    };
    let page = Page {
        title: "Live",
        session: Some(session),
        place: Some(Place::Live),
        tenant: said.text("tenant"),
        script: Some(&assets::LIVE),
        reloads: true,
    };
    page.around(StatusCode::OK, &main)
}

/// How an instance stands, as the API tells it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Instance {
    version: String,
    ready: bool,
    pub(super) store: StoreStand,
    pub(super) feed: Feed,
    pub(super) staleness: Staleness,
    pub(super) cache: Cache,
    pub(super) policy: Policy,
    pub(super) fleet: Fleet,
    checks: Vec<Counted>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoreStand {
    pub(super) lost: Option<String>,
    pub(super) restricted_lost: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Feed {
    pub(super) connected: bool,
    phase: String,
    pub(super) suspect: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Staleness {
    pub(super) seconds: Option<f64>,
    pub(super) stale: bool,
    pub(super) too_stale: bool,
    budget_seconds: f64,
    pub(super) limit_seconds: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cache {
    pub(super) restricted: u64,
    recent: u64,
    unknown: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Policy {
    hash: Option<String>,
    routes: u64,
    mode: String,
    pub(super) refused: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Counted {
    reason: String,
    decision: String,
    count: u64,
}

fn numbers(instance: &Instance) -> Markup {
    let Instance { store, feed, staleness, cache, policy, .. } = instance;
    let age = staleness.seconds.map_or("no picture yet".to_owned(), |age| format!("{age:.1} s"));
    let (budget, limit) = (staleness.budget_seconds, staleness.limit_seconds);
    let (freshness, is_good) = match (staleness.too_stale, staleness.stale) {
        (true, _) => ("Too stale", false),
        (false, true) => ("Stale", false),
        (false, false) => ("Fresh", true),
    };
    html! {
        p #broken.notice.bad role="alert" hidden { "This instance does not answer." }
        section aria-labelledby="instance" {
            h2 #instance { "This instance" }
            dl.tiles #live {
                (tile("freshness", "Freshness", freshness, is_good))
                (tile("age", "Last confirmed", &age, is_good))
                (tile("feed", "Feed", if feed.connected { &feed.phase } else { "disconnected" }, feed.connected))
                (tile("store", "Store", store.lost.as_deref().unwrap_or("believed"), store.lost.is_none()))
                (tile("ready", "Traffic", if instance.ready { "ready" } else { "not ready" }, instance.ready))
                (tile("mode", "Mode", if instance.fleet.shadow_until.is_some() { "shadow (fleet)" } else { &policy.mode },
                    instance.fleet.shadow_until.is_none() && policy.mode == "enforce"))
                (tile("restricted", "Restricted in memory", &words::grouped(cache.restricted), true))
                (tile("recent", "Records in memory", &words::grouped(cache.recent), true))
                (tile("unknown", "Known to be nobody", &words::grouped(cache.unknown), true))
                (tile("version", "Version", &instance.version, true))
                (tile("policy", "Policy", &policy_word(policy), policy.refused.is_none()))
            }
            p.hint {
                "Answers are marked stale past " (budget) " s, and past " (limit) " s only known \
                 restrictions decide. Each instance tells of itself. "
                a href="/trouble" { "What is wrong, and the ways out" }
            }
        }
        (refused(instance))
    }
}

fn policy_word(policy: &Policy) -> String {
    let hash = policy.hash.as_deref().map_or("built in", |hash| hash.get(..12).unwrap_or(hash));
    format!("{hash}, {}", words::count(policy.routes, "route", "routes"))
}

fn tile(name: &str, label: &str, value: &str, is_good: bool) -> Markup {
    html! {
        div.tile.off[!is_good] data-tile=(name) {
            dt { (label) }
            dd { (value) }
        }
    }
}

fn refused(instance: &Instance) -> Markup {
    let kept = instance.checks.iter().filter(|counted| counted.decision != "allow");
    html! {
        section aria-labelledby="refused" {
            h2 #refused { "Refused checks per second" }
            div.chart #chart role="img" aria-label="Refused checks per second over the last two \
                minutes, by reason; the table below has the same numbers" {}
            p.dim #checks {
                span data-checks="" { (words::grouped(instance.checks.iter().map(|it| it.count).sum())) }
                " checks were answered since this instance started."
            }
            table aria-labelledby="refused" {
                thead {
                    tr {
                        th scope="col" { "Reason" }
                        th scope="col" { "Outcome" }
                        th.number scope="col" { "Per second" }
                        th.number scope="col" { "Since start" }
                    }
                }
                tbody #reasons {
                    @for counted in kept {
                        tr data-reason=(counted.reason) hidden[counted.count == 0] {
                            th scope="row" {
                                span.key aria-hidden="true" {} code { (counted.reason) }
                            }
                            td { (counted.decision) }
                            td.number data-rate="" { "-" }
                            td.number data-count="" { (words::grouped(counted.count)) }
                        }
                    }
                }
            }
        }
    }
}

fn unavailable(refused: &Refused) -> Markup {
    html! {
        (page::refusal(refused))
        p.dim { "What an instance tells of itself is for keys of every tenant. Changes are shown." }
    }
}

fn changes() -> Markup {
    html! {
        section aria-labelledby="changes" {
            h2 #changes { "Changes" }
            p.dim #watching role="status" { "Changes are shown as they come, where scripts run." }
            table.cards aria-labelledby="changes" {
                thead {
                    tr {
                        th scope="col" { "When" }
                        th scope="col" { "Customer" }
                        th scope="col" { "Status" }
                        th scope="col" { "What" }
                        th scope="col" { "For" }
                        th scope="col" { "Reason" }
                        th scope="col" { "Revision" }
                    }
                }
                tbody #told {}
            }
            template #statuses {
                @for status in [Status::Active, Status::Frozen, Status::Inactive, Status::Disabled] {
                    (words::status(status))
                }
            }
        }
    }
}
