//! What a partition's history is ended, begun and brought back with.

use redis::Script;

use super::{
    super::{RestrictedEntry, StoreError, Succession, SuccessionError, format},
    Redis, script, session,
};
use crate::domain::{Change, CustomerKey, Epoch, Partition, Record};

impl Redis {
    /// See [`crate::store::Store::mark_lost`].
    pub async fn mark_lost(&self, partition: Partition, epoch: &Epoch) -> Result<(), StoreError> {
        let script = Script::new(MARK_LOST);
        let mut invocation = script.prepare_invoke();
        invocation.key(self.keys.meta(partition)).key(self.keys.lost(partition));
        invocation.arg(epoch.as_str());
        self.commands.ask(partition, &invocation).await
    }

    /// See [`crate::store::Store::succeed`].
    pub async fn succeed(&self, succession: &Succession) -> Result<(), SuccessionError> {
        let invocation = script::succeed(&self.keys, succession);
        let reply: Vec<String> = self.commands.ask(succession.partition, &invocation).await?;
        script::read_succession_reply(&reply)
    }

    /// See [`crate::store::Store::stage`]. What is not taken up goes away by itself.
    pub async fn stage(
        &self,
        partition: Partition,
        epoch: &Epoch,
        entries: &[RestrictedEntry],
    ) -> Result<(), StoreError> {
        let set = self.keys.staged(partition, "restricted", epoch.as_str());
        let index = self.keys.staged(partition, "restricted-index", epoch.as_str());
        let mut pipeline = redis::pipe();
        for entry in entries {
            // What this version cannot read it cannot write.
            let Some(restrictions) = &entry.restrictions else { continue };
            let value = format::restricted_value(entry.revision, restrictions);
            pipeline.cmd("HSET").arg(&set).arg(entry.key.as_str()).arg(value).ignore();
            pipeline.cmd("ZADD").arg(&index).arg(0).arg(entry.key.as_str()).ignore();
        }
        pipeline.cmd("EXPIRE").arg(&set).arg(STAGED_FOR_SECONDS).ignore();
        pipeline.cmd("EXPIRE").arg(&index).arg(STAGED_FOR_SECONDS).ignore();
        self.commands.ask(partition, &pipeline).await
    }

    /// See [`crate::store::Store::supply`].
    pub async fn supply(&self, partition: Partition, records: &[Record]) -> Result<(), StoreError> {
        let mut pipeline = redis::pipe();
        let customers = self.keys.customers(partition);
        for Record { key, revision, body } in records {
            let json = format::record_head(*revision) + &format::record_tail(body)?;
            pipeline.cmd("SETNX").arg(self.keys.record(partition, key)).arg(json).ignore();
            pipeline.cmd("ZADD").arg(&customers).arg(0).arg(CustomerKey::as_str(key)).ignore();
        }
        if records.is_empty() {
            // An empty pipeline is an error.
            return Ok(());
        }
        self.commands.ask(partition, &pipeline).await
    }

    /// See [`crate::store::Store::supply_keys`].
    pub async fn supply_keys(&self, keys: &[(String, String)]) -> Result<(), StoreError> {
        self.supply_fields(&self.keys.operators(), keys).await
    }

    /// See [`crate::store::Store::supply_sources`].
    pub async fn supply_sources(&self, sources: &[(String, String)]) -> Result<(), StoreError> {
        self.supply_fields(&self.keys.guard(), sources).await
    }

    async fn supply_fields(
        &self,
        hash: &str,
        fields: &[(String, String)],
    ) -> Result<(), StoreError> {
        let mut pipeline = redis::pipe();
        for (name, stored) in fields {
            pipeline.cmd("HSETNX").arg(hash).arg(name).arg(stored).ignore();
        }
        if fields.is_empty() {
            // An empty pipeline is an error.
            return Ok(());
        }
        self.commands.ask(Partition(0), &pipeline).await
    }

    /// See [`crate::store::Store::conflicts`].
    pub async fn conflicts(
        &self,
        partition: Partition,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let command = redis::Cmd::hgetall(self.keys.conflicts(partition));
        self.commands.ask(partition, &command).await
    }

    /// See [`crate::store::Store::log`].
    pub async fn log(
        &self,
        partition: Partition,
        from: &str,
        count: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let page = session::log_page(&self.keys, partition, from, count);
        Ok(session::read_log(self.commands.ask(partition, &page).await?))
    }
}

/// Only where there is no history: where another one stands, that is the store's own affair.
const MARK_LOST: &str = "
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[2], ARGV[1], 'NX') end
return 0";
const STAGED_FOR_SECONDS: u64 = 3600;
