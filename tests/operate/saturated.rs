//! The probes and the metrics have a thread of their own: they are answered while everything else
//! waits.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    raw::Raw,
    support::{operators::put, tollgate::Tollgate},
};

#[test]
fn a_saturated_data_plane_still_answers_probes_and_metrics_within_100_ms() {
    let tollgate = Tollgate::start(&["--store", "memory:", "--workers", "1"]);
    for customer in 0..100 {
        put(&tollgate, &format!("c{customer}"), &json!({"plan": "pro"}));
    }
    let (is_over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let busy_seconds = || tollgate.metric("tollgate_runtime_busy_seconds_total");
    let found = thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| call(tollgate.check, &is_over, &answered));
        }
        let found = probe(&tollgate, busy_seconds);
        is_over.store(true, Ordering::SeqCst);
        found
    });
    let Found { live, metrics, check, busy, took } = found;
    let share = Duration::from_secs(busy).div_duration_f64(took);
    crate::measured(&format!(
        "/livez {:.1?} (most {:.1?}), /metrics {:.1?} (most {:.1?}), a check {:.1?} (median of {}); \
         its one worker busy {:.0} % of {took:.1?}, {} answers",
        median(&live),
        most(&live),
        median(&metrics),
        most(&metrics),
        median(&check),
        live.len(),
        share * 100.0,
        answered.load(Ordering::SeqCst),
    ));
    // The counter is of whole seconds, so one of them may be missing at either end.
    assert!(busy >= ROUND_SECONDS - 1, "the worker was busy for {busy} s of {took:?}");
    assert!(median(&check) > 4 * median(&metrics), "the data plane did not wait");
    for (what, times) in [("/livez", &live), ("/metrics", &metrics)] {
        assert!(median(times) < SOON, "{what} took {:?}", median(times));
        // This machine's other work may hold up any one of them.
        let late = times.iter().filter(|took| **took >= SOON).count();
        assert!(late * 20 <= times.len(), "{late} of {} {what} took longer", times.len());
    }
}

/// How long answers took while the data plane was saturated.
struct Found {
    live: Vec<Duration>,
    metrics: Vec<Duration>,
    check: Vec<Duration>,
    /// How long its workers were busy meanwhile, in whole seconds.
    busy: u64,
    took: Duration,
}

fn probe(tollgate: &Tollgate, busy_seconds: impl Fn() -> u64) -> Found {
    let (mut live, mut metrics, mut check) = (Vec::new(), Vec::new(), Vec::new());
    let mut asking = Raw::connect(tollgate.check);
    tollgate.wait_until("busy", || tollgate.metric("tollgate_runtime_busy_seconds_total") > 0);
    let (begun, before) = (Instant::now(), busy_seconds());
    while begun.elapsed() < Duration::from_secs(ROUND_SECONDS) {
        live.push(timed(|| assert_eq!(tollgate.admin("/livez").status, 200)));
        metrics.push(timed(|| assert_eq!(tollgate.admin("/metrics").status, 200)));
        check.push(timed(|| assert_eq!(asking.request(CHECK, C1).answer().status, 200)));
    }
    Found { live, metrics, check, busy: busy_seconds() - before, took: begun.elapsed() }
}

/// Asks a hundred questions at once, and the next hundred before they are answered.
fn call(address: SocketAddr, is_over: &AtomicBool, answered: &AtomicU64) {
    let _ = rustix::process::nice(10);
    let checks: Vec<_> = (0..100).map(|it| json!({"customerId": format!("c{it}")})).collect();
    let body = json!({ "checks": checks }).to_string();
    let length = body.len().to_string();
    let headers = [("Content-Type", "application/json"), ("Content-Length", length.as_str())];
    let mut connection = Raw::connect(address);
    let ask = |connection: &mut Raw| {
        connection.request("POST /v1/checks HTTP/1.1", &headers).send(&body);
    };
    ask(&mut connection);
    while !is_over.load(Ordering::SeqCst) {
        ask(&mut connection);
        assert_eq!(connection.answer().status, 200);
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

fn timed(ask: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    ask();
    begun.elapsed()
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn most(times: &[Duration]) -> Duration {
    times.iter().copied().max().unwrap()
}

const CALLERS: usize = 48;
const CHECK: &str = "GET /v1/nginx HTTP/1.1";
const C1: &[(&str, &str)] = &[("X-Customer-Id", "c1")];
const ROUND_SECONDS: u64 = 4;
const SOON: Duration = Duration::from_millis(100);
