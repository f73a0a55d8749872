//! `tollgate review`: who is restricted, since when, by whom and why; and one act on all of them.

use std::{collections::BTreeMap, time::Duration};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::{Value, json};

use super::{
    answer::{cell, is_set, list, text},
    client::{Call, Client},
    confirm::Consent,
    customers::STATUSES,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Rows},
};
use crate::{
    clock::Clock,
    config::parse_duration,
    domain::{Source, Timestamp, Verb},
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

    /// Do this to each of them: lift what is listed, close the customer, or erase it
    #[arg(long, value_name = "VERB", value_parser = verbs())]
    then: Option<Verb>,

    /// Free text for operators on those acts
    #[arg(long, value_name = "TEXT", requires = "then")]
    notes: Option<String>,

    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    operator: Operator,
}

impl Review {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        if let Some(lifted) = self.then.and_then(Verb::lifts)
            && lifted.as_str() != self.status
        {
            let (verb, status) = (self.then.map_or("", Verb::as_str), &self.status);
            let message = format!("--then {verb} is for --status {lifted}, and not for {status}");
            return Err(Failure::Usage(message));
        }
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
        if let Some(verb) = self.then {
            return self.act_on(verb, &rows, out);
        }
        if let Some(first) = rows.first() {
            let (id, source) = (text(first, "customerId"), text(first, "source"));
            let tenant = self.operator.tenant_flag();
            out.hint(format_args!(
                "why: tollgate explain {id}{tenant}; let in: tollgate enable {id}{tenant} --source \
                 {source}; close: tollgate deactivate {id}{tenant}; all of them: --then",
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
                        for field in ["customerId", "tenantId", "status", "revision"] {
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

    /// Acts on each of `rows`, and goes on when one is refused.
    fn act_on(&self, verb: Verb, rows: &[Value], out: &mut Out<'_>) -> Result<Exit, Failure> {
        let meant =
            |row: &&Value| verb.lifts().is_none_or(|kind| text(row, "kind") == kind.as_str());
        let rows: Vec<_> = rows.iter().filter(meant).collect();
        // By customer, each as it was when it was listed.
        let mut customers = BTreeMap::new();
        for row in &rows {
            customers.insert(text(row, "customerId"), text(row, "revision").to_owned());
        }
        let (count, name) = (customers.len(), verb.as_str());
        out.note(format_args!("{name}: {count} customers."));
        if self.consent.dry_run || rows.is_empty() {
            return Ok(Exit::Done);
        }
        if !self.consent.is_given(out)? {
            return Ok(Exit::Failed);
        }
        let client = self.operator.client()?;
        let mut refused = 0;
        for row in rows {
            let id = text(row, "customerId");
            // One that is lifted is lifted for each source; any other act is done once.
            let revision = match verb.lifts() {
                Some(_) => customers.get(id).cloned(),
                None => customers.remove(id),
            };
            let Some(revision) = revision else { continue };
            let source = verb.lifts().map(|_| text(row, "source"));
            match self.act(&client, verb, id, &revision, source) {
                Ok(revision) => {
                    customers.entry(id).and_modify(|it| *it = revision);
                }
                Err(failure @ Failure::Unreachable { .. }) => return Err(failure),
                Err(failure) => {
                    refused += 1;
                    out.note(format_args!("{id}: {failure}"));
                }
            }
        }
        out.note(format_args!("{refused} acts were refused."));
        Ok(if refused == 0 { Exit::Done } else { Exit::Failed })
    }

    /// Acts on a customer that is still as it was listed, and tells its revision then.
    fn act(
        &self,
        client: &Client,
        verb: Verb,
        id: &str,
        revision: &String,
        source: Option<&str>,
    ) -> Result<String, Failure> {
        let mut body = json!({ "source": source, "notes": self.notes });
        if let Some(fields) = body.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        let call = Call::new("POST", format!("/v1/customers/{id}/{}", verb.as_str()));
        let call = call.header("if-match", Some(revision)).body(body);
        let answer = client.send(&call)?;
        Ok(text(&answer, "revision").to_owned())
    }

    fn is_meant(&self, held: &Value) -> bool {
        self.source.as_ref().is_none_or(|source| text(held, "source") == source.as_str())
    }
}

/// Those that make a review end: what restricts less, and what closes.
const THEN: [Verb; 5] =
    [Verb::Enable, Verb::Unfreeze, Verb::Reactivate, Verb::Deactivate, Verb::Purge];

fn verbs() -> impl TypedValueParser<Value = Verb> {
    let parser = PossibleValuesParser::new(THEN.map(Verb::as_str));
    parser.try_map(|word| THEN.into_iter().find(|verb| verb.as_str() == word).ok_or(NotThen))
}

#[derive(Debug, thiserror::Error)]
#[error("it must be one of the listed verbs")]
struct NotThen;
