//! What a snapshot is good for in the place of a picture.

use super::{super::boot::Boot, *};

/// A source that booted from what another one left `later` ago, of which the time of day
/// tells so much.
fn booted(later: Duration, max_age: Duration) -> (Source, Boot) {
    let snapshot = Snapshot::parse(&written(&holding(&[restricted(1, 7)], 100))).unwrap();
    let source = source();
    source.clock.advance(later);
    let boot = source.boot(&snapshot, max_age).unwrap();
    (source, boot)
}

fn judged(source: &Source) -> Freshness {
    let (budget, limit) = (Duration::from_secs(30), Duration::from_hours(48));
    source.cache.staleness(Partition(0), source.clock.moment(), budget, limit).judge()
}

const DAY: Duration = Duration::from_hours(24);

#[test]
fn a_young_snapshot_decides_and_is_as_old_as_it_is() {
    let (source, boot) = booted(Duration::from_mins(10), DAY);
    assert_eq!((boot.good_for, boot.customers), (Use::Deciding, 1));
    assert!(boot.age.unwrap() >= Duration::from_mins(10));
    assert!(source.decides());
    assert_eq!(judged(&source), Freshness::Stale);
    let age = || source.cache.staleness(Partition(0), source.clock.moment(), DAY, DAY).age.unwrap();
    assert!(age() >= Duration::from_mins(10) && age() < Duration::from_mins(11));
    source.clock.advance(Duration::from_mins(5));
    assert!(age() >= Duration::from_mins(15));
    assert_eq!(source.keyring.find("k1").unwrap().name, "alice");
}

#[test]
fn an_old_snapshot_only_refuses_whatever_the_limits_are() {
    let (source, boot) = booted(DAY, DAY);
    assert_eq!(boot.good_for, Use::Refusing);
    assert_eq!(judged(&source), Freshness::TooStale);
    assert!(!source.cache.decides());
    assert!(source.cache.find(&customer(1)).entry.is_some());
    // A key that was revoked since would be accepted.
    assert!(!source.keyring.is_read());
}

#[test]
fn a_snapshot_from_the_future_only_refuses() {
    let left = holding(&[restricted(1, 7)], 100);
    left.clock.advance(Duration::from_hours(1));
    left.cache.confirm(Partition(0), left.clock.moment());
    let snapshot = Snapshot::parse(&written(&left)).unwrap();
    let source = source();
    let boot = source.boot(&snapshot, DAY).unwrap();
    assert_eq!((boot.good_for, boot.age), (Use::Refusing, None));
    assert_eq!(judged(&source), Freshness::TooStale);
    // What nobody may be let in by is not passed on.
    assert_eq!(source.cut().unwrap_err(), NotWhole::Picture);
}

#[test]
fn the_stores_first_confirmation_makes_it_a_picture_like_any_other() {
    let (source, _) = booted(DAY, DAY);
    source.cache.confirm(Partition(0), source.clock.moment());
    assert_eq!(judged(&source), Freshness::Fresh);
    assert!(source.cache.decides());
}

#[test]
fn nothing_is_booted_over_a_picture_or_into_a_session_with_the_store() {
    let snapshot = || Snapshot::parse(&written(&holding(&[restricted(1, 7)], 100))).unwrap();
    let read = holding(&[], 100);
    assert_eq!(read.boot(&snapshot(), DAY), Err(Refused::Held));

    let reading = source();
    assert_eq!(reading.cache.begin_session(Partition(0)), None);
    assert_eq!(reading.boot(&snapshot(), DAY), Err(Refused::BeingRead));
    reading.cache.end_session(Partition(0));
    reading.boot(&snapshot(), DAY).unwrap();
    assert_eq!(reading.cache.begin_session(Partition(0)), Some(watermark(100)));
}

#[test]
fn only_what_lets_nobody_in_gives_way_and_only_to_what_is_newer() {
    let at = |revision| Snapshot::parse(&written(&holding(&[restricted(1, 7)], revision))).unwrap();
    let source = source();
    source.clock.advance(DAY);
    assert_eq!(source.boot(&at(100), DAY).unwrap().good_for, Use::Refusing);
    let live = holding(&[restricted(1, 7)], 99);
    live.clock.advance(DAY);
    live.cache.confirm(Partition(0), live.clock.moment());
    let older = Snapshot::parse(&written(&live)).unwrap();
    assert_eq!(source.boot(&older, DAY), Err(Refused::Held));
    live.cache.apply(Partition(0), &change(100, 1, ""), watermark(100));
    let newer = Snapshot::parse(&written(&live)).unwrap();
    assert_eq!(source.boot(&newer, DAY).unwrap().good_for, Use::Deciding);
    assert!(source.cache.find(&customer(1)).entry.is_none());
}
