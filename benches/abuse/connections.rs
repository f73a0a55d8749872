//! Those who take connections: who asks nothing, who does not take the answers, who never comes to
//! the end of a question.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use crate::{
    abuses::{Abused, Begun},
    support::tollgate::Tollgate,
};

/// Many connections, and what is done on each of them again and again.
pub(crate) struct Held {
    check: SocketAddr,
    clients: Vec<Client>,
    /// Those on the unix socket. They only stay.
    staying: Vec<UnixStream>,
    wanted: usize,
    what: &'static str,
    again: fn(&mut Client) -> Went,
    /// How often one was hung up on and came back.
    back: usize,
}

/// One of them.
struct Client {
    stream: TcpStream,
    /// How much it has sent.
    sent: usize,
}

/// What came of it on one connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Went {
    On,
    /// The other side hung up.
    Over,
}

/// Who asks once and then stays.
pub(crate) fn idle(abused: &Abused<'_>, count: usize) -> Held {
    let mut held = Held::of(abused, count, "idle connections", |_| Went::On);
    for Client { stream, .. } in &mut held.clients {
        stream.write_all(QUESTION).unwrap();
        // Whoever finds no place waits for its answer.
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        if stream.read(&mut [0; 1024]).is_err() {
            break;
        }
    }
    // Each listener has its own places: those that the port has no room for come by the socket.
    let rest = (held.wanted - held.clients.len()).min(room(abused.tollgate));
    held.staying = (0..rest)
        .map(|_| {
            let mut stream = UnixStream::connect(abused.socket).unwrap();
            stream.write_all(QUESTION).unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0, "it is hung up on");
            stream
        })
        .collect();
    held
}

/// Who asks all the time and takes no answer, until nothing is taken from it either.
pub(crate) fn readers(abused: &Abused<'_>, count: usize) -> Held {
    let mut held = Held::of(abused, count, "connections that take no answer", |client| {
        loop {
            let question = long_question();
            match client.stream.write(&question[client.sent % question.len()..]) {
                Ok(more) => client.sent += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Went::On,
                Err(_) => return Went::Over,
            }
        }
    });
    let begun = Instant::now();
    let sent = |held: &Held| held.clients.iter().map(|client| client.sent).sum::<usize>();
    let mut before = None;
    while before != Some(sent(&held)) && begun.elapsed() < Duration::from_secs(20) {
        before = Some(sent(&held));
        held.again();
        thread::sleep(Duration::from_millis(500));
    }
    held
}

/// Who sends a question byte by byte.
pub(crate) fn writers(abused: &Abused<'_>, count: usize) -> Held {
    Held::of(abused, count, "connections that send a byte a second", |client| {
        match (client.stream.write(b"G"), client.stream.read(&mut [0; 64])) {
            (Ok(_), Err(error)) if error.kind() == ErrorKind::WouldBlock => Went::On,
            _ => Went::Over,
        }
    })
}

impl Held {
    fn of(
        abused: &Abused<'_>,
        count: usize,
        what: &'static str,
        again: fn(&mut Client) -> Went,
    ) -> Self {
        let wanted = if abused.is_quick { count / 10 } else { count };
        let check = abused.tollgate.check;
        let connect = || TcpStream::connect_timeout(&check, Duration::from_secs(2));
        let fits = wanted.min(room(abused.tollgate));
        let connected = (0..fits).map_while(|_| connect().ok());
        let clients = connected.map(|stream| Client { stream, sent: 0 }).collect();
        Self { check, clients, staying: Vec::new(), wanted, what, again, back: 0 }
    }

    fn again(&mut self) {
        for client in &mut self.clients {
            client.stream.set_nonblocking(true).unwrap();
            let soon = Duration::from_millis(50);
            if (self.again)(client) == Went::Over
                && let Ok(stream) = TcpStream::connect_timeout(&self.check, soon)
            {
                *client = Client { stream, sent: 0 };
                self.back += 1;
            }
        }
    }
}

impl Begun for Held {
    fn go_on(&mut self, time: Duration) -> String {
        let end = Instant::now() + time;
        let mut next = Instant::now();
        while next < end {
            self.again();
            next += Duration::from_secs(1);
            thread::sleep(next.min(end).saturating_duration_since(Instant::now()));
        }
        let Self { clients, staying, wanted, what, back, .. } = self;
        let held = clients.len() + staying.len();
        let back = if *back == 0 { String::new() } else { format!(", {back} of them anew") };
        format!("{held} of {wanted} {what}{back}")
    }
}

/// How many connections of one listener the files that a process may have open leave room for: it
/// shares them out among four, and others connect too.
fn room(tollgate: &Tollgate) -> usize {
    let limits = fs::read_to_string(format!("/proc/{}/limits", tollgate.process())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let files = files.split_whitespace().next().unwrap().parse();
    files.map_or(usize::MAX, |files: usize| files / 4 - 100)
}

/// Whose answer is as long as one can be.
fn long_question() -> &'static [u8] {
    static QUESTION: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let checks = vec!["{\"customerId\":\"nobody\",\"action\":\"read\"}"; 100].join(",");
        let body = format!("{{\"checks\":[{checks}]}}");
        let length = body.len();
        format!(
            "POST /v1/checks HTTP/1.1\r\nHost: tollgate\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    });
    &QUESTION
}

const QUESTION: &[u8] = b"POST /v1/forward-auth HTTP/1.1\r\nHost: tollgate\r\n\
    X-Customer-Id: nobody\r\nContent-Length: 0\r\n\r\n";
