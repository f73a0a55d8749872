//! What a line of the decision log says.

use std::time::Duration;

use serde::Serialize;

use crate::{
    domain::{Access, Code, CustomerKey, Decision, Mode, Operation, Status, Timestamp, Token},
    telemetry::{Dialect, traces::Place},
};

/// A decision, as it is handed over.
#[derive(Clone, Debug)]
pub struct Decided {
    /// When.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// In which dialect it was asked for.
    pub dialect: Dialect,
    /// The decision.
    pub decision: Decision,
    /// Whether denies are enforced.
    pub mode: Mode,
    /// Whether the gateway was told to let it pass.
    pub allowed: bool,
    /// Whom it is about, if somebody was named.
    pub customer: Option<CustomerKey>,
    /// What was to be done, if that could be understood.
    pub operation: Option<Operation>,
    /// The pattern of the policy's route.
    pub route: Option<String>,
    /// The feature that it needs.
    pub feature: Option<Code>,
    /// The limit that it must stay within.
    pub limit: Option<Code>,
    /// The revision that it stands on.
    pub revision: Option<Token>,
    /// How old that is.
    pub age: Option<Duration>,
    /// Whether that is past the staleness budget.
    pub stale: bool,
    /// Where in a trace it stands, if it is part of one.
    pub place: Option<Place>,
}

/// What can be left out of the lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Masked {
    /// The customer's id.
    Customer,
    /// The feature and the limit.
    Entitlement,
    /// The route.
    Route,
    /// The tenant.
    Tenant,
}

impl Masked {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Customer, Self::Entitlement, Self::Route, Self::Tenant];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Entitlement => "entitlement",
            Self::Route => "route",
            Self::Tenant => "tenant",
        }
    }
}

/// The line, with the names that the API has for all this.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line<'a> {
    at: Timestamp,
    decision: &'static str,
    reason: &'static str,
    allowed: bool,
    mode: &'static str,
    tenant_id: Option<&'a str>,
    customer_id: Option<&'a str>,
    status: Option<Status>,
    access: Option<Access>,
    action: Option<Operation>,
    route: Option<&'a str>,
    feature: Option<&'a str>,
    limit: Option<&'a str>,
    dialect: &'static str,
    revision: Option<&'a Token>,
    age_ms: Option<u64>,
    stale: bool,
    took_us: u64,
}

impl<'a> Line<'a> {
    pub(super) fn of(decided: &'a Decided, masked: &[Masked]) -> Self {
        let shown = |what: Masked, said: Option<&'a str>| {
            said.map(|said| if masked.contains(&what) { MASK } else { said })
        };
        let customer = decided.customer.as_ref();
        Self {
            at: decided.at,
            decision: decided.decision.outcome().as_str(),
            reason: decided.decision.reason.as_str(),
            allowed: decided.allowed,
            mode: decided.mode.as_str(),
            tenant_id: shown(Masked::Tenant, customer.map(CustomerKey::tenant)),
            customer_id: shown(Masked::Customer, customer.map(CustomerKey::id)),
            status: decided.decision.status,
            access: decided.decision.access,
            action: decided.operation,
            route: shown(Masked::Route, decided.route.as_deref()),
            feature: shown(Masked::Entitlement, decided.feature.as_ref().map(Code::as_str)),
            limit: shown(Masked::Entitlement, decided.limit.as_ref().map(Code::as_str)),
            dialect: decided.dialect.as_str(),
            revision: decided.revision.as_ref(),
            age_ms: decided.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            stale: decided.stale,
            took_us: u64::try_from(decided.took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// What stands for what is left out.
const MASK: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Reason;

    fn decided() -> Decided {
        Decided {
            at: Timestamp::from_millis(1_763_719_200_000),
            took: Duration::from_micros(31),
            dialect: Dialect::Nginx,
            decision: Decision {
                reason: Reason::CustomerFrozen,
                status: Some(Status::Frozen),
                access: Some(Access::ReadOnly),
                payment_required: false,
            },
            mode: Mode::Enforce,
            allowed: false,
            customer: CustomerKey::parse("acme:c1").ok(),
            operation: Some(Operation::Write),
            route: Some("/export/{*rest}".to_owned()),
            feature: Code::parse("export").ok(),
            limit: None,
            revision: None,
            age: Some(Duration::from_millis(120)),
            stale: false,
            place: None,
        }
    }

    fn line(masked: &[Masked]) -> String {
        serde_json::to_string(&Line::of(&decided(), masked)).unwrap()
    }

    #[test]
    fn a_line_says_who_asked_for_what_and_what_was_answered() {
        assert_eq!(
            line(&[]),
            r#"{"at":"2025-11-21T10:00:00Z","decision":"deny","reason":"customer_frozen","allowed":false,"mode":"enforce","tenantId":"acme","customerId":"c1","status":"frozen","access":"read_only","action":"write","route":"/export/{*rest}","feature":"export","limit":null,"dialect":"nginx","revision":null,"ageMs":120,"stale":false,"tookUs":31}"#
        );
    }

    #[test]
    fn what_is_masked_is_in_no_line() {
        let line = line(&Masked::ALL);
        for said in ["c1", "acme", "export"] {
            assert!(!line.contains(said), "{said} in {line}");
        }
        assert_eq!(line.matches("\"***\"").count(), 4, "{line}");
    }
}
