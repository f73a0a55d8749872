//! What the integration tests share.

mod redis_server;

pub(crate) use redis_server::{Flavor, Persistence, RedisServer};
