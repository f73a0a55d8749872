//! The server library alone, with the headers that Tollgate sends.

use std::{collections::BTreeMap, convert::Infallible, future::ready};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub(super) async fn serve(listener: TcpListener, headers: &str) {
    let headers: BTreeMap<String, String> = serde_json::from_str(headers).unwrap();
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect::<HeaderMap<HeaderValue>>();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let headers = headers.clone();
        tokio::spawn(async move {
            let answer = service_fn(|_: Request<Incoming>| {
                let mut answer = Response::new(Empty::<Bytes>::new());
                *answer.headers_mut() = headers.clone();
                ready(Ok::<_, Infallible>(answer))
            });
            // Whoever asks may leave at any moment.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}
