//! Follows the store for ever: subscribe, bootstrap, apply, notice gaps, catch up, reconnect.
//!
//! [`machine`] says what is to be done; this does it.

pub mod machine;
mod tally;

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::MissedTickBehavior};

use self::machine::{Act, Event, LOG_PAGE, Loss, Machine};
use crate::{
    cache::{Cache, Picture, guard::Guard, keyring::Keyring},
    clock::{Clock, Moment},
    domain::{Change, Epoch, Partition, Revision, Subject, Watermark},
    lifecycle::Latch,
    store::{
        CreateError, Head, PARTITIONS, Push, RestrictedEntry, Session, SessionReader, Store,
        StoreError,
    },
    telemetry::{
        Metrics,
        event::{
            FeedCaughtUp, FeedConnected, FeedGap, FeedLost, PictureSuspect, PictureTrusted,
            RestrictedUnreadable, SnapshotBegun, SnapshotInstalled, StoreCreated, StoreLost,
            StoreTrusted, StoreUninitialised,
        },
    },
};

/// Keeps a [`Cache`] true to a [`Store`].
#[derive(Debug)]
pub struct Feed {
    /// What is followed.
    pub store: Store,
    /// What is kept true.
    pub cache: Cache,
    /// The operators' keys, kept true likewise.
    pub keyring: Keyring,
    /// What sources restrict, kept true likewise where somebody may act.
    pub guard: Option<Guard>,
    /// Tells when a confirmation was asked for.
    pub clock: Clock,
    /// Where it is counted.
    pub metrics: Metrics,
    /// How often the store is asked whether anything was missed.
    pub heartbeat: Duration,
    /// Whether an empty store may be begun.
    pub creation: Creation,
    /// Told whenever the feed's state changes.
    pub status: watch::Sender<FeedStatus>,
}

/// Whether an instance may begin the history of an empty store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Creation {
    /// It may.
    Auto,
    /// It may not.
    Never,
}

/// How the feed stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FeedStatus {
    /// Whether there is a session.
    pub connected: bool,
    /// What the reader does.
    pub phase: &'static str,
    /// Why the store is not believed, if it is not.
    pub lost: Option<&'static str>,
    /// Whether the picture in memory is doubtful.
    pub suspect: bool,
}

impl Feed {
    /// Follows for ever. `latch` is released when the first whole picture and the keys are in
    /// memory.
    pub async fn run(self, latch: Latch) -> Infallible {
        let mut follower = Follower {
            machines: (0..PARTITIONS).map(|_| Machine::default()).collect(),
            staged: (0..PARTITIONS).map(|_| None).collect(),
            latch: Some(latch),
            followed: false,
            feed: self,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match follower.feed.store.open_session().await {
                Ok(session) => {
                    FeedConnected.emit(&follower.feed.metrics);
                    follower.tell(|status| status.connected = true);
                    let error = follower.follow(session).await;
                    if std::mem::take(&mut follower.followed) {
                        pause = FIRST_PAUSE;
                    }
                    error
                }
                Err(error) => error,
            };
            for number in 0..PARTITIONS {
                follower.disconnect(Partition(number));
            }
            follower.lose_session(error);
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

struct Follower {
    feed: Feed,
    machines: Vec<Machine>,
    staged: Vec<Option<Arc<Picture>>>,
    latch: Option<Latch>,
    /// Whether this session came as far as hearing every change.
    followed: bool,
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
    Created(Result<Epoch, CreateError>),
    Head(Partition, Moment, Revision, Result<Option<Head>, StoreError>),
    Counted(Result<(), StoreError>),
    Keys(u64, Result<Hashes, StoreError>),
    Log(Partition, Result<Vec<Change>, StoreError>),
    SnapshotRead(Partition, Result<(), StoreError>),
}

/// The operators' keys, and what the guard says of sources: name and JSON.
type Hashes = (Vec<(String, String)>, Vec<(String, String)>);

impl Follower {
    /// Tells that there is no session: once, however often the store is then asked in vain.
    fn lose_session(&self, error: StoreError) {
        if self.feed.status.borrow().phase == DISCONNECTED {
            tracing::debug!(%error, "The store still does not answer: {error}");
            return;
        }
        self.feed.store.forget_session();
        FeedLost { error }.emit(&self.feed.metrics);
        self.tell(|status| (status.connected, status.phase) = (false, DISCONNECTED));
    }

    /// Follows one session to its end, and says why it ended.
    async fn follow(&mut self, session: Session) -> StoreError {
        let Session { mut pushes, reader } = session;
        let answers = JoinSet::new();
        let mut asked = Asked { reader, answers, unanswered: 0, keys_changed: 0 };
        let mut heartbeat = tokio::time::interval(self.feed.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        for number in 0..PARTITIONS {
            if let Err(error) = self.step(&mut asked, Partition(number), Event::Connected) {
                return error;
            }
        }
        loop {
            let stepped = tokio::select! {
                biased;
                push = pushes.recv() => match push {
                    Some(push) => self.hear(&mut asked, push),
                    None => Err(StoreError::Unreachable("the session ended".to_owned())),
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
        for number in 0..PARTITIONS {
            self.ask_head(asked, Partition(number));
        }
        Ok(())
    }

    fn hear(&mut self, asked: &mut Asked, push: Push) -> Result<(), StoreError> {
        let Push { partition, epoch, follows, change } = push;
        self.step(asked, partition, Event::Push { epoch, follows, change })
    }

    fn take(&mut self, asked: &mut Asked, answer: Answer) -> Result<(), StoreError> {
        match answer {
            Answer::Created(Ok(epoch)) => {
                StoreCreated { epoch }.emit(&self.feed.metrics);
                (0..PARTITIONS).for_each(|number| self.ask_head(asked, Partition(number)));
                Ok(())
            }
            Answer::Created(Err(CreateError::Exists)) => {
                (0..PARTITIONS).for_each(|number| self.ask_head(asked, Partition(number)));
                Ok(())
            }
            Answer::Created(Err(error)) => Err(StoreError::Unexpected(error.to_string())),
            Answer::Head(partition, moment, floor, head) => {
                asked.unanswered = 0;
                let index = usize::from(partition.0);
                let staged = self.staged.get(index).and_then(Option::as_ref);
                let ours = match staged {
                    Some(picture) => Some(picture.census()),
                    None => self.feed.cache.census(partition),
                };
                self.step(asked, partition, Event::Head { head: head?, ours, asked: moment, floor })
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
            Answer::SnapshotRead(partition, read) => {
                read?;
                self.step(asked, partition, Event::SnapshotRead)
            }
        }
    }

    /// Gives the machine an event, and does what it says.
    fn step(
        &mut self,
        asked: &mut Asked,
        partition: Partition,
        event: Event,
    ) -> Result<(), StoreError> {
        let Some(machine) = self.machines.get_mut(usize::from(partition.0)) else { return Ok(()) };
        let before = machine.phase();
        let mut acts = VecDeque::from(machine.on(event));
        let (phase, is_following) = (machine.phase(), machine.is_following());
        if is_following && before == machine::CATCHING_UP {
            FeedCaughtUp.emit(&self.feed.metrics);
        }
        while let Some(act) = acts.pop_front() {
            self.perform(asked, partition, act)?;
        }
        if phase != machine::SNAPSHOT
            && let Some(staged) = self.staged.get_mut(usize::from(partition.0))
        {
            *staged = None;
        }
        self.followed |= is_following;
        self.tell(|status| {
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
                    self.ask_keys(asked);
                }
            }
            Act::Confirm(moment) => self.feed.cache.confirm(partition, moment),
            Act::Gap { expected, got } => FeedGap { partition, expected, got }.emit(metrics),
            Act::Install(watermark) => self.install(asked, partition, watermark),
            Act::Lost(loss) => self.lose(partition, loss),
            Act::ReadHead => self.ask_head(asked, partition),
            Act::ReadLog(from) => {
                let reader = asked.reader.clone();
                asked.answers.spawn(async move {
                    Answer::Log(partition, reader.log(partition, &from, LOG_PAGE).await)
                });
            }
            Act::ReadSnapshot(generation, head) => {
                SnapshotBegun.emit(metrics);
                let picture = Arc::new(Picture::new(generation, head.epoch));
                if let Some(staged) = self.staged.get_mut(usize::from(partition.0)) {
                    *staged = Some(Arc::clone(&picture));
                }
                let (reader, metrics) = (asked.reader.clone(), metrics.clone());
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
                self.tell(|status| status.suspect = true);
            }
            Act::Trust => {
                PictureTrusted.emit(metrics);
                self.feed.cache.set_suspect(partition, false);
                self.tell(|status| status.suspect = false);
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
        self.feed.guard.iter().for_each(|guard| guard.hear(change));
        self.feed.metrics.feed_changes.increment(1);
        self.feed.metrics.feed_watermark.set(change.revision.0);
        if let Some(committed_at) = change.committed_at() {
            let took = self.feed.clock.now().saturating_since(committed_at);
            self.feed.metrics.change_effect.record(took);
        }
    }

    fn stage(&mut self, asked: &mut Asked, partition: Partition, change: &Change) {
        self.hear_key(asked, change);
        let staged = self.staged.get(usize::from(partition.0)).and_then(Option::as_ref);
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
        if let (Subject::Source { source, stored }, Some(guard)) =
            (&change.subject, &self.feed.guard)
        {
            asked.keys_changed += 1;
            guard.change(source, stored);
        }
    }

    fn install(&mut self, asked: &mut Asked, partition: Partition, watermark: Watermark) {
        let index = usize::from(partition.0);
        let Some(picture) = self.staged.get_mut(index).and_then(Option::take) else { return };
        let customers = picture.census().count;
        self.feed.metrics.feed_watermark.set(watermark.position.revision.0);
        self.feed.cache.install(partition, picture, watermark);
        self.ask_keys(asked);
        self.count_again(asked, partition);
        SnapshotInstalled { customers }.emit(&self.feed.metrics);
        self.release_when_whole();
    }

    /// Lets traffic in once every partition's picture and the keys are in memory.
    fn release_when_whole(&mut self) {
        let is_read = |number| self.feed.cache.watermark(Partition(number)).is_some();
        if self.feed.keyring.is_read()
            && (0..PARTITIONS).all(is_read)
            && let Some(latch) = self.latch.take()
        {
            latch.release();
        }
    }

    fn lose(&self, partition: Partition, loss: Loss) {
        StoreLost { why: loss.as_str() }.emit(&self.feed.metrics);
        self.feed.cache.set_believed(partition, false);
        self.tell(|status| status.lost = Some(loss.as_str()));
    }

    /// Begins the history of an empty store, if that is allowed.
    fn begin(&mut self, asked: &mut Asked) {
        if self.feed.creation == Creation::Never {
            StoreUninitialised.emit(&self.feed.metrics);
            return;
        }
        let store = self.feed.store.clone();
        asked.answers.spawn(async move {
            let mut random = [0; 8];
            if let Err(error) = getrandom::fill(&mut random) {
                let error = StoreError::Unexpected(error.to_string());
                return Answer::Created(Err(error.into()));
            }
            let epoch = Epoch::from_random(random);
            Answer::Created(store.create(&epoch).await.map(|()| epoch))
        });
    }

    fn ask_head(&self, asked: &mut Asked, partition: Partition) {
        let (reader, moment) = (asked.reader.clone(), self.feed.clock.moment());
        let machine = self.machines.get(usize::from(partition.0));
        let floor = machine.map(Machine::progress).unwrap_or_default();
        asked.answers.spawn(async move {
            Answer::Head(partition, moment, floor, reader.head(partition).await)
        });
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

    fn disconnect(&mut self, partition: Partition) {
        let index = usize::from(partition.0);
        self.feed.cache.set_believed(partition, false);
        if let Some(machine) = self.machines.get_mut(index) {
            // The machine has nothing to ask of nobody.
            let _ = machine.on(Event::Disconnected);
        }
        if let Some(staged) = self.staged.get_mut(index) {
            *staged = None;
        }
    }

    fn tell(&self, change: impl FnOnce(&mut FeedStatus)) {
        self.feed.status.send_if_modified(|status| {
            let before = *status;
            change(status);
            *status != before
        });
    }
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

const DISCONNECTED: &str = "disconnected";
const FIRST_PAUSE: Duration = Duration::from_millis(40);
const LAST_PAUSE: Duration = Duration::from_secs(1);
const HEARTBEATS_MISSED: u32 = 2;
