//! Puts a snapshot in the place of a picture, and says what it is good for.

use std::time::Duration;

use super::{
    Source,
    format::{Left, Snapshot},
};
use crate::{
    cache::{Booted, Refused, Use},
    domain::{Partition, Timestamp},
};

/// What came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Boot {
    /// How many customers it names.
    pub customers: u64,
    /// How old it is; nothing if that cannot be told.
    pub age: Option<Duration>,
    /// What it is good for.
    pub good_for: Use,
}

impl Snapshot {
    /// How old its oldest part is by the time of day `now`; nothing if that cannot be told,
    /// because it is from the future.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        let ages = self.partitions.iter().map(|part| part.age(now));
        ages.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// What it is good for at `now`: only one that is younger than `max_age` decides.
    #[must_use]
    pub fn good_for(&self, now: Timestamp, max_age: Duration) -> Use {
        match self.age(now) {
            Some(age) if age < max_age => Use::Deciding,
            Some(_) | None => Use::Refusing,
        }
    }
}

impl Left {
    fn age(&self, now: Timestamp) -> Option<Duration> {
        // Two clocks, or one that was set a little, are not quite the same.
        let is_past = self.confirmed <= now.saturating_add(CLOCKS_DIFFER);
        is_past.then(|| now.saturating_since(self.confirmed))
    }
}

impl Source {
    /// Puts `snapshot` in the place of the pictures. Its keys are good only if it decides: one
    /// that was revoked since then would be accepted.
    pub fn boot(&self, snapshot: &Snapshot, max_age: Duration) -> Result<Boot, Refused> {
        let found = snapshot.count;
        if !self.cache.lay_out_as(found) {
            return Err(Refused::Partitions { found, expected: self.cache.partitions() });
        }
        let now = self.clock.now();
        let good_for = snapshot.good_for(now, max_age);
        let (mut taken, mut refused) = (0, None);
        for (number, part) in (0..).zip(&snapshot.partitions) {
            let booted = Booted {
                picture: part.picture.clone(),
                watermark: part.watermark.clone(),
                age: part.age(now),
                good_for,
            };
            // One partition may be in the middle of a session, and the others not.
            match self.cache.boot(Partition(number), booted) {
                Ok(()) => taken += 1,
                Err(Refused::Held) => {}
                Err(error) => refused = Some(error),
            }
        }
        if let Some(refused) = refused.or((taken == 0).then_some(Refused::Held)) {
            return Err(refused);
        }
        if good_for == Use::Deciding {
            let keys = snapshot.keys.iter().map(|(id, key)| (id.clone(), key.clone()));
            self.keyring.boot(&keys.collect::<Vec<_>>());
        }
        Ok(Boot { customers: snapshot.customers(), age: snapshot.age(now), good_for })
    }

    /// Whether every partition has a picture that may let somebody in, and the keys are read.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.keyring.is_read() && self.cache.decides()
    }
}

/// By how much two clocks that are right may differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);
