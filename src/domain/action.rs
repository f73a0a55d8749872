//! What may be done to a customer, and what it makes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    actor::{Actor, Role, RoleTooWeak},
    change::Act,
    customer::{Customer, Obligations, Private, RecordBody, RestrictionNote},
    entitlement::{Code, Limit},
    key::CustomerId,
    message::Postmark,
    restriction::{Kind, Restriction, RestrictionReason, Restrictions, Source},
    revision::Token,
    shared::Shared,
    time::Timestamp,
};

/// The name of an act, as the audit trail and the log have it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Closes the customer, preserving everything.
    Deactivate,
    /// Soft delete: the same as deactivate, by another door.
    Delete,
    /// Takes all access.
    Disable,
    /// Lifts a disable.
    Enable,
    /// Makes the customer read-only.
    Freeze,
    /// Takes away what has lapsed.
    #[serde(rename = "lapsed")]
    Lapse,
    /// Erases the customer, for ever.
    Purge,
    /// Writes the customer's record.
    Put,
    /// Lifts a deactivate.
    Reactivate,
    /// Lifts a freeze.
    Unfreeze,
}

impl Verb {
    /// Every act.
    pub const ALL: [Self; 10] = [
        Self::Deactivate,
        Self::Delete,
        Self::Disable,
        Self::Enable,
        Self::Freeze,
        Self::Lapse,
        Self::Purge,
        Self::Put,
        Self::Reactivate,
        Self::Unfreeze,
    ];

    /// The six verbs of the operator plane.
    pub const STATUS: [Self; 6] = [
        Self::Disable,
        Self::Enable,
        Self::Freeze,
        Self::Unfreeze,
        Self::Deactivate,
        Self::Reactivate,
    ];

    /// The word used on every wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deactivate => "deactivate",
            Self::Delete => "delete",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Freeze => "freeze",
            Self::Lapse => "lapsed",
            Self::Purge => "purge",
            Self::Put => "put",
            Self::Reactivate => "reactivate",
            Self::Unfreeze => "unfreeze",
        }
    }

    /// The kind that it places, if it restricts.
    #[must_use]
    pub const fn places(self) -> Option<Kind> {
        match self {
            Self::Disable => Some(Kind::Disabled),
            Self::Freeze => Some(Kind::Frozen),
            Self::Deactivate | Self::Delete => Some(Kind::Inactive),
            Self::Enable
            | Self::Lapse
            | Self::Purge
            | Self::Put
            | Self::Reactivate
            | Self::Unfreeze => None,
        }
    }

    /// The kind that it lifts, if it lets back in.
    #[must_use]
    pub const fn lifts(self) -> Option<Kind> {
        match self {
            Self::Enable => Some(Kind::Disabled),
            Self::Unfreeze => Some(Kind::Frozen),
            Self::Reactivate => Some(Kind::Inactive),
            Self::Deactivate
            | Self::Delete
            | Self::Disable
            | Self::Freeze
            | Self::Lapse
            | Self::Purge
            | Self::Put => None,
        }
    }
}

/// Something to be done to one customer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Action {
    /// Its name.
    pub verb: Verb,
    /// For which source; the actor's own when it is not said.
    pub source: Option<Source>,
    /// What is said about the restriction, if one is placed or lifted.
    pub placement: Placement,
    /// Whether a customer that is not known is made.
    pub create: bool,
    /// What is written to the record.
    pub fields: Fields,
    /// The kind that the source is to hold from now on: `Some(None)` for none at all.
    pub status: Option<Option<Kind>>,
    /// The message that asks for it, if one does.
    pub postmark: Option<Postmark>,
    /// The revision of the change that this one writes back, after the store had forgotten it.
    pub recovers: Option<Token>,
    /// Whether somebody imports it, who answers for it.
    pub imported: bool,
}

impl Action {
    /// A plain act by `verb`.
    #[must_use]
    pub fn of(verb: Verb) -> Self {
        Self {
            verb,
            source: None,
            placement: Placement::default(),
            create: verb == Verb::Put,
            fields: Fields::default(),
            status: None,
            postmark: None,
            recovers: None,
            imported: false,
        }
    }

    /// For which source it is done when `actor` asks for it.
    #[must_use]
    pub fn source_for(&self, actor: &Actor) -> Source {
        let own = || actor.source.clone().unwrap_or_else(Source::operator);
        self.source.clone().unwrap_or_else(own)
    }

    /// The weakest role that may ask for it, whatever the customer's restrictions.
    #[must_use]
    pub fn needs(&self, actor: &Actor) -> Role {
        if self.verb == Verb::Purge {
            return Role::Admin;
        }
        let own = actor.source.clone().unwrap_or_else(Source::operator);
        let for_another = self.source.as_ref().is_some_and(|source| *source != own);
        if for_another || self.writes_record() { Role::Manager } else { Role::Support }
    }

    /// Whether it writes more than restrictions.
    fn writes_record(&self) -> bool {
        !self.fields.is_empty() || (self.verb == Verb::Put && self.status.is_none())
    }
}

/// What is said about a restriction that is placed or lifted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Placement {
    /// Why.
    pub reason: Option<RestrictionReason>,
    /// From when; now, when it is not said.
    pub since: Option<Timestamp>,
    /// Until when; without end, when it is not said.
    pub until: Option<Timestamp>,
    /// Free text for operators.
    pub notes: Option<String>,
    /// When the customer was told.
    pub informed_at: Option<Timestamp>,
    /// Who placed it; whoever asks for it, when it is not said.
    pub placed_by: Option<String>,
}

/// Record fields to write: outer `None` leaves a field, inner `None` clears it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fields {
    /// The customer's name.
    pub name: Option<Option<String>>,
    /// Whatever operators keep beside it.
    pub metadata: Option<Option<BTreeMap<String, String>>>,
    /// The plan's code.
    pub plan: Option<Option<Code>>,
    /// The features it has.
    pub features: Option<Option<BTreeSet<Code>>>,
    /// The limits it has.
    pub limits: Option<Option<BTreeMap<Code, Limit>>>,
    /// What stands against closing it.
    pub obligations: Option<Option<Obligations>>,
    /// Its ids in other systems.
    pub aliases: Option<Option<BTreeMap<Source, CustomerId>>>,
}

impl Fields {
    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn write(&self, body: &mut RecordBody, private: &mut Private, now: Timestamp) {
        if let Some(name) = &self.name {
            private.name.clone_from(name);
        }
        if let Some(metadata) = &self.metadata {
            private.metadata = metadata.clone().unwrap_or_default();
        }
        if let Some(plan) = &self.plan {
            body.plan.clone_from(plan);
        }
        if let Some(features) = &self.features {
            body.features = features.clone().map(Shared::from);
        }
        if let Some(limits) = &self.limits {
            let mut limits = limits.clone();
            for limit in limits.iter_mut().flat_map(BTreeMap::values_mut) {
                if limit.used.is_some() {
                    limit.used_at.get_or_insert(now);
                }
            }
            body.limits = limits.map(Shared::from);
        }
        if let Some(obligations) = self.obligations {
            body.obligations = obligations.unwrap_or_default().into();
        }
        if let Some(aliases) = &self.aliases {
            body.aliases = aliases.clone().unwrap_or_default().into();
        }
    }
}

/// What an action makes of a customer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// The record after it.
    pub body: RecordBody,
    /// The private part after it.
    pub private: Private,
    /// What was done, for the log.
    pub act: Act,
    /// Whether anything that can be seen is different from before.
    pub changed: bool,
    /// Whether there is anything to write: a message that changes nothing is remembered too.
    pub writes: bool,
    /// Whether anything of the record beside the restrictions is.
    pub entitlements_changed: bool,
}

/// Works out what `action` makes of `current`, or why it may not be done. Nothing is changed.
pub fn plan(
    current: Option<&Customer>,
    action: &Action,
    actor: &Actor,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    actor.require(action.needs(actor))?;
    let source = action.source_for(actor);
    let placing = action.verb.places().or(action.status.flatten());
    if current.is_none() && action.verb == Verb::Lapse {
        return Err(Refusal::NothingLapsed);
    }
    if current.is_none() && !(action.create && (placing.is_some() || action.verb == Verb::Put)) {
        return Err(Refusal::CustomerUnknown);
    }
    let fresh = || RecordBody { created_at: now, updated_at: now, ..RecordBody::default() };
    let before = current.map_or_else(fresh, |customer| customer.record.body.clone());
    let private_before = current.map(|customer| customer.private.clone()).unwrap_or_default();
    let (mut body, mut private) = (before.clone(), private_before.clone());
    if action.verb == Verb::Purge && before.purged_at.is_none() {
        settled(&before.obligations)?;
        (body, private) = (before.purged(now), Private::default());
    } else if before.purged_at.is_some() && action.writes_record() {
        return Err(Refusal::CustomerPurged);
    }
    let tells_status = action.status.is_some() || action.verb != Verb::Put;
    let order = if tells_status { &before.last_messages } else { &before.last_entitlements };
    let remembered = |postmark: &Postmark| postmark.after(order.get(&source), now);
    let remembered = action.postmark.as_ref().map(remembered).transpose()?;

    // What happened a while ago began then.
    let sent = action.postmark.as_ref().map(|postmark| postmark.dated.at());
    let begins = sent.map_or(now, |sent| sent.min(now));
    action.fields.write(&mut body, &mut private, now);
    let restrictions = body.restrictions;
    let mut sole = SourceHand { source: &source, actor, now, begins, restrictions, private };
    sole.act(action, placing, &body.obligations)?;
    let SourceHand { restrictions, private, .. } = sole;
    body.restrictions = restrictions;
    // What is written back is told to everybody, also if it makes no difference.
    let is_news = current.is_none() || action.recovers.is_some();
    let acted = is_news || body.restrictions != before.restrictions;

    let is_as_shown = body == before && private == private_before;
    let at = remembered.as_ref().map(|last| last.at);
    if let Some(last) = remembered {
        let order =
            if tells_status { &mut body.last_messages } else { &mut body.last_entitlements };
        order.insert(source.clone(), last);
    } else if acted && let Some(last) = body.last_messages.get_mut(&source) {
        last.forget_text();
    }
    let changed = is_news || !is_as_shown;
    if changed {
        body.updated_at = now;
    }
    let kind = placing.or(action.verb.lifts()).filter(|_| acted);
    let placed = kind.and_then(|kind| body.restrictions.held_by(&source, kind));
    let act = Act {
        verb: action.verb,
        kind,
        reason: placed.map(|held| held.reason),
        since: placed.map(|held| held.since),
        until: placed.and_then(|held| held.until),
        at,
        exact: acted && action.status.is_some(),
        imported: action.imported,
        recovers: action.recovers.clone(),
        source: source.clone(),
    };
    let entitlements_changed =
        body.changes_entitlements_of(current.map(|known| &known.record.body));
    let writes = changed || body != before;
    Ok(Plan { body, private, act, changed, writes, entitlements_changed })
}

/// Why an action may not be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Another customer has the alias.
    #[error("another customer has the alias")]
    AliasTaken,
    /// The customer was erased.
    #[error("the customer was purged; nothing but its restrictions is kept of it")]
    CustomerPurged,
    /// There is no such customer.
    #[error("there is no such customer")]
    CustomerUnknown,
    /// The end does not lie after the start.
    #[error("`until` must lie after `since`")]
    EndsBeforeStart,
    /// Subscriptions are running.
    #[error("the customer has active subscriptions")]
    HasActiveSubscriptions,
    /// Orders are not finished.
    #[error("the customer has pending orders")]
    HasPendingOrders,
    /// Devices have not come back.
    #[error("the customer has unreturned devices")]
    HasUnreturnedDevices,
    /// The idempotency key stands for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Somebody else kept changing the customer.
    #[error("the customer was changed meanwhile, again and again")]
    KeptChanging,
    /// A message says that it comes from the future.
    #[error("`at` must not be more than 5 minutes ahead")]
    MessageAhead,
    /// A message is older than the last one of its source that was applied.
    #[error("a later message of the same source was applied before")]
    MessageOutdated,
    /// A message came before.
    #[error("the same message was applied before")]
    MessageRepeated,
    /// The customer is not at the revision that was asked for.
    #[error("the customer is not at the revision asked for")]
    NotAtRevision,
    /// Nothing of the source has lapsed.
    #[error("nothing of this source has lapsed")]
    NothingLapsed,
    /// A status and other fields of a known customer are written without saying of which revision.
    #[error("is required when `status` and other fields of a known customer are written")]
    RevisionRequired,
    /// The actor may not.
    #[error(transparent)]
    RoleTooWeak(#[from] RoleTooWeak),
}

impl Refusal {
    /// The code that names it on every wire.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CustomerPurged => "CUSTOMER_PURGED",
            Self::CustomerUnknown => "NOT_FOUND",
            Self::EndsBeforeStart | Self::MessageAhead | Self::RevisionRequired => {
                "VALIDATION_ERROR"
            }
            Self::HasActiveSubscriptions => "CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS",
            Self::HasPendingOrders => "CUSTOMER_HAS_PENDING_ORDERS",
            Self::HasUnreturnedDevices => "CUSTOMER_HAS_UNRETURNED_DEVICES",
            Self::AliasTaken | Self::KeptChanging | Self::NothingLapsed => "CONFLICT",
            Self::KeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::MessageOutdated => "MESSAGE_OUTDATED",
            Self::MessageRepeated => "MESSAGE_REPEATED",
            Self::NotAtRevision => "PRECONDITION_FAILED",
            Self::RoleTooWeak(_) => "INSUFFICIENT_ROLE",
        }
    }

    /// Whether there was nothing to do, so that nobody was refused anything: it is counted, and
    /// not put on record.
    #[must_use]
    pub const fn is_moot(&self) -> bool {
        matches!(self, Self::MessageOutdated | Self::MessageRepeated | Self::NothingLapsed)
    }
}

/// The restrictions as one source may touch them.
struct SourceHand<'a> {
    source: &'a Source,
    actor: &'a Actor,
    now: Timestamp,
    /// From when it restricts, when nothing is said.
    begins: Timestamp,
    restrictions: Restrictions,
    private: Private,
}

impl SourceHand<'_> {
    /// Does to the restrictions what `action` asks for: it places `placing`.
    fn act(
        &mut self,
        action: &Action,
        placing: Option<Kind>,
        obligations: &Obligations,
    ) -> Result<(), Refusal> {
        if action.verb == Verb::Lapse {
            return self.lift_lapsed();
        }
        if let Some(kept) = action.status {
            for kind in Kind::ALL.into_iter().filter(|kind| Some(*kind) != kept) {
                self.lift(kind)?;
            }
        }
        if let Some(kind) = placing {
            let held = self.restrictions.held_by(self.source, kind);
            if kind == Kind::Inactive && !held.is_some_and(|held| held.in_force_at(self.now)) {
                settled(obligations)?;
            }
            self.place(kind, &action.placement)?;
        }
        if let Some(kind) = action.verb.lifts() {
            self.lift(kind)?;
        }
        Ok(())
    }

    /// Lifts what is over. Clocks differ, so it has to be over for a while.
    fn lift_lapsed(&mut self) -> Result<(), Refusal> {
        let moment = self.now.saturating_sub(LAPSE_AFTER);
        let own = |held: &&Restriction| held.source == *self.source && held.lapsed_at(moment);
        let lapsed: Vec<_> = self.restrictions.iter().filter(own).map(|held| held.kind).collect();
        if lapsed.is_empty() {
            return Err(Refusal::NothingLapsed);
        }
        lapsed.into_iter().try_for_each(|kind| self.lift(kind))
    }

    fn place(&mut self, kind: Kind, said: &Placement) -> Result<(), Refusal> {
        let held = self.held(kind);
        let unsaid = match kind {
            Kind::Inactive => RestrictionReason::AccountClosure,
            Kind::Disabled | Kind::Frozen => RestrictionReason::Other,
        };
        let kept_reason = held.map_or(unsaid, |held| held.reason);
        let kept_since = held.map_or(self.begins, |held| held.since);
        let kept_note = held.and_then(|held| self.private.note_on(held)).cloned();
        let placed = Restriction {
            kind,
            source: self.source.clone(),
            reason: said.reason.unwrap_or(kept_reason),
            since: said.since.unwrap_or(kept_since),
            until: said.until,
        };
        if placed.until.is_some_and(|until| until <= placed.since) {
            return Err(Refusal::EndsBeforeStart);
        }
        let note = RestrictionNote {
            source: self.source.clone(),
            kind,
            actor: said.placed_by.clone().unwrap_or_else(|| self.actor.name.clone()),
            notes: said.notes.clone().or_else(|| kept_note.as_ref()?.notes.clone()),
            informed_at: said.informed_at.or_else(|| kept_note.as_ref()?.informed_at),
        };
        let says_the_same = |kept: &RestrictionNote| {
            (&kept.notes, kept.informed_at) == (&note.notes, note.informed_at)
        };
        if held == Some(&placed) && kept_note.as_ref().is_some_and(says_the_same) {
            return Ok(());
        }
        self.may_touch(kind)?;
        self.restrictions = self.restrictions.with(placed);
        self.private.keep_note(note);
        Ok(())
    }

    fn lift(&mut self, kind: Kind) -> Result<(), Refusal> {
        self.may_touch(kind)?;
        self.restrictions = self.restrictions.without(self.source, kind);
        self.private.drop_note(self.source, kind);
        Ok(())
    }

    /// What the source holds of `kind`. One that has lapsed is over: it protects nothing any more,
    /// and what is placed now begins now.
    fn held(&self, kind: Kind) -> Option<&Restriction> {
        let held = self.restrictions.held_by(self.source, kind);
        held.filter(|held| held.until.is_none_or(|until| self.now < until))
    }

    fn may_touch(&self, kind: Kind) -> Result<(), Refusal> {
        match self.held(kind) {
            Some(held) if held.reason.is_sensitive() => Ok(self.actor.require(Role::Manager)?),
            _ => Ok(()),
        }
    }
}

fn settled(obligations: &Obligations) -> Result<(), Refusal> {
    if obligations.active_subscriptions > 0 {
        Err(Refusal::HasActiveSubscriptions)
    } else if obligations.pending_orders > 0 {
        Err(Refusal::HasPendingOrders)
    } else if obligations.unreturned_devices > 0 {
        Err(Refusal::HasUnreturnedDevices)
    } else {
        Ok(())
    }
}

/// How long after its end a restriction is taken away.
pub const LAPSE_AFTER: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests;
