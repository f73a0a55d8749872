//! `tollgate explain`: why a customer is refused, or let in.

use clap::{Args, builder::PossibleValuesParser};
use serde_json::Value;

use super::{
    answer::{cell, in_words, is_set, list, text},
    check::Asked,
    client::Call,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Output, Rows},
};
use crate::domain::CustomerId;

/// What is to be explained.
#[derive(Args, Clone, Debug)]
pub(super) struct Explain {
    /// The customer's id
    #[arg(value_parser = CustomerId::parse)]
    id: CustomerId,

    /// Explain a read or a write only; without it and without a request, both
    #[arg(long, value_parser = PossibleValuesParser::new(["read", "write"]))]
    #[arg(conflicts_with_all = ["method", "path"])]
    action: Option<String>,

    #[command(flatten)]
    asked: Asked,

    #[command(flatten)]
    operator: Operator,
}

impl Explain {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let Asked { method, path, feature, limit } = &self.asked;
        let limit = limit.as_ref();
        let total = limit.and_then(|limit| limit.get("value")).and_then(Value::as_u64);
        let call = Call::new("GET", format!("/v1/explain/{}", self.id))
            .query("action", self.action.as_ref())
            .query("method", method.as_ref())
            .query("path", path.as_ref())
            .query("feature", feature.as_ref())
            .query("limit", limit.map(|limit| text(limit, "code")))
            .query("value", total);
        let page = self.operator.client()?.send(&call)?;
        let (questions, output) = (list(&page, "questions"), self.operator.output());
        if output == Output::Table {
            for question in questions {
                out.line(verdict(text(&page, "customerId"), question));
            }
            out.line("");
        }
        out.data(output, &page, || sheet(&page));
        let came_to =
            |outcome: &str| questions.iter().any(|question| text(question, "decision") == outcome);
        Ok(match (came_to("deny"), came_to("undecided")) {
            (true, _) => Exit::Failed,
            (false, true) => Exit::Undecided,
            (false, false) => Exit::Done,
        })
    }
}

/// Everything that the verdicts stand on.
fn sheet(page: &Value) -> Rows {
    let questions = list(page, "questions");
    let rows = questions.iter().fold(Rows::plain(), |rows, question| {
        let name = if questions.len() > 1 { what(question) } else { "rule".to_owned() };
        grounds(question, rows.row([name, rule(&question["rule"])]))
    });
    let rows = standing(page, rows);
    let rows = basis(page, rows);
    let past = named("last changes", list(page, "transitions").iter().map(transition));
    let rows = past.into_iter().fold(rows, Rows::row);
    if page["transitions"].is_null() {
        return rows.row(["last changes", "the store did not tell them"].map(str::to_owned));
    }
    rows
}

/// `c1 may not write: The customer is frozen, and may only read. (customer_frozen, HTTP 423)`.
fn verdict(id: &str, question: &Value) -> String {
    let (what, message) = (what(question), text(question, "message"));
    let (reason, status) = (text(question, "reason"), cell(question, "httpStatus"));
    let told = format!("{message} ({reason}, HTTP {status})");
    match (text(question, "decision"), is_set(question, "allowed")) {
        ("allow", _) => format!("{id} may {what}: {told}"),
        ("deny", false) => format!("{id} may not {what}: {told}"),
        ("deny", true) => {
            let by = text(question, "modeFrom");
            format!("{id} may not {what}, and is let through by shadow mode ({by}): {told}")
        }
        (_, true) => format!("{id} may {what}, though it cannot be decided: {told}"),
        (_, false) => format!("It cannot be decided whether {id} may {what}: {told}"),
    }
}

/// What is asked, behind "may".
fn what(question: &Value) -> String {
    let asked = &question["asked"];
    match text(asked, "action") {
        "" => format!("{} {}", text(asked, "method"), text(asked, "path")),
        action => action.to_owned(),
    }
}

/// `/billing/{*rest}: exempt for non_payment (it is the most specific route ...)`.
fn rule(rule: &Value) -> String {
    let mut words = vec![format!("a {}", text(rule, "action"))];
    let exempt = text(rule, "exempt");
    words.extend((exempt != "nobody").then(|| format!("exempt for {exempt}")));
    for field in ["feature", "limit"] {
        let code = text(rule, field);
        words.extend((!code.is_empty()).then(|| format!("{field} {code}")));
    }
    let (words, why) = (words.join(", "), text(rule, "why"));
    match text(rule, "pattern") {
        "" if why.is_empty() => format!("no route: {words}"),
        "" => format!("no route: {words} ({why})"),
        pattern if why.is_empty() => format!("{pattern}: {words}"),
        pattern => format!("{pattern}: {words} ({why})"),
    }
}

/// What decided one question, beside its rule.
fn grounds(question: &Value, rows: Rows) -> Rows {
    let refused_by = named("  refused by", list(question, "refusedBy").iter().map(in_words));
    let set_aside = named("  set aside", list(question, "setAside").iter().map(in_words));
    let feature = question.get("feature").filter(|it| !it.is_null()).map(|feature| {
        let told = match feature["present"].as_bool() {
            Some(true) => "the customer has it".to_owned(),
            Some(false) => {
                format!("the customer does not have it; it has {}", cell(feature, "has"))
            }
            None => "no source has said what the customer has".to_owned(),
        };
        [format!("  feature {}", text(feature, "code")), told]
    });
    let limit = question.get("limit").filter(|it| !it.is_null()).map(|limit| {
        let outdated = if is_set(limit, "usedOutdated") { ", too old to count" } else { "" };
        let told = format!(
            "max {}, used {} at {}{outdated}; wanted {}",
            cell(limit, "max"),
            cell(limit, "used"),
            cell(limit, "usedAt"),
            cell(limit, "wanted"),
        );
        [format!("  limit {}", text(limit, "code")), told]
    });
    let readings = list(question, "readings").iter().map(|reading| {
        let decides = if is_set(reading, "decides") { ", which decides" } else { "" };
        format!("{} is {}{decides}", rule(reading), text(reading, "reason"))
    });
    let readings = named("  may be read as", readings);
    let all = refused_by.into_iter().chain(set_aside).chain(feature).chain(limit).chain(readings);
    all.fold(rows, Rows::row)
}

/// What restricts the customer, and what lifts it.
fn standing(page: &Value, rows: Rows) -> Rows {
    let status = format!("{}, access {}", text(page, "status"), text(page, "access"));
    let known = match page["known"].as_bool() {
        Some(true) => status,
        Some(false) => "not known: the store has no such customer".to_owned(),
        None => format!("{status}; it cannot be told now whether there is such a customer"),
    };
    let rows = rows.row(["status".to_owned(), known]);
    ["restrictions", "scheduled", "lapsed"].into_iter().fold(rows, |rows, field| {
        list(page, field).iter().fold(rows, |rows, held| {
            let actor = text(held, "actor");
            let by = if actor.is_empty() { String::new() } else { format!(", placed by {actor}") };
            let since = text(held, "since");
            let rows = rows.row([
                if field == "restrictions" { "in force" } else { field }.to_owned(),
                format!("{} since {since}{by}", in_words(held)),
            ]);
            let lift = &held["liftedBy"];
            let (command, role) = (text(lift, "command"), text(lift, "role"));
            let lifts = format!("its own source: `{command}`, which takes a {role}");
            let notes = text(held, "notes");
            let notes = (!notes.is_empty()).then(|| ["  notes".to_owned(), notes.to_owned()]);
            let rows = notes.into_iter().fold(rows, Rows::row);
            rows.row(["  lifted by".to_owned(), lifts])
        })
    })
}

/// What the answers stand on.
fn basis(page: &Value, rows: Rows) -> Rows {
    let (record, store) = (&page["record"], &page["store"]);
    let flags = [("stale", ", stale"), ("tooStale", ", too old"), ("suspect", ", in doubt")];
    let flags = flags.into_iter().filter(|(field, _)| is_set(record, field));
    let flags: String = flags.map(|(_, told)| told).collect();
    let told = format!(
        "{}, revision {}, {} ms old{flags}",
        record_state(record),
        cell(record, "revision"),
        cell(record, "ageMs"),
    );
    let believed = if is_set(store, "believed") { "believed" } else { "not believed" };
    let lost = text(store, "lost");
    let lost = if lost.is_empty() { String::new() } else { format!(": {lost}") };
    let answered = if is_set(store, "answered") {
        format!("answers with revision {}", cell(store, "revision"))
    } else {
        "did not answer".to_owned()
    };
    let rows = rows
        .row(["record".to_owned(), told])
        .row(["store".to_owned(), format!("{believed}{lost}, {answered}")]);
    let withheld = list(page, "withheld").iter().map(|act| {
        let (action, source) = (text(act, "action"), text(act, "source"));
        let decide =
            if is_set(act, "inConflict") { "; see `tollgate store conflicts`" } else { "" };
        format!("{action} by {source} at {}{decide}", text(act, "revision"))
    });
    let paused = list(page, "pausedSources")
        .iter()
        .map(|paused| format!("{} since {}", text(paused, "source"), text(paused, "since")));
    let until = text(&page["fleet"], "shadowUntil");
    let shadow = (!until.is_empty()).then(|| format!("until {until}"));
    let rows = named("forgotten by the store", withheld).into_iter().fold(rows, Rows::row);
    let rows = named("paused sources", paused).into_iter().fold(rows, Rows::row);
    named("fleet in shadow", shadow.into_iter()).into_iter().fold(rows, Rows::row)
}

fn record_state(record: &Value) -> &'static str {
    match (text(record, "state"), text(record, "from")) {
        ("known", "store") => "read from the store for this",
        ("known", _) => "from memory",
        ("absent", _) => "none, says the store",
        ("not_needed", _) => "not read, since the set of restricted customers decides",
        ("overloaded", _) => "not to be had, since too many are being read",
        ("unreadable", _) => "there, but not readable",
        _ => "not to be had, since the store does not answer",
    }
}

/// `... disable by ops: nothing -> disabled by billabear (non_payment)`.
fn transition(change: &Value) -> String {
    let side = |field: &str| {
        let words: Vec<_> = list(change, field).iter().map(in_words).collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join("; ") }
    };
    format!(
        "{} {} by {}: {} -> {}",
        text(change, "at"),
        text(change, "action"),
        text(&change["actor"], "name"),
        side("before"),
        side("after"),
    )
}

/// A row for each, under a name that is told once.
fn named(name: &str, told: impl Iterator<Item = String>) -> Vec<[String; 2]> {
    let name = |place| if place == 0 { name.to_owned() } else { String::new() };
    told.enumerate().map(|(place, told)| [name(place), told]).collect()
}
