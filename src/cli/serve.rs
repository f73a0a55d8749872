//! `tollgate serve`, and `tollgate config`, which tells what it would serve with.

use clap::{ArgMatches, Args, Subcommand};

use super::{
    failure::{Exit, Failure},
    operator::Printing,
    out::{Out, Rows},
};
use crate::{
    app,
    config::{Config, Shown},
    lifecycle, telemetry,
};

/// Runs until it is asked to stop, or until it cannot go on.
pub(super) fn serve(config: Config) -> Result<Exit, Failure> {
    config.validate().map_err(|error| Failure::usage(&error))?;
    telemetry::init_logs(config.log_format, &config.log_level)
        .map_err(|error| Failure::local(&error))?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        runtime.worker_threads(workers.get());
    }
    let runtime = runtime.enable_all().build().map_err(|error| Failure::local(&error))?;
    let served =
        runtime.block_on(async { Box::pin(app::serve(config, lifecycle::stop_signal())).await });
    served.map(|()| Exit::Done).map_err(|error| Failure::local(&error))
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum Settings {
    /// Prints every setting, its value and where it came from; secrets are shown as ***
    Show(Box<Show>),
    /// Tells whether `tollgate serve` would accept the same flags and variables
    Check(Box<Config>),
}

/// The configuration, and how to print it.
#[derive(Args, Debug)]
pub(super) struct Show {
    #[command(flatten)]
    config: Config,

    #[command(flatten)]
    printing: Printing,
}

impl Settings {
    /// `matches` are those of the verb `config`.
    pub(super) fn run(&self, matches: &ArgMatches, out: &mut Out<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Show(show) => {
                let read_from = matches.subcommand_matches("show").unwrap_or(matches);
                let shown = show.config.show(read_from);
                out.data(show.printing.output, &shown, || rows(&shown));
            }
            Self::Check(config) => {
                config.validate().map_err(|error| Failure::usage(&error))?;
                out.note("The configuration is sound.");
            }
        }
        Ok(Exit::Done)
    }
}

fn rows(shown: &Shown) -> Rows {
    shown.settings.iter().fold(Rows::under(["SETTING", "VALUE", "FROM"]), |rows, setting| {
        rows.row([setting.setting.clone(), setting.value.clone(), setting.source.to_owned()])
    })
}
