//! What a policy says of requests, before anybody looks at customers.

mod file;
pub mod path;
mod request;
pub mod routes;
mod shown;
mod stripe;

use std::{iter, sync::Arc};

use arc_swap::{ArcSwap, Guard};

pub use self::{
    file::{Fault, InvalidPolicy},
    request::{Becomes, OtherMethod, Request},
    shown::Shown,
    stripe::{SUMMARY as STRIPE_SUMMARY, StripeRule},
};
use self::{
    path::{is_suspicious, spellings},
    request::CONNECT,
    routes::Routes,
};
use crate::domain::{
    Asked, Code, Decision, Exemption, LimitCheck, Operation, Outcome, Policy, Readings, Reason,
    Route, RouteTerms,
};

/// The rules that are in force now. Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct InForce(Arc<ArcSwap<Rules>>);

impl InForce {
    /// These, until others take their place.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(rules)))
    }

    /// The rules.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Rules>> {
        self.0.load()
    }

    /// Puts others in their place: the next check is judged by them.
    pub fn replace(&self, rules: Rules) {
        self.0.store(Arc::new(rules));
    }
}

/// Everything that a policy says.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What shapes decisions.
    pub policy: Policy,
    /// SHA-256 of the file (hex); nothing of the policy that is built in.
    pub hash: Option<String>,
    routes: Option<Routes<Arc<RouteRule>>>,
    /// How many there are.
    pub route_count: usize,
    refuses_unmatched: bool,
    http_statuses: HttpStatuses,
    stripe: Arc<stripe::Mapping>,
}

/// What a policy says of one route.
#[derive(Clone, Debug)]
struct RouteRule {
    terms: Arc<RouteTerms>,
    /// Whether it is for some methods only.
    names_methods: bool,
    action: Option<Operation>,
    feature: Option<Code>,
    limit: Option<Code>,
}

/// HTTP statuses of denies that are not the usual ones.
#[derive(Clone, Debug, Default)]
struct HttpStatuses {
    by_reason: Vec<(Reason, u16)>,
    payment_required: Option<u16>,
}

impl Rules {
    /// A policy without a file.
    #[must_use]
    pub fn built_in(policy: Policy) -> Self {
        Self {
            policy,
            hash: None,
            routes: None,
            route_count: 0,
            refuses_unmatched: false,
            http_statuses: HttpStatuses::default(),
            stripe: Arc::default(),
        }
    }

    /// Reads a policy file. `base` is what holds where the file says nothing.
    pub fn read(text: &str, base: Policy) -> Result<Self, InvalidPolicy> {
        file::read(text, base)
    }

    /// What is asked of `request`. What is not told, and what might be more than it seems, is a
    /// write, and on no known route. What may become another request is read as that too.
    #[must_use]
    pub fn ask(&self, request: &Request<'_>) -> Readings {
        let Request { method, target, becomes } = request;
        let seems = match (*method, *target) {
            (Some(method), Some(target)) if becomes.is_nothing() && !is_suspicious(target) => {
                Operation::of_method(method)
            }
            _ => Operation::Write,
        };
        let Some(routes) = &self.routes else { return Asked::plain(seems).into_readings() };
        let told = method.zip(target.and_then(spellings));
        let Some((method, (path, behind_host))) = told else {
            let suspicious = Asked { route: Route::Suspicious, ..Asked::plain(Operation::Write) };
            return suspicious.into_readings();
        };
        let upgrades = becomes.upgrade || method == CONNECT;
        let asked = |rule| self.on_route(rule, seems, upgrades);
        let mut readings = asked(routes.find(method, &path)).into_readings();
        let is_in_capitals = !method.bytes().any(|byte| byte.is_ascii_lowercase());
        let is_plain = becomes.method == OtherMethod::None && is_in_capitals && method != CONNECT;
        if is_plain && behind_host.is_none() {
            return readings;
        }
        let in_capitals = method.to_ascii_uppercase();
        let mut methods = vec![method, &in_capitals];
        methods.extend((in_capitals == CONNECT).then_some("GET"));
        for path in iter::once(path).chain(behind_host) {
            for method in &methods {
                readings.add(asked(routes.find(method, &path)));
            }
            match &becomes.method {
                OtherMethod::None => {}
                OtherMethod::Known(others) => {
                    for method in others {
                        readings.add(asked(routes.find(method, &path)));
                    }
                }
                OtherMethod::Any => routes.find_all(&path).for_each(|it| readings.add(asked(it))),
            }
        }
        readings
    }

    /// What the rule asks that a request meets, if it meets one.
    fn on_route(&self, rule: Option<&Arc<RouteRule>>, seems: Operation, upgrades: bool) -> Asked {
        let Some(rule) = rule else {
            let route = if self.refuses_unmatched { Route::Unmatched } else { Route::Unrouted };
            return Asked { route, ..Asked::plain(seems) };
        };
        let terms = if upgrades && rule.names_methods {
            // What such a connection carries has no method that anybody exempted.
            Arc::new(RouteTerms { exemption: Exemption::Nobody, ..RouteTerms::clone(&rule.terms) })
        } else {
            Arc::clone(&rule.terms)
        };
        Asked {
            route: Route::Matched(terms),
            operation: rule.action.unwrap_or(seems),
            feature: rule.feature.clone(),
            limit: rule.limit.clone().map(|code| LimitCheck { code, value: None }),
        }
    }

    /// What a Stripe event of the type `event` makes of its customer, if anything. `status` is that
    /// of what it is about.
    #[must_use]
    pub fn stripe(&self, event: &str, status: Option<&str>) -> Option<StripeRule> {
        self.stripe.rule(event, status)
    }

    /// The HTTP status of a deny, where it is not the usual one.
    #[must_use]
    pub fn http_status(&self, decision: &Decision) -> Option<u16> {
        let HttpStatuses { by_reason, payment_required } = &self.http_statuses;
        if decision.outcome() != Outcome::Deny {
            return None;
        }
        if decision.reason == Reason::CustomerDisabled && decision.payment_required {
            return *payment_required;
        }
        by_reason.iter().find(|(reason, _)| *reason == decision.reason).map(|(_, status)| *status)
    }
}

#[cfg(test)]
mod tests;
