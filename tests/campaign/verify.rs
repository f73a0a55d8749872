//! Holds what was acknowledged, what the store holds, and what every instance decides against
//! each other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tollgate::domain::{Kind, Restriction, Source, Timestamp, audit::AuditOutcome};

use super::{
    act,
    ledger::{Entry, Ledger, Outcome},
    now,
    store::{Held, HeldRecord, Trailed, id_of},
    support::tollgate::{Answer, Client, Tollgate},
};

/// What became of what was answered.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Where the store does not hold what it should.
    pub(crate) broken: Vec<String>,
    /// Acknowledged changes of status that it forgot, where it may.
    pub(crate) forgotten: usize,
    /// Of those, how many came back.
    pub(crate) came_back: usize,
    /// Of those, how many did not, because their source acted again or somebody has to decide.
    pub(crate) superseded: usize,
}

/// What a store has to hold of what was acknowledged.
pub(crate) enum Promise {
    /// Everything.
    All,
    /// What it forgot, it holds again: every change of status, but for those of customers in
    /// conflict, and those on whom its source acted again. Records do not come back.
    Recovered(BTreeSet<String>),
}

/// Compares the store with what was answered.
pub(crate) fn compare(entries: &[Entry], held: &Held, promise: &Promise) -> Kept {
    let (mut trail, mut recovered) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, usize>::new());
    for trailed in held.trail.iter().filter(|it| it.entry.outcome != AuditOutcome::Refused) {
        let entry = &trailed.entry;
        if entry.actor.name == RECOVERY {
            let source = entry.source.as_ref().map(Source::as_str);
            *recovered.entry((id_of(entry), entry.action.as_str(), source)).or_default() += 1;
        } else if let Some(serial) = &entry.request_id {
            trail.entry(serial.as_str()).or_default().push(trailed);
        }
    }
    let acted_again = |place: usize| {
        let Entry { act, .. } = &entries[place];
        entries[place + 1..].iter().any(|later| {
            later.act.is_of_status()
                && (&later.act.customer, later.act.source) == (&act.customer, act.source)
                && trail.contains_key(later.act.serial.as_str())
        })
    };
    let (mut kept, mut forgotten) = (Kept::default(), Vec::new());
    for (place, entry) in entries.iter().enumerate() {
        let Entry { act, outcome } = entry;
        let found = trail.get(act.serial.as_str()).map_or(&[][..], Vec::as_slice);
        let in_conflict = match promise {
            Promise::Recovered(conflicts)
                if found.is_empty() && matches!(outcome, Outcome::Acknowledged(_)) =>
            {
                conflicts.contains(&act.customer)
            }
            Promise::All | Promise::Recovered(_) => {
                if !keeps(entry, found) {
                    kept.broken.push(format!("{entry:?} is on record as {found:?}"));
                }
                continue;
            }
        };
        if act.is_of_status() && matches!(outcome, Outcome::Acknowledged(it) if it.changed) {
            forgotten.push((entry, in_conflict || acted_again(place)));
        }
    }
    kept.forgotten = forgotten.len();
    // Of two alike, the one that had to come back is the one that did.
    forgotten.sort_by_key(|(_, may_be_left)| *may_be_left);
    for (entry, may_be_left) in forgotten {
        let act = &entry.act;
        let key = (Some(act.customer.as_str()), act.verb.as_str(), Some(act.source));
        match recovered.get_mut(&key) {
            Some(left) if *left > 0 => {
                *left -= 1;
                kept.came_back += 1;
            }
            Some(_) | None if may_be_left => kept.superseded += 1,
            Some(_) | None => kept.broken.push(format!(
                "{entry:?} was forgotten and did not come back; of its customer there is on \
                 record:\n{}",
                history(&act.customer, entries, held).join("\n")
            )),
        }
    }
    kept.broken.extend(broken_records(entries, held));
    kept
}

/// What the trail says of a customer, and then what its writers were answered.
fn history(customer: &String, entries: &[Entry], held: &Held) -> Vec<String> {
    let trail = held.trail.iter().filter(|it| id_of(&it.entry) == Some(customer));
    let answers = entries.iter().filter(|it| it.act.customer == *customer);
    let trail = trail.map(|it| format!("{it:?}"));
    trail.chain(answers.map(|it| format!("{it:?}"))).collect()
}

/// Whether the trail holds what became of an act.
fn keeps(entry: &Entry, found: &[&Trailed]) -> bool {
    match (&entry.outcome, found) {
        (Outcome::Acknowledged(acknowledged), [trailed]) => {
            trailed.is_change() == acknowledged.changed && tells_of(trailed, entry)
        }
        (Outcome::Unanswered, [trailed]) => tells_of(trailed, entry),
        (Outcome::Unanswered, []) => true,
        // Every customer was made before the first fault.
        (Outcome::Refused(code), []) => code != "NOT_FOUND",
        _ => false,
    }
}

/// Whether an entry of the trail tells of this act, done whole.
fn tells_of(trailed: &Trailed, Entry { act, .. }: &Entry) -> bool {
    let holds = |kind: Kind| {
        let mut left = trailed.entry.after.iter();
        left.any(|left| left.kind == kind && left.source.as_str() == act.source)
    };
    id_of(&trailed.entry) == Some(&act.customer)
        && trailed.entry.action == act.verb.as_str()
        && act.verb.places().is_none_or(holds)
        && act.verb.lifts().is_none_or(|kind| !holds(kind))
}

/// Records whose plan or features are not those of the last act that wrote them.
fn broken_records(entries: &[Entry], held: &Held) -> Vec<String> {
    let acts: HashMap<&str, &Entry> =
        entries.iter().map(|entry| (entry.act.serial.as_str(), entry)).collect();
    let mut written: BTreeMap<&str, (&Value, &Value)> = BTreeMap::new();
    for trailed in held.trail.iter().filter(|trailed| trailed.is_change()) {
        let act = trailed.entry.request_id.as_deref().and_then(|serial| acts.get(serial));
        if let Some(Entry { act, .. }) = act
            && let (Some(plan), Some(features)) = (act.field("plan"), act.field("features"))
        {
            written.insert(&act.customer, (plan, features));
        }
    }
    let is_broken = |(id, (plan, features)): (&str, (&Value, &Value))| {
        let record = held.records.get(id);
        let is_there = record.is_some_and(|it| it.plan == *plan && it.features == *features);
        (!is_there).then(|| format!("{id} was left with {plan} and {features}: {record:?}"))
    };
    written.into_iter().filter_map(is_broken).collect()
}

/// What an instance decides otherwise than the store has it.
pub(crate) fn wrong_decisions(
    tollgate: &Tollgate,
    customers: &[String],
    held: &Held,
) -> Vec<String> {
    let client = Client::new(PATIENCE);
    let mut wrong = Vec::new();
    for customers in customers.chunks(CUSTOMERS_ASKED_AT_ONCE) {
        let (begun, answers, ended) = decisions(&client, tollgate, customers);
        for (id, answers) in customers.iter().zip(answers.chunks(QUESTIONS)) {
            let record = held.records.get(id);
            // Each was decided at some moment between the two.
            let expected = [expected(record, begun), expected(record, ended)];
            let is_so = answers
                .iter()
                .enumerate()
                .all(|(number, answer)| expected.iter().any(|it| is_as(answer, it[number])));
            if !is_so {
                wrong.push(format!("{answers:?} for {id}, of whom the store holds {record:?}"));
            }
        }
    }
    wrong
}

/// What an instance decides otherwise than the newest answers about its customers said.
pub(crate) fn wrong_by_ledger(tollgate: &Tollgate, ledger: &Ledger) -> Vec<String> {
    let client = Client::new(PATIENCE);
    let certain = |id: String| Some((id.clone(), ledger.standing(&id).certain()?.clone()));
    let certain: Vec<_> = act::customers().into_iter().filter_map(certain).collect();
    assert!(certain.len() > act::customers().len() / 2, "next to nothing is certain");
    let mut wrong = Vec::new();
    for certain in certain.chunks(CUSTOMERS_ASKED_AT_ONCE) {
        let ids: Vec<_> = certain.iter().map(|(id, _)| id.clone()).collect();
        let (begun, answers, ended) = ask_decisions(&client, tollgate, &ids);
        for ((id, newest), answers) in certain.iter().zip(answers.chunks(QUESTIONS)) {
            let record = HeldRecord {
                revision: newest.token.revision.0,
                restrictions: newest.restrictions.clone().into(),
                plan: Value::Null,
                features: Value::Null,
            };
            let expected = [begun, ended].map(|at| expected(Some(&record), at)[0]);
            if !expected.iter().any(|it| is_as(&answers[0], it)) {
                wrong.push(format!("{} for {id}, who was last {record:?}", answers[0]));
            }
        }
    }
    wrong
}

/// What an instance shows of customers otherwise than the store has it.
pub(crate) fn wrong_limits<'a>(
    tollgate: &Tollgate,
    customers: impl Iterator<Item = &'a String>,
    held: &Held,
) -> Vec<String> {
    let client = Client::new(PATIENCE);
    let wrong = customers.filter_map(|id| {
        let path = format!("/v1/customers/{id}/limits");
        let begun = now();
        let is_there = |answer: &Answer| match answer.status {
            200 => answer.json()["stale"] == false,
            status => status != 503,
        };
        let answer = repeat(|| client.ask(tollgate.check, "GET", &path, &[], None), is_there);
        let ended = now();
        let record = held.records.get(id);
        let is_so = match record {
            None => answer.status == 404,
            Some(_) if answer.status != 200 => false,
            Some(record) => [begun, ended].iter().any(|at| shows(&answer.json(), record, *at)),
        };
        (!is_so).then(|| format!("{answer:?} for {id}, of whom the store holds {record:?}"))
    });
    wrong.collect()
}

/// Asks what these customers may do, until every answer is current.
fn decisions(
    client: &Client,
    tollgate: &Tollgate,
    customers: &[String],
) -> (Timestamp, Vec<Value>, Timestamp) {
    // A record that did not come in time leaves undecided what only it can tell, and one of an
    // older picture says that it is while it is read anew.
    let is_current =
        |answer: &Value| answer["reason"] != "store_unreachable" && answer["stale"] == false;
    let ask = || ask_decisions(client, tollgate, customers);
    repeat(ask, |(_, results, _)| results.iter().all(is_current))
}

/// Asks what these customers may do: to write, to read, and to use one feature.
fn ask_decisions(
    client: &Client,
    tollgate: &Tollgate,
    customers: &[String],
) -> (Timestamp, Vec<Value>, Timestamp) {
    let questions = customers.iter().flat_map(|id| {
        [
            json!({"customerId": id, "action": "write"}),
            json!({"customerId": id, "action": "read"}),
            json!({"customerId": id, "action": "read", "feature": FEATURE}),
        ]
    });
    let body = json!({"checks": questions.collect::<Vec<_>>()}).to_string();
    let headers = [("content-type", "application/json")];
    let begun = now();
    let answer = client.ask(tollgate.check, "POST", "/v1/checks", &headers, Some(&body));
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].as_array().unwrap().clone();
    (begun, results, now())
}

/// Asks until the answer will do, or long enough.
fn repeat<T>(ask: impl Fn() -> T, will_do: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let answer = ask();
        if will_do(&answer) || begun.elapsed() > PATIENCE {
            return answer;
        }
    }
}

/// The reasons for which a write, a read and a use of the feature are decided.
fn expected(record: Option<&HeldRecord>, now: Timestamp) -> [&'static str; QUESTIONS] {
    let Some(record) = record else { return ["customer_unknown"; QUESTIONS] };
    let holds = |kind| in_force(record, now).any(|held| held.kind == kind);
    let has = record.features.as_array().map(|it| it.iter().any(|feature| feature == FEATURE));
    let feature = match has {
        None => "entitlement_unknown",
        Some(false) => "feature_missing",
        Some(true) => "active",
    };
    if holds(Kind::Disabled) {
        ["customer_disabled"; QUESTIONS]
    } else if holds(Kind::Inactive) {
        ["customer_inactive"; QUESTIONS]
    } else if holds(Kind::Frozen) {
        let feature = if feature == "active" { "frozen_read" } else { feature };
        ["customer_frozen", "frozen_read", feature]
    } else {
        ["active", "active", feature]
    }
}

fn shows(shown: &Value, record: &HeldRecord, now: Timestamp) -> bool {
    let holds = |kind: &str| in_force(record, now).any(|held| held.kind.as_str() == kind);
    ["disabled", "frozen", "inactive"].iter().all(|kind| shown[kind] == holds(kind))
        && shown["plan"] == record.plan
        && shown["features"] == record.features
}

fn in_force(record: &HeldRecord, now: Timestamp) -> impl Iterator<Item = &Restriction> {
    let begun = move |held: &&Restriction| held.since <= now;
    let goes_on = move |held: &&Restriction| held.until.is_none_or(|until| now < until);
    record.restrictions.iter().filter(begun).filter(goes_on)
}

fn is_as(answer: &Value, expected: &str) -> bool {
    // A record that did not come in time leaves its customer as free as it is.
    answer["reason"] == expected || (expected == "active" && answer["reason"] == "not_restricted")
}

/// How many questions are asked about each customer.
const QUESTIONS: usize = 3;
/// At most 100 questions are answered at once.
const CUSTOMERS_ASKED_AT_ONCE: usize = 100 / QUESTIONS;
const FEATURE: &str = "sso";
/// Who writes back what a store forgot.
const RECOVERY: &str = "recovery";
const PATIENCE: Duration = Duration::from_secs(5);
