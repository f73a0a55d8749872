//! Connections in memory, with a clock that runs ahead whenever nothing happens.

use std::time::Duration;

use axum::routing::get;
use http_body_util::Empty;
use hyper::client::conn::http2;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::{Instant, sleep},
};

use axum::Router;

use super::*;

/// The other side of a connection on which everything is answered.
fn connect() -> DuplexStream {
    let (here, there) = duplex(1 << 20);
    let router = Router::new().route("/", get(|| async { "here" }));
    tokio::spawn(converse(there, None, router, CancellationToken::new()));
    here
}

/// How long it takes until the other side hangs up, and what it says before.
async fn hung_up(connection: &mut DuplexStream) -> (Duration, String) {
    let (begun, mut said) = (Instant::now(), Vec::new());
    connection.read_to_end(&mut said).await.unwrap();
    (begun.elapsed(), String::from_utf8(said).unwrap())
}

async fn ask(connection: &mut DuplexStream) {
    connection.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"here") {
        assert!(connection.read_buf(&mut answer).await.unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_byte_by_byte_is_not_waited_for_longer_than_ten_seconds() {
    for begins_after in [0, 1] {
        let mut connection = connect();
        for _ in 0..begins_after {
            ask(&mut connection).await;
            sleep(Duration::from_secs(90)).await;
        }
        let begun = Instant::now();
        let mut sent = 0;
        for byte in b"GET / HTTP/1.1\r\nHost: a-host-with-a-long-name\r\n\r\n".iter().cycle() {
            sent += 1;
            if connection.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        let took = begun.elapsed();
        assert!((9..14).contains(&took.as_secs()), "{took:?} and {sent} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_or_half_a_preface_is_hung_up_on() {
    for (said, within) in [
        (&b""[..], 120..241),
        (b"P", 9..12),
        (b"PRI * HTTP/2.0\r\n\r\nSM", 9..12),
        (b"GET / HTTP/1.1\r\n", 9..12),
        (b"\r\n\r\n", 9..12),
    ] {
        let mut connection = connect();
        connection.write_all(said).await.unwrap();
        let (took, _) = hung_up(&mut connection).await;
        assert!(within.contains(&took.as_secs()), "{took:?} after {said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_that_of_any_gateway_and_ends_all_the_same() {
    let mut connection = connect();
    for _ in 0..5 {
        ask(&mut connection).await;
        sleep(Duration::from_secs(95)).await;
    }
    ask(&mut connection).await;
    let (took, said) = hung_up(&mut connection).await;
    assert!((120..241).contains(&took.as_secs()), "{took:?}");
    assert_eq!(said, "");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_of_http_2_is_hung_up_on_within_a_minute() {
    let mut connection = connect();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    connection
        .write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat())
        .await
        .unwrap();
    let begun = Instant::now();
    let mut said = Vec::new();
    connection.read_to_end(&mut said).await.unwrap();
    let took = begun.elapsed();
    assert!((45..61).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_of_http_2_that_is_alive_is_told_to_end() {
    let stream = TokioIo::new(connect());
    let (mut sender, connection) =
        http2::handshake::<_, _, Empty<bytes::Bytes>>(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = || Request::get("http://h/").body(Empty::new()).unwrap();
    for _ in 0..5 {
        assert_eq!(sender.send_request(request()).await.unwrap().status(), 200);
        sleep(Duration::from_secs(95)).await;
    }
    assert_eq!(sender.send_request(request()).await.unwrap().status(), 200);
    let begun = Instant::now();
    connection.await.unwrap().unwrap();
    let took = begun.elapsed();
    assert!((120..241).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_none_of_its_answers_is_hung_up_on() {
    let (mut here, there) = duplex(1 << 16);
    let long = "x".repeat(1 << 20);
    let router = Router::new().route("/", get(|| async move { long }));
    let conversation = tokio::spawn(converse(there, None, router, CancellationToken::new()));
    here.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    conversation.await.unwrap();
    let took = begun.elapsed();
    assert!((29..32).contains(&took.as_secs()), "{took:?}");
}
