//! The store that the configuration names.

use super::ServeError;
use crate::{
    clock::Clock,
    config::{Config, ConfigError, Host, RedisServers, RedisUrl, Secret, StoreUrl},
    domain::{Partition, Partitions},
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
    match ask(&store, config.partitions).await {
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

/// Looks whether the store can be followed, as far as the node of its first partition can tell.
async fn ask(store: &Store, expected: Option<Partitions>) -> Result<(), StoreError> {
    let first = Partition(0);
    let reader = store.open_session(&[first]).await?.reader;
    let Some(head) = reader.head(first).await? else { return Ok(()) };
    let partitions: Vec<_> = require_partitions(expected, head.partitions)?.all().collect();
    let groups = store.by_node(&partitions).await?;
    let beside_it = groups.iter().find(|group| group.contains(&first));
    reader.heads(beside_it.map_or(&[], Vec::as_slice)).await?;
    Ok(())
}

fn settings(config: &Config, url: &RedisUrl) -> Result<Settings, ConfigError> {
    let servers = match &url.servers {
        RedisServers::Cluster(nodes) => {
            Servers::Cluster(nodes.iter().map(|host| server(host, REDIS_PORT)).collect())
        }
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
