//! Where records live, as `--store` says it.

use std::{ffi::OsStr, fmt, path::PathBuf, str::FromStr};

use clap::{Arg, Command, builder::TypedValueParser, error::ErrorKind};

use super::redis_url::{Encryption, RedisUrl};

/// Where records live.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// A file of this process's own; relative to the data directory.
    File(PathBuf),
    /// Memory, gone with the process.
    Memory,
    /// Redis or Valkey.
    Redis(RedisUrl),
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(raw: &str) -> Result<Self, InvalidStoreUrl> {
        let (scheme, rest) = raw.split_once(':').ok_or(InvalidStoreUrl::Form)?;
        match scheme {
            "file" if rest.is_empty() => Err(InvalidStoreUrl::Form),
            "file" => Ok(Self::File(rest.strip_prefix("//").unwrap_or(rest).into())),
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "redis" => RedisUrl::server(rest, Encryption::Plain).map(Self::Redis),
            "rediss" => RedisUrl::server(rest, Encryption::Tls).map(Self::Redis),
            "redis+sentinel" => RedisUrl::sentinels(rest, Encryption::Plain).map(Self::Redis),
            "rediss+sentinel" => RedisUrl::sentinels(rest, Encryption::Tls).map(Self::Redis),
            "redis+unix" => RedisUrl::socket(rest).map(Self::Redis),
            "redis+cluster" => RedisUrl::cluster(rest, Encryption::Plain).map(Self::Redis),
            "rediss+cluster" => RedisUrl::cluster(rest, Encryption::Tls).map(Self::Redis),
            _ => Err(InvalidStoreUrl::Form),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
            Self::Redis(url) => url.fmt(f),
        }
    }
}

/// Reads a [`StoreUrl`] without repeating it in the error, as clap would: it may hold a password.
#[derive(Clone, Debug)]
pub(super) struct Parser;

impl TypedValueParser for Parser {
    type Value = StoreUrl;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<StoreUrl, clap::Error> {
        let read = value.to_str().ok_or(InvalidStoreUrl::Form).and_then(str::parse);
        read.map_err(|error| {
            let name = arg.map(ToString::to_string).unwrap_or_default();
            let message = format!("invalid value for '{name}': {error}");
            command.clone().error(ErrorKind::ValueValidation, message)
        })
    }
}

/// Text that names no store. It is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidStoreUrl {
    /// A number that no database of a cluster has.
    #[error("a cluster has one database, number 0; redis+cluster:// names no other")]
    ClusterDatabase,
    /// Not one of the forms.
    #[error(
        "a store must be file:PATH, memory:, redis[s]://[USER:PASSWORD@]HOST[:PORT][/DB], \
         redis[s]+sentinel://[USER:PASSWORD@]HOST[:PORT],.../MASTER[?db=N], \
         redis[s]+cluster://[USER:PASSWORD@]HOST[:PORT],... or redis+unix:///PATH[?db=N]"
    )]
    Form,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(raw: &str) -> Result<String, InvalidStoreUrl> {
        raw.parse::<StoreUrl>().map(|url| format!("{url}"))
    }

    #[test]
    fn every_supported_form_is_read_and_shown_again() {
        for raw in [
            "file:tollgate.redb",
            "file:/var/lib/tollgate/tollgate.redb",
            "memory:",
            "redis://redis",
            "redis://redis:6379/3",
            "redis://[::1]:6379",
            "redis://alice@redis",
            "redis+unix:///run/redis.sock",
            "redis+unix:///run/redis.sock?db=2",
            "redis+cluster://a",
            "redis+cluster://alice@a:7000,b,[::1]:7002",
            "rediss+cluster://a,b",
            "rediss://redis.example:6380/1",
            "redis+sentinel://a,b:26380,[::1]:26379/main",
            "rediss+sentinel://alice@a/main.1?db=2&sentinelUser=bob",
        ] {
            assert_eq!(shown(raw), Ok(raw.to_owned()));
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for raw in [
            "redis://:hunter2@redis:6379",
            "redis://alice:hunter2@redis",
            "redis://alice:hun@ter2@redis/1",
            "redis://alice:hun%40ter2@redis/1",
            "redis+unix:///run/redis.sock?db=1&pass=hunter2&user=alice",
            "redis+cluster://alice:hunter2@a,b",
            "redis+sentinel://:hunter2@a,b/main",
            "rediss+sentinel://a,b/main?sentinelPassword=hunter2",
        ] {
            let url: StoreUrl = raw.parse().unwrap();
            for shown in [format!("{url}"), format!("{url:?}")] {
                assert!(!shown.contains("ter2"), "{shown}");
                assert!(shown.contains("***"), "{shown}");
            }
        }
    }

    #[test]
    fn what_names_no_store_is_refused() {
        assert_eq!(shown("redis+cluster://a/1"), Err(InvalidStoreUrl::ClusterDatabase));
        assert_eq!(shown("redis+cluster://a/0"), Ok("redis+cluster://a".to_owned()));
        for raw in [
            "",
            "file:",
            "memory:x",
            "tollgate.redb",
            "postgres://db",
            "redis:redis",
            "redis://",
            "redis://alice@",
            "redis://redis:0",
            "redis://redis:port",
            "redis://redis/db",
            "redis://redis/1?token=hunter2",
            "redis://%ff@redis",
            "redis://a,b",
            "redis+sentinel://a,b",
            "redis+sentinel://a,,b/main",
            "redis+sentinel://a,b/main?sentinelpassword=hunter2",
            "redis+sentinel://a,b/my main",
            "redis+unix:///run/redis.sock?passwd=hunter2",
            "redis+unix://run/redis.sock",
            "redis+unix:///run/redis.sock?db=x",
            "redis+cluster://",
            "redis+cluster://a,",
            "redis+cluster://a,b/x",
        ] {
            assert_eq!(shown(raw), Err(InvalidStoreUrl::Form), "{raw}");
        }
    }
}
