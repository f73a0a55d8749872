//! Where the master is. It is asked at every connect, because it moves.

use std::sync::Arc;

use redis::{
    Client, ConnectionAddr, RedisError,
    aio::{AsyncPushSender, MultiplexedConnection},
};

use super::{
    cluster::{Cluster, Redirect},
    connection::{address, client, connect},
    refusal::{foreign_key, store_error},
    role,
    sentinel::Sentinels,
    settings::{Server, Servers, Settings},
    slots::Slot,
};
use crate::{
    domain::{Partition, Partitions},
    store::StoreError,
};

/// How the masters are found.
#[derive(Debug)]
pub(super) enum Topology {
    /// The nodes of a cluster know where each master is.
    Cluster(Box<Cluster>),
    /// Sentinels know where the one master is.
    Sentinel(Arc<Sentinels>),
    /// There is one server, and it is the master.
    Single(Box<Client>),
}

/// One of the masters.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Node {
    /// The only one that there is.
    Only,
    /// The one of a cluster that is here.
    At(Server),
}

impl Topology {
    pub(super) fn new(settings: &Settings) -> Result<Self, StoreError> {
        let Settings { login, database, tls, .. } = settings;
        let tls = tls.as_ref();
        let address = match &settings.servers {
            Servers::Cluster(seeds) => {
                return Ok(Self::Cluster(Box::new(Cluster::new(seeds, settings))));
            }
            Servers::Sentinels { .. } => {
                return Ok(Self::Sentinel(Arc::new(Sentinels::new(settings)?)));
            }
            Servers::Single(server) => address(server, tls),
            Servers::Socket(path) => ConnectionAddr::Unix(path.clone()),
        };
        Ok(Self::Single(Box::new(client(address, login, *database, tls)?)))
    }

    /// The master of `slot`, as far as is known.
    pub(super) async fn node_of(&self, slot: impl Into<Slot>) -> Result<Node, StoreError> {
        match self {
            Self::Cluster(cluster) => cluster.node_of(slot.into()).await.map(Node::At),
            Self::Sentinel(_) | Self::Single(_) => Ok(Node::Only),
        }
    }

    /// Every master.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        match self {
            Self::Cluster(cluster) => {
                Ok(cluster.masters().await?.into_iter().map(Node::At).collect())
            }
            Self::Sentinel(_) | Self::Single(_) => Ok(vec![Node::Only]),
        }
    }

    /// Finds out anew where `partitions` are, and groups them by their masters.
    pub(super) async fn by_node(
        &self,
        partitions: &[Partition],
    ) -> Result<Vec<Vec<Partition>>, StoreError> {
        match self {
            Self::Cluster(cluster) => cluster.by_node(partitions).await,
            Self::Sentinel(_) | Self::Single(_) => Ok(vec![partitions.to_vec()]),
        }
    }

    /// How many partitions a new store gets unless it is said.
    pub(super) const fn usual_partitions(&self) -> Partitions {
        match self {
            Self::Cluster(_) => Partitions::OF_A_CLUSTER,
            Self::Sentinel(_) | Self::Single(_) => Partitions::ONE,
        }
    }

    /// Connects to `node`, and makes sure that it is a master. `pushes` makes what hears what the
    /// server sends unasked, anew for each server that is tried; it is told of a disconnection
    /// also when sentinels name another master from now on.
    pub(super) async fn connect<P: AsyncPushSender>(
        &self,
        node: &Node,
        mut pushes: impl FnMut() -> P + Send,
    ) -> Result<MultiplexedConnection, StoreError> {
        let mut connection = match (self, node) {
            (Self::Cluster(cluster), Node::At(server)) => cluster.connect(server, pushes()).await?,
            (Self::Cluster(_), Node::Only) => {
                return Err(StoreError::Unreachable("no node of the cluster is named".to_owned()));
            }
            (Self::Sentinel(sentinels), _) => return sentinels.connect(pushes).await,
            (Self::Single(client), _) => connect(client, pushes()).await?,
        };
        role::require_master(&mut connection).await?;
        Ok(connection)
    }

    /// Where else to ask what a master refused to answer about `slot`, if it said so: before it did
    /// anything.
    pub(super) fn redirect(&self, slot: impl Into<Slot>, error: &RedisError) -> Option<Redirect> {
        match self {
            Self::Cluster(cluster) => cluster.redirect(slot.into(), error),
            Self::Sentinel(_) | Self::Single(_) => None,
        }
    }

    /// What an answer of a master about `slot` means.
    pub(super) fn error(&self, slot: impl Into<Slot>, error: &RedisError) -> StoreError {
        match self {
            Self::Cluster(cluster) => cluster.error(slot.into(), error),
            Self::Sentinel(_) | Self::Single(_) => store_error(error),
        }
    }

    /// The same for an answer about one key of `slot`.
    pub(super) fn key_error(
        &self,
        slot: impl Into<Slot>,
        key: &str,
        error: &RedisError,
    ) -> StoreError {
        foreign_key(key, error).unwrap_or_else(|| self.error(slot, error))
    }

    /// Takes note that `node` cannot be spoken to: it may have been replaced.
    pub(super) fn doubt(&self, node: &Node) {
        if let (Self::Cluster(cluster), Node::At(server)) = (self, node) {
            cluster.doubt(server);
        }
    }
}
