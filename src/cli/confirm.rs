//! Asks a person before something is done that no one command takes back.

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;

use super::{failure::Failure, out::Out};

/// Whether it is done at once, told only, or asked about first.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Consent {
    /// Do it without asking
    #[arg(long)]
    yes: bool,

    /// Only tell what it would do
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,
}

impl Consent {
    /// Whether it was given, or whoever sits there gives it.
    pub(super) fn is_given(self, out: &mut Out<'_>) -> Result<bool, Failure> {
        let is_given = self.yes || is_confirmed(out)?;
        if !is_given {
            out.note("Nothing was done.");
        }
        Ok(is_given)
    }
}

fn is_confirmed(out: &mut Out<'_>) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Local("nobody is here to confirm it; give --yes".to_owned()));
    }
    out.note("Go on? Type yes:");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| Failure::local(&error))?;
    Ok(answer.trim() == "yes")
}
