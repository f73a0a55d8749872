//! The settings that shape decisions, and what is made of them at the gateway.

use std::time::Duration;

use serde::Deserialize;

use super::{
    check::Access,
    decision::Decision,
    reason::Outcome,
    restriction::{Kind, Status},
    route::Route,
};

/// The settings that shape decisions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// What happens to a customer that the store does not know.
    pub unknown_customers: Unknown,
    /// What happens to a customer whose record cannot be had and who is not restricted.
    pub when_unlisted: Unlisted,
    /// What the gateway is told of an undecided check.
    pub when_undecided: WhenUndecided,
    /// Whether denies are enforced.
    pub mode: Mode,
    /// What each kind of restriction leaves to a customer.
    pub access: AccessLeft,
    /// What is different for customers of one status.
    pub statuses: ByStatus,
    /// How old a limit's `used` may be.
    pub max_used_age: Duration,
}

impl Policy {
    /// What is made of `decision` about a request on `route`. What the policy says of the route
    /// goes before what it says of the status, and the mode that the whole `fleet` is put into
    /// before both.
    #[must_use]
    pub fn enforce(&self, decision: &Decision, route: &Route, fleet: Option<Mode>) -> Enforced {
        let of_route = route.terms().map(|terms| terms.overrides).unwrap_or_default();
        let of_status = decision.status.map(|status| self.statuses.of(status)).unwrap_or_default();
        let said = [
            (fleet, SaidBy::Fleet),
            (of_route.mode, SaidBy::Route),
            (of_status.mode, SaidBy::Status),
        ];
        let said = said.into_iter().find_map(|(mode, by)| mode.map(|mode| (mode, by)));
        let (mode, mode_said_by) = said.unwrap_or((self.mode, SaidBy::Policy));
        let when_undecided = of_route.when_undecided.or(of_status.when_undecided);
        let when_undecided = when_undecided.unwrap_or(self.when_undecided);
        let outcome = decision.outcome();
        let strictly = enforce(outcome, Mode::Enforce, when_undecided);
        Enforced {
            mode,
            mode_said_by,
            enforcement: enforce(outcome, mode, when_undecided),
            spared: mode == Mode::Shadow && strictly == Enforcement::Refuse,
        }
    }
}

const fn enforce(outcome: Outcome, mode: Mode, when_undecided: WhenUndecided) -> Enforcement {
    match (outcome, mode, when_undecided) {
        (Outcome::Allow, _, _)
        | (Outcome::Deny, Mode::Shadow, _)
        | (Outcome::Undecided, _, WhenUndecided::Allow)
        | (Outcome::Undecided, Mode::Shadow, WhenUndecided::Deny) => Enforcement::Pass,
        (Outcome::Deny, Mode::Enforce, _)
        | (Outcome::Undecided, Mode::Enforce, WhenUndecided::Deny) => Enforcement::Refuse,
        (Outcome::Undecided, _, WhenUndecided::Gateway) => Enforcement::Fail,
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            unknown_customers: Unknown::Deny,
            when_unlisted: Unlisted::Allow,
            when_undecided: WhenUndecided::Gateway,
            mode: Mode::Enforce,
            access: AccessLeft::default(),
            statuses: ByStatus::default(),
            max_used_age: Duration::from_mins(5),
        }
    }
}

/// What is made of a decision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Enforced {
    /// Whether denies are enforced there.
    pub mode: Mode,
    /// What says so.
    pub mode_said_by: SaidBy,
    /// What the gateway is to do.
    pub enforcement: Enforcement,
    /// Whether shadow mode lets pass what would have been refused.
    pub spared: bool,
}

/// What each kind of restriction leaves to a customer. A disabled one is left nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccessLeft {
    /// What a frozen customer may do: read, or nothing.
    pub frozen: Access,
    /// What an inactive customer may do: nothing, or read.
    pub inactive: Access,
}

impl AccessLeft {
    /// What a restriction of `kind` leaves.
    #[must_use]
    pub fn by(&self, kind: Kind) -> Access {
        match kind {
            Kind::Disabled => Access::None,
            Kind::Frozen => self.frozen.min(Access::ReadOnly),
            Kind::Inactive => self.inactive.min(Access::ReadOnly),
        }
    }
}

impl Default for AccessLeft {
    fn default() -> Self {
        Self { frozen: Access::ReadOnly, inactive: Access::None }
    }
}

/// What a policy says in one place otherwise than in general.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Overrides {
    /// Whether denies are enforced.
    pub mode: Option<Mode>,
    /// What the gateway is told of an undecided check.
    pub when_undecided: Option<WhenUndecided>,
}

/// What is different for customers of each status.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ByStatus {
    /// For those that nothing restricts.
    pub active: Overrides,
    /// For frozen ones.
    pub frozen: Overrides,
    /// For inactive ones.
    pub inactive: Overrides,
    /// For disabled ones.
    pub disabled: Overrides,
}

impl ByStatus {
    /// What is different for those of `status`.
    #[must_use]
    pub const fn of(&self, status: Status) -> Overrides {
        match status {
            Status::Active => self.active,
            Status::Frozen => self.frozen,
            Status::Inactive => self.inactive,
            Status::Disabled => self.disabled,
        }
    }
}

/// What happens to a customer that the store does not know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unknown {
    /// It passes.
    Allow,
    /// It is refused.
    Deny,
}

/// What happens to a customer whose record cannot be had and who is not restricted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unlisted {
    /// It passes.
    Allow,
    /// The check is undecided.
    Error,
}

/// What the gateway is told of an undecided check.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum WhenUndecided {
    /// To let it pass.
    Allow,
    /// To refuse it.
    Deny,
    /// That there is no answer, so that the gateway's own failure mode decides.
    Gateway,
}

/// Whether denies are enforced.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They are.
    Enforce,
    /// They are counted and shown, and let through.
    Shadow,
}

impl Mode {
    /// The word used on every wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// What says which mode is in force, the strongest first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SaidBy {
    /// The mode that the whole fleet is put into.
    Fleet,
    /// What the policy says of the route.
    Route,
    /// What the policy says of the customer's status.
    Status,
    /// What the policy says in general.
    Policy,
}

impl SaidBy {
    /// The word used on every wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Route => "route",
            Self::Status => "status",
            Self::Policy => "policy",
        }
    }
}

/// What a gateway is to do about a decision, the mildest first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Enforcement {
    /// Let the request pass.
    Pass,
    /// Use its own failure mode.
    Fail,
    /// Refuse the request.
    Refuse,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Exemption, Reason, RouteTerms};

    fn enforced(policy: &Policy, reason: Reason, route: &Route) -> Enforced {
        let status = matches!(reason, Reason::CustomerFrozen).then_some(Status::Frozen);
        let decision = Decision { status, ..Decision::about_nobody(reason) };
        policy.enforce(&decision, route, None)
    }

    #[test]
    fn only_a_mode_or_setting_that_says_so_changes_what_is_enforced() {
        let policy = Policy::default();
        let done = |policy: &Policy, reason| enforced(policy, reason, &Route::Unrouted).enforcement;
        assert_eq!(done(&policy, Reason::Active), Enforcement::Pass);
        assert_eq!(done(&policy, Reason::CustomerFrozen), Enforcement::Refuse);
        assert_eq!(done(&policy, Reason::TooStale), Enforcement::Fail);
        let shadow = Policy { mode: Mode::Shadow, ..policy };
        assert_eq!(done(&shadow, Reason::CustomerFrozen), Enforcement::Pass);
        let open = Policy { when_undecided: WhenUndecided::Allow, ..policy };
        assert_eq!(done(&open, Reason::CustomerFrozen), Enforcement::Refuse);
        assert_eq!(done(&open, Reason::TooStale), Enforcement::Pass);
    }

    #[test]
    fn what_is_said_of_the_route_goes_before_what_is_said_of_the_status() {
        let shadow = Overrides { mode: Some(Mode::Shadow), when_undecided: None };
        let statuses = ByStatus { frozen: shadow, ..ByStatus::default() };
        let policy = Policy { statuses, ..Policy::default() };
        let frozen = |route| enforced(&policy, Reason::CustomerFrozen, &route);
        let spared = frozen(Route::Unrouted);
        assert_eq!((spared.enforcement, spared.spared), (Enforcement::Pass, true));
        assert_eq!((spared.mode, spared.mode_said_by), (Mode::Shadow, SaidBy::Status));
        let overrides = Overrides { mode: Some(Mode::Enforce), ..Overrides::default() };
        let pattern = "/pay".to_owned();
        let terms = RouteTerms { pattern, exemption: Exemption::Nobody, overrides };
        let strict = Route::Matched(Arc::new(terms));
        let unknown = enforced(&policy, Reason::CustomerUnknown, &Route::Unrouted);
        for strictly in [frozen(strict), unknown] {
            assert_eq!((strictly.enforcement, strictly.spared), (Enforcement::Refuse, false));
        }
        assert_eq!(unknown.mode_said_by, SaidBy::Policy);
    }
}
