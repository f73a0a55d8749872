//! Why a customer is answered as it is: for whoever is asked "why was this customer refused?".

mod page;
mod standing;
mod verdict;

use std::time::Duration;

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use self::page::{Page, Stored, Transition};
use super::{
    OperatorPlane,
    authenticate::Caller,
    check::read_asked,
    fields::{Fields, InPath, query},
    openapi::parameters::{Customer as CustomerInPath, Question as Asked},
    operator::READS,
    problem::Problem,
};
use crate::{
    control::Control,
    domain::{Code, CustomerKey, Operation, Readings, audit::AuditOutcome},
    store::{AuditCursor, AuditPage, StoreError},
};

/// Why a customer is refused or let in.
///
/// Also while the store is away, and of a customer whom nobody knows.
#[utoipa::path(
    get,
    path = "/v1/explain/{id}",
    tag = "Customers",
    operation_id = "explainCustomer",
    security(("bearer" = ["viewer"])),
    params(CustomerInPath, Asked),
    responses((
        status = 200,
        description = "The verdict, and what it stands on.",
        body = Page,
        headers(("Cache-Control" = String, description = "`no-store`.")),
    )),
)]
pub(super) async fn explain(
    State(plane): State<OperatorPlane>,
    InPath(id): InPath<String>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let key = caller.customer(&id)?;
    let asked = Question::of_query(raw.as_deref())?;
    let questions = asked.read(&plane)?;
    let control = &plane.operators.control;
    let (explained, customer, transitions) = tokio::join!(
        plane.plane.gate.explain(&key, questions),
        in_time(control.customer(&key)),
        in_time(transitions(control, &key)),
    );
    let answered = customer.is_some();
    let stored = Stored { answered, customer: customer.flatten(), transitions };
    let page = Page::of(&plane, &caller, &key, &asked, &explained, stored);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)).into_response())
}

/// What the store says beside the decision, unless it takes too long: the decision is what matters.
async fn in_time<T>(read: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    timeout(STORE_AWAITED, read).await.ok()?.ok()
}

/// What was asked, as it was written.
#[derive(Debug)]
struct Question {
    action: Option<String>,
    method: Option<String>,
    path: Option<String>,
    feature: Option<String>,
    limit: Option<String>,
    value: Option<u64>,
}

impl Question {
    fn of_query(raw: Option<&str>) -> Result<Self, Problem> {
        let mut given = query(raw, &["action", "method", "path", "feature", "limit", "value"])?;
        let value = given.remove("value").map(|raw| {
            let rule = "must be a whole number from 0 on";
            raw.parse().map_err(|_| Problem::invalid_field("value", rule))
        });
        let question = Self {
            action: given.remove("action"),
            method: given.remove("method"),
            path: given.remove("path"),
            feature: given.remove("feature"),
            limit: given.remove("limit"),
            value: value.transpose()?,
        };
        match &question.limit {
            Some(code) => {
                Code::parse(code).map_err(|error| Problem::invalid_field("limit", error))?;
            }
            None if question.value.is_some() => {
                return Err(Problem::invalid_field("value", "is the total wanted of a `limit`"));
            }
            None => {}
        }
        Ok(question)
    }

    /// Each question as the check listener reads it. Nothing said of the act asks for both.
    fn read(&self, plane: &OperatorPlane) -> Result<Vec<Readings>, Problem> {
        let names_act = self.action.is_some() || self.method.is_some() || self.path.is_some();
        let acts = [json!("read"), json!("write")];
        let acts = if names_act { vec![json!(self.action)] } else { acts.to_vec() };
        acts.into_iter().map(|action| self.read_as(action, plane)).collect()
    }

    fn read_as(&self, action: Value, plane: &OperatorPlane) -> Result<Readings, Problem> {
        let limit = self.limit.as_ref().map(|code| json!({"code": code, "value": self.value}));
        let fields = [
            ("action", action),
            ("method", json!(self.method)),
            ("path", json!(self.path)),
            ("feature", json!(self.feature)),
            ("limit", json!(limit)),
        ];
        let fields: Map<_, _> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut fields = Fields::of_value("", Value::Object(fields))?;
        let readings = read_asked(&plane.plane, &mut fields)?;
        fields.finish()?;
        Ok(readings)
    }

    /// The act that a question asks for, if it names no request.
    fn act(&self, asked: Operation) -> Option<Operation> {
        self.path.is_none().then_some(asked)
    }
}

/// The last acts that changed what restricts the customer, the newest first.
async fn transitions(control: &Control, key: &CustomerKey) -> Result<Vec<Transition>, StoreError> {
    let mut transitions = Vec::with_capacity(TRANSITIONS);
    let mut before = None;
    for _ in 0..PAGES_READ {
        let page = AuditPage { customer: Some(key.clone()), before, limit: PAGE };
        let found = control.audit(&page).await?;
        before = found.last().map(AuditCursor::from);
        let is_last = found.len() < PAGE;
        let changed = found.into_iter().filter(|stored| {
            let entry = &stored.entry;
            entry.outcome == AuditOutcome::Changed && entry.before != entry.after
        });
        let left = TRANSITIONS - transitions.len();
        transitions.extend(changed.take(left).map(|stored| Transition::of(stored, control)));
        if is_last || transitions.len() == TRANSITIONS {
            break;
        }
    }
    Ok(transitions)
}

const TRANSITIONS: usize = 10;
const PAGE: usize = 100;
/// A customer whose limits are written all the time must not cost its whole trail.
const PAGES_READ: usize = 5;
/// Long enough for a store that is there.
const STORE_AWAITED: Duration = Duration::from_secs(2);
