//! What an instance that may write does about a history that lost its end, or is gone.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    applied::Applied,
    machine::{LOG_PAGE, Loss},
    random_epoch,
};
use crate::{
    domain::{Ended, Partition, Revision, Watermark},
    store::{Place, SessionReader, Store, StoreError, Succession, SuccessionError},
    telemetry::{Metrics, event::HistorySucceeded},
};

/// One partition of a store that is not believed, and what was followed there.
pub(super) struct Lost {
    pub(super) store: Store,
    pub(super) metrics: Metrics,
    pub(super) reader: SessionReader,
    pub(super) partition: Partition,
    pub(super) watermark: Watermark,
    pub(super) applied: Arc<Mutex<Applied>>,
}

impl Lost {
    /// Does about `loss` what can be done without an operator.
    pub(super) async fn amend(&self, loss: Loss) -> Result<(), StoreError> {
        match loss {
            Loss::AnotherHistory => Ok(()),
            Loss::Diverged | Loss::Shorter => self.end_history().await,
            Loss::Empty => self.store.mark_lost(self.partition, &self.watermark.epoch).await,
        }
    }

    /// Ends the history where it and what was applied here have the last revision in common, so
    /// that no revision ever names two changes.
    async fn end_history(&self) -> Result<(), StoreError> {
        let Some(head) = self.reader.head(self.partition).await? else { return Ok(()) };
        if head.epoch != self.watermark.epoch {
            return Ok(());
        }
        let common = self.last_in_common(head.revision).await?;
        let (ended, epoch) = (head.epoch.clone(), random_epoch()?);
        let succession = Succession {
            partition: self.partition,
            partitions: head.partitions,
            from: Some(Place::from(&head)),
            epoch: epoch.clone(),
            lineage: head.lineage.after([Ended { epoch: ended.clone(), common: Some(common) }]),
            revision: head.revision.next(),
            staged: None,
            partial: None,
        };
        match self.store.succeed(&succession).await {
            Ok(()) => {
                let partition = self.partition;
                HistorySucceeded { partition, ended, common, epoch }.emit(&self.metrics);
                Ok(())
            }
            Err(SuccessionError::Moved) => Ok(()),
            Err(SuccessionError::Store(error)) => Err(error),
            Err(error @ SuccessionError::Staged) => Err(StoreError::Unexpected(error.to_string())),
        }
    }

    /// The newest revision that is the same change here and there. What was applied too long ago
    /// cannot be compared: then a store that ends before it is taken at its word, and of one that
    /// goes on beyond it nothing is.
    async fn last_in_common(&self, newest: Revision) -> Result<Revision, StoreError> {
        let first = self.applied.lock().first().map(|(at, id)| (at, id.to_owned()));
        let Some((oldest, mut from)) = first else { return Ok(Revision::default()) };
        let mut common = None;
        loop {
            let page = self.reader.log(self.partition, &from, LOG_PAGE).await?;
            common = self.applied.lock().common_with(&page).or(common);
            match page.last() {
                Some(last) if page.len() >= LOG_PAGE => from.clone_from(&last.log_id),
                Some(_) | None => break,
            }
        }
        let taken_at_its_word = if newest < oldest { newest } else { Revision::default() };
        Ok(common.unwrap_or(taken_at_its_word))
    }
}
