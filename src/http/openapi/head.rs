//! What a document says before its operations.

use serde_json::{Value, json};

use super::rules::Plane;

/// Title, version, servers and tags.
pub(super) fn of(plane: Plane) -> Value {
    let (title, says, address) = match plane {
        Plane::Operator => ("Tollgate's operator listener", OPERATOR, "http://127.0.0.1:7601"),
        Plane::Check => ("Tollgate's check listener", CHECK, "http://127.0.0.1:7600"),
    };
    let tags: &[(&str, &str)] = match plane {
        Plane::Operator => &OPERATOR_TAGS,
        Plane::Check => &CHECK_TAGS,
    };
    let tags = tags.iter().map(|(name, says)| json!({ "name": name, "description": says }));
    json!({
        "info": {
            "title": title,
            "version": env!("CARGO_PKG_VERSION"),
            "description": says,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": address, "description": "The default address." }],
        "tags": tags.collect::<Vec<_>>(),
    })
}

/// How callers prove who they are. Two that disagree are refused with 400.
pub(super) fn security_schemes(plane: Plane) -> Value {
    let in_header = |name: &str, says: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": says });
    let mut schemes = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key, as `tollgate keys create` tells it.",
        },
        "apiKey": in_header("X-API-Key", "The same key, as BillaBear's callers send it."),
        "wingbackKey": in_header("wb-key", "The same key, as Wingback's callers send it."),
    });
    if plane == Plane::Operator {
        schemes["session"] = json!({
            "type": "apiKey",
            "in": "cookie",
            "name": "app-session",
            "description": "A browser's session, from `POST /session`. Whatever may change \
                something also needs the session's `csrfToken` in `X-CSRF-Token`, and \
                `Sec-Fetch-Site: same-origin` or an `Origin` that is this host; else it is 403 \
                `CSRF_REQUIRED`.",
        });
    }
    schemes
}

const OPERATOR: &str = "\
Customers are restricted and let back in here, read, written and explained; keys and sessions are \
made, and the audit trail is read.

A customer is active when nothing restricts it. Each *source* holds and lifts its own restrictions. \
*Inactive* is the word for closed; Wingback's call named *inactivate* means `frozen` here.

Errors are `{\"error\":{\"code\",\"message\"}}`, with `details` where fields are wrong, and on \
BillaBear's paths as BillaBear tells them. Every field and parameter that is not described is \
refused, except on Wingback's paths. A method that a path does not have is 405 `METHOD_NOT_ALLOWED` \
with `Allow`, and a path that is not here 404 `NOT_FOUND`. Fields may be added to answers.";

const CHECK: &str = "\
Applications ask here whether a customer may do something, and for its limits. The gateways' own \
URLs (`/v1/nginx`, `/v1/forward-auth`, `/v1/envoy` and gRPC) are not described: each gateway says \
what it sends.

On loopback and a unix socket no key is needed; elsewhere one is, unless `--check-open` lifts that. \
A deny is an answer, with 200.";

const OPERATOR_TAGS: [(&str, &str); 12] = [
    ("Status", "The six verbs: what one source holds against a customer, placed and lifted."),
    ("Customers", "The customer resource, which is FlexPortal's shape and more."),
    ("Limits", "What a customer may do, for applications."),
    ("Audit", "Who did what."),
    ("Changes", "Changes of status as they happen, and the restricted customers as a whole."),
    ("Ingest", "Billing systems that cannot call this API, and the guard on every source."),
    ("Fleet", "The mode of every instance."),
    ("Keys and sessions", "Who may do what."),
    ("Store", "The store, and what is decided about one that lost what it held."),
    ("Wingback", "Wingback's own calls, at its paths and in its shapes."),
    ("BillaBear", "BillaBear's own calls, at its paths and in its shapes."),
    ("Description", "This document, and that of the check listener."),
];

const CHECK_TAGS: [(&str, &str); 3] = [
    ("Checks", "Is this customer allowed to do this, now?"),
    ("AuthZEN", "The same, as OpenID's Authorization API 1.0 asks it."),
    ("Limits", "What a customer may do, for applications."),
];
