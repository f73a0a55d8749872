//! `tollgate ingest`: what billing systems say without the API, and whom the guard has paused.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    answer::{cell, is_set, list, text},
    client::Call,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Output, Rows},
};
use crate::domain::Source;

/// What to do with sources.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Ingest {
    /// Shows what waits, and which sources are paused because they restricted too many customers
    Status(Status),
    /// Lists what systems said in webhooks of customers that nobody knows; it waits for an alias
    Unresolved(Unresolved),
    /// Lets a paused source go on: what has waited is done
    Resume(Resume),
}

impl Ingest {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Status(status) => status.run(out),
            Self::Unresolved(unresolved) => unresolved.run(out),
            Self::Resume(resume) => resume.run(out),
        }
    }
}

/// Everything.
#[derive(Args, Clone, Debug)]
pub(super) struct Status {
    #[command(flatten)]
    operator: Operator,
}

impl Status {
    fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let answer = self.operator.client_of_all()?.send(&Call::new("GET", "/v1/ingest"))?;
        if matches!(self.operator.output(), Output::Table) {
            let [channel, source, inbox, dead, unresolved] =
                ["channel", "source", "inbox", "dead", "unresolved"]
                    .map(|field| cell(&answer, field));
            out.note(format_args!(
                "Channel {channel} for source {source}: {inbox} in the inbox, {dead} dead. \
                 {unresolved} webhooks wait for a customer that nobody knows."
            ));
        }
        out.data(self.operator.output(), &answer, || {
            let header = Rows::under(["SOURCE", "RESTRICTED", "PAUSED", "SINCE", "RESUMED"]);
            list(&answer, "sources").iter().fold(header, |rows, source| {
                rows.row(
                    ["source", "restricted", "paused", "pausedSince", "resumedAt"]
                        .map(|field| cell(source, field)),
                )
            })
        });
        Ok(Exit::Done)
    }
}

/// All of it, of one tenant if that is said.
#[derive(Args, Clone, Debug)]
pub(super) struct Unresolved {
    #[command(flatten)]
    operator: Operator,
}

impl Unresolved {
    fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let client = self.operator.client()?;
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let call = Call::new("GET", "/v1/ingest/unresolved").query("limit", Some("100"));
            let page = client.send(&call.query("startAfter", cursor.as_ref()))?;
            all.extend_from_slice(list(&page, "unresolved"));
            if !is_set(&page, "hasMore") || text(&page, "nextCursor").is_empty() {
                break;
            }
            cursor = Some(text(&page, "nextCursor").to_owned());
        }
        let answer = json!({ "unresolved": all });
        out.data(self.operator.output(), &answer, || {
            let header =
                Rows::under(["RECEIVED", "SOURCE", "TENANT", "ID THERE", "STATUS", "EVENT"]);
            all.iter().fold(header, |rows, it| {
                rows.row(
                    ["receivedAt", "source", "tenantId", "externalId", "status", "eventId"]
                        .map(|field| cell(it, field)),
                )
            })
        });
        Ok(Exit::Done)
    }
}

/// A source to be let go on.
#[derive(Args, Clone, Debug)]
pub(super) struct Resume {
    /// The source, as the status has it
    source: Source,

    #[command(flatten)]
    operator: Operator,
}

impl Resume {
    fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let call = Call::new("POST", "/v1/ingest/resume").body(json!({ "source": self.source }));
        let answer = self.operator.client_of_all()?.send(&call)?;
        if !is_set(&answer, "changed") {
            out.note(format_args!("The source {} was not paused.", text(&answer, "source")));
        }
        out.data(self.operator.output(), &answer, || {
            Rows::under(["SOURCE", "CHANGED"])
                .row([cell(&answer, "source"), cell(&answer, "changed")])
        });
        Ok(Exit::Done)
    }
}
