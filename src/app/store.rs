//! The store that the configuration names.

use std::{convert::Infallible, time::Duration};

use super::ServeError;
use crate::{
    clock::Clock,
    config::{
        Config, ConfigError, Host, RedisLogin, RedisServers, RedisUrl, Secret, StoreIdentity,
        StoreUrl,
    },
    domain::{Partition, Partitions},
    feed::require_partitions,
    store::{
        Concern, Store, StoreError,
        embedded::Embedded,
        redis::{Identity, Login, Redis, Server, Servers, Settings, Tls},
    },
    telemetry::{
        Metrics,
        event::{StoreEvicts, StoreKeepsAll},
    },
};

/// Opens the store. One that says no, and will go on saying it, is refused now; one that does not
/// answer, or is not right yet, may be so later.
pub(super) async fn open(config: &Config, clock: &Clock) -> Result<Store, ServeError> {
    let store = match &config.store {
        StoreUrl::File(path) => {
            Store::Embedded(Embedded::open(&config.data_dir.join(path), clock.clone())?)
        }
        StoreUrl::Memory => Store::Embedded(Embedded::in_memory(clock.clone())?),
        StoreUrl::Redis(url) => Store::Redis(Redis::open(&settings(config, url)?)?),
    };
    match ask(&store, config.partitions).await {
        // Somebody may put the keys right while this instance refuses whom it can.
        Err(StoreError::Refused(refusal)) if refusal.about == Concern::Keys => {
            let hint = hint(refusal.about);
            tracing::warn!(error = %refusal, "The store cannot be followed yet: {refusal}; {hint}");
            Ok(store)
        }
        Err(StoreError::Refused(refusal)) => {
            Err(ServeError::StoreRefuses(hint(refusal.about), refusal.into()))
        }
        Err(error @ (StoreError::NewerFormat { .. } | StoreError::Partitions { .. })) => {
            Err(error.into())
        }
        Err(error) => {
            tracing::warn!(
                %error,
                "The store (--store) cannot be followed yet; it is asked again: {error}",
            );
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

/// Tells when the store forgets something, for ever. The user of a pure sidecar may not ask; one
/// instance that writes is enough.
pub(super) async fn watch_eviction(store: Store, metrics: Metrics) -> Infallible {
    let mut told = None;
    loop {
        let pause = match store.eviction_policy().await {
            Ok(policy) => {
                match (&told, &policy) {
                    (before, Some(policy)) if before.as_ref() != Some(policy) => {
                        StoreEvicts { policy: policy.clone() }.emit(&metrics);
                    }
                    (Some(_), None) => StoreKeepsAll.emit(&metrics),
                    (_, Some(_)) | (None, None) => {}
                }
                told = policy;
                Duration::from_mins(1)
            }
            Err(error) => {
                tracing::debug!(%error, "The store does not tell its maxmemory-policy: {error}");
                Duration::from_secs(5)
            }
        };
        // Never all instances at once.
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
    }
}

/// Which settings to look at.
pub(super) fn hint(about: Concern) -> &'static str {
    match about {
        Concern::Certificate => {
            "its certificate must be for the host in --store, and from an authority in --store-ca \
             or, without that, one that the operating system trusts"
        }
        Concern::Database => "--store names the number of its database",
        Concern::Encryption => {
            "--store begins with rediss://, rediss+sentinel:// or rediss+cluster:// where servers \
             speak TLS, and with redis://, redis+sentinel:// or redis+cluster:// where they do not"
        }
        Concern::Identity => "it asks for a certificate: see --store-cert and --store-key",
        Concern::Keys => {
            "--store or --key-prefix leads to where something else keeps its data, or somebody \
             has overwritten Tollgate's"
        }
        Concern::Login => {
            "--store names it and its user, and the password is in that URL or in \
             --store-password-file"
        }
        Concern::Master => "--store names the master after its last slash, as the sentinels do",
        Concern::Protocol => {
            "--store must name a Redis of version 6.2 or later, or a Valkey; a cluster must be of \
             Redis 7 or Valkey"
        }
        Concern::Rights => {
            "the user in --store needs the rights that the README lists, for the keys under \
             --key-prefix"
        }
        Concern::SentinelLogin => {
            "the sentinels' user is sentinelUser in --store, and its password is \
             sentinelPassword there or in --store-sentinel-password-file"
        }
        Concern::Topology => {
            "--store begins with redis:// for one server, with redis+sentinel:// for sentinels and \
             with redis+cluster:// for a cluster"
        }
    }
}

fn settings(config: &Config, url: &RedisUrl) -> Result<Settings, ConfigError> {
    let servers = match &url.servers {
        RedisServers::Cluster(nodes) => {
            Servers::Cluster(nodes.iter().map(|host| server(host, REDIS_PORT)).collect())
        }
        RedisServers::Sentinels { sentinels, login: of_sentinels, master } => Servers::Sentinels {
            sentinels: sentinels.iter().map(|host| server(host, SENTINEL_PORT)).collect(),
            login: login(of_sentinels, config.sentinel_password()?),
            master: master.clone(),
        },
        RedisServers::Single(host) => Servers::Single(server(host, REDIS_PORT)),
        RedisServers::Socket(path) => Servers::Socket(path.clone()),
    };
    let identity = |StoreIdentity { certificate, key }| {
        let key = Secret::expose(&key).as_bytes().to_vec();
        Identity { certificate, key }
    };
    let tls = config
        .store_tls()?
        .map(|tls| Tls { authorities: tls.authorities, identity: tls.identity.map(identity) });
    Ok(Settings {
        servers,
        login: login(&url.login, config.store_password()?),
        database: url.database,
        tls,
        key_prefix: config.key_prefix.clone(),
    })
}

fn server(host: &Host, usual_port: u16) -> Server {
    Server { host: host.name.clone(), port: host.port.unwrap_or(usual_port) }
}

fn login(named: &RedisLogin, password: Option<Secret>) -> Login {
    let password = password.map(|password| password.expose().to_owned());
    Login { user: named.user.clone(), password }
}

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
