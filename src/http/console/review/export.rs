//! The same as a table for a spreadsheet, to its end.

use axum::{
    body::Body,
    extract::RawQuery,
    http::header,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;

use super::{Row, Wanted};
use crate::http::console::{
    api::{Api, Refused, SignedIn},
    form::Form,
    page,
};

/// `GET /review/export`
pub(in crate::http::console) async fn export(visit: SignedIn, RawQuery(raw): RawQuery) -> Response {
    let SignedIn { api, session } = visit;
    let said = Form::of_query(raw.as_deref());
    let kind = Wanted::of(&said).kind;
    let mut export = Export { api, said, waiting: None, after: None, is_over: false };
    // The first page is read before anything is told, so that a refusal is one.
    match export.next().await {
        Ok(first) => export.waiting = first,
        Err(refused) => return page::of_refusal(Some(&session), &refused),
    }
    let pages = stream::try_unfold(export, async |mut export| {
        let page = match export.waiting.take() {
            Some(page) => Some(page),
            None => export.next().await?,
        };
        Ok::<_, Refused>(page.map(|page| (page, export)))
    });
    let disposition = format!("attachment; filename=\"tollgate-{kind}.csv\"");
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    (headers, Body::from_stream(pages)).into_response()
}

struct Export {
    api: Api,
    said: Form,
    /// Lines that nobody took yet.
    waiting: Option<String>,
    after: Option<String>,
    is_over: bool,
}

impl Export {
    async fn next(&mut self) -> Result<Option<String>, Refused> {
        if self.is_over {
            return Ok(None);
        }
        let mut text = if self.after.is_none() { HEADER.to_owned() } else { String::new() };
        let wanted = Wanted::of(&self.said);
        let (rows, next) = wanted.page(&self.api, self.after.as_deref()).await?;
        for row in &rows {
            write(row, &mut text);
        }
        self.is_over = next.is_none();
        self.after = next;
        Ok(Some(text))
    }
}

fn write(Row { customer, held }: &Row, text: &mut String) {
    let moment = |it: Option<crate::domain::Timestamp>| it.map(|it| it.to_string());
    let cells = [
        Some(customer.id.clone()),
        customer.name.clone(),
        Some(held.kind.to_string()),
        Some(held.since.to_string()),
        moment(held.until),
        Some(held.source.to_string()),
        Some(held.reason.to_string()),
        held.actor.clone(),
        moment(held.informed_at),
        held.notes.clone(),
    ];
    let cells = cells.map(|cell| quoted(&cell.unwrap_or_default()));
    text.push_str(&cells.join(","));
    text.push_str("\r\n");
}

/// A cell, in quotes. What a spreadsheet would take for a formula is kept from being one.
fn quoted(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let shield = if is_formula { "'" } else { "" };
    format!("\"{shield}{}\"", cell.replace('"', "\"\""))
}

const HEADER: &str = "customer,name,kind,since,until,source,reason,actor,informed,notes\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_and_is_no_formula() {
        for (cell, written) in [
            ("c1", "\"c1\""),
            ("a \"b\", c", "\"a \"\"b\"\", c\""),
            ("=1+1", "\"'=1+1\""),
            ("-3", "\"'-3\""),
            ("@c", "\"'@c\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(cell), written);
        }
    }
}
