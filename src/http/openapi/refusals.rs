//! What requests are refused with: the status, and the codes that it may carry. A handler names
//! what is its own; [`super::rules`] adds what every request may get, and the body's shape.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use utoipa::{
    IntoResponses,
    openapi::{RefOr, Response, ResponseBuilder, extensions::ExtensionsBuilder},
};

/// Gives several refusals one name.
macro_rules! refusals {
    ($($(#[doc = $says:literal])+ $name:ident = [$($status:literal: $codes:expr),+];)+) => {$(
        $(#[doc = $says])+
        pub(in crate::http) enum $name {}

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                BTreeMap::from([$(($status.to_owned(), coded(&$codes))),+])
            }
        }
    )+};
}

refusals! {
    /// An act on a customer.
    Acting = [
        "404": ["NOT_FOUND"],
        "409": [
            "CONFLICT",
            "CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS",
            "CUSTOMER_HAS_PENDING_ORDERS",
            "CUSTOMER_HAS_UNRETURNED_DEVICES",
            "CUSTOMER_PURGED"
        ],
        "412": ["PRECONDITION_FAILED"],
        "422": ["IDEMPOTENCY_KEY_REUSED"],
        "503": ["SOURCE_PAUSED", "STORE_LOST"]
    ];
    /// An act on what is no customer, and which may be repeated.
    ActingApart = [
        "409": ["CONFLICT"],
        "422": ["IDEMPOTENCY_KEY_REUSED"],
        "503": ["STORE_LOST"]
    ];
    /// An act on what is no customer.
    Writing = ["409": ["CONFLICT"], "503": ["STORE_LOST"]];
    /// An act on what may not be there.
    WritingThere = ["404": ["NOT_FOUND"], "409": ["CONFLICT"], "503": ["STORE_LOST"]];
    /// What is asked for is not there.
    NotThere = ["404": ["NOT_FOUND"]];
    /// Limits of a customer.
    Limited = ["404": ["CUSTOMER_UNKNOWN"], "503": ["REVISION_NOT_REACHED"]];
    /// The same, on the check listener.
    LimitedHere = [
        "400": ["CUSTOMER_MALFORMED", "VALIDATION_ERROR"],
        "404": ["CUSTOMER_UNKNOWN"],
        "503": ["REVISION_NOT_REACHED", "STORE_UNREACHABLE"]
    ];
    /// A check that names no customer.
    Malformed = ["400": ["CUSTOMER_MALFORMED", "CUSTOMER_MISSING", "VALIDATION_ERROR"]];
    /// A question without a decision.
    Undecided = [
        "503": [
            "ENTITLEMENT_UNKNOWN",
            "OVERLOADED",
            "REVISION_NOT_REACHED",
            "STORE_UNREACHABLE",
            "TOO_STALE"
        ]
    ];
    /// What takes a turn of which there are few.
    Turn = ["503": ["OVERLOADED"]];
    /// A page that asks for too much, as BillaBear answers it.
    TooLong = ["413": ["PAYLOAD_TOO_LARGE"]];
}

fn coded(codes: &[&str]) -> RefOr<Response> {
    let codes = ExtensionsBuilder::new().add(CODES, codes).build();
    ResponseBuilder::new().extensions(Some(codes)).build().into()
}

/// The codes that each status may carry.
pub(super) type Refusals = BTreeMap<String, BTreeSet<String>>;

/// The answer of that status on a path, with a body as the system whose path it is tells an error.
pub(super) fn refusal(path: &str, status: &str, codes: &BTreeSet<String>) -> Value {
    let meanings = codes.iter().map(|code| format!("* `{code}`: {}", meaning(code)));
    let says = meanings.collect::<Vec<_>>().join("\n");
    let mut error = json!({
        "type": "object",
        "properties": {
            "code": { "type": "string", "enum": codes },
            "message": { "type": "string", "description": "A sentence for people." },
        },
        "required": ["code", "message"],
    });
    if codes.contains("VALIDATION_ERROR") || codes.contains("CONFLICT") {
        let detail = json!({ "$ref": "#/components/schemas/Detail" });
        error["properties"]["details"] = json!({ "type": "array", "items": detail });
    }
    let schema = body(path, status, error);
    json!({ "description": says, "content": { "application/json": { "schema": schema } } })
}

fn body(path: &str, status: &str, error: Value) -> Value {
    let failed = json!({ "type": "boolean", "enum": [false] });
    let (properties, required) = match (path.starts_with("/api/v1/"), status) {
        (false, _) => (json!({ "error": error }), json!(["error"])),
        (true, "404") if path.ends_with("/limits") => {
            return json!({ "type": "array", "items": {}, "maxItems": 0 });
        }
        (true, "404") => (json!({ "success": failed }), json!(["success"])),
        (true, _) => (json!({ "success": failed, "error": error }), json!(["success", "error"])),
    };
    json!({ "type": "object", "properties": properties, "required": required })
}

/// What a code means.
fn meaning(code: &str) -> &'static str {
    match code {
        "AUTH_REQUIRED" => "there is no key, nor a session's cookie",
        "CONFLICT" => {
            "it stands against what is there: another customer has the alias, others \
            changed the same again and again, or there is nothing to decide"
        }
        "CSRF_REQUIRED" => {
            "with a cookie, `X-CSRF-Token` or the proof that a page of this very \
            listener asks is missing"
        }
        "CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS" => "subscriptions are running",
        "CUSTOMER_HAS_PENDING_ORDERS" => "orders are not finished",
        "CUSTOMER_HAS_UNRETURNED_DEVICES" => "devices have not come back",
        "CUSTOMER_MALFORMED" => "the customer's id or tenant is malformed",
        "CUSTOMER_MISSING" => "no customer is named",
        "CUSTOMER_PURGED" => "the customer was erased, and has no record any more",
        "CUSTOMER_UNKNOWN" => "there is no such customer",
        "ENTITLEMENT_UNKNOWN" => "what the customer is entitled to is not known",
        "IDEMPOTENCY_KEY_REUSED" => "the `Idempotency-Key` stands for another request",
        "INSUFFICIENT_ROLE" => "the key's role is too low; the message names the one needed",
        "INVALID_TOKEN" => "the key or cookie is unknown, revoked or over",
        "NOT_FOUND" => "there is no such thing",
        "NO_TENANT_ACCESS" => "the key sees one tenant, and this is another's or everybody's",
        "OVERLOADED" => "too many ask for this at once",
        "PAYLOAD_TOO_LARGE" => {
            "it is more than may be asked for, or sent: 65,536 bytes, and 1 MiB to \
            import"
        }
        "PRECONDITION_FAILED" => "the customer is not at that revision",
        "REQUEST_TIMEOUT" => "the body did not arrive in time",
        "REVISION_NOT_REACHED" => "that revision was not reached in time",
        "SOURCE_PAUSED" => {
            "the source restricted too many customers, and waits for somebody to \
            look"
        }
        "STORE_LOST" => "the store is not believed, and nothing is written to it",
        "STORE_UNREACHABLE" => "the store does not answer",
        "TOO_STALE" => "what is known of the customer is too old to decide",
        "UNSUPPORTED_MEDIA_TYPE" => "the body is of another kind than it has to be",
        "VALIDATION_ERROR" => "`details` names each field, and the rule that it breaks",
        _ => "what was asked for was not done",
    }
}

/// Where the codes of a response wait for their body.
pub(super) const CODES: &str = "x-codes";
