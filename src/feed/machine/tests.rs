//! Every order of events, against a store in miniature.

use std::collections::{BTreeMap, VecDeque};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::domain::{Epoch, Lineage, Partitions, Subject};

/// A store in miniature: one revision writes one of a few cells.
#[derive(Clone, Debug)]
struct World {
    epoch: Epoch,
    log: Vec<Change>,
    /// How many entries were trimmed from the log's beginning.
    trimmed: usize,
    /// Ids come from a clock, so a history that went another way has later ones.
    clock: u64,
    /// The histories before this one, as the store keeps them.
    previous: String,
}

/// What a reader holds: the newest revision of each cell, and none that was never written.
type Cells = BTreeMap<u64, Revision>;

impl World {
    fn new() -> Self {
        let mut world = Self {
            epoch: epoch(1),
            log: Vec::new(),
            trimmed: 0,
            clock: 0,
            previous: String::new(),
        };
        world.commit();
        world
    }

    fn commit(&mut self) -> Change {
        self.commit_after(1)
    }

    fn commit_after(&mut self, pause: u64) -> Change {
        let revision = Revision(self.log.len() as u64 + 1);
        self.clock += pause;
        let log_id = format!("{:09}", self.clock);
        let change = Change { revision, log_id, subject: Subject::Unreadable(None) };
        self.log.push(change.clone());
        change
    }

    /// Forgets all but its first entries, and begins another history there.
    fn roll_back(&mut self, kept: usize) {
        self.log.truncate(kept.max(1));
        self.trimmed = self.trimmed.min(self.log.len() - 1);
        let comma = if self.previous.is_empty() { "" } else { "," };
        self.previous = format!("{}@{}{comma}{}", self.epoch, self.log.len(), self.previous);
        self.epoch = epoch(self.previous.split(',').count() + 1);
        self.commit();
    }

    fn cells(&self) -> Cells {
        self.log.iter().map(|change| (cell(change), change.revision)).collect()
    }

    fn head(&self) -> Head {
        let newest = self.log.last().unwrap();
        Head {
            partitions: Partitions::ONE,
            lineage: Lineage::parse(epoch(1), &self.previous).unwrap(),
            partial: false,
            fleet: None,
            epoch: self.epoch.clone(),
            revision: newest.revision,
            log_id: newest.log_id.clone(),
            restricted: census(&self.cells()),
        }
    }

    fn read_log(&self, from: &str) -> Vec<Change> {
        let kept = self.log[self.trimmed..].iter();
        // An id that is gone begins at the next one that is kept, as XRANGE does.
        kept.filter(|change| change.log_id.as_str() >= from).take(LOG_PAGE).cloned().collect()
    }
}

fn epoch(number: usize) -> Epoch {
    Epoch::parse(&format!("e{number}")).unwrap()
}

fn cell(change: &Change) -> u64 {
    change.revision.0 % 3
}

fn census(cells: &Cells) -> Census {
    let digest = cells.iter().map(|(cell, revision)| revision.0 * 10 + cell);
    Census { count: cells.len() as u64, digest: digest.fold(0, |all, one| all ^ one) }
}

/// A reader, and what is on its way to it. Pushes and answers leave the store in one order, and
/// an answer is never looked at before the pushes that left before it; but pushes that left after
/// it may be, since an answer takes a detour through a task.
struct Reader {
    machine: Machine,
    cells: Cells,
    staged: Option<Cells>,
    pushes: VecDeque<(u64, Change)>,
    answers: VecDeque<(u64, Event)>,
    sent: u64,
    /// The newest push that the machine was given in this session.
    heard: Revision,
    connected: bool,
    snapshots: usize,
    lost: Option<Loss>,
    confirmed: bool,
}

impl Reader {
    fn new() -> Self {
        Self {
            machine: Machine::default(),
            cells: Cells::new(),
            staged: None,
            pushes: VecDeque::new(),
            answers: VecDeque::new(),
            sent: 0,
            heard: Revision::default(),
            connected: false,
            snapshots: 0,
            lost: None,
            confirmed: false,
        }
    }

    fn give(&mut self, world: &World, event: Event) {
        let mut event = event;
        if let Event::Head { ours, .. } = &mut event {
            *ours = Some(census(self.staged.as_ref().unwrap_or(&self.cells)));
        }
        for act in self.machine.on(event) {
            self.perform(world, act);
        }
    }

    fn perform(&mut self, world: &World, act: Act) {
        match act {
            Act::Apply(change, watermark) => {
                assert_eq!(watermark.position.revision, change.revision);
                self.cells.insert(cell(&change), change.revision);
            }
            Act::ApplyAhead(change) => {
                let held = self.cells.entry(cell(&change)).or_default();
                *held = change.revision.max(*held);
            }
            Act::Confirm(_) => {
                assert!(self.machine.watermark.is_some());
                self.confirmed = true;
            }
            Act::Install(watermark) => {
                assert!(watermark.position.revision >= self.heard, "what was heard is forgotten");
                self.cells = self.staged.take().unwrap();
            }
            Act::Lost(loss) => self.lost = Some(loss),
            Act::ReadHead => self.ask_head(world),
            Act::ReadLog(from) => self.answer(Event::Log(world.read_log(&from))),
            Act::ReadSnapshot(..) => {
                self.snapshots += 1;
                self.staged = Some(world.cells());
                self.answer(Event::SnapshotRead);
            }
            Act::Stage(change) => {
                let staged = self.staged.as_mut().unwrap();
                let held = staged.entry(cell(&change)).or_default();
                *held = change.revision.max(*held);
            }
            Act::Reconnect(_) => self.disconnect(world),
            Act::Believe => self.lost = None,
            Act::Gap { .. } | Act::Suspect(_) | Act::Trust | Act::Uninitialised => {}
        }
    }

    fn ask_head(&mut self, world: &World) {
        let floor = self.machine.progress();
        let head = Some(world.head());
        self.answer(Event::Head { head, ours: None, asked: Moment::default(), floor });
    }

    fn answer(&mut self, event: Event) {
        self.sent += 1;
        self.answers.push_back((self.sent, event));
    }

    fn publish(&mut self, change: Change) {
        self.sent += 1;
        self.pushes.push_back((self.sent, change));
    }

    fn take_push(&mut self, world: &World) -> bool {
        let Some((_, change)) = self.pushes.pop_front() else { return false };
        self.heard = self.heard.max(change.revision);
        self.give(world, heard(world, change));
        true
    }

    fn take_answer(&mut self, world: &World) -> bool {
        let Some((sent, event)) = self.answers.pop_front() else { return false };
        while self.pushes.front().is_some_and(|(before, _)| *before < sent) {
            self.take_push(world);
        }
        // What was heard may have ended the session, and with it the answer.
        if self.connected {
            self.give(world, event);
        }
        true
    }

    fn disconnect(&mut self, world: &World) {
        self.heard = Revision::default();
        self.pushes.clear();
        self.answers.clear();
        self.staged = None;
        self.connected = false;
        self.give(world, Event::Disconnected);
    }

    /// Lets everything that is on its way arrive, with heartbeats, until nothing moves.
    fn settle(&mut self, world: &World) {
        for _ in 0..20 {
            if !self.connected {
                self.connected = true;
                self.give(world, Event::Connected);
            }
            while self.take_answer(world) || self.take_push(world) {}
            self.ask_head(world);
        }
    }
}

fn head_of(world: &World, reader: &Reader) -> Event {
    let floor = reader.machine.progress();
    Event::Head { head: Some(world.head()), ours: None, asked: Moment::default(), floor }
}

/// A push as the store sends it: with its history, and the entry that it follows on.
fn heard(world: &World, change: Change) -> Event {
    let before = usize::try_from(change.revision.0).unwrap().checked_sub(2);
    let follows = before.and_then(|index| world.log.get(index));
    let follows = follows.map(|change| change.log_id.clone()).unwrap_or_default();
    Event::Push { epoch: world.epoch.clone(), follows, change }
}

fn nothing() -> Event {
    Event::Head { head: None, ours: None, asked: Moment::default(), floor: Revision::default() }
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    /// Something is committed and published.
    Commit,
    /// Something is committed, and the push is lost.
    CommitUnheard,
    Connect,
    /// The next answer is looked at.
    Answer,
    /// The next push is heard.
    Hear,
    Disconnect,
    Heartbeat,
    /// All but the newest entries of the log are gone.
    Trim,
    /// The server comes back without its newest entries, and another history begins there.
    RollBack(usize),
    /// Somebody emptied the log.
    Empty,
}

fn anything() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => Just(Happens::Commit),
        1 => Just(Happens::CommitUnheard),
        2 => Just(Happens::Connect),
        5 => Just(Happens::Answer),
        5 => Just(Happens::Hear),
        1 => Just(Happens::Disconnect),
        2 => Just(Happens::Heartbeat),
        1 => Just(Happens::Trim),
        1 => (0..5_usize).prop_map(Happens::RollBack),
        1 => Just(Happens::Empty),
    ]
}

fn play(world: &mut World, reader: &mut Reader, happens: Happens) {
    match happens {
        Happens::Commit => {
            let change = world.commit();
            if reader.connected {
                reader.publish(change);
            }
        }
        Happens::CommitUnheard => _ = world.commit(),
        Happens::Connect if !reader.connected => {
            reader.connected = true;
            reader.give(world, Event::Connected);
        }
        Happens::Answer => _ = reader.take_answer(world),
        Happens::Hear => _ = reader.take_push(world),
        Happens::Disconnect => reader.disconnect(world),
        Happens::Heartbeat if reader.connected => reader.ask_head(world),
        Happens::RollBack(forgotten) => {
            reader.disconnect(world);
            world.roll_back(world.log.len().saturating_sub(forgotten));
        }
        Happens::Trim => world.trimmed = world.trimmed.max(world.log.len() - 1),
        Happens::Empty => world.trimmed = world.log.len(),
        Happens::Connect | Happens::Heartbeat => {}
    }
}

proptest! {
    #[test]
    fn any_order_of_events_ends_equal_to_the_store(history in vec(anything(), 0..80)) {
        let (mut world, mut reader) = (World::new(), Reader::new());
        for happens in history {
            play(&mut world, &mut reader, happens);
        }
        reader.settle(&world);
        prop_assert_eq!(reader.lost, None);
        prop_assert!(reader.machine.is_following());
        prop_assert_eq!(reader.cells, world.cells());
        prop_assert!(reader.confirmed);
    }

    #[test]
    fn while_the_log_reaches_back_there_is_one_snapshot_only(history in vec(anything(), 0..80)) {
        let (mut world, mut reader) = (World::new(), Reader::new());
        reader.settle(&world);
        for happens in history {
            if !matches!(happens, Happens::Trim | Happens::Empty | Happens::RollBack(_)) {
                play(&mut world, &mut reader, happens);
            }
        }
        reader.settle(&world);
        prop_assert_eq!(reader.snapshots, 1);
    }

    #[test]
    fn a_store_that_forgot_is_never_applied(
        before in 2..9_usize, kept in 1..9_usize, after in 0..9_usize,
    ) {
        prop_assume!(kept < before);
        let (mut world, mut reader) = (World::new(), Reader::new());
        for _ in 1..before {
            world.commit();
        }
        reader.settle(&world);
        let held = reader.cells.clone();
        // Another history begins where the store was rolled back to.
        world.log.truncate(kept);
        for _ in 0..after {
            world.commit();
        }
        reader.disconnect(&world);
        reader.settle(&world);
        prop_assert!(reader.lost.is_some());
        prop_assert_eq!(reader.cells, held);
    }

    #[test]
    fn of_two_masters_at_once_only_the_one_that_was_followed_is_believed(
        common in 1..5_usize,
        // How long each of them took for each of its changes.
        followed in vec(1..50_u64, 1..6), other in vec(1..50_u64, 1..9),
    ) {
        let (mut world, mut reader) = (World::new(), Reader::new());
        for _ in 1..common {
            world.commit();
        }
        let mut another = world.clone();
        for pause in followed {
            world.commit_after(pause * 2);
        }
        // No two entries of the two have one id.
        another.commit_after(1);
        for pause in other {
            another.commit_after(pause * 2);
        }
        reader.settle(&world);
        let held = reader.cells.clone();
        reader.disconnect(&another);
        reader.settle(&another);
        prop_assert!(reader.lost.is_some());
        prop_assert_eq!(reader.cells, held);
    }
}

fn settled() -> (World, Reader) {
    let (mut world, mut reader) = (World::new(), Reader::new());
    world.commit();
    reader.settle(&world);
    (world, reader)
}

#[test]
fn a_store_without_a_history_is_lost_once_one_was_known() {
    let (world, mut reader) = settled();
    reader.give(&world, nothing());
    assert_eq!(reader.lost, Some(Loss::Empty));
}

#[test]
fn another_epoch_is_another_history() {
    let (mut world, mut reader) = settled();
    world.epoch = epoch(2);
    let head = head_of(&world, &reader);
    reader.give(&world, head);
    assert_eq!(reader.lost, Some(Loss::AnotherHistory));
}

#[test]
fn a_store_that_comes_back_as_it_was_is_followed_again() {
    let (mut world, mut reader) = settled();
    reader.give(&world, nothing());
    world.commit();
    reader.settle(&world);
    assert!(reader.machine.is_following());
    assert_eq!(reader.cells, world.cells());
}

#[test]
fn before_the_first_picture_nothing_is_confirmed() {
    let (world, mut reader) = (World::new(), Reader::new());
    reader.give(&world, Event::Connected);
    assert!(reader.take_answer(&world));
    assert!(!reader.confirmed);
}

#[test]
fn a_census_that_disagrees_makes_the_picture_suspect_until_a_snapshot_agrees() {
    let (world, mut reader) = settled();
    reader.cells.clear();
    let head = head_of(&world, &reader);
    reader.give(&world, head);
    assert!(reader.machine.suspect);
    reader.settle(&world);
    assert!(!reader.machine.suspect);
    assert_eq!(reader.cells, world.cells());
}

#[test]
fn a_change_heard_past_a_gap_bites_before_the_gap_is_closed() {
    let (mut world, mut reader) = settled();
    world.commit();
    let change = world.commit();
    let push = heard(&world, change.clone());
    reader.give(&world, push);
    assert_eq!(reader.cells[&cell(&change)], change.revision);
    assert!(!reader.machine.is_following());
    reader.settle(&world);
    assert_eq!(reader.cells, world.cells());
}

#[test]
fn a_head_that_was_overtaken_by_pushes_is_no_loss_and_still_confirms() {
    let (mut world, mut reader) = settled();
    reader.confirmed = false;
    let late = head_of(&world, &reader);
    let change = world.commit();
    let push = heard(&world, change);
    reader.give(&world, push);
    reader.give(&world, late);
    assert_eq!((reader.lost, reader.confirmed), (None, true));
    assert!(reader.machine.is_following());
}

#[test]
fn a_hole_in_the_log_is_never_stepped_over() {
    let (mut world, mut reader) = settled();
    let anchor = world.log.last().unwrap().clone();
    world.commit();
    let beyond = world.commit();
    let _ = reader.machine.on(heard(&world, beyond.clone()));
    let acts = reader.machine.on(Event::Log(vec![anchor, beyond]));
    assert!(!acts.iter().any(|act| matches!(act, Act::Apply(..))), "{acts:?}");
    assert!(acts.contains(&Act::ReadHead), "{acts:?}");
}

#[test]
fn a_push_of_another_history_is_not_applied() {
    let (mut world, mut reader) = settled();
    let before = reader.cells.clone();
    let change = world.commit();
    let Event::Push { follows, change, .. } = heard(&world, change) else { unreachable!() };
    let epoch = Epoch::parse("e2").unwrap();
    let foreign = Event::Push { epoch, follows, change: change.clone() };
    reader.give(&world, foreign);
    assert_eq!(reader.cells, before);
    // The next revision, but not after what was heard last: the store was rolled back meanwhile.
    let epoch = Epoch::parse("e1").unwrap();
    let diverged = Event::Push { epoch, follows: "000000099".to_owned(), change };
    let acts = reader.machine.on(diverged);
    assert!(matches!(acts.first(), Some(Act::Gap { .. })), "{acts:?}");
}

#[test]
fn a_revision_without_a_log_entry_is_not_looked_for_again_and_again() {
    let (mut world, mut reader) = settled();
    let mut change = world.commit();
    change.revision = Revision(9999);
    change.subject = Subject::Created;
    let claimed =
        Event::Push { epoch: Epoch::parse("e1").unwrap(), follows: change.log_id.clone(), change };
    reader.give(&world, claimed);
    for _ in 0..10 {
        reader.take_answer(&world);
    }
    assert!(reader.answers.is_empty());
    assert_eq!(reader.cells, world.cells());
}

#[test]
fn a_loss_that_is_found_again_at_each_heartbeat_is_told_once() {
    let (mut world, mut reader) = settled();
    for _ in 0..3 {
        world.commit();
    }
    reader.settle(&world);
    world.log.truncate(2);
    for _ in 0..4 {
        world.commit();
    }
    let mut told = 0;
    for _ in 0..5 {
        let head = head_of(&world, &reader);
        let mut acts = VecDeque::from(reader.machine.on(head));
        while let Some(act) = acts.pop_front() {
            assert!(!matches!(act, Act::Apply(..) | Act::Believe), "{act:?}");
            told += u32::from(matches!(act, Act::Lost(_)));
            if let Act::ReadLog(from) = act {
                acts.extend(reader.machine.on(Event::Log(world.read_log(&from))));
            }
        }
    }
    assert_eq!(told, 1);
}

/// A reader that holds what another one held when its process ended.
fn booted(from: &Reader) -> Reader {
    let mut reader = Reader { cells: from.cells.clone(), ..Reader::new() };
    reader.machine.resume(from.machine.watermark.clone().unwrap());
    reader
}

#[test]
fn a_reader_that_resumes_catches_up_from_the_log_without_a_snapshot() {
    let (mut world, before) = settled();
    world.commit();
    world.commit();
    let mut reader = booted(&before);
    reader.settle(&world);
    assert_eq!((reader.snapshots, reader.lost), (0, None));
    assert_eq!(reader.cells, world.cells());
    assert!(reader.confirmed);
}

#[test]
fn a_reader_that_resumes_behind_the_end_of_the_log_reads_a_snapshot() {
    let (mut world, before) = settled();
    world.commit();
    world.commit();
    world.trimmed = world.log.len() - 1;
    let mut reader = booted(&before);
    reader.settle(&world);
    assert_eq!((reader.snapshots, reader.lost), (1, None));
    assert_eq!(reader.cells, world.cells());
}

#[test]
fn a_reader_that_resumes_does_not_believe_a_store_that_forgot() {
    let (mut world, mut before) = settled();
    world.commit();
    before.settle(&world);
    let held = before.cells.clone();
    for forgotten in [nothing(), {
        let mut other = World::new();
        other.epoch = epoch(2);
        head_of(&other, &before)
    }] {
        let mut reader = booted(&before);
        reader.connected = true;
        let _ = reader.machine.on(Event::Connected);
        reader.give(&world, forgotten);
        assert!(reader.lost.is_some());
        assert_eq!(reader.cells, held);
    }
}

#[test]
fn a_newer_picture_than_the_one_booted_from_stays() {
    let (mut world, mut reader) = settled();
    let old = reader.machine.watermark.clone().unwrap();
    world.commit();
    reader.settle(&world);
    let newer = reader.machine.watermark.clone();
    reader.machine.resume(old);
    assert_eq!(reader.machine.watermark, newer);
}

#[test]
fn a_store_that_began_with_another_epoch_is_neither_read_nor_followed() {
    let world = World::new();
    let mut reader = Reader::new();
    reader.machine = Machine::new(OnLoss::Keep, Some(epoch(9)));
    reader.connected = true;
    reader.give(&world, Event::Connected);
    let head = head_of(&world, &reader);
    reader.give(&world, head);
    assert_eq!((reader.lost, reader.snapshots), (Some(Loss::NotExpected), 0));

    let mut reader = Reader::new();
    reader.machine = Machine::new(OnLoss::Keep, Some(epoch(1)));
    reader.settle(&world);
    assert_eq!(reader.cells, world.cells());
}
