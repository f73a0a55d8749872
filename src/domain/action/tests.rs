//! What may be done to whom, by whom.

use super::{
    super::{customer::Record, key::CustomerKey, restriction::Status, revision::Revision},
    *,
};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn actor(role: Role) -> Actor {
    Actor {
        name: "alice".to_owned(),
        key_id: None,
        role,
        tenant: None,
        source: None,
        address: None,
    }
}

fn customer(compact: &str) -> Customer {
    let restrictions = Restrictions::parse_compact(compact).unwrap();
    let body = RecordBody { restrictions, ..RecordBody::default() };
    let key = CustomerKey::parse("default:c1").unwrap();
    Customer { record: Record { key, revision: Revision(1), body }, private: Private::default() }
}

fn after(customer: &Customer, plan: Plan) -> Customer {
    let record = Record { body: plan.body, ..customer.record.clone() };
    Customer { record, private: plan.private }
}

#[test]
fn placing_again_with_other_fields_keeps_since() {
    let known = customer("");
    let support = actor(Role::Support);
    let first = plan(Some(&known), &Action::of(Verb::Disable), &support, at(10)).unwrap();
    assert!(first.changed);
    let known = after(&known, first);
    let mut again = Action::of(Verb::Disable);
    assert!(!plan(Some(&known), &again, &support, at(20)).unwrap().changed);
    again.placement.reason = Some(RestrictionReason::NonPayment);
    let second = plan(Some(&known), &again, &support, at(20)).unwrap();
    assert!(second.changed);
    assert_eq!(second.body.restrictions.to_compact(), "disabled,operator,non_payment,10,");
}

#[test]
fn a_lapsed_restriction_placed_again_begins_now() {
    let known = customer("disabled,operator,other,1,5");
    let placed = plan(Some(&known), &Action::of(Verb::Disable), &actor(Role::Support), at(9));
    assert_eq!(placed.unwrap().body.restrictions.to_compact(), "disabled,operator,other,9,");
}

#[test]
fn lifting_what_is_not_held_changes_nothing() {
    let known = customer("disabled,billabear,other,1,");
    let lifted =
        plan(Some(&known), &Action::of(Verb::Enable), &actor(Role::Support), at(9)).unwrap();
    assert!(!lifted.changed);
    assert_eq!(lifted.body.restrictions.status_at(at(9)), Status::Disabled);
}

#[test]
fn support_cannot_lift_or_replace_a_sensitive_restriction() {
    let known = customer("disabled,operator,fraud,1,");
    let mut replace = Action::of(Verb::Disable);
    replace.placement.reason = Some(RestrictionReason::Other);
    for action in [Action::of(Verb::Enable), replace] {
        let refused = plan(Some(&known), &action, &actor(Role::Support), at(9));
        assert_eq!(refused, Err(Refusal::RoleTooWeak(RoleTooWeak { needed: Role::Manager })));
        assert!(plan(Some(&known), &action, &actor(Role::Manager), at(9)).unwrap().changed);
    }
}

#[test]
fn a_sensitive_restriction_that_has_lapsed_is_nobodys_matter_any_more() {
    let known = customer("frozen,operator,fraud,1,5");
    for verb in [Verb::Freeze, Verb::Unfreeze] {
        let acted = plan(Some(&known), &Action::of(verb), &actor(Role::Support), at(9));
        assert!(acted.unwrap().changed, "{verb:?}");
    }
}

#[test]
fn obligations_stand_against_closing_again_after_a_closure_has_lapsed() {
    for (held, expected) in [
        ("inactive,operator,other,1,5", Some(Refusal::HasPendingOrders)),
        ("inactive,operator,other,20,", Some(Refusal::HasPendingOrders)),
        ("inactive,operator,other,1,", None),
    ] {
        let mut known = customer(held);
        known.record.body.obligations.pending_orders = 1;
        let action = Action::of(Verb::Deactivate);
        let acted = plan(Some(&known), &action, &actor(Role::Support), at(9));
        assert_eq!(acted.err(), expected, "{held}");
    }
}

#[test]
fn acting_for_another_source_needs_a_manager() {
    let known = customer("");
    let mut action = Action::of(Verb::Disable);
    action.source = Source::parse("billabear").ok();
    assert!(plan(Some(&known), &action, &actor(Role::Support), at(9)).is_err());
    let own = Actor { source: action.source.clone(), ..actor(Role::Support) };
    assert!(plan(Some(&known), &action, &own, at(9)).is_ok());
}

#[test]
fn obligations_stand_against_closing_in_their_order() {
    let mut known = customer("");
    let manager = actor(Role::Manager);
    let mut refusal = |obligations| {
        known.record.body.obligations = obligations;
        plan(Some(&known), &Action::of(Verb::Deactivate), &manager, at(9)).err()
    };
    let all = Obligations { active_subscriptions: 1, pending_orders: 1, unreturned_devices: 1 };
    assert_eq!(refusal(all), Some(Refusal::HasActiveSubscriptions));
    let fewer = Obligations { active_subscriptions: 0, ..all };
    assert_eq!(refusal(fewer), Some(Refusal::HasPendingOrders));
    let fewest = Obligations { pending_orders: 0, ..fewer };
    assert_eq!(refusal(fewest), Some(Refusal::HasUnreturnedDevices));
    assert_eq!(refusal(Obligations::default()), None);
}

#[test]
fn a_status_makes_its_source_hold_exactly_that_kind() {
    let known = customer("disabled,operator,other,1,;frozen,wingback,other,1,");
    let mut put = Action::of(Verb::Put);
    put.status = Some(Some(Kind::Frozen));
    let plan = plan(Some(&known), &put, &actor(Role::Support), at(9)).unwrap();
    let expected = "frozen,operator,other,9,;frozen,wingback,other,1,";
    assert_eq!(plan.body.restrictions.to_compact(), expected);
}

#[test]
fn an_unknown_customer_is_made_only_when_asked_for_by_a_restricting_verb() {
    let support = actor(Role::Support);
    let mut disable = Action::of(Verb::Disable);
    assert_eq!(plan(None, &disable, &support, at(9)), Err(Refusal::CustomerUnknown));
    disable.create = true;
    assert!(plan(None, &disable, &support, at(9)).unwrap().changed);
    let mut enable = Action::of(Verb::Enable);
    enable.create = true;
    assert_eq!(plan(None, &enable, &support, at(9)), Err(Refusal::CustomerUnknown));
}

#[test]
fn an_end_before_the_start_is_refused() {
    let mut freeze = Action::of(Verb::Freeze);
    freeze.placement.until = Some(at(9));
    let refused = plan(Some(&customer("")), &freeze, &actor(Role::Support), at(9));
    assert_eq!(refused, Err(Refusal::EndsBeforeStart));
}
