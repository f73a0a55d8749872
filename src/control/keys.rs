//! Operators' keys: who may act, and how that is told.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{ActError, Control, Request};
use crate::{
    cache::keyring::StoredKey,
    domain::{Actor, Refusal, Role, Source, TenantId, Timestamp},
    store::{StoreError, Write, format::hex},
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
pub struct AdminToken([u8; 32]);

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
            let name = "admin-token".to_owned();
            return Ok(Actor {
                name,
                key_id: None,
                role: Role::Admin,
                tenant: None,
                source: None,
                address: None,
            });
        }
        let id = token.strip_prefix(TOKEN_PREFIX).and_then(|rest| rest.split_once('_'));
        let (id, _) = id.ok_or(AuthError::InvalidToken)?;
        let unknown = || {
            if self.keyring.is_read() { AuthError::InvalidToken } else { AuthError::KeysUnread }
        };
        let key = self.keyring.find(id).ok_or_else(unknown)?;
        let is_right = bool::from(key.sha256.as_bytes().ct_eq(hex(&presented).as_bytes()));
        let expired = key.expires_at.is_some_and(|end| end <= self.clock.now());
        if !is_right || expired {
            return Err(AuthError::InvalidToken);
        }
        Ok(Actor {
            name: key.name,
            key_id: Some(id.to_owned()),
            role: key.role,
            tenant: key.tenant,
            source: key.source,
            address: None,
        })
    }

    /// Makes a key.
    pub async fn create_key(&self, request: &Request, new: NewKey) -> Result<MadeKey, ActError> {
        require_admin(request)?;
        let (id, secret) = (hex(&random::<6>()?), hex(&random::<24>()?));
        let token = format!("{TOKEN_PREFIX}{id}_{secret}");
        let stored = StoredKey {
            name: new.name,
            sha256: hex(&digest(&token)),
            role: new.role,
            tenant: new.tenant,
            source: new.source,
            expires_at: new.expires_at,
            created_at: self.clock.now(),
        };
        let json = serde_json::to_string(&stored)
            .map_err(|error| StoreError::Unexpected(error.to_string()))?;
        self.write_key(request, "keys_create", &id, Some(json)).await?;
        Ok(MadeKey { id, stored, token })
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
        stored: Option<String>,
    ) -> Result<(), ActError> {
        let audit = self.entry(request, format!("key:{id}"), action);
        let write = Write::Key { id: id.to_owned(), stored };
        self.commit_apart(write, audit, None).await
    }
}

fn require_admin(request: &Request) -> Result<(), ActError> {
    Ok(request.actor.require(Role::Admin).map_err(Refusal::from)?)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Unexpected(error.to_string()))?;
    Ok(bytes)
}

const TOKEN_PREFIX: &str = "tg_";
