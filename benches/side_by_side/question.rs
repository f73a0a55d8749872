//! What is asked, as gateways ask it.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::tollgate::{Answer, http};

/// A request, and the status of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<String>,
    pub(crate) status: u16,
}

impl Question {
    /// As Traefik and Caddy ask about a browser's request: 14 headers.
    pub(crate) fn forward_auth(customer: &str) -> Self {
        let mut headers = of_a_browser();
        headers.extend(
            [
                ("X-Customer-Id", customer),
                ("X-Forwarded-For", "203.0.113.77"),
                ("X-Forwarded-Host", HOST),
                ("X-Forwarded-Method", "GET"),
                ("X-Forwarded-Port", "443"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Uri", URI),
            ]
            .map(owned),
        );
        assert_eq!(headers.len(), 14, "{headers:?}");
        Self { method: "GET", path: FORWARD_AUTH, headers, body: None, status: 200 }
    }

    /// As `auth_request` asks with the configuration of `examples/nginx`.
    pub(crate) fn nginx(customer: &str) -> Self {
        let mut headers = of_a_browser();
        // The example takes these away.
        headers.retain(|(name, _)| !matches!(*name, "Authorization" | "Cookie"));
        headers.extend(
            [("X-Original-Method", "GET"), ("X-Original-URI", URI), ("X-Customer-Id", customer)]
                .map(owned),
        );
        Self { method: "GET", path: "/v1/nginx", headers, body: None, status: 200 }
    }

    /// As an application asks.
    pub(crate) fn check(customer: &str) -> Self {
        let body = json!({"customerId": customer, "method": "GET", "path": URI});
        Self {
            method: "POST",
            path: CHECK,
            headers: [("Content-Type", "application/json"), ("Accept", "application/json")]
                .map(owned)
                .to_vec(),
            body: Some(body.to_string()),
            status: 200,
        }
    }

    /// The same, with an answer of another status.
    pub(crate) fn answered(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Asks it once, and holds that its answer has the status.
    pub(crate) fn ask(&self, address: SocketAddr) -> Answer {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = http(address, self.method, self.path, &headers, self.body.as_deref());
        assert_eq!(answer.status, self.status, "{self:?} is answered {answer:?}");
        answer
    }
}

fn of_a_browser() -> Vec<(&'static str, String)> {
    [
        ("Host", HOST),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", "en-GB,en;q=0.7,de;q=0.3"),
        ("Authorization", TOKEN),
        ("Cookie", "session=9f86d081884c7d659a2feaa0c55ad015; theme=dark; consent=2026-03-14"),
    ]
    .map(owned)
    .to_vec()
}

fn owned((name, value): (&'static str, &str)) -> (&'static str, String) {
    (name, value.to_owned())
}

/// Where forward-auth is asked, of Tollgate and of whatever is compared with it.
pub(crate) const FORWARD_AUTH: &str = "/v1/forward-auth";
/// Where an application asks.
pub(crate) const CHECK: &str = "/v1/check";
/// Who may do everything.
pub(crate) const ACTIVE: &str = "acme-4711";
/// Who may do nothing.
pub(crate) const DISABLED: &str = "acme-4712";
/// What the customer asked the gateway for. A route of the policy with 100 routes matches it.
const URI: &str = "/area-57/items/4711?page=2";
const HOST: &str = "shop.example.com";
const TOKEN: &str = "Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwic3ViIjoiYWNtZS00NzExIiwiZXhwIjoxNzk1Mzg0MDAwfQ.c2lnbmVkLWJ5LW5vYm9keS1hdC1hbGwtYnV0LWFzLWxvbmctYXMtYS1yZWFsLW9uZQ";
