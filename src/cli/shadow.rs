//! `tollgate shadow-report`: what shadow mode let through.

use clap::Args;
use serde_json::Value;

use super::{
    answer::cell,
    client::{Call, Client},
    failure::{Exit, Failure},
    operator::Printing,
    out::{Out, Rows},
    probe::ADMIN_SETTINGS,
};
use crate::config::BaseUrl;

/// Where it is asked for.
#[derive(Args, Clone, Debug)]
pub(super) struct Report {
    /// Where the admin listener is
    #[arg(long, env = "TOLLGATE_ADMIN_URL", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:7602", value_parser = BaseUrl::parse)]
    admin_url: BaseUrl,

    #[command(flatten)]
    printing: Printing,
}

impl Report {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let client = Client::new(self.admin_url.clone(), ADMIN_SETTINGS);
        let status = client.send(&Call::new("GET", "/status"))?;
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
