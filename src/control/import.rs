//! Makes many customers what the lines of an import say, with one audit entry for all of them.
//!
//! Each customer is changed by the same acts and the same commits as by any other door; many are
//! under way at a time. The entry is written first, with what was judged of the lines, so that
//! nothing is done that is not on record; each customer's own trail has what was done to it, in
//! the same transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt as _, stream};

use super::{ActError, Attempt, Control, EFFECT_AWAITED, Request, TRIES, noted};
use crate::{
    domain::{
        Action, AuditEntry, Customer, CustomerId, CustomerKey, Record, Refusal, Revision, Role,
        Source, TenantId, Token, Verb,
        action::Plan,
        audit::{
            AuditOutcome,
            batch::{Batch, Counts, Touched},
        },
        import::Statement,
    },
    store::{CommitError, Committed, StoreError, Trail, Write},
};

/// One line, as far as it can be understood without the store.
#[derive(Clone, Debug)]
pub struct Line {
    /// Whose customer it is.
    pub tenant: TenantId,
    /// The id that the line gives: an alias, or the customer's own.
    pub customer: CustomerId,
    /// What it says of the customer.
    pub statement: Statement,
}

/// What a line made of its customer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Imported {
    /// It is there now.
    Created,
    /// It was so already.
    Unchanged,
    /// It is another now.
    Updated,
}

/// The lines of one customer, in their order.
struct Group {
    key: CustomerKey,
    lines: Vec<usize>,
    /// As it was read before anything was done.
    current: Option<Customer>,
}

/// What is expected to come of the lines.
struct Judged {
    counts: Counts,
    refusals: BTreeMap<String, u64>,
    restricted: Vec<Touched>,
}

type Outcome = Result<Imported, ActError>;

impl Control {
    /// Does what each of `lines` says, and tells what came of it, in their order. A line that is
    /// refused is refused alone, and not even a part of it is done. `batch` says where the lines
    /// come from, and which others were refused before.
    ///
    /// An error is about all of them: some may be done, and doing them again does no harm.
    pub async fn import(
        &self,
        request: &Request,
        batch: Batch,
        lines: &[Line],
    ) -> Result<Vec<Outcome>, ActError> {
        request.actor.require(Role::Manager).map_err(Refusal::from)?;
        let groups = self.grouped(lines).await?;
        let judged = self.judge(request, lines, &groups);
        let expected = judged.counts;
        self.record_batch(request, recorded(batch.clone(), judged, lines), None).await?;

        let given_up = AtomicBool::new(false);
        let done = stream::iter(0..groups.len())
            .map(|group| self.import_group(request, lines, &groups, group, &given_up));
        let done: Vec<Vec<_>> = done.buffer_unordered(AT_ONCE).collect().await;
        let mut outcomes = BTreeMap::new();
        for (place, outcome) in done.into_iter().flatten() {
            if let Err(error) = outcome.as_ref()
                && is_about_all(error)
            {
                return outcome.map(|_| Vec::new());
            }
            outcomes.insert(place, outcome);
        }
        self.try_again(request, lines, &groups, &mut outcomes).await?;
        let outcomes: Vec<_> = outcomes.into_values().collect();
        let came_to = judged_by(&outcomes);
        if came_to.counts != expected {
            let entry = recorded(Batch { restricted: Vec::new(), ..batch }, came_to, lines);
            self.record_batch(request, entry, Some(OTHERWISE)).await?;
        }
        Ok(outcomes)
    }

    /// Whom the lines mean, each customer once.
    async fn grouped(&self, lines: &[Line]) -> Result<Vec<Group>, StoreError> {
        // By their places: the compiler takes no closure over borrowed lines here.
        let meant = stream::iter(0..lines.len()).map(|place| self.meant_by(lines, place));
        let meant: Vec<_> = meant.buffered(AT_ONCE).collect().await;
        let mut places: BTreeMap<CustomerKey, Vec<usize>> = BTreeMap::new();
        // Who gets an alias by an earlier line may be meant by it in a later one.
        let mut gained: BTreeMap<(&TenantId, &Source, &CustomerId), CustomerKey> = BTreeMap::new();
        for ((place, line), key) in lines.iter().enumerate().zip(meant) {
            let Some(mut key) = key? else { continue };
            let Line { tenant, customer, statement } = line;
            if key == CustomerKey::new(tenant, customer)
                && let Some(other) = gained.get(&(tenant, &statement.source, customer))
            {
                key = other.clone();
            }
            for (source, id) in statement.fields.aliases.iter().flatten().flatten() {
                gained.insert((tenant, source, id), key.clone());
            }
            places.entry(key).or_default().push(place);
        }
        let groups = stream::iter(places).map(async |(key, lines)| {
            let current = match self.customer(&key).await {
                // Judged again when it is done, and refused then.
                Err(StoreError::Unexpected(_)) => None,
                current => current?,
            };
            Ok(Group { key, lines, current })
        });
        let groups: Vec<Result<Group, StoreError>> = groups.buffered(AT_ONCE).collect().await;
        groups.into_iter().collect()
    }

    async fn meant_by(
        &self,
        lines: &[Line],
        place: usize,
    ) -> Result<Option<CustomerKey>, StoreError> {
        let Some(Line { tenant, customer, statement }) = lines.get(place) else { return Ok(None) };
        self.customer_meant(tenant, &statement.source, customer).await.map(Some)
    }

    /// Works out what comes of the lines if nobody else does anything meanwhile.
    fn judge(&self, request: &Request, lines: &[Line], groups: &[Group]) -> Judged {
        let mut judged =
            Judged { counts: Counts::default(), refusals: BTreeMap::new(), restricted: Vec::new() };
        for Group { key, lines: places, current } in groups {
            let mut customer = current.clone();
            let mut sources = BTreeSet::new();
            for line in places.iter().filter_map(|place| lines.get(*place)) {
                let now = self.clock.now();
                let plans = line.statement.plans(key, customer.as_ref(), &request.actor, now);
                match plans {
                    Err(refusal) => judged.refuse(refusal.code()),
                    Ok(plans) => {
                        judged.count(came_to(customer.as_ref(), &plans));
                        let acts = plans.iter().map(|(_, plan)| &plan.act);
                        let acts = acts.filter(|act| act.is_of_status());
                        sources.extend(acts.map(|act| act.source.clone()));
                        customer = made(key, plans).or(customer);
                    }
                }
            }
            if !sources.is_empty() {
                let before = current.as_ref().map(|it| it.record.body.restrictions.clone());
                let (customer, before) = (key.to_string(), before.unwrap_or_default());
                judged.restricted.push(Touched { customer, sources, before });
            }
        }
        judged
    }

    /// Does one customer's lines one after the other, unless all are given up meanwhile.
    async fn import_group(
        &self,
        request: &Request,
        lines: &[Line],
        groups: &[Group],
        group: usize,
        given_up: &AtomicBool,
    ) -> Vec<(usize, Outcome)> {
        let Some(group) = groups.get(group) else { return Vec::new() };
        let mut outcomes = Vec::with_capacity(group.lines.len());
        let mut read = Some(group);
        for place in &group.lines {
            let Some(line) = lines.get(*place).filter(|_| !given_up.load(Ordering::Relaxed)) else {
                break;
            };
            let outcome = self.import_line(request, &group.key, line, read.take()).await;
            let told = match &outcome {
                Ok(Imported::Created | Imported::Updated) => AuditOutcome::Changed,
                Ok(Imported::Unchanged) => AuditOutcome::Unchanged,
                Err(_) => AuditOutcome::Refused,
            };
            if outcome.as_ref().is_err_and(is_about_all) {
                given_up.store(true, Ordering::Relaxed);
            } else {
                self.metrics.operator_act(request.dialect, Verb::Put, told);
            }
            outcomes.push((*place, outcome));
        }
        outcomes
    }

    /// An alias may have been given up by a customer who came later: with nothing else under way,
    /// whoever was refused one and did nothing since asks again.
    async fn try_again(
        &self,
        request: &Request,
        lines: &[Line],
        groups: &[Group],
        outcomes: &mut BTreeMap<usize, Outcome>,
    ) -> Result<(), ActError> {
        let mut refused: Vec<_> = groups
            .iter()
            .filter_map(|Group { key, lines, .. }| Some((*lines.last()?, key)))
            .filter(|(place, _)| {
                let outcome = outcomes.get(place);
                matches!(outcome, Some(Err(ActError::AliasTaken { .. } | ActError::NotNow(_))))
            })
            .collect();
        refused.sort_by_key(|(place, _)| *place);
        for (place, key) in refused {
            let Some(line) = lines.get(place) else { continue };
            let outcome = self.import_line(request, key, line, None).await;
            if let Err(error) = outcome.as_ref()
                && is_about_all(error)
            {
                return outcome.map(drop);
            }
            outcomes.insert(place, outcome);
        }
        Ok(())
    }

    /// Makes a customer what a line says. `read` has it as it was read a moment ago.
    async fn import_line(
        &self,
        request: &Request,
        key: &CustomerKey,
        line: &Line,
        mut read: Option<&Group>,
    ) -> Outcome {
        for _ in 0..TRIES {
            let current = match read.take() {
                Some(group) => group.current.clone(),
                None => self.customer(key).await?,
            };
            let now = self.clock.now();
            let plans = line.statement.plans(key, current.as_ref(), &request.actor, now)?;
            let Some((_, last)) = plans.last() else { return Ok(Imported::Unchanged) };
            let aliases = current.as_ref().map(|it| it.record.body.aliases.clone());
            let aliases = aliases.unwrap_or_default();
            let leaving = self.claim_aliases(key, &aliases, &last.body.aliases).await?;
            let mut counted = Vec::with_capacity(plans.len());
            for (_, plan) in &plans {
                counted.extend(self.admit(request, key, plan).await?);
            }
            let outcome = came_to(current.as_ref(), &plans);
            if self.commit_each(request, key, current, plans).await? {
                self.release_aliases(leaving).await;
                return Ok(outcome);
            }
        }
        Err(Refusal::KeptChanging.into())
    }

    /// Commits acts on one customer, each upon the one before it; not where somebody else has
    /// changed the customer meanwhile.
    async fn commit_each(
        &self,
        request: &Request,
        key: &CustomerKey,
        mut current: Option<Customer>,
        plans: Vec<(Action, Plan)>,
    ) -> Result<bool, ActError> {
        let partition = self.store.partitions().of(key);
        for (action, plan) in plans {
            let writer = self.writer(partition)?;
            let epoch = writer.epoch.clone();
            let notes = noted(&action)?;
            let (current_now, notes) = (current.as_ref(), notes.as_ref());
            let attempt =
                Attempt { request, key, action: &action, current: current_now, writer, notes };
            let mut commit = self.commit_of(&attempt, Ok(&plan));
            (commit.trail, commit.idempotency) = (Trail::Customer, None);
            let revision = match self.commit(commit).await {
                Ok(Committed { revision, .. }) => revision,
                Err(CommitError::Conflict | CommitError::Store(StoreError::Forgotten)) => {
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            };
            // Whoever imports here and asks here next is answered by what they did.
            self.cache.reaches(&Token { epoch, partition, revision }, EFFECT_AWAITED).await;
            let record = Record { key: key.clone(), revision, body: plan.body };
            current = Some(Customer { record, private: plan.private });
        }
        Ok(true)
    }

    async fn record_batch(
        &self,
        request: &Request,
        batch: Batch,
        notes: Option<&str>,
    ) -> Result<(), ActError> {
        let Counts { created, updated, unchanged, .. } = batch.counts;
        let outcome = match (created + updated, unchanged) {
            (0, 0) => AuditOutcome::Refused,
            (0, _) => AuditOutcome::Unchanged,
            (..) => AuditOutcome::Changed,
        };
        let subject = format!("import:{}", batch.name);
        let entry = AuditEntry {
            outcome,
            notes: notes.map(str::to_owned),
            batch: Some(Box::new(batch)),
            ..self.entry(request, subject, "import")
        };
        self.commit_apart(Write::Nothing { customer: None }, entry, None).await
    }
}

impl Judged {
    fn count(&mut self, imported: Imported) {
        match imported {
            Imported::Created => self.counts.created += 1,
            Imported::Unchanged => self.counts.unchanged += 1,
            Imported::Updated => self.counts.updated += 1,
        }
    }

    fn refuse(&mut self, code: &str) {
        self.counts.refused += 1;
        *self.refusals.entry(code.to_owned()).or_default() += 1;
    }
}

fn judged_by(outcomes: &[Outcome]) -> Judged {
    let mut judged =
        Judged { counts: Counts::default(), refusals: BTreeMap::new(), restricted: Vec::new() };
    for outcome in outcomes {
        match outcome {
            Ok(imported) => judged.count(*imported),
            Err(ActError::Refused(refusal)) => judged.refuse(refusal.code()),
            Err(_) => judged.refuse(Refusal::AliasTaken.code()),
        }
    }
    judged
}

/// `batch` with what is said of its lines beside those that were refused before.
fn recorded(batch: Batch, judged: Judged, lines: &[Line]) -> Batch {
    let Judged { counts, refusals, restricted } = judged;
    let mut all = batch.refusals;
    for (code, count) in refusals {
        *all.entry(code).or_default() += count;
    }
    let refused = all.values().sum();
    let tenants: BTreeSet<_> = lines.iter().map(|line| line.tenant.as_str()).collect();
    let tenant = tenants.first().filter(|_| tenants.len() == 1).map(|it| (*it).to_owned());
    Batch { counts: Counts { refused, ..counts }, refusals: all, restricted, tenant, ..batch }
}

fn came_to(before: Option<&Customer>, plans: &[(Action, Plan)]) -> Imported {
    match before {
        None => Imported::Created,
        Some(_) if plans.iter().any(|(_, plan)| plan.changed) => Imported::Updated,
        Some(_) => Imported::Unchanged,
    }
}

/// The customer after the last of `plans`.
fn made(key: &CustomerKey, plans: Vec<(Action, Plan)>) -> Option<Customer> {
    let (_, Plan { body, private, .. }) = plans.into_iter().next_back()?;
    let record = Record { key: key.clone(), revision: Revision::default(), body };
    Some(Customer { record, private })
}

/// Whether no other line would fare better.
fn is_about_all(error: &ActError) -> bool {
    match error {
        ActError::Store(StoreError::Unexpected(_))
        | ActError::AliasTaken { .. }
        | ActError::NotNow(_)
        | ActError::NotThere(_)
        | ActError::Refused(_) => false,
        ActError::SourcePaused { .. } | ActError::Store(_) | ActError::StoreLost(_) => true,
    }
}

/// How many customers are looked at or changed at a time.
const AT_ONCE: usize = 64;
const OTHERWISE: &str = "not all of the lines came to what the entry before tells of them";
