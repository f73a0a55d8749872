//! Where the master is. It is asked at every connect, because it moves.

use redis::{
    Client,
    aio::{AsyncPushSender, MultiplexedConnection},
};

use super::{
    connection::{self, client},
    role,
    settings::{Servers, Settings},
};
use crate::{domain::Partition, store::StoreError};

/// How the masters are found.
#[derive(Debug)]
pub(super) enum Topology {
    /// There is one server, and it is the master.
    Single(Client),
}

impl Topology {
    pub(super) fn new(settings: &Settings) -> Result<Self, StoreError> {
        match &settings.servers {
            Servers::Single(_) | Servers::Socket(_) => Ok(Self::Single(client(settings)?)),
        }
    }

    /// Connects to the master of `partition`, and makes sure that it is one. `pushes` makes what
    /// hears what the server sends unasked, anew for each server that is tried.
    pub(super) async fn connect<P: AsyncPushSender>(
        &self,
        _: Partition,
        mut pushes: impl FnMut() -> P + Send,
    ) -> Result<MultiplexedConnection, StoreError> {
        match self {
            Self::Single(client) => {
                let mut connection = connection::connect(client, pushes()).await?;
                role::require_master(&mut connection).await?;
                Ok(connection)
            }
        }
    }
}
