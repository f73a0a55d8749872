//! What a listener answers with, and what gives it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{Router, body::Body};
use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, FutureExt as _, Ready, ready};
use hyper::{
    Request, Response,
    body::{Frame, Incoming, SizeHint},
};
use tower::ServiceExt as _;

use super::{
    Peer,
    heads::{ByHead, Head},
};

/// Gives the answers of a listener. Cloned for each connection.
pub trait Answers: Clone + Send + Sync + 'static {
    /// Answers `request`, which came from `peer` if that has an address.
    fn answer(&self, request: Request<Incoming>, peer: Option<SocketAddr>) -> ResponseFuture;

    /// Whether there are requests that are answered by their heads alone.
    fn answers_heads(&self) -> bool {
        false
    }

    /// Answers the request with this head behind what stands in `written`, if that is all it needs.
    fn answer_head(&self, head: &Head<'_>, written: &mut Vec<u8>) -> ByHead {
        let _ = (head, written);
        ByHead::NeedsMore
    }
}

/// An answer that is there, or one that something has to be waited for.
pub type ResponseFuture = Either<Ready<Response<Reply>>, BoxFuture<'static, Response<Reply>>>;

/// An answer that is there: nothing is allocated for it.
pub fn at_once(answer: Response<Reply>) -> ResponseFuture {
    Either::Left(ready(answer))
}

/// An answer that something has to be waited for.
pub fn later(answer: impl Future<Output = Response<Reply>> + Send + 'static) -> ResponseFuture {
    Either::Right(answer.boxed())
}

impl Answers for Router {
    fn answer(&self, request: Request<Incoming>, peer: Option<SocketAddr>) -> ResponseFuture {
        later(route(self.clone(), request.map(Body::new), peer))
    }
}

/// The answer of a router.
pub async fn route(
    router: Router,
    mut request: Request<Body>,
    peer: Option<SocketAddr>,
) -> Response<Reply> {
    if let Some(peer) = peer {
        request.extensions_mut().insert(Peer(peer));
    }
    match router.oneshot(request).await {
        Ok(answer) => answer.map(Reply::Routed),
        Err::<_, Infallible>(never) => match never {},
    }
}

/// The body of an answer.
#[derive(Debug)]
pub enum Reply {
    /// All of it is there; nothing once it was taken.
    Whole(Option<Bytes>),
    /// As a router made it.
    Routed(Body),
}

impl Reply {
    /// One without a byte.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Whole(None)
    }

    /// These bytes.
    #[must_use]
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

impl hyper::body::Body for Reply {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Routed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Routed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Routed(body) => body.size_hint(),
        }
    }
}
