//! What was said of customers that nobody knows: a stream.

use std::sync::LazyLock;

use redis::{Script, streams::StreamRangeReply};

use super::{super::StoreError, Redis};
use crate::{
    domain::{Epoch, Partition},
    store::{UnresolvedEntry, format::unexpected},
};

impl Redis {
    /// See [`crate::store::Store::add_unresolved`].
    pub async fn add_unresolved(
        &self,
        epoch: &Epoch,
        text: &str,
        at_most: u64,
    ) -> Result<Option<u64>, StoreError> {
        let mut invocation = ADD.prepare_invoke();
        invocation
            .key(self.keys.unresolved())
            .key(self.keys.meta(HOME))
            .arg(epoch.as_str())
            .arg(text)
            .arg(at_most);
        let dropped: i64 = self.commands.ask(HOME, &invocation).await?;
        Ok(u64::try_from(dropped).ok())
    }

    /// See [`crate::store::Store::unresolved`].
    pub async fn unresolved(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UnresolvedEntry>, StoreError> {
        let after = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let command = redis::Cmd::xrange_count(self.keys.unresolved(), after, "+", limit);
        let found: StreamRangeReply = self.commands.ask(HOME, &command).await?;
        let entry = |found: redis::streams::StreamId| {
            let text = found.get(TEXT).ok_or_else(|| unexpected("an entry that says nothing"))?;
            Ok(UnresolvedEntry { id: found.id, text })
        };
        found.ids.into_iter().map(entry).collect()
    }

    /// See [`crate::store::Store::remove_unresolved`].
    pub async fn remove_unresolved(&self, id: &str) -> Result<(), StoreError> {
        let command = redis::Cmd::xdel(self.keys.unresolved(), &[id]);
        self.commands.ask(HOME, &command).await.map(|_: u64| ())
    }

    /// See [`crate::store::Store::count_unresolved`].
    pub async fn count_unresolved(&self) -> Result<u64, StoreError> {
        self.commands.ask(HOME, &redis::Cmd::xlen(self.keys.unresolved())).await
    }
}

/// In a history that the writer does not follow nothing is written: in a store that lost its
/// content it would be the only key.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[1] then return -1 end
         redis.call('XADD', KEYS[1], '*', 'text', ARGV[2])
         return redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[3])",
    )
});
const HOME: Partition = Partition(0);
const TEXT: &str = "text";
