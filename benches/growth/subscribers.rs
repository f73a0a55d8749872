//! Who hears of every change and does nothing with it, as another instance would to Redis.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::{Builder, Runtime},
};

use crate::{effect::CHANNEL, support::RedisServer};

/// Many of them, until this is dropped.
#[derive(Debug)]
pub(crate) struct Subscribers {
    _runtime: Option<Runtime>,
}

impl Subscribers {
    /// Has so many connect and subscribe.
    pub(crate) fn start(count: usize, redis: &RedisServer) -> Self {
        if count == 0 {
            return Self { _runtime: None };
        }
        let address = SocketAddr::from(([127, 0, 0, 1], redis.port()));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        for _ in 0..count {
            let mut stream = runtime.block_on(subscribe(address));
            runtime.spawn(async move {
                let mut heard = [0; 4096];
                while stream.read(&mut heard).await.is_ok_and(|length| length > 0) {}
            });
        }
        Self { _runtime: Some(runtime) }
    }
}

async fn subscribe(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("SUBSCRIBE {CHANNEL}\r\n").as_bytes()).await.unwrap();
    let mut confirmed = [0; 1];
    stream.read_exact(&mut confirmed).await.unwrap();
    stream
}
