//! A customer as it is stored: the record that decides, and the private part that does not.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    entitlement::{Code, Limit},
    key::{CustomerId, CustomerKey},
    message::LastMessage,
    restriction::{Kind, Restriction, Restrictions, Source},
    revision::Revision,
    shared::Shared,
    time::Timestamp,
};

/// Everything that is known of one customer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Customer {
    /// What decides, and may be held by any instance.
    pub record: Record,
    /// What only operators may see.
    pub private: Private,
}

/// What decides about one customer, at one revision.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Tenant and id.
    pub key: CustomerKey,
    /// The revision of its last change.
    pub revision: Revision,
    /// The rest.
    pub body: RecordBody,
}

/// A record without its key and revision: what a writer sends and the store completes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordBody {
    /// What limits it, in force, scheduled or lapsed.
    #[serde(default)]
    pub restrictions: Restrictions,
    /// The plan's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Code>,
    /// The features it has; absent until some source says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Shared<BTreeSet<Code>>>,
    /// The limits it has; absent until some source says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Shared<BTreeMap<Code, Limit>>>,
    /// What stands against closing it.
    #[serde(default)]
    pub obligations: Shared<Obligations>,
    /// The same customer's ids in other systems.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: Shared<BTreeMap<Source, CustomerId>>,
    /// The last message of each source that speaks by message, kept after a lift.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last_messages: Shared<BTreeMap<Source, LastMessage>>,
    /// The last message of each source that tells features by message: what it says of the status
    /// has an order of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last_entitlements: Shared<BTreeMap<Source, LastMessage>>,
    /// When the customer was erased, if it was. Nobody knows it then; its restrictions still count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged_at: Option<Timestamp>,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl RecordBody {
    /// What every instance is told of it: who is restricted, and who was erased.
    #[must_use]
    pub fn told(&self) -> Restrictions {
        self.restrictions.clone().of_purged(self.purged_at.is_some())
    }

    /// What is kept of a customer who is erased: the restrictions, so that nobody is let in by it,
    /// and whose ids those are, so that nothing that is heard later makes the customer anew.
    #[must_use]
    pub fn purged(&self, now: Timestamp) -> Self {
        let mut last_messages = self.last_messages.clone();
        last_messages.values_mut().for_each(LastMessage::forget_text);
        Self {
            restrictions: self.restrictions.clone(),
            aliases: self.aliases.clone(),
            last_messages,
            purged_at: Some(now),
            created_at: self.created_at,
            updated_at: now,
            ..Self::default()
        }
    }

    /// Whether anything that a check or the limits endpoint shows, beside the restrictions, is
    /// another than in `before`.
    #[must_use]
    pub fn changes_entitlements_of(&self, before: Option<&Self>) -> bool {
        let beside_restrictions = |body: &Self| Self {
            restrictions: Restrictions::default(),
            last_messages: Shared::default(),
            last_entitlements: Shared::default(),
            updated_at: Timestamp::default(),
            ..body.clone()
        };
        before.is_none_or(|before| beside_restrictions(before) != beside_restrictions(self))
    }
}

/// What has to be settled before a customer can be closed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Obligations {
    /// Subscriptions that are running.
    pub active_subscriptions: u64,
    /// Orders that are not finished.
    pub pending_orders: u64,
    /// Devices that have not come back.
    pub unreturned_devices: u64,
}

/// What only operators may see. It never leaves the operator plane.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Private {
    /// The customer's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whatever operators want to keep beside it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Notes and actor of each restriction.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restriction_notes: Vec<RestrictionNote>,
}

impl Private {
    /// What is kept of the restriction that `source` holds of `kind`.
    #[must_use]
    pub fn note_on(&self, restriction: &Restriction) -> Option<&RestrictionNote> {
        self.restriction_notes.iter().find(|note| note.is_on(&restriction.source, restriction.kind))
    }

    /// Puts `note` in the place of what was kept of the same restriction.
    pub fn keep_note(&mut self, note: RestrictionNote) {
        self.drop_note(&note.source, note.kind);
        self.restriction_notes.push(note);
    }

    /// Forgets what was kept of a lifted restriction.
    pub fn drop_note(&mut self, source: &Source, kind: Kind) {
        self.restriction_notes.retain(|note| !note.is_on(source, kind));
    }
}

/// Who placed a restriction, and what they noted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestrictionNote {
    /// The restriction's source.
    pub source: Source,
    /// The restriction's kind.
    pub kind: Kind,
    /// Who placed it.
    pub actor: String,
    /// Free text for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// When the customer was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub informed_at: Option<Timestamp>,
}

impl RestrictionNote {
    fn is_on(&self, source: &Source, kind: Kind) -> bool {
        self.source == *source && self.kind == kind
    }
}
