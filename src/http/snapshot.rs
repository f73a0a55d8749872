//! `GET /v1/snapshot`: the restricted set of this instance, for another one that starts while the
//! store is away.

use std::io::{self, Write};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use super::{
    OperatorPlane, authenticate, openapi::refusals::Turn, operator::READS, problem::Problem,
};
use crate::feed::snapshot_file::{Cut, Source};

/// The restricted customers and the digests of keys, for an instance that starts while the store is
/// away.
#[utoipa::path(
    get,
    path = "/v1/snapshot",
    tag = "Changes",
    operation_id = "readSnapshot",
    security(("bearer" = ["viewer"])),
    responses(
        (
            status = 200,
            description = "As the snapshot file holds them. A text without its last line was broken \
                off.",
            body = String,
            content_type = "text/plain",
            headers(("Cache-Control" = String, description = "`no-store`.")),
        ),
        Turn,
    ),
)]
pub(super) async fn read(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let actor = authenticate::actor(&plane.operators, &request)?;
    actor.require(READS)?;
    authenticate::every_tenant(&actor, "a snapshot")?;
    let turn = TURNS.try_acquire().map_err(|_| {
        let message = "other snapshots are being read; ask again later";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message)
    })?;
    let control = &plane.operators.control;
    let source = Source {
        cache: control.cache.clone(),
        keyring: control.keyring.clone(),
        clock: control.clock.clone(),
    };
    let cut = source.cut().map_err(|why| {
        let message = format!("there is no snapshot to give: {why}");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "STORE_UNREACHABLE", message)
    })?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, stream_of(cut, turn)).into_response())
}

/// The text as it is made, a part at a time. Whoever reads slowly holds up nobody but the thread
/// that makes it, and one that ends early leaves a text without its end.
fn stream_of(cut: Cut, turn: SemaphorePermit<'static>) -> Body {
    let (sender, parts) = mpsc::channel(PARTS_HELD);
    tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(PART_BYTES, Parts(sender));
        if let Err(error) = cut.write(&mut out).and_then(|_| out.flush()) {
            tracing::debug!(%error, "Whoever read a snapshot has gone: {error}");
        }
        drop(turn);
    });
    Body::from_stream(stream::unfold(parts, async |mut parts| {
        let part: Bytes = parts.recv().await?;
        Some((Ok::<_, io::Error>(part), parts))
    }))
}

struct Parts(mpsc::Sender<Bytes>);

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = Bytes::copy_from_slice(bytes);
        self.0.blocking_send(part).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each takes a thread for as long as it is read.
static TURNS: Semaphore = Semaphore::const_new(4);
const PART_BYTES: usize = 64 * 1024;
const PARTS_HELD: usize = 4;
