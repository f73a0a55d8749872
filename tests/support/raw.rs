//! What no HTTP client would send, a Redis spoken to by hand, and a Tollgate that is expected to
//! end.

#![expect(clippy::unwrap_used, reason = "a test that cannot speak has failed")]

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A connection on which every byte is the test's own.
pub(crate) struct Raw {
    reader: BufReader<Box<dyn Read>>,
    writer: Box<dyn Write>,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    /// Everything above the empty line.
    pub(crate) head: String,
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: String,
}

impl RawAnswer {
    /// Every value of a header, whatever its case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let named = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} comes twice: {self:?}");
        all.first().copied()
    }

    /// The reason code.
    pub(crate) fn reason(&self) -> &str {
        self.header("x-tollgate-reason").unwrap_or_default()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl Raw {
    /// Connects to a port.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, PATIENCE)
    }

    /// Connects to a port, and waits this long for an answer.
    pub(crate) fn connect_with(address: SocketAddr, patience: Duration) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        let reader: Box<dyn Read> = Box::new(stream.try_clone().unwrap());
        Self { reader: BufReader::new(reader), writer: Box::new(stream) }
    }

    /// Connects to a unix socket.
    pub(crate) fn connect_unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader: Box<dyn Read> = Box::new(stream.try_clone().unwrap());
        Self { reader: BufReader::new(reader), writer: Box::new(stream) }
    }

    /// Speaks on a connection that is there already: what comes is read from `reader`, and what is
    /// sent is written to `writer`.
    pub(crate) fn over(reader: impl Read + 'static, writer: impl Write + 'static) -> Self {
        Self { reader: BufReader::new(Box::new(reader)), writer: Box::new(writer) }
    }

    /// Sends these bytes. The other side may have hung up already.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.writer.write_all(bytes.as_ref());
        let _ = self.writer.flush();
        self
    }

    /// Sends a request without a body.
    pub(crate) fn request(&mut self, line: &str, headers: &[(&str, &str)]) -> &mut Self {
        let mut head = format!("{line}\r\nHost: tollgate\r\n");
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        self.send(head + "\r\n")
    }

    /// Reads an answer whose body is as long as its head says.
    pub(crate) fn answer(&mut self) -> RawAnswer {
        let answer = self.head();
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        RawAnswer { body: String::from_utf8(body).unwrap(), ..answer }
    }

    /// Reads an answer as [`Self::answer`] does. Nothing if the other side hung up instead.
    pub(crate) fn try_answer(&mut self) -> Option<RawAnswer> {
        let is_there = self.reader.fill_buf().is_ok_and(|read| !read.is_empty());
        is_there.then(|| self.answer())
    }

    /// Reads the head of an answer, and leaves what follows it.
    pub(crate) fn head(&mut self) -> RawAnswer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.reader.read_line(&mut head).unwrap();
            assert!(read > 0, "the connection ended within {head:?}");
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        RawAnswer { status: status.unwrap(), head, body: String::new() }
    }

    /// The status of an answer to what the other side need not hear to its end. Nothing if it hung
    /// up so early that its answer was lost.
    pub(crate) fn refusal(&mut self) -> Option<u16> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok()?;
        line.split(' ').nth(1)?.parse().ok()
    }

    /// Whether the other side says nothing more and hangs up.
    pub(crate) fn is_closed(&mut self) -> bool {
        // Either it ends in order, or what we sent and it never read makes it a reset.
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset && rest.is_empty(),
        }
    }
}

/// Asks once, on a connection of its own.
pub(crate) fn raw(address: SocketAddr, line: &str, headers: &[(&str, &str)]) -> RawAnswer {
    Raw::connect(address).request(line, headers).answer()
}

/// Sends Redis one command, at a URL that a test's server gave, and returns its answer as text.
pub(crate) fn redis(url: &str, command: &[&str]) -> String {
    let mut connection = match url.strip_prefix("redis+unix://") {
        Some(path) => Raw::connect_unix(Path::new(path)),
        None => Raw::connect(url.trim_start_matches("redis://").parse().unwrap()),
    };
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        let _ = write!(request, "${}\r\n{word}\r\n", word.len());
    }
    connection.send(request).reply()
}

impl Raw {
    /// Reads one answer of Redis; the elements of a list are lines.
    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match (kind, rest.parse::<usize>()) {
            ("$", Ok(length)) => {
                let mut bulk = vec![0; length + 2];
                self.reader.read_exact(&mut bulk).unwrap();
                bulk.truncate(length);
                String::from_utf8(bulk).unwrap()
            }
            ("*", Ok(count)) => (0..count).map(|_| self.reply()).collect::<Vec<_>>().join("\n"),
            _ => rest.to_owned(),
        }
    }
}

/// A process that ends, and what it wrote to standard error.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How it ended.
    pub(crate) code: Option<i32>,
    /// What it said.
    pub(crate) stderr: String,
}

/// Runs a program to its end, which must come soon.
pub(crate) fn run_to_end(command: &mut Command) -> Ended {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let said = thread::spawn(move || {
        let mut said = String::new();
        let _ = stderr.read_to_string(&mut said);
        said
    });
    let status = wait(&mut child);
    Ended { code: status.and_then(|status| status.code()), stderr: said.join().unwrap() }
}

/// A program that runs until it is asked to stop. Killed on drop.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
}

impl Running {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// Reads its log up to a line that holds `text`. Nothing if it ended instead.
    pub(crate) fn read_until(&mut self, text: &str) -> Option<String> {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
        }
        Some(line)
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        wait(&mut self.child).and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing if it had to be killed.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

const PATIENCE: Duration = Duration::from_secs(10);
