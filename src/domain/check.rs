//! One question: may this customer do this?

use std::iter;

use serde::{Deserialize, Serialize};

use super::{
    entitlement::Code,
    key::{CustomerKey, Named},
    revision::{InvalidToken, Token},
    route::Route,
};

/// One question, as an enforcement point asks it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Check<C = CustomerKey> {
    /// Who asks, as far as it could be told.
    pub identity: Identity<C>,
    /// What is asked.
    pub readings: Readings,
    /// The revision that the answer must stand on at least.
    pub min_revision: Option<MinRevision>,
}

/// What a request asks, in every way in which it may be read behind the gateway. It passes if it
/// does in each of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Readings {
    /// As it seems.
    pub first: Asked,
    /// As what it may become: nearly always nothing.
    pub others: Vec<Asked>,
}

/// What a request asks in one way of reading it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// What kind of act it is.
    pub operation: Operation,
    /// A feature that it needs.
    pub feature: Option<Code>,
    /// A limit that it must stay within.
    pub limit: Option<LimitCheck>,
    /// What the policy says of the route that the request takes.
    pub route: Route,
}

impl<C> Check<C> {
    /// A plain question about one customer.
    #[must_use]
    pub fn of(identity: Identity<C>, operation: Operation) -> Self {
        Asked::plain(operation).into_readings().of(identity, None)
    }

    /// Whether only the full record can answer.
    #[must_use]
    pub fn asks_entitlement(&self) -> bool {
        self.readings.iter().any(Asked::asks_entitlement)
    }

    /// Whether nothing of the customer matters.
    #[must_use]
    pub fn is_about_nobody(&self) -> bool {
        self.readings.iter().all(|asked| asked.route.decides_alone())
    }
}

impl<C: Named> Check<C> {
    /// The same check, to be kept.
    #[must_use]
    pub fn kept(self) -> Check {
        let Self { identity, readings, min_revision } = self;
        Check { identity: identity.map(|customer| customer.to_key()), readings, min_revision }
    }
}

impl Readings {
    /// Each of them, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &Asked> {
        iter::once(&self.first).chain(&self.others)
    }

    /// The same ways of reading, with other terms in each.
    #[must_use]
    pub fn map(self, mut other: impl FnMut(Asked) -> Asked) -> Self {
        let Self { first, others } = self;
        Self { first: other(first), others: others.into_iter().map(other).collect() }
    }

    /// Reads it in one more way, unless that asks the same as another.
    pub fn add(&mut self, asked: Asked) {
        if !self.iter().any(|other| *other == asked) {
            self.others.push(asked);
        }
    }

    /// The check that this is, of whoever is named.
    #[must_use]
    pub fn of<C>(self, identity: Identity<C>, min_revision: Option<MinRevision>) -> Check<C> {
        Check { identity, readings: self, min_revision }
    }
}

impl Asked {
    /// Nothing but that the customer is in good standing.
    #[must_use]
    pub const fn plain(operation: Operation) -> Self {
        Self { operation, feature: None, limit: None, route: Route::Unrouted }
    }

    /// The only way to read it.
    #[must_use]
    pub const fn into_readings(self) -> Readings {
        Readings { first: self, others: Vec::new() }
    }

    /// Whether only the full record can answer.
    #[must_use]
    pub fn asks_entitlement(&self) -> bool {
        self.feature.is_some() || self.limit.is_some()
    }
}

/// The revision that an answer must stand on at least; or that one was asked for in a way that
/// names none, which nothing reaches.
pub type MinRevision = Result<Token, InvalidToken>;

/// Who a check is about: a customer, or why nobody can be named.
pub type Identity<C = CustomerKey> = Result<C, IdentityFault>;

/// Why a request names no customer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum IdentityFault {
    /// Two ids, or two tenants: each gateway and application would pick another one.
    #[error("the request names more than one customer or tenant")]
    Ambiguous,
    /// An id or tenant that breaks its rule, or no tenant where one is needed.
    #[error("the customer id or tenant is malformed")]
    Malformed,
    /// No id.
    #[error("the request names no customer")]
    Missing,
}

/// Whether the act only looks or also changes something.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// It looks.
    Read,
    /// It may change something.
    Write,
}

impl Operation {
    /// GET, HEAD and OPTIONS are reads, everything else a write.
    #[must_use]
    pub fn of_method(method: &str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" => Self::Read,
            _ => Self::Write,
        }
    }
}

/// "Is there room for so many?"
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitCheck {
    /// Which limit.
    pub code: Code,
    /// The total wanted; without it, the question is whether there is any room left.
    pub value: Option<u64>,
}

/// What a status leaves to a customer, the least first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Nothing.
    None,
    /// Reads.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

impl Access {
    /// Whether it lets `operation` pass.
    #[must_use]
    pub fn permits(self, operation: Operation) -> bool {
        match operation {
            Operation::Read => self >= Self::ReadOnly,
            Operation::Write => self == Self::ReadWrite,
        }
    }

    /// The word used on every wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ReadOnly => "read_only",
            Self::ReadWrite => "read_write",
        }
    }
}
