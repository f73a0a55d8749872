//! `tollgate fleet`: the mode of every instance.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    answer::{cell, is_set},
    client::Call,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Rows},
};
use crate::config::parse_duration;

/// What to do with every instance.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Fleet {
    /// Shows whether every instance is in shadow, and until when
    Status(All),
    /// Puts every instance into shadow for a while: denies are told and let through
    Shadow(Shadow),
    /// Ends that: every instance enforces what its policy says
    Enforce(All),
}

impl Fleet {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Status(all) => {
                let answer = all.operator.client_of_all()?.send(&Call::new("GET", "/v1/fleet"))?;
                all.operator.print_mode(&answer, out);
            }
            Self::Shadow(shadow) => {
                let seconds = shadow.lasts.as_secs();
                let call = Call::new("POST", "/v1/fleet/shadow");
                let call = call.body(json!({ "forSeconds": seconds }));
                let answer = shadow.operator.client_of_all()?.send(&call)?;
                shadow.operator.print_mode(&answer, out);
            }
            Self::Enforce(all) => {
                let call = Call::new("POST", "/v1/fleet/enforce");
                let answer = all.operator.client_of_all()?.send(&call)?;
                if !is_set(&answer, "changed") {
                    out.note(format_args!("The fleet was not in shadow."));
                }
                all.operator.print_mode(&answer, out);
            }
        }
        Ok(Exit::Done)
    }
}

/// Every instance.
#[derive(Args, Clone, Debug)]
pub(super) struct All {
    #[command(flatten)]
    operator: Operator,
}

/// How long.
#[derive(Args, Clone, Debug)]
pub(super) struct Shadow {
    /// How long it lasts, like 1h; at most 168h
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    lasts: Duration,

    #[command(flatten)]
    operator: Operator,
}

impl Operator {
    fn print_mode(&self, answer: &Value, out: &mut Out<'_>) {
        out.data(self.output(), answer, || {
            Rows::under(["MODE", "UNTIL"]).row([cell(answer, "mode"), cell(answer, "until")])
        });
    }
}
