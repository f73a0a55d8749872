//! The restricted tier: every customer with a restriction, complete and never evicted, so that
//! absence from it is knowledge.

mod packed;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use self::packed::{Packed, Sources};
use super::{
    table::{Table, To},
    withheld::Withheld,
};
use crate::{
    domain::{CustomerKey, Epoch, Lineage, Restrictions, Revision, Timestamp},
    store::{Census, Head, RestrictedEntry},
};

/// One partition's restricted set, as of one bootstrap and everything applied since.
#[derive(Debug)]
pub struct Picture {
    /// Which picture of the store this is; each new one has a higher number.
    pub generation: u64,
    /// The history that its revisions count in.
    pub epoch: Epoch,
    /// Which histories that came out of.
    pub lineage: Lineage,
    /// Whether the store lacks records that there were: an absence then says nothing.
    pub partial: AtomicBool,
    /// What the store forgot, and has to be written back.
    pub withheld: Withheld,
    table: Table<Packed>,
    sources: Sources,
    census: Mutex<Census>,
}

/// What is known of one restricted customer.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// The revision of its last change.
    pub revision: Revision,
    /// Its restrictions; nothing if this version cannot read them.
    pub restrictions: Option<Restrictions>,
}

impl Picture {
    /// An empty picture of a first history.
    #[must_use]
    pub fn new(generation: u64, epoch: Epoch) -> Self {
        Self {
            generation,
            lineage: Lineage::of(epoch.clone()),
            epoch,
            partial: AtomicBool::new(false),
            withheld: Withheld::default(),
            table: Table::default(),
            sources: Sources::default(),
            census: Mutex::default(),
        }
    }

    /// An empty picture of what `head` is the head of.
    #[must_use]
    pub fn of(generation: u64, head: Head) -> Self {
        let Head { epoch, lineage, partial, .. } = head;
        Self { lineage, partial: partial.into(), ..Self::new(generation, epoch) }
    }

    /// Whether the store lacks records that there were.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.partial.load(Ordering::Relaxed)
    }

    /// Every entry, in no order, a part at a time: what is changed meanwhile may be missed.
    pub fn entries(&self) -> impl Iterator<Item = RestrictedEntry> {
        self.pages().flatten()
    }

    /// What is known of `customer`; nothing when it is not restricted.
    #[must_use]
    pub fn find(&self, customer: &CustomerKey) -> Option<Entry> {
        self.find_named(customer.as_str())
    }

    /// The same, of the customer with this full name.
    #[must_use]
    pub fn find_named(&self, customer: &str) -> Option<Entry> {
        self.table.find(customer, |held| Entry {
            revision: held.revision(),
            restrictions: held.restrictions(&self.sources),
        })
    }

    /// Takes what is known of a customer at a revision, unless something newer is known. No
    /// restriction at all takes it out of the set.
    pub fn offer(&self, offered: RestrictedEntry) {
        let RestrictedEntry { key, revision, restrictions } = &offered;
        let (key, revision) = (key.clone(), *revision);
        let lifted = restrictions.as_ref().is_some_and(Restrictions::is_empty);
        self.table.change(key.as_str(), |held| {
            let held = held.map(Packed::revision);
            if held.is_some_and(|held| held >= revision) {
                return To::Same;
            }
            let mut census = self.census.lock();
            if let Some(held) = held {
                *census = census.without(&key, held);
            }
            if lifted {
                To::Nothing
            } else {
                *census = census.with(&key, revision);
                To::This(Packed::of(offered, &self.sources))
            }
        });
    }

    /// All entries, some at a time. One that changes meanwhile may come as it was or as it is.
    pub fn pages(&self) -> impl Iterator<Item = Vec<RestrictedEntry>> {
        self.table.shards(|held| {
            Some(RestrictedEntry {
                key: held.key()?,
                revision: held.revision(),
                restrictions: held.restrictions(&self.sources),
            })
        })
    }

    /// How many entries there are, and their digest.
    #[must_use]
    pub fn census(&self) -> Census {
        *self.census.lock()
    }

    /// Gives back the memory of a picture that was replaced, on a thread of its own and once nobody
    /// looks at it any more: for 600,000 customers that takes tens of milliseconds, in which no check
    /// is to wait.
    pub fn free(self: Arc<Self>) {
        let free = move || {
            while Arc::strong_count(&self) > 1 {
                thread::sleep(SEEN_AGAIN_AFTER);
            }
            drop(self);
        };
        // Without another thread it is freed here.
        let _ = thread::Builder::new().name("free-picture".to_owned()).spawn(free);
    }

    /// Customers with a restriction that is over at `moment`, and all that each of them has; some
    /// of them when they are more than `at_most`.
    #[must_use]
    pub fn lapsed_at(&self, moment: Timestamp, at_most: usize) -> Vec<(CustomerKey, Restrictions)> {
        let lapsed = self.table.shards(|held| {
            let lapsed = Some(held).filter(|held| held.has_lapsed(moment))?;
            Some((lapsed.key()?, lapsed.restrictions(&self.sources)?))
        });
        lapsed.flatten().take(at_most).collect()
    }
}

/// How long it is waited before it is seen again whether somebody looks at a picture: most checks do
/// for microseconds, some until a record is there, and a snapshot file until it is written.
const SEEN_AGAIN_AFTER: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(revision: u64, compact: &str) -> RestrictedEntry {
        RestrictedEntry {
            key: CustomerKey::parse("default:c1").unwrap(),
            revision: Revision(revision),
            restrictions: Restrictions::parse_compact(compact).ok(),
        }
    }

    fn picture() -> Picture {
        Picture::new(1, Epoch::parse("e1").unwrap())
    }

    #[test]
    fn the_newest_revision_wins_whatever_the_order() {
        let offers = [
            entry(1, "frozen,operator,other,1,"),
            entry(2, "disabled,operator,other,1,"),
            entry(3, "frozen,operator,fraud,1,"),
        ];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let picture = picture();
            for index in order {
                let offered: &RestrictedEntry = &offers[index];
                picture.offer(offered.clone());
            }
            let found = picture.find(&offers[0].key).map(|found| found.revision);
            assert_eq!(found, Some(Revision(3)));
            let expected = Census::default().with(&offers[0].key, Revision(3));
            assert_eq!(picture.census(), expected);
        }
    }

    #[test]
    fn a_picture_is_freed_on_a_thread_of_its_own_once_nobody_looks_at_it() {
        let picture = Arc::new(picture());
        picture.offer(entry(1, "frozen,operator,other,1,"));
        let (looker, witness) = (Arc::clone(&picture), Arc::downgrade(&picture));
        picture.free();
        assert_eq!(looker.census().count, 1);
        drop(looker);
        let begun = std::time::Instant::now();
        while witness.strong_count() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(30), "it was never freed");
            thread::yield_now();
        }
    }

    #[test]
    fn an_entry_that_cannot_be_read_stays_in_the_set() {
        let picture = picture();
        picture.offer(RestrictedEntry { restrictions: None, ..entry(1, "") });
        assert_eq!(picture.find(&entry(1, "").key).unwrap().restrictions, None);
        picture.offer(entry(2, ""));
        assert_eq!(picture.find(&entry(1, "").key), None);
        assert_eq!(picture.census(), Census::default());
    }
}
