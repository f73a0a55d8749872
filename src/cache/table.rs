//! Many small things by customer, in little room: cut into shards, so that a writer seldom meets a
//! reader and growing never moves all of them at once.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use parking_lot::RwLock;

/// What a [`Table`] holds: it knows whose it is.
pub(super) trait OfCustomer {
    /// The customer's full name.
    fn customer(&self) -> &[u8];
}

/// One thing per customer.
#[derive(Debug)]
pub(super) struct Table<T> {
    hasher: DefaultHashBuilder,
    shards: Box<[RwLock<HashTable<T>>]>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }
}

impl<T: OfCustomer> Table<T> {
    /// Makes something of what is held of `customer`, while nobody changes it.
    pub(super) fn find<R>(&self, customer: &str, read: impl FnOnce(&T) -> R) -> Option<R> {
        let customer = customer.as_bytes();
        let hash = self.hasher.hash_one(customer);
        let shard = self.shard(hash).read();
        shard.find(hash, |held| held.customer() == customer).map(read)
    }

    /// Puts something in the place of what is held of `customer`, if there is something, or takes
    /// it away: `change` says what is held from now on.
    pub(super) fn change(&self, customer: &str, change: impl FnOnce(Option<&T>) -> To<T>) {
        let customer = customer.as_bytes();
        let hash_of = |customer: &[u8]| self.hasher.hash_one(customer);
        let hash = hash_of(customer);
        let mut shard = self.shard(hash).write();
        let is_theirs = |held: &T| held.customer() == customer;
        match shard.entry(hash, is_theirs, |held| hash_of(held.customer())) {
            Entry::Occupied(mut held) => match change(Some(held.get())) {
                To::Same => {}
                To::Nothing => drop(held.remove()),
                To::This(new) => *held.get_mut() = new,
            },
            Entry::Vacant(place) => match change(None) {
                To::Same | To::Nothing => {}
                To::This(new) => drop(place.insert(new)),
            },
        }
    }

    /// Makes something of everything that is held, a shard at a time and in no order: what is
    /// changed meanwhile may come as it was or as it is.
    pub(super) fn shards<R>(&self, read: impl Fn(&T) -> Option<R>) -> impl Iterator<Item = Vec<R>> {
        self.shards.iter().map(move |shard| shard.read().iter().filter_map(&read).collect())
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().len() as u64).sum()
    }

    fn shard(&self, hash: u64) -> &RwLock<HashTable<T>> {
        // Bits that the tables do not look at.
        let number = usize::try_from(hash >> SHARD_BITS_AT).unwrap_or(0) % SHARDS;
        &self.shards[number]
    }
}

/// What becomes of what is held of a customer.
#[derive(Debug)]
pub(super) enum To<T> {
    /// It stays as it is.
    Same,
    /// Nothing is held of them any more.
    Nothing,
    /// This is held instead.
    This(T),
}

/// Enough that a writer seldom meets a reader.
const SHARDS: usize = 256;
/// A table takes the lowest bits for the place and the highest seven to tell who is there.
const SHARD_BITS_AT: u32 = 48;
