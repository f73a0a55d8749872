//! What the database holds, and how it is spelled.

use std::{fmt, str::FromStr};

use redb::{Database, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{Epoch, Partitions, Revision, Timestamp, fleet::FleetShadow},
    store::{
        Census, StoreError,
        format::{FORMAT, unexpected},
    },
};

/// The one row of [`Meta`], in JSON.
pub(super) const META: TableDefinition<'_, (), &str> = TableDefinition::new("meta");
/// `tenant:id` to the record, in JSON. Its order is the order of lists.
pub(super) const RECORDS: TableDefinition<'_, &str, &str> = TableDefinition::new("records");
/// `tenant:id` to the private part, in JSON.
pub(super) const PRIVATE: TableDefinition<'_, &str, &str> = TableDefinition::new("private");
/// `tenant:id` to the restricted entry.
pub(super) const RESTRICTED: TableDefinition<'_, &str, &str> = TableDefinition::new("restricted");
/// Revision and line of each change.
pub(super) const LOG: TableDefinition<'_, EntryKey, (u64, &str)> = TableDefinition::new("log");
/// Revision, chain and JSON of each audit entry.
pub(super) const AUDIT: TableDefinition<'_, EntryKey, (u64, &str, &str)> =
    TableDefinition::new("audit");
/// The newest audit entries of each customer.
pub(super) const CUSTOMER_AUDIT: TableDefinition<'_, (&str, EntryKey), ()> =
    TableDefinition::new("customer_audit");
/// Revision, chain and JSON of those entries that are in a customer's trail alone.
pub(super) const CUSTOMER_AUDIT_ALONE: TableDefinition<'_, (&str, EntryKey), (u64, &str, &str)> =
    TableDefinition::new("customer_audit_alone");
/// `tenant:id` and the digest of notes on an act to those notes.
pub(super) const NOTES: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("notes");
/// Digest of an idempotency key to when it was used, for what (a digest), and what came of it:
/// the revision, and whether something changed.
pub(super) const IDEMPOTENCY: TableDefinition<'_, &str, (u64, &str, u64, bool)> =
    TableDefinition::new("idempotency");
/// The same keys by time, to find those that expired.
pub(super) const IDEMPOTENCY_BY_TIME: TableDefinition<'_, (u64, &str), ()> =
    TableDefinition::new("idempotency_by_time");
/// Id of an operator's key to the key, in JSON.
pub(super) const KEYS: TableDefinition<'_, &str, &str> = TableDefinition::new("keys");
/// Id of an operator's key to when it was last used, in milliseconds.
pub(super) const KEY_USES: TableDefinition<'_, &str, u64> = TableDefinition::new("key_uses");
/// Name of a source to what the guard says of it, in JSON.
pub(super) const GUARD: TableDefinition<'_, &str, &str> = TableDefinition::new("guard");

/// `tenant:source:id` to who has that alias.
pub(super) const ALIASES: TableDefinition<'_, &str, &str> = TableDefinition::new("aliases");

/// What was said of customers that nobody knows.
pub(super) const UNRESOLVED: TableDefinition<'_, EntryKey, &str> =
    TableDefinition::new("unresolved");

/// Makes sure that this version reads what is there, and that every table exists, so that a
/// read never misses one.
pub(super) fn prepare(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    Meta::read(&transaction.open_table(META)?)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(PRIVATE)?;
    transaction.open_table(RESTRICTED)?;
    transaction.open_table(LOG)?;
    transaction.open_table(AUDIT)?;
    transaction.open_table(CUSTOMER_AUDIT)?;
    transaction.open_table(CUSTOMER_AUDIT_ALONE)?;
    transaction.open_table(NOTES)?;
    transaction.open_table(IDEMPOTENCY)?;
    transaction.open_table(IDEMPOTENCY_BY_TIME)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(KEY_USES)?;
    transaction.open_table(GUARD)?;
    transaction.open_table(ALIASES)?;
    transaction.open_table(UNRESOLVED)?;
    Ok(transaction.commit()?)
}

/// The store's history and its newest state. There is none until the history begins.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Meta {
    format: u64,
    partitions: u16,
    pub(super) created: Epoch,
    pub(super) epoch: Epoch,
    pub(super) revision: Revision,
    restricted_count: u64,
    restricted_digest: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fleet_mode: Option<String>,
    /// The newest audit entry's chain. A version before this was kept leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) chain: Option<String>,
    /// The place of the newest audit entry that was archived and taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) archived: Option<String>,
}

impl Meta {
    /// The beginning of a history.
    pub(super) fn begin(epoch: &Epoch) -> Self {
        Self {
            format: FORMAT,
            partitions: Partitions::ONE.count(),
            created: epoch.clone(),
            epoch: epoch.clone(),
            revision: Revision(1),
            restricted_count: 0,
            restricted_digest: 0,
            fleet_mode: None,
            chain: None,
            archived: None,
        }
    }

    /// Reads the row, if there is one and this version knows its format.
    pub(super) fn read(
        table: &impl ReadableTable<(), &'static str>,
    ) -> Result<Option<Self>, StoreError> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u64,
        }
        let Some(row) = table.get(())? else { return Ok(None) };
        let Versioned { format: found } = serde_json::from_str(row.value()).map_err(unexpected)?;
        if found > FORMAT {
            return Err(StoreError::NewerFormat { found, known: FORMAT });
        }
        serde_json::from_str(row.value()).map(Some).map_err(unexpected)
    }

    /// The row.
    pub(super) fn to_json(&self) -> Result<String, StoreError> {
        serde_json::to_string(self).map_err(unexpected)
    }

    /// The shadow that every instance is put into.
    pub(super) fn fleet(&self) -> Option<FleetShadow> {
        self.fleet_mode.as_deref()?.parse().ok()
    }

    /// Puts every instance into shadow, or out of it.
    pub(super) fn set_fleet(&mut self, shadow: Option<FleetShadow>) {
        self.fleet_mode = shadow.map(|shadow| shadow.to_string());
    }

    /// Count and digest of the restricted table.
    pub(super) fn restricted(&self) -> Census {
        Census { count: self.restricted_count, digest: self.restricted_digest }
    }

    /// Changes count and digest of the restricted table.
    pub(super) fn set_restricted(&mut self, census: Census) {
        (self.restricted_count, self.restricted_digest) = (census.count, census.digest);
    }
}

/// [`EntryId`] as a key: its parts, compared in their order.
pub(super) type EntryKey = (u64, u64);

/// The place of an entry in the log or the audit trail, shown as Redis shows a stream's:
/// `<milliseconds>-<counter>`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct EntryId {
    pub(super) millis: u64,
    pub(super) counter: u64,
}

impl EntryId {
    /// The place behind `last` at `now`. It is behind it also when the clock was set back.
    pub(super) fn next(last: Option<Self>, now: Timestamp) -> Self {
        let fresh = Self { millis: now.as_millis(), counter: 0 };
        match last {
            Some(last) if last >= fresh => Self { counter: last.counter.saturating_add(1), ..last },
            Some(_) | None => fresh,
        }
    }

    pub(super) fn key(self) -> EntryKey {
        (self.millis, self.counter)
    }
}

impl From<EntryKey> for EntryId {
    fn from((millis, counter): EntryKey) -> Self {
        Self { millis, counter }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.counter)
    }
}

impl FromStr for EntryId {
    type Err = StoreError;

    fn from_str(raw: &str) -> Result<Self, StoreError> {
        let parse = || {
            let (millis, counter) = raw.split_once('-')?;
            Some(Self { millis: millis.parse().ok()?, counter: counter.parse().ok()? })
        };
        parse().ok_or_else(|| unexpected(format!("{raw:?} is no place in a log or trail")))
    }
}

/// What an error of the database means to Tollgate.
pub(super) fn store_error(error: &redb::Error) -> StoreError {
    if matches!(error, redb::Error::Corrupted(_) | redb::Error::TableTypeMismatch { .. }) {
        StoreError::Unexpected(error.to_string())
    } else {
        StoreError::Unreachable(error.to_string())
    }
}

macro_rules! store_errors {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                store_error(&error.into())
            }
        }
    )*};
}

store_errors!(CommitError, StorageError, TableError, TransactionError);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn places_go_up_also_when_the_clock_is_set_back() {
        let first = EntryId::next(None, at(1000));
        let second = EntryId::next(Some(first), at(1000));
        let third = EntryId::next(Some(second), at(10));
        let fourth = EntryId::next(Some(third), at(1001));
        let shown = [first, second, third, fourth].map(|id| id.to_string());
        assert_eq!(shown, ["1000-0", "1000-1", "1000-2", "1001-0"]);
    }

    #[test]
    fn a_place_reads_back() {
        let id = EntryId { millis: 12, counter: 3 };
        assert_eq!(id.to_string().parse::<EntryId>().ok(), Some(id));
        for wrong in ["", "12", "12-", "-3", "12-x"] {
            assert!(wrong.parse::<EntryId>().is_err(), "{wrong}");
        }
    }
}
