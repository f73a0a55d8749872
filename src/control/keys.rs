//! Operators' keys: who may act, and how that is told.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{ActError, Control, Request};
use crate::{
    cache::keyring::{PreviousToken, StoredKey},
    domain::{Actor, AuditEntry, Refusal, Role, Source, TenantId, Timestamp},
    store::{
        StoreError, Write,
        format::{hex, unexpected},
    },
};

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The only tenant it sees.
    pub tenant: Option<TenantId>,
    /// The source it acts for.
    pub source: Option<Source>,
    /// From when it is no longer good.
    pub expires_at: Option<Timestamp>,
}

/// A key that was made. This is the only time that its token is told.
#[derive(Debug)]
pub struct MadeKey {
    /// The key's id.
    pub id: String,
    /// The key as stored.
    pub stored: StoredKey,
    /// What its holder presents.
    pub token: String,
}

/// Why it cannot be told whose a token is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuthError {
    /// An unknown, revoked or expired key, or a wrong secret.
    #[error("the token is not valid")]
    InvalidToken,
    /// The store's keys are not read yet, so the token may be good.
    #[error("the keys are not read yet")]
    KeysUnread,
}

/// The token that the configuration gives to automation; it holds the role `admin`.
#[derive(Clone)]
pub struct AdminToken(pub(super) [u8; 32]);

impl AdminToken {
    /// Keeps the token's digest only.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(digest(token))
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

impl Control {
    /// Tells whose `token` it is. Secrets are compared in constant time.
    pub fn authenticate(
        &self,
        admin: Option<&AdminToken>,
        token: &str,
    ) -> Result<Actor, AuthError> {
        let presented = digest(token);
        if admin.is_some_and(|admin| bool::from(admin.0.ct_eq(&presented))) {
            return Ok(automation());
        }
        let id = token.strip_prefix(TOKEN_PREFIX).and_then(|rest| rest.split_once('_'));
        let (id, _) = id.ok_or(AuthError::InvalidToken)?;
        let key = self.stored(id)?;
        if key.session_of.is_some() || !key.is_opened_by(&hex(&presented), self.clock.now()) {
            return Err(AuthError::InvalidToken);
        }
        self.keyring.note_use(id, self.clock.now());
        Ok(holder(id, key))
    }

    /// The key or session with this id, or why there is none.
    pub(super) fn stored(&self, id: &str) -> Result<StoredKey, AuthError> {
        let is_read = self.keyring.is_read();
        let unknown = if is_read { AuthError::InvalidToken } else { AuthError::KeysUnread };
        self.keyring.find(id).ok_or(unknown)
    }

    /// Makes a key.
    pub async fn create_key(&self, request: &Request, new: NewKey) -> Result<MadeKey, ActError> {
        require_admin(request)?;
        let id = new_id()?;
        let token = new_token(TOKEN_PREFIX, &id)?;
        let stored = StoredKey {
            name: new.name,
            sha256: hex(&digest(&token)),
            role: new.role,
            tenant: new.tenant,
            source: new.source,
            expires_at: new.expires_at,
            created_at: self.clock.now(),
            previous: None,
            session_of: None,
        };
        self.write_key(request, "keys_create", &id, Some(&stored)).await?;
        Ok(MadeKey { id, stored, token })
    }

    /// Gives a key another token. The one before is good until `overlap` is over; with none, it is
    /// not from now on, on every instance.
    pub async fn rotate_key(
        &self,
        request: &Request,
        id: &str,
        overlap: Option<Duration>,
    ) -> Result<MadeKey, ActError> {
        require_admin(request)?;
        let key = self.keyring.find(id).filter(|key| key.session_of.is_none());
        let key = key.ok_or(ActError::NotThere("key"))?;
        let token = new_token(TOKEN_PREFIX, id)?;
        let until = overlap.map(|overlap| self.clock.now().saturating_add(overlap));
        let previous = until.map(|until| PreviousToken { sha256: key.sha256.clone(), until });
        let stored = StoredKey { sha256: hex(&digest(&token)), previous, ..key };
        self.write_key(request, "keys_rotate", id, Some(&stored)).await?;
        Ok(MadeKey { id: id.to_owned(), stored, token })
    }

    /// Revokes a key. Every instance hears of it, and refuses it from then on.
    pub async fn revoke_key(&self, request: &Request, id: &str) -> Result<(), ActError> {
        require_admin(request)?;
        self.write_key(request, "keys_revoke", id, None).await
    }

    async fn write_key(
        &self,
        request: &Request,
        action: &str,
        id: &str,
        stored: Option<&StoredKey>,
    ) -> Result<(), ActError> {
        let audit = self.entry(request, format!("key:{id}"), action);
        self.put_key(audit, id, stored).await
    }

    /// Writes a key or session, or takes it away.
    pub(super) async fn put_key(
        &self,
        audit: AuditEntry,
        id: &str,
        stored: Option<&StoredKey>,
    ) -> Result<(), ActError> {
        let stored = stored.map(serde_json::to_string).transpose().map_err(unexpected)?;
        let write = Write::Key { id: id.to_owned(), stored };
        self.commit_apart(write, audit, None).await
    }
}

/// Who automation is that presents the token of the configuration.
pub(super) fn automation() -> Actor {
    Actor {
        name: "admin-token".to_owned(),
        key_id: None,
        role: Role::Admin,
        tenant: None,
        source: None,
        address: None,
    }
}

/// Who holds a key.
pub(super) fn holder(id: &str, key: StoredKey) -> Actor {
    Actor {
        name: key.name,
        key_id: Some(id.to_owned()),
        role: key.role,
        tenant: key.tenant,
        source: key.source,
        address: None,
    }
}

fn require_admin(request: &Request) -> Result<(), ActError> {
    Ok(request.actor.require(Role::Admin).map_err(Refusal::from)?)
}

pub(super) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

pub(super) fn new_id() -> Result<String, StoreError> {
    Ok(hex(&random::<6>()?))
}

/// A token that nobody can guess.
pub(super) fn new_token(prefix: &str, id: &str) -> Result<String, StoreError> {
    Ok(format!("{prefix}{id}_{}", hex(&random::<24>()?)))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Unexpected(error.to_string()))?;
    Ok(bytes)
}

const TOKEN_PREFIX: &str = "tg_";
