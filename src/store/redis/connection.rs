//! Connections to one server, and what its errors mean.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, Pipeline, ProtocolVersion, RedisError, ScriptInvocation, ServerErrorKind,
    aio::{AsyncPushSender, MultiplexedConnection},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio::sync::Mutex;

use crate::store::StoreError;

/// Where the server is, and how to speak to it: RESP3, no delay, and a half-open socket noticed
/// within seconds. Keepalive alone fails while a request is unacknowledged and the user timeout
/// alone fails when idle; both together notice.
pub(super) fn client(url: &str, password: Option<&str>) -> Result<Client, StoreError> {
    let info = url.into_connection_info().map_err(|error| refused(&error))?;
    let mut settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(1))
        .with_interval(Duration::from_secs(1))
        .with_retries(3);
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive)
        .set_user_timeout(Duration::from_secs(3));
    let info: ConnectionInfo = info.set_redis_settings(settings).set_tcp_settings(tcp);
    Client::open(info).map_err(|error| refused(&error))
}

/// Connects once. `pushes` hears what the server sends unasked.
pub(super) async fn connect(
    client: &Client,
    pushes: Option<Box<dyn AsyncPushSender>>,
) -> Result<MultiplexedConnection, StoreError> {
    let mut config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_pipeline_buffer_size(1024);
    if let Some(pushes) = pushes {
        config = config.set_push_sender(move |push| pushes.send(push));
    }
    let connected = client.get_multiplexed_async_connection_with_config(&config);
    // A hung server accepts and never answers the greeting, which no timeout of the library's
    // covers as a whole.
    match tokio::time::timeout(CONNECT_TIMEOUT + RESPONSE_TIMEOUT, connected).await {
        Ok(connected) => connected.map_err(|error| store_error(&error)),
        Err(_) => Err(StoreError::Unreachable("the server does not answer".to_owned())),
    }
}

/// A connection that is made when it is needed, and made anew after it broke.
#[derive(Clone, Debug)]
pub(super) struct Lazy {
    client: Arc<Client>,
    current: Arc<Mutex<Option<MultiplexedConnection>>>,
}

impl Lazy {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client, current: Arc::default() }
    }

    /// Asks `question` on the connection. When that turns out to be broken, which an idle one
    /// tells only when it is used, it is asked once more on a new one: a question must bear being
    /// asked twice.
    pub(super) async fn ask<T: FromRedisValue + Send>(
        &self,
        question: &impl Question,
    ) -> Result<T, StoreError> {
        let (connection, is_new) = self.connection().await?;
        let error = match question.ask(connection).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !error.is_unrecoverable_error() && !error.is_timeout() {
            return Err(store_error(&error));
        }
        self.current.lock().await.take();
        if is_new || error.is_timeout() {
            return Err(store_error(&error));
        }
        let (connection, _) = self.connection().await?;
        question.ask(connection).await.map_err(|error| store_error(&error))
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, bool), StoreError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current {
            return Ok((connection.clone(), false));
        }
        let connection = connect(&self.client, None).await?;
        *current = Some(connection.clone());
        Ok((connection, true))
    }
}

/// What can be asked on a connection.
pub(super) trait Question: Sync {
    fn ask<T: FromRedisValue + Send>(
        &self,
        connection: MultiplexedConnection,
    ) -> impl Future<Output = Result<T, RedisError>> + Send;
}

impl Question for Cmd {
    async fn ask<T: FromRedisValue>(
        &self,
        mut connection: MultiplexedConnection,
    ) -> Result<T, RedisError> {
        self.query_async(&mut connection).await
    }
}

impl Question for Pipeline {
    async fn ask<T: FromRedisValue>(
        &self,
        mut connection: MultiplexedConnection,
    ) -> Result<T, RedisError> {
        self.query_async(&mut connection).await
    }
}

impl Question for ScriptInvocation<'_> {
    async fn ask<T: FromRedisValue>(
        &self,
        mut connection: MultiplexedConnection,
    ) -> Result<T, RedisError> {
        self.invoke_async(&mut connection).await
    }
}

/// What an error of the library means to Tollgate.
pub(super) fn store_error(error: &RedisError) -> StoreError {
    let is_refusal =
        matches!(
            error.kind(),
            ErrorKind::AuthenticationFailed
                | ErrorKind::InvalidClientConfig
                | ErrorKind::RESP3NotSupported
                | ErrorKind::Server(ServerErrorKind::NoPerm)
        ) || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "NOPROTO"));
    if is_refusal { refused(error) } else { StoreError::Unreachable(error.to_string()) }
}

fn refused(error: &RedisError) -> StoreError {
    StoreError::Refused(error.to_string())
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
