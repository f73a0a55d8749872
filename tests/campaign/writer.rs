//! Acts on customers through any instance, and repeats what is not answered.

use std::{thread, time::Duration};

use serde_json::Value;
use tollgate::domain::{Restriction, Token};

use super::{
    act::{Act, Author},
    fleet::{Place, Seat},
    ledger::{Acknowledged, Ledger, Outcome},
    now,
    support::tollgate::{ADMIN_TOKEN, Answer, Client},
};

/// Asks for acts.
pub(crate) struct Writer<'a> {
    /// Whom it asks.
    pub(crate) seats: &'a [Seat],
    /// Where it writes down what came of it.
    pub(crate) ledger: &'a Ledger,
    client: Client,
}

impl<'a> Writer<'a> {
    /// One that writes into `ledger`.
    pub(crate) fn new(seats: &'a [Seat], ledger: &'a Ledger) -> Self {
        Self { seats, ledger, client: Client::new(PATIENCE) }
    }

    /// Performs what `author` thinks of: at least `count` acts, and on while `go_on`.
    pub(crate) fn write(&self, author: &mut Author, count: usize, go_on: impl Fn() -> bool) {
        let mut written = 0;
        while written < count || go_on() {
            let act = author.think();
            let first = author.below(self.seats.len());
            self.perform(act, first);
            written += 1;
        }
    }

    /// Asks for `act` until it is answered, of one instance after the other.
    pub(crate) fn perform(&self, act: Act, first: usize) {
        let request = act.request(now());
        self.ledger.begin(&act);
        let mut unanswered = false;
        for attempt in 0..ATTEMPTS {
            let seat = (first + attempt) % self.seats.len();
            let place = self.seats[seat].place();
            let answer = place.map(|place| self.ask(place, &act, &request));
            match answer.as_ref().map(|answer| outcome(answer, seat)) {
                Some(Some(Outcome::Refused(_))) if unanswered => break,
                Some(Some(outcome)) => return self.ledger.end(act, outcome),
                // It was sent, and nobody knows how far it came.
                Some(None) => unanswered = true,
                None => {}
            }
            thread::sleep(PAUSE);
        }
        let nobody = || Outcome::Refused("nobody was there to be asked".to_owned());
        self.ledger.end(act, if unanswered { Outcome::Unanswered } else { nobody() });
    }

    fn ask(&self, place: Place, act: &Act, request: &(&str, String, String)) -> Answer {
        let (method, path, body) = request;
        let headers = [
            ("authorization", format!("Bearer {ADMIN_TOKEN}")),
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", act.serial.clone()),
            ("x-request-id", act.serial.clone()),
        ];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.client.ask(place.operator, method, path, &headers, Some(body))
    }
}

/// What an answer of the instance on `seat` says of its act; nothing when it does not tell whether it was done.
fn outcome(answer: &Answer, seat: usize) -> Option<Outcome> {
    match answer.status {
        200 | 201 => {
            let answered = answer.json();
            // A `PUT` answers with the customer inside.
            let customer = answered.get("customer").unwrap_or(&answered);
            let token: Token = customer["revision"].as_str().unwrap().parse().unwrap();
            let changed = answered["changed"].as_bool().unwrap();
            let restrictions =
                [restrictions(customer, "restrictions"), restrictions(customer, "scheduled")]
                    .concat();
            Some(Outcome::Acknowledged(Acknowledged { changed, token, restrictions, seat }))
        }
        0 => None,
        503 if answer.code() == "STORE_UNREACHABLE" => None,
        503 if answer.code() == "STORE_LOST" => Some(Outcome::Refused(answer.code())),
        409 if answer.code() == "CONFLICT" => Some(Outcome::Refused(answer.code())),
        404 => Some(Outcome::Refused(answer.code())),
        _ => panic!("an act was answered with {answer:?}"),
    }
}

fn restrictions(customer: &Value, field: &str) -> Vec<Restriction> {
    serde_json::from_value(customer[field].clone()).unwrap()
}

const ATTEMPTS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(25);
