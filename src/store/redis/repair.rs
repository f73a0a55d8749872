//! Writes a restricted set anew that is not whole.

use std::sync::LazyLock;

use redis::{Script, ScriptInvocation};

use super::{
    super::{
        Among, Census, CustomerPage, Direction, RestrictedEntry, RestrictedPage, StoreError,
        StoredRecord,
        format::{self, unexpected},
    },
    Redis,
};
use crate::domain::{CustomerKey, Epoch, Partition};

/// A restricted set that is being written anew: beside the one that is not whole, and then in its
/// place at once. Two at the same time do not disturb each other.
#[derive(Debug)]
pub struct Rewrite {
    store: Redis,
    partition: Partition,
    epoch: Epoch,
    census: Census,
    /// Tells this one's keys from another's.
    number: String,
}

/// What came of a step of a [`Rewrite`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing was done: the store has changed since it began, or does not hold all of it.
    Overtaken,
    /// It is done.
    Taken,
}

impl Rewrite {
    /// Writes some of the entries. Their restrictions must be readable.
    pub async fn stage(&self, entries: &[RestrictedEntry]) -> Result<Step, StoreError> {
        for batch in entries.chunks(BATCH) {
            let mut invocation = self.step("stage");
            for entry in batch {
                let Some(restrictions) = &entry.restrictions else { continue };
                let value = format::restricted_value(entry.revision, restrictions);
                invocation.arg(entry.key.as_str()).arg(value);
            }
            if self.take(&invocation).await? == Step::Overtaken {
                return Ok(Step::Overtaken);
            }
        }
        Ok(Step::Taken)
    }

    /// Puts what was staged in the place of the set that is not whole, if it is all of it.
    pub async fn install(&self) -> Result<Step, StoreError> {
        self.take(&self.step("install")).await
    }

    /// What the records say of the set: a page, from the first customer or from behind `after`
    /// on. Records that cannot be read are left out.
    pub async fn of_records(&self, after: Option<&str>) -> Result<RestrictedPage, StoreError> {
        let Self { store, partition, .. } = self;
        let page = CustomerPage {
            among: Among::All,
            prefix: String::new(),
            after: after.map(str::to_owned),
            limit: BATCH,
            direction: Direction::Ascending,
        };
        let keys = store.keys_of(*partition, &page).await?;
        let Some(last) = keys.last() else {
            return Ok(RestrictedPage { entries: Vec::new(), next: None });
        };
        let mut command = redis::cmd("MGET");
        for key in &keys {
            command.arg(store.keys.record(*partition, key));
        }
        let found: Vec<Option<String>> = store.commands.ask(*partition, &command).await?;
        let entries = keys.iter().zip(found).filter_map(|(key, json)| restricted(key, &json?));
        let next = Some(last.to_string()).filter(|_| keys.len() == BATCH);
        Ok(RestrictedPage { entries: entries.collect(), next })
    }

    fn step(&self, step: &str) -> ScriptInvocation<'static> {
        let Self { store: Redis { keys, .. }, partition, census, .. } = self;
        let mut invocation = REPAIR.prepare_invoke();
        invocation
            .key(keys.meta(*partition))
            .key(keys.restricted(*partition))
            .key(keys.restricted_index(*partition))
            .key(keys.staged(*partition, "restricted", &self.number))
            .key(keys.staged(*partition, "restricted-index", &self.number))
            .arg(step)
            .arg(self.epoch.as_str())
            .arg(census.count)
            .arg(format!("{:016x}", census.digest));
        invocation
    }

    async fn take(&self, invocation: &ScriptInvocation<'static>) -> Result<Step, StoreError> {
        let reply: String = self.store.commands.ask(self.partition, invocation).await?;
        match reply.as_str() {
            "OVERTAKEN" => Ok(Step::Overtaken),
            "TAKEN" => Ok(Step::Taken),
            other => Err(unexpected(format!("the script's answer {other}"))),
        }
    }
}

impl Redis {
    /// See [`super::super::Store::rewrite_restricted`].
    #[must_use]
    pub fn rewrite_restricted(
        &self,
        partition: Partition,
        epoch: &Epoch,
        census: Census,
    ) -> Rewrite {
        let number = format!("{:016x}", fastrand::u64(..));
        Rewrite { store: self.clone(), partition, epoch: epoch.clone(), census, number }
    }
}

/// The entry that belongs to a record, if it has any restrictions.
fn restricted(key: &CustomerKey, json: &str) -> Option<RestrictedEntry> {
    let StoredRecord::Known(record) = format::read_record(key, json) else { return None };
    let restrictions = Some(record.body.told()).filter(|held| !held.is_empty())?;
    let (key, revision) = (record.key, record.revision);
    Some(RestrictedEntry { key, revision, restrictions: Some(restrictions) })
}

static REPAIR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("repair.lua")));
/// Small enough that nobody else waits for it.
const BATCH: usize = 500;
