//! What was said of customers that nobody knows: a list, the oldest first, that waits for them.

use super::{Store, StoreError};
use crate::domain::Epoch;

/// Something that waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnresolvedEntry {
    /// The store's id of it, `<milliseconds>-<counter>`.
    pub id: String,
    /// What was said.
    pub text: String,
}

impl Store {
    /// Puts `text` at the end of the list, in the history `epoch`, and keeps the newest `at_most`:
    /// how many had to go for that. Nothing is written, and nothing returned, in another history.
    pub async fn add_unresolved(
        &self,
        epoch: &Epoch,
        text: &str,
        at_most: u64,
    ) -> Result<Option<u64>, StoreError> {
        match self {
            Self::Embedded(store) => store.add_unresolved(epoch, text, at_most).await,
            Self::Redis(store) => store.add_unresolved(epoch, text, at_most).await,
        }
    }

    /// At most `limit` of them, the oldest first, from behind the one with the id `after`.
    pub async fn unresolved(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UnresolvedEntry>, StoreError> {
        match self {
            Self::Embedded(store) => store.unresolved(after, limit),
            Self::Redis(store) => store.unresolved(after, limit).await,
        }
    }

    /// Takes one off the list.
    pub async fn remove_unresolved(&self, id: &str) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.remove_unresolved(id).await,
            Self::Redis(store) => store.remove_unresolved(id).await,
        }
    }

    /// How many there are.
    pub async fn count_unresolved(&self) -> Result<u64, StoreError> {
        match self {
            Self::Embedded(store) => store.count_unresolved(),
            Self::Redis(store) => store.count_unresolved().await,
        }
    }
}
