//! Why a customer is answered as it is: judged as its checks are, and counted nowhere.

use std::sync::Arc;

use super::{Answer, Gate, Judged, Weighed};
use crate::{
    cache::{Forgotten, Held},
    domain::{
        Asked, Check, CustomerKey, Epoch, Missing, Operation, Partition, Readings, Reason,
        RecordEvidence, Restriction, Restrictions, Revision, SaidBy, Staleness, Timestamp, Token,
    },
};

/// Why a customer is answered as it is.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What each question comes to, in their order.
    pub verdicts: Vec<Verdict>,
    /// What all of them stand on.
    pub seen: Seen,
}

/// What a question comes to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// As an enforcement point is answered.
    pub answer: Answer,
    /// What says the mode.
    pub mode_said_by: SaidBy,
    /// The way of reading the question that was decided by.
    pub asked: Asked,
    /// The restrictions for which it is refused: each of them would suffice.
    pub refused_by: Vec<Restriction>,
    /// The restrictions in force that the route sets aside.
    pub set_aside: Vec<Restriction>,
    /// What every way of reading the question comes to by itself, if there are several.
    pub readings: Vec<(Asked, Answer)>,
}

/// What is known of a customer when it is asked about.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its restrictions, in force or not, with those that the store forgot.
    pub restrictions: Restrictions,
    /// What is known of its record.
    pub record: RecordState,
    /// The record, if there is one to be had.
    pub held: Option<triomphe::Arc<Held>>,
    /// Whether that was read from the store for this.
    pub was_read: bool,
    /// The revision of its entry in the restricted set.
    pub restricted_at: Option<Revision>,
    /// Its acts that the store forgot and that are not written back yet.
    pub forgotten: Vec<Arc<Forgotten>>,
    /// The partition that holds it.
    pub partition: Partition,
    /// The history that is followed there.
    pub epoch: Option<Epoch>,
    /// The revision that the answers stand on.
    pub revision: Option<Token>,
    /// How old all this is.
    pub staleness: Staleness,
    /// Whether that is past the staleness budget.
    pub stale: bool,
    /// Whether what is read from the store is believed.
    pub store_believed: bool,
    /// The moment for which it is judged.
    pub now: Timestamp,
}

/// What is known of a customer's record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordState {
    /// The store says that there is none.
    Absent,
    /// What it says is known.
    Known,
    /// It cannot be had now.
    Missing(Missing),
    /// It is not in memory, and was not read: what restricts the customer decides without it.
    NotNeeded,
    /// The customer was erased.
    Purged,
    /// It cannot be read.
    Unreadable,
}

impl Seen {
    /// Whether there is such a customer; nothing if that cannot be told.
    #[must_use]
    pub fn is_known(&self) -> Option<bool> {
        match self.record {
            RecordState::Purged => Some(false),
            _ if !self.restrictions.is_empty() => Some(true),
            RecordState::Known | RecordState::Unreadable => Some(true),
            RecordState::Absent => Some(false),
            RecordState::Missing(_) | RecordState::NotNeeded => None,
        }
    }
}

impl Gate {
    /// Judges every one of `questions` about `customer` on what is known of it at one moment.
    /// Reads its record as a check does.
    pub async fn explain(&self, customer: &CustomerKey, questions: Vec<Readings>) -> Explained {
        let check = |readings: Readings| readings.of(Ok(customer.clone()), None);
        // What all of them need; and the customer, also where nothing of it matters.
        let whole = questions.iter().flat_map(Readings::iter).cloned().collect();
        let whole = check(Readings { first: Asked::plain(Operation::Read), others: whole });
        let questions: Vec<_> = questions.into_iter().map(check).collect();
        let patience = self.settings.fill_timeout;
        let judge = |weighed: Weighed<'_>| Explained {
            verdicts: questions.iter().map(|check| self.verdict(check, &weighed)).collect(),
            seen: self.seen(customer, &weighed),
        };
        self.weigh(&whole, self.clock.moment(), patience, judge).await
    }

    fn verdict(&self, check: &Check, weighed: &Weighed<'_>) -> Verdict {
        let (answer, Judged { decision, enforced, asked }) =
            self.judge(check, weighed, weighed.revision.clone());
        let (now, left) = (weighed.now, self.rules().policy.access);
        let in_force = || weighed.evidence.restrictions.in_force_at(now);
        let is_for_status = matches!(
            decision.reason,
            Reason::CustomerDisabled | Reason::CustomerFrozen | Reason::CustomerInactive
        );
        let refuses = |held: &&Restriction| {
            is_for_status
                && asked.route.counts(held)
                && !left.by(held.kind).permits(asked.operation)
        };
        let alone = |reading: &Asked| {
            let check = Check { readings: reading.clone().into_readings(), ..check.clone() };
            (reading.clone(), self.judge(&check, weighed, weighed.revision.clone()).0)
        };
        let is_read_otherwise = !check.readings.others.is_empty();
        Verdict {
            refused_by: in_force().filter(refuses).cloned().collect(),
            set_aside: in_force().filter(|held| !asked.route.counts(held)).cloned().collect(),
            readings: check.readings.iter().filter(|_| is_read_otherwise).map(alone).collect(),
            mode_said_by: enforced.mode_said_by,
            asked: asked.clone(),
            answer,
        }
    }

    fn seen(&self, customer: &CustomerKey, weighed: &Weighed<'_>) -> Seen {
        let Weighed { evidence, found, filled, revision, now } = weighed;
        let picture = found.and_then(|found| found.picture.as_ref());
        let forgotten = picture.map(|picture| picture.withheld.list()).unwrap_or_default();
        let entry = found.and_then(|found| found.entry.as_ref());
        let partition = self.cache.partition_of(customer);
        Seen {
            restrictions: evidence.restrictions.clone(),
            record: match evidence.record {
                RecordEvidence::Absent => RecordState::Absent,
                RecordEvidence::Known(_) => RecordState::Known,
                RecordEvidence::Purged => RecordState::Purged,
                RecordEvidence::Missing(_) if filled.is_none() => RecordState::NotNeeded,
                RecordEvidence::Missing(missing) => RecordState::Missing(missing),
                RecordEvidence::Unreadable => RecordState::Unreadable,
            },
            held: found.and_then(|found| found.held.clone()),
            was_read: *filled == Some(Ok(())),
            restricted_at: entry.map(|entry| entry.revision),
            forgotten: forgotten.into_iter().filter(|it| it.change.key == *customer).collect(),
            partition,
            epoch: picture.map(|picture| picture.epoch.clone()),
            revision: revision.clone(),
            staleness: evidence.staleness,
            stale: weighed.is_stale(),
            store_believed: self.cache.is_believed(partition),
            now: *now,
        }
    }
}
