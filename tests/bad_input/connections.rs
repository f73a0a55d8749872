//! How many connections there are, and what becomes of those beyond.

use std::process::Command;

use super::{C1, read, with_active, with_active_and};
use crate::raw::{Raw, Running};

#[test]
fn those_beyond_the_limit_wait_until_one_ends() {
    let tollgate = with_active_and(&["--max-connections", "3"]);
    let mut held: Vec<_> = (0..3).map(|_| Raw::connect(tollgate.check)).collect();
    for connection in &mut held {
        assert_eq!(connection.request("GET /v1/nginx HTTP/1.1", &[C1]).answer().status, 200);
    }
    let line = tollgate.wait_for_log("as many as it may");
    assert!(line.contains("check listener has 3 connections"), "{line}");
    assert_eq!(tollgate.metric("tollgate_connections{listener=\"check\"}"), 3);
    assert!(tollgate.metric("tollgate_connections_full_total{listener=\"check\"}") > 0);

    let mut waiting = Raw::connect(tollgate.check);
    waiting.request("GET /v1/nginx HTTP/1.1", &[C1]);
    // Those that are there go on.
    for connection in &mut held {
        assert_eq!(connection.request("GET /v1/nginx HTTP/1.1", &[C1]).answer().status, 200);
    }
    assert_eq!(tollgate.metric("tollgate_connections{listener=\"check\"}"), 3);
    held.pop();
    assert_eq!(waiting.answer().status, 200);
    drop((held, waiting));
    tollgate
        .wait_until("free", || tollgate.metric("tollgate_connections{listener=\"check\"}") == 0);
    assert_eq!(read(&tollgate), 200);
}

#[test]
fn idle_connections_are_in_nobodys_way() {
    let tollgate = with_active();
    let idle: Vec<_> = (0..300).map(|_| Raw::connect(tollgate.check)).collect();
    assert_eq!(read(&tollgate), 200);
    drop(idle);
}

#[test]
fn a_process_that_may_open_few_files_takes_as_many_connections_as_it_can() {
    let directory = tempfile::tempdir().unwrap();
    for (limits, told) in [
        ("ulimit -n 300", Some("each listener takes 57 connections and not 10000")),
        // The lower of the two limits is raised to the higher one.
        ("ulimit -Sn 64", None),
    ] {
        let script = format!("{limits} && exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_tollgate"), "serve"]);
        command.args(["--store", "memory:", "--max-connections"]);
        command.arg(if told.is_some() { "10000" } else { "1000" });
        command.arg("--data-dir").arg(directory.path());
        for setting in ["--check-listen", "--operator-listen", "--admin-listen"] {
            command.args([setting, "127.0.0.1:0"]);
        }
        let mut running = Running::start(&mut command);
        let line = running.read_until(told.unwrap_or("Made the first operator key")).unwrap();
        assert!(told.is_some() || !line.contains("may open"), "{line}");
        assert_eq!(running.terminate(), Some(0));
    }
}
