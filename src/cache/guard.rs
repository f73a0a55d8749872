//! Which sources are paused and how much each has restricted lately, as every instance that may
//! write hears it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    clock::{Clock, Moment},
    domain::{
        Change, CustomerKey, Source, Subject, Timestamp,
        change::CustomerChange,
        guard::{GuardRule, SourceState, Tally},
    },
    telemetry::{
        Metrics,
        event::{SourcePaused, SourceResumed},
    },
};

/// The guard on what sources restrict. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rule: Option<GuardRule>,
    clock: Clock,
    metrics: Metrics,
    held: Mutex<Held>,
    /// Counts changes of state, for those who wait for one.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Held {
    states: BTreeMap<Source, SourceState>,
    tallies: HashMap<Source, Tally>,
    /// Acts that are let through and not heard yet.
    under_way: HashMap<(Source, CustomerKey), u32>,
    customers: Option<(Moment, u64)>,
}

/// What is said to a source that wants to restrict a customer.
#[derive(Debug)]
pub enum Verdict {
    /// It may.
    Free(Ticket),
    /// It may if that many, this one included, are not too many.
    If(u64, GuardRule, Ticket),
    /// It is paused.
    Paused(SourceState),
}

/// An act that is let through, counted until this goes: by then it is heard, or was not made.
#[derive(Debug)]
pub struct Ticket(Option<(Guard, Source, CustomerKey)>);

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some((guard, source, customer)) = self.0.take() else { return };
        let mut held = guard.0.held.lock();
        let place = (source, customer);
        if let Some(acts) = held.under_way.get_mut(&place) {
            *acts -= 1;
            if *acts == 0 {
                held.under_way.remove(&place);
            }
        }
    }
}

impl Guard {
    /// A guard by `rule`; without one, nobody is ever paused.
    #[must_use]
    pub fn new(rule: Option<GuardRule>, clock: Clock, metrics: Metrics) -> Self {
        let (held, changes) = (Mutex::default(), watch::Sender::new(0));
        Self(Arc::new(Inner { rule, clock, metrics, held, changes }))
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> Option<GuardRule> {
        self.0.rule
    }

    /// Whether `source` may restrict `customer` now.
    #[must_use]
    pub fn ask(&self, source: &Source, customer: &CustomerKey) -> Verdict {
        let Some(rule) = self.0.rule else { return Verdict::Free(Ticket(None)) };
        let now = self.0.clock.now();
        let mut held = self.0.held.lock();
        if let Some(state) = held.states.get(source) {
            if state.paused_since.is_some() {
                return Verdict::Paused(*state);
            }
            if now < state.counted_from(rule.window) {
                return Verdict::Free(Ticket(None));
            }
        }
        let known = held.count(source, customer, now.saturating_sub(rule.window));
        *held.under_way.entry((source.clone(), customer.clone())).or_default() += 1;
        let ticket = Ticket(Some((self.clone(), source.clone(), customer.clone())));
        match known {
            Count::Holds => Verdict::Free(ticket),
            Count::Others(count) => Verdict::If(count + 1, rule, ticket),
        }
    }

    /// Hears of a change, in whatever order: what restricts a customer is counted.
    pub fn hear(&self, change: &Change) {
        let (Some(rule), Subject::Customer(changed)) = (self.0.rule, &change.subject) else {
            return;
        };
        let CustomerChange { key, restrictions, act, .. } = changed;
        let Some(at) = change.committed_at().filter(|_| act.restricts(restrictions)) else {
            return;
        };
        let mut held = self.0.held.lock();
        let is_counted =
            held.states.get(&act.source).is_none_or(|state| at >= state.counted_from(rule.window));
        if is_counted && at >= self.0.clock.now().saturating_sub(rule.window) {
            held.tallies.entry(act.source.clone()).or_default().add(key, at);
        }
    }

    /// Takes what the store holds of every source, in place of what is known.
    pub fn replace(&self, stored: &[(String, String)]) {
        let states = stored.iter().filter_map(|(source, json)| {
            let source = Source::parse(source).ok()?;
            Some((source.clone(), read(&source, json)))
        });
        // Of a source whose state cannot be read, what is known stays.
        let mut states: BTreeMap<_, _> = states.collect();
        for (source, _) in self.states() {
            states.entry(source).or_insert_with(|| Some(SourceState::default()));
        }
        for (source, state) in states {
            if let Some(state) = state {
                self.take(source, state);
            }
        }
    }

    /// What is known of every source that was paused once.
    #[must_use]
    pub fn states(&self) -> Vec<(Source, SourceState)> {
        let held = self.0.held.lock();
        held.states.iter().map(|(source, state)| (source.clone(), *state)).collect()
    }

    /// Takes a source's new state.
    pub fn change(&self, source: &Source, stored: &str) {
        if let Some(state) = read(source, stored) {
            self.take(source.clone(), state);
        }
    }

    /// Every source that restricted somebody within the window or was paused once, with how many
    /// that are and its state.
    #[must_use]
    pub fn sources(&self) -> BTreeMap<Source, (u64, SourceState)> {
        let Some(rule) = self.0.rule else { return BTreeMap::new() };
        let begin = self.0.clock.now().saturating_sub(rule.window);
        let mut held = self.0.held.lock();
        held.tallies.retain(|_, tally| {
            tally.forget_before(begin);
            tally.count() > 0
        });
        let counted = held.tallies.iter().map(|(source, tally)| (source.clone(), tally.count()));
        let mut sources: BTreeMap<_, _> =
            counted.map(|(source, count)| (source, (count, SourceState::default()))).collect();
        for (source, state) in &held.states {
            sources.entry(source.clone()).or_default().1 = *state;
        }
        sources
    }

    /// What is known of one source.
    #[must_use]
    pub fn state(&self, source: &Source) -> SourceState {
        self.0.held.lock().states.get(source).copied().unwrap_or_default()
    }

    /// Whether `source` restricts nobody now.
    #[must_use]
    pub fn is_paused(&self, source: &Source) -> bool {
        self.0.rule.is_some() && self.state(source).paused_since.is_some()
    }

    /// Changes whenever a source is paused or let go on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// How many customers there are, if that was asked lately.
    #[must_use]
    pub fn customers(&self) -> Option<u64> {
        let (asked, customers) = self.0.held.lock().customers?;
        let age = self.0.clock.moment().saturating_since(asked);
        (age < CUSTOMERS_KEPT).then_some(customers)
    }

    /// Keeps how many there are.
    pub fn keep_customers(&self, customers: u64) {
        self.0.held.lock().customers = Some((self.0.clock.moment(), customers));
    }

    fn take(&self, source: Source, state: SourceState) {
        let mut held = self.0.held.lock();
        let before = if state == SourceState::default() {
            held.states.remove(&source)
        } else {
            held.states.insert(source.clone(), state)
        };
        let before = before.unwrap_or_default();
        if before == state {
            return;
        }
        if state.resumed_at != before.resumed_at {
            held.tallies.remove(&source);
        }
        let paused = held.states.values().filter(|state| state.paused_since.is_some()).count();
        drop(held);
        let metrics = &self.0.metrics;
        metrics.sources_paused.set(paused as u64);
        if let (Some(_), None) = (state.paused_since, before.paused_since) {
            let SourceState { restricted, customers, .. } = state;
            SourcePaused { source, restricted, customers }.emit(metrics);
        } else if let (None, Some(_)) = (state.paused_since, before.paused_since) {
            SourceResumed { source }.emit(metrics);
        }
        self.0.changes.send_modify(|count| *count += 1);
    }
}

/// How many customers a source restricts, whom it is about to restrict aside.
enum Count {
    /// That one is counted already.
    Holds,
    /// Others.
    Others(u64),
}

impl Held {
    fn count(&mut self, source: &Source, customer: &CustomerKey, begin: Timestamp) -> Count {
        let tally = self.tallies.entry(source.clone()).or_default();
        tally.forget_before(begin);
        let place = (source.clone(), customer.clone());
        if tally.holds(customer) || self.under_way.contains_key(&place) {
            return Count::Holds;
        }
        let unheard =
            self.under_way.keys().filter(|(of, unheard)| of == source && !tally.holds(unheard));
        Count::Others(tally.count() + unheard.count() as u64)
    }
}

fn read(source: &Source, json: &str) -> Option<SourceState> {
    serde_json::from_str(json)
        .inspect_err(|error| {
            tracing::warn!(source = %source, %error, "The state of a source cannot be read");
        })
        .ok()
}

/// How long the number of customers is believed.
const CUSTOMERS_KEPT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Kind, Restrictions, Revision, Verb, change::Act};

    fn key(number: usize) -> CustomerKey {
        CustomerKey::parse(&format!("acme:c{number}")).unwrap()
    }

    fn billing() -> Source {
        Source::parse("billing").unwrap()
    }

    fn guard() -> (Guard, Clock) {
        let clock = Clock::system();
        let rule = GuardRule { basis_points: 100, window: Duration::from_mins(10) };
        (Guard::new(Some(rule), clock.clone(), Metrics::with_clock(clock.clone())), clock)
    }

    fn restricted(number: usize, at: Timestamp) -> Change {
        let line = "disabled,billing,other,1,";
        Change {
            revision: Revision(2),
            log_id: format!("{}-0", at.as_millis()),
            subject: Subject::Customer(CustomerChange {
                key: key(number),
                restrictions: Restrictions::parse_compact(line).unwrap(),
                entitlements_changed: false,
                act: Act {
                    verb: Verb::Put,
                    source: billing(),
                    kind: Some(Kind::Disabled),
                    reason: None,
                    since: None,
                    until: None,
                    at: None,
                    exact: true,
                    imported: false,
                    recovers: None,
                },
            }),
        }
    }

    fn count(verdict: &Verdict) -> u64 {
        match verdict {
            Verdict::Free(_) => 0,
            Verdict::If(count, ..) => *count,
            Verdict::Paused(_) => panic!("paused"),
        }
    }

    #[test]
    fn what_is_under_way_counts_until_it_is_heard_or_was_not_made() {
        let (guard, clock) = guard();
        let first = guard.ask(&billing(), &key(1));
        let second = guard.ask(&billing(), &key(2));
        assert_eq!((count(&first), count(&second)), (1, 2));
        assert_eq!(count(&guard.ask(&billing(), &key(2))), 0, "it is counted already");
        drop(first);
        guard.hear(&restricted(2, clock.now()));
        assert_eq!(count(&guard.ask(&billing(), &key(3))), 2);
        drop(second);
        assert_eq!(count(&guard.ask(&billing(), &key(3))), 2);
        clock.advance(Duration::from_mins(11));
        assert_eq!(count(&guard.ask(&billing(), &key(3))), 1);
    }

    #[test]
    fn a_source_that_was_let_go_on_is_counted_anew_a_window_later() {
        let (guard, clock) = guard();
        guard.hear(&restricted(1, clock.now()));
        let now = clock.now();
        let paused = format!(r#"{{"pausedSince":"{now}","restricted":1,"customers":1}}"#);
        guard.change(&billing(), &paused);
        assert!(matches!(guard.ask(&billing(), &key(2)), Verdict::Paused(_)));
        assert!(guard.is_paused(&billing()));

        guard.change(&billing(), &format!(r#"{{"resumedAt":"{now}"}}"#));
        guard.hear(&restricted(2, clock.now()));
        assert_eq!(count(&guard.ask(&billing(), &key(3))), 0);
        clock.advance(Duration::from_mins(10));
        assert_eq!(count(&guard.ask(&billing(), &key(3))), 1);
    }

    #[test]
    fn what_the_store_holds_replaces_what_was_heard() {
        let (guard, _) = guard();
        let paused = r#"{"pausedSince":"2026-01-01T00:00:00Z"}"#;
        let stripe = Source::parse("stripe").unwrap();
        guard.change(&billing(), paused);
        guard.change(&stripe, paused);
        guard.replace(&[("stripe".to_owned(), "no JSON".to_owned())]);
        assert!(!guard.is_paused(&billing()), "the store forgot it, and it is counted again");
        assert!(guard.is_paused(&stripe), "nobody let it go on");
    }

    #[test]
    fn without_a_rule_nobody_is_paused() {
        let clock = Clock::system();
        let guard = Guard::new(None, clock.clone(), Metrics::with_clock(clock));
        guard.change(&billing(), r#"{"pausedSince":"2026-01-01T00:00:00Z"}"#);
        assert!(matches!(guard.ask(&billing(), &key(1)), Verdict::Free(_)));
    }
}
