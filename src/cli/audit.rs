//! `tollgate audit`: who did what to whom.

use clap::Args;
use serde_json::Value;

use super::{
    answer::{cell, is_set, list, text},
    client::Call,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Rows},
};
use crate::domain::CustomerId;

/// A part of the audit trail, the newest entry first.
#[derive(Args, Clone, Debug)]
pub(super) struct Audit {
    /// Only this customer's entries
    #[arg(value_parser = CustomerId::parse)]
    id: Option<CustomerId>,

    /// How many entries at most, up to 100
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,

    /// Only entries older than this one, as the hint of a longer list names it
    #[arg(long, value_name = "CURSOR")]
    before: Option<String>,

    #[command(flatten)]
    operator: Operator,
}

impl Audit {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let path = match &self.id {
            Some(id) => format!("/v1/customers/{id}/audit"),
            None => "/v1/audit".to_owned(),
        };
        let call = Call::new("GET", path)
            .query("limit", Some(self.limit))
            .query("before", self.before.as_ref());
        let answer = self.operator.client()?.send(&call)?;
        out.data(self.operator.output(), &answer, || entries(list(&answer, "entries")));
        let cursor = text(&answer, "nextCursor");
        if is_set(&answer, "hasMore") && !cursor.is_empty() {
            out.hint(format_args!("there are older entries; list them with --before {cursor}"));
        }
        Ok(Exit::Done)
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
