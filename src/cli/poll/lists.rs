//! Reads who is inactive at FlexPortal, and who is not, page by page and no faster than it allows.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use ureq::http::{HeaderMap, Response};

use super::{Cut, pace, picture::INACTIVE, stop::Stop};
use crate::{
    cli::{
        client::{Call, Client},
        failure::Failure,
        out::Out,
    },
    clock::{Clock, Moment},
    domain::CustomerId,
};

/// What FlexPortal says of its customers. Of those who are not in it, it says nothing.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Whether each is inactive, by FlexPortal's id.
    pub(super) customers: BTreeMap<CustomerId, bool>,
    /// Ids that Tollgate has no customers of, in words.
    pub(super) unusable: Vec<String>,
}

/// When FlexPortal may be asked again.
#[derive(Debug, Default)]
pub(super) struct Turn {
    since: Moment,
    wait: Duration,
}

impl Turn {
    /// Leaves it alone for `wait` from now on.
    fn put_off(&mut self, clock: &Clock, wait: Duration) {
        *self = Self { since: clock.moment(), wait };
    }

    fn left(&self, clock: &Clock) -> Duration {
        self.wait.saturating_sub(clock.moment().saturating_since(self.since))
    }
}

/// Reads the lists of one tenant.
pub(super) struct Lists<'a> {
    /// FlexPortal, asked with its key.
    pub(super) client: &'a Client,
    /// When it may be asked again, from round to round.
    pub(super) turn: &'a mut Turn,
    /// What tells the time.
    pub(super) clock: &'a Clock,
    /// What ends a wait.
    pub(super) stop: &'a Stop,
}

impl Lists<'_> {
    /// Reads both, whole. A customer in both has moved meanwhile: the second list is the later
    /// one, and it is the one that restricts.
    pub(super) fn read(&mut self, out: &mut Out<'_>) -> Result<Said, Cut> {
        let mut said = Said::default();
        for list in [List::Others, List::Inactive] {
            self.read_list(list, &mut said, out)?;
        }
        Ok(said)
    }

    fn read_list(&mut self, list: List, said: &mut Said, out: &mut Out<'_>) -> Result<(), Cut> {
        let (mut cursors, mut listed) = (HashSet::new(), HashSet::new());
        let (mut cursor, mut idle) = (None, 0);
        loop {
            let call = Call::new("GET", "/v1/customers")
                .query("limit", Some(100))
                .query("startAfter", cursor.as_ref())
                .query("status", list.status());
            let page = self.page(&call, out)?;
            let before = listed.len();
            for customer in page.customers {
                listed.insert(customer.customer_id.clone());
                list.take(customer, said).map_err(Failure::Local)?;
            }
            idle = if listed.len() > before { 0 } else { idle + 1 };
            if !page.has_more {
                return Ok(());
            }
            let next = page.next_cursor.filter(|next| !next.is_empty()).ok_or_else(|| {
                Failure::Local("FlexPortal has more customers, and no cursor for them".to_owned())
            })?;
            if idle > MOST_IDLE || !cursors.insert(next.clone()) {
                let what = list.name();
                return Err(Cut::Failed(Failure::Local(format!(
                    "FlexPortal's list of {what} customers has no end: the same comes again and \
                     again"
                ))));
            }
            cursor = Some(next);
        }
    }

    /// One page, however often it has to be asked for.
    fn page(&mut self, call: &Call, out: &mut Out<'_>) -> Result<Page, Cut> {
        let (mut failures, mut waits) = (0, 0);
        loop {
            self.stop.wait(self.turn.left(self.clock))?;
            match self.attempt(call) {
                Ok(page) => return Ok(page),
                Err(Miss::Wait(wait, why)) => {
                    self.turn.put_off(self.clock, wait);
                    waits += 1;
                    if waits > MOST_WAITS {
                        return Err(Cut::Failed(Failure::Elsewhere(why)));
                    }
                    out.note(format_args!("{why}; waiting {} s.", wait.as_secs_f64()));
                }
                Err(Miss::Again(why)) => {
                    failures += 1;
                    if failures > MOST_FAILURES {
                        return Err(Cut::Failed(Failure::Elsewhere(why)));
                    }
                    self.stop.wait(pace::backoff(failures, FIRST_BACKOFF, LONGEST_BACKOFF))?;
                }
                Err(Miss::Never(why)) => return Err(Cut::Failed(Failure::Local(why))),
            }
        }
    }

    fn attempt(&mut self, call: &Call) -> Result<Page, Miss> {
        let answer = self
            .client
            .ask(call)
            .map_err(|why| Miss::Again(format!("FlexPortal cannot be reached: {why}")))?;
        let now = self.clock.now();
        let headers = answer.headers();
        if answer.status().is_success()
            && let Some(wait) = pace::until_reset(headers, now)
        {
            self.turn.put_off(self.clock, wait);
        }
        let status = answer.status().as_u16();
        match status {
            200 => Page::of(answer.body()).map_err(|why| {
                Miss::Again(format!("FlexPortal answered what is no list of customers: {why}"))
            }),
            429 | 503 => Err(self.turned_down(status, headers)),
            500.. => Err(Miss::Again(format!("FlexPortal answered {}", told(&answer)))),
            300..=399 => Err(Miss::Never(format!(
                "FlexPortal answered {status}: it points elsewhere, where its key is not sent"
            ))),
            401 | 403 => Err(Miss::Never(format!(
                "FlexPortal does not accept the key for this tenant: it answered {}",
                told(&answer)
            ))),
            _ => Err(Miss::Never(format!("FlexPortal answered {}", told(&answer)))),
        }
    }

    fn turned_down(&self, status: u16, headers: &HeaderMap) -> Miss {
        let now = self.clock.now();
        let asked = pace::retry_after(headers, now);
        let asked = asked.or_else(|| pace::reset_alone(headers, now).filter(|_| status == 429));
        let why = format!("FlexPortal answered {status}");
        asked.map_or_else(
            || Miss::Again(why.clone()),
            |wait| Miss::Wait(wait, format!("{why} and asks to be left alone for a while")),
        )
    }
}

/// One of the two lists.
#[derive(Clone, Copy, Debug)]
enum List {
    Others,
    Inactive,
}

impl List {
    const fn status(self) -> Option<&'static str> {
        match self {
            Self::Others => None,
            Self::Inactive => Some(INACTIVE),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Others => "other",
            Self::Inactive => INACTIVE,
        }
    }

    /// Keeps what is said of a customer in this list. One who is not inactive among those who are
    /// shows that FlexPortal did not understand what was asked for: then nothing of it counts.
    fn take(self, customer: Listed, said: &mut Said) -> Result<(), String> {
        let Listed { customer_id, status } = customer;
        let is_inactive = status == INACTIVE;
        match self {
            // The other list will have it, if it is so.
            Self::Others if is_inactive => return Ok(()),
            Self::Inactive if !is_inactive => {
                return Err(format!(
                    "FlexPortal lists {} as inactive, with the status {}",
                    quoted(&customer_id),
                    quoted(&status)
                ));
            }
            Self::Others | Self::Inactive => {}
        }
        match CustomerId::parse(&customer_id) {
            Ok(id) => {
                said.customers.insert(id, is_inactive);
            }
            Err(error) => said.unusable.push(format!("{}: {error}", quoted(&customer_id))),
        }
        Ok(())
    }
}

/// Why there is no page.
#[derive(Debug)]
enum Miss {
    /// It may be there next time.
    Again(String),
    /// It will not be.
    Never(String),
    /// FlexPortal asks to be left alone for so long.
    Wait(Duration, String),
}

/// One page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    customers: Vec<Listed>,
    has_more: bool,
    next_cursor: Option<String>,
}

/// As much of a customer as is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(alias = "id")]
    customer_id: String,
    status: String,
}

impl Page {
    /// Reads one. What is told of text that is none is where, and never what it holds.
    fn of(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| {
            format!("line {} column {} is not like {SHAPE}", error.line(), error.column())
        })
    }
}

/// Status and code of an answer; nothing else of it is shown.
fn told(answer: &Response<String>) -> String {
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_str(answer.body()).unwrap_or_default();
    let code = body.pointer("/error/code").and_then(Value::as_str).unwrap_or_default();
    let is_code = !code.is_empty() && code.len() <= 64;
    if is_code && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
        format!("{status} {code}")
    } else {
        status.to_string()
    }
}

/// Text of another system, as one line of a bounded length.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(MOST_QUOTED).collect::<String>())
}

const SHAPE: &str = "{\"customers\": [{\"customerId\", \"status\"}], \"hasMore\", \
                     \"nextCursor\"}";
/// So often is a page asked for again before the round is given up.
const MOST_FAILURES: u32 = 3;
/// So often is it waited for as FlexPortal asks.
const MOST_WAITS: u32 = 10;
/// A page may come short; so many in a row with nobody new on them lead nowhere.
const MOST_IDLE: u32 = 20;
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
const MOST_QUOTED: usize = 140;

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, status: &str) -> Listed {
        Listed { customer_id: id.to_owned(), status: status.to_owned() }
    }

    #[test]
    fn who_is_in_both_lists_is_inactive_and_who_cannot_be_a_customer_is_named() {
        let mut said = Said::default();
        for (list, id, status) in [
            (List::Others, "moved", "active"),
            (List::Others, "early", "inactive"),
            (List::Others, "a/b", "active"),
            (List::Inactive, "moved", "inactive"),
        ] {
            list.take(listed(id, status), &mut said).unwrap();
        }
        let customers: Vec<_> = said.customers.iter().map(|(id, is)| (id.as_str(), *is)).collect();
        assert_eq!(customers, [("moved", true)]);
        assert!(said.unusable[0].starts_with("\"a/b\": "), "{:?}", said.unusable);
    }

    #[test]
    fn a_list_of_inactive_customers_with_others_in_it_is_not_believed() {
        let refused = List::Inactive.take(listed("c1", "active"), &mut Said::default());
        assert!(refused.unwrap_err().contains("\"c1\" as inactive"));
    }

    #[test]
    fn a_page_without_its_fields_is_none() {
        let sound = r#"{"customers":[{"customerId":"c1","status":"active","name":"n"}],"count":1,
                        "limit":100,"hasMore":false,"nextCursor":null}"#;
        assert_eq!(Page::of(sound).unwrap().customers[0].customer_id, "c1");
        for wrong in [
            "",
            "[]",
            r#"{"customers":[]}"#,
            r#"{"customers":{},"hasMore":false}"#,
            r#"{"customers":[{"customerId":"secret"}],"hasMore":false}"#,
        ] {
            assert!(!Page::of(wrong).unwrap_err().contains("secret"), "{wrong}");
        }
    }
}
