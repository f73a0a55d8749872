//! Reads of the database as it was at one moment.

use std::{collections::HashMap, ops::Bound};

use redb::{
    Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, TableDefinition,
};

use super::tables::{
    ALIASES, AUDIT, CUSTOMER_AUDIT, CUSTOMER_AUDIT_ALONE, EntryId, EntryKey, GUARD, KEY_USES, KEYS,
    LOG, META, Meta, NOTES, PRIVATE, RECORDS, RESTRICTED, UNRESOLVED,
};
use crate::{
    domain::{
        Change, Customer, CustomerKey, Lineage, Partition, Partitions, Private, Revision, Subject,
        Timestamp,
        alias::{Alias, Claim},
        audit::{
            StoredAudit,
            chain::{ChainPage, Link},
            head::ChainHead,
            notes::{Notes, NotesPlace},
        },
    },
    store::{
        Among, AuditPage, CustomerPage, Direction, Head, KeysPage, Read, ReadMany, RestrictedPage,
        StoreError, StoredRecord, Tally, UnresolvedEntry,
        format::{self, unexpected},
    },
};

/// The database at one moment, whatever is written meanwhile.
pub(super) struct Snapshot(pub(super) ReadTransaction);

impl Snapshot {
    /// The database now.
    pub(super) fn of(database: &Database) -> Result<Self, StoreError> {
        Ok(Self(database.begin_read()?))
    }

    pub(super) fn read(&self, key: &CustomerKey) -> Result<Read, StoreError> {
        let no_history = || unexpected("a store without a history");
        let Meta { epoch, revision, .. } = self.meta()?.ok_or_else(no_history)?;
        Ok(Read { epoch, revision, record: self.record(key)? })
    }

    pub(super) fn read_many(&self, keys: &[CustomerKey]) -> Result<ReadMany, StoreError> {
        let no_history = || unexpected("a store without a history");
        let Meta { epoch, revision, .. } = self.meta()?.ok_or_else(no_history)?;
        let records = keys.iter().map(|key| self.record(key).map(Some));
        Ok(ReadMany { epoch, revision, records: records.collect::<Result<_, _>>()? })
    }

    pub(super) fn customer_keys(
        &self,
        after: Option<&str>,
        at_most: usize,
    ) -> Result<KeysPage, StoreError> {
        let no_history = || unexpected("a store without a history");
        let Meta { epoch, .. } = self.meta()?.ok_or_else(no_history)?;
        let records = self.0.open_table(RECORDS)?;
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = Vec::new();
        for row in records.range::<&str>((low, Bound::Unbounded))?.take(at_most) {
            found.push(row?.0.value().to_owned());
        }
        let next = found.last().filter(|_| found.len() >= at_most).cloned();
        let keys = found.iter().filter_map(|key| CustomerKey::parse(key).ok()).collect();
        Ok(KeysPage { epoch, keys, next })
    }

    pub(super) fn customer(&self, key: &CustomerKey) -> Result<Option<Customer>, StoreError> {
        let record = match self.record(key)? {
            StoredRecord::Absent => return Ok(None),
            StoredRecord::Known(record) => record,
            StoredRecord::Unreadable(why) => return Err(unexpected(format!("{key}: {why}"))),
        };
        let private = match self.text(PRIVATE, key.as_str())? {
            Some(json) => serde_json::from_str(&json).map_err(|error| {
                format::malformed(format_args!("the private part of {key}"), &error)
            })?,
            None => Private::default(),
        };
        Ok(Some(Customer { record, private }))
    }

    /// What cannot be read is left out, and does not count for the page.
    pub(super) fn customers(&self, page: &CustomerPage) -> Result<Vec<Customer>, StoreError> {
        let index = self.0.open_table(match page.among {
            Among::All => RECORDS,
            Among::Restricted => RESTRICTED,
        })?;
        // Every key is ASCII, so this is above all that begin with the prefix.
        let above = format!("{}\x7f", page.prefix);
        let (mut low, mut high) = (Bound::Included(page.prefix.as_str()), Bound::Excluded(&*above));
        if let Some(after) = page.after.as_deref() {
            match page.direction {
                Direction::Ascending if page.prefix.as_str() <= after => {
                    low = Bound::Excluded(after);
                }
                Direction::Descending if after < &*above => high = Bound::Excluded(after),
                Direction::Ascending | Direction::Descending => {}
            }
        }
        let mut rows = index.range::<&str>((low, high))?;
        let mut customers = Vec::new();
        while customers.len() < page.limit {
            let row = match page.direction {
                Direction::Ascending => rows.next(),
                Direction::Descending => rows.next_back(),
            };
            let Some(row) = row else { break };
            customers.extend(self.listed(row?.0.value())?);
        }
        Ok(customers)
    }

    pub(super) fn audit(&self, page: &AuditPage) -> Result<Vec<StoredAudit>, StoreError> {
        let before = match &page.before {
            Some(before) => before.id.parse::<EntryId>()?.key(),
            None => (u64::MAX, u64::MAX),
        };
        let trail = self.0.open_table(AUDIT)?;
        let mut entries = Vec::new();
        if let Some(customer) = &page.customer {
            let index = self.0.open_table(CUSTOMER_AUDIT)?;
            let alone = self.0.open_table(CUSTOMER_AUDIT_ALONE)?;
            let customer = customer.as_str();
            let places = index.range((customer, (0, 0))..(customer, before))?;
            for place in places.rev().take(page.limit) {
                let (_, id) = place?.0.value();
                let row = match alone.get((customer, id))? {
                    Some(row) => Some(row),
                    None => trail.get(id)?,
                };
                let Some(row) = row else { continue };
                entries.push(self.stored_audit(id.into(), row.value())?);
            }
        } else {
            for row in trail.range(..before)?.rev().take(page.limit) {
                let (id, row) = row?;
                entries.push(self.stored_audit(id.value().into(), row.value())?);
            }
        }
        Ok(entries)
    }

    pub(super) fn audit_chain(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChainPage, StoreError> {
        let trail = self.0.open_table(AUDIT)?;
        let newest = trail.last()?.map(|(_, row)| row.value().1.to_owned());
        let head = self.meta()?.and_then(|meta| meta.chain).or(newest).unwrap_or_default();
        let after = after.map(str::parse::<EntryId>).transpose()?;
        let low = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.key()));
        let mut rows = trail.range::<EntryKey>((low, Bound::Unbounded))?;
        let mut links = Vec::new();
        for row in rows.by_ref().take(limit) {
            let (id, row) = row?;
            let (id, (revision, chain, entry)) = (EntryId::from(id.value()), row.value());
            links.push(Link {
                id: id.to_string(),
                revision: revision.to_string(),
                millis: id.millis.to_string(),
                entry: entry.to_owned(),
                chain: chain.to_owned(),
                notes: self.notes(entry)?.map(|notes| notes.as_kept().to_owned()),
            });
        }
        Ok(ChainPage { head, links, has_more: rows.next().transpose()?.is_some() })
    }

    pub(super) fn audit_head(&self) -> Result<Option<ChainHead>, StoreError> {
        let trail = self.0.open_table(AUDIT)?;
        let newest = trail.last()?;
        Ok(newest.map(|(id, row)| ChainHead {
            partition: 0,
            id: EntryId::from(id.value()).to_string(),
            chain: row.value().1.to_owned(),
        }))
    }

    pub(super) fn audit_archived_to(&self) -> Result<Option<String>, StoreError> {
        Ok(self.meta()?.and_then(|meta| meta.archived))
    }

    pub(super) fn head(&self) -> Result<Option<Head>, StoreError> {
        let Some(meta) = self.meta()? else { return Ok(None) };
        let log = self.0.open_table(LOG)?;
        let Some((log_id, _)) = log.last()? else { return Err(unexpected("an empty log")) };
        let log_id = EntryId::from(log_id.value()).to_string();
        let (restricted, fleet) = (meta.restricted(), meta.fleet());
        let Meta { epoch, revision, created, .. } = meta;
        Ok(Some(Head {
            partitions: Partitions::ONE,
            epoch,
            revision,
            log_id,
            restricted,
            lineage: Lineage::of(created),
            partial: false,
            fleet,
        }))
    }

    pub(super) fn tally(&self) -> Result<Option<Tally>, StoreError> {
        let held = self.0.open_table(RESTRICTED)?.len()?;
        Ok(self.head()?.map(|head| Tally { head, held }))
    }

    pub(super) fn restricted_page(&self, from: Option<&str>) -> Result<RestrictedPage, StoreError> {
        let restricted = self.0.open_table(RESTRICTED)?;
        let low = from.map_or(Bound::Unbounded, Bound::Excluded);
        let mut entries = Vec::new();
        for row in restricted.range::<&str>((low, Bound::Unbounded))?.take(PAGE) {
            let (key, value) = row?;
            entries.push(format::read_restricted(key.value(), value.value())?);
        }
        let next = entries.get(PAGE - 1).map(|last| last.key.to_string());
        Ok(RestrictedPage { entries, next })
    }

    pub(super) fn log(&self, from: &str, count: usize) -> Result<Vec<Change>, StoreError> {
        let from = if from.is_empty() { (0, 0) } else { from.parse::<EntryId>()?.key() };
        let mut changes = Vec::new();
        for row in self.0.open_table(LOG)?.range(from..)?.take(count) {
            let (id, row) = row?;
            let (revision, line) = row.value();
            changes.push(Change {
                revision: Revision(revision),
                log_id: EntryId::from(id.value()).to_string(),
                subject: Subject::from_log(line),
            });
        }
        Ok(changes)
    }

    pub(super) fn count_customers(&self) -> Result<u64, StoreError> {
        Ok(self.0.open_table(RECORDS)?.len()?)
    }

    pub(super) fn alias(&self, alias: &Alias) -> Result<Option<Claim>, StoreError> {
        let aliases = self.0.open_table(ALIASES)?;
        let held = aliases.get(alias.to_string().as_str())?;
        held.map(|held| held.value().parse().map_err(unexpected)).transpose()
    }

    pub(super) fn key_uses(&self) -> Result<HashMap<String, Timestamp>, StoreError> {
        let uses = self.0.open_table(KEY_USES)?;
        let uses = uses.iter()?.map(|row| {
            let (id, at) = row?;
            let at = i64::try_from(at.value()).unwrap_or(i64::MAX);
            Ok((id.value().to_owned(), Timestamp::from_millis(at)))
        });
        uses.collect()
    }

    pub(super) fn unresolved(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UnresolvedEntry>, StoreError> {
        let after = after.map(str::parse::<EntryId>).transpose()?;
        let after = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.key()));
        let list = self.0.open_table(UNRESOLVED)?;
        let found = list.range((after, Bound::Unbounded))?.take(limit);
        found
            .map(|row| {
                let (id, text) = row?;
                let id = EntryId::from(id.value()).to_string();
                Ok(UnresolvedEntry { id, text: text.value().to_owned() })
            })
            .collect()
    }

    pub(super) fn count_unresolved(&self) -> Result<u64, StoreError> {
        Ok(self.0.open_table(UNRESOLVED)?.len()?)
    }

    pub(super) fn keys(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.rows(KEYS)
    }

    pub(super) fn sources(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.rows(GUARD)
    }

    fn rows(
        &self,
        table: TableDefinition<'_, &'static str, &'static str>,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let mut rows = Vec::new();
        for row in self.0.open_table(table)?.iter()? {
            let (name, stored) = row?;
            rows.push((name.value().to_owned(), stored.value().to_owned()));
        }
        Ok(rows)
    }

    fn meta(&self) -> Result<Option<Meta>, StoreError> {
        Meta::read(&self.0.open_table(META)?)
    }

    fn record(&self, key: &CustomerKey) -> Result<StoredRecord, StoreError> {
        let json = self.text(RECORDS, key.as_str())?;
        Ok(json.map_or(StoredRecord::Absent, |json| format::read_record(key, &json)))
    }

    fn text(
        &self,
        table: TableDefinition<'_, &'static str, &'static str>,
        key: &str,
    ) -> Result<Option<String>, StoreError> {
        Ok(self.0.open_table(table)?.get(key)?.map(|found| found.value().to_owned()))
    }

    /// The customer of an index, unless it cannot be read: one broken record must not hide the
    /// others.
    /// The notes that are kept beside an entry.
    fn notes(&self, entry: &str) -> Result<Option<Notes>, StoreError> {
        let Some(NotesPlace { customer, digest }) = NotesPlace::of(entry) else { return Ok(None) };
        let table = self.0.open_table(NOTES)?;
        let kept = table.get((customer.as_str(), digest.as_str()))?;
        Ok(kept.map(|kept| Notes::kept(kept.value().to_owned())))
    }

    fn stored_audit(&self, id: EntryId, row: (u64, &str, &str)) -> Result<StoredAudit, StoreError> {
        let notes = self.notes(row.2)?;
        let mut stored = stored_audit(id, row)?;
        stored.entry.notes = notes.map(|it| it.text().to_owned()).or(stored.entry.notes);
        Ok(stored)
    }

    fn listed(&self, key: &str) -> Result<Option<Customer>, StoreError> {
        let found = CustomerKey::parse(key).map_err(unexpected).and_then(|key| self.customer(&key));
        if let Err(error @ StoreError::Unexpected(_)) = &found {
            tracing::warn!(customer.id = key, %error, "A customer cannot be listed");
            return Ok(None);
        }
        found
    }
}

fn stored_audit(
    id: EntryId,
    (revision, chain, entry): (u64, &str, &str),
) -> Result<StoredAudit, StoreError> {
    let unreadable = |error| unexpected(format!("the audit entry {id}: {error}"));
    Ok(StoredAudit {
        partition: Partition(0),
        id: id.to_string(),
        revision: Revision(revision),
        entry: serde_json::from_str(entry).map_err(unreadable)?,
        chain: chain.to_owned(),
    })
}

/// How much of the restricted set is read at a time.
const PAGE: usize = 1000;
