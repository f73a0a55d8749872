//! What a client over TLS does, by hand.

use std::{
    fs, io,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{raw::Raw, support::authority::Issued};

/// What a client trusts and shows.
pub(crate) fn client(authority: &str, shown: Option<&Issued>) -> Arc<ClientConfig> {
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(certificates(authority));
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authorities);
    Arc::new(match shown {
        Some(Issued { certificate, key }) => {
            let key = PrivateKeyDer::from_pem_file(key).unwrap();
            config.with_client_auth_cert(certificates(certificate), key).unwrap()
        }
        None => config.with_no_client_auth(),
    })
}

/// The certificates in a file.
pub(crate) fn certificates(path: &str) -> Vec<CertificateDer<'static>> {
    let pem = fs::read(path).unwrap();
    CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).collect()
}

/// A connection to a listener over TLS.
#[derive(Clone)]
pub(crate) struct Encrypted(Arc<Mutex<StreamOwned<ClientConnection, TcpStream>>>);

impl Encrypted {
    /// Connects, and asks for `protocols`.
    pub(crate) fn connect(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        protocols: &[&str],
    ) -> io::Result<Self> {
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = address.ip().into();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(Self(Arc::new(Mutex::new(StreamOwned::new(session, stream)))))
    }

    /// The protocol that both agreed on.
    pub(crate) fn protocol(&self) -> Option<String> {
        let stream = self.0.lock().unwrap();
        stream.conn.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap())
    }

    /// The certificates that it was shown.
    pub(crate) fn shown(&self) -> Vec<CertificateDer<'static>> {
        self.0.lock().unwrap().conn.peer_certificates().unwrap().to_vec()
    }

    /// To ask on it.
    pub(crate) fn raw(&self) -> Raw {
        Raw::over(self.clone(), self.clone())
    }
}

impl Read for Encrypted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap().read(buffer)
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().flush()
    }
}
