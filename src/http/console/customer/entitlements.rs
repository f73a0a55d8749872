//! What a customer has: plan, features, limits, what is open with it, and what others call it.

use maud::{Markup, html};

use super::shape::Customer;
use crate::{
    domain::{Limit, entitlement::Maximum},
    http::console::words,
};

/// All of it.
pub(super) fn section(customer: &Customer) -> Markup {
    let Customer { plan, features, obligations, aliases, metadata, .. } = customer;
    html! {
        section aria-labelledby="has" {
            h2 #has { "What it has" }
            dl.facts {
                dt { "Plan" }
                dd { (plan.as_deref().unwrap_or("-")) }
                dt { "Features" }
                dd {
                    @match features {
                        None => { span.dim { "No source has said" } }
                        Some(features) if features.is_empty() => { "None" }
                        Some(features) => {
                            @for feature in features { code.chip { (feature) } " " }
                        }
                    }
                }
                dt { "Open with it" }
                dd {
                    (words::count(obligations.active_subscriptions, "subscription", "subscriptions"))
                    ", " (words::count(obligations.pending_orders, "order", "orders"))
                    ", " (words::count(obligations.unreturned_devices, "device", "devices"))
                    @if *obligations != crate::domain::Obligations::default() {
                        " " span.dim { "It cannot be deactivated before that is settled." }
                    }
                }
                @if !aliases.is_empty() {
                    dt { "Called" }
                    dd {
                        @for (source, id) in aliases { code.chip { (source) ":" (id) } " " }
                    }
                }
                @for (name, value) in metadata {
                    dt { (name) }
                    dd { (value) }
                }
            }
            (limits(customer))
        }
    }
}

fn limits(customer: &Customer) -> Markup {
    html! {
        @match &customer.limits {
            None => { p.dim { "No source has said what its limits are." } }
            Some(limits) if limits.is_empty() => {}
            Some(limits) => {
                table.cards {
                    caption { "Limits" }
                    thead {
                        tr {
                            th scope="col" { "Limit" }
                            th scope="col" { "Most" }
                            th scope="col" { "Used" }
                            th scope="col" { "As of" }
                        }
                    }
                    tbody { @for (code, limit) in limits { (row(code, limit)) } }
                }
            }
        }
    }
}

fn row(code: &str, limit: &Limit) -> Markup {
    html! {
        tr {
            th scope="row" data-label="Limit" { code { (code) } }
            td data-label="Most" {
                @match limit.max {
                    Maximum::AtMost(most) => { (words::grouped(most)) }
                    Maximum::Unlimited => { "Unlimited" }
                }
            }
            td data-label="Used" {
                @match limit.used {
                    Some(used) => { (words::grouped(used)) }
                    None => { span.dim { "Not said" } }
                }
            }
            td data-label="As of" { (words::at_or(limit.used_at, "-")) }
        }
    }
}
