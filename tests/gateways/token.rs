//! Tokens of those who come to `examples/envoy-jwt`.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use serde_json::{Value, json};

/// A token that is not signed yet.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    claims: Value,
}

impl Token {
    /// One for a customer, good for an hour.
    pub(crate) fn of(customer: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": "https://login.example", "aud": "app", "sub": customer, "exp": now + 3600,
        });
        Self { claims }
    }

    /// The same with another claim; without it when that is null.
    pub(crate) fn with(mut self, name: &str, value: &Value) -> Self {
        let claims = self.claims.as_object_mut().unwrap();
        claims.insert(name.to_owned(), value.clone());
        claims.retain(|_, value| !value.is_null());
        self
    }

    /// Signed with the example's key.
    pub(crate) fn signed(&self) -> String {
        let keys: Value =
            serde_json::from_str(include_str!("../../examples/envoy-jwt/jwks.json")).unwrap();
        let key = keys["keys"][0]["k"].as_str().unwrap();
        self.signed_with(&BASE64URL_NOPAD.decode(key.as_bytes()).unwrap())
    }

    /// Signed with a key.
    pub(crate) fn signed_with(&self, key: &[u8]) -> String {
        let text = self.unsigned();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        format!("{text}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    /// Without a signature.
    pub(crate) fn unsigned(&self) -> String {
        format!("{}.{}", Self::header("HS256"), encoded(&self.claims))
    }

    /// The part of a token that names its algorithm.
    pub(crate) fn header(algorithm: &str) -> String {
        encoded(&json!({"alg": algorithm, "kid": "to-try-it", "typ": "JWT"}))
    }
}

fn encoded(part: &Value) -> String {
    BASE64URL_NOPAD.encode(part.to_string().as_bytes())
}
