//! Follows the partitions of one session to its end. [`machine`] says what is to be done about
//! what happens; this does it.

mod inspection;
mod unheard;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    task::JoinSet,
    time::{Interval, MissedTickBehavior},
};

use self::inspection::INSPECT_EVERY;
use super::{
    Creation, FIRST_PAUSE, Feed, Rights,
    acknowledged::Kept,
    applied::Applied,
    machine::{self, Act, Event, LOG_PAGE, Loss, Machine, OnLoss},
    remnant::Remnant,
    repair::{NotRewritten, Rewritten},
    require_partitions,
    succession::Lost,
    tally,
};
use crate::{
    cache::Picture,
    clock::{Moment, jittered},
    domain::{
        Change, Epoch, Inherited, Partition, Revision, Subject, Token, Watermark,
        fleet::FleetShadow,
    },
    lifecycle::Latch,
    store::{Head, Push, RestrictedEntry, Session, SessionReader, StoreError, Tally},
    telemetry::{
        Metrics, StoreCommand,
        event::{
            ChangesForgotten, FeedCaughtUp, FeedGap, PictureSuspect, PictureTrusted,
            RestrictedUnreadable, SnapshotBegun, SnapshotInstalled, StoreLost, StoreTrusted,
            StoreUninitialised, SuccessionFailed,
        },
    },
};

/// What is known of one partition between its sessions.
#[expect(clippy::struct_excessive_bools, reason = "each answers a question of its own")]
pub(super) struct Part {
    pub(super) number: Partition,
    machine: Machine,
    /// Whether this process has found in the store the history that is followed here.
    proven: bool,
    staged: Option<Arc<Picture>>,
    /// What was applied to the staged picture.
    staged_changes: Vec<Change>,
    /// Those log entries of the staged picture's history that came after where it and the one that
    /// was followed here parted.
    staged_log: Vec<Change>,
    /// What was applied lately.
    applied: Arc<Mutex<Applied>>,
    /// Whether something is being done about a store that is not believed.
    amending: bool,
    /// Whether the newest session came as far as hearing every change.
    pub(super) followed: bool,
    /// How long to rest before the next session.
    pub(super) pause: Duration,
    /// Whether the store's restricted set turned out not to be what the store counts.
    pub(super) damaged: bool,
    /// Whether it is being written anew from memory.
    rewriting: bool,
}

impl Part {
    pub(super) fn new(number: Partition, feed: &Feed) -> Self {
        let among = usize::from(feed.store.partitions().count());
        Self {
            number,
            machine: Machine::new(feed.on_loss, feed.expect_epoch.clone()),
            proven: false,
            staged: None,
            staged_changes: Vec::new(),
            staged_log: Vec::new(),
            applied: Arc::new(Mutex::new(Applied::new((REMEMBERED / among).max(REMEMBERED_LEAST)))),
            amending: false,
            followed: false,
            pause: FIRST_PAUSE,
            damaged: false,
            rewriting: false,
        }
    }

    fn stage(&mut self, picture: Option<Arc<Picture>>) {
        if let Some(given_up) = std::mem::replace(&mut self.staged, picture) {
            given_up.free();
        }
        self.staged_changes.clear();
        self.staged_log.clear();
    }
}

/// Follows the partitions of one session.
pub(super) struct Follower<'a> {
    feed: &'a Feed,
    parts: Vec<Part>,
    latch: &'a Mutex<Option<Latch>>,
}

/// One session's questions under way.
struct Asked {
    reader: SessionReader,
    answers: JoinSet<Answer>,
    /// Heartbeats without an answer.
    unanswered: u32,
    /// Changes of keys heard in this session, to tell whether a reading of them is the newest.
    keys_changed: u64,
    /// When the restricted sets are looked at.
    inspection: Interval,
    /// Whether that is going on.
    inspecting: bool,
    /// Whether the store is being asked for what was not heard of.
    looking: bool,
}

enum Answer {
    Amended(Partition, Result<(), StoreError>),
    Created(Result<(), StoreError>),
    /// When it was asked for, of whom and how far they were then, and what the store said.
    Heads(Moment, Vec<(Partition, Revision)>, Result<Vec<Option<Head>>, StoreError>),
    Counted(Result<(), StoreError>),
    Keys(u64, Result<Hashes, StoreError>),
    Log(Partition, Result<Vec<Change>, StoreError>),
    Rewritten(Partition, Result<Rewritten, NotRewritten>),
    SnapshotRead(Partition, Result<Vec<Change>, StoreError>),
    Unheard(Result<Vec<(Push, Option<Kept>)>, StoreError>),
    Tallies(Result<Vec<(Partition, Option<Tally>)>, StoreError>),
}

/// The operators' keys, and what the guard says of sources: name and JSON.
type Hashes = (Vec<(String, String)>, Vec<(String, String)>);

impl<'a> Follower<'a> {
    pub(super) fn new(
        feed: &'a Feed,
        mut parts: Vec<Part>,
        latch: &'a Mutex<Option<Latch>>,
    ) -> Self {
        for part in &mut parts {
            part.followed = false;
            part.rewriting = false;
        }
        Self { feed, parts, latch }
    }

    /// Gives the partitions back. Their machines have nothing to ask of nobody.
    pub(super) fn leave(mut self) -> Vec<Part> {
        for part in &mut self.parts {
            self.feed.cache.end_session(part.number);
            let _ = part.machine.on(Event::Disconnected);
            part.stage(None);
            part.amending = false;
        }
        self.parts
    }

    /// Follows one session to its end, and says why it ended.
    pub(super) async fn follow(&mut self, session: Session) -> StoreError {
        let Session { mut pushes, reader } = session;
        let answers = JoinSet::new();
        let mut inspection = tokio::time::interval(jittered(INSPECT_EVERY));
        inspection.reset();
        let mut asked = Asked {
            reader,
            answers,
            unanswered: 0,
            keys_changed: 0,
            inspection,
            inspecting: false,
            looking: false,
        };
        let (mut alarm, mut bell) = (self.feed.alarm.listen(), self.feed.acknowledged.listen());
        // Not all instances in step.
        let period = self.feed.heartbeat.mul_f64(0.9 + 0.2 * fastrand::f64());
        let mut heartbeat = tokio::time::interval(period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        for part in &mut self.parts {
            if let Some(booted) = self.feed.cache.begin_session(part.number) {
                part.machine.resume(booted);
            }
        }
        for number in self.numbers() {
            if let Err(error) = self.step(&mut asked, number, Event::Connected) {
                return error;
            }
        }
        loop {
            let stepped = tokio::select! {
                biased;
                push = pushes.recv() => match push {
                    Some(push) => self.hear(&mut asked, push),
                    None => Err(asked.reader.end()),
                },
                Some(answer) = asked.answers.join_next() => {
                    // Pushes and answers share one ordered socket, so what was published before
                    // this answer was sent is already here, and is applied first.
                    let mut heard = Ok(());
                    while let (Ok(()), Ok(push)) = (&heard, pushes.try_recv()) {
                        heard = self.hear(&mut asked, push);
                    }
                    heard.and_then(|()| match answer {
                        Ok(answer) => self.take(&mut asked, answer),
                        Err(error) => Err(StoreError::Unexpected(error.to_string())),
                    })
                }
                _ = heartbeat.tick() => self.beat(&mut asked),
                Ok(()) = bell.changed() => {
                    self.tell_heard(&mut asked, false);
                    Ok(())
                }
                Ok(()) = alarm.changed() => {
                    self.inspect(&mut asked);
                    Ok(())
                }
                _ = asked.inspection.tick() => {
                    self.inspect(&mut asked);
                    Ok(())
                }
            };
            if let Err(error) = stepped {
                return error;
            }
        }
    }

    fn beat(&mut self, asked: &mut Asked) -> Result<(), StoreError> {
        if asked.unanswered >= HEARTBEATS_MISSED {
            let error = "two heartbeats in a row were not answered";
            return Err(StoreError::Unreachable(error.to_owned()));
        }
        asked.unanswered += 1;
        self.ask_heads(asked, &self.numbers());
        self.tell_heard(asked, true);
        let lost = self.parts.iter().filter_map(|part| Some((part.number, part.machine.lost()?)));
        for (partition, loss) in lost.collect::<Vec<_>>() {
            self.amend(asked, partition, loss);
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<Partition> {
        self.parts.iter().map(|part| part.number).collect()
    }

    fn part(&mut self, number: Partition) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.number == number)
    }

    fn hear(&mut self, asked: &mut Asked, push: Push) -> Result<(), StoreError> {
        let Push { partition, epoch, follows, change } = push;
        self.step(asked, partition, Event::Push { epoch, follows, change })
    }

    fn take(&mut self, asked: &mut Asked, answer: Answer) -> Result<(), StoreError> {
        match answer {
            Answer::Amended(partition, amended) => {
                if let Err(error) = amended {
                    SuccessionFailed { error }.emit(&self.feed.metrics);
                }
                if let Some(part) = self.part(partition) {
                    part.amending = false;
                }
                self.ask_heads(asked, &[partition]);
                Ok(())
            }
            Answer::Created(created) => {
                created?;
                self.ask_heads(asked, &self.numbers());
                Ok(())
            }
            Answer::Heads(moment, of, heads) => {
                asked.unanswered = 0;
                for ((partition, floor), head) in of.into_iter().zip(heads?) {
                    self.take_head(asked, partition, moment, floor, head)?;
                }
                Ok(())
            }
            Answer::Keys(changed_before, keys) => {
                let (keys, sources) = keys?;
                if changed_before == asked.keys_changed {
                    self.feed.keyring.replace(&keys);
                    self.feed.guard.iter().for_each(|guard| guard.replace(&sources));
                    self.release_when_whole();
                } else {
                    self.ask_keys(asked);
                }
                Ok(())
            }
            Answer::Counted(counted) => counted,
            Answer::Log(partition, entries) => self.step(asked, partition, Event::Log(entries?)),
            Answer::Rewritten(partition, rewritten) => {
                self.take_rewritten(asked, partition, rewritten);
                Ok(())
            }
            Answer::SnapshotRead(partition, read) => {
                let staged_log = read?;
                if let Some(part) = self.part(partition) {
                    part.staged_log = staged_log;
                }
                self.step(asked, partition, Event::SnapshotRead)
            }
            Answer::Unheard(looked_for) => {
                self.take_unheard(asked, looked_for);
                Ok(())
            }
            Answer::Tallies(tallies) => {
                self.take_tallies(asked, tallies);
                Ok(())
            }
        }
    }

    fn take_head(
        &mut self,
        asked: &mut Asked,
        partition: Partition,
        moment: Moment,
        floor: Revision,
        head: Option<Head>,
    ) -> Result<(), StoreError> {
        if let Some(head) = &head {
            require_partitions(Some(self.feed.store.partitions()), head.partitions)?;
        }
        let staged = self.part(partition).and_then(|part| part.staged.as_ref());
        let staged = staged.map(|picture| picture.census());
        let ours = staged.or_else(|| self.feed.cache.census(partition));
        let disagrees = staged.is_some() && head.as_ref().map(|head| head.restricted) != staged;
        if let (Some(head), Some(picture)) = (&head, self.feed.cache.picture(partition))
            && head.epoch == picture.epoch
        {
            picture.partial.store(head.partial, Ordering::Relaxed);
            self.feed.cache.hear_head(partition, head.revision);
        }
        let said = head.as_ref().map(|head| (head.epoch.clone(), head.revision, head.fleet));
        let stepped = self.step(asked, partition, Event::Head { head, ours, asked: moment, floor });
        self.hear_fleet(partition, said);
        // Read more than once, and never what the store itself counts.
        if disagrees && stepped.is_err() {
            self.feed.tell_restricted(partition, true);
            if let Some(part) = self.part(partition) {
                part.damaged = true;
            }
        }
        stepped
    }

    /// What a head says of the whole fleet counts once its history is the one followed here.
    fn hear_fleet(
        &mut self,
        partition: Partition,
        said: Option<(Epoch, Revision, Option<FleetShadow>)>,
    ) {
        let follows = self.part(partition).is_some_and(|part| part.machine.is_following());
        let Some((epoch, revision, shadow)) = said.filter(|_| follows) else { return };
        let watermark = self.feed.cache.watermark(partition);
        if partition == Partition(0) && watermark.is_some_and(|it| it.epoch == epoch) {
            self.feed.fleet.hear(&epoch, revision, shadow);
        }
    }

    /// Gives the machine an event, and does what it says.
    fn step(
        &mut self,
        asked: &mut Asked,
        partition: Partition,
        event: Event,
    ) -> Result<(), StoreError> {
        let Some(Part { machine, .. }) = self.part(partition) else { return Ok(()) };
        let before = machine.phase();
        let acts = machine.on(event);
        let (phase, is_following) = (machine.phase(), machine.is_following());
        if is_following && before == machine::CATCHING_UP {
            FeedCaughtUp.emit(&self.feed.metrics);
        }
        for act in acts {
            self.perform(asked, partition, act)?;
        }
        if let Some(part) = self.part(partition) {
            part.followed |= is_following;
            if phase != machine::SNAPSHOT {
                part.stage(None);
            }
        }
        let is_new = is_following && before != machine::FOLLOWING;
        if is_new {
            // A picture may have brought what somebody waits for.
            self.tell_heard(asked, true);
        }
        if is_new && self.feed.status.borrow().of(partition).restricted_lost {
            self.inspect(asked);
        }
        self.feed.tell(partition, |status| {
            status.phase = phase;
            if is_following && status.lost.take().is_some() {
                StoreTrusted.emit(&self.feed.metrics);
            }
        });
        Ok(())
    }

    fn perform(
        &mut self,
        asked: &mut Asked,
        partition: Partition,
        act: Act,
    ) -> Result<(), StoreError> {
        let metrics = &self.feed.metrics;
        match act {
            Act::Apply(change, watermark) => self.apply(asked, partition, &change, watermark),
            Act::ApplyAhead(change) => {
                self.hear_key(asked, &change);
                if let Some(watermark) = self.feed.cache.watermark(partition) {
                    self.remember(partition, &watermark.epoch, &change);
                }
                self.feed.cache.apply_ahead(partition, &change);
                self.feed.journal.applied_ahead(partition, &change);
            }
            Act::Believe => {
                self.prove(partition);
                self.feed.cache.set_believed(partition, true);
                if partition == Partition(0) {
                    self.ask_keys(asked);
                }
            }
            Act::Confirm(moment) => {
                self.feed.cache.confirm(partition, moment);
                self.release_when_whole();
            }
            Act::Gap { expected, got } => FeedGap { partition, expected, got }.emit(metrics),
            Act::Install(watermark) => self.install(asked, partition, watermark),
            Act::Lost(loss) => {
                self.lose(partition, loss);
                self.amend(asked, partition, loss);
            }
            Act::ReadHead => self.ask_heads(asked, &[partition]),
            Act::ReadLog(from) => {
                let reader = asked.reader.clone();
                asked.answers.spawn(async move {
                    Answer::Log(partition, reader.log(partition, &from, LOG_PAGE).await)
                });
            }
            Act::ReadSnapshot(generation, head) => {
                SnapshotBegun.emit(metrics);
                let picture = Arc::new(Picture::of(generation, head));
                let parted = self.where_parted(partition, &picture);
                let (reader, metrics) = (asked.reader.clone(), metrics.clone());
                if let Some(part) = self.part(partition) {
                    part.stage(Some(Arc::clone(&picture)));
                }
                // What makes one instance read everything makes all of them do so.
                let spread = if generation > 1 { RESNAPSHOT_SPREAD } else { SNAPSHOT_SPREAD };
                let pause = spread.mul_f64(fastrand::f64());
                asked.answers.spawn(async move {
                    tokio::time::sleep(pause).await;
                    let read = read_snapshot(&reader, partition, &picture, parted, &metrics).await;
                    Answer::SnapshotRead(partition, read)
                });
            }
            Act::Reconnect(why) => return Err(StoreError::Unexpected(why.to_owned())),
            Act::Stage(change) => self.stage(asked, partition, &change),
            Act::Suspect(why) => {
                PictureSuspect { why }.emit(metrics);
                self.feed.cache.set_suspect(partition, true);
                self.feed.tell(partition, |status| status.suspect = true);
            }
            Act::Trust => {
                PictureTrusted.emit(metrics);
                self.feed.cache.set_suspect(partition, false);
                self.feed.tell(partition, |status| status.suspect = false);
            }
            Act::Uninitialised => self.begin(asked),
        }
        Ok(())
    }

    fn apply(
        &mut self,
        asked: &mut Asked,
        partition: Partition,
        change: &Change,
        watermark: Watermark,
    ) {
        // First, since the watermark tells that the change has taken effect.
        self.hear_key(asked, change);
        // Whoever asked for it no longer counts it once they are told that it is kept.
        self.feed.guard.iter().for_each(|guard| guard.hear(change));
        self.remember(partition, &watermark.epoch, change);
        let is_it = |it: &Push| it.epoch == watermark.epoch && it.change.log_id == change.log_id;
        self.feed.acknowledged.answer(partition, Kept::There, is_it);
        if let Subject::Fleet { shadow } = change.subject {
            self.feed.fleet.hear(&watermark.epoch, change.revision, shadow);
        }
        let withholds = self.withholds(partition);
        let epoch = watermark.epoch.clone();
        self.feed.cache.apply(partition, change, watermark);
        self.feed.changes.applied(partition, &epoch, change);
        self.feed.journal.applied(partition, change, withholds);
        self.feed.metrics.feed_changes.increment(1);
        if let Some(committed_at) = change.committed_at() {
            let took = self.feed.clock.now().saturating_since(committed_at);
            self.feed.metrics.change_effect.record(took);
        }
    }

    fn stage(&mut self, asked: &mut Asked, partition: Partition, change: &Change) {
        self.hear_key(asked, change);
        let Some(part) = self.part(partition) else { return };
        part.staged_changes.push(change.clone());
        if let (Some(picture), Some(entry)) = (&part.staged, RestrictedEntry::left_by(change)) {
            picture.offer(entry);
        }
    }

    fn remember(&self, partition: Partition, epoch: &Epoch, change: &Change) {
        if let Some(part) = self.parts.iter().find(|part| part.number == partition) {
            part.applied.lock().keep(epoch, change);
        }
    }

    /// The history that is followed here was found in the store: from here on the two can be
    /// compared.
    fn prove(&mut self, partition: Partition) {
        let Some(watermark) = self.feed.cache.watermark(partition) else { return };
        if self.feed.on_loss == OnLoss::Adopt
            && let Some(picture) = self.feed.cache.picture(partition)
        {
            // Another process may have left it that did not believe the store always.
            picture.withheld.set(Vec::new());
        }
        let Some(part) = self.part(partition) else { return };
        if !std::mem::replace(&mut part.proven, true) {
            part.applied.lock().keep(&watermark.epoch, &newest_at(&watermark));
        }
    }

    /// Whether anything is withheld there that a change may end.
    fn withholds(&self, partition: Partition) -> bool {
        self.feed.cache.picture(partition).is_some_and(|picture| !picture.withheld.is_empty())
    }

    /// A change of a key or a source takes effect at once; a reading of all of them that began
    /// before it is void.
    fn hear_key(&self, asked: &mut Asked, change: &Change) {
        match (&change.subject, &self.feed.guard) {
            (Subject::Key { id, stored }, _) => {
                asked.keys_changed += 1;
                self.feed.keyring.change(id, stored.as_deref());
            }
            (Subject::Source { source, stored }, Some(guard)) => {
                asked.keys_changed += 1;
                guard.change(source, stored);
            }
            _ => {}
        }
    }

    fn install(&mut self, asked: &mut Asked, partition: Partition, watermark: Watermark) {
        let Some(part) = self.part(partition) else { return };
        let Some(picture) = part.staged.take() else { return };
        let (applied, changes) =
            (Arc::clone(&part.applied), std::mem::take(&mut part.staged_changes));
        let since_parted = std::mem::take(&mut part.staged_log);
        let proven = std::mem::replace(&mut part.proven, true);
        self.withhold(partition, &picture, &applied.lock(), &since_parted, proven);
        // Somebody who was here earlier may have written something back already.
        for change in since_parted.iter().chain(&changes) {
            picture.withheld.hear_earlier(change);
        }
        for change in [&newest_at(&watermark)].into_iter().chain(&changes) {
            applied.lock().keep(&watermark.epoch, change);
        }
        let customers = picture.census().count;
        let (epoch, revision) = (watermark.epoch.clone(), watermark.position.revision);
        self.feed.cache.install(partition, picture, watermark);
        self.feed.changes.replaced(Token { epoch, partition, revision });
        self.feed.journal.replaced();
        if partition == Partition(0) {
            self.ask_keys(asked);
        }
        self.count_again(asked, partition);
        SnapshotInstalled { customers }.emit(&self.feed.metrics);
        // It is what the store counts.
        self.feed.tell_restricted(partition, false);
        self.release_when_whole();
    }

    /// Hands on to a new picture what the old one withholds, and what the history that it is of
    /// lost of the one before.
    fn withhold(
        &self,
        partition: Partition,
        picture: &Picture,
        applied: &Applied,
        since_parted: &[Change],
        proven: bool,
    ) {
        let cache = &self.feed.cache;
        let (Some(old), Some(before)) = (cache.picture(partition), cache.watermark(partition))
        else {
            return;
        };
        let keeps = self.feed.on_loss == OnLoss::Keep;
        let mut acts = if keeps { old.withheld.list() } else { Vec::new() };
        if before.epoch != picture.epoch {
            match picture.lineage.inherited(&before.epoch) {
                Some(Inherited::UpTo(common)) if keeps => {
                    let mut missing = applied.missing(partition, &before, common, since_parted);
                    // What was applied before the oldest act that is remembered, or in another
                    // process, only the picture tells.
                    if missing.untold > 0 || !proven {
                        let now = self.feed.clock.now();
                        let before = &before;
                        let common =
                            if proven { common } else { common_with(before, since_parted, common) };
                        let remnant = Remnant { partition, before, common, since_parted, now };
                        remnant.add(&old, picture, &mut missing);
                    }
                    if missing.others > 0 || !missing.acts.is_empty() {
                        let (acts, others) = (missing.acts.len(), missing.others);
                        ChangesForgotten { acts, others }.emit(&self.feed.metrics);
                    }
                    acts.extend(missing.acts);
                }
                // The store is right, whatever was known here.
                Some(_) | None => acts.clear(),
            }
        }
        picture.withheld.set(acts);
    }

    /// Where the history of a new picture and the one that is followed here parted, if they did:
    /// the last revision in common, and its log entry.
    fn where_parted(&self, partition: Partition, picture: &Picture) -> Option<(Revision, String)> {
        let before = self.feed.cache.watermark(partition)?;
        match picture.lineage.inherited(&before.epoch)? {
            Inherited::Instead => None,
            Inherited::UpTo(common) => {
                let part = self.parts.iter().find(|part| part.number == partition)?;
                if !part.proven {
                    // With the entry of the watermark, which may be another one there.
                    let at = before.position.revision;
                    return Some((Revision(common.min(at).0.saturating_sub(1)), String::new()));
                }
                Some((common, part.applied.lock().log_id_of(&before.epoch, common)))
            }
        }
    }

    /// Does about a store that is not believed what can be done without an operator.
    fn amend(&mut self, asked: &mut Asked, partition: Partition, loss: Loss) {
        let watermark = self.feed.cache.watermark(partition);
        let (Some(watermark), Rights::ReadWrite) = (watermark, self.feed.rights) else { return };
        // What an earlier process left cannot be compared with a store that went another way: it
        // does not tell where they parted.
        let proven = self.parts.iter().any(|part| part.number == partition && part.proven);
        if matches!(loss, Loss::Diverged | Loss::Shorter) && !proven {
            return;
        }
        // An empty store that is believed may be begun anew by anybody.
        if loss == Loss::Empty && self.feed.on_loss == OnLoss::Adopt {
            return;
        }
        let (store, metrics) = (self.feed.store.clone(), self.feed.metrics.clone());
        let Some(part) = self.part(partition).filter(|part| !part.amending) else { return };
        part.amending = true;
        let (applied, reader) = (Arc::clone(&part.applied), asked.reader.clone());
        let history = Lost { store, metrics, reader, partition, watermark, applied };
        asked.answers.spawn(async move { Answer::Amended(partition, history.amend(loss).await) });
    }

    /// Lets traffic in once every partition's picture and the keys are in memory, and the records
    /// if all of them are kept.
    fn release_when_whole(&mut self) {
        if self.feed.keyring.is_read()
            && self.feed.cache.decides()
            && self.feed.cache.is_complete()
            && let Some(latch) = self.latch.lock().take()
        {
            latch.release();
        }
    }

    fn lose(&self, partition: Partition, loss: Loss) {
        StoreLost { why: loss.as_str() }.emit(&self.feed.metrics);
        self.feed.cache.set_believed(partition, false);
        self.feed.tell(partition, |status| status.lost = Some(loss.as_str()));
    }

    /// Begins the history of a store that was emptied before it was read, if that is allowed.
    fn begin(&mut self, asked: &mut Asked) {
        if self.feed.creation == Creation::Never {
            StoreUninitialised.emit(&self.feed.metrics);
            return;
        }
        // It was not empty before, as the picture of another partition tells.
        if self.feed.on_loss == OnLoss::Keep && self.feed.cache.has_picture() {
            return;
        }
        let (store, metrics) = (self.feed.store.clone(), self.feed.metrics.clone());
        let partitions = store.partitions();
        let created = super::create(store, metrics, partitions);
        asked.answers.spawn(async move { Answer::Created(created.await) });
    }

    /// Asks for the keys, and for what the guard says of sources where that matters.
    fn ask_keys(&self, asked: &mut Asked) {
        let (reader, changed_before) = (asked.reader.clone(), asked.keys_changed);
        let is_guarded = self.feed.guard.is_some();
        asked.answers.spawn(async move {
            let read = async {
                let keys = reader.keys().await?;
                let sources = if is_guarded { reader.sources().await? } else { Vec::new() };
                Ok((keys, sources))
            };
            Answer::Keys(changed_before, read.await)
        });
    }

    fn count_again(&self, asked: &mut Asked, partition: Partition) {
        let Some(guard) = self.feed.guard.clone() else { return };
        let (reader, clock) = (asked.reader.clone(), self.feed.clock.clone());
        asked.answers.spawn(async move {
            let counted = tally::count_again(&reader, partition, &guard, &clock);
            Answer::Counted(counted.await)
        });
    }

    fn ask_heads(&self, asked: &mut Asked, partitions: &[Partition]) {
        let (reader, clock) = (asked.reader.clone(), self.feed.clock.clone());
        let (metrics, moment) = (self.feed.metrics.clone(), clock.moment());
        let of = self.parts.iter().filter(|part| partitions.contains(&part.number));
        let (partitions, floors): (Vec<_>, Vec<_>) =
            of.map(|part| (part.number, part.machine.progress())).unzip();
        asked.answers.spawn(async move {
            let heads = reader.heads(&partitions).await;
            let took = clock.moment().saturating_since(moment);
            metrics.store_command(StoreCommand::Heartbeat, took, heads.is_ok());
            Answer::Heads(moment, partitions.into_iter().zip(floors).collect(), heads)
        });
    }
}

/// The last revision that what stands at `before` has in common with a store whose log is `log`: the
/// one that the store tells, unless the log has another entry there. Then nobody knows.
fn common_with(before: &Watermark, log: &[Change], told: Revision) -> Revision {
    let at = before.position.revision;
    let is_another = |it: &Change| it.revision == at && it.log_id != before.log_id;
    if at <= told && log.iter().any(is_another) { Revision::default() } else { told }
}

/// The change that a watermark is at, of which nothing but that is known: to compare a store with.
fn newest_at(watermark: &Watermark) -> Change {
    let (revision, log_id) = (watermark.position.revision, watermark.log_id.clone());
    Change { revision, log_id, subject: Subject::Unreadable(None) }
}

/// Reads a partition's restricted set into `picture`, page by page.
pub(super) async fn read_snapshot(
    reader: &SessionReader,
    partition: Partition,
    picture: &Picture,
    parted: Option<(Revision, String)>,
    metrics: &Metrics,
) -> Result<Vec<Change>, StoreError> {
    let mut from = None;
    loop {
        let page = reader.restricted_page(partition, from.as_deref()).await?;
        for entry in page.entries {
            if entry.restrictions.is_none() {
                RestrictedUnreadable { customer: entry.key.clone() }.emit(metrics);
            }
            picture.offer(entry);
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    match parted {
        Some((common, from)) => log_entries_after(reader, partition, common, from).await,
        None => Ok(Vec::new()),
    }
}

/// The log entries after a revision, read from an entry that is not after it; from the oldest on
/// when that is not known.
async fn log_entries_after(
    reader: &SessionReader,
    partition: Partition,
    common: Revision,
    mut from: String,
) -> Result<Vec<Change>, StoreError> {
    let mut entries = Vec::new();
    loop {
        let page = reader.log(partition, &from, LOG_PAGE).await?;
        let last = page.last().filter(|_| page.len() >= LOG_PAGE).map(|last| last.log_id.clone());
        entries.extend(page.into_iter().filter(|change| change.revision > common));
        match last {
            Some(last) => from = last,
            None => return Ok(entries),
        }
    }
}

const HEARTBEATS_MISSED: u32 = 2;
/// How many applied changes an instance remembers, to tell what a store forgot.
const REMEMBERED: usize = 10_000;
/// How many of one partition at least.
const REMEMBERED_LEAST: usize = 500;
/// The longest pause before the first snapshot is read.
const SNAPSHOT_SPREAD: Duration = Duration::from_millis(50);
/// The same for a later one, during which the old picture answers.
const RESNAPSHOT_SPREAD: Duration = Duration::from_millis(500);
