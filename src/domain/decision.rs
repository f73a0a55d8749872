//! The decision: a total, pure function of what is known.

use std::{fmt, time::Duration};

use super::{
    check::{Access, Check, IdentityFault, LimitCheck},
    customer::RecordBody,
    entitlement::{Code, Maximum},
    freshness::{Freshness, Staleness},
    restriction::{RestrictionReason, Restrictions, Status},
    time::Timestamp,
};

/// Decides `check` from `evidence` at `now`.
///
/// Total and pure: every input has exactly one answer, and asking twice changes nothing. The
/// order is: identity; a restriction in force on anything known denies, however stale; the
/// revision asked for; whether the customer is known; staleness; feature; limit; allow.
#[must_use]
pub fn decide(evidence: &Evidence<'_>, check: &Check, policy: &Policy, now: Timestamp) -> Decision {
    if let Err(fault) = check.identity {
        return Decision::about_nobody(fault.into());
    }
    let known = Known::at(evidence, policy, now);
    if !known.access.permits(check.operation) {
        let reason = match known.status {
            Status::Disabled => Reason::CustomerDisabled,
            Status::Frozen => Reason::CustomerFrozen,
            // Only a restriction takes access away, so an active customer cannot get here.
            Status::Inactive | Status::Active => Reason::CustomerInactive,
        };
        return known.decision(reason);
    }
    if !evidence.revision_reached {
        return known.decision(Reason::RevisionNotReached);
    }
    let body = match evidence.record {
        RecordEvidence::Known(body) => Some(body),
        RecordEvidence::Absent => match policy.unknown_customers {
            Unknown::Deny => return Decision::about_nobody(Reason::CustomerUnknown),
            Unknown::Allow => None,
        },
        RecordEvidence::Unreadable => return known.decision(Reason::StoreUnreachable),
        RecordEvidence::Missing(missing) => {
            let listed = !evidence.restrictions.is_empty();
            let may_do_without = listed || policy.when_unlisted == Unlisted::Allow;
            if check.asks_entitlement() || !may_do_without {
                return known.decision(missing.into());
            }
            None
        }
    };
    if evidence.staleness.judge() == Freshness::TooStale {
        let never_read = evidence.staleness.age.is_none();
        let reason = if never_read { Reason::StoreUnreachable } else { Reason::TooStale };
        return known.decision(reason);
    }
    let entitled = match &check.feature {
        Some(feature) => covers_feature(body, feature),
        None => Ok(()),
    };
    let entitled = entitled.and_then(|()| match &check.limit {
        Some(limit) => covers_limit(body, limit, policy.max_used_age, now),
        None => Ok(()),
    });
    known.decision(entitled.err().unwrap_or_else(|| known.why_allowed(evidence)))
}

/// What is known of a customer when a check is decided.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Its restrictions, from the complete restricted set or from a newer record.
    pub restrictions: &'a Restrictions,
    /// Its record.
    pub record: RecordEvidence<'a>,
    /// How old all this is.
    pub staleness: Staleness,
    /// Whether it reaches the revision that the check asks for.
    pub revision_reached: bool,
}

/// What is known of a customer's record.
#[derive(Clone, Copy, Debug)]
pub enum RecordEvidence<'a> {
    /// The store says that there is no such customer.
    Absent,
    /// Here it is.
    Known(&'a RecordBody),
    /// It cannot be had now.
    Missing(Missing),
    /// It is there, but cannot be read: of a newer format, or broken.
    Unreadable,
}

/// Why a record cannot be had now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Missing {
    /// Too many reads are under way.
    Overloaded,
    /// The store did not answer in time.
    Unreachable,
}

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

/// The three answers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// Yes.
    Allow,
    /// No.
    Deny,
    /// It cannot be known. Never a "no", and never silently a "yes".
    Undecided,
}

impl Outcome {
    /// The word used on every wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Undecided => "undecided",
        }
    }
}

/// Why a check was answered as it was.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// Nothing restricts the customer.
    Active,
    /// Two customers or tenants are named.
    CustomerAmbiguous,
    /// The customer is disabled.
    CustomerDisabled,
    /// The customer is frozen and this is a write.
    CustomerFrozen,
    /// The customer is closed.
    CustomerInactive,
    /// The customer id or tenant breaks its rule.
    CustomerMalformed,
    /// No customer is named.
    CustomerMissing,
    /// The store knows no such customer.
    CustomerUnknown,
    /// No source has said what the customer is entitled to.
    EntitlementUnknown,
    /// The customer does not have the feature.
    FeatureMissing,
    /// The customer is frozen and this is a read.
    FrozenRead,
    /// The customer is inactive, inactive ones may read, and this is a read.
    InactiveRead,
    /// The limit leaves no room.
    LimitExceeded,
    /// The record cannot be had, and the complete restricted set does not name the customer.
    NotRestricted,
    /// Too many reads of the store are under way.
    Overloaded,
    /// The revision asked for was not reached in time.
    RevisionNotReached,
    /// The store did not answer, and what is in memory cannot decide.
    StoreUnreachable,
    /// What is in memory is older than the stale limit.
    TooStale,
    /// The store knows no such customer, and unknown ones may pass.
    UnknownAllowed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 19] = [
        Self::Active,
        Self::CustomerAmbiguous,
        Self::CustomerDisabled,
        Self::CustomerFrozen,
        Self::CustomerInactive,
        Self::CustomerMalformed,
        Self::CustomerMissing,
        Self::CustomerUnknown,
        Self::EntitlementUnknown,
        Self::FeatureMissing,
        Self::FrozenRead,
        Self::InactiveRead,
        Self::LimitExceeded,
        Self::NotRestricted,
        Self::Overloaded,
        Self::RevisionNotReached,
        Self::StoreUnreachable,
        Self::TooStale,
        Self::UnknownAllowed,
    ];

    /// The code used on every wire and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::CustomerAmbiguous => "customer_ambiguous",
            Self::CustomerDisabled => "customer_disabled",
            Self::CustomerFrozen => "customer_frozen",
            Self::CustomerInactive => "customer_inactive",
            Self::CustomerMalformed => "customer_malformed",
            Self::CustomerMissing => "customer_missing",
            Self::CustomerUnknown => "customer_unknown",
            Self::EntitlementUnknown => "entitlement_unknown",
            Self::FeatureMissing => "feature_missing",
            Self::FrozenRead => "frozen_read",
            Self::InactiveRead => "inactive_read",
            Self::LimitExceeded => "limit_exceeded",
            Self::NotRestricted => "not_restricted",
            Self::Overloaded => "overloaded",
            Self::RevisionNotReached => "revision_not_reached",
            Self::StoreUnreachable => "store_unreachable",
            Self::TooStale => "too_stale",
            Self::UnknownAllowed => "unknown_allowed",
        }
    }

    /// Which of the three answers it belongs to.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Active
            | Self::FrozenRead
            | Self::InactiveRead
            | Self::NotRestricted
            | Self::UnknownAllowed => Outcome::Allow,
            Self::CustomerAmbiguous
            | Self::CustomerDisabled
            | Self::CustomerFrozen
            | Self::CustomerInactive
            | Self::CustomerMalformed
            | Self::CustomerMissing
            | Self::CustomerUnknown
            | Self::FeatureMissing
            | Self::LimitExceeded => Outcome::Deny,
            Self::EntitlementUnknown
            | Self::Overloaded
            | Self::RevisionNotReached
            | Self::StoreUnreachable
            | Self::TooStale => Outcome::Undecided,
        }
    }
}

impl From<IdentityFault> for Reason {
    fn from(fault: IdentityFault) -> Self {
        match fault {
            IdentityFault::Ambiguous => Self::CustomerAmbiguous,
            IdentityFault::Malformed => Self::CustomerMalformed,
            IdentityFault::Missing => Self::CustomerMissing,
        }
    }
}

impl From<Missing> for Reason {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Overloaded => Self::Overloaded,
            Missing::Unreachable => Self::StoreUnreachable,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer to a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// Why, which implies the outcome.
    pub reason: Reason,
    /// What the customer is, if that is known.
    pub status: Option<Status>,
    /// What that leaves to it, if that is known.
    pub access: Option<Access>,
    /// Whether every restriction that decides is for a missing payment.
    pub payment_required: bool,
}

impl Decision {
    /// Which of the three answers it is.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.reason.outcome()
    }

    const fn about_nobody(reason: Reason) -> Self {
        Self { reason, status: None, access: None, payment_required: false }
    }
}

/// What the evidence makes of the customer at the moment of the check.
struct Known {
    status: Status,
    access: Access,
    found: bool,
    payment_required: bool,
}

impl Known {
    fn at(evidence: &Evidence<'_>, policy: &Policy, now: Timestamp) -> Self {
        let restrictions = evidence.restrictions;
        let mut deciding = restrictions.deciding_at(now).peekable();
        let is_restricted = deciding.peek().is_some();
        let unpaid = deciding.all(|held| held.reason == RestrictionReason::NonPayment);
        Self {
            status: restrictions.status_at(now),
            access: restrictions.access_at(now, policy.inactive_access),
            found: !restrictions.is_empty() || matches!(evidence.record, RecordEvidence::Known(_)),
            payment_required: is_restricted && unpaid,
        }
    }

    fn decision(&self, reason: Reason) -> Decision {
        if !self.found {
            return Decision::about_nobody(reason);
        }
        Decision {
            reason,
            status: Some(self.status),
            access: Some(self.access),
            payment_required: self.payment_required,
        }
    }

    fn why_allowed(&self, evidence: &Evidence<'_>) -> Reason {
        match (self.status, evidence.record) {
            (Status::Frozen, _) => Reason::FrozenRead,
            (Status::Inactive, _) => Reason::InactiveRead,
            (_, RecordEvidence::Absent) if !self.found => Reason::UnknownAllowed,
            (_, RecordEvidence::Missing(_)) if !self.found => Reason::NotRestricted,
            _ => Reason::Active,
        }
    }
}

fn covers_feature(body: Option<&RecordBody>, feature: &Code) -> Result<(), Reason> {
    let features = body.and_then(|body| body.features.as_ref());
    let features = features.ok_or(Reason::EntitlementUnknown)?;
    if features.contains(feature) { Ok(()) } else { Err(Reason::FeatureMissing) }
}

fn covers_limit(
    body: Option<&RecordBody>,
    check: &LimitCheck,
    max_used_age: Duration,
    now: Timestamp,
) -> Result<(), Reason> {
    let limits = body.and_then(|body| body.limits.as_ref()).ok_or(Reason::EntitlementUnknown)?;
    let limit = limits.get(&check.code).ok_or(Reason::FeatureMissing)?;
    let Maximum::AtMost(max) = limit.max else { return Ok(()) };
    let fits = if let Some(wanted) = check.value {
        wanted <= max
    } else {
        let used = limit.used.ok_or(Reason::EntitlementUnknown)?;
        let used_at = limit.used_at.ok_or(Reason::EntitlementUnknown)?;
        if now.saturating_since(used_at) > max_used_age {
            return Err(Reason::EntitlementUnknown);
        }
        used < max
    };
    if fits { Ok(()) } else { Err(Reason::LimitExceeded) }
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*, sample::select};

    use super::{
        super::{CustomerKey, Operation, restriction::tests::*},
        *,
    };

    fn any_policy() -> impl Strategy<Value = Policy> {
        (
            select(&[Unknown::Allow, Unknown::Deny][..]),
            select(&[Unlisted::Allow, Unlisted::Error][..]),
            select(&[Access::None, Access::ReadOnly][..]),
        )
            .prop_map(|(unknown_customers, when_unlisted, inactive_access)| Policy {
                unknown_customers,
                when_unlisted,
                inactive_access,
                ..Policy::default()
            })
    }

    fn any_staleness() -> impl Strategy<Value = Staleness> {
        (option::of(0..9_u64), 0..9_u64, 0..9_u64, any::<bool>()).prop_map(
            |(age, max_staleness, stale_limit, suspect)| Staleness {
                age: age.map(Duration::from_secs),
                max_staleness: Duration::from_secs(max_staleness),
                stale_limit: Duration::from_secs(stale_limit),
                suspect,
            },
        )
    }

    fn any_check() -> impl Strategy<Value = Check> {
        let operation = select(&[Operation::Read, Operation::Write][..]);
        let feature = option::of(select(&["sso", "export"][..]));
        let limit = option::of((select(&["seats", "calls"][..]), option::of(0..9_u64)));
        (operation, feature, limit).prop_map(|(operation, feature, limit)| Check {
            feature: feature.map(code),
            limit: limit.map(|(name, value)| LimitCheck { code: code(name), value }),
            ..Check::of(
                CustomerKey::parse("default:c1").map_err(|_| IdentityFault::Malformed),
                operation,
            )
        })
    }

    fn code(raw: &str) -> Code {
        Code::parse(raw).unwrap()
    }

    fn fresh() -> Staleness {
        Staleness {
            age: Some(Duration::ZERO),
            max_staleness: Duration::from_secs(30),
            stale_limit: Duration::from_hours(1),
            suspect: false,
        }
    }

    fn body() -> RecordBody {
        serde_json::from_value(serde_json::json!({
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
            "features": ["sso"],
            "limits": {"seats": {"max": 5, "used": 4, "usedAt": "1970-01-01T00:00:00Z"},
                       "calls": {"max": "unlimited"}},
        }))
        .unwrap()
    }

    fn records(body: &RecordBody) -> [RecordEvidence<'_>; 5] {
        [
            RecordEvidence::Known(body),
            RecordEvidence::Absent,
            RecordEvidence::Unreadable,
            RecordEvidence::Missing(Missing::Unreachable),
            RecordEvidence::Missing(Missing::Overloaded),
        ]
    }

    proptest! {
        #[test]
        fn no_staleness_and_no_setting_lets_a_known_restriction_pass(
            restrictions in any_restrictions(), now in any_time(), policy in any_policy(),
            staleness in any_staleness(), check in any_check(), revision_reached: bool,
        ) {
            let access = restrictions.access_at(now, policy.inactive_access);
            prop_assume!(!access.permits(check.operation));
            let body = body();
            for record in records(&body) {
                let evidence = Evidence { restrictions: &restrictions, record, staleness, revision_reached };
                prop_assert_eq!(decide(&evidence, &check, &policy, now).outcome(), Outcome::Deny);
            }
        }

        #[test]
        fn what_is_too_stale_or_behind_lets_nobody_in(
            restrictions in any_restrictions(), now in any_time(), policy in any_policy(),
            staleness in any_staleness(), check in any_check(), revision_reached: bool,
        ) {
            prop_assume!(!revision_reached || staleness.judge() == Freshness::TooStale);
            let body = body();
            for record in records(&body) {
                let evidence = Evidence { restrictions: &restrictions, record, staleness, revision_reached };
                prop_assert_ne!(decide(&evidence, &check, &policy, now).outcome(), Outcome::Allow);
            }
        }

        #[test]
        fn without_restrictions_nothing_but_the_entitlement_or_the_unknown_is_denied(
            now in any_time(), policy in any_policy(), check in any_check(),
        ) {
            let (body, none) = (body(), Restrictions::default());
            for record in records(&body) {
                let evidence = Evidence { restrictions: &none, record, staleness: fresh(), revision_reached: true };
                let decision = decide(&evidence, &check, &policy, now);
                if decision.outcome() == Outcome::Deny {
                    prop_assert!(matches!(
                        decision.reason,
                        Reason::FeatureMissing | Reason::LimitExceeded | Reason::CustomerUnknown
                    ));
                }
            }
        }
    }

    fn reason_for(
        body: &RecordBody,
        restrictions: &str,
        edit: impl FnOnce(&mut Check),
    ) -> Decision {
        let restrictions = Restrictions::parse_compact(restrictions).unwrap();
        let record = RecordEvidence::Known(body);
        let evidence = Evidence {
            restrictions: &restrictions,
            record,
            staleness: fresh(),
            revision_reached: true,
        };
        let key = CustomerKey::parse("default:c1").map_err(|_| IdentityFault::Malformed);
        let mut check = Check::of(key, Operation::Read);
        edit(&mut check);
        decide(&evidence, &check, &Policy::default(), Timestamp::from_millis(60_000))
    }

    #[test]
    fn a_frozen_customer_reads_and_does_not_write() {
        let frozen = "frozen,wingback,other,0,";
        assert_eq!(reason_for(&body(), frozen, |_| ()).reason, Reason::FrozenRead);
        let write = |check: &mut Check| check.operation = Operation::Write;
        assert_eq!(reason_for(&body(), frozen, write).reason, Reason::CustomerFrozen);
    }

    #[test]
    fn payment_is_required_only_if_every_deciding_restriction_is_for_non_payment() {
        let unpaid = "disabled,billabear,non_payment,0,;frozen,wingback,fraud,0,";
        assert!(reason_for(&body(), unpaid, |_| ()).payment_required);
        let mixed = "disabled,billabear,non_payment,0,;disabled,operator,fraud,0,";
        assert!(!reason_for(&body(), mixed, |_| ()).payment_required);
        assert!(!reason_for(&body(), "", |_| ()).payment_required);
    }

    #[test]
    fn features_and_limits_are_judged_from_the_record() {
        let ask_feature =
            |name| reason_for(&body(), "", |check| check.feature = Some(code(name))).reason;
        assert_eq!(ask_feature("sso"), Reason::Active);
        assert_eq!(ask_feature("export"), Reason::FeatureMissing);
        let ask_limit = |name, value| {
            let limit = Some(LimitCheck { code: code(name), value });
            reason_for(&body(), "", |check| check.limit = limit).reason
        };
        assert_eq!(ask_limit("seats", None), Reason::Active);
        assert_eq!(ask_limit("seats", Some(5)), Reason::Active);
        assert_eq!(ask_limit("seats", Some(6)), Reason::LimitExceeded);
        assert_eq!(ask_limit("calls", Some(u64::MAX)), Reason::Active);
        assert_eq!(ask_limit("other", None), Reason::FeatureMissing);
    }

    #[test]
    fn what_no_source_has_said_is_unknown_and_not_denied() {
        let silent = RecordBody { features: None, limits: None, ..body() };
        let decision = reason_for(&silent, "", |check| check.feature = Some(code("sso")));
        assert_eq!(decision.reason, Reason::EntitlementUnknown);
        let mut outdated = body();
        if let Some(limits) = &mut outdated.limits {
            for limit in limits.values_mut() {
                limit.used_at = None;
            }
        }
        let limit = Some(LimitCheck { code: code("seats"), value: None });
        let decision = reason_for(&outdated, "", |check| check.limit = limit);
        assert_eq!(decision.reason, Reason::EntitlementUnknown);
    }

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
