//! Where the master is. It is asked at every connect, because it moves.

use std::sync::Arc;

use redis::{
    Client, ConnectionAddr,
    aio::{AsyncPushSender, MultiplexedConnection},
};

use super::{
    connection::{address, client, connect},
    role,
    sentinel::Sentinels,
    settings::{Servers, Settings},
};
use crate::{domain::Partition, store::StoreError};

/// How the masters are found.
#[derive(Debug)]
pub(super) enum Topology {
    /// Sentinels know where the one master is.
    Sentinel(Arc<Sentinels>),
    /// There is one server, and it is the master.
    Single(Box<Client>),
}

impl Topology {
    pub(super) fn new(settings: &Settings) -> Result<Self, StoreError> {
        let Settings { login, database, tls, .. } = settings;
        let tls = tls.as_ref();
        let address = match &settings.servers {
            Servers::Sentinels { .. } => {
                return Ok(Self::Sentinel(Arc::new(Sentinels::new(settings)?)));
            }
            Servers::Single(server) => address(server, tls),
            Servers::Socket(path) => ConnectionAddr::Unix(path.clone()),
        };
        Ok(Self::Single(Box::new(client(address, login, *database, tls)?)))
    }

    /// Connects to the master of `partition`, and makes sure that it is one. `pushes` makes what
    /// hears what the server sends unasked, anew for each server that is tried; it is told of a
    /// disconnection also when the master is another one from now on.
    pub(super) async fn connect<P: AsyncPushSender>(
        &self,
        _: Partition,
        mut pushes: impl FnMut() -> P + Send,
    ) -> Result<MultiplexedConnection, StoreError> {
        match self {
            Self::Sentinel(sentinels) => sentinels.connect(pushes).await,
            Self::Single(client) => {
                let mut connection = connect(client, pushes()).await?;
                role::require_master(&mut connection).await?;
                Ok(connection)
            }
        }
    }
}
