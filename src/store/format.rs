//! How records and restricted entries are spelled, alike in every store.

use std::fmt::Display;

use serde::Deserialize;
use sha1::{Digest as _, Sha1};

use super::{RestrictedEntry, StoreError, StoredRecord};
use crate::domain::{CustomerKey, Private, Record, Restrictions, Revision, customer::RecordBody};
pub use crate::domain::{
    audit::chain::id_order,
    digest::{hex, sha1_hex},
};

/// The newest format that this version reads and the one that it writes.
pub const FORMAT: u64 = 1;

/// A record's JSON from behind its revision on. The store puts [`record_head`] before it, since
/// only it knows the revision.
pub fn record_tail(body: &RecordBody) -> Result<String, StoreError> {
    let json = serde_json::to_string(body).map_err(unexpected)?;
    Ok(format!(",{}", json.strip_prefix('{').unwrap_or(&json)))
}

/// A record's JSON up to and with its revision.
#[must_use]
pub fn record_head(revision: Revision) -> String {
    format!("{{\"format\":{FORMAT},\"revision\":{revision}")
}

/// Reads a record as [`record_head`] and [`record_tail`] wrote it.
#[must_use]
pub fn read_record(key: &CustomerKey, json: &str) -> StoredRecord {
    #[derive(Deserialize)]
    struct Versioned {
        format: u64,
        revision: Revision,
    }
    let versioned: Versioned = match serde_json::from_str(json) {
        Ok(versioned) => versioned,
        Err(error) => return StoredRecord::Unreadable(error.to_string()),
    };
    if versioned.format > FORMAT {
        let newer = StoreError::NewerFormat { found: versioned.format, known: FORMAT };
        return StoredRecord::Unreadable(newer.to_string());
    }
    match serde_json::from_str::<RecordBody>(json) {
        Ok(body) => {
            StoredRecord::Known(Record { key: key.clone(), revision: versioned.revision, body })
        }
        Err(error) => StoredRecord::Unreadable(error.to_string()),
    }
}

/// A private part's JSON; nothing where nothing is private, so that nothing is kept.
pub fn private_text(private: &Private) -> Result<Option<String>, StoreError> {
    let is_there = *private != Private::default();
    is_there.then(|| serde_json::to_string(private).map_err(unexpected)).transpose()
}

/// One entry of the restricted set: `<revision>|<compact restrictions>`.
#[must_use]
pub fn restricted_value(revision: Revision, restrictions: &Restrictions) -> String {
    format!("{revision}|{}", restrictions.to_compact())
}

/// Reads [`restricted_value`]. An entry whose key or revision cannot be told is an error;
/// restrictions that cannot be read leave the customer known and undecided.
pub fn read_restricted(key: &str, value: &str) -> Result<RestrictedEntry, StoreError> {
    let key = CustomerKey::parse(key).map_err(unexpected)?;
    let (revision, compact) = value
        .split_once('|')
        .and_then(|(revision, compact)| Some((Revision(revision.parse().ok()?), compact)))
        .ok_or_else(|| unexpected(format!("the restricted entry of {key}")))?;
    Ok(RestrictedEntry { key, revision, restrictions: Restrictions::parse_compact(compact).ok() })
}

/// What one entry adds to the digest of the restricted set.
#[must_use]
pub fn entry_digest(key: &CustomerKey, revision: Revision) -> u64 {
    let hash = Sha1::digest(format!("{key}:{revision}"));
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first)
}

/// What the store holds is not the JSON that was expected. It may be private, so the error tells
/// where it is wrong and never what is there.
pub(crate) fn malformed(what: impl Display, error: &serde_json::Error) -> StoreError {
    let (line, column) = (error.line(), error.column());
    StoreError::Unexpected(format!("{what} is malformed at line {line}, column {column}"))
}

/// What the store holds is not what was expected.
pub(crate) fn unexpected(what: impl ToString) -> StoreError {
    StoreError::Unexpected(what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn key() -> CustomerKey {
        CustomerKey::parse("acme:c1").unwrap()
    }

    #[test]
    fn a_record_reads_back() {
        let restrictions = Restrictions::parse_compact("frozen,wingback,other,1,9").unwrap();
        let created_at = Timestamp::from_millis(1);
        let body = RecordBody { restrictions, created_at, ..RecordBody::default() };
        let json = record_head(Revision(7)) + &record_tail(&body).unwrap();
        let record = Record { key: key(), revision: Revision(7), body };
        assert_eq!(read_record(&key(), &json), StoredRecord::Known(record));
    }

    #[test]
    fn a_record_of_a_newer_format_is_unreadable_and_says_so() {
        let json = r#"{"format":2,"revision":7,"restrictions":[]}"#;
        let StoredRecord::Unreadable(why) = read_record(&key(), json) else { panic!("read") };
        assert!(why.contains("format is 2"), "{why}");
        assert!(matches!(read_record(&key(), "no json"), StoredRecord::Unreadable(_)));
    }

    #[test]
    fn a_restricted_entry_with_an_unknown_kind_still_names_its_customer() {
        let entry = read_restricted("acme:c1", "7|banned,x,y,1,").unwrap();
        assert_eq!((entry.revision, entry.restrictions), (Revision(7), None));
        assert!(read_restricted("acme:c1", "frozen").is_err());
        assert!(read_restricted("nobody", "7|").is_err());
    }

    #[test]
    fn the_digest_is_the_first_half_of_sha1() {
        let hash = sha1_hex("acme:c1:7");
        assert_eq!(format!("{:016x}", entry_digest(&key(), Revision(7))), hash[..16]);
    }
}
