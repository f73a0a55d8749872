//! The first key of an embedded store, so that the first minute needs no copying of secrets.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use super::ServeError;
use crate::{
    control::{Request, keys::NewKey},
    domain::{Actor, Partition, Role},
    http::Operators,
    store::StoreError,
    telemetry::ActDialect,
};

/// Makes sure that `operator.token` in the data directory holds a good admin key.
pub(super) async fn make(operators: &Operators, data_dir: &Path) -> Result<(), ServeError> {
    let path = data_dir.join("operator.token");
    let control = &operators.control;
    let read = async {
        while control.cache.watermark(Partition(0)).is_none() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(PATIENCE, read).await.is_err() {
        let error = StoreError::Unreachable("it was not read in time".to_owned());
        return Err(ServeError::FirstKey(error.into()));
    }
    // The feed reads the keys too, but a little later.
    let session = control.store.open_session(&[Partition(0)]).await?;
    control.keyring.replace(&session.reader.keys().await?);
    let is_good = |token: String| control.authenticate(None, token.trim()).is_ok();
    if fs::read_to_string(&path).is_ok_and(is_good) {
        return Ok(());
    }
    let actor = Actor::tollgate(Role::Admin);
    let request = Request {
        actor,
        dialect: ActDialect::Native,
        request_id: None,
        expected: None,
        idempotency: None,
    };
    let name = "first key".to_owned();
    let new = NewKey { name, role: Role::Admin, tenant: None, source: None, expires_at: None };
    let made = control.create_key(&request, new).await;
    let made = made.map_err(|error| ServeError::FirstKey(error.into()))?;
    write(&path, &made.token).map_err(|error| ServeError::FirstKey(error.into()))?;
    let shown = path.display();
    tracing::info!(key.id = made.id, "Made the first operator key, its token is in {shown}");
    Ok(())
}

/// Writes a new file that only its owner can read, never into one that somebody else made.
fn write(path: &Path, token: &str) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")
}

const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
