//! What the check listener is asked, in JSON.

#![expect(dead_code, reason = "they are described, and never made")]

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema, schema::AnyOfBuilder},
};

use super::words::{self, of};
use crate::domain::{Code, CustomerId, Operation, TenantId, Token};

/// Whether a customer may do something. Either `action`, or `method` and `path`; without any it is
/// asked as a write.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"customerId": "c1", "action": "write", "feature": "sso"}))]
pub(in crate::http) struct CheckAsked {
    customer_id: CustomerId,
    /// The customer's tenant; the default one if nothing is said.
    tenant_id: Option<TenantId>,
    action: Option<Operation>,
    /// The method of the request that is asked about.
    method: Option<String>,
    /// Its path, by which the policy finds a route.
    path: Option<String>,
    /// A feature that the customer has to have.
    feature: Option<Code>,
    limit: Option<LimitAsked>,
    /// The revision that the answer has to stand on at least.
    min_revision: Option<Token>,
}

/// A limit that has to hold.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LimitAsked {
    code: Code,
    /// The total wanted; that there is room for more, if nothing is said.
    value: Option<u64>,
}

/// Several checks, answered in order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"checks": [{"customerId": "c1", "action": "read"}]}))]
pub(in crate::http) struct ChecksAsked {
    #[schema(min_items = 1, max_items = 100)]
    checks: Vec<CheckAmongOthers>,
}

/// A check among others. That it names no customer, or a malformed one, is an answer.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CheckAmongOthers {
    /// A customer's id.
    customer_id: Option<String>,
    /// The customer's tenant; the default one if nothing is said.
    tenant_id: Option<String>,
    action: Option<Operation>,
    /// The method of the request that is asked about.
    method: Option<String>,
    /// Its path, by which the policy finds a route.
    path: Option<String>,
    /// A feature that the customer has to have.
    feature: Option<Code>,
    limit: Option<LimitAsked>,
    /// The revision that the answer has to stand on at least.
    min_revision: Option<Token>,
}

/// One question of AuthZEN. Other fields are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "subject": {"type": "customer", "id": "c1"},
    "action": {"name": "read"},
    "resource": {"type": "route", "id": "/invoices"},
}))]
pub(in crate::http) struct EvaluationAsked {
    subject: Subject,
    action: ActionNamed,
    resource: Wanted,
    context: Option<Context>,
}

/// Several questions of AuthZEN, and what they have in common. What is missing of one is taken from
/// there; one that cannot be read is `false`, and says why in its `context`.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "subject": {"type": "customer", "id": "c1"},
    "resource": {"type": "feature", "id": "sso"},
    "evaluations": [{"action": {"name": "read"}}, {"action": {"name": "write"}}],
    "options": {"evaluations_semantic": "deny_on_first_deny"},
}))]
pub(super) struct EvaluationsAsked {
    subject: Option<SubjectAmongOthers>,
    action: Option<ActionAmongOthers>,
    resource: Option<SubjectAmongOthers>,
    context: Option<Map<String, Value>>,
    #[schema(min_items = 1, max_items = 100)]
    evaluations: Vec<EvaluationAmongOthers>,
    #[serde(default)]
    options: Options,
}

/// A batch, or the same as one question.
pub(in crate::http) enum BatchAsked {}

impl PartialSchema for BatchAsked {
    fn schema() -> RefOr<Schema> {
        AnyOfBuilder::new().item(of::<EvaluationAsked>()).item(of::<EvaluationsAsked>()).into()
    }
}

impl ToSchema for BatchAsked {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((EvaluationAsked::name().into_owned(), EvaluationAsked::schema()));
        schemas.push((EvaluationsAsked::name().into_owned(), EvaluationsAsked::schema()));
        EvaluationAsked::schemas(schemas);
        EvaluationsAsked::schemas(schemas);
    }
}

/// A question among others.
#[derive(Deserialize, ToSchema)]
struct EvaluationAmongOthers {
    subject: Option<SubjectAmongOthers>,
    action: Option<ActionAmongOthers>,
    resource: Option<SubjectAmongOthers>,
    context: Option<Map<String, Value>>,
}

/// A subject or a resource.
#[derive(Deserialize, ToSchema)]
struct SubjectAmongOthers {
    r#type: String,
    id: String,
    #[serde(default)]
    properties: Map<String, Value>,
}

/// An action.
#[derive(Deserialize, ToSchema)]
struct ActionAmongOthers {
    name: String,
}

/// When a batch ends before its last question.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct Options {
    #[schema(schema_with = words::semantic)]
    evaluations_semantic: String,
}

/// A customer.
#[derive(Deserialize, ToSchema)]
struct Subject {
    #[schema(schema_with = words::customer)]
    r#type: String,
    id: CustomerId,
    #[serde(default)]
    properties: SubjectProperties,
}

/// What else is said of the customer.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
struct SubjectProperties {
    tenant_id: Option<TenantId>,
}

/// What it wants to do.
#[derive(Deserialize, ToSchema)]
struct ActionNamed {
    /// `read`, `write`, or an HTTP method in capitals.
    #[schema(pattern = "^(read|write|[A-Z-]+)$")]
    name: String,
}

/// What it wants to do that to.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Wanted {
    /// A route.
    Route(RouteWanted),
    /// A feature.
    Feature(FeatureWanted),
    /// A limit.
    Limit(LimitWanted),
}

/// A route, by its path.
#[derive(Deserialize, ToSchema)]
struct RouteWanted {
    #[schema(schema_with = words::route)]
    r#type: String,
    id: String,
}

/// A feature, by its code.
#[derive(Deserialize, ToSchema)]
struct FeatureWanted {
    #[schema(schema_with = words::feature)]
    r#type: String,
    id: Code,
}

/// A limit, by its code.
#[derive(Deserialize, ToSchema)]
struct LimitWanted {
    #[schema(schema_with = words::limit)]
    r#type: String,
    id: Code,
    #[serde(default)]
    properties: LimitProperties,
}

/// What else is said of a limit.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
struct LimitProperties {
    /// The total wanted; that there is room for more, if nothing is said.
    value: Option<u64>,
}

/// What else is said.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Context {
    /// The revision that the answer has to stand on at least.
    min_revision: Option<Token>,
}
