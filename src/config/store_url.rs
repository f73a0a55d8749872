//! Where records live, as `--store` says it.

use std::{ffi::OsStr, fmt, path::PathBuf, str::FromStr};

use clap::{Arg, Command, builder::TypedValueParser, error::ErrorKind};

use super::redis_url::RedisUrl;

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
            "redis" => RedisUrl::server(rest).map(Self::Redis),
            "redis+unix" => RedisUrl::socket(rest).map(Self::Redis),
            "rediss" => Err(InvalidStoreUrl::NotYet("rediss://")),
            "redis+sentinel" => Err(InvalidStoreUrl::NotYet("redis+sentinel://")),
            "redis+cluster" => RedisUrl::cluster(rest).map(Self::Redis),
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
        "a store must be file:PATH, memory:, redis://[USER[:PASSWORD]@]HOST[:PORT][/DB], \
         redis+cluster://[USER[:PASSWORD]@]HOST[:PORT],... or redis+unix:///PATH[?db=N]"
    )]
    Form,
    /// A form that this version does not know yet.
    #[error(
        "this version does not support {0} stores; use file:, memory:, redis://, redis+cluster:// \
         or redis+unix://"
    )]
    NotYet(&'static str),
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
        ] {
            let url: StoreUrl = raw.parse().unwrap();
            for shown in [format!("{url}"), format!("{url:?}")] {
                assert!(!shown.contains("ter2"), "{shown}");
                assert!(shown.contains("***"), "{shown}");
            }
        }
    }

    #[test]
    fn what_this_version_does_not_support_is_told_from_what_nobody_does() {
        for raw in ["rediss://redis", "redis+sentinel://a,b/main"] {
            assert!(matches!(shown(raw), Err(InvalidStoreUrl::NotYet(_))), "{raw}");
        }
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
