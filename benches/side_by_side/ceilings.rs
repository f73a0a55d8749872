//! What the libraries do that Tollgate is made of, without Tollgate: this program, started anew.
//!
//! Each serves on a runtime of one thread, which costs least on one core.

mod axum;
mod hyper;
mod tonic;

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tokio::{net::TcpListener, runtime::Builder};

/// A ceiling that runs. Killed on drop; it also ends when whoever started it does.
#[derive(Debug)]
pub(crate) struct Ceiling {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Ceiling {
    /// What this program is started with to be one.
    pub(crate) const ARGUMENT: &str = "ceiling";

    /// Starts the one of this name and waits until it listens.
    pub(crate) fn start(name: &str, with: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([Self::ARGUMENT, name, with]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|_| panic!("{name} did not start"));
        Self { child, address }
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves as the ceiling that the arguments name, until its standard input ends.
pub(crate) fn serve(arguments: &[String]) {
    let [name, with] = arguments else { panic!("no ceiling: {arguments:?}") };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let serving = async {
            match name.as_str() {
                HYPER => hyper::serve(listener, with).await,
                AXUM_HELLO => axum::hello(listener).await,
                AXUM_MOKA => axum::moka(listener).await,
                AXUM_REDIS => axum::redis(listener, with).await,
                TONIC => tonic::serve(listener, with).await,
                other => panic!("no ceiling is named {other}"),
            }
        };
        tokio::select! {
            () = serving => {}
            _ = ended => {}
        }
    });
}

/// Bare hyper. With the headers of its answer, as JSON.
pub(crate) const HYPER: &str = "hyper";
/// An axum router with one route.
pub(crate) const AXUM_HELLO: &str = "axum-hello";
/// The same with a cache in memory, and JSON.
pub(crate) const AXUM_MOKA: &str = "axum-moka";
/// The same with a Redis, whose URL it is started with.
pub(crate) const AXUM_REDIS: &str = "axum-redis";
/// Bare tonic. With its answer in base64, which is an empty allow if it is empty.
pub(crate) const TONIC: &str = "tonic";
