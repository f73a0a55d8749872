//! What a line of an import says of a customer, and the acts that make it so.
//!
//! There is no act that is the import's own: a line is what an operator would do one after the
//! other, worked out as a whole before any of it is done.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    action::{Action, Fields, Placement, Plan, Refusal, Verb, plan},
    actor::Actor,
    customer::{Customer, Record},
    key::CustomerKey,
    restriction::{Kind, Source},
    revision::Revision,
    time::Timestamp,
};

/// What a line says of one customer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement {
    /// For which source it speaks.
    pub source: Source,
    /// What is written to the record.
    pub fields: Fields,
    /// What it says of restrictions.
    pub restrictions: Said,
}

/// What a line says of restrictions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Said {
    /// What each of these sources holds from then on. Other sources keep what they hold.
    Held(BTreeMap<Source, BTreeMap<Kind, Placement>>),
    /// Nothing.
    Nothing,
    /// The one kind that the line's source holds from then on, if any.
    Status(Option<Kind>, Placement),
}

impl Statement {
    /// What makes `current` what the line says, in order, or why not even a part of it is done.
    /// Whoever is to be restricted is so from the first act on, and nobody is let in in between.
    pub fn plans(
        &self,
        key: &CustomerKey,
        current: Option<&Customer>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Vec<(Action, Plan)>, Refusal> {
        let mut plans = Vec::new();
        let mut customer = current.cloned();
        for action in self.actions(current, actor, now) {
            let plan = plan(customer.as_ref(), &action, actor, now)?;
            // Which revision it will have does not matter to the next act.
            let revision = customer.map_or_else(Revision::default, |it| it.record.revision);
            let record = Record { key: key.clone(), revision, body: plan.body.clone() };
            customer = Some(Customer { record, private: plan.private.clone() });
            if plan.writes {
                plans.push((action, plan));
            }
        }
        Ok(plans)
    }

    fn actions(&self, current: Option<&Customer>, actor: &Actor, now: Timestamp) -> Vec<Action> {
        let put = |source: &Source, status: Option<Option<Kind>>, placement: &Placement| Action {
            source: Some(source.clone()),
            placement: placement.clone(),
            status,
            ..Action::of(Verb::Put)
        };
        let unsaid = Placement::default();
        let mut acts = match &self.restrictions {
            Said::Nothing => Vec::new(),
            Said::Status(kind, placement) => {
                vec![(*kind, put(&self.source, Some(*kind), placement))]
            }
            Said::Held(held) => {
                let mut acts = Vec::new();
                for (source, kinds) in held {
                    // What is over restricts nobody.
                    let lasts = |said: &Placement| said.until.is_none_or(|until| now < until);
                    let kinds: Vec<_> = kinds.iter().filter(|(_, said)| lasts(said)).collect();
                    match kinds.as_slice() {
                        [] => acts.push((None, put(source, Some(None), &unsaid))),
                        [(kind, said)] => {
                            acts.push((Some(**kind), put(source, Some(Some(**kind)), said)));
                        }
                        several => acts.extend(one_by_one(source, several, current)),
                    }
                }
                acts
            }
        };
        // The strictest first, and lifts last.
        acts.sort_by_key(|(kind, _)| Reverse(*kind));
        let mut acts: Vec<_> = acts.into_iter().map(|(_, action)| action).collect();
        if acts.is_empty() {
            acts.push(put(&self.source, None, &unsaid));
        }
        if let Some(first) = acts.first_mut() {
            first.fields = self.fields.clone();
            first.create = true;
        }
        // A system that speaks for itself is guarded like one that speaks by another door.
        let imported = actor.source.is_none();
        acts.into_iter().map(|action| Action { imported, ..action }).collect()
    }
}

/// The acts that make `source` hold these kinds and no other: a put makes it hold one at most.
fn one_by_one<'a>(
    source: &'a Source,
    kinds: &'a [(&Kind, &Placement)],
    current: Option<&'a Customer>,
) -> impl Iterator<Item = (Option<Kind>, Action)> {
    let of = |verb: Verb| Action { source: Some(source.clone()), ..Action::of(verb) };
    let verb = |is_it: &dyn Fn(Verb) -> bool| Verb::STATUS.into_iter().find(|verb| is_it(*verb));
    let placed = kinds.iter().filter_map(move |(kind, said)| {
        let verb = verb(&|verb| verb.places() == Some(**kind))?;
        Some((Some(**kind), Action { placement: (*said).clone(), ..of(verb) }))
    });
    let held = current.into_iter().flat_map(|it| it.record.body.restrictions.iter());
    let others = held.filter(move |held| {
        held.source == *source && !kinds.iter().any(|(kind, _)| **kind == held.kind)
    });
    let lifted =
        others.filter_map(move |held| verb(&|verb| verb.lifts() == Some(held.kind)).map(of));
    placed.chain(lifted.map(|action| (None, action)))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;
    use crate::domain::{RestrictionReason, Restrictions, Role, Status};

    fn now() -> Timestamp {
        Timestamp::from_millis(1_763_719_200_000)
    }

    fn key() -> CustomerKey {
        CustomerKey::parse("acme:c1").unwrap()
    }

    fn actor() -> Actor {
        Actor::tollgate(Role::Manager)
    }

    fn source(name: &str) -> Source {
        Source::parse(name).unwrap()
    }

    fn says(restrictions: Said) -> Statement {
        Statement { source: Source::operator(), fields: Fields::default(), restrictions }
    }

    /// What a statement makes of a customer, and the status after each act on the way.
    fn made(statement: &Statement, before: Option<&Customer>) -> (Customer, Vec<Status>) {
        let plans = statement.plans(&key(), before, &actor(), now()).unwrap();
        let statuses = plans.iter().map(|(_, plan)| plan.body.restrictions.status_at(now()));
        let statuses = statuses.collect();
        let customer = match (plans.into_iter().next_back(), before) {
            (Some((_, Plan { body, private, .. })), _) => {
                let record = Record { key: key(), revision: Revision(2), body };
                Customer { record, private }
            }
            (None, before) => before.unwrap().clone(),
        };
        (customer, statuses)
    }

    fn held_by(
        customer: &Customer,
        source: &Source,
    ) -> BTreeMap<Kind, (RestrictionReason, String)> {
        let held = customer.record.body.restrictions.iter().filter(|it| it.source == *source);
        let held = held.map(|it| {
            let notes = customer.private.note_on(it).and_then(|note| note.notes.clone());
            (it.kind, (it.reason, notes.unwrap_or_default()))
        });
        held.collect()
    }

    fn any_held() -> impl Strategy<Value = BTreeMap<Source, BTreeMap<Kind, Placement>>> {
        let kind = prop::sample::select(Kind::ALL.to_vec());
        let reason = prop::sample::select(RestrictionReason::ALL.to_vec());
        let placement = (reason, "[a-z]{0,3}").prop_map(|(reason, notes)| Placement {
            reason: Some(reason),
            since: Some(now()),
            notes: Some(notes),
            ..Placement::default()
        });
        let sources = ["operator", "billabear", "stripe"].map(source).to_vec();
        btree_map(prop::sample::select(sources), btree_map(kind, placement, 0..=3), 0..=3)
    }

    proptest! {
        #[test]
        fn each_source_that_is_named_holds_exactly_what_is_said_and_others_what_they_held(
            first in any_held(),
            then in any_held(),
        ) {
            let (before, statuses) = made(&says(Said::Held(first.clone())), None);
            let strictest = before.record.body.restrictions.status_at(now());
            // Whoever comes in restricted was never known as anything milder.
            prop_assert!(statuses.iter().all(|status| *status == strictest));

            let (after, statuses) = made(&says(Said::Held(then.clone())), Some(&before));
            for source in ["operator", "billabear", "stripe"].map(source) {
                let said = then.get(&source).or_else(|| first.get(&source));
                let said = said.into_iter().flatten().map(|(kind, said)| {
                    (*kind, (said.reason.unwrap(), said.notes.clone().unwrap()))
                });
                prop_assert_eq!(held_by(&after, &source), said.collect());
            }
            let strict = |customer: &Customer| customer.record.body.restrictions.status_at(now());
            let mildest = strict(&before).min(strict(&after));
            prop_assert!(statuses.iter().all(|status| *status >= mildest), "{:?}", statuses);
        }

        #[test]
        fn what_is_said_again_changes_nothing(held in any_held()) {
            let statement = says(Said::Held(held));
            let (customer, _) = made(&statement, None);
            let again = statement.plans(&key(), Some(&customer), &actor(), now()).unwrap();
            prop_assert!(again.is_empty(), "{:?}", again);
        }
    }

    #[test]
    fn what_was_over_before_restricts_nobody() {
        let until = Some(now().saturating_sub(std::time::Duration::from_secs(1)));
        let over = Placement { until, ..Placement::default() };
        let held = BTreeMap::from([(source("stripe"), BTreeMap::from([(Kind::Frozen, over)]))]);
        let (customer, _) = made(&says(Said::Held(held)), None);
        assert_eq!(customer.record.body.restrictions, Restrictions::default());
    }

    #[test]
    fn who_placed_a_restriction_stays_who_the_line_says() {
        let said = Placement { placed_by: Some("alice".to_owned()), ..Placement::default() };
        let held = BTreeMap::from([(Source::operator(), BTreeMap::from([(Kind::Disabled, said)]))]);
        let (customer, _) = made(&says(Said::Held(held)), None);
        assert_eq!(customer.private.restriction_notes[0].actor, "alice");
    }

    #[test]
    fn one_refusal_leaves_the_whole_line_undone() {
        let deactivated = BTreeMap::from([(Kind::Inactive, Placement::default())]);
        let frozen = BTreeMap::from([(Kind::Frozen, Placement::default())]);
        let held = [(source("billabear"), frozen), (Source::operator(), deactivated)];
        let mut statement = says(Said::Held(held.into_iter().collect()));
        let obligations = crate::domain::Obligations { pending_orders: 1, ..Default::default() };
        statement.fields.obligations = Some(Some(obligations));
        let refused = statement.plans(&key(), None, &actor(), now());
        assert_eq!(refused, Err(Refusal::HasPendingOrders));
    }

    #[test]
    fn an_import_by_a_person_is_not_counted_against_the_source_and_one_by_the_source_is() {
        let statement = Statement {
            source: source("stripe"),
            ..says(Said::Status(Some(Kind::Disabled), Placement::default()))
        };
        let imported = |actor: &Actor| {
            let plans = statement.plans(&key(), None, actor, now()).unwrap();
            plans[0].1.act.restricts(&plans[0].1.body.restrictions)
        };
        assert!(!imported(&actor()));
        assert!(imported(&Actor { source: Some(source("stripe")), ..actor() }));
    }
}
