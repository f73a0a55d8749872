//! Bytes by chance, to a process that knows one customer, who may do nothing.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use serde_json::json;

use super::{http_2, no_panic};
use crate::support::tollgate::Tollgate;

#[test]
fn no_bytes_at_all_are_a_pass_an_error_or_a_panic() {
    let tollgate = with_disabled();
    all(&tollgate, vec(any::<u8>(), 0..4000));
}

#[test]
fn a_question_with_bytes_out_of_place_is_no_pass_no_error_and_no_panic() {
    let tollgate = with_disabled();
    let head = |line: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nHost: h\r\nX-Customer-Id: c1\r\n{more}\r\n")
    };
    let body =
        r#"{"customerId":"c1","method":"POST","path":"/a","feature":"sso","limit":{"code":"a"}}"#;
    let json = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let questions = [
        head("GET /v1/nginx", "X-Original-Method: GET\r\nX-Original-URI: /a/../b?c=d\r\n"),
        head("PUT /v1/forward-auth", "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /%2e%2e/a\r\n"),
        head("POST /v1/envoy/a/%2F;b?c=d", "Upgrade: websocket\r\nConnection: Upgrade\r\n"),
        head("HEAD /v1/envoy", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        head("POST /v1/check", &json) + body,
        head("POST /access/v1/evaluation", &json) + body,
        head("GET /v1/customers/c1/limits", "If-None-Match: W/\"a\"\r\n"),
    ];
    let bytes = (proptest::sample::select(questions.to_vec()), vec(change(), 0..6)).prop_map(
        |(question, changes)| {
            let mut bytes = question.repeat(2).into_bytes();
            for (place, change) in changes {
                let place = place.index(bytes.len());
                match change {
                    Change::Replace(byte) => bytes[place] = byte,
                    Change::Insert(more) => drop(bytes.splice(place..place, more)),
                    Change::Remove(length) => {
                        let end = (place + length).min(bytes.len() - 1);
                        drop(bytes.drain(place.min(end)..end));
                    }
                }
            }
            bytes
        },
    );
    all(&tollgate, bytes);
}

#[test]
fn frames_by_chance_are_no_panic() {
    let tollgate = with_disabled();
    let payload = prop_oneof![
        vec(any::<u8>(), 0..40),
        Just(http_2::question()),
        Just(vec![0; 4]),
        Just(vec![0; 8]),
    ];
    let frames = vec((0..12_u8, any::<u8>(), 0..8_u32, payload), 0..30).prop_map(|frames| {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(http_2::frame(http_2::SETTINGS, 0, 0, &[]));
        for (kind, flags, stream, payload) in frames {
            bytes.extend(http_2::frame(kind, flags, stream, &payload));
        }
        bytes
    });
    all(&tollgate, frames);
}

#[derive(Clone, Debug)]
enum Change {
    Replace(u8),
    Insert(Vec<u8>),
    Remove(usize),
}

fn change() -> impl Strategy<Value = (prop::sample::Index, Change)> {
    let pieces = ["\r\n", "\n", "\0", " ", ":", ",", "%00", "\r\n\r\n", "X-Customer-Id: c2\r\n"];
    let piece = proptest::sample::select(pieces.to_vec());
    let change = prop_oneof![
        any::<u8>().prop_map(Change::Replace),
        vec(any::<u8>(), 1..9).prop_map(Change::Insert),
        piece.prop_map(|piece| Change::Insert(piece.into())),
        (1..20_usize).prop_map(Change::Remove),
    ];
    (any::<prop::sample::Index>(), change)
}

/// Sends each of these bytes on a connection of its own.
fn all(tollgate: &Tollgate, bytes: impl Strategy<Value = Vec<u8>>) {
    let cases = ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() };
    let address = tollgate.check;
    let outcome = TestRunner::new(cases).run(&bytes, |bytes| {
        let said = converse(address, &bytes);
        let said = String::from_utf8_lossy(&said);
        for answer in said.split("HTTP/1.").skip(1) {
            let status: u16 = answer[2..5].parse().unwrap();
            prop_assert!(status < 500, "{said}");
            let is_decided = answer.contains(r#""decision":"deny""#)
                || answer.contains(r#""decision":false"#)
                || answer.contains(r#""status":"disabled""#);
            prop_assert!(!(200..300).contains(&status) || is_decided, "{said}");
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(tollgate.reason_to_write("c1"), "customer_disabled");
    no_panic(tollgate);
}

/// Everything that is said to these bytes and to their end.
fn converse(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // It may hang up before it has heard everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{bytes:?}");
    }
    said
}

fn with_disabled() -> Tollgate {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    let disabled = json!({"status": "disabled"});
    assert_eq!(tollgate.operate("PUT", "/v1/customers/c1", Some(&disabled)).status, 201);
    tollgate
}
