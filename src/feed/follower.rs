//! Follows the partitions of one session to its end. [`machine`] says what is to be done about
//! what happens; this does it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{
    Creation, Feed,
    machine::{self, Act, Event, LOG_PAGE, Loss, Machine},
    require_partitions,
};
use crate::{
    cache::Picture,
    clock::Moment,
    domain::{Change, Partition, Revision, Subject, Watermark},
    lifecycle::Latch,
    store::{Head, Push, RestrictedEntry, Session, SessionReader, StoreError},
    telemetry::{
        Metrics,
        event::{
            FeedCaughtUp, FeedGap, PictureSuspect, PictureTrusted, RestrictedUnreadable,
            SnapshotBegun, SnapshotInstalled, StoreLost, StoreTrusted, StoreUninitialised,
        },
    },
};

/// What is known of one partition between its sessions.
pub(super) struct Part {
    pub(super) number: Partition,
    machine: Machine,
    staged: Option<Arc<Picture>>,
    /// Whether the newest session came as far as hearing every change.
    pub(super) followed: bool,
    /// How long to rest before the next session.
    pub(super) pause: Duration,
}

impl Part {
    pub(super) fn new(number: Partition, pause: Duration) -> Self {
        Self { number, machine: Machine::default(), staged: None, followed: false, pause }
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
}

enum Answer {
    Created(Result<(), StoreError>),
    /// When it was asked for, of whom and how far they were then, and what the store said.
    Heads(Moment, Vec<(Partition, Revision)>, Result<Vec<Option<Head>>, StoreError>),
    Keys(u64, Result<Vec<(String, String)>, StoreError>),
    Log(Partition, Result<Vec<Change>, StoreError>),
    SnapshotRead(Partition, Result<(), StoreError>),
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        feed: &'a Feed,
        mut parts: Vec<Part>,
        latch: &'a Mutex<Option<Latch>>,
    ) -> Self {
        for part in &mut parts {
            part.followed = false;
        }
        Self { feed, parts, latch }
    }

    /// Gives the partitions back. Their machines have nothing to ask of nobody.
    pub(super) fn leave(mut self) -> Vec<Part> {
        for part in &mut self.parts {
            let _ = part.machine.on(Event::Disconnected);
            part.staged = None;
        }
        self.parts
    }

    /// Follows one session to its end, and says why it ended.
    pub(super) async fn follow(&mut self, session: Session) -> StoreError {
        let Session { mut pushes, reader } = session;
        let answers = JoinSet::new();
        let mut asked = Asked { reader, answers, unanswered: 0, keys_changed: 0 };
        let mut heartbeat = tokio::time::interval(self.feed.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
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
                let keys = keys?;
                if changed_before == asked.keys_changed {
                    self.feed.keyring.replace(&keys);
                    self.release_when_whole();
                } else {
                    ask_keys(asked);
                }
                Ok(())
            }
            Answer::Log(partition, entries) => self.step(asked, partition, Event::Log(entries?)),
            Answer::SnapshotRead(partition, read) => {
                read?;
                self.step(asked, partition, Event::SnapshotRead)
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
        let ours = match staged {
            Some(picture) => Some(picture.census()),
            None => self.feed.cache.census(partition),
        };
        self.step(asked, partition, Event::Head { head, ours, asked: moment, floor })
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
                part.staged = None;
            }
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
                self.feed.cache.apply_ahead(partition, &change);
            }
            Act::Believe => {
                self.feed.cache.set_believed(partition, true);
                if partition == Partition(0) {
                    ask_keys(asked);
                }
            }
            Act::Confirm(moment) => self.feed.cache.confirm(partition, moment),
            Act::Gap { expected, got } => FeedGap { partition, expected, got }.emit(metrics),
            Act::Install(watermark) => self.install(asked, partition, watermark),
            Act::Lost(loss) => self.lose(partition, loss),
            Act::ReadHead => self.ask_heads(asked, &[partition]),
            Act::ReadLog(from) => {
                let reader = asked.reader.clone();
                asked.answers.spawn(async move {
                    Answer::Log(partition, reader.log(partition, &from, LOG_PAGE).await)
                });
            }
            Act::ReadSnapshot(generation, head) => {
                SnapshotBegun.emit(metrics);
                let picture = Arc::new(Picture::new(generation, head.epoch));
                let (reader, metrics) = (asked.reader.clone(), metrics.clone());
                if let Some(part) = self.part(partition) {
                    part.staged = Some(Arc::clone(&picture));
                }
                asked.answers.spawn(async move {
                    let read = read_snapshot(&reader, partition, &picture, &metrics).await;
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
        self.feed.cache.apply(partition, change, watermark);
        self.feed.metrics.feed_changes.increment(1);
        self.feed.metrics.feed_watermark.set(change.revision.0);
        if let Some(committed_at) = change.committed_at() {
            let took = self.feed.clock.now().saturating_since(committed_at);
            self.feed.metrics.change_effect.record(took);
        }
    }

    fn stage(&mut self, asked: &mut Asked, partition: Partition, change: &Change) {
        self.hear_key(asked, change);
        let staged = self.part(partition).and_then(|part| part.staged.as_ref());
        if let (Some(picture), Some(entry)) = (staged, RestrictedEntry::left_by(change)) {
            picture.offer(entry);
        }
    }

    /// A key's change takes effect at once; a reading of all keys that began before it is void.
    fn hear_key(&self, asked: &mut Asked, change: &Change) {
        if let Subject::Key { id, stored } = &change.subject {
            asked.keys_changed += 1;
            self.feed.keyring.change(id, stored.as_deref());
        }
    }

    fn install(&mut self, asked: &mut Asked, partition: Partition, watermark: Watermark) {
        let staged = self.part(partition).and_then(|part| part.staged.take());
        let Some(picture) = staged else { return };
        let customers = picture.census().count;
        self.feed.metrics.feed_watermark.set(watermark.position.revision.0);
        self.feed.cache.install(partition, picture, watermark);
        if partition == Partition(0) {
            ask_keys(asked);
        }
        SnapshotInstalled { customers }.emit(&self.feed.metrics);
        self.release_when_whole();
    }

    /// Lets traffic in once every partition's picture and the keys are in memory.
    fn release_when_whole(&mut self) {
        let is_read = |partition| self.feed.cache.watermark(partition).is_some();
        if self.feed.keyring.is_read()
            && self.feed.store.partitions().all().all(is_read)
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
        let (store, metrics) = (self.feed.store.clone(), self.feed.metrics.clone());
        let partitions = store.partitions();
        let created = super::create(store, metrics, partitions);
        asked.answers.spawn(async move { Answer::Created(created.await) });
    }

    fn ask_heads(&self, asked: &mut Asked, partitions: &[Partition]) {
        let (reader, moment) = (asked.reader.clone(), self.feed.clock.moment());
        let of = self.parts.iter().filter(|part| partitions.contains(&part.number));
        let (partitions, floors): (Vec<_>, Vec<_>) =
            of.map(|part| (part.number, part.machine.progress())).unzip();
        asked.answers.spawn(async move {
            let heads = reader.heads(&partitions).await;
            Answer::Heads(moment, partitions.into_iter().zip(floors).collect(), heads)
        });
    }
}

fn ask_keys(asked: &mut Asked) {
    let (reader, changed_before) = (asked.reader.clone(), asked.keys_changed);
    asked.answers.spawn(async move { Answer::Keys(changed_before, reader.keys().await) });
}

async fn read_snapshot(
    reader: &SessionReader,
    partition: Partition,
    picture: &Picture,
    metrics: &Metrics,
) -> Result<(), StoreError> {
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
            None => return Ok(()),
        }
    }
}

const HEARTBEATS_MISSED: u32 = 2;
