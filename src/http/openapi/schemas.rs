//! What holds for every schema, so that it is said once.

use serde_json::{Map, Value, json};

use super::entries;

/// The schemas that operations refer to, and those that these refer to.
pub(super) fn used(document: &Value) -> Value {
    reachable(document, document.get("paths").into_iter().collect()).into()
}

fn reachable(document: &Value, from: Vec<&Value>) -> Map<String, Value> {
    let all = document.pointer("/components/schemas").and_then(Value::as_object);
    let mut wanted = from;
    let mut reached = Map::new();
    while let Some(next) = wanted.pop() {
        for name in references(next) {
            let schema = all.and_then(|all| all.get(name));
            if let Some(schema) = schema.filter(|_| !reached.contains_key(name)) {
                reached.insert(name.to_owned(), schema.clone());
                wanted.push(schema);
            }
        }
    }
    reached
}

/// What requests say in their bodies.
fn bodies(document: &Value) -> Vec<&Value> {
    let paths = document.get("paths").and_then(Value::as_object);
    let items = paths.into_iter().flat_map(Map::values).filter_map(Value::as_object);
    items.flat_map(Map::values).filter_map(|operation| operation.get("requestBody")).collect()
}

/// The names of the schemas that it refers to.
fn references(spelled: &Value) -> Vec<&str> {
    match spelled {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            let own = own.and_then(|it| it.strip_prefix("#/components/schemas/"));
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Completes every schema of a document.
pub(super) fn complete(document: &mut Value) {
    let asked = reachable(document, bodies(document));
    for (name, schema) in entries(document.pointer_mut("/components/schemas")) {
        if !asked.contains_key(name) {
            say_what_is_always_there(schema);
        }
    }
    bound(document);
}

/// A field of an answer that may be `null` is there all the same; one that may be missing is never
/// `null`. In requests it is otherwise.
fn say_what_is_always_there(schema: &mut Value) {
    let parts = schema.get_mut("allOf").and_then(Value::as_array_mut);
    parts.into_iter().flatten().for_each(say_what_is_always_there);
    let fields = entries(schema.get_mut("properties"));
    let mut there: Vec<_> =
        fields.filter(|(_, field)| may_be_null(field)).map(|(name, _)| json!(name)).collect();
    if !there.is_empty() {
        let known = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        there.retain(|name| !known.contains(name));
        schema["required"] = known.into_iter().chain(there).collect();
    }
}

fn may_be_null(field: &Value) -> bool {
    let types = field.get("type").and_then(Value::as_array);
    let choices = field.get("oneOf").and_then(Value::as_array);
    types.is_some_and(|types| types.iter().any(|it| it == "null"))
        || choices.is_some_and(|choices| {
            choices.iter().any(|it| it.get("type").is_some_and(|it| it == "null"))
        })
}

/// Says how large a number may be, wherever it has as many bits as there are, and names such
/// numbers as the registry of formats does.
fn bound(spelled: &mut Value) {
    match spelled {
        Value::Object(fields) => {
            let format = fields.get("format").and_then(Value::as_str);
            let bits = format.and_then(|it| it.strip_prefix("u-int")).map(|it| format!("uint{it}"));
            if let Some(format) = bits.or_else(|| format.map(str::to_owned)) {
                if format == "uint64" {
                    fields.entry("maximum").or_insert(u64::MAX.into());
                }
                fields.insert("format".to_owned(), format.into());
            }
            fields.values_mut().for_each(bound);
        }
        Value::Array(items) => items.iter_mut().for_each(bound),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}
