//! Requests of HTTP/1.1 that are answered by their heads alone, ahead of the server library.
//!
//! A gateway's question has no body, and its answer is written at once. Neither a map of its
//! headers nor a task for its body is needed for that, and they are most of what the library costs.
//! So what is plain is answered here; from the first request on that is not, the library has the
//! connection, as if nobody had looked at it before.

use std::{
    cell::RefCell,
    fmt::{self, Debug},
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::http::HeaderName;
use futures_util::future::BoxFuture;
use httparse::{Request, Status};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    task::yield_now,
};

use super::{
    Answers,
    limits::{HEAD_AHEAD, HEADER_LINES_AT_MOST},
    patience::{Activity, Patient},
};
use crate::identify::{Headers, Lengths};

/// The head of a request that has no body, and after which the connection stays open.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its target, as it came.
    pub target: &'a str,
    lines: &'a [httparse::Header<'a>],
    lengths: Lengths,
}

impl Headers for Head<'_> {
    fn lines<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let lines = if self.lengths.may_have(name) { self.lines } else { &[] };
        let name = name.as_str();
        let named = move |line: &&httparse::Header<'_>| {
            line.name.len() == name.len() && line.name.eq_ignore_ascii_case(name)
        };
        lines.iter().filter(named).map(|line| line.value)
    }
}

/// What came of a request, of which no more than the head was looked at.
pub enum ByHead {
    /// Its answer is written.
    Answered,
    /// Its answer is waited for.
    Later(BoxFuture<'static, Vec<u8>>),
    /// It needs more than this.
    NeedsMore,
}

impl Debug for ByHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Answered => "Answered",
            Self::Later(_) => "Later",
            Self::NeedsMore => "NeedsMore",
        })
    }
}

/// Answers what is asked on `stream` until `is_over` says so. Gives back what was read of the
/// first request that needs more, or nothing when the connection has ended.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut Patient<S>,
    answers: &impl Answers,
    activity: &Arc<Activity>,
    mut is_over: impl FnMut(&mut Context<'_>) -> bool,
) -> io::Result<Option<Vec<u8>>> {
    let mut dialogue = Dialogue { stream, answers, activity, kept: Vec::new(), unread: false };
    loop {
        let turn = poll_fn(|context| {
            let closing = is_over(context);
            dialogue.poll_turn(context, closing)
        });
        let Turn { unsent, next } = turn.await?;
        if let Some(unsent) = unsent {
            dialogue.send(&unsent).await?;
        }
        match next {
            // Whoever asks much at once does not keep others waiting.
            Next::Request if dialogue.unread => yield_now().await,
            Next::Request => {}
            Next::Answer(answer) => {
                let running = activity.begin();
                let mut answer = answer.await;
                drop(running);
                let closing = poll_fn(|context| Poll::Ready(is_over(context))).await;
                if closing {
                    say_close(&mut answer, 0);
                }
                dialogue.send(&answer).await?;
                if closing {
                    dialogue.stream.shutdown().await?;
                    return Ok(None);
                }
            }
            Next::Library => return Ok(Some(dialogue.kept)),
            Next::End => {
                dialogue.stream.shutdown().await?;
                return Ok(None);
            }
        }
    }
}

struct Dialogue<'a, S, A> {
    stream: &'a mut Patient<S>,
    answers: &'a A,
    activity: &'a Activity,
    /// What came and is not answered.
    kept: Vec<u8>,
    /// Whether that may be a whole head.
    unread: bool,
}

/// What one reading came to.
struct Turn {
    /// What the other side has not taken yet of its answers.
    unsent: Option<Vec<u8>>,
    next: Next,
}

enum Next {
    /// To read on.
    Request,
    /// To wait for an answer.
    Answer(BoxFuture<'static, Vec<u8>>),
    /// To let the library go on with what is kept.
    Library,
    /// To end.
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin, A: Answers> Dialogue<'_, S, A> {
    /// Reads once, and answers every request that has come whole. When `closing`, that is at most
    /// one more.
    fn poll_turn(&mut self, context: &mut Context<'_>, closing: bool) -> Poll<io::Result<Turn>> {
        DESK.with_borrow_mut(|Desk { read, written }| {
            let mut buffer = ReadBuf::new(read);
            if buffer.remaining() <= self.kept.len() {
                return Poll::Ready(Ok(Turn { unsent: None, next: Next::Library }));
            }
            buffer.put_slice(&self.kept);
            if !self.unread {
                let polled = Pin::new(&mut *self.stream).poll_read(context, &mut buffer);
                if closing && polled.is_pending() {
                    let next = if self.kept.is_empty() { Next::End } else { Next::Library };
                    return Poll::Ready(Ok(Turn { unsent: None, next }));
                }
                ready!(polled)?;
                if buffer.filled().len() == self.kept.len() {
                    return Poll::Ready(Ok(Turn { unsent: None, next: Next::End }));
                }
            }
            written.clear();
            let next = self.answer_all(buffer.filled(), closing, written);
            let unsent = self.poll_send(context, written)?;
            Poll::Ready(Ok(Turn { unsent, next }))
        })
    }

    /// Writes the answers to what has come into `written`, and keeps the rest.
    fn answer_all(&mut self, come: &[u8], closing: bool, written: &mut Vec<u8>) -> Next {
        let mut rest = come;
        self.unread = false;
        let mut answers = 0;
        let next = loop {
            if rest.is_empty() {
                break Next::Request;
            }
            if answers == ANSWERS_AT_ONCE {
                self.unread = true;
                break Next::Request;
            }
            answers += 1;
            let mut room = [const { MaybeUninit::uninit() }; HEADER_LINES_AT_MOST];
            let (head, length) = match parse(rest, &mut room) {
                Parsed::Whole(head, length) => (head, length),
                Parsed::Part => break Next::Request,
                Parsed::NotPlain => break Next::Library,
            };
            let begins = written.len();
            let answered = self.answers.answer_head(&head, written);
            if matches!(answered, ByHead::NeedsMore) {
                break Next::Library;
            }
            rest = rest.get(length..).unwrap_or_default();
            if let ByHead::Later(answer) = answered {
                self.unread = !rest.is_empty();
                break Next::Answer(answer);
            }
            self.activity.count();
            if closing {
                say_close(written, begins);
                break Next::End;
            }
        };
        self.kept.clear();
        self.kept.extend_from_slice(rest);
        next
    }

    /// Sends what the other side takes at once, and returns the rest.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        written: &[u8],
    ) -> io::Result<Option<Vec<u8>>> {
        let mut rest = written;
        while !rest.is_empty() {
            match Pin::new(&mut *self.stream).poll_write(context, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => rest = rest.get(count..).unwrap_or_default(),
                Poll::Pending => return Ok(Some(rest.to_vec())),
            }
        }
        let is_flushed = Pin::new(&mut *self.stream).poll_flush(context)?.is_ready();
        Ok((!is_flushed).then(Vec::new))
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}

/// What came of reading a head.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// This one, of so many bytes.
    Whole(Head<'a>, usize),
    /// It has not come whole.
    Part,
    /// Something else than a plain request: the library knows what to say to it.
    NotPlain,
}

/// The head at the beginning of `bytes`. The library reads heads with the same parser, and asks
/// the same of it.
pub fn parse<'a>(bytes: &'a [u8], room: &'a mut [MaybeUninit<httparse::Header<'a>>]) -> Parsed<'a> {
    let mut request = Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Parsed::Part,
        Err(_) => return Parsed::NotPlain,
    };
    let Request { method: Some(method), path: Some(target), version: Some(HTTP_1_1), headers } =
        request
    else {
        return Parsed::NotPlain;
    };
    // The answers to these two have no body.
    if matches!(method, "HEAD" | "CONNECT") || !headers.iter().all(is_plain) {
        return Parsed::NotPlain;
    }
    let lengths = headers.iter().map(|line| line.name.len()).collect();
    Parsed::Whole(Head { target, lines: headers, lengths }, length)
}

/// Whether a header says nothing of a body, nor of what becomes of the connection.
fn is_plain(line: &httparse::Header<'_>) -> bool {
    let is = |name: &str| line.name.eq_ignore_ascii_case(name);
    match line.name.len() {
        6 => !is("expect"),
        10 => !is("connection") || line.value.eq_ignore_ascii_case(b"keep-alive"),
        14 => !is("content-length") || line.value == b"0",
        17 => !is("transfer-encoding"),
        _ => true,
    }
}

/// Says in the answer that begins there that it is the last one.
fn say_close(answers: &mut Vec<u8>, begins: usize) {
    let line = answers.get(begins..).unwrap_or_default();
    let Some(length) = line.windows(2).position(|end| end == b"\r\n") else { return };
    let at = begins + length + 2;
    answers.splice(at..at, *b"connection: close\r\n");
}

/// Where one thread reads and writes. A connection that is silent has no room of its own.
struct Desk {
    read: Box<[u8]>,
    written: Vec<u8>,
}

thread_local! {
    static DESK: RefCell<Desk> =
        RefCell::new(Desk { read: vec![0; HEAD_AHEAD].into(), written: Vec::new() });
}

const HTTP_1_1: u8 = 1;
/// How many requests that came together are answered before others have their turn.
const ANSWERS_AT_ONCE: usize = 16;
