//! Looks now and then, and when a change is refused for it, whether the store's restricted set is
//! whole; and has it written anew if it is not.

use std::time::Duration;

use super::{Answer, Asked, Follower};
use crate::{
    clock::jittered,
    domain::Partition,
    feed::{
        Rights,
        repair::{self, NotRewritten, Rewritten},
    },
    store::{Head, StoreError, Tally},
    telemetry::{
        RewrittenFrom,
        event::{RestrictedNotRewritten, RestrictedRewritten},
    },
};

/// How long after one look the next one is.
pub(super) const INSPECT_EVERY: Duration = Duration::from_secs(30);
/// The same, while the set is known not to be whole.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Follower<'_> {
    /// Asks how many entries the restricted sets have, unless that is being asked.
    pub(super) fn inspect(&self, asked: &mut Asked) {
        if std::mem::replace(&mut asked.inspecting, true) {
            return;
        }
        let (reader, partitions) = (asked.reader.clone(), self.numbers());
        asked.answers.spawn(async move {
            let mut tallies = Vec::with_capacity(partitions.len());
            for partition in partitions {
                match reader.tally(partition).await {
                    Ok(tally) => tallies.push((partition, tally)),
                    Err(error) => return Answer::Tallies(Err(error)),
                }
            }
            Answer::Tallies(Ok(tallies))
        });
    }

    pub(super) fn take_tallies(
        &mut self,
        asked: &mut Asked,
        tallies: Result<Vec<(Partition, Option<Tally>)>, StoreError>,
    ) {
        asked.inspecting = false;
        let tallies = match tallies {
            Ok(tallies) => tallies,
            // The heartbeat judges the session.
            Err(error) => return tracing::debug!(%error, "The restricted set was not counted"),
        };
        for (partition, tally) in tallies {
            let Some(Tally { head, held }) = tally else { continue };
            // Of another history than the one that is followed nothing is said here.
            let watermark = self.feed.cache.watermark(partition);
            if watermark.is_none_or(|watermark| watermark.epoch != head.epoch) {
                continue;
            }
            let is_lost = held != head.restricted.count;
            self.feed.tell_restricted(partition, is_lost);
            if is_lost {
                asked.inspection.reset_after(jittered(LOOK_AGAIN));
                self.rewrite(asked, partition, &head);
            }
        }
    }

    /// Begins to write the set anew from the one in memory, if this instance may and its own is
    /// the right one.
    fn rewrite(&mut self, asked: &mut Asked, partition: Partition, head: &Head) {
        let (store, census) = (self.feed.store.clone(), head.restricted);
        let picture = self.feed.cache.picture(partition);
        let picture = picture.filter(|it| it.epoch == head.epoch && it.census() == census);
        let (Some(picture), Rights::ReadWrite) = (picture, self.feed.rights) else { return };
        let Some(part) = self.part(partition) else { return };
        if !part.machine.is_following() || std::mem::replace(&mut part.rewriting, true) {
            return;
        }
        asked.answers.spawn(async move {
            let rewritten = repair::from_memory(&store, partition, &picture, census).await;
            Answer::Rewritten(partition, rewritten)
        });
    }

    pub(super) fn take_rewritten(
        &mut self,
        asked: &mut Asked,
        partition: Partition,
        rewritten: Result<Rewritten, NotRewritten>,
    ) {
        if let Some(part) = self.part(partition) {
            part.rewriting = false;
        }
        let metrics = &self.feed.metrics;
        match rewritten {
            Ok(Rewritten::Done(customers)) => {
                let from = RewrittenFrom::Memory;
                RestrictedRewritten { partition, customers, from }.emit(metrics);
                self.inspect(asked);
            }
            Ok(Rewritten::Overtaken | Rewritten::Whole) => {}
            Err(why) => RestrictedNotRewritten { partition, why }.emit(metrics),
        }
    }
}
