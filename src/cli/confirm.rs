//! Asks a person before something is done that cannot be undone by one command.

use std::io::{self, BufRead as _, IsTerminal as _};

use super::{failure::Failure, out::Out};

/// Whether whoever sits there says yes.
pub(super) fn is_confirmed(out: &mut Out<'_>) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Local("nobody is here to confirm it; give --yes".to_owned()));
    }
    out.note("Go on? Type yes:");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| Failure::local(&error))?;
    Ok(answer.trim() == "yes")
}
