//! A start without the store: what stands in until it answers.

mod peer;

use std::{path::PathBuf, time::Duration};

use tokio::sync::watch;

use self::peer::Peer;
use crate::{
    cache::{Refused, Use},
    config::{Config, ConfigError},
    feed::snapshot_file::{Expected, Loaded, Snapshot, Source, load},
    lifecycle::Latch,
    telemetry::{
        BootSource, Metrics,
        event::{BootRefused, Booted, NoPicture},
    },
};

/// What a start may do without the store.
#[derive(Debug)]
pub(super) struct Boot {
    source: Source,
    metrics: Metrics,
    file: Option<PathBuf>,
    peer: Option<Peer>,
    max_age: Duration,
    timeout: Duration,
    ready_without_picture: bool,
    expected: Expected,
    booted_from: watch::Sender<BootSource>,
}

/// Whether the store gave an answer when it was first asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FirstAnswer {
    Given,
    None,
}

impl Boot {
    pub(super) fn new(
        config: &Config,
        source: Source,
        metrics: Metrics,
    ) -> Result<Self, ConfigError> {
        let created = config.expect_epoch.clone();
        Ok(Self {
            source,
            metrics,
            file: config.snapshot_file(),
            peer: config.boot_from.as_ref().map(|url| Peer::new(url, config)).transpose()?,
            max_age: config.max_boot_age,
            timeout: config.boot_timeout,
            ready_without_picture: config.ready_without_picture,
            expected: Expected { partitions: config.partitions, created },
            booted_from: watch::Sender::new(BootSource::None),
        })
    }

    /// Tells where the first picture came from, unless it was the store.
    pub(super) fn booted_from(&self) -> watch::Receiver<BootSource> {
        self.booted_from.subscribe()
    }

    /// Whether somebody may be refused without the store's help: then it is not waited for.
    pub(super) fn does_without_store(&self) -> bool {
        self.peer.is_some() || self.has_picture()
    }

    /// Whether there is a picture of any age.
    pub(super) fn has_picture(&self) -> bool {
        self.source.cache.has_picture()
    }

    /// Takes what an earlier process left, if that can be used.
    pub(super) async fn take_file(&self) {
        let Some(path) = &self.file else { return };
        let place = format!("the snapshot file {}", path.display());
        let (path, expected) = (path.clone(), self.expected.clone());
        let loaded = tokio::task::spawn_blocking(move || load(&path, &expected)).await;
        match loaded {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(Loaded { snapshot, replayed }))) => {
                tracing::debug!(
                    snapshot.replayed = replayed,
                    "Read {place}, {replayed} changes more"
                );
                if let Err(why) = self.take(&snapshot, BootSource::File) {
                    BootRefused { place, why }.emit(&self.metrics);
                }
            }
            Ok(Err(why)) => BootRefused { place, why }.emit(&self.metrics),
            Err(why) => BootRefused { place, why }.emit(&self.metrics),
        }
    }

    fn take(&self, snapshot: &Snapshot, source: BootSource) -> Result<(), Refused> {
        let boot = self.source.boot(snapshot, self.max_age)?;
        self.booted_from.send_replace(source);
        let only_refuses = boot.good_for == Use::Refusing;
        let (customers, age) = (boot.customers, boot.age);
        Booted { source, customers, age, only_refuses }.emit(&self.metrics);
        Ok(())
    }

    /// Sees to it that there is a picture, as long as the store gives none, and that the process
    /// is ready once there is one.
    pub(super) async fn run(self, latch: Latch, answer: FirstAnswer) {
        self.release_if_whole(&latch);
        tokio::join!(self.wait(latch.clone()), self.ask_peer(&latch, answer));
    }

    async fn wait(&self, latch: Latch) {
        tokio::time::sleep(self.timeout).await;
        if self.decides() {
            return;
        }
        NoPicture { waited: self.timeout }.emit(&self.metrics);
        if self.ready_without_picture {
            latch.release();
        }
    }

    async fn ask_peer(&self, latch: &Latch, answer: FirstAnswer) {
        let Some(peer) = &self.peer else { return };
        if answer == FirstAnswer::Given {
            // It is about to give its picture, which is the better one.
            tokio::time::sleep(self.timeout).await;
        }
        let (mut pause, mut told) = (FIRST_PAUSE, None);
        while !self.decides() {
            let outcome = match peer.snapshot(&self.expected).await {
                Ok(snapshot) => self.take_in_turn(&snapshot).await.map_err(|why| why.to_string()),
                Err(why) => Err(why.to_string()),
            };
            self.release_if_whole(latch);
            if let Err(why) = outcome
                && told.as_ref() != Some(&why)
            {
                let place = format!("the snapshot of {} (--boot-from)", peer.url());
                told = Some(why.clone());
                BootRefused { place, why }.emit(&self.metrics);
            }
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Takes a snapshot as soon as no session with the store is in its way. One that lasts gives
    /// a picture itself.
    async fn take_in_turn(&self, snapshot: &Snapshot) -> Result<(), Refused> {
        let mut tries = 0..TURNS_AWAITED;
        loop {
            match self.take(snapshot, BootSource::Peer) {
                Err(Refused::BeingRead) if tries.next().is_some() && !self.decides() => {
                    tokio::time::sleep(TURN).await;
                }
                Err(_) if self.decides() => return Ok(()),
                taken => return taken,
            }
        }
    }

    /// Whether every partition has a picture that may let somebody in.
    fn decides(&self) -> bool {
        self.source.cache.decides()
    }

    fn release_if_whole(&self, latch: &Latch) {
        if self.source.decides() {
            latch.clone().release();
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How often it is tried to take a snapshot between two sessions with a store that does not
/// answer, and how long each time is waited.
const TURN: Duration = Duration::from_millis(5);
const TURNS_AWAITED: usize = 2000;
