//! What changes or fails meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use super::freeze;
use crate::{gateway::Slow, site::Site};

/// While Redis hangs, nothing can be known of a customer that is not in memory.
pub(super) fn where_nothing_can_be_known_nobody_passes(site: &mut Site) {
    let hanging = Hanging::begin(|| site.redis.pause(), || site.redis.resume());
    for method in ["GET", "POST"] {
        let answer = site.assert_refused(503, || site.ask_as("c2", method, &[]));
        if site.kind.passes_on_why_nothing_is_decided() {
            assert_eq!(answer.code(), "STORE_UNREACHABLE");
        }
    }
    drop(hanging);
    let is_undecided = || site.ask_as("c2", "GET", &[]).status == 503;
    site.tollgate.wait_until("able to know again", || !is_undecided());
}

pub(super) fn a_change_decides_the_next_request_on_the_same_connection(site: &mut Site) {
    site.c1_is(None);
    let mut connection = site.connect();
    for _ in 0..5 {
        for (verb, expected) in [("freeze", 423), ("unfreeze", 200)] {
            let path = format!("/v1/customers/c1/{verb}");
            let acted = site.tollgate.operate("POST", &path, Some(&json!({})));
            assert_eq!(acted.status, 200, "{acted:?}");
            let answer = site.converse(&mut connection, "DELETE /thing HTTP/1.1", &[]);
            assert_eq!(answer.status, expected, "{answer:?}");
        }
    }
}

pub(super) fn one_connection_to_tollgate_carries_every_question(site: &mut Site) {
    freeze(site);
    site.ask("GET", &[]);
    let before = site.way.connections();
    for _ in 0..10 {
        assert_eq!(site.ask("GET", &[]).status, 200);
        assert_eq!(site.ask("POST", &[]).status, 423);
        assert_eq!(site.ask("HEAD", &[]).status, 200);
    }
    if site.kind.keeps_its_connection() {
        assert_eq!(site.way.connections(), before);
    }
}

pub(super) fn while_tollgate_hangs_nobody_passes(site: &mut Site) {
    site.c1_is(None);
    let before = site.app.reached();
    let go_on = || site.tollgate.signal(Signal::CONT);
    let hanging = Hanging::begin(|| site.tollgate.hang(), go_on);
    let begun = Instant::now();
    let (name, value) = site.kind.credentials("c1");
    let answer = site.ask_bare("GET", &[(name, &value)], BOUND);
    let took = begun.elapsed();
    drop(hanging);
    match site.kind.while_tollgate_hangs() {
        Slow::Answers(expected) => {
            assert_eq!(answer.status, expected, "{answer:?}");
            assert!(took < BOUND, "{took:?}");
        }
        Slow::Waits => assert_eq!(answer.status, 0, "{answer:?}"),
    }
    assert_eq!(site.app.reached(), before, "it reached the application: {answer:?}");
    let begun = Instant::now();
    while site.ask("GET", &[]).status != 200 {
        assert!(begun.elapsed() < PATIENCE, "nobody passes again");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn without_tollgate_nobody_passes(site: &mut Site) {
    site.c1_is(None);
    assert_eq!(site.ask("GET", &[]).status, 200);
    site.way.close();
    site.tollgate.kill9();
    for method in ["GET", "POST", "GET"] {
        let begun = Instant::now();
        site.assert_refused(site.kind.without_tollgate(), || site.ask(method, &[]));
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    }
}

/// Something that goes on again when this is dropped, also when a case fails meanwhile.
struct Hanging<F: Fn()>(F);

impl<F: Fn()> Hanging<F> {
    fn begin(stop: impl Fn(), go_on: F) -> Self {
        stop();
        Self(go_on)
    }
}

impl<F: Fn()> Drop for Hanging<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

const BOUND: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);
