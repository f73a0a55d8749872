//! What of the audit trail is archived, read from its files.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use super::super::{failure::Failure, out::Out};
use crate::domain::audit::{
    archive::Archived,
    chain::{Broken, ChainPage, Walk},
};

/// Walks along what `files` hold of a partition's trail. Two of them may hold the same entries: an
/// instance that could not take them out of the store any more left them to the next.
pub(super) fn walk_along(
    files: &[PathBuf],
    partition: u16,
    walk: &mut Walk,
    out: &mut Out<'_>,
) -> Result<Result<(), Broken>, Failure> {
    let mut files = files
        .iter()
        .map(|path| Entries::open(path, partition, out))
        .collect::<Result<Vec<_>, _>>()?;
    let mut last = None;
    loop {
        let entries = files.iter_mut().filter_map(|file| Some((file.next.as_ref()?.place(), file)));
        let Some((_, oldest)) = entries.min_by_key(|(place, _)| *place) else { return Ok(Ok(())) };
        let found = oldest.advance(out)?;
        if last == found {
            continue;
        }
        let links = found.iter().map(|it| it.link.clone()).collect();
        // There is more: what is in the store.
        let page = ChainPage { head: String::new(), links, has_more: true };
        if let Err(broken) = walk.take(&page) {
            return Ok(Err(broken));
        }
        last = found;
    }
}

/// The entries of one partition in one file.
struct Entries<'a> {
    path: &'a Path,
    partition: u16,
    lines: io::Lines<BufReader<File>>,
    number: u64,
    next: Option<Archived>,
}

impl<'a> Entries<'a> {
    fn open(path: &'a Path, partition: u16, out: &mut Out<'_>) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
        let lines = BufReader::new(file).lines();
        let mut entries = Self { path, partition, lines, number: 0, next: None };
        entries.advance(out)?;
        Ok(entries)
    }

    /// Takes the next entry, and reads the one behind it.
    fn advance(&mut self, out: &mut Out<'_>) -> Result<Option<Archived>, Failure> {
        let next = self.next.take();
        for line in self.lines.by_ref() {
            let line = line.map_err(|error| cannot_read(self.path, &error))?;
            self.number += 1;
            let found = serde_json::from_str::<Archived>(&line).ok();
            // It was cut off, and its entry stands behind it as a whole; if it does not, the chain
            // has a gap. Every line is read for every partition, and told of for one.
            if found.is_none() && self.partition == 0 {
                let (number, path) = (self.number, self.path.display());
                out.note(format_args!("line {number} of {path} cannot be read"));
            }
            self.next = found.filter(|found| found.partition == self.partition);
            if self.next.is_some() {
                break;
            }
        }
        Ok(next)
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("cannot read {}: {error}", path.display()))
}
