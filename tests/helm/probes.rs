//! What the kubelet does with a container's probes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::crypto::ring;
use serde_json::Value;
use ureq::tls::TlsConfig;

use crate::pod::Running;

/// Asks once, as a probe of the container says. The kubelet looks at no certificate.
pub(crate) fn probe(running: &Running, name: &str) -> bool {
    let probe = &running.container[name];
    let get = &probe["httpGet"];
    let address = running.port(get["port"].as_str().unwrap());
    let scheme = get["scheme"].as_str().unwrap().to_lowercase();
    let url = format!("{scheme}://{address}{}", get["path"].as_str().unwrap());
    let answered = ask(&url, seconds(probe, "timeoutSeconds"));
    answered.is_some_and(|(status, _)| (200..400).contains(&status))
}

/// The status and the body of an answer, whoever it comes from.
pub(crate) fn ask(url: &str, patience: Duration) -> Option<(u16, String)> {
    let tls = TlsConfig::builder()
        .disable_verification(true)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(tls.build())
        .timeout_global(Some(patience));
    let mut answered = config.build().new_agent().get(url).call().ok()?;
    let body = answered.body_mut().read_to_string().ok()?;
    Some((answered.status().as_u16(), body))
}

/// What came of a probe that was asked for a while.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Replayed {
    /// How often it was asked.
    pub(crate) asked: u32,
    /// How often it failed.
    pub(crate) failed: u32,
    /// How often it failed so often in a row that the kubelet acts.
    pub(crate) acted: u32,
}

/// Asks a probe until `is_over`, `haste` times as often as it says, and counts as the kubelet does.
pub(crate) fn replay(running: &Running, name: &str, haste: u32, is_over: &AtomicBool) -> Replayed {
    let figures = &running.container[name];
    let period = seconds(figures, "periodSeconds") / haste;
    let threshold = figures["failureThreshold"].as_u64().unwrap();
    let (mut replayed, mut in_a_row) = (Replayed::default(), 0);
    while !is_over.load(Ordering::SeqCst) {
        let next = Instant::now() + period;
        replayed.asked += 1;
        if probe(running, name) {
            in_a_row = 0;
        } else {
            replayed.failed += 1;
            in_a_row += 1;
            if in_a_row == threshold {
                replayed.acted += 1;
                in_a_row = 0;
            }
        }
        while Instant::now() < next && !is_over.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
    }
    replayed
}

/// How long a probe has to fail until the kubelet acts.
pub(crate) fn until_acted(container: &Value, name: &str) -> Duration {
    let threshold = container[name]["failureThreshold"].as_u64().unwrap();
    seconds(&container[name], "periodSeconds") * u32::try_from(threshold).unwrap()
}

fn seconds(figures: &Value, name: &str) -> Duration {
    Duration::from_secs(figures[name].as_u64().unwrap())
}
