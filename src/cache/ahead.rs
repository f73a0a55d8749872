//! The rule for what was read ahead of the feed: it is good for as long as the session it was
//! read in.
//!
//! A fill reads the store as it is, which may be some changes ahead of the watermark. While the
//! session lasts, the feed comes to the same changes. When it has ended, only the watermark is
//! found again for certain: after a failover the store may never have had what came behind it,
//! and count other changes by the same revisions. A record that was read there would then be
//! taken for newer than all of them. So before a store is believed again, what was read ahead of
//! the watermark is forgotten; and what a fill brings from a session that has ended is not taken.

use std::collections::HashSet;

use crate::domain::{CustomerKey, Position};

/// The customers of one partition that were read ahead of what is applied here.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Counts the times that the store ceased to be believed.
    session: u64,
    applied: Position,
    furthest: Position,
    customers: HashSet<CustomerKey>,
}

impl Ahead {
    /// The session that a fill begins in.
    #[must_use]
    pub(super) fn session(&self) -> u64 {
        self.session
    }

    /// Everything up to `position` is applied, in order and without a hole.
    pub(super) fn reach(&mut self, position: Position) {
        self.applied = self.applied.max(position);
        if self.furthest <= self.applied {
            self.customers.clear();
        }
    }

    /// Whether what a fill of `session` read at `position` may be kept. If that is ahead, it is
    /// remembered.
    #[must_use]
    pub(super) fn admits(
        &mut self,
        customer: &CustomerKey,
        session: u64,
        position: Position,
    ) -> bool {
        let is_current = session == self.session;
        if is_current && position > self.applied {
            self.furthest = self.furthest.max(position);
            self.customers.insert(customer.clone());
        }
        is_current
    }

    /// Ends the session: the fills that began in it bring nothing more.
    pub(super) fn end_session(&mut self) {
        self.session += 1;
    }

    /// Lets go of those that were read ahead. Everything held of them that lies after the
    /// position is to be forgotten.
    pub(super) fn let_go(&mut self) -> (HashSet<CustomerKey>, Position) {
        (std::mem::take(&mut self.customers), self.applied)
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
    fn only_what_was_read_ahead_and_not_caught_up_with_is_let_go() {
        let mut ahead = Ahead::default();
        ahead.reach(at(7));
        assert!(ahead.admits(&customer(), 0, at(7)));
        assert_eq!(ahead.let_go().0.len(), 0);
        assert!(ahead.admits(&customer(), 0, at(9)));
        ahead.reach(at(8));
        assert_eq!(ahead.let_go(), (HashSet::from([customer()]), at(8)));
        assert!(ahead.admits(&customer(), 0, at(9)));
        ahead.reach(at(9));
        assert_eq!(ahead.let_go().0.len(), 0);
    }

    #[test]
    fn what_a_fill_of_an_ended_session_read_is_not_admitted() {
        let mut ahead = Ahead::default();
        let session = ahead.session();
        ahead.end_session();
        assert!(!ahead.admits(&customer(), session, at(1)));
        assert!(ahead.admits(&customer(), ahead.session(), at(1)));
    }
}
