//! What happens to a source that restricts too many customers, and who lets it go on.

use sha2::{Digest as _, Sha256};

use super::{ActError, Control, Request};
use crate::{
    cache::guard::{Ticket, Verdict},
    domain::{
        Actor, AuditEntry, CustomerKey, Refusal, Role, Source, action::Plan, audit::AuditOutcome,
        guard::SourceState,
    },
    store::{Idempotency, StoreError, Write, format::hex},
};

impl Control {
    /// Whether the guard lets `plan` be committed; then what counts it until it is heard. A source
    /// that would restrict too many with it is paused.
    pub(super) async fn admit(
        &self,
        request: &Request,
        customer: &CustomerKey,
        plan: &Plan,
    ) -> Result<Option<Ticket>, ActError> {
        if !plan.changed || !plan.act.restricts(&plan.body.restrictions) {
            return Ok(None);
        }
        let source = &plan.act.source;
        match self.guard.ask(source, customer) {
            Verdict::Free(ticket) => Ok(Some(ticket)),
            Verdict::Paused(state) => Err(self.paused(source, &state)),
            Verdict::If(restricted, rule, ticket) => {
                // Most of the time a handful is all there is, and nobody has to be asked.
                if restricted <= rule.limit(0) {
                    return Ok(Some(ticket));
                }
                let customers = self.count_customers().await?;
                if restricted <= rule.limit(customers) {
                    return Ok(Some(ticket));
                }
                let state = SourceState {
                    paused_since: Some(self.clock.now()),
                    restricted: restricted - 1,
                    customers,
                    ..self.guard.state(source)
                };
                self.pause(request, source, &state).await?;
                Err(self.paused(source, &state))
            }
        }
    }

    /// Lets a paused source go on: what has waited is done, and its acts are counted anew a
    /// window later. Says whether it was paused.
    pub async fn resume(&self, request: &Request, source: &Source) -> Result<bool, ActError> {
        request.actor.require(Role::Manager).map_err(Refusal::from)?;
        let before = self.guard.state(source);
        let was_paused = before.paused_since.is_some();
        let write = if was_paused {
            let resumed_at = Some(self.clock.now());
            let state = SourceState { paused_since: None, resumed_at, ..before };
            Write::Source { source: source.clone(), stored: spell(&state)? }
        } else {
            Write::Nothing { customer: None }
        };
        let mut audit = self.source_entry(request, source, "ingest_resume");
        if !was_paused {
            audit.outcome = AuditOutcome::Unchanged;
        }
        self.commit_apart(write, audit, request.idempotency.clone()).await?;
        Ok(was_paused)
    }

    /// How many customers there are, as somebody counted lately.
    pub async fn count_customers(&self) -> Result<u64, StoreError> {
        if let Some(customers) = self.guard.customers() {
            return Ok(customers);
        }
        let customers = self.store.count_customers().await?;
        self.guard.keep_customers(customers);
        Ok(customers)
    }

    /// Pauses `source`, once however many instances find that it should be.
    async fn pause(
        &self,
        request: &Request,
        source: &Source,
        state: &SourceState,
    ) -> Result<(), ActError> {
        let before = state.resumed_at.map(|at| at.to_string()).unwrap_or_default();
        let once = hex(&Sha256::digest(["guard", source.as_str(), &before].join("\0")));
        let idempotency = Idempotency { body_digest: once.clone(), key_digest: once };
        let write = Write::Source { source: source.clone(), stored: spell(state)? };
        let by_guard = Request { actor: Actor::tollgate(Role::Manager), ..request.clone() };
        let audit = self.source_entry(&by_guard, source, "ingest_pause");
        self.commit_apart(write, audit, Some(idempotency)).await
    }

    fn paused(&self, source: &Source, state: &SourceState) -> ActError {
        let since = state.paused_since.unwrap_or_else(|| self.clock.now());
        ActError::SourcePaused { source_name: source.clone(), since }
    }

    fn source_entry(&self, request: &Request, source: &Source, action: &str) -> AuditEntry {
        let subject = format!("source:{source}");
        AuditEntry { source: Some(source.clone()), ..self.entry(request, subject, action) }
    }
}

/// A source's state as the store keeps it.
pub(super) fn spell(state: &SourceState) -> Result<String, StoreError> {
    serde_json::to_string(state).map_err(|error| StoreError::Unexpected(error.to_string()))
}
