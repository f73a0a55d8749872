//! `tollgate audit`: who did what to whom.

mod archive;
mod verify;

use std::io::BufRead as _;

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde_json::Value;

use super::{
    acts::past_moment,
    answer::{cell, is_set, list, text},
    client::{Call, Client},
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Rows},
};
use crate::domain::{CustomerId, Timestamp, audit::AuditAction};

/// A part of the audit trail, the newest entry first.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Audit {
    #[command(subcommand)]
    verb: Option<AuditVerb>,

    /// Only this customer's entries
    #[arg(value_parser = CustomerId::parse)]
    id: Option<CustomerId>,

    /// Only what this actor asked for, named as its key is
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,

    /// Only acts of this name, like disable or `keys_create`
    #[arg(long)]
    action: Option<AuditAction>,

    /// Only acts that came to this
    #[arg(long, value_parser = PossibleValuesParser::new(OUTCOMES))]
    outcome: Option<String>,

    /// Only from then on: a time like 2026-11-21T10:00:00Z, or ago like 7d
    #[arg(long, value_name = "TIME", value_parser = past_moment)]
    since: Option<Timestamp>,

    /// Only from before then
    #[arg(long, value_name = "TIME", value_parser = past_moment)]
    until: Option<Timestamp>,

    /// How many entries at most, up to 100
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,

    /// Only entries older than this one, as the hint of a longer list names it
    #[arg(long, value_name = "CURSOR")]
    before: Option<String>,

    /// Print every entry there is, a line of JSON each
    #[arg(long, conflicts_with = "limit")]
    export: bool,

    #[command(flatten)]
    operator: Operator,
}

#[derive(Clone, Debug, Subcommand)]
enum AuditVerb {
    /// Tells whether the trail is as it was written, or where it was changed
    Verify(verify::Verify),
}

impl Audit {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        if let Some(AuditVerb::Verify(verify)) = &self.verb {
            return verify.run(out);
        }
        let client = self.operator.client()?;
        if self.export {
            return self.export(&client, out);
        }
        let answer = client.send(&self.call().query("limit", Some(self.limit)))?;
        out.data(self.operator.output(), &answer, || entries(list(&answer, "entries")));
        let cursor = text(&answer, "nextCursor");
        if is_set(&answer, "hasMore") && !cursor.is_empty() {
            out.hint(format_args!("there are older entries; list them with --before {cursor}"));
        } else if let Some(until) = answer.get("archivedUntil").and_then(Value::as_str) {
            out.hint(format_args!("entries until {until} were archived"));
        }
        Ok(Exit::Done)
    }

    /// Prints entries as they come. What tells that there are no more is not one of them.
    fn export(&self, client: &Client, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let call = self.call().query("format", Some("ndjson"));
        let lines = client.stream(&call)?;
        for line in lines.lines() {
            let broken = |why| Failure::Local(format!("{BROKEN_OFF}: {why}"));
            let line = line.map_err(|error| broken(error.to_string()))?;
            let told: Value =
                serde_json::from_str(&line).map_err(|error| broken(error.to_string()))?;
            if is_set(&told, "end") {
                return Ok(Exit::Done);
            }
            out.line(line);
            if out.is_closed() {
                return Ok(Exit::Done);
            }
        }
        Err(Failure::Local(BROKEN_OFF.to_owned()))
    }

    fn call(&self) -> Call {
        let path = match &self.id {
            Some(id) => format!("/v1/customers/{id}/audit"),
            None => "/v1/audit".to_owned(),
        };
        Call::new("GET", path)
            .query("before", self.before.as_ref())
            .query("actor", self.actor.as_ref())
            .query("action", self.action.map(AuditAction::as_str))
            .query("outcome", self.outcome.as_ref())
            .query("since", self.since)
            .query("until", self.until)
    }
}

fn entries(entries: &[Value]) -> Rows {
    let header = ["AT", "SUBJECT", "ACTION", "OUTCOME", "ACTOR", "SOURCE", "REASON", "NOTES"];
    entries.iter().fold(Rows::under(header), |rows, entry| {
        rows.row([
            cell(entry, "at"),
            cell(entry, "subject"),
            cell(entry, "action"),
            cell(entry, "outcome"),
            entry.get("actor").map_or_else(|| "-".to_owned(), |actor| cell(actor, "name")),
            cell(entry, "source"),
            cell(entry, "reason"),
            cell(entry, "notes"),
        ])
    })
}

const OUTCOMES: [&str; 3] = ["changed", "unchanged", "refused"];
const BROKEN_OFF: &str = "the export was broken off; what was printed is not everything";
