//! The decision log: a line for every deny and every answer left undecided, and for some of the
//! allows. The check hands over plain values and goes on; a task writes them.

mod collector;
mod line;
mod writer;

use std::sync::Arc;

use tokio::sync::mpsc::{self, error::TrySendError};

pub use self::{
    collector::Collector,
    line::{Decided, Masked},
    writer::{LogFile, Sink, Writer},
};
use super::{Metrics, label::LogLoss};
use crate::domain::Outcome;

/// What is done with a decision for which there is no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overflow {
    /// The check waits until there is.
    Block,
    /// It is not written, and counted.
    Drop,
}

/// Which decisions are written, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One in so many allows is written; none if it is 0.
    pub allows: u32,
    /// What is done with those for which there is no room.
    pub overflow: Overflow,
    /// What is left out of each line.
    pub masked: Vec<Masked>,
}

/// Where checks hand their decisions over. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DecisionLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: mpsc::Sender<Decided>,
    allows: u32,
    overflow: Overflow,
    metrics: Metrics,
}

impl DecisionLog {
    /// A log, and what writes it to `sink`.
    #[must_use]
    pub fn new(settings: Settings, sink: Sink, metrics: Metrics) -> (Self, Writer) {
        let Settings { allows, overflow, masked } = settings;
        let (queue, written) = mpsc::channel(QUEUE);
        let writer = Writer::new(written, sink, masked, metrics.clone());
        (Self(Arc::new(Inner { queue, allows, overflow, metrics })), writer)
    }

    /// Whether a decision with this outcome is to be written: asked for each, since of the allows
    /// it is left to chance.
    #[must_use]
    pub fn wants(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Allow => self.0.allows > 0 && fastrand::u32(..self.0.allows) == 0,
            Outcome::Deny | Outcome::Undecided => true,
        }
    }

    /// Hands a decision over. Gives it back where there is no room for it and the check waits
    /// until there is.
    #[must_use = "the check waits for it"]
    pub fn tell(&self, decided: Decided) -> Option<Untold> {
        let Inner { queue, overflow, metrics, .. } = &*self.0;
        match (queue.try_send(decided), overflow) {
            (Ok(()), _) => None,
            (Err(TrySendError::Full(decided)), Overflow::Block) => {
                Some(Untold { log: self.clone(), decided })
            }
            (Err(_), _) => {
                metrics.decisions_unlogged[LogLoss::Full].increment(1);
                None
            }
        }
    }
}

/// A decision for which the log has no room yet.
#[derive(Debug)]
pub struct Untold {
    log: DecisionLog,
    decided: Decided,
}

impl Untold {
    /// Hands it over once there is room.
    pub async fn tell(self) {
        let Inner { queue, metrics, .. } = &*self.log.0;
        if queue.send(self.decided).await.is_err() {
            metrics.decisions_unlogged[LogLoss::Full].increment(1);
        }
    }
}

/// How many decisions may wait to be written.
const QUEUE: usize = 8192;
