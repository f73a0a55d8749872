//! A way to somebody, on which who comes through is counted.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its way has failed")]

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// A port that leads to another one.
#[derive(Debug)]
pub(crate) struct Way {
    /// Where it begins.
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    is_closed: Arc<AtomicBool>,
}

impl Way {
    /// Opens one that leads to `address`.
    pub(crate) fn to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let way = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            is_closed: Arc::default(),
        };
        let (connections, is_closed) = (Arc::clone(&way.connections), Arc::clone(&way.is_closed));
        thread::spawn(move || {
            for here in listener.incoming().map(Result::unwrap) {
                if is_closed.load(Ordering::SeqCst) {
                    return;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                join(here, TcpStream::connect(address).unwrap());
            }
        });
        way
    }

    /// How many came through so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// From now on nobody listens where it began.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts. Once it is gone, it is refused.
        while TcpStream::connect(self.address).is_ok() {
            thread::yield_now();
        }
    }
}

/// Carries bytes both ways until either side hangs up.
fn join(here: TcpStream, there: TcpStream) {
    for (mut from, mut to) in
        [(here.try_clone().unwrap(), there.try_clone().unwrap()), (there, here)]
    {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            // Either may have hung up already.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
