//! Redis is away for long, and there are many more customers than the cache holds.
//!
//! What then decides is the complete set of restricted customers: whoever is in it is refused,
//! and whoever is not may go on, also those whose records cannot be had.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]
#![expect(clippy::print_stdout, reason = "what was measured is printed")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::json;

use support::{
    Flavor, Persistence, RedisServer, crowd,
    tollgate::{Client, Tollgate},
};

#[test]
fn short_form() {
    let max_staleness = Duration::from_secs(2);
    let lasts = Duration::from_secs(6);
    Outage { customers: 20_000, cached: 1000, lasts, max_staleness }.run();
}

#[test]
#[ignore = "takes two minutes; `tests/run --campaign`"]
fn long_form() {
    let max_staleness = Duration::from_secs(30);
    let lasts = Duration::from_mins(1);
    Outage { customers: 200_000, cached: 10_000, lasts, max_staleness }.run();
}

#[derive(Clone, Copy)]
struct Outage {
    customers: u32,
    cached: u32,
    lasts: Duration,
    max_staleness: Duration,
}

/// What one asker came to.
#[derive(Debug, Default)]
struct Asked {
    answers: u64,
    stale: u64,
    unlisted: u64,
    slowest: Duration,
    wrong: Vec<String>,
}

impl Outage {
    fn run(self) {
        let mut redis = RedisServer::start(Flavor::Redis, Persistence::None);
        crowd::settle(&redis.settings(), self.customers);
        let (store, cached) = (redis.url(), self.cached.to_string());
        let max_staleness = format!("{}s", self.max_staleness.as_secs());
        let tollgate = Tollgate::start(&[
            "--store",
            &store,
            "--max-staleness",
            &max_staleness,
            "--cache-capacity",
            &cached,
            "--unknown-customers",
            "deny",
        ]);
        // The instance counts them too, and compares.
        is_whole(&tollgate);
        let restricted = &tollgate.status()["cache"]["restricted"];
        assert_eq!(restricted, self.customers * 3 / 10);
        self.warm_up(&tollgate);

        // So that it comes back with what it had.
        let client = redis::Client::open(redis.tcp_url()).unwrap();
        redis::cmd("SAVE").exec(&mut client.get_connection().unwrap()).unwrap();
        redis.kill9();
        let slow_before = slow_answers(&tollgate);
        let (begun, away) = (Instant::now(), AtomicBool::new(true));
        let asked: Vec<Asked> = thread::scope(|scope| {
            let _stop = Stop(&away);
            let askers: Vec<_> = (0..ASKERS)
                .map(|seed| {
                    let (tollgate, away) = (&tollgate, &away);
                    scope.spawn(move || self.ask(tollgate, Rng::with_seed(seed), begun, away))
                })
                .collect();
            self.watch(&tollgate, begun);
            away.store(false, Ordering::Relaxed);
            askers.into_iter().map(|asker| asker.join().unwrap()).collect()
        });
        self.report(&asked);
        // As the instance measured it: what its clients saw is also how busy this machine is.
        let slow = slow_answers(&tollgate) - slow_before;
        assert!(slow.abs() < 0.5, "{slow} answers took longer than 100 ms");
        redis.restart();
        tollgate.wait_until("confirmed", || tollgate.status()["staleness"]["stale"] == false);
        is_whole(&tollgate);
    }

    /// Fills the cache with customers who are not restricted.
    fn warm_up(&self, tollgate: &Tollgate) {
        let client = Client::new(PATIENCE);
        let free: Vec<_> = (0..self.customers).filter(|it| crowd::refusal(*it).is_none()).collect();
        for numbers in free[..self.cached as usize].chunks(50) {
            let checks: Vec<_> =
                numbers.iter().map(|it| json!({"customerId": crowd::id(*it)})).collect();
            let body = json!({"checks": checks}).to_string();
            let answer = client.ask(tollgate.check, "POST", "/v1/checks", JSON, Some(&body));
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let held = &tollgate.status()["cache"]["recent"];
        assert!(held.as_u64() > Some(u64::from(self.cached) / 2), "{held}");
    }

    /// Asks about customers at random while Redis is away.
    fn ask(&self, tollgate: &Tollgate, mut rng: Rng, begun: Instant, away: &AtomicBool) -> Asked {
        let client = Client::new(PATIENCE);
        let mut asked = Asked::default();
        while away.load(Ordering::Relaxed) {
            // One in a hundred is nobody's id.
            let number = rng.u32(..self.customers + self.customers / 100);
            let refusal = crowd::refusal(number).filter(|_| number < self.customers);
            let customer = crowd::id(number);
            let sent = Instant::now();
            let at_least = sent.duration_since(begun).as_millis();
            let answer = if rng.bool() {
                let question = json!({"customerId": customer, "action": "write"}).to_string();
                client.ask(tollgate.check, "POST", "/v1/check", JSON, Some(&question))
            } else {
                let headers = [
                    ("x-customer-id", customer.as_str()),
                    ("x-forwarded-method", "POST"),
                    ("x-forwarded-uri", "/"),
                ];
                client.ask(tollgate.check, "GET", "/v1/forward-auth", &headers, None)
            };
            asked.slowest = asked.slowest.max(sent.elapsed());
            asked.answers += 1;
            let header = |name: &str| answer.header(name).unwrap_or_default();
            let (reason, decision) = (header("x-tollgate-reason"), header("x-tollgate-decision"));
            let age: Option<u128> = header("x-tollgate-age-ms").parse().ok();
            let stale = header("x-tollgate-stale");
            let decided = match refusal {
                Some(refusal) => decision == "deny" && reason == refusal,
                None => decision == "allow" && matches!(reason, "active" | "not_restricted"),
            };
            // Nothing was confirmed since it went away.
            let is_aged = age.is_some_and(|age| {
                let most = self.max_staleness.as_millis();
                // Shown in whole milliseconds, so at the limit it may be either.
                age >= at_least && if stale == "true" { age >= most } else { age <= most }
            });
            asked.stale += u64::from(stale == "true");
            asked.unlisted += u64::from(reason == "not_restricted");
            if !decided || !is_aged {
                asked.wrong.push(format!("{customer} after {at_least} ms: {answer:?}"));
            }
        }
        asked
    }

    /// Watches the instance from outside until the outage has lasted long enough.
    fn watch(&self, tollgate: &Tollgate, begun: Instant) {
        let mut last = 0.0;
        while begun.elapsed() < self.lasts {
            let away = begun.elapsed().as_secs_f64();
            assert_eq!(tollgate.admin("/readyz").status, 200);
            let staleness = tollgate.sum_of("tollgate_feed_staleness_seconds", "");
            assert!(staleness >= away && staleness > last, "{staleness} s after {away} s, {last}");
            last = staleness;
            thread::sleep(Duration::from_millis(500));
        }
    }

    fn report(&self, asked: &[Asked]) {
        let total = |of: fn(&Asked) -> u64| asked.iter().map(of).sum::<u64>();
        let wrong: Vec<_> = asked.iter().flat_map(|asked| &asked.wrong).collect();
        let slowest = asked.iter().map(|asked| asked.slowest).max().unwrap();
        println!(
            "{} customers, Redis away for {:?}: {} answers ({} stale, {} of customers not in \
             memory), {} wrong; the slowest took {slowest:?} as its client saw it",
            self.customers,
            self.lasts,
            total(|it| it.answers),
            total(|it| it.stale),
            total(|it| it.unlisted),
            wrong.len(),
        );
        assert!(wrong.is_empty(), "{:#?}", &wrong[..wrong.len().min(10)]);
        assert!(total(|it| it.stale) > 0 && total(|it| it.unlisted) > 0);
    }
}

/// How many answers took an instance longer than 100 ms.
fn slow_answers(tollgate: &Tollgate) -> f64 {
    let all = tollgate.sum_of("tollgate_check_duration_seconds_count", "");
    all - tollgate.sum_of("tollgate_check_duration_seconds_bucket", "le=\"0.1\"")
}

/// Waits until it follows the store, and agrees with it on how many are restricted, and who.
fn is_whole(tollgate: &Tollgate) {
    tollgate.wait_until("whole", || {
        let status = tollgate.status();
        status["feed"]["phase"] == "following"
            && status["feed"]["suspect"] == false
            && status["staleness"]["stale"] == false
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

const ASKERS: u64 = 2;
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const PATIENCE: Duration = Duration::from_secs(10);
