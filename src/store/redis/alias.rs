//! Aliases: claimed and given back by compare-and-set.

use std::sync::LazyLock;

use redis::Script;

use super::{super::StoreError, Redis};
use crate::{
    domain::alias::{Alias, Claim},
    store::format::unexpected,
};

impl Redis {
    /// See [`crate::store::Store::alias`].
    pub async fn alias(&self, alias: &Alias) -> Result<Option<Claim>, StoreError> {
        let partition = self.partitions().of_alias(alias);
        let command = redis::Cmd::get(self.keys.alias(partition, alias));
        let held: Option<String> = self.commands.ask(partition, &command).await?;
        held.map(|raw| raw.parse().map_err(unexpected)).transpose()
    }

    /// See [`crate::store::Store::set_alias`].
    pub async fn set_alias(
        &self,
        alias: &Alias,
        held: Option<&Claim>,
        claim: Option<&Claim>,
    ) -> Result<bool, StoreError> {
        let partition = self.partitions().of_alias(alias);
        let spell = |claim: Option<&Claim>| claim.map(Claim::to_string).unwrap_or_default();
        let mut invocation = SET.prepare_invoke();
        invocation
            .key(self.keys.alias(partition, alias))
            .key(self.keys.meta(partition))
            .arg(spell(held))
            .arg(spell(claim));
        self.commands.ask(partition, &invocation).await
    }
}

/// Where there is no history nothing is written: in a store that lost its content it would be the
/// only key.
static SET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
         if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
         if ARGV[2] == '' then
           redis.call('DEL', KEYS[1])
         else
           redis.call('SET', KEYS[1], ARGV[2])
         end
         return 1",
    )
});
