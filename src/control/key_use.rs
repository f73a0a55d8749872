//! When operators' keys were last used, as told to the store every minute.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use super::Control;
use crate::{domain::Timestamp, store::StoreError};

/// Tells the store when keys were used here.
#[derive(Debug)]
pub struct KeyUses {
    control: Control,
    /// What it was told.
    told: HashMap<String, Timestamp>,
}

impl KeyUses {
    /// Nothing is told yet.
    #[must_use]
    pub fn new(control: Control) -> Self {
        Self { control, told: HashMap::new() }
    }

    /// Tells it for ever.
    pub async fn keep(&mut self) -> Infallible {
        loop {
            tokio::time::sleep(EVERY.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
            self.tell().await;
        }
    }

    /// Tells what is new. What cannot be told now is told with the next.
    pub async fn tell(&mut self) {
        let mut fresh: Vec<_> = self.control.keyring.uses().into_iter().collect();
        fresh.retain(|(id, at)| self.told.get(id) != Some(at));
        for page in fresh.chunks(PAGE) {
            match self.control.store.note_key_uses(page).await {
                Ok(()) => self.told.extend(page.iter().cloned()),
                Err(error) => {
                    tracing::debug!(%error, "When keys were used is told later: {error}");
                    return;
                }
            }
        }
    }
}

impl Control {
    /// When each key was last used on any instance that may write.
    pub async fn key_uses(&self) -> Result<HashMap<String, Timestamp>, StoreError> {
        let mut uses = self.store.key_uses().await?;
        for (id, at) in self.keyring.uses() {
            uses.entry(id).and_modify(|last| *last = at.max(*last)).or_insert(at);
        }
        Ok(uses)
    }
}

const EVERY: Duration = Duration::from_mins(1);
const PAGE: usize = 500;
