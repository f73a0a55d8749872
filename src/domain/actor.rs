//! Who acts on customers, and what a role allows.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{key::TenantId, restriction::Source};

/// What the holder of a key may do. Each role includes the ones before it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Ask checks and limits.
    App,
    /// Read customers and the audit trail.
    Viewer,
    /// Restrict customers and let them back in.
    Support,
    /// Write customer records, act for any source, lift sensitive restrictions.
    Manager,
    /// Keys, purge, store and fleet.
    Admin,
}

impl Role {
    /// Every role, the weakest first.
    pub const ALL: [Self; 5] = [Self::App, Self::Viewer, Self::Support, Self::Manager, Self::Admin];

    /// The word used on every wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Viewer => "viewer",
            Self::Support => "support",
            Self::Manager => "manager",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(raw: &str) -> Result<Self, InvalidRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == raw).ok_or(InvalidRole)
    }
}

/// Text that is no role.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a role must be one of app, viewer, support, manager, admin")]
pub struct InvalidRole;

/// Who is asking for an act: the holder of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Actor {
    /// The key's name, as the audit trail shows it.
    pub name: String,
    /// The key's id; absent for the token given by configuration.
    pub key_id: Option<String>,
    /// What it may do.
    pub role: Role,
    /// The only tenant it sees, if it is bound to one.
    pub tenant: Option<TenantId>,
    /// The source it acts for when the request names none.
    pub source: Option<Source>,
    /// Where the request came from.
    pub address: Option<String>,
}

impl Actor {
    /// Tollgate itself, for what it does without being asked.
    #[must_use]
    pub fn tollgate(role: Role) -> Self {
        let name = "tollgate".to_owned();
        Self { name, key_id: None, role, tenant: None, source: None, address: None }
    }

    /// Whether the role reaches `needed`.
    pub fn require(&self, needed: Role) -> Result<(), RoleTooWeak> {
        if self.role >= needed { Ok(()) } else { Err(RoleTooWeak { needed }) }
    }
}

/// The actor's role does not reach what the act needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this needs a key of role {needed} or higher")]
pub struct RoleTooWeak {
    /// The weakest role that may.
    pub needed: Role,
}
