//! The decision: a total, pure function of what is known.

use std::time::Duration;

use super::{
    check::{Access, Asked, Check, Identity, LimitCheck},
    customer::RecordBody,
    entitlement::{Code, Maximum},
    freshness::{Freshness, Staleness},
    reason::{Outcome, Reason},
    restriction::{RestrictionReason, Restrictions, Status},
    route::Route,
    settings::{Enforced, Mode, Policy, Unknown, Unlisted},
    time::Timestamp,
};

/// Decides `check` from `evidence` at `now`: in every way of reading it, of which the strictest
/// counts, as the policy has it enforced, or the mode that the whole `fleet` is put into.
#[must_use]
pub fn decide<'a, C>(
    evidence: &Evidence<'_>,
    check: &'a Check<C>,
    policy: &Policy,
    fleet: Option<Mode>,
    now: Timestamp,
) -> Judged<'a> {
    let named = check.identity.as_ref().map(|_| ()).map_err(|fault| *fault);
    let judge = |asked: &'a Asked| {
        let decision = decide_as(asked, evidence, named, policy, now);
        let enforced = policy.enforce(&decision, &asked.route, fleet);
        Judged { decision, enforced, asked }
    };
    let strictness = |judged: &Judged<'_>| (judged.enforced.enforcement, judged.decision.outcome());
    let first = judge(&check.readings.first);
    check.readings.others.iter().map(judge).fold(first, |strictest, judged| {
        if strictness(&judged) > strictness(&strictest) { judged } else { strictest }
    })
}

/// What a check came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Judged<'a> {
    /// The decision.
    pub decision: Decision,
    /// What is made of it.
    pub enforced: Enforced,
    /// The way of reading it that was decided by.
    pub asked: &'a Asked,
}

/// Decides one way of reading a check.
///
/// Total and pure: every input has exactly one answer, and asking twice changes nothing. The
/// order is: the route, where the policy says all of it; identity; a restriction in force on
/// anything known denies, however stale; the revision asked for; whether the customer is known;
/// staleness; feature; limit; allow. A customer who was erased is unknown.
fn decide_as(
    asked: &Asked,
    evidence: &Evidence<'_>,
    identity: Identity<()>,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    if let Some(reason) = said_by_route(&asked.route) {
        return Decision::about_nobody(reason);
    }
    if let Err(fault) = identity {
        return Decision::about_nobody(fault.into());
    }
    let known = Known::at(evidence, policy, now);
    let exempt = if known.access.permits(asked.operation) {
        false
    } else {
        if asked.route.set_aside().is_empty() {
            return known.decision(known.why_denied());
        }
        // What the route sets aside does not count there; the customer is what it is all the same.
        let remaining = evidence.restrictions.only(|held| asked.route.counts(held));
        let left = Known::at(&Evidence { restrictions: &remaining, ..*evidence }, policy, now);
        if !left.access.permits(asked.operation) {
            let payment_required = left.payment_required;
            return Decision { payment_required, ..known.decision(left.why_denied()) };
        }
        true
    };
    if !evidence.revision_reached {
        return known.decision(Reason::RevisionNotReached);
    }
    let body = match evidence.record {
        RecordEvidence::Known(body) => Some(body),
        RecordEvidence::Purged => return Decision::about_nobody(Reason::CustomerUnknown),
        RecordEvidence::Absent => match policy.unknown_customers {
            Unknown::Deny => return Decision::about_nobody(Reason::CustomerUnknown),
            Unknown::Allow => None,
        },
        RecordEvidence::Unreadable => return known.decision(Reason::StoreUnreachable),
        RecordEvidence::Missing(missing) => {
            let listed = !evidence.restrictions.is_empty();
            let may_do_without = listed || policy.when_unlisted == Unlisted::Allow;
            if asked.asks_entitlement() || !may_do_without {
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
    let entitled = match &asked.feature {
        Some(feature) => covers_feature(body, feature),
        None => Ok(()),
    };
    let entitled = entitled.and_then(|()| match &asked.limit {
        Some(limit) => covers_limit(body, limit, policy.max_used_age, now),
        None => Ok(()),
    });
    let allowed = || if exempt { Reason::RouteExempt } else { known.why_allowed(evidence) };
    known.decision(entitled.err().unwrap_or_else(allowed))
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
    /// The customer was erased: nobody knows it, whoever is let in unknown.
    Purged,
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

    /// A decision in which no customer is known.
    #[must_use]
    pub const fn about_nobody(reason: Reason) -> Self {
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
            access: restrictions.access_at(now, policy.access),
            found: restrictions.iter().next().is_some()
                || matches!(evidence.record, RecordEvidence::Known(_)),
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

    fn why_denied(&self) -> Reason {
        match self.status {
            Status::Disabled => Reason::CustomerDisabled,
            Status::Frozen => Reason::CustomerFrozen,
            // Only a restriction takes access away, so an active customer cannot get here.
            Status::Inactive | Status::Active => Reason::CustomerInactive,
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

/// What the policy says of a route on which the customer does not matter.
fn said_by_route(route: &Route) -> Option<Reason> {
    match route {
        Route::Suspicious => Some(Reason::PathSuspicious),
        Route::Unmatched => Some(Reason::RouteUnmatched),
        Route::Matched(_) if route.decides_alone() => Some(Reason::RouteExempt),
        Route::Matched(_) | Route::Unrouted => None,
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
mod tests;
