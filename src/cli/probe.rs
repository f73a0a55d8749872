//! `tollgate health` and `tollgate ready`: probes for images without a shell.

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::{Call, Client},
    failure::{Exit, Failure},
    operator::Printing,
    out::{Out, Rows},
};
use crate::config::BaseUrl;

/// The admin listener of a running Tollgate.
#[derive(Args, Clone, Debug)]
pub(super) struct Probe {
    /// Where the admin listener is
    #[arg(long, env = "TOLLGATE_ADMIN_URL", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:7602", value_parser = BaseUrl::parse)]
    admin_url: BaseUrl,

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
        let client = Client::new(self.admin_url.clone(), ADMIN_SETTINGS);
        let (status, _) = client.exchange(&Call::new("GET", path))?;
        let is_so = status == 200;
        let told = if is_so { word.to_owned() } else { format!("not {word}") };
        let answer: Value = json!({ word: is_so, "status": status });
        out.data(self.printing.output, &answer, || Rows::plain().row([told]));
        Ok(if is_so { Exit::Done } else { Exit::Failed })
    }
}

pub(super) const ADMIN_SETTINGS: &str = "--admin-url or TOLLGATE_ADMIN_URL";
