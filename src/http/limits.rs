//! The limits endpoint: what a customer may do, as its application reads it.

mod doors;

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

pub(super) use self::doors::{
    __path_of_data_plane, __path_of_operator_plane, of_data_plane, of_operator_plane,
};
use super::{DataPlane, fields, problem::Problem};
use crate::{
    domain::{
        Access, AccessLeft, Code, CustomerKey, Kind, Limit, Maximum, MinRevision, Operation,
        Reason, Record, Restriction, RestrictionReason, Source, Status, Timestamp, Token,
    },
    gate::{Unseen, View},
    identify,
    store::format::hex,
};

/// Whether a disabled customer's billing goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DisabledBilling {
    /// It does.
    Active,
    /// It is paused.
    Paused,
}

/// Answers with the limits of `customer`, and whether they are stale.
///
/// `?minRevision=` names the revision that they must stand on at least, else the header does that
/// gateways name one in: 400 when it is no token, 503 `REVISION_NOT_REACHED` when it is not reached
/// in time.
pub(super) async fn limits(
    plane: &DataPlane,
    customer: &CustomerKey,
    request: Request,
) -> Result<(Response, bool), Problem> {
    let (request, _) = request.into_parts();
    let min_revision = min_revision(plane, &request)?;
    let (gate, headers) = (&plane.gate, &request.headers);
    let view = seen(plane, customer, min_revision.as_ref()).await?;
    let record = record_of(&view, customer)?;
    let left = gate.rules().policy.access;
    let lasting = Lasting::of(&view, record, left, plane.disabled_billing);
    let json = serde_json::to_vec(&lasting).map_err(Problem::store_unreachable)?;
    let tag = format!("W/\"{}\"", &hex(&Sha256::digest(&json))[..32]);
    let is_known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| matches(known, &tag));

    let mut answer = HeaderMap::new();
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.insert(header::ETAG, tag);
    }
    if is_known {
        return Ok(((StatusCode::NOT_MODIFIED, answer).into_response(), view.stale));
    }
    let age = view.staleness.age.unwrap_or_default();
    let as_of = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let as_of = view.now.as_millis().saturating_sub(as_of);
    let shown = Shown {
        lasting,
        as_of: Timestamp::from_millis(i64::try_from(as_of).unwrap_or(i64::MAX)),
        age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        stale: view.stale,
    };
    Ok(((answer, Json(shown)).into_response(), view.stale))
}

/// What is known of a customer, if there is one.
pub(super) async fn seen(
    plane: &DataPlane,
    customer: &CustomerKey,
    min_revision: Option<&MinRevision>,
) -> Result<View, Problem> {
    let view = plane.gate.view(customer, min_revision).await.map_err(|unseen| match unseen {
        Unseen::Missing(missing) => Problem::store_unreachable(format!(
            "the record of {customer} cannot be had: {missing:?}"
        )),
        Unseen::RevisionNotReached => Problem::undecided(Reason::RevisionNotReached),
    })?;
    if view.is_absent() {
        let message = "there is no such customer";
        return Err(Problem::new(StatusCode::NOT_FOUND, "CUSTOMER_UNKNOWN", message));
    }
    Ok(view)
}

/// The record of a customer who was seen.
pub(super) fn record_of<'a>(view: &'a View, customer: &CustomerKey) -> Result<&'a Record, Problem> {
    let unreadable =
        || Problem::store_unreachable(format!("the record of {customer} is unreadable"));
    view.known().ok_or_else(unreadable)
}

/// The revision that a request asks for: by its query, else by its header. Unlike a gateway, whoever
/// asks here can be told that it is no token.
fn min_revision(plane: &DataPlane, request: &Parts) -> Result<Option<MinRevision>, Problem> {
    let mut query = fields::query(request.uri.query(), &[MIN_REVISION])?;
    let by_header = plane.min_revision_header.as_ref();
    let (name, asked) = match (query.remove(MIN_REVISION), by_header) {
        (Some(raw), _) => (MIN_REVISION, Some(raw.parse())),
        (None, Some(name)) => (name.as_str(), identify::min_revision(&request.headers, name)),
        (None, None) => return Ok(None),
    };
    match asked {
        Some(Err(error)) => Err(Problem::invalid_field(name, error)),
        asked => Ok(asked),
    }
}

/// Whether an `If-None-Match` names this weak tag.
fn matches(known: &HeaderValue, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    let known = known.to_str().unwrap_or_default();
    known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == opaque)
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Limits)]
struct Shown<'a> {
    #[serde(flatten)]
    lasting: Lasting<'a>,
    as_of: Timestamp,
    age_ms: u64,
    stale: bool,
}

/// What changes only when the customer does; the tag is made of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LastingLimits)]
struct Lasting<'a> {
    customer_id: &'a str,
    tenant_id: &'a str,
    status: Status,
    access: Access,
    disabled: bool,
    frozen: bool,
    inactive: bool,
    allowed: Allowed,
    restrictions: Vec<ShownRestriction<'a>>,
    scheduled: Vec<ShownRestriction<'a>>,
    billing: &'static str,
    subscriptions: Subscriptions,
    plan: Option<&'a Code>,
    features: Option<&'a BTreeSet<Code>>,
    limits: Option<BTreeMap<&'a Code, ShownLimit>>,
    revision: Option<&'a Token>,
}

#[derive(Serialize, ToSchema)]
struct Allowed {
    read: bool,
    write: bool,
}

#[derive(Serialize, ToSchema)]
struct Subscriptions {
    count: u64,
    state: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LimitLeft)]
struct ShownLimit {
    max: Maximum,
    used: Option<u64>,
    remaining: Option<u64>,
}

/// A restriction as the data plane may show it: no notes, no actor, no sensitive reason.
#[derive(Serialize, ToSchema)]
#[schema(as = ShownRestriction)]
struct ShownRestriction<'a> {
    kind: Kind,
    source: &'a Source,
    reason: RestrictionReason,
    since: Timestamp,
    until: Option<Timestamp>,
}

impl<'a> Lasting<'a> {
    fn of(
        view: &'a View,
        record: &'a Record,
        left: AccessLeft,
        disabled_billing: DisabledBilling,
    ) -> Self {
        let (restrictions, now, body) = (&view.restrictions, view.now, &record.body);
        let status = restrictions.status_at(now);
        let access = restrictions.access_at(now, left);
        let has = |kind| restrictions.in_force_at(now).any(|held| held.kind == kind);
        let (billing, state) = match (status, disabled_billing) {
            (Status::Active, _) => ("active", "active"),
            (Status::Frozen, _) => ("paused", "paused"),
            (Status::Disabled, DisabledBilling::Active) => ("active", "restricted"),
            (Status::Disabled, DisabledBilling::Paused) => ("paused", "restricted"),
            (Status::Inactive, _) => ("ended", "ended"),
        };
        Self {
            customer_id: record.key.id(),
            tenant_id: record.key.tenant(),
            status,
            access,
            disabled: has(Kind::Disabled),
            frozen: has(Kind::Frozen),
            inactive: has(Kind::Inactive),
            allowed: Allowed {
                read: access.permits(Operation::Read),
                write: access.permits(Operation::Write),
            },
            restrictions: restrictions.in_force_at(now).map(shown).collect(),
            scheduled: restrictions.scheduled_at(now).map(shown).collect(),
            billing,
            subscriptions: Subscriptions { count: body.obligations.active_subscriptions, state },
            plan: body.plan.as_ref(),
            features: body.features.as_deref(),
            limits: body.limits.as_ref().map(|limits| {
                limits.iter().map(|(code, limit)| (code, ShownLimit::of(limit))).collect()
            }),
            revision: view.revision.as_ref(),
        }
    }
}

impl ShownLimit {
    fn of(limit: &Limit) -> Self {
        let remaining = match (limit.max, limit.used) {
            (Maximum::AtMost(max), Some(used)) => Some(max.saturating_sub(used)),
            (Maximum::AtMost(_), None) | (Maximum::Unlimited, _) => None,
        };
        Self { max: limit.max, used: limit.used, remaining }
    }
}

const MIN_REVISION: &str = "minRevision";

fn shown(held: &Restriction) -> ShownRestriction<'_> {
    ShownRestriction {
        kind: held.kind,
        source: &held.source,
        reason: held.reason.public(),
        since: held.since,
        until: held.until,
    }
}
