//! The rule against the fill race: what a fill read before a change must not land after it.
//!
//! A fill that read revision 7 and lands after change 8 would put the old status back. So a
//! change leaves a *floor* for its customer, and what a fill brings must not lie below it. A floor
//! is needed only by fills that were under way when it was raised: one that begins later reads a
//! store that has the change.

use std::collections::{BTreeSet, HashMap};

use crate::domain::{CustomerKey, Position};

/// The fills under way in one partition, and the floors they are measured against.
#[derive(Debug, Default)]
pub(super) struct Floors {
    watermark: Position,
    next_ticket: u64,
    under_way: BTreeSet<u64>,
    raised: HashMap<CustomerKey, Floor>,
}

/// A fill under way.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Ticket {
    number: u64,
    /// The watermark when it began: what it reads must not be older.
    pub began_at: Position,
}

#[derive(Debug)]
struct Floor {
    position: Position,
    /// Fills with a smaller number began before it was raised.
    raised_before: u64,
}

impl Floors {
    /// Lets a fill begin.
    pub(super) fn begin(&mut self) -> Ticket {
        let number = self.next_ticket;
        self.next_ticket += 1;
        self.under_way.insert(number);
        Ticket { number, began_at: self.watermark }
    }

    /// Ends a fill, and forgets the floors that nobody needs any more.
    pub(super) fn end(&mut self, ticket: &Ticket) {
        self.under_way.remove(&ticket.number);
        match self.under_way.first() {
            None => self.raised.clear(),
            Some(oldest) => {
                let oldest = *oldest;
                self.raised.retain(|_, floor| oldest < floor.raised_before);
            }
        }
    }

    /// Moves the watermark to `position` and, if fills are under way, leaves a floor for
    /// `customer` there.
    pub(super) fn raise(&mut self, customer: Option<&CustomerKey>, position: Position) {
        self.watermark = self.watermark.max(position);
        let Some(customer) = customer.filter(|_| !self.under_way.is_empty()) else { return };
        let floor = Floor { position, raised_before: self.next_ticket };
        self.raised.insert(customer.clone(), floor);
    }

    /// Whether something known of `customer` at `position` may be kept.
    #[must_use]
    pub(super) fn admits(&self, customer: &CustomerKey, position: Position) -> bool {
        self.raised.get(customer).is_none_or(|floor| floor.position <= position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Revision;

    fn at(revision: u64) -> Position {
        Position { generation: 1, revision: Revision(revision) }
    }

    fn customer() -> CustomerKey {
        CustomerKey::parse("default:c1").unwrap()
    }

    #[test]
    fn a_fill_from_before_a_change_is_not_admitted_after_it() {
        let mut floors = Floors::default();
        let fill = floors.begin();
        floors.raise(Some(&customer()), at(8));
        assert!(!floors.admits(&customer(), at(7)));
        assert!(floors.admits(&customer(), at(8)));
        floors.end(&fill);
        assert!(floors.raised.is_empty());
    }

    #[test]
    fn a_floor_is_kept_until_every_fill_from_before_it_has_ended() {
        let mut floors = Floors::default();
        let (first, second) = (floors.begin(), floors.begin());
        floors.raise(Some(&customer()), at(8));
        let third = floors.begin();
        floors.end(&first);
        assert!(!floors.admits(&customer(), at(7)));
        floors.end(&second);
        assert_eq!((floors.raised.len(), third.began_at), (0, at(8)));
    }

    #[test]
    fn without_a_fill_under_way_no_floor_is_kept() {
        let mut floors = Floors::default();
        floors.raise(Some(&customer()), at(8));
        assert!(floors.raised.is_empty());
        assert_eq!(floors.begin().began_at, at(8));
    }
}
