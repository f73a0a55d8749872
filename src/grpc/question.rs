//! Reads what Envoy says of a request.

mod walk;

use std::collections::HashMap;

use axum::http::HeaderName;
use prost_types::value::Kind;
use smallvec::SmallVec;

use super::message::envoy::{
    config::core::v3::Metadata,
    service::auth::v3::{AttributeContext, CheckRequest, attribute_context::HttpRequest},
};
use crate::{
    domain::{
        Asked, Check, Code, CustomerName, IdentityFault, LimitCheck, Operation, Readings, TenantId,
    },
    identify::{self, CustomerFrom, Headers, IdentitySource, Lengths, Told, text},
    policy::{self, Rules},
};

/// What Envoy asks.
#[derive(Debug, PartialEq)]
pub(super) struct Question {
    /// The check, without what could not be understood; nothing when that leaves none.
    pub check: Option<Check<CustomerName>>,
    /// What Envoy's configuration says of the route and cannot be understood.
    pub malformed: Option<Malformed>,
}

/// A setting of a route in Envoy's configuration that breaks its rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Malformed {
    /// Its key in `context_extensions`.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// The rule.
    pub rule: String,
}

/// What a question says, wherever it is held.
#[derive(Debug)]
pub(super) struct Said<'a> {
    method: &'a [u8],
    path: &'a [u8],
    lines: Lines<'a>,
    /// Those of their names.
    lengths: Lengths,
    settings: Settings<'a>,
    /// The customer's id, where it is not in a header.
    customer: Result<Option<&'a str>, IdentityFault>,
}

/// The lines of all headers. Few requests have more than this.
type Lines<'a> = SmallVec<[(&'a [u8], &'a [u8]); 32]>;
/// What Envoy's configuration says of the route.
type Settings<'a> = SmallVec<[(&'a str, &'a str); 4]>;

impl<'a> Said<'a> {
    /// What `message` says, a question as it is on the wire; nothing if that takes more than a look.
    pub(super) fn at_a_look(message: &'a [u8], source: &IdentitySource) -> Option<Self> {
        walk::walk(message, &source.customer_from)
    }

    /// What the caller of the request that Envoy asks about tells of its trace.
    pub(super) fn trace_context(&self) -> HashMap<String, String> {
        let told = TRACE_CONTEXT.iter().filter_map(|name| {
            let value = self.lines(name).next().and_then(text)?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        told.collect()
    }

    /// What `request` says.
    pub(super) fn by(request: &'a CheckRequest, source: &IdentitySource) -> Self {
        let Some(attributes) = &request.attributes else {
            return Self::of(&[], &[], Lines::new(), Settings::new(), Ok(None));
        };
        let http = attributes.request.as_ref().and_then(|request| request.http.as_ref());
        let given = attributes.context_extensions.iter();
        Self::of(
            http.map_or(&[], |http| &http.method),
            http.map_or(&[], |http| &http.path),
            http.map(lines).unwrap_or_default(),
            given.map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            customer(attributes, &source.customer_from),
        )
    }

    fn of(
        method: &'a [u8],
        path: &'a [u8],
        lines: Lines<'a>,
        settings: Settings<'a>,
        customer: Result<Option<&'a str>, IdentityFault>,
    ) -> Self {
        let lengths = lines.iter().map(|(name, _)| name.len()).collect();
        Self { method, path, lines, lengths, settings, customer }
    }
}

/// Envoy passes headers on in one of two ways.
fn lines(http: &HttpRequest) -> Lines<'_> {
    if !http.headers.is_empty() {
        let joined = http.headers.iter();
        return joined.map(|(key, value)| (key.as_bytes(), value.as_slice())).collect();
    }
    let raw = http.header_map.iter().flat_map(|raw| &raw.headers);
    raw.map(|line| match line.raw_value.as_slice() {
        [] => (line.key.as_slice(), line.value.as_slice()),
        raw => (line.key.as_slice(), raw),
    })
    .collect()
}

/// Reads a question. Total: whatever Envoy sends, it asks something.
pub(super) fn read(
    said: &Said<'_>,
    source: &IdentitySource,
    min_revision: Option<&HeaderName>,
    rules: &Rules,
) -> Question {
    let settings = &said.settings;
    let feature = setting(settings, "feature", Code::parse);
    let limit = setting(settings, "limit", Code::parse);
    let action = setting(settings, "action", action);
    let tenant = setting(settings, "tenant", TenantId::parse);
    let malformed = [feature.as_ref().err(), limit.as_ref().err()].into_iter();
    let malformed = malformed.chain([action.as_ref().err(), tenant.as_ref().err()]);
    let malformed = malformed.flatten().next().cloned();

    let route = Route {
        feature: feature.unwrap_or_default(),
        limit: limit.unwrap_or_default(),
        // Whether it is a read cannot be told then. What refuses a read refuses everything.
        action: action.unwrap_or(Some(Operation::Read)),
    };
    // Without its tenant nobody is named, and anybody might be meant.
    let check = tenant.ok().map(|tenant| {
        let identity = source.identity_told(said, Told { customer: said.customer, tenant });
        let min_revision = min_revision.and_then(|name| identify::min_revision(said, name));
        route.asked_of(said, rules).of(identity, min_revision)
    });
    Question { check, malformed }
}

/// What Envoy's configuration asks of a route.
struct Route {
    feature: Option<Code>,
    limit: Option<Code>,
    action: Option<Operation>,
}

impl Route {
    /// What is asked of a request there. What Envoy's configuration says goes before what the
    /// policy does.
    fn asked_of(self, said: &Said<'_>, rules: &Rules) -> Readings {
        let Self { feature, limit, action } = self;
        let readings = rules.ask(&policy::Request {
            method: text(said.method),
            target: text(said.path).filter(|path| !path.is_empty()),
            becomes: identify::becomes(said),
        });
        let limit = limit.map(|code| LimitCheck { code, value: None });
        readings.map(|asked| Asked {
            operation: action.unwrap_or(asked.operation),
            feature: feature.clone().or(asked.feature),
            limit: limit.clone().or(asked.limit),
            ..asked
        })
    }
}

/// One setting of the route; nothing when it is not given.
fn setting<T, E: ToString>(
    settings: &Settings<'_>,
    key: &'static str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Malformed> {
    let Some(value) = given(settings, key) else { return Ok(None) };
    parse(value).map(Some).map_err(|error| {
        let value = value.chars().take(VALUE_SHOWN).collect();
        Malformed { key, value, rule: error.to_string() }
    })
}

fn given<'a>(settings: &Settings<'a>, key: &str) -> Option<&'a str> {
    settings.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

fn action(raw: &str) -> Result<Operation, &'static str> {
    match raw {
        "read" => Ok(Operation::Read),
        "write" => Ok(Operation::Write),
        _ => Err("an action must be read or write"),
    }
}

/// The customer's id, where it is not in a header.
fn customer<'a>(
    attributes: &'a AttributeContext,
    from: &CustomerFrom,
) -> Result<Option<&'a str>, IdentityFault> {
    match from {
        CustomerFrom::Context(key) => {
            Ok(attributes.context_extensions.get(key).map(String::as_str))
        }
        CustomerFrom::Header => Ok(None),
        CustomerFrom::Metadata { namespace, path } => {
            claim(attributes.metadata_context.as_ref(), namespace, path)
        }
    }
}

/// The text at the end of `path`. Anything else there than a text names nobody.
fn claim<'a>(
    metadata: Option<&'a Metadata>,
    namespace: &str,
    path: &[String],
) -> Result<Option<&'a str>, IdentityFault> {
    let found = metadata.and_then(|metadata| metadata.filter_metadata.get(namespace));
    let (Some(found), Some((last, outer))) = (found, path.split_last()) else { return Ok(None) };
    let mut fields = &found.fields;
    for name in outer {
        match fields.get(name).and_then(|value| value.kind.as_ref()) {
            Some(Kind::StructValue(inner)) => fields = &inner.fields,
            None | Some(Kind::NullValue(_)) => return Ok(None),
            Some(_) => return Err(IdentityFault::Malformed),
        }
    }
    match fields.get(last).and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(id)) => Ok(Some(id)),
        None | Some(Kind::NullValue(_)) => Ok(None),
        Some(_) => Err(IdentityFault::Malformed),
    }
}

impl Headers for Said<'_> {
    fn lines<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let lines = if self.lengths.may_have(name) { self.lines.as_slice() } else { &[] };
        let name = name.as_str().as_bytes();
        let is_named = move |key: &[u8]| key.len() == name.len() && key.eq_ignore_ascii_case(name);
        lines.iter().filter(move |(key, _)| is_named(key)).map(|(_, value)| *value)
    }
}

/// Enough to find it in a configuration.
const VALUE_SHOWN: usize = 64;
/// The headers of W3C Trace Context.
static TRACE_CONTEXT: [HeaderName; 2] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

#[cfg(test)]
mod tests;
