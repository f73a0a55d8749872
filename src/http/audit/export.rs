//! Every entry that is wanted, a line of JSON each.
//!
//! The last line is `{"end":true,"entries":N}`. Whoever does not read it has not read everything.

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    super::{OperatorPlane, problem::Problem},
    Shown, Wanted,
};
use crate::store::{AuditCursor, StoreError};

/// Answers with lines, read page by page as they are taken. Where not even the first can be read,
/// the answer says so.
pub(super) async fn export(
    plane: OperatorPlane,
    wanted: Wanted,
    before: Option<AuditCursor>,
) -> Result<Response, Problem> {
    let turn = TURNS.try_acquire().map_err(|_| {
        let message = "others export already, as many as may; ask again later";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message)
    })?;
    let next = Next::Before(before);
    let mut export = Export { plane, wanted, waiting: None, next, told: 0, _turn: turn };
    export.waiting = export.page().await.map_err(Problem::store_unreachable)?;
    let pages = stream::try_unfold(export, async |mut export| {
        let page = match export.waiting.take() {
            Some(page) => Ok(Some(page)),
            None => export.page().await,
        };
        let page = page.inspect_err(|error| {
            tracing::warn!(%error, "An export of the audit trail is broken off: {error}");
        })?;
        Ok::<_, Broken>(page.map(|page| (page, export)))
    });
    let kind = [(header::CONTENT_TYPE, KIND)];
    Ok((kind, Body::from_stream(pages)).into_response())
}

struct Export {
    plane: OperatorPlane,
    wanted: Wanted,
    /// Lines that nobody took yet.
    waiting: Option<Bytes>,
    next: Next,
    /// How many entries were told.
    told: u64,
    _turn: SemaphorePermit<'static>,
}

enum Next {
    /// What is before this entry.
    Before(Option<AuditCursor>),
    /// The last line.
    End,
    Nothing,
}

/// Why it does not come to its end.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("this instance is about to stop")]
    Draining,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unspeakable(#[from] serde_json::Error),
}

impl Export {
    /// The next lines, whole ones.
    async fn page(&mut self) -> Result<Option<Bytes>, Broken> {
        let mut lines = Vec::new();
        while lines.is_empty() {
            let before = match std::mem::replace(&mut self.next, Next::Nothing) {
                Next::Before(before) => before,
                Next::End => {
                    line(&mut lines, &End { end: true, entries: self.told })?;
                    break;
                }
                Next::Nothing => return Ok(None),
            };
            if self.plane.draining.is_cancelled() {
                return Err(Broken::Draining);
            }
            let control = &self.plane.operators.control;
            let found = self.wanted.read(control, before, AT_ONCE).await?;
            for stored in found.entries {
                line(&mut lines, &Shown::of(control, stored))?;
                self.told += 1;
            }
            self.next = found.next.map_or(Next::End, |next| Next::Before(Some(next)));
        }
        Ok(Some(lines.into()))
    }
}

fn line(lines: &mut Vec<u8>, told: &impl Serialize) -> Result<(), Broken> {
    serde_json::to_writer(&mut *lines, told)?;
    lines.push(b'\n');
    Ok(())
}

#[derive(Serialize)]
struct End {
    end: bool,
    entries: u64,
}

pub(super) const KIND: &str = "application/x-ndjson";
const AT_ONCE: usize = 200;
/// Each reads as much as the store gives.
static TURNS: Semaphore = Semaphore::const_new(4);
