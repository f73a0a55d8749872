//! Digests as text.

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// Lower-case hex of SHA-1, as the audit chain uses it.
#[must_use]
pub fn sha1_hex(text: &str) -> String {
    hex(&Sha1::digest(text))
}

/// Lower-case hex of SHA-256.
#[must_use]
pub fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        use std::fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
