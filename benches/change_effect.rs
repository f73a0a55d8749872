//! How long a change that is asked of one instance takes until another one decides by it, while
//! there are 500 changes a second.
//!
//! `cargo bench --bench change_effect` starts a Redis and two instances of Tollgate, freezes and
//! unfreezes customers through the first, and asks the second until it decides by the change. What
//! has to be reached counts from the commit, as `tollgate_change_effect_seconds` does: what comes
//! before is the operator's request, which says nothing of how fresh an instance is. From when the
//! change was sent, everything is counted. Beside it stands what a bare push takes at the same time.
//!
//! `-- --quick` is for trying: two seconds.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that cannot run has failed"
)]

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod support;

#[path = "shared/effect.rs"]
mod effect;
#[path = "../tests/support/raw.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod raw;
#[path = "shared/times.rs"]
mod times;

use std::{
    thread,
    time::{Duration, Instant},
};

use effect::{Pace, measure};
use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};
use times::Times;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` only wants to know that it compiles.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let pace = Pace {
        changes_a_second: 500,
        warm_up: Duration::from_secs(2),
        measured: Duration::from_secs(if is_quick { 2 } else { 20 }),
    };
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &redis.url()];
    let (changed, asked) = (Tollgate::start(&flags), Tollgate::start(&flags));
    let meanwhile = || bare(&redis, pace.measured);
    let (effects, bare) = measure(&redis, &changed, &asked, pace, meanwhile);
    goal("p50", effects.from_committed.millis_at(50.0), 0.3);
    goal("p99", effects.from_committed.millis_at(99.0), 5.0);
    println!(
        "\n| {:.0} changes a second, two instances, one Redis | p50 | p99 | most |",
        effects.rate
    );
    println!("|---|---:|---:|---:|");
    row("change sent until its operator has the answer", &effects.answered);
    row("change sent until the other instance decides by it", &effects.from_sent);
    row("change committed until the other instance decides by it", &effects.from_committed);
    row("beside them, a bare `PUBLISH` until a bare subscriber has it", &bare);
}

/// What Redis and this machine take by themselves, a hundred times a second.
fn bare(redis: &RedisServer, time: Duration) -> Times {
    let client = redis::Client::open(redis.tcp_url()).unwrap();
    let (mut publisher, mut subscriber) =
        (client.get_connection().unwrap(), client.get_connection().unwrap());
    let mut subscriber = subscriber.as_pubsub();
    subscriber.subscribe("bare").unwrap();
    let begun = Instant::now();
    let mut times = Vec::new();
    while begun.elapsed() < time {
        let sent = Instant::now();
        redis::cmd("PUBLISH").arg("bare").arg("").exec(&mut publisher).unwrap();
        subscriber.get_message().unwrap();
        times.push(sent.elapsed());
        thread::sleep(Duration::from_millis(10));
    }
    times.into_iter().collect()
}

fn goal(which: &str, reached: f64, at_most: f64) {
    let is_met = if reached <= at_most { "yes" } else { "**no**" };
    println!(
        "GOAL | change committed until another instance decides by it, at 500 changes a second, \
         {which} | ≤ {at_most:.2} ms | {reached:.2} ms | {is_met} |"
    );
}

fn row(what: &str, times: &Times) {
    let [p50, p99, most] = [50.0, 99.0, 100.0].map(|percent| times.millis_at(percent));
    println!("| {what} | {p50:.2} ms | {p99:.2} ms | {most:.2} ms |");
}
