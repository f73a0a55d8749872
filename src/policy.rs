//! What a policy says of requests, before anybody looks at customers.

mod file;
pub mod path;
pub mod routes;

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

pub use self::file::{Fault, InvalidPolicy};
use self::{
    path::{canonical, is_suspicious},
    routes::Routes,
};
use crate::domain::{
    Check, Code, Decision, Exemption, Identity, LimitCheck, MinRevision, Operation, Outcome,
    Policy, Reason, Route, RouteTerms,
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

/// A request, as far as a policy cares.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method, if that is told exactly once.
    pub method: Option<&'a str>,
    /// Its target as the client sent it, if that is told exactly once.
    pub target: Option<&'a str>,
    /// Whether it may become another one behind the gateway: it asks for an upgrade, or names
    /// another method.
    pub may_change: bool,
}

/// What the policy makes of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// Where it goes.
    pub route: Route,
    /// Whether it only looks.
    pub operation: Operation,
    /// The feature that the route asks for.
    pub feature: Option<Code>,
    /// The limit that the route asks about.
    pub limit: Option<LimitCheck>,
}

impl Asked {
    /// The check that this is, of whoever is named.
    #[must_use]
    pub fn of(self, identity: Identity, min_revision: Option<MinRevision>) -> Check {
        let Self { route, operation, feature, limit } = self;
        Check { identity, operation, feature, limit, min_revision, route }
    }
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
        }
    }

    /// Reads a policy file. `base` is what holds where the file says nothing.
    pub fn read(text: &str, base: Policy) -> Result<Self, InvalidPolicy> {
        file::read(text, base)
    }

    /// What is asked of `request`. What is not told, and what might be more than it seems, is a
    /// write, and on no known route.
    #[must_use]
    pub fn ask(&self, request: &Request<'_>) -> Asked {
        let nothing = |route, operation| Asked { route, operation, feature: None, limit: None };
        let seems = match (request.method, request.target) {
            (Some(method), Some(target)) if !request.may_change && !is_suspicious(target) => {
                Operation::of_method(method)
            }
            _ => Operation::Write,
        };
        let Some(routes) = &self.routes else { return nothing(Route::Unrouted, seems) };
        let path = request.target.and_then(canonical);
        let (Some(method), Some(path)) = (request.method, path) else {
            return nothing(Route::Suspicious, Operation::Write);
        };
        let Some(rule) = routes.find(method, &path) else {
            let route = if self.refuses_unmatched { Route::Unmatched } else { Route::Unrouted };
            return nothing(route, seems);
        };
        let terms = if request.may_change && rule.names_methods {
            // Behind the gateway it may have a method that nobody exempted.
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
