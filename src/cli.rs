//! The verbs: `serve`, and those that talk to a running Tollgate.
//!
//! Data goes to standard output, messages to standard error. The process ends with 0 for allowed
//! or done, 1 for denied or failed, 2 for a wrong use, 3 for undecided or unreachable.

mod acts;
mod answer;
mod audit;
mod check;
mod client;
mod confirm;
mod customers;
mod explain;
mod export;
mod failure;
mod fleet;
mod import;
mod ingest;
mod interrupt;
mod keys;
mod listener;
mod operator;
mod out;
mod policy;
mod poll;
mod probe;
mod review;
mod serve;
mod shadow;
mod store;
mod undo;
mod version;
mod watch;

use clap::{ArgMatches, Parser, Subcommand};

pub use failure::Exit;
pub use out::{Out, Output};

use crate::{config::Config, domain};
use failure::Failure;

/// The command line.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs Tollgate
    Serve(Box<Config>),

    /// Takes all access from a customer
    Disable(acts::Restrict),
    /// Lifts a disable
    Enable(acts::Lift),
    /// Makes a customer read-only. This is what Wingback's call named inactivate does
    Freeze(acts::Restrict),
    /// Lifts a freeze
    Unfreeze(acts::Lift),
    #[command(about = INACTIVE)]
    Deactivate(acts::Restrict),
    /// Lifts a deactivate
    Reactivate(acts::Lift),

    /// Erases a customer for ever, save its restrictions; takes an admin
    Purge(acts::Purge),

    /// Shows one customer
    Show(customers::One),
    /// Lists customers
    List(customers::Many),
    /// Shows what a customer's applications are told: status, features and limits
    Limits(customers::Limits),
    /// Asks whether a customer may do something, as a gateway would
    Check(check::Check),
    /// Explains why a customer is refused or let in: which record, rule and restriction decide
    Explain(explain::Explain),
    /// Writes a customer's record, or some fields of it; makes the customer when it is not known
    Put(customers::Put),
    /// Deletes a customer softly, as deactivate does: nothing is lost
    Delete(customers::One),
    /// Makes customers what a file says of them, a line of JSON each; goes on where it was left
    Import(Box<import::Import>),
    /// Writes every customer with all that is kept of it, a line of JSON each
    Export(export::Export),
    /// Lists who is restricted, since when, by whom and why, the longest first
    Review(review::Review),
    /// Takes back what one source did to customers since some time
    Undo(undo::Undo),
    /// Shows changes of status as they happen
    Watch(watch::Watch),
    /// Lists who did what, the newest first
    Audit(Box<audit::Audit>),
    /// Makes, lists and revokes the keys of operators and applications
    #[command(subcommand)]
    Keys(keys::Keys),

    /// Checks, explains and tests a policy file
    #[command(subcommand)]
    Policy(policy::PolicyVerb),
    /// Shows what shadow mode let through and would have been refused
    ShadowReport(shadow::Report),

    /// Shows the mode of every instance, and puts them all into shadow for a while
    #[command(subcommand)]
    Fleet(fleet::Fleet),
    /// Shows what billing systems say without the API, and lets a paused source go on
    #[command(subcommand)]
    Ingest(ingest::Ingest),
    /// Asks billing systems that call nobody, again and again, and tells Tollgate what changed
    #[command(subcommand)]
    Poll(poll::Poll),
    /// Shows how the store stands, and decides about one that lost what it held
    #[command(subcommand)]
    Store(store::Store),

    /// Shows or checks the configuration of `tollgate serve`
    #[command(subcommand)]
    Config(serve::Settings),
    /// Tells whether a running Tollgate is alive
    Health(probe::Probe),
    /// Tells whether a running Tollgate may receive traffic
    Ready(probe::Probe),
    /// Prints the version, and the formats that it reads and writes
    Version(version::Version),
}

/// Does what the command line asks for. `matches` are those that `cli` was read from.
#[must_use]
pub fn run(cli: Cli, matches: &ArgMatches, out: &mut Out<'_>) -> Exit {
    let exit = perform(cli.verb, matches, out).unwrap_or_else(|failure| {
        out.failure(&failure);
        failure.exit()
    });
    match out.take_error() {
        Some(error) => {
            let failure = Failure::local(&error);
            out.failure(&failure);
            failure.exit()
        }
        None => exit,
    }
}

fn perform(verb: Verb, matches: &ArgMatches, out: &mut Out<'_>) -> Result<Exit, Failure> {
    match verb {
        Verb::Serve(config) => serve::serve(*config),
        Verb::Disable(restrict) => restrict.run(domain::Verb::Disable, out),
        Verb::Enable(lift) => lift.run(domain::Verb::Enable, out),
        Verb::Freeze(restrict) => restrict.run(domain::Verb::Freeze, out),
        Verb::Unfreeze(lift) => lift.run(domain::Verb::Unfreeze, out),
        Verb::Deactivate(restrict) => restrict.run(domain::Verb::Deactivate, out),
        Verb::Reactivate(lift) => lift.run(domain::Verb::Reactivate, out),
        Verb::Purge(purge) => purge.run(out),
        Verb::Show(one) => one.show(out),
        Verb::List(many) => many.list(out),
        Verb::Limits(limits) => limits.run(out),
        Verb::Check(check) => check.run(out),
        Verb::Explain(explain) => explain.run(out),
        Verb::Put(put) => put.run(out),
        Verb::Delete(one) => one.delete(out),
        Verb::Import(import) => import.run(out),
        Verb::Export(export) => export.run(out),
        Verb::Review(review) => review.run(out),
        Verb::Undo(undo) => undo.run(out),
        Verb::Watch(watch) => watch.run(out),
        Verb::Audit(audit) => audit.run(out),
        Verb::Keys(keys) => keys.run(out),
        Verb::Policy(policy) => policy.run(out),
        Verb::ShadowReport(report) => report.run(out),
        Verb::Fleet(fleet) => fleet.run(out),
        Verb::Ingest(ingest) => ingest.run(out),
        Verb::Poll(poll) => poll.run(out),
        Verb::Store(store) => store.run(out),
        Verb::Config(settings) => {
            let of_verb = matches.subcommand_matches("config").unwrap_or(matches);
            settings.run(of_verb, out)
        }
        Verb::Health(probe) => probe.live(out),
        Verb::Ready(probe) => probe.ready(out),
        Verb::Version(version) => Ok(version.run(out)),
    }
}

const INACTIVE: &str = "Closes a customer and keeps everything. It becomes inactive, which is \
                        FlexPortal's word for closed; Wingback's call named inactivate means \
                        freeze here";
const EXIT_CODES: &str = "Exit codes: 0 allowed or done, 1 denied or failed, 2 wrong use, \
                          3 undecided or unreachable";

#[cfg(test)]
mod tests;
