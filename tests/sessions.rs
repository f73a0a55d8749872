//! Sessions: what a browser has in the place of a key, over real sockets.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::time::Duration;

use serde_json::{Value, json};

use support::{
    Flavor, Persistence, RedisServer,
    operators::{assert_refused, key, put, role},
    tollgate::{ADMIN_TOKEN, Answer, Tollgate, http},
};

fn start(more: &[&str]) -> Tollgate {
    let tollgate = Tollgate::start(&[&["--store", "memory:"], more].concat());
    put(&tollgate, "c1", &json!({}));
    tollgate
}

/// What a browser holds once somebody has signed in.
struct Browser {
    cookie: String,
    csrf_token: String,
    whole_cookie: String,
    told: Value,
}

impl Browser {
    /// Signs in with a key.
    fn of(tollgate: &Tollgate, token: &str) -> Self {
        let answer = begin(tollgate, &[("authorization", &format!("Bearer {token}"))]);
        assert_eq!(answer.status, 201, "{answer:?}");
        let whole_cookie = answer.header("set-cookie").unwrap().to_owned();
        let (cookie, _) = whole_cookie.split_once(';').unwrap();
        let told = answer.json();
        let csrf_token = told["csrfToken"].as_str().unwrap().to_owned();
        Self { cookie: cookie.to_owned(), csrf_token, whole_cookie, told }
    }

    /// Asks as a page of the console does.
    fn ask(&self, tollgate: &Tollgate, method: &str, path: &str) -> Answer {
        let proof = [("sec-fetch-site", "same-origin"), ("x-csrf-token", self.csrf_token.as_str())];
        self.ask_saying(tollgate, method, path, &proof)
    }

    /// Asks with the cookie and these headers.
    fn ask_saying(
        &self,
        tollgate: &Tollgate,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut all = vec![("cookie", self.cookie.as_str())];
        all.extend(headers);
        http(tollgate.operator, method, path, &all, None)
    }
}

fn begin(tollgate: &Tollgate, headers: &[(&str, &str)]) -> Answer {
    http(tollgate.operator, "POST", "/session", headers, None)
}

fn freeze(browser: &Browser, tollgate: &Tollgate) -> Answer {
    browser.ask(tollgate, "POST", "/v1/customers/c1/freeze")
}

#[test]
fn whoever_has_a_key_gets_a_cookie_that_does_what_the_key_does() {
    let tollgate = start(&[]);
    let browser = Browser::of(&tollgate, &role(&tollgate, "support"));
    assert_eq!(
        (&browser.told["name"], &browser.told["role"]),
        (&json!("support"), &json!("support"))
    );
    let attributes: Vec<&str> = browser.whole_cookie.split("; ").skip(1).collect();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(attributes.contains(&attribute), "{attribute}: {attributes:?}");
    }
    assert!(attributes.iter().any(|it| it.starts_with("Max-Age=43")), "{attributes:?}");
    assert!(!attributes.contains(&"Secure"), "{attributes:?}");
    assert_eq!(browser.ask(&tollgate, "GET", "/v1/customers").status, 200);
    assert_eq!(freeze(&browser, &tollgate).status, 200);
    assert_eq!(tollgate.reason_to_write("c1"), "customer_frozen");
    assert_refused(&browser.ask(&tollgate, "GET", "/v1/keys"), 403, "INSUFFICIENT_ROLE");
    let trail = tollgate.operate("GET", "/v1/customers/c1/audit", None).json();
    assert_eq!(trail["entries"][0]["actor"]["name"], "support");
    assert_eq!(trail["entries"][0]["actor"]["address"], "127.0.0.1");
}

#[test]
fn a_request_that_may_be_another_sites_doing_is_refused() {
    let tollgate = start(&[]);
    let browser = Browser::of(&tollgate, ADMIN_TOKEN);
    let own = format!("http://{}", tollgate.operator);
    let token = browser.csrf_token.as_str();
    for headers in [
        &[][..],
        &[("x-csrf-token", token)],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "same-origin"), ("x-csrf-token", "wrong")],
        &[("sec-fetch-site", "cross-site"), ("x-csrf-token", token)],
        &[("sec-fetch-site", "same-site"), ("x-csrf-token", token), ("origin", &own)],
        &[("origin", "http://evil.example"), ("x-csrf-token", token)],
        &[("origin", "null"), ("x-csrf-token", token)],
        &[("origin", &own)],
    ] {
        for (method, path) in [
            ("POST", "/v1/customers/c1/freeze"),
            ("DELETE", "/v1/customers/c1"),
            ("POST", "/v1/c/customer/c1/inactivate"),
            ("DELETE", "/session"),
        ] {
            let answer = browser.ask_saying(&tollgate, method, path, headers);
            assert_refused(&answer, 403, "CSRF_REQUIRED");
        }
        assert_eq!(browser.ask_saying(&tollgate, "GET", "/v1/customers", headers).status, 200);
    }
    assert_eq!(tollgate.reason_to_write("c1"), "active");
    let counted = "tollgate_auth_failures_total{code=\"CSRF_REQUIRED\"}";
    assert!(tollgate.metric(counted) >= 36);
    let by_origin = [("origin", own.as_str()), ("x-csrf-token", token)];
    let answer = browser.ask_saying(&tollgate, "POST", "/v1/customers/c1/freeze", &by_origin);
    assert_eq!(answer.status, 200, "{answer:?}");
    // What one session says is another's proof of nothing.
    let other = Browser::of(&tollgate, ADMIN_TOKEN);
    let foreign = [("sec-fetch-site", "same-origin"), ("x-csrf-token", other.csrf_token.as_str())];
    let answer = browser.ask_saying(&tollgate, "POST", "/v1/customers/c1/unfreeze", &foreign);
    assert_refused(&answer, 403, "CSRF_REQUIRED");
}

#[test]
fn a_session_dies_with_its_key_on_every_instance() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &server.url()];
    let tollgates = [Tollgate::start(&flags), Tollgate::start(&flags)];
    put(&tollgates[0], "c1", &json!({}));
    let is_good = |browser: &Browser, on: &Tollgate| {
        let status = browser.ask(on, "GET", "/v1/customers").status;
        assert!([200, 401].contains(&status), "{status}");
        status == 200
    };
    for way in ["revoked", "rotated", "rotated, and its time is over"] {
        let body = json!({"name": way, "role": "viewer"});
        let made = tollgates[0].operate("POST", "/v1/keys", Some(&body)).json();
        let browser = Browser::of(&tollgates[0], made["token"].as_str().unwrap());
        tollgates[1].wait_until("told", || is_good(&browser, &tollgates[1]));
        let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
        let rotate = format!("{path}/rotate");
        match way {
            "revoked" => drop(tollgates[0].operate("DELETE", &path, None)),
            "rotated" => drop(tollgates[0].operate("POST", &rotate, None)),
            _ => {
                let overlap = json!({"overlapSeconds": 2});
                let rotated = tollgates[0].operate("POST", &rotate, Some(&overlap));
                assert_eq!(rotated.status, 200, "{rotated:?}");
                assert!(is_good(&browser, &tollgates[0]), "{way}");
            }
        }
        for tollgate in &tollgates {
            tollgate.wait_until(way, || !is_good(&browser, tollgate));
        }
    }
}

#[test]
fn a_session_of_the_configured_token_is_good_only_where_that_is_configured() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let flags = ["--store", &server.url()];
    let one = Tollgate::start(&flags);
    put(&one, "c1", &json!({}));
    let browser = Browser::of(&one, ADMIN_TOKEN);
    assert_eq!(browser.told["role"], "admin");
    let same = Tollgate::start(&flags);
    assert_eq!(browser.ask(&same, "GET", "/v1/keys").status, 200);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "another-token-of-automation").unwrap();
    let path = file.path().to_str().unwrap();
    let other = Tollgate::start(&[&flags[..], &["--admin-token-file", path]].concat());
    assert_refused(&browser.ask(&other, "GET", "/v1/keys"), 401, "INVALID_TOKEN");
}

#[test]
fn who_signs_out_is_out_and_a_session_ends_by_itself() {
    let tollgate = start(&["--session-lifetime", "2s"]);
    let token = role(&tollgate, "viewer");
    let browser = Browser::of(&tollgate, &token);
    assert_eq!(browser.ask(&tollgate, "GET", "/session").json(), browser.told);
    let ended = browser.ask(&tollgate, "DELETE", "/session");
    assert_eq!(ended.status, 200, "{ended:?}");
    let cleared = ended.header("set-cookie").unwrap();
    assert!(cleared.starts_with("app-session=; ") && cleared.contains("Max-Age=0"), "{cleared}");
    for path in ["/session", "/v1/customers"] {
        assert_refused(&browser.ask(&tollgate, "GET", path), 401, "INVALID_TOKEN");
    }
    let brief = Browser::of(&tollgate, &token);
    let status = || brief.ask(&tollgate, "GET", "/v1/customers").status;
    assert_eq!(status(), 200);
    tollgate.wait_until("over", || status() == 401);
    // A key that ends sooner ends it sooner.
    let until = jiff::Timestamp::now() + Duration::from_secs(1);
    let ending = json!({"name": "brief", "role": "viewer", "expiresAt": until.to_string()});
    let brief = Browser::of(&tollgate, &key(&tollgate, &ending));
    assert!(brief.whole_cookie.contains("Max-Age=0"), "{}", brief.whole_cookie);
}

#[test]
fn sessions_are_no_keys_and_keys_are_no_sessions() {
    let tollgate = start(&[]);
    let token = role(&tollgate, "admin");
    let browser = Browser::of(&tollgate, &token);
    let (_, value) = browser.cookie.split_once('=').unwrap();
    for headers in [
        [("x-api-key", value)],
        [("cookie", &format!("app-session={token}")[..])],
        [("cookie", &format!("app-session={ADMIN_TOKEN}")[..])],
        [("cookie", "app-session=tgs_nobody_1")],
    ] {
        let answer = http(tollgate.operator, "GET", "/v1/customers", &headers, None);
        assert_refused(&answer, 401, "INVALID_TOKEN");
    }
    // A session begins no other: it would never end.
    assert_refused(&browser.ask(&tollgate, "POST", "/session"), 401, "AUTH_REQUIRED");
    let keys = tollgate.operate("GET", "/v1/keys", None).json()["keys"].clone();
    assert_eq!((keys.as_array().unwrap().len(), &keys[0]["openSessions"]), (1, &json!(1)));
    let id = value.split('_').nth(1).unwrap();
    for (method, path) in
        [("DELETE", format!("/v1/keys/{id}")), ("POST", format!("/v1/keys/{id}/rotate"))]
    {
        assert_refused(&tollgate.operate(method, &path, None), 404, "NOT_FOUND");
    }
}

#[test]
fn a_cookie_and_a_key_that_disagree_are_refused() {
    let tollgate = start(&[]);
    let tokens =
        ["alice", "bob"].map(|name| key(&tollgate, &json!({"name": name, "role": "viewer"})));
    let browser = Browser::of(&tollgate, &tokens[0]);
    let ask = |cookie: &str, token: &str| {
        let headers = [("cookie", cookie), ("wb-key", token)];
        http(tollgate.operator, "GET", "/v1/customers", &headers, None)
    };
    assert_eq!(ask(&browser.cookie, &tokens[0]).status, 200);
    for (cookie, token) in
        [(browser.cookie.as_str(), &tokens[1]), ("app-session=tgs_nobody_1", &tokens[0])]
    {
        assert_refused(&ask(cookie, token), 400, "VALIDATION_ERROR");
    }
    // With the key beside it, nobody was made to ask: no other site knows the key.
    let headers = [("cookie", browser.cookie.as_str()), ("wb-key", &tokens[0])];
    let answer = http(tollgate.operator, "POST", "/v1/customers/c1/freeze", &headers, None);
    assert_refused(&answer, 403, "INSUFFICIENT_ROLE");
    // An old cookie does not keep anybody from signing in anew.
    let again = begin(&tollgate, &[("cookie", "app-session=tgs_old_1"), ("wb-key", &tokens[1])]);
    assert_eq!(again.status, 201, "{again:?}");
}

#[test]
fn signing_in_and_out_is_on_record_and_neither_cookie_nor_proof_is() {
    let tollgate = start(&[]);
    let browser = Browser::of(&tollgate, &role(&tollgate, "viewer"));
    assert_eq!(browser.ask(&tollgate, "DELETE", "/session").status, 200);
    let trail = tollgate.operate("GET", "/v1/audit", None);
    let entries = trail.json()["entries"].as_array().unwrap().clone();
    let found: Vec<_> =
        entries.iter().take(2).map(|it| (&it["action"], &it["actor"]["name"])).collect();
    let (viewer, ended, begun) = (json!("viewer"), json!("session_end"), json!("session_begin"));
    assert_eq!(found, [(&ended, &viewer), (&begun, &viewer)]);
    let (_, secret) = browser.cookie.rsplit_once('_').unwrap();
    for secret in [secret, &browser.csrf_token] {
        assert!(!trail.body.contains(secret), "{trail:?}");
        assert!(!tollgate.log().join("\n").contains(secret));
    }
}

#[test]
fn whoever_signs_in_again_and_again_has_fifty_sessions_at_most() {
    let tollgate = start(&[]);
    let token = role(&tollgate, "viewer");
    let first = Browser::of(&tollgate, &token);
    let others = [(); 50].map(|()| Browser::of(&tollgate, &token));
    assert_refused(&first.ask(&tollgate, "GET", "/v1/customers"), 401, "INVALID_TOKEN");
    for browser in &others {
        assert_eq!(browser.ask(&tollgate, "GET", "/v1/customers").status, 200);
    }
    let keys = tollgate.operate("GET", "/v1/keys", None).json()["keys"].clone();
    assert_eq!(keys[0]["openSessions"], 50);
}

#[test]
fn behind_whatever_encrypts_the_cookie_is_never_sent_without() {
    let tollgate = start(&[]);
    let token = format!("Bearer {}", role(&tollgate, "viewer"));
    let headers = [("authorization", token.as_str()), ("origin", "https://ops.example")];
    let answer = begin(&tollgate, &headers);
    assert!(answer.header("set-cookie").unwrap().contains("; Secure"), "{answer:?}");
}

#[test]
fn the_check_listener_takes_no_cookie() {
    let tollgate = Tollgate::start(&["--store", "memory:", "--check-listen", "0.0.0.0:0"]);
    put(&tollgate, "c1", &json!({}));
    let browser = Browser::of(&tollgate, ADMIN_TOKEN);
    let ask = |headers: &[(&str, &str)]| {
        http(tollgate.check, "GET", "/v1/customers/c1/limits", headers, None)
    };
    assert_eq!(ask(&[("cookie", &browser.cookie)]).code(), "AUTH_REQUIRED");
    assert_eq!(ask(&[("x-api-key", ADMIN_TOKEN)]).status, 200);
}
