use proptest::prelude::*;

use super::*;
use crate::domain::restriction::tests::any_restrictions;

fn entry(restrictions: Option<Restrictions>) -> RestrictedEntry {
    let key = CustomerKey::parse("default:cus_Q1w2e3r4t5y6u7").unwrap();
    RestrictedEntry { key, revision: Revision(u64::MAX), restrictions }
}

#[test]
fn what_is_kept_of_nearly_everybody_fits_into_80_bytes_of_memory() {
    // With the length of the name, the count of its holders, and what the allocator adds.
    assert_eq!(size_of::<Head>(), 24);
    assert_eq!(size_of::<Packed>(), 8);
    assert!(8 + 8 + size_of::<Head>() + entry(None).key.as_str().len() + 8 <= 80);
}

#[test]
fn every_moment_that_can_be_held_is_kept_as_it_is() {
    for millis in [0, 1, 0xFFFF, 0x1_0000, 0xFFFF_FFFF, 0x1_0000_0000, i64::MAX] {
        let at = Timestamp::from_millis(millis);
        assert_eq!(Millis::of(at).timestamp(), at);
    }
}

#[test]
fn more_sources_than_have_numbers_are_told_apart_all_the_same() {
    let sources = Sources::default();
    let held = |number: usize| {
        Restrictions::parse_compact(&format!("frozen,source{number},other,1,")).unwrap()
    };
    let packed: Vec<_> =
        (0..300).map(|number| Packed::of(entry(Some(held(number))), &sources)).collect();
    for (number, packed) in packed.iter().enumerate() {
        assert_eq!(packed.restrictions(&sources), Some(held(number)));
    }
}

proptest! {
    #[test]
    fn whatever_restricts_a_customer_is_kept_as_it_is(
        restrictions in proptest::option::of(any_restrictions()),
        purged: bool,
        moment in 0..4_000_000_000_000_i64,
    ) {
        let sources = Sources::default();
        let restrictions = restrictions.map(|held| held.of_purged(purged));
        let packed = Packed::of(entry(restrictions.clone()), &sources);
        prop_assert_eq!(packed.key(), Some(entry(None).key));
        prop_assert_eq!(packed.revision(), Revision(u64::MAX));
        let moment = Timestamp::from_millis(moment);
        let lapsed = restrictions.iter().flatten().any(|held| held.lapsed_at(moment));
        prop_assert_eq!(packed.has_lapsed(moment), lapsed);
        prop_assert_eq!(packed.restrictions(&sources), restrictions);
    }
}
