//! Forgotten changes that are not written back, because somebody acted on the customer since: an
//! operator decides.

use serde::{Deserialize, Serialize};

use super::{ActError, Control, Request};
use crate::{
    cache::Forgotten,
    domain::{Kind, Refusal, Restrictions, Role, Source, Timestamp, Token, Verb},
    store::{StoreError, Write, format::unexpected},
};

/// A forgotten change that somebody has to decide on.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// Whose it is, as `tenant:id`.
    pub customer: String,
    /// What was done.
    pub verb: Verb,
    /// For which source.
    pub source: Source,
    /// The kind that was placed or lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The customer's restrictions after it, in the history that was lost.
    pub restrictions: Restrictions,
    /// What stands against writing it back.
    pub why: String,
    /// When it was listed.
    pub listed_at: Timestamp,
}

impl Control {
    /// Puts a forgotten change on the list. Every instance that had applied it goes on refusing
    /// whom it restricts until it is settled.
    pub async fn list_conflict(
        &self,
        request: &Request,
        forgotten: &Forgotten,
        why: &str,
    ) -> Result<(), ActError> {
        let change = &forgotten.change;
        let conflict = Conflict {
            customer: change.key.to_string(),
            verb: change.act.verb,
            source: change.act.source.clone(),
            kind: change.act.kind,
            restrictions: change.restrictions.clone(),
            why: why.to_owned(),
            listed_at: self.clock.now(),
        };
        let stored = Some(serde_json::to_string(&conflict).map_err(unexpected)?);
        let write = Write::Conflict { forgotten: forgotten.token.clone(), stored };
        let audit = self.entry(request, change.key.to_string(), "conflict_listed");
        self.commit_apart(write, audit, None).await
    }

    /// Says that the store is right about a forgotten change: nothing is withheld for it any more.
    pub async fn settle_conflict(
        &self,
        request: &Request,
        forgotten: &Token,
    ) -> Result<(), ActError> {
        request.actor.require(Role::Admin).map_err(Refusal::from)?;
        let listed = self.conflicts().await?;
        let found = listed.into_iter().find(|(token, _)| token == forgotten);
        let (_, conflict) = found.ok_or(ActError::NotThere("conflict"))?;
        self.drop_forgotten(request, forgotten, conflict.customer, "conflict_settled").await
    }

    /// Tells every instance that a forgotten change needs nothing any more.
    pub async fn drop_forgotten(
        &self,
        request: &Request,
        forgotten: &Token,
        customer: String,
        action: &str,
    ) -> Result<(), ActError> {
        let write = Write::Conflict { forgotten: forgotten.clone(), stored: None };
        self.commit_apart(write, self.entry(request, customer, action), None).await
    }

    /// What is on the list.
    pub async fn conflicts(&self) -> Result<Vec<(Token, Conflict)>, StoreError> {
        let mut conflicts = Vec::new();
        for partition in self.store.partitions().all() {
            for (token, stored) in self.store.conflicts(partition).await? {
                let token = token.parse().map_err(unexpected)?;
                let read = |error| unexpected(format!("the conflict {token}: {error}"));
                let conflict: Conflict = serde_json::from_str(&stored).map_err(read)?;
                conflicts.push((token, conflict));
            }
        }
        let order = |(token, conflict): &(Token, Conflict)| {
            (conflict.listed_at, token.partition, token.revision)
        };
        conflicts.sort_by_key(order);
        Ok(conflicts)
    }
}
