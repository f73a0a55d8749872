//! What a request asks by the policy, as it is shown to people.

use serde::Serialize;

use crate::domain::{Asked, Code, Exemption, Ground, Mode, Operation, Route};

/// What a request asks in one way of reading it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown<'a> {
    /// Whether a route was met: `matched`, `suspicious`, `unmatched` or `none`.
    pub route: &'static str,
    /// The pattern of that route; `-` when none was met.
    pub rule: &'a str,
    /// What kind of act it is.
    pub action: Operation,
    /// Who may take the route in spite of a restriction.
    pub exempt: String,
    /// The feature that it needs.
    pub feature: Option<&'a str>,
    /// The limit that it must stay within.
    pub limit: Option<&'a str>,
    /// Whether denies are enforced there, as far as the route says.
    pub mode: &'static str,
}

impl<'a> Shown<'a> {
    /// Shows `asked`, on a route that says no mode of its own as the `usual` one.
    #[must_use]
    pub fn of(asked: &'a Asked, usual: Mode) -> Self {
        let (route, rule) = match &asked.route {
            Route::Matched(terms) => ("matched", terms.pattern.as_str()),
            Route::Suspicious => ("suspicious", "-"),
            Route::Unmatched => ("unmatched", "-"),
            Route::Unrouted => ("none", "-"),
        };
        let terms = asked.route.terms();
        let exempt = match terms.map(|terms| &terms.exemption) {
            Some(Exemption::Everybody) => "everybody".to_owned(),
            Some(Exemption::For(grounds)) => {
                grounds.iter().map(|ground| Ground::as_str(*ground)).collect::<Vec<_>>().join(", ")
            }
            Some(Exemption::Nobody) | None => "nobody".to_owned(),
        };
        let overrides = terms.map(|terms| terms.overrides).unwrap_or_default();
        Self {
            route,
            rule,
            action: asked.operation,
            exempt,
            feature: asked.feature.as_ref().map(Code::as_str),
            limit: asked.limit.as_ref().map(|limit| limit.code.as_str()),
            mode: overrides.mode.unwrap_or(usual).as_str(),
        }
    }
}
