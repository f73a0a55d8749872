//! How the restricted tier keeps one customer: name, revision and the usual single restriction in
//! one small piece of memory.

use std::num::NonZeroU16;

use arc_swap::ArcSwap;
use triomphe::ThinArc;

use super::super::table::OfCustomer;
use crate::{
    domain::{
        CustomerKey, Kind, Restriction, RestrictionReason, Restrictions, Revision, Source,
        Timestamp,
    },
    store::RestrictedEntry,
};

/// What is kept of one customer. Behind the head comes the name.
#[derive(Debug)]
pub(super) struct Packed(ThinArc<Head, u8>);

#[derive(Debug)]
struct Head {
    revision: Revision,
    restricted: Restricted,
}

#[derive(Debug)]
enum Restricted {
    One(One),
    /// More than one, or one that does not fit.
    Otherwise(Box<Restrictions>),
    Unreadable,
}

/// The one restriction of a customer who was not erased.
#[derive(Clone, Copy, Debug)]
struct One {
    since: Millis,
    until: Option<Millis>,
    /// Its place among the [`Sources`].
    source: u8,
    kind: Kind,
    reason: RestrictionReason,
}

impl Packed {
    /// Packs `entry`. Its source is remembered among `sources`.
    pub(super) fn of(entry: RestrictedEntry, sources: &Sources) -> Self {
        let RestrictedEntry { key, revision, restrictions } = entry;
        let restricted = match restrictions {
            None => Restricted::Unreadable,
            Some(restrictions) => match One::of(&restrictions, sources) {
                Some(one) => Restricted::One(one),
                None => Restricted::Otherwise(Box::new(restrictions)),
            },
        };
        let head = Head { revision, restricted };
        Self(ThinArc::from_header_and_slice(head, key.as_str().as_bytes()))
    }

    /// The revision of the customer's last change.
    pub(super) fn revision(&self) -> Revision {
        self.0.header.header.revision
    }

    /// The customer's restrictions; nothing if this version cannot read them.
    pub(super) fn restrictions(&self, sources: &Sources) -> Option<Restrictions> {
        match &self.0.header.header.restricted {
            Restricted::One(one) => one.restriction(sources).map(Restrictions::from),
            Restricted::Otherwise(restrictions) => Some(Restrictions::clone(restrictions)),
            Restricted::Unreadable => None,
        }
    }

    /// The customer.
    pub(super) fn key(&self) -> Option<CustomerKey> {
        CustomerKey::parse(str::from_utf8(self.customer()).ok()?).ok()
    }

    /// Whether a restriction is over at `moment`.
    pub(super) fn has_lapsed(&self, moment: Timestamp) -> bool {
        match &self.0.header.header.restricted {
            Restricted::One(one) => one.until.is_some_and(|until| until.timestamp() <= moment),
            Restricted::Otherwise(held) => held.iter().any(|held| held.lapsed_at(moment)),
            Restricted::Unreadable => false,
        }
    }
}

impl OfCustomer for Packed {
    fn customer(&self) -> &[u8] {
        &self.0.slice
    }
}

impl One {
    fn of(restrictions: &Restrictions, sources: &Sources) -> Option<Self> {
        let mut all = restrictions.iter();
        let (Some(only), None, false) = (all.next(), all.next(), restrictions.is_purged()) else {
            return None;
        };
        let Restriction { kind, source, reason, since, until } = only;
        Some(Self {
            since: Millis::of(*since),
            until: until.map(Millis::of),
            source: sources.number_of(source)?,
            kind: *kind,
            reason: *reason,
        })
    }

    fn restriction(self, sources: &Sources) -> Option<Restriction> {
        let Self { since, until, source, kind, reason } = self;
        let (since, until) = (since.timestamp(), until.map(Millis::timestamp));
        Some(Restriction { kind, source: sources.numbered(source)?, reason, since, until })
    }
}

/// A moment in 48 bits: a later one than can be held does not fit into a [`Timestamp`] either.
#[derive(Clone, Copy, Debug)]
struct Millis {
    /// And one more.
    highest: NonZeroU16,
    higher: u16,
    lowest: u16,
}

impl Millis {
    fn of(at: Timestamp) -> Self {
        let bits = |from: u32| u16::try_from((at.as_millis() >> from) & 0xFFFF).unwrap_or(0);
        Self {
            highest: NonZeroU16::MIN.saturating_add(bits(32)),
            higher: bits(16),
            lowest: bits(0),
        }
    }

    fn timestamp(self) -> Timestamp {
        let highest = i64::from(self.highest.get() - 1);
        let lower = i64::from(self.higher) << 16 | i64::from(self.lowest);
        Timestamp::from_millis(highest << 32 | lower)
    }
}

/// The sources that the entries of a picture name: few, each kept once.
#[derive(Debug, Default)]
pub(super) struct Sources(ArcSwap<Vec<Source>>);

impl Sources {
    /// The number of `source`, a new one if it has none. Nothing if there are too many.
    fn number_of(&self, source: &Source) -> Option<u8> {
        let place = |all: &[Source]| all.iter().position(|known| known == source);
        if let Some(known) = place(&self.0.load()) {
            return u8::try_from(known).ok();
        }
        self.0.rcu(|all| {
            let mut all = Vec::clone(all);
            if place(&all).is_none() && u8::try_from(all.len()).is_ok() {
                all.push(source.clone());
            }
            all
        });
        place(&self.0.load()).and_then(|known| u8::try_from(known).ok())
    }

    fn numbered(&self, number: u8) -> Option<Source> {
        self.0.load().get(usize::from(number)).cloned()
    }
}

#[cfg(test)]
mod tests;
