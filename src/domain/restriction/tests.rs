//! Composition by source, in time.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

pub(crate) fn any_restriction() -> impl Strategy<Value = Restriction> {
    let kind = select(&Kind::ALL[..]);
    let source = select(&["operator", "billabear", "wingback", "stripe"][..]);
    let reason = select(&RestrictionReason::ALL[..]);
    (kind, source, reason, 0..100_i64, option::of(0..100_i64)).prop_map(
        |(kind, source, reason, since, until)| Restriction {
            kind,
            source: Source::parse(source).unwrap(),
            reason,
            since: Timestamp::from_millis(since),
            until: until.map(Timestamp::from_millis),
        },
    )
}

pub(crate) fn any_restrictions() -> impl Strategy<Value = Restrictions> {
    vec(any_restriction(), 0..6).prop_map(Restrictions::from)
}

pub(crate) fn any_time() -> impl Strategy<Value = Timestamp> {
    (0..110_i64).prop_map(Timestamp::from_millis)
}

proptest! {
    #[test]
    fn the_strictest_wins_whatever_the_order(all in any_restrictions(), now in any_time(), seed: u64) {
        let mut shuffled: Vec<_> = all.clone().into();
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        let shuffled = Restrictions::from(shuffled);
        let strictest = all.in_force_at(now).map(|held| held.kind).max();
        prop_assert_eq!(shuffled.status_at(now), Status::from(strictest));
        prop_assert_eq!(shuffled.shown_at(now), all.shown_at(now));
    }

    #[test]
    fn lifting_one_sources_restriction_never_lifts_anothers(
        all in any_restrictions(), lifted in any_restriction()
    ) {
        let left = all.without(&lifted.source, lifted.kind);
        for held in &all {
            let is_lifted = held.source == lifted.source && held.kind == lifted.kind;
            prop_assert_eq!(left.held_by(&held.source, held.kind).is_none(), is_lifted);
        }
    }

    #[test]
    fn a_restriction_outside_its_time_changes_nothing(
        all in any_restrictions(), extra in any_restriction(), now in any_time()
    ) {
        prop_assume!(!extra.in_force_at(now));
        prop_assume!(all.held_by(&extra.source, extra.kind).is_none());
        let more = all.with(extra);
        prop_assert_eq!(more.status_at(now), all.status_at(now));
        prop_assert_eq!(more.access_at(now, AccessLeft::default()), all.access_at(now, AccessLeft::default()));
        prop_assert_eq!(more.shown_at(now), all.shown_at(now));
    }

    #[test]
    fn a_compact_line_reads_back(all in any_restrictions(), purged: bool) {
        let all = all.of_purged(purged);
        prop_assert_eq!(Restrictions::parse_compact(&all.to_compact()), Ok(all));
    }

    #[test]
    fn no_line_makes_the_parser_panic(line in "[a-z,;0-9]{0,60}") {
        let _ = Restrictions::parse_compact(&line);
    }
}

#[test]
fn placing_again_replaces_what_the_same_source_held_of_that_kind() {
    let line = "frozen,wingback,dispute,1,";
    let held = Restrictions::parse_compact(line).unwrap();
    let mut again = held.iter().next().unwrap().clone();
    again.reason = RestrictionReason::NonPayment;
    assert_eq!(held.with(again).to_compact(), "frozen,wingback,non_payment,1,");
}

#[test]
fn compliance_security_and_fraud_read_as_other() {
    let hidden = RestrictionReason::ALL.iter().filter(|reason| reason.public() != **reason);
    assert_eq!(hidden.count(), 3);
}
