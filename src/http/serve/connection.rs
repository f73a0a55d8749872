//! One connection, from its first request to its last answer.

use std::{convert::Infallible, iter, net::SocketAddr, pin::pin, sync::Arc, task::Context};

use axum::http::{HeaderValue, Request, header};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{
    Answers, heads,
    limits::{
        BODIES_AHEAD, BODY_AHEAD, BROKEN_AT_MOST, HEADER_LINES_AT_MOST, HEADERS_AT_MOST,
        PING_EVERY, PING_TIMEOUT, STREAMS_AT_MOST, TAKEN_BACK_AT_MOST,
    },
    patience::{Activity, Patient},
};

/// Answers what is asked on `stream`, in HTTP/1.1 or HTTP/2 with prior knowledge. Once `draining`,
/// or when nothing was asked for a while, what has begun is finished and nothing more is taken.
pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: Option<SocketAddr>,
    answers: impl Answers,
    draining: CancellationToken,
) {
    let activity = Arc::<Activity>::default();
    let mut stream = Patient::new(stream, Arc::clone(&activity));
    let idle = Arc::clone(&activity);
    let over = async move {
        tokio::select! {
            () = draining.cancelled() => {}
            () = idle.idle() => {}
        }
    };
    // Polled only when it was woken itself, and not whenever something was read.
    let mut over: FuturesUnordered<_> = iter::once(over).collect();
    if answers.answers_heads() {
        let is_over =
            |context: &mut Context<'_>| over.poll_next_unpin(context).is_ready() || over.is_empty();
        match heads::converse(&mut stream, &answers, &activity, is_over).await {
            Ok(Some(read)) => stream.give_back(read),
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "A connection ended: {error}"),
        }
    }
    let stream = TokioIo::new(stream);
    let service = service_fn(|request: Request<Incoming>| {
        let turn = activity.begin();
        let is_in_pieces = request.headers().contains_key(header::TRANSFER_ENCODING);
        let answer = answers.answer(request, peer);
        async move {
            let mut answer = answer.await;
            drop(turn);
            if is_in_pieces {
                // A length beside it, which the library leaves out, says something else of where
                // the next request begins. So there is none.
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let server = server();
    let mut connection = pin!(server.serve_connection(stream, service));
    let ended = tokio::select! {
        // What was given back is read before anything ends.
        biased;
        ended = connection.as_mut() => ended,
        _ = over.next() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "A connection ended: {error}");
    }
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        // The stream itself is not waited for for ever.
        .header_read_timeout(None)
        .max_buf_size(HEADERS_AT_MOST)
        .max_headers(HEADER_LINES_AT_MOST);
    server
        .http2()
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(BODY_AHEAD)
        .initial_connection_window_size(BODIES_AHEAD)
        .max_concurrent_streams(STREAMS_AT_MOST)
        .max_pending_accept_reset_streams(TAKEN_BACK_AT_MOST)
        .max_local_error_reset_streams(BROKEN_AT_MOST)
        .max_header_list_size(u32::try_from(HEADERS_AT_MOST).unwrap_or(u32::MAX));
    server
}

#[cfg(test)]
mod tests;
