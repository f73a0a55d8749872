//! What one connection may take, and what it may keep others waiting for.

use std::time::Duration;

/// Longer than any gateway keeps an idle connection (Traefik 90 s), so that it is never Tollgate
/// that closes one on which a request is under way.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_mins(2);
/// How long the head of a request may take from its first byte on. A gateway sends it at once.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other side may take none of what it is sent.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection of HTTP/2 may be silent before it is asked whether it is still there, and
/// how long it may take to say so.
pub(super) const PING_EVERY: Duration = Duration::from_secs(30);
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A block of headers over this is answered 431. In HTTP/1.1 what has come together is looked at
/// first, so that up to twice as much may pass; more is never kept.
pub(super) const HEADERS_AT_MOST: usize = 64 * 1024 + 8 * 1024;
/// How much of a head may come before it is left to the library, together with what comes behind it.
pub(super) const HEAD_AHEAD: usize = 16 * 1024;
/// More lines than this are answered 431. hyper's own 100 are fewer than some gateways pass on.
pub(super) const HEADER_LINES_AT_MOST: usize = 256;
/// Requests at once on a connection of HTTP/2.
pub(super) const STREAMS_AT_MOST: u32 = 1024;
/// How many requests may be taken back before they were looked at, until the connection is given
/// up. A gateway that lost its patience takes back all at once.
pub(super) const TAKEN_BACK_AT_MOST: usize = STREAMS_AT_MOST as usize;
/// How many broken requests are answered by a reset, until the connection is given up.
pub(super) const BROKEN_AT_MOST: usize = 256;
/// How much of bodies may come before it is read: of one request, and of all on a connection.
pub(super) const BODY_AHEAD: u32 = 128 * 1024;
pub(super) const BODIES_AHEAD: u32 = 1024 * 1024;
