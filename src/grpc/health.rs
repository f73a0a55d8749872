//! `grpc.health.v1`: whether this instance may be asked, as its readiness has it.

use std::pin::Pin;

use futures_util::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status, async_trait, server::NamedService as _};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server,
};

use super::{Authorizer, message::envoy::service::auth::v3::authorization_server as authorization};
use crate::lifecycle::{Phase, Readiness};

/// Tells the health of each service of this listener, which is the same for all.
#[derive(Clone, Debug)]
pub(super) struct Health {
    readiness: Readiness,
}

impl Health {
    /// Tells what `readiness` says.
    pub(super) fn new(readiness: Readiness) -> Self {
        Self { readiness }
    }
}

#[async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("there is no such service"));
        }
        Ok(Response::new(told(serving(self.readiness.phase()))))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = is_known(&request.get_ref().service);
        let mut phases = self.readiness.changes();
        phases.mark_changed();
        let seen = stream::unfold(Some(phases), move |phases| async move {
            let (phase, rest) = next_phase(phases?).await?;
            let status = if is_known { serving(phase) } else { ServingStatus::ServiceUnknown };
            Some((Ok(told(status)), rest))
        });
        Ok(Response::new(Box::pin(seen)))
    }
}

/// The next phase, and what tells the ones after it. Nothing comes after the last: whoever still
/// watches then would keep the process from ending.
async fn next_phase(
    mut phases: watch::Receiver<Phase>,
) -> Option<(Phase, Option<watch::Receiver<Phase>>)> {
    phases.changed().await.ok()?;
    let phase = *phases.borrow_and_update();
    Some((phase, Some(phases).filter(|_| phase != Phase::Withdrawn)))
}

fn is_known(service: &str) -> bool {
    ["", authorization::AuthorizationServer::<Authorizer>::NAME].contains(&service)
}

const fn serving(phase: Phase) -> ServingStatus {
    match phase {
        Phase::Ready => ServingStatus::Serving,
        Phase::Starting | Phase::Withdrawn => ServingStatus::NotServing,
    }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tonic_health::pb::health_server::Health as _;

    use super::*;

    #[tokio::test]
    async fn who_watches_is_told_of_each_phase_and_let_go_after_the_last() {
        let (readiness, latch) = Readiness::new();
        let request = Request::new(HealthCheckRequest::default());
        let mut seen = Health::new(readiness.clone()).watch(request).await.unwrap().into_inner();
        let expected = ServingStatus::NotServing as i32;
        assert_eq!(seen.next().await.unwrap().unwrap().status, expected);
        latch.release();
        assert_eq!(seen.next().await.unwrap().unwrap().status, ServingStatus::Serving as i32);
        readiness.withdraw();
        assert_eq!(seen.next().await.unwrap().unwrap().status, expected);
        assert!(seen.next().await.is_none());
    }

    #[tokio::test]
    async fn a_service_that_is_not_here_has_no_health() {
        let health = Health::new(Readiness::new().0);
        let request = || Request::new(HealthCheckRequest { service: "a.B".to_owned() });
        assert_eq!(health.check(request()).await.unwrap_err().code(), tonic::Code::NotFound);
        let mut seen = health.watch(request()).await.unwrap().into_inner();
        let status = seen.next().await.unwrap().unwrap().status;
        assert_eq!(status, ServingStatus::ServiceUnknown as i32);
    }
}
