//! The evaluation endpoints of OpenID's Authorization API 1.0 (AuthZEN), final of January 2026:
//! <https://openid.net/specs/authorization-api-1_0.html>. Fields that are not known are ignored, as
//! it demands.

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority},
    response::{IntoResponse as _, Response},
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    DataPlane,
    authenticate::OwnTenant,
    check::{MOST_CHECKS, identity},
    fields::{json, require_json, whole_body},
    openapi::{
        questions::{BatchAsked, EvaluationAsked},
        refusals::Undecided,
    },
    problem::Problem,
};
use crate::{
    domain::{
        Asked, Check, Code, Enforcement, IdentityFault, LimitCheck, Operation, Readings, Token,
    },
    gate::Answer,
    policy::{self, Becomes},
    telemetry::Dialect,
    wire,
};

/// Whether a customer may do something. A deny is an answer; only that there is none is an error.
#[utoipa::path(
    post,
    path = "/access/v1/evaluation",
    tag = "AuthZEN",
    operation_id = "evaluate",
    security(("bearer" = ["app"])),
    request_body = EvaluationAsked,
    responses(
        (
            status = 200,
            description = "The decision.",
            body = Shown,
            headers(("Cache-Control" = String, description = "`no-store`.")),
        ),
        Undecided,
    ),
)]
pub(super) async fn evaluation(State(plane): State<DataPlane>, request: Request) -> Response {
    let (own, echoed) = (OwnTenant::of(&request), echoed(request.headers()));
    let answered = async {
        let question = read(request).await?;
        one(&plane, &own, &question).await
    };
    (echoed, answered.await).into_response()
}

/// Several questions at once, with what they have in common said once.
///
/// Without any it is the same as one evaluation.
#[utoipa::path(
    post,
    path = "/access/v1/evaluations",
    tag = "AuthZEN",
    operation_id = "evaluateMany",
    security(("bearer" = ["app"])),
    request_body = BatchAsked,
    responses(
        (
            status = 200,
            description = "The decisions, in order; or one decision, as to one question.",
            body = Answered,
            headers(("Cache-Control" = String, description = "`no-store`.")),
        ),
        Undecided,
    ),
)]
pub(super) async fn evaluations(State(plane): State<DataPlane>, request: Request) -> Response {
    let (own, echoed) = (OwnTenant::of(&request), echoed(request.headers()));
    let answered = async { batch(&plane, &own, read(request).await?).await };
    (echoed, answered.await).into_response()
}

async fn batch(plane: &DataPlane, own: &OwnTenant, batch: Batch) -> Result<Response, Problem> {
    let Batch { common, evaluations, options } = batch;
    if evaluations.is_empty() {
        return one(plane, own, &common).await;
    }
    if evaluations.len() > MOST_CHECKS {
        let message = format!("may hold {MOST_CHECKS} evaluations at most");
        return Err(Problem::invalid_field("evaluations", message));
    }
    let decide = |question| decide_in_batch(plane, own, question, &common);
    let Some(stops_at) = options.evaluations_semantic.stops_at() else {
        // Side by side: when the store is away, the whole takes no longer than one of them.
        let evaluations = join_all(evaluations.iter().map(decide)).await;
        return Ok(Json(Answered::Batch(Decided { evaluations })).into_response());
    };
    let mut decided = Vec::with_capacity(evaluations.len());
    for question in &evaluations {
        let shown = decide(question).await;
        let is_last = shown.decision == stops_at;
        decided.push(shown);
        if is_last {
            break;
        }
    }
    Ok(Json(Answered::Batch(Decided { evaluations: decided })).into_response())
}

/// Where everything is, as whoever asks reached it.
#[utoipa::path(
    get,
    path = "/.well-known/authzen-configuration",
    tag = "AuthZEN",
    operation_id = "readAuthzenConfiguration",
    security(("bearer" = ["app"])),
    responses((status = 200, description = "The URLs.", body = Configuration)),
)]
pub(super) async fn configuration(request: Request) -> Result<Json<Configuration>, Problem> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
    let host = host.ok_or_else(|| Problem::invalid_field("Host", "is required"))?;
    let base = format!("http://{host}");
    Ok(Json(Configuration {
        access_evaluation_endpoint: format!("{base}/access/v1/evaluation"),
        access_evaluations_endpoint: format!("{base}/access/v1/evaluations"),
        policy_decision_point: base,
    }))
}

/// AuthZEN's metadata.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthzenConfiguration)]
pub(super) struct Configuration {
    policy_decision_point: String,
    access_evaluation_endpoint: String,
    access_evaluations_endpoint: String,
}

/// One question. Whatever is missing is what the questions of a batch have in common.
#[derive(Debug, Default, Deserialize)]
struct Evaluation {
    subject: Option<Entity>,
    action: Option<Action>,
    resource: Option<Entity>,
    context: Option<Map<String, Value>>,
}

/// A subject or a resource.
#[derive(Debug, Deserialize)]
struct Entity {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    #[serde(default)]
    properties: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Action {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Batch {
    #[serde(flatten)]
    common: Evaluation,
    #[serde(default)]
    evaluations: Vec<Evaluation>,
    #[serde(default)]
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
struct Options {
    #[serde(default)]
    evaluations_semantic: Semantic,
}

/// When a batch ends before its last question.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Semantic {
    DenyOnFirstDeny,
    #[default]
    ExecuteAll,
    PermitOnFirstPermit,
}

impl Semantic {
    /// The decision after which nothing more is asked.
    const fn stops_at(self) -> Option<bool> {
        match self {
            Self::DenyOnFirstDeny => Some(false),
            Self::ExecuteAll => None,
            Self::PermitOnFirstPermit => Some(true),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = EvaluationsAnswer)]
struct Decided {
    evaluations: Vec<Shown>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = EvaluationAnswer)]
struct Shown {
    /// Whether it is allowed.
    decision: bool,
    /// Why: `outcome`, `reason`, `message`, `status`, `access`, `revision`, `ageMs`, `stale` and
    /// `mode`; or `error` for one of a batch that cannot be read.
    #[schema(value_type = Object)]
    context: Value,
}

/// What a batch is answered with.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = BatchAnswer)]
enum Answered {
    /// In order.
    Batch(Decided),
    /// To one question.
    One(Shown),
}

impl Shown {
    fn of(answer: &Answer) -> Self {
        let decision = &answer.decision;
        let context = json!({
            "outcome": decision.outcome().as_str(),
            "reason": decision.reason.as_str(),
            "message": wire::spelling(decision).sentence,
            "status": wire::status_word(decision.status),
            "access": wire::access_word(decision.access),
            "revision": answer.revision,
            "ageMs": answer.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            "stale": answer.stale,
            "mode": answer.mode.as_str(),
        });
        Self { decision: answer.allowed(), context }
    }
}

/// Answers a question that stands for itself.
async fn one(
    plane: &DataPlane,
    own: &OwnTenant,
    question: &Evaluation,
) -> Result<Response, Problem> {
    let check = check(plane, own, question, &Evaluation::default())?;
    let answer = plane.check(Dialect::Authzen, &check).await;
    if answer.enforcement == Enforcement::Fail {
        return Err(Problem::undecided(answer.decision.reason));
    }
    Ok(Json(Answered::One(Shown::of(&answer))).into_response())
}

/// Answers a question among others: what is wrong with it is its own answer.
async fn decide_in_batch(
    plane: &DataPlane,
    own: &OwnTenant,
    question: &Evaluation,
    common: &Evaluation,
) -> Shown {
    match check(plane, own, question, common) {
        Ok(check) => Shown::of(&plane.check(Dialect::Authzen, &check).await),
        Err(problem) => {
            let (status, message) = (problem.status().as_u16(), problem.message());
            let context = json!({"error": {"status": status, "message": message}});
            Shown { decision: false, context }
        }
    }
}

/// The check that a question comes to.
fn check(
    plane: &DataPlane,
    own: &OwnTenant,
    question: &Evaluation,
    common: &Evaluation,
) -> Result<Check, Problem> {
    let required = |name| Problem::invalid_field(name, "is required");
    let subject = question.subject.as_ref().or(common.subject.as_ref());
    let subject = subject.ok_or_else(|| required("subject"))?;
    let action = question.action.as_ref().or(common.action.as_ref());
    let action = action.ok_or_else(|| required("action"))?.name.as_str();
    let resource = question.resource.as_ref().or(common.resource.as_ref());
    let resource = resource.ok_or_else(|| required("resource"))?;
    let context = question.context.as_ref().or(common.context.as_ref());

    if subject.kind != "customer" {
        return Err(Problem::invalid_field("subject.type", "must be `customer`"));
    }
    let tenant = text(&subject.properties, "tenantId", "subject.properties.tenantId")?;
    let identity = identity(plane, own, Some(&subject.id), tenant)?;
    if let Err(fault @ (IdentityFault::Malformed | IdentityFault::Missing)) = &identity {
        return Err(Problem::invalid_field("subject.id", fault.to_string()));
    }
    let min_revision = context.map(|context| text(context, "minRevision", "context.minRevision"));
    let min_revision = min_revision.transpose()?.flatten().map(str::parse::<Token>).transpose();
    let min_revision =
        min_revision.map_err(|error| Problem::invalid_field("context.minRevision", error))?.map(Ok);
    let asked = asked(plane, action, resource)?;
    Ok(asked.of(identity, min_revision))
}

/// What is asked of whoever it is.
fn asked(plane: &DataPlane, action: &str, resource: &Entity) -> Result<Readings, Problem> {
    let (method, told) = match action {
        "read" => ("GET", Some(Operation::Read)),
        "write" => ("POST", Some(Operation::Write)),
        method if is_method(method) => (method, None),
        _ => {
            let rule = "must be `read`, `write` or an HTTP method in capitals";
            return Err(Problem::invalid_field("action.name", rule));
        }
    };
    let operation = told.unwrap_or_else(|| Operation::of_method(method));
    let code = || {
        let code = Code::parse(&resource.id);
        code.map_err(|error| Problem::invalid_field("resource.id", error.to_string()))
    };
    let plain = Asked::plain(operation);
    Ok(match resource.kind.as_str() {
        "route" => {
            let target = Some(resource.id.as_str());
            let becomes = Becomes::default();
            let request = policy::Request { method: Some(method), target, becomes };
            let readings = plane.gate.rules().ask(&request);
            readings.map(|asked| Asked { operation: told.unwrap_or(asked.operation), ..asked })
        }
        "feature" => Asked { feature: Some(code()?), ..plain }.into_readings(),
        "limit" => {
            let value = match resource.properties.get("value") {
                None | Some(Value::Null) => None,
                Some(value) => Some(value.as_u64().ok_or_else(|| {
                    let rule = "must be a whole number from 0 on";
                    Problem::invalid_field("resource.properties.value", rule)
                })?),
            };
            let limit = Some(LimitCheck { code: code()?, value });
            Asked { limit, ..plain }.into_readings()
        }
        _ => {
            let rule = "must be `route`, `feature` or `limit`";
            return Err(Problem::invalid_field("resource.type", rule));
        }
    })
}

fn is_method(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

/// A text among properties; nothing if it is not given.
fn text<'a>(
    properties: &'a Map<String, Value>,
    name: &str,
    path: &'static str,
) -> Result<Option<&'a str>, Problem> {
    match properties.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Problem::invalid_field(path, "must be a text")),
    }
}

async fn read<T: for<'de> Deserialize<'de>>(request: Request) -> Result<T, Problem> {
    require_json(request.headers())?;
    let body = whole_body(request).await?;
    let read = json::read(&body).and_then(serde_json::from_value);
    read.map_err(|error| Problem::invalid_field("body", error))
}

/// What every answer carries: the id of its request, if it has one.
fn echoed(asked: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::from_iter([(header::CACHE_CONTROL, NO_STORE)]);
    if let Some(id) = asked.get(&REQUEST_ID) {
        headers.insert(REQUEST_ID.clone(), id.clone());
    }
    headers
}

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
