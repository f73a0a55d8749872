//! `tollgate undo`: what one source did to customers is taken back.

use std::collections::BTreeMap;

use clap::Args;
use serde::{
    Deserialize as _,
    de::{IntoDeserializer as _, value::StrDeserializer},
};
use serde_json::{Value, json};

use super::{
    acts::past_moment,
    answer::{is_set, list, text},
    client::{Call, Client},
    confirm::Consent,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Rows},
};
use crate::{
    clock::Clock,
    domain::{
        AuditEntry, CustomerKey, Kind, Restriction, Restrictions, Source, TenantId, Timestamp, Verb,
    },
};

/// Which acts are to be taken back.
#[derive(Args, Clone, Debug)]
pub(super) struct Undo {
    /// Whose acts
    #[arg(long)]
    source: Source,

    /// Since when: a time like 2026-11-21T10:00:00Z, or how long ago like 30m
    #[arg(long, value_name = "TIME", value_parser = past_moment)]
    since: Timestamp,

    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    operator: Operator,
}

/// What is to be done to one customer, so that the source restricts it as it did before.
#[derive(Debug)]
struct Plan {
    customer: CustomerKey,
    now: Vec<Restriction>,
    before: Vec<Restriction>,
}

impl Undo {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let client = self.operator.client_of_all()?;
        let touched = self.before(&self.operator.client()?)?;
        let mut plans = Vec::new();
        for (customer, before) in touched {
            let now = self.held_now(&client, &customer)?;
            let before: Vec<_> = before.iter().cloned().collect();
            let before = self.meant(&before);
            plans.push(Plan { customer, now, before });
        }
        plans.retain(|plan| plan.now != plan.before);
        out.data(self.operator.output(), &shown(&plans), || {
            let header = Rows::under(["CUSTOMER", "NOW", "AFTERWARDS"]);
            plans.iter().fold(header, |rows, plan| {
                rows.row([plan.customer.to_string(), words(&plan.now), words(&plan.before)])
            })
        });
        let (count, source) = (plans.len(), &self.source);
        out.note(format_args!(
            "{count} customers are restricted by {source} otherwise than before {}.",
            self.since,
        ));
        if self.consent.dry_run || plans.is_empty() {
            return Ok(Exit::Done);
        }
        if !self.consent.is_given(out)? {
            return Ok(Exit::Failed);
        }
        let mut refused = 0;
        for plan in &plans {
            if let Err(failure) = self.give_back(&client, plan) {
                if matches!(failure, Failure::Unreachable { .. }) {
                    return Err(failure);
                }
                refused += 1;
                out.note(format_args!("{}: {failure}", plan.customer));
            }
        }
        let done = plans.len() - refused;
        out.note(format_args!("{done} customers were given back; {refused} were not."));
        Ok(if refused == 0 { Exit::Done } else { Exit::Failed })
    }

    /// How every customer was restricted whom the source has changed since then, before it did.
    fn before(&self, client: &Client) -> Result<BTreeMap<CustomerKey, Restrictions>, Failure> {
        let mut before = BTreeMap::new();
        let mut cursor = None;
        loop {
            let call = Call::new("GET", "/v1/audit")
                .query("limit", Some(100))
                .query("outcome", Some("changed"))
                .query("since", Some(self.since))
                .query("before", cursor.as_ref());
            let page = client.send(&call)?;
            for entry in list(&page, "entries") {
                let entry =
                    AuditEntry::deserialize(entry).map_err(|error| Failure::local(&error))?;
                // The newest comes first, so that the oldest stays.
                if let Some(batch) = entry.batch {
                    let touched = batch.restricted.into_iter();
                    for touched in touched.filter(|it| it.sources.contains(&self.source)) {
                        if let Ok(customer) = CustomerKey::parse(&touched.customer) {
                            before.insert(customer, touched.before);
                        }
                    }
                    continue;
                }
                let is_meant = entry.source.as_ref() == Some(&self.source)
                    && Verb::deserialize(action_of(&entry)).is_ok();
                if is_meant && let Ok(customer) = CustomerKey::parse(&entry.subject) {
                    before.insert(customer, entry.before);
                }
            }
            cursor = Some(text(&page, "nextCursor").to_owned());
            if !is_set(&page, "hasMore") {
                return self.reaches_back(&page).map(|()| before);
            }
        }
    }

    /// Whether what was done since then is all in the store. What came before an act that is not
    /// there cannot be known.
    fn reaches_back(&self, page: &Value) -> Result<(), Failure> {
        let until = page.get("archivedUntil").filter(|it| !it.is_null());
        let until = until.map(|it| Timestamp::deserialize(it).map_err(|it| Failure::local(&it)));
        match until.transpose()? {
            Some(until) if until >= self.since => Err(Failure::Local(format!(
                "what was done until {until} was archived, so that nobody here knows how customers \
                 were restricted before; give --since a later time",
            ))),
            Some(_) | None => Ok(()),
        }
    }

    fn held_now(&self, client: &Client, key: &CustomerKey) -> Result<Vec<Restriction>, Failure> {
        let client = of_tenant(client, key)?;
        let customer = client.send(&Call::new("GET", format!("/v1/customers/{}", key.id())))?;
        let held = ["restrictions", "scheduled"].into_iter();
        let held = held.flat_map(|field| list(&customer, field).iter());
        let held = held.map(|it| Restriction::deserialize(it).map_err(|it| Failure::local(&it)));
        let held: Vec<_> = held.collect::<Result<_, _>>()?;
        Ok(self.meant(&held))
    }

    /// Those that are the source's and not over, by kind.
    fn meant(&self, held: &[Restriction]) -> Vec<Restriction> {
        let mut meant: Vec<_> = held.iter().filter(|it| self.is_meant(it)).cloned().collect();
        meant.sort_by_key(|it| it.kind);
        meant
    }

    fn is_meant(&self, held: &Restriction) -> bool {
        held.source == self.source && !held.lapsed_at(Clock::system().now())
    }

    /// Places first and lifts then, so that nobody is let in in between.
    fn give_back(&self, client: &Client, plan: &Plan) -> Result<(), Failure> {
        let client = of_tenant(client, &plan.customer)?;
        let act = |verb: Option<Verb>, body: Value| {
            let Some(verb) = verb else { return Ok(Value::Null) };
            let path = format!("/v1/customers/{}/{}", plan.customer.id(), verb.as_str());
            client.send(&Call::new("POST", path).body(body))
        };
        let notes = format!("undone: what {} did since {}", self.source, self.since);
        for held in plan.before.iter().filter(|it| !plan.now.contains(it)) {
            let Restriction { kind, source, reason, since, until } = held;
            let body = json!({
                "source": source, "reason": reason, "since": since, "until": until, "notes": notes,
            });
            act(verb(|it| it.places() == Some(*kind)), body)?;
        }
        let stays = |kind: Kind| plan.before.iter().any(|it| it.kind == kind);
        for held in plan.now.iter().filter(|it| !stays(it.kind)) {
            let body = json!({ "source": self.source, "notes": notes });
            act(verb(|it| it.lifts() == Some(held.kind)), body)?;
        }
        Ok(())
    }
}

/// What was done, if it was done to a customer.
fn action_of(entry: &AuditEntry) -> StrDeserializer<'_, serde::de::value::Error> {
    entry.action.as_str().into_deserializer()
}

fn verb(is_it: impl Fn(Verb) -> bool) -> Option<Verb> {
    Verb::STATUS.into_iter().find(|verb| is_it(*verb))
}

fn of_tenant(client: &Client, key: &CustomerKey) -> Result<Client, Failure> {
    let tenant = TenantId::parse(key.tenant()).map_err(|error| Failure::local(&error))?;
    Ok(client.clone().with_tenant(Some(tenant)))
}

fn shown(plans: &[Plan]) -> Value {
    let plan = |plan: &Plan| json!({ "customer": plan.customer.to_string(), "now": plan.now, "afterwards": plan.before });
    Value::Array(plans.iter().map(plan).collect())
}

fn words(held: &[Restriction]) -> String {
    let words: Vec<_> = held.iter().map(|it| format!("{} ({})", it.kind, it.reason)).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}
