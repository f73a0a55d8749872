//! `tollgate health` and `tollgate ready`: probes for images without a shell.

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::Call,
    failure::{Exit, Failure},
    listener::AdminListener,
    operator::Printing,
    out::{Out, Rows},
};

/// The admin listener of a running Tollgate.
#[derive(Args, Clone, Debug)]
pub(super) struct Probe {
    #[command(flatten)]
    listener: AdminListener,

    #[command(flatten)]
    printing: Printing,
}

impl Probe {
    /// Whether it need not be restarted.
    pub(super) fn live(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        self.ask("/livez", "live", out)
    }

    /// Whether it may receive traffic.
    pub(super) fn ready(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        self.ask("/readyz", "ready", out)
    }

    fn ask(&self, path: &str, word: &str, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let (status, _) = self.listener.client()?.exchange(&Call::new("GET", path))?;
        let is_so = status == 200;
        let told = if is_so { word.to_owned() } else { format!("not {word}") };
        let answer: Value = json!({ word: is_so, "status": status });
        out.data(self.printing.output, &answer, || Rows::plain().row([told]));
        Ok(if is_so { Exit::Done } else { Exit::Failed })
    }
}
