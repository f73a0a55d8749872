//! What an operator says of a store that is not believed: that it is right, or that it has to be
//! filled again with what this instance knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use super::{ActError, Control, Request, guard::spell};
use crate::{
    cache::Picture,
    domain::{
        AuditEntry, Ended, Epoch, Lineage, Partition, Record, Refusal, Restrictions, Revision,
        Role, Watermark, audit::AuditOutcome, customer::RecordBody,
    },
    feed::random_epoch,
    store::{
        Census, Head, Place, RestrictedEntry, SessionReader, StoreError, Succession,
        SuccessionError, Write, format::unexpected,
    },
};

/// Who is right about what the store lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Right {
    /// This instance: the store is filled with what it knows.
    Instance,
    /// The store.
    Store,
}

/// How one partition stands here and in the store.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStand {
    /// Which partition.
    pub partition: u16,
    /// Why the store is not believed there, if it is not.
    pub lost: Option<&'static str>,
    /// What is held here.
    pub here: Option<Stand>,
    /// What the store has.
    pub store: Option<Stand>,
    /// Whether the store lacks records that there were.
    pub partial: bool,
    /// How many forgotten changes are withheld here.
    pub withheld: usize,
    /// How many of them are not written back, because somebody has to decide.
    pub in_conflict: usize,
}

/// How far a history is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stand {
    /// Which history.
    pub epoch: String,
    /// Its newest revision.
    pub revision: u64,
    /// How many customers have a restriction.
    pub restricted: u64,
}

/// What a succession does to customers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// How many have a restriction on one side only, and none afterwards.
    pub lets_in: u64,
    /// How many have a restriction on one side only, and keep it.
    pub shuts_out: u64,
    /// How many have one afterwards.
    pub restricted: u64,
}

/// A partition whose history is to be succeeded.
struct Affected {
    partition: Partition,
    reader: SessionReader,
    picture: Arc<Picture>,
    watermark: Watermark,
    head: Option<Head>,
}

impl Control {
    /// How every partition stands.
    pub async fn store_stat(&self) -> Result<Vec<PartitionStand>, StoreError> {
        let mut stands = Vec::new();
        for partition in self.store.partitions().all() {
            let session = self.store.open_session(&[partition]).await?;
            let head = session.reader.head(partition).await?;
            let watermark = self.cache.watermark(partition);
            let picture = self.cache.picture(partition);
            let withheld = picture.as_ref().map(|it| it.withheld.list()).unwrap_or_default();
            let census = picture.as_ref().map(|picture| picture.census());
            let stand = |epoch: &Epoch, revision: Revision, census: Census| Stand {
                epoch: epoch.to_string(),
                revision: revision.0,
                restricted: census.count,
            };
            stands.push(PartitionStand {
                partition: partition.0,
                lost: self.feed.borrow().of(partition).lost,
                here: watermark.zip(census).map(|(watermark, census)| {
                    stand(&watermark.epoch, watermark.position.revision, census)
                }),
                store: head.as_ref().map(|it| stand(&it.epoch, it.revision, it.restricted)),
                partial: head.is_some_and(|head| head.partial),
                withheld: withheld.len(),
                in_conflict: withheld.iter().filter(|it| it.in_conflict).count(),
            });
        }
        Ok(stands)
    }

    /// What it would do to customers to say who is right about what the store lost.
    pub async fn effect_of(&self, right: Right) -> Result<Effect, ActError> {
        let mut effect = Effect::default();
        for affected in self.affected().await? {
            let stored = affected.stored_set().await?;
            let here = affected.picture.entries().map(|entry| entry.key.to_string());
            let here: BTreeSet<String> = here.collect();
            let (now, then) = match right {
                Right::Instance => (stored, here),
                Right::Store => (here, stored),
            };
            let count = |keys: usize| u64::try_from(keys).unwrap_or(u64::MAX);
            effect.lets_in += count(now.difference(&then).count());
            effect.shuts_out += count(then.difference(&now).count());
            effect.restricted += count(then.len());
        }
        Ok(effect)
    }

    /// Says who is right about what the store lost. Every instance follows at once.
    pub async fn succeed(&self, request: &Request, right: Right) -> Result<(), ActError> {
        request.actor.require(Role::Admin).map_err(Refusal::from)?;
        let epoch = random_epoch()?;
        for affected in self.affected().await?.iter().rev() {
            let succession = match right {
                Right::Instance => self.refilled(affected, &epoch).await?,
                Right::Store => self.trusted(affected, &epoch),
            };
            self.store.succeed(&succession).await.map_err(|error| match error {
                SuccessionError::Moved => ActError::NotNow(
                    "the store changed meanwhile; somebody else may have been first",
                ),
                SuccessionError::Staged => {
                    ActError::Store(StoreError::Unexpected(error.to_string()))
                }
                SuccessionError::Store(error) => ActError::Store(error),
            })?;
            if right == Right::Instance {
                self.supply_records(affected).await?;
            }
        }
        self.put_on_record(request, right, &epoch).await
    }

    /// Says that the store has every record there is again: from now on an absence means that there
    /// is no such customer. Says whether it lacked any.
    pub async fn make_whole(&self, request: &Request) -> Result<bool, ActError> {
        request.actor.require(Role::Admin).map_err(Refusal::from)?;
        let is_partial = |partition: &Partition| {
            self.cache.picture(*partition).is_some_and(|picture| picture.is_partial())
        };
        let lacking: Vec<_> = self.store.partitions().all().filter(is_partial).collect();
        let audit = self.entry(request, "store".to_owned(), "store_whole");
        for partition in &lacking {
            let write = Write::Whole { partition: *partition };
            self.commit_apart(write, audit.clone(), None).await?;
        }
        if lacking.is_empty() {
            let audit = AuditEntry { outcome: AuditOutcome::Unchanged, ..audit };
            self.commit_apart(Write::Nothing { customer: None }, audit, None).await?;
        }
        Ok(!lacking.is_empty())
    }

    /// The partitions in which the store is not believed.
    async fn affected(&self) -> Result<Vec<Affected>, ActError> {
        let mut all = Vec::new();
        for partition in self.store.partitions().all() {
            if self.feed.borrow().of(partition).lost.is_none() {
                continue;
            }
            let known = self.cache.picture(partition).zip(self.cache.watermark(partition));
            let Some((picture, watermark)) = known else { continue };
            let reader = self.store.open_session(&[partition]).await?.reader;
            let head = reader.head(partition).await?;
            let came_of = |head: &Head| head.lineage.inherited(&watermark.epoch).is_some();
            if head.as_ref().is_some_and(came_of) {
                // Somebody else was first; this instance is about to follow what they began.
                continue;
            }
            all.push(Affected { partition, reader, picture, watermark, head });
        }
        if all.is_empty() {
            return Err(ActError::NotNow("the store is believed here; there is nothing to decide"));
        }
        Ok(all)
    }

    /// The succession that keeps what the store has.
    fn trusted(&self, affected: &Affected, epoch: &Epoch) -> Succession {
        let Affected { partition, picture, watermark, head, .. } = affected;
        let replaced = picture.lineage.replaced(watermark.epoch.clone());
        let (lineage, revision) = if let Some(head) = head {
            let kept = Ended { epoch: head.epoch.clone(), common: Some(head.revision) };
            (head.lineage.after([kept]).after(replaced), head.revision.next())
        } else {
            let none = Lineage::of(picture.lineage.created.clone());
            (none.after(replaced), Revision(1))
        };
        Succession {
            partition: *partition,
            partitions: self.store.partitions(),
            from: head.as_ref().map(Place::from),
            epoch: epoch.clone(),
            lineage,
            revision,
            // What there may be without a history is not to be begun with.
            staged: head.is_none().then(Census::default),
            partial: None,
        }
    }

    /// The succession that begins with what is held here. The restricted set is staged first, a
    /// page at a time, so that taking it up is short.
    async fn refilled(&self, affected: &Affected, epoch: &Epoch) -> Result<Succession, ActError> {
        let Affected { partition, picture, watermark, head, .. } = affected;
        let mut census = Census::default();
        let mut page = Vec::with_capacity(PAGE);
        for entry in picture.entries() {
            if entry.restrictions.is_none() {
                let unreadable = format!("the restrictions of {} cannot be read here", entry.key);
                return Err(unexpected(unreadable).into());
            }
            census = census.with(&entry.key, entry.revision);
            page.push(entry);
            if page.len() == PAGE {
                self.store.stage(*partition, epoch, &page).await?;
                page.clear();
            }
        }
        self.store.stage(*partition, epoch, &page).await?;
        if *partition == Partition(0) {
            let keys = self.keyring.all().into_iter();
            let keys = keys.map(|(id, key)| Ok((id, serde_json::to_string(&key)?)));
            let keys: Result<Vec<_>, serde_json::Error> = keys.collect();
            self.store.supply_keys(&keys.map_err(unexpected)?).await?;
            let sources = self.guard.states().into_iter();
            let sources = sources.map(|(source, it)| Ok((source.to_string(), spell(&it)?)));
            let sources: Result<Vec<_>, StoreError> = sources.collect();
            self.store.supply_sources(&sources?).await?;
        }
        let (lost, at) = (&watermark.epoch, watermark.position.revision);
        let kept = Ended { epoch: lost.clone(), common: Some(at) };
        let mut lineage = picture.lineage.after([kept]);
        if let Some(head) = head {
            lineage.previous.extend(head.lineage.replaced(head.epoch.clone()));
        }
        let reached = head.as_ref().map_or(at, |head| head.revision.max(at));
        Ok(Succession {
            partition: *partition,
            partitions: self.store.partitions(),
            from: head.as_ref().map(Place::from),
            epoch: epoch.clone(),
            lineage,
            revision: reached.next(),
            staged: Some(census),
            partial: Some(true),
        })
    }

    /// Writes the records that are known here and missing in the store. Of a customer of whom only
    /// the restrictions are known, these.
    async fn supply_records(&self, affected: &Affected) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut records: BTreeMap<_, Record> = affected
            .picture
            .entries()
            .filter_map(|RestrictedEntry { key, revision, restrictions }| {
                let restrictions: Restrictions = restrictions?;
                let body = RecordBody {
                    purged_at: restrictions.is_purged().then_some(now),
                    restrictions,
                    created_at: now,
                    updated_at: now,
                    ..RecordBody::default()
                };
                Some((key.clone(), Record { key, revision, body }))
            })
            .collect();
        for record in self.cache.records(affected.partition) {
            let known = records.get(&record.key).map(|entry| entry.revision);
            if known.is_none_or(|known| known <= record.revision) {
                records.insert(record.key.clone(), record);
            }
        }
        let records: Vec<Record> = records.into_values().collect();
        for page in records.chunks(PAGE) {
            self.store.supply(affected.partition, page).await?;
            for record in page {
                self.supply_aliases(record).await?;
            }
        }
        Ok(())
    }

    /// Audits it in the history that it began, or in one that came out of that, as soon as it is
    /// followed here.
    async fn put_on_record(
        &self,
        request: &Request,
        right: Right,
        epoch: &Epoch,
    ) -> Result<(), ActError> {
        let mut feed = self.feed.clone();
        let first = Partition(0);
        let follows = || {
            let known = self.cache.picture(first).zip(self.cache.watermark(first));
            known.is_some_and(|(picture, watermark)| {
                let came_of_it = || picture.lineage.inherited(epoch).is_some();
                picture.epoch == watermark.epoch && (picture.epoch == *epoch || came_of_it())
            })
        };
        let followed = feed.wait_for(|status| status.lost().is_none() && follows());
        if tokio::time::timeout(FOLLOWED_WITHIN, followed).await.is_err() {
            tracing::warn!("What was decided about the store is not in the audit trail");
            return Ok(());
        }
        let action = match right {
            Right::Instance => "store_refilled",
            Right::Store => "store_trusted",
        };
        let write = Write::Nothing { customer: None };
        self.commit_apart(write, self.entry(request, "store".to_owned(), action), None).await
    }
}

impl Affected {
    /// The restricted set as the store has it.
    async fn stored_set(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut stored = BTreeSet::new();
        if self.head.is_none() {
            return Ok(stored);
        }
        let mut from = None;
        loop {
            let page = self.reader.restricted_page(self.partition, from.as_deref()).await?;
            let entries = page.entries.into_iter();
            stored.extend(entries.map(|entry| entry.key.to_string()));
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(stored),
            }
        }
    }
}

const PAGE: usize = 500;
/// How long it may take until this instance follows the history that it began.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(10);
