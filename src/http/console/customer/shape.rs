//! A customer and what decides about it, as the API tells it and as far as pages show it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    domain::{
        AuditEntry, Kind, Limit, Obligations, Restriction, RestrictionReason, Role, Source, Status,
        Timestamp,
    },
    http::console::api::{in_path, with_query},
};

/// A customer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::console) struct Customer {
    #[serde(rename = "customerId")]
    pub(in crate::http::console) id: String,
    pub(in crate::http::console) status: Status,
    pub(in crate::http::console) access: String,
    pub(in crate::http::console) restrictions: Vec<Held>,
    pub(in crate::http::console) plan: Option<String>,
    pub(super) features: Option<Vec<String>>,
    pub(super) limits: Option<BTreeMap<String, Limit>>,
    pub(super) obligations: Obligations,
    pub(in crate::http::console) aliases: BTreeMap<String, String>,
    pub(in crate::http::console) name: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(in crate::http::console) revision: Option<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) purged_at: Option<Timestamp>,
}

impl Customer {
    /// The URL of its page.
    pub(in crate::http::console) fn url(&self, tenant: Option<&str>) -> String {
        url(&self.id, tenant)
    }

    /// The restriction that makes it what it is.
    pub(in crate::http::console) fn deciding(&self) -> Option<&Held> {
        let deciding =
            self.restrictions.iter().filter(|held| Some(held.kind) == self.status.kind());
        deciding.min_by_key(|held| (held.since, &held.source))
    }
}

/// The URL of a customer's page.
pub(in crate::http::console) fn url(id: &str, tenant: Option<&str>) -> String {
    with_query(&format!("/customers/{}", in_path(id)), [("tenant", tenant)])
}

/// A restriction.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::console) struct Held {
    pub(in crate::http::console) kind: Kind,
    pub(in crate::http::console) source: Source,
    pub(in crate::http::console) reason: RestrictionReason,
    pub(in crate::http::console) since: Timestamp,
    pub(in crate::http::console) until: Option<Timestamp>,
    pub(in crate::http::console) notes: Option<String>,
    pub(in crate::http::console) actor: Option<String>,
    pub(in crate::http::console) informed_at: Option<Timestamp>,
}

/// A restriction, and what would end it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Standing {
    #[serde(flatten)]
    pub(super) held: Held,
    pub(super) lifted_by: Lift,
    pub(super) source_paused: bool,
}

/// Who may lift it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Lift {
    pub(super) role: Role,
}

/// Why a customer is answered as it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    pub(super) known: Option<bool>,
    pub(super) questions: Vec<Verdict>,
    pub(super) restrictions: Vec<Standing>,
    pub(super) scheduled: Vec<Standing>,
    pub(super) record: Stand,
    pub(super) store: StoreStand,
    pub(super) withheld: Vec<serde::de::IgnoredAny>,
    pub(super) fleet: Fleet,
}

/// What a question comes to.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    pub(super) asked: Asked,
    pub(super) decision: String,
    pub(super) reason: String,
    pub(super) allowed: bool,
    pub(super) http_status: u16,
    pub(super) message: String,
    pub(super) mode: String,
    pub(super) refused_by: Vec<Restriction>,
    pub(super) set_aside: Vec<Restriction>,
    pub(super) rule: Rule,
    pub(super) feature: Option<Feature>,
}

/// What was asked.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Asked {
    pub(super) action: Option<String>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
}

/// The rule that a question meets.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rule {
    pub(super) pattern: Option<String>,
    pub(super) exempt: String,
    pub(super) why: String,
}

/// What is known of a feature that is asked for.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Feature {
    pub(super) code: String,
    pub(super) present: Option<bool>,
}

/// What the answers stand on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stand {
    pub(super) revision: Option<String>,
    pub(super) age_ms: Option<u64>,
    pub(super) stale: bool,
}

/// How the store stands.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StoreStand {
    pub(super) answered: bool,
    pub(super) lost: Option<String>,
}

/// The mode of the fleet.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::console) struct Fleet {
    pub(in crate::http::console) shadow_until: Option<Timestamp>,
}

/// A page of the audit trail.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::console) struct Trail {
    pub(in crate::http::console) entries: Vec<Recorded>,
    pub(super) next_cursor: Option<String>,
}

/// One entry of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::console) struct Recorded {
    pub(super) revision: Option<String>,
    #[serde(flatten)]
    pub(in crate::http::console) entry: AuditEntry,
    #[serde(default)]
    pub(super) notes_erased: bool,
}

impl Recorded {
    /// Whether it tells of what was sent with the form of this key.
    pub(in crate::http::console) fn is_of(&self, once: &str) -> bool {
        self.entry.request_id.as_deref() == Some(once)
    }
}
