//! What nothing but a picture tells of the acts that a store forgot: whoever they restricted.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

use super::applied::Missing;
use crate::{
    cache::{Entry, Forgotten, Picture, Withheld},
    domain::{
        CustomerKey, Epoch, Partition, Restriction, Restrictions, Revision, Timestamp, Token, Verb,
        Watermark,
        change::{Act, CustomerChange},
    },
};

/// A history that a store forgot the end of, as far as a picture of it tells.
pub(super) struct Remnant<'a> {
    pub(super) partition: Partition,
    /// Where the picture stands.
    pub(super) before: &'a Watermark,
    /// The newest revision that the store did not forget.
    pub(super) common: Revision,
    pub(super) now: Timestamp,
}

impl Remnant<'_> {
    /// Adds to `missing` an act for each restriction that `old` names, that may have been placed
    /// after the last revision in common, and that neither `new` nor what is missing already
    /// makes up for. Where the store lifted it since, the recovery finds that out and asks an
    /// operator: nobody is let in because nothing tells when they were restricted.
    pub(super) fn add(&self, old: &Picture, new: &Picture, missing: &mut Missing) {
        let told = Withheld::default();
        told.set(missing.acts.clone());
        let (mut acts, mut customers) = (Vec::new(), 0_u64);
        for (key, entry) in old.parts().flatten() {
            if entry.revision <= self.common {
                continue;
            }
            let Some(restrictions) = &entry.restrictions else { continue };
            let stored = new.find(&key);
            let stored = stored.as_ref().and_then(|entry| entry.restrictions.as_ref());
            let told = told.restrictions(&key);
            let makes_up = |by: Option<&Restrictions>, held: &Restriction| {
                by.and_then(|by| by.held_by(&held.source, held.kind))
                    .is_some_and(|by| self.restricts_as_much(by, held))
            };
            let before = acts.len();
            for held in restrictions {
                let has_ended = held.until.is_some_and(|until| until <= self.now);
                if !has_ended && !makes_up(stored, held) && !makes_up(told.as_ref(), held) {
                    acts.extend(self.act(&key, &entry, restrictions, held));
                }
            }
            customers += u64::from(acts.len() > before);
        }
        missing.others -= missing.untold.min(customers);
        acts.append(&mut missing.acts);
        acts.sort_by_key(|act| act.token.revision);
        missing.acts = acts;
    }

    /// Whether `one` is in force from now on whenever `other` is.
    fn restricts_as_much(&self, one: &Restriction, other: &Restriction) -> bool {
        let begins = one.since <= other.since.max(self.now);
        let lasts = match (one.until, other.until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(one), Some(other)) => one >= other,
        };
        begins && lasts
    }

    /// The act that would have placed `held`.
    fn act(
        &self,
        key: &CustomerKey,
        entry: &Entry,
        restrictions: &Restrictions,
        held: &Restriction,
    ) -> Option<Arc<Forgotten>> {
        let verb = Verb::STATUS.into_iter().find(|verb| verb.places() == Some(held.kind))?;
        let act = Act {
            verb,
            source: held.source.clone(),
            kind: Some(held.kind),
            reason: Some(held.reason),
            since: Some(held.since),
            until: held.until,
            at: None,
            exact: false,
            recovers: None,
        };
        let change = CustomerChange {
            key: key.clone(),
            restrictions: restrictions.clone(),
            entitlements_changed: false,
            act,
        };
        Some(Arc::new(Forgotten {
            token: self.token_of(entry.revision, held),
            change,
            common: self.common,
            since: String::new(),
            in_conflict: false,
        }))
    }

    /// A name that every instance gives to the same restriction. The revision alone is none: it
    /// is the customer's last one, whichever of its restrictions came with that.
    fn token_of(&self, revision: Revision, held: &Restriction) -> Token {
        let Restriction { kind, source, .. } = held;
        let text = format!("{} {source} {kind}", self.before.epoch);
        let epoch = Epoch::from_random(xxh64(text.as_bytes(), 0).to_be_bytes());
        Token { epoch, partition: self.partition, revision }
    }
}
