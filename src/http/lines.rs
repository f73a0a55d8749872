//! Answers that are as long as there is something to tell: a line of JSON for each.
//!
//! The last line is `{"end":true,"<what>":N}`. Whoever does not read it has not read everything.

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use crate::store::StoreError;

/// Something that is told line by line.
pub(super) trait Told: Send + 'static {
    /// What the lines are, as the last one counts them.
    const WHAT: &'static str;

    /// Writes the next lines, if there are any: few enough to be held at once.
    fn tell(&mut self, lines: &mut Lines) -> impl Future<Output = Result<More, Broken>> + Send;
}

/// Whether there may be more to tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum More {
    /// There may be.
    Maybe,
    /// There is none.
    None,
}

/// Lines that nobody took yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    count: u64,
}

impl Lines {
    /// One line more.
    pub(super) fn push(&mut self, told: &impl Serialize) -> Result<(), Broken> {
        self.line(told)?;
        self.count += 1;
        Ok(())
    }

    fn line(&mut self, told: &impl Serialize) -> Result<(), Broken> {
        serde_json::to_writer(&mut self.bytes, told)?;
        self.bytes.push(b'\n');
        Ok(())
    }
}

/// Why it does not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("this instance is about to stop")]
    Draining,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unspeakable(#[from] serde_json::Error),
}

/// Answers with lines, read as they are taken until this instance is `draining`. Where not even the
/// first can be read, the answer says so.
pub(super) async fn answer(
    told: impl Told,
    draining: CancellationToken,
) -> Result<Response, Problem> {
    let turn = TURNS.try_acquire().map_err(|_| {
        let message = "others export already, as many as may; ask again later";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message)
    })?;
    let (more, waiting) = (Some(More::Maybe), None);
    let mut export = Export { told, draining, waiting, more, count: 0, _turn: turn };
    export.waiting = export.next().await.map_err(Problem::store_unreachable)?;
    let pages = stream::try_unfold(export, async |mut export| {
        let page = match export.waiting.take() {
            Some(page) => Ok(Some(page)),
            None => export.next().await,
        };
        let page = page.inspect_err(|error| {
            tracing::warn!(%error, "An export is broken off: {error}");
        })?;
        Ok::<_, Broken>(page.map(|page| (page, export)))
    });
    Ok(([(header::CONTENT_TYPE, KIND)], Body::from_stream(pages)).into_response())
}

struct Export<T> {
    told: T,
    draining: CancellationToken,
    /// Lines that nobody took yet.
    waiting: Option<Bytes>,
    /// Whether there is more to tell; nothing once the last line is told.
    more: Option<More>,
    count: u64,
    _turn: SemaphorePermit<'static>,
}

impl<T: Told> Export<T> {
    /// The next lines, whole ones.
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        let mut lines = Lines::default();
        while lines.bytes.is_empty() {
            match self.more {
                Some(More::Maybe) if self.draining.is_cancelled() => return Err(Broken::Draining),
                Some(More::Maybe) => self.more = Some(self.told.tell(&mut lines).await?),
                Some(More::None) => {
                    lines.line(&json!({ "end": true, T::WHAT: self.count }))?;
                    self.more = None;
                }
                None => return Ok(None),
            }
        }
        self.count += lines.count;
        Ok(Some(lines.bytes.into()))
    }
}

pub(super) const KIND: &str = "application/x-ndjson";
/// Each reads as much as the store gives.
static TURNS: Semaphore = Semaphore::const_new(4);
