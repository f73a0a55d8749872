//! Changes at a steady rate through one instance, and how long it takes until another one decides
//! by them.
//!
//! Changes are sent when they are due, over several connections, whether or not earlier ones were
//! answered. A bare subscriber of the same Redis hears when one is committed. Then the other instance
//! is asked about its customer, on one connection, until the answer is another one; then about the
//! customer of the next change that is heard. So it is asked about once or twice for each change,
//! which keeps it from nothing, and an effect is seen one check too late rather than too early.

use std::{
    net::SocketAddr,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    raw::Raw,
    support::{
        RedisServer,
        tollgate::{ADMIN_TOKEN, Client, Tollgate},
    },
    times::Times,
};

/// How fast, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) changes_a_second: u32,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Effects {
    /// From when a change was sent until its operator had the answer.
    pub(crate) answered: Times,
    /// From when a change was sent until the other instance decided by it.
    pub(crate) from_sent: Times,
    /// From when a change was committed until the other instance decided by it.
    pub(crate) from_committed: Times,
    /// Changes a second that were answered.
    pub(crate) rate: f64,
}

/// Changes customers through `changed` and asks `asked` about them. Once warm, it runs `meanwhile`,
/// which takes as long as is measured.
pub(crate) fn measure<T>(
    redis: &RedisServer,
    changed: &Tollgate,
    asked: &Tollgate,
    pace: Pace,
    meanwhile: impl FnOnce() -> T,
) -> (Effects, T) {
    let customers = Customers::settle(changed, pace);
    let watch = Watch::default();
    let (stop, all_sent) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut pushes = redis::Client::open(redis.tcp_url()).unwrap().get_connection().unwrap();
    let mut pushes = pushes.as_pubsub();
    pushes.subscribe(CHANNEL).unwrap();
    pushes.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let begun = Instant::now();
    let warm = begun + pace.warm_up;
    thread::scope(|scope| {
        let listener = scope.spawn(|| {
            let mut heard = vec![Vec::new(); customers.count];
            loop {
                match pushes.get_message() {
                    Ok(push) => {
                        let at = Instant::now();
                        let push: String = push.get_payload().unwrap();
                        if let Some(customer) = customers.of(&push) {
                            watch.offer(customer, heard[customer].len());
                            heard[customer].push(at);
                        }
                    }
                    Err(error) if error.is_timeout() && all_sent.load(Ordering::SeqCst) => {
                        break heard;
                    }
                    Err(error) => assert!(error.is_timeout(), "{error}"),
                }
            }
        });
        let observer = scope.spawn(|| observe(asked.check, &customers, &watch));
        let senders = senders(pace);
        let senders: Vec<_> = (0..senders)
            .map(|place| {
                let (customers, stop) = (&customers, &stop);
                let turn = Turn { place, of: senders, begun, pace };
                scope.spawn(move || send(changed.operator, customers, turn, stop))
            })
            .collect();
        thread::sleep(warm.saturating_duration_since(Instant::now()));
        let (from, result) = (Instant::now(), meanwhile());
        let to = Instant::now();
        stop.store(true, Ordering::SeqCst);
        let mut sent: Vec<Vec<Sent>> = vec![Vec::new(); customers.count];
        for sender in senders {
            for (customer, times) in sender.join().unwrap() {
                sent[customer].push(times);
            }
        }
        all_sent.store(true, Ordering::SeqCst);
        let heard = listener.join().unwrap();
        watch.end();
        let seen = observer.join().unwrap();
        for (customer, sent) in sent.iter().enumerate() {
            assert_eq!(heard[customer].len(), sent.len(), "a push was lost");
        }
        let within = |sent: &Sent| sent.at >= from && sent.answered <= to;
        let all = || sent.iter().flatten().filter(|sent| within(sent));
        let seen: Vec<_> = seen
            .iter()
            .map(|seen| {
                let Seen { customer, nth, at } = *seen;
                (sent[customer][nth], heard[customer][nth], at)
            })
            .filter(|(sent, ..)| within(sent))
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let rate = all().count() as f64 / to.duration_since(from).as_secs_f64();
        let effects = Effects {
            answered: all().map(|sent| sent.answered - sent.at).collect(),
            from_sent: seen.iter().map(|(sent, _, at)| *at - sent.at).collect(),
            from_committed: seen
                .iter()
                // It may have been in effect before anybody was told that it is committed.
                .map(|(sent, heard, at)| at.saturating_duration_since(*heard.min(&sent.answered)))
                .collect(),
            rate,
        };
        (effects, result)
    })
}

/// One change as its sender saw it.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    answered: Instant,
}

/// One change as it took effect: which one of its customer's.
#[derive(Clone, Copy, Debug)]
struct Seen {
    customer: usize,
    nth: usize,
    at: Instant,
}

/// Whom it is about, in turn.
#[derive(Debug)]
struct Customers {
    prefix: String,
    count: usize,
}

impl Customers {
    /// Makes so many that the same one is not changed again for half a second.
    fn settle(tollgate: &Tollgate, pace: Pace) -> Self {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("effect-{}-", RUNS.fetch_add(1, Ordering::SeqCst));
        let customers = Self { prefix, count: (pace.changes_a_second as usize / 2).max(64) };
        let client = Client::new(Duration::from_secs(10));
        let token = format!("Bearer {ADMIN_TOKEN}");
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        let body = json!({"plan": "pro"}).to_string();
        for customer in 0..customers.count {
            let path = format!("/v1/customers/{}", customers.id(customer));
            let answer = client.ask(tollgate.operator, "PUT", &path, &headers, Some(&body));
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        customers
    }

    fn id(&self, customer: usize) -> String {
        format!("{}{customer}", self.prefix)
    }

    /// Whom a push is about, if it is about one of them.
    fn of(&self, push: &str) -> Option<usize> {
        let (_, rest) = push.split_once(&self.prefix)?;
        rest.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
    }
}

fn senders(pace: Pace) -> usize {
    (pace.changes_a_second as usize / 60).clamp(1, 32)
}

/// When one of several senders sends.
#[derive(Clone, Copy, Debug)]
struct Turn {
    place: usize,
    of: usize,
    begun: Instant,
    pace: Pace,
}

impl Turn {
    fn due(self, round: usize) -> Instant {
        let nth = u32::try_from(round * self.of + self.place).unwrap();
        self.begun + Duration::from_secs(1) * nth / self.pace.changes_a_second
    }
}

/// Freezes and unfreezes this sender's customers in turn until it is told to stop. Returns whom,
/// and when.
fn send(
    operator: SocketAddr,
    customers: &Customers,
    turn: Turn,
    stop: &AtomicBool,
) -> Vec<(usize, Sent)> {
    let mine: Vec<usize> = (turn.place..customers.count).step_by(turn.of).collect();
    let mut connection = Raw::connect(operator);
    let mut sent = Vec::new();
    for round in 0.. {
        thread::sleep(turn.due(round).saturating_duration_since(Instant::now()));
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let (customer, nth) = (mine[round % mine.len()], round / mine.len());
        let verb = if is_frozen_by(nth) { "freeze" } else { "unfreeze" };
        let request = format!(
            "POST /v1/customers/{}/{verb} HTTP/1.1\r\nHost: tollgate\r\n\
             Authorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: 0\r\n\r\n",
            customers.id(customer)
        );
        let at = Instant::now();
        let answer = connection.send(request).answer();
        let answered = Instant::now();
        assert_eq!(answer.status, 200, "{answer:?}");
        sent.push((customer, Sent { at, answered }));
    }
    sent
}

/// Whether a customer's `nth` change freezes it.
const fn is_frozen_by(nth: usize) -> bool {
    nth.is_multiple_of(2)
}

/// Asks about one change after the other until there are no more. Returns when each took effect.
fn observe(check: SocketAddr, customers: &Customers, watch: &Watch) -> Vec<Seen> {
    let mut connection = Raw::connect(check);
    let mut seen = Vec::new();
    while let Some((customer, nth)) = watch.next() {
        let question = format!(
            "GET /v1/forward-auth HTTP/1.1\r\nHost: tollgate\r\nX-Customer-Id: {}\r\n\
             X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /\r\n\r\n",
            customers.id(customer)
        );
        let expected = if is_frozen_by(nth) { FROZEN } else { ALLOWED };
        let begun = Instant::now();
        while connection.send(&question).answer().status != expected {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never takes effect");
        }
        seen.push(Seen { customer, nth, at: Instant::now() });
    }
    seen
}

/// What the observer looks out for.
#[derive(Debug, Default)]
struct Watch {
    next: Mutex<Next>,
    offered: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
enum Next {
    /// It takes the next change that is heard.
    #[default]
    Any,
    /// This change of a customer.
    Change(usize, usize),
    /// It is busy.
    Busy,
    /// There will be none.
    End,
}

impl Watch {
    /// Offers a change that was heard.
    fn offer(&self, customer: usize, nth: usize) {
        let mut next = self.next.lock().unwrap();
        if matches!(*next, Next::Any) {
            *next = Next::Change(customer, nth);
            self.offered.notify_one();
        }
    }

    fn end(&self) {
        *self.next.lock().unwrap() = Next::End;
        self.offered.notify_one();
    }

    /// The next change to look out for; nothing at the end.
    fn next(&self) -> Option<(usize, usize)> {
        let mut next = self.next.lock().unwrap();
        if matches!(*next, Next::Busy) {
            *next = Next::Any;
        }
        loop {
            match *next {
                Next::Change(customer, nth) => {
                    *next = Next::Busy;
                    return Some((customer, nth));
                }
                Next::End => return None,
                Next::Any | Next::Busy => next = self.offered.wait(next).unwrap(),
            }
        }
    }
}

/// What a write of a frozen customer is answered with.
const FROZEN: u16 = 423;
const ALLOWED: u16 = 200;
/// Where instances hear of changes, in a store of one partition.
pub(crate) const CHANNEL: &str = "tollgate:{0}:changes";
