//! Where records are kept: the recent ones, or every one.

use moka::{
    notification::RemovalCause,
    ops::compute::Op,
    policy::EvictionPolicy,
    sync::{Cache, CacheBuilder},
};
use triomphe::{Arc, ArcUnion, ArcUnionBorrow};

use super::{
    recent::Held,
    table::{OfCustomer, Table, To},
};
use crate::{
    domain::CustomerKey,
    store::StoredRecord,
    telemetry::{Metrics, Tier},
};

/// What the store said of customers.
#[derive(Debug)]
pub(super) enum Records {
    /// Of all of them.
    All(Table<Slot>),
    /// Of some of them; the least recently used go first.
    Recent(Cache<CustomerKey, Arc<Held>>),
}

/// A customer's place where every record is kept: a record, which says whose it is, or another thing.
/// There is one per customer and room for two, so it is no larger than a pointer.
#[derive(Debug)]
pub(super) struct Slot(ArcUnion<Held, Other>);

/// What cannot be read does not say whose it is, nor does what is not there yet.
#[derive(Debug)]
struct Other {
    customer: CustomerKey,
    held: Option<Arc<Held>>,
}

impl Slot {
    fn of(customer: &CustomerKey, held: Option<Arc<Held>>) -> Self {
        match held {
            Some(held) if matches!(held.record, StoredRecord::Known(_)) => {
                Self(ArcUnion::from_first(held))
            }
            held => {
                let other = Other { customer: customer.clone(), held };
                Self(ArcUnion::from_second(Arc::new(other)))
            }
        }
    }

    fn held(&self) -> Option<Arc<Held>> {
        match self.0.borrow() {
            ArcUnionBorrow::First(held) => Some(held.clone_arc()),
            ArcUnionBorrow::Second(other) => other.held.clone(),
        }
    }

    fn key(&self) -> Option<&CustomerKey> {
        match self.0.borrow() {
            ArcUnionBorrow::First(held) => match &held.get().record {
                StoredRecord::Known(record) => Some(&record.key),
                StoredRecord::Absent | StoredRecord::Unreadable(_) => None,
            },
            ArcUnionBorrow::Second(other) => Some(&other.get().customer),
        }
    }
}

impl OfCustomer for Slot {
    fn customer(&self) -> &[u8] {
        self.key().map_or(&[], |key| key.as_str().as_bytes())
    }
}

/// What is found in a customer's place.
#[derive(Debug)]
pub(super) enum Place {
    /// What the store said.
    Held(Arc<Held>),
    /// Nothing.
    Vacant,
    /// A record that is still to be read.
    Wanted,
}

impl Place {
    /// What the store said, if that is there.
    pub(super) fn held(self) -> Option<Arc<Held>> {
        match self {
            Self::Held(held) => Some(held),
            Self::Vacant | Self::Wanted => None,
        }
    }
}

/// What becomes of a customer's place.
#[derive(Debug)]
pub(super) enum Then {
    /// It stays as it is.
    Keep,
    /// This is held from now on.
    Put(Arc<Held>),
    /// There is no such record.
    Remove,
    /// There may be a record, and it is not the one that is held.
    Want,
}

impl Records {
    /// Every one.
    pub(super) fn all() -> Self {
        Self::All(Table::default())
    }

    /// As many as `capacity` of those that were asked for lately.
    pub(super) fn recent(capacity: u64, metrics: &Metrics) -> Self {
        Self::Recent(bounded(capacity, Tier::Recent, metrics).build())
    }

    /// Whether every record is kept.
    pub(super) const fn are_all(&self) -> bool {
        matches!(self, Self::All(_))
    }

    /// What is in the place of the customer with this full name.
    pub(super) fn find(&self, customer: &str) -> Place {
        match self {
            Self::All(table) => {
                let wanted_or = |slot: &Slot| slot.held().map_or(Place::Wanted, Place::Held);
                table.find(customer, wanted_or).unwrap_or(Place::Vacant)
            }
            Self::Recent(cache) => cache.get(customer).map_or(Place::Vacant, Place::Held),
        }
    }

    /// Lets `then` say what becomes of a customer's place, of which it is told what is held. Nobody
    /// else does so meanwhile.
    pub(super) fn change(&self, customer: &CustomerKey, then: impl FnOnce(Option<&Held>) -> Then) {
        match self {
            Self::All(table) => {
                table.change(customer.as_str(), |slot| {
                    match then(slot.and_then(Slot::held).as_deref()) {
                        Then::Keep => To::Same,
                        Then::Put(held) => To::This(Slot::of(customer, Some(held))),
                        Then::Remove => To::Nothing,
                        Then::Want => To::This(Slot::of(customer, None)),
                    }
                });
            }
            Self::Recent(cache) => {
                cache.entry_by_ref(customer).and_compute_with(|entry| {
                    match (then(entry.as_ref().map(|entry| &**entry.value())), &entry) {
                        (Then::Put(held), _) => Op::Put(held),
                        (Then::Remove | Then::Want, Some(_)) => Op::Remove,
                        (Then::Keep | Then::Remove | Then::Want, _) => Op::Nop,
                    }
                });
            }
        }
    }

    /// All that is held, in no order. Going through it does not count as asking for it.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (CustomerKey, Arc<Held>)> + '_> {
        match self {
            Self::All(table) => {
                let held = |slot: &Slot| Some((slot.key()?.clone(), slot.held()?));
                Box::new(table.shards(held).flatten())
            }
            Self::Recent(cache) => {
                Box::new(cache.iter().map(|(customer, held)| (CustomerKey::clone(&customer), held)))
            }
        }
    }

    /// How many records are held.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::All(table) => table.count(),
            Self::Recent(cache) => cache.entry_count(),
        }
    }
}

/// A cache with room for `capacity`, the least recently used out first.
pub(super) fn bounded(
    capacity: u64,
    tier: Tier,
    metrics: &Metrics,
) -> CacheBuilder<CustomerKey, Arc<Held>, Cache<CustomerKey, Arc<Held>>> {
    let evictions = metrics.cache_evictions[tier].clone();
    CacheBuilder::new(capacity)
        // With moka's default policy, 499 of 500 fresh inserts of cold keys were refused.
        .eviction_policy(EvictionPolicy::lru())
        .eviction_listener(move |_, _, cause| {
            if cause == RemovalCause::Size {
                evictions.increment(1);
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customers_place_takes_a_pointer_and_its_record_a_piece_of_208_bytes() {
        assert_eq!(size_of::<Slot>(), 8);
        // Beside a count. Pieces of memory grow by 16, and each needs eight for itself.
        assert!(size_of::<u64>() + size_of::<Held>() + 8 <= 208);
    }
}
