//! What Tollgate must do to be right for all gateways: one test a rule, in the order in which the
//! rules are numbered, each over every HTTP dialect that it concerns.
//!
//! Further cases of each are where its subject is: `check_listener.rs` (2 to 12, 14 to 19, 22),
//! `envoy_http.rs` (1 to 3, 14, 15 and a websocket over HTTP/2), `grpc.rs` (the same over gRPC, and
//! rule 20), `policy.rs` (14), `gateways/` (13, and all of them through the real gateways).

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use serde_json::json;

use raw::{Raw, RawAnswer, raw};
use support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};

/// A dialect of HTTP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Dialect {
    ForwardAuth,
    Nginx,
    Envoy,
}

impl Dialect {
    const ALL: [Self; 3] = [Self::ForwardAuth, Self::Nginx, Self::Envoy];

    /// Its URL, but for what Envoy adds.
    const fn url(self) -> &'static str {
        match self {
            Self::ForwardAuth => "/v1/forward-auth",
            Self::Nginx => "/v1/nginx",
            Self::Envoy => "/v1/envoy",
        }
    }

    /// The headers that tell the original method and target; Envoy tells them otherwise.
    const fn told_in(self) -> Option<[&'static str; 2]> {
        match self {
            Self::ForwardAuth => Some(["X-Forwarded-Method", "X-Forwarded-Uri"]),
            Self::Nginx => Some(["X-Original-Method", "X-Original-URI"]),
            Self::Envoy => None,
        }
    }

    /// Asks about a request, as a gateway does that speaks it.
    fn ask(self, tollgate: &Tollgate, method: &str, target: &str, more: &Headers) -> RawAnswer {
        let mut connection = Raw::connect(tollgate.check);
        self.send(&mut connection, method, target, more);
        if self == Self::Envoy && method == "HEAD" {
            connection.head()
        } else {
            connection.answer()
        }
    }

    fn send(self, connection: &mut Raw, method: &str, target: &str, more: &Headers) {
        let (line, mut headers) = match self.told_in() {
            None => (format!("{method} {}{target} HTTP/1.1", self.url()), Vec::new()),
            Some([a, b]) => {
                (format!("GET {} HTTP/1.1", self.url()), vec![(a, method), (b, target)])
            }
        };
        headers.extend(more);
        connection.request(&line, &headers);
    }

    /// The status that a deny has on this wire.
    const fn status_of(self, denied: u16) -> u16 {
        match (self, denied) {
            (Self::Nginx, status) if status != 401 => 403,
            (_, status) => status,
        }
    }
}

type Headers = [(&'static str, &'static str)];

/// One who knows `active`, `frozen`, `unpaid` and `fraud`.
fn start(more: &[&str]) -> Tollgate {
    let tollgate = Tollgate::start(&[&["--store", "memory:"], more].concat());
    populate(&tollgate);
    tollgate
}

fn populate(tollgate: &Tollgate) {
    for (customer, verb, reason) in [
        ("frozen", "freeze", "dispute"),
        ("unpaid", "disable", "non_payment"),
        ("fraud", "disable", "fraud"),
    ] {
        let path = format!("/v1/customers/{customer}/{verb}");
        let acted =
            tollgate.operate("POST", &path, Some(&json!({"reason": reason, "create": true})));
        assert_eq!(acted.status, 200, "{acted:?}");
    }
    let active = json!({"features": ["export"], "limits": {"seats": {"max": 5}}});
    assert_eq!(tollgate.operate("PUT", "/v1/customers/active", Some(&active)).status, 201);
}

#[test]
fn rule_01_each_dialect_has_its_own_url_and_reads_no_other_gateways_headers() {
    let tollgate = start(&[]);
    for dialect in Dialect::ALL {
        for (method, others, expected) in
            [("GET", "POST", "frozen_read"), ("POST", "GET", "customer_frozen")]
        {
            let mut headers = vec![FROZEN, ("X-Original-URL", "http://h/%2e%2e")];
            for other in Dialect::ALL.into_iter().filter(|it| *it != dialect) {
                if let Some([told, target]) = other.told_in() {
                    headers.extend([(told, others), (target, "/%2e%2e")]);
                }
            }
            assert_eq!(dialect.ask(&tollgate, method, "/a", &headers).reason(), expected);
        }
    }
}

#[test]
fn rule_02_every_method_is_answered_and_nothing_switches_protocols() {
    let tollgate = start(&[]);
    let methods =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "SHAKE"];
    for dialect in Dialect::ALL {
        for method in methods {
            let is_read = ["GET", "HEAD", "OPTIONS"].contains(&method);
            let expected = if is_read { 200 } else { dialect.status_of(423) };
            assert_eq!(dialect.ask(&tollgate, method, "/a", &[FROZEN]).status, expected);
            // The method of the call itself is any, too.
            let line = format!("{method} {}/ HTTP/1.1", dialect.url());
            let line = if dialect == Dialect::Envoy { line } else { line.replace("/ ", " ") };
            let answer = Raw::connect(tollgate.check).request(&line, &[FROZEN]).head();
            assert!([200, 401, 403, 423].contains(&answer.status), "{line}: {answer:?}");
        }
        let upgrade =
            [("X-Customer-Id", "active"), ("Connection", "Upgrade"), ("Upgrade", "websocket")];
        assert_eq!(dialect.ask(&tollgate, "GET", "/chat", &upgrade).status, 200);
        let expects = [("X-Customer-Id", "active"), ("Expect", "100-continue")];
        assert_eq!(dialect.ask(&tollgate, "POST", "/a", &expects).status, 200);
    }
}

#[test]
fn rule_03_no_body_is_waited_for_and_the_connection_that_promised_one_is_closed() {
    let tollgate = start(&[]);
    for dialect in Dialect::ALL {
        let mut connection = Raw::connect(tollgate.check);
        let promised = [FROZEN, ("Content-Length", "1000")];
        dialect.send(&mut connection, "POST", "/a", &promised);
        assert_eq!(connection.answer().status, dialect.status_of(423), "{dialect:?}");
        assert!(connection.is_closed(), "{dialect:?} stays open");
    }
}

#[test]
fn rule_04_a_method_or_target_that_is_not_told_once_is_no_read_and_on_no_route() {
    let plain = start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.toml");
    fs::write(&policy, "[[routes]]\npath = \"/{*all}\"\nexempt = true\n").unwrap();
    let routed = start(&["--policy", policy.to_str().unwrap()]);
    for dialect in [Dialect::ForwardAuth, Dialect::Nginx] {
        let [method, target] = dialect.told_in().unwrap();
        let (method, target) = ((method, "GET"), (target, "/a"));
        for told in [
            &[][..],
            &[method],
            &[target],
            &[method, method, target],
            &[method, target, target],
            &[(method.0, "GET, GET"), target],
        ] {
            let line = format!("GET {} HTTP/1.1", dialect.url());
            let headers = [&[FROZEN], told].concat();
            assert_eq!(raw(plain.check, &line, &headers).reason(), "customer_frozen", "{told:?}");
            let is_told = told == [(method.0, "GET, GET"), target];
            let expected = if is_told { "route_exempt" } else { "path_suspicious" };
            assert_eq!(raw(routed.check, &line, &headers).reason(), expected, "{told:?}");
        }
    }
    for dialect in Dialect::ALL {
        for header in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
            let answer = dialect.ask(&plain, "GET", "/a", &[FROZEN, (header, "DELETE")]);
            assert_eq!(answer.reason(), "customer_frozen", "{dialect:?} {header}");
        }
    }
}

#[test]
fn rule_05_the_customer_comes_from_where_the_configuration_says_and_from_nowhere_else() {
    let named = start(&["--customer-header", "X-Account"]);
    let elsewhere = start(&["--customer-from", "context:customer"]);
    for dialect in Dialect::ALL {
        let target = "/a?X-Account=frozen&customerId=frozen";
        let others = [FROZEN, ("Authorization", "Bearer frozen"), ("Cookie", "customer=frozen")];
        assert_eq!(dialect.ask(&named, "GET", target, &others).reason(), "customer_missing");
        let answer = dialect.ask(&named, "GET", target, &[FROZEN, ("X-Account", "active")]);
        assert_eq!(answer.reason(), "active", "{dialect:?}");
        assert_eq!(dialect.ask(&elsewhere, "GET", "/a", &[FROZEN]).reason(), "customer_missing");
    }
}

#[test]
fn rule_06_two_customers_or_two_tenants_are_refused() {
    let tollgate = start(&["--tenant-header", "X-Tenant", "--unknown-customers", "allow"]);
    for dialect in Dialect::ALL {
        for doubled in [
            &[("X-Customer-Id", "a"), ("X-Customer-Id", "b")][..],
            &[("X-Customer-Id", "a"), ("x-customer-id", "a")],
            &[("X-Customer-Id", "a,b")],
            &[("X-Customer-Id", "a"), ("X-Tenant", "t"), ("X-Tenant", "u")],
            &[("X-Customer-Id", "a"), ("X-Tenant", "t, u")],
        ] {
            let answer = dialect.ask(&tollgate, "GET", "/a", doubled);
            assert_eq!(answer.reason(), "customer_ambiguous", "{doubled:?}");
            assert_eq!(answer.status, dialect.status_of(400), "{doubled:?}");
        }
    }
}

#[test]
fn rule_07_without_an_id_it_is_401_also_for_a_preflight_unless_the_policy_exempts_it() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.toml");
    let text = "[[routes]]\npath = \"/{*all}\"\nmethods = [\"OPTIONS\"]\nexempt = true\n";
    fs::write(&policy, text).unwrap();
    let open = start(&["--policy", policy.to_str().unwrap(), "--unknown-customers", "allow"]);
    let closed = start(&["--unknown-customers", "allow"]);
    let preflight = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")];
    for dialect in Dialect::ALL {
        for headers in [&[][..], &[("X-Customer-Id", "")], &[("Connection", "X-Customer-Id")]] {
            let answer = dialect.ask(&closed, "GET", "/a", headers);
            assert_eq!((answer.status, answer.reason()), (401, "customer_missing"));
            assert!(answer.header("www-authenticate").is_some(), "{answer:?}");
        }
        assert_eq!(dialect.ask(&closed, "OPTIONS", "/a", &preflight).status, 401);
        assert_eq!(dialect.ask(&open, "OPTIONS", "/a", &preflight).status, 200);
        assert_eq!(dialect.ask(&open, "PUT", "/a", &preflight).status, 401);
    }
}

#[test]
fn rule_08_a_pass_is_200_without_a_body_and_with_nothing_that_could_leak() {
    let tollgate = start(&[]);
    for dialect in Dialect::ALL {
        let passed = dialect.ask(&tollgate, "POST", "/a", &[("X-Customer-Id", "active")]);
        assert_eq!((passed.status, passed.header("content-length")), (200, Some("0")));
        let names =
            ["content-type", "set-cookie", "cache-control", "location", "transfer-encoding"];
        for name in names {
            assert_eq!(passed.header(name), None, "{name} at {dialect:?}");
        }
    }
}

#[test]
fn rule_09_a_deny_is_its_own_status_and_a_small_json_and_never_a_server_error() {
    let tollgate = start(&[]);
    for dialect in [Dialect::ForwardAuth, Dialect::Envoy] {
        for (customer, status, code) in [
            ("", 401, "CUSTOMER_MISSING"),
            ("a b", 400, "CUSTOMER_MALFORMED"),
            ("nobody", 403, "CUSTOMER_UNKNOWN"),
            ("unpaid", 402, "CUSTOMER_DISABLED"),
            ("fraud", 403, "CUSTOMER_DISABLED"),
            ("frozen", 423, "CUSTOMER_FROZEN"),
        ] {
            let denied = dialect.ask(&tollgate, "POST", "/a", &[("X-Customer-Id", customer)]);
            assert_eq!(denied.status, status, "{denied:?}");
            let error = &denied.json()["error"];
            assert_eq!(error["code"], code);
            assert!(error["message"].is_string(), "{error}");
            assert!(denied.body.len() < 4096);
            assert_eq!(denied.header("content-type"), Some("application/json"));
            assert_eq!(denied.header("cache-control"), Some("no-store"));
            assert_eq!(denied.header("retry-after"), None);
        }
    }
}

#[test]
fn rule_10_nginx_is_answered_200_401_or_403_with_status_and_body_in_headers() {
    let tollgate = start(&[]);
    for (customer, status, code) in [
        ("active", 200, "200"),
        ("", 401, "401"),
        ("a b", 403, "400"),
        ("nobody", 403, "403"),
        ("unpaid", 403, "402"),
        ("frozen", 403, "423"),
    ] {
        let answer = Dialect::Nginx.ask(&tollgate, "POST", "/a", &[("X-Customer-Id", customer)]);
        assert_eq!((answer.status, answer.header("x-tollgate-code")), (status, Some(code)));
        assert_eq!((answer.header("content-length"), answer.body.as_str()), (Some("0"), ""));
        let body = answer.header("x-tollgate-body");
        assert_eq!(body.is_none(), status == 200, "{answer:?}");
        let is_json = |text| serde_json::from_str::<serde_json::Value>(text).is_ok();
        assert!(body.is_none_or(|it| it.len() < 2048 && it.is_ascii() && is_json(it)), "{body:?}");
    }
}

#[test]
fn rule_11_no_decision_is_503_with_retry_after_unless_it_is_to_be_spelled_otherwise() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let starting = |when: &str| {
        let url = redis.url();
        let flags = ["--store", &url, "--when-unlisted", "error", "--when-undecided", when];
        Tollgate::start(&flags)
    };
    let [gateway, allow, deny] = ["gateway", "allow", "deny"].map(starting);
    populate(&gateway);
    for tollgate in [&gateway, &allow, &deny] {
        let knows = || tollgate.reason_to_write("frozen") == "customer_frozen";
        tollgate.wait_until("told who is frozen", knows);
    }
    redis.pause();
    let stranger = [("X-Customer-Id", "stranger")];
    for dialect in Dialect::ALL {
        for (tollgate, expected) in [(&gateway, 503), (&allow, 200), (&deny, 403)] {
            let answer = dialect.ask(tollgate, "GET", "/a", &stranger);
            assert_eq!((answer.status, answer.reason()), (expected, "store_unreachable"));
            assert_eq!(answer.header("x-tollgate-decision"), Some("undecided"));
            assert_eq!(answer.header("retry-after").is_some(), expected == 503, "{answer:?}");
            // Whoever is known to be restricted is refused all the same.
            let known = dialect.ask(tollgate, "POST", "/a", &[FROZEN]);
            assert_eq!((known.status, known.reason()), (dialect.status_of(423), "customer_frozen"));
        }
    }
    redis.resume();
}

#[test]
fn rule_12_every_answer_carries_the_same_eight_headers_and_none_is_empty() {
    let tollgate = start(&[]);
    for dialect in Dialect::ALL {
        for customer in ["active", "frozen", "fraud", "nobody", "a b", "a,b", ""] {
            for method in ["GET", "POST", "HEAD"] {
                let headers = [("X-Customer-Id", customer)];
                let answer = dialect.ask(&tollgate, method, "/%2e%2e", &headers);
                for name in EIGHT {
                    let value = answer.header(name);
                    assert!(value.is_some_and(|it| !it.is_empty()), "{name}: {answer:?}");
                }
            }
        }
    }
}

#[test]
fn rule_13_what_a_request_says_in_tollgates_own_headers_is_not_heard_and_not_repeated() {
    let tollgate = start(&[]);
    let mut forged: Vec<_> = EIGHT.map(|name| (name, "forged")).to_vec();
    forged.extend([FROZEN, ("X-Tollgate-Code", "200"), ("X-Tollgate-Body", "forged")]);
    for dialect in Dialect::ALL {
        for (method, reason) in [("GET", "frozen_read"), ("POST", "customer_frozen")] {
            let answer = dialect.ask(&tollgate, method, "/a", &forged);
            assert_eq!(answer.reason(), reason);
            assert!(!answer.head.contains("forged"), "{answer:?}");
        }
    }
}

#[test]
fn rule_14_a_path_is_judged_in_one_form_and_one_that_hides_something_is_suspicious() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.toml");
    fs::write(&policy, "[[routes]]\npath = \"/open/{*rest}\"\nexempt = true\n").unwrap();
    let tollgate = start(&["--policy", policy.to_str().unwrap()]);
    for dialect in Dialect::ALL {
        let reason = |target| {
            let headers = [("X-Customer-Id", "fraud")];
            dialect.ask(&tollgate, "GET", target, &headers).reason().to_owned()
        };
        for open in ["/open", "/open/a?b", "/open//a/", "/x/../open/a", "/%6fpen/a", "/open/a%20b"]
        {
            assert_eq!(reason(open), "route_exempt", "{open} at {dialect:?}");
        }
        for closed in ["/", "/opened", "/open/../a", "/Open", "//open/a", "/a?/open/"] {
            assert_eq!(reason(closed), "customer_disabled", "{closed} at {dialect:?}");
        }
        for hidden in [
            "/open/%2e%2e/a",
            "/open%2fa",
            "/open%5c..%5ca",
            "/open/a%00",
            "/open/..;/a",
            "/open/%252e%252e/a",
            "/open//../a",
            "/open/%",
        ] {
            assert_eq!(reason(hidden), "path_suspicious", "{hidden} at {dialect:?}");
        }
    }
    // As ingress-nginx passes it on.
    let absolute = Dialect::Nginx.ask(&tollgate, "GET", "https://h/x/../open/a", &[FROZEN]);
    assert_eq!(absolute.reason(), "route_exempt");
}

#[test]
fn rule_15_no_target_leads_out_from_behind_the_prefix_and_operators_are_elsewhere() {
    let tollgate = start(&[]);
    for target in
        ["/../check", "/../../customers", "/../../../metrics", "//v1/keys", "/%2e%2e/x", "/a//b/"]
    {
        let answer = Dialect::Envoy.ask(&tollgate, "GET", target, &[("X-Customer-Id", "fraud")]);
        assert_eq!(answer.reason(), "customer_disabled", "{target}");
    }
    for url in ["/v1/Envoy/a", "/v1/envoys/a", "//v1/envoy/a", "/v1/check/../envoy/a", "/v1/keys"] {
        let answer = raw(tollgate.check, &format!("GET {url} HTTP/1.1"), &[FROZEN]);
        assert_eq!((answer.status, answer.reason()), (404, ""), "{url}");
    }
}

#[test]
fn rule_16_a_check_that_is_asked_again_changes_nothing() {
    let tollgate = start(&[]);
    let limits = json!({"limits": {"seats": {"max": 5, "used": 4, "usedAt": null}}});
    let put = tollgate.operate("PUT", "/v1/customers/active", Some(&limits));
    let question = json!({"customerId": "active", "limit": {"code": "seats", "value": 5}});
    let state = || {
        let audit = tollgate.operate("GET", "/v1/audit", None).body;
        (tollgate.operate("GET", "/v1/customers/active", None).body, audit)
    };
    assert_eq!(put.status, 200, "{put:?}");
    let before = state();
    for _ in 0..5 {
        for dialect in Dialect::ALL {
            let answer = dialect.ask(&tollgate, "POST", "/a", &[("X-Customer-Id", "active")]);
            assert_eq!(answer.reason(), "active");
        }
        assert_eq!(tollgate.check(&question).json()["allowed"], true);
    }
    assert_eq!(state(), before);
}

#[test]
fn rule_17_who_is_in_memory_is_answered_from_it_and_nobody_waits_long_for_the_store() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &redis.url(), "--when-unlisted", "error"]);
    populate(&tollgate);
    tollgate.wait_until("told", || tollgate.reason_to_write("active") == "active");
    redis.pause();
    let took = |customer, reason: &str| {
        let headers = [("X-Customer-Id", customer)];
        let took = (0..9).map(|_| {
            let begun = Instant::now();
            let answer = Dialect::ForwardAuth.ask(&tollgate, "POST", "/a", &headers);
            assert_eq!(answer.reason(), reason);
            begun.elapsed()
        });
        let mut took: Vec<_> = took.collect();
        took.sort_unstable();
        took[4]
    };
    let times = [
        took("active", "active"),
        took("frozen", "customer_frozen"),
        took("stranger", "store_unreachable"),
    ];
    redis.resume();
    assert!(times.iter().all(|took| *took < Duration::from_millis(200)), "{times:?}");
    assert!(times[..2].iter().all(|took| *took < Duration::from_millis(50)), "{times:?}");
}

#[test]
fn rule_18_a_port_and_a_socket_of_any_mode_answer_alike_and_keep_their_connections() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("check.sock");
    // What a dead process left.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let flags = ["--check-socket", socket.to_str().unwrap(), "--check-socket-mode", "0666"];
    let tollgate = start(&flags);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o666);
    for mut connection in [Raw::connect(tollgate.check), Raw::connect_unix(&socket)] {
        for dialect in Dialect::ALL {
            for (method, status) in [("GET", 200), ("POST", dialect.status_of(423))] {
                dialect.send(&mut connection, method, "/a", &[FROZEN]);
                assert_eq!(connection.answer().status, status);
            }
        }
    }
}

#[test]
fn rule_19_header_names_in_any_case_any_host_http_1_0_and_large_headers_are_taken() {
    let tollgate = start(&[]);
    let odd = "GET /v1/forward-auth HTTP/1.1\r\nhOST: ~any~\r\nx-CUSTOMER-ID: frozen\r\n\
               X-FORWARDED-METHOD: GET\r\nx-forwarded-uri: /\r\nConnection: keep-alive, TE\r\n\
               TE: trailers\r\nKeep-Alive: 5\r\nVia: 1.1 a, 1.1 b\r\n\r\n";
    assert_eq!(Raw::connect(tollgate.check).send(odd).answer().reason(), "frozen_read");
    let mut connection = Raw::connect(tollgate.check);
    let old = "GET /v1/envoy/a HTTP/1.0\r\nX-Customer-Id: frozen\r\nConnection: close\r\n\r\n";
    assert_eq!(connection.send(old).answer().reason(), "frozen_read");
    assert!(connection.is_closed());
    let cookies = "x".repeat(60 * 1024);
    for (length, statuses) in [(60 * 1024, &[Some(200)][..]), (0, &[None, Some(400), Some(431)])] {
        let cookies = if length == 0 { "x".repeat(1024 * 1024) } else { cookies.clone() };
        let line = "GET /v1/envoy/a HTTP/1.1";
        let headers = [FROZEN, ("Cookie", cookies.as_str())];
        let status = Raw::connect(tollgate.check).request(line, &headers).refusal();
        assert!(statuses.contains(&status), "{status:?}");
    }
}

#[test]
fn rule_21_every_decision_is_counted_by_dialect_and_no_credentials_are_logged() {
    let tollgate = start(&["--log-level", "debug"]);
    let secret = [
        ("Authorization", "Bearer a-secret"),
        ("Cookie", "session=a-secret"),
        ("X-Api-Key", "a-secret"),
    ];
    for dialect in Dialect::ALL {
        for customer in ["active", "fraud", "nobody"] {
            let headers = [&secret[..], &[("X-Customer-Id", customer)]].concat();
            dialect.ask(&tollgate, "GET", "/a", &headers);
        }
        let name = match dialect {
            Dialect::ForwardAuth => "forward_auth",
            Dialect::Nginx => "nginx",
            Dialect::Envoy => "envoy",
        };
        for (outcome, expected) in [("allow", 1.0), ("deny", 2.0)] {
            let label = format!("dialect=\"{name}\",outcome=\"{outcome}\"");
            let counted = tollgate.sum_of("tollgate_checks_total", &label);
            assert!((counted - expected).abs() < f64::EPSILON, "{label}: {counted}");
        }
    }
    let log = tollgate.log();
    assert!(!log.is_empty() && log.iter().all(|line| !line.contains("a-secret")), "{log:#?}");
}

#[test]
fn rule_22_health_is_on_the_admin_listener_and_under_no_prefix_of_a_check() {
    let tollgate = start(&[]);
    for path in ["/livez", "/readyz", "/metrics", "/status"] {
        assert_eq!(tollgate.admin(path).status, 200, "{path}");
        assert_eq!(raw(tollgate.check, &format!("GET {path} HTTP/1.1"), &[]).status, 404);
        // Behind the prefix it is the client's target like any other.
        assert_eq!(Dialect::Envoy.ask(&tollgate, "GET", path, &[]).reason(), "customer_missing");
        for dialect in [Dialect::ForwardAuth, Dialect::Nginx] {
            let line = format!("GET {}{path} HTTP/1.1", dialect.url());
            assert_eq!(raw(tollgate.check, &line, &[]).status, 404, "{line}");
        }
    }
}

const FROZEN: (&str, &str) = ("X-Customer-Id", "frozen");
const EIGHT: [&str; 8] = [
    "x-tollgate-decision",
    "x-tollgate-reason",
    "x-tollgate-status",
    "x-tollgate-access",
    "x-tollgate-revision",
    "x-tollgate-age-ms",
    "x-tollgate-stale",
    "x-tollgate-mode",
];
