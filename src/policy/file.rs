//! Reads a policy file.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::{
    HttpStatuses, RouteRule, Rules,
    routes::{Placed, Routes},
    stripe,
};
use crate::domain::{
    Access, ByStatus, Code, Exemption, Ground, Mode, Operation, Outcome, Overrides, Policy, Reason,
    RouteTerms, WhenUndecided,
};

/// Why a policy file cannot be used: everything that is wrong with it, line by line.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct InvalidPolicy(pub Vec<Fault>);

/// One thing that is wrong with a policy file.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fault {
    /// In which line, from 1 on.
    pub line: usize,
    /// What, and the rule that it breaks.
    pub message: String,
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&faults.join("; "))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mode: Option<Mode>,
    when_undecided: Option<WhenUndecided>,
    unmatched_routes: Option<Unmatched>,
    #[serde(default)]
    case_insensitive: bool,
    #[serde(default)]
    statuses: Statuses,
    #[serde(default)]
    http_status: BTreeMap<Spanned<String>, Spanned<i64>>,
    #[serde(default)]
    routes: Vec<Line>,
    #[serde(default)]
    stripe: Vec<stripe::Line>,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Unmatched {
    Allow,
    Deny,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Statuses {
    active: Said,
    frozen: Said,
    inactive: Said,
    disabled: Said,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Said {
    access: Option<Spanned<Access>>,
    mode: Option<Mode>,
    when_undecided: Option<WhenUndecided>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: Spanned<String>,
    methods: Option<Spanned<Vec<String>>>,
    exempt: Option<bool>,
    exempt_for: Option<Spanned<Vec<Spanned<String>>>>,
    action: Option<Operation>,
    feature: Option<Spanned<String>>,
    limit: Option<Spanned<String>>,
    mode: Option<Mode>,
    when_undecided: Option<WhenUndecided>,
}

pub(super) fn read(text: &str, base: Policy) -> Result<Rules, InvalidPolicy> {
    let mut faults = Faults { text, found: Vec::new() };
    let file: File = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => {
            faults.add(error.span().unwrap_or_default(), error.message().to_owned());
            return Err(InvalidPolicy(faults.found));
        }
    };
    let policy = read_policy(&file, base, &mut faults);
    let http_statuses = read_http_statuses(&file.http_status, &mut faults);
    let stripe = Arc::new(stripe::read(&file.stripe, &mut faults));
    let placed: Vec<_> = file.routes.iter().map(|line| read_route(line, &mut faults)).collect();
    if placed.len() > ROUTES_AT_MOST {
        faults.add(0..0, format!("a policy may have {ROUTES_AT_MOST} routes at most"));
    }
    let routes = match Routes::new(file.case_insensitive, &placed) {
        Ok(routes) => Some(routes).filter(|_| !placed.is_empty()),
        Err(invalid) => {
            for (index, fault) in invalid {
                if let Some(line) = file.routes.get(index) {
                    let path = line.path.get_ref();
                    faults.add(line.path.span(), format!("the path `{path}` {fault}"));
                }
            }
            None
        }
    };
    let refuses_unmatched = file.unmatched_routes == Some(Unmatched::Deny);
    if refuses_unmatched && placed.is_empty() {
        faults.add(0..0, "`unmatched_routes = \"deny\"` without a route refuses all requests");
    }
    if !faults.found.is_empty() {
        faults.found.sort();
        return Err(InvalidPolicy(faults.found));
    }
    let hash = Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
        hex
    });
    let (hash, route_count) = (Some(hash), placed.len());
    Ok(Rules { policy, hash, routes, route_count, refuses_unmatched, http_statuses, stripe })
}

fn read_policy(file: &File, base: Policy, faults: &mut Faults<'_>) -> Policy {
    let Statuses { active, frozen, inactive, disabled } = &file.statuses;
    let overrides =
        |said: &Said| Overrides { mode: said.mode, when_undecided: said.when_undecided };
    let mut policy = Policy {
        mode: file.mode.unwrap_or(base.mode),
        when_undecided: file.when_undecided.unwrap_or(base.when_undecided),
        statuses: ByStatus {
            active: overrides(active),
            frozen: overrides(frozen),
            inactive: overrides(inactive),
            disabled: overrides(disabled),
        },
        ..base
    };
    let mut left = |said: &Said, name: &str, may_be: &[Access]| {
        let access = said.access.as_ref()?;
        if may_be.contains(access.get_ref()) {
            return Some(*access.get_ref());
        }
        let words: Vec<_> = may_be.iter().map(|access| format!("`{}`", access.as_str())).collect();
        let words = words.join(" or ");
        faults
            .add(access.span(), format!("the access of a customer that is {name} may be {words}"));
        None
    };
    left(active, "active", &[Access::ReadWrite]);
    left(disabled, "disabled", &[Access::None]);
    let either = [Access::None, Access::ReadOnly];
    policy.access.frozen = left(frozen, "frozen", &either).unwrap_or(policy.access.frozen);
    policy.access.inactive = left(inactive, "inactive", &either).unwrap_or(policy.access.inactive);
    policy
}

fn read_http_statuses(
    raw: &BTreeMap<Spanned<String>, Spanned<i64>>,
    faults: &mut Faults<'_>,
) -> HttpStatuses {
    let mut statuses = HttpStatuses::default();
    for (name, status) in raw {
        let number = u16::try_from(*status.get_ref()).ok().filter(|it| (400..500).contains(it));
        let Some(number) = number else {
            faults.add(status.span(), "the HTTP status of a deny must be one of 400 to 499");
            continue;
        };
        let denies = || Reason::ALL.into_iter().filter(|it| it.outcome() == Outcome::Deny);
        match denies().find(|reason| reason.as_str() == name.get_ref()) {
            Some(reason) => statuses.by_reason.push((reason, number)),
            None if name.get_ref() == PAYMENT_REQUIRED => {
                statuses.payment_required = Some(number);
            }
            None => {
                let words: Vec<_> = denies().map(Reason::as_str).collect();
                let words = words.join(", ");
                let message = format!(
                    "`{}` is no reason of a deny; these are: {words}, and {PAYMENT_REQUIRED} for a \
                     disabled customer whose payment is missing",
                    name.get_ref()
                );
                faults.add(name.span(), message);
            }
        }
    }
    statuses
}

fn read_route(line: &Line, faults: &mut Faults<'_>) -> Placed<Arc<RouteRule>> {
    let pattern = line.path.get_ref().clone();
    let methods = line.methods.as_ref().map(|methods| {
        let is_method = |it: &String| {
            !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        };
        if methods.get_ref().is_empty() || !methods.get_ref().iter().all(is_method) {
            let rule = "`methods` must name methods in capitals, as in [\"GET\"]; without it a \
                        route is for all of them";
            faults.add(methods.span(), rule);
        }
        methods.get_ref().clone()
    });
    let exemption = read_exemption(line, faults);
    let mut code = |raw: &Option<Spanned<String>>| {
        let raw = raw.as_ref()?;
        let code = Code::parse(raw.get_ref());
        code.map_err(|error| faults.add(raw.span(), error.to_string())).ok()
    };
    let (feature, limit) = (code(&line.feature), code(&line.limit));
    if exemption == Exemption::Everybody && (line.feature.is_some() || line.limit.is_some()) {
        let rule = "a route that is exempt asks for no `feature` and no `limit`";
        faults.add(line.path.span(), rule);
    }
    let overrides = Overrides { mode: line.mode, when_undecided: line.when_undecided };
    let terms = Arc::new(RouteTerms { pattern: pattern.clone(), exemption, overrides });
    let value = Arc::new(RouteRule {
        terms,
        names_methods: line.methods.is_some(),
        action: line.action,
        feature,
        limit,
    });
    Placed { pattern, methods: methods.unwrap_or_default(), value }
}

fn read_exemption(line: &Line, faults: &mut Faults<'_>) -> Exemption {
    let Some(words) = &line.exempt_for else {
        let is_exempt = line.exempt == Some(true);
        return if is_exempt { Exemption::Everybody } else { Exemption::Nobody };
    };
    if line.exempt.is_some() {
        faults.add(words.span(), "give either `exempt` or `exempt_for`");
    }
    if words.get_ref().is_empty() {
        faults.add(words.span(), "`exempt_for` must name kinds or reasons of restrictions");
    }
    let mut grounds = Vec::with_capacity(words.get_ref().len());
    for word in words.get_ref() {
        match Ground::parse(word.get_ref()) {
            Some(ground) => grounds.push(ground),
            None => faults.add(
                word.span(),
                format!("`{}` is neither a kind nor a reason of a restriction", word.get_ref()),
            ),
        }
    }
    Exemption::For(grounds)
}

/// What was found to be wrong so far.
pub(super) struct Faults<'a> {
    text: &'a str,
    found: Vec<Fault>,
}

impl Faults<'_> {
    pub(super) fn add(&mut self, at: Range<usize>, message: impl Into<String>) {
        let before = self.text.get(..at.start).unwrap_or_default();
        let line = before.split('\n').count();
        // One line each, whatever it quotes.
        let message = message.into().split_whitespace().collect::<Vec<_>>().join(" ");
        self.found.push(Fault { line, message });
    }
}

const PAYMENT_REQUIRED: &str = "payment_required";
/// More would be a mistake.
const ROUTES_AT_MOST: usize = 10_000;

#[cfg(test)]
mod tests;
