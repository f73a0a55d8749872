//! What requests say in their bodies. `Fields` reads them field by field, so that every error names
//! its field; these say the same to whoever writes one.

#![expect(dead_code, reason = "they are described, and never made")]

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::{
    Code, CustomerId, Maximum, RestrictionReason, Role, Source, Status, TenantId, Timestamp, Token,
};

/// What is said of a restriction that is placed.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"reason": "non_payment", "notes": "two invoices are open"}))]
pub(in crate::http) struct Placing {
    /// Why; `other` if nothing is said.
    reason: Option<RestrictionReason>,
    /// Free text, for operators only.
    #[schema(max_length = 2000)]
    notes: Option<String>,
    /// From when; now if nothing is said.
    since: Option<Timestamp>,
    /// Until when, after `since`; without end if nothing is said.
    until: Option<Timestamp>,
    /// When the customer was told.
    informed_at: Option<Timestamp>,
    /// For which source; that of the key, else `operator`. Another than that takes a `manager`.
    source: Option<Source>,
    /// Whether a customer that is not known is made.
    create: Option<bool>,
}

/// What is said of a restriction that is lifted.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"notes": "paid"}))]
pub(in crate::http) struct Lifting {
    /// Why, for the audit trail.
    reason: Option<RestrictionReason>,
    /// Free text, for operators only.
    #[schema(max_length = 2000)]
    notes: Option<String>,
    /// When the customer was told.
    informed_at: Option<Timestamp>,
    /// For which source; that of the key, else `operator`. Another than that takes a `manager`.
    source: Option<Source>,
    /// Is taken and makes no difference: only who is restricted is made.
    create: Option<bool>,
}

/// What is written of a customer. A field that is named is replaced as a whole, `null` clears it,
/// and the others stay. `reason`, `notes`, `since`, `until` and `informedAt` go with `status`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"plan": "pro", "features": ["sso"], "limits": {"seats": {"max": 25}}}))]
pub(in crate::http) struct CustomerWritten {
    /// The source restricts the customer in exactly this way from now on, and in none if it is
    /// `active`. Where the customer exists and other fields are named too, `revision` or `If-Match`
    /// is required.
    #[schema(nullable = false)]
    status: Option<Status>,
    /// Why; `other` if nothing is said.
    reason: Option<RestrictionReason>,
    /// Free text, for operators only.
    #[schema(max_length = 2000)]
    notes: Option<String>,
    /// From when, and not with `active`; now if nothing is said.
    since: Option<Timestamp>,
    /// Until when, after `since` and not with `active`; without end if nothing is said.
    until: Option<Timestamp>,
    /// When the customer was told.
    informed_at: Option<Timestamp>,
    /// For which source; that of the key, else `operator`. Another than that takes a `manager`.
    source: Option<Source>,
    /// The revision that the customer has to be at, as in `If-Match`.
    revision: Option<Token>,
    /// The customer's name, for operators only.
    name: Option<String>,
    /// Whatever operators keep beside it.
    metadata: Option<BTreeMap<String, String>>,
    /// The plan's code.
    plan: Option<Code>,
    /// The features that it has; twice the same is once.
    features: Option<Vec<Code>>,
    /// The limits that it has.
    limits: Option<BTreeMap<Code, LimitWritten>>,
    /// What stands against closing it.
    obligations: Option<ObligationsWritten>,
    /// The ids that other systems have for it. An id of a source is one customer's.
    aliases: Option<BTreeMap<Source, CustomerId>>,
}

/// The most of something that a customer may have.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LimitWritten {
    max: Maximum,
    /// How much is used.
    used: Option<u64>,
    /// When that was so; now if nothing is said.
    used_at: Option<Timestamp>,
}

/// What has to be settled before a customer is closed; 0 of what is not named.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ObligationsWritten {
    /// Subscriptions that are running.
    active_subscriptions: u64,
    /// Orders that are not finished.
    pending_orders: u64,
    /// Devices that have not come back.
    unreturned_devices: u64,
}

/// A disable, as it may be told to BillaBear's path. BillaBear itself has no body.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"reason": "non_payment"}))]
pub(in crate::http) struct BillaBearDisable {
    /// Why; `other` if nothing is said.
    reason: Option<RestrictionReason>,
    /// Free text, for operators only.
    #[schema(max_length = 2000)]
    notes: Option<String>,
    /// Until when; without end if nothing is said.
    until: Option<Timestamp>,
    /// When the customer was told.
    informed_at: Option<Timestamp>,
}

/// An enable, as it may be told to BillaBear's path. BillaBear itself has no body.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"notes": "paid"}))]
pub(in crate::http) struct BillaBearEnable {
    /// Why, for the audit trail.
    reason: Option<RestrictionReason>,
    /// Free text, for operators only.
    #[schema(max_length = 2000)]
    notes: Option<String>,
    /// When the customer was told.
    informed_at: Option<Timestamp>,
}

/// What Wingback is told. Other fields are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"notes": "Management told us to change their status"}))]
pub(in crate::http) struct WingbackNotes {
    /// Free form. Longer than 2,000 characters it is cut and marked.
    notes: Option<String>,
}

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"name": "kim", "role": "support"}))]
pub(in crate::http) struct KeyMade {
    /// Whose it is.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    role: Role,
    /// The only tenant that it sees; all if nothing is said.
    tenant: Option<TenantId>,
    /// The source that it acts for; `operator` if nothing is said.
    source: Option<Source>,
    /// From when it is no longer good, in the future; always good if nothing is said.
    expires_at: Option<Timestamp>,
}

/// How a key is rotated.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"overlapSeconds": 86400}))]
pub(in crate::http) struct KeyRotation {
    /// For how long the token before stays good; not at all if nothing is said.
    #[schema(maximum = 2_592_000)]
    overlap_seconds: Option<u64>,
}

/// For how long every instance is in shadow.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"forSeconds": 3600}))]
pub(in crate::http) struct ShadowWanted {
    /// A week at most.
    #[schema(minimum = 1, maximum = 604_800)]
    for_seconds: u64,
}

/// The source that goes on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"source": "billing"}))]
pub(in crate::http) struct SourceNamed {
    source: Source,
}

/// Whether it is done, or only told.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"dryRun": true}))]
pub(in crate::http) struct SuccessionWanted {
    /// Whether it is only told what it would do.
    dry_run: Option<bool>,
}

/// The conflict that is settled.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"forgotten": "k3f9:0.42"}))]
pub(in crate::http) struct ConflictNamed {
    /// The token that the list of conflicts has.
    forgotten: Token,
}

/// Nothing at all.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Nothing {}
