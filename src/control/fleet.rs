//! Puts every instance into shadow for a while, and out of it.

use std::time::Duration;

use super::{ActError, Control, Request};
use crate::{
    domain::{Refusal, Role, audit::AuditOutcome, fleet::FleetShadow},
    store::Write,
};

impl Control {
    /// Puts every instance into shadow from now on, for this long. Says what is in force then.
    pub async fn shadow_fleet(
        &self,
        request: &Request,
        lasts: Duration,
    ) -> Result<Option<FleetShadow>, ActError> {
        request.actor.require(Role::Admin).map_err(Refusal::from)?;
        let shadow = FleetShadow { until: self.clock.now().saturating_add(lasts) };
        let mut audit = self.entry(request, FLEET.to_owned(), "fleet_shadow");
        audit.notes = Some(format!("until {}", shadow.until));
        let write = Write::Fleet { shadow: Some(shadow) };
        let committed = self.committed_apart(write, audit, request.idempotency.clone()).await?;
        Ok(if committed.replayed { self.fleet.shadow() } else { Some(shadow) })
    }

    /// Lets every instance enforce what its policy says again. Says whether they did not.
    pub async fn enforce_fleet(&self, request: &Request) -> Result<bool, ActError> {
        request.actor.require(Role::Admin).map_err(Refusal::from)?;
        let was_in_shadow = self.fleet.shadow().is_some();
        let mut audit = self.entry(request, FLEET.to_owned(), "fleet_enforce");
        if !was_in_shadow {
            audit.outcome = AuditOutcome::Unchanged;
        }
        // Also where nothing is heard of a shadow: it may have begun a moment ago.
        let write = Write::Fleet { shadow: None };
        self.commit_apart(write, audit, request.idempotency.clone()).await?;
        Ok(was_in_shadow)
    }
}

const FLEET: &str = "fleet";
