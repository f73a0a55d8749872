//! What Stripe's events make of a customer: nothing, unless the policy file says it.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::file::Faults;
use crate::domain::{Kind, RestrictionReason};

/// What each event makes of its customer, by its type and the status of what it is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping(BTreeMap<(String, Option<String>), StripeRule>);

/// What an event makes of its customer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StripeRule {
    /// The kind of restriction that it has from then on; none when it is let back in.
    pub kind: Option<Kind>,
    /// Why.
    pub reason: Option<RestrictionReason>,
}

impl Mapping {
    /// What an event of this type makes of its customer, if anything. A rule for the status goes
    /// before one for any.
    pub(super) fn rule(&self, event: &str, status: Option<&str>) -> Option<StripeRule> {
        let rule = |status: Option<&str>| {
            self.0.get(&(event.to_owned(), status.map(str::to_owned))).copied()
        };
        status.and_then(|status| rule(Some(status))).or_else(|| rule(None))
    }
}

/// A rule as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    event: Spanned<String>,
    status: Option<OneOrMore>,
    kind: Word,
    reason: Option<Spanned<RestrictionReason>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Disabled,
    Frozen,
    Inactive,
    None,
}

pub(super) fn read(lines: &[Line], faults: &mut Faults<'_>) -> Mapping {
    let mut mapping = BTreeMap::new();
    for line in lines {
        let event = line.event.get_ref();
        if event == SUMMARY || event.is_empty() {
            let rule = "an `event` must name a type of Stripe's events that tells no features";
            faults.add(line.event.span(), rule);
        }
        let kind = match line.kind {
            Word::Disabled => Some(Kind::Disabled),
            Word::Frozen => Some(Kind::Frozen),
            Word::Inactive => Some(Kind::Inactive),
            Word::None => None,
        };
        if let (None, Some(reason)) = (kind, &line.reason) {
            faults.add(reason.span(), "who is let back in (`kind = \"none\"`) has no `reason`");
        }
        let statuses = match &line.status {
            None => vec![None],
            Some(OneOrMore::One(status)) => vec![Some(status.clone())],
            Some(OneOrMore::More(statuses)) => statuses.iter().cloned().map(Some).collect(),
        };
        if statuses.is_empty() {
            faults.add(line.event.span(), "`status` must name one; without it any will do");
        }
        let rule = StripeRule { kind, reason: line.reason.as_ref().map(|it| *it.get_ref()) };
        for status in statuses {
            if mapping.insert((event.clone(), status), rule).is_some() {
                let twice = format!("`{event}` is there twice for one status");
                faults.add(line.event.span(), twice);
            }
        }
    }
    let restricts = lines.iter().find(|line| !matches!(line.kind, Word::None));
    if let Some(line) = restricts.filter(|_| mapping.values().all(|rule| rule.kind.is_some())) {
        let rule = "no event lets back in whom Stripe restricts; say which one does, with \
                    `kind = \"none\"`";
        faults.add(line.event.span(), rule);
    }
    Mapping(mapping)
}

/// The event that tells features, whatever the file says.
pub const SUMMARY: &str = "entitlements.active_entitlement_summary.updated";
