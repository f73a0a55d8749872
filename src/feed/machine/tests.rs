//! Every order of events, against a store in miniature.

use std::collections::{BTreeMap, VecDeque};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::domain::{Epoch, Subject};

/// A store in miniature: one revision writes one of a few cells.
#[derive(Clone, Debug)]
struct World {
    epoch: &'static str,
    log: Vec<Change>,
    /// How many entries were trimmed from the log's beginning.
    trimmed: usize,
}

/// What a reader holds: the newest revision of each cell, and none that was never written.
type Cells = BTreeMap<u64, Revision>;

impl World {
    fn new() -> Self {
        let mut world = Self { epoch: "e1", log: Vec::new(), trimmed: 0 };
        world.commit();
        world
    }

    fn commit(&mut self) -> Change {
        let revision = Revision(self.log.len() as u64 + 1);
        let change = Change {
            revision,
            log_id: format!("{}-{}", self.epoch, revision),
            subject: Subject::Created,
        };
        self.log.push(change.clone());
        change
    }

    fn cells(&self) -> Cells {
        self.log.iter().map(|change| (cell(change), change.revision)).collect()
    }

    fn head(&self) -> Head {
        let newest = self.log.last().unwrap();
        Head {
            epoch: Epoch::parse(self.epoch).unwrap(),
            revision: newest.revision,
            log_id: newest.log_id.clone(),
            restricted: census(&self.cells()),
        }
    }

    fn read_log(&self, from: &str) -> Vec<Change> {
        let kept = &self.log[self.trimmed..];
        let first = kept.iter().position(|change| change.log_id == from);
        // An id that is gone begins at the next one that is kept, as XRANGE does.
        kept[first.unwrap_or(0)..].iter().take(LOG_PAGE).cloned().collect()
    }
}

fn cell(change: &Change) -> u64 {
    change.revision.0 % 3
}

fn census(cells: &Cells) -> Census {
    let digest = cells.iter().map(|(cell, revision)| revision.0 * 10 + cell);
    Census { count: cells.len() as u64, digest: digest.fold(0, |all, one| all ^ one) }
}

/// A reader and the answers that are on their way to it, in order on one socket.
struct Reader {
    machine: Machine,
    cells: Cells,
    staged: Option<Cells>,
    socket: VecDeque<Event>,
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
            socket: VecDeque::new(),
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
            Act::Install(_) => self.cells = self.staged.take().unwrap(),
            Act::Lost(loss) => self.lost = Some(loss),
            Act::ReadHead => self.socket.push_back(head_of(world)),
            Act::ReadLog(from) => self.socket.push_back(Event::Log(world.read_log(&from))),
            Act::ReadSnapshot(..) => {
                self.snapshots += 1;
                self.staged = Some(world.cells());
                self.socket.push_back(Event::SnapshotRead);
            }
            Act::Stage(change) => {
                let staged = self.staged.as_mut().unwrap();
                let held = staged.entry(cell(&change)).or_default();
                *held = change.revision.max(*held);
            }
            Act::Reconnect(_) => self.disconnect(world),
            Act::Gap { .. } | Act::Suspect(_) | Act::Trust | Act::Uninitialised => {}
        }
    }

    fn disconnect(&mut self, world: &World) {
        self.socket.clear();
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
            while let Some(event) = self.socket.pop_front() {
                self.give(world, event);
            }
            self.socket.push_back(head_of(world));
        }
    }
}

fn head_of(world: &World) -> Event {
    Event::Head { head: Some(world.head()), ours: None, asked: Moment::default() }
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    /// Something is committed and published.
    Commit,
    /// Something is committed, and the push is lost.
    CommitUnheard,
    Connect,
    /// The next thing on the socket arrives.
    Deliver,
    Disconnect,
    Heartbeat,
    /// All but the newest entries of the log are gone.
    Trim,
}

fn anything() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => Just(Happens::Commit),
        1 => Just(Happens::CommitUnheard),
        2 => Just(Happens::Connect),
        8 => Just(Happens::Deliver),
        1 => Just(Happens::Disconnect),
        2 => Just(Happens::Heartbeat),
        1 => Just(Happens::Trim),
    ]
}

fn play(world: &mut World, reader: &mut Reader, happens: Happens) {
    match happens {
        Happens::Commit => {
            let change = world.commit();
            if reader.connected {
                reader.socket.push_back(Event::Push(change));
            }
        }
        Happens::CommitUnheard => drop(world.commit()),
        Happens::Connect if !reader.connected => {
            reader.connected = true;
            reader.give(world, Event::Connected);
        }
        Happens::Deliver => {
            if let Some(event) = reader.socket.pop_front() {
                reader.give(world, event);
            }
        }
        Happens::Disconnect => reader.disconnect(world),
        Happens::Heartbeat if reader.connected => reader.socket.push_back(head_of(world)),
        Happens::Trim => world.trimmed = world.log.len() - 1,
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
            if !matches!(happens, Happens::Trim) {
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
        world.epoch = "e1";
        for _ in 0..after {
            let change = world.commit();
            world.log.last_mut().unwrap().log_id = format!("other-{}", change.revision);
        }
        reader.disconnect(&world);
        reader.settle(&world);
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
    let nothing = Event::Head { head: None, ours: None, asked: Moment::default() };
    reader.give(&world, nothing);
    assert_eq!(reader.lost, Some(Loss::Empty));
}

#[test]
fn another_epoch_is_another_history() {
    let (mut world, mut reader) = settled();
    world.epoch = "e2";
    reader.give(&world, head_of(&world));
    assert_eq!(reader.lost, Some(Loss::AnotherHistory));
}

#[test]
fn a_store_that_comes_back_as_it_was_is_followed_again() {
    let (mut world, mut reader) = settled();
    let nothing = Event::Head { head: None, ours: None, asked: Moment::default() };
    reader.give(&world, nothing);
    world.commit();
    reader.settle(&world);
    assert!(reader.machine.is_following());
    assert_eq!(reader.cells, world.cells());
}

#[test]
fn before_the_first_picture_nothing_is_confirmed() {
    let (world, mut reader) = (World::new(), Reader::new());
    reader.give(&world, Event::Connected);
    let first = reader.socket.pop_front();
    reader.give(&world, first.unwrap());
    assert!(!reader.confirmed);
}

#[test]
fn a_census_that_disagrees_makes_the_picture_suspect_until_a_snapshot_agrees() {
    let (world, mut reader) = settled();
    reader.cells.clear();
    reader.give(&world, head_of(&world));
    assert!(reader.machine.suspect);
    reader.settle(&world);
    assert!(!reader.machine.suspect);
    assert_eq!(reader.cells, world.cells());
}

#[test]
fn a_change_heard_past_a_gap_bites_before_the_gap_is_closed() {
    let (mut world, mut reader) = settled();
    world.commit();
    let heard = world.commit();
    reader.give(&world, Event::Push(heard.clone()));
    assert_eq!(reader.cells[&cell(&heard)], heard.revision);
    assert!(!reader.machine.is_following());
    reader.settle(&world);
    assert_eq!(reader.cells, world.cells());
}
