//! What holds for every operation, so that it is said once: how a caller proves who it is, what may
//! go wrong with any request, and what every answer carries.

use serde_json::{Value, json};

use super::{
    entries,
    refusals::{CODES, Refusals, refusal},
};

/// Which listener's operations they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Plane {
    /// Everybody needs a key.
    Operator,
    /// Off loopback, everybody needs a key.
    Check,
}

/// Completes every operation of a document.
pub(super) fn complete(document: &mut Value, plane: Plane) {
    for (path, item) in entries(document.get_mut("paths")) {
        for (method, spelled) in entries(Some(item)) {
            Operation { path, method, plane, spelled }.complete();
        }
    }
}

struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    plane: Plane,
    spelled: &'a mut Value,
}

impl Operation<'_> {
    fn complete(mut self) {
        let role = self.role();
        if let Some(role) = &role {
            self.demand(role);
        }
        self.settle_summary();
        self.settle_body();
        self.take_headers(role.is_some());
        let mut refusals = self.own_refusals();
        self.add_usual_refusals(&mut refusals, role.is_some());
        for (status, codes) in refusals {
            self.spelled["responses"][&status] = refusal(self.path, &status, &codes);
        }
        self.add_headers_of_answers();
    }

    /// The role that its handler names, where a document has such names.
    fn role(&self) -> Option<String> {
        let role = self.spelled.pointer("/security/0/bearer/0")?;
        role.as_str().map(str::to_owned)
    }

    fn changes_something(&self) -> bool {
        self.method != "get"
    }

    /// Whichever credential it is, the role is the same.
    fn demand(&mut self, role: &str) {
        let schemes = match (self.plane, self.path, self.method) {
            (Plane::Operator, "/session", "get" | "delete") => &[COOKIE][..],
            (Plane::Check, ..) | (Plane::Operator, "/session", _) => &KEYS[..],
            (Plane::Operator, ..) => &[KEYS[0], KEYS[1], KEYS[2], COOKIE],
        };
        let demanded = schemes.iter().map(|scheme| json!({ (*scheme): [role] }));
        let mut demanded: Vec<_> = demanded.collect();
        let said = self.spelled.get("description").and_then(Value::as_str).unwrap_or_default();
        let says = match self.plane {
            Plane::Check => {
                demanded.push(json!({}));
                format!("{said}\n\nOff loopback it takes the role `{role}`.")
            }
            Plane::Operator => format!("{said}\n\nTakes the role `{role}`."),
        };
        self.spelled["description"] = says.trim().into();
        self.spelled["security"] = demanded.into();
    }

    /// A title has no full stop.
    fn settle_summary(&mut self) {
        let summary = self.spelled.get("summary").and_then(Value::as_str);
        if let Some(summary) = summary.and_then(|it| it.strip_suffix('.')).map(str::to_owned) {
            self.spelled["summary"] = summary.into();
        }
    }

    /// That a body may be left out is not that it may be `null`.
    fn settle_body(&mut self) {
        let Some(body) = self.spelled.get_mut("requestBody") else { return };
        let schema = body.pointer_mut("/content/application~1json/schema");
        let Some(schema) = schema else { return };
        let choices = schema.get_mut("oneOf").and_then(Value::as_array_mut);
        let is_body = |choice: &&mut Value| choice.get("$ref").is_some();
        if let Some(only) = choices.and_then(|it| it.iter_mut().find(is_body)) {
            *schema = only.take();
            body["required"] = false.into();
        }
    }

    fn take_headers(&mut self, guarded: bool) {
        let mut headers = Vec::new();
        if self.plane == Plane::Operator {
            let says = "The request's id, for logs and the audit trail: 1 to 64 of \
                `[A-Za-z0-9._-]`. Any other is replaced.";
            headers.push(("X-Request-ID", says));
        }
        if guarded && self.changes_something() && self.plane == Plane::Operator {
            headers.push(("X-CSRF-Token", "With a cookie: the session's `csrfToken`."));
        }
        let headers = headers.into_iter().map(|(name, says)| {
            let schema = json!({ "type": "string" });
            json!({ "name": name, "in": "header", "description": says, "required": false,
                "schema": schema })
        });
        let own = self.spelled.get_mut("parameters").map(Value::take);
        let own = own.and_then(|own| own.as_array().cloned()).unwrap_or_default();
        self.spelled["parameters"] = own.into_iter().chain(headers).collect();
    }

    /// What the handler says of statuses that refuse.
    fn own_refusals(&mut self) -> Refusals {
        let responses = entries(self.spelled.get_mut("responses"));
        let own = responses.filter_map(|(status, response)| {
            let codes = response.get(CODES)?.as_array()?;
            let codes = codes.iter().filter_map(Value::as_str).map(str::to_owned);
            Some((status.to_owned(), codes.collect()))
        });
        own.collect()
    }

    fn add_usual_refusals(&self, refusals: &mut Refusals, guarded: bool) {
        let mut add = |status: &str, codes: &[&str]| {
            let known = refusals.entry(status.to_owned()).or_default();
            known.extend(codes.iter().map(|code| (*code).to_owned()));
        };
        if self.spelled.get("requestBody").is_some() {
            add("400", &["VALIDATION_ERROR"]);
            add("408", &["REQUEST_TIMEOUT"]);
            add("413", &["PAYLOAD_TOO_LARGE"]);
            add("415", &["UNSUPPORTED_MEDIA_TYPE"]);
        }
        if guarded {
            add("400", &["VALIDATION_ERROR"]);
            add("401", &["AUTH_REQUIRED", "INVALID_TOKEN"]);
            add("403", &["INSUFFICIENT_ROLE", "NO_TENANT_ACCESS"]);
            add("503", &["STORE_UNREACHABLE"]);
            if self.changes_something() && self.plane == Plane::Operator {
                add("403", &["CSRF_REQUIRED"]);
            }
        }
    }

    fn add_headers_of_answers(&mut self) {
        let named = self.plane == Plane::Operator;
        for (status, response) in entries(self.spelled.get_mut("responses")) {
            let mut usual = Vec::new();
            if named {
                usual.push(("X-Request-ID", "string", "The request's id."));
            }
            if status.starts_with(['4', '5']) {
                usual.push(("Cache-Control", "string", "`no-store`: it is of its moment."));
            }
            if status == "401" {
                usual.push(("WWW-Authenticate", "string", "How to prove who one is."));
            }
            if status == "503" {
                usual.push(("Retry-After", "integer", "After how many seconds to ask again."));
            }
            for (name, kind, says) in usual {
                let schema = json!({ "type": kind });
                response["headers"][name] = json!({ "description": says, "schema": schema });
            }
            for (_, header) in entries(response.get_mut("headers")) {
                header["required"] = true.into();
            }
        }
    }
}

const KEYS: [&str; 3] = ["bearer", "apiKey", "wingbackKey"];
const COOKIE: &str = "session";
