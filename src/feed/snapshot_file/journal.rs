//! The lines of a journal: what was applied since a snapshot was begun, and when the store last
//! confirmed it. Each line carries its own checksum, so a torn end is told from a whole one.
//!
//! ```text
//! 81f2c0d35a9be674 tollgate-journal 1 5f0c93a1d2b7e846
//! 0d4c8a57e1f93b26 c 0 43 1795255203000-0 default:c2 43|frozen,wingback,other,1795255203000,
//! 7b1e5f3c9a2d8046 k 0 44 1795255204000-0 ["a1b2c3",null]
//! c6a9031e7f5d2b84 n 0 45 1795255205000-0
//! 3e8d7a6c5b4f1902 = 0 1795255206500
//! ```
//!
//! `t` stands for a change as the log spells it, where it may end what the snapshot withholds.

use std::fmt::Write as _;

use xxhash_rust::xxh64::xxh64;

use super::{
    Id,
    format::{Snapshot, spell_entry},
    sixteen_digits,
};
use crate::{
    cache::keyring::StoredKey,
    domain::{Change, Partition, Restrictions, Revision, Subject, Timestamp},
    store::{RestrictedEntry, format::read_restricted},
};

/// One line behind the first.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    /// A change, applied in order.
    Applied { partition: Partition, log_id: String, revision: Revision, left: Left },
    /// A change that bit before those in between were known.
    Ahead { partition: Partition, log_id: String, revision: Revision, left: Left },
    /// Everything so far was true at that time.
    Confirmed { partition: Partition, at: Timestamp },
}

/// What a change left of what it was about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Left {
    /// A customer's entry; without restrictions, that there is none.
    Customer(RestrictedEntry),
    /// An operator's key, or nothing when it was revoked.
    Key(String, Option<String>),
    /// Nothing that is held.
    Nothing,
    /// The change itself, as the log spells it, where it may end what is withheld.
    Told(String),
}

impl Left {
    /// What `change` left where something is withheld that it may end.
    pub(super) fn told_by(change: &Change) -> Self {
        match &change.subject {
            Subject::Conflict { .. } | Subject::Customer(_) => Self::Told(change.subject.to_log()),
            Subject::Created
            | Subject::Fleet { .. }
            | Subject::Key { .. }
            | Subject::Source { .. }
            | Subject::Succeeded
            | Subject::Unreadable(_) => Self::by(change),
        }
    }

    /// What `change` left.
    pub(super) fn by(change: &Change) -> Self {
        if let Some(entry) = RestrictedEntry::left_by(change) {
            return Self::Customer(entry);
        }
        match &change.subject {
            Subject::Key { id, stored } => Self::Key(id.clone(), stored.clone()),
            Subject::Conflict { .. }
            | Subject::Created
            | Subject::Customer(_)
            | Subject::Fleet { .. }
            | Subject::Source { .. }
            | Subject::Succeeded
            | Subject::Unreadable(_) => Self::Nothing,
        }
    }
}

impl Line {
    /// The line as text, with its checksum and its end.
    pub(super) fn spell(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Confirmed { partition, at } => {
                write!(text, "= {partition} {}", at.as_millis())
            }
            Self::Applied { partition, log_id, revision, left } => {
                let kind = left.kind();
                write!(text, "{kind} {partition} {revision} {log_id}{}", left.spell())
            }
            Self::Ahead { partition, log_id, revision, left } => {
                let kind = left.kind().to_ascii_uppercase();
                write!(text, "{kind} {partition} {revision} {log_id}{}", left.spell())
            }
        };
        summed(&text)
    }

    /// Reads [`Line::spell`] without its checksum and its end.
    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ')?;
        let (partition, rest) = rest.split_once(' ')?;
        let partition = Partition(partition.parse().ok()?);
        if kind == "=" {
            let at = Timestamp::from_millis(rest.parse().ok()?);
            return Some(Self::Confirmed { partition, at });
        }
        let (revision, rest) = rest.split_once(' ')?;
        let revision = Revision(revision.parse().ok()?);
        let (log_id, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let log_id = log_id.to_owned();
        let left = match kind {
            "c" | "C" => {
                let (key, value) = rest.split_once(' ')?;
                Left::Customer(read_restricted(key, value).ok()?)
            }
            "k" | "K" => {
                let (id, stored) = serde_json::from_str(rest).ok()?;
                Left::Key(id, stored)
            }
            "n" => Left::Nothing,
            "t" => Left::Told(rest.to_owned()),
            _ => return None,
        };
        Some(if kind.starts_with(char::is_lowercase) {
            Self::Applied { partition, log_id, revision, left }
        } else {
            Self::Ahead { partition, log_id, revision, left }
        })
    }
}

impl Left {
    fn kind(&self) -> &'static str {
        match self {
            Self::Customer(_) => "c",
            Self::Key(..) => "k",
            Self::Nothing => "n",
            Self::Told(_) => "t",
        }
    }

    fn spell(&self) -> String {
        match self {
            Self::Customer(entry) => {
                let RestrictedEntry { key, revision, restrictions } = entry;
                format!(" {key} {}", spell_entry(*revision, restrictions.as_ref()))
            }
            Self::Key(id, stored) => {
                // Read and spelled again: one line, and nothing but what a key is made of.
                let key = stored.as_deref().and_then(|raw| serde_json::from_str(raw).ok());
                let key = key.and_then(|key: StoredKey| serde_json::to_string(&key).ok());
                format!(" {}", serde_json::to_string(&(id, key)).unwrap_or_default())
            }
            Self::Nothing => String::new(),
            Self::Told(text) => format!(" {text}"),
        }
    }
}

/// The line that a journal of the snapshot `id` begins with.
pub(super) fn first_line(id: Id) -> String {
    summed(&format!("{MAGIC} {id}"))
}

fn summed(text: &str) -> String {
    format!("{:016x} {text}\n", xxh64(text.as_bytes(), 0))
}

fn checked(line: &[u8]) -> Option<&str> {
    let (sum, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    (sixteen_digits(sum)? == xxh64(text.as_bytes(), 0)).then_some(text)
}

impl Snapshot {
    /// Replays what a journal says, up to the first line that is torn, changed, or does not
    /// follow. Says how many changes were applied.
    pub(super) fn replay(&mut self, journal: &[u8]) -> u64 {
        let mut lines = journal.split_inclusive(|byte| *byte == b'\n');
        let mut next = || lines.next()?.strip_suffix(b"\n").and_then(checked);
        let id = next().and_then(|first| Id::parse(first.strip_prefix(MAGIC)?.strip_prefix(' ')?));
        if id.is_none() || (id != Some(self.id) && id != self.continues) {
            return 0;
        }
        let mut applied = 0;
        while let Some(line) = next().and_then(Line::read) {
            match self.take(line) {
                Some(more) => applied += more,
                None => break,
            }
        }
        applied
    }

    /// Nothing when the line does not follow.
    fn take(&mut self, line: Line) -> Option<u64> {
        let (Line::Applied { partition, .. }
        | Line::Ahead { partition, .. }
        | Line::Confirmed { partition, .. }) = &line;
        let part = self.partitions.get_mut(usize::from(partition.0))?;
        let at = part.watermark.position.revision;
        match line {
            Line::Confirmed { at, .. } => {
                part.confirmed = part.confirmed.max(at);
                return Some(0);
            }
            // Part of the snapshot already.
            Line::Applied { revision, .. } | Line::Ahead { revision, .. } if revision <= at => {
                return Some(0);
            }
            Line::Applied { revision, .. } if revision != at.next() => return None,
            Line::Applied { revision, log_id, ref left, .. } => {
                match left {
                    Left::Customer(entry) => part.picture.offer(entry.clone()),
                    Left::Told(text) => {
                        let (log_id, subject) = (log_id.clone(), Subject::from_log(text));
                        let change = Change { revision, log_id, subject };
                        if let Some(entry) = RestrictedEntry::left_by(&change) {
                            part.picture.offer(entry);
                        }
                        part.picture.withheld.hear(&change);
                    }
                    Left::Key(..) | Left::Nothing => {}
                }
                part.watermark.position.revision = revision;
                part.watermark.log_id = log_id;
                self.take_key(left);
            }
            // As it was done: what restricts bites, and the rest waits for its turn.
            Line::Ahead { ref left, .. } => {
                if let Left::Customer(entry) = left
                    && !entry.restrictions.as_ref().is_some_and(Restrictions::is_empty)
                {
                    part.picture.offer(entry.clone());
                }
                if matches!(left, Left::Key(_, None)) {
                    self.take_key(left);
                }
            }
        }
        Some(1)
    }

    fn take_key(&mut self, left: &Left) {
        match left {
            Left::Key(id, Some(stored)) => _ = self.keys.insert(id.clone(), stored.clone()),
            Left::Key(id, None) => _ = self.keys.remove(id),
            Left::Customer(_) | Left::Nothing | Left::Told(_) => {}
        }
    }
}

const MAGIC: &str = "tollgate-journal 1";
