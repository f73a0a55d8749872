//! The URL of a store in Redis or Valkey, taken apart. It is shown without its passwords.

use std::{fmt, path::PathBuf};

use percent_encoding::percent_decode_str;

use super::{InvalidStoreUrl, Secret};

/// Where a store in Redis is, and who this instance is there.
#[derive(Clone, Debug)]
pub struct RedisUrl {
    /// Where it is.
    pub servers: RedisServers,
    /// Who this instance is there.
    pub login: RedisLogin,
    /// The number of the database.
    pub database: u32,
}

/// Where a store in Redis is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RedisServers {
    /// On the masters of a cluster, of which these are some nodes.
    Cluster(Vec<Host>),
    /// On one server.
    Single(Host),
    /// On one server, at its unix socket.
    Socket(PathBuf),
}

/// A server as it was named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host {
    /// Its name or IP address; an IPv6 address without brackets.
    pub name: String,
    /// Its port, if it was named too.
    pub port: Option<u16>,
}

/// A user's name and password, as far as they were given.
#[derive(Clone, Debug, Default)]
pub struct RedisLogin {
    /// The name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
}

impl RedisUrl {
    /// Reads `//[user[:password]@]host[:port][/db]`.
    pub(super) fn server(rest: &str) -> Result<Self, InvalidStoreUrl> {
        let rest = rest.strip_prefix("//").ok_or(InvalidStoreUrl::Form)?;
        let (login, server) = split_login(rest)?;
        let (host, database) = server.split_once('/').unwrap_or((server, ""));
        let servers = RedisServers::Single(host.parse()?);
        Ok(Self { servers, login, database: database_number(database)? })
    }

    /// Reads `//[user[:password]@]host[:port][,..][/0]`.
    pub(super) fn cluster(rest: &str) -> Result<Self, InvalidStoreUrl> {
        let rest = rest.strip_prefix("//").ok_or(InvalidStoreUrl::Form)?;
        let (login, nodes) = split_login(rest)?;
        let (nodes, database) = nodes.split_once('/').unwrap_or((nodes, ""));
        if database_number(database)? != 0 {
            return Err(InvalidStoreUrl::ClusterDatabase);
        }
        let nodes = nodes.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { servers: RedisServers::Cluster(nodes), login, database: 0 })
    }

    /// Reads `///path[?db=N&user=..&pass=..]`.
    pub(super) fn socket(rest: &str) -> Result<Self, InvalidStoreUrl> {
        let rest = rest.strip_prefix("//").ok_or(InvalidStoreUrl::Form)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !path.starts_with('/') || path.len() == 1 {
            return Err(InvalidStoreUrl::Form);
        }
        let (mut login, mut database) = (RedisLogin::default(), 0);
        for (name, value) in pairs(query) {
            match name {
                "db" => database = database_number(value)?,
                "user" => login.user = Some(decoded(value)?),
                "pass" => login.password = Some(Secret::new(decoded(value)?)),
                _ => return Err(InvalidStoreUrl::Form),
            }
        }
        Ok(Self { servers: RedisServers::Socket(path.into()), login, database })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers, login, database } = self;
        match servers {
            RedisServers::Cluster(nodes) => {
                write!(f, "redis+cluster://{login}")?;
                for (place, node) in nodes.iter().enumerate() {
                    write!(f, "{}{node}", if place == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            RedisServers::Single(host) => {
                write!(f, "redis://{login}{host}")?;
                if *database == 0 { Ok(()) } else { write!(f, "/{database}") }
            }
            RedisServers::Socket(path) => {
                write!(f, "redis+unix://{}", path.display())?;
                let database = (*database != 0).then(|| format!("db={database}"));
                let user = login.user.as_ref().map(|user| format!("user={user}"));
                let password = login.password.as_ref().map(|password| format!("pass={password}"));
                write_query(f, [database, user, password])
            }
        }
    }
}

impl std::str::FromStr for Host {
    type Err = InvalidStoreUrl;

    fn from_str(raw: &str) -> Result<Self, InvalidStoreUrl> {
        let (name, port) = match raw.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (raw, None),
        };
        let port = port.map(|port| port.parse().ok().filter(|port| *port > 0));
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match port {
            _ if bare.is_empty() || bare.contains(['/', '?', '@']) => Err(InvalidStoreUrl::Form),
            Some(None) => Err(InvalidStoreUrl::Form),
            port => Ok(Self { name: bare.to_owned(), port: port.flatten() }),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]", self.name)?;
        } else {
            f.write_str(&self.name)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for RedisLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_deref().unwrap_or_default();
        match &self.password {
            Some(password) => write!(f, "{user}:{password}@"),
            None if self.user.is_some() => write!(f, "{user}@"),
            None => Ok(()),
        }
    }
}

fn split_login(authority: &str) -> Result<(RedisLogin, &str), InvalidStoreUrl> {
    let Some((login, rest)) = authority.rsplit_once('@') else {
        return Ok((RedisLogin::default(), authority));
    };
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(decoded(password)?)),
        None => (login, None),
    };
    let user = if user.is_empty() { None } else { Some(decoded(user)?) };
    Ok((RedisLogin { user, password: password.map(Secret::new) }, rest))
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn database_number(raw: &str) -> Result<u32, InvalidStoreUrl> {
    if raw.is_empty() { Ok(0) } else { raw.parse().map_err(|_| InvalidStoreUrl::Form) }
}

fn decoded(raw: &str) -> Result<String, InvalidStoreUrl> {
    let text = percent_decode_str(raw).decode_utf8().map_err(|_| InvalidStoreUrl::Form)?;
    Ok(text.into_owned())
}

fn write_query<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    pairs: [Option<String>; N],
) -> fmt::Result {
    for (place, pair) in pairs.iter().flatten().enumerate() {
        write!(f, "{}{pair}", if place == 0 { '?' } else { '&' })?;
    }
    Ok(())
}
