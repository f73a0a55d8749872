//! The six verbs that restrict a customer, or let it back in, and the one that erases it.

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::{Map, Value, json};

use super::{
    answer::{act_row, is_set, list, text},
    client::{Call, Client},
    confirm::Consent,
    failure::{Exit, Failure},
    operator::Operator,
    out::Out,
};
use crate::{
    clock::Clock,
    config::parse_duration,
    domain::{
        CustomerId, Kind, RestrictionReason, Source, Timestamp, Verb, time::InvalidTimestamp,
    },
};

/// A customer, and what is said of an act on it.
#[derive(Args, Clone, Debug)]
struct Act {
    /// The customer's id
    #[arg(value_parser = CustomerId::parse)]
    id: CustomerId,

    /// Why
    #[arg(long, value_parser = reason())]
    reason: Option<RestrictionReason>,

    /// Free text for operators, up to 2,000 characters; gateways and applications never see it
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,

    /// For which source; without it, the key's own, else operator
    #[arg(long)]
    source: Option<Source>,

    /// Makes a repetition harmless: with the same key, the act is done once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// Only if the customer is still at this revision
    #[arg(long, value_name = "REVISION")]
    if_match: Option<String>,
}

impl Act {
    fn call(&self, verb: Verb, source: Option<&Source>, more: Map<String, Value>) -> Call {
        let mut body = more;
        if let Some(reason) = self.reason {
            body.insert("reason".to_owned(), json!(reason));
        }
        if let Some(notes) = &self.notes {
            body.insert("notes".to_owned(), json!(notes));
        }
        if let Some(source) = source {
            body.insert("source".to_owned(), json!(source));
        }
        Call::new("POST", format!("/v1/customers/{}/{}", self.id, verb.as_str()))
            .header("idempotency-key", self.idempotency_key.as_ref())
            .header("if-match", self.if_match.as_ref())
            .body(Value::Object(body))
    }
}

/// A verb that places a restriction.
#[derive(Args, Clone, Debug)]
pub(super) struct Restrict {
    #[command(flatten)]
    act: Act,

    /// From when: a time like 2026-11-21T10:00:00Z, or from now like 7d
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,

    /// Until when, after which it lifts itself
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,

    /// Also if the customer is not known yet
    #[arg(long)]
    create: bool,

    #[command(flatten)]
    operator: Operator,
}

impl Restrict {
    pub(super) fn run(&self, verb: Verb, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let mut more = Map::new();
        if let Some(since) = self.since {
            more.insert("since".to_owned(), json!(since));
        }
        if let Some(until) = self.until {
            more.insert("until".to_owned(), json!(until));
        }
        if self.create {
            more.insert("create".to_owned(), json!(true));
        }
        let call = self.act.call(verb, self.act.source.as_ref(), more);
        let sent = self.operator.client()?.send(&call);
        let answer = sent.map_err(|failure| failure.hinting("NOT_FOUND", CREATE_HINT))?;
        out.data(self.operator.output(), &answer, || act_row(&answer, &answer));
        Ok(Exit::Done)
    }
}

/// A customer who is to be erased.
#[derive(Args, Clone, Debug)]
pub(super) struct Purge {
    #[command(flatten)]
    act: Act,

    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    operator: Operator,
}

impl Purge {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let client = self.operator.client()?;
        let id = &self.act.id;
        // Refused here, a customer who is not known is not asked about.
        client.send(&Call::new("GET", format!("/v1/customers/{id}")))?;
        out.note(format_args!(
            "{id} is erased for ever: record, name, metadata and every note. Its restrictions, its \
             aliases and the audit trail stay; whoever asks is told that it is unknown."
        ));
        if self.consent.dry_run {
            return Ok(Exit::Done);
        }
        if !self.consent.is_given(out)? {
            return Ok(Exit::Failed);
        }
        let answer = client.send(&self.act.call(Verb::Purge, None, Map::new()))?;
        out.data(self.operator.output(), &answer, || act_row(&answer, &answer));
        Ok(Exit::Done)
    }
}

/// A verb that lifts a restriction.
#[derive(Args, Clone, Debug)]
pub(super) struct Lift {
    #[command(flatten)]
    act: Act,

    /// For every source that holds such a restriction
    #[arg(long, conflicts_with_all = ["source", "if_match", "idempotency_key"])]
    all_sources: bool,

    #[command(flatten)]
    operator: Operator,
}

impl Lift {
    pub(super) fn run(&self, verb: Verb, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let client = self.operator.client()?;
        let answer = if self.all_sources {
            self.lift_all(verb, &client)?
        } else {
            client.send(&self.act.call(verb, self.act.source.as_ref(), Map::new()))?
        };
        out.data(self.operator.output(), &answer, || act_row(&answer, &answer));
        for restriction in list(&answer, "remaining") {
            if let Some(hint) = self.hint(restriction) {
                out.hint(hint);
            }
        }
        Ok(Exit::Done)
    }

    /// Lifts it source by source; the answer is the last one, changed if any of them was.
    fn lift_all(&self, verb: Verb, client: &Client) -> Result<Value, Failure> {
        let known = client.send(&Call::new("GET", format!("/v1/customers/{}", self.act.id)))?;
        let held = list(&known, "restrictions").iter().chain(list(&known, "scheduled"));
        let of_kind =
            held.filter(|held| Some(text(held, "kind")) == verb.lifts().map(Kind::as_str));
        let mut sources: Vec<_> =
            of_kind.filter_map(|held| Source::parse(text(held, "source")).ok()).collect();
        sources.sort_unstable();
        sources.dedup();
        let Some((first, others)) = sources.split_first() else {
            return client.send(&self.act.call(verb, None, Map::new()));
        };
        let mut answer = client.send(&self.act.call(verb, Some(first), Map::new()))?;
        for source in others {
            let changed = is_set(&answer, "changed");
            answer = client.send(&self.act.call(verb, Some(source), Map::new()))?;
            if changed && let Some(field) = answer.get_mut("changed") {
                *field = json!(true);
            }
        }
        Ok(answer)
    }

    /// Who still restricts the customer, and the command that lifts it.
    fn hint(&self, restriction: &Value) -> Option<String> {
        let kind = text(restriction, "kind");
        let source = text(restriction, "source");
        let lifts = |verb: &Verb| verb.lifts().is_some_and(|lifted| lifted.as_str() == kind);
        let verb = Verb::STATUS.into_iter().find(lifts)?.as_str();
        let (id, tenant) = (&self.act.id, self.operator.tenant_flag());
        Some(format!(
            "still {kind} by {source}; lift it with: \
             tollgate {verb} {id}{tenant} --source {source}, or --all-sources"
        ))
    }
}

/// One of the reasons; help and errors list them all.
pub(super) fn reason() -> impl TypedValueParser<Value = RestrictionReason> {
    let words = RestrictionReason::ALL.map(RestrictionReason::as_str);
    PossibleValuesParser::new(words).try_map(|raw| raw.parse::<RestrictionReason>())
}

/// A time, or a duration before now.
pub(super) fn past_moment(raw: &str) -> Result<Timestamp, InvalidTimestamp> {
    let before_now = |span| Clock::system().now().saturating_sub(span);
    raw.parse().or_else(|error| parse_duration(raw).map(before_now).map_err(|_| error))
}

/// A time, or a duration from now.
fn moment(raw: &str) -> Result<Timestamp, InvalidTimestamp> {
    let from_now = |span| Clock::system().now().saturating_add(span);
    raw.parse().or_else(|error| parse_duration(raw).map(from_now).map_err(|_| error))
}

const CREATE_HINT: &str = "add --create to restrict a customer before it is known";
