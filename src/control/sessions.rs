//! Operators' sessions: what a browser holds instead of a key. Each dies with the key that it was
//! begun with.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{
    ActError, Control, Request,
    keys::{AdminToken, AuthError, automation, digest, holder, new_id, new_token},
};
use crate::{
    cache::keyring::{SessionOf, StoredKey},
    domain::{Actor, Role, Timestamp},
    store::format::hex,
    telemetry::ActDialect,
};

/// An operator's session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Who its holder is: whoever holds the key that it was begun with.
    pub actor: Actor,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// What a request has to say on top, so that it is no other site's. The session's cookie makes
    /// it, so that nobody has to keep it.
    pub csrf_token: String,
}

impl Control {
    /// Tells whose session `cookie` is of.
    pub fn authenticate_session(
        &self,
        admin: Option<&AdminToken>,
        cookie: &str,
    ) -> Result<Session, AuthError> {
        let id = cookie.strip_prefix(COOKIE_PREFIX).and_then(|rest| rest.split_once('_'));
        let (id, _) = id.ok_or(AuthError::InvalidToken)?;
        let stored = self.stored(id)?;
        let now = self.clock.now();
        let is_opened = stored.is_opened_by(&hex(&digest(cookie)), now);
        let of = stored.session_of.filter(|_| is_opened).ok_or(AuthError::InvalidToken)?;
        let actor = match of {
            SessionOf::AdminToken { proof } => {
                let is_of = admin.is_some_and(|admin| proof == proof_of(cookie, admin));
                is_of.then(automation).ok_or(AuthError::InvalidToken)?
            }
            SessionOf::Key { id, sha256 } => {
                let key = self.stored(&id)?;
                let is_of = key.session_of.is_none() && key.is_opened_by(&sha256, now);
                let actor = is_of.then(|| holder(&id, key)).ok_or(AuthError::InvalidToken)?;
                self.keyring.note_use(&id, now);
                actor
            }
        };
        let expires_at = stored.expires_at.ok_or(AuthError::InvalidToken)?;
        let csrf_token = csrf_token(cookie);
        Ok(Session { id: id.to_owned(), actor, expires_at, csrf_token })
    }

    /// Begins a session for whoever presented `token`, which was found to be right. Gives what its
    /// cookie says, too.
    pub async fn begin_session(
        &self,
        request: &Request,
        admin: Option<&AdminToken>,
        token: &str,
        lifetime: Duration,
    ) -> Result<(Session, String), ActError> {
        let actor = request.actor.clone();
        let now = self.clock.now();
        let id = new_id()?;
        let cookie = new_token(COOKIE_PREFIX, &id)?;
        let session_of = match (&actor.key_id, admin) {
            (Some(id), _) => SessionOf::Key { id: id.clone(), sha256: hex(&digest(token)) },
            (None, Some(admin)) => SessionOf::AdminToken { proof: proof_of(&cookie, admin) },
            (None, None) => return Err(ActError::NotThere("key")),
        };
        let key = actor.key_id.as_deref().and_then(|id| self.keyring.find(id));
        let ends = [Some(now.saturating_add(lifetime)), key.and_then(|key| key.expires_at)];
        let expires_at = ends.into_iter().flatten().min().unwrap_or(now);
        let stored = StoredKey {
            name: actor.name.clone(),
            sha256: hex(&digest(&cookie)),
            role: actor.role,
            tenant: actor.tenant.clone(),
            source: actor.source.clone(),
            expires_at: Some(expires_at),
            created_at: now,
            previous: None,
            session_of: Some(session_of),
        };
        let audit = self.entry(request, subject(&id), "session_begin");
        self.put_key(audit, &id, Some(&stored)).await?;
        self.clear_sessions(actor.key_id.as_deref(), now).await;
        let csrf_token = csrf_token(&cookie);
        Ok((Session { id, actor, expires_at, csrf_token }, cookie))
    }

    /// Ends a session, on every instance at once.
    pub async fn end_session(&self, request: &Request, id: &str) -> Result<(), ActError> {
        let audit = self.entry(request, subject(id), "session_end");
        self.put_key(audit, id, None).await
    }

    /// How many sessions were begun with a key and not ended.
    #[must_use]
    pub fn open_sessions(&self, key: &str) -> usize {
        let now = self.clock.now();
        let is_open = |it: &&(String, StoredKey)| {
            it.1.expires_at.is_none_or(|end| end > now) && begun_with(&it.1, Some(key))
        };
        self.keyring.all().iter().filter(is_open).count()
    }

    /// Takes away what is over of the sessions, and the oldest of those that somebody has too many
    /// of. Who signs in clears up, so there are never many.
    async fn clear_sessions(&self, key: Option<&str>, now: Timestamp) {
        let mut sessions = self.keyring.all();
        sessions.retain(|(_, it)| it.session_of.is_some());
        sessions.sort_by_key(|(_, it)| std::cmp::Reverse(it.created_at));
        let is_dead = |it: &StoredKey| {
            it.expires_at.is_some_and(|end| end <= now)
                || matches!(&it.session_of, Some(SessionOf::Key { id, .. })
                    if self.keyring.is_read() && self.keyring.find(id).is_none())
        };
        let (dead, alive): (Vec<_>, Vec<_>) = sessions.into_iter().partition(|(_, it)| is_dead(it));
        let own = alive.into_iter().filter(|(_, it)| begun_with(it, key));
        let request = Request {
            actor: Actor::tollgate(Role::Admin),
            dialect: ActDialect::Native,
            request_id: None,
            expected: None,
            idempotency: None,
        };
        for (id, _) in dead.into_iter().chain(own.skip(OPEN_AT_MOST)).take(CLEARED_AT_ONCE) {
            if let Err(error) = self.end_session(&request, &id).await {
                tracing::debug!(%error, "A session that is over was left: {error}");
            }
        }
    }
}

/// Whether a session was begun with the key of this id, or with the configuration's token.
fn begun_with(session: &StoredKey, key: Option<&str>) -> bool {
    match &session.session_of {
        Some(SessionOf::Key { id, .. }) => key == Some(id),
        Some(SessionOf::AdminToken { .. }) => key.is_none(),
        None => false,
    }
}

fn subject(id: &str) -> String {
    format!("session:{id}")
}

fn proof_of(cookie: &str, admin: &AdminToken) -> String {
    hex(&Sha256::new().chain_update(cookie).chain_update(admin.0).finalize())
}

fn csrf_token(cookie: &str) -> String {
    hex(&Sha256::new().chain_update("csrf ").chain_update(cookie).finalize())
}

const COOKIE_PREFIX: &str = "tgs_";
/// For each key: more are no person's.
const OPEN_AT_MOST: usize = 50;
const CLEARED_AT_ONCE: usize = 8;
