//! The fill race, in every order; and what the cache promises to the gate.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    domain::{
        Epoch, Record, Revision, Source, Verb,
        change::{Act, CustomerChange},
        customer::RecordBody,
    },
    store::{Read, embedded::Embedded},
};

fn cache() -> Cache {
    let clock = Clock::system();
    let store = Store::Embedded(Embedded::in_memory(clock.clone()).unwrap());
    let cache = Cache::new(store, 100, Duration::from_millis(50), clock, Metrics::new());
    cache.lay_out();
    cache.install(Partition(0), Arc::new(Picture::new(1, epoch())), watermark(1));
    cache
}

fn customer() -> CustomerKey {
    CustomerKey::parse("default:c1").unwrap()
}

fn epoch() -> Epoch {
    Epoch::parse("e1").unwrap()
}

fn watermark(revision: u64) -> Watermark {
    let position = Position { generation: 1, revision: Revision(revision) };
    Watermark { position, epoch: epoch(), log_id: format!("{revision}-0") }
}

/// What the store holds at a revision: restricted at every third one.
fn restrictions(revision: u64) -> Restrictions {
    let compact = if revision.is_multiple_of(3) { "disabled,operator,other,1," } else { "" };
    Restrictions::parse_compact(compact).unwrap()
}

fn change(revision: u64, entitlements_changed: bool) -> Change {
    let act = Act {
        verb: Verb::Put,
        source: Source::operator(),
        kind: None,
        reason: None,
        since: None,
        until: None,
        at: None,
    };
    let restrictions = restrictions(revision);
    let changed = CustomerChange { key: customer(), restrictions, entitlements_changed, act };
    let subject = Subject::Customer(changed);
    Change { revision: Revision(revision), log_id: format!("{revision}-0"), subject }
}

fn read(revision: u64) -> Read {
    let record = if revision == 1 {
        StoredRecord::Absent
    } else {
        let body = RecordBody { restrictions: restrictions(revision), ..RecordBody::default() };
        StoredRecord::Known(Record { key: customer(), revision: Revision(revision), body })
    };
    Read { epoch: epoch(), revision: Revision(revision), record }
}

impl Cache {
    fn begin(&self) -> Ticket {
        self.partition(Partition(0)).unwrap().floors.lock().begin()
    }

    fn end(&self, ticket: &Ticket, read: Read) -> Filled {
        let filled = self.take(self.partition(Partition(0)).unwrap(), &customer(), ticket, read);
        self.partition(Partition(0)).unwrap().floors.lock().end(ticket);
        filled
    }

    fn compare(&self, ticket: &Ticket, read: Read) -> bool {
        let part = self.partition(Partition(0)).unwrap();
        let newest = read.revision;
        let differed = self.put_right(part, &customer(), ticket, read, newest);
        part.floors.lock().end(ticket);
        differed
    }

    fn hear(&self, revision: u64, entitlements_changed: bool) {
        let change = change(revision, entitlements_changed);
        self.apply(Partition(0), &change, watermark(revision));
    }
}

/// Runs in a runtime whose tasks never get a turn: what a change starts by itself stays still.
fn still<T>(test: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    test()
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    /// A fill begins.
    Begin,
    /// The store commits a change.
    Commit { entitlements: bool },
    /// The next change is heard.
    Hear,
    /// What a fill read is compared with what is held.
    Compare(usize),
    /// What a fill read arrives.
    Land(usize),
    /// A fill reads the store.
    Read(usize),
}

fn anything() -> impl Strategy<Value = Happens> {
    prop_oneof![
        2 => Just(Happens::Begin),
        2 => any::<bool>().prop_map(|entitlements| Happens::Commit { entitlements }),
        3 => Just(Happens::Hear),
        2 => (0..4_usize).prop_map(Happens::Compare),
        3 => (0..4_usize).prop_map(Happens::Land),
        3 => (0..4_usize).prop_map(Happens::Read),
    ]
}

proptest! {
    #[test]
    fn however_fills_and_changes_interleave_the_cache_never_goes_back(
        history in vec(anything(), 0..60)
    ) {
        still(|| {
            let cache = cache();
            let (mut committed, mut heard) = (vec![false, false], 1_u64);
            let mut fills: Vec<(Ticket, Option<Read>)> = Vec::new();
            for happens in history {
                match happens {
                    Happens::Begin => fills.push((cache.begin(), None)),
                    Happens::Commit { entitlements } => committed.push(entitlements),
                    Happens::Hear if heard < committed.len() as u64 - 1 => {
                        heard += 1;
                        cache.hear(heard, committed[usize::try_from(heard).unwrap()]);
                    }
                    Happens::Read(index) => {
                        if let Some((_, read_already)) = fills.get_mut(index) {
                            let newest = committed.len() as u64 - 1;
                            read_already.get_or_insert_with(|| read(newest));
                        }
                    }
                    Happens::Compare(index)
                        if fills.get(index).is_some_and(|fill| fill.1.is_some()) =>
                    {
                        let (ticket, read) = fills.swap_remove(index);
                        let differs = cache.compare(&ticket, read.unwrap());
                        prop_assert!(!differs, "what is held should have been the same");
                    }
                    Happens::Land(index) if fills.get(index).is_some_and(|fill| fill.1.is_some()) => {
                        let (ticket, read) = fills.swap_remove(index);
                        let _ = cache.end(&ticket, read.unwrap());
                    }
                    Happens::Compare(_) | Happens::Hear | Happens::Land(_) => {}
                }
                let found = cache.find(&customer());
                if let Some(held) = &found.held {
                    prop_assert!(held.position.revision >= Revision(heard), "{held:?} after {heard}");
                    if let StoredRecord::Known(record) = &held.record {
                        prop_assert_eq!(&record.body.restrictions, &restrictions(held.position.revision.0));
                    }
                }
                let entry = found.entry.and_then(|entry| entry.restrictions.clone());
                prop_assert_eq!(entry.unwrap_or_default(), restrictions(heard));
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_fill_that_read_before_a_change_does_not_land_after_it() {
    still(|| {
        let cache = cache();
        let fill = cache.begin();
        let before = read(2);
        cache.hear(2, false);
        cache.hear(3, false);
        assert!(matches!(cache.end(&fill, before), Filled::Overtaken));
        assert!(cache.find(&customer()).held.is_none());
    });
}

/// The same order of events without a floor: this is the race that the floor is for.
#[test]
fn without_the_floor_the_old_record_would_land() {
    let recent = Recent::new(100);
    let change = change(3, false);
    let Subject::Customer(changed) = &change.subject else { unreachable!() };
    recent.change(changed, watermark(3).position, true);
    let (record, position) = (read(2).record, watermark(2).position);
    let old = Held { record, position, epoch: epoch(), outdated: false };
    assert!(recent.offer(&customer(), &Arc::new(old), |_| true));
    assert_eq!(recent.find(&customer()).unwrap().position.revision, Revision(2));
}

#[test]
fn a_change_keeps_the_record_and_says_whether_its_entitlements_are_outdated() {
    still(|| {
        let cache = cache();
        cache.hear(2, true);
        let fill = cache.begin();
        assert!(matches!(cache.end(&fill, read(2)), Filled::Taken(_)));
        cache.hear(3, false);
        let held = cache.find(&customer()).held.unwrap();
        let StoredRecord::Known(record) = &held.record else { panic!("{held:?}") };
        assert_eq!(record.revision, Revision(3));
        assert_eq!(record.body.restrictions, restrictions(3));
        assert!(!held.outdated);
        cache.hear(4, true);
        assert!(cache.find(&customer()).held.unwrap().outdated);
        cache.hear(5, false);
        assert!(cache.find(&customer()).held.unwrap().outdated);
        let fill = cache.begin();
        assert!(matches!(cache.end(&fill, read(5)), Filled::Taken(_)));
        assert!(!cache.find(&customer()).held.unwrap().outdated);
    });
}

#[test]
fn an_unknown_id_is_forgotten_as_soon_as_it_is_heard_of() {
    still(|| {
        let cache = cache();
        let fill = cache.begin();
        assert!(matches!(cache.end(&fill, read(1)), Filled::Taken(_)));
        cache.hear(2, true);
        assert!(cache.find(&customer()).held.is_none());
    });
}

#[test]
fn a_fill_from_another_history_or_behind_the_watermark_or_of_a_lost_store_is_not_believed() {
    still(|| {
        let cache = cache();
        cache.hear(2, false);
        let fill = cache.begin();
        assert!(matches!(cache.end(&fill, read(1)), Filled::Failed));
        let fill = cache.begin();
        let other = Read { epoch: Epoch::parse("e2").unwrap(), ..read(2) };
        assert!(matches!(cache.end(&fill, other), Filled::Failed));
        cache.set_believed(Partition(0), false);
        let fill = cache.begin();
        assert!(matches!(cache.end(&fill, read(2)), Filled::Failed));
    });
}

#[test]
fn a_record_that_differs_without_a_change_is_put_right_and_one_of_an_unheard_change_is_not() {
    still(|| {
        let cache = cache();
        cache.hear(2, false);
        let fill = cache.begin();
        assert!(matches!(cache.end(&fill, read(2)), Filled::Taken(_)));
        let (same, unheard, other) = (cache.begin(), cache.begin(), cache.begin());
        assert!(!cache.compare(&same, read(2)));
        assert!(!cache.compare(&unheard, read(3)));
        let changed = Read { record: read(3).record, ..read(2) };
        assert!(cache.compare(&other, changed.clone()));
        let held = cache.find(&customer()).held.unwrap();
        assert_eq!((&held.record, held.position.revision), (&changed.record, Revision(2)));
    });
}

#[test]
fn a_resnapshot_leaves_recent_records_and_makes_them_old() {
    still(|| {
        let cache = cache();
        cache.hear(2, false);
        let fill = cache.begin();
        assert!(matches!(cache.end(&fill, read(2)), Filled::Taken(_)));
        let position = Position { generation: 2, revision: Revision(2) };
        let watermark = Watermark { position, ..watermark(2) };
        cache.install(Partition(0), Arc::new(Picture::new(2, epoch())), watermark);
        let found = cache.find(&customer());
        assert!(found.held.unwrap().position.generation < found.picture.unwrap().generation);
    });
}

#[tokio::test]
async fn callers_for_the_same_customer_share_one_fill_and_a_dead_leader_does_not_block_the_next() {
    let cache = cache();
    let fills = &cache.0.fills;
    let Ok(Part::Leads(lead)) = fills.take_part(&customer()) else { panic!("no lead") };
    let Ok(Part::Joined(outcome)) = fills.take_part(&customer()) else { panic!("not joined") };
    drop(lead);
    assert!(matches!(fill::wait(outcome, Duration::from_secs(1)).await, Filled::Failed));
    assert!(matches!(fills.take_part(&customer()), Ok(Part::Leads(_))));
}

#[tokio::test]
async fn fills_are_bounded() {
    let cache = cache();
    let mut leads = Vec::new();
    for number in 0.. {
        let customer = CustomerKey::parse(&format!("default:{number}")).unwrap();
        match cache.0.fills.take_part(&customer) {
            Ok(Part::Leads(lead)) => leads.push(lead),
            Ok(Part::Joined(_)) => panic!("joined a stranger's fill"),
            Err(missing) => {
                assert_eq!(missing, Missing::Overloaded);
                break;
            }
        }
    }
    assert_eq!(leads.len(), 256);
}
