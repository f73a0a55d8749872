//! What the writers do: a sequence of acts that its seed alone decides.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Map, Value, json};
use tollgate::domain::{Timestamp, Verb};

/// Customers that are disabled before the first fault and whom nobody lets in.
pub(crate) const NEVER_IN: u32 = 20;
/// Customers whom nobody ever restricts; only their records are written.
pub(crate) const NEVER_OUT: u32 = 20;
/// Customers to whom everything is done.
const OTHERS: u32 = 160;

/// Every customer's id.
pub(crate) fn customers() -> Vec<String> {
    let named =
        |letter: &'static str, count| (0..count).map(move |number| format!("{letter}{number}"));
    named("in", NEVER_IN).chain(named("out", NEVER_OUT)).chain(named("c", OTHERS)).collect()
}

/// A customer whom nobody lets in.
pub(crate) fn never_in(rng: &mut Rng) -> String {
    format!("in{}", rng.u32(..NEVER_IN))
}

/// A customer whom nobody restricts.
pub(crate) fn never_out(rng: &mut Rng) -> String {
    format!("out{}", rng.u32(..NEVER_OUT))
}

/// A customer to whom everything is done.
pub(crate) fn other(rng: &mut Rng) -> String {
    format!("c{}", rng.u32(..OTHERS))
}

/// One act, as it is asked for however often it has to be repeated.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// Names it: its idempotency key, and its request id in the audit trail.
    pub(crate) serial: String,
    /// Whom it is about.
    pub(crate) customer: String,
    /// What is done.
    pub(crate) verb: Verb,
    /// For whom.
    pub(crate) source: &'static str,
    /// The request's body, without what depends on the time.
    body: Map<String, Value>,
    /// How long after it is asked for it begins and ends.
    schedule: Schedule,
}

#[derive(Clone, Copy, Debug, Default)]
struct Schedule {
    since: Option<Duration>,
    until: Option<Duration>,
}

impl Act {
    /// An act without a schedule.
    pub(crate) fn plain(
        serial: String,
        customer: String,
        verb: Verb,
        source: &'static str,
    ) -> Self {
        let body = Map::from_iter([("source".to_owned(), json!(source))]);
        Self { serial, customer, verb, source, body, schedule: Schedule::default() }
    }

    /// The same with one field more in its body.
    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.body.insert(field.to_owned(), value);
        self
    }

    /// A field of its body.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        self.body.get(name)
    }

    /// Method, path and body of the request.
    pub(crate) fn request(&self, now: Timestamp) -> (&'static str, String, String) {
        let mut body = self.body.clone();
        for (field, after) in [("since", self.schedule.since), ("until", self.schedule.until)] {
            if let Some(after) = after {
                body.insert(field.to_owned(), json!(now.saturating_add(after)));
            }
        }
        let customer = &self.customer;
        let (method, path) = if self.verb == Verb::Put {
            ("PUT", format!("/v1/customers/{customer}"))
        } else {
            ("POST", format!("/v1/customers/{customer}/{}", self.verb.as_str()))
        };
        (method, path, Value::Object(body).to_string())
    }

    /// Whether it changes who may do what.
    pub(crate) fn is_of_status(&self) -> bool {
        self.verb != Verb::Put || self.body.contains_key("status")
    }

    /// Whether a customer may be less restricted after it than before.
    pub(crate) fn may_let_in(&self) -> bool {
        let is_plain = self.schedule.since.is_none() && self.schedule.until.is_none();
        let places = self.verb.places().is_some();
        self.is_of_status() && !(places && is_plain)
    }
}

/// Thinks of acts, one after the other.
#[derive(Debug)]
pub(crate) struct Author {
    name: String,
    rng: Rng,
    written: u32,
}

impl Author {
    /// One that thinks of the same acts whenever name and seed are the same.
    pub(crate) fn new(name: String, seed: u64) -> Self {
        Self { name, rng: Rng::with_seed(seed), written: 0 }
    }

    /// The next act.
    pub(crate) fn think(&mut self) -> Act {
        self.written += 1;
        let serial = format!("{}-{}", self.name, self.written);
        let rng = &mut self.rng;
        let source = SOURCES[rng.usize(..SOURCES.len())];
        match rng.u32(..100) {
            0..8 => record(Act::plain(serial, never_out(rng), Verb::Put, source), rng),
            8..16 => record(Act::plain(serial, other(rng), Verb::Put, source), rng),
            16..22 => {
                let status = ["active", "frozen", "disabled", "inactive"][rng.usize(..4)];
                Act::plain(serial, other(rng), Verb::Put, source).with("status", json!(status))
            }
            _ => {
                let verb = Verb::STATUS[rng.usize(..Verb::STATUS.len())];
                let mut act = Act::plain(serial, other(rng), verb, source);
                if verb.places().is_some() {
                    act.schedule = schedule(rng);
                    let reason = REASONS[rng.usize(..REASONS.len())];
                    act = act.with("reason", json!(reason));
                }
                act
            }
        }
    }

    /// A number below `bound`, of its own sequence.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.rng.usize(..bound)
    }
}

fn record(act: Act, rng: &mut Rng) -> Act {
    let plan = ["free", "pro", "team"][rng.usize(..3)];
    let features: Vec<_> = ["api", "export", "sso"].into_iter().filter(|_| rng.bool()).collect();
    act.with("plan", json!(plan)).with("features", json!(features))
}

fn schedule(rng: &mut Rng) -> Schedule {
    let mut soon = || Duration::from_millis(rng.u64(200..3000));
    let (first, second) = (soon(), soon());
    match rng.u32(..10) {
        0 => Schedule { since: Some(first), until: None },
        1 => Schedule { since: Some(Duration::ZERO), until: Some(first) },
        2 => Schedule { since: Some(first), until: Some(first + second) },
        _ => Schedule::default(),
    }
}

const SOURCES: [&str; 4] = ["operator", "billabear", "stripe", "wingback"];
const REASONS: [&str; 5] = ["compliance", "dispute", "fraud", "non_payment", "usage_limit"];
