//! The proof that an event comes from whom it says: over its bytes as they came, before anybody
//! reads them.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::{domain::Timestamp, telemetry::WebhookSource};

/// The secrets that hold now. Cheap to clone; all clones have the same.
#[derive(Clone)]
pub struct Secrets(Arc<ArcSwap<Vec<Vec<u8>>>>);

impl Secrets {
    /// These, until others take their place.
    #[must_use]
    pub fn new(secrets: Vec<Vec<u8>>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(secrets)))
    }

    /// Puts others in their place: the next event is proven by them.
    pub fn replace(&self, secrets: Vec<Vec<u8>>) {
        self.0.store(Arc::new(secrets));
    }

    fn any(&self, proves: impl Fn(&[u8]) -> bool) -> bool {
        self.0.load().iter().any(|secret| !secret.is_empty() && proves(secret))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What an event shows of where it comes from.
#[derive(Debug)]
pub(super) enum Presented {
    /// Signatures of its bytes.
    Signed {
        /// What is signed in front of them.
        before: String,
        /// The signatures, any of which may hold.
        signatures: Vec<Vec<u8>>,
        /// Its id, if that is signed too.
        id: Option<String>,
    },
    /// The secret itself.
    Token(String),
}

/// Why an event proves nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unproven {
    pub(super) code: &'static str,
    pub(super) why: &'static str,
}

impl Unproven {
    const fn missing(why: &'static str) -> Self {
        Self { code: "AUTH_REQUIRED", why }
    }

    const fn wrong(why: &'static str) -> Self {
        Self { code: "INVALID_SIGNATURE", why }
    }
}

impl Presented {
    /// What the head of a request shows, at `now`; `secret` is what its path does.
    pub(super) fn of(
        kind: WebhookSource,
        headers: &HeaderMap,
        secret: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, Unproven> {
        match kind {
            WebhookSource::Billabear => token(headers, secret),
            WebhookSource::Standard => standard(headers, now),
            WebhookSource::Stripe => stripe(headers, now),
        }
    }

    /// Its id, if that is signed too.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Signed { id, .. } => id.as_deref(),
            Self::Token(_) => None,
        }
    }

    /// Turns away who shows a wrong secret, or nothing that could be a signature, before a body is
    /// read.
    pub(super) fn admit_early(&self, secrets: &Secrets) -> Result<(), Unproven> {
        let token = match self {
            Self::Signed { signatures, .. } if signatures.is_empty() => return Err(UNSIGNED),
            Self::Signed { .. } => return Ok(()),
            Self::Token(token) => token,
        };
        if secrets.any(|secret| bool::from(secret.ct_eq(token.as_bytes()))) {
            return Ok(());
        }
        Err(Unproven { code: "INVALID_TOKEN", why: "the secret is wrong" })
    }

    /// Whether the body is what was signed.
    pub(super) fn admit(&self, secrets: &Secrets, body: &[u8]) -> Result<(), Unproven> {
        let Self::Signed { before, signatures, .. } = self else { return Ok(()) };
        let is_signed = |secret: &[u8]| {
            // A key may have any length.
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
            mac.update(before.as_bytes());
            mac.update(body);
            let right = mac.finalize().into_bytes();
            signatures.iter().any(|signature| bool::from(right.as_slice().ct_eq(signature)))
        };
        if secrets.any(is_signed) {
            return Ok(());
        }
        Err(UNSIGNED)
    }
}

/// `Authorization: Bearer`, or the path.
fn token(headers: &HeaderMap, secret: Option<&str>) -> Result<Presented, Unproven> {
    let bearer = one(headers, header::AUTHORIZATION.as_str())?.map(|value| {
        let (scheme, token) = value.split_once(' ').unwrap_or_default();
        if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" }
    });
    match (secret, bearer) {
        (Some(secret), None) | (None, Some(secret)) => Ok(Presented::Token(secret.to_owned())),
        (None, None) => Err(Unproven::missing("a bearer token or a secret path is needed")),
        (Some(secret), Some(bearer)) if secret == bearer => Ok(Presented::Token(secret.to_owned())),
        (Some(_), Some(_)) => Err(Unproven::wrong("the request carries two secrets that differ")),
    }
}

/// `Stripe-Signature: t=<unix>,v1=<hex>[,v1=<hex>]`, over `<t>.<body>`.
fn stripe(headers: &HeaderMap, now: Timestamp) -> Result<Presented, Unproven> {
    let header = one(headers, "stripe-signature")?;
    let header = header.ok_or(Unproven::missing("the header Stripe-Signature is missing"))?;
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let mut times = parts().filter(|(name, _)| *name == "t").map(|(_, time)| time);
    let (Some(time), None) = (times.next(), times.next()) else {
        return Err(Unproven::wrong("Stripe-Signature must have one `t`"));
    };
    fresh(time, now)?;
    let signatures = parts().filter(|(name, _)| *name == "v1").filter_map(|(_, hex)| {
        let signature = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
        Some(signature).filter(|signature| signature.len() == SIGNATURE_BYTES)
    });
    Ok(Presented::Signed { before: format!("{time}."), signatures: signatures.collect(), id: None })
}

/// `webhook-id`, `webhook-timestamp` and `webhook-signature: v1,<base64>[ v1,<base64>]`, over
/// `<id>.<timestamp>.<body>`; Svix has the same under names of its own.
fn standard(headers: &HeaderMap, now: Timestamp) -> Result<Presented, Unproven> {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let of_svix = ["svix-id", "svix-timestamp", "svix-signature"];
    let names = if headers.contains_key(names[2]) { names } else { of_svix };
    let [id, time, signed] = names.map(|name| one(headers, name));
    let (Some(id), Some(time), Some(signed)) = (id?, time?, signed?) else {
        let why = "webhook-id, webhook-timestamp and webhook-signature are needed";
        return Err(Unproven::missing(why));
    };
    // With a dot in it the id could borrow from what follows.
    if !(1..=ID_BYTES_AT_MOST).contains(&id.len()) || id.contains('.') {
        return Err(Unproven::wrong("webhook-id must be 1 to 256 bytes without a dot"));
    }
    fresh(time, now)?;
    let signatures = signed.split(' ').filter_map(|part| {
        let signature = BASE64.decode(part.strip_prefix("v1,")?.as_bytes()).ok()?;
        Some(signature).filter(|signature| signature.len() == SIGNATURE_BYTES)
    });
    Ok(Presented::Signed {
        before: format!("{id}.{time}."),
        signatures: signatures.collect(),
        id: Some(id.to_owned()),
    })
}

/// Whether a time in seconds since 1970 is near `now`, so that nobody sends an old event again.
fn fresh(time: &str, now: Timestamp) -> Result<(), Unproven> {
    let is_number = (1..=12).contains(&time.len()) && time.bytes().all(|it| it.is_ascii_digit());
    let seconds = time.parse::<i64>().ok().filter(|_| is_number);
    let seconds = seconds.ok_or(Unproven::wrong("the timestamp must be in seconds since 1970"))?;
    let at = Timestamp::from_millis(seconds.saturating_mul(1000));
    if at.saturating_since(now).max(now.saturating_since(at)) > TOLERANCE {
        return Err(Unproven::wrong("the timestamp is not within five minutes of now"));
    }
    Ok(())
}

/// A header that may be given once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Unproven> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => {
            let text = line.to_str().map(str::trim);
            text.map(Some).map_err(|_| Unproven::wrong("a header must be visible ASCII"))
        }
        (Some(_), Some(_)) => Err(Unproven::wrong("a header of the proof is there twice")),
    }
}

const UNSIGNED: Unproven = Unproven::wrong("no signature is of this body and a secret that holds");
const TOLERANCE: Duration = Duration::from_mins(5);
const SIGNATURE_BYTES: usize = 32;
const ID_BYTES_AT_MOST: usize = 256;

#[cfg(test)]
mod tests;
