//! What the decision promises, over every staleness and setting.

use std::sync::Arc;

use proptest::{option, prelude::*, sample::select};

use super::{
    super::{
        AccessLeft, CustomerKey, Exemption, Ground, IdentityFault, Kind, Operation, Overrides,
        RouteTerms, restriction::tests::*,
    },
    *,
};

fn any_policy() -> impl Strategy<Value = Policy> {
    (
        select(&[Unknown::Allow, Unknown::Deny][..]),
        select(&[Unlisted::Allow, Unlisted::Error][..]),
        select(&[Access::None, Access::ReadOnly][..]),
        select(&[Access::None, Access::ReadOnly][..]),
    )
        .prop_map(|(unknown_customers, when_unlisted, inactive, frozen)| Policy {
            unknown_customers,
            when_unlisted,
            access: AccessLeft { frozen, inactive },
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
    (operation, feature, limit).prop_map(|(operation, feature, limit)| {
        let asked = Asked {
            feature: feature.map(code),
            limit: limit.map(|(name, value)| LimitCheck { code: code(name), value }),
            ..Asked::plain(operation)
        };
        let customer = CustomerKey::parse("default:c1").map_err(|_| IdentityFault::Malformed);
        asked.into_readings().of(customer, None)
    })
}

fn decided(evidence: &Evidence<'_>, check: &Check, policy: &Policy, now: Timestamp) -> Decision {
    decide(evidence, check, policy, None, now).decision
}

fn any_grounds() -> impl Strategy<Value = Vec<Ground>> {
    let kind = select(&Kind::ALL[..]).prop_map(Ground::Kind);
    let reason = select(&RestrictionReason::ALL[..]).prop_map(Ground::Reason);
    prop::collection::vec(prop_oneof![kind, reason], 0..4)
}

#[test]
fn a_route_that_is_exempt_or_unknown_is_decided_whoever_asks() {
    let none = Restrictions::default();
    let record = RecordEvidence::Missing(Missing::Unreachable);
    let staleness = Staleness { age: None, ..fresh() };
    let evidence = Evidence { restrictions: &none, record, staleness, revision_reached: false };
    let terms = RouteTerms {
        pattern: "/healthz".to_owned(),
        exemption: Exemption::Everybody,
        overrides: Overrides::default(),
    };
    for (route, reason) in [
        (Route::Matched(Arc::new(terms)), Reason::RouteExempt),
        (Route::Suspicious, Reason::PathSuspicious),
        (Route::Unmatched, Reason::RouteUnmatched),
        (Route::Unrouted, Reason::CustomerMissing),
    ] {
        let asked = Asked { route, ..Asked::plain(Operation::Write) };
        let check = asked.into_readings().of(Err(IdentityFault::Missing), None);
        let decision = decided(&evidence, &check, &Policy::default(), Timestamp::from_millis(1));
        assert_eq!(decision, Decision::about_nobody(reason));
    }
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

fn records(body: &RecordBody) -> [RecordEvidence<'_>; 6] {
    [
        RecordEvidence::Known(body),
        RecordEvidence::Purged,
        RecordEvidence::Absent,
        RecordEvidence::Unreadable,
        RecordEvidence::Missing(Missing::Unreachable),
        RecordEvidence::Missing(Missing::Overloaded),
    ]
}

proptest! {
    #[test]
    fn whoever_was_erased_is_unknown_or_restricted_whatever_the_settings(
        restrictions in any_restrictions(), now in any_time(), policy in any_policy(),
        staleness in any_staleness(), check in any_check(),
    ) {
        let record = RecordEvidence::Purged;
        let evidence =
            Evidence { restrictions: &restrictions, record, staleness, revision_reached: true };
        let decision = decided(&evidence, &check, &policy, now);
        prop_assert_eq!(decision.outcome(), Outcome::Deny);
        let access = restrictions.access_at(now, policy.access);
        if check.identity.is_ok() && access.permits(check.readings.first.operation) {
            prop_assert_eq!(decision, Decision::about_nobody(Reason::CustomerUnknown));
        }
    }

    #[test]
    fn no_staleness_and_no_setting_lets_a_known_restriction_pass(
        restrictions in any_restrictions(), now in any_time(), policy in any_policy(),
        staleness in any_staleness(), check in any_check(), revision_reached: bool,
    ) {
        let access = restrictions.access_at(now, policy.access);
        prop_assume!(!access.permits(check.readings.first.operation));
        let body = body();
        for record in records(&body) {
            let evidence = Evidence { restrictions: &restrictions, record, staleness, revision_reached };
            prop_assert_eq!(decided(&evidence, &check, &policy, now).outcome(), Outcome::Deny);
        }
    }

    #[test]
    fn a_route_sets_aside_no_restriction_but_those_on_its_grounds(
        restrictions in any_restrictions(), now in any_time(), policy in any_policy(),
        check in any_check(), grounds in any_grounds(),
    ) {
        let body = body();
        let judged = |restrictions: &Restrictions, check: &Check| {
            let record = RecordEvidence::Known(&body);
            let staleness = fresh();
            let evidence = Evidence { restrictions, record, staleness, revision_reached: true };
            decided(&evidence, check, &policy, now)
        };
        let terms = RouteTerms {
            pattern: "/billing".to_owned(),
            exemption: Exemption::For(grounds.clone()),
            overrides: Overrides::default(),
        };
        let mut exempt = check.clone();
        exempt.readings.first.route = Route::Matched(Arc::new(terms));
        let rest = restrictions.only(|held| !grounds.iter().any(|ground| ground.covers(held)));
        let (there, without) = (judged(&restrictions, &exempt), judged(&rest, &check));
        prop_assert_eq!(there.outcome(), without.outcome());
        if there.outcome() == Outcome::Deny {
            prop_assert_eq!(there.reason, without.reason);
        }
        // The answer says what the customer is, wherever it is asked.
        if check.identity.is_ok() {
            prop_assert_eq!(there.status, Some(restrictions.status_at(now)));
        }
        let plain = judged(&restrictions, &check);
        if plain.outcome() != Outcome::Deny {
            prop_assert_eq!(there, plain);
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
            prop_assert_ne!(decided(&evidence, &check, &policy, now).outcome(), Outcome::Allow);
        }
    }

    #[test]
    fn without_restrictions_nothing_but_the_entitlement_or_the_unknown_is_denied(
        now in any_time(), policy in any_policy(), check in any_check(),
    ) {
        let (body, none) = (body(), Restrictions::default());
        for record in records(&body) {
            let evidence = Evidence { restrictions: &none, record, staleness: fresh(), revision_reached: true };
            let decision = decided(&evidence, &check, &policy, now);
            if decision.outcome() == Outcome::Deny {
                prop_assert!(matches!(
                    decision.reason,
                    Reason::FeatureMissing | Reason::LimitExceeded | Reason::CustomerUnknown
                ));
            }
        }
    }
}

fn reason_for(body: &RecordBody, restrictions: &str, edit: impl FnOnce(&mut Asked)) -> Decision {
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
    edit(&mut check.readings.first);
    decided(&evidence, &check, &Policy::default(), Timestamp::from_millis(60_000))
}

#[test]
fn a_frozen_customer_reads_and_does_not_write() {
    let frozen = "frozen,wingback,other,0,";
    assert_eq!(reason_for(&body(), frozen, |_| ()).reason, Reason::FrozenRead);
    let write = |asked: &mut Asked| asked.operation = Operation::Write;
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
        |name| reason_for(&body(), "", |asked| asked.feature = Some(code(name))).reason;
    assert_eq!(ask_feature("sso"), Reason::Active);
    assert_eq!(ask_feature("export"), Reason::FeatureMissing);
    let ask_limit = |name, value| {
        let limit = Some(LimitCheck { code: code(name), value });
        reason_for(&body(), "", |asked| asked.limit = limit).reason
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
    let decision = reason_for(&silent, "", |asked| asked.feature = Some(code("sso")));
    assert_eq!(decision.reason, Reason::EntitlementUnknown);
    let mut outdated = body();
    if let Some(limits) = &mut outdated.limits {
        for limit in limits.values_mut() {
            limit.used_at = None;
        }
    }
    let limit = Some(LimitCheck { code: code("seats"), value: None });
    let decision = reason_for(&outdated, "", |asked| asked.limit = limit);
    assert_eq!(decision.reason, Reason::EntitlementUnknown);
}
