//! `tollgate shadow-report`: what shadow mode let through.

use clap::Args;
use serde_json::Value;

use super::{
    answer::cell,
    client::Call,
    failure::{Exit, Failure},
    listener::AdminListener,
    operator::Printing,
    out::{Out, Rows},
};

/// Where it is asked for.
#[derive(Args, Clone, Debug)]
pub(super) struct Report {
    #[command(flatten)]
    listener: AdminListener,

    #[command(flatten)]
    printing: Printing,
}

impl Report {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let status = self.listener.client()?.send(&Call::new("GET", "/status"))?;
        let lines = status["shadow"].as_array().cloned().unwrap_or_default();
        out.data(self.printing.output, &lines, || {
            let rows = Rows::under(["ROUTE", "REASON", "LET THROUGH"]);
            lines.iter().fold(rows, |rows, line: &Value| {
                rows.row([cell(line, "route"), cell(line, "reason"), cell(line, "count")])
            })
        });
        if lines.is_empty() {
            let mode = cell(&status["policy"], "mode");
            out.note(format_args!("Nothing was let through for shadow mode; the mode is {mode}."));
        }
        Ok(Exit::Done)
    }
}
