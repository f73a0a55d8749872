//! What nothing but a picture tells of the acts that a store forgot: whoever they restricted.

use std::{collections::HashSet, sync::Arc};

use xxhash_rust::xxh64::xxh64;

use super::applied::Missing;
use crate::{
    cache::{Forgotten, Picture, Withheld},
    domain::{
        Change, CustomerKey, Epoch, Kind, Partition, Restriction, Restrictions, Revision, Source,
        Subject, Timestamp, Token, Verb, Watermark,
        change::{Act, CustomerChange},
    },
    store::RestrictedEntry,
};

/// A history that a store forgot the end of, as far as a picture of it tells.
pub(super) struct Remnant<'a> {
    pub(super) partition: Partition,
    /// Where the picture stands.
    pub(super) before: &'a Watermark,
    /// The newest revision that the store did not forget.
    pub(super) common: Revision,
    /// What the store did after that, as far as its log tells.
    pub(super) since_parted: &'a [Change],
    pub(super) now: Timestamp,
}

impl Remnant<'_> {
    /// Adds to `missing` an act for each restriction that `old` names, that may have been placed
    /// after the last revision in common, and that neither `new` nor what is missing already
    /// makes up for, unless somebody who remembered more wrote its like back. Where the store
    /// lifted it since, the recovery finds that out and asks an operator: nobody is let in because
    /// nothing tells when they were restricted.
    pub(super) fn add(&self, old: &Picture, new: &Picture, missing: &mut Missing) {
        let told = Withheld::default();
        told.set(missing.acts.clone());
        let written_back = self.written_back();
        let (mut acts, mut customers) = (Vec::new(), 0_u64);
        for entry in old.entries().filter(|entry| entry.revision > self.common) {
            let RestrictedEntry { key, restrictions: Some(restrictions), .. } = &entry else {
                continue;
            };
            let stored = new.find(key);
            let stored = stored.as_ref().and_then(|entry| entry.restrictions.as_ref());
            let told = told.restrictions(key.as_str());
            let makes_up = |by: Option<&Restrictions>, held: &Restriction| {
                by.and_then(|by| by.held_by(&held.source, held.kind))
                    .is_some_and(|by| self.restricts_as_much(by, held))
            };
            let before = acts.len();
            for held in restrictions {
                let is_dealt_with = held.until.is_some_and(|until| until <= self.now)
                    || makes_up(stored, held)
                    || makes_up(told.as_ref(), held)
                    || written_back.contains(&(key, &held.source, held.kind));
                if !is_dealt_with {
                    acts.extend(self.act(&entry, restrictions, held));
                }
            }
            customers += u64::from(acts.len() > before);
        }
        missing.others -= missing.untold.min(customers);
        acts.append(&mut missing.acts);
        acts.sort_by_key(|act| act.token.revision);
        missing.acts = acts;
    }

    /// What was written back already: of whom, for which source and of which kind.
    fn written_back(&self) -> HashSet<(&CustomerKey, &Source, Kind)> {
        let mut written_back = HashSet::new();
        for change in self.since_parted {
            if change.revision > self.common
                && let Subject::Customer(CustomerChange { key, act, .. }) = &change.subject
                && let (Some(kind), Some(_)) = (act.kind, &act.recovers)
            {
                written_back.insert((key, &act.source, kind));
            }
        }
        written_back
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
        entry: &RestrictedEntry,
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
            imported: false,
            recovers: None,
        };
        let change = CustomerChange {
            key: entry.key.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Position, change::Act as Done};

    const FROZEN: &str = "frozen,operator,other,1,";
    const DISABLED: &str = "disabled,billing,fraud,1,";
    const BOTH: &str = "disabled,billing,fraud,1,;frozen,operator,other,1,";

    fn epoch(name: &str) -> Epoch {
        Epoch::parse(name).unwrap()
    }

    fn customer() -> CustomerKey {
        CustomerKey::parse("default:c1").unwrap()
    }

    fn picture(entries: &[(u64, &str)]) -> Picture {
        let picture = Picture::new(1, epoch("e1"));
        for (revision, compact) in entries {
            let restrictions = Restrictions::parse_compact(compact).ok();
            let revision = Revision(*revision);
            picture.offer(RestrictedEntry { key: customer(), revision, restrictions });
        }
        picture
    }

    /// The change that did `verb` for the first source in `compact`.
    fn change(revision: u64, verb: Verb, compact: &str, recovers: Option<&str>) -> Change {
        let restrictions = Restrictions::parse_compact(compact).unwrap();
        let source = restrictions.iter().next().map(|held| held.source.clone());
        let act = Done {
            verb,
            source: source.unwrap_or_else(Source::operator),
            kind: verb.places().or(verb.lifts()),
            reason: None,
            since: None,
            until: None,
            at: None,
            exact: false,
            imported: false,
            recovers: recovers.map(|token| token.parse().unwrap()),
        };
        let changed =
            CustomerChange { key: customer(), restrictions, entitlements_changed: false, act };
        let log_id = format!("{revision}-0");
        Change { revision: Revision(revision), log_id, subject: Subject::Customer(changed) }
    }

    /// What a picture at revision 100 adds where 90 is the last revision in common.
    fn added(old: &Picture, new: &Picture, log: &[Change], missing: &mut Missing) -> Vec<Kind> {
        let position = Position { generation: 1, revision: Revision(100) };
        let before = &Watermark { position, epoch: epoch("e1"), log_id: "100-0".to_owned() };
        let (partition, common) = (Partition(0), Revision(90));
        let now = Timestamp::from_millis(1000);
        let remnant = Remnant { partition, before, common, since_parted: log, now };
        missing.untold = 10;
        missing.others = 10;
        remnant.add(old, new, missing);
        missing.acts.iter().filter_map(|act| act.change.act.kind).collect()
    }

    fn of_file(old: &str, new: &str) -> Vec<Kind> {
        let new = picture(&[(91, new)]);
        added(&picture(&[(95, old)]), &new, &[], &mut Missing::default())
    }

    #[test]
    fn whom_only_the_picture_names_stays_refused_for_each_restriction_by_itself() {
        assert_eq!(of_file(BOTH, ""), [Kind::Disabled, Kind::Frozen]);
        assert_eq!(of_file(BOTH, FROZEN), [Kind::Disabled]);
        assert_eq!(of_file(BOTH, BOTH), []);
        let mut missing = Missing::default();
        added(&picture(&[(95, BOTH)]), &picture(&[]), &[], &mut missing);
        // Each can be written back and settled without the other.
        assert_ne!(missing.acts[0].token, missing.acts[1].token);
        assert_eq!(missing.others, 9);
        let held = Withheld::default();
        held.set(missing.acts);
        assert_eq!(
            held.restrictions(customer().as_str()).map(|all| all.to_compact()).unwrap(),
            BOTH
        );
    }

    #[test]
    fn what_the_store_lifted_in_the_history_in_common_is_lifted() {
        let old = picture(&[(90, BOTH)]);
        assert_eq!(added(&old, &picture(&[]), &[], &mut Missing::default()), []);
    }

    #[test]
    fn a_restriction_that_ends_earlier_or_begins_later_does_not_make_up_for_one_that_does_not() {
        assert_eq!(of_file(FROZEN, "frozen,operator,other,1,5000"), [Kind::Frozen]);
        assert_eq!(of_file(FROZEN, "frozen,operator,other,4000,"), [Kind::Frozen]);
        assert_eq!(of_file(FROZEN, "frozen,operator,other,900,"), []);
        assert_eq!(of_file("frozen,operator,other,1,5000", FROZEN), []);
        // It is over whatever the store says.
        assert_eq!(of_file("frozen,operator,other,1,1000", ""), []);
    }

    #[test]
    fn an_act_that_is_remembered_is_not_made_up_again() {
        let Change { subject: Subject::Customer(change), .. } =
            change(96, Verb::Disable, DISABLED, None)
        else {
            panic!("no act")
        };
        let token = Token { epoch: epoch("e1"), partition: Partition(0), revision: Revision(96) };
        let remembered = Forgotten {
            token: token.clone(),
            change,
            common: Revision(90),
            since: String::new(),
            in_conflict: false,
        };
        let mut missing = Missing { acts: vec![Arc::new(remembered)], ..Missing::default() };
        let kinds = added(&picture(&[(96, BOTH)]), &picture(&[]), &[], &mut missing);
        assert_eq!(kinds, [Kind::Frozen, Kind::Disabled]);
        assert_eq!(missing.acts[1].token, token);
    }

    #[test]
    fn what_somebody_wrote_back_before_is_as_the_store_says() {
        let old = picture(&[(95, BOTH)]);
        let log = [
            change(92, Verb::Disable, DISABLED, Some("e1:0.93")),
            change(97, Verb::Enable, "", None),
        ];
        assert_eq!(added(&old, &picture(&[]), &log, &mut Missing::default()), [Kind::Frozen]);
    }
}
