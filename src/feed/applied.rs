//! What was applied lately, to tell what a store forgot.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    cache::Forgotten,
    domain::{Change, Epoch, Partition, Revision, Subject, Token, Verb, Watermark},
};

/// The newest changes of one partition's history that were applied here.
#[derive(Debug)]
pub(super) struct Applied {
    capacity: usize,
    epoch: Option<Epoch>,
    changes: BTreeMap<Revision, Change>,
}

/// What of them a store does not know any more.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Status acts and erasures, which can be done again.
    pub(super) acts: Vec<Arc<Forgotten>>,
    /// Changes of which too little is kept here to make them again.
    pub(super) others: u64,
    /// How many of those are not remembered at all.
    pub(super) untold: u64,
}

impl Missing {
    /// Takes in one, which followed on a history of which the store has everything up to `common`,
    /// in the log entry `since`.
    pub(super) fn add(&mut self, token: Token, subject: &Subject, common: Revision, since: &str) {
        match subject {
            Subject::Customer(change)
                if change.act.is_of_status() || change.act.verb == Verb::Purge =>
            {
                self.acts.push(Arc::new(Forgotten {
                    token,
                    change: change.clone(),
                    common,
                    since: since.to_owned(),
                    in_conflict: false,
                }));
            }
            // These tell nothing that a store could be without; what cannot be read is as if it
            // were not remembered, and what lapsed lapses again.
            Subject::Created | Subject::Succeeded | Subject::Unreadable(_) => {}
            Subject::Customer(change) if change.act.verb == Verb::Lapse => {}
            Subject::Conflict { .. }
            | Subject::Customer(_)
            | Subject::Fleet { .. }
            | Subject::Key { .. }
            | Subject::Source { .. } => self.others += 1,
        }
    }
}

impl Applied {
    /// Room for `capacity` changes.
    pub(super) const fn new(capacity: usize) -> Self {
        Self { capacity, epoch: None, changes: BTreeMap::new() }
    }

    /// Takes note of a change of `epoch`. Of an earlier history nothing is kept then.
    pub(super) fn keep(&mut self, epoch: &Epoch, change: &Change) {
        if self.epoch.as_ref() != Some(epoch) {
            self.epoch = Some(epoch.clone());
            self.changes.clear();
        }
        self.changes.insert(change.revision, change.clone());
        if self.changes.len() > self.capacity {
            self.changes.pop_first();
        }
    }

    /// Takes note of a change of `epoch` too, if that is the history of which changes are kept.
    pub(super) fn keep_beside(&mut self, epoch: &Epoch, change: &Change) {
        if self.epoch.as_ref() == Some(epoch) {
            self.keep(epoch, change);
        }
    }

    /// The oldest change that is kept, and its place in the log: from there on a store can be
    /// compared with this.
    pub(super) fn first(&self) -> Option<(Revision, &str)> {
        let (revision, change) = self.changes.first_key_value()?;
        Some((*revision, &change.log_id))
    }

    /// The newest revision that `log` and this have in common.
    pub(super) fn common_with(&self, log: &[Change]) -> Option<Revision> {
        let is_same = |theirs: &&Change| {
            self.changes.get(&theirs.revision).is_some_and(|ours| ours.log_id == theirs.log_id)
        };
        log.iter().rev().find(is_same).map(|change| change.revision)
    }

    /// The log entry of a revision; empty when it is not kept.
    pub(super) fn log_id_of(&self, epoch: &Epoch, revision: Revision) -> String {
        let kept = self.changes.get(&revision).filter(|_| self.epoch.as_ref() == Some(epoch));
        kept.map(|change| change.log_id.clone()).unwrap_or_default()
    }

    /// What a store does not know that kept the history `before`, applied here up to there, only up
    /// to `common`, and of what came after only what its `log` has.
    pub(super) fn missing(
        &self,
        partition: Partition,
        before: &Watermark,
        common: Revision,
        log: &[Change],
    ) -> Missing {
        let in_store: HashMap<_, _> = log.iter().map(|it| (it.revision, &it.log_id)).collect();
        // By both: of two masters at once, each may have an entry of the same moment.
        let is_in_store = |it: &Change| in_store.get(&it.revision) == Some(&&it.log_id);
        let mut missing = Missing::default();
        let epoch = &before.epoch;
        let kept = self.epoch.as_ref() == Some(epoch);
        let since = self.log_id_of(epoch, common);
        for (revision, change) in self.changes.range(common.next()..).filter(|_| kept) {
            if is_in_store(change) {
                continue;
            }
            let token = Token { epoch: epoch.clone(), partition, revision: *revision };
            missing.add(token, &change.subject, common, &since);
        }
        let at = before.position.revision;
        let forgotten = at.0.saturating_sub(common.0);
        let is_told = |change: &Change| {
            !matches!(change.subject, Subject::Unreadable(_)) || is_in_store(change)
        };
        let since = self.changes.range(common.next()..).take_while(|(it, _)| **it <= at);
        let told = since.filter(|(_, change)| kept && is_told(change)).count();
        missing.untold = forgotten.saturating_sub(u64::try_from(told).unwrap_or(u64::MAX));
        missing.others += missing.untold;
        missing
    }
}
