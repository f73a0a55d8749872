//! Revisions, epochs and the token that carries both to a caller.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{key::Partition, shared::Shared};

/// A partition's change counter; a record carries the one of its last change.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The one that follows this one without a hole.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one history of a store: 1 to 32 bytes of `[a-z0-9]`, made at random when the
/// history began. Revisions of two epochs cannot be compared.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String")]
pub struct Epoch(Shared<Box<str>>);

impl Epoch {
    /// Checks `raw` and keeps it.
    pub fn parse(raw: &str) -> Result<Self, InvalidToken> {
        let sound = (1..=32).contains(&raw.len())
            && raw.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if sound { Ok(Self(Shared::from(Box::from(raw)))) } else { Err(InvalidToken) }
    }

    /// The name made of these random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 8]) -> Self {
        let name = format!("{:016x}", u64::from_be_bytes(random));
        Self(Shared::from(name.into_boxed_str()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Epoch {
    type Error = InvalidToken;

    fn try_from(raw: String) -> Result<Self, InvalidToken> {
        Self::parse(&raw)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When an instance learned something: first by the generation of its picture, then by
/// revision. Everything in memory is ordered by this.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// Which picture of the store; raised by every snapshot.
    pub generation: u64,
    /// The revision within it.
    pub revision: Revision,
}

/// The feed position up to which everything is applied here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Watermark {
    /// Generation and revision.
    pub position: Position,
    /// The history that the revision counts in.
    pub epoch: Epoch,
    /// The log entry of that revision; empty at revision 0.
    pub log_id: String,
}

/// A revision as a caller holds it: `<epoch>:<partition>.<revision>`, opaque to them.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Token {
    /// The history.
    pub epoch: Epoch,
    /// The partition of the customer it was given for.
    pub partition: Partition,
    /// The revision reached.
    pub revision: Revision,
}

impl Token {
    /// Whether the history `epoch` has this token's revision in it, or will have. The one place
    /// that compares histories: revisions of two of them cannot be compared.
    #[must_use]
    pub fn is_of(&self, epoch: &Epoch) -> bool {
        self.epoch == *epoch
    }

    /// Whether what is true at `revision` of `epoch` is true at this token or later.
    #[must_use]
    pub fn is_reached_at(&self, epoch: &Epoch, revision: Revision) -> bool {
        self.is_of(epoch) && self.revision <= revision
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.epoch, self.partition, self.revision)
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(raw: &str) -> Result<Self, InvalidToken> {
        let (epoch, counted) = raw.split_once(':').ok_or(InvalidToken)?;
        let (partition, revision) = counted.split_once('.').ok_or(InvalidToken)?;
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(partition) || !is_number(revision) {
            return Err(InvalidToken);
        }
        Ok(Self {
            epoch: Epoch::parse(epoch)?,
            partition: Partition(partition.parse().map_err(|_| InvalidToken)?),
            revision: Revision(revision.parse().map_err(|_| InvalidToken)?),
        })
    }
}

impl Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        raw.parse().map_err(serde::de::Error::custom)
    }
}

/// Text that is no revision token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a revision must be a token that Tollgate gave, like `k3f9:0.42`")]
pub struct InvalidToken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back() {
        let token: Token = "k3f9:0.42".parse().unwrap();
        assert_eq!(token.revision, Revision(42));
        assert_eq!(token.to_string(), "k3f9:0.42");
    }

    #[test]
    fn a_token_is_reached_in_its_own_history_at_its_revision_or_later() {
        let token: Token = "k3f9:0.42".parse().unwrap();
        let is_reached = |epoch, revision| {
            token.is_reached_at(&Epoch::parse(epoch).unwrap(), Revision(revision))
        };
        assert!(is_reached("k3f9", 42) && is_reached("k3f9", 43));
        assert!(!is_reached("k3f9", 41) && !is_reached("other", 43));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for raw in
            ["", "42", "k3f9", "k3f9:0", ":0.1", "k3f9:0.-1", "k3f9:+0.1", "K3:0.1", "k:99999.1"]
        {
            assert_eq!(raw.parse::<Token>(), Err(InvalidToken), "{raw}");
        }
    }

    #[test]
    fn a_later_generation_is_later_whatever_the_revision() {
        let old = Position { generation: 1, revision: Revision(900) };
        let new = Position { generation: 2, revision: Revision(3) };
        assert!(old < new);
    }
}
