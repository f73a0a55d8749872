//! The reader's state machine, one per partition: events in, acts out. It has no clock and does
//! no I/O, so every order of events can be tested.
//!
//! Pushes are a hint that carries a change at once; the log is the truth that repairs a gap; a
//! snapshot repairs a log that no longer reaches back; a heartbeat proves that silence means
//! "nothing happened".

mod head;

pub use self::head::Loss;
use self::head::{HeadAnswer, Verdict};
use crate::{
    clock::Moment,
    domain::{Change, Epoch, Position, Revision, Subject, Watermark},
    store::{Census, Head},
};

/// Something that happened to the session.
#[derive(Clone, Debug)]
pub enum Event {
    /// A session is open, and subscribed.
    Connected,
    /// The session is gone.
    Disconnected,
    /// The partition's head, with every push that was sent before it already handled.
    Head {
        /// The head; nothing when the store has no history.
        head: Option<Head>,
        /// The census of what would be, or is, in memory: of the staged picture if there is one.
        ours: Option<Census>,
        /// When it was asked for.
        asked: Moment,
        /// [`Machine::progress`] when it was asked for: the store had at least this.
        floor: Revision,
    },
    /// Log entries, in answer to [`Act::ReadLog`].
    Log(Vec<Change>),
    /// A change, heard.
    Push {
        /// In which history.
        epoch: Epoch,
        /// The log entry that it follows on.
        follows: String,
        /// What it was.
        change: Change,
    },
    /// Every page is staged, in answer to [`Act::ReadSnapshot`].
    SnapshotRead,
}

/// Something to be done about it, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Apply a change to what is in memory, and move the watermark.
    Apply(Change, Watermark),
    /// Apply a change that restricts to what is in memory, without moving the watermark.
    ApplyAhead(Change),
    /// The store is the one that is followed here: what is read from it may be believed.
    Believe,
    /// What is in memory was true at that moment.
    Confirm(Moment),
    /// Changes were missed and are being fetched.
    Gap {
        /// The revision that should have come.
        expected: Revision,
        /// The one that came.
        got: Revision,
    },
    /// Put the staged picture in the place of the old one.
    Install(Watermark),
    /// The store is not the one whose picture is in memory. Keep the picture.
    Lost(Loss),
    /// Ask for the head.
    ReadHead,
    /// Ask for log entries from this one on, itself included.
    ReadLog(String),
    /// Stage a new picture, of this generation and of the head's history.
    ReadSnapshot(u64, Head),
    /// Give up this session.
    Reconnect(&'static str),
    /// Apply a change to the staged picture.
    Stage(Change),
    /// What is in memory is doubtful.
    Suspect(&'static str),
    /// What is in memory equals the store again.
    Trust,
    /// The store has no history, and none is known.
    Uninitialised,
}

/// Where the reader stands.
#[derive(Clone, Debug, Default)]
enum Phase {
    /// No session.
    #[default]
    Away,
    /// Waiting for the head; then a snapshot, if that is wanted.
    Asking { snapshot: bool },
    /// Waiting for the log from the watermark on. `anchored`: it was known in this session that
    /// the store holds the watermark.
    CatchingUp { anchored: bool },
    /// Hearing every change.
    Following,
    /// Waiting for the oldest log entry, to tell a log that was trimmed from one that went another
    /// way.
    LookingBack,
    /// Keeping the picture of a store that is gone.
    Lost,
    /// Waiting for the pages of a snapshot that began at this head.
    Reading { head: Head },
    /// Waiting for the log from the staged watermark on, up to this revision at least.
    Replaying { staged: Staged, up_to: Revision },
    /// Waiting for a head that the staged picture can be compared with.
    Verifying { staged: Staged },
    /// Waiting for somebody to create the store.
    Uninitialised,
}

/// How far a staged picture is.
#[derive(Clone, Debug)]
struct Staged {
    head: Head,
    revision: Revision,
    log_id: String,
}

/// Whether a store that lost what it held is believed all the same.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnLoss {
    /// It is: what is in memory is thrown away for what it says.
    Adopt,
    /// It is not: the picture in memory stays until somebody who can tell says so.
    #[default]
    Keep,
}

/// The reader of one partition.
#[derive(Debug, Default)]
pub struct Machine {
    on_loss: OnLoss,
    phase: Phase,
    watermark: Option<Watermark>,
    generation: u64,
    /// The highest revision heard of while the log is read.
    heard: Revision,
    suspect: bool,
    /// Heartbeats since the picture became suspect, or since it was last read anew for that.
    suspect_for: u32,
    /// Why the store was last not believed, until it is again.
    lost: Option<Loss>,
    /// Snapshots in a row that did not agree with the store's own count and digest.
    disagreed: u32,
    /// The first epoch that the store must have begun with.
    expected: Option<Epoch>,
}

impl Machine {
    /// A reader that has not begun. It believes no store but the one that began with the epoch
    /// `expected`, if one is.
    #[must_use]
    pub fn new(on_loss: OnLoss, expected: Option<Epoch>) -> Self {
        Self { on_loss, expected, ..Self::default() }
    }

    /// Goes on from a picture that was not read in this process, unless it has a newer one. The
    /// store's log has the last word on it: the anchor.
    pub fn resume(&mut self, booted: Watermark) {
        let is_newer =
            |held: &Watermark| held.epoch == booted.epoch && held.position < booted.position;
        if self.watermark.as_ref().is_none_or(is_newer) {
            self.generation = self.generation.max(booted.position.generation);
            self.watermark = Some(booted);
        }
    }

    /// Takes an event and says what to do about it.
    #[must_use]
    pub fn on(&mut self, event: Event) -> Vec<Act> {
        match (std::mem::replace(&mut self.phase, Phase::Away), event) {
            (_, Event::Connected) => self.ask(false),
            (_, Event::Disconnected) => {
                self.heard = Revision::default();
                Vec::new()
            }
            (phase, Event::Head { head, ours, asked, floor }) => {
                let answer = HeadAnswer { head, ours, asked, floor };
                self.on_head(phase, answer)
            }
            (phase, Event::Push { epoch, follows, change }) => {
                self.on_push(phase, &epoch, &follows, change)
            }
            (Phase::CatchingUp { .. }, Event::Log(entries)) => self.catch_up(entries),
            (Phase::LookingBack, Event::Log(entries)) => self.look_back(&entries),
            (Phase::Replaying { staged, up_to }, Event::Log(entries)) => {
                self.replay(staged, up_to, entries)
            }
            (Phase::Reading { head }, Event::SnapshotRead) => {
                let (revision, log_id) = (head.revision, head.log_id.clone());
                self.read_on(Staged { head, revision, log_id }, revision)
            }
            // An answer to a question of an earlier phase.
            (phase, Event::Log(_) | Event::SnapshotRead) => {
                self.phase = phase;
                Vec::new()
            }
        }
    }

    /// Why the store is not believed, if it is not.
    #[must_use]
    pub fn lost(&self) -> Option<Loss> {
        self.lost.filter(|_| matches!(self.phase, Phase::Lost))
    }

    /// Whether every change is heard as it happens.
    #[must_use]
    pub const fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Following)
    }

    /// Whether the store is being read, after it was found to be the one that is followed, or none
    /// was.
    #[must_use]
    pub const fn is_reading(&self) -> bool {
        match self.phase {
            Phase::CatchingUp { anchored } => anchored,
            Phase::Reading { .. } | Phase::Replaying { .. } | Phase::Verifying { .. } => true,
            Phase::Away
            | Phase::Asking { .. }
            | Phase::Following
            | Phase::LookingBack
            | Phase::Lost
            | Phase::Uninitialised => false,
        }
    }

    /// The newest revision that is certainly in the store: what was read or heard of it already.
    #[must_use]
    pub fn progress(&self) -> Revision {
        match &self.phase {
            Phase::Replaying { staged, .. } | Phase::Verifying { staged } => staged.revision,
            Phase::Reading { head } => head.revision,
            Phase::Away
            | Phase::Asking { .. }
            | Phase::CatchingUp { .. }
            | Phase::Following
            | Phase::LookingBack
            | Phase::Lost
            | Phase::Uninitialised => {
                self.watermark.as_ref().map_or(Revision::default(), |it| it.position.revision)
            }
        }
    }

    /// What the reader is doing, for `/status`.
    #[must_use]
    pub const fn phase(&self) -> &'static str {
        match self.phase {
            Phase::Away => DISCONNECTED,
            Phase::Asking { .. } => "connecting",
            Phase::CatchingUp { .. } | Phase::LookingBack => CATCHING_UP,
            Phase::Following => FOLLOWING,
            Phase::Lost => "store_lost",
            Phase::Reading { .. } | Phase::Replaying { .. } | Phase::Verifying { .. } => SNAPSHOT,
            Phase::Uninitialised => UNINITIALISED,
        }
    }

    fn on_head(&mut self, phase: Phase, answer: HeadAnswer) -> Vec<Act> {
        if let (Some(expected), Some(head)) = (&self.expected, &answer.head)
            && head.lineage.created != *expected
        {
            return self.lose(Loss::NotExpected, None);
        }
        match phase {
            Phase::Away
            | Phase::CatchingUp { .. }
            | Phase::LookingBack
            | Phase::Reading { .. }
            | Phase::Replaying { .. } => {
                self.phase = phase;
                Vec::new()
            }
            Phase::Asking { snapshot } => self.on_first_head(answer, snapshot),
            Phase::Lost => self.on_first_head(answer, false),
            Phase::Uninitialised => {
                let mut acts = self.on_first_head(answer, false);
                // What was said when it happened is not said at every heartbeat.
                acts.retain(|act| *act != Act::Uninitialised);
                acts
            }
            Phase::Following => self.on_heartbeat(answer),
            Phase::Verifying { staged } => self.verify(staged, answer),
        }
    }

    fn on_first_head(&mut self, answer: HeadAnswer, snapshot: bool) -> Vec<Act> {
        let Some(watermark) = &self.watermark else {
            return if let Some(head) = answer.head {
                self.take_snapshot(head)
            } else {
                self.phase = Phase::Uninitialised;
                vec![Act::Uninitialised]
            };
        };
        match answer.judge(watermark) {
            Verdict::Lost(loss, head) => self.lose(loss, head),
            Verdict::Overtaken => self.ask(snapshot),
            Verdict::Succeeded(head) => self.follow_successor(head),
            Verdict::Ahead(head) | Verdict::Level(head) if snapshot => self.take_snapshot(head),
            Verdict::Ahead(_) | Verdict::Level(_) => self.ask_log(false),
        }
    }

    fn on_heartbeat(&mut self, answer: HeadAnswer) -> Vec<Act> {
        let Some(watermark) = self.watermark.clone() else { return self.ask(false) };
        let (ours, asked) = (answer.ours, answer.asked);
        let head = match answer.judge(&watermark) {
            Verdict::Lost(loss, head) => return self.lose(loss, head),
            Verdict::Succeeded(head) => return self.follow_successor(head),
            Verdict::Ahead(head) => return self.gap(&watermark, head.revision),
            Verdict::Overtaken => {
                self.phase = Phase::Following;
                return vec![Act::Confirm(asked)];
            }
            Verdict::Level(head) => head,
        };
        self.phase = Phase::Following;
        if ours == Some(head.restricted) {
            let trust = std::mem::take(&mut self.suspect).then_some(Act::Trust);
            return trust.into_iter().chain([Act::Confirm(asked)]).collect();
        }
        // The feed is current all the same; what it made is doubtful, and says so.
        let mut acts = vec![Act::Confirm(asked)];
        if !self.suspect {
            self.suspect = true;
            self.suspect_for = 0;
            acts.push(Act::Suspect("its census differs from the store's"));
            acts.extend(self.ask(true));
        } else if self.suspect_for < SUSPECT_AT_MOST {
            self.suspect_for += 1;
        } else {
            self.suspect_for = 0;
            acts.extend(self.ask(true));
        }
        acts
    }

    fn on_push(&mut self, phase: Phase, epoch: &Epoch, follows: &str, change: Change) -> Vec<Act> {
        self.phase = phase;
        let staged_epoch = match &self.phase {
            Phase::Reading { head } => Some(&head.epoch),
            Phase::Replaying { staged, .. } | Phase::Verifying { staged } => {
                Some(&staged.head.epoch)
            }
            Phase::Away
            | Phase::Asking { .. }
            | Phase::CatchingUp { .. }
            | Phase::Following
            | Phase::LookingBack
            | Phase::Lost
            | Phase::Uninitialised => self.watermark.as_ref().map(|watermark| &watermark.epoch),
        };
        // A change of another history says nothing of this one, but that it may have ended.
        if staged_epoch != Some(epoch) {
            let begins = matches!(change.subject, Subject::Created | Subject::Succeeded);
            return begins.then_some(Act::ReadHead).into_iter().collect();
        }
        let followed = self.watermark.as_ref().filter(|watermark| watermark.epoch == *epoch);
        let at = followed.map(|watermark| watermark.position.revision);
        if at.is_some_and(|at| change.revision <= at) {
            return Vec::new();
        }
        match (&self.phase, followed.cloned()) {
            (Phase::Following, Some(watermark)) => {
                let is_next = change.revision == watermark.position.revision.next();
                if is_next && follows == watermark.log_id {
                    return vec![self.advance(watermark, change)];
                }
                let mut acts = self.gap(&watermark, change.revision);
                acts.extend(ahead(change));
                acts
            }
            (Phase::CatchingUp { anchored }, _) => {
                let anchored = *anchored;
                self.heard = self.heard.max(change.revision);
                ahead(change).filter(|_| anchored).into_iter().collect()
            }
            (
                Phase::Reading { .. } | Phase::Replaying { .. } | Phase::Verifying { .. },
                watermark,
            ) => {
                self.heard = self.heard.max(change.revision);
                ahead(change).filter(|_| watermark.is_some()).into_iter().collect()
            }
            // Before the head is known, a change may be of another history.
            (
                Phase::Away
                | Phase::Asking { .. }
                | Phase::Following
                | Phase::LookingBack
                | Phase::Lost
                | Phase::Uninitialised,
                _,
            ) => Vec::new(),
        }
    }

    /// Applies what was missed. The first entry must be exactly the watermark: the anchor.
    fn catch_up(&mut self, entries: Vec<Change>) -> Vec<Act> {
        let Some(mut watermark) = self.watermark.clone() else { return self.ask(false) };
        let is_whole_page = entries.len() >= LOG_PAGE;
        let mut entries = entries.into_iter();
        let at = watermark.position.revision;
        match entries.next() {
            Some(anchor) if anchor.revision == at && anchor.log_id == watermark.log_id => {}
            Some(other) if other.revision <= at => return self.lose(Loss::Diverged, None),
            // While two servers called themselves master, the log that stayed may have come to this
            // revision earlier, by the clock, than the one that was followed.
            Some(_) | None => {
                self.phase = Phase::LookingBack;
                return vec![Act::ReadLog(String::new())];
            }
        }
        self.lost = None;
        let mut acts = vec![Act::Believe];
        for entry in entries {
            if entry.revision != watermark.position.revision.next() {
                acts.extend(self.ask(true));
                return acts;
            }
            acts.push(self.advance(watermark, entry));
            match &self.watermark {
                Some(moved) => watermark = moved.clone(),
                None => return self.ask(false),
            }
        }
        let moved = watermark.position.revision > at;
        if is_whole_page || (moved && self.heard > watermark.position.revision) {
            acts.extend(self.ask_log(true));
        } else if self.heard > watermark.position.revision {
            // The log does not have what was heard of. The next heartbeat looks again.
            self.heard = watermark.position.revision;
            self.phase = Phase::Following;
        } else {
            self.phase = Phase::Following;
            acts.push(Act::ReadHead);
        }
        acts
    }

    /// Tells why the log has not got the watermark, by what it has from its beginning on.
    fn look_back(&mut self, entries: &[Change]) -> Vec<Act> {
        let at = self.watermark.as_ref().map(|watermark| watermark.position.revision);
        match entries.first() {
            Some(oldest) if Some(oldest.revision) <= at => self.lose(Loss::Diverged, None),
            // The log no longer reaches back to it.
            Some(_) | None => self.ask(true),
        }
    }

    /// Brings the staged picture up to the end of the log.
    fn replay(&mut self, mut staged: Staged, up_to: Revision, entries: Vec<Change>) -> Vec<Act> {
        if entries.is_empty() && up_to <= staged.revision {
            // Somebody emptied the log. If the head is still the same, nothing was missed.
            self.phase = Phase::Verifying { staged };
            return vec![Act::ReadHead];
        }
        let is_whole_page = entries.len() >= LOG_PAGE;
        let mut entries = entries.into_iter();
        let anchored = entries.next().is_some_and(|anchor| {
            anchor.revision == staged.revision && anchor.log_id == staged.log_id
        });
        if !anchored {
            return self.disagree("the log was trimmed while the snapshot was read");
        }
        let mut acts = Vec::new();
        for entry in entries {
            if entry.revision != staged.revision.next() {
                return self.disagree("the log has a hole");
            }
            staged.revision = entry.revision;
            staged.log_id.clone_from(&entry.log_id);
            acts.push(Act::Stage(entry));
        }
        if is_whole_page {
            acts.extend(self.read_on(staged, up_to));
        } else if staged.revision < up_to {
            return self.disagree("the log ends before the newest revision");
        } else {
            self.phase = Phase::Verifying { staged };
            acts.push(Act::ReadHead);
        }
        acts
    }

    /// Compares the staged picture with the store's own count and digest.
    fn verify(&mut self, staged: Staged, answer: HeadAnswer) -> Vec<Act> {
        let HeadAnswer { head, ours, asked, floor } = answer;
        let Some(head) = head else { return self.ask(true) };
        if head.epoch != staged.head.epoch || head.revision < floor {
            return self.ask(true);
        }
        if head.revision < staged.revision {
            // Asked before the log was read to its end.
            self.phase = Phase::Verifying { staged };
            return vec![Act::ReadHead];
        }
        // What was heard meanwhile is in the old picture already, and must be in the new one.
        let up_to = head.revision.max(self.heard);
        if up_to > staged.revision {
            return self.read_on(staged, up_to);
        }
        if head.log_id != staged.log_id || ours != Some(head.restricted) {
            return self.disagree("the restricted set does not agree with its count and digest");
        }
        self.generation += 1;
        let position = Position { generation: self.generation, revision: staged.revision };
        let watermark = Watermark { position, epoch: head.epoch, log_id: staged.log_id };
        self.watermark = Some(watermark.clone());
        self.disagreed = 0;
        self.lost = None;
        self.phase = Phase::Following;
        let trust = std::mem::take(&mut self.suspect).then_some(Act::Trust);
        [Act::Install(watermark), Act::Confirm(asked)].into_iter().chain(trust).collect()
    }

    fn take_snapshot(&mut self, head: Head) -> Vec<Act> {
        // What was heard of another history says nothing of this one.
        if self.watermark.as_ref().is_some_and(|watermark| watermark.epoch != head.epoch) {
            self.heard = Revision::default();
        }
        self.phase = Phase::Reading { head: head.clone() };
        vec![Act::ReadSnapshot(self.generation + 1, head)]
    }

    fn read_on(&mut self, staged: Staged, up_to: Revision) -> Vec<Act> {
        let from = staged.log_id.clone();
        self.phase = Phase::Replaying { staged, up_to };
        vec![Act::ReadLog(from)]
    }

    /// A snapshot that does not fit is thrown away; after some of them, so is the session.
    fn disagree(&mut self, why: &'static str) -> Vec<Act> {
        self.disagreed += 1;
        if self.disagreed < SNAPSHOT_TRIES {
            return self.ask(true);
        }
        self.disagreed = 0;
        self.phase = Phase::Away;
        vec![Act::Reconnect(why)]
    }

    fn gap(&mut self, watermark: &Watermark, got: Revision) -> Vec<Act> {
        self.heard = self.heard.max(got);
        let expected = watermark.position.revision.next();
        let mut acts = vec![Act::Gap { expected, got }];
        acts.extend(self.ask_log(true));
        acts
    }

    fn ask(&mut self, snapshot: bool) -> Vec<Act> {
        self.phase = Phase::Asking { snapshot };
        let doubt = snapshot && self.watermark.is_some() && !self.suspect;
        self.suspect |= doubt;
        let doubt = doubt.then_some(Act::Suspect("the log no longer reaches back to it"));
        doubt.into_iter().chain([Act::ReadHead]).collect()
    }

    fn ask_log(&mut self, anchored: bool) -> Vec<Act> {
        self.phase = Phase::CatchingUp { anchored };
        let from = self.watermark.as_ref().map(|watermark| watermark.log_id.clone());
        vec![Act::ReadLog(from.unwrap_or_default())]
    }

    /// What `head` says is not what was followed here.
    fn lose(&mut self, loss: Loss, head: Option<Head>) -> Vec<Act> {
        self.phase = Phase::Lost;
        // Told once, however often it is found again.
        let is_news = self.lost.replace(loss) != Some(loss);
        let mut acts: Vec<_> = is_news.then_some(Act::Lost(loss)).into_iter().collect();
        match (self.on_loss, loss, head) {
            // No other store will do, whatever is lost.
            (OnLoss::Keep, _, _) | (OnLoss::Adopt, Loss::NotExpected, _) => {}
            (OnLoss::Adopt, Loss::Empty, _) => {
                self.watermark = None;
                self.phase = Phase::Uninitialised;
                acts.push(Act::Uninitialised);
            }
            (OnLoss::Adopt, _, Some(head)) => acts.extend(self.take_snapshot(head)),
            (OnLoss::Adopt, _, None) => acts.extend(self.ask(true)),
        }
        acts
    }

    /// Reads what came out of the history that was followed here. The old picture keeps answering
    /// until the new one is whole.
    fn follow_successor(&mut self, head: Head) -> Vec<Act> {
        let doubt = !std::mem::replace(&mut self.suspect, true);
        let doubt = doubt.then_some(Act::Suspect("its history was succeeded by another"));
        doubt.into_iter().chain(self.take_snapshot(head)).collect()
    }

    fn advance(&mut self, watermark: Watermark, change: Change) -> Act {
        let position = Position { revision: change.revision, ..watermark.position };
        let moved = Watermark { position, log_id: change.log_id.clone(), ..watermark };
        self.watermark = Some(moved.clone());
        Act::Apply(change, moved)
    }
}

/// What of a change may be applied before the changes between are known: that it restricts. A lift
/// can wait, and must: the store may turn out to be another one.
fn ahead(change: Change) -> Option<Act> {
    let restricts = match &change.subject {
        Subject::Customer(changed) => !changed.restrictions.is_empty(),
        Subject::Key { stored, .. } => stored.is_none(),
        Subject::Unreadable(_) => true,
        Subject::Conflict { .. }
        | Subject::Created
        | Subject::Fleet { .. }
        | Subject::Source { .. }
        | Subject::Succeeded => false,
    };
    restricts.then_some(Act::ApplyAhead(change))
}

/// The word for having no session.
pub const DISCONNECTED: &str = "disconnected";
/// The word for hearing every change.
pub const FOLLOWING: &str = "following";
/// The word for waiting for somebody to create the store.
pub const UNINITIALISED: &str = "uninitialised";
/// The word for reading everything anew.
pub const SNAPSHOT: &str = "snapshot";
/// The word for reading what was missed.
pub const CATCHING_UP: &str = "catching_up";
/// How many log entries are read at once.
pub const LOG_PAGE: usize = 500;
const SNAPSHOT_TRIES: u32 = 3;
/// How many heartbeats a picture stays suspect before it is read anew.
const SUSPECT_AT_MOST: u32 = 60;

#[cfg(test)]
mod tests;
