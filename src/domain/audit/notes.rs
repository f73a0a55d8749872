//! What an act's notes say is kept beside its audit entry, which has their digest alone: so it can
//! be erased, and the chain of the trail stays what it was.

use serde::Deserialize;

use crate::domain::{digest::sha256_hex, key::CustomerKey};

/// The notes of one act, as they are kept: a salt, a space and the text. Without the salt, which is
/// erased with the text, nobody finds by trying what a digest was made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notes(String);

impl Notes {
    /// Of this text. The salt has no spaces, and nobody can guess it.
    #[must_use]
    pub fn new(salt: &str, text: &str) -> Self {
        Self(format!("{salt} {text}"))
    }

    /// As a store kept them.
    #[must_use]
    pub fn kept(kept: String) -> Self {
        Self(kept)
    }

    /// As a store keeps them.
    #[must_use]
    pub fn as_kept(&self) -> &str {
        &self.0
    }

    /// What they say.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.split_once(' ').map_or("", |(_, text)| text)
    }

    /// SHA-256 (hex), which the entry has, and under which they are kept.
    #[must_use]
    pub fn digest(&self) -> String {
        sha256_hex(&self.0)
    }
}

/// Under what the notes of an entry are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotesPlace {
    /// Whom the act was about.
    pub customer: CustomerKey,
    /// Their digest.
    pub digest: String,
}

impl NotesPlace {
    /// Of an entry, in JSON, if it has notes that are kept beside it.
    #[must_use]
    pub fn of(entry: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Noted {
            subject: String,
            notes_digest: String,
        }
        let Noted { subject, notes_digest } = serde_json::from_str(entry).ok()?;
        Some(Self { customer: CustomerKey::parse(&subject).ok()?, digest: notes_digest })
    }
}
