//! What is written is what the server library would send.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::{
    super::{forward, nginx},
    *,
};
use crate::domain::{
    Access, Decision, Enforcement, Epoch, Mode, Partition, Reason, Revision, Status, Token,
};

/// What a client reads of it.
fn read(wire: &[u8]) -> Response<Bytes> {
    let mut lines = [httparse::EMPTY_HEADER; 32];
    let mut read = httparse::Response::new(&mut lines);
    let head = read.parse(wire).unwrap().unwrap();
    let mut response = Response::new(Bytes::copy_from_slice(&wire[head..]));
    *response.status_mut() = read.code.unwrap().try_into().unwrap();
    for line in read.headers {
        let name: HeaderName = line.name.parse().unwrap();
        let value = HeaderValue::from_bytes(line.value).unwrap();
        assert!(response.headers_mut().insert(name, value).is_none(), "{} twice", line.name);
    }
    response
}

fn answers() -> impl Iterator<Item = Answer> {
    let token = Token {
        epoch: Epoch::parse("0123456789abcdef").unwrap(),
        partition: Partition(7),
        revision: Revision(42),
    };
    let statuses = [None, Some(Status::Active), Some(Status::Disabled)];
    let accesses = [None, Some(Access::None), Some(Access::ReadWrite)];
    let enforcements = [Enforcement::Pass, Enforcement::Refuse, Enforcement::Fail];
    let mut answers = Vec::new();
    for reason in Reason::ALL {
        for (status, access) in statuses.into_iter().zip(accesses) {
            for enforcement in enforcements {
                for (stale, http_status, payment_required, mode) in [
                    (false, None, false, Mode::Enforce),
                    (true, None, true, Mode::Enforce),
                    (false, Some(451), false, Mode::Shadow),
                    (true, Some(451), true, Mode::Shadow),
                ] {
                    answers.push(Answer {
                        decision: Decision { reason, status, access, payment_required },
                        enforcement,
                        mode,
                        revision: status.map(|_| token.clone()),
                        age: access.map(|_| Duration::from_millis(12)),
                        stale,
                        http_status,
                    });
                }
            }
        }
    }
    answers.into_iter()
}

#[test]
fn every_answer_is_the_one_that_the_library_would_send_whichever_was_written_before() {
    let now: Timestamp = "2026-11-21T10:00:00.999Z".parse().unwrap();
    // The second time, each is written from what is kept.
    for _ in 0..2 {
        for answer in answers() {
            for (dialect, respond) in
                [(Dialect::ForwardAuth, forward as Respond), (Dialect::Nginx, nginx)]
            {
                let mut wire = b"before".to_vec();
                write(dialect, &answer, respond, now, &mut wire);
                let expected = respond(&answer);
                let told = read(wire.strip_prefix(b"before").unwrap());
                assert_eq!(told.status(), expected.status(), "{answer:?}");
                assert_eq!(told.body(), expected.body(), "{answer:?}");
                assert_eq!(told.headers(), &as_sent(&expected), "{answer:?}");
            }
        }
    }
}

/// The headers of a response, and those that the library adds.
fn as_sent(response: &Response<Bytes>) -> HeaderMap {
    let mut headers = response.headers().clone();
    let length = HeaderValue::from(response.body().len());
    assert!(headers.get(header::CONTENT_LENGTH).is_none_or(|told| *told == length));
    headers.insert(header::CONTENT_LENGTH, length);
    let date = HeaderValue::from_static("Sat, 21 Nov 2026 10:00:00 GMT");
    headers.insert(header::DATE, date);
    headers
}

#[test]
fn the_date_is_that_of_the_second() {
    let mut date = Date::default();
    for (now, expected) in [
        ("2026-11-21T10:00:00.999Z", "Sat, 21 Nov 2026 10:00:00 GMT"),
        ("2026-11-21T10:00:01Z", "Sat, 21 Nov 2026 10:00:01 GMT"),
        ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("9998-12-31T23:59:59Z", "Thu, 31 Dec 9998 23:59:59 GMT"),
    ] {
        assert_eq!(date.at(now.parse().unwrap()), expected);
    }
}
