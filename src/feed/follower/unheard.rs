//! Looks whether the store has what this instance was told is committed and has not heard of; what
//! it does not have is withheld, like everything that it forgot.

use super::{Answer, Asked, Follower, OnLoss};
use crate::{
    domain::{Inherited, Partition, Revision, Token},
    feed::applied::Missing,
    store::{Push, SessionReader, StoreError},
    telemetry::event::ChangesForgotten,
};

/// What the store's log says of a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// It is there.
    There,
    /// It is not, though what was before or after it is.
    Forgotten,
    /// The log does not reach back to it.
    Untold,
}

impl Follower<'_> {
    /// Asks for what was not heard of yet, unless that is being asked.
    pub(super) fn ask_unheard(&self, asked: &mut Asked) {
        if asked.looking {
            return;
        }
        let mut unheard = Vec::new();
        for part in self.parts.iter().filter(|part| part.machine.is_following()) {
            let applied = part.applied.lock();
            let is_heard =
                |it: &Push| applied.log_id_of(&it.epoch, it.change.revision) == it.change.log_id;
            unheard.extend(self.feed.acknowledged.unheard(part.number, is_heard));
        }
        if unheard.is_empty() {
            return;
        }
        asked.looking = true;
        let reader = asked.reader.clone();
        asked.answers.spawn(async move { Answer::Unheard(look_for(&reader, unheard).await) });
    }

    pub(super) fn take_unheard(
        &mut self,
        asked: &mut Asked,
        looked_for: Result<Vec<(Push, Found)>, StoreError>,
    ) {
        asked.looking = false;
        let mut looked_for = match looked_for {
            Ok(looked_for) => looked_for,
            // The heartbeat judges the session.
            Err(error) => return tracing::debug!(%error, "The log was not asked"),
        };
        // What the log cannot tell any more, the feed has come past; or it will.
        looked_for.retain(|(it, found)| {
            let watermark = self.feed.cache.watermark(it.partition);
            *found != Found::Untold
                || watermark.is_some_and(|watermark| {
                    watermark.epoch != it.epoch || watermark.position.revision >= it.change.revision
                })
        });
        let (settled, found): (Vec<_>, Vec<_>) = looked_for.into_iter().unzip();
        for partition in self.numbers() {
            let of_this = settled.iter().zip(&found);
            let forgotten = of_this
                .filter(|(it, found)| it.partition == partition && **found == Found::Forgotten);
            self.withhold_unheard(partition, &forgotten.map(|(it, _)| it).collect::<Vec<_>>());
        }
        self.feed.acknowledged.settle(&settled);
    }

    /// Withholds what the store forgot, as if it had been heard of.
    fn withhold_unheard(&self, partition: Partition, forgotten: &[&Push]) {
        let Some(picture) = self.feed.cache.picture(partition) else { return };
        if self.feed.on_loss == OnLoss::Adopt {
            return;
        }
        let held = picture.withheld.list();
        let mut missing = Missing::default();
        // Where the oldest of them would have stood, the log is read from to write them back.
        let mut stand: Option<(Revision, &str)> = None;
        for Push { epoch, follows, change, .. } in forgotten {
            let before = Revision(change.revision.0.saturating_sub(1));
            let up_to = if *epoch == picture.epoch {
                before
            } else {
                match picture.lineage.inherited(epoch) {
                    Some(Inherited::UpTo(common)) => common.min(before),
                    // The store was declared right, whatever was known here.
                    Some(Inherited::Instead) | None => continue,
                }
            };
            let follows = if up_to == before { follows.as_str() } else { "" };
            let (common, since) = *stand.get_or_insert((up_to, follows));
            let token = Token { epoch: epoch.clone(), partition, revision: change.revision };
            if held.iter().all(|it| it.token != token) {
                missing.add(token, &change.subject, common, since);
            }
        }
        if missing.others == 0 && missing.acts.is_empty() {
            return;
        }
        let (acts, others) = (missing.acts.len(), missing.others);
        ChangesForgotten { acts, others }.emit(&self.feed.metrics);
        picture.withheld.add(missing.acts);
        self.feed.journal.replaced();
    }
}

/// Asks the log for each of them.
async fn look_for(
    reader: &SessionReader,
    unheard: Vec<Push>,
) -> Result<Vec<(Push, Found)>, StoreError> {
    let mut looked_for = Vec::with_capacity(unheard.len());
    for push in unheard {
        let change = &push.change;
        let at = reader.log(push.partition, &change.log_id, 1).await?;
        let is_there = at
            .first()
            .is_some_and(|it| it.log_id == change.log_id && it.revision == change.revision);
        let found = if is_there {
            Found::There
        } else {
            let oldest = reader.log(push.partition, "", 1).await?;
            let reaches_back = oldest.first().is_some_and(|it| it.revision <= change.revision);
            if reaches_back { Found::Forgotten } else { Found::Untold }
        };
        looked_for.push((push, found));
    }
    Ok(looked_for)
}
