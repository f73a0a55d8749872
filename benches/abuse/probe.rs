//! How long an instance takes to answer about customers that it knows.
//!
//! A gateway's connections stay open: fifty of them ask 20 times a second each. New ones are tried
//! twenty times a second: each asks once. An answer that holds up the next question makes that one
//! count from when it was due.

use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    KNOWN,
    crowd::{Crowd, customer_id},
    raw::Raw,
};

/// How long each answer took.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// On connections that stay open.
    pub(crate) kept: Vec<Duration>,
    /// On new ones, from before they were opened. What was not answered within [`PATIENCE`] counts
    /// as that.
    pub(crate) new: Vec<Duration>,
}

/// Asks while something is done.
pub(crate) fn during<T>(
    check: SocketAddr,
    crowd: Crowd,
    kept: &[TcpStream],
    something: impl FnOnce() -> T,
) -> (Answers, T) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking: Vec<_> =
            kept.iter().map(|stream| scope.spawn(|| ask_on(over(stream), crowd, &stop))).collect();
        let connecting = scope.spawn(|| ask_anew(check, crowd, &stop));
        let done = something();
        stop.store(true, Ordering::SeqCst);
        let kept = asking.into_iter().flat_map(|one| one.join().unwrap()).collect();
        (Answers { kept, new: connecting.join().unwrap() }, done)
    })
}

/// Connections that stay open.
pub(crate) fn connect(check: SocketAddr) -> Vec<TcpStream> {
    let streams: Vec<_> = (0..CONNECTIONS).map(|_| TcpStream::connect(check).unwrap()).collect();
    for stream in &streams {
        stream.set_nodelay(true).unwrap();
    }
    streams
}

fn over(stream: &TcpStream) -> Raw {
    Raw::over(stream.try_clone().unwrap(), stream.try_clone().unwrap())
}

/// Asks about every known customer once, so that they are known.
pub(crate) fn know(stream: &TcpStream, crowd: Crowd) {
    let mut connection = over(stream);
    for nth in 0..KNOWN {
        let _ = connection.send(question(crowd, nth)).answer();
    }
}

fn ask_on(mut connection: Raw, crowd: Crowd, stop: &AtomicBool) -> Vec<Duration> {
    each_due(EVERY, stop, |nth| {
        let answer = connection.send(question(crowd, nth)).answer();
        assert_eq!(answer.status, 200, "{answer:?}");
    })
}

fn ask_anew(check: SocketAddr, crowd: Crowd, stop: &AtomicBool) -> Vec<Duration> {
    each_due(EVERY, stop, |nth| {
        let Ok(stream) = TcpStream::connect_timeout(&check, PATIENCE) else { return };
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let answer = over(&stream).send(question(crowd, nth)).try_answer();
        assert!(answer.is_none_or(|answer| answer.status == 200), "it is refused");
    })
}

/// Does it at every due time until it is stopped. Returns how long after that each was done.
fn each_due(every: Duration, stop: &AtomicBool, mut it: impl FnMut(u64)) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut due = Instant::now();
    for nth in 0.. {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::SeqCst) {
            break;
        }
        // The caller that overslept is no fault of the server: only what the last answer held up
        // counts from when it was due.
        let begun =
            if took.last().is_some_and(|last| *last > every) { due } else { Instant::now() };
        it(nth);
        took.push(begun.elapsed());
        due += every;
    }
    took
}

fn question(crowd: Crowd, nth: u64) -> String {
    // Neighbours in number would be neighbours in memory.
    let customer = customer_id(crowd.restricted + nth * 7919 % KNOWN);
    format!(
        "GET /v1/forward-auth HTTP/1.1\r\nHost: tollgate\r\nX-Customer-Id: {customer}\r\n\
         X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /\r\n\r\n"
    )
}

const CONNECTIONS: u32 = 50;
/// How often each of them asks.
const EVERY: Duration = Duration::from_millis(50);
/// How long a new connection waits for its answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
