//! Commands beside the sessions: each is asked of the master of its partition.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use redis::FromRedisValue;

use super::{
    cluster::Redirect,
    connection::{Lazy, Question},
    slots::Slot,
    topology::{Node, Topology},
};
use crate::{domain::Partition, store::StoreError};

/// One connection to each master that was asked something.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    topology: Arc<Topology>,
    connections: Arc<Mutex<BTreeMap<Node, Lazy>>>,
}

impl Commands {
    pub(super) fn new(topology: Arc<Topology>) -> Self {
        Self { topology, connections: Arc::default() }
    }

    /// Asks the master of a partition, or of another slot. Where that says, before it did anything, that another one
    /// is to be asked, asks that one, once. Nothing that may have been done is asked again.
    pub(super) async fn ask<T: FromRedisValue + Send>(
        &self,
        slot: impl Into<Slot>,
        question: &impl Question,
    ) -> Result<T, StoreError> {
        let slot = slot.into();
        let node = self.topology.node_of(slot).await?;
        let mut answer = self.ask_at(&node, question).await?;
        if let Err(error) = &answer
            && let Some(redirect) = self.topology.redirect(slot, error)
        {
            match redirect {
                Redirect::Moved(server) => {
                    answer = self.ask_at(&Node::At(server), question).await?;
                }
                Redirect::Asking(server) => {
                    if let Some(question) = question.asking() {
                        let asked = self.ask_at::<(T,)>(&Node::At(server), &question).await?;
                        answer = asked.map(|(answer,)| answer);
                    }
                }
            }
        }
        answer.map_err(|error| self.topology.error(slot, &error))
    }

    /// Asks every master the same, one after the other.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.topology.nodes().await
    }

    /// Asks one master, whatever it serves.
    pub(super) async fn ask_node<T: FromRedisValue + Send>(
        &self,
        node: &Node,
        question: &impl Question,
    ) -> Result<T, StoreError> {
        let answer = self.ask_at(node, question).await?;
        answer.map_err(|error| self.topology.error(Partition(0), &error))
    }

    async fn ask_at<T: FromRedisValue + Send>(
        &self,
        node: &Node,
        question: &impl Question,
    ) -> Result<Result<T, redis::RedisError>, StoreError> {
        let lazy = self.at(node);
        let answer = lazy.ask(question).await;
        let is_cut_off = match &answer {
            Ok(Err(error)) => error.is_io_error(),
            Ok(Ok(_)) => false,
            Err(_) => true,
        };
        if is_cut_off {
            self.topology.doubt(node);
        }
        answer
    }

    fn at(&self, node: &Node) -> Lazy {
        let new = || Lazy::new(Arc::clone(&self.topology), node.clone());
        self.connections.lock().entry(node.clone()).or_insert_with(new).clone()
    }
}
