//! Where the store may be, and how it is reached: sentinels that name its master, TLS, users with
//! few rights, and what a wrong setting gets.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[path = "../support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

mod bad_stores;
mod sentinel;
mod stand_in;
mod tls;
mod users;

use std::path::Path;

use raw::{Ended, run_to_end};
use support::{RedisServer, tollgate::serve};

/// Starts a Tollgate that is expected to refuse, with this exit code and one line that says all
/// of this.
#[track_caller]
fn refuses(data_dir: &Path, flags: &[&str], code: i32, words: &[&str]) {
    let Ended { code: ended, stderr } = run_to_end(&mut serve(data_dir, flags));
    let line = stderr.lines().last().unwrap_or_default();
    assert_eq!(ended, Some(code), "{flags:?}: {stderr}");
    for word in words {
        assert!(line.contains(word), "{word} in {line}");
    }
}

/// How many instances hear this server's changes.
fn followers(server: &RedisServer) -> u64 {
    let Ok(mut connection) = redis::Client::open(server.url()).unwrap().get_connection() else {
        return 0;
    };
    let channel = "tollgate:{0}:changes";
    let counted = redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query(&mut connection);
    counted.map_or(0, |(_, count): (String, u64)| count)
}

/// As the server's default user.
fn connect(server: &RedisServer) -> redis::Connection {
    redis::Client::open(server.url()).unwrap().get_connection().unwrap()
}
