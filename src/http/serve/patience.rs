//! A connection whose other side is waited for, but not for ever.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::limits::{HEAD_TIMEOUT, IDLE_TIMEOUT, WRITE_TIMEOUT};

/// What is under way on a connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    running: AtomicUsize,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn(Arc<Activity>);

impl Activity {
    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>) -> Turn {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        Turn(Arc::clone(self))
    }

    /// A request has come, and is answered already.
    pub(super) fn count(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends when nothing was asked for a while.
    pub(super) async fn idle(&self) {
        let mut seen = None;
        loop {
            let begun = self.begun();
            if seen == Some(begun) && !self.is_running() {
                return;
            }
            seen = Some(begun);
            sleep(IDLE_TIMEOUT).await;
        }
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of a connection. Reading fails once the head of a request of HTTP/1 is not whole
/// [`HEAD_TIMEOUT`] after its first byte, writing once nothing was taken for [`WRITE_TIMEOUT`].
///
/// Silence between two requests is no matter for this: see [`Activity::idle`]. Neither is a head of
/// HTTP/2 that comes in pieces, because who sends one cannot answer a ping.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    /// What was read and given back.
    given_back: Bytes,
    activity: Arc<Activity>,
    /// How much of what HTTP/2 begins with has come; nothing once something else has.
    preface: Option<usize>,
    /// How many requests had come when a head began, while it is not whole.
    head: Option<u64>,
    head_timer: Timer,
    write_timer: Timer,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            given_back: Bytes::new(),
            activity,
            preface: Some(0),
            head: None,
            head_timer: Timer::default(),
            write_timer: Timer::default(),
        }
    }

    /// Gives back what was read, to be read again.
    pub(super) fn give_back(&mut self, bytes: Vec<u8>) {
        self.given_back = bytes.into();
    }

    fn is_http_2(&self) -> bool {
        self.preface == Some(PREFACE.len())
    }

    fn note(&mut self, bytes: &[u8]) {
        if let Some(known) = self.preface.filter(|known| *known < PREFACE.len()) {
            let rest = PREFACE.get(known..).unwrap_or_default();
            let length = rest.len().min(bytes.len());
            let goes_on = rest.get(..length) == bytes.get(..length);
            self.preface = goes_on.then_some(known + length);
        }
        // What comes while a request is answered is its body.
        if !bytes.is_empty() && !self.activity.is_running() && !self.head_is_due() {
            self.head = Some(self.activity.begun());
            self.head_timer.stop();
        }
    }

    /// Whether a head has begun and is not whole.
    fn head_is_due(&self) -> bool {
        self.head == Some(self.activity.begun()) && !self.is_http_2()
    }
}

/// Runs from the first time that it is asked.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn stop(&mut self) {
        self.0 = None;
    }

    fn is_over(&mut self, after: Duration, context: &mut Context<'_>) -> bool {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep(after)));
        timer.as_mut().poll(context).is_ready()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.given_back.is_empty() {
            let length = this.given_back.len().min(buffer.remaining());
            buffer.put_slice(&this.given_back.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_ready() {
            this.note(buffer.filled().get(before..).unwrap_or_default());
        } else if !this.head_is_due() {
            this.head_timer.stop();
        } else if this.head_timer.is_over(HEAD_TIMEOUT, context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: Unpin> Patient<S> {
    fn write<T>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        let written = write(Pin::new(&mut this.stream), context);
        if written.is_ready() {
            this.write_timer.stop();
        } else if this.write_timer.is_over(WRITE_TIMEOUT, context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(context, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(context, AsyncWrite::poll_shutdown)
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
