//! Reads the command line, does what it asks for, and ends with an exit code.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use tollgate::cli::{self, Cli, Exit, Out};

fn main() -> ExitCode {
    // The one cryptography library. Nothing was installed before it, so this cannot fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = Cli::command().try_get_matches().and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        Ok((cli, matches))
    });
    let exit = match read {
        Ok((cli, matches)) => cli::run(cli, &matches, &mut Out::standard()),
        Err(error) => {
            // Help and version are asked for; everything else is a wrong use. A closed pipe is
            // neither.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Done }
        }
    };
    exit.into()
}
