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
    /// What every key begins with.
    pub key_prefix: String,
}

/// Where a store is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Servers {
    /// On the masters of a cluster, of which these are some nodes.
    Cluster(Vec<Server>),
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
        let password = self.password.as_ref().map(|_| "***");
        f.debug_struct("Login").field("user", &self.user).field("password", &password).finish()
    }
}
