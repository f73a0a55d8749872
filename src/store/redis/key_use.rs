//! When operators' keys were last used.

use std::{collections::HashMap, sync::LazyLock};

use redis::Script;

use super::{super::StoreError, Redis};
use crate::domain::{Partition, Timestamp};

impl Redis {
    /// See [`crate::store::Store::note_key_uses`].
    pub async fn note_key_uses(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        let mut invocation = NOTE.prepare_invoke();
        invocation.key(self.keys.key_uses()).key(self.keys.meta(Partition(0)));
        for (id, at) in uses {
            invocation.arg(at.as_millis()).arg(id);
        }
        self.commands.ask(Partition(0), &invocation).await
    }

    /// See [`crate::store::Store::key_uses`].
    pub async fn key_uses(&self) -> Result<HashMap<String, Timestamp>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys.key_uses()).arg(0).arg(-1).arg("WITHSCORES");
        // Whole milliseconds come as such.
        let uses: Vec<(String, i64)> = self.commands.ask(Partition(0), &command).await?;
        Ok(uses.into_iter().map(|(id, at)| (id, Timestamp::from_millis(at))).collect())
    }
}

/// Where there is no history nothing is written: in a store that lost its content it would be the
/// only key.
static NOTE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[2]) == 1 then
           redis.call('ZADD', KEYS[1], 'GT', unpack(ARGV))
         end",
    )
});
