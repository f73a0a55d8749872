//! The operators' keys, held by every instance, so that a revoked one is refused at once.

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

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
    /// The token before the present one, which is good for a while yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousToken>,
    /// Whose session this is, if it is one and no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_of: Option<SessionOf>,
}

impl StoredKey {
    /// Whether SHA-256 (hex) of a token says that it is this key's at `now`. Compared in constant
    /// time.
    #[must_use]
    pub fn is_opened_by(&self, sha256: &str, now: Timestamp) -> bool {
        let same = |ours: &str| bool::from(ours.as_bytes().ct_eq(sha256.as_bytes()));
        let previous = self.previous.as_ref().filter(|previous| previous.until > now);
        let is_good = self.expires_at.is_none_or(|end| end > now);
        let is_own = same(&self.sha256) | previous.is_some_and(|previous| same(&previous.sha256));
        is_good && is_own
    }
}

/// A token that was replaced.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PreviousToken {
    /// Its SHA-256 (hex).
    pub sha256: String,
    /// Until when it is good.
    pub until: Timestamp,
}

/// What a session was begun with. It ends with that.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionOf {
    /// The token that the configuration gives to automation.
    AdminToken {
        /// What only the two together make, so that it tells nothing of either.
        proof: String,
    },
    /// An operator's key.
    Key {
        /// The key's id.
        id: String,
        /// SHA-256 (hex) of the token that was presented.
        sha256: String,
    },
}

/// All keys, by id. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Keyring(Arc<RwLock<Keys>>, Arc<Uses>);

/// When each key was last used here.
type Uses = Mutex<HashMap<String, Timestamp>>;

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
    pub fn keys(&self) -> Vec<(String, StoredKey)> {
        let mut keys = self.all();
        keys.retain(|(_, key)| key.session_of.is_none());
        keys
    }

    /// Every key and session with its id, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(String, StoredKey)> {
        let keys = self.0.read();
        let mut all: Vec<_> =
            keys.by_id.iter().map(|(id, key)| (id.clone(), key.clone())).collect();
        all.sort_by(|a, b| (&a.1.name, &a.0).cmp(&(&b.1.name, &b.0)));
        all
    }

    /// Notes that the key with this id was used.
    pub fn note_use(&self, id: &str, at: Timestamp) {
        let mut uses = self.1.lock();
        match uses.get_mut(id) {
            Some(last) => *last = at.max(*last),
            None => drop(uses.insert(id.to_owned(), at)),
        }
    }

    /// When each key was last used here, of those that were.
    #[must_use]
    pub fn uses(&self) -> HashMap<String, Timestamp> {
        self.1.lock().clone()
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

    #[test]
    fn a_replaced_token_is_good_until_its_time_is_over_and_no_longer_than_the_key() {
        let at = Timestamp::from_millis;
        let key = StoredKey {
            name: "alice".to_owned(),
            sha256: "new".to_owned(),
            role: Role::Viewer,
            tenant: None,
            source: None,
            expires_at: Some(at(20)),
            created_at: at(0),
            previous: Some(PreviousToken { sha256: "old".to_owned(), until: at(10) }),
            session_of: None,
        };
        let good = |token, now| key.is_opened_by(token, at(now));
        assert_eq!([good("old", 9), good("old", 10)], [true, false]);
        assert_eq!([good("new", 19), good("new", 20)], [true, false]);
        assert_eq!([good("", 1), good("other", 1)], [false, false]);
    }
}
