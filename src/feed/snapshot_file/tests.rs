//! What is written reads back; what was torn or changed is refused, or is a beginning of it.

mod boot;
mod keeping;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::{collection::vec, option, prelude::*};

use super::{
    journal::{Left, Line, first_line},
    *,
};
use crate::{
    cache::{Forgotten, Keeping, Picture, Refused, Use},
    clock::Clock,
    domain::{
        Change, CustomerKey, Epoch, Freshness, Kind, Lineage, Partitions, Position, Restrictions,
        Revision, Role, Source as Origin, Subject, Verb,
        change::{Act, CustomerChange},
        restriction::tests::any_restrictions,
    },
    store::{Census, RestrictedEntry, Store, embedded::Embedded},
    telemetry::Metrics,
};

fn source() -> Source {
    let clock = Clock::system();
    let store = Store::Embedded(Embedded::in_memory(clock.clone()).unwrap());
    let second = Duration::from_secs(1);
    let cache = Cache::new(store, Keeping::Recent(100), second, clock.clone(), Metrics::new());
    cache.lay_out();
    Source { cache, keyring: Keyring::default(), clock }
}

fn epoch() -> Epoch {
    Epoch::parse("e1").unwrap()
}

fn customer(number: u64) -> CustomerKey {
    CustomerKey::parse(&format!("default:c{number}")).unwrap()
}

fn watermark(revision: u64) -> Watermark {
    let position = Position { generation: 1, revision: Revision(revision) };
    Watermark { position, epoch: epoch(), log_id: format!("{revision}-0") }
}

fn key(name: &str) -> String {
    let key = crate::cache::keyring::StoredKey {
        name: name.to_owned(),
        sha256: "0".repeat(64),
        role: Role::Viewer,
        tenant: None,
        source: None,
        expires_at: None,
        created_at: Timestamp::default(),
        previous: None,
        session_of: None,
    };
    serde_json::to_string(&key).unwrap()
}

fn picture_of(entries: &[RestrictedEntry]) -> Arc<Picture> {
    let picture = Picture::new(1, epoch());
    for entry in entries {
        picture.offer(entry.clone());
    }
    Arc::new(picture)
}

/// A source that read these entries from the store, at this revision.
fn holding(entries: &[RestrictedEntry], revision: u64) -> Source {
    let source = source();
    let picture = picture_of(entries);
    source.cache.install(Partition(0), picture, watermark(revision));
    source.cache.confirm(Partition(0), source.clock.moment());
    source.keyring.replace(&[("k1".to_owned(), key("alice"))]);
    source
}

/// What is written of a picture with these entries.
fn text_of(entries: &[RestrictedEntry], revision: u64) -> Vec<u8> {
    let picture = picture_of(entries);
    let (watermark, confirmed) = (watermark(revision), Timestamp::from_millis(1));
    let withheld = picture.withheld.list();
    let partitions = vec![CutPartition { picture, watermark, withheld, confirmed }];
    let keys = vec![("k1".to_owned(), key("alice"))];
    let mut bytes = Vec::new();
    let cut = Cut { id: Id::new(), continues: None, keys, partitions };
    cut.write(&mut bytes).unwrap();
    bytes
}

fn restricted(number: u64, revision: u64) -> RestrictedEntry {
    let restrictions = Restrictions::parse_compact("disabled,operator,other,1,").ok();
    RestrictedEntry { key: customer(number), revision: Revision(revision), restrictions }
}

fn written(source: &Source) -> Vec<u8> {
    let mut bytes = Vec::new();
    source.cut().unwrap().write(&mut bytes).unwrap();
    bytes
}

type Told = (Watermark, Census, Timestamp);

/// Everything in it that decides.
fn told(snapshot: &Snapshot) -> (Vec<Told>, BTreeMap<String, String>) {
    let part =
        |part: &format::Left| (part.watermark.clone(), part.picture.census(), part.confirmed);
    (snapshot.partitions.iter().map(part).collect(), snapshot.keys.clone())
}

fn names(snapshot: &Snapshot, number: u64) -> bool {
    let part = snapshot.partitions.first().unwrap();
    part.picture.find(&customer(number)).is_some()
}

fn change(revision: u64, number: u64, compact: &str) -> Change {
    let act = Act {
        verb: Verb::Put,
        source: Origin::operator(),
        kind: None,
        reason: None,
        since: None,
        until: None,
        at: None,
        exact: false,
        imported: false,
        recovers: None,
    };
    let restrictions = Restrictions::parse_compact(compact).unwrap();
    let key = customer(number);
    let changed = CustomerChange { key, restrictions, entitlements_changed: false, act };
    let subject = Subject::Customer(changed);
    Change { revision: Revision(revision), log_id: format!("{revision}-0"), subject }
}

fn applied(change: &Change) -> Line {
    Line::Applied {
        partition: Partition(0),
        log_id: change.log_id.clone(),
        revision: change.revision,
        left: Left::by(change),
    }
}

fn any_entries() -> impl Strategy<Value = Vec<RestrictedEntry>> {
    let entry = (0..40_u64, 1..99_u64, option::weighted(0.9, any_restrictions()));
    vec(entry, 0..30).prop_map(|entries| {
        let entry = |(number, revision, restrictions)| RestrictedEntry {
            key: customer(number),
            revision: Revision(revision),
            restrictions,
        };
        entries.into_iter().map(entry).collect()
    })
}

/// Lines that follow on revision 100, in order, with what the store says in between.
fn any_lines() -> impl Strategy<Value = Vec<Line>> {
    let what = prop_oneof![
        6 => (0..40_u64, option::weighted(0.9, any_restrictions())).prop_map(Some),
        2 => Just(None),
    ];
    vec((what, 0..4_u8), 0..20).prop_map(|whats| {
        let mut lines = Vec::new();
        for (revision, (what, other)) in (101..).zip(whats) {
            let revision = Revision(revision);
            let left = match what {
                Some((number, restrictions)) => {
                    let key = customer(number);
                    Left::Customer(RestrictedEntry { key, revision, restrictions })
                }
                None if other == 0 => Left::Key("k1".to_owned(), None),
                None if other == 1 => Left::Key("k 2\n".to_owned(), Some(key("bob"))),
                None => Left::Nothing,
            };
            let log_id = format!("{revision}-0");
            lines.push(Line::Applied { partition: Partition(0), log_id, revision, left });
            if other == 3 {
                let at =
                    Timestamp::from_millis(FAR).saturating_add(Duration::from_secs(revision.0));
                lines.push(Line::Confirmed { partition: Partition(0), at });
            }
        }
        lines
    })
}

/// Later than any test.
const FAR: i64 = 4_000_000_000_000;

fn journal(id: Id, lines: &[Line]) -> Vec<u8> {
    let spelled: String = lines.iter().map(Line::spell).collect();
    (first_line(id) + &spelled).into_bytes()
}

proptest! {
    #[test]
    fn any_set_reads_back_as_it_was_written(entries in any_entries(), revision in 1..999_u64) {
        let held = picture_of(&entries);
        let snapshot = Snapshot::parse(&text_of(&entries, revision)).unwrap();
        prop_assert!(snapshot.created().eq([&epoch()]));
        let part = &snapshot.partitions[0];
        prop_assert_eq!((&part.watermark, part.picture.census()), (&watermark(revision), held.census()));
        for entry in &entries {
            prop_assert_eq!(part.picture.find(&entry.key), held.find(&entry.key));
        }
        prop_assert_eq!(snapshot.keys.keys().collect::<Vec<_>>(), ["k1"]);
    }

    #[test]
    fn a_snapshot_cut_off_anywhere_is_refused(entries in any_entries(), place: usize) {
        let bytes = text_of(&entries, 100);
        prop_assert!(Snapshot::parse(&bytes[..place % bytes.len()]).is_err());
    }

    #[test]
    fn a_snapshot_with_one_byte_changed_is_refused(entries in any_entries(), place: usize, flip in 1..=255_u8) {
        let mut bytes = text_of(&entries, 100);
        let place = place % bytes.len();
        bytes[place] ^= flip;
        prop_assert!(Snapshot::parse(&bytes).is_err());
    }

    #[test]
    fn text_of_any_kind_is_refused_and_nothing_breaks(mut bytes in vec(any::<u8>(), 0..200), begins in any::<bool>()) {
        if begins {
            bytes.splice(0..0, *b"tollgate-snapshot 1\n");
        }
        prop_assert!(Snapshot::parse(&bytes).is_err());
    }

    #[test]
    fn a_line_reads_back(lines in any_lines()) {
        let snapshot = || Snapshot::parse(&text_of(&[], 100)).unwrap();
        let (mut at_once, mut one_by_one) = (snapshot(), snapshot());
        one_by_one.id = at_once.id;
        let changes = lines.iter().filter(|line| matches!(line, Line::Applied { .. })).count();
        prop_assert_eq!(at_once.replay(&journal(at_once.id, &lines)), changes as u64);
        for end in 1..=lines.len() {
            one_by_one.replay(&journal(one_by_one.id, &lines[..end]));
        }
        for (a, b) in at_once.partitions.iter().zip(&one_by_one.partitions) {
            prop_assert_eq!((&a.watermark, a.picture.census()), (&b.watermark, b.picture.census()));
        }
        prop_assert_eq!(&at_once.keys, &one_by_one.keys);
    }

    /// Never a customer less than the snapshot and the lines before the damage say.
    #[test]
    fn a_damaged_journal_is_a_beginning_of_it(
        entries in any_entries(), lines in any_lines(), place: usize, flip in 0..=255_u8,
    ) {
        let bytes = text_of(&entries, 100);
        let read = || Snapshot::parse(&bytes).unwrap();
        let mut whole = journal(read().id, &lines);
        let place = place % whole.len();
        let before = whole[..place].split(|byte| *byte == b'\n').count() - 1;
        if flip == 0 {
            whole.truncate(place);
        } else {
            whole[place] ^= flip;
        }
        let mut damaged = read();
        damaged.replay(&whole);
        let mut expected = read();
        let intact = lines.get(..before.saturating_sub(1)).unwrap_or_default();
        if before > 0 {
            expected.replay(&journal(expected.id, intact));
        }
        prop_assert_eq!(told(&damaged), told(&expected));
    }
}

#[test]
fn a_journal_is_replayed_on_its_own_snapshot_and_on_the_next_one() {
    let source = holding(&[restricted(1, 7)], 100);
    let bytes = written(&source);
    let line = applied(&change(101, 2, "frozen,operator,other,1,"));
    let mut own = Snapshot::parse(&bytes).unwrap();
    let text = journal(own.id, &[line]);
    assert_eq!(own.replay(&text), 1);
    assert!(names(&own, 2));

    let mut next = Vec::new();
    source.continuing(Some(own.id)).unwrap().write(&mut next).unwrap();
    let mut next = Snapshot::parse(&next).unwrap();
    assert_eq!(next.replay(&text), 1);

    let mut stranger = Snapshot::parse(&written(&source)).unwrap();
    assert_eq!(stranger.replay(&text), 0);
    assert!(!names(&stranger, 2));
}

#[test]
fn lines_that_the_snapshot_holds_already_are_skipped_and_a_gap_ends_the_replay() {
    let bytes = text_of(&[restricted(1, 7)], 100);
    let lines = [
        applied(&change(99, 1, "")),
        applied(&change(100, 1, "")),
        applied(&change(101, 2, "frozen,operator,other,1,")),
        applied(&change(103, 1, "")),
        applied(&change(104, 3, "frozen,operator,other,1,")),
    ];
    let mut snapshot = Snapshot::parse(&bytes).unwrap();
    assert_eq!(snapshot.replay(&journal(snapshot.id, &lines)), 1);
    assert!(names(&snapshot, 1) && names(&snapshot, 2));
    assert!(!names(&snapshot, 3));
    assert_eq!(snapshot.partitions[0].watermark, watermark(101));
}

#[test]
fn a_change_past_a_gap_is_kept_when_it_restricts_and_moves_nothing() {
    let bytes = text_of(&[restricted(1, 7)], 100);
    let ahead = |change: &Change| Line::Ahead {
        partition: Partition(0),
        log_id: change.log_id.clone(),
        revision: change.revision,
        left: Left::by(change),
    };
    let lines = [ahead(&change(105, 2, "frozen,operator,other,1,")), ahead(&change(106, 1, ""))];
    let mut snapshot = Snapshot::parse(&bytes).unwrap();
    snapshot.replay(&journal(snapshot.id, &lines));
    assert!(names(&snapshot, 1) && names(&snapshot, 2));
    assert_eq!(snapshot.partitions[0].watermark, watermark(100));
}

#[test]
fn another_format_and_another_file_are_told_apart() {
    let whole = String::from_utf8(text_of(&[], 100)).unwrap();
    let newer = whole.replacen("tollgate-snapshot 1", "tollgate-snapshot 2", 1);
    let said = |text: &str| Snapshot::parse(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(said(&newer), "its format is 2, and this version reads 1");
    assert_eq!(said("[package]\nname = \"x\"\n"), "it is no snapshot of Tollgate's");
    assert!(said("tollgate-snapshot 1\nid 00").contains("torn"));
}

#[test]
fn a_snapshot_of_another_store_is_refused() {
    let read = || Snapshot::parse(&text_of(&[], 100)).unwrap();
    let check = |partitions: Option<u16>, created: Option<&str>| {
        let partitions = partitions.and_then(|count| Partitions::new(count).ok());
        let created = created.map(|epoch| Epoch::parse(epoch).unwrap());
        Expected { partitions, created }.check(read()).map_err(|error| error.to_string())
    };
    assert!(check(Some(1), Some("e1")).is_ok());
    assert!(check(None, None).is_ok());
    assert!(check(Some(16), None).unwrap_err().contains("1 partitions, and this one has 16"));
    assert!(check(Some(1), Some("e2")).unwrap_err().contains("--expect-epoch"));
}

/// An act that the store forgot: number 7 of an earlier history, on customer 5.
fn forgotten(in_conflict: bool) -> Forgotten {
    let Subject::Customer(mut change) = change(7, 5, "frozen,operator,other,1,").subject else {
        panic!("no act")
    };
    (change.act.verb, change.act.kind) = (Verb::Freeze, Some(Kind::Frozen));
    let (token, since) = ("e0:0.7".parse().unwrap(), "4-0".to_owned());
    Forgotten { token, change, common: Revision(4), since, in_conflict }
}

/// A source whose history came out of another one, that withholds an act of that.
fn withholding(act: Forgotten) -> Source {
    let source = source();
    let mut picture = Picture::new(1, epoch());
    let created = Epoch::parse("e0").unwrap();
    picture.lineage = Lineage::parse(created, "e0@4").unwrap();
    picture.partial = true.into();
    picture.withheld.set(vec![Arc::new(act)]);
    source.cache.install(Partition(0), Arc::new(picture), watermark(100));
    source.cache.confirm(Partition(0), source.clock.moment());
    source.keyring.replace(&[]);
    source
}

#[test]
fn what_is_withheld_is_withheld_by_whoever_begins_with_it() {
    for in_conflict in [false, true] {
        let snapshot = Snapshot::parse(&written(&withholding(forgotten(in_conflict)))).unwrap();
        let source = source();
        source.boot(&snapshot, Duration::from_hours(1)).unwrap();
        let found = source.cache.find(&customer(5));
        assert!(found.entry.is_none() && found.withheld.is_some());
        let picture = source.cache.picture(Partition(0)).unwrap();
        assert_eq!(*picture.withheld.list()[0], forgotten(in_conflict));
        assert_eq!(
            (picture.lineage.previous_to_text().as_str(), picture.is_partial()),
            ("e0@4", true)
        );
        assert_eq!(source.cache.created(), Epoch::parse("e0").ok());
    }
}

#[test]
fn what_the_journal_says_was_written_back_or_settled_is_not_withheld_any_more() {
    let bytes = written(&withholding(forgotten(false)));
    let restrictions = Restrictions::parse_compact("frozen,operator,other,1,").unwrap();
    let mut written_back = forgotten(false).change;
    written_back.act.recovers = "e0:0.7".parse().ok();
    let settled = Subject::Conflict { forgotten: "e0:0.7".parse().unwrap(), stored: None };
    let written_back = Subject::Customer(written_back);
    for (subject, entry) in [(settled, None), (written_back, Some(restrictions))] {
        let change = Change { revision: Revision(101), log_id: "101-0".to_owned(), subject };
        let line = Line::Applied {
            partition: Partition(0),
            log_id: change.log_id.clone(),
            revision: change.revision,
            left: Left::told_by(&change),
        };
        let mut snapshot = Snapshot::parse(&bytes).unwrap();
        assert_eq!(snapshot.replay(&journal(snapshot.id, &[line])), 1);
        let picture = &snapshot.partitions[0].picture;
        assert!(picture.withheld.is_empty());
        let found = picture.find(&customer(5)).and_then(|found| found.restrictions.clone());
        assert_eq!(found, entry);
        assert_eq!(snapshot.partitions[0].watermark, watermark(101));
    }
}
