//! Customers: one, many, written, deleted, and what their applications are told.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use clap::{Args, builder::PossibleValuesParser};
use serde_json::{Map, Value, json};

use super::{
    acts::reason,
    answer::{act_row, cell, in_words, is_set, list, text},
    client::Call,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Rows},
};
use crate::domain::{Code, CustomerId, RestrictionReason, Source, Token};

/// One customer.
#[derive(Args, Clone, Debug)]
pub(super) struct One {
    /// The customer's id
    #[arg(value_parser = CustomerId::parse)]
    id: CustomerId,

    #[command(flatten)]
    operator: Operator,
}

impl One {
    /// `tollgate show`
    pub(super) fn show(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let call = Call::new("GET", format!("/v1/customers/{}", self.id));
        let customer = self.operator.client()?.send(&call)?;
        out.data(self.operator.output(), &customer, || {
            limits_of(&customer, sheet(&customer, &CUSTOMER_FIELDS))
        });
        Ok(Exit::Done)
    }

    /// `tollgate delete`
    pub(super) fn delete(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let call = Call::new("DELETE", format!("/v1/customers/{}", self.id));
        let answer = self.operator.client()?.send(&call)?;
        out.data(self.operator.output(), &answer, || {
            Rows::under(["CUSTOMER", "CHANGED", "REVISION"]).row([
                cell(&answer, "customerId"),
                cell(&answer, "changed"),
                cell(&answer, "revision"),
            ])
        });
        Ok(Exit::Done)
    }
}

/// One customer's limits.
#[derive(Args, Clone, Debug)]
pub(super) struct Limits {
    #[command(flatten)]
    one: One,

    /// Ask for an answer that stands on this revision at least, as an act returned it
    #[arg(long, value_name = "REVISION")]
    min_revision: Option<Token>,
}

impl Limits {
    /// `tollgate limits`
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let One { id, operator } = &self.one;
        let call = Call::new("GET", format!("/v1/customers/{id}/limits"))
            .query("minRevision", self.min_revision.as_ref());
        let answer = operator.client()?.send(&call)?;
        out.data(operator.output(), &answer, || limits_of(&answer, sheet(&answer, &LIMITS_FIELDS)));
        Ok(Exit::Done)
    }
}

/// Many customers.
#[derive(Args, Clone, Debug)]
pub(super) struct Many {
    #[arg(long, help = STATUS, value_parser = PossibleValuesParser::new(STATUSES))]
    status: Option<String>,

    /// Only those that this source restricts
    #[arg(long)]
    source: Option<Source>,

    /// Only those restricted for this reason
    #[arg(long, value_parser = reason())]
    reason: Option<RestrictionReason>,

    /// Only those whose id begins with this
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// How many at most, up to 100
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,

    /// All of them, page by page
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    operator: Operator,
}

impl Many {
    /// `tollgate list`
    pub(super) fn list(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let client = self.operator.client()?;
        let mut page = client.send(&self.call(None))?;
        let mut customers = list(&page, "customers").to_vec();
        while self.all && is_set(&page, "hasMore") && !text(&page, "nextCursor").is_empty() {
            page = client.send(&self.call(Some(text(&page, "nextCursor"))))?;
            customers.extend_from_slice(list(&page, "customers"));
        }
        let has_more = is_set(&page, "hasMore");
        let answer = json!({
            "count": customers.len(),
            "customers": customers,
            "hasMore": has_more,
            "nextCursor": page.get("nextCursor"),
        });
        out.data(self.operator.output(), &answer, || many(&customers));
        if has_more {
            out.hint("there are more; list them with --all");
        }
        Ok(Exit::Done)
    }

    fn call(&self, after: Option<&str>) -> Call {
        let limit = if self.all { PAGE } else { self.limit };
        Call::new("GET", "/v1/customers")
            .query("limit", Some(limit))
            .query("status", self.status.as_ref())
            .query("source", self.source.as_ref())
            .query("reason", self.reason)
            .query("prefix", self.prefix.as_ref())
            .query("startAfter", after)
    }
}

/// A customer's record, to be written.
#[derive(Args, Clone, Debug)]
pub(super) struct Put {
    /// The customer's id
    #[arg(value_parser = CustomerId::parse)]
    id: CustomerId,

    /// File with the fields to write, as JSON, or - for standard input. A field that is named is
    /// replaced as a whole, null clears it, the others stay
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// The plan's code
    #[arg(long, value_name = "CODE", value_parser = Code::parse)]
    plan: Option<Code>,

    /// A feature that the customer has; give it once for each. Replaces those it had
    #[arg(long = "feature", value_name = "CODE", value_parser = Code::parse)]
    features: Vec<Code>,

    /// Its id in another system, like `stripe=cus_1`; give it once for each. Replaces those it had
    #[arg(long = "alias", value_name = "SOURCE=ID", value_parser = alias)]
    aliases: Vec<(Source, CustomerId)>,

    /// Only if the customer is still at this revision
    #[arg(long, value_name = "REVISION")]
    if_match: Option<String>,

    #[command(flatten)]
    operator: Operator,
}

fn alias(raw: &str) -> Result<(Source, CustomerId), String> {
    let (source, id) = raw.split_once('=').ok_or("must be a source, `=` and an id")?;
    let source = Source::parse(source).map_err(|error| error.to_string())?;
    Ok((source, CustomerId::parse(id).map_err(|error| error.to_string())?))
}

impl Put {
    /// `tollgate put`
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let call = Call::new("PUT", format!("/v1/customers/{}", self.id))
            .header("if-match", self.if_match.as_ref())
            .body(self.body()?);
        let answer = self.operator.client()?.send(&call)?;
        let customer = answer.get("customer").unwrap_or(&answer);
        out.data(self.operator.output(), &answer, || act_row(customer, &answer));
        Ok(Exit::Done)
    }

    fn body(&self) -> Result<Value, Failure> {
        let mut body = match &self.from {
            Some(path) => read_fields(path)?,
            None => Map::new(),
        };
        if let Some(plan) = &self.plan {
            body.insert("plan".to_owned(), json!(plan));
        }
        if !self.features.is_empty() {
            body.insert("features".to_owned(), json!(self.features));
        }
        if !self.aliases.is_empty() {
            let aliases: BTreeMap<_, _> = self.aliases.iter().cloned().collect();
            body.insert("aliases".to_owned(), json!(aliases));
        }
        Ok(Value::Object(body))
    }
}

fn read_fields(path: &PathBuf) -> Result<Map<String, Value>, Failure> {
    let name = path.display();
    let read = if path.as_os_str() == "-" {
        io::read_to_string(io::stdin().lock())
    } else {
        fs::read_to_string(path)
    };
    let text = read.map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?;
    let fields = serde_json::from_str(&text);
    fields.map_err(|error| Failure::Usage(format!("{name} is no JSON object: {error}")))
}

/// One customer, a field a row.
fn sheet(customer: &Value, fields: &[&str]) -> Rows {
    let rows = fields
        .iter()
        .fold(Rows::plain(), |rows, field| rows.row([(*field).to_owned(), cell(customer, field)]));
    ["restrictions", "scheduled"].into_iter().fold(rows, |rows, field| {
        list(customer, field).iter().enumerate().fold(rows, |rows, (place, restriction)| {
            let name = if place == 0 { field } else { "" };
            rows.row([name.to_owned(), in_words(restriction)])
        })
    })
}

/// What the limits say: a limit a row.
fn limits_of(answer: &Value, rows: Rows) -> Rows {
    let limits = answer.get("limits").and_then(Value::as_object).into_iter().flatten();
    limits.fold(rows, |rows, (code, limit)| {
        let told = match (cell(limit, "used").as_str(), cell(limit, "max").as_str()) {
            ("-", "unlimited") => "unlimited".to_owned(),
            ("-", max) => format!("at most {max}"),
            (used, max) => format!("{used} of {max}"),
        };
        rows.row([format!("limit {code}"), told])
    })
}

/// Many customers, one a row.
fn many(customers: &[Value]) -> Rows {
    let header = Rows::under(["CUSTOMER", "TENANT", "STATUS", "ACCESS", "RESTRICTIONS", "PLAN"]);
    customers.iter().fold(header, |rows, customer| {
        rows.row([
            cell(customer, "customerId"),
            cell(customer, "tenantId"),
            cell(customer, "status"),
            cell(customer, "access"),
            restrictions(customer, "restrictions"),
            cell(customer, "plan"),
        ])
    })
}

fn restrictions(customer: &Value, field: &str) -> String {
    let words: Vec<_> = list(customer, field).iter().map(in_words).collect();
    if words.is_empty() { "-".to_owned() } else { words.join("; ") }
}

const CUSTOMER_FIELDS: [&str; 11] = [
    "customerId",
    "tenantId",
    "name",
    "status",
    "access",
    "plan",
    "features",
    "aliases",
    "revision",
    "createdAt",
    "updatedAt",
];
const LIMITS_FIELDS: [&str; 10] = [
    "customerId",
    "tenantId",
    "status",
    "access",
    "billing",
    "plan",
    "features",
    "revision",
    "ageMs",
    "stale",
];
const STATUS: &str = "Only those with this status; inactive ones are listed only when asked for. \
                      Inactive is FlexPortal's word for closed; Wingback's call named inactivate \
                      makes a customer frozen";
/// Every status, the one that lets everything through first.
pub(super) const STATUSES: [&str; 4] = ["active", "frozen", "inactive", "disabled"];
const PAGE: u8 = 100;
