//! Connections to one server, and what its errors mean.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError,
    ScriptInvocation, ServerErrorKind,
    aio::{AsyncPushSender, MultiplexedConnection, SendError},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

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
    connect_patiently(client, pushes, RESPONSE_TIMEOUT).await
}

/// The same, for questions whose answers may take up to `patience`.
pub(super) async fn connect_patiently(
    client: &Client,
    pushes: Option<Box<dyn AsyncPushSender>>,
    patience: Duration,
) -> Result<MultiplexedConnection, StoreError> {
    let mut config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(patience))
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

/// A connection that is made when it is needed, and forgotten as soon as it breaks.
#[derive(Clone, Debug)]
pub(super) struct Lazy {
    client: Arc<Client>,
    current: Arc<Mutex<Current>>,
}

#[derive(Debug, Default)]
struct Current {
    /// Counts connections, so that the end of an older one does not take the newest away.
    number: u64,
    connection: Option<MultiplexedConnection>,
}

impl Lazy {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client, current: Arc::default() }
    }

    /// Asks `question` on the connection, once. One that did not answer in time is not asked
    /// again; whether a commit that it was sent has happened cannot be known.
    pub(super) async fn ask<T: FromRedisValue + Send>(
        &self,
        question: &impl Question,
    ) -> Result<T, StoreError> {
        self.ask_plainly(question).await?.map_err(|error| store_error(&error))
    }

    /// The same, with the server's own error when it answered one.
    pub(super) async fn ask_plainly<T: FromRedisValue + Send>(
        &self,
        question: &impl Question,
    ) -> Result<Result<T, RedisError>, StoreError> {
        let (number, connection) = self.connection().await?;
        let answer = question.ask(connection).await;
        if let Err(error) = &answer
            && (error.is_unrecoverable_error() || error.is_timeout())
        {
            self.current.lock().forget(number);
        }
        Ok(answer)
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), StoreError> {
        let number = {
            let mut current = self.current.lock();
            if let Some(connection) = &current.connection {
                return Ok((current.number, connection.clone()));
            }
            current.number += 1;
            current.number
        };
        // The server's end of it is heard of at once, and not when it is next used.
        let held = Arc::downgrade(&self.current);
        let hear = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection
                && let Some(held) = held.upgrade()
            {
                held.lock().forget(number);
            }
            Ok::<(), SendError>(())
        };
        let connection = connect(&self.client, Some(Box::new(hear))).await?;
        let mut current = self.current.lock();
        if current.number == number {
            current.connection = Some(connection.clone());
        }
        Ok((number, connection))
    }
}

impl Current {
    fn forget(&mut self, number: u64) {
        if self.number == number {
            self.connection = None;
        }
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
/// How long an answer may take that waits for nothing.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
