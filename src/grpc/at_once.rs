//! Envoy's question as it nearly always comes: whole, in one frame and not compressed. It is
//! answered without the library, which is left everything else.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header},
};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    future::{Either, FutureExt as _},
    stream,
};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use hyper::body::{Body as HttpBody, Frame};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::{
    Authorizer, MESSAGE_TIMEOUT, QUESTION_AT_MOST,
    deadline::Deadline,
    not_sent,
    question::{self, Question, Said},
    verdict::{framed, framed_pass, missed, verdict},
};
use crate::domain::Enforcement;

impl Authorizer {
    /// Whether `request` may be such a question, as far as its head tells.
    pub fn may_answer_at_once<B>(&self, request: &Request<B>) -> bool {
        let headers = request.headers();
        let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        request.uri().path() == CHECK
            && request.method() == Method::POST
            && request.version() == Version::HTTP_2
            && kind == Some(b"application/grpc")
            && !headers.contains_key("grpc-encoding")
            // Somebody else tells what a call belongs to.
            && self.gate.settings().traces.is_none()
    }

    /// Answers `request`, or gives it back to be answered by the library.
    pub async fn answer_at_once<B>(
        &self,
        request: Request<B>,
    ) -> Either<Response<Body>, Request<Body>>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static,
    {
        let deadline = Deadline::of(request.headers(), self.clock.moment());
        let (mut head, mut body) = request.into_parts();
        let first = match body.frame().now_or_never() {
            // It nearly always came with the head.
            Some(first) => first,
            None => match timeout(MESSAGE_TIMEOUT, body.frame()).await {
                Ok(first) => first,
                Err(_) => return Either::Left(not_sent()),
            },
        };
        let data = first.as_ref().and_then(|it| it.as_ref().ok()?.data_ref());
        let whole = data.filter(|_| body.is_end_stream());
        let asked = whole.and_then(|data| self.read_at_once(data));
        let Some(asked) = asked else {
            // The time runs on.
            head.extensions.insert(deadline);
            let rest = stream::iter(first).chain(BodyStream::new(body));
            return Either::Right(Request::from_parts(head, Body::new(StreamBody::new(rest))));
        };
        let told = match self.decide(&asked, deadline).await {
            None => Err(missed()),
            Some(answer) if answer.enforcement == Enforcement::Pass => {
                let check = asked.check.as_ref();
                Ok(framed_pass(&answer, check.and_then(|check| check.identity.as_ref().ok())))
            }
            Some(answer) => verdict(&answer, &asked).map(|response| framed(&response)),
        };
        Either::Left(told.map_or_else(Status::into_http, |message| {
            let mut response = Response::new(Body::new(Told::all(message)));
            response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
            response
        }))
    }

    fn read_at_once(&self, data: &[u8]) -> Option<Question> {
        let message = unframed(data)?;
        let said = Said::at_a_look(message, &self.identity)?;
        let min_revision = self.min_revision_header.as_ref();
        Some(question::read(&said, &self.identity, min_revision, &self.gate.rules()))
    }
}

/// The one message in `data`, if it is whole and not compressed.
fn unframed(data: &[u8]) -> Option<&[u8]> {
    let (frame, message) = data.split_first_chunk::<5>()?;
    let [0, length @ ..] = *frame else { return None };
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    (length == message.len() && length <= QUESTION_AT_MOST).then_some(message)
}

/// One message, and that all went well.
struct Told {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Told {
    fn all(message: Bytes) -> Self {
        let ok = HeaderValue::from(Code::Ok as i32);
        let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, ok)]);
        Self { message: Some(message), trailers: Some(trailers) }
    }
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let message = self.message.take().map(Frame::data);
        let next = message.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(next.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
    }
}

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
