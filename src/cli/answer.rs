//! Reading what Tollgate answered, field by field, for people.

use serde_json::Value;

use super::out::Rows;

/// One field as a cell: `-` for what is not there, `yes` and `no` for what is true or not.
pub(super) fn cell(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Some(other) => plain(other),
    }
}

/// One field as text; empty when it is not there.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// One field as a list; empty when it is not there.
pub(super) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// One field as yes or no; no when it is not there.
pub(super) fn is_set(value: &Value, field: &str) -> bool {
    value.get(field).and_then(Value::as_bool).unwrap_or_default()
}

/// A restriction in a few words: `frozen by wingback (non_payment)`.
pub(super) fn in_words(restriction: &Value) -> String {
    let (kind, source) = (text(restriction, "kind"), text(restriction, "source"));
    let until = match text(restriction, "until") {
        "" => String::new(),
        until => format!(" until {until}"),
    };
    format!("{kind} by {source} ({}){until}", text(restriction, "reason"))
}

/// What an act made of a customer, in one row.
pub(super) fn act_row(customer: &Value, answer: &Value) -> Rows {
    Rows::under(["CUSTOMER", "STATUS", "ACCESS", "CHANGED", "REVISION"]).row([
        cell(customer, "customerId"),
        cell(customer, "status"),
        cell(customer, "access"),
        cell(answer, "changed"),
        cell(answer, "revision"),
    ])
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
