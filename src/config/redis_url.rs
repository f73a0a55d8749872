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
    /// Whether connections are encrypted, those to sentinels too.
    pub encryption: Encryption,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encryption {
    /// They are not.
    Plain,
    /// By TLS.
    Tls,
}

/// Where a store in Redis is.
#[derive(Clone, Debug)]
pub enum RedisServers {
    /// On the masters of a cluster, of which these are some nodes.
    Cluster(Vec<Host>),
    /// Where sentinels say it is.
    Sentinels {
        /// The sentinels, at least one.
        sentinels: Vec<Host>,
        /// Who this instance is to them.
        login: RedisLogin,
        /// What they call the master.
        master: String,
    },
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
    pub(super) fn server(rest: &str, encryption: Encryption) -> Result<Self, InvalidStoreUrl> {
        let rest = rest.strip_prefix("//").ok_or(InvalidStoreUrl::Form)?;
        let (login, server) = split_login(rest)?;
        let (host, database) = server.split_once('/').unwrap_or((server, ""));
        let servers = RedisServers::Single(host.parse()?);
        Ok(Self { servers, login, database: database_number(database)?, encryption })
    }

    /// Reads `//[user[:password]@]host[:port][,..]/master[?db=N&sentinelUser=..&..]`.
    pub(super) fn sentinels(rest: &str, encryption: Encryption) -> Result<Self, InvalidStoreUrl> {
        let rest = rest.strip_prefix("//").ok_or(InvalidStoreUrl::Form)?;
        let (login, rest) = split_login(rest)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, master) = rest.split_once('/').ok_or(InvalidStoreUrl::Form)?;
        // The names that a sentinel takes.
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if master.is_empty() || !master.bytes().all(of_name) {
            return Err(InvalidStoreUrl::Form);
        }
        let sentinels = hosts.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let (mut of_sentinels, mut database) = (RedisLogin::default(), 0);
        for (name, value) in pairs(query) {
            match name {
                "db" => database = database_number(value)?,
                "sentinelPassword" => of_sentinels.password = Some(Secret::new(decoded(value)?)),
                "sentinelUser" => of_sentinels.user = Some(decoded(value)?),
                _ => return Err(InvalidStoreUrl::Form),
            }
        }
        let master = master.to_owned();
        let servers = RedisServers::Sentinels { sentinels, login: of_sentinels, master };
        Ok(Self { servers, login, database, encryption })
    }

    /// Reads `//[user[:password]@]host[:port][,..][/0]`.
    pub(super) fn cluster(rest: &str, encryption: Encryption) -> Result<Self, InvalidStoreUrl> {
        let rest = rest.strip_prefix("//").ok_or(InvalidStoreUrl::Form)?;
        let (login, nodes) = split_login(rest)?;
        let (nodes, database) = nodes.split_once('/').unwrap_or((nodes, ""));
        if database_number(database)? != 0 {
            return Err(InvalidStoreUrl::ClusterDatabase);
        }
        let nodes = nodes.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { servers: RedisServers::Cluster(nodes), login, database: 0, encryption })
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
        let servers = RedisServers::Socket(path.into());
        Ok(Self { servers, login, database, encryption: Encryption::Plain })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers, login, database, encryption } = self;
        let scheme = match encryption {
            Encryption::Plain => "redis",
            Encryption::Tls => "rediss",
        };
        let db = (*database != 0).then(|| format!("db={database}"));
        match servers {
            RedisServers::Cluster(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(Host::to_string).collect();
                write!(f, "{scheme}+cluster://{login}{}", nodes.join(","))
            }
            RedisServers::Sentinels { sentinels, login: of_sentinels, master } => {
                let sentinels: Vec<_> = sentinels.iter().map(Host::to_string).collect();
                write!(f, "{scheme}+sentinel://{login}{}/{master}", sentinels.join(","))?;
                write_query(f, db, of_sentinels, ["sentinelUser", "sentinelPassword"])
            }
            RedisServers::Single(host) => {
                write!(f, "{scheme}://{login}{host}")?;
                if *database == 0 { Ok(()) } else { write!(f, "/{database}") }
            }
            RedisServers::Socket(path) => {
                write!(f, "{scheme}+unix://{}", path.display())?;
                write_query(f, db, login, ["user", "pass"])
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
            _ if bare.is_empty() || bare.contains(['/', '?', '@', ',']) => {
                Err(InvalidStoreUrl::Form)
            }
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

fn write_query(
    f: &mut fmt::Formatter<'_>,
    db: Option<String>,
    login: &RedisLogin,
    [user, password]: [&str; 2],
) -> fmt::Result {
    let user = login.user.as_ref().map(|name| format!("{user}={name}"));
    let password = login.password.as_ref().map(|secret| format!("{password}={secret}"));
    for (place, pair) in [db, user, password].iter().flatten().enumerate() {
        write!(f, "{}{pair}", if place == 0 { '?' } else { '&' })?;
    }
    Ok(())
}
