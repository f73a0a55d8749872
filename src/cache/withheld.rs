//! Acknowledged changes that the store forgot, until they are written back: whoever they
//! restricted goes on being refused.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::RwLock;

use crate::domain::{
    Change, Restriction, Restrictions, Revision, Subject, Token, change::CustomerChange,
};

/// A status act that was applied here and that the store does not know any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Forgotten {
    /// The revision that it had.
    pub token: Token,
    /// What it was.
    pub change: CustomerChange,
    /// The newest revision that the store did not forget.
    pub common: Revision,
    /// The log entry of that; empty when it is not known.
    pub since: String,
    /// Whether something stands against writing it back, and somebody has to decide.
    pub in_conflict: bool,
}

/// The forgotten acts of one partition, in their order.
#[derive(Debug, Default)]
pub struct Withheld {
    /// How many there are, so that a check sees at once that there is none.
    count: AtomicUsize,
    acts: RwLock<Vec<Arc<Forgotten>>>,
}

impl Withheld {
    /// Replaces them all.
    pub(crate) fn set(&self, acts: Vec<Arc<Forgotten>>) {
        let mut held = self.acts.write();
        self.count.store(acts.len(), Ordering::Release);
        *held = acts;
    }

    /// All of them, in the order in which they were done.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Forgotten>> {
        if self.is_empty() { Vec::new() } else { self.acts.read().clone() }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// What they restrict `customer` with.
    #[must_use]
    pub(crate) fn restrictions(&self, customer: &str) -> Option<Restrictions> {
        if self.is_empty() {
            return None;
        }
        let mut held: Vec<Restriction> = Vec::new();
        for CustomerChange { act, restrictions, .. } in
            self.acts.read().iter().map(|it| &it.change).filter(|it| it.key.as_str() == customer)
        {
            held.retain(|it| it.source != act.source || (!act.exact && act.kind != Some(it.kind)));
            let placed = act.kind.and_then(|kind| restrictions.held_by(&act.source, kind));
            held.extend(placed.cloned());
        }
        (!held.is_empty()).then(|| Restrictions::from(held))
    }

    /// Takes note of what a change means for them: one that writes one back ends it, and so does
    /// a later act of the same source that leaves nothing of it.
    pub(crate) fn hear(&self, change: &Change) {
        if self.is_empty() {
            return;
        }
        match &change.subject {
            Subject::Customer(changed) => self.retain(|it| {
                let writes_back = changed.act.recovers.as_ref() == Some(&it.token);
                // What writes another one back was done before whatever is heard now.
                let supersedes = changed.act.recovers.is_none()
                    && changed.key == it.change.key
                    && changed.act.supersedes(&it.change.act);
                !writes_back && !supersedes
            }),
            Subject::Conflict { forgotten, stored: None } => self.let_go(forgotten),
            Subject::Conflict { forgotten, stored: Some(_) } => {
                let mut acts = self.acts.write();
                for act in acts.iter_mut().filter(|it| it.token == *forgotten) {
                    *act = Arc::new(Forgotten { in_conflict: true, ..Forgotten::clone(act) });
                }
            }
            Subject::Created
            | Subject::Fleet { .. }
            | Subject::Key { .. }
            | Subject::Source { .. }
            | Subject::Succeeded
            | Subject::Unreadable(_) => {}
        }
    }

    /// Takes note of what a change means for them that was made before they were withheld here. That
    /// their source acted since settles nothing then: whoever writes them back looks at that.
    pub(crate) fn hear_earlier(&self, change: &Change) {
        let is_recovery = match &change.subject {
            Subject::Customer(changed) => changed.act.recovers.is_some(),
            Subject::Conflict { .. } => true,
            Subject::Created
            | Subject::Fleet { .. }
            | Subject::Key { .. }
            | Subject::Source { .. }
            | Subject::Succeeded
            | Subject::Unreadable(_) => false,
        };
        if is_recovery {
            self.hear(change);
        }
    }

    /// Lets go of one that is in the picture now, or settled.
    pub(crate) fn let_go(&self, forgotten: &Token) {
        self.retain(|it| it.token != *forgotten);
    }

    fn retain(&self, keep: impl Fn(&Forgotten) -> bool) {
        let mut acts = self.acts.write();
        acts.retain(|act| keep(act));
        self.count.store(acts.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CustomerKey, Kind, Source, Verb, change::Act};

    fn forgotten(revision: u64, verb: Verb, compact: &str) -> Arc<Forgotten> {
        Arc::new(Forgotten {
            token: format!("e1:0.{revision}").parse().unwrap(),
            change: changed(verb, compact, None),
            common: Revision(4),
            since: String::new(),
            in_conflict: false,
        })
    }

    fn changed(verb: Verb, compact: &str, recovers: Option<&str>) -> CustomerChange {
        CustomerChange {
            key: CustomerKey::parse("default:c1").unwrap(),
            restrictions: Restrictions::parse_compact(compact).unwrap(),
            entitlements_changed: false,
            act: Act {
                verb,
                source: Source::operator(),
                kind: verb.places().or(verb.lifts()),
                reason: None,
                since: None,
                until: None,
                at: None,
                exact: verb == Verb::Put,
                imported: false,
                recovers: recovers.map(|token| token.parse().unwrap()),
            },
        }
    }

    fn heard(subject: Subject) -> Change {
        Change { revision: Revision(9), log_id: "9-0".to_owned(), subject }
    }

    fn withheld(acts: &[Arc<Forgotten>]) -> Withheld {
        let withheld = Withheld::default();
        withheld.set(acts.to_vec());
        withheld
    }

    fn kinds(withheld: &Withheld) -> Vec<Kind> {
        let held = withheld.restrictions("default:c1");
        held.iter().flatten().map(|it| it.kind).collect()
    }

    const FROZEN: &str = "frozen,operator,other,1,";
    const BOTH: &str = "disabled,operator,other,1,;frozen,operator,other,1,";
    const DISABLED: &str = "disabled,operator,other,1,";

    #[test]
    fn who_was_restricted_by_a_forgotten_act_stays_so_until_it_is_written_back() {
        let acts = [forgotten(5, Verb::Freeze, FROZEN), forgotten(6, Verb::Disable, BOTH)];
        let withheld = withheld(&acts);
        assert_eq!(kinds(&withheld).len(), 2);
        withheld.hear(&heard(Subject::Customer(changed(Verb::Freeze, FROZEN, Some("e1:0.5")))));
        assert_eq!(kinds(&withheld), [Kind::Disabled]);
        withheld.hear(&heard(Subject::Customer(changed(Verb::Disable, BOTH, Some("e1:0.6")))));
        assert!(withheld.is_empty());
    }

    #[test]
    fn a_forgotten_lift_of_a_forgotten_restriction_leaves_nothing_to_refuse_for() {
        let acts = [
            forgotten(5, Verb::Freeze, FROZEN),
            forgotten(6, Verb::Disable, BOTH),
            forgotten(7, Verb::Unfreeze, DISABLED),
        ];
        assert_eq!(kinds(&withheld(&acts)), [Kind::Disabled]);
        let lifted_all = [forgotten(5, Verb::Freeze, FROZEN), forgotten(6, Verb::Put, "")];
        assert_eq!(kinds(&withheld(&lifted_all)), []);
    }

    #[test]
    fn a_conflict_refuses_until_it_is_settled_or_the_source_acts_anew() {
        let act = forgotten(5, Verb::Freeze, FROZEN);
        let conflict = |stored: Option<&str>| {
            let stored = stored.map(str::to_owned);
            heard(Subject::Conflict { forgotten: act.token.clone(), stored })
        };
        let settled = withheld(&[Arc::clone(&act)]);
        settled.hear(&conflict(Some("{}")));
        assert!(settled.list()[0].in_conflict);
        assert_eq!(kinds(&settled), [Kind::Frozen]);
        settled.hear(&conflict(None));
        assert!(settled.is_empty());

        let acted_anew = withheld(&[act]);
        acted_anew.hear(&heard(Subject::Customer(changed(Verb::Disable, DISABLED, None))));
        assert_eq!(kinds(&acted_anew), [Kind::Frozen]);
        acted_anew.hear(&heard(Subject::Customer(changed(Verb::Unfreeze, "", None))));
        assert!(acted_anew.is_empty());
    }
}
