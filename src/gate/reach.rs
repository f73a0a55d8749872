//! Read your writes: brings what is known of a customer to the revision that a caller asks for.
//!
//! The feed usually has come to it before the caller asks. If not, it is waited for a little; then
//! the record is read from the store's master, while the feed may still be the first to arrive. A
//! record that is read so is as new as the revision it was read at, whatever the feed has come to.

use std::time::Duration;

use triomphe::Arc;

use super::{Gate, is_old};
use crate::{
    cache::{Found, Held},
    domain::{CustomerKey, MinRevision, Token, Watermark},
    telemetry::ReachedBy,
};

/// The revision that a caller asks for at least, and what has come to it.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    wanted: Wanted<'a>,
    /// The feed's position, if it has come to it.
    feed: Option<Watermark>,
    /// The record, if it was read from the store for this.
    read: Option<Arc<Held>>,
}

/// Which revisions will do.
#[derive(Debug, Default)]
enum Wanted<'a> {
    /// Any.
    #[default]
    Any,
    /// This one or a later one.
    AtLeast(&'a Token),
    /// None: what was asked for is no token, or of a partition that says nothing of the customer.
    Unreachable,
}

impl Asked<'_> {
    /// What is held of the customer, with the record that was read: it may be evicted already, but
    /// it is what the store said.
    pub(super) fn complete(&self, mut found: Found) -> Found {
        if let Some(read) = &self.read {
            found.take_newer(read);
        }
        found
    }

    /// Whether `found`, which was looked up after this, holds what is asked for. Its record may
    /// still have to be read anew.
    pub(super) fn is_reached_by(&self, found: &Found) -> bool {
        match self.wanted {
            Wanted::Any => true,
            // Another picture may have been installed since the feed came to it.
            Wanted::AtLeast(token) => {
                let epochs = (self.feed.as_ref(), found.picture.as_ref());
                let by_feed = matches!(epochs, (Some(a), Some(b)) if a.epoch == b.epoch);
                by_feed || is_held(token, found)
            }
            Wanted::Unreachable => false,
        }
    }

    /// Whether an answer that stands on `found` stands on what is asked for: not on the record of
    /// an older picture.
    pub(super) fn is_answered_by(&self, found: &Found) -> bool {
        matches!(self.wanted, Wanted::Any) || (self.is_reached_by(found) && !is_old(found))
    }
}

impl Gate {
    /// Brings what is held of `customer` to `min`, within `budget`.
    pub(super) async fn bring_to<'a>(
        &self,
        customer: &CustomerKey,
        min: &'a MinRevision,
        budget: Duration,
    ) -> Asked<'a> {
        let own = min.as_ref().ok().filter(|it| it.partition == self.cache.partition_of(customer));
        let Some(token) = own else {
            self.metrics.min_revisions[ReachedBy::Nothing].increment(1);
            return Asked { wanted: Wanted::Unreachable, feed: None, read: None };
        };
        let (by, read) = self.reach(customer, token, budget).await;
        self.metrics.min_revisions[by].increment(1);
        Asked { wanted: Wanted::AtLeast(token), feed: self.cache.watermark_at(token), read }
    }

    async fn reach(
        &self,
        customer: &CustomerKey,
        token: &Token,
        budget: Duration,
    ) -> (ReachedBy, Option<Arc<Held>>) {
        if self.cache.watermark_at(token).is_some() || is_held(token, &self.cache.find(customer)) {
            return (ReachedBy::Memory, None);
        }
        let begun = self.clock.moment();
        if self.cache.reaches(token, FEED_AWAITED.min(budget / 4)).await {
            return (ReachedBy::Feed, None);
        }
        let left = budget.saturating_sub(self.clock.moment().saturating_since(begun));
        // A store of another history is not read for it, but may be followed in time.
        let watermark = self.cache.watermark(token.partition);
        let is_readable = watermark.is_some_and(|it| token.is_of(&it.epoch));
        tokio::select! {
            biased;
            true = self.cache.reaches(token, left) => (ReachedBy::Feed, None),
            Ok(held) = self.cache.fill_at(customer, token, left), if is_readable => {
                (ReachedBy::Read, Some(held))
            }
            else => (ReachedBy::Nothing, None),
        }
    }
}

/// Whether the record is of the token's revision or a later one, and of the newest picture.
fn is_held(token: &Token, found: &Found) -> bool {
    let held = found.held.as_ref().filter(|_| !is_old(found));
    held.is_some_and(|held| token.is_reached_at(&held.epoch, held.position.revision))
}

/// A push takes less than this unless something is wrong with the feed.
const FEED_AWAITED: Duration = Duration::from_millis(10);
