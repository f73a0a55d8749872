//! How a decision is spelled on each wire: one table, and the eight headers of every answer.

mod headers;

use std::sync::OnceLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;

pub use self::headers::{
    ACCESS, AGE_MS, Beside, CODE, DECISION, MODE, Numbers, Place, REASON, REVISION, STALE, STATUS,
    headers,
};
use crate::{
    domain::{Access, Decision, Enforcement, Reason, Status},
    gate::Answer,
};

/// How a reason is spelled. No `_` arm: a new reason must choose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Spelling {
    /// The HTTP status of the answer that a gateway passes on.
    pub status: StatusCode,
    /// The code in an error body.
    pub code: &'static str,
    /// One calm sentence for whoever is refused.
    pub sentence: &'static str,
}

/// Spells a decision.
#[must_use]
pub fn spelling(decision: &Decision) -> Spelling {
    let (status, code, sentence) = match decision.reason {
        Reason::Active => (StatusCode::OK, "ACTIVE", "The customer is active."),
        Reason::FrozenRead => {
            (StatusCode::OK, "FROZEN_READ", "The customer is frozen, and may read.")
        }
        Reason::InactiveRead => {
            (StatusCode::OK, "INACTIVE_READ", "The customer is inactive, and may read.")
        }
        Reason::RouteExempt => {
            (StatusCode::OK, "ROUTE_EXEMPT", "The route is exempt from the customer's status.")
        }
        Reason::NotRestricted => {
            (StatusCode::OK, "NOT_RESTRICTED", "The customer is not restricted.")
        }
        Reason::UnknownAllowed => {
            (StatusCode::OK, "UNKNOWN_ALLOWED", "Unknown customers are allowed.")
        }
        Reason::CustomerMissing => {
            (StatusCode::UNAUTHORIZED, "CUSTOMER_MISSING", "The request names no customer.")
        }
        Reason::CustomerAmbiguous => (
            StatusCode::BAD_REQUEST,
            "CUSTOMER_AMBIGUOUS",
            "The request names more than one customer or tenant.",
        ),
        Reason::CustomerMalformed => (
            StatusCode::BAD_REQUEST,
            "CUSTOMER_MALFORMED",
            "The customer id or tenant is malformed.",
        ),
        Reason::PathSuspicious => (
            StatusCode::BAD_REQUEST,
            "PATH_SUSPICIOUS",
            "The path hides part of itself, or is not told.",
        ),
        Reason::RouteUnmatched => {
            (StatusCode::FORBIDDEN, "ROUTE_UNMATCHED", "There is no rule for this route.")
        }
        Reason::CustomerUnknown => {
            (StatusCode::FORBIDDEN, "CUSTOMER_UNKNOWN", "There is no such customer.")
        }
        Reason::CustomerDisabled if decision.payment_required => (
            StatusCode::PAYMENT_REQUIRED,
            "CUSTOMER_DISABLED",
            "The customer is disabled because a payment is missing.",
        ),
        Reason::CustomerDisabled => {
            (StatusCode::FORBIDDEN, "CUSTOMER_DISABLED", "The customer is disabled.")
        }
        Reason::CustomerFrozen => {
            (StatusCode::LOCKED, "CUSTOMER_FROZEN", "The customer is frozen, and may only read.")
        }
        Reason::CustomerInactive => {
            (StatusCode::FORBIDDEN, "CUSTOMER_INACTIVE", "The customer is inactive.")
        }
        Reason::FeatureMissing => {
            (StatusCode::FORBIDDEN, "FEATURE_MISSING", "The customer does not have this feature.")
        }
        Reason::LimitExceeded => {
            (StatusCode::FORBIDDEN, "LIMIT_EXCEEDED", "The customer's limit is reached.")
        }
        Reason::StoreUnreachable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "STORE_UNREACHABLE",
            "The customer's record cannot be read now.",
        ),
        Reason::TooStale => (
            StatusCode::SERVICE_UNAVAILABLE,
            "TOO_STALE",
            "What is known of the customer is too old to decide.",
        ),
        Reason::EntitlementUnknown => (
            StatusCode::SERVICE_UNAVAILABLE,
            "ENTITLEMENT_UNKNOWN",
            "What the customer is entitled to is not known.",
        ),
        Reason::RevisionNotReached => (
            StatusCode::SERVICE_UNAVAILABLE,
            "REVISION_NOT_REACHED",
            "The revision asked for was not reached in time.",
        ),
        Reason::Overloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "OVERLOADED",
            "Too many customers are being looked up at once.",
        ),
    };
    Spelling { status, code, sentence }
}

/// The status that a gateway is answered with: the decision's own when it is enforced, a refusal
/// or a pass when a setting says so.
#[must_use]
pub fn enforced_status(answer: &Answer) -> StatusCode {
    let usual = spelling(&answer.decision).status;
    let own = answer.http_status.and_then(|it| StatusCode::from_u16(it).ok()).unwrap_or(usual);
    match answer.enforcement {
        Enforcement::Pass => StatusCode::OK,
        Enforcement::Fail => StatusCode::SERVICE_UNAVAILABLE,
        Enforcement::Refuse if own.is_server_error() => StatusCode::FORBIDDEN,
        Enforcement::Refuse => own,
    }
}

/// What every answer that does not let a request pass carries for its status.
pub fn complete_refusal(status: StatusCode, headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"tollgate\"");
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
}

/// The body of an answer that does not let a request pass. It is written once for each reason.
#[must_use]
pub fn refusal_body(decision: &Decision) -> Bytes {
    let write = || {
        let spelling = spelling(decision);
        Bytes::from(error_body(spelling.code, spelling.sentence))
    };
    // Of the reasons, a missing payment makes one another.
    let place = decision.reason as usize * 2 + usize::from(decision.payment_required);
    BODIES.get(place).map_or_else(write, |body| body.get_or_init(write).clone())
}

/// A customer's status, or that it is not known.
#[must_use]
pub const fn status_word(status: Option<Status>) -> &'static str {
    match status {
        Some(status) => status.as_str(),
        None => "unknown",
    }
}

/// A customer's access, or that it is not known.
#[must_use]
pub const fn access_word(access: Option<Access>) -> &'static str {
    match access {
        Some(access) => access.as_str(),
        None => "unknown",
    }
}

/// The body of an answer that refuses: `{"error":{"code","message"}}`, on one line, ASCII.
#[must_use]
pub fn error_body(code: &str, message: &str) -> String {
    serde_json::json!({"error": {"code": code, "message": message}}).to_string()
}

static BODIES: [OnceLock<Bytes>; Reason::ALL.len() * 2] =
    [const { OnceLock::new() }; Reason::ALL.len() * 2];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Mode, Outcome};

    fn decision(reason: Reason) -> Decision {
        Decision { reason, status: None, access: None, payment_required: false }
    }

    #[test]
    fn the_http_status_never_contradicts_the_outcome() {
        for reason in Reason::ALL {
            let status = spelling(&decision(reason)).status;
            match reason.outcome() {
                Outcome::Allow => assert_eq!(status, StatusCode::OK, "{reason}"),
                Outcome::Deny => assert!(status.is_client_error(), "{reason}"),
                Outcome::Undecided => {
                    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{reason}");
                }
            }
        }
    }

    #[test]
    fn a_disable_for_non_payment_is_402() {
        let unpaid = Decision { payment_required: true, ..decision(Reason::CustomerDisabled) };
        assert_eq!(spelling(&unpaid).status, StatusCode::PAYMENT_REQUIRED);
        assert_eq!(spelling(&decision(Reason::CustomerDisabled)).status, StatusCode::FORBIDDEN);
    }

    #[test]
    fn every_refusal_says_its_own_reason() {
        for payment_required in [false, true] {
            for reason in Reason::ALL {
                let decision = Decision { payment_required, ..decision(reason) };
                let Spelling { code, sentence, .. } = spelling(&decision);
                for _ in 0..2 {
                    let body: serde_json::Value =
                        serde_json::from_slice(&refusal_body(&decision)).unwrap();
                    let expected = serde_json::json!({"code": code, "message": sentence});
                    assert_eq!(body, serde_json::json!({ "error": expected }));
                }
            }
        }
    }

    #[test]
    fn an_undecided_check_that_is_refused_is_403() {
        let mut answer = Answer {
            decision: decision(Reason::TooStale),
            enforcement: Enforcement::Refuse,
            mode: Mode::Enforce,
            revision: None,
            age: None,
            stale: true,
            http_status: None,
        };
        assert_eq!(enforced_status(&answer), StatusCode::FORBIDDEN);
        answer.enforcement = Enforcement::Fail;
        assert_eq!(enforced_status(&answer), StatusCode::SERVICE_UNAVAILABLE);
    }
}
