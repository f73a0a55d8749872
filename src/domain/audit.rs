//! What the audit trail keeps of every act.

pub mod archive;
pub mod batch;
pub mod chain;
mod filter;
pub mod head;
pub mod notes;

pub use filter::{AuditAction, AuditFilter, UnknownAction, UnknownOutcome};

use serde::{Deserialize, Serialize};

use self::batch::Batch;
use super::{
    actor::{Actor, Role},
    key::Partition,
    restriction::{RestrictionReason, Restrictions, Source},
    revision::Revision,
    time::Timestamp,
};

/// One entry of the audit trail. Written with the change it tells of, or not at all.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// The customer as `tenant:id`, or the key's id.
    pub subject: String,
    /// What was asked for: a verb.
    pub action: String,
    /// What came of it.
    pub outcome: AuditOutcome,
    /// Why it was refused, as the error code says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Who asked.
    pub actor: AuditActor,
    /// In which API shape it came.
    pub dialect: String,
    /// For which source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// With which reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RestrictionReason>,
    /// Free text for operators, once it is read with the entry. What is written is kept beside it,
    /// under [`AuditEntry::notes_digest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The digest of the notes, if there are any. Those of an erased customer are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes_digest: Option<String>,
    /// When the customer was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub informed_at: Option<Timestamp>,
    /// Restrictions before.
    pub before: Restrictions,
    /// Restrictions after.
    pub after: Restrictions,
    /// The request's id, as the logs have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What was done to many customers at once, if that is what it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Box<Batch>>,
    /// When it was asked for, by the clock of the instance that was asked.
    pub at: Timestamp,
}

/// Who asked for an act, as the trail keeps it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditActor {
    /// The key's name.
    pub name: String,
    /// The key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Its role.
    pub role: Role,
    /// Where the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl From<&Actor> for AuditActor {
    fn from(actor: &Actor) -> Self {
        Self {
            name: actor.name.clone(),
            key_id: actor.key_id.clone(),
            role: actor.role,
            address: actor.address.clone(),
        }
    }
}

/// What came of an act.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// Something changed.
    Changed,
    /// It was refused.
    Refused,
    /// Everything was so already.
    Unchanged,
}

/// An entry as the store returns it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredAudit {
    /// The partition whose trail it is in.
    pub partition: Partition,
    /// Its place in that trail.
    pub id: String,
    /// The partition's revision when it was written.
    pub revision: Revision,
    /// What it says, as it was written.
    pub entry: AuditEntry,
    /// The link to the entry before it.
    pub chain: String,
}
