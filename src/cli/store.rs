//! `tollgate store`: how the store stands, and what is decided about one that lost what it held.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    answer::{cell, list},
    client::Call,
    confirm::Consent,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Rows},
};
use crate::domain::Token;

/// What to do with the store.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Store {
    /// Shows how the store stands, there and in this instance
    Stat(All),
    /// Says that the store is right about what it lost: every instance follows it as it is
    TrustRedis(Decide),
    /// Says that this instance is: the store is filled again with what it knows
    RefillRedis(Decide),
    /// Lists the forgotten changes that were not written back, or settles one of them
    Conflicts(Conflicts),
}

impl Store {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Stat(all) => all.stat(out),
            Self::TrustRedis(decide) => decide.run("/v1/store/trust", out),
            Self::RefillRedis(decide) => decide.run("/v1/store/refill", out),
            Self::Conflicts(conflicts) => conflicts.run(out),
        }
    }
}

/// Every partition.
#[derive(Args, Clone, Debug)]
pub(super) struct All {
    #[command(flatten)]
    operator: Operator,
}

impl All {
    fn stat(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let answer = self.operator.client_of_all()?.send(&Call::new("GET", "/v1/store"))?;
        out.data(self.operator.output(), &answer, || {
            let header =
                Rows::under(["PARTITION", "HERE", "STORE", "WITHHELD", "IN CONFLICT", "LOST"]);
            list(&answer, "partitions").iter().fold(header, |rows, it| {
                let stand = |side: &str| {
                    let stand = &it[side];
                    if stand.is_null() {
                        return "nothing".to_owned();
                    }
                    let (epoch, revision) = (cell(stand, "epoch"), cell(stand, "revision"));
                    format!("{epoch}:{revision}, {} restricted", cell(stand, "restricted"))
                };
                let partition = cell(it, "partition");
                let (withheld, in_conflict) = (cell(it, "withheld"), cell(it, "inConflict"));
                let lost = cell(it, "lost");
                rows.row([partition, stand("here"), stand("store"), withheld, in_conflict, lost])
            })
        });
        Ok(Exit::Done)
    }
}

/// A decision about what the store lost.
#[derive(Args, Clone, Debug)]
pub(super) struct Decide {
    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    operator: Operator,
}

impl Decide {
    fn run(&self, path: &str, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let client = self.operator.client_of_all()?;
        let asked = client.send(&Call::new("POST", path).body(json!({ "dryRun": true })))?;
        let effect = &asked["effect"];
        out.note(format_args!(
            "This lets {} customers in and shuts {} out; {} are restricted afterwards.",
            cell(effect, "letsIn"),
            cell(effect, "shutsOut"),
            cell(effect, "restricted"),
        ));
        if self.consent.dry_run {
            return Ok(self.print(&asked, out));
        }
        if !self.consent.is_given(out)? {
            return Ok(Exit::Failed);
        }
        let done = client.send(&Call::new("POST", path).body(json!({})))?;
        Ok(self.print(&done, out))
    }

    fn print(&self, answer: &Value, out: &mut Out<'_>) -> Exit {
        out.data(self.operator.output(), answer, || {
            let effect = &answer["effect"];
            let header = Rows::under(["DONE", "LETS IN", "SHUTS OUT", "RESTRICTED"]);
            let (done, restricted) = (cell(answer, "done"), cell(effect, "restricted"));
            header.row([done, cell(effect, "letsIn"), cell(effect, "shutsOut"), restricted])
        });
        Exit::Done
    }
}

/// Forgotten changes.
#[derive(Args, Clone, Debug)]
pub(super) struct Conflicts {
    /// The forgotten change, as the list names it, about which the store is right
    #[arg(long, value_name = "TOKEN")]
    settle: Option<Token>,

    #[command(flatten)]
    operator: Operator,
}

impl Conflicts {
    fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let client = self.operator.client_of_all()?;
        if let Some(forgotten) = &self.settle {
            let call = Call::new("POST", "/v1/store/conflicts/settle");
            let answer = client.send(&call.body(json!({ "forgotten": forgotten })))?;
            out.data(self.operator.output(), &answer, || {
                Rows::under(["SETTLED"]).row([cell(&answer, "settled")])
            });
            return Ok(Exit::Done);
        }
        let answer = client.send(&Call::new("GET", "/v1/store/conflicts"))?;
        out.data(self.operator.output(), &answer, || {
            let header = Rows::under(["FORGOTTEN", "CUSTOMER", "VERB", "SOURCE", "WHY"]);
            list(&answer, "conflicts").iter().fold(header, |rows, it| {
                rows.row(["forgotten", "customer", "verb", "source", "why"].map(|of| cell(it, of)))
            })
        });
        Ok(Exit::Done)
    }
}
