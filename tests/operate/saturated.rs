//! The probes and the metrics have a thread of their own: they are answered while everything else
//! waits.

use std::{
    fmt,
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
    for customer in 0..CHECKS_AT_ONCE {
        put(&tollgate, &format!("c{customer}"), &json!({"plan": "pro"}));
    }
    let idle = Probed::of(&tollgate);
    let (is_over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let (saturated, checks) = thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| call(tollgate.check, &is_over, &answered));
        }
        let asking = scope.spawn(|| ask_one(tollgate.check, &is_over));
        let before = tollgate.busy_time_of(WORKER);
        let is_full = || tollgate.busy_time_of(WORKER) > before + LOOKED_AT / 8;
        tollgate.wait_until("busy", is_full);
        let saturated = Probed::of(&tollgate);
        is_over.store(true, Ordering::SeqCst);
        (saturated, asking.join().unwrap())
    });
    crate::measured(&format!(
        "{saturated}; idle {idle}; a check meanwhile {:.1?}, {} more answered",
        median(&checks),
        answered.load(Ordering::SeqCst) * CHECKS_AT_ONCE,
    ));
    assert!(saturated.busy > 0.8, "its worker had nothing to do at times");
    for (what, times, idle) in
        [("/livez", &saturated.livez, &idle.livez), ("/metrics", &saturated.metrics, &idle.metrics)]
    {
        // A debug build takes its time for the many lines of metrics, also when it is idle.
        let own = if cfg!(debug_assertions) { median(idle) } else { Duration::ZERO };
        let took = median(times);
        assert!(took < own + SOON, "{what} took {took:?}, and {own:?} when idle");
        assert!(took * 2 < median(&checks), "{what} took {took:?}, hardly less than a check");
    }
}

/// How long the admin listener took to answer, time after time.
#[derive(Debug, Default)]
struct Probed {
    livez: Vec<Duration>,
    metrics: Vec<Duration>,
    /// The part of the time that the one worker of the data plane had something to do.
    busy: f64,
}

impl Probed {
    /// Asks again and again for a while.
    fn of(tollgate: &Tollgate) -> Self {
        let (mut probed, begun) = (Self::default(), Instant::now());
        let before = tollgate.busy_time_of(WORKER);
        while begun.elapsed() < LOOKED_AT {
            probed.livez.push(timed(|| assert_eq!(tollgate.admin("/livez").status, 200)));
            probed.metrics.push(timed(|| assert_eq!(tollgate.admin("/metrics").status, 200)));
        }
        let busy = tollgate.busy_time_of(WORKER).saturating_sub(before);
        Self { busy: busy.div_duration_f64(begun.elapsed()), ..probed }
    }
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (livez, metrics) = (median(&self.livez), median(&self.metrics));
        let [slowest_live, slowest] = [&self.livez, &self.metrics].map(|times| most(times));
        write!(f, "/livez {livez:.1?} (most {slowest_live:.1?}), ")?;
        write!(f, "/metrics {metrics:.1?} (most {slowest:.1?}), ")?;
        write!(f, "worker busy {:.0} %", self.busy * 100.0)
    }
}

/// Keeps several questions of many checks each under way.
fn call(address: SocketAddr, is_over: &AtomicBool, answered: &AtomicU64) {
    // What saturates is the data plane, not the callers.
    let _ = rustix::process::nice(10);
    let check = |customer: u64| json!({"customerId": format!("c{customer}")});
    let body = json!({"checks": (0..CHECKS_AT_ONCE).map(check).collect::<Vec<_>>()}).to_string();
    let length = body.len().to_string();
    let headers = [("Content-Type", "application/json"), ("Content-Length", length.as_str())];
    let mut connection = Raw::connect(address);
    let ask = |connection: &mut Raw| {
        connection.request("POST /v1/checks HTTP/1.1", &headers).send(&body);
    };
    for _ in 0..UNDER_WAY {
        ask(&mut connection);
    }
    while !is_over.load(Ordering::SeqCst) {
        assert_eq!(connection.answer().status, 200);
        answered.fetch_add(1, Ordering::SeqCst);
        ask(&mut connection);
    }
}

/// Asks one check after the other, as a gateway would, and tells how long each took.
fn ask_one(address: SocketAddr, is_over: &AtomicBool) -> Vec<Duration> {
    let mut connection = Raw::connect(address);
    let mut times = Vec::new();
    while times.is_empty() || !is_over.load(Ordering::SeqCst) {
        times.push(timed(|| {
            let headers = [("X-Customer-Id", "c1")];
            let answer = connection.request("GET /v1/nginx HTTP/1.1", &headers).answer();
            assert_eq!(answer.status, 200);
        }));
    }
    times
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
const CHECKS_AT_ONCE: u64 = 10;
const UNDER_WAY: usize = 8;
/// As the runtime calls the threads that answer checks.
const WORKER: &str = "tokio-rt-worker";
const LOOKED_AT: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_millis(100);
