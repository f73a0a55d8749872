//! Puts what several operations say alike in one place, and refers to it from there.

use serde_json::{Map, Value, json};

use super::entries;

/// Does that to headers, parameters in headers, and refusals.
pub(super) fn share(document: &mut Value) {
    let mut shared = Shared::default();
    for (_, item) in entries(document.get_mut("paths")) {
        for (_, operation) in entries(Some(item)) {
            shared.share(operation);
        }
    }
    let Shared { headers, parameters, responses } = shared;
    document["components"]["headers"] = headers.into();
    document["components"]["parameters"] = parameters.into();
    document["components"]["responses"] = responses.into();
}

#[derive(Default)]
struct Shared {
    headers: Map<String, Value>,
    parameters: Map<String, Value>,
    responses: Map<String, Value>,
}

impl Shared {
    fn share(&mut self, operation: &mut Value) {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            let name = parameter.get("name").and_then(Value::as_str).map(str::to_owned);
            let is_header = parameter.get("in").is_some_and(|place| place == "header");
            if let Some(name) = name.filter(|_| is_header) {
                put(&mut self.parameters, "parameters", &name, parameter);
            }
        }
        for (status, response) in entries(operation.get_mut("responses")) {
            for (name, header) in entries(response.get_mut("headers")) {
                put(&mut self.headers, "headers", name, header);
            }
            if status.starts_with(['4', '5']) {
                let name = name_of(status, response);
                put(&mut self.responses, "responses", &name, response);
            }
        }
    }
}

/// The status, the codes and, where it is another system's, the shape.
fn name_of(status: &str, response: &Value) -> String {
    let schema = response.pointer("/content/application~1json/schema").unwrap_or(&Value::Null);
    let codes = |error: &str| schema.pointer(&format!("{error}/properties/code/enum"));
    let codes = codes("/properties/error").and_then(Value::as_array);
    let codes = codes.map(|codes| codes.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    let shape = match (schema.pointer("/properties/success"), schema.get("maxItems")) {
        (Some(_), _) => vec!["success"],
        (_, Some(_)) => vec!["empty"],
        (None, None) => Vec::new(),
    };
    [vec![status], shape, codes.unwrap_or_default()].concat().join("_")
}

/// Leaves a reference in the place of `spelled`, unless the name is given to something else.
fn put(shared: &mut Map<String, Value>, kind: &str, name: &str, spelled: &mut Value) {
    let known = shared.entry(name).or_insert_with(|| spelled.clone());
    if known == spelled {
        *spelled = json!({ "$ref": format!("#/components/{kind}/{name}") });
    }
}
