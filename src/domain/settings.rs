//! The settings that shape decisions, and what is made of them at the gateway.

use std::time::Duration;

use super::{check::Access, reason::Outcome};

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
    /// What an inactive customer may do: nothing, or read.
    pub inactive_access: Access,
    /// How old a limit's `used` may be.
    pub max_used_age: Duration,
}

impl Policy {
    /// What a gateway is to do about `outcome`.
    #[must_use]
    pub fn enforce(&self, outcome: Outcome) -> Enforcement {
        match (outcome, self.mode, self.when_undecided) {
            (Outcome::Allow, _, _)
            | (Outcome::Deny, Mode::Shadow, _)
            | (Outcome::Undecided, _, WhenUndecided::Allow)
            | (Outcome::Undecided, Mode::Shadow, WhenUndecided::Deny) => Enforcement::Pass,
            (Outcome::Deny, Mode::Enforce, _)
            | (Outcome::Undecided, Mode::Enforce, WhenUndecided::Deny) => Enforcement::Refuse,
            (Outcome::Undecided, _, WhenUndecided::Gateway) => Enforcement::Fail,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            unknown_customers: Unknown::Deny,
            when_unlisted: Unlisted::Allow,
            when_undecided: WhenUndecided::Gateway,
            mode: Mode::Enforce,
            inactive_access: Access::None,
            max_used_age: Duration::from_mins(5),
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
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenUndecided {
    /// To let it pass.
    Allow,
    /// To refuse it.
    Deny,
    /// That there is no answer, so that the gateway's own failure mode decides.
    Gateway,
}

/// Whether denies are enforced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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

/// What a gateway is to do about a decision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enforcement {
    /// Use its own failure mode.
    Fail,
    /// Let the request pass.
    Pass,
    /// Refuse the request.
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mode_or_setting_that_says_so_changes_what_is_enforced() {
        let policy = Policy::default();
        assert_eq!(policy.enforce(Outcome::Allow), Enforcement::Pass);
        assert_eq!(policy.enforce(Outcome::Deny), Enforcement::Refuse);
        assert_eq!(policy.enforce(Outcome::Undecided), Enforcement::Fail);
        let shadow = Policy { mode: Mode::Shadow, ..policy };
        assert_eq!(shadow.enforce(Outcome::Deny), Enforcement::Pass);
        let open = Policy { when_undecided: WhenUndecided::Allow, ..policy };
        assert_eq!(open.enforce(Outcome::Deny), Enforcement::Refuse);
        assert_eq!(open.enforce(Outcome::Undecided), Enforcement::Pass);
    }
}
