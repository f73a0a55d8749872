//! What is no store for Tollgate is refused, or waited for where it may heal, and either way a
//! sentence says which setting to look at.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use crate::{
    connect, refuses,
    stand_in::StandIn,
    support::{
        Flavor, Persistence, RedisServer,
        sentinels::{MASTER, Sentinels},
        tollgate::Tollgate,
    },
};

#[test]
fn a_master_that_the_sentinels_do_not_know_is_refused() {
    let sentinels = Sentinels::start(Flavor::Redis);
    let store = sentinels.url().replace(MASTER, "other");
    refuse(&store, &["--store names the master", "no master named other"]);
}

#[test]
fn a_server_is_told_from_a_sentinel() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let store = format!("redis+sentinel://127.0.0.1:{}/{MASTER}", server.port());
    refuse(&store, &["--store begins with", "is no sentinel"]);

    let of_sentinel = "*1\r\n$8\r\nsentinel\r\n";
    let sentinel = answers([("HELLO", HELLO), ("ROLE", of_sentinel)]);
    refuse(&sentinel, &["--store begins with", "is a sentinel"]);
}

#[test]
fn a_login_that_the_sentinels_do_not_take_is_refused() {
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let missing = "-NOAUTH HELLO must be called with the client already authenticated\r\n";
    for (login, answer) in [("?sentinelPassword=hunter2", wrong), ("", missing)] {
        let sentinel = answers([("HELLO", answer)]).replace("redis://", "redis+sentinel://");
        let store = format!("{sentinel}/{MASTER}{login}");
        refuse(&store, &["sentinelPassword", "--store-sentinel-password-file"]);
    }
}

#[test]
fn a_user_without_a_password_and_a_password_for_nobody_are_refused() {
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("password");
    std::fs::write(&file, "hunter2").unwrap();
    let file = file.to_str().unwrap();
    for (flags, named) in [
        (&["--store", "redis://alice@redis"][..], "--store-password-file"),
        (&["--store", "redis+sentinel://s/m?sentinelUser=a"], "--store-sentinel-password-file"),
        (
            &["--store", "redis://redis", "--store-sentinel-password-file", file],
            "--store-sentinel-password-file",
        ),
        (
            &["--store", "redis://:hunter2@redis", "--store-password-file", file],
            "--store-password-file",
        ),
    ] {
        refuses(here.path(), flags, 2, &[named]);
    }
}

#[test]
fn what_is_no_redis_or_too_old_a_one_is_refused() {
    let page = answers([("HELLO", "HTTP/1.1 400 Bad Request\r\n\r\n")]);
    refuse(&page, &["--store must name a Redis of version 6.2 or later"]);
    let old = answers([("HELLO", "-ERR unknown command 'HELLO', with args beginning with: 3\r\n")]);
    refuse(&old, &["--store must name a Redis of version 6.2 or later"]);
}

#[test]
fn a_node_of_a_cluster_is_refused() {
    let node = RedisServer::start_with(Flavor::Redis, Persistence::None, |_| {
        ["--cluster-enabled", "yes"].map(str::to_owned).into()
    });
    refuse(&node.tcp_url(), &["--store begins with", "cluster"]);
}

#[test]
fn a_database_that_the_server_does_not_have_is_refused() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    refuse(&format!("{}/99", server.tcp_url()), &["--store names the number of its database"]);
}

#[test]
fn a_replica_is_waited_for_until_it_is_a_master() {
    let [master, replica] = [(); 2].map(|()| RedisServer::start(Flavor::Redis, Persistence::None));
    let at = ["127.0.0.1".to_owned(), master.port().to_string()];
    redis::cmd("REPLICAOF").arg(&at).exec(&mut connect(&replica)).unwrap();
    let tollgate = waits(&replica.tcp_url(), &["--store", "is a replica"]);
    redis::cmd("REPLICAOF").arg(&["NO", "ONE"]).exec(&mut connect(&replica)).unwrap();
    tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
    told_once(&tollgate);
}

#[test]
fn keys_that_hold_what_tollgate_did_not_put_there_are_waited_for_and_left_alone() {
    for key in ["meta", "log", "restricted", "keys"] {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let key = format!("tollgate:{{0}}:{key}");
        redis::cmd("SET").arg(&key).arg("of somebody else").exec(&mut connect(&server)).unwrap();
        let tollgate = waits(&server.tcp_url(), &["--store", "--key-prefix", &key]);
        let held: String = redis::cmd("GET").arg(&key).query(&mut connect(&server)).unwrap();
        assert_eq!(held, "of somebody else");
        redis::cmd("DEL").arg(&key).exec(&mut connect(&server)).unwrap();
        tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
        told_once(&tollgate);
    }
}

#[test]
fn sentinels_that_do_not_answer_are_waited_for() {
    let sentinel = StandIn::start(1, 1);
    sentinel.go_away();
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let store = format!("redis+sentinel://127.0.0.1:{}/{MASTER}", sentinel.port);
    let tollgate = waits(&store, &["--store", "the sentinel 127.0.0.1"]);
    sentinel.switch_to(1, server.port());
    tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
    told_once(&tollgate);
}

#[test]
fn a_store_that_evicts_is_told_in_the_log_and_in_a_metric() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let policy = ["SET", "maxmemory-policy", "allkeys-lru"];
    redis::cmd("CONFIG").arg(&policy).exec(&mut connect(&server)).unwrap();
    let tollgate = Tollgate::start(&["--store", &server.url()]);
    let line = tollgate.wait_for_log("maxmemory-policy");
    assert!(line.contains("allkeys-lru") && line.contains("noeviction"), "{line}");
    let metrics = tollgate.admin("/metrics").body;
    assert!(metrics.lines().any(|line| line == "tollgate_store_evicts 1"), "{metrics}");
}

/// Starts a Tollgate that ends at once and says all of this.
#[track_caller]
fn refuse(store: &str, words: &[&str]) {
    let here = tempfile::tempdir().unwrap();
    refuses(here.path(), &["--store", store], 1, words);
}

/// Starts a Tollgate that runs, is not ready, and says all of this in its log.
fn waits(store: &str, words: &[&str]) -> Tollgate {
    let tollgate = Tollgate::start_unready(&["--store", store]);
    let line = tollgate.wait_for_log("cannot be followed yet");
    for word in words {
        assert!(line.contains(word), "{word} in {line}");
    }
    tollgate.wait_until("up", || tollgate.admin("/livez").status == 200);
    assert_eq!(tollgate.admin("/readyz").status, 503);
    tollgate
}

/// However often it was tried, it was told at the start and when the feed first saw it.
fn told_once(tollgate: &Tollgate) {
    let log = tollgate.log();
    let lines = ["cannot be followed yet", "The feed lost the store"]
        .map(|text| log.iter().filter(|line| line.contains(text)).count());
    assert!(lines[0] == 1 && lines[1] <= 1, "{log:#?}");
}

/// The URL of a server that knows these answers to commands, and hangs up on others.
fn answers<const N: usize>(known: [(&'static str, &'static str); N]) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut asked = [0; 1024];
                // What is not read to its end is asked again in the next round.
                while let Ok(length @ 1..) = client.read(&mut asked) {
                    let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
                    let answer = known.iter().find(|(command, _)| asked.contains(command));
                    let Some((_, answer)) = answer else { break };
                    if client.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    format!("redis://127.0.0.1:{port}")
}

const HELLO: &str = "%1\r\n$5\r\nproto\r\n:3\r\n";
