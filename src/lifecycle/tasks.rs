//! Tasks with a name, an owner and a way to be missed.

use std::{collections::HashMap, convert::Infallible, future::Future, time::Duration};

use tokio::{
    task::{self, JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Every long-lived task of the process. None of them may end before the drain begins.
#[derive(Debug)]
pub struct Tasks {
    running: JoinSet<()>,
    names: HashMap<task::Id, &'static str>,
    draining: CancellationToken,
    grace: Duration,
}

impl Tasks {
    /// No tasks yet. Those that come get `grace` to finish once the drain begins.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self {
            running: JoinSet::new(),
            names: HashMap::new(),
            draining: CancellationToken::new(),
            grace,
        }
    }

    /// Cancelled when the drain begins: take no new work, finish what is in flight, end.
    #[must_use]
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Starts a task. Ending or panicking before the drain begins ends the process.
    pub fn spawn(&mut self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(future).id();
        self.names.insert(id, name);
    }

    /// Starts a task that never ends by itself and has nothing to finish: it is dropped when the
    /// drain begins.
    pub fn spawn_endless(
        &mut self,
        name: &'static str,
        future: impl Future<Output = Infallible> + Send + 'static,
    ) {
        let draining = self.draining();
        self.spawn(name, async move {
            draining.run_until_cancelled(future).await;
        });
    }

    async fn finish(&mut self) {
        while let Some(end) = self.running.join_next_with_id().await {
            let (name, panicked) = self.forget(end);
            if panicked {
                error!(task.name = name, "The task {name} panicked while it was finishing");
            }
        }
    }

    /// Waits for whichever comes first: `stop`, or the end of a task.
    pub async fn first_end_or(&mut self, stop: impl Future<Output = ()>) -> Ended {
        let first_end = async {
            match self.running.join_next_with_id().await {
                Some(end) => end,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            () = stop => return Ended::Stopped,
            end = first_end => end,
        };
        let (name, panicked) = self.forget(end);
        let how = if panicked { "panicked" } else { "ended" };
        error!(task.name = name, "The task {name} {how}; the process cannot go on without it");
        Ended::TaskEnded { name, panicked }
    }

    /// Begins the drain and waits for every task up to the grace period; then aborts those that
    /// are left and names them.
    pub async fn drain(mut self) -> Result<(), StillRunning> {
        self.draining.cancel();
        if timeout(self.grace, self.finish()).await.is_ok() {
            info!("Every task has finished");
            return Ok(());
        }
        self.running.abort_all();
        let mut names: Vec<_> = self.names.into_values().collect();
        names.sort_unstable();
        Err(StillRunning { names, grace: self.grace })
    }

    fn forget(&mut self, end: Result<(task::Id, ()), JoinError>) -> (&'static str, bool) {
        let (id, panicked) = match end {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        (self.names.remove(&id).unwrap_or("unnamed"), panicked)
    }
}

/// Why the process stops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// A task that should run for ever did not.
    TaskEnded {
        /// The task's name.
        name: &'static str,
        /// Whether it panicked; else it returned.
        panicked: bool,
    },
}

impl Ended {
    /// Turns the early end of a task into an error.
    pub fn into_result(self) -> Result<(), EndedEarly> {
        match self {
            Self::Stopped => Ok(()),
            Self::TaskEnded { name, panicked: true } => Err(EndedEarly::Panicked(name)),
            Self::TaskEnded { name, panicked: false } => Err(EndedEarly::Returned(name)),
        }
    }
}

/// A task that should run for ever did not.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EndedEarly {
    /// It panicked.
    #[error("the task {0} panicked")]
    Panicked(&'static str),
    /// It returned.
    #[error("the task {0} ended before the process was asked to stop")]
    Returned(&'static str),
}

/// Tasks that did not finish within the grace period, and were aborted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("still running after the grace period of {grace:?}: {}", names.join(", "))]
pub struct StillRunning {
    /// Their names, sorted.
    pub names: Vec<&'static str>,
    /// How long they were waited for.
    pub grace: Duration,
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_task_that_ends_is_missed_by_name() {
        let mut tasks = Tasks::new(GRACE);
        tasks.spawn("feed", pending());
        tasks.spawn("http", ready(()));
        let ended = tasks.first_end_or(pending()).await;
        assert_eq!(ended, Ended::TaskEnded { name: "http", panicked: false });
        assert_eq!(ended.into_result(), Err(EndedEarly::Returned("http")));
    }

    #[tokio::test]
    async fn a_task_that_panics_is_told_from_one_that_returns() {
        let mut tasks = Tasks::new(GRACE);
        tasks.spawn("feed", async { panic!("for this test") });
        let ended = tasks.first_end_or(pending()).await;
        assert_eq!(ended, Ended::TaskEnded { name: "feed", panicked: true });
    }

    #[tokio::test]
    async fn without_tasks_only_the_stop_ends_the_wait() {
        let ended = Tasks::new(GRACE).first_end_or(ready(())).await;
        assert_eq!(ended.into_result(), Ok(()));
    }

    #[tokio::test]
    async fn a_drain_tells_every_task_and_waits_for_it() {
        let mut tasks = Tasks::new(GRACE);
        let draining = tasks.draining();
        tasks.spawn("http", async move {
            draining.cancelled().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        assert_eq!(tasks.first_end_or(ready(())).await, Ended::Stopped);
        assert_eq!(tasks.drain().await, Ok(()));
    }

    #[tokio::test]
    async fn an_endless_task_ends_with_the_drain() {
        let mut tasks = Tasks::new(GRACE);
        tasks.spawn_endless("feed", pending());
        assert_eq!(tasks.drain().await, Ok(()));
    }

    #[tokio::test]
    async fn a_drain_names_those_who_were_still_running() {
        let mut tasks = Tasks::new(Duration::from_millis(20));
        tasks.spawn("http", pending());
        tasks.spawn("feed", pending());
        tasks.spawn("sweep", ready(()));
        let left = tasks.drain().await.unwrap_err();
        assert_eq!(left.names, ["feed", "http"]);
        assert_eq!(left.to_string(), "still running after the grace period of 20ms: feed, http");
    }
}
