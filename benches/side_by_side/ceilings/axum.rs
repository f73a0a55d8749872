//! The usual service: a router, and what a handler usually asks.

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
    serve::ListenerExt as _,
};
use moka::sync::Cache;
use redis::{AsyncCommands as _, aio::MultiplexedConnection};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::question::{ACTIVE, CHECK, FORWARD_AUTH};

/// Asks nobody.
pub(super) async fn hello(listener: TcpListener) {
    answer(listener, Router::new().route(FORWARD_AUTH, get(async || "Hello, World!"))).await;
}

/// Asks a cache in memory, and speaks JSON.
pub(super) async fn moka(listener: TcpListener) {
    let customers: Cache<String, &'static str> = Cache::new(100_000);
    customers.insert(ACTIVE.to_owned(), "active");
    let decide = async |State(customers): State<Cache<String, &'static str>>,
                        Json(question): Json<Question>| {
        let status = customers.get(&question.customer_id).unwrap_or("unknown");
        Json(Answer { allowed: status == "active", status })
    };
    answer(listener, Router::new().route(CHECK, post(decide)).with_state(customers)).await;
}

/// Asks a Redis each time, over one connection on which all requests wait for their answers.
pub(super) async fn redis(listener: TcpListener, url: &str) {
    let client = redis::Client::open(url).unwrap();
    let mut customers = client.get_multiplexed_async_connection().await.unwrap();
    let () = customers.set(ACTIVE, "active").await.unwrap();
    let decide = async |State(mut customers): State<MultiplexedConnection>, headers: HeaderMap| {
        let customer = headers.get("x-customer-id").and_then(|customer| customer.to_str().ok());
        let status: redis::RedisResult<String> = customers.get(customer.unwrap_or_default()).await;
        match status.as_deref() {
            Ok("active") => StatusCode::OK,
            Ok(_) => StatusCode::FORBIDDEN,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    };
    answer(listener, Router::new().route(FORWARD_AUTH, get(decide)).with_state(customers)).await;
}

async fn answer(listener: TcpListener, router: Router) {
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    axum::serve(listener, router).await.unwrap();
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    customer_id: String,
}

#[derive(Serialize)]
struct Answer {
    allowed: bool,
    status: &'static str,
}
