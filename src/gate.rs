//! Answers one check: look up, weigh freshness, decide.

pub mod explain;
mod reach;
mod shadow;

use std::{sync::Arc, time::Duration};

use self::reach::Asked;
pub use self::shadow::{ShadowReport, Spared};
use crate::{
    cache::{Cache, Found, Held, fleet::Fleet},
    clock::{Clock, Moment},
    domain::{
        Check, CustomerKey, Decision, Enforcement, Evidence, Freshness, Judged, MinRevision,
        Missing, Mode, Named, Partition, Record, RecordEvidence, Restrictions, Staleness,
        Timestamp, Token, decide,
    },
    policy::{InForce, Rules},
    store::StoredRecord,
    telemetry::{
        Dialect, FoundIn, Metrics,
        decision_log::{Decided, DecisionLog, Untold},
        traces::Traces,
    },
};

/// Decides checks from memory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    cache: Cache,
    clock: Clock,
    metrics: Metrics,
    settings: Arc<Settings>,
    shadow: ShadowReport,
}

/// What shapes the answers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The policy.
    pub rules: InForce,
    /// The mode of the whole fleet, which goes before the policy's.
    pub fleet: Fleet,
    /// Past this, answers are marked stale.
    pub max_staleness: Duration,
    /// Past this, no known active customer is let in.
    pub stale_limit: Duration,
    /// How long a check may wait for the store.
    pub fill_timeout: Duration,
    /// Where decisions are written, if anywhere.
    pub decision_log: Option<DecisionLog>,
    /// Where spans go, if anywhere.
    pub traces: Option<Traces>,
}

/// A decision, and what it stands on.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The decision.
    pub decision: Decision,
    /// What the gateway is to do about it.
    pub enforcement: Enforcement,
    /// Whether denies are enforced.
    pub mode: Mode,
    /// The revision it stands on, if it stands on any.
    pub revision: Option<Token>,
    /// How long ago what it stands on was last confirmed.
    pub age: Option<Duration>,
    /// Whether that is past the staleness budget.
    pub stale: bool,
    /// The HTTP status that the policy gives this deny, if it is not the usual one.
    pub http_status: Option<u16>,
}

impl Answer {
    /// Whether the gateway is told to let the request pass.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.enforcement == Enforcement::Pass
    }
}

/// What is known of one customer, for whoever wants to see it rather than have it judged.
#[derive(Clone, Debug)]
pub struct View {
    /// The newest restrictions known.
    pub restrictions: Restrictions,
    /// The record.
    pub record: triomphe::Arc<Held>,
    /// The revision it stands on.
    pub revision: Option<Token>,
    /// How old it is.
    pub staleness: Staleness,
    /// Whether it is past the staleness budget.
    pub stale: bool,
    /// The moment for which all this is judged.
    pub now: Timestamp,
}

impl Gate {
    /// A gate over `cache`.
    #[must_use]
    pub fn new(cache: Cache, clock: Clock, metrics: Metrics, settings: Settings) -> Self {
        let shadow = ShadowReport::default();
        Self { cache, clock, metrics, settings: Arc::new(settings), shadow }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What shadow mode let through.
    #[must_use]
    pub const fn shadow(&self) -> &ShadowReport {
        &self.shadow
    }

    /// The policy as it is now.
    #[must_use]
    pub fn rules(&self) -> arc_swap::Guard<Arc<Rules>> {
        self.settings.rules.load()
    }

    /// Answers `check`, which arrived at `begun`, if memory does: waits for nothing.
    ///
    /// The revision of the answer is that of the customer's own last change, and so may be lower
    /// than the one asked for. Its age is that of the picture, and so may be higher than that of a
    /// record that was read for it.
    #[must_use]
    pub fn check_now(&self, check: &Check<impl Named>, begun: Moment) -> Option<Answer> {
        self.weigh_now(check, begun, |weighed| self.answer(check, weighed)).ok()
    }

    /// Answers `check` likewise, but waits for the record of a customer that is not in memory, or
    /// a revision that has not arrived, and for both together no longer than the fill timeout or
    /// the caller's `patience`.
    pub async fn check_within(
        &self,
        check: &Check<impl Named>,
        begun: Moment,
        patience: Duration,
    ) -> Answer {
        self.weigh(check, begun, patience, |weighed| self.answer(check, weighed)).await
    }

    /// The same, for a caller of any patience.
    pub async fn check(&self, check: &Check, begun: Moment) -> Answer {
        self.check_within(check, begun, self.settings.fill_timeout).await
    }

    /// Looks up what `check` needs, and hands it over to be judged.
    async fn weigh<T>(
        &self,
        check: &Check<impl Named>,
        begun: Moment,
        patience: Duration,
        judge: impl FnOnce(Weighed<'_>) -> T,
    ) -> T {
        match self.weigh_now(check, begun, judge) {
            Ok(judged) => judged,
            Err((customer, judge)) => {
                self.weigh_later(check, &customer.to_key(), begun, patience, judge).await
            }
        }
    }

    /// Looks it up in memory alone. Gives `judge` back, and the customer, where memory does not do.
    fn weigh_now<'a, C: Named, T, J: FnOnce(Weighed<'_>) -> T>(
        &self,
        check: &'a Check<C>,
        begun: Moment,
        judge: J,
    ) -> Result<T, (&'a C, J)> {
        let named = check.identity.as_ref().ok().filter(|_| !check.is_about_nobody());
        let Some(customer) = named else {
            let nobody = Restrictions::default();
            let record = RecordEvidence::Missing(Missing::Unreachable);
            let staleness = self.no_staleness();
            let evidence =
                Evidence { restrictions: &nobody, record, staleness, revision_reached: true };
            let now = self.clock.now();
            return Ok(judge(Weighed { evidence, found: None, filled: None, revision: None, now }));
        };
        if check.min_revision.is_some() {
            return Err((customer, judge));
        }
        // As of before the evidence, which may become fresher meanwhile, and not the other way.
        let partition = self.cache.partition_of(customer);
        let staleness = self.staleness(partition, begun);
        let found = self.cache.find(customer);
        if Needs::of(check, &found) != Needs::Nothing {
            return Err((customer, judge));
        }
        self.refresh_if_old(customer, &found);
        Ok(self.weigh_found(partition, &Asked::default(), &found, staleness, None, judge))
    }

    /// Looks it up, and waits for what is not in memory.
    async fn weigh_later<T>(
        &self,
        check: &Check<impl Named>,
        customer: &CustomerKey,
        begun: Moment,
        patience: Duration,
        judge: impl FnOnce(Weighed<'_>) -> T,
    ) -> T {
        let partition = self.cache.partition_of(customer);
        let budget = patience.min(self.settings.fill_timeout);
        let asked = match &check.min_revision {
            None => Asked::default(),
            // Boxed, so that other checks do not carry the room that it takes.
            Some(min) => Box::pin(self.bring_to(customer, min, budget)).await,
        };
        let staleness = self.staleness(partition, self.clock.moment());
        let found = asked.complete(self.cache.find(customer));
        let needs = Needs::of(check, &found);
        if needs == Needs::Nothing || !asked.is_reached_by(&found) {
            self.refresh_if_old(customer, &found);
            return self.weigh_found(partition, &asked, &found, staleness, None, judge);
        }
        let filled = self.cache.fill(customer, self.left_of(budget, begun)).await;
        let staleness = self.staleness(partition, self.clock.moment());
        let mut found = asked.complete(self.cache.find(customer));
        match &filled {
            // It may be evicted already, but it is what the store said.
            Ok(held) => found.take_newer(held),
            Err(_) => {
                if Needs::of(check, &found) == Needs::Entitlements {
                    found.held = None;
                }
            }
        }
        let filled = Some(filled.map(|_| ()));
        self.weigh_found(partition, &asked, &found, staleness, filled, judge)
    }

    /// Shows what is known of `customer` at `min_revision` or later, reading its record if it is
    /// not in memory as it is now.
    pub async fn view(
        &self,
        customer: &CustomerKey,
        min_revision: Option<&MinRevision>,
    ) -> Result<View, Unseen> {
        let begun = self.clock.moment();
        let asked = match min_revision {
            None => Asked::default(),
            Some(min) => self.bring_to(customer, min, self.settings.fill_timeout).await,
        };
        let found = asked.complete(self.cache.find(customer));
        if !asked.is_reached_by(&found) {
            return Err(Unseen::RevisionNotReached);
        }
        let timeout = self.left_of(self.settings.fill_timeout, begun);
        let is_old = is_old(&found);
        let record = match found.held {
            Some(held) if !held.outdated && !is_old => held,
            // An older picture's record is shown as stale rather than not at all.
            Some(held) if !held.outdated => {
                self.cache.fill(customer, timeout).await.unwrap_or(held)
            }
            Some(_) | None => self.cache.fill(customer, timeout).await.map_err(Unseen::Missing)?,
        };
        let partition = self.cache.partition_of(customer);
        let staleness = self.staleness(partition, self.clock.moment());
        let mut found = self.cache.find(customer);
        found.held = Some(triomphe::Arc::clone(&record));
        if !asked.is_answered_by(&found) {
            return Err(Unseen::RevisionNotReached);
        }
        let restrictions = match Known::of(&found) {
            // Not "none": what cannot be read must not look like a customer that may do all.
            Known::Unreadable => return Err(Unseen::Missing(Missing::Unreachable)),
            Known::Restrictions(restrictions) => {
                found.with_withheld(restrictions, self.clock.now()).into_owned()
            }
        };
        let partial = found.picture.as_ref().is_some_and(|picture| picture.is_partial());
        if partial && record.record == StoredRecord::Absent {
            return Err(Unseen::Missing(Missing::Unreachable));
        }
        Ok(View {
            restrictions,
            revision: revision(partition, &found),
            stale: is_stale(&found, staleness),
            now: self.clock.now(),
            record,
            staleness,
        })
    }

    /// What is left of the time that a check which began then may take.
    fn left_of(&self, budget: Duration, begun: Moment) -> Duration {
        budget.saturating_sub(self.clock.moment().saturating_since(begun))
    }

    /// Counts one answer to a check that arrived at `begun`, and puts it into the decision log and
    /// its trace if it is to be there. What the log has no room for, and the check is to wait for,
    /// comes back.
    #[must_use = "the check waits for it"]
    pub fn tell(
        &self,
        dialect: Dialect,
        check: Option<&Check<impl Named>>,
        answer: &Answer,
        begun: Moment,
    ) -> Option<Untold> {
        let took = self.clock.moment().saturating_since(begun);
        self.metrics.check(dialect, answer.decision.reason, took);
        if answer.stale {
            self.metrics.stale_answers[dialect].increment(1);
        }
        let traces = self.settings.traces.as_ref();
        let wanting = traces.filter(|it| it.may_want());
        let place =
            wanting.and_then(|it| it.check(&self.decided(dialect, check, answer, took), begun));
        let wanted = |log: &&DecisionLog| log.wants(answer.decision.outcome());
        let log = self.settings.decision_log.as_ref().filter(wanted)?;
        let mut decided = self.decided(dialect, check, answer, took);
        decided.place = place.or_else(|| traces?.callers_place());
        log.tell(decided)
    }

    /// Tells of a check that arrived at `begun` and whose caller had gone before it was decided.
    pub fn tell_missed(&self, dialect: Dialect, check: Option<&Check<impl Named>>, begun: Moment) {
        let Some(traces) = self.settings.traces.as_ref().filter(|it| it.may_want()) else { return };
        let took = self.clock.moment().saturating_since(begun);
        let customer = check.and_then(|check| check.identity.as_ref().ok()).map(Named::to_key);
        traces.missed(dialect, customer.as_ref(), begun, self.clock.now(), took);
    }

    /// What the decision log and the trace are told of an answer.
    fn decided(
        &self,
        dialect: Dialect,
        check: Option<&Check<impl Named>>,
        answer: &Answer,
        took: Duration,
    ) -> Decided {
        let asked = check.map(|check| &check.readings.first);
        let customer = check.and_then(|check| check.identity.as_ref().ok());
        Decided {
            at: self.clock.now(),
            took,
            dialect,
            decision: answer.decision,
            mode: answer.mode,
            allowed: answer.allowed(),
            customer: customer.map(Named::to_key),
            operation: asked.map(|asked| asked.operation),
            route: asked.and_then(|asked| asked.route.terms()).map(|terms| terms.pattern.clone()),
            feature: asked.and_then(|asked| asked.feature.clone()),
            limit: asked.and_then(|asked| asked.limit.as_ref()).map(|limit| limit.code.clone()),
            revision: answer.revision.clone(),
            age: answer.age,
            stale: answer.stale,
            place: None,
        }
    }

    /// A record of an older picture answers, and is read anew behind its back.
    fn refresh_if_old(&self, customer: &impl Named, found: &Found) {
        if is_old(found) {
            self.cache.refresh_old(&customer.to_key());
        }
    }

    /// Hands over what was `found` of a customer in `partition`; `filled` says what came of reading
    /// its record, if that was needed.
    fn weigh_found<T>(
        &self,
        partition: Partition,
        asked: &Asked<'_>,
        found: &Found,
        staleness: Staleness,
        filled: Option<Result<(), Missing>>,
        judge: impl FnOnce(Weighed<'_>) -> T,
    ) -> T {
        let missing = filled.and_then(Result::err).unwrap_or(Missing::Unreachable);
        let revision_reached = asked.is_answered_by(found);
        let now = self.clock.now();
        let partial = found.picture.as_ref().is_some_and(|picture| picture.is_partial());
        let (restrictions, record) = match Known::of(found) {
            Known::Unreadable => (found.with_withheld(None, now), RecordEvidence::Unreadable),
            Known::Restrictions(restrictions) => {
                let is_purged = restrictions.is_some_and(Restrictions::is_purged);
                let record = match found.held.as_ref().map(|held| &held.record) {
                    _ if is_purged => RecordEvidence::Purged,
                    Some(StoredRecord::Known(Record { body, .. })) => match body.purged_at {
                        Some(_) => RecordEvidence::Purged,
                        None => RecordEvidence::Known(body),
                    },
                    // A store that lacks records does not tell who is unknown.
                    Some(StoredRecord::Absent) if partial => RecordEvidence::Missing(missing),
                    Some(StoredRecord::Absent) => RecordEvidence::Absent,
                    Some(StoredRecord::Unreadable(_)) => RecordEvidence::Unreadable,
                    None => RecordEvidence::Missing(missing),
                };
                (found.with_withheld(restrictions, now), record)
            }
        };
        let restrictions = restrictions.as_ref();
        let evidence = Evidence { restrictions, record, staleness, revision_reached };
        let revision = revision(partition, found).or_else(|| self.reached(partition));
        judge(Weighed { evidence, found: Some(found), filled, revision, now })
    }

    fn answer(&self, check: &Check<impl Named>, mut weighed: Weighed<'_>) -> Answer {
        if let Some(found_in) = weighed.found_in() {
            self.metrics.cache_lookups[found_in].increment(1);
        }
        let revision = weighed.revision.take();
        let (answer, Judged { decision, enforced, asked }) = self.judge(check, &weighed, revision);
        if enforced.spared {
            self.shadow.spare(&asked.route, decision.reason, &self.metrics);
        }
        answer
    }

    /// Judges `check`, and counts nothing.
    fn judge<'a, C>(
        &self,
        check: &'a Check<C>,
        weighed: &Weighed<'_>,
        revision: Option<Token>,
    ) -> (Answer, Judged<'a>) {
        let (rules, now) = (self.rules(), weighed.now);
        let fleet = self.settings.fleet.mode(now);
        let judged = decide(&weighed.evidence, check, &rules.policy, fleet, now);
        let Judged { decision, enforced, .. } = judged;
        let answer = Answer {
            enforcement: enforced.enforcement,
            mode: enforced.mode,
            revision,
            age: weighed.evidence.staleness.age,
            stale: weighed.is_stale(),
            http_status: rules.http_status(&decision),
            decision,
        };
        (answer, judged)
    }

    /// The revision up to which a customer in `partition` is known not to be restricted.
    fn reached(&self, partition: Partition) -> Option<Token> {
        let watermark = self.cache.watermark(partition)?;
        Some(Token { epoch: watermark.epoch, partition, revision: watermark.position.revision })
    }

    fn staleness(&self, partition: Partition, at: Moment) -> Staleness {
        let Settings { max_staleness, stale_limit, .. } = *self.settings;
        self.cache.staleness(partition, at, max_staleness, stale_limit)
    }

    /// The staleness of what was never confirmed.
    #[must_use]
    pub fn no_staleness(&self) -> Staleness {
        let Settings { max_staleness, stale_limit, .. } = *self.settings;
        Staleness { age: None, max_staleness, stale_limit, suspect: false }
    }
}

/// Everything that a check is decided on.
struct Weighed<'a> {
    evidence: Evidence<'a>,
    /// What is held of the customer, if one is asked about.
    found: Option<&'a Found>,
    /// What came of reading its record from the store, if that was needed.
    filled: Option<Result<(), Missing>>,
    /// The revision that it stands on.
    revision: Option<Token>,
    /// The moment for which it is judged.
    now: Timestamp,
}

impl Weighed<'_> {
    /// Where in memory that was found; nothing if nobody is asked about.
    fn found_in(&self) -> Option<FoundIn> {
        let found = self.found?;
        Some(match found.held.as_ref().map(|held| &held.record) {
            _ if self.filled.is_some() => FoundIn::Nowhere,
            _ if found.entry.is_some() || found.withheld.is_some() => FoundIn::Restricted,
            Some(StoredRecord::Absent) => FoundIn::Unknown,
            Some(StoredRecord::Known(_) | StoredRecord::Unreadable(_)) => FoundIn::Recent,
            None => FoundIn::Nowhere,
        })
    }

    fn is_stale(&self) -> bool {
        self.found.is_some_and(|found| is_stale(found, self.evidence.staleness))
    }
}

/// What a check needs of the store before it can be decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Needs {
    /// Features or limits as they are now.
    Entitlements,
    /// Nothing: memory decides.
    Nothing,
    /// Whether the customer is known at all.
    Record,
    /// A record that was read after the revision that is asked for.
    Revision,
}

impl Needs {
    fn of<C>(check: &Check<C>, found: &Found) -> Self {
        match &found.held {
            None if check.asks_entitlement() => Self::Entitlements,
            None if is_listed(found) => Self::Nothing,
            None => Self::Record,
            Some(held) if held.outdated && check.asks_entitlement() => Self::Entitlements,
            Some(_) if check.min_revision.is_some() && is_old(found) => Self::Revision,
            Some(_) => Self::Nothing,
        }
    }
}

/// The newest that is known of a customer's restrictions.
enum Known<'a> {
    /// What is newest cannot be read.
    Unreadable,
    /// These, or that there are none known.
    Restrictions(Option<&'a Restrictions>),
}

impl<'a> Known<'a> {
    /// The restricted set and the record may be of different revisions: the newer one counts. A
    /// record of an older picture than the set never does. And nothing but a record that can be
    /// read, of the entry's revision or a later one, lifts what the set says: each change of a
    /// restricted customer rewrites its entry.
    fn of(found: &'a Found) -> Self {
        let record = found.held.as_ref().filter(|_| !is_old(found)).map(|held| &held.record);
        match (&found.entry, record) {
            (Some(entry), Some(StoredRecord::Known(record)))
                if record.revision >= entry.revision =>
            {
                Self::Restrictions(Some(&record.body.restrictions))
            }
            (Some(entry), _) => match &entry.restrictions {
                Some(restrictions) => Self::Restrictions(Some(restrictions)),
                None => Self::Unreadable,
            },
            (None, Some(StoredRecord::Known(record))) => {
                Self::Restrictions(Some(&record.body.restrictions))
            }
            (None, Some(StoredRecord::Unreadable(_))) => Self::Unreadable,
            (None, Some(StoredRecord::Absent) | None) => Self::Restrictions(None),
        }
    }
}

/// The revision that an answer stands on: the customer's own, or for one of whom nothing is stored,
/// the one at which that was true.
fn revision(partition: Partition, found: &Found) -> Option<Token> {
    let picture = found.picture.as_ref()?;
    let entry = found.entry.as_ref().map(|entry| entry.revision);
    let held = found.held.as_ref().map(|held| match &held.record {
        StoredRecord::Known(record) => record.revision,
        StoredRecord::Absent | StoredRecord::Unreadable(_) => held.position.revision,
    });
    let revision = entry.max(held)?;
    Some(Token { epoch: picture.epoch.clone(), partition, revision })
}

/// Whether a restriction, in force or not, makes the customer known without its record.
fn is_listed(found: &Found) -> bool {
    let has_entry = found.entry.as_ref().is_some_and(|entry| entry.restrictions.is_some());
    has_entry || found.withheld.is_some()
}

/// Whether the record is of an older picture than the restricted set.
fn is_old(found: &Found) -> bool {
    match (&found.held, &found.picture) {
        (Some(held), Some(picture)) => held.position.generation < picture.generation,
        _ => false,
    }
}

fn is_stale(found: &Found, staleness: Staleness) -> bool {
    staleness.judge() != Freshness::Fresh || is_old(found)
}

/// Why a customer cannot be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unseen {
    /// Its record cannot be had now.
    Missing(Missing),
    /// The revision asked for was not reached in time.
    RevisionNotReached,
}

impl View {
    /// The record, if the store knows the customer.
    #[must_use]
    pub fn known(&self) -> Option<&Record> {
        match &self.record.record {
            StoredRecord::Known(record) => Some(record),
            StoredRecord::Absent | StoredRecord::Unreadable(_) => None,
        }
    }

    /// Whether it is known that there is no such customer, or that it was erased and nothing
    /// restricts it.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match &self.record.record {
            StoredRecord::Absent => true,
            StoredRecord::Known(record) => {
                let is_restricted = self.restrictions.in_force_at(self.now).next().is_some();
                record.body.purged_at.is_some() && !is_restricted
            }
            StoredRecord::Unreadable(_) => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
