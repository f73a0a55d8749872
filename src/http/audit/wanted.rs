//! Which entries of the audit trail are asked for, and reading no more than a request may.

use std::{collections::BTreeMap, fmt::Display, str::FromStr, time::Duration};

use super::super::{
    customers::{DEFAULT_LIMIT, page_limit},
    fields::query,
    problem::Problem,
};
use crate::{
    control::Control,
    domain::{
        AuditEntry, CustomerKey, Partition, TenantId,
        audit::{AuditFilter, StoredAudit},
    },
    store::{AuditCursor, AuditPage, StoreError, format::id_order},
};

/// What a request asks for.
pub(super) struct Asked {
    pub(super) wanted: Wanted,
    /// The entry before which (in time) the answer begins.
    pub(super) before: Option<AuditCursor>,
    pub(super) format: Format,
}

/// How it is answered.
pub(super) enum Format {
    /// A page of so many entries.
    Page { limit: usize },
    /// A line for every entry.
    Lines,
}

impl Asked {
    pub(super) fn of_query(raw: Option<&str>, accepts_lines: bool) -> Result<Self, Problem> {
        let known = ["limit", "before", "format", "actor", "action", "outcome", "since", "until"];
        let mut given = query(raw, &known)?;
        let before = given.remove("before").filter(|id| !id.is_empty());
        let before = before.map(|raw| raw.parse::<AuditCursor>()).transpose();
        let before = before.map_err(|error| Problem::invalid_field("before", error))?;
        let is_lines = match given.remove("format").as_deref() {
            None => accepts_lines,
            Some("json") => false,
            Some("ndjson") => true,
            Some(_) => return Err(Problem::invalid_field("format", "must be json or ndjson")),
        };
        let format = match given.remove("limit") {
            Some(_) if is_lines => {
                return Err(Problem::invalid_field("limit", "an export has none"));
            }
            _ if is_lines => Format::Lines,
            None => Format::Page { limit: DEFAULT_LIMIT },
            Some(raw) => Format::Page { limit: page_limit(&raw)? },
        };
        let actor = given.remove("actor");
        if actor.as_ref().is_some_and(String::is_empty) {
            return Err(Problem::invalid_field("actor", "must be a name"));
        }
        let filter = AuditFilter {
            actor,
            action: parsed(&mut given, "action")?,
            outcome: parsed(&mut given, "outcome")?,
            since: parsed(&mut given, "since")?,
            until: parsed(&mut given, "until")?,
        };
        let wanted = Wanted { customer: None, scope: None, filter };
        Ok(Self { wanted, before, format })
    }

    /// Only of one customer.
    pub(super) fn about(self, customer: CustomerKey) -> Self {
        Self { wanted: Wanted { customer: Some(customer), ..self.wanted }, ..self }
    }

    /// Only of one tenant, if there is one.
    pub(super) fn within(self, tenant: Option<&TenantId>) -> Self {
        let scope = tenant.map(|tenant| format!("{tenant}:"));
        Self { wanted: Wanted { scope, ..self.wanted }, ..self }
    }
}

/// Which entries are wanted.
#[derive(Clone)]
pub(super) struct Wanted {
    customer: Option<CustomerKey>,
    /// How the subject of every entry has to begin.
    scope: Option<String>,
    filter: AuditFilter,
}

/// Some of them.
pub(super) struct Found {
    pub(super) entries: Vec<StoredAudit>,
    /// Where the next ones begin, if there may be any.
    pub(super) next: Option<AuditCursor>,
}

impl Wanted {
    /// Reads `limit` of them at most. They may come short: no page is worth reading the whole
    /// trail for.
    pub(super) async fn read(
        &self,
        control: &Control,
        before: Option<AuditCursor>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let at_once = if self.is_everything() { limit } else { limit.max(READ_AT_ONCE) };
        let customer = self.customer.clone();
        let mut page = AuditPage { customer, before: self.first(before), limit: at_once + 1 };
        let mut entries = Vec::new();
        for _ in 0..PAGES_READ {
            let mut found = control.audit(&page).await?;
            let has_more = found.len() > at_once;
            found.truncate(at_once);
            for stored in found {
                if self.is_past(&stored) {
                    return Ok(Found { entries, next: None });
                }
                if entries.len() == limit {
                    return Ok(Found { entries, next: page.before });
                }
                page.before = Some(AuditCursor::from(&stored));
                if self.includes(&stored.entry) {
                    entries.push(stored);
                }
            }
            if !has_more {
                return Ok(Found { entries, next: None });
            }
            if entries.len() == limit {
                break;
            }
        }
        Ok(Found { entries, next: page.before })
    }

    fn is_everything(&self) -> bool {
        self.scope.is_none() && self.filter == AuditFilter::default()
    }

    /// Where to begin: what is newer than what is wanted need not be read.
    fn first(&self, before: Option<AuditCursor>) -> Option<AuditCursor> {
        let Some(until) = self.filter.until else { return before };
        let id = format!("{}-0", until.saturating_add(CLOCKS_DIFFER).as_millis());
        match before {
            Some(before) if id_order(&before.id) <= id_order(&id) => Some(before),
            Some(_) | None => Some(AuditCursor { id, partition: Partition(0) }),
        }
    }

    /// Whether nothing that is wanted can be older than this.
    fn is_past(&self, stored: &StoredAudit) -> bool {
        let (millis, _) = id_order(&stored.id);
        let earliest = self.filter.since.map(|since| since.saturating_sub(CLOCKS_DIFFER));
        earliest.is_some_and(|earliest| millis < earliest.as_millis())
    }

    fn includes(&self, entry: &AuditEntry) -> bool {
        // Keys and sources are of no tenant, also not of one that is named `key`; and what was
        // done to many customers is of one if they are.
        let in_scope = self.scope.as_ref().is_none_or(|scope| {
            if let Some(batch) = &entry.batch {
                let tenant = batch.tenant.as_deref();
                return tenant.is_some() && tenant == scope.strip_suffix(':');
            }
            entry.subject.starts_with(scope)
                && !entry.action.starts_with("keys_")
                && !entry.action.starts_with("ingest_")
        });
        in_scope && self.filter.includes(entry)
    }
}

fn parsed<T: FromStr<Err: Display>>(
    given: &mut BTreeMap<String, String>,
    name: &str,
) -> Result<Option<T>, Problem> {
    let parsed = given.remove(name).map(|raw| raw.parse()).transpose();
    parsed.map_err(|error| Problem::invalid_field(name, error))
}

const READ_AT_ONCE: usize = 100;
const PAGES_READ: usize = 20;
/// An entry is placed by the clock of the store, and tells the time of the instance that was
/// asked: these may be so far apart.
const CLOCKS_DIFFER: Duration = Duration::from_hours(24);
