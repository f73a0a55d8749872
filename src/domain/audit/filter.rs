//! Which entries of the audit trail somebody wants to see.

use std::str::FromStr;

use serde::{
    Deserialize as _,
    de::{IntoDeserializer as _, value::Error as NotAmongThem},
};

use super::{AuditEntry, AuditOutcome};
use crate::domain::{Timestamp, Verb};

/// What an entry has to be to be wanted. Nothing is wanted of what is not said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AuditFilter {
    /// The name of who asked.
    pub actor: Option<String>,
    /// What was asked for.
    pub action: Option<AuditAction>,
    /// What came of it.
    pub outcome: Option<AuditOutcome>,
    /// When it was asked for at the earliest.
    pub since: Option<Timestamp>,
    /// Before when it was asked for.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    /// Whether an entry is wanted.
    #[must_use]
    pub fn includes(&self, entry: &AuditEntry) -> bool {
        self.actor.as_ref().is_none_or(|name| entry.actor.name == *name)
            && self.action.is_none_or(|action| entry.action == action.as_str())
            && self.outcome.is_none_or(|outcome| entry.outcome == outcome)
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

/// The name of an act that the audit trail may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuditAction(&'static str);

impl AuditAction {
    /// Every word that it may be.
    pub fn words() -> impl Iterator<Item = &'static str> {
        Verb::ALL.into_iter().map(Verb::as_str).chain(APART)
    }

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl FromStr for AuditAction {
    type Err = UnknownAction;

    fn from_str(raw: &str) -> Result<Self, UnknownAction> {
        let verb =
            Verb::deserialize(raw.into_deserializer()).map_err(|_: NotAmongThem| UnknownAction);
        let apart = APART.into_iter().find(|word| *word == raw);
        apart.map_or_else(|| verb.map(Verb::as_str), Ok).map(Self)
    }
}

impl FromStr for AuditOutcome {
    type Err = UnknownOutcome;

    fn from_str(raw: &str) -> Result<Self, UnknownOutcome> {
        Self::deserialize(raw.into_deserializer()).map_err(|_: NotAmongThem| UnknownOutcome)
    }
}

/// The word is no name of an act.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "must be one of disable, enable, freeze, unfreeze, deactivate, reactivate, put, delete, \
     lapsed, purge, {}",
    APART.join(", ")
)]
pub struct UnknownAction;

/// The word is no outcome of an act.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be one of changed, unchanged, refused")]
pub struct UnknownOutcome;

/// Acts on what is no customer, and those that settle what a store forgot.
const APART: [&str; 16] = [
    "conflict_listed",
    "conflict_settled",
    "fleet_enforce",
    "fleet_shadow",
    "forgotten_dropped",
    "import",
    "ingest_pause",
    "ingest_resume",
    "keys_create",
    "keys_revoke",
    "keys_rotate",
    "session_begin",
    "session_end",
    "store_refilled",
    "store_trusted",
    "store_whole",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_has_a_name_and_nothing_else_has() {
        for verb in Verb::ALL {
            assert_eq!(verb.as_str().parse(), Ok(AuditAction(verb.as_str())));
            assert!(UnknownAction.to_string().contains(verb.as_str()), "{verb:?}");
        }
        assert_eq!("keys_create".parse(), Ok(AuditAction("keys_create")));
        for wrong in ["", "Disable", "lapse", "keys"] {
            assert_eq!(wrong.parse::<AuditAction>(), Err(UnknownAction), "{wrong}");
        }
    }

    #[test]
    fn an_outcome_reads_back() {
        assert_eq!("refused".parse(), Ok(AuditOutcome::Refused));
        assert_eq!("denied".parse::<AuditOutcome>(), Err(UnknownOutcome));
    }
}
