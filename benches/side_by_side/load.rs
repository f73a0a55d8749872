//! What asks: `wrk` over HTTP/1.1 and `h2load` over gRPC, and what they print.

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use serde_json::Value;

use crate::question::Question;

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Answers, each as it had to be.
    pub(crate) requests: u64,
    /// Answers a second.
    pub(crate) rate: f64,
}

/// Asks over HTTP/1.1 for so long.
pub(crate) fn http(
    question: &Question,
    address: SocketAddr,
    measured: Duration,
    directory: &Path,
) -> Load {
    let script = directory.join("question.lua");
    fs::write(&script, script_of(question)).unwrap();
    let connections = STREAMS.to_string();
    let printed = printed(
        Command::new("wrk")
            .args(["--threads", "1", "--connections", &connections])
            .args(["--duration", &format!("{}s", measured.as_secs()), "--script"])
            .arg(script)
            .arg(format!("http://{address}{}", question.path)),
        "wrk",
    );
    let requests = before(&printed, " requests in ");
    let refused = if printed.contains("Non-2xx") { after(&printed, "responses: ") } else { 0.0 };
    let expected = if question.status < 400 { 0.0 } else { requests };
    assert!(
        requests > 0.0 && refused.to_bits() == expected.to_bits() && !printed.contains("errors"),
        "not every answer to {question:?} was {}:\n{printed}",
        question.status
    );
    Load { requests: whole(requests), rate: after(&printed, "Requests/sec:") }
}

/// Asks over gRPC for so long. An error would have no answer before its trailers.
pub(crate) fn grpc(
    frame: &[u8],
    answer: usize,
    address: SocketAddr,
    measured: Duration,
    directory: &Path,
) -> Load {
    let body = directory.join("question.frame");
    fs::write(&body, frame).unwrap();
    let each = (STREAMS / GRPC_CONNECTIONS).to_string();
    let printed = printed(
        Command::new("h2load")
            .args(["--threads", "1", "--clients", &GRPC_CONNECTIONS.to_string()])
            .args(["--max-concurrent-streams", &each])
            .args(["--duration", &measured.as_secs().to_string()])
            .args(["--header", "content-type: application/grpc", "--header", "te: trailers"])
            .arg("--data")
            .arg(body)
            .arg(format!("http://{address}/envoy.service.auth.v3.Authorization/Check")),
        "h2load",
    );
    let (done, succeeded) = (before(&printed, " done,"), before(&printed, " succeeded,"));
    let failed = [" failed,", " errored,", " timeout\n"].map(|what| before(&printed, what));
    let (_, data) = printed.rsplit_once("space savings").unwrap_or_default();
    let data = before(data, ") data");
    let short = data < done * f64::from(u32::try_from(answer).unwrap()) * WHOLE;
    let healthy = failed.iter().all(|count| *count < 1.0) && done > 0.0 && done <= succeeded;
    assert!(healthy && !short, "not every call was answered:\n{printed}");
    Load { requests: whole(done), rate: before(&printed, " req/s,") }
}

/// As wrk wants it, with every header as it is.
fn script_of(question: &Question) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let mut script = format!("wrk.method = {}\n", quoted(question.method));
    for (name, value) in &question.headers {
        writeln!(script, "wrk.headers[{}] = {}", quoted(name), quoted(value)).unwrap();
    }
    if let Some(body) = &question.body {
        writeln!(script, "wrk.body = {}", quoted(body)).unwrap();
    }
    script
}

/// What a program of a package prints.
pub(crate) fn printed(command: &mut Command, package: &str) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("no {package} ({error}): `benches/run`"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{package} failed: {output:?}");
    printed
}

/// The number in front of `text`.
pub(crate) fn before(printed: &str, text: &str) -> f64 {
    let (before, _) = printed.split_once(text).unwrap_or_else(|| panic!("no {text}: {printed}"));
    let number = before.rsplit([' ', '\n', '(']).next().unwrap();
    number.parse().unwrap_or_else(|_| panic!("no number before {text}: {printed}"))
}

/// The number behind `text`.
pub(crate) fn after(printed: &str, text: &str) -> f64 {
    let (_, after) = printed.split_once(text).unwrap_or_else(|| panic!("no {text}: {printed}"));
    let number = after.split_whitespace().next().unwrap_or_default();
    number.parse().unwrap_or_else(|_| panic!("no number behind {text}: {printed}"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
fn whole(count: f64) -> u64 {
    count as u64
}

/// How much is asked at once: connections of HTTP/1.1, streams of gRPC.
const STREAMS: usize = 64;
/// What the streams share, as a gateway's workers would.
const GRPC_CONNECTIONS: usize = 4;
/// How much of the first answer's length every other one has at least: ages have more digits later.
const WHOLE: f64 = 0.95;
