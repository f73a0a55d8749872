//! Looks after the audit trail: what is newest is signed, and what is old goes to an archive.

mod appended;
pub mod heads;
pub mod retention;
