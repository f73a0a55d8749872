//! The recent tier: records that were asked for lately, bounded, the least recently used out
//! first; and beside them those ids that the store does not know.

use std::{sync::Arc, time::Duration};

use moka::{
    notification::RemovalCause,
    ops::compute::Op,
    policy::EvictionPolicy,
    sync::{Cache, CacheBuilder},
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
    known: Cache<CustomerKey, Arc<Held>>,
    unknown: Cache<CustomerKey, Arc<Held>>,
}

impl Recent {
    /// Room for `capacity` records, and a tenth of that for unknown ids: so that a flood of them
    /// never displaces a record.
    #[must_use]
    pub(super) fn new(capacity: u64, metrics: &Metrics) -> Self {
        let tier = |capacity, tier| {
            let evictions = metrics.cache_evictions[tier].clone();
            CacheBuilder::new(capacity)
                // With moka's default policy, 499 of 500 fresh inserts of cold keys were refused.
                .eviction_policy(EvictionPolicy::lru())
                .eviction_listener(move |_, _, cause| {
                    if cause == RemovalCause::Size {
                        evictions.increment(1);
                    }
                })
        };
        let unknown = tier((capacity / 10).max(1), Tier::Unknown).time_to_live(UNKNOWN_FOR);
        Self { known: tier(capacity, Tier::Recent).build(), unknown: unknown.build() }
    }

    /// What is held of `customer`.
    #[must_use]
    pub(super) fn find(&self, customer: &str) -> Option<Arc<Held>> {
        self.known.get(customer).or_else(|| self.unknown.get(customer))
    }

    /// Takes what a fill read, if `admitted` and nothing newer is held. `admitted` is asked under
    /// the customer's lock.
    pub(super) fn offer(
        &self,
        customer: &CustomerKey,
        offered: &Arc<Held>,
        admitted: impl Fn(Position) -> bool,
    ) -> bool {
        let (into, other) = match offered.record {
            StoredRecord::Absent => (&self.unknown, &self.known),
            StoredRecord::Known(_) | StoredRecord::Unreadable(_) => (&self.known, &self.unknown),
        };
        let mut taken = false;
        let is_newer = |held: &Held| held.position > offered.position;
        into.entry_by_ref(customer).and_compute_with(|held| {
            let newer_held = held.is_some_and(|held| is_newer(held.value()))
                || other.get(customer).is_some_and(|held| is_newer(&held));
            taken = !newer_held && admitted(offered.position);
            if taken { Op::Put(Arc::clone(offered)) } else { Op::Nop }
        });
        if taken {
            drop_older_than(other, customer, offered.position);
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
        self.known.entry_by_ref(customer).and_compute_with(|held| {
            let Some(held) = held else { return Op::Nop };
            let held = held.value();
            if held.position > fresh.position || !admitted(fresh.position) {
                return Op::Nop;
            }
            let is_young = held.position.generation == fresh.position.generation;
            if is_young && !held.outdated {
                differed = is_heard && !held.agrees_with(&fresh.record);
                if !differed {
                    return Op::Nop;
                }
            }
            match fresh.record {
                StoredRecord::Absent => Op::Remove,
                StoredRecord::Known(_) | StoredRecord::Unreadable(_) => Op::Put(Arc::clone(fresh)),
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
        self.known.entry_by_ref(&change.key).and_compute_with(|held| {
            let Some(held) = held else { return Op::Nop };
            let held = held.value();
            if held.position >= position {
                return Op::Nop;
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
                    Op::Put(Arc::new(Held { record, position, epoch, outdated }))
                }
                StoredRecord::Absent | StoredRecord::Known(_) | StoredRecord::Unreadable(_) => {
                    read_anew = true;
                    Op::Remove
                }
            }
        });
        drop_older_than(&self.unknown, &change.key, position);
        read_anew
    }

    /// Drops what is held of a customer of whom a change made something that cannot be read.
    pub(super) fn forget(&self, customer: &CustomerKey, position: Position) {
        drop_older_than(&self.known, customer, position);
        drop_older_than(&self.unknown, customer, position);
    }

    /// Every record of `generation`, in no order.
    pub(super) fn records(&self, generation: u64) -> impl Iterator<Item = Record> {
        self.known.iter().filter_map(move |(_, held)| match &held.record {
            StoredRecord::Known(record)
                if held.position.generation == generation && !held.outdated =>
            {
                Some(record.clone())
            }
            StoredRecord::Absent | StoredRecord::Known(_) | StoredRecord::Unreadable(_) => None,
        })
    }

    /// Drops what is held of a customer that lies after `position`.
    pub(super) fn forget_after(&self, customer: &CustomerKey, position: Position) {
        for tier in [&self.known, &self.unknown] {
            drop_if(tier, customer, |held| held.position > position);
        }
    }

    /// Every customer whose record is held. Going through them does not count as asking for them.
    pub(super) fn customers(&self) -> impl Iterator<Item = Arc<CustomerKey>> {
        self.known.iter().map(|(customer, _)| customer)
    }

    /// How many records and how many unknown ids are held.
    #[must_use]
    pub(super) fn sizes(&self) -> (u64, u64) {
        (self.known.entry_count(), self.unknown.entry_count())
    }
}

fn drop_older_than(
    tier: &Cache<CustomerKey, Arc<Held>>,
    customer: &CustomerKey,
    position: Position,
) {
    drop_if(tier, customer, |held| held.position < position);
}

fn drop_if(
    tier: &Cache<CustomerKey, Arc<Held>>,
    customer: &CustomerKey,
    is_void: impl Fn(&Held) -> bool,
) {
    tier.entry_by_ref(customer).and_compute_with(|held| match held {
        Some(held) if is_void(held.value()) => Op::Remove,
        _ => Op::Nop,
    });
}

/// How long an id is remembered as unknown. A push drops it at once.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
