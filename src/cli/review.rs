//! `tollgate review`: who is restricted, since when, by whom and why.

use std::time::Duration;

use clap::{Args, builder::PossibleValuesParser};
use serde_json::{Value, json};

use super::{
    answer::{cell, is_set, list, text},
    client::Call,
    customers::STATUSES,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Rows},
};
use crate::{
    clock::Clock,
    config::parse_duration,
    domain::{Source, Timestamp},
};

/// Whom to look at.
#[derive(Args, Clone, Debug)]
pub(super) struct Review {
    /// Only customers with this status
    #[arg(long, default_value = "disabled", value_parser = PossibleValuesParser::new(&STATUSES[1..]))]
    status: String,

    /// Only restrictions of this source
    #[arg(long)]
    source: Option<Source>,

    /// Only restrictions that began longer ago than this, like 30d
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    older_than: Duration,

    #[command(flatten)]
    operator: Operator,
}

impl Review {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let now = Clock::system().now();
        let mut found = self.restricted(now.saturating_sub(self.older_than))?;
        found.sort_by_key(|(since, _)| *since);
        let rows: Vec<_> = found.into_iter().map(|(_, row)| row).collect();
        out.data(self.operator.output(), &rows, || {
            let header = [
                "CUSTOMER", "KIND", "SINCE", "SOURCE", "REASON", "UNTIL", "BY", "INFORMED", "NOTES",
            ];
            rows.iter().fold(Rows::under(header), |rows, row| {
                rows.row(
                    [
                        "customerId",
                        "kind",
                        "since",
                        "source",
                        "reason",
                        "until",
                        "actor",
                        "informedAt",
                        "notes",
                    ]
                    .map(|field| cell(row, field)),
                )
            })
        });
        if let Some(first) = rows.first() {
            let (id, source) = (text(first, "customerId"), text(first, "source"));
            let tenant = self.operator.tenant_flag();
            out.hint(format_args!(
                "why: tollgate explain {id}{tenant}; let in: tollgate enable {id}{tenant} --source \
                 {source}; close: tollgate deactivate {id}{tenant}",
            ));
        }
        Ok(Exit::Done)
    }

    /// Every restriction in force that is meant and began by `moment`, with when it began.
    fn restricted(&self, moment: Timestamp) -> Result<Vec<(Timestamp, Value)>, Failure> {
        let client = self.operator.client()?;
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let call = Call::new("GET", "/v1/customers")
                .query("status", Some(&self.status))
                .query("source", self.source.as_ref())
                .query("limit", Some(100))
                .query("startAfter", cursor.as_ref());
            let page = client.send(&call)?;
            for customer in list(&page, "customers") {
                for held in list(customer, "restrictions") {
                    let since = text(held, "since").parse::<Timestamp>();
                    let since = since.map_err(|error| Failure::local(&error))?;
                    if since <= moment && self.is_meant(held) {
                        let mut row = held.clone();
                        for field in ["customerId", "tenantId", "status"] {
                            row[field] = json!(customer[field]);
                        }
                        found.push((since, row));
                    }
                }
            }
            cursor = Some(text(&page, "nextCursor").to_owned());
            if !is_set(&page, "hasMore") {
                return Ok(found);
            }
        }
    }

    fn is_meant(&self, held: &Value) -> bool {
        self.source.as_ref().is_none_or(|source| text(held, "source") == source.as_str())
    }
}
