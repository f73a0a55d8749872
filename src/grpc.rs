//! What is asked over gRPC on the check listener: Envoy's external authorization, health and
//! reflection.

mod at_once;
mod deadline;
mod ext_authz;
mod health;
mod message;
mod question;
mod verdict;

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Version, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use tokio::time::timeout;
use tonic::{Code, Status, service::Routes};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;

pub use self::ext_authz::Authorizer;
use self::{
    deadline::Deadline,
    health::Health,
    message::{DESCRIPTORS, envoy::service::auth::v3::authorization_server::AuthorizationServer},
};
use crate::{clock::Clock, lifecycle::Readiness, wire};

/// The services of the check listener. They are told apart from its other URLs by their paths, and
/// answer nothing but gRPC.
pub fn router(authorizer: Authorizer, readiness: Readiness) -> Router {
    let clock = authorizer.clock.clone();
    let authorization =
        AuthorizationServer::new(authorizer).max_decoding_message_size(QUESTION_AT_MOST);
    let health =
        HealthServer::new(Health::new(readiness)).max_decoding_message_size(OTHERS_AT_MOST);
    let mut routes = Routes::new(authorization).add_service(health);
    let described = Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    match described {
        Ok(reflection) => {
            routes = routes.add_service(reflection.max_decoding_message_size(OTHERS_AT_MOST));
        }
        // It describes; whoever asks for a decision can do without.
        Err(error) => tracing::error!(%error, "There is no gRPC reflection: {error}"),
    }
    let services = routes.into_axum_router().reset_fallback();
    services
        .layer(from_fn(give_up))
        .layer(from_fn(say_what_is_exhausted))
        .layer(from_fn_with_state(clock, note_deadline))
        .layer(from_fn(refuse_others))
}

/// An answer of gRPC is 200 whatever it says, which a gateway that asks in another dialect would
/// take for a pass: so whoever does not speak gRPC is refused.
async fn refuse_others(request: Request, next: Next) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    let is_grpc = rest.is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]));
    if is_grpc && request.version() == Version::HTTP_2 {
        return next.run(request).await;
    }
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let message = "this URL takes gRPC over HTTP/2 and nothing else";
    let body = wire::error_body("UNSUPPORTED_MEDIA_TYPE", message);
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, json, body).into_response()
}

/// The time runs from a request's head, and not from its message's last byte.
async fn note_deadline(State(clock): State<Clock>, mut request: Request, next: Next) -> Response {
    // It may be known already.
    if request.extensions().get::<Deadline>().is_none() {
        let deadline = Deadline::of(request.headers(), clock.moment());
        request.extensions_mut().insert(deadline);
    }
    next.run(request).await
}

/// Whoever begins a call and does not send its message is not waited for. The answer to a stream
/// begins before its messages come, so it may go on.
async fn give_up(request: Request, next: Next) -> Response {
    let answer = timeout(MESSAGE_TIMEOUT, next.run(request)).await;
    answer.unwrap_or_else(|_| not_sent())
}

fn not_sent() -> Response {
    let why = format!("the message did not arrive within {MESSAGE_TIMEOUT:?}");
    Status::deadline_exceeded(why).into_http()
}

/// A message over its size is told as such. The library says that it is out of range, which is for
/// seeking in a file.
async fn say_what_is_exhausted(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let status = response.headers_mut().get_mut(Status::GRPC_STATUS);
    if let Some(status) = status.filter(|status| is_code(status, Code::OutOfRange)) {
        *status = HeaderValue::from(Code::ResourceExhausted as i32);
    }
    response
}

fn is_code(status: &HeaderValue, code: Code) -> bool {
    Code::from_bytes(status.as_bytes()) == code
}

/// Longer than any check takes.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Four times the headers that Envoy accepts unless it is told otherwise, to leave room for
/// metadata.
const QUESTION_AT_MOST: usize = 256 * 1024;
const OTHERS_AT_MOST: usize = 16 * 1024;
