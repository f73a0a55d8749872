//! `envoy.service.auth.v3.Authorization`: Envoy's question in, its answer out.

use axum::http::HeaderName;
use tonic::{Request, Response, Status, async_trait};

use super::{
    deadline::Deadline,
    message::envoy::service::auth::v3::{
        CheckRequest, CheckResponse, authorization_server::Authorization,
    },
    question::{self, Malformed, Question, Said},
    verdict::{missed, verdict},
};
use crate::{
    clock::Clock,
    domain::{Decision, Enforced, Outcome, Reason, Route},
    gate::{Answer, Gate},
    identify::IdentitySource,
    telemetry::{Dialect, Metrics, event::RouteSettingMalformed},
};

/// What external authorization works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authorizer {
    /// Decides.
    pub gate: Gate,
    /// Tells how long that took.
    pub clock: Clock,
    /// Counts it.
    pub metrics: Metrics,
    /// Tells who a request is about.
    pub identity: IdentitySource,
    /// The header in which Envoy asks for a minimum revision; nothing when none is read.
    pub min_revision_header: Option<HeaderName>,
}

#[async_trait]
impl Authorization for Authorizer {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        // A gateway that traces tells of its call to here in the metadata. Beyond that there is only
        // what its own caller told.
        let traces = self.gate.settings().traces.as_ref();
        match traces.filter(|traces| traces.callers_place().is_none()) {
            Some(traces) => {
                let told = Said::by(request.get_ref(), &self.identity).trace_context();
                let caller = traces.caller(&told);
                caller.within(self.checked(request)).await
            }
            None => self.checked(request).await,
        }
    }
}

impl Authorizer {
    async fn checked(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let deadline = request.extensions().get::<Deadline>().copied();
        let deadline = deadline.unwrap_or_else(|| Deadline::none(self.clock.moment()));
        let min_revision = self.min_revision_header.as_ref();
        let asked = {
            let said = Said::by(request.get_ref(), &self.identity);
            question::read(&said, &self.identity, min_revision, &self.gate.rules())
        };
        let answer = self.decide(&asked, deadline).await.ok_or_else(missed)?;
        verdict(&answer, &asked).map(Response::new)
    }

    /// The answer, on record; nothing when its caller waits for none any more.
    pub(super) async fn decide(&self, asked: &Question, deadline: Deadline) -> Option<Answer> {
        let check = asked.check.as_ref();
        let understood = check.filter(|_| asked.malformed.is_none());
        // Its message may have come long after its head, and memory is as old as it is now.
        let now = self.clock.moment();
        let answer = match understood.and_then(|it| self.gate.check_now(it, now)) {
            Some(answer) => Some(answer),
            None => Box::pin(self.answer(asked, deadline)).await,
        };
        let Some(answer) = answer.filter(|_| self.is_awaited(deadline)) else {
            self.metrics.deadlines_missed.increment(1);
            self.gate.tell_missed(Dialect::EnvoyGrpc, check, deadline.begun);
            return None;
        };
        if let Some(untold) = self.gate.tell(Dialect::EnvoyGrpc, check, &answer, deadline.begun) {
            untold.tell().await;
        }
        Some(answer)
    }

    /// The answer; nothing when its caller waits for none any more.
    async fn answer(&self, asked: &Question, deadline: Deadline) -> Option<Answer> {
        let left = deadline.left(&self.clock)?;
        // The answer has to travel, too.
        let patience = left.saturating_sub(left / 4);
        let decided = match &asked.check {
            Some(check) => Some(self.gate.check_within(check, self.clock.moment(), patience).await),
            None => None,
        };
        match &asked.malformed {
            None => decided,
            Some(malformed) => Some(self.not_understood(malformed, decided)),
        }
    }

    fn is_awaited(&self, deadline: Deadline) -> bool {
        deadline.left(&self.clock).is_some()
    }

    /// What is asked of the route cannot be told, so it is not known whether it is given. Only what
    /// is refused without it stays refused.
    fn not_understood(&self, malformed: &Malformed, decided: Option<Answer>) -> Answer {
        let Malformed { key, value, rule } = malformed;
        RouteSettingMalformed { key, value, rule }.emit(&self.metrics);
        let reason = Reason::EntitlementUnknown;
        let (decision, revision, age, stale) = match decided {
            Some(answer) if answer.decision.outcome() == Outcome::Deny => return answer,
            Some(Answer { decision, revision, age, stale, .. }) => {
                (Decision { reason, ..decision }, revision, age, stale)
            }
            None => (Decision::about_nobody(reason), None, None, false),
        };
        let fleet = self.gate.settings().fleet.mode(self.clock.now());
        let enforced = self.gate.rules().policy.enforce(&decision, &Route::Unrouted, fleet);
        let Enforced { mode, enforcement, .. } = enforced;
        Answer { decision, enforcement, mode, revision, age, stale, http_status: None }
    }
}
