//! One write transaction, and the commits that share it.
//!
//! A commit is worked out completely before its first row is written. So one that is refused
//! leaves nothing, and the others of its batch go on as if it had never been there.

use redb::{
    ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction,
};

use super::{
    tables::{
        ALIASES, AUDIT, CUSTOMER_AUDIT, CUSTOMER_AUDIT_ALONE, EntryId, EntryKey, GUARD,
        IDEMPOTENCY, IDEMPOTENCY_BY_TIME, KEY_USES, KEYS, LOG, META, Meta, NOTES, PRIVATE, RECORDS,
        RESTRICTED, UNRESOLVED,
    },
    writer::{AddUnresolved, SetAlias, TakeOutAudit},
};
use crate::{
    domain::{
        Change, CustomerKey, Epoch, Partition, Revision, Subject, Timestamp,
        alias::Claim,
        audit::{chain::chained, notes::NotesPlace},
        digest::sha256_hex,
    },
    store::{
        Commit, CommitError, Committed, CreateError, CustomerWrite, Idempotency, Push, StoreError,
        StoredRecord, Trail, Write,
        format::{self, unexpected},
    },
};

/// A write transaction in the making.
pub(super) struct Batch<'txn> {
    transaction: &'txn WriteTransaction,
    meta: Option<Meta>,
    now: Timestamp,
    /// Whether anything is written yet.
    touched: bool,
    /// What the log got.
    pushes: Vec<Push>,
}

impl<'txn> Batch<'txn> {
    /// Begins with what the store holds. Everything in the batch happens at `now`.
    pub(super) fn begin(
        transaction: &'txn WriteTransaction,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let meta = Meta::read(&transaction.open_table(META)?)?;
        Ok(Self { transaction, meta, now, touched: false, pushes: Vec::new() })
    }

    /// Makes `commit`, or refuses it. The outer error means that the whole batch has failed.
    pub(super) fn commit(
        &mut self,
        commit: &Commit,
    ) -> Result<Result<Committed, CommitError>, StoreError> {
        match self.judge(commit) {
            Ok(Verdict::Replayed(committed)) => Ok(Ok(committed)),
            Ok(Verdict::Sound(plan)) => self.write(commit, *plan).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Begins the first history, or refuses to. The outer error means that the batch has failed.
    pub(super) fn create(&mut self, epoch: &Epoch) -> Result<Result<(), CreateError>, StoreError> {
        if self.meta.is_some() {
            return Ok(Err(CreateError::Exists));
        }
        if self.holds_any_row()? {
            return Ok(Err(CreateError::NotEmpty));
        }
        self.touched = true;
        let meta = Meta::begin(epoch);
        self.append_change(&meta, Subject::Created)?;
        self.meta = Some(meta);
        Ok(Ok(()))
    }

    /// Puts a claim in the place of another, if that is held: whether it was.
    pub(super) fn set_alias(&mut self, set: &SetAlias) -> Result<bool, StoreError> {
        let SetAlias { alias, held, claim } = set;
        let mut aliases = self.transaction.open_table(ALIASES)?;
        let spell = |claim: &Option<Claim>| claim.as_ref().map(Claim::to_string);
        let found = aliases.get(alias.as_str())?.map(|found| found.value().to_owned());
        if self.meta.is_none() || found != spell(held) {
            return Ok(false);
        }
        match spell(claim) {
            Some(claim) => aliases.insert(alias.as_str(), claim.as_str())?,
            None => aliases.remove(alias.as_str())?,
        };
        self.touched = true;
        Ok(true)
    }

    /// Notes when keys were used, where no later use is noted.
    pub(super) fn note_key_uses(&mut self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(KEY_USES)?;
        if self.meta.is_none() {
            return Ok(());
        }
        for (id, at) in uses {
            let noted = table.get(id.as_str())?.map_or(0, |noted| noted.value());
            table.insert(id.as_str(), noted.max(at.as_millis()))?;
        }
        self.touched = true;
        Ok(())
    }

    /// Puts something at the end of the list of what waits for a customer, and tells how many had
    /// to go for that; nothing in another history.
    pub(super) fn add_unresolved(
        &mut self,
        add: &AddUnresolved,
    ) -> Result<Option<u64>, StoreError> {
        if self.meta.as_ref().is_none_or(|meta| meta.epoch != add.epoch) {
            return Ok(None);
        }
        let mut list = self.transaction.open_table(UNRESOLVED)?;
        let newest = list.last()?.map(|(id, _)| EntryId::from(id.value()));
        list.insert(EntryId::next(newest, self.now).key(), add.text.as_str())?;
        let mut dropped = 0;
        while list.len()? > add.at_most && list.pop_first()?.is_some() {
            dropped += 1;
        }
        self.touched = true;
        Ok(Some(dropped))
    }

    /// Takes one off that list.
    pub(super) fn remove_unresolved(&mut self, id: &str) -> Result<(), StoreError> {
        let id = id.parse::<EntryId>()?.key();
        self.touched |= self.transaction.open_table(UNRESOLVED)?.remove(id)?.is_some();
        Ok(())
    }

    /// Takes what is archived out of the audit trail, and out of those of its customers, unless the
    /// store has another history by now: whether it did.
    pub(super) fn take_out_audit(&mut self, take: &TakeOutAudit) -> Result<bool, StoreError> {
        let Some(meta) = self.meta.as_mut().filter(|meta| meta.epoch == take.epoch) else {
            return Ok(false);
        };
        meta.archived = Some(take.to.clone());
        let (oldest, stays_from) = ((0, 0), take.stays_from.key());
        self.transaction.open_table(AUDIT)?.retain_in(..stays_from, |_, _| false)?;
        let mut index = self.transaction.open_table(CUSTOMER_AUDIT)?;
        let mut alone = self.transaction.open_table(CUSTOMER_AUDIT_ALONE)?;
        for customer in &take.customers {
            let old = (customer.as_str(), oldest)..(customer.as_str(), stays_from);
            index.retain_in(old.clone(), |_, ()| false)?;
            alone.retain_in(old, |_, _| false)?;
        }
        let mut notes = self.transaction.open_table(NOTES)?;
        for NotesPlace { customer, digest } in &take.notes {
            notes.remove((customer.as_str(), digest.as_str()))?;
        }
        self.touched = true;
        Ok(true)
    }

    /// Writes what remains. Returns the changes to push; nothing at all when nothing was
    /// written, so that there is nothing to make durable.
    pub(super) fn finish(self) -> Result<Option<Vec<Push>>, StoreError> {
        let Some(meta) = self.meta.as_ref().filter(|_| self.touched) else { return Ok(None) };
        self.transaction.open_table(META)?.insert((), meta.to_json()?.as_str())?;
        self.drop_expired()?;
        Ok(Some(self.pushes))
    }

    /// Looks at everything that can be refused, and works out what is to be written.
    fn judge(&self, commit: &Commit) -> Result<Verdict, CommitError> {
        let follows = |meta: &&Meta| meta.epoch == commit.writer.epoch;
        let meta = self.meta.as_ref().filter(follows).ok_or(CommitError::Epoch)?;
        if meta.revision < commit.writer.watermark {
            return Err(CommitError::Behind);
        }
        if let Some(idempotency) = &commit.idempotency
            && let Some(committed) = self.replay(idempotency)?
        {
            return Ok(Verdict::Replayed(committed));
        }
        let mut meta = meta.clone();
        let subject = commit.write.subject();
        if subject.is_some() {
            meta.revision = meta.revision.next();
        }
        let rows = match &commit.write {
            Write::Customer(write) => Some(self.customer_rows(write, &mut meta)?),
            Write::Fleet { shadow } => {
                meta.set_fleet(*shadow);
                None
            }
            Write::Conflict { .. }
            | Write::Key { .. }
            | Write::Source { .. }
            | Write::Nothing { .. }
            | Write::Whole { .. } => None,
        };
        let audit = serde_json::to_string(&commit.audit).map_err(unexpected)?;
        Ok(Verdict::Sound(Box::new(Plan { meta, subject, rows, audit })))
    }

    /// What came of the commit that used the same idempotency key before.
    fn replay(&self, idempotency: &Idempotency) -> Result<Option<Committed>, CommitError> {
        let table = self.transaction.open_table(IDEMPOTENCY).map_err(StoreError::from)?;
        let row = table.get(idempotency.key_digest.as_str()).map_err(StoreError::from)?;
        let Some(row) = row else { return Ok(None) };
        let (at, body_digest, revision, changed) = row.value();
        if self.is_expired(at) {
            return Ok(None);
        }
        if body_digest != idempotency.body_digest {
            return Err(CommitError::IdempotencyKeyReused);
        }
        Ok(Some(Committed { revision: Revision(revision), changed, replayed: true, logged: None }))
    }

    /// The customer's rows at the revision that `meta` has now, counted in its census.
    fn customer_rows(
        &self,
        write: &CustomerWrite,
        meta: &mut Meta,
    ) -> Result<CustomerRows, CommitError> {
        let CustomerWrite { key, expected, body, private, .. } = write;
        let held = match self.text(RECORDS, key)? {
            Some(json) => format::read_record(key, &json),
            None => StoredRecord::Absent,
        };
        match (held, expected) {
            (StoredRecord::Absent, None) => {}
            (StoredRecord::Known(held), Some(expected)) if held.revision == *expected => {}
            (StoredRecord::Absent | StoredRecord::Known(_), _) => {
                return Err(CommitError::Conflict);
            }
            (StoredRecord::Unreadable(why), _) => {
                return Err(unexpected(format!("the record of {key}: {why}")).into());
            }
        }
        let mut census = meta.restricted();
        if let Some(value) = self.text(RESTRICTED, key)? {
            census = census.without(key, format::read_restricted(key.as_str(), &value)?.revision);
        }
        let told = body.told();
        let restricted = (!told.is_empty()).then(|| format::restricted_value(meta.revision, &told));
        if restricted.is_some() {
            census = census.with(key, meta.revision);
        }
        meta.set_restricted(census);
        Ok(CustomerRows {
            record: format::record_head(meta.revision) + &format::record_tail(body)?,
            private: format::private_text(private)?,
            restricted,
        })
    }

    fn write(&mut self, commit: &Commit, plan: Plan) -> Result<Committed, StoreError> {
        let Plan { mut meta, subject, rows, audit } = plan;
        self.touched = true;
        let revision = meta.revision;
        let customer = match &commit.write {
            Write::Customer(write) => {
                if let Some(rows) = rows {
                    self.write_customer(&write.key, &rows)?;
                }
                if write.erases() {
                    let key = write.key.as_str();
                    // Digests are hex, so this is above all of them.
                    let mut notes = self.transaction.open_table(NOTES)?;
                    notes.retain_in((key, "")..(key, "g"), |_, _| false)?;
                }
                Some(&write.key)
            }
            Write::Key { id, stored } => {
                let mut keys = self.transaction.open_table(KEYS)?;
                match stored {
                    Some(stored) => keys.insert(id.as_str(), stored.as_str())?,
                    None => keys.remove(id.as_str())?,
                };
                None
            }
            Write::Source { source, stored } => {
                let mut guard = self.transaction.open_table(GUARD)?;
                guard.insert(source.as_str(), stored.as_str())?;
                None
            }
            // A store of one process forgets nothing that it has to be told of, and lacks nothing;
            // and the fleet's mode is part of the row that every commit writes.
            Write::Conflict { .. } | Write::Fleet { .. } | Write::Whole { .. } => None,
            Write::Nothing { customer } => customer.as_ref(),
        };
        if let (Some(customer), Some(notes)) = (customer, &commit.notes) {
            let mut table = self.transaction.open_table(NOTES)?;
            table.insert((customer.as_str(), notes.digest().as_str()), notes.as_kept())?;
        }
        self.append_audit(&mut meta, customer, commit.trail, &audit)?;
        let changed = subject.is_some();
        if let Some(subject) = subject {
            self.append_change(&meta, subject)?;
        }
        self.meta = Some(meta);
        if let Some(idempotency) = commit.idempotency.as_ref().filter(|_| commit.uses_up_its_key())
        {
            self.remember(idempotency, revision, changed)?;
        }
        Ok(Committed { revision, changed, replayed: false, logged: None })
    }

    fn write_customer(&self, key: &CustomerKey, rows: &CustomerRows) -> Result<(), StoreError> {
        let key = key.as_str();
        self.transaction.open_table(RECORDS)?.insert(key, rows.record.as_str())?;
        let mut private = self.transaction.open_table(PRIVATE)?;
        match &rows.private {
            Some(text) => private.insert(key, text.as_str())?,
            None => private.remove(key)?,
        };
        let mut restricted = self.transaction.open_table(RESTRICTED)?;
        match &rows.restricted {
            Some(value) => restricted.insert(key, value.as_str())?,
            None => restricted.remove(key)?,
        };
        Ok(())
    }

    /// Each entry is chained to the one before it, so that none can be changed or taken out
    /// without a trace. One in its customer's trail alone stands behind the newest of them.
    fn append_audit(
        &self,
        meta: &mut Meta,
        customer: Option<&CustomerKey>,
        trail: Trail,
        entry: &str,
    ) -> Result<(), StoreError> {
        let mut all = self.transaction.open_table(AUDIT)?;
        let (last, newest) = match all.last()? {
            Some((id, row)) => (Some(id.value()), row.value().1.to_owned()),
            None => (None, String::new()),
        };
        // No two entries of a customer have one id, in whichever table.
        let last_of_customer = customer.map(|it| self.last_audit_of(it)).transpose()?.flatten();
        let id = EntryId::next(last.max(last_of_customer).map(EntryId::from), self.now);
        let previous = meta.chain.take().unwrap_or(newest);
        if let (Trail::Customer, Some(customer)) = (trail, customer) {
            let mut alone = self.transaction.open_table(CUSTOMER_AUDIT_ALONE)?;
            let row = (meta.revision.0, previous.as_str(), entry);
            alone.insert((customer.as_str(), id.key()), row)?;
            meta.chain = Some(previous);
        } else {
            let chain = chained(&previous, meta.revision, id.millis, &sha256_hex(entry));
            all.insert(id.key(), (meta.revision.0, chain.as_str(), entry))?;
            meta.chain = Some(chain);
        }
        customer.map_or(Ok(()), |customer| self.index_audit(customer, id))
    }

    fn last_audit_of(&self, customer: &CustomerKey) -> Result<Option<EntryKey>, StoreError> {
        let index = self.transaction.open_table(CUSTOMER_AUDIT)?;
        let all = (customer.as_str(), (0, 0))..=(customer.as_str(), (u64::MAX, u64::MAX));
        let last = index.range(all)?.next_back().transpose()?;
        Ok(last.map(|(place, _)| place.value().1))
    }

    /// Lists an entry among the newest of its customer's.
    fn index_audit(&self, customer: &CustomerKey, id: EntryId) -> Result<(), StoreError> {
        let mut index = self.transaction.open_table(CUSTOMER_AUDIT)?;
        let customer = customer.as_str();
        index.insert((customer, id.key()), ())?;
        let all = (customer, (0, 0))..=(customer, id.key());
        let oldest = index.range(all)?.rev().nth(CUSTOMER_AUDIT_ENTRIES).transpose()?;
        let oldest = oldest.map(|(place, _)| place.value().1);
        if let Some(oldest) = oldest {
            index.remove((customer, oldest))?;
            self.transaction.open_table(CUSTOMER_AUDIT_ALONE)?.remove((customer, oldest))?;
        }
        Ok(())
    }

    fn append_change(&mut self, meta: &Meta, subject: Subject) -> Result<(), StoreError> {
        let mut log = self.transaction.open_table(LOG)?;
        let last: Option<EntryId> = log.last()?.map(|(id, _)| id.value().into());
        let follows = last.as_ref().map(EntryId::to_string).unwrap_or_default();
        let (revision, id) = (meta.revision, EntryId::next(last, self.now));
        log.insert(id.key(), (revision.0, subject.to_log().as_str()))?;
        trim(&mut log, LOG_ENTRIES)?;
        let change = Change { revision, log_id: id.to_string(), subject };
        let (partition, epoch) = (Partition(0), meta.epoch.clone());
        self.pushes.push(Push { partition, epoch, follows, change });
        Ok(())
    }

    fn remember(
        &self,
        Idempotency { key_digest, body_digest }: &Idempotency,
        revision: Revision,
        changed: bool,
    ) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(IDEMPOTENCY)?;
        let mut by_time = self.transaction.open_table(IDEMPOTENCY_BY_TIME)?;
        let (key, now) = (key_digest.as_str(), self.now.as_millis());
        let row = (now, body_digest.as_str(), revision.0, changed);
        // What is replaced has expired; its time must not take the new row away.
        if let Some(expired) = table.insert(key, row)? {
            by_time.remove((expired.value().0, key))?;
        }
        by_time.insert((now, key), ())?;
        Ok(())
    }

    /// Forgets expired idempotency keys, more of them than one batch can add.
    fn drop_expired(&self) -> Result<(), StoreError> {
        let Some(expired) = self.now.as_millis().checked_sub(IDEMPOTENCY_MILLIS) else {
            return Ok(());
        };
        let mut table = self.transaction.open_table(IDEMPOTENCY)?;
        let mut by_time = self.transaction.open_table(IDEMPOTENCY_BY_TIME)?;
        let all = by_time.extract_from_if(..(expired + 1, ""), |_, ()| true)?;
        for row in all.take(EXPIRED_AT_ONCE) {
            table.remove(row?.0.value().1)?;
        }
        Ok(())
    }

    fn is_expired(&self, at: u64) -> bool {
        self.now.as_millis().saturating_sub(at) >= IDEMPOTENCY_MILLIS
    }

    fn text(
        &self,
        table: TableDefinition<'_, &'static str, &'static str>,
        key: &CustomerKey,
    ) -> Result<Option<String>, StoreError> {
        let table = self.transaction.open_table(table)?;
        Ok(table.get(key.as_str())?.map(|found| found.value().to_owned()))
    }

    fn holds_any_row(&self) -> Result<bool, StoreError> {
        let at = self.transaction;
        Ok(!(at.open_table(RECORDS)?.is_empty()?
            && at.open_table(PRIVATE)?.is_empty()?
            && at.open_table(RESTRICTED)?.is_empty()?
            && at.open_table(LOG)?.is_empty()?
            && at.open_table(AUDIT)?.is_empty()?
            && at.open_table(CUSTOMER_AUDIT)?.is_empty()?
            && at.open_table(CUSTOMER_AUDIT_ALONE)?.is_empty()?
            && at.open_table(IDEMPOTENCY)?.is_empty()?
            && at.open_table(IDEMPOTENCY_BY_TIME)?.is_empty()?
            && at.open_table(KEYS)?.is_empty()?
            && at.open_table(GUARD)?.is_empty()?
            && at.open_table(ALIASES)?.is_empty()?
            && at.open_table(UNRESOLVED)?.is_empty()?))
    }
}

/// What came of looking at a commit that is not refused.
enum Verdict {
    /// It was made before.
    Replayed(Committed),
    /// It is to be made.
    Sound(Box<Plan>),
}

/// Everything that a commit writes, worked out before its first row is.
struct Plan {
    /// As it is after the commit.
    meta: Meta,
    /// What the log is told, if anything changes.
    subject: Option<Subject>,
    /// The customer's rows, if there is one to write.
    rows: Option<CustomerRows>,
    /// The audit entry, in JSON.
    audit: String,
}

/// A customer's rows: JSON, JSON, and the restricted entry if there is to be one.
struct CustomerRows {
    record: String,
    private: Option<String>,
    restricted: Option<String>,
}

/// Keeps the newest `keep` entries.
fn trim(log: &mut Table<'_, EntryKey, (u64, &'static str)>, keep: u64) -> Result<(), StoreError> {
    while log.len()? > keep {
        log.pop_first()?;
    }
    Ok(())
}

/// How far back an instance can follow changes one by one. One that is further behind reads
/// everything anew.
const LOG_ENTRIES: u64 = 100_000;
const CUSTOMER_AUDIT_ENTRIES: usize = 50;
const IDEMPOTENCY_MILLIS: u64 = 24 * 60 * 60 * 1000;
const EXPIRED_AT_ONCE: usize = 2 * super::writer::BATCH;

#[cfg(test)]
mod tests {
    use redb::{Database, backends::InMemoryBackend};

    use super::*;

    #[test]
    fn the_log_keeps_its_newest_entries() {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut log = transaction.open_table(LOG).unwrap();
        for revision in 1..=7 {
            log.insert((5, revision), (revision, "")).unwrap();
        }
        trim(&mut log, 3).unwrap();
        let kept = log.iter().unwrap().map(|row| row.unwrap().1.value().0);
        assert_eq!(kept.collect::<Vec<_>>(), [5, 6, 7]);
    }
}
