//! Takes away what has lapsed, and puts that on record: every minute, by whoever holds the lease.
//!
//! Nobody waits for it: a restriction is over at its end, whether it was taken away or not.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use crate::{
    control::{ActError, Control, Request, tenure::Tenure},
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
        loop {
            self.tenure.begins().await;
            let mut pause = FIRST_PAUSE;
            while self.tenure.holds() {
                tokio::select! {
                    () = self.tenure.ends() => break,
                    () = tokio::time::sleep(pause.mul_f64(0.75 + 0.5 * fastrand::f64())) => {}
                }
                if let Err(error) = self.once().await {
                    tracing::debug!(%error, "The sweep ended early: {error}");
                }
                pause = EVERY;
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

/// After the lease was taken: what an earlier holder left over need not wait.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_mins(1);
/// So that a sweep after a long outage is no storm.
const AT_MOST: usize = 1000;
