//! What a policy says of the route that a request takes.

use std::sync::Arc;

use super::{
    restriction::{Kind, Restriction, RestrictionReason},
    settings::Overrides,
};

/// Where a request goes, as far as a policy cares.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Route {
    /// A route of the policy.
    Matched(Arc<RouteTerms>),
    /// Its path may be another one behind the gateway, so that no route can be told.
    Suspicious,
    /// No route of a policy that refuses what it does not name.
    Unmatched,
    /// The policy says nothing of it.
    #[default]
    Unrouted,
}

/// What a policy says of one route, beside what it asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteTerms {
    /// The pattern that names it.
    pub pattern: String,
    /// Who may take it in spite of a restriction.
    pub exemption: Exemption,
    /// What else is different there.
    pub overrides: Overrides,
}

/// Who may take a route in spite of a restriction.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Exemption {
    /// Everybody, also who is not named.
    Everybody,
    /// Whoever is restricted on these grounds alone.
    For(Vec<Ground>),
    /// Nobody.
    #[default]
    Nobody,
}

/// Why somebody is restricted: by the kind of the restriction, or by its true reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ground {
    /// What the restriction does.
    Kind(Kind),
    /// Why it was placed, which may be one that is not told on the data plane.
    Reason(RestrictionReason),
}

impl Ground {
    /// The word used in a policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.as_str(),
            Self::Reason(reason) => reason.as_str(),
        }
    }

    /// Reads the word of a kind or of a reason.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
        kind.map(Self::Kind).or_else(|| word.parse().ok().map(Self::Reason))
    }

    /// Whether `restriction` was placed on it.
    #[must_use]
    pub fn covers(self, restriction: &Restriction) -> bool {
        match self {
            Self::Kind(kind) => restriction.kind == kind,
            Self::Reason(reason) => restriction.reason == reason,
        }
    }
}

impl Route {
    /// What the policy says of it, if it names it.
    #[must_use]
    pub fn terms(&self) -> Option<&RouteTerms> {
        match self {
            Self::Matched(terms) => Some(terms),
            Self::Suspicious | Self::Unmatched | Self::Unrouted => None,
        }
    }

    /// Whether nothing of the customer matters there.
    #[must_use]
    pub fn decides_alone(&self) -> bool {
        match self {
            Self::Matched(terms) => terms.exemption == Exemption::Everybody,
            Self::Suspicious | Self::Unmatched => true,
            Self::Unrouted => false,
        }
    }

    /// The grounds that are set aside there.
    #[must_use]
    pub fn set_aside(&self) -> &[Ground] {
        match self.terms().map(|terms| &terms.exemption) {
            Some(Exemption::For(grounds)) => grounds,
            Some(Exemption::Everybody | Exemption::Nobody) | None => &[],
        }
    }

    /// Whether `restriction` counts there, and is not set aside.
    #[must_use]
    pub fn counts(&self, restriction: &Restriction) -> bool {
        !self.set_aside().iter().any(|ground| ground.covers(restriction))
    }
}
