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
    cache_keeping(Keeping::Recent(100))
}

/// A cache at the first revision, at which there is nobody: all records are held then.
fn cache_keeping(keeping: Keeping) -> Cache {
    let clock = Clock::system();
    let store = Store::Embedded(Embedded::in_memory(clock.clone()).unwrap());
    let now = clock.moment();
    let cache = Cache::new(store, keeping, Duration::from_millis(50), clock, Metrics::new());
    cache.lay_out();
    cache.install(Partition(0), Arc::new(Picture::new(1, epoch())), watermark(1));
    cache.confirm(Partition(0), now);
    cache.partition(Partition(0)).unwrap().whole.reach_now(1);
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
    change_to(revision, restrictions(revision), entitlements_changed)
}

fn change_to(revision: u64, restrictions: Restrictions, entitlements_changed: bool) -> Change {
    let act = Act {
        verb: Verb::Put,
        source: Source::operator(),
        kind: None,
        reason: None,
        since: None,
        until: None,
        at: None,
        exact: false,
        imported: false,
        recovers: None,
    };
    let changed = CustomerChange { key: customer(), restrictions, entitlements_changed, act };
    let subject = Subject::Customer(changed);
    Change { revision: Revision(revision), log_id: format!("{revision}-0"), subject }
}

fn read(revision: u64) -> Read {
    read_of(revision, restrictions(revision))
}

fn read_of(revision: u64, restrictions: Restrictions) -> Read {
    let record = if revision == 1 {
        StoredRecord::Absent
    } else {
        let body = RecordBody { restrictions, ..RecordBody::default() };
        StoredRecord::Known(Record { key: customer(), revision: Revision(revision), body })
    };
    Read { epoch: epoch(), revision: Revision(revision), record }
}

impl Cache {
    fn begin(&self) -> Begun<'_> {
        Begun::of(self.partition(Partition(0)).unwrap())
    }

    fn end(&self, begun: Begun<'_>, read: Read) -> Filled {
        self.take(&customer(), &begun, read)
    }

    fn compare(&self, begun: Begun<'_>, read: Read) -> bool {
        self.put_right(&customer(), &begun, read)
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
    /// The session ends, and the store forgets some of the newest changes, if nobody heard them.
    Break { forgotten: usize },
    /// A heartbeat finds changes that were not heard, and they are read from the log.
    CatchUp,
    /// The store commits a change.
    Commit { entitlements: bool },
    /// The next change is heard.
    Hear,
    /// What a fill read is compared with what is held.
    Compare(usize),
    /// The newest change is heard before those that lie between.
    HearAhead,
    /// What a fill read arrives.
    Land(usize),
    /// A fill reads the store.
    Read(usize),
    /// The store is followed again.
    Return,
}

fn anything() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => Just(Happens::Begin),
        3 => (1..4_usize).prop_map(|forgotten| Happens::Break { forgotten }),
        1 => Just(Happens::CatchUp),
        6 => any::<bool>().prop_map(|entitlements| Happens::Commit { entitlements }),
        4 => (0..4_usize).prop_map(Happens::Compare),
        6 => Just(Happens::Hear),
        1 => Just(Happens::HearAhead),
        6 => (0..4_usize).prop_map(Happens::Land),
        6 => (0..4_usize).prop_map(Happens::Read),
        4 => Just(Happens::Return),
    ]
}

/// A store with one customer, a cache that follows it, and fills between them.
struct Following<'a> {
    cache: &'a Cache,
    /// By revision: whether the change restricts, and whether it touches entitlements.
    history: Vec<(bool, bool)>,
    heard: usize,
    /// The newest change that was heard out of order.
    ahead: usize,
    fills: Vec<(Begun<'a>, Option<Read>)>,
    is_believed: bool,
    breaks: usize,
}

impl<'a> Following<'a> {
    fn by(cache: &'a Cache) -> Self {
        Self {
            cache,
            history: vec![(false, false); 2],
            heard: 1,
            ahead: 1,
            fills: Vec::new(),
            is_believed: true,
            breaks: 0,
        }
    }

    fn newest(&self) -> usize {
        self.history.len() - 1
    }

    /// The customer's restrictions at a revision.
    fn at(&self, revision: usize) -> Restrictions {
        let compact = if self.history[revision].0 { "disabled,operator,other,1," } else { "" };
        Restrictions::parse_compact(compact).unwrap()
    }

    fn change(&self, revision: usize) -> Change {
        change_to(revision as u64, self.at(revision), self.history[revision].1)
    }

    fn read(&self) -> Read {
        read_of(self.newest() as u64, self.at(self.newest()))
    }

    fn hear_up_to(&mut self, revision: usize) {
        while self.is_believed && self.heard < revision.min(self.newest()) {
            self.heard += 1;
            let change = self.change(self.heard);
            self.cache.apply(Partition(0), &change, watermark(self.heard as u64));
        }
    }

    fn happens(&mut self, what: Happens) {
        match what {
            Happens::Begin => self.fills.push((self.cache.begin(), None)),
            Happens::Break { forgotten } => {
                self.is_believed = false;
                self.cache.set_believed(Partition(0), false);
                // What the old session has answered may be on its way.
                let answer = self.read();
                for (_, read) in &mut self.fills {
                    read.get_or_insert_with(|| answer.clone());
                }
                let certain = self.heard.max(self.ahead) + 1;
                self.history
                    .truncate(certain.max(self.history.len() - forgotten.min(self.newest())));
                self.breaks += 1;
            }
            Happens::CatchUp => self.hear_up_to(usize::MAX),
            // Another history counts other changes by the same revisions.
            Happens::Commit { entitlements } => {
                let restricts = (self.history.len() + self.breaks).is_multiple_of(3);
                self.history.push((restricts, entitlements));
            }
            Happens::Hear => self.hear_up_to(self.heard + 1),
            Happens::HearAhead => {
                // Only what restricts is applied before its time.
                let newest = self.newest();
                if self.is_believed && newest > self.heard + 1 && self.history[newest].0 {
                    self.cache.apply_ahead(Partition(0), &self.change(newest));
                    self.ahead = newest;
                }
            }
            Happens::Compare(index) => {
                if self.fills.get(index).is_some_and(|(_, read)| read.is_some()) {
                    let (begun, read) = self.fills.swap_remove(index);
                    let differs = self.cache.compare(begun, read.unwrap());
                    assert!(!differs, "what is held should have been the same");
                }
            }
            Happens::Land(index) => {
                if self.fills.get(index).is_some_and(|(_, read)| read.is_some()) {
                    let (begun, read) = self.fills.swap_remove(index);
                    let _ = self.cache.end(begun, read.unwrap());
                }
            }
            Happens::Read(index) => {
                let answer = self.read();
                if let Some((_, read)) = self.fills.get_mut(index) {
                    read.get_or_insert(answer);
                }
            }
            Happens::Return => {
                self.is_believed = true;
                self.cache.set_believed(Partition(0), true);
            }
        }
    }
}

proptest! {
    #[test]
    fn however_fills_and_changes_interleave_the_cache_never_goes_back(
        history in vec(anything(), 0..60),
        keeps_all: bool,
    ) {
        still(|| {
            let keeping = if keeps_all { Keeping::All(AN_HOUR) } else { Keeping::Recent(100) };
            let cache = cache_keeping(keeping);
            let mut followed = Following::by(&cache);
            for happens in history {
                followed.happens(happens);
                let (heard, known) = (followed.heard, followed.heard.max(followed.ahead));
                let found = cache.find(&customer());
                if let Some(held) = &found.held {
                    let at = usize::try_from(held.position.revision.0).unwrap();
                    prop_assert!(at >= heard, "{held:?} after {heard}");
                    let is_absent = matches!(held.record, StoredRecord::Absent);
                    prop_assert!(!is_absent || at == 1, "nobody at {at}");
                    // While nobody follows the store, what was read ahead of it may be forgotten
                    // there; it is never what a store is believed to say.
                    if let StoredRecord::Known(record) = &held.record
                        && followed.is_believed
                    {
                        prop_assert_eq!(&record.body.restrictions, &followed.at(at));
                    }
                }
                let entry = found.entry.and_then(|entry| entry.restrictions.clone());
                prop_assert_eq!(entry.unwrap_or_default(), followed.at(known));
                if keeps_all {
                    let part = cache.partition(Partition(0)).unwrap();
                    let is_there = found.held.is_some() || heard == 1;
                    prop_assert!(is_there || part.whole.wants(&customer()));
                }
            }
            Ok(())
        })?;
    }
}

#[test]
fn where_every_record_is_kept_nobody_is_unknown_whom_something_may_have_made() {
    still(|| {
        let cache = cache_keeping(Keeping::All(AN_HOUR));
        let held = || cache.find(&customer()).held.map(|held| held.record.clone());
        assert_eq!(held(), Some(StoredRecord::Absent));
        cache.hear_head(Partition(0), Revision(2));
        assert_eq!(held(), None, "the store has more than is heard here");
        cache.hear(2, true);
        assert_eq!(held(), None, "it is not read yet");
        let fill = cache.begin();
        assert!(matches!(cache.end(fill, read(2)), Filled::Taken(_)));
        assert!(matches!(held(), Some(StoredRecord::Known(_))));
    });
}

#[test]
fn where_every_record_is_kept_an_absence_is_known_as_long_as_the_picture_is_good() {
    still(|| {
        let cache = cache_keeping(Keeping::All(AN_HOUR));
        let is_known = || cache.find(&customer()).held.is_some();
        assert!(is_known() && cache.is_complete());
        cache.set_believed(Partition(0), false);
        assert!(is_known(), "the store is away");
        cache.set_suspect(Partition(0), true);
        assert!(!is_known());
        cache.set_suspect(Partition(0), false);
        let unreadable = Subject::Unreadable(None);
        let change =
            Change { revision: Revision(2), log_id: "2-0".to_owned(), subject: unreadable };
        cache.apply(Partition(0), &change, watermark(2));
        assert!(!is_known() && !cache.is_complete(), "it may have made anybody");

        let cache = cache_keeping(Keeping::All(Duration::ZERO));
        assert!(cache.find(&customer()).held.is_none(), "too long ago");
        let picture = Arc::new(Picture::new(2, epoch()));
        let cache = cache_keeping(Keeping::All(AN_HOUR));
        let position = Position { generation: 2, revision: Revision(1) };
        cache.install(Partition(0), picture, Watermark { position, ..watermark(1) });
        assert!(cache.find(&customer()).held.is_none(), "another picture");
    });
}

#[tokio::test(start_paused = true)]
async fn what_a_change_made_another_record_is_read_before_long() {
    let cache = cache_keeping(Keeping::All(AN_HOUR));
    tokio::spawn(cache.clone().keep_complete());
    cache.hear(2, true);
    // The store of this test has no history, and so nothing to say.
    tokio::time::sleep(Duration::from_mins(1)).await;
    let part = cache.partition(Partition(0)).unwrap();
    assert!(part.whole.wants(&customer()), "it is asked for until it is had");
}

const AN_HOUR: Duration = Duration::from_hours(1);

#[test]
fn what_was_read_ahead_answers_until_the_store_turns_out_not_to_have_it() {
    still(|| {
        let cache = cache();
        let fill = cache.begin();
        assert!(matches!(cache.end(fill, read(3)), Filled::Taken(_)));
        cache.set_believed(Partition(0), false);
        assert!(cache.find(&customer()).held.is_some(), "it is the newest that is known");
        let late = cache.begin();
        cache.set_believed(Partition(0), true);
        assert!(cache.find(&customer()).held.is_none());
        assert!(matches!(cache.end(late, read(2)), Filled::Taken(_)));
    });
}

#[test]
fn what_the_feed_has_come_to_stays_when_the_session_ends() {
    still(|| {
        let cache = cache();
        let fill = cache.begin();
        assert!(matches!(cache.end(fill, read(3)), Filled::Taken(_)));
        cache.hear(2, true);
        cache.hear(3, true);
        cache.set_believed(Partition(0), false);
        cache.set_believed(Partition(0), true);
        let held = cache.find(&customer()).held.unwrap();
        assert_eq!(held.position.revision, Revision(3));
    });
}

#[test]
fn a_fill_of_an_ended_session_brings_nothing_to_the_next_one() {
    still(|| {
        let cache = cache();
        let fill = cache.begin();
        cache.set_believed(Partition(0), false);
        cache.set_believed(Partition(0), true);
        assert!(matches!(cache.end(fill, read(3)), Filled::Overtaken));
        assert!(cache.find(&customer()).held.is_none());
    });
}

#[test]
fn a_record_read_ahead_leaves_the_census_at_the_watermark() {
    still(|| {
        let cache = cache();
        let before = cache.census(Partition(0));
        let fill = cache.begin();
        assert!(matches!(cache.end(fill, read(3)), Filled::Taken(_)));
        assert_eq!(cache.census(Partition(0)), before);
        cache.hear(2, false);
        cache.hear(3, false);
        let expected = Census::default().with(&customer(), Revision(3));
        assert_eq!(cache.census(Partition(0)), Some(expected));
    });
}

#[test]
fn a_fill_that_read_before_a_change_does_not_land_after_it() {
    still(|| {
        let cache = cache();
        let fill = cache.begin();
        let before = read(2);
        cache.hear(2, false);
        cache.hear(3, false);
        assert!(matches!(cache.end(fill, before), Filled::Overtaken));
        assert!(cache.find(&customer()).held.is_none());
    });
}

/// The same order of events without a floor: this is the race that the floor is for.
#[test]
fn without_the_floor_the_old_record_would_land() {
    let recent = Recent::new(Keeping::Recent(100), &Metrics::new());
    let change = change(3, false);
    let Subject::Customer(changed) = &change.subject else { unreachable!() };
    recent.change(changed, watermark(3).position, true);
    let (record, position) = (read(2).record, watermark(2).position);
    let old = Held { record, position, epoch: epoch(), outdated: false };
    assert!(recent.offer(&customer(), &triomphe::Arc::new(old), |_| true));
    assert_eq!(recent.find(customer().as_str()).held().unwrap().position.revision, Revision(2));
}

#[test]
fn a_change_keeps_the_record_and_says_whether_its_entitlements_are_outdated() {
    still(|| {
        let cache = cache();
        cache.hear(2, true);
        let fill = cache.begin();
        assert!(matches!(cache.end(fill, read(2)), Filled::Taken(_)));
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
        assert!(matches!(cache.end(fill, read(5)), Filled::Taken(_)));
        assert!(!cache.find(&customer()).held.unwrap().outdated);
    });
}

#[test]
fn an_unknown_id_is_forgotten_as_soon_as_it_is_heard_of() {
    still(|| {
        let cache = cache();
        let fill = cache.begin();
        assert!(matches!(cache.end(fill, read(1)), Filled::Taken(_)));
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
        assert!(matches!(cache.end(fill, read(1)), Filled::Failed));
        let fill = cache.begin();
        let other = Read { epoch: Epoch::parse("e2").unwrap(), ..read(2) };
        assert!(matches!(cache.end(fill, other), Filled::Failed));
        cache.set_believed(Partition(0), false);
        let fill = cache.begin();
        assert!(matches!(cache.end(fill, read(2)), Filled::Failed));
    });
}

#[test]
fn a_record_that_differs_without_a_change_is_put_right_and_one_of_an_unheard_change_is_not() {
    still(|| {
        let cache = cache();
        cache.hear(2, false);
        let fill = cache.begin();
        assert!(matches!(cache.end(fill, read(2)), Filled::Taken(_)));
        let (same, unheard, other) = (cache.begin(), cache.begin(), cache.begin());
        assert!(!cache.compare(same, read(2)));
        assert!(!cache.compare(unheard, read(3)));
        let changed = Read { record: read(3).record, ..read(2) };
        assert!(cache.compare(other, changed.clone()));
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
        assert!(matches!(cache.end(fill, read(2)), Filled::Taken(_)));
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
async fn a_fill_that_read_before_the_revision_came_is_believed_by_one_other() {
    let cache = cache();
    cache.0.store.create(&epoch(), Partitions::ONE).await.unwrap();
    let Ok(Part::Leads(lead)) = cache.0.fills.take_part(&customer()) else { panic!("no lead") };
    let token = |revision| Token { epoch: epoch(), partition: Partition(0), revision };
    let earlier = async {
        tokio::task::yield_now().await;
        let position = Position { generation: 1, revision: Revision(0) };
        let record = StoredRecord::Absent;
        let held = Held { record, position, epoch: epoch(), outdated: false };
        cache.0.fills.leave(&customer());
        lead.tell(Filled::Taken(triomphe::Arc::new(held)));
    };
    let hour = Duration::from_hours(1);
    let (customer, one) = (customer(), token(Revision(1)));
    let (held, ()) = tokio::join!(cache.fill_at(&customer, &one, hour), earlier);
    assert_eq!(held.unwrap().position.revision, Revision(1));
    // One that the store does not have is not asked for again and again.
    let beyond = cache.fill_at(&customer, &token(Revision(99)), hour).await;
    assert_eq!(beyond.err(), Some(Missing::Unreachable));
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
