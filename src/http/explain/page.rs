//! A whole explanation, as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Question,
    standing::{Context, Standing},
    verdict::Explanation,
};
use crate::{
    cache::Forgotten,
    control::Control,
    domain::{
        Customer, CustomerKey, Epoch, Freshness, Kind, Missing, Restriction, RestrictionReason,
        Restrictions, Source, Timestamp, Token,
        audit::{AuditActor, StoredAudit},
    },
    gate::explain::{Explained, RecordState, Seen},
    http::{OperatorPlane, authenticate::Caller, openapi::words},
    wire,
};

/// What the store says beside the decision; nothing of what it did not answer.
pub(super) struct Stored {
    pub(super) answered: bool,
    pub(super) customer: Option<Customer>,
    pub(super) transitions: Option<Vec<Transition>>,
}

/// The whole explanation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Explanation)]
pub(super) struct Page {
    customer_id: String,
    tenant_id: String,
    /// Whether there is such a customer; `null` if that cannot be told now.
    known: Option<bool>,
    #[schema(schema_with = words::status_or_unknown)]
    status: &'static str,
    #[schema(schema_with = words::access_or_unknown)]
    access: &'static str,
    questions: Vec<Explanation>,
    restrictions: Vec<Standing>,
    scheduled: Vec<Standing>,
    /// Over, and not taken away yet.
    lapsed: Vec<Standing>,
    record: RecordShown,
    store: StoreShown,
    /// Acts that the store forgot: whom they restricted stays refused until they are settled.
    withheld: Vec<WithheldShown>,
    fleet: FleetShown,
    paused_sources: Vec<PausedSource>,
    policy: PolicyShown,
    /// The last changes of what restricts the customer, the newest first; `null` if the store did
    /// not tell them.
    transitions: Option<Vec<Transition>>,
}

impl Page {
    pub(super) fn of(
        plane: &OperatorPlane,
        caller: &Caller,
        key: &CustomerKey,
        asked: &Question,
        explained: &Explained,
        stored: Stored,
    ) -> Self {
        let (control, gate) = (&plane.operators.control, &plane.plane.gate);
        let Explained { verdicts, seen } = explained;
        let rules = gate.rules();
        let (restrictions, now) = (&seen.restrictions, seen.now);
        let customer = stored.customer.as_ref();
        let private = customer.map(|customer| customer.private.clone()).unwrap_or_default();
        let default = plane.plane.identity.default_tenant.as_ref();
        let is_default = default.is_some_and(|tenant| tenant.as_str() == key.tenant());
        let context = Context { control, caller, key, private: &private, is_default };
        let standing = |held: &Restriction| Standing::of(held, &context);
        let is_known = seen.is_known();
        let status = is_known.filter(|known| *known).map(|_| restrictions.status_at(now));
        let left = rules.policy.access;
        Self {
            customer_id: key.id().to_owned(),
            tenant_id: key.tenant().to_owned(),
            known: is_known,
            status: wire::status_word(status),
            access: wire::access_word(status.map(|_| restrictions.access_at(now, left))),
            questions: verdicts
                .iter()
                .map(|verdict| Explanation::of(verdict, asked, seen, &rules))
                .collect(),
            restrictions: restrictions.in_force_at(now).map(standing).collect(),
            scheduled: restrictions.scheduled_at(now).map(standing).collect(),
            lapsed: restrictions.iter().filter(|it| it.lapsed_at(now)).map(standing).collect(),
            record: RecordShown::of(seen),
            store: StoreShown::of(seen, control, &stored),
            withheld: seen.forgotten.iter().map(|it| WithheldShown::of(it)).collect(),
            fleet: FleetShown { shadow_until: control.fleet.shadow().map(|it| it.until) },
            paused_sources: PausedSource::all(control),
            policy: PolicyShown {
                hash: rules.hash.clone(),
                routes: rules.route_count,
                mode: rules.policy.mode.as_str(),
            },
            transitions: stored.transitions,
        }
    }
}

/// What the answers stand on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainedRecord)]
struct RecordShown {
    /// `known`, `absent`, `unreadable`, `not_needed`, `store_unreachable` or `overloaded`.
    state: &'static str,
    /// `memory`, `store` when it was read for this, or `none`.
    from: &'static str,
    /// The revision that the answers stand on.
    revision: Option<Token>,
    /// The revision of the entry in the restricted set, for one who is in it.
    restricted_at: Option<u64>,
    age_ms: Option<u64>,
    stale: bool,
    too_stale: bool,
    /// Whether the picture in memory is doubtful.
    suspect: bool,
    epoch: Option<Epoch>,
    partition: u16,
}

impl RecordShown {
    fn of(seen: &Seen) -> Self {
        let state = match seen.record {
            RecordState::Absent => "absent",
            RecordState::Known => "known",
            RecordState::Missing(Missing::Overloaded) => "overloaded",
            RecordState::Missing(Missing::Unreachable) => "store_unreachable",
            RecordState::NotNeeded => "not_needed",
            RecordState::Purged => "purged",
            RecordState::Unreadable => "unreadable",
        };
        let from = match (&seen.held, seen.was_read) {
            (None, _) => "none",
            (Some(_), true) => "store",
            (Some(_), false) => "memory",
        };
        let age = seen.staleness.age;
        Self {
            state,
            from,
            revision: seen.revision.clone(),
            restricted_at: seen.restricted_at.map(|revision| revision.0),
            age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            stale: seen.stale,
            too_stale: seen.staleness.judge() == Freshness::TooStale,
            suspect: seen.staleness.suspect,
            epoch: seen.epoch.clone(),
            partition: seen.partition.0,
        }
    }
}

/// How the store stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainedStore)]
struct StoreShown {
    /// Whether it answered when it was asked for this.
    answered: bool,
    /// The revision of the record that it has now, which may be newer than what decided.
    revision: Option<Token>,
    /// Whether what is read from it is taken.
    believed: bool,
    /// Why it is not believed, if something is wrong with it.
    lost: Option<&'static str>,
    connected: bool,
    phase: &'static str,
}

impl StoreShown {
    fn of(seen: &Seen, control: &Control, stored: &Stored) -> Self {
        let part = control.feed.borrow().of(seen.partition);
        let revision = stored.customer.as_ref().map(|customer| customer.record.revision);
        Self {
            answered: stored.answered,
            revision: revision.and_then(|it| control.token(seen.partition, it)),
            believed: seen.store_believed,
            lost: part.lost,
            connected: part.connected,
            phase: part.phase,
        }
    }
}

/// An act that the store forgot.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WithheldAct)]
struct WithheldShown {
    revision: Token,
    action: &'static str,
    source: Source,
    kind: Option<Kind>,
    reason: Option<RestrictionReason>,
    /// Whether somebody has to decide about it: `tollgate store conflicts`.
    in_conflict: bool,
}

impl WithheldShown {
    fn of(forgotten: &Forgotten) -> Self {
        let act = &forgotten.change.act;
        Self {
            revision: forgotten.token.clone(),
            action: act.verb.as_str(),
            source: act.source.clone(),
            kind: act.kind,
            reason: act.reason,
            in_conflict: forgotten.in_conflict,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ExplainedFleet)]
struct FleetShown {
    /// Until when the whole fleet is in shadow, while it is.
    shadow_until: Option<Timestamp>,
}

/// A source that restricts nobody now.
#[derive(Serialize, ToSchema)]
struct PausedSource {
    source: Source,
    since: Timestamp,
}

impl PausedSource {
    fn all(control: &Control) -> Vec<Self> {
        let states = control.guard.states().into_iter();
        let paused = states.filter(|(source, _)| control.guard.is_paused(source));
        paused
            .filter_map(|(source, state)| Some(Self { source, since: state.paused_since? }))
            .collect()
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = ExplainedPolicy)]
struct PolicyShown {
    hash: Option<String>,
    routes: usize,
    #[schema(schema_with = words::mode)]
    mode: &'static str,
}

/// An act that changed what restricts the customer.
#[derive(Serialize, ToSchema)]
pub(super) struct Transition {
    at: Timestamp,
    revision: Option<Token>,
    actor: AuditActor,
    action: String,
    source: Option<Source>,
    reason: Option<RestrictionReason>,
    notes: Option<String>,
    /// What restricted the customer before it, in force or not.
    before: Restrictions,
    after: Restrictions,
}

impl Transition {
    pub(super) fn of(stored: StoredAudit, control: &Control) -> Self {
        let StoredAudit { partition, revision, entry, .. } = stored;
        Self {
            at: entry.at,
            revision: control.token(partition, revision),
            actor: entry.actor,
            action: entry.action,
            source: entry.source,
            reason: entry.reason,
            notes: entry.notes,
            before: entry.before,
            after: entry.after,
        }
    }
}
