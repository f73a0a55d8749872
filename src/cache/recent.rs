//! The recent tier: records that were asked for lately, bounded, the least recently used out
//! first, or every record if that is wanted; and beside them those ids that the store does not
//! know.

use std::time::Duration;

use moka::{ops::compute::Op, sync::Cache};
use triomphe::Arc;

use super::{
    complete::Keeping,
    records::{Place, Records, Then, bounded},
};
use crate::{
    domain::{CustomerKey, Epoch, Position, Record, change::CustomerChange},
    store::StoredRecord,
    telemetry::{Metrics, Tier},
};

/// What the store said of one customer, and when.
#[derive(Debug, PartialEq)]
pub struct Held {
    /// What it said.
    pub record: StoredRecord,
    /// The revision at which it was true.
    pub position: Position,
    /// The history of that revision.
    pub epoch: Epoch,
    /// Whether a change has made the rest of the record, beside its restrictions, another one
    /// since it was read.
    pub outdated: bool,
}

impl Held {
    /// Whether `record` says the same of everything that is shown or decides.
    fn agrees_with(&self, record: &StoredRecord) -> bool {
        match (&self.record, record) {
            (StoredRecord::Known(held), StoredRecord::Known(stored)) => {
                held.revision == stored.revision
                    && held.body.restrictions == stored.body.restrictions
                    && !stored.body.changes_entitlements_of(Some(&held.body))
            }
            (StoredRecord::Absent, StoredRecord::Absent)
            | (StoredRecord::Unreadable(_), StoredRecord::Unreadable(_)) => true,
            (StoredRecord::Absent | StoredRecord::Known(_) | StoredRecord::Unreadable(_), _) => {
                false
            }
        }
    }
}

/// What the store said lately.
///
/// There is no `insert`, only [`Recent::offer`]: newer is never replaced by older. All reading
/// and writing of one customer goes through moka's `entry().and_compute_with`, which holds that
/// customer's lock; `insert`, `invalidate` and `try_get_with` do not wait for each other, and
/// every pattern made of them lets an old load overwrite a newer value (each was tried).
#[derive(Debug)]
pub(super) struct Recent {
    known: Records,
    unknown: Cache<CustomerKey, Arc<Held>>,
}

impl Recent {
    /// Room for the records worth `keeping`, and a tenth of that for unknown ids: so that a flood
    /// of them never displaces a record.
    #[must_use]
    pub(super) fn new(keeping: Keeping, metrics: &Metrics) -> Self {
        let (known, unknown) = match keeping {
            Keeping::All(_) => (Records::all(), UNKNOWN_AT_MOST),
            Keeping::Recent(capacity) => {
                (Records::recent(capacity, metrics), (capacity / 10).max(1))
            }
        };
        let unknown = bounded(unknown, Tier::Unknown, metrics).time_to_live(UNKNOWN_FOR);
        Self { known, unknown: unknown.build() }
    }

    /// What is held of the customer with this full name.
    #[must_use]
    pub(super) fn find(&self, customer: &str) -> Place {
        match self.known.find(customer) {
            Place::Vacant => self.unknown.get(customer).map_or(Place::Vacant, Place::Held),
            place @ (Place::Held(_) | Place::Wanted) => place,
        }
    }

    /// Takes what a fill read, if `admitted` and nothing newer is held. `admitted` is asked under
    /// the customer's lock.
    pub(super) fn offer(
        &self,
        customer: &CustomerKey,
        offered: &Arc<Held>,
        admitted: impl Fn(Position) -> bool,
    ) -> bool {
        let is_newer = |held: &Held| held.position > offered.position;
        let mut taken = false;
        if matches!(offered.record, StoredRecord::Absent) {
            self.unknown.entry_by_ref(customer).and_compute_with(|held| {
                let newer_held = held.is_some_and(|held| is_newer(held.value()))
                    || self
                        .known
                        .find(customer.as_str())
                        .held()
                        .is_some_and(|held| is_newer(&held));
                taken = !newer_held && admitted(offered.position);
                if taken { Op::Put(Arc::clone(offered)) } else { Op::Nop }
            });
            if taken {
                self.known.change(customer, |held| {
                    // A change may have come since, after which there is one.
                    let is_older = held.is_none_or(|held| held.position < offered.position);
                    if is_older && admitted(offered.position) { Then::Remove } else { Then::Keep }
                });
            }
        } else {
            self.known.change(customer, |held| {
                let newer_held = held.is_some_and(is_newer)
                    || self.unknown.get(customer).is_some_and(|held| is_newer(&held));
                taken = !newer_held && admitted(offered.position);
                if taken { Then::Put(Arc::clone(offered)) } else { Then::Keep }
            });
            if taken {
                self.drop_unknown(customer, |held| held.position < offered.position);
            }
        }
        taken
    }

    /// Puts `fresh` in the place of the record that is held, if `admitted` and that is of an older
    /// picture, outdated, or another one although `is_heard`: every change that made `fresh` was
    /// applied to what is held. Says whether it was the last.
    pub(super) fn put_right(
        &self,
        customer: &CustomerKey,
        fresh: &Arc<Held>,
        admitted: impl Fn(Position) -> bool,
        is_heard: bool,
    ) -> bool {
        let mut differed = false;
        self.known.change(customer, |held| {
            let Some(held) = held else { return Then::Keep };
            if held.position > fresh.position || !admitted(fresh.position) {
                return Then::Keep;
            }
            let is_young = held.position.generation == fresh.position.generation;
            if is_young && !held.outdated {
                differed = is_heard && !held.agrees_with(&fresh.record);
                if !differed {
                    return Then::Keep;
                }
            }
            match fresh.record {
                StoredRecord::Absent => Then::Remove,
                StoredRecord::Known(_) | StoredRecord::Unreadable(_) => {
                    Then::Put(Arc::clone(fresh))
                }
            }
        });
        differed
    }

    /// Brings what is held of a customer up to a change, or drops it. Returns whether the record
    /// has to be read anew.
    ///
    /// The restrictions are brought up to date in place when the change follows, without a hole,
    /// on what the record already reflects. So a check that asks no entitlement is answered at
    /// once; what else the change made of the record, only the store knows.
    pub(super) fn change(
        &self,
        change: &CustomerChange,
        position: Position,
        in_order: bool,
    ) -> bool {
        let mut read_anew = false;
        self.known.change(&change.key, |held| {
            let Some(held) = held else {
                read_anew = self.known.are_all();
                return Then::Want;
            };
            if held.position >= position {
                return Then::Keep;
            }
            let same_picture = held.position.generation == position.generation;
            let outdated = held.outdated || change.entitlements_changed;
            match &held.record {
                StoredRecord::Known(record) if in_order && same_picture => {
                    let mut record = record.clone();
                    record.revision = position.revision;
                    record.body.restrictions = change.restrictions.clone().of_purged(false);
                    let (record, epoch) = (StoredRecord::Known(record), held.epoch.clone());
                    read_anew = outdated;
                    Then::Put(Arc::new(Held { record, position, epoch, outdated }))
                }
                StoredRecord::Absent | StoredRecord::Known(_) | StoredRecord::Unreadable(_) => {
                    read_anew = true;
                    Then::Want
                }
            }
        });
        self.drop_unknown(&change.key, |held| held.position < position);
        read_anew
    }

    /// Drops what is held of a customer of whom a change made something that cannot be read. Says
    /// whether the record has to be read anew.
    pub(super) fn forget(&self, customer: &CustomerKey, position: Position) -> bool {
        self.drop_unknown(customer, |held| held.position < position);
        self.want_if(customer, |held| held.position < position)
    }

    /// Every record of `generation`, in no order.
    pub(super) fn records(&self, generation: u64) -> impl Iterator<Item = Record> + '_ {
        self.known.iter().filter_map(move |(_, held)| match &held.record {
            StoredRecord::Known(record)
                if held.position.generation == generation && !held.outdated =>
            {
                Some(record.clone())
            }
            StoredRecord::Absent | StoredRecord::Known(_) | StoredRecord::Unreadable(_) => None,
        })
    }

    /// Drops what is held of a customer that lies after `position`. Says whether the record has to
    /// be read anew.
    pub(super) fn forget_after(&self, customer: &CustomerKey, position: Position) -> bool {
        self.drop_unknown(customer, |held| held.position > position);
        self.want_if(customer, |held| held.position > position)
    }

    /// Whether the record of `customer` is not held as it is in the picture of `generation`. It is
    /// wanted then, where every record is kept.
    #[must_use]
    pub(super) fn lacks(&self, customer: &CustomerKey, generation: u64) -> bool {
        let mut lacks = false;
        self.known.change(customer, |held| {
            lacks = held.is_none_or(|held| held.position.generation < generation || held.outdated);
            if held.is_none() { Then::Want } else { Then::Keep }
        });
        lacks
    }

    /// Drops every record of an older picture than that of `generation` that is `theirs`, and tells
    /// whose they were.
    #[must_use]
    pub(super) fn drop_older(
        &self,
        generation: u64,
        is_theirs: impl Fn(&CustomerKey) -> bool,
    ) -> Vec<CustomerKey> {
        let is_older = |held: &Held| held.position.generation < generation;
        let older =
            self.known.iter().filter(|(customer, held)| is_older(held) && is_theirs(customer));
        let older: Vec<_> = older.map(|(customer, _)| customer).collect();
        for customer in &older {
            self.want_if(customer, is_older);
        }
        older
    }

    /// Every customer whose record is held. Going through them does not count as asking for them.
    pub(super) fn customers(&self) -> impl Iterator<Item = CustomerKey> + '_ {
        self.known.iter().map(|(customer, _)| customer)
    }

    /// How many records and how many unknown ids are held.
    #[must_use]
    pub(super) fn sizes(&self) -> (u64, u64) {
        (self.known.count(), self.unknown.entry_count())
    }

    /// Drops the record of `customer` if it is void. Where every record is kept, it is wanted then,
    /// and also if it is not there. Says whether it is.
    fn want_if(&self, customer: &CustomerKey, is_void: impl Fn(&Held) -> bool) -> bool {
        let mut is_wanted = false;
        self.known.change(customer, |held| {
            is_wanted = held.is_none_or(is_void);
            if is_wanted { Then::Want } else { Then::Keep }
        });
        is_wanted && self.known.are_all()
    }

    fn drop_unknown(&self, customer: &CustomerKey, is_void: impl Fn(&Held) -> bool) {
        self.unknown.entry_by_ref(customer).and_compute_with(|held| match held {
            Some(held) if is_void(held.value()) => Op::Remove,
            _ => Op::Nop,
        });
    }
}

/// How long an id is remembered as unknown. A push drops it at once.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
/// How many unknown ids are remembered where every record is kept, and so an absence is known
/// without them nearly always.
const UNKNOWN_AT_MOST: u64 = 10_000;
