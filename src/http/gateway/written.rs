//! Answers to gateways as they are on the wire, most of which were written before.

use std::{
    cell::RefCell,
    time::{Duration, UNIX_EPOCH},
};

use axum::http::header;
use bytes::Bytes;
use hashbrown::HashMap;

use super::Respond;
use crate::{
    domain::{Enforcement, Timestamp},
    gate::Answer,
    telemetry::Dialect,
    wire::{self, Beside, Numbers, Place},
};

/// Writes `answer` behind what stands in `wire`: what `respond` makes of it, and the time.
pub(super) fn write(
    dialect: Dialect,
    answer: &Answer,
    respond: Respond,
    now: Timestamp,
    wire: &mut Vec<u8>,
) {
    DESK.with_borrow_mut(|Desk { written, date }| {
        let Written { head, body } = written
            .entry(Words::of(dialect, answer))
            .or_insert_with(|| Written::of(answer, respond));
        let numbers = Numbers::of(answer);
        wire.extend_from_slice(head);
        for part in [
            wire::REVISION.as_str(),
            ": ",
            numbers.revision(),
            "\r\n",
            wire::AGE_MS.as_str(),
            ": ",
            numbers.age(),
            "\r\ndate: ",
            date.at(now),
            "\r\n\r\n",
        ] {
            wire.extend_from_slice(part.as_bytes());
        }
        wire.extend_from_slice(body);
    });
}

/// What one thread writes answers with.
#[derive(Default)]
struct Desk {
    /// An answer differs from others in a few words.
    written: HashMap<Words, Written>,
    date: Date,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// Everything in which answers differ, but for what they count.
#[derive(Eq, Hash, PartialEq)]
struct Words {
    place: Place,
    http_status: Option<u16>,
    dialect: Dialect,
    enforcement: Enforcement,
    payment_required: bool,
}

impl Words {
    fn of(dialect: Dialect, answer: &Answer) -> Self {
        Self {
            place: Place::of(answer, Beside::Nothing),
            http_status: answer.http_status,
            dialect,
            enforcement: answer.enforcement,
            payment_required: answer.decision.payment_required,
        }
    }
}

/// An answer but for what it counts.
struct Written {
    head: Vec<u8>,
    body: Bytes,
}

impl Written {
    fn of(answer: &Answer, respond: Respond) -> Self {
        let (parts, body) = respond(answer).into_parts();
        let reason = parts.status.canonical_reason().unwrap_or_default();
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_str()).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        };
        for (name, value) in &parts.headers {
            if name != wire::REVISION && name != wire::AGE_MS {
                line(name.as_str(), value.as_bytes());
            }
        }
        if !parts.headers.contains_key(header::CONTENT_LENGTH) {
            line(header::CONTENT_LENGTH.as_str(), body.len().to_string().as_bytes());
        }
        Self { head, body }
    }
}

/// The time of day as HTTP tells it, which is the same for a second.
#[derive(Default)]
struct Date {
    second: Option<u64>,
    text: String,
}

impl Date {
    fn at(&mut self, now: Timestamp) -> &str {
        let second = now.as_millis() / 1000;
        if self.second != Some(second) {
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            self.second = Some(second);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests;
