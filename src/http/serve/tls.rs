//! The encryption of a listener's connections.

use std::{io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What connections are encrypted with from now on. A clone is the same.
#[derive(Clone, Debug)]
pub struct Encryption(Arc<ArcSwap<ServerConfig>>);

impl Encryption {
    /// Begins with `config`.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(ArcSwap::new(config)))
    }

    /// Encrypts those that come from now on with `config`. The others go on as they are.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.0.store(config);
    }

    /// Encrypts a connection that has just come.
    pub(super) async fn begin<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = TlsAcceptor::from(self.0.load_full()).accept(stream);
        timeout(HANDSHAKE_TIMEOUT, handshake).await.unwrap_or_else(|_| {
            let why = format!("the handshake took longer than {HANDSHAKE_TIMEOUT:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        })
    }
}

/// Whoever has not shown by then who it is, will not.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
