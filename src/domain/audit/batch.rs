//! One entry for what an import does to many customers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::{Restrictions, Source};

/// Some lines of an import. Written before anything of it is done, so that nothing is done that is
/// not on record.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// What the caller calls the import: the name of its file.
    pub name: String,
    /// The number of the first line.
    pub first_line: u64,
    /// The number of the last line.
    pub last_line: u64,
    /// SHA-256 (hex) of the lines as they came.
    pub sha256: String,
    /// The tenant of every customer in it; nothing when there are several, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How many lines make what of their customers.
    #[serde(flatten)]
    pub counts: Counts,
    /// How many lines are refused, by the code of the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refusals: BTreeMap<String, u64>,
    /// The customers whose restrictions become others by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restricted: Vec<Touched>,
}

/// How many lines came to what.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Lines that make a customer.
    pub created: u64,
    /// Lines that change one.
    pub updated: u64,
    /// Lines that say what is so already.
    pub unchanged: u64,
    /// Lines that are refused.
    pub refused: u64,
}

/// A customer whose restrictions become others.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Touched {
    /// The customer as `tenant:id`.
    pub customer: String,
    /// Whose restrictions become others.
    pub sources: BTreeSet<Source>,
    /// All its restrictions before.
    #[serde(default, skip_serializing_if = "Restrictions::is_empty")]
    pub before: Restrictions,
}
