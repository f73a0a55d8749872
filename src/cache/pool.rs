//! Parts of records that are alike are kept once: customers of one plan have the same features and
//! limits, and most have no messages and no aliases.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::Hash,
};

use parking_lot::Mutex;

use crate::domain::{
    Code, CustomerId, LastMessage, Limit, Obligations, Shared, Source, customer::RecordBody,
};

/// What records have alike.
#[derive(Debug, Default)]
pub(super) struct Pool {
    plans: Same<Code>,
    features: Same<Shared<BTreeSet<Code>>>,
    limits: Same<Shared<BTreeMap<Code, Limit>>>,
    obligations: Same<Shared<Obligations>>,
    nobody: Shared<BTreeMap<Source, CustomerId>>,
    nothing: Shared<BTreeMap<Source, LastMessage>>,
}

impl Pool {
    /// Puts what is kept already in the place of what is equal.
    pub(super) fn share(&self, body: &mut RecordBody) {
        self.plans.put(body.plan.as_mut());
        self.features.put(body.features.as_mut());
        self.limits.put(body.limits.as_mut());
        self.obligations.put(Some(&mut body.obligations));
        if body.aliases.is_empty() {
            body.aliases = self.nobody.clone();
        }
        for messages in [&mut body.last_messages, &mut body.last_entitlements] {
            if messages.is_empty() {
                *messages = self.nothing.clone();
            }
        }
    }
}

/// Values of a kind, each once.
#[derive(Debug)]
struct Same<T>(Mutex<HashSet<T>>);

impl<T> Default for Same<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Eq + Hash> Same<T> {
    fn put(&self, value: Option<&mut T>) {
        let Some(value) = value else { return };
        let mut kept = self.0.lock();
        if let Some(same) = kept.get(value) {
            value.clone_from(same);
            return;
        }
        // Where they are as many as that, they are not alike.
        if kept.len() >= KEPT_AT_MOST {
            kept.clear();
        }
        kept.insert(value.clone());
    }
}

const KEPT_AT_MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_records_have_alike_is_kept_once_and_says_the_same() {
        let json = r#"{"plan":"pro","features":["sso"],"limits":{"seats":{"max":5}},
            "createdAt":"2026-11-21T10:00:00Z","updatedAt":"2026-11-21T10:00:00Z"}"#;
        let read = || serde_json::from_str::<RecordBody>(json).unwrap();
        let (pool, mut first, mut second) = (Pool::default(), read(), read());
        pool.share(&mut first);
        pool.share(&mut second);
        assert_eq!((&first, &second), (&read(), &read()));
        let (first, second) = (first.features.unwrap(), second.features.unwrap());
        let place = |it: &Shared<BTreeSet<Code>>| std::ptr::from_ref::<BTreeSet<Code>>(it);
        assert_eq!(place(&first), place(&second));
    }

    #[test]
    fn what_is_different_each_time_does_not_fill_the_memory() {
        let same = Same::<u64>::default();
        for mut number in 0..3 * KEPT_AT_MOST as u64 {
            same.put(Some(&mut number));
        }
        assert!(same.0.lock().len() <= KEPT_AT_MOST);
    }
}
