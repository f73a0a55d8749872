//! A customer as operators see it: notes and actors included.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    control::Control,
    domain::{
        Access, Code, Customer, CustomerId, Kind, Limit, Obligations, Private, Restriction,
        RestrictionReason, Shared, Source, Status, Timestamp, Token,
    },
    gate::Gate,
};

/// A customer, as JSON.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Customer)]
pub(super) struct Resource {
    customer_id: String,
    tenant_id: String,
    status: Status,
    access: Access,
    /// What restricts it now.
    restrictions: Vec<ShownRestriction>,
    /// What will.
    scheduled: Vec<ShownRestriction>,
    plan: Option<Code>,
    /// The features that it has; `null` until some source says.
    features: Option<BTreeSet<Code>>,
    /// The limits that it has; `null` until some source says.
    limits: Option<BTreeMap<Code, Limit>>,
    obligations: Obligations,
    /// The ids that other systems have for it.
    aliases: BTreeMap<Source, CustomerId>,
    name: Option<String>,
    metadata: BTreeMap<String, String>,
    /// The revision of the customer's last change; what `If-Match` takes.
    pub revision: Option<Token>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// When the customer was erased. Then all the rest is gone, save restrictions and aliases.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    purged_at: Option<Timestamp>,
}

/// A restriction, as JSON.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlacedRestriction)]
pub(super) struct ShownRestriction {
    kind: Kind,
    source: Source,
    reason: RestrictionReason,
    since: Timestamp,
    until: Option<Timestamp>,
    /// Free text for operators.
    notes: Option<String>,
    /// The name of the key that placed it.
    actor: Option<String>,
    /// When the customer was told.
    informed_at: Option<Timestamp>,
}

impl Resource {
    /// Shows `customer` as it is at `now`.
    #[must_use]
    pub(super) fn of(customer: Customer, control: &Control, gate: &Gate) -> Self {
        let now = control.clock.now();
        let Customer { record, private } = customer;
        let body = record.body;
        let shown = |held: &Restriction| ShownRestriction::of(held, &private);
        let partition = control.store.partitions().of(&record.key);
        let revision = control.token(partition, record.revision);
        Self {
            customer_id: record.key.id().to_owned(),
            tenant_id: record.key.tenant().to_owned(),
            status: body.restrictions.status_at(now),
            access: body.restrictions.access_at(now, gate.rules().policy.access),
            restrictions: body.restrictions.in_force_at(now).map(shown).collect(),
            scheduled: body.restrictions.scheduled_at(now).map(shown).collect(),
            plan: body.plan,
            features: body.features.map(Shared::into_inner),
            limits: body.limits.map(Shared::into_inner),
            obligations: *body.obligations,
            aliases: body.aliases.into_inner(),
            revision,
            created_at: body.created_at,
            updated_at: body.updated_at,
            purged_at: body.purged_at,
            name: private.name,
            metadata: private.metadata,
        }
    }

    /// The customer's id.
    #[must_use]
    pub(super) fn customer_id(&self) -> &str {
        &self.customer_id
    }

    /// The restrictions that are still in force.
    #[must_use]
    pub(super) fn remaining(&self) -> Vec<ShownRestriction> {
        self.restrictions.clone()
    }
}

impl ShownRestriction {
    /// Shows `held` with what is kept `private` of it.
    #[must_use]
    pub(super) fn of(held: &Restriction, private: &Private) -> Self {
        let note = private.note_on(held);
        Self {
            kind: held.kind,
            source: held.source.clone(),
            reason: held.reason,
            since: held.since,
            until: held.until,
            notes: note.and_then(|note| note.notes.clone()),
            actor: note.map(|note| note.actor.clone()),
            informed_at: note.and_then(|note| note.informed_at),
        }
    }
}
