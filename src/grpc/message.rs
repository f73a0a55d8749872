//! The messages, made of `proto/` when the program is built.

/// What reflection shows of them.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy.bin"));

pub(super) use made::*;

#[expect(clippy::pedantic, unreachable_pub, unused_qualifications, reason = "it is generated")]
mod made {
    include!(concat!(env!("OUT_DIR"), "/envoy.rs"));
}
