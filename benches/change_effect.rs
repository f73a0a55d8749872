//! How long a change that is asked of one instance takes until another one decides by it.
//!
//! `cargo bench --bench change_effect` starts a Redis and two instances of Tollgate, freezes and
//! unfreezes a customer 1,000 times through the first, and asks the second until it decides by
//! the change. The clock starts before the change is *sent*, so the operator request, the commit
//! and the check that finds it are all counted.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has failed")]

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{ADMIN_TOKEN, Tollgate},
};

fn main() {
    // `cargo test --benches` only wants to know that it compiles.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &redis.url()];
    let (changed, asked) = (Tollgate::start(&flags), Tollgate::start(&flags));
    changed.operate("PUT", "/v1/customers/c1", Some(&json!({"plan": "pro"})));
    let agent = ureq::Agent::new_with_defaults();
    let (mut to_answer, mut to_effect) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + CHANGES {
        let (verb, decision) =
            if number.is_multiple_of(2) { ("freeze", "deny") } else { ("unfreeze", "allow") };
        let begun = Instant::now();
        act(&agent, &changed, verb);
        let answered = begun.elapsed();
        while decides(&agent, &asked) != decision {}
        if number >= WARM_UP {
            to_answer.push(answered);
            to_effect.push(begun.elapsed());
        }
    }
    println!("| {CHANGES} changes, two instances, one Redis | p50 | p99 | most |");
    println!("|---|---:|---:|---:|");
    row("change sent until its operator has the answer", to_answer);
    row("change sent until the other instance decides by it", to_effect);
}

fn act(agent: &ureq::Agent, tollgate: &Tollgate, verb: &str) {
    let url = format!("http://{}/v1/customers/c1/{verb}", tollgate.operator);
    let request = agent.post(url).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    request.send_empty().unwrap().body_mut().read_to_vec().unwrap();
}

fn decides(agent: &ureq::Agent, tollgate: &Tollgate) -> String {
    let url = format!("http://{}/v1/check", tollgate.check);
    let question = json!({"customerId": "c1", "action": "write"});
    let answer: Value =
        agent.post(url).send_json(question).unwrap().body_mut().read_json().unwrap();
    answer["decision"].as_str().unwrap().to_owned()
}

fn row(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("| {what} | {:.2} ms | {:.2} ms | {:.2} ms |", at(50), at(99), at(100));
}

const WARM_UP: usize = 50;
const CHANGES: usize = 1000;
