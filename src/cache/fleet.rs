//! Whether operators have put every instance into shadow, as each of them hears it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use crate::{
    clock::Clock,
    domain::{Epoch, Mode, Revision, Timestamp, fleet::FleetShadow},
    telemetry::{
        Metrics,
        event::{FleetShadowBegun, FleetShadowEnded},
    },
};

/// The mode of the whole fleet. Cheap to clone.
///
/// It is not part of what an instance begins with while the store is away: unless the store says
/// otherwise, denies are enforced.
#[derive(Clone, Debug)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// When the shadow ends, in milliseconds since 1970; 0 without one. Read by every check.
    until: AtomicU64,
    heard: Mutex<Heard>,
    clock: Clock,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Heard {
    /// The newest that was heard, and of which history.
    place: Option<(Epoch, Revision)>,
    /// The shadow that the store said last, whether in force or not.
    said: Option<FleetShadow>,
    /// The last one that operators ended before its time. A store that forgot that may go on saying
    /// it, as after a failover; it stays ended here.
    ended: Option<FleetShadow>,
    /// What was last said of it in the log.
    told: Option<FleetShadow>,
}

impl Fleet {
    /// A fleet of which nothing is heard yet.
    #[must_use]
    pub fn new(clock: Clock, metrics: Metrics) -> Self {
        let (until, heard) = (AtomicU64::new(0), Mutex::default());
        Self(Arc::new(Inner { until, heard, clock, metrics }))
    }

    /// The mode that goes before the policy's at `now`; nothing when the policy's counts.
    #[must_use]
    pub fn mode(&self, now: Timestamp) -> Option<Mode> {
        (now.as_millis() < self.0.until.load(Ordering::Relaxed)).then_some(Mode::Shadow)
    }

    /// The shadow that is in force now, if one is.
    #[must_use]
    pub fn shadow(&self) -> Option<FleetShadow> {
        let until = i64::try_from(self.0.until.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let shadow = FleetShadow { until: Timestamp::from_millis(until) };
        shadow.is_in_force(self.0.clock.now()).then_some(shadow)
    }

    /// Takes what the store says at a revision of its history, unless something newer was heard.
    /// Told often enough, it also tells in the log that a shadow has ended.
    pub fn hear(&self, epoch: &Epoch, revision: Revision, said: Option<FleetShadow>) {
        let mut heard = self.0.heard.lock();
        let is_older = |(of, newest): &(Epoch, Revision)| of == epoch && *newest > revision;
        if heard.place.as_ref().is_some_and(is_older) {
            return;
        }
        heard.place = Some((epoch.clone(), revision));
        if said.is_none() && heard.said.is_some() {
            heard.ended = heard.said;
        }
        let said = said.filter(|_| said != heard.ended);
        heard.said = said;
        let until = said.map_or(0, |shadow| shadow.until.as_millis());
        self.0.until.store(until, Ordering::Relaxed);
        let in_force = said.filter(|shadow| shadow.is_in_force(self.0.clock.now()));
        let told = std::mem::replace(&mut heard.told, in_force);
        if told != in_force {
            match in_force {
                Some(FleetShadow { until }) => FleetShadowBegun { until }.emit(&self.0.metrics),
                None => FleetShadowEnded.emit(&self.0.metrics),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fleet() -> (Fleet, Clock) {
        let clock = Clock::system();
        (Fleet::new(clock.clone(), Metrics::new()), clock)
    }

    fn epoch(name: &str) -> Epoch {
        Epoch::parse(name).unwrap()
    }

    fn for_a_minute(clock: &Clock) -> FleetShadow {
        FleetShadow { until: clock.now().saturating_add(Duration::from_mins(1)) }
    }

    #[test]
    fn a_shadow_is_in_force_until_its_end_and_no_longer() {
        let (fleet, clock) = fleet();
        assert_eq!(fleet.mode(clock.now()), None);
        let shadow = for_a_minute(&clock);
        fleet.hear(&epoch("e1"), Revision(2), Some(shadow));
        assert_eq!(fleet.mode(clock.now()), Some(Mode::Shadow));
        assert_eq!(fleet.shadow(), Some(shadow));
        clock.advance(Duration::from_mins(1));
        assert_eq!((fleet.mode(clock.now()), fleet.shadow()), (None, None));
    }

    #[test]
    fn an_answer_that_is_older_than_what_was_heard_changes_nothing() {
        let (fleet, clock) = fleet();
        fleet.hear(&epoch("e1"), Revision(7), Some(for_a_minute(&clock)));
        fleet.hear(&epoch("e1"), Revision(6), None);
        assert_eq!(fleet.mode(clock.now()), Some(Mode::Shadow));
        fleet.hear(&epoch("e1"), Revision(8), None);
        fleet.hear(&epoch("e1"), Revision(7), Some(for_a_minute(&clock)));
        assert_eq!(fleet.mode(clock.now()), None);
    }

    #[test]
    fn another_history_says_it_anew() {
        let (fleet, clock) = fleet();
        fleet.hear(&epoch("e1"), Revision(7), Some(for_a_minute(&clock)));
        fleet.hear(&epoch("e2"), Revision(3), None);
        assert_eq!(fleet.mode(clock.now()), None);
    }

    #[test]
    fn a_shadow_that_was_ended_stays_ended_where_the_store_forgets_that() {
        let (fleet, clock) = fleet();
        let shadow = for_a_minute(&clock);
        fleet.hear(&epoch("e1"), Revision(7), Some(shadow));
        fleet.hear(&epoch("e1"), Revision(8), None);
        for revision in [7, 9] {
            fleet.hear(&epoch("e2"), Revision(revision), Some(shadow));
            assert_eq!(fleet.mode(clock.now()), None);
        }
        // Another one is another.
        let later = FleetShadow { until: shadow.until.saturating_add(Duration::from_millis(1)) };
        fleet.hear(&epoch("e2"), Revision(10), Some(later));
        assert_eq!(fleet.mode(clock.now()), Some(Mode::Shadow));
    }
}
