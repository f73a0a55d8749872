//! What operators do and see, in a few words.

use serde_json::{Value, json};

use super::tollgate::{Answer, Tollgate};

/// Writes a customer.
pub(crate) fn put(tollgate: &Tollgate, id: &str, body: &Value) -> Value {
    let answer = tollgate.operate("PUT", &format!("/v1/customers/{id}"), Some(body));
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.json()
}

/// Does something to a customer, and returns the answer.
pub(crate) fn act(tollgate: &Tollgate, id: &str, verb: &str, body: &Value) -> Value {
    let answer = tollgate.operate("POST", &format!("/v1/customers/{id}/{verb}"), Some(body));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Reads a customer.
pub(crate) fn read(tollgate: &Tollgate, id: &str) -> Value {
    let answer = tollgate.operate("GET", &format!("/v1/customers/{id}"), None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The audit entries of a customer, the newest first.
pub(crate) fn audit(tollgate: &Tollgate, id: &str) -> Vec<Value> {
    let answer = tollgate.operate("GET", &format!("/v1/customers/{id}/audit"), None);
    assert_eq!(answer.status, 200, "{answer:?}");
    each(&answer.json()["entries"])
}

/// Makes a key and returns its token.
pub(crate) fn key(tollgate: &Tollgate, key: &Value) -> String {
    let made = tollgate.operate("POST", "/v1/keys", Some(key));
    assert_eq!(made.status, 201, "{made:?}");
    word(&made.json()["token"])
}

/// Makes a key of a role and returns its token.
pub(crate) fn role(tollgate: &Tollgate, role: &str) -> String {
    key(tollgate, &json!({"name": role, "role": role}))
}

/// Calls the operator listener with a key.
pub(crate) fn with_token(
    tollgate: &Tollgate,
    token: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    tollgate.operate_as(&[("x-api-key", token)], method, path, body)
}

/// Holds that a request was refused with this code and some sentence.
pub(crate) fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
    let message = answer.json()["error"]["message"].clone();
    assert!(message.as_str().is_some_and(|it| !it.is_empty()), "{answer:?}");
    assert!(answer.header("x-request-id").is_some(), "{answer:?}");
}

/// The fields that a refusal names.
pub(crate) fn named(answer: &Answer) -> Vec<String> {
    each(&answer.json()["error"]["details"]).iter().map(|it| word(&it["path"])).collect()
}

/// Kind and source of every restriction in force.
pub(crate) fn kinds(customer: &Value) -> Vec<(String, String)> {
    let restrictions = each(&customer["restrictions"]);
    restrictions.iter().map(|held| (word(&held["kind"]), word(&held["source"]))).collect()
}

fn each(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

fn word(text: &Value) -> String {
    text.as_str().unwrap_or_else(|| panic!("{text} is no text")).to_owned()
}
