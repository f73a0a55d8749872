//! The text of a snapshot: lines, the last of which is the checksum of all before it.
//!
//! ```text
//! tollgate-snapshot 1
//! id 5f0c93a1d2b7e846
//! continues -
//! keys 1
//! ["a1b2c3","{\"name\":\"alice\",...}"]
//! partitions 1
//! partition 0 9c3e5a1b00d4f276 42 1795255200000-0 1795255201500
//! lineage 9c3e5a1b00d4f276 - whole
//! withheld 0
//! default:c1 42|disabled,operator,non_payment,1795255200000,
//! end 1 8f3a0e6d5c4b2a19
//! checksum 0123456789abcdef
//! ```
//!
//! A partition tells its epoch, revision, log entry and when it was last confirmed (milliseconds
//! since 1970), the first epoch and the earlier ones as the store spells them, and whether records
//! are missing (`partial`); then the acts that the store forgot and that are not written back, each
//! with its token, the last revision in common, the log entry of that, whether it is `open` or in
//! `conflict`, and itself as the log spells it; then its entries as the store spells them, `?` for
//! restrictions that this version cannot read, then their count and digest. Of keys there are the
//! digests only.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Arc,
    thread,
};

use xxhash_rust::xxh64::{Xxh64, xxh64};

use super::{Cut, CutPartition, Id, sixteen_digits};
use crate::{
    cache::{Forgotten, Picture},
    domain::{
        Epoch, Lineage, Partition, Partitions, Position, Restrictions, Revision, Subject,
        Timestamp, Watermark,
    },
    store::{Census, RestrictedEntry, format as spelling},
};

/// A snapshot as it was read.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) id: Id,
    pub(super) continues: Option<Id>,
    pub(super) count: Partitions,
    pub(super) keys: BTreeMap<String, String>,
    pub(super) partitions: Vec<Left>,
}

/// One partition as it was left.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) picture: Arc<Picture>,
    pub(super) watermark: Watermark,
    pub(super) confirmed: Timestamp,
}

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// What it holds is not what it says.
    #[error("the entries of partition {0} do not agree with their count and digest")]
    Census(Partition),
    /// Bytes were changed.
    #[error("its checksum does not agree with what it holds")]
    Checksum,
    /// Something else.
    #[error("it is no snapshot of Tollgate's")]
    Foreign,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Lines that make no sense, though nobody changed them.
    #[error("line {0} is not what belongs there")]
    Malformed(usize),
    /// It is of another store.
    #[error("it is of a store that did not begin with the epoch that --expect-epoch names")]
    NotExpected,
    /// Another version wrote it.
    #[error("its format is {0}, and this version reads {FORMAT}")]
    OtherFormat(String),
    /// It is of a store that is cut in another way.
    #[error("it is of a store with {found} partitions, and this one has {expected}")]
    Partitions {
        /// How many it has.
        found: Partitions,
        /// How many there are.
        expected: Partitions,
    },
    /// It ends too early.
    #[error("it is torn: its end is missing")]
    Torn,
}

impl Cut {
    /// Writes it. Says how many customers are in it.
    pub fn write(&self, out: &mut impl Write) -> io::Result<u64> {
        let mut out = Summed { out, sum: Xxh64::new(0) };
        let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
        writeln!(out, "{MAGIC} {FORMAT}")?;
        writeln!(out, "id {}", self.id)?;
        writeln!(out, "continues {}", or_none(self.continues.map(|id| id.to_string())))?;
        writeln!(out, "keys {}", self.keys.len())?;
        for key in &self.keys {
            writeln!(out, "{}", serde_json::to_string(key)?)?;
        }
        writeln!(out, "partitions {}", self.partitions.len())?;
        let mut customers = 0;
        for (number, part) in self.partitions.iter().enumerate() {
            customers += write_partition(&mut out, number, part)?;
        }
        let sum = out.sum.digest();
        writeln!(out.out, "checksum {sum:016x}")?;
        Ok(customers)
    }
}

fn write_partition(
    out: &mut Summed<'_, impl Write>,
    number: usize,
    part: &CutPartition,
) -> io::Result<u64> {
    let Watermark { position, epoch, log_id } = &part.watermark;
    let log_id = if log_id.is_empty() { NONE } else { log_id };
    let (revision, confirmed) = (position.revision, part.confirmed.as_millis());
    writeln!(out, "partition {number} {epoch} {revision} {log_id} {confirmed}")?;
    let Lineage { created, previous } = &part.picture.lineage;
    let previous =
        if previous.is_empty() { NONE } else { &part.picture.lineage.previous_to_text() };
    let extent = if part.picture.is_partial() { PARTIAL } else { WHOLE };
    writeln!(out, "lineage {created} {previous} {extent}")?;
    writeln!(out, "withheld {}", part.withheld.len())?;
    for forgotten in &part.withheld {
        writeln!(out, "{}", spell_forgotten(forgotten))?;
    }
    let mut census = Census::default();
    let mut lines = String::new();
    for entries in part.picture.pages() {
        lines.clear();
        for RestrictedEntry { key, revision, restrictions } in entries {
            census = census.with(&key, revision);
            lines.push_str(key.as_str());
            lines.push(' ');
            lines.push_str(&spell_entry(revision, restrictions.as_ref()));
            lines.push('\n');
        }
        out.write_all(lines.as_bytes())?;
    }
    writeln!(out, "end {} {:016x}", census.count, census.digest)?;
    Ok(census.count)
}

/// An entry as the store spells it, or that it cannot be read.
pub(super) fn spell_entry(revision: Revision, restrictions: Option<&Restrictions>) -> String {
    match restrictions {
        Some(restrictions) => spelling::restricted_value(revision, restrictions),
        None => format!("{revision}|{UNREADABLE}"),
    }
}

impl Snapshot {
    /// Reads what [`Cut::write`] wrote.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        let mut lines = Lines::of(checked(bytes)?);
        let malformed = |lines: &Lines<'_>| Unusable::Malformed(lines.number);
        lines.next()?;
        let id = Id::parse(lines.named("id")?).ok_or_else(|| malformed(&lines))?;
        let or_none = |text| Some(text).filter(|text| *text != NONE);
        let continues = match or_none(lines.named("continues")?) {
            Some(id) => Some(Id::parse(id).ok_or_else(|| malformed(&lines))?),
            None => None,
        };
        let mut keys = BTreeMap::new();
        for _ in 0..lines.count("keys")? {
            let key = serde_json::from_str(lines.next()?);
            let (id, stored): (String, String) = key.map_err(|_| malformed(&lines))?;
            keys.insert(id, stored);
        }
        let mut partitions = Vec::new();
        let count = lines.named("partitions")?.parse();
        let count: Partitions = count.map_err(|_| malformed(&lines))?;
        for number in count.all() {
            partitions.push(read_partition(&mut lines, number)?);
        }
        if !lines.rest.is_empty() {
            return Err(Unusable::Malformed(lines.number + 1));
        }
        Ok(Self { id, continues, count, keys, partitions })
    }

    /// The first epoch of each of its partitions.
    pub(super) fn created(&self) -> impl Iterator<Item = &Epoch> {
        self.partitions.iter().map(|part| &part.picture.lineage.created)
    }

    /// How many customers are in it.
    #[must_use]
    pub fn customers(&self) -> u64 {
        self.partitions.iter().map(|part| part.picture.census().count).sum()
    }
}

fn read_partition(lines: &mut Lines<'_>, number: Partition) -> Result<Left, Unusable> {
    let head = lines.named("partition")?;
    let malformed = Unusable::Malformed(lines.number);
    let Some(Head { partition, epoch, revision, log_id, confirmed }) = Head::read(head) else {
        return Err(malformed);
    };
    if partition != number {
        return Err(malformed);
    }
    let lineage = read_lineage(lines.named("lineage")?);
    let (lineage, partial) = lineage.ok_or(Unusable::Malformed(lines.number))?;
    let mut forgotten = Vec::new();
    for _ in 0..lines.count("withheld")? {
        let read = read_forgotten(lines.next()?);
        forgotten.push(Arc::new(read.ok_or(Unusable::Malformed(lines.number))?));
    }
    let mut picture = Picture::new(GENERATION, epoch.clone());
    (picture.lineage, picture.partial) = (lineage, partial.into());
    picture.withheld.set(forgotten);
    let (before, entries) = (lines.number, lines.up_to("end ")?);
    read_entries(entries, &picture).map_err(|line| Unusable::Malformed(before + line))?;
    let said = read_census(lines.named("end")?).ok_or(Unusable::Malformed(lines.number))?;
    if picture.census() != said {
        return Err(Unusable::Census(partition));
    }
    let position = Position { generation: GENERATION, revision };
    let log_id = if log_id == NONE { String::new() } else { log_id.to_owned() };
    let watermark = Watermark { position, epoch, log_id };
    Ok(Left { picture: Arc::new(picture), watermark, confirmed })
}

/// Puts every line's entry into `picture`, with as many threads as it is worth: a process that
/// starts lets nobody in before it has read them all. The error is the number of a line.
fn read_entries(text: &str, picture: &Picture) -> Result<(), usize> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_AT_MOST);
    let share = (text.len() / threads).max(SHARE_AT_LEAST);
    thread::scope(|scope| {
        let (mut rest, mut before, mut shares) = (text, 0, Vec::new());
        while !rest.is_empty() {
            let end = rest
                .as_bytes()
                .get(share..)
                .and_then(|later| Some(share + later.iter().position(|byte| *byte == b'\n')? + 1));
            let (one, others) = rest.split_at(end.unwrap_or(rest.len()));
            shares.push((before, scope.spawn(move || read_share(one, picture))));
            before += one.lines().count();
            rest = others;
        }
        shares.into_iter().try_for_each(|(before, share)| {
            let read = share.join().unwrap_or(Err(0));
            read.map_err(|line| before + line)
        })
    })
}

fn read_share(text: &str, picture: &Picture) -> Result<(), usize> {
    for (number, line) in (1_usize..).zip(text.lines()) {
        let entry = line.split_once(' ').and_then(|(key, value)| read_entry(key, value));
        picture.offer(entry.ok_or(number)?);
    }
    Ok(())
}

/// An entry of the restricted set, if it is one.
fn read_entry(key: &str, value: &str) -> Option<RestrictedEntry> {
    let entry = spelling::read_restricted(key, value).ok()?;
    // Nobody is written who has no restriction: such a line would lift one.
    let is_lift = entry.restrictions.as_ref().is_some_and(Restrictions::is_empty);
    (!is_lift).then_some(entry)
}

/// The line that a partition begins with.
struct Head<'a> {
    partition: Partition,
    epoch: Epoch,
    revision: Revision,
    log_id: &'a str,
    confirmed: Timestamp,
}

impl<'a> Head<'a> {
    fn read(raw: &'a str) -> Option<Self> {
        let mut parts = raw.split(' ');
        let head = Self {
            partition: Partition(parts.next()?.parse().ok()?),
            epoch: Epoch::parse(parts.next()?).ok()?,
            revision: Revision(parts.next()?.parse().ok()?),
            log_id: parts.next()?,
            confirmed: Timestamp::from_millis(parts.next()?.parse().ok()?),
        };
        parts.next().is_none().then_some(head)
    }
}

fn read_lineage(raw: &str) -> Option<(Lineage, bool)> {
    let mut parts = raw.split(' ');
    let created = Epoch::parse(parts.next()?).ok()?;
    let previous = parts.next().map(|text| if text == NONE { "" } else { text })?;
    let partial = match parts.next()? {
        PARTIAL => true,
        WHOLE => false,
        _ => return None,
    };
    let lineage = Lineage::parse(created, previous).ok()?;
    parts.next().is_none().then_some((lineage, partial))
}

fn spell_forgotten(forgotten: &Forgotten) -> String {
    let Forgotten { token, change, common, since, in_conflict } = forgotten;
    let since = if since.is_empty() { NONE } else { since };
    let stand = if *in_conflict { CONFLICT } else { OPEN };
    let change = Subject::Customer(change.clone()).to_log();
    format!("{token} {common} {since} {stand} {change}")
}

fn read_forgotten(raw: &str) -> Option<Forgotten> {
    let mut parts = raw.splitn(5, ' ');
    let token = parts.next()?.parse().ok()?;
    let common = Revision(parts.next()?.parse().ok()?);
    let since = parts.next().map(|text| if text == NONE { "" } else { text })?.to_owned();
    let in_conflict = match parts.next()? {
        CONFLICT => true,
        OPEN => false,
        _ => return None,
    };
    let Subject::Customer(change) = Subject::from_log(parts.next()?) else { return None };
    Some(Forgotten { token, change, common, since, in_conflict })
}

fn read_census(raw: &str) -> Option<Census> {
    let (count, digest) = raw.split_once(' ')?;
    let digest = sixteen_digits(digest)?;
    Some(Census { count: count.parse().ok()?, digest })
}

/// The text, if it is whole and nobody changed it.
fn checked(bytes: &[u8]) -> Result<&str, Unusable> {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first = std::str::from_utf8(first).map_err(|_| Unusable::Foreign)?;
    let format = first.strip_prefix(MAGIC).ok_or(Unusable::Foreign)?;
    // Another format may end in another way, so it is told first.
    if format != format!(" {FORMAT}") {
        return Err(Unusable::OtherFormat(format.trim().chars().take(20).collect()));
    }
    let body = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(Unusable::Torn)?;
    let (body, last) = bytes.split_at(body);
    let said = std::str::from_utf8(last).ok().and_then(|last| {
        let digits = last.strip_prefix("checksum ")?.strip_suffix('\n')?;
        sixteen_digits(digits)
    });
    let said = said.ok_or(Unusable::Torn)?;
    if xxh64(body, 0) != said {
        return Err(Unusable::Checksum);
    }
    std::str::from_utf8(body).map_err(|_| Unusable::Foreign)
}

struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { rest: text, number: 0 }
    }

    fn next(&mut self) -> Result<&'a str, Unusable> {
        self.number += 1;
        let (line, rest) = self.rest.split_once('\n').ok_or(Unusable::Malformed(self.number))?;
        self.rest = rest;
        Ok(line)
    }

    /// Every line before the next one that begins with `start`.
    fn up_to(&mut self, start: &str) -> Result<&'a str, Unusable> {
        let found = self.rest.find(&format!("\n{start}")).map(|place| place + 1);
        let end = if self.rest.starts_with(start) { Some(0) } else { found };
        let (lines, rest) = self.rest.split_at(end.ok_or(Unusable::Torn)?);
        self.number += lines.lines().count();
        self.rest = rest;
        Ok(lines)
    }

    /// What the next line says behind `name`.
    fn named(&mut self, name: &str) -> Result<&'a str, Unusable> {
        let line = self.next()?;
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
        value.ok_or(Unusable::Malformed(self.number))
    }

    fn count(&mut self, name: &str) -> Result<usize, Unusable> {
        self.named(name)?.parse().map_err(|_| Unusable::Malformed(self.number))
    }
}

/// Sums up what goes through it.
struct Summed<'a, W> {
    out: &'a mut W,
    sum: Xxh64,
}

impl<W: Write> Write for Summed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What every snapshot begins with.
pub(super) const MAGIC: &str = "tollgate-snapshot";
/// The format that this version reads and writes.
pub const FORMAT: u32 = 1;
/// Each share is worth a thread.
const SHARE_AT_LEAST: usize = 1 << 20;
const THREADS_AT_MOST: usize = 8;
const NONE: &str = "-";
const PARTIAL: &str = "partial";
const WHOLE: &str = "whole";
const CONFLICT: &str = "conflict";
const OPEN: &str = "open";
/// Restrictions that nobody here can read. No restriction is spelled so.
const UNREADABLE: &str = "?";
/// The first picture of a process.
const GENERATION: u64 = 1;
/// `checksum `, sixteen digits and the end of the line.
const CHECKSUM_BYTES: usize = 26;
