//! Serves a router on a socket until the drain, then finishes what is in flight.

mod tls;

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub use self::tls::Encryption;
use crate::telemetry::{Listener, Metrics, event::HandshakeFailed};

/// What is served on, and how.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Which listener it is.
    pub listener: Listener,
    /// What its connections are encrypted with, if they are.
    pub encryption: Option<Encryption>,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// A socket that is bound, and served later: so that a taken port fails before anything is built.
#[derive(Debug)]
pub enum Socket {
    /// A TCP port.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Serves HTTP/1.1 and HTTP/2 with prior knowledge on `socket` until `draining`, then lets every
/// connection finish what it has begun.
pub async fn serve(socket: Socket, manner: Manner, router: Router, draining: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let guest = Guest { manner, router, draining };
    loop {
        tokio::select! {
            biased;
            () = guest.draining.cancelled() => break,
            () = accept(&socket, &guest, &graceful) => {}
        }
    }
    drop(socket);
    graceful.shutdown().await;
}

async fn accept(socket: &Socket, guest: &Guest, graceful: &GracefulShutdown) {
    let accepted = match socket {
        Socket::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "A connection stays without TCP_NODELAY");
            }
            tokio::spawn(guest.clone().receive(stream, Some(peer), graceful.watcher()));
        }),
        Socket::Unix(listener) => listener.accept().await.map(|(stream, _)| {
            tokio::spawn(guest.clone().receive(stream, None, graceful.watcher()));
        }),
    };
    if let Err(error) = accepted {
        // Out of file descriptors, most likely: others are given back meanwhile.
        tracing::warn!(%error, "A connection could not be accepted: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What each connection is received with.
#[derive(Clone)]
struct Guest {
    manner: Manner,
    router: Router,
    draining: CancellationToken,
}

impl Guest {
    /// Encrypts a connection, if that is to be, and converses on it to its end.
    async fn receive(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: Option<SocketAddr>,
        watcher: Watcher,
    ) {
        let Manner { listener, encryption, metrics } = self.manner;
        let Some(encryption) = encryption else {
            return converse(stream, peer, self.router, watcher).await;
        };
        // Who has asked nothing yet has nothing to finish.
        match self.draining.run_until_cancelled(encryption.begin(stream)).await {
            Some(Ok(stream)) => converse(stream, peer, self.router, watcher).await,
            Some(Err(why)) => HandshakeFailed { listener, why: &why }.emit(&metrics),
            None => {}
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: Option<SocketAddr>,
    router: Router,
    watcher: Watcher,
) {
    let service = router.map_request(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer));
        }
        request.map(Body::new)
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(HEADERS_AT_MOST)
        .max_headers(HEADER_LINES_AT_MOST);
    server
        .http2()
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(1024)
        .max_header_list_size(u32::try_from(HEADERS_AT_MOST).unwrap_or(u32::MAX));
    let connection =
        server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%error, "A connection ended: {error}");
    }
}

/// Longer than any gateway keeps an idle connection (Traefik 90 s), so that it is never Tollgate
/// that closes one on which a request is under way. It also ends a client that sends its headers
/// byte by byte.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// A block of headers over this is answered 431.
const HEADERS_AT_MOST: usize = 64 * 1024 + 8 * 1024;
/// More lines than this are answered 431. hyper's own 100 are fewer than some gateways pass on.
const HEADER_LINES_AT_MOST: usize = 256;
