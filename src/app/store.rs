//! The store that the configuration names.

use super::ServeError;
use crate::{
    clock::Clock,
    config::{Config, ConfigError, Host, RedisServers, RedisUrl, Secret, StoreUrl},
    domain::Partition,
    feed::require_partitions,
    store::{
        Store, StoreError,
        embedded::Embedded,
        redis::{Login, Redis, Server, Servers, Settings},
    },
};

/// Opens the store. One that says no, and will go on saying it, is refused now; one that does not
/// answer may do so later.
pub(super) async fn open(config: &Config, clock: &Clock) -> Result<Store, ServeError> {
    let store = match &config.store {
        StoreUrl::File(path) => {
            Store::Embedded(Embedded::open(&config.data_dir.join(path), clock.clone())?)
        }
        StoreUrl::Memory => Store::Embedded(Embedded::in_memory(clock.clone())?),
        StoreUrl::Redis(url) => Store::Redis(Redis::open(&settings(config, url)?)?),
    };
    let head = match store.open_session(&[Partition(0)]).await {
        Ok(session) => session.reader.head(Partition(0)).await,
        Err(error) => Err(error),
    };
    let asked = head.and_then(|head| match head {
        Some(head) => require_partitions(config.partitions, head.partitions).map(drop),
        None => Ok(()),
    });
    match asked {
        Err(error @ StoreError::Refused(_)) => Err(ServeError::StoreRefuses(error)),
        Err(error @ (StoreError::NewerFormat { .. } | StoreError::Partitions { .. })) => {
            Err(error.into())
        }
        Err(error) => {
            tracing::warn!(%error, "The store does not answer yet; it is asked again: {error}");
            Ok(store)
        }
        Ok(()) => Ok(store),
    }
}

fn settings(config: &Config, url: &RedisUrl) -> Result<Settings, ConfigError> {
    let servers = match &url.servers {
        RedisServers::Single(host) => Servers::Single(server(host, REDIS_PORT)),
        RedisServers::Socket(path) => Servers::Socket(path.clone()),
    };
    let password = config.store_password()?;
    Ok(Settings {
        servers,
        login: login(url.login.user.clone(), password.as_ref()),
        database: url.database,
        key_prefix: config.key_prefix.clone(),
    })
}

fn server(host: &Host, usual_port: u16) -> Server {
    Server { host: host.name.clone(), port: host.port.unwrap_or(usual_port) }
}

fn login(user: Option<String>, password: Option<&Secret>) -> Login {
    Login { user, password: password.map(|password| password.expose().to_owned()) }
}

const REDIS_PORT: u16 = 6379;
