//! Asks a running Tollgate over HTTP.

use std::{
    fmt::Write as _,
    io::{self, BufRead, BufReader},
    time::Duration,
};

use serde_json::Value;
use ureq::{
    Agent, Body,
    http::{Request, Response, request::Builder},
    tls::TlsConfig,
};

use super::failure::{Failure, Refused};
use crate::{
    config::{BaseUrl, Secret},
    domain::TenantId,
};

/// One listener of a running Tollgate.
#[derive(Clone, Debug)]
pub(super) struct Client {
    agent: Agent,
    base: BaseUrl,
    settings: &'static str,
    tls: TlsConfig,
    patience: Duration,
    token: Option<Secret>,
    tenant: Option<TenantId>,
}

impl Client {
    /// The listener at `base`, which `settings` tell, asked with `tls`.
    pub(super) fn new(base: BaseUrl, settings: &'static str, tls: TlsConfig) -> Self {
        let agent = agent(&tls, Some(TIMEOUT));
        Self { agent, base, settings, tls, patience: TIMEOUT, token: None, tenant: None }
    }

    /// Whether the listener is on this machine.
    pub(super) fn is_near(&self) -> bool {
        self.base.is_loopback()
    }

    /// Shows `token` with every request.
    pub(super) fn with_token(self, token: Option<Secret>) -> Self {
        Self { token, ..self }
    }

    /// Means `tenant` with every request.
    pub(super) fn with_tenant(self, tenant: Option<TenantId>) -> Self {
        Self { tenant, ..self }
    }

    /// Waits so long for whole answers.
    pub(super) fn patient(self, span: Duration) -> Self {
        Self { agent: agent(&self.tls, Some(span)), patience: span, ..self }
    }

    /// Sends `call`, and reads the JSON of a good answer.
    pub(super) fn send(&self, call: &Call) -> Result<Value, Failure> {
        let (status, text) = self.exchange(call)?;
        let body = serde_json::from_str::<Value>(&text).ok();
        match body {
            Some(body) if (200..300).contains(&status) => Ok(body),
            body => Err(refusal(status, body).unwrap_or_else(|| self.stranger(status))),
        }
    }

    /// Sends `call`, and gives status and text of any answer.
    pub(super) fn exchange(&self, call: &Call) -> Result<(u16, String), Failure> {
        let answer = self.call(call).and_then(|mut response| {
            let text =
                response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string()?;
            Ok((response.status().as_u16(), text))
        });
        answer.map_err(|error| self.unreachable(&error))
    }

    /// Sends `call`, and gives a good answer line by line for as long as it goes on.
    pub(super) fn stream(&self, call: &Call) -> Result<impl BufRead, Failure> {
        let endless = Self { agent: agent(&self.tls, None), ..self.clone() };
        let response = endless.call(call).map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(BufReader::new(response.into_body().into_reader()));
        }
        let (status, text) = self.exchange(call)?;
        let body = serde_json::from_str(&text).ok();
        Err(refusal(status, body).unwrap_or_else(|| self.stranger(status)))
    }

    fn call(&self, call: &Call) -> Result<Response<Body>, ureq::Error> {
        let mut request =
            Request::builder().method(call.method).uri(format!("{}{}", self.base, call.target));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        if let Some(tenant) = &self.tenant {
            request = request.header("tenant-id", tenant.as_str());
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        match &call.body {
            Some(Content::Json(body)) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string())?)
            }
            Some(Content::Lines(lines)) => {
                let request = request.header("content-type", "application/x-ndjson");
                self.agent.run(request.body(lines.clone())?)
            }
            None => self.agent.run(Builder::body(request, ())?),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let why = if let ureq::Error::Io(error) = error {
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            if refused { "connection refused".to_owned() } else { error.to_string() }
        } else if matches!(error, ureq::Error::Timeout(_)) {
            format!("no answer within {:?}", self.patience)
        } else {
            error.to_string()
        };
        Failure::Unreachable { url: self.base.to_string(), why, settings: self.settings }
    }

    fn stranger(&self, status: u16) -> Failure {
        let why = format!("something answered {status} that is not this listener");
        Failure::Unreachable { url: self.base.to_string(), why, settings: self.settings }
    }
}

/// Waits for a whole answer for so long, and for the beginning of one in any case no longer than
/// that.
fn agent(tls: &TlsConfig, whole: Option<Duration>) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A token is for Tollgate alone: not for a proxy, and not for whoever it points to.
        .proxy(None)
        .max_redirects(0)
        .tls_config(tls.clone())
        .timeout_connect(Some(TIMEOUT))
        .timeout_recv_response(Some(whole.unwrap_or(TIMEOUT)))
        .timeout_global(whole)
        .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
    config.build().new_agent()
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Content>,
}

#[derive(Clone, Debug)]
enum Content {
    Json(Value),
    Lines(Vec<u8>),
}

impl Call {
    /// A request for `path`.
    pub(super) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, target: path.into(), headers: Vec::new(), body: None }
    }

    /// With `name=value` in the query, if there is a value.
    pub(super) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            let mark = if self.target.contains('?') { '&' } else { '?' };
            self.target = format!("{}{mark}{name}={}", self.target, encoded(&value.to_string()));
        }
        self
    }

    /// With a header, if there is a value.
    pub(super) fn header(mut self, name: &'static str, value: Option<&String>) -> Self {
        self.headers.extend(value.map(|value| (name, value.clone())));
        self
    }

    /// With a body.
    pub(super) fn body(self, body: Value) -> Self {
        Self { body: Some(Content::Json(body)), ..self }
    }

    /// With lines of JSON.
    pub(super) fn lines(self, lines: Vec<u8>) -> Self {
        Self { body: Some(Content::Lines(lines)), ..self }
    }
}

fn refusal(status: u16, body: Option<Value>) -> Option<Failure> {
    let error = body?.get_mut("error").map(Value::take)?;
    let refused: Refused = serde_json::from_value(error).ok()?;
    Some(Failure::Refused(Refused { status, ..refused }))
}

/// Percent-encodes everything that is not unreserved.
fn encoded(raw: &str) -> String {
    raw.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Long enough for a store that has to reconnect, short enough for a person who waits.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A page of a hundred customers with everything in it is far smaller.
const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_a_query_is_encoded() {
        let call = Call::new("GET", "/v1/customers")
            .query("prefix", Some("a&b=c é"))
            .query("status", None::<&str>)
            .query("limit", Some(5));
        assert_eq!(call.target, "/v1/customers?prefix=a%26b%3Dc%20%C3%A9&limit=5");
    }
}
