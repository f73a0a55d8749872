//! Tells whether the store that is followed has what this instance was told is committed: it is
//! heard, or it is in the log.
//!
//! And only once this instance has come to it by the history that it follows. From then on it finds
//! out by its own watermark when a store has it no longer; what was merely seen in a log, or heard
//! ahead of what came before, could be lost without a word.

use super::{Answer, Asked, Follower, Part};
use crate::{
    feed::acknowledged::Kept,
    store::{Push, SessionReader, StoreError},
};

impl Follower<'_> {
    /// Says of everything that was heard that it is there. Of the rest the log is asked where it
    /// is not heard of as it happens, and when `at_rest`: then it should have been heard.
    pub(super) fn tell_heard(&self, asked: &mut Asked, at_rest: bool) {
        let mut unheard = Vec::new();
        for part in &self.parts {
            let applied = part.applied.lock();
            let is_heard = |it: &Push| {
                self.has_come_to(it)
                    && applied.log_id_of(&it.epoch, it.change.revision) == it.change.log_id
            };
            self.feed.acknowledged.answer(part.number, Kept::There, is_heard);
            if part.knows_its_history() && (at_rest || !part.machine.is_following()) {
                unheard.extend(self.feed.acknowledged.of(part.number));
            }
        }
        if unheard.is_empty() || std::mem::replace(&mut asked.looking, true) {
            return;
        }
        let reader = asked.reader.clone();
        asked.answers.spawn(async move { Answer::Unheard(look_for(&reader, unheard).await) });
    }

    pub(super) fn take_unheard(
        &self,
        asked: &mut Asked,
        looked_for: Result<Vec<(Push, Option<Kept>)>, StoreError>,
    ) {
        asked.looking = false;
        match looked_for {
            Ok(looked_for) => {
                for (change, kept) in looked_for {
                    let Some(kept) = kept else { continue };
                    if kept == Kept::There {
                        if !self.has_come_to(&change) {
                            continue;
                        }
                        self.remember_beside(&change);
                    }
                    self.feed.acknowledged.answer(change.partition, kept, |it| *it == change);
                }
            }
            // The heartbeat judges the session.
            Err(error) => tracing::debug!(%error, "The log was not asked"),
        }
    }

    /// Whether the picture in memory is of the revision of `change`, or a later one.
    fn has_come_to(&self, change: &Push) -> bool {
        let watermark = self.feed.cache.watermark(change.partition);
        watermark.is_some_and(|it| it.position.revision >= change.change.revision)
    }

    /// Remembers what came with a picture and was not heard of by itself.
    fn remember_beside(&self, Push { partition, epoch, change, .. }: &Push) {
        if let Some(part) = self.parts.iter().find(|part| part.number == *partition) {
            part.applied.lock().keep_beside(epoch, change);
        }
    }
}

impl Part {
    /// Whether the session is known to be with the history that is followed, or with what came out
    /// of it.
    fn knows_its_history(&self) -> bool {
        self.machine.is_reading() || self.machine.is_following()
    }
}

/// Asks the log for each of them. Nothing where it no longer reaches back to one.
async fn look_for(
    reader: &SessionReader,
    unheard: Vec<Push>,
) -> Result<Vec<(Push, Option<Kept>)>, StoreError> {
    let mut looked_for = Vec::with_capacity(unheard.len());
    for push in unheard {
        let change = &push.change;
        let at = reader.log(push.partition, &change.log_id, 1).await?;
        let is_there = at
            .first()
            .is_some_and(|it| it.log_id == change.log_id && it.revision == change.revision);
        let kept = if is_there {
            Some(Kept::There)
        } else {
            let oldest = reader.log(push.partition, "", 1).await?;
            let reaches_back = oldest.first().is_some_and(|it| it.revision <= change.revision);
            reaches_back.then_some(Kept::Forgotten)
        };
        looked_for.push((push, kept));
    }
    Ok(looked_for)
}
