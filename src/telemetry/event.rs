//! One struct for each happening worth telling: its `emit` writes log line and metric together.

mod audit;
mod decisions;
mod spans;

pub use self::{
    audit::{AuditArchived, AuditNotArchived},
    decisions::DecisionsUnlogged,
    spans::SpansUnsent,
};

use std::{fmt::Display, io, time::Duration};

use tracing::{debug, error, info, warn};

use super::{
    Metrics,
    label::{
        AuthFailure, BootSource, CertificateResult, IngestResult, Listener, PolicyResult,
        RewrittenFrom, SnapshotResult, Unreadable, Via, WebhookResult, WebhookSource,
    },
};
use crate::domain::{CustomerKey, Epoch, Partition, Revision, Source, Timestamp, Token};

/// This instance hears the store's changes.
#[derive(Clone, Copy, Debug)]
pub struct FeedConnected {
    /// Whether it hears those of every partition.
    pub everywhere: bool,
}

impl FeedConnected {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        if self.everywhere {
            metrics.feed_connected.raise();
            info!("The feed is connected to the store");
        } else {
            info!("The feed is connected to a node of the store, and not yet to all");
        }
    }
}

/// It no longer does.
#[derive(Clone, Copy, Debug)]
pub struct FeedLost<E> {
    /// Why.
    pub error: E,
}

impl<E: Display> FeedLost<E> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.feed_connected.lower();
        metrics.feed_disconnects.increment(1);
        let error = self.error;
        warn!(%error, "The feed lost the store, staleness grows until it is back: {error}");
    }
}

/// A node of a cluster no longer serves what was followed there.
#[derive(Clone, Copy, Debug)]
pub struct FeedMoved<W> {
    /// How that shows.
    pub why: W,
}

impl<W: Display> FeedMoved<W> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.feed_connected.lower();
        metrics.feed_moves.increment(1);
        let why = self.why;
        info!(feed.moved = %why, "The feed goes on at another node of the cluster: {why}");
    }
}

/// The feed skipped a revision.
#[derive(Clone, Copy, Debug)]
pub struct FeedGap {
    /// In which partition.
    pub partition: Partition,
    /// The revision that should have come.
    pub expected: Revision,
    /// The one that came.
    pub got: Revision,
}

impl FeedGap {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.feed_gaps.increment(1);
        let Self { partition, expected, got } = self;
        warn!(
            feed.partition = %partition, feed.expected = %expected, feed.got = %got,
            "The feed of partition {partition} skipped from {expected} to {got}; \
             reading what is missing",
        );
    }
}

/// What was missed has been read from the store's log.
#[derive(Clone, Copy, Debug)]
pub struct FeedCaughtUp;

impl FeedCaughtUp {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.feed_catch_ups.increment(1);
        info!("The feed caught up with the store from its log");
    }
}

/// The restricted set is about to be read as a whole.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotBegun;

impl SnapshotBegun {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.feed_resnapshots.increment(1);
        info!("Reading a snapshot of all restricted customers");
    }
}

/// It was, and decides from now on.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotInstalled {
    /// How many customers are restricted.
    pub customers: u64,
}

impl SnapshotInstalled {
    /// Writes the log line; the cache keeps its own gauges.
    pub fn emit(self, _: &Metrics) {
        let customers = self.customers;
        info!(snapshot.customers = customers, "The snapshot decides now: {customers} restricted");
    }
}

/// The store forgot what this instance knows.
#[derive(Clone, Copy, Debug)]
pub struct StoreLost<W> {
    /// How that shows.
    pub why: W,
}

impl<W: Display> StoreLost<W> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.store_lost.raise();
        let why = self.why;
        error!(
            store.lost = %why,
            "The store forgot what this instance knows and is not believed, restricted customers \
             stay restricted: {why}",
        );
    }
}

/// A history of the store had lost its end, and was ended here.
#[derive(Clone, Debug)]
pub struct HistorySucceeded {
    /// In which partition.
    pub partition: Partition,
    /// The history that ended.
    pub ended: Epoch,
    /// Its last revision that the store still had.
    pub common: Revision,
    /// The history that follows on it.
    pub epoch: Epoch,
}

impl HistorySucceeded {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.successions.increment(1);
        let Self { partition, ended, common, epoch } = self;
        warn!(
            store.partition = %partition, store.ended = %ended, store.common = %common,
            store.epoch = %epoch,
            "The store lost what it had of history {ended} after revision {common}; history {epoch} \
             follows on that, and what was acknowledged is written back",
        );
    }
}

/// A history that lost its end could not be ended, or a loss not be put on record.
#[derive(Debug)]
pub struct SuccessionFailed<E> {
    /// Why.
    pub error: E,
}

impl<E: Display> SuccessionFailed<E> {
    /// Writes a log line at most once a minute.
    pub fn emit(self, metrics: &Metrics) {
        let Some(held_back) = metrics.lines.succession.admit(metrics.clock.moment()) else {
            return;
        };
        let error = self.error;
        warn!(
            %error, log.held_back = held_back,
            "What the store lost cannot be put on record there, it is tried again: {error}",
        );
    }
}

/// The store forgot acknowledged changes.
#[derive(Clone, Copy, Debug)]
pub struct ChangesForgotten {
    /// How many status acts are written back.
    pub acts: usize,
    /// How many other changes cannot be.
    pub others: u64,
}

impl ChangesForgotten {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        let Self { acts, others } = self;
        metrics.changes_forgotten.increment(others);
        warn!(
            store.forgotten_acts = acts,
            store.forgotten_others = others,
            "The store forgot {acts} status changes, which are written back, and {others} others, \
             which cannot be",
        );
    }
}

/// A status change that the store forgot is written back.
#[derive(Clone, Debug)]
pub struct ChangeRecovered {
    /// Whose.
    pub customer: CustomerKey,
    /// The revision that it had.
    pub forgotten: Token,
}

impl ChangeRecovered {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.changes_recovered.increment(1);
        let Self { customer, forgotten } = self;
        info!(
            customer.id = %customer, store.forgotten = %forgotten,
            "Wrote back what the store had forgotten of {customer} ({forgotten})",
        );
    }
}

/// A status change that the store forgot cannot be written back without somebody's word.
#[derive(Clone, Debug)]
pub struct ConflictListed<W> {
    /// Whose.
    pub customer: CustomerKey,
    /// The revision that it had.
    pub forgotten: Token,
    /// What stands against it.
    pub why: W,
}

impl<W: Display> ConflictListed<W> {
    /// Writes the log line.
    pub fn emit(self, _: &Metrics) {
        let Self { customer, forgotten, why } = self;
        error!(
            customer.id = %customer, store.forgotten = %forgotten, store.conflict = %why,
            "What the store forgot of {customer} ({forgotten}) is not written back: {why}; see \
             `tollgate store conflicts`",
        );
    }
}

/// The store is believed again.
#[derive(Clone, Copy, Debug)]
pub struct StoreTrusted;

impl StoreTrusted {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.store_lost.lower();
        info!("The store is believed again");
    }
}

/// The store forgets something when its memory is full.
#[derive(Clone, Debug)]
pub struct StoreEvicts {
    /// Its `maxmemory-policy`.
    pub policy: String,
}

impl StoreEvicts {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.store_evicts.raise();
        let policy = self.policy;
        warn!(
            store.policy = %policy,
            "The store's maxmemory-policy is {policy}: when its memory is full it forgets \
             customers; set it to noeviction",
        );
    }
}

/// It no longer does.
#[derive(Clone, Copy, Debug)]
pub struct StoreKeepsAll;

impl StoreKeepsAll {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.store_evicts.lower();
        info!("The store's maxmemory-policy is noeviction");
    }
}

/// The store was never used, and this instance may not begin its history.
#[derive(Clone, Copy, Debug)]
pub struct StoreUninitialised;

impl StoreUninitialised {
    /// Writes the log line.
    pub fn emit(self, _: &Metrics) {
        warn!(
            "STORE_UNINITIALISED: the store is empty and has no history; an instance with --store-create auto and an \
             operator listener begins one",
        );
    }
}

/// A history of the store begins.
#[derive(Clone, Debug)]
pub struct StoreCreated {
    /// Its name.
    pub epoch: Epoch,
}

impl StoreCreated {
    /// Writes the log line.
    pub fn emit(self, _: &Metrics) {
        info!(store.epoch = %self.epoch, "Began the store's history {}", self.epoch);
    }
}

/// The picture in memory disagrees with the store.
#[derive(Clone, Copy, Debug)]
pub struct PictureSuspect<W> {
    /// How that shows.
    pub why: W,
}

impl<W: Display> PictureSuspect<W> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.feed_suspect.raise();
        let why = self.why;
        warn!(
            feed.suspect = %why,
            "The picture in memory disagrees with the store, answers are marked stale: {why}",
        );
    }
}

/// The picture in memory agrees with the store again.
#[derive(Clone, Copy, Debug)]
pub struct PictureTrusted;

impl PictureTrusted {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.feed_suspect.lower();
        info!("The picture in memory agrees with the store again");
    }
}

/// A picture stands in until the store answers.
#[derive(Clone, Copy, Debug)]
pub struct Booted {
    /// Where it came from.
    pub source: BootSource,
    /// How many customers are restricted.
    pub customers: u64,
    /// How old it is, if that can be told.
    pub age: Option<Duration>,
    /// Whether it lets nobody in.
    pub only_refuses: bool,
}

impl Booted {
    /// Writes the log line; where a picture came from is a gauge of its own.
    pub fn emit(self, _: &Metrics) {
        let (source, customers) = (self.source.as_str(), self.customers);
        let age = self.age.map_or_else(|| "unknown".to_owned(), |age| format!("{age:.0?}"));
        if self.only_refuses {
            warn!(
                boot.source = source,
                boot.age = age,
                snapshot.customers = customers,
                "Began with a picture ({source}) whose age is {age}: its {customers} customers are \
                 refused, and everybody else is undecided until the store answers",
            );
        } else {
            info!(
                boot.source = source,
                boot.age = age,
                snapshot.customers = customers,
                "Began with a picture ({source}) of {customers} restricted customers, {age} old",
            );
        }
    }
}

/// What this instance was to begin with is of no use.
#[derive(Clone, Debug)]
pub struct BootRefused<P, W> {
    /// Where it is.
    pub place: P,
    /// What is wrong with it.
    pub why: W,
}

impl<P: Display, W: Display> BootRefused<P, W> {
    /// Writes the log line.
    pub fn emit(self, _: &Metrics) {
        let Self { place, why } = self;
        warn!(boot.place = %place, %why, "{place} is not used to begin with: {why}");
    }
}

/// There is nothing to decide by, and it has been so for a while.
#[derive(Clone, Copy, Debug)]
pub struct NoPicture {
    /// For how long.
    pub waited: Duration,
}

impl NoPicture {
    /// Writes the log line.
    pub fn emit(self, _: &Metrics) {
        let waited = self.waited;
        warn!(
            "There is no picture to decide by after {waited:?} (--boot-timeout): neither the \
             store nor a snapshot gave one",
        );
    }
}

/// The snapshot file is in its place.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotFileWritten {
    /// How many customers are in it.
    pub customers: u64,
}

impl SnapshotFileWritten {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.snapshot_writes[SnapshotResult::Written].increment(1);
        let customers = self.customers;
        debug!(snapshot.customers = customers, "Wrote the snapshot file: {customers} restricted");
    }
}

/// The snapshot file could not be written.
#[derive(Clone, Debug)]
pub struct SnapshotFileFailed<P, E> {
    /// Which file.
    pub path: P,
    /// Why.
    pub error: E,
}

impl<P: Display, E: Display> SnapshotFileFailed<P, E> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.snapshot_writes[SnapshotResult::Failed].increment(1);
        let Self { path, error } = self;
        warn!(
            snapshot.file = %path, %error,
            "The snapshot file {path} cannot be written, a start without the store would begin \
             with an older one: {error}",
        );
    }
}

/// A policy file is in force.
#[derive(Clone, Copy, Debug)]
pub struct PolicyTaken<'a, P> {
    /// Which file.
    pub path: P,
    /// Its SHA-256 (hex).
    pub hash: &'a str,
    /// How many routes it has.
    pub routes: usize,
}

impl<P: Display> PolicyTaken<'_, P> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        let Self { path, hash, routes } = self;
        metrics.policy_refused.lower();
        metrics.policy_reads[PolicyResult::Taken].increment(1);
        metrics.policy_is(hash);
        info!(
            policy.file = %path, policy.hash = hash, policy.routes = routes,
            "The policy {path} is in force, with {routes} routes",
        );
    }
}

/// A policy file cannot be used.
#[derive(Clone, Copy, Debug)]
pub struct PolicyRefused<'a, P> {
    /// Which file.
    pub path: P,
    /// Why.
    pub why: &'a str,
}

impl<P: Display> PolicyRefused<'_, P> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        let Self { path, why } = self;
        metrics.policy_refused.raise();
        metrics.policy_reads[PolicyResult::Refused].increment(1);
        error!(
            policy.file = %path,
            "The policy {path} cannot be used, so the one before it stays in force: {why}",
        );
    }
}

/// A listener has the certificate that it starts with.
#[derive(Clone, Copy, Debug)]
pub struct CertificateShown {
    /// Which listener.
    pub listener: Listener,
    /// When the certificate expires.
    pub expires: Timestamp,
}

impl CertificateShown {
    /// Writes log line and metrics.
    pub fn emit(self, metrics: &Metrics) {
        let Self { listener, expires } = self;
        metrics.tls(listener).expires(expires);
        let listener = listener.as_str();
        info!(
            tls.listener = listener, tls.expires = %expires,
            "The {listener} listener speaks TLS, with a certificate that expires at {expires}",
        );
    }
}

/// The files of a listener's certificate changed, and new connections are shown the new one.
#[derive(Clone, Copy, Debug)]
pub struct CertificateTaken {
    /// Which listener.
    pub listener: Listener,
    /// When the certificate expires.
    pub expires: Timestamp,
}

impl CertificateTaken {
    /// Writes log line and metrics.
    pub fn emit(self, metrics: &Metrics) {
        let Self { listener, expires } = self;
        metrics.tls(listener).reloads[CertificateResult::Taken].increment(1);
        metrics.tls(listener).expires(expires);
        let listener = listener.as_str();
        info!(
            tls.listener = listener, tls.expires = %expires,
            "The {listener} listener has a new certificate, which expires at {expires}",
        );
    }
}

/// The files of a listener's certificate changed, and cannot be used.
#[derive(Clone, Copy, Debug)]
pub struct CertificateRefused<W> {
    /// Which listener.
    pub listener: Listener,
    /// Why.
    pub why: W,
}

impl<W: Display> CertificateRefused<W> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        let Self { listener, why } = self;
        metrics.tls(listener).reloads[CertificateResult::Refused].increment(1);
        let listener = listener.as_str();
        error!(
            tls.listener = listener,
            "The {listener} listener goes on with the certificate that it has: {why}",
        );
    }
}

/// A listener has as many connections as it may.
#[derive(Clone, Copy, Debug)]
pub struct ListenerFull {
    /// Which listener.
    pub listener: Listener,
    /// How many connections that is.
    pub connections: usize,
}

impl ListenerFull {
    /// Counts it, and writes a log line at most once a minute.
    pub fn emit(self, metrics: &Metrics) {
        let Self { listener, connections } = self;
        metrics.connections_full[listener].increment(1);
        let now = metrics.clock.moment();
        let Some(held_back) = metrics.lines.full[listener].admit(now) else { return };
        let listener = listener.as_str();
        warn!(
            connections.listener = listener,
            connections.open = connections,
            log.held_back = held_back,
            "The {listener} listener has {connections} connections, as many as it may: others wait \
             ({held_back} more since the last such line)",
        );
    }
}

/// A connection ended before it was encrypted.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeFailed<'a> {
    /// On which listener.
    pub listener: Listener,
    /// Why.
    pub why: &'a io::Error,
}

impl HandshakeFailed<'_> {
    /// Counts it, and writes a log line at most once a minute. Whoever only looked whether the
    /// port is open, as balancers do, is no line.
    pub fn emit(self, metrics: &Metrics) {
        let Self { listener, why } = self;
        metrics.tls(listener).handshake_failures.increment(1);
        let is_hang_up = why.kind() == io::ErrorKind::UnexpectedEof;
        let now = metrics.clock.moment();
        let pace = &metrics.lines.handshake[listener];
        let Some(held_back) = (!is_hang_up).then(|| pace.admit(now)).flatten() else { return };
        let listener = listener.as_str();
        warn!(
            tls.listener = listener,
            log.held_back = held_back,
            "A connection to the {listener} listener was not encrypted: {why} ({held_back} more \
             since the last such line)",
        );
    }
}

/// A change could not be noted beside the snapshot file.
#[derive(Clone, Copy, Debug)]
pub struct JournalBroken<W> {
    /// Why.
    pub why: W,
}

impl<W: Display> JournalBroken<W> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.journal_errors.increment(1);
        let why = self.why;
        warn!(%why, "The snapshot file's journal misses a change, so the file is written anew: {why}");
    }
}

/// The store's restricted set has not as many entries as it should have, or other ones.
#[derive(Clone, Copy, Debug)]
pub struct RestrictedLost {
    /// In which partition.
    pub partition: Partition,
}

impl RestrictedLost {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.restricted_lost.raise();
        let partition = self.partition;
        error!(
            store.partition = %partition,
            "The store's restricted set of partition {partition} is not whole: no customer can be \
             changed there until an instance that may write has written it anew, and checks are \
             answered from memory",
        );
    }
}

/// It has, in every partition.
#[derive(Clone, Copy, Debug)]
pub struct RestrictedWhole;

impl RestrictedWhole {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.restricted_lost.lower();
        info!("The store's restricted set is whole again");
    }
}

/// This instance wrote the store's restricted set anew.
#[derive(Clone, Copy, Debug)]
pub struct RestrictedRewritten {
    /// In which partition.
    pub partition: Partition,
    /// How many customers it names.
    pub customers: u64,
    /// Where it had it from.
    pub from: RewrittenFrom,
}

impl RestrictedRewritten {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        let Self { partition, customers, from } = self;
        metrics.restricted_rewrites[from].increment(1);
        let from = from.as_str();
        warn!(
            store.partition = %partition, restricted.customers = customers, restricted.from = from,
            "Wrote the store's restricted set of partition {partition} anew from {from}: \
             {customers} customers",
        );
    }
}

/// It could not.
#[derive(Clone, Copy, Debug)]
pub struct RestrictedNotRewritten<W> {
    /// In which partition.
    pub partition: Partition,
    /// Why not.
    pub why: W,
}

impl<W: Display> RestrictedNotRewritten<W> {
    /// Writes the log line.
    pub fn emit(self, _: &Metrics) {
        let Self { partition, why } = self;
        error!(
            store.partition = %partition, %why,
            "The store's restricted set of partition {partition} could not be written anew: {why}",
        );
    }
}

/// What was held of a customer differed from the store, although nothing had changed.
#[derive(Clone, Debug)]
pub struct RecordRepaired {
    /// Whose record.
    pub customer: CustomerKey,
}

impl RecordRepaired {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.repairs.increment(1);
        let customer = self.customer;
        error!(
            customer.id = %customer,
            "The record of {customer} in memory differed from the store's and was put right; this \
             is a bug, or somebody else writes to the store",
        );
    }
}

/// A customer's record cannot be read.
#[derive(Clone, Debug)]
pub struct RecordUnreadable<W> {
    /// Whose.
    pub customer: CustomerKey,
    /// What is wrong with it.
    pub why: W,
}

impl<W: Display> RecordUnreadable<W> {
    /// Counts it, and writes a log line at most once a second.
    pub fn emit(self, metrics: &Metrics) {
        let Some(held_back) = unreadable(metrics, Unreadable::Record) else { return };
        let Self { customer, why } = self;
        warn!(
            customer.id = %customer, %why, log.held_back = held_back,
            "The record of {customer} cannot be read, its checks are undecided: {why}",
        );
    }
}

/// A customer's entry in the restricted set cannot be read.
#[derive(Clone, Debug)]
pub struct RestrictedUnreadable {
    /// Whose.
    pub customer: CustomerKey,
}

impl RestrictedUnreadable {
    /// Counts it, and writes a log line at most once a second.
    pub fn emit(self, metrics: &Metrics) {
        let Some(held_back) = unreadable(metrics, Unreadable::Restricted) else { return };
        let customer = self.customer;
        warn!(
            customer.id = %customer, log.held_back = held_back,
            "The restrictions of {customer} cannot be read, its checks are undecided",
        );
    }
}

/// An entry of the store's log cannot be read.
#[derive(Clone, Debug)]
pub struct ChangeUnreadable {
    /// Whose it is, if that much could be read.
    pub customer: Option<CustomerKey>,
}

impl ChangeUnreadable {
    /// Counts it, and writes a log line at most once a second.
    pub fn emit(self, metrics: &Metrics) {
        let Some(held_back) = unreadable(metrics, Unreadable::Change) else { return };
        let customer = self.customer.as_ref().map_or("an unknown customer", CustomerKey::as_str);
        warn!(
            customer.id = customer,
            log.held_back = held_back,
            "A change of {customer} cannot be read; a newer Tollgate may have written it",
        );
    }
}

/// This instance applies the messages of billing systems from now on.
#[derive(Clone, Copy, Debug)]
pub struct IngestTaken;

impl IngestTaken {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.ingest_holder.raise();
        info!("This instance applies the messages of billing systems");
    }
}

/// It does so no more.
#[derive(Clone, Copy, Debug)]
pub struct IngestGivenUp;

impl IngestGivenUp {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.ingest_holder.lower();
        info!("This instance no longer applies the messages of billing systems");
    }
}

/// This instance hears what billing systems publish.
#[derive(Clone, Copy, Debug)]
pub struct IngestListening<'a> {
    /// On which channel.
    pub channel: &'a str,
}

impl IngestListening<'_> {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.ingest_listening.raise();
        let channel = self.channel;
        info!(ingest.channel = channel, "Listening to billing systems on {channel}");
    }
}

/// The channel or the inbox cannot be followed now.
#[derive(Clone, Copy, Debug)]
pub struct IngestTrouble<E> {
    /// Which of them.
    pub via: Via,
    /// Why.
    pub error: E,
}

impl<E: Display> IngestTrouble<E> {
    /// Writes the metric, and a log line at most once a minute.
    pub fn emit(self, metrics: &Metrics) {
        let Self { via, error } = self;
        if via == Via::Channel {
            metrics.ingest_listening.lower();
        }
        let line = metrics.lines.ingest_trouble[via].admit(metrics.clock.moment());
        let Some(held_back) = line else { return };
        let via = via.as_str();
        warn!(
            ingest.via = via, %error, log.held_back = held_back,
            "The {via} of billing systems cannot be followed now: {error}",
        );
    }
}

/// A message can never be applied.
#[derive(Clone, Copy, Debug)]
pub struct MessageUnusable<W> {
    /// How it came.
    pub via: Via,
    /// In which way.
    pub result: IngestResult,
    /// Field and rule, or why it was refused; never what the message says.
    pub why: W,
}

impl<W: Display> MessageUnusable<W> {
    /// Counts it, and writes a log line at most once a minute.
    pub fn emit(self, metrics: &Metrics) {
        let Self { via, result, why } = self;
        metrics.ingest_message(via, result);
        let line = metrics.lines.ingest[result].admit(metrics.clock.moment());
        let Some(held_back) = line else { return };
        let (via, result) = (via.as_str(), result.as_str());
        warn!(
            ingest.via = via, ingest.result = result, %why, log.held_back = held_back,
            "A message of a billing system is {result}: {why} \
             ({held_back} more since the last such line)",
        );
    }
}

/// Published messages that nobody could apply or keep.
#[derive(Clone, Copy, Debug)]
pub struct MessagesLost {
    /// How many.
    pub count: u64,
}

impl MessagesLost {
    /// Counts them, and writes a log line at most once a minute.
    pub fn emit(self, metrics: &Metrics) {
        let count = self.count;
        metrics.ingest_lost(count);
        let line = metrics.lines.ingest[IngestResult::Lost].admit(metrics.clock.moment());
        let Some(held_back) = line else { return };
        error!(
            ingest.lost = count,
            log.held_back = held_back,
            "Lost {count} published messages of billing systems; the inbox loses none",
        );
    }
}

/// A webhook did not do what its sender may expect.
#[derive(Clone, Copy, Debug)]
pub struct WebhookTurnedAway<W> {
    /// Whose.
    pub source: WebhookSource,
    /// In which way.
    pub result: WebhookResult,
    /// The rule that it breaks; never what it says.
    pub why: W,
}

impl<W: Display> WebhookTurnedAway<W> {
    /// Counts it, and writes a log line at most once a minute.
    pub fn emit(self, metrics: &Metrics) {
        let Self { source, result, why } = self;
        metrics.webhook(source, result);
        let line = metrics.lines.webhook[source][result].admit(metrics.clock.moment());
        let Some(held_back) = line else { return };
        let (source, result) = (source.as_str(), result.as_str());
        warn!(
            webhook.source = source, webhook.result = result, %why, log.held_back = held_back,
            "A webhook of {source} is {result}: {why} ({held_back} more since the last such line)",
        );
    }
}

/// The secrets of a source's webhooks were replaced.
#[derive(Clone, Copy, Debug)]
pub struct WebhookSecretsTaken {
    /// Whose.
    pub source: WebhookSource,
    /// How many hold now.
    pub count: usize,
}

impl WebhookSecretsTaken {
    /// Writes the log line.
    pub fn emit(self, _: &Metrics) {
        let (source, count) = (self.source.as_str(), self.count);
        info!(
            webhook.source = source,
            "The webhooks of {source} have new secrets; {count} hold now",
        );
    }
}

/// The secrets of a source's webhooks changed, and cannot be used.
#[derive(Clone, Copy, Debug)]
pub struct WebhookSecretsRefused<W> {
    /// Whose.
    pub source: WebhookSource,
    /// Why; never what the file holds.
    pub why: W,
}

impl<W: Display> WebhookSecretsRefused<W> {
    /// Writes the log line.
    pub fn emit(self, _: &Metrics) {
        let Self { source, why } = self;
        let source = source.as_str();
        error!(
            webhook.source = source,
            "The webhooks of {source} go on with the secrets that they have: {why}",
        );
    }
}

/// The guard has paused a source.
#[derive(Clone, Debug)]
pub struct SourcePaused {
    /// Which one.
    pub source: Source,
    /// How many customers it restricted within the window.
    pub restricted: u64,
    /// How many there are.
    pub customers: u64,
}

impl SourcePaused {
    /// Writes the log line; the guard keeps its own gauge.
    pub fn emit(self, _: &Metrics) {
        let Self { source, restricted, customers } = self;
        error!(
            source = %source, guard.restricted = restricted, guard.customers = customers,
            "The source {source} restricted {restricted} of {customers} customers and is paused; \
             if that is meant: tollgate ingest resume {source}",
        );
    }
}

/// Somebody has let it go on.
#[derive(Clone, Debug)]
pub struct SourceResumed {
    /// Which one.
    pub source: Source,
}

impl SourceResumed {
    /// Writes the log line; the guard keeps its own gauge.
    pub fn emit(self, _: &Metrics) {
        let source = self.source;
        info!(source = %source, "The source {source} may restrict customers again");
    }
}

/// Every instance is put into shadow for a while.
#[derive(Clone, Copy, Debug)]
pub struct FleetShadowBegun {
    /// Until when.
    pub until: Timestamp,
}

impl FleetShadowBegun {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.fleet_shadow.raise();
        let until = self.until;
        warn!(
            fleet.until = %until,
            "The fleet is in shadow until {until}: denies are told and let through",
        );
    }
}

/// Every instance enforces what its policy says again.
#[derive(Clone, Copy, Debug)]
pub struct FleetShadowEnded;

impl FleetShadowEnded {
    /// Writes log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.fleet_shadow.lower();
        info!("The fleet is no longer in shadow: every policy counts again");
    }
}

/// A caller was turned away because of its credentials.
#[derive(Clone, Copy, Debug)]
pub struct AuthFailed {
    /// Why.
    pub code: AuthFailure,
}

impl AuthFailed {
    /// Counts it, and writes a log line at most once a minute.
    pub fn emit(self, metrics: &Metrics) {
        metrics.auth_failures[self.code].increment(1);
        let Some(held_back) = metrics.lines.auth.admit(metrics.clock.moment()) else { return };
        let code = self.code.as_str();
        warn!(
            auth.code = code,
            log.held_back = held_back,
            "Turned a caller away: {code} ({held_back} more since the last such line)",
        );
    }
}

/// A gateway's configuration asks something of a route that cannot be understood.
#[derive(Clone, Copy, Debug)]
pub struct RouteSettingMalformed<'a> {
    /// The setting.
    pub key: &'a str,
    /// What it is set to.
    pub value: &'a str,
    /// The rule that this breaks.
    pub rule: &'a str,
}

impl RouteSettingMalformed<'_> {
    /// Writes the metric, and a log line by the minute.
    pub fn emit(self, metrics: &Metrics) {
        metrics.route_settings_malformed.increment(1);
        let now = metrics.clock.moment();
        let Some(held_back) = metrics.lines.route_setting.admit(now) else { return };
        let Self { key, value, rule } = self;
        error!(
            route.setting = key,
            route.value = value,
            log.held_back = held_back,
            "The gateway's configuration sets {key} to {value:?} and {rule}; such checks are \
             undecided ({held_back} more since the last such line)",
        );
    }
}

/// Counts it; then, if a line may be written, how many were held back.
fn unreadable(metrics: &Metrics, what: Unreadable) -> Option<u64> {
    metrics.unreadable[what].increment(1);
    metrics.lines.unreadable[what].admit(metrics.clock.moment())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::recorder, *};

    #[test]
    fn a_happening_writes_its_metric() {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            let metrics = Metrics::new();
            FeedConnected { everywhere: true }.emit(&metrics);
            FeedLost { error: "reset by peer" }.emit(&metrics);
            FeedGap { partition: Partition(0), expected: Revision(4), got: Revision(7) }
                .emit(&metrics);
        });
        let rendered = recorder.handle().render();
        for line in [
            "tollgate_feed_connected 0",
            "tollgate_feed_disconnects_total 1",
            "tollgate_feed_gaps_total 1",
        ] {
            assert!(rendered.lines().any(|found| found == line), "{line} in\n{rendered}");
        }
    }

    #[test]
    fn failures_are_counted_exactly_though_not_all_are_logged() {
        let recorder = recorder().unwrap();
        metrics::with_local_recorder(&recorder, || {
            let metrics = Metrics::new();
            for _ in 0..1000 {
                AuthFailed { code: AuthFailure::InvalidToken }.emit(&metrics);
            }
            metrics.clock.advance(Duration::from_mins(1));
            assert_eq!(metrics.lines.auth.admit(metrics.clock.moment()), Some(999));
        });
        let line = "tollgate_auth_failures_total{code=\"INVALID_TOKEN\"} 1000";
        assert!(recorder.handle().render().lines().any(|found| found == line));
    }
}
