//! A store that is not believed, that lacks records, or that forgot what somebody has to decide on.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::Acts;
use crate::{
    control::conflicts::Conflict,
    domain::Role,
    http::console::{
        api::{Api, Call, Refused, Session},
        customer::shape::url,
        page, words,
    },
};

/// How the store stands.
pub(super) enum Store {
    /// It is of every tenant, and this key is of one.
    Hidden,
    /// It does not answer.
    Unread(Refused),
    /// As the API tells it.
    Read { partitions: Vec<Stand>, conflicts: Vec<Listed>, effects: Option<Effects> },
}

/// How one partition stands.
#[derive(Deserialize)]
pub(super) struct Stand {
    partition: u16,
    lost: Option<String>,
    here: Option<Side>,
    store: Option<Side>,
    partial: bool,
    withheld: u64,
}

#[derive(Deserialize)]
struct Side {
    epoch: String,
    revision: u64,
    restricted: u64,
}

/// A change that the store forgot, and that somebody has to decide on.
#[derive(Deserialize)]
pub(super) struct Listed {
    forgotten: String,
    #[serde(flatten)]
    conflict: Conflict,
}

/// What either way out would do to customers.
pub(super) struct Effects {
    trust: Effect,
    refill: Effect,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Effect {
    lets_in: u64,
    shuts_out: u64,
    restricted: u64,
}

impl Store {
    pub(super) async fn read(api: &Api, session: &Session) -> Self {
        #[derive(Deserialize)]
        struct Stands {
            partitions: Vec<Stand>,
        }
        #[derive(Deserialize)]
        struct Conflicts {
            conflicts: Vec<Listed>,
        }
        let read = tokio::try_join!(
            api.get::<Stands>("/v1/store", None),
            api.get::<Conflicts>("/v1/store/conflicts", None),
        );
        let (Stands { partitions }, Conflicts { conflicts }) = match read {
            Ok(read) => read,
            Err(refused) if refused.status == StatusCode::FORBIDDEN => return Self::Hidden,
            Err(refused) => return Self::Unread(refused),
        };
        let is_lost = partitions.iter().any(|stand| stand.lost.is_some());
        let effects =
            if is_lost && session.may(Role::Admin) { effects(api, session).await } else { None };
        Self::Read { partitions, conflicts, effects }
    }

    pub(super) fn section(&self, acts: &Acts<'_>) -> Markup {
        match self {
            Self::Hidden => Markup::default(),
            Self::Unread(refused) => html! {
                section.trouble aria-labelledby="away" {
                    h2 #away { "The store does not answer" }
                    (page::refusal(refused))
                    p { "Checks go on from memory. Nothing can be changed until it is back." }
                }
            },
            Self::Read { partitions, conflicts, effects } => html! {
                (lost(partitions, effects.as_ref(), acts))
                (partial(partitions, acts))
                (listed(conflicts, partitions, acts))
            },
        }
    }
}

/// What each way out would do; nothing where that cannot be told now.
async fn effects(api: &Api, session: &Session) -> Option<Effects> {
    #[derive(Deserialize)]
    struct Told {
        effect: Effect,
    }
    let api = api.clone().of_own_page();
    let would = |path| {
        let call = Call::post(path, json!({ "dryRun": true }));
        api.call::<Told>(Call { proof: Some(&session.csrf_token), ..call })
    };
    let told = tokio::try_join!(would("/v1/store/trust"), would("/v1/store/refill"));
    let (trust, refill) = told.ok()?;
    Some(Effects { trust: trust.effect, refill: refill.effect })
}

fn lost(partitions: &[Stand], effects: Option<&Effects>, acts: &Acts<'_>) -> Markup {
    let lost: Vec<_> = partitions.iter().filter(|stand| stand.lost.is_some()).collect();
    html! {
        @if !lost.is_empty() {
            section.trouble aria-labelledby="lost" {
                h2 #lost { "The store is not the one that was followed" }
                p { "It forgot what this instance knows, or was put in another's place. It is not \
                    believed: what is in memory decides, nobody is let in because it forgot, and \
                    nothing is written to it until somebody says which of the two is right." }
                table.cards aria-labelledby="lost" {
                    thead {
                        tr {
                            th scope="col" { "Partition" }
                            th scope="col" { "Why" }
                            th scope="col" { "Here" }
                            th scope="col" { "In the store" }
                        }
                    }
                    tbody {
                        @for stand in &lost {
                            tr {
                                th scope="row" data-label="Partition" { (stand.partition) }
                                td data-label="Why" { (stand.lost.as_deref().unwrap_or_default()) }
                                td data-label="Here" { (side(stand.here.as_ref())) }
                                td data-label="In the store" { (side(stand.store.as_ref())) }
                            }
                        }
                    }
                }
                div.ways {
                    (acts.button(Role::Admin, "trust", "Trust the store", &html! {
                        h3 { "The store is right" }
                        p { "What it forgot is given up." }
                        (would(effects.map(|it| it.trust)))
                    }))
                    (acts.button(Role::Admin, "refill", "Fill the store again", &html! {
                        h3 { "This instance is right" }
                        p { "The store is filled again with what is known here." }
                        (would(effects.map(|it| it.refill)))
                    }))
                }
            }
        }
    }
}

fn side(side: Option<&Side>) -> Markup {
    html! {
        @match side {
            Some(Side { epoch, revision, restricted }) => {
                code { (epoch) } " at " (revision) ", " (words::grouped(*restricted)) " restricted"
            }
            None => { span.dim { "Nothing" } }
        }
    }
}

fn would(effect: Option<Effect>) -> Markup {
    html! {
        @if let Some(Effect { lets_in, shuts_out, restricted }) = effect {
            p.effect {
                strong { "Lets " (words::count(lets_in, "customer", "customers")) " in" }
                ", keeps " (words::count(shuts_out, "customer", "customers"))
                " out that only one side restricts; "
                (words::count(restricted, "is", "are")) " restricted afterwards."
            }
        }
    }
}

fn partial(partitions: &[Stand], acts: &Acts<'_>) -> Markup {
    html! {
        @if partitions.iter().any(|stand| stand.partial) {
            section.trouble aria-labelledby="partial" {
                h2 #partial { "The store lacks records that there were" }
                p { "It was filled again with what an instance knew. A customer whose record is \
                    missing is not taken for unknown meanwhile. Import the rest, then say that it is \
                    whole." }
                (acts.button(Role::Admin, "whole", "The store is whole", &html! {
                    p { "From then on a missing record means that there is no such customer, and \
                        every one that is still missing is refused as unknown." }
                }))
            }
        }
    }
}

fn listed(conflicts: &[Listed], partitions: &[Stand], acts: &Acts<'_>) -> Markup {
    let withheld: u64 = partitions.iter().map(|stand| stand.withheld).sum();
    html! {
        @if !conflicts.is_empty() {
            section.trouble aria-labelledby="conflicts" {
                h2 #conflicts { "Acts that the store forgot" }
                p { "A failover lost them, and somebody acted on the customer since, so that they are \
                    not written back. Whom they restrict stays refused here until somebody decides: \
                    settle it, or do it again on the customer's page." }
                @for it in conflicts { (conflict(it, acts)) }
            }
        } @else if withheld > 0 {
            section.trouble aria-labelledby="withheld" {
                h2 #withheld { "Acts that the store forgot" }
                p { (words::count(withheld, "change is", "changes are")) " being written back. \
                    Nothing has to be done." }
            }
        }
    }
}

fn conflict(Listed { forgotten, conflict }: &Listed, acts: &Acts<'_>) -> Markup {
    let (tenant, id) = conflict.customer.split_once(':').unwrap_or(("", &conflict.customer));
    let restricts = !conflict.restrictions.is_empty();
    acts.form(
        Role::Admin,
        "settle",
        "The store is right",
        &html! {
            h3 { a href=(url(id, Some(tenant))) { (conflict.customer) } }
            p {
                code { (conflict.verb.as_str()) } " by " (conflict.source) " at revision "
                code { (forgotten) } ", listed " (words::At(conflict.listed_at)) ". "
                (page::sentence(&conflict.why))
            }
            p.effect {
                @if restricts { strong { "Lets 1 customer in" } ", if nothing else restricts it." }
                @else { "Lets nobody in: what was forgotten is that a restriction was lifted." }
            }
        },
        &[("forgotten", forgotten)],
    )
}
