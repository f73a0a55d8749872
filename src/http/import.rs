//! Many customers at once, a line of JSON each.

mod line;

use axum::{
    Json,
    body::Bytes,
    extract::{RawQuery, Request, State},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use self::line::{Meant, read_line};
use super::{
    OperatorPlane,
    authenticate::Caller,
    fields::{query, require_kind, whole_body_within},
    lines,
    openapi::{
        parameters::{ImportAsked, InTenant},
        refusals::Writing,
        shapes::ImportedLine,
    },
    problem::Problem,
};
use crate::{
    control::import::{Imported, Line},
    domain::{
        Partition, Role, Source,
        audit::batch::{Batch, Counts},
    },
    store::{StoreError, format::hex},
    telemetry::ActDialect,
};

/// Many customers at once, a line of JSON each: each line is done or refused alone.
///
/// A line is a customer as `GET /v1/customers/{id}` shows it, or `customerId` and what `PUT` takes.
/// 1,000 lines at most, of 65,536 bytes each, and 1 MiB in all.
#[utoipa::path(
    post,
    path = "/v1/import",
    tag = "Customers",
    operation_id = "importCustomers",
    security(("bearer" = ["manager"])),
    params(ImportAsked, InTenant),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "What came of each line that is not empty.", body = Answer),
        Writing,
    ),
)]
pub(super) async fn import(
    State(plane): State<OperatorPlane>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(Role::Manager)?;
    let asked = Asked::of_query(raw.as_deref())?;
    require_kind(request.headers(), lines::KIND)?;
    let headers = request.headers().clone();
    // Batch by batch, whoever sends them: the log is for everybody else too.
    let _turn = TURN.acquire().await.map_err(Problem::store_unreachable)?;
    let body = whole_body_within(request, BODY_AT_MOST).await?;
    let control = &plane.operators.control;
    let store = control.cache.picture(Partition(0)).map(|it| it.lineage.created.to_string());
    let store = store.ok_or_else(|| {
        Problem::store_unreachable(StoreError::Unreachable("it was not read yet".to_owned()))
    })?;
    if asked.store.as_ref().is_some_and(|expected| *expected != store) {
        let message = format!("the import was begun in another store than {store}");
        return Err(Problem::invalid_field("store", message));
    }
    let source = asked.source.as_ref().or(caller.actor.source.as_ref());
    let meant = Meant {
        named: caller.tenant.as_ref().filter(|_| caller.names_tenant),
        own: caller.actor.tenant.as_ref(),
        otherwise: caller.tenant.as_ref(),
        source: source.cloned().unwrap_or_else(Source::operator),
        source_is_said: asked.source.is_some(),
    };
    let (mut batch, read) = asked.read(&body, &meant)?;
    let mut lines: Vec<Line> = Vec::new();
    let mut told = Vec::new();
    for (number, line) in read {
        match line {
            Ok(line) => {
                lines.push(line);
                told.push((number, None));
            }
            Err(problem) => {
                *batch.refusals.entry(problem.code().to_owned()).or_default() += 1;
                told.push((number, Some(problem)));
            }
        }
    }
    let request = crate::control::Request {
        dialect: ActDialect::Import,
        expected: None,
        idempotency: None,
        ..caller.request(&headers, "import", &[])?
    };
    let mut outcomes = control.import(&request, batch, &lines).await?.into_iter();
    let mut counts = Counts::default();
    let lines: Vec<Value> = told
        .into_iter()
        .map(|(line, problem)| {
            let outcome = match problem {
                Some(problem) => Err(problem),
                None => {
                    outcomes.next().map_or(Ok(Imported::Unchanged), |it| it.map_err(Problem::from))
                }
            };
            match outcome {
                Ok(imported) => json!({ "line": line, "outcome": counted(&mut counts, imported) }),
                Err(problem) => {
                    counts.refused += 1;
                    json!({ "line": line, "outcome": "refused", "error": problem.told() })
                }
            }
        })
        .collect();
    Ok(Json(Answer { store, counts, lines }).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = ImportAnswer)]
struct Answer {
    /// The name of the store's first history, which it never changes.
    store: String,
    #[serde(flatten)]
    counts: Counts,
    #[schema(value_type = Vec<ImportedLine>)]
    lines: Vec<Value>,
}

fn counted(counts: &mut Counts, imported: Imported) -> &'static str {
    let (count, word) = match imported {
        Imported::Created => (&mut counts.created, "created"),
        Imported::Unchanged => (&mut counts.unchanged, "unchanged"),
        Imported::Updated => (&mut counts.updated, "updated"),
    };
    *count += 1;
    word
}

/// What the query says of the lines.
struct Asked {
    name: String,
    first_line: u64,
    source: Option<Source>,
    store: Option<String>,
}

impl Asked {
    fn of_query(raw: Option<&str>) -> Result<Self, Problem> {
        let mut given = query(raw, &["name", "line", "source", "store"])?;
        let name = given.remove("name").unwrap_or_else(|| "-".to_owned());
        if !(1..=NAME_AT_MOST).contains(&name.chars().count()) || name.chars().any(char::is_control)
        {
            let message = format!("must be 1 to {NAME_AT_MOST} characters that can be printed");
            return Err(Problem::invalid_field("name", message));
        }
        let first_line = match given.remove("line").map(|raw| raw.parse::<u64>()) {
            None => 1,
            Some(Ok(line)) if (1..=LINE_AT_MOST).contains(&line) => line,
            Some(_) => return Err(Problem::invalid_field("line", "must be a number from 1 on")),
        };
        let source = given.remove("source").map(|raw| Source::parse(&raw)).transpose();
        let source = source.map_err(|error| Problem::invalid_field("source", error))?;
        Ok(Self { name, first_line, source, store: given.remove("store") })
    }

    /// Reads the lines that are not empty, with their numbers.
    fn read(&self, body: &Bytes, meant: &Meant<'_>) -> Result<(Batch, Vec<Read>), Problem> {
        let text = body.strip_suffix(b"\n").unwrap_or(body);
        let all = text.split(|byte| *byte == b'\n');
        let numbered = (self.first_line..).zip(all);
        let lines: Vec<_> =
            numbered.clone().filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
        if lines.is_empty() {
            return Err(Problem::invalid_field("body", "must have at least one line"));
        }
        if lines.len() > LINES_AT_MOST {
            let message = format!("may have at most {LINES_AT_MOST} lines");
            return Err(Problem::invalid_field("body", message));
        }
        let batch = Batch {
            name: self.name.clone(),
            first_line: self.first_line,
            last_line: numbered.last().map_or(self.first_line, |(number, _)| number),
            sha256: hex(&Sha256::digest(body)),
            ..Batch::default()
        };
        let read = lines.into_iter().map(|(number, line)| (number, read_line(line, meant)));
        Ok((batch, read.collect()))
    }
}

type Read = (u64, Result<Line, Problem>);

/// A few hundred customers with all that they usually have, or a handful with all that they may
/// have.
pub(super) const BODY_AT_MOST: usize = 1024 * 1024;
const LINES_AT_MOST: usize = 1000;
const LINE_AT_MOST: u64 = 1 << 53;
const NAME_AT_MOST: usize = 255;
static TURN: Semaphore = Semaphore::const_new(1);
