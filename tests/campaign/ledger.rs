//! What was asked for and what was answered, and what is certain of each customer from it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tollgate::domain::{Epoch, Restriction, Timestamp, Token};

use super::act::Act;

/// Everything that the writers did.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Mutex<Vec<Entry>>,
    standings: Mutex<BTreeMap<String, Standing>>,
}

/// One act and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// What was asked for.
    pub(crate) act: Act,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// What came of an act.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It was done, and this was the customer afterwards.
    Acknowledged(Acknowledged),
    /// It certainly was not done, with this code.
    Refused(String),
    /// It may have been done, or still be.
    Unanswered,
}

/// How a customer stood when an act on it was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// Whether the act made a difference.
    pub(crate) changed: bool,
    /// The revision of the customer's last change.
    pub(crate) token: Token,
    /// What was in force and scheduled.
    pub(crate) restrictions: Vec<Restriction>,
    /// The seat of the instance that said so.
    pub(crate) seat: usize,
}

/// What is certain of a customer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// Acts on it that are under way, or were never answered.
    open: u32,
    /// Those of them that may let it in.
    letting_in: u32,
    /// Counts acts that may let it in.
    version: u64,
    newest: Option<Acknowledged>,
    /// The history in which it was last let in by an act that was acknowledged.
    let_in: Option<Epoch>,
    /// Whether an act that let it in may have been forgotten, and come back behind the newest one.
    doubtful: bool,
}

impl Standing {
    /// The acknowledgement from which on the customer is certainly refused writes, also some time
    /// from now.
    pub(crate) fn refused_from(&self, now: Timestamp) -> Option<&Acknowledged> {
        let newest = self.newest.as_ref().filter(|_| self.letting_in == 0 && !self.doubtful)?;
        let soon = now.saturating_add(Duration::from_secs(3));
        let holds = |held: &&Restriction| held.in_force_at(now) && held.in_force_at(soon);
        newest.restrictions.iter().any(|held| holds(&held)).then_some(newest)
    }

    /// How the customer stood last, if nobody may have changed that since.
    pub(crate) fn certain(&self) -> Option<&Acknowledged> {
        self.newest.as_ref().filter(|_| self.open == 0 && !self.doubtful)
    }

    /// Whether nobody began to let the customer in between `self` and `later`.
    pub(crate) fn holds_until(&self, later: &Self) -> bool {
        self.version == later.version
    }
}

impl Ledger {
    /// Notes that `act` is about to be asked for.
    pub(crate) fn begin(&self, act: &Act) {
        let mut standings = self.standings();
        let standing = standings.entry(act.customer.clone()).or_default();
        standing.open += 1;
        if act.may_let_in() {
            standing.letting_in += 1;
            standing.version += 1;
        }
    }

    /// Notes what came of it.
    pub(crate) fn end(&self, act: Act, outcome: Outcome) {
        let mut standings = self.standings();
        let standing = standings.entry(act.customer.clone()).or_default();
        if !matches!(outcome, Outcome::Unanswered) {
            standing.open -= 1;
            standing.letting_in -= u32::from(act.may_let_in());
        }
        if let Outcome::Acknowledged(acknowledged) = &outcome {
            let is_newer = standing.newest.as_ref().is_none_or(|newest| {
                newest.token.epoch != acknowledged.token.epoch
                    || newest.token.revision < acknowledged.token.revision
            });
            let epoch = &acknowledged.token.epoch;
            if is_newer {
                standing.newest = Some(acknowledged.clone());
            }
            // While two servers call themselves master, or once another history has begun, an act
            // may be forgotten that was acknowledged, and is done again later.
            let was_let_in = standing.let_in.as_ref().is_some_and(|it| it != epoch);
            let may_come_back = was_let_in || act.may_let_in() && !is_newer;
            if act.may_let_in() {
                standing.let_in = Some(epoch.clone());
            }
            if may_come_back {
                standing.doubtful = true;
                standing.version += 1;
            }
        }
        drop(standings);
        self.entries.lock().unwrap().push(Entry { act, outcome });
    }

    /// What is certain of a customer now.
    pub(crate) fn standing(&self, customer: &str) -> Standing {
        self.standings().get(customer).cloned().unwrap_or_default()
    }

    /// Nothing is under way any more: what was never answered or was forgotten was done by now, or
    /// never will be. What the customers it was about may do is not certain until the next act on them.
    pub(crate) fn settle(&self) {
        for standing in self.standings().values_mut() {
            standing.let_in = None;
            if standing.open > 0 || standing.doubtful {
                *standing = Standing { version: standing.version + 1, ..Standing::default() };
            }
        }
    }

    /// How many acts have ended.
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().unwrap().len()
    }

    /// Everything so far, in the order in which it ended.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    fn standings(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.standings.lock().unwrap()
    }
}
