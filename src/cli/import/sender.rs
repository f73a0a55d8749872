//! Sends batches at a pace, and again when nobody took them.

use std::time::Duration;

use serde_json::Value;

use super::{
    super::{
        client::{Call, Client},
        failure::Failure,
        interrupt::Interrupt,
        out::Out,
    },
    batches::Batch,
    progress::Progress,
};
use crate::{
    clock::{Clock, Moment},
    domain::Source,
};

/// Sends batches to a running Tollgate.
pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) interrupt: Interrupt,
    /// What the import is called there.
    pub(super) name: String,
    pub(super) source: Option<Source>,
    /// Customers a second at most.
    pub(super) rate: u32,
    /// How long a batch is sent again that nobody takes.
    pub(super) patience: Duration,
    /// When the next batch may be sent.
    pub(super) due: Moment,
    /// Whether any was taken in this run.
    pub(super) was_taken: bool,
}

impl Sender {
    /// Sends a batch to the store of that name, and gives the answer; nothing if it is interrupted
    /// before one came.
    pub(super) fn send(
        &mut self,
        batch: &Batch,
        store: Option<&String>,
        progress: &Progress,
        out: &mut Out<'_>,
    ) -> Result<Option<Value>, Failure> {
        self.interrupt.sleep(self.due.saturating_since(self.clock.moment()));
        if self.interrupt.is_asked() {
            return Ok(None);
        }
        let begun = self.clock.moment();
        let micros = batch.customers.saturating_mul(1_000_000) / u64::from(self.rate);
        self.due = self.due.max(begun).saturating_add(Duration::from_micros(micros));
        let call = Call::new("POST", "/v1/import")
            .query("name", Some(&self.name))
            .query("line", Some(batch.first_line))
            .query("source", self.source.as_ref())
            .query("store", store)
            .lines(batch.text.clone());
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.client.send(&call) {
                Ok(answer) => {
                    if pause > FIRST_PAUSE {
                        progress.note("It answers again.", out);
                    }
                    self.was_taken = true;
                    return Ok(Some(answer));
                }
                Err(failure) => failure,
            };
            let waited = self.clock.moment().saturating_since(begun);
            if !self.may_pass(&failure) || waited >= self.patience {
                return Err(failure);
            }
            if pause == FIRST_PAUSE {
                let patience = self.patience;
                let told = format!("{failure}; trying again for {patience:?} at most");
                progress.note(told, out);
            }
            self.interrupt.sleep(pause);
            if self.interrupt.is_asked() {
                return Ok(None);
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Whether the same may be taken later. Where nothing was taken yet, whoever began it can do
    /// more about a Tollgate that is not there, and about a store that somebody has to decide on.
    fn may_pass(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Refused(refused) => {
                let waits_for_somebody = ["SOURCE_PAUSED", "STORE_LOST"].contains(&&*refused.code);
                matches!(refused.status, 408 | 503) && (self.was_taken || !waits_for_somebody)
            }
            Failure::Unreachable { .. } => self.was_taken,
            Failure::Local(_) | Failure::Policy(..) | Failure::Usage(_) => false,
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(5);
