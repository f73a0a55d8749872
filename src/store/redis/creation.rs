//! The beginning of a store's first history: in every partition, in the first one last, so that a
//! store that has its first partition is whole.

use std::collections::BTreeSet;

use super::{Redis, script};
use crate::{
    domain::{Epoch, Partition, Partitions},
    store::{CreateError, StoreError, format::unexpected},
};

/// What there is before a creation.
enum Found {
    /// Not one key.
    Nothing,
    /// Something that is no beginning of a store.
    Something,
    /// What somebody began, who has not come to the first partition yet or never will.
    Unfinished(Epoch, Partitions),
}

impl Redis {
    /// See [`crate::store::Store::create`]. What somebody else began is completed as they began
    /// it.
    pub async fn create(&self, epoch: &Epoch, partitions: Partitions) -> Result<(), CreateError> {
        for partition in partitions.all() {
            let command = redis::Cmd::get(self.keys.lost(partition));
            if let Some(epoch) = self.commands.ask::<Option<String>>(partition, &command).await? {
                return Err(CreateError::Lost(epoch));
            }
        }
        match self.found().await? {
            Found::Nothing => self.create_each(epoch, partitions).await,
            Found::Unfinished(epoch, partitions) => {
                self.create_each(&epoch, partitions).await?;
                Err(CreateError::Exists)
            }
            Found::Something if self.has_history().await? => Err(CreateError::Exists),
            Found::Something => Err(CreateError::NotEmpty),
        }
    }

    async fn create_each(&self, epoch: &Epoch, partitions: Partitions) -> Result<(), CreateError> {
        for partition in partitions.all().rev() {
            let invocation = script::create(&self.keys, partition, partitions, epoch);
            let reply: Vec<String> = self.commands.ask(partition, &invocation).await?;
            match script::read_create_reply(&reply)? {
                script::Created::Now => {}
                // An earlier try, or somebody who completes the same creation.
                script::Created::Before(of) if partition > Partition(0) && of == epoch.as_str() => {
                }
                script::Created::Before(_) => return Err(CreateError::Exists),
            }
        }
        Ok(())
    }

    async fn found(&self) -> Result<Found, StoreError> {
        let Some(begun) = self.begun().await? else { return Ok(Found::Something) };
        let mut found = Found::Nothing;
        for partition in begun {
            let mut command = redis::cmd("HMGET");
            command.arg(self.keys.meta(partition)).arg(&["epoch", "partitions", "rev"]);
            let meta: (Option<String>, Option<String>, Option<u64>) =
                self.commands.ask(partition, &command).await?;
            // Nobody writes before there is a first partition.
            let (Some(epoch), Some(partitions), Some(1)) = meta else {
                return Ok(Found::Something);
            };
            let epoch = Epoch::parse(&epoch).map_err(unexpected)?;
            let partitions = partitions.parse().map_err(unexpected)?;
            match &found {
                Found::Nothing => found = Found::Unfinished(epoch, partitions),
                Found::Unfinished(one, number) if (one, *number) == (&epoch, partitions) => {}
                Found::Something | Found::Unfinished(..) => return Ok(Found::Something),
            }
        }
        Ok(found)
    }

    /// The partitions that have only what a creation puts there, on whichever node; nothing if
    /// there is anything else, or the first partition.
    async fn begun(&self) -> Result<Option<BTreeSet<Partition>>, StoreError> {
        let pattern = format!("{}*", self.keys.any());
        let mut begun = BTreeSet::new();
        for node in self.commands.nodes().await? {
            let mut cursor = "0".to_owned();
            loop {
                let mut command = redis::cmd("SCAN");
                command.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(1000);
                let (next, names): (String, Vec<String>) =
                    self.commands.ask_node(&node, &command).await?;
                for name in names {
                    match self.keys.parts(&name) {
                        Some((partition, "meta" | "log")) if partition > Partition(0) => {
                            begun.insert(partition);
                        }
                        _ => return Ok(None),
                    }
                }
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(Some(begun))
    }

    async fn has_history(&self) -> Result<bool, StoreError> {
        let command = redis::Cmd::exists(self.keys.meta(Partition(0)));
        self.commands.ask(Partition(0), &command).await
    }
}
