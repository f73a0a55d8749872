//! What may be done to whom, by whom.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    super::{
        customer::Record,
        entitlement::Maximum,
        key::CustomerKey,
        message::{Dated, MessageId},
        restriction::Status,
        revision::Revision,
    },
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
    let mut refusal = |obligations: Obligations| {
        known.record.body.obligations = obligations.into();
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

fn told(status: Option<Kind>, dated: Dated, id: &str) -> Action {
    let id = MessageId::Given(id.to_owned());
    let postmark = Some(Postmark { dated, id });
    Action { status: Some(status), postmark, ..Action::of(Verb::Put) }
}

fn billing() -> Actor {
    Actor { source: Source::parse("billing").ok(), ..actor(Role::Support) }
}

#[test]
fn a_late_message_does_not_undo_a_later_one_even_after_a_lift() {
    let disabled = told(Some(Kind::Disabled), Dated::Sent(at(10)), "m1");
    let active = told(None, Dated::Sent(at(20)), "m2");
    let known = customer("");
    let lifted = plan(Some(&known), &active, &billing(), at(30)).unwrap();
    assert!(!lifted.changed && lifted.writes && !lifted.entitlements_changed);
    assert_eq!(lifted.act.kind, None);
    let known = after(&known, lifted);
    let late = plan(Some(&known), &disabled, &billing(), at(30));
    assert_eq!(late, Err(Refusal::MessageOutdated));
    assert_eq!(plan(Some(&known), &active, &billing(), at(30)), Err(Refusal::MessageRepeated));
}

#[test]
fn an_act_of_status_tells_what_it_placed_or_lifted_and_nothing_if_that_was_so_before() {
    let told_to_be = |status| Action { status: Some(status), ..Action::of(Verb::Put) };
    let told = |known: &Customer, status| {
        plan(Some(known), &told_to_be(status), &billing(), at(9)).unwrap().act
    };
    let place = told(&customer("disabled,billing,other,1,"), Some(Kind::Frozen));
    assert_eq!((place.kind, place.exact), (Some(Kind::Frozen), true));
    let lift = told(&customer("disabled,billing,other,1,"), None);
    assert_eq!((lift.kind, lift.exact), (None, true));
    let repeated = told(&customer("frozen,billing,other,1,"), Some(Kind::Frozen));
    assert!(!repeated.is_of_status());
    let made = plan(None, &told_to_be(None), &billing(), at(9)).unwrap().act;
    assert!(made.is_of_status() && made.kind.is_none(), "it was not known");
    let enabled = plan(Some(&customer("")), &Action::of(Verb::Enable), &billing(), at(9)).unwrap();
    assert!(!enabled.act.is_of_status());
}

#[test]
fn a_message_that_is_written_back_keeps_its_place_among_those_of_its_source() {
    let written_back = |known: &Customer, sent| {
        let disabled = told(Some(Kind::Disabled), Dated::Sent(sent), "m1");
        let postmark = Some(Postmark::forgotten(sent));
        let recovers = "e1:0.7".parse().ok();
        plan(Some(known), &Action { postmark, recovers, ..disabled }, &billing(), at(900))
    };
    let known = customer("disabled,billing,other,1,");
    let first = written_back(&known, at(10)).unwrap();
    assert!(first.changed, "everybody has to hear of it");
    assert_eq!((first.act.kind, first.act.exact), (Some(Kind::Disabled), true));
    assert_eq!(first.act.at, Some(at(10)));
    assert!(!first.act.restricts(&first.body.restrictions), "it was counted once");
    let known = after(&known, first);
    assert!(written_back(&known, at(10)).is_ok(), "it is not measured against itself");
    let late = told(None, Dated::Sent(at(9)), "m0");
    assert_eq!(plan(Some(&known), &late, &billing(), at(900)), Err(Refusal::MessageOutdated));
    let later = told(None, Dated::Sent(at(20)), "m2");
    let known = after(&known, plan(Some(&known), &later, &billing(), at(900)).unwrap());
    assert_eq!(written_back(&known, at(10)), Err(Refusal::MessageOutdated));
}

#[test]
fn a_message_that_nobody_dated_is_told_with_its_place_in_the_order() {
    let known = customer("");
    let ahead = told(Some(Kind::Frozen), Dated::Sent(at(30)), "m1");
    let known = after(&known, plan(Some(&known), &ahead, &billing(), at(10)).unwrap());
    let undated = told(None, Dated::Arrived(at(11)), "m2");
    let lifted = plan(Some(&known), &undated, &billing(), at(11)).unwrap();
    assert_eq!(lifted.act.at, Some(at(30)));
}

#[test]
fn what_a_source_says_of_features_has_an_order_apart_from_what_it_says_of_the_status() {
    let manager = Actor { role: Role::Manager, ..billing() };
    let features = |sent, id: &str, code| {
        let features = Some(Some(BTreeSet::from([Code::parse(code).unwrap()])));
        let fields = Fields { features, ..Fields::default() };
        Action { fields, status: None, ..told(None, Dated::Sent(at(sent)), id) }
    };
    let later = features(50, "b", "sso");
    let known = customer("");
    let known = after(&known, plan(Some(&known), &later, &manager, at(60)).unwrap());
    let status = told(Some(Kind::Disabled), Dated::Sent(at(40)), "c");
    let planned = plan(Some(&known), &status, &billing(), at(60)).unwrap();
    assert_eq!(planned.body.restrictions.to_compact(), "disabled,billing,other,40,");
    let late = plan(Some(&known), &features(45, "a", "export"), &manager, at(60));
    assert_eq!(late.unwrap_err(), Refusal::MessageOutdated);
}

#[test]
fn a_message_of_another_source_is_not_measured_against_this_one() {
    let known = customer("");
    let first = told(Some(Kind::Frozen), Dated::Sent(at(20)), "m1");
    let known = after(&known, plan(Some(&known), &first, &billing(), at(30)).unwrap());
    let other = Actor { source: Source::parse("stripe").ok(), ..billing() };
    let earlier = told(Some(Kind::Frozen), Dated::Sent(at(10)), "m1");
    assert!(plan(Some(&known), &earlier, &other, at(30)).unwrap().changed);
}

#[test]
fn a_message_restricts_from_when_it_was_sent_and_its_repetition_keeps_that() {
    let known = customer("");
    let first = told(Some(Kind::Frozen), Dated::Sent(at(10)), "m1");
    let placed = plan(Some(&known), &first, &billing(), at(30)).unwrap();
    assert_eq!(placed.body.restrictions.to_compact(), "frozen,billing,other,10,");
    assert!(placed.act.restricts(&placed.body.restrictions));
    assert_eq!(placed.act.at, Some(at(10)));
    let known = after(&known, placed);
    let again = told(Some(Kind::Frozen), Dated::Sent(at(20)), "m2");
    let again = plan(Some(&known), &again, &billing(), at(40)).unwrap();
    assert_eq!(again.body.restrictions.to_compact(), "frozen,billing,other,10,");
    assert!(again.writes && !again.changed && !again.act.restricts(&again.body.restrictions));
    assert_eq!(again.body.updated_at, at(30));
    let ahead = told(Some(Kind::Frozen), Dated::Sent(at(50)), "m1");
    let ahead = plan(Some(&customer("")), &ahead, &billing(), at(30)).unwrap();
    assert_eq!(ahead.body.restrictions.to_compact(), "frozen,billing,other,30,");
}

#[test]
fn the_same_text_means_something_again_once_its_source_has_acted_otherwise() {
    let text = || {
        let id = MessageId::Digest("d1".to_owned());
        let postmark = Some(Postmark { dated: Dated::Arrived(at(10)), id });
        Action { postmark, ..told(Some(Kind::Disabled), Dated::Arrived(at(10)), "") }
    };
    let known = customer("");
    let known = after(&known, plan(Some(&known), &text(), &billing(), at(10)).unwrap());
    let repeated = plan(Some(&known), &text(), &billing(), at(20));
    assert_eq!(repeated, Err(Refusal::MessageRepeated));
    let enabled = plan(Some(&known), &Action::of(Verb::Enable), &billing(), at(20)).unwrap();
    let known = after(&known, enabled);
    assert!(plan(Some(&known), &text(), &billing(), at(30)).unwrap().changed);
}

#[test]
fn what_lapsed_is_taken_away_a_minute_later_and_nothing_else_is() {
    let minute = 60_000;
    let known = customer(
        "disabled,billing,fraud,1,7;frozen,billing,other,1,;inactive,billing,other,1,5;\
         frozen,operator,other,1,5",
    );
    let manager = actor(Role::Manager);
    let lapse = Action { source: Source::parse("billing").ok(), ..Action::of(Verb::Lapse) };
    let at_first = plan(Some(&known), &lapse, &manager, at(minute + 4));
    assert_eq!(at_first, Err(Refusal::NothingLapsed));
    let swept = plan(Some(&known), &lapse, &manager, at(minute + 7)).unwrap();
    let expected = "frozen,billing,other,1,;frozen,operator,other,1,5";
    assert_eq!(swept.body.restrictions.to_compact(), expected);
    assert!(!swept.act.is_of_status(), "it is nobody's doing, and lapses again if forgotten");
    assert!(!swept.act.restricts(&swept.body.restrictions));
    assert_eq!(plan(None, &lapse, &manager, at(minute + 7)), Err(Refusal::NothingLapsed));
}

#[test]
fn the_guard_counts_what_sources_place_and_not_what_operators_do() {
    let disable = Action::of(Verb::Disable);
    let by_operator = plan(Some(&customer("")), &disable, &actor(Role::Support), at(9)).unwrap();
    assert!(!by_operator.act.restricts(&by_operator.body.restrictions));
    let placed = plan(Some(&customer("")), &disable, &billing(), at(9)).unwrap();
    assert!(placed.act.restricts(&placed.body.restrictions));
    let held = after(&customer(""), placed);
    let lifted = plan(Some(&held), &Action::of(Verb::Enable), &billing(), at(9)).unwrap();
    assert!(!lifted.act.restricts(&lifted.body.restrictions));
}

fn whole_customer(compact: &str) -> Customer {
    let code = |raw| Code::parse(raw).unwrap();
    let mut customer = customer(compact);
    let body = &mut customer.record.body;
    body.plan = Some(code("pro"));
    body.features = Some(BTreeSet::from([code("sso")]).into());
    let limit = Limit { max: Maximum::AtMost(25), used: Some(3), used_at: Some(at(1)) };
    body.limits = Some(BTreeMap::from([(code("seats"), limit)]).into());
    body.aliases = BTreeMap::from([(Source::operator(), CustomerId::parse("x").unwrap())]).into();
    customer.private.name = Some("Ada".to_owned());
    customer.private.metadata = [("k".to_owned(), "v".to_owned())].into();
    customer
}

#[test]
fn a_purge_keeps_the_restrictions_and_whose_they_are_and_nothing_else() {
    let admin = actor(Role::Admin);
    let disable = Action {
        placement: Placement { notes: Some("seen".to_owned()), ..Placement::default() },
        ..Action::of(Verb::Disable)
    };
    let known = whole_customer("frozen,stripe,other,1,");
    let known = after(&known, plan(Some(&known), &disable, &admin, at(5)).unwrap());
    let purge = Action::of(Verb::Purge);
    let purged = plan(Some(&known), &purge, &admin, at(9)).unwrap();
    assert!(purged.changed && purged.entitlements_changed && !purged.act.is_of_status());
    let tombstone = after(&known, purged);
    let before = &known.record.body;
    let kept = RecordBody {
        restrictions: before.restrictions.clone(),
        aliases: before.aliases.clone(),
        created_at: before.created_at,
        updated_at: at(9),
        purged_at: Some(at(9)),
        ..RecordBody::default()
    };
    assert_eq!((&tombstone.record.body, &tombstone.private), (&kept, &Private::default()));
    assert!(!plan(Some(&tombstone), &purge, &admin, at(10)).unwrap().changed, "it is once");
}

#[test]
fn a_purge_takes_an_admin_and_a_customer_with_nothing_open() {
    let mut known = customer("");
    let purge = Action::of(Verb::Purge);
    let by = |role, known: &Customer| plan(Some(known), &purge, &actor(role), at(9));
    assert!(matches!(by(Role::Manager, &known), Err(Refusal::RoleTooWeak(_))));
    assert_eq!(plan(None, &purge, &actor(Role::Admin), at(9)), Err(Refusal::CustomerUnknown));
    known.record.body.obligations.pending_orders = 1;
    assert_eq!(by(Role::Admin, &known), Err(Refusal::HasPendingOrders));
}

#[test]
fn whoever_was_purged_is_restricted_and_let_go_and_never_written_again() {
    let admin = actor(Role::Admin);
    let known = whole_customer("disabled,operator,fraud,1,");
    let tombstone = plan(Some(&known), &Action::of(Verb::Purge), &admin, at(9)).unwrap();
    let tombstone = after(&known, tombstone);
    let status = |kind| Action { status: Some(kind), ..Action::of(Verb::Put) };
    let restricts = [Action::of(Verb::Freeze), status(Some(Kind::Frozen)), status(None)];
    for action in restricts.into_iter().chain([Action::of(Verb::Enable)]) {
        let done = after(&tombstone, plan(Some(&tombstone), &action, &admin, at(10)).unwrap());
        assert_eq!(done.record.body.purged_at, Some(at(9)), "{action:?}");
    }
    let named = Fields { name: Some(Some("Ada".to_owned())), ..Fields::default() };
    let with_status = Action { fields: named, ..status(Some(Kind::Frozen)) };
    for action in [Action::of(Verb::Put), with_status] {
        let refused = plan(Some(&tombstone), &action, &admin, at(10));
        assert_eq!(refused, Err(Refusal::CustomerPurged), "{action:?}");
    }
}

/// A verb that restricts, the one that reverses it, for whom, with what, and what the reversals are
/// ordered by.
type Reversible = (Verb, Verb, Source, Placement, u8);

fn reversible() -> impl Strategy<Value = Reversible> {
    let pairs = [
        (Verb::Disable, Verb::Enable),
        (Verb::Freeze, Verb::Unfreeze),
        (Verb::Deactivate, Verb::Reactivate),
        (Verb::Delete, Verb::Reactivate),
    ];
    let reasons = [RestrictionReason::NonPayment, RestrictionReason::Fraud];
    let sources = ["operator", "billabear", "wingback"];
    let placement =
        (option::of(select(reasons.to_vec())), option::of(1000_i64..2000), any::<bool>());
    let placement = placement.prop_map(|(reason, until, noted)| Placement {
        reason,
        until: until.map(at),
        notes: noted.then(|| "a note".to_owned()),
        ..Placement::default()
    });
    let source = select(sources.to_vec()).prop_map(|name| Source::parse(name).unwrap());
    (select(pairs.to_vec()), source, placement, any::<u8>()).prop_map(
        |((does, undoes), source, placement, turn)| (does, undoes, source, placement, turn),
    )
}

proptest! {
    #[test]
    fn any_acts_and_their_reversals_give_back_the_same_customer(
        acts in vec(reversible(), 0..12),
        held_before in prop_oneof![Just(""), Just("frozen,stripe,other,1,")],
    ) {
        let before = whole_customer(held_before);
        let manager = actor(Role::Manager);
        let does = |known: &Customer, action: &Action, now| {
            let done = plan(Some(known), action, &manager, now).unwrap();
            after(known, done)
        };

        let mut known = before.clone();
        for (number, (verb, _, source, placement, _)) in (10..).zip(&acts) {
            let source = Some(source.clone());
            let placement = placement.clone();
            known = does(&known, &Action { source, placement, ..Action::of(*verb) }, at(number));
        }
        let mut reversals = acts.clone();
        reversals.sort_by_key(|(.., turn)| *turn);
        for (number, (_, verb, source, ..)) in (100..).zip(&reversals) {
            let source = Some(source.clone());
            known = does(&known, &Action { source, ..Action::of(*verb) }, at(number));
        }
        known.record.body.updated_at = before.record.body.updated_at;
        prop_assert_eq!(known, before);
    }
}
