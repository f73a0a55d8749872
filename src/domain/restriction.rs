//! Restrictions, and the status that they make together.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{check::Access, settings::AccessLeft, time::Timestamp};

/// What a restriction does. Ordered by strictness, the mildest first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Read-only: Wingback's freeze (its API call is named *inactivate*).
    Frozen,
    /// Closed and preserved: FlexPortal's soft delete.
    Inactive,
    /// No access: BillaBear's disable.
    Disabled,
}

impl Kind {
    /// Every kind, the mildest first.
    pub const ALL: [Self; 3] = [Self::Frozen, Self::Inactive, Self::Disabled];

    /// The word used on every wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Inactive => "inactive",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a customer is at a moment: the strictest restriction in force, or active.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing restricts it.
    Active,
    /// Read-only.
    Frozen,
    /// Closed and preserved.
    Inactive,
    /// No access.
    Disabled,
}

impl Status {
    /// The word used on every wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Frozen => "frozen",
            Self::Inactive => "inactive",
            Self::Disabled => "disabled",
        }
    }

    /// The kind of restriction that makes a customer so; none an active one.
    #[must_use]
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Self::Active => None,
            Self::Frozen => Some(Kind::Frozen),
            Self::Inactive => Some(Kind::Inactive),
            Self::Disabled => Some(Kind::Disabled),
        }
    }
}

impl From<Option<Kind>> for Status {
    fn from(strictest: Option<Kind>) -> Self {
        match strictest {
            None => Self::Active,
            Some(Kind::Frozen) => Self::Frozen,
            Some(Kind::Inactive) => Self::Inactive,
            Some(Kind::Disabled) => Self::Disabled,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a restriction was placed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RestrictionReason {
    /// The account was closed.
    AccountClosure,
    /// A compliance rule asked for it.
    Compliance,
    /// The customer asked for it.
    CustomerRequest,
    /// Data is being cleaned up.
    DataCleanup,
    /// A payment is disputed, or terms are being negotiated.
    Dispute,
    /// Fraud is suspected.
    Fraud,
    /// A payment is missing.
    NonPayment,
    /// Anything else; also what the data plane shows for compliance, security and fraud.
    Other,
    /// A security matter.
    Security,
    /// A usage limit was passed.
    UsageLimit,
}

impl RestrictionReason {
    /// Every reason, in the order of their words.
    pub const ALL: [Self; 10] = [
        Self::AccountClosure,
        Self::Compliance,
        Self::CustomerRequest,
        Self::DataCleanup,
        Self::Dispute,
        Self::Fraud,
        Self::NonPayment,
        Self::Other,
        Self::Security,
        Self::UsageLimit,
    ];

    /// The word used on every wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountClosure => "account_closure",
            Self::Compliance => "compliance",
            Self::CustomerRequest => "customer_request",
            Self::DataCleanup => "data_cleanup",
            Self::Dispute => "dispute",
            Self::Fraud => "fraud",
            Self::NonPayment => "non_payment",
            Self::Other => "other",
            Self::Security => "security",
            Self::UsageLimit => "usage_limit",
        }
    }

    /// Whether only a manager may lift or replace a restriction with this reason, and the data
    /// plane must not tell it.
    #[must_use]
    pub const fn is_sensitive(self) -> bool {
        matches!(self, Self::Compliance | Self::Fraud | Self::Security)
    }

    /// What the data plane may say: a sensitive reason reads as `other`.
    #[must_use]
    pub const fn public(self) -> Self {
        if self.is_sensitive() { Self::Other } else { self }
    }
}

impl fmt::Display for RestrictionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RestrictionReason {
    type Err = InvalidRestriction;

    fn from_str(raw: &str) -> Result<Self, InvalidRestriction> {
        let known = Self::ALL.into_iter().find(|reason| reason.as_str() == raw);
        known.ok_or(InvalidRestriction::Reason)
    }
}

/// The party that places a restriction and alone lifts it: 1 to 32 bytes of `[a-z0-9_.-]`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct Source(Arc<str>);

impl Source {
    /// The people who operate Tollgate, when nothing else is said.
    #[must_use]
    pub fn operator() -> Self {
        Self("operator".into())
    }

    /// Checks `raw` and keeps it.
    pub fn parse(raw: &str) -> Result<Self, InvalidRestriction> {
        let is_word = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-')
        };
        if (1..=32).contains(&raw.len()) && raw.bytes().all(is_word) {
            Ok(Self(raw.into()))
        } else {
            Err(InvalidRestriction::Source)
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Source {
    type Error = InvalidRestriction;

    fn try_from(raw: String) -> Result<Self, InvalidRestriction> {
        Self::parse(&raw)
    }
}

impl FromStr for Source {
    type Err = InvalidRestriction;

    fn from_str(raw: &str) -> Result<Self, InvalidRestriction> {
        Self::parse(raw)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One source's reason to limit a customer, from a moment and perhaps until another.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restriction {
    /// What it does.
    pub kind: Kind,
    /// Who placed it.
    pub source: Source,
    /// Why.
    pub reason: RestrictionReason,
    /// From when it is in force; may lie in the future.
    pub since: Timestamp,
    /// From when it is no longer in force, if that is known.
    pub until: Option<Timestamp>,
}

impl Restriction {
    /// Whether it limits the customer at `now`. The start counts, the end does not.
    #[must_use]
    pub fn in_force_at(&self, now: Timestamp) -> bool {
        self.since <= now && self.until.is_none_or(|until| now < until)
    }

    /// Whether it will come into force only after `now`.
    #[must_use]
    pub fn scheduled_at(&self, now: Timestamp) -> bool {
        now < self.since && self.until.is_none_or(|until| self.since < until)
    }

    /// Whether it is over at `moment`.
    #[must_use]
    pub fn lapsed_at(&self, moment: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= moment)
    }

    fn write_compact(&self, out: &mut String) {
        use fmt::Write as _;
        let Self { kind, source, reason, since, until } = self;
        // Writing to a string cannot fail.
        let _ = write!(out, "{kind},{source},{reason},{},", since.as_millis());
        if let Some(until) = until {
            let _ = write!(out, "{}", until.as_millis());
        }
    }

    fn parse_compact(raw: &str) -> Result<Self, InvalidRestriction> {
        let mut parts = raw.split(',');
        let mut part = || parts.next().ok_or(InvalidRestriction::Compact);
        let kind = part()?;
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
        let restriction = Self {
            kind: kind.ok_or(InvalidRestriction::Compact)?,
            source: Source::parse(part()?)?,
            reason: part()?.parse()?,
            since: millis(part()?)?,
            until: Some(part()?).filter(|raw| !raw.is_empty()).map(millis).transpose()?,
        };
        if parts.next().is_some() { Err(InvalidRestriction::Compact) } else { Ok(restriction) }
    }
}

fn millis(raw: &str) -> Result<Timestamp, InvalidRestriction> {
    raw.parse().map(Timestamp::from_millis).map_err(|_| InvalidRestriction::Compact)
}

/// All restrictions of one customer: at most one per source and kind, in that order. What is told
/// to every instance also says whether the customer was erased. Cheap to clone.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(from = "Vec<Restriction>", into = "Vec<Restriction>")]
pub struct Restrictions {
    held: Held,
    purged: bool,
}

/// Nearly everybody has none, and nearly everybody else has one: these need no memory of their own.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
enum Held {
    #[default]
    None,
    One(Restriction),
    Several(Arc<[Restriction]>),
}

impl Held {
    fn as_slice(&self) -> &[Restriction] {
        match self {
            Self::None => &[],
            Self::One(restriction) => std::slice::from_ref(restriction),
            Self::Several(restrictions) => restrictions,
        }
    }
}

impl FromIterator<Restriction> for Held {
    fn from_iter<I: IntoIterator<Item = Restriction>>(all: I) -> Self {
        let mut all = all.into_iter();
        match (all.next(), all.next()) {
            (None, _) => Self::None,
            (Some(only), None) => Self::One(only),
            (Some(first), Some(second)) => {
                Self::Several([first, second].into_iter().chain(all).collect())
            }
        }
    }
}

impl Restrictions {
    /// Whether there is none at all, in force or not, and the customer was not erased.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty() && !self.purged
    }

    /// Whether the customer was erased.
    #[must_use]
    pub fn is_purged(&self) -> bool {
        self.purged
    }

    /// The same, of a customer who was erased if `purged`.
    #[must_use]
    pub fn of_purged(self, purged: bool) -> Self {
        Self { purged, ..self }
    }

    /// All of them, by source and kind.
    pub fn iter(&self) -> std::slice::Iter<'_, Restriction> {
        self.as_slice().iter()
    }

    fn as_slice(&self) -> &[Restriction] {
        self.held.as_slice()
    }

    /// The one that `source` holds of `kind`.
    #[must_use]
    pub fn held_by(&self, source: &Source, kind: Kind) -> Option<&Restriction> {
        self.iter().find(|held| held.source == *source && held.kind == kind)
    }

    /// The same with `restriction` in the place of what its source held of its kind.
    #[must_use]
    pub fn with(&self, restriction: Restriction) -> Self {
        let kept = self.iter().filter(|held| !same_holder(held, &restriction)).cloned();
        let mut all: Vec<_> = kept.collect();
        all.push(restriction);
        Self::from(all).of_purged(self.purged)
    }

    /// The same without what `source` holds of `kind`. No other source's is touched.
    #[must_use]
    pub fn without(&self, source: &Source, kind: Kind) -> Self {
        self.only(|held| held.source != *source || held.kind != kind)
    }

    /// Those for which `keep` holds.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&Restriction) -> bool) -> Self {
        let held = self.iter().filter(|held| keep(held)).cloned().collect();
        Self { held, purged: self.purged }
    }

    /// Those in force at `now`.
    pub fn in_force_at(&self, now: Timestamp) -> impl Iterator<Item = &Restriction> {
        self.iter().filter(move |held| held.in_force_at(now))
    }

    /// Those that are to come after `now`.
    pub fn scheduled_at(&self, now: Timestamp) -> impl Iterator<Item = &Restriction> {
        self.iter().filter(move |held| held.scheduled_at(now))
    }

    /// What the customer is at `now`.
    #[must_use]
    pub fn status_at(&self, now: Timestamp) -> Status {
        self.in_force_at(now).map(|held| held.kind).max().into()
    }

    /// What the customer may do at `now`: the least that any restriction in force leaves.
    #[must_use]
    pub fn access_at(&self, now: Timestamp, left: AccessLeft) -> Access {
        let least = self.in_force_at(now).map(|held| left.by(held.kind));
        least.min().unwrap_or(Access::ReadWrite)
    }

    /// The restrictions of the strictest kind in force at `now`.
    pub fn deciding_at(&self, now: Timestamp) -> impl Iterator<Item = &Restriction> {
        let strictest = self.in_force_at(now).map(|held| held.kind).max();
        self.in_force_at(now).filter(move |held| Some(held.kind) == strictest)
    }

    /// The one that is shown as the reason at `now`: of the strictest kind, the earliest
    /// `since`, then the first source by name.
    #[must_use]
    pub fn shown_at(&self, now: Timestamp) -> Option<&Restriction> {
        self.deciding_at(now).min_by(|a, b| (a.since, &a.source).cmp(&(b.since, &b.source)))
    }

    /// One line for the restricted set and the log: `kind,source,reason,since,until` joined by
    /// `;`, times in milliseconds; `purged` comes before those of a customer who was erased.
    ///
    /// ```
    /// use tollgate::domain::Restrictions;
    /// let line = "disabled,operator,fraud,1000,;frozen,wingback,non_payment,5,90";
    /// assert_eq!(Restrictions::parse_compact(line)?.to_compact(), line);
    /// # Ok::<(), tollgate::domain::restriction::InvalidRestriction>(())
    /// ```
    #[must_use]
    pub fn to_compact(&self) -> String {
        let mut out = String::with_capacity(48 * self.as_slice().len());
        if self.purged {
            out.push_str(PURGED);
        }
        for restriction in self {
            if !out.is_empty() {
                out.push(';');
            }
            restriction.write_compact(&mut out);
        }
        out
    }

    /// Reads [`Restrictions::to_compact`].
    pub fn parse_compact(raw: &str) -> Result<Self, InvalidRestriction> {
        let unmarked =
            raw.strip_prefix(PURGED).filter(|rest| matches!(rest.get(..1), None | Some(";")));
        let parts = unmarked.unwrap_or(raw).split(';').filter(|part| !part.is_empty());
        let all: Vec<_> = parts.map(Restriction::parse_compact).collect::<Result<_, _>>()?;
        Ok(Self::from(all).of_purged(unmarked.is_some()))
    }
}

impl<'a> IntoIterator for &'a Restrictions {
    type Item = &'a Restriction;
    type IntoIter = std::slice::Iter<'a, Restriction>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Vec<Restriction>> for Restrictions {
    /// Sorts, and keeps the last one of each source and kind.
    fn from(mut all: Vec<Restriction>) -> Self {
        all.reverse();
        all.sort_by(|a, b| (&a.source, a.kind).cmp(&(&b.source, b.kind)));
        all.dedup_by(|later, kept| same_holder(later, kept));
        Self { held: all.into_iter().collect(), purged: false }
    }
}

impl From<Restriction> for Restrictions {
    fn from(only: Restriction) -> Self {
        Self { held: Held::One(only), purged: false }
    }
}

impl From<Restrictions> for Vec<Restriction> {
    fn from(restrictions: Restrictions) -> Self {
        restrictions.as_slice().to_vec()
    }
}

/// Marks a customer who was erased.
const PURGED: &str = "purged";

fn same_holder(a: &Restriction, b: &Restriction) -> bool {
    a.source == b.source && a.kind == b.kind
}

/// Text that is not a restriction, or not a part of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidRestriction {
    /// Not a line of the restricted set.
    #[error("a compact restriction must be `kind,source,reason,since,until`")]
    Compact,
    /// Not a reason.
    #[error(
        "a reason must be one of account_closure, compliance, customer_request, data_cleanup, \
         dispute, fraud, non_payment, other, security, usage_limit"
    )]
    Reason,
    /// Not a source.
    #[error("a source must be 1 to 32 bytes of [a-z0-9_.-]")]
    Source,
}

#[cfg(test)]
pub(crate) mod tests;
