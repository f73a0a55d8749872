//! What has to be known to reach a store in Redis.

use std::{fmt, path::PathBuf};

/// Where a store in Redis is, and how to speak to it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub servers: Servers,
    /// Who this instance is there.
    pub login: Login,
    /// The number of the database.
    pub database: u32,
    /// How connections are encrypted, if they are: those to sentinels too.
    pub tls: Option<Tls>,
    /// What every key begins with.
    pub key_prefix: String,
}

/// Where a store is.
#[derive(Clone, Debug)]
pub enum Servers {
    /// On the masters of a cluster, of which these are some nodes.
    Cluster(Vec<Server>),
    /// Where sentinels say it is.
    Sentinels {
        /// The sentinels.
        sentinels: Vec<Server>,
        /// Who this instance is to them.
        login: Login,
        /// What they call the master.
        master: String,
    },
    /// On one server.
    Single(Server),
    /// On one server, at its unix socket.
    Socket(PathBuf),
}

/// One server's address.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Server {
    /// Its name or IP address; an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// A user's name and password, as far as they are needed. The password is not shown.
#[derive(Clone, Default)]
pub struct Login {
    /// The name; the server's default user without one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| REDACTED);
        f.debug_struct("Login").field("user", &self.user).field("password", &password).finish()
    }
}

/// Whom an encrypted connection trusts, and how it proves who it is.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The authorities that are trusted, in PEM; those of the operating system without it.
    pub authorities: Option<Vec<u8>>,
    /// The certificate of this instance, if servers ask for one.
    pub identity: Option<Identity>,
}

/// A certificate and its key, in PEM. The key is not shown.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, and those that lead to its authority.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("key", &REDACTED).finish_non_exhaustive()
    }
}

const REDACTED: &str = "***";
