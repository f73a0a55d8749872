//! Answers what is asked on a socket until the drain, then finishes what is in flight.

mod connection;
mod heads;
mod limits;
mod patience;
mod reply;
mod tls;

use std::{future::pending, io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::connection::converse;
pub use self::{
    heads::{ByHead, Head, Parsed, parse},
    reply::{Answers, Reply, ResponseFuture, at_once, later, route},
    tls::Encryption,
};
use crate::telemetry::{
    Listener, Metrics,
    event::{HandshakeFailed, ListenerFull},
};

/// How a socket is served.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Which listener it is.
    pub listener: Listener,
    /// What its connections are encrypted with, if they are.
    pub encryption: Option<Encryption>,
    /// How many connections it has at once. Those beyond wait until one ends.
    pub connections_at_most: NonZeroUsize,
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
pub async fn serve(
    socket: Socket,
    manner: Manner,
    answers: impl Answers,
    draining: CancellationToken,
) {
    let slots = Slots::new(&manner);
    let host = Host { manner, answers, draining };
    let connections = TaskTracker::new();
    loop {
        // Who finds no slot waits in the socket's queue, and is not accepted to be forgotten.
        let next = async {
            let slot = slots.next().await;
            (accept(&socket).await, slot)
        };
        let (accepted, slot) = tokio::select! {
            biased;
            () = host.draining.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok(Accepted::Tcp(stream, peer)) => {
                connections.spawn(host.clone().receive(stream, Some(peer), slot));
            }
            Ok(Accepted::Unix(stream)) => {
                connections.spawn(host.clone().receive(stream, None, slot));
            }
            Err(error) => {
                // Out of file descriptors, most likely: others are given back meanwhile.
                tracing::warn!(%error, "A connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(socket);
    connections.close();
    connections.wait().await;
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

async fn accept(socket: &Socket) -> io::Result<Accepted> {
    Ok(match socket {
        Socket::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "A connection stays without TCP_NODELAY");
            }
            Accepted::Tcp(stream, peer)
        }
        Socket::Unix(listener) => Accepted::Unix(listener.accept().await?.0),
    })
}

/// What each connection is received with.
#[derive(Clone)]
struct Host<A> {
    manner: Manner,
    answers: A,
    draining: CancellationToken,
}

impl<A: Answers> Host<A> {
    /// Encrypts a connection, if that is to be, and converses on it to its end. It has its slot
    /// until then.
    async fn receive(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: Option<SocketAddr>,
        _slot: OwnedSemaphorePermit,
    ) {
        let Self { manner: Manner { listener, encryption, metrics, .. }, answers, draining } = self;
        let _open = metrics.connections[listener].one();
        let Some(encryption) = encryption else {
            return converse(stream, peer, answers, draining).await;
        };
        // Who has asked nothing yet has nothing to finish.
        match draining.run_until_cancelled(encryption.begin(stream)).await {
            Some(Ok(stream)) => converse(stream, peer, answers, draining).await,
            Some(Err(why)) => HandshakeFailed { listener, why: &why }.emit(&metrics),
            None => {}
        }
    }
}

/// Room for as many connections as there may be at once.
struct Slots {
    free: Arc<Semaphore>,
    at_most: NonZeroUsize,
    listener: Listener,
    metrics: Metrics,
}

impl Slots {
    fn new(manner: &Manner) -> Self {
        let Manner { listener, connections_at_most: at_most, ref metrics, .. } = *manner;
        let free = Arc::new(Semaphore::new(at_most.get().min(Semaphore::MAX_PERMITS)));
        Self { free, at_most, listener, metrics: metrics.clone() }
    }

    /// Waits until there is room for one more.
    async fn next(&self) -> OwnedSemaphorePermit {
        let free = Arc::clone(&self.free);
        if free.available_permits() == 0 {
            let Self { at_most, listener, .. } = *self;
            ListenerFull { listener, connections: at_most.get() }.emit(&self.metrics);
        }
        match free.acquire_owned().await {
            Ok(slot) => slot,
            // It is never closed.
            Err(_) => pending().await,
        }
    }
}
