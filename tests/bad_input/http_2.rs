//! HTTP/2, frame by frame.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use super::{no_panic, read, with_active};
use crate::support::tollgate::Tollgate;

#[test]
fn requests_that_are_taken_back_at_once_end_the_connection_and_harm_nobody() {
    let tollgate = with_active();
    assert!(flood(&tollgate, |number| {
        let stream = number * 2 + 1;
        [frame(HEADERS, END_STREAM | END_HEADERS, stream, &question()), reset(stream)].concat()
    }));
}

#[test]
fn requests_that_are_broken_one_after_the_other_end_the_connection_and_harm_nobody() {
    let tollgate = with_active();
    // A stream depends on itself, which is an error of that stream.
    assert!(flood(&tollgate, |number| {
        let stream = number * 2 + 1;
        let update = frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 0]);
        [frame(HEADERS, END_HEADERS, stream, &question()), update].concat()
    }));
}

#[test]
fn a_head_without_an_end_is_not_kept() {
    let tollgate = with_active();
    // Each piece is a header line that is never indexed.
    let piece = [&[0x10, 1, b'a', 0x7f, 0x81, 0x7c][..], &[b'a'; 16_000]].concat();
    assert!(flood(&tollgate, |number| {
        if number == 0 {
            frame(HEADERS, END_STREAM, 1, &question())
        } else {
            frame(CONTINUATION, 0, 1, &piece)
        }
    }));
    assert!(flood(&tollgate, |number| {
        if number == 0 {
            frame(HEADERS, END_STREAM, 1, &question())
        } else {
            frame(CONTINUATION, 0, 1, &[])
        }
    }));
}

#[test]
fn settings_and_pings_without_an_end_take_no_memory() {
    let tollgate = with_active();
    assert!(flood(&tollgate, |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(50)));
    assert!(flood(&tollgate, |_| frame(PING, 0, 0, &[1; 8]).repeat(50)));
    flood(&tollgate, |_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(50));
}

#[test]
fn empty_pieces_of_a_body_without_an_end_take_no_memory() {
    let tollgate = with_active();
    assert!(flood(&tollgate, |number| {
        if number == 0 {
            frame(HEADERS, END_HEADERS, 1, &question())
        } else {
            frame(DATA, 0, 1, &[]).repeat(50)
        }
    }));
}

#[test]
fn frames_that_make_no_sense_are_hung_up_on() {
    let tollgate = with_active();
    for wrong in [
        frame(DATA, 0, 1, b"a"),
        frame(HEADERS, END_HEADERS, 0, &question()),
        frame(HEADERS, END_HEADERS, 2, &question()),
        frame(HEADERS, END_HEADERS, 1, &[0xff; 20]),
        frame(CONTINUATION, END_HEADERS, 1, &question()),
        frame(SETTINGS, 0, 0, &[1, 2, 3]),
        frame(PING, 0, 0, &[1]),
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        // It promises 16 MiB.
        vec![0xff, 0xff, 0xff, HEADERS, END_HEADERS, 0, 0, 0, 1],
    ] {
        let mut connection = connect(tollgate.check);
        // It may have hung up already.
        let _ = connection.write_all(&wrong);
        let mut said = Vec::new();
        let ended = connection.read_to_end(&mut said);
        let is_reset = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(ended.map_or_else(is_reset, |_| true), "{wrong:?}: it stays open");
    }
    assert_eq!(read(&tollgate), 200);
    no_panic(&tollgate);
}

#[test]
fn a_block_of_headers_over_64_kilobytes_is_refused_and_one_below_is_not() {
    let tollgate = with_active();
    for (kilobytes, is_let_through) in [(16, true), (60, true), (90, false), (1024, false)] {
        let status = ask_with_headers(tollgate.check, kilobytes);
        if is_let_through {
            assert_eq!(status, Some(200), "{kilobytes}");
        } else {
            assert!(matches!(status, None | Some(400..=499)), "{status:?} for {kilobytes}");
        }
        assert_eq!(read(&tollgate), 200);
    }
}

/// The status of a sound question with that much in its headers; nothing if it was reset.
#[tokio::main(flavor = "current_thread")]
async fn ask_with_headers(address: SocketAddr, kilobytes: usize) -> Option<u16> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = axum::http::Request::get("http://h/v1/nginx").header("x-customer-id", "c1");
    for number in 0..kilobytes {
        request = request.header(format!("x-{number:04}"), "x".repeat(1024 - 6 - 32));
    }
    let mut sender = sender.ready().await.unwrap();
    let (response, _) = sender.send_request(request.body(()).unwrap(), true).ok()?;
    let answered = tokio::time::timeout(Duration::from_secs(10), response).await.unwrap();
    answered.ok().map(|response| response.status().as_u16())
}

/// Sends frames for as long as they are taken, and looks how the process does meanwhile. Tells
/// whether it was stopped.
fn flood(tollgate: &Tollgate, frames: impl Fn(u32) -> Vec<u8> + Send + Sync) -> bool {
    let before = tollgate.peak_memory();
    let address = tollgate.check;
    let is_stopped = thread::scope(|scope| {
        let floods: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = connect(address);
                    connection.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
                    // Nothing is read, so it stops taking more or hangs up.
                    !(0..20_000).all(|number| connection.write_all(&frames(number)).is_ok())
                })
            })
            .collect();
        while floods.iter().any(|flood| !flood.is_finished()) {
            assert_eq!(read(tollgate), 200);
        }
        floods.into_iter().all(|flood| flood.join().unwrap())
    });
    assert_eq!(read(tollgate), 200);
    no_panic(tollgate);
    let taken = tollgate.peak_memory().saturating_sub(before);
    assert!(taken < 64 << 20, "{taken} bytes");
    is_stopped
}

/// A connection that has said that it speaks HTTP/2.
fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    stream
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])
}

/// `GET http://h/v1/nginx` about `c1`, without compression.
pub(crate) fn question() -> Vec<u8> {
    let line = |name: &str, value: &str| {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        [&[0][..], &text(name), &text(value)].concat()
    };
    // GET and http are in the table that every connection begins with.
    let head = [0x82, 0x86].to_vec();
    [head, line(":authority", "h"), line(":path", "/v1/nginx"), line("x-customer-id", "c1")]
        .concat()
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
