//! Asks an instance all the time, and knows which answers cannot be right.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use fastrand::Rng;
use serde_json::{Value, json};
use tollgate::domain::Token;

use super::{
    act,
    fleet::{Place, Seat},
    ledger::{Acknowledged, Ledger, Standing},
    now,
    support::tollgate::Client,
};

/// What the traffic came to.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Questions answered.
    pub(crate) answered: AtomicU64,
    /// Answers that were wrong, and why.
    pub(crate) wrong: Mutex<Vec<String>>,
}

/// Who must refuse whoever is restricted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Audience {
    /// Every instance that has heard of it.
    WhoHeard,
    /// The instance that acknowledged it.
    WhoSaidSo,
}

/// What an answer must not be.
enum Never {
    /// Let in: whoever is restricted, and whom nobody is lifting.
    Allowed,
    /// Refused, or left undecided by an instance that has a picture: whom nobody restricts.
    Refused,
}

struct Question {
    customer: String,
    token: Option<Token>,
    never: Never,
    /// How the customer stood before.
    standing: Option<Standing>,
}

impl Traffic {
    /// Asks the instance on one of the seats while `go_on`.
    pub(crate) fn ask(
        &self,
        (seats, seat_number, audience): (&[Seat], usize, Audience),
        ledger: &Ledger,
        mut rng: Rng,
        go_on: impl Fn() -> bool,
    ) {
        let client = Client::new(PATIENCE);
        let seat = &seats[seat_number];
        let is_asked = |told: &Acknowledged| match audience {
            Audience::WhoHeard => true,
            Audience::WhoSaidSo => told.seat == seat_number,
        };
        while go_on() {
            if let Some(place) = seat.place() {
                let status = client.ask(place.admin, "GET", "/status", &[], None);
                if status.status == 200 {
                    let status = status.json();
                    for question in questions(&status, ledger, &mut rng, is_asked) {
                        self.judge(&client, seat, place, ledger, &question);
                    }
                }
            }
            thread::sleep(PAUSE);
        }
    }

    fn judge(
        &self,
        client: &Client,
        seat: &Seat,
        place: Place,
        ledger: &Ledger,
        question: &Question,
    ) {
        let Question { customer, token, never, standing } = question;
        let mut asked = json!({"customerId": customer, "action": "write"});
        if let Some(token) = token {
            asked["minRevision"] = json!(token);
        }
        let answer = client.ask(place.check, "POST", "/v1/check", JSON, Some(&asked.to_string()));
        let is_still_so =
            standing.as_ref().is_none_or(|before| before.holds_until(&ledger.standing(customer)));
        // Another process may have taken the port of one that is gone.
        if answer.status != 200 || !is_still_so || seat.place() != Some(place) {
            return;
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        let answer = answer.json();
        let is_wrong = match never {
            Never::Allowed => answer["decision"] == "allow",
            Never::Refused => answer["decision"] != "allow",
        };
        if is_wrong {
            let acts = ledger.entries().into_iter().filter(|entry| entry.act.customer == *customer);
            let acts: Vec<_> = acts.collect();
            self.wrong.lock().unwrap().push(format!(
                "{asked} was answered with {answer} by {place:?} after {standing:?} of {acts:#?}"
            ));
        }
    }
}

fn questions(
    status: &Value,
    ledger: &Ledger,
    rng: &mut Rng,
    is_asked: impl Fn(&Acknowledged) -> bool,
) -> Vec<Question> {
    let mut questions = vec![Question {
        customer: act::never_in(rng),
        token: None,
        never: Never::Allowed,
        standing: None,
    }];
    if status["ready"] == true {
        questions.push(Question {
            customer: act::never_out(rng),
            token: None,
            never: Never::Refused,
            standing: None,
        });
    }
    for _ in 0..OTHERS {
        let customer = act::other(rng);
        let standing = ledger.standing(&customer);
        let Some(told) = standing.refused_from(now()).filter(|told| is_asked(told)) else {
            continue;
        };
        let token = told.token.clone();
        // Either the instance has heard it, or the question itself says from when on it counts.
        let token = Some(token).filter(|token| rng.bool() || !has_heard(status, token));
        questions.push(Question {
            customer,
            token,
            never: Never::Allowed,
            standing: Some(standing),
        });
    }
    questions
}

fn has_heard(status: &Value, token: &Token) -> bool {
    let reached = &status["feed"]["partitions"][usize::from(token.partition.0)];
    reached["epoch"] == token.epoch.as_str()
        && reached["revision"].as_u64().is_some_and(|revision| revision >= token.revision.0)
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const OTHERS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(3);
