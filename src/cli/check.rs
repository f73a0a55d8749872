//! `tollgate check`: asks what a gateway would ask.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    answer::{cell, text},
    client::Call,
    failure::{Exit, Failure},
    listener::CheckListener,
    operator::{Printing, TOKEN, explicit_token},
    out::{Out, Rows},
};
use crate::{
    config::Secret,
    domain::{Code, CustomerId, TenantId, Token},
};

/// One question.
#[derive(Args, Clone, Debug)]
pub(super) struct Check {
    /// The customer's id
    #[arg(value_parser = CustomerId::parse)]
    id: CustomerId,

    /// Ask for a write; without it, for a read
    #[arg(long, conflicts_with_all = ["method", "path"])]
    write: bool,

    #[command(flatten)]
    asked: Asked,

    /// Ask for an answer that stands on this revision at least, as an act returned it
    #[arg(long, value_name = "REVISION")]
    min_revision: Option<Token>,

    /// The customer's tenant
    #[arg(long, value_parser = TenantId::parse)]
    tenant: Option<TenantId>,

    #[command(flatten)]
    listener: CheckListener,

    /// File with a token of role app, which a listener off loopback asks for; `TOLLGATE_TOKEN`
    /// gives the token itself
    #[arg(long, env = "TOLLGATE_TOKEN_FILE", value_name = "PATH", help_heading = "Connection")]
    token_file: Option<PathBuf>,

    #[arg(skip = Secret::from_environment(TOKEN))]
    token: Option<Secret>,

    #[command(flatten)]
    printing: Printing,
}

/// What a question names beside the customer.
#[derive(Args, Clone, Debug)]
pub(super) struct Asked {
    /// Ask for a request with this method
    #[arg(long, requires = "path")]
    pub(super) method: Option<String>,

    /// Ask for a request of this path
    #[arg(long, requires = "method")]
    pub(super) path: Option<String>,

    /// Ask for a feature as well
    #[arg(long, value_name = "CODE", value_parser = Code::parse)]
    pub(super) feature: Option<Code>,

    /// Ask whether a limit leaves room, or whether it covers a total
    #[arg(long, value_name = "CODE[=TOTAL]", value_parser = limit)]
    pub(super) limit: Option<Value>,
}

impl Check {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let token = explicit_token(self.token_file.as_ref(), self.token.as_ref())?;
        let client = self.listener.client()?.with_token(token);
        let answer = client.send(&Call::new("POST", "/v1/check").body(self.question()))?;
        out.data(self.printing.output, &answer, || {
            Rows::under(["DECISION", "REASON", "STATUS", "ACCESS", "REVISION", "AGE MS", "STALE"])
                .row([
                    cell(&answer, "decision"),
                    cell(&answer, "reason"),
                    cell(&answer, "status"),
                    cell(&answer, "access"),
                    cell(&answer, "revision"),
                    cell(&answer, "ageMs"),
                    cell(&answer, "stale"),
                ])
        });
        Ok(match text(&answer, "decision") {
            "allow" => Exit::Done,
            "deny" => Exit::Failed,
            _ => Exit::Undecided,
        })
    }

    fn question(&self) -> Value {
        let Asked { method, path, feature, limit } = &self.asked;
        let mut question = Map::new();
        let mut ask = |field: &str, value: Value| {
            question.insert(field.to_owned(), value);
        };
        ask("customerId", json!(self.id));
        if let Some(tenant) = &self.tenant {
            ask("tenantId", json!(tenant));
        }
        match (method, path) {
            (Some(method), Some(path)) => {
                ask("method", json!(method));
                ask("path", json!(path));
            }
            _ => ask("action", json!(if self.write { "write" } else { "read" })),
        }
        if let Some(feature) = feature {
            ask("feature", json!(feature));
        }
        if let Some(limit) = limit {
            ask("limit", limit.clone());
        }
        if let Some(revision) = &self.min_revision {
            ask("minRevision", json!(revision));
        }
        Value::Object(question)
    }
}

/// `seats`, or `seats=26`.
fn limit(raw: &str) -> Result<Value, String> {
    let (code, total) = match raw.split_once('=') {
        Some((code, total)) => (code, Some(total)),
        None => (raw, None),
    };
    let code = Code::parse(code).map_err(|error| error.to_string())?;
    match total.map(str::parse::<u64>).transpose() {
        Ok(Some(value)) => Ok(json!({"code": code, "value": value})),
        Ok(None) => Ok(json!({"code": code})),
        Err(_) => Err("a total must be a whole number, as in seats=26".to_owned()),
    }
}
