//! Billing systems as they call back: each with its own proof.

use std::{
    fs,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tempfile::TempDir;

use crate::support::tollgate::{Answer, Tollgate, http};

/// The three systems, and the files with what they know.
pub(crate) struct Senders {
    directory: TempDir,
}

impl Senders {
    /// Everything that a Tollgate has to be told of them.
    pub(crate) fn new() -> Self {
        let senders = Self { directory: tempfile::tempdir().unwrap() };
        senders.write("billabear", BILLABEAR);
        senders.write("stripe", STRIPE);
        senders.write("standard", STANDARD);
        senders.write("policy", POLICY);
        senders
    }

    /// Puts `text` into one of the files.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// One of the files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The flags of a Tollgate that they call back.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mut flags = vec!["--webhook-listen".to_owned(), "127.0.0.1:0".to_owned()];
        for source in ["billabear", "stripe", "standard"] {
            let file = format!("{source}={}", self.path(source).display());
            flags.extend(["--webhook-secret-file".to_owned(), file]);
        }
        flags.extend(["--policy".to_owned(), self.path("policy").display().to_string()]);
        flags
    }

    /// A Tollgate that they call back.
    pub(crate) fn tollgate(&self, more: &[&str]) -> Tollgate {
        let flags = self.flags();
        let flags: Vec<_> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Tollgate::start(&flags)
    }
}

/// Sends an event with these headers.
pub(crate) fn send(
    tollgate: &Tollgate,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    http(tollgate.webhook, "POST", path, headers, Some(body))
}

/// Sends an event as BillaBear does.
pub(crate) fn billabear(tollgate: &Tollgate, event: &Value) -> Answer {
    send(tollgate, &format!("/webhooks/billabear/{BILLABEAR}"), &[], &event.to_string())
}

/// Sends an event as Stripe does.
pub(crate) fn stripe(tollgate: &Tollgate, event: &Value) -> Answer {
    let body = event.to_string();
    let signature = stripe_signature(STRIPE, now(), &body);
    send(tollgate, "/webhooks/stripe", &[("stripe-signature", &signature)], &body)
}

/// Sends an event as Standard Webhooks has it.
pub(crate) fn standard(tollgate: &Tollgate, id: &str, event: &Value) -> Answer {
    let body = event.to_string();
    let (time, signature) = (now().to_string(), standard_signature(STANDARD, id, now(), &body));
    let headers =
        [("webhook-id", id), ("webhook-timestamp", &*time), ("webhook-signature", &*signature)];
    send(tollgate, "/webhooks/standard", &headers, &body)
}

/// What Stripe signs an event with.
pub(crate) fn stripe_signature(secret: &str, time: u64, body: &str) -> String {
    let mac = mac(secret.as_bytes(), &format!("{time}.{body}"));
    format!("t={time},v1={}", HEXLOWER.encode(&mac))
}

/// What a sender of Standard Webhooks does.
pub(crate) fn standard_signature(secret: &str, id: &str, time: u64, body: &str) -> String {
    let secret = BASE64.decode(secret.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    format!("v1,{}", BASE64.encode(&mac(&secret, &format!("{id}.{time}.{body}"))))
}

fn mac(secret: &[u8], signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What came of an event, as its sender is told.
pub(crate) fn result(answer: &Answer) -> (u16, String) {
    let told = answer.json()["result"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    (answer.status, told)
}

/// How often that happened to events of a source.
pub(crate) fn counted(tollgate: &Tollgate, source: &str, result: &str) -> u64 {
    let name = format!("tollgate_webhooks_total{{source=\"{source}\",result=\"{result}\"}}");
    tollgate.metric(&name)
}

pub(crate) const BILLABEAR: &str = "a-path-that-only-billabear-knows";
pub(crate) const STRIPE: &str = "whsec_that_only_stripe_knows";
pub(crate) const STANDARD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const POLICY: &str = r#"
[[stripe]]
event = "customer.subscription.updated"
status = ["past_due", "unpaid"]
kind = "frozen"
reason = "non_payment"

[[stripe]]
event = "customer.subscription.updated"
status = ["active", "trialing"]
kind = "none"

[[stripe]]
event = "customer.subscription.deleted"
kind = "inactive"
"#;
