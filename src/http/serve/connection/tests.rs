//! Connections in memory, with a clock that runs ahead whenever nothing happens.

use std::time::Duration;

use axum::{http::Method, routing::any};
use futures_util::FutureExt as _;
use http_body_util::Empty;
use hyper::client::conn::http2;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::{Instant, sleep},
};

use axum::Router;

use super::{
    super::{ByHead, Head, ResponseFuture},
    *,
};

/// Answers everything by the library, and some of it by its head alone.
#[derive(Clone)]
struct Both {
    router: Router,
    by_head: bool,
}

impl Both {
    fn new(by_head: bool) -> Self {
        let asked = |method: Method| async move { format!("{method} by the library here") };
        Self { router: Router::new().route("/", any(asked)), by_head }
    }
}

impl Answers for Both {
    fn answer(&self, request: Request<Incoming>, peer: Option<SocketAddr>) -> ResponseFuture {
        self.router.answer(request, peer)
    }

    fn answers_heads(&self) -> bool {
        self.by_head
    }

    fn answer_head(&self, head: &Head<'_>, written: &mut Vec<u8>) -> ByHead {
        match head.target {
            "/" => {
                written.extend_from_slice(BY_HEAD);
                ByHead::Answered
            }
            "/later" => ByHead::Later(
                async {
                    sleep(Duration::from_secs(1)).await;
                    BY_HEAD.to_vec()
                }
                .boxed(),
            ),
            _ => ByHead::NeedsMore,
        }
    }
}

const BY_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\nby its head here";

/// The other side of a connection on which everything is answered.
fn connect() -> DuplexStream {
    connect_to(true)
}

fn connect_to(by_head: bool) -> DuplexStream {
    let (here, there) = duplex(1 << 20);
    tokio::spawn(converse(there, None, Both::new(by_head), CancellationToken::new()));
    here
}

/// What is said to `said` until the other side has answered all of it and hangs up.
async fn answers_to(said: &[u8], piece: usize) -> String {
    let mut connection = connect();
    for piece in said.chunks(piece) {
        if connection.write_all(piece).await.is_err() {
            // It was answered before it was whole, and hung up on.
            break;
        }
        // Every piece is read by itself.
        sleep(Duration::from_millis(1)).await;
    }
    hung_up(&mut connection).await.1
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
    for (begins_after, by_head) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut connection = connect_to(by_head);
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
        (&b""[..], 120..=240),
        (b"P", 9..=11),
        (b"PRI * HTTP/2.0\r\n\r\nSM", 9..=11),
        (b"GET / HTTP/1.1\r\n", 9..=11),
        (b"\r\n\r\n", 9..=11),
    ] {
        for by_head in [false, true] {
            let mut connection = connect_to(by_head);
            connection.write_all(said).await.unwrap();
            let (took, _) = hung_up(&mut connection).await;
            assert!(within.contains(&took.as_secs()), "{took:?} after {said:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_that_of_any_gateway_and_ends_all_the_same() {
    for by_head in [false, true] {
        let mut connection = connect_to(by_head);
        for _ in 0..5 {
            ask(&mut connection).await;
            sleep(Duration::from_secs(95)).await;
        }
        ask(&mut connection).await;
        let (took, said) = hung_up(&mut connection).await;
        assert!((120..241).contains(&took.as_secs()), "{took:?}");
        assert_eq!(said, "");
    }
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
    let router = Router::new().route("/", any(|| async move { long }));
    let conversation = tokio::spawn(converse(there, None, router, CancellationToken::new()));
    here.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    conversation.await.unwrap();
    let took = begun.elapsed();
    assert!((29..32).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_plain_is_answered_by_its_head_however_it_comes() {
    for plain in [
        "GET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\nhost: h\r\nCONNECTION: Keep-Alive\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /later HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        for piece in [1, 7, plain.len()] {
            let answer = answers_to(plain.as_bytes(), piece).await;
            assert_eq!(answer.as_bytes(), BY_HEAD, "{plain:?} in pieces of {piece}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_needs_more_than_its_head_is_left_to_the_library_from_its_first_byte() {
    for (said, status, answer) in [
        ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", 200, "POST by the library here"),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            200,
            "POST by the library here",
        ),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 200, "GET by the library here"),
        ("GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n", 200, "GET by the library here"),
        ("GET / HTTP/1.0\r\n\r\n", 200, "GET by the library here"),
        ("GET /?a HTTP/1.1\r\n\r\n", 200, "GET by the library here"),
        ("GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", 200, "GET by the library here"),
        ("HEAD / HTTP/1.1\r\n\r\n", 200, ""),
        ("GET /elsewhere HTTP/1.1\r\n\r\n", 404, ""),
        ("GET / HTTP/1.1\r\nContent-Length: a\r\n\r\n", 400, ""),
        ("GET / HTTP/1.1\r\nA header: 1\r\n\r\n", 400, ""),
        ("GET / HTTP/1.1\r\nfolded: 1\r\n 2\r\n\r\n", 400, ""),
        ("no request\r\n\r\n", 400, ""),
    ] {
        for piece in [1, 7, said.len()] {
            let told = answers_to(said.as_bytes(), piece).await;
            let why = format!("{told:?} to {said:?} in pieces of {piece}");
            assert!(told.contains(&format!("{status} ")), "{why}");
            assert!(told.ends_with(&format!("\r\n\r\n{answer}")), "{why}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_together_are_answered_in_their_order_each_by_whom_it_needs() {
    let said = "GET / HTTP/1.1\r\n\r\nGET /later HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n\
                PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyGET / HTTP/1.1\r\n\r\n";
    for piece in [1, 7, 30, said.len()] {
        let answers = answers_to(said.as_bytes(), piece).await;
        let whole = BY_HEAD.repeat(3);
        let rest = answers.as_bytes().strip_prefix(&whole[..]).unwrap();
        let rest = String::from_utf8_lossy(rest);
        let (put, get) = (rest.find("PUT by the library"), rest.find("GET by the library"));
        assert!(put.is_some() && put < get, "{answers}");
    }
}

#[tokio::test(start_paused = true)]
async fn however_many_requests_come_together_each_is_answered() {
    for count in [15, 16, 17, 32, 33, 500] {
        let said = "GET / HTTP/1.1\r\n\r\n".repeat(count);
        let answers = answers_to(said.as_bytes(), said.len()).await;
        assert_eq!(answers.as_bytes(), BY_HEAD.repeat(count), "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_long_is_answered_and_one_that_is_too_long_is_refused() {
    for (length, status) in [(20_000, 200), (60_000, 200), (200_000, 431)] {
        let long = "x".repeat(length);
        let said = format!("GET / HTTP/1.1\r\nlong: {long}\r\n\r\n");
        let told = answers_to(said.as_bytes(), said.len()).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{told}");
    }
    for (lines, status) in [(256, 200), (257, 431)] {
        let said = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(lines));
        let told = answers_to(said.as_bytes(), said.len()).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_draining_what_has_begun_is_answered_and_says_that_it_is_the_last() {
    for (said, expected) in [
        ("", ""),
        ("GET / HTTP/1.1\r\n\r\n", LAST),
        ("GET /later HTTP/1.1\r\n\r\n", LAST),
        ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", LAST),
    ] {
        let (mut here, there) = duplex(1 << 20);
        let draining = CancellationToken::new();
        let conversation = converse(there, None, Both::new(true), draining.clone());
        here.write_all(said.as_bytes()).await.unwrap();
        if said.contains("later") {
            let mut conversation = Box::pin(conversation);
            // It is under way when the drain begins.
            assert!(futures_util::poll!(&mut conversation).is_pending());
            draining.cancel();
            conversation.await;
        } else {
            draining.cancel();
            conversation.await;
        }
        assert_eq!(hung_up(&mut here).await.1, expected, "{said:?}");
    }
}

const LAST: &str =
    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 16\r\n\r\nby its head here";

#[tokio::test(start_paused = true)]
async fn whoever_takes_none_of_the_answers_to_its_heads_is_hung_up_on() {
    let (mut here, there) = duplex(1 << 10);
    let conversation =
        tokio::spawn(converse(there, None, Both::new(true), CancellationToken::new()));
    let begun = Instant::now();
    // What was written and not taken is not read behind, either.
    while here.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.is_ok() {}
    conversation.await.unwrap();
    let took = begun.elapsed();
    assert!((29..32).contains(&took.as_secs()), "{took:?}");
}
