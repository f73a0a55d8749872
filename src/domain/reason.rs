//! The three answers, and every reason for one of them.

use std::fmt;

use super::{check::IdentityFault, decision::Missing};

/// The three answers, the mildest first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// Yes.
    Allow,
    /// It cannot be known. Never a "no", and never silently a "yes".
    Undecided,
    /// No.
    Deny,
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
    /// The path may be another one behind the gateway, and the policy has routes.
    PathSuspicious,
    /// The revision asked for was not reached in time.
    RevisionNotReached,
    /// The policy exempts the route, from everything or from what restricts the customer.
    RouteExempt,
    /// The policy refuses routes that it does not name.
    RouteUnmatched,
    /// The store did not answer, and what is in memory cannot decide.
    StoreUnreachable,
    /// What is in memory is older than the stale limit.
    TooStale,
    /// The store knows no such customer, and unknown ones may pass.
    UnknownAllowed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 22] = [
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
        Self::PathSuspicious,
        Self::RevisionNotReached,
        Self::RouteExempt,
        Self::RouteUnmatched,
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
            Self::PathSuspicious => "path_suspicious",
            Self::RevisionNotReached => "revision_not_reached",
            Self::RouteExempt => "route_exempt",
            Self::RouteUnmatched => "route_unmatched",
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
            | Self::RouteExempt
            | Self::UnknownAllowed => Outcome::Allow,
            Self::CustomerAmbiguous
            | Self::CustomerDisabled
            | Self::CustomerFrozen
            | Self::CustomerInactive
            | Self::CustomerMalformed
            | Self::CustomerMissing
            | Self::CustomerUnknown
            | Self::FeatureMissing
            | Self::LimitExceeded
            | Self::PathSuspicious
            | Self::RouteUnmatched => Outcome::Deny,
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
