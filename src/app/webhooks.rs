//! The systems that call back, and their secrets as their files have them.

use std::convert::Infallible;

use super::{ServeError, certificates::told, watched::Watched};
use crate::{
    config::{Config, WebhookEndpoint, WebhookSecrets},
    control::Control,
    gate::Gate,
    http::{self, WebhookPlane},
    lifecycle::Tasks,
    telemetry::{
        Metrics, WebhookSource,
        event::{WebhookSecretsRefused, WebhookSecretsTaken},
    },
};

/// What the webhook listener answers with, and what keeps it current.
pub(super) struct Webhooks {
    pub(super) plane: WebhookPlane,
    files: Vec<SecretFiles>,
}

impl Webhooks {
    /// Takes the secrets from their files. Ones that cannot be used end the start.
    pub(super) fn open(
        config: &Config,
        control: &Control,
        gate: &Gate,
    ) -> Result<Option<Self>, ServeError> {
        let (mut endpoints, mut files) = (Vec::new(), Vec::new());
        for endpoint in config.webhook_endpoints()? {
            let first = endpoint.read()?;
            let secrets = http::WebhookSecrets::new(first.expose());
            endpoints.push(http::WebhookEndpoint {
                kind: endpoint.source,
                source: endpoint.name.clone(),
                bound_to: endpoint.bound_to.clone(),
                tenant: endpoint.tenant.clone(),
                secrets: secrets.clone(),
            });
            files.push(SecretFiles::new(endpoint, first, secrets, control.metrics.clone()));
        }
        if endpoints.is_empty() {
            return Ok(None);
        }
        let (control, gate) = (control.clone(), gate.clone());
        let plane = WebhookPlane { control, gate, endpoints: endpoints.into() };
        Ok(Some(Self { plane, files }))
    }

    /// Keeps the secrets as their files have them.
    pub(super) fn keep_current(self, tasks: &mut Tasks) {
        for files in self.files {
            tasks.spawn_endless("webhook secrets", files.keep_current());
        }
    }
}

/// The files of one source's secrets.
struct SecretFiles {
    source: WebhookSource,
    held: Watched<WebhookSecrets>,
    secrets: http::WebhookSecrets,
    metrics: Metrics,
}

impl SecretFiles {
    fn new(
        endpoint: WebhookEndpoint,
        first: WebhookSecrets,
        secrets: http::WebhookSecrets,
        metrics: Metrics,
    ) -> Self {
        let source = endpoint.source;
        let held = Watched::since(first, move || endpoint.read().map_err(|error| told(&error)));
        Self { source, held, secrets, metrics }
    }

    async fn keep_current(mut self) -> Infallible {
        let source = self.source;
        loop {
            match self.held.change().await {
                Ok(read) => {
                    let secrets = read.expose();
                    let count = secrets.len();
                    self.secrets.replace(secrets);
                    WebhookSecretsTaken { source, count }.emit(&self.metrics);
                }
                Err(why) => WebhookSecretsRefused { source, why }.emit(&self.metrics),
            }
        }
    }
}
