//! Connections to one server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, FromRedisValue,
    IntoConnectionInfo as _, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo,
    RedisError, ScriptInvocation, TlsCertificates,
    aio::{AsyncPushSender, MultiplexedConnection, SendError},
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use super::{
    refusal::store_error,
    settings::{Identity, Login, Server, Tls},
    topology::{Node, Topology},
};
use crate::store::StoreError;

/// How to speak to a server: RESP3, no delay, and a half-open socket noticed within seconds.
/// Keepalive alone fails while a request is unacknowledged and the user timeout alone fails when
/// idle; both together notice.
pub(super) fn client(
    address: ConnectionAddr,
    login: &Login,
    database: u32,
    tls: Option<&Tls>,
) -> Result<Client, StoreError> {
    // The library's greeting beside `HELLO` is for nobody, and takes a right of its own.
    let mut speech = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_skip_set_lib_name()
        .set_db(database.into());
    if let Some(user) = &login.user {
        speech = speech.set_username(user);
    }
    if let Some(password) = &login.password {
        speech = speech.set_password(password);
    }
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(1))
        .with_interval(Duration::from_secs(1))
        .with_retries(3);
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive)
        .set_user_timeout(Duration::from_secs(3));
    let info = address.into_connection_info().map_err(|error| store_error(&error))?;
    let info = info.set_redis_settings(speech).set_tcp_settings(tcp);
    let client = match tls {
        Some(tls) => Client::build_with_tls(info, certificates(tls)),
        None => Client::open(info),
    };
    client.map_err(|error| store_error(&error))
}

/// The address of a server that is reached over the network.
pub(super) fn address(server: &Server, tls: Option<&Tls>) -> ConnectionAddr {
    let Server { host, port } = server.clone();
    match tls {
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        None => ConnectionAddr::Tcp(host, port),
    }
}

fn certificates(tls: &Tls) -> TlsCertificates {
    let client_tls = tls.identity.clone().map(|Identity { certificate, key }| ClientTlsConfig {
        client_cert: certificate,
        client_key: key,
    });
    TlsCertificates { client_tls, root_cert: tls.authorities.clone() }
}

/// Connects once. `pushes` hears what the server sends unasked.
pub(super) async fn connect(
    client: &Client,
    pushes: impl AsyncPushSender,
) -> Result<MultiplexedConnection, StoreError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_pipeline_buffer_size(1024)
        .set_push_sender(pushes);
    let connected = client.get_multiplexed_async_connection_with_config(&config);
    // A hung server accepts and never answers the greeting, which no timeout of the library's
    // covers as a whole.
    let connected = match tokio::time::timeout(CONNECT_TIMEOUT + RESPONSE_TIMEOUT, connected).await
    {
        Ok(connected) => connected.map_err(|error| store_error(&error)),
        Err(_) => Err(StoreError::Unreachable("the server does not answer".to_owned())),
    };
    // One side may speak TLS and the other not, which looks like silence or a broken connection.
    connected.map_err(|error| match (error, client.get_connection_info().addr()) {
        (StoreError::Unreachable(why), ConnectionAddr::TcpTls { .. }) => {
            StoreError::Unreachable(format!("{why} (asked over TLS)"))
        }
        (StoreError::Unreachable(why), ConnectionAddr::Tcp(..)) => {
            StoreError::Unreachable(format!("{why} (asked without TLS)"))
        }
        (error, _) => error,
    })
}

/// A connection that is made when it is needed, and forgotten as soon as it breaks.
#[derive(Clone, Debug)]
pub(super) struct Lazy {
    topology: Arc<Topology>,
    node: Node,
    current: Arc<Mutex<Current>>,
    /// Held by who connects: the others wait for that connection.
    connecting: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Current {
    /// Counts connections, so that the end of an older one does not take the newest away.
    number: u64,
    connection: Option<MultiplexedConnection>,
    /// How many attempts to connect have ended, and why the last one failed if it did.
    attempts: u64,
    failure: Option<String>,
}

impl Lazy {
    /// A connection to the master that `node` is.
    pub(super) fn new(topology: Arc<Topology>, node: Node) -> Self {
        Self { topology, node, current: Arc::default(), connecting: Arc::default() }
    }

    /// Asks `question` on the connection, if there is one, and gives what is answered. One that
    /// did not answer in time is not asked again; whether a commit that it was sent has happened
    /// cannot be known.
    pub(super) async fn ask<T: FromRedisValue + Send>(
        &self,
        question: &impl Question,
    ) -> Result<Result<T, RedisError>, StoreError> {
        let (number, connection) = self.connection().await?;
        let answer = question.ask(connection).await;
        // A server that takes no writes any more was a master when it was connected to.
        let is_over = |error: &RedisError| {
            error.is_unrecoverable_error() || error.is_timeout() || error.code() == Some("READONLY")
        };
        if answer.as_ref().is_err_and(is_over) {
            self.current.lock().forget(number);
        }
        Ok(answer)
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), StoreError> {
        let seen = {
            let current = self.current.lock();
            if let Some(connection) = &current.connection {
                return Ok((current.number, connection.clone()));
            }
            current.attempts
        };
        let _turn = self.connecting.lock().await;
        {
            let current = self.current.lock();
            if let Some(connection) = &current.connection {
                return Ok((current.number, connection.clone()));
            }
            // Somebody has just tried, on behalf of everybody who waited.
            if let Some(why) = current.failure.clone().filter(|_| current.attempts > seen) {
                return Err(StoreError::Unreachable(why));
            }
        }
        let connected = self.connect().await;
        let mut current = self.current.lock();
        current.attempts += 1;
        current.failure = connected.as_ref().err().map(|error| match error {
            StoreError::Unreachable(why) => why.clone(),
            StoreError::BootedElsewhere { .. }
            | StoreError::Forgotten
            | StoreError::Locked(_)
            | StoreError::Moved(_)
            | StoreError::NewerFormat { .. }
            | StoreError::Partitions { .. }
            | StoreError::Refused(_)
            | StoreError::Unexpected(_) => error.to_string(),
        });
        connected
    }

    async fn connect(&self) -> Result<(u64, MultiplexedConnection), StoreError> {
        let number = {
            let mut current = self.current.lock();
            current.number += 1;
            current.number
        };
        let mut ended = Arc::new(AtomicBool::new(false));
        // The end of it is heard of at once, and not when it is next used.
        let connected = self.topology.connect(&self.node, || {
            ended = Arc::default();
            let (held, ended) = (Arc::downgrade(&self.current), Arc::clone(&ended));
            move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    ended.store(true, Ordering::SeqCst);
                    if let Some(held) = held.upgrade() {
                        held.lock().forget(number);
                    }
                }
                Ok::<(), SendError>(())
            }
        });
        let connection = connected.await?;
        let mut current = self.current.lock();
        if ended.load(Ordering::SeqCst) {
            return Err(StoreError::Unreachable("the connection ended at once".to_owned()));
        }
        current.connection = Some(connection.clone());
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

    /// The same question to a node that is being given what it is about; nothing if it cannot be
    /// asked there.
    fn asking(&self) -> Option<Pipeline> {
        None
    }
}

impl Question for Cmd {
    fn asking(&self) -> Option<Pipeline> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ASKING").ignore().add_command(self.clone());
        Some(pipeline)
    }

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

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an answer may take that waits for nothing.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
