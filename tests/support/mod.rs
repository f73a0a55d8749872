//! What the integration tests share.

pub(crate) mod application;
pub(crate) mod authority;
pub(crate) mod crowd;
pub(crate) mod network;
pub(crate) mod nginx;
pub(crate) mod operators;
pub(crate) mod redis_cluster;
mod redis_server;
pub(crate) mod sentinels;
pub(crate) mod tollgate;
pub(crate) mod way;

pub(crate) use redis_server::{Flavor, Persistence, RedisServer};
