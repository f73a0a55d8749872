//! The operators' keys, held by every instance, so that a revoked one is refused at once.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::domain::{Role, Source, TenantId, Timestamp};

/// An operator's key as the store keeps it. The token itself is kept nowhere.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredKey {
    /// Whose it is.
    pub name: String,
    /// SHA-256 (hex) of the token.
    pub sha256: String,
    /// What it may do.
    pub role: Role,
    /// The only tenant it sees, if it is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The source it acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// From when it is no longer good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// All keys, by id. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Keyring(Arc<RwLock<Keys>>);

#[derive(Debug, Default)]
struct Keys {
    by_id: HashMap<String, StoredKey>,
    is_read: bool,
}

impl Keyring {
    /// The key with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<StoredKey> {
        self.0.read().by_id.get(id).cloned()
    }

    /// Whether the store's keys were read: before that, a key that is not here may be good.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.0.read().is_read
    }

    /// Every key with its id, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(String, StoredKey)> {
        let keys = self.0.read();
        let mut all: Vec<_> =
            keys.by_id.iter().map(|(id, key)| (id.clone(), key.clone())).collect();
        all.sort_by(|a, b| (&a.1.name, &a.0).cmp(&(&b.1.name, &b.0)));
        all
    }

    /// Takes what the store holds in place of everything held.
    pub fn replace(&self, stored: &[(String, String)]) {
        let keys = stored.iter().filter_map(|(id, json)| Some((id.clone(), read(id, json)?)));
        *self.0.write() = Keys { by_id: keys.collect(), is_read: true };
    }

    /// Takes what the store held some time ago, unless it was read since.
    pub fn boot(&self, stored: &[(String, String)]) {
        let keys = stored.iter().filter_map(|(id, json)| Some((id.clone(), read(id, json)?)));
        let by_id = keys.collect();
        let mut held = self.0.write();
        if !held.is_read {
            *held = Keys { by_id, is_read: true };
        }
    }

    /// Takes one key's new form, or forgets it when it was revoked or cannot be read.
    pub fn change(&self, id: &str, stored: Option<&str>) {
        let key = stored.and_then(|json| read(id, json));
        let mut keys = self.0.write();
        match key {
            Some(key) => keys.by_id.insert(id.to_owned(), key),
            None => keys.by_id.remove(id),
        };
    }
}

fn read(id: &str, json: &str) -> Option<StoredKey> {
    serde_json::from_str(json)
        .inspect_err(
            |error| tracing::warn!(key.id = id, %error, "A key cannot be read and is not accepted"),
        )
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_cannot_be_read_is_not_accepted() {
        let sound =
            r#"{"name":"a","sha256":"","role":"viewer","createdAt":"2026-01-01T00:00:00Z"}"#;
        let newer = sound.replace("viewer", "owner");
        let keyring = Keyring::default();
        keyring.replace(&[("k1".to_owned(), sound.to_owned()), ("k2".to_owned(), newer.clone())]);
        assert!(keyring.find("k1").is_some());
        assert!(keyring.find("k2").is_none());
        keyring.change("k1", Some(&newer));
        assert!(keyring.find("k1").is_none());
    }
}
