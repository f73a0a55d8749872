//! Two instances behind a real nginx are restarted in turn, and nobody notices.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    Flavor, Persistence, RedisServer,
    application::Application,
    nginx::Nginx,
    operators::{act, put},
    tollgate::{Client, Tollgate},
};

#[test]
fn instances_restarted_in_turn_behind_nginx_fail_no_request() {
    restart_in_turn_under(2_000);
}

#[test]
#[ignore = "the long form"]
fn instances_restarted_in_turn_behind_nginx_fail_none_of_10_000_requests() {
    restart_in_turn_under(10_000);
}

/// Restarts two instances in turn, until so many requests are answered and each was restarted as
/// well as replaced.
fn restart_in_turn_under(requests: usize) {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let store = redis.url();
    let mut pair = [(); 2].map(|()| Tollgate::start(&["--store", &store]));
    put(&pair[0], "c1", &json!({"plan": "pro"}));
    put(&pair[0], "c2", &json!({"plan": "pro"}));
    act(&pair[0], "c2", "freeze", &json!({"reason": "dispute"}));
    for tollgate in &pair {
        tollgate.wait_until("told", || tollgate.reason_to_write("c2") == "customer_frozen");
    }
    let [first, second] = pair.each_ref().map(|tollgate| tollgate.check);
    let from = format!("server {first};");
    let to = format!("server {first} max_fails=0; server {second} max_fails=0;");
    let nginx =
        Nginx::start_changed(first, Application::start().address, &[(from.as_str(), to.as_str())]);

    let load = Load { nginx: nginx.address, ..Load::default() };
    let mut restarts = 0;
    let begun = Instant::now();
    thread::scope(|scope| {
        // Whatever ends this, the callers go home.
        let _end = Ending(&load.is_over);
        for _ in 0..CALLERS {
            scope.spawn(|| load.call());
        }
        while load.answered.load(Ordering::SeqCst) < requests || restarts < 4 {
            assert!(begun.elapsed() < PATIENCE, "{load:?}");
            let tollgate = &mut pair[restarts % 2];
            let before = load.answered.load(Ordering::SeqCst);
            assert_eq!(tollgate.terminate().code(), Some(0), "{:#?}", tollgate.log());
            load.wait_for(before + BETWEEN);
            // As a container is restarted, and as one in another place takes over, with nothing.
            let is_replaced = restarts % 4 >= 2;
            let data_dir = if is_replaced { empty() } else { tollgate.data_dir() };
            let address = tollgate.check.to_string();
            let flags = ["--store", &store, "--check-listen", &address];
            *tollgate = Tollgate::start_in(data_dir, &flags);
            tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
            load.wait_for(before + 2 * BETWEEN);
            restarts += 1;
        }
    });
    let failed = load.failed.lock().unwrap();
    let answered = load.answered.load(Ordering::SeqCst);
    assert!(failed.is_empty(), "{} of {answered} requests failed: {failed:#?}", failed.len());
    for tollgate in &pair {
        let asked = tollgate.sum_of("tollgate_checks_total", "dialect=\"nginx\"");
        assert!(asked > 0.0, "one of them was asked nothing since its last start");
    }
    crate::measured(&format!("0 of {answered} failed, {restarts} restarts"));
}

/// Those who ask, and what they were told.
#[derive(Debug)]
struct Load {
    nginx: SocketAddr,
    is_over: AtomicBool,
    answered: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            nginx: SocketAddr::from(([127, 0, 0, 1], 0)),
            is_over: AtomicBool::default(),
            answered: AtomicUsize::default(),
            failed: Mutex::default(),
        }
    }
}

impl Load {
    /// Asks until it is over, as one who may pass and as one who may not.
    fn call(&self) {
        let client = Client::new(PATIENCE);
        while !self.is_over.load(Ordering::SeqCst) {
            for (method, key, status) in
                [("GET", "change-me-key-of-c1", 200), ("POST", "change-me-key-of-c2", 423)]
            {
                let body = (method == "POST").then_some("a body");
                let answer = client.ask(self.nginx, method, "/things", &[("x-api-key", key)], body);
                self.answered.fetch_add(1, Ordering::SeqCst);
                if answer.status != status {
                    self.failed.lock().unwrap().push(format!("{method}: {answer:?}"));
                }
            }
        }
    }

    /// Waits until so many are answered.
    fn wait_for(&self, answered: usize) {
        let begun = Instant::now();
        while self.answered.load(Ordering::SeqCst) < answered {
            assert!(begun.elapsed() < PATIENCE, "{self:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn empty() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

const CALLERS: usize = 8;
/// How many are answered while an instance is away, and after it is back.
const BETWEEN: usize = 250;
const PATIENCE: Duration = Duration::from_mins(2);
