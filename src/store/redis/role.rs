//! Whether a server is a master. A replica is no store: it may be behind, and it takes no writes.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::{FromRedisValue as _, RedisError, Value, aio::MultiplexedConnection};

use super::refusal::store_error;
use crate::store::{Concern, Refusal, StoreError};

/// Asks the server for its role, and refuses any but a master's.
pub(super) async fn require_master(
    connection: &mut MultiplexedConnection,
) -> Result<(), StoreError> {
    check_master(redis::cmd("ROLE").query_async(connection).await)
}

/// Refuses the answer to `ROLE` of any server but a master. A role that may not be asked for is
/// not known.
pub(super) fn check_master(role: Result<Value, RedisError>) -> Result<(), StoreError> {
    let role = match role {
        Ok(Value::Array(parts)) => {
            parts.first().and_then(|name| String::from_redis_value_ref(name).ok())
        }
        Ok(_) => None,
        Err(error) if error.code() == Some("NOPERM") => None,
        Err(error) => return Err(store_error(&error)),
    };
    match role.as_deref() {
        Some("master") => Ok(()),
        Some("slave") => {
            let why = "the server is a replica, and a store is on a master";
            Err(StoreError::Unreachable(why.to_owned()))
        }
        Some(other) => {
            let why = format!("the server is a {other}, and a store is on a master");
            Err(Refusal { about: Concern::Topology, why }.into())
        }
        None => {
            if !ROLE_UNKNOWN_TOLD.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "The store's user may not ask for ROLE, so a replica would go unnoticed"
                );
            }
            Ok(())
        }
    }
}

static ROLE_UNKNOWN_TOLD: AtomicBool = AtomicBool::new(false);
