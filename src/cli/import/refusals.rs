//! Tells which lines were refused and why: on standard error, or in a file.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::super::failure::{Detail, Failure, Refused};

/// Where refused lines are told.
pub(super) enum Refusals {
    /// In a file, a line of JSON for each rule that was broken.
    File(PathBuf, File),
    /// On standard error, a few at most.
    Messages {
        /// How many were told.
        told: usize,
    },
}

#[derive(Serialize)]
struct Told<'a> {
    line: u64,
    code: &'a str,
    path: &'a str,
    message: &'a str,
}

impl Refusals {
    /// In the file at `path`, behind what is there if the import goes on; else among messages.
    pub(super) fn to(path: Option<&Path>, goes_on: bool) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::Messages { told: 0 }) };
        let mut options = OpenOptions::new();
        let options = options.create(true).write(true).append(goes_on).truncate(!goes_on);
        let file = options.open(path);
        let file = file.map_err(|error| {
            Failure::Usage(format!("cannot write {} (--errors): {error}", path.display()))
        })?;
        Ok(Self::File(path.to_owned(), file))
    }

    /// Tells one, and gives what is to be told at once.
    pub(super) fn tell(&mut self, line: u64, refused: &Refused) -> Result<Vec<String>, Failure> {
        let Refused { code, message, details, .. } = refused;
        let whole = [Detail { path: String::new(), message: message.clone() }];
        let details = if details.is_empty() { &whole[..] } else { details };
        let told =
            details.iter().map(|Detail { path, message }| Told { line, code, path, message });
        match self {
            Self::File(path, file) => {
                for told in told {
                    let text = serde_json::to_string(&told);
                    let text = text.map_err(|error| Failure::local(&error))?;
                    writeln!(file, "{text}").map_err(|error| {
                        Failure::Local(format!("cannot write {}: {error}", path.display()))
                    })?;
                }
                Ok(Vec::new())
            }
            Self::Messages { told: lines } => {
                *lines += 1;
                if *lines > TOLD_AT_MOST {
                    let more = "more lines are refused; --errors FILE keeps them all".to_owned();
                    return Ok(Some(more)
                        .filter(|_| *lines == TOLD_AT_MOST + 1)
                        .into_iter()
                        .collect());
                }
                let told = told.map(|Told { line, code, path, message }| {
                    let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
                    format!("line {line}: {code}: {path}{message}")
                });
                Ok(told.collect())
            }
        }
    }
}

/// More than anybody reads.
const TOLD_AT_MOST: usize = 100;
