//! Takes away what has lapsed, and puts that on record: every minute, by whoever holds the lease.
//!
//! Nobody waits for it: a restriction is over at its end, whether it was taken away or not.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use crate::{
    control::{
        ActError, Control, Request,
        tenure::{Tenure, Turns},
    },
    domain::{Action, Actor, CustomerKey, Refusal, Role, Source, Verb, action::LAPSE_AFTER},
    telemetry::ActDialect,
};

/// Takes away what has lapsed.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Performs the acts, and knows who is restricted.
    pub control: Control,
    /// Tells whether this instance sweeps.
    pub tenure: Tenure,
}

impl Sweep {
    /// Sweeps for ever, soon after the lease was taken and then every minute.
    pub async fn run(self) -> Infallible {
        let mut turns = Turns::new(self.tenure.clone(), EVERY);
        loop {
            turns.next().await;
            if let Err(error) = self.once().await {
                tracing::debug!(%error, "The sweep ended early: {error}");
            }
        }
    }

    /// Takes away what has lapsed, of some customers at most.
    async fn once(&self) -> Result<(), ActError> {
        let moment = self.control.clock.now().saturating_sub(LAPSE_AFTER);
        let cache = self.control.cache.clone();
        // There may be very many restricted customers to look at.
        let found = tokio::task::spawn_blocking(move || cache.lapsed_at(moment, AT_MOST)).await;
        for (customer, restrictions) in found.unwrap_or_default() {
            let lapsed = restrictions.iter().filter(|held| held.lapsed_at(moment));
            let sources: BTreeSet<_> = lapsed.map(|held| &held.source).collect();
            for source in sources {
                if !self.tenure.holds() {
                    return Ok(());
                }
                self.lapse(&customer, source).await?;
            }
        }
        Ok(())
    }

    async fn lapse(&self, customer: &CustomerKey, source: &Source) -> Result<(), ActError> {
        let request = Request {
            actor: Actor::tollgate(Role::Manager),
            dialect: ActDialect::Sweep,
            request_id: None,
            expected: None,
            idempotency: None,
        };
        let action = Action { source: Some(source.clone()), ..Action::of(Verb::Lapse) };
        match self.control.act(&request, customer, &action).await {
            // Somebody was quicker.
            Err(ActError::Refused(Refusal::NothingLapsed)) | Ok(_) => Ok(()),
            // One customer must not keep the others.
            Err(ActError::Refused(refusal)) => {
                tracing::debug!(customer.id = %customer, %refusal, "Nothing was swept");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

const EVERY: Duration = Duration::from_mins(1);
/// So that a sweep after a long outage is no storm.
const AT_MOST: usize = 1000;
