//! What an instance costs its store.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use redis::Connection;
use serde_json::json;

use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};

#[test]
fn an_idle_instance_sends_redis_at_most_eight_commands_a_second() {
    counts(Flavor::Redis);
}

#[test]
fn an_idle_instance_sends_valkey_at_most_eight_commands_a_second() {
    counts(Flavor::Valkey);
}

fn counts(flavor: Flavor) {
    let server = RedisServer::start(flavor, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url()]);
    let disabled = json!({"status": "disabled"});
    assert_eq!(tollgate.operate("PUT", "/v1/customers/c1", Some(&disabled)).status, 201);

    let mut redis = redis::Client::open(server.tcp_url()).unwrap().get_connection().unwrap();
    // The last thing that a start does, twice: what is there already, and what will come.
    let begun = Instant::now();
    while calls(&mut redis).get("xreadgroup").is_none_or(|count| *count < 2) {
        assert!(begun.elapsed() < PATIENCE, "it never waited for its inbox");
        thread::sleep(Duration::from_millis(20));
    }
    redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut redis).unwrap();
    let begun = Instant::now();
    thread::sleep(MEASURED);
    let calls = calls(&mut redis);
    let seconds = begun.elapsed().as_secs_f64();
    let total: u32 = calls.values().sum();
    assert!(f64::from(total) <= 8.0 * seconds, "{total} in {seconds} s: {calls:?}");
    // It does go on asking, or its answers would grow stale.
    assert!(calls.get("hmget").is_some_and(|count| f64::from(*count) >= seconds), "{calls:?}");
}

/// How often each command was called, without those of the test itself.
fn calls(redis: &mut Connection) -> BTreeMap<String, u32> {
    let stats: String = redis::cmd("INFO").arg("commandstats").query(redis).unwrap();
    let calls = stats.lines().filter_map(|line| {
        let (command, numbers) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let (count, _) = numbers.split_once(',')?;
        Some((command.to_owned(), count.parse().unwrap()))
    });
    calls.filter(|(command, _)| !matches!(command.as_str(), "info" | "config|resetstat")).collect()
}

const PATIENCE: Duration = Duration::from_secs(30);
const MEASURED: Duration = Duration::from_secs(5);
