//! The webhook listener answers webhooks and nothing else, and nobody else does.

use std::process::Command;

use serde_json::json;

use crate::{
    of_billabear,
    raw::run_to_end,
    sender::{BILLABEAR, Senders, send},
    support::{
        authority::{Authority, Issued},
        tollgate::{ADMIN_TOKEN, http, serve},
    },
};

#[test]
fn the_webhook_listener_answers_nothing_else_and_the_others_no_webhook() {
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", "memory:"]);
    let admin = [("authorization", &*format!("Bearer {ADMIN_TOKEN}"))];
    for path in [
        "/",
        "/webhooks",
        "/webhooks/",
        "/webhooks/paypal",
        "/webhooks/stripe/more",
        "/webhooks/billabear/a/b",
        "/v1/check",
        "/v1/customers/c1/disable",
        "/v1/nginx",
        "/livez",
        "/metrics",
    ] {
        let answer = http(tollgate.webhook, "POST", path, &admin, Some("{}"));
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    let read = http(tollgate.webhook, "GET", "/webhooks/stripe", &admin, None);
    assert_eq!((read.status, read.code().as_str()), (405, "METHOD_NOT_ALLOWED"));
    let event = of_billabear("customer_disabled", "c1", true).to_string();
    for listener in [tollgate.check, tollgate.operator, tollgate.admin] {
        let path = format!("/webhooks/billabear/{BILLABEAR}");
        let answer = http(listener, "POST", &path, &admin, Some(&event));
        assert_eq!(answer.status, 404, "{answer:?}");
    }
}

#[test]
fn a_source_without_a_secret_is_not_there() {
    let senders = Senders::new();
    let file = format!("stripe={}", senders.path("stripe").display());
    let flags = ["--webhook-listen", "127.0.0.1:0", "--webhook-secret-file", &file];
    let tollgate =
        crate::support::tollgate::Tollgate::start(&[&["--store", "memory:"], &flags[..]].concat());
    assert_eq!(send(&tollgate, "/webhooks/billabear", &[], "{}").status, 404);
    assert_eq!(send(&tollgate, "/webhooks/standard", &[], "{}").status, 404);
    assert_eq!(send(&tollgate, "/webhooks/stripe", &[], "{}").status, 401);
}

#[test]
fn it_speaks_tls_alone_when_it_has_a_certificate() {
    let authority = Authority::new();
    let Issued { certificate, key } = authority.issue("127.0.0.1");
    let senders = Senders::new();
    let tollgate = senders.tollgate(&[
        "--store",
        "memory:",
        "--webhook-tls-cert",
        &certificate,
        "--webhook-tls-key",
        &key,
    ]);
    assert_eq!(send(&tollgate, "/webhooks/stripe", &[], "{}").status, 0, "it hangs up");
    let expires = "tollgate_tls_certificate_expiry_seconds";
    assert!(tollgate.sum_of(expires, "listener=\"webhook\"") > 0.0);
    let address = tollgate.webhook.to_string();
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &address, "-verify_return_error", "-CAfile"]);
    client.arg(authority.certificate()).arg("-brief");
    let ended = run_to_end(&mut client);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn an_instance_without_operators_takes_webhooks() {
    let server = crate::RedisServer::start(crate::Flavor::Redis, crate::Persistence::None);
    let senders = Senders::new();
    let operators = senders.tollgate(&["--store", &server.url()]);
    let tollgate = senders.tollgate(&["--store", &server.url(), "--operator-listen", "off"]);
    let event = crate::message("c1", "disabled", "2026-11-20T10:00:00Z");
    assert_eq!(crate::result(&crate::standard(&tollgate, "msg_1", &event)), crate::done("applied"));
    operators.wait_until("told", || operators.reason_to_write("c1") == "customer_disabled");
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let senders = Senders::new();
    let file = |source: &str| format!("{source}={}", senders.path(source).display());
    let (billabear, stripe) = (file("billabear"), file("stripe"));
    senders.write("short", "guessed");
    let short = format!("billabear={}", senders.path("short").display());
    let nowhere = format!("stripe={}", senders.path("nowhere").display());
    let not_standard = format!("standard={}", senders.path("stripe").display());
    let on = ["--webhook-listen", "127.0.0.1:0", "--webhook-secret-file"];
    let with =
        |more: &[&str]| on.iter().chain(more).map(|flag| (*flag).to_owned()).collect::<Vec<_>>();
    let plain = |flags: &[&str]| flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>();
    for (flags, words) in [
        (plain(&["--webhook-listen", "127.0.0.1:0"]), &["--webhook-secret-file"][..]),
        (plain(&["--webhook-secret-file", &stripe]), &["--webhook-listen, which is off"]),
        (with(&[&stripe, "--webhook-tenant", "billabear=acme"]), &["--webhook-tenant needs"]),
        (
            with(&[&stripe, "--webhook-tenant", "stripe=a", "--webhook-tenant", "stripe=b"]),
            &["one tenant for stripe"],
        ),
        (with(&[&stripe, "--default-tenant", "off"]), &["--webhook-tenant stripe=TENANT"]),
        (with(&[&short]), &["16 bytes"]),
        (with(&[&nowhere]), &["cannot be read", "nowhere"]),
        (with(&[&not_standard]), &["must be `whsec_` and base64"]),
        (with(&["paypal=/run/secret"]), &["one of billabear, standard, stripe"]),
        (
            plain(&["--webhook-listen", "0.0.0.0:0", "--webhook-secret-file", &billabear]),
            &["--webhook-listen must be on loopback", "--webhook-plaintext"],
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let flags = [&["--store", "memory:"], &flags[..]].concat();
        let ended = run_to_end(&mut serve(directory.path(), &flags));
        assert!(matches!(ended.code, Some(1 | 2)), "{flags:?}: {ended:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{word} in {ended:?}");
        }
        assert!(!ended.stderr.contains("guessed"), "{ended:?}");
    }
    // What is signed may come through a proxy that ends TLS.
    let flags = ["--store", "memory:", "--webhook-listen", "0.0.0.0:0", "--webhook-secret-file"];
    let tollgate = crate::support::tollgate::Tollgate::start(&[&flags[..], &[&stripe]].concat());
    crate::put(&tollgate, "c1", &json!({}));
}
