//! Binds every socket before anything is built.

use std::{
    fs::{self, Permissions},
    io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::Path,
};

use tokio::net::{TcpListener, UnixListener};

use crate::{
    config::{Config, SocketMode},
    http::serve::Socket,
};

/// The bound sockets.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) check: Option<Socket>,
    pub(super) check_is_local: bool,
    pub(super) check_socket: Option<Socket>,
    pub(super) operator: Option<Socket>,
    pub(super) operator_is_local: bool,
    pub(super) admin: std::net::TcpListener,
    pub(super) webhook: Option<Socket>,
}

impl Ports {
    pub(super) async fn bind(config: &Config) -> Result<Self, PortError> {
        let is_local = |address: Option<&SocketAddr>| {
            address.is_some_and(|address| address.ip().is_loopback())
        };
        let check = config.check_listen.on();
        let operator = config.operator_listen.on();
        let admin = bind("--admin-listen", config.admin_listen).await?;
        let admin = admin.into_std().map_err(|source| PortError {
            setting: "--admin-listen",
            place: config.admin_listen.to_string(),
            source,
        })?;
        Ok(Self {
            check: match check {
                Some(address) => Some(Socket::Tcp(bind("--check-listen", *address).await?)),
                None => None,
            },
            check_is_local: is_local(check),
            check_socket: match &config.check_socket {
                Some(path) => Some(Socket::Unix(bind_socket(path, config.check_socket_mode)?)),
                None => None,
            },
            operator: match operator {
                Some(address) => Some(Socket::Tcp(bind("--operator-listen", *address).await?)),
                None => None,
            },
            operator_is_local: is_local(operator),
            admin,
            webhook: match config.webhooks.webhook_listen.on() {
                Some(address) => Some(Socket::Tcp(bind("--webhook-listen", *address).await?)),
                None => None,
            },
        })
    }
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, PortError> {
    let failed = |source| PortError { setting, place: address.to_string(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tracing::info!(listen.setting = setting, listen.address = %bound, "Listening on {bound} ({setting})");
    Ok(listener)
}

/// Binds a unix socket. A file that a process left behind is replaced; one that a process listens
/// on is not.
fn bind_socket(path: &Path, mode: SocketMode) -> Result<UnixListener, PortError> {
    let setting = "--check-socket";
    let place = path.display().to_string();
    let bound = || {
        if is_left_behind(path)? {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode.bits()))?;
        Ok(listener)
    };
    let listener = bound().map_err(|source| PortError { setting, place: place.clone(), source })?;
    tracing::info!(
        listen.setting = setting,
        listen.address = place,
        "Listening on {place} ({setting})"
    );
    Ok(listener)
}

/// Whether there is a socket on which nobody listens any more. What is no socket is somebody's.
fn is_left_behind(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
            Err(error) => Err(error),
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is a file, and no socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A socket that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {place} cannot be listened on")]
pub struct PortError {
    setting: &'static str,
    place: String,
    #[source]
    source: io::Error,
}
