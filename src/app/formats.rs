//! Which formats this version writes, and the newest that it reads.

use crate::{feed::snapshot_file, store};

/// Of what is in the store.
pub const STORE: u64 = store::format::FORMAT;
/// Of the snapshot file.
pub const SNAPSHOT: u32 = snapshot_file::format::FORMAT;
