//! Asks another instance for its snapshot.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;
use ureq::{Agent, Body, http::Response};

use crate::{
    config::{BaseUrl, Config, ConfigError, Secret},
    feed::snapshot_file::{Expected, Snapshot, Unusable},
};

/// Another instance's operator listener.
#[derive(Clone, Debug)]
pub(super) struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    agent: Agent,
    url: BaseUrl,
    token_file: Option<PathBuf>,
}

/// Why it gave none that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    /// It said no.
    #[error("it answered {status}: {message}")]
    Answered { status: u16, message: String },
    /// There is no token to show.
    #[error(transparent)]
    Token(#[from] ConfigError),
    /// It did not answer.
    #[error("it does not answer: {0}")]
    Unreachable(String),
    /// What it gave is not used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

impl Peer {
    pub(super) fn new(url: &BaseUrl, config: &Config) -> Result<Self, ConfigError> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // The token is for that instance alone: not for a proxy, and not for whoever it
            // points to.
            .proxy(None)
            .max_redirects(0)
            .tls_config(config.boot_tls().load(url)?)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let token_file = config.boot_token_file.clone();
        Ok(Self(Arc::new(Inner { agent, url: url.clone(), token_file })))
    }

    pub(super) fn url(&self) -> &BaseUrl {
        &self.0.url
    }

    /// Reads its snapshot.
    pub(super) async fn snapshot(&self, expected: &Expected) -> Result<Snapshot, PeerError> {
        let (peer, expected) = (Arc::clone(&self.0), expected.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let snapshot = Snapshot::parse(&peer.fetch()?)?;
            Ok(expected.check(snapshot)?)
        });
        asked.await.unwrap_or_else(|error| Err(PeerError::Unreachable(error.to_string())))
    }
}

impl Inner {
    fn fetch(&self) -> Result<Vec<u8>, PeerError> {
        // Read at each attempt: it may have been changed meanwhile.
        let read = |path: &PathBuf| Secret::from_file("--boot-token-file", path);
        let token = self.token_file.as_ref().map(read).transpose()?;
        let mut request = self.agent.get(format!("{}/v1/snapshot", self.url));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        let mut response = request.call().map_err(unreachable)?;
        match response.status().as_u16() {
            200 => {
                let body = response.body_mut().with_config().limit(MAX_BYTES).read_to_vec();
                body.map_err(unreachable)
            }
            status => Err(PeerError::Answered { status, message: message_of(&mut response) }),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is called where an error ends")]
fn unreachable(error: ureq::Error) -> PeerError {
    PeerError::Unreachable(error.to_string())
}

fn message_of(response: &mut Response<Body>) -> String {
    #[derive(Deserialize)]
    struct Refused {
        error: Said,
    }
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let body = response.body_mut().with_config().limit(MAX_ERROR_BYTES).read_to_string();
    let said = body.ok().and_then(|body| serde_json::from_str::<Refused>(&body).ok());
    said.map_or_else(|| "this is not an operator listener".to_owned(), |it| it.error.message)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_mins(1);
/// More than ten million restricted customers.
const MAX_BYTES: u64 = 1 << 30;
const MAX_ERROR_BYTES: u64 = 1 << 14;
