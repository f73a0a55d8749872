//! What no gateway sends, over raw sockets: it is refused or hung up on, it is never a pass and
//! never an error of Tollgate's own, and the next connection is answered.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

mod connections;
mod fuzz;
mod http_2;
#[path = "../support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "other suites share it and use the rest")]
mod support;

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::json;

use raw::{Raw, raw};
use support::tollgate::Tollgate;

mod heads {
    use super::*;

    #[test]
    fn what_is_no_request_is_refused_or_hung_up_on() {
        let tollgate = with_active();
        let good = "GET /v1/nginx HTTP/1.1\r\nHost: h\r\nX-Customer-Id: c1\r\n";
        let heads = [
            "\u{16}\u{3}\u{1}\u{2}\r\n\r\n".to_owned(),
            "GET\r\n\r\n".to_owned(),
            "GET /v1/nginx\r\n\r\n".to_owned(),
            "GET /v1/nginx HTTP/9.9\r\nX-Customer-Id: c1\r\n\r\n".to_owned(),
            "GET /v1/nginx HTTP/2.0\r\nX-Customer-Id: c1\r\n\r\n".to_owned(),
            "GET  /v1/nginx HTTP/1.1\r\nX-Customer-Id: c1\r\n\r\n".to_owned(),
            "GET /v1/ng inx HTTP/1.1\r\nX-Customer-Id: c1\r\n\r\n".to_owned(),
            "GET /v1/nginx\0 HTTP/1.1\r\nX-Customer-Id: c1\r\n\r\n".to_owned(),
            " GET /v1/nginx HTTP/1.1\r\nX-Customer-Id: c1\r\n\r\n".to_owned(),
            "G(T /v1/nginx HTTP/1.1\r\nX-Customer-Id: c1\r\n\r\n".to_owned(),
            "PRI * HTTP/2.0\r\n\r\nXX".to_owned(),
            format!("{good}X-A: a\0b\r\n\r\n"),
            format!("{good}X-A: a\rb\r\n\r\n"),
            format!("{good}X-A : a\r\n\r\n"),
            format!("{good}X-A\r\n\r\n"),
            format!("{good}: a\r\n\r\n"),
            format!("{good}X-A: a\r\n folded\r\n\r\n"),
            format!("{good}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}} "),
            format!("{good}Content-Length: 2, 3\r\n\r\n{{}} "),
            format!("{good}Content-Length: -1\r\n\r\n"),
            format!("{good}Content-Length: +2\r\n\r\n{{}}"),
            format!("{good}Content-Length: 0x2\r\n\r\n{{}}"),
            format!("{good}Content-Length: 99999999999999999999\r\n\r\n"),
            format!("{good}Transfer-Encoding: gzip\r\n\r\n"),
            format!("{good}Transfer-Encoding: chunked, gzip\r\n\r\n"),
            good.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ];
        for head in heads {
            let status = Raw::connect(tollgate.check).send(&head).refusal();
            assert!(matches!(status, None | Some(400..=499)), "{status:?} for {head:?}");
            assert_eq!(read(&tollgate), 200, "after {head:?}");
        }
        no_panic(&tollgate);
    }

    #[test]
    fn a_block_over_64_kilobytes_is_refused_and_one_below_is_not() {
        let tollgate = with_active();
        for (bytes, expected) in
            [(16, &[200][..]), (40, &[200]), (63, &[200]), (160, &[431, 400]), (4096, &[431, 400])]
        {
            let name = "x".repeat(1000);
            let mut head = "GET /v1/nginx HTTP/1.1\r\nHost: h\r\nX-Customer-Id: c1\r\n".to_owned();
            for _ in 0..bytes {
                write!(head, "Cookie: {name}xxxxxxxxxxxxxx\r\n").unwrap();
            }
            let status = Raw::connect(tollgate.check).send(head + "\r\n").refusal();
            // What it hung up on before it had read it all may have lost its answer.
            let is_right = status.map_or(bytes > 64, |status| expected.contains(&status));
            assert!(is_right, "{status:?} for {bytes} kilobytes");
        }
        let lines = "X-A: a\r\n".repeat(300);
        let head = format!("GET /v1/nginx HTTP/1.1\r\nX-Customer-Id: c1\r\n{lines}\r\n");
        assert_eq!(Raw::connect(tollgate.check).send(head).refusal(), Some(431));
    }

    #[test]
    fn a_target_of_60_kilobytes_is_judged_and_a_longer_one_is_refused() {
        let tollgate = with_active();
        let ask = |length: usize| {
            let line = format!("GET /v1/envoy/{} HTTP/1.1", "a".repeat(length));
            Raw::connect(tollgate.check).request(&line, &[C1]).refusal()
        };
        assert_eq!(ask(60 * 1024), Some(200));
        for length in [66 * 1024, 1 << 20] {
            let status = ask(length);
            assert!(matches!(status, None | Some(400 | 414 | 431)), "{status:?} for {length}");
        }
    }

    #[test]
    fn targets_of_other_forms_are_read_for_what_they_are() {
        let tollgate = with_active();
        for (line, status) in [
            ("GET http://anybody/v1/nginx HTTP/1.1", 200),
            ("OPTIONS * HTTP/1.1", 404),
            ("GET * HTTP/1.1", 404),
            ("CONNECT h:443 HTTP/1.1", 404),
            ("GET http://anybody HTTP/1.1", 404),
            ("BREW /v1/nginx HTTP/1.1", 200),
            ("BREW /v1/check HTTP/1.1", 405),
            ("GET /v1/check HTTP/1.1", 405),
        ] {
            let asked = Raw::connect(tollgate.check).request(line, &[C1]).refusal();
            assert_eq!(asked, Some(status), "{line}");
        }
    }

    #[test]
    fn a_host_is_any_and_may_be_missing() {
        let tollgate = with_active();
        for host in ["", "Host:\r\n", "Host: a\r\nHost: b\r\n", "Host: \u{e9}\r\n"] {
            let head = format!("GET /v1/nginx HTTP/1.1\r\n{host}X-Customer-Id: c1\r\n\r\n");
            let status = Raw::connect(tollgate.check).send(head).refusal();
            assert_eq!(status, Some(200), "{host:?}");
        }
    }

    #[test]
    fn http_1_0_is_answered_and_kept_only_when_it_asks_for_it() {
        let tollgate = with_active();
        for (more, is_kept) in
            [("", false), ("Connection: close\r\n", false), ("Connection: keep-alive\r\n", true)]
        {
            let head = format!("GET /v1/nginx HTTP/1.0\r\nX-Customer-Id: c1\r\n{more}\r\n");
            let mut connection = Raw::connect(tollgate.check);
            assert_eq!(connection.send(&head).answer().status, 200);
            if is_kept {
                assert_eq!(connection.send(&head).answer().status, 200);
            } else {
                assert!(connection.is_closed(), "{more:?}");
            }
        }
    }

    #[test]
    fn requests_sent_ahead_are_answered_in_their_order() {
        let tollgate = with_active();
        let ask =
            |id: &str| format!("GET /v1/nginx HTTP/1.1\r\nHost: h\r\nX-Customer-Id: {id}\r\n\r\n");
        let all: String = (0..50).map(|_| ask("c1") + &ask("nobody") + &ask("")).collect();
        let mut connection = Raw::connect(tollgate.check);
        connection.send(all);
        for _ in 0..50 {
            for reason in ["active", "customer_unknown", "customer_missing"] {
                assert_eq!(connection.answer().reason(), reason);
            }
        }
    }
}

mod bodies {
    use super::*;

    #[test]
    fn what_one_would_take_for_a_body_is_never_another_request() {
        let tollgate = with_active();
        let hidden = "GET /v1/nginx HTTP/1.1\r\nHost: h\r\nX-Customer-Id: c1\r\n\r\n";
        let length = hidden.len() + 5;
        for lengths in [
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        ] {
            for line in ["POST /v1/nginx", "POST /v1/check"] {
                let mut connection = Raw::connect(tollgate.check);
                connection.send(format!(
                    "{line} HTTP/1.1\r\nHost: h\r\nX-Customer-Id: nobody\r\n{lengths}\r\n0\r\n\r\n{hidden}"
                ));
                let first = connection.answer();
                assert!((400..500).contains(&first.status), "{first:?}");
                assert!(connection.is_closed(), "{line} {lengths}");
            }
        }
    }

    #[test]
    fn one_in_broken_pieces_is_refused() {
        let tollgate = with_active();
        for pieces in [
            "x\r\n",
            "5\r\nabcdefgh\r\n",
            "ffffffffffffffffff\r\n",
            "-1\r\n\r\n",
            "2\r\n{}x\r\n0\r\n\r\n",
        ] {
            let mut connection = Raw::connect(tollgate.check);
            connection.send(format!(
                "POST /v1/check HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
                 Transfer-Encoding: chunked\r\n\r\n{pieces}"
            ));
            let status = connection.refusal();
            assert!(matches!(status, None | Some(400)), "{status:?} for {pieces:?}");
        }
        no_panic(&tollgate);
    }

    #[test]
    fn one_that_is_expected_to_be_asked_for_is() {
        let tollgate = with_active();
        let body = json!({"customerId": "c1", "action": "read"}).to_string();
        let length = body.len().to_string();
        let headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", length.as_str()),
            ("Expect", "100-continue"),
        ];
        let mut connection = Raw::connect(tollgate.check);
        connection.request("POST /v1/check HTTP/1.1", &headers);
        assert_eq!(connection.head().status, 100);
        assert_eq!(connection.send(body).answer().json()["reason"], "active");
    }

    #[test]
    fn one_that_comes_too_slowly_is_waited_for_ten_seconds_and_holds_up_nobody() {
        let tollgate = with_active();
        let headers = [("Content-Type", "application/json"), ("Content-Length", "100")];
        let begun = Instant::now();
        let mut slow: Vec<_> = ["/v1/check", "/v1/checks", "/access/v1/evaluation"]
            .iter()
            .map(|path| {
                let mut connection = Raw::connect_with(tollgate.check, Duration::from_secs(20));
                connection.request(&format!("POST {path} HTTP/1.1"), &headers).send("{");
                connection
            })
            .collect();
        assert_eq!(read(&tollgate), 200);
        for connection in &mut slow {
            let answer = connection.answer();
            assert_eq!(answer.status, 408);
            assert_eq!(answer.json()["error"]["code"], "REQUEST_TIMEOUT");
            assert!(connection.is_closed());
        }
        assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
    }
}

/// A Tollgate that knows `c1`, who may do anything, and nobody else.
fn with_active() -> Tollgate {
    with_active_and(&[])
}

fn with_active_and(flags: &[&str]) -> Tollgate {
    let tollgate = Tollgate::start(&[&["--store", "memory:"], flags].concat());
    let made = tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({})));
    assert_eq!(made.status, 201, "{made:?}");
    tollgate
}

/// The status of a sound question, on a connection of its own.
fn read(tollgate: &Tollgate) -> u16 {
    raw(tollgate.check, "GET /v1/nginx HTTP/1.1", &[C1]).status
}

fn no_panic(tollgate: &Tollgate) {
    let log = tollgate.log();
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
}

const C1: (&str, &str) = ("X-Customer-Id", "c1");
