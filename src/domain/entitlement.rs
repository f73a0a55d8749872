//! What a customer may use: features and limits.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::time::Timestamp;

/// The name of a feature, a limit or a plan: 1 to 128 bytes of `[A-Za-z0-9._:/@-]`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct Code(Arc<str>);

impl Code {
    /// Checks `raw` and keeps it.
    pub fn parse(raw: &str) -> Result<Self, InvalidEntitlement> {
        let is_code = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'@' | b'-')
        };
        if (1..=128).contains(&raw.len()) && raw.bytes().all(is_code) {
            Ok(Self(raw.into()))
        } else {
            Err(InvalidEntitlement::Code)
        }
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Code {
    type Error = InvalidEntitlement;

    fn try_from(raw: String) -> Result<Self, InvalidEntitlement> {
        Self::parse(&raw)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The most of something that a customer may have, and how much it has.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    /// The most.
    pub max: Maximum,
    /// How much is used, if some source says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// When `used` was true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
}

/// A number, or `"unlimited"`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Maximum {
    /// At most so many.
    AtMost(u64),
    /// As many as wanted.
    Unlimited,
}

impl Serialize for Maximum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AtMost(number) => serializer.serialize_u64(*number),
            Self::Unlimited => serializer.serialize_str(UNLIMITED),
        }
    }
}

impl<'de> Deserialize<'de> for Maximum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        match value.as_u64() {
            Some(number) => Ok(Self::AtMost(number)),
            None if value.as_str() == Some(UNLIMITED) => Ok(Self::Unlimited),
            None => Err(serde::de::Error::custom(InvalidEntitlement::Maximum)),
        }
    }
}

/// Text or a number that is no entitlement.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidEntitlement {
    /// Not a code.
    #[error("a code must be 1 to 128 bytes of [A-Za-z0-9._:/@-]")]
    Code,
    /// Not a maximum.
    #[error("a limit's max must be a whole number from 0 on, or \"unlimited\"")]
    Maximum,
}

const UNLIMITED: &str = "unlimited";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maximum_is_a_number_or_unlimited() {
        let read = |raw| serde_json::from_str::<Maximum>(raw).ok();
        assert_eq!(read("25"), Some(Maximum::AtMost(25)));
        assert_eq!(read("\"unlimited\""), Some(Maximum::Unlimited));
        for wrong in ["-1", "2.5", "\"25\"", "null", "{}"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
