//! `tollgate version`: what this is, and which formats it reads and writes.

use clap::Args;
use serde_json::json;

use super::{
    failure::Exit,
    operator::Printing,
    out::{Out, Output, Rows},
};
use crate::app::formats;

/// How it is told.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Version {
    #[command(flatten)]
    printing: Printing,

    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

impl Version {
    pub(super) fn run(self, out: &mut Out<'_>) -> Exit {
        let version = env!("CARGO_PKG_VERSION");
        let answer = json!({
            "name": "tollgate",
            "version": version,
            "storeFormat": formats::STORE,
            "snapshotFormat": formats::SNAPSHOT,
        });
        let output = if self.json { Output::Json } else { self.printing.output };
        out.data(output, &answer, || Rows::plain().row([format!("tollgate {version}")]));
        Exit::Done
    }
}
