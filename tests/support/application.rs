//! The application behind a gateway: it answers with what reached it.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its application has failed")]

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

/// A server on a thread of its own. It lives as long as the test.
#[derive(Debug)]
pub(crate) struct Application {
    /// Where it answers.
    pub(crate) address: SocketAddr,
    reached: Arc<AtomicUsize>,
}

impl Application {
    /// Starts one. Its answer is the request's headers as JSON, and `x-app-saw` with its method
    /// and target; a websocket is answered 101.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let reached = Arc::new(AtomicUsize::new(0));
        let router = Router::new().fallback(echo).with_state(Arc::clone(&reached));
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await
            })
        });
        Self { address, reached }
    }

    /// How many requests reached it so far.
    pub(crate) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

async fn echo(State(reached): State<Arc<AtomicUsize>>, request: Request) -> Response {
    reached.fetch_add(1, Ordering::SeqCst);
    let headers = request.headers();
    let saw = [("x-app-saw", format!("{} {}", request.method(), request.uri()))];
    if headers.get(header::UPGRADE).is_some_and(|asked| asked == "websocket") {
        let accepted = [
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            // Of the key in RFC 6455's own example.
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        return (StatusCode::SWITCHING_PROTOCOLS, saw, accepted).into_response();
    }
    (saw, Json(json!(values(headers)))).into_response()
}

fn values(headers: &HeaderMap) -> BTreeMap<&str, Vec<&str>> {
    let values = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap());
    headers.keys().map(|name| (name.as_str(), values(name).collect())).collect()
}
