//! The whole way: a real nginx with the configuration of `examples/nginx` asks a real Tollgate,
//! which hears of changes through a real Redis.

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;

use support::{
    Flavor, Persistence, RedisServer,
    application::Application,
    nginx::Nginx,
    tollgate::{Answer, Tollgate, http},
    way::Way,
};

#[test]
fn a_status_change_decides_the_next_request_at_every_gateway() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let mut sites = [(); 2].map(|()| Site::start(&redis.url()));
    let refusal = |sites: &[Site; 2]| sites.each_ref().map(|site| site.ask("POST", &[C1]).code());

    sites[0].tell(&["put", "c1"]);
    at_once(&sites, Statuses { get: 200, post: 200 });

    sites[0].tell(&["freeze", "c1", "--reason", "non_payment"]);
    at_once(&sites, Statuses { get: 200, post: 423 });
    assert_eq!(refusal(&sites), ["CUSTOMER_FROZEN"; 2]);

    sites[0].tell(&["disable", "c1", "--reason", "non_payment"]);
    at_once(&sites, Statuses { get: 402, post: 402 });
    assert_eq!(refusal(&sites), ["CUSTOMER_DISABLED"; 2]);

    sites[1].tell(&["enable", "c1"]);
    at_once(&sites, Statuses { get: 200, post: 423 });

    sites[1].tell(&["unfreeze", "c1"]);
    at_once(&sites, Statuses { get: 200, post: 200 });

    sites[0].tollgate.kill9();
    let [closed, open] = sites.each_ref().map(|site| site.ask("GET", &[C1]));
    assert_eq!((closed.status, closed.code().as_str()), (503, "TOLLGATE_UNREACHABLE"));
    assert_eq!(closed.header("retry-after"), Some("1"));
    assert_eq!(open.status, 200);
}

#[test]
fn what_a_client_forges_does_not_get_through() {
    let site = Site::start("memory:");
    site.tell(&["freeze", "c1", "--create"]);

    let forged = [
        C1,
        ("x-customer-id", "c2"),
        ("x-customer-id", "c3,c4"),
        ("x-tollgate-status", "active"),
        ("x-tollgate-access", "read_write"),
        ("x-tollgate-code", "200"),
        ("x-original-method", "GET"),
        ("x-original-uri", "/forged"),
    ];
    let received = site.ask("GET", &forged).json();
    let values = |name: &str| received[name].clone();
    assert_eq!(values("x-customer-id"), json!(["c1"]));
    assert_eq!(values("x-tollgate-decision"), json!(["allow"]));
    assert_eq!(values("x-tollgate-reason"), json!(["frozen_read"]));
    assert_eq!(values("x-tollgate-status"), json!(["frozen"]));
    assert_eq!(values("x-tollgate-access"), json!(["read_only"]));
    assert_eq!(values("x-tollgate-stale"), json!(["false"]));
    assert_eq!(values("x-tollgate-code"), json!(null));

    assert_eq!(site.ask("POST", &forged).status, 423);
    for dressed_up in [("x-http-method-override", "POST"), ("upgrade", "websocket")] {
        assert_eq!(site.ask("GET", &[C1, dressed_up]).status, 423, "{dressed_up:?}");
    }
}

#[test]
fn whoever_shows_no_key_is_nobody() {
    let site = Site::start("memory:");
    site.tell(&["put", "c1"]);

    for stranger in [
        &[][..],
        &[("x-customer-id", "c1")],
        &[("x-api-key", "guessed"), ("x-customer-id", "c1")],
        &[("x_customer_id", "c1")],
    ] {
        let refusal = site.ask("GET", stranger);
        assert_eq!((refusal.status, refusal.code().as_str()), (401, "CUSTOMER_MISSING"));
        let challenges = refusal.headers.iter().filter(|(name, _)| name == "www-authenticate");
        assert_eq!(challenges.count(), 1, "{refusal:?}");
    }
    let unknown = site.ask("GET", &[("x-api-key", "change-me-key-of-c2")]);
    assert_eq!((unknown.status, unknown.code().as_str()), (403, "CUSTOMER_UNKNOWN"));
}

#[test]
fn one_connection_to_tollgate_carries_every_question() {
    let mut way = None;
    let site = Site::start_over("memory:", |tollgate| way.insert(Way::to(tollgate)).address);
    site.tell(&["put", "c1"]);

    for _ in 0..10 {
        assert_eq!(site.ask("GET", &[C1]).status, 200);
        assert_eq!(site.ask("POST", &[C1]).status, 200);
        assert_eq!(site.ask("POST", &[]).status, 401);
    }
    assert_eq!(way.unwrap().connections(), 1);
}

/// A gateway, its Tollgate, and the application behind them.
struct Site {
    nginx: Nginx,
    tollgate: Tollgate,
}

impl Site {
    fn start(store: &str) -> Self {
        Self::start_over(store, |tollgate| tollgate)
    }

    /// One whose nginx finds Tollgate where `way` leads.
    fn start_over(store: &str, way: impl FnOnce(SocketAddr) -> SocketAddr) -> Self {
        let tollgate = Tollgate::start(&["--store", store]);
        Self { nginx: Nginx::start(way(tollgate.check), Application::start().address), tollgate }
    }

    /// Runs the CLI against this site's Tollgate.
    fn tell(&self, arguments: &[&str]) {
        let told = self.tollgate.cli(arguments);
        assert!(told.status.success(), "{arguments:?}: {told:?}");
    }

    /// Sends a request through nginx.
    fn ask(&self, method: &str, headers: &[(&str, &str)]) -> Answer {
        let body = (method == "POST").then_some("a body");
        http(self.nginx.address, method, "/things?page=1", headers, body)
    }
}

/// What a customer's requests are answered with.
#[derive(Debug, PartialEq)]
struct Statuses {
    get: u16,
    post: u16,
}

/// Waits until `c1`'s requests are answered so at every site, and not for long.
fn at_once(sites: &[Site], expected: Statuses) {
    let begun = Instant::now();
    for site in sites {
        loop {
            let [get, post] = ["GET", "POST"].map(|method| site.ask(method, &[C1]).status);
            let answered = Statuses { get, post };
            if answered == expected {
                break;
            }
            assert!(begun.elapsed() < AT_ONCE, "{answered:?} is not {expected:?}");
        }
    }
}

const C1: (&str, &str) = ("x-api-key", "change-me-key-of-c1");
const AT_ONCE: Duration = Duration::from_millis(200);
