//! What a question comes to, as JSON.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

use super::Question;
use crate::{
    domain::{
        Asked, Code, Maximum, Mode, Operation, Restriction, Route, Timestamp, customer::RecordBody,
    },
    gate::{
        Answer,
        explain::{Seen, Verdict},
    },
    http::openapi::words,
    policy::{Rules, Shown as ShownRule, path::canonical},
    store::StoredRecord,
    wire,
};

/// What a question comes to, and why.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Verdict)]
pub(super) struct Explanation {
    asked: AskedShown,
    #[schema(schema_with = words::decision)]
    decision: &'static str,
    #[schema(schema_with = words::reason)]
    reason: &'static str,
    /// What the gateway would do.
    allowed: bool,
    /// What it is answered with.
    http_status: u16,
    code: &'static str,
    message: &'static str,
    #[schema(schema_with = words::mode)]
    mode: &'static str,
    /// What says the mode: `fleet`, `route`, `status` or `policy`.
    mode_from: &'static str,
    /// The restrictions for which it is refused: each of them would suffice.
    refused_by: Vec<Restriction>,
    /// The restrictions in force that the route sets aside.
    set_aside: Vec<Restriction>,
    rule: Rule,
    feature: Option<FeatureShown>,
    limit: Option<LimitShown>,
    /// Every way in which the request may be read behind the gateway, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    readings: Vec<Reading>,
}

impl Explanation {
    /// Shows `verdict` on `question`.
    pub(super) fn of(verdict: &Verdict, question: &Question, seen: &Seen, rules: &Rules) -> Self {
        let Verdict { answer, asked, .. } = verdict;
        let decision = &answer.decision;
        let spelling = wire::spelling(decision);
        let usual = rules.policy.mode;
        let body = seen.held.as_ref().and_then(|held| match &held.record {
            StoredRecord::Known(record) => Some(&record.body),
            StoredRecord::Absent | StoredRecord::Unreadable(_) => None,
        });
        let max_used_age = rules.policy.max_used_age;
        Self {
            asked: AskedShown {
                action: question.act(asked.operation),
                method: question.method.clone(),
                path: question.path.clone(),
                canonical_path: question.path.as_deref().and_then(canonical).map(Cow::into_owned),
            },
            decision: decision.outcome().as_str(),
            reason: decision.reason.as_str(),
            allowed: answer.allowed(),
            http_status: wire::enforced_status(answer).as_u16(),
            code: spelling.code,
            message: spelling.sentence,
            mode: answer.mode.as_str(),
            mode_from: verdict.mode_said_by.as_str(),
            refused_by: verdict.refused_by.clone(),
            set_aside: verdict.set_aside.clone(),
            rule: Rule { terms: Terms::of(asked, usual), why: why(asked, question, rules) },
            feature: asked.feature.as_ref().map(|feature| FeatureShown::of(feature, body)),
            limit: LimitShown::of(asked, body, max_used_age, seen.now),
            readings: verdict
                .readings
                .iter()
                .map(|(reading, alone)| Reading::of(reading, alone, asked, usual))
                .collect(),
        }
    }
}

/// Why the request meets that rule, or none.
fn why(asked: &Asked, question: &Question, rules: &Rules) -> &'static str {
    match &asked.route {
        Route::Matched(_) => "it is the most specific route for this method and path",
        Route::Suspicious => "the path hides part of itself, so that no route can be told",
        Route::Unmatched => "no route names the request, and the policy refuses those",
        Route::Unrouted if question.path.is_none() => "no method and path were asked about",
        Route::Unrouted if rules.route_count == 0 => "the policy has no routes",
        Route::Unrouted => "no route names the request, and the policy lets the status decide",
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Asked)]
struct AskedShown {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    action: Option<Operation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    path: Option<String>,
    /// The path in the form in which it is compared with routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    canonical_path: Option<String>,
}

/// The rule that a question meets.
#[derive(Serialize, ToSchema)]
#[schema(as = MetRule)]
struct Rule {
    #[serde(flatten)]
    terms: Terms,
    why: &'static str,
}

/// What a rule asks.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleTerms)]
struct Terms {
    route: &'static str,
    pattern: Option<String>,
    action: Operation,
    exempt: String,
    feature: Option<String>,
    limit: Option<String>,
}

impl Terms {
    fn of(asked: &Asked, usual: Mode) -> Self {
        let ShownRule { route, action, exempt, feature, limit, .. } = ShownRule::of(asked, usual);
        Self {
            route,
            pattern: asked.route.terms().map(|terms| terms.pattern.clone()),
            action,
            exempt,
            feature: feature.map(str::to_owned),
            limit: limit.map(str::to_owned),
        }
    }
}

/// One way of reading a request, and what it comes to by itself.
#[derive(Serialize, ToSchema)]
struct Reading {
    #[serde(flatten)]
    terms: Terms,
    #[schema(schema_with = words::decision)]
    decision: &'static str,
    #[schema(schema_with = words::reason)]
    reason: &'static str,
    allowed: bool,
    /// Whether it is the one that decides.
    decides: bool,
}

impl Reading {
    fn of(reading: &Asked, alone: &Answer, deciding: &Asked, usual: Mode) -> Self {
        Self {
            terms: Terms::of(reading, usual),
            decision: alone.decision.outcome().as_str(),
            reason: alone.decision.reason.as_str(),
            allowed: alone.allowed(),
            decides: reading == deciding,
        }
    }
}

/// What is known of a feature that is asked for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AskedFeature)]
struct FeatureShown {
    code: Code,
    /// Whether the customer has it; `null` while no source has said.
    present: Option<bool>,
    /// Everything that it has.
    has: Option<BTreeSet<Code>>,
}

impl FeatureShown {
    fn of(feature: &Code, body: Option<&RecordBody>) -> Self {
        let has = body.and_then(|body| body.features.as_deref().cloned());
        let present = has.as_ref().map(|has| has.contains(feature));
        Self { code: feature.clone(), present, has }
    }
}

/// What is known of a limit that is asked for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AskedLimit)]
struct LimitShown {
    code: Code,
    /// The total that is wanted.
    wanted: Option<u64>,
    /// The most; `null` where no source has said.
    max: Option<Maximum>,
    used: Option<u64>,
    used_at: Option<Timestamp>,
    /// Whether that is too old to count.
    used_outdated: bool,
}

impl LimitShown {
    fn of(
        asked: &Asked,
        body: Option<&RecordBody>,
        max_used_age: Duration,
        now: Timestamp,
    ) -> Option<Self> {
        let asked = asked.limit.as_ref()?;
        let limits = body.and_then(|body| body.limits.as_ref());
        let limit = limits.and_then(|limits| limits.get(&asked.code));
        let used_at = limit.and_then(|limit| limit.used_at);
        Some(Self {
            code: asked.code.clone(),
            wanted: asked.value,
            max: limit.map(|limit| limit.max),
            used: limit.and_then(|limit| limit.used),
            used_at,
            used_outdated: used_at.is_some_and(|at| now.saturating_since(at) > max_used_age),
        })
    }
}
