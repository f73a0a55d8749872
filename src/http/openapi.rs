//! `GET /openapi.json` and `GET /openapi/check.json`: what the operator and the check listener take
//! and answer, as their handlers say it. Both are on the operator listener: what gateways reach has
//! no URL that they need not.
//!
//! A route is made of a handler with its description, so that neither is there without the other.
//! Whoever reaches the listener may read it: it tells nothing that this source does not.

pub(super) mod bodies;
mod head;
pub(super) mod parameters;
pub(super) mod questions;
pub(super) mod refusals;
mod rules;
mod schemas;
pub(super) mod shapes;
mod shared;
pub(super) mod words;

use std::sync::LazyLock;

use axum::{
    body::Bytes,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Map, Value};
use utoipa::openapi::OpenApi;

use self::rules::Plane;
use super::problem::Problem;

/// The description of this API
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "Description",
    operation_id = "readDescription",
    responses((status = 200, description = "This document.", body = Object)),
)]
pub(super) async fn of_operator() -> Result<Response, Problem> {
    static WRITTEN: LazyLock<Option<Bytes>> =
        LazyLock::new(|| written(super::operator_routes().into_openapi(), Plane::Operator));
    answer(WRITTEN.clone())
}

/// The description of the check listener's API, which itself has no URL for it.
#[utoipa::path(
    get,
    path = "/openapi/check.json",
    tag = "Description",
    operation_id = "readCheckDescription",
    responses((status = 200, description = "A document like this one.", body = Object)),
)]
pub(super) async fn of_check() -> Result<Response, Problem> {
    static WRITTEN: LazyLock<Option<Bytes>> =
        LazyLock::new(|| written(super::check_routes().into_openapi(), Plane::Check));
    answer(WRITTEN.clone())
}

fn answer(written: Option<Bytes>) -> Result<Response, Problem> {
    let written = written.ok_or_else(|| {
        let message = "the description cannot be written";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message)
    })?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([kind], written).into_response())
}

/// The document as text.
fn written(described: OpenApi, plane: Plane) -> Option<Bytes> {
    let mut document = serde_json::to_value(described).ok()?;
    for (name, value) in head::of(plane).as_object()? {
        document[name] = value.clone();
    }
    for (name, schema) in shapes::named() {
        document["components"]["schemas"][name] = serde_json::to_value(schema).ok()?;
    }
    document["components"]["securitySchemes"] = head::security_schemes(plane);
    rules::complete(&mut document, plane);
    document["components"]["schemas"] = schemas::used(&document);
    schemas::complete(&mut document);
    shared::share(&mut document);
    let mut text = serde_json::to_vec_pretty(&document).ok()?;
    text.push(b'\n');
    Some(text.into())
}

/// The fields of what may be an object.
fn entries(object: Option<&mut Value>) -> impl Iterator<Item = (&str, &mut Value)> {
    let fields = object.and_then(Value::as_object_mut).into_iter();
    fields.flat_map(Map::iter_mut).map(|(name, value)| (name.as_str(), value))
}
