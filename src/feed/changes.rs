//! What was applied lately, for those who watch changes of status.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::domain::{
    Change, Epoch, Partition, Revision, Subject, Timestamp, Token, change::CustomerChange,
};

/// The newest changes of customers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Changes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept: Mutex<Kept>,
    /// The place behind the newest.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    recent: VecDeque<News>,
    /// The place behind the newest.
    end: u64,
    /// From where on every change of a partition is kept.
    whole_since: BTreeMap<Partition, (Epoch, Revision)>,
}

/// Something that those who watch are told.
#[derive(Clone, Debug)]
pub enum News {
    /// A customer was changed.
    Changed {
        /// In which partition, and at which revision.
        token: Token,
        /// By what.
        change: Arc<Change>,
    },
    /// A partition is another than it was, and nobody knows by which changes.
    Replaced {
        /// Where it is now.
        token: Token,
    },
}

impl News {
    /// Where the partition is after it.
    #[must_use]
    pub const fn token(&self) -> &Token {
        match self {
            Self::Changed { token, .. } | Self::Replaced { token } => token,
        }
    }

    /// When the store committed it.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Changed { change, .. } => change.committed_at(),
            Self::Replaced { .. } => None,
        }
    }

    /// What was done to which customer.
    #[must_use]
    pub fn customer(&self) -> Option<&CustomerChange> {
        let Self::Changed { change, .. } = self else { return None };
        if let Subject::Customer(changed) = &change.subject { Some(changed) } else { None }
    }
}

/// Somebody who did not keep up, or comes back too late: what is missed is not kept any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Missed;

impl Default for Changes {
    fn default() -> Self {
        Self(Arc::new(Inner { kept: Mutex::default(), news: watch::Sender::new(0) }))
    }
}

impl Changes {
    /// The place behind the newest, told whenever it moves.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    /// Everything from `place` on, and the place behind it.
    pub fn since(&self, place: u64) -> Result<(Vec<News>, u64), Missed> {
        let kept = self.0.kept.lock();
        let first = kept.end - kept.recent.len() as u64;
        let skipped = place.checked_sub(first).ok_or(Missed)?;
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        Ok((kept.recent.iter().skip(skipped).cloned().collect(), kept.end))
    }

    /// The place from which on everything after each of `tokens` is kept.
    pub fn place_of(&self, tokens: &[Token]) -> Result<u64, Missed> {
        let kept = self.0.kept.lock();
        let is_kept = |token: &Token| {
            let whole = kept.whole_since.get(&token.partition);
            whole.is_some_and(|(epoch, since)| *epoch == token.epoch && *since <= token.revision)
        };
        let first = kept.end - kept.recent.len() as u64;
        if tokens.iter().all(is_kept) { Ok(first) } else { Err(Missed) }
    }

    /// Keeps a change that was applied to a partition.
    pub(super) fn applied(&self, partition: Partition, epoch: &Epoch, change: &Change) {
        let before = Revision(change.revision.0.saturating_sub(1));
        let token = Token { epoch: epoch.clone(), partition, revision: change.revision };
        let mut kept = self.0.kept.lock();
        kept.whole_since.entry(partition).or_insert_with(|| (epoch.clone(), before));
        kept.push(News::Changed { token, change: Arc::new(change.clone()) });
        self.0.news.send_replace(kept.end);
    }

    /// Takes note that a partition was read anew.
    pub(super) fn replaced(&self, token: Token) {
        let mut kept = self.0.kept.lock();
        kept.whole_since.insert(token.partition, (token.epoch.clone(), token.revision));
        kept.push(News::Replaced { token });
        self.0.news.send_replace(kept.end);
    }
}

impl Kept {
    fn push(&mut self, news: News) {
        self.recent.push_back(news);
        self.end += 1;
        if self.recent.len() > KEPT
            && let Some(oldest) = self.recent.pop_front()
        {
            let Token { epoch, partition, revision } = oldest.token();
            // What was forgotten of an earlier history says nothing of this one.
            if let Some((of, since)) = self.whole_since.get_mut(partition)
                && of == epoch
            {
                *since = (*since).max(*revision);
            }
        }
    }
}

/// How many changes are kept for those who come back.
const KEPT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(name: &str) -> Epoch {
        Epoch::parse(name).unwrap()
    }

    fn token(epoch_name: &str, revision: u64) -> Token {
        Token { epoch: epoch(epoch_name), partition: Partition(0), revision: Revision(revision) }
    }

    fn apply(changes: &Changes, revision: u64) {
        let log_id = format!("{revision}-0");
        let change = Change { revision: Revision(revision), log_id, subject: Subject::Created };
        changes.applied(Partition(0), &epoch("e1"), &change);
    }

    fn revisions(changes: &Changes, place: u64) -> Result<Vec<u64>, Missed> {
        let (news, _) = changes.since(place)?;
        Ok(news.iter().map(|it| it.token().revision.0).collect())
    }

    #[test]
    fn whoever_comes_back_in_time_is_told_everything_since() {
        let changes = Changes::default();
        assert_eq!(changes.place_of(&[token("e1", 4)]), Err(Missed));
        (5..=9).for_each(|revision| apply(&changes, revision));
        assert_eq!(changes.place_of(&[token("e1", 3)]), Err(Missed));
        assert_eq!(changes.place_of(&[token("e0", 7)]), Err(Missed));
        for known in [4, 7, 9] {
            let place = changes.place_of(&[token("e1", known)]).unwrap();
            let told = revisions(&changes, place).unwrap();
            let told: Vec<_> = told.into_iter().filter(|it| *it > known).collect();
            assert_eq!(told, (known + 1..=9).collect::<Vec<_>>());
        }
        let (_, end) = changes.since(0).unwrap();
        apply(&changes, 10);
        assert_eq!(revisions(&changes, end), Ok(vec![10]));
    }

    #[test]
    fn what_is_not_kept_any_more_is_missed_and_not_skipped() {
        let changes = Changes::default();
        let kept = KEPT as u64;
        (1..=kept + 5).for_each(|revision| apply(&changes, revision));
        assert_eq!(revisions(&changes, 4), Err(Missed));
        assert_eq!(revisions(&changes, 5).map(|it| it.len()), Ok(KEPT));
        assert_eq!(changes.place_of(&[token("e1", 4)]), Err(Missed));
        assert!(changes.place_of(&[token("e1", 5)]).is_ok());
    }

    #[test]
    fn a_partition_that_was_read_anew_is_whole_from_there() {
        let changes = Changes::default();
        apply(&changes, 5);
        changes.replaced(token("e2", 3));
        assert_eq!(changes.place_of(&[token("e1", 5)]), Err(Missed));
        assert_eq!(changes.place_of(&[token("e2", 2)]), Err(Missed));
        assert!(changes.place_of(&[token("e2", 3)]).is_ok());
    }
}
