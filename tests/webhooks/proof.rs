//! What proves nothing is turned away unread, and what is not whole does nothing.

use std::time::{Duration, Instant};

use crate::{
    Senders, Tollgate, act, counted, done,
    raw::Raw,
    read, result,
    sender::{
        BILLABEAR, STANDARD, STRIPE, now, send, standard, standard_signature, stripe,
        stripe_signature,
    },
    subscription,
};
use serde_json::{Value, json};

fn known(senders: &Senders) -> Tollgate {
    let tollgate = senders.tollgate(&["--store", "memory:"]);
    let body = json!({"aliases": {"stripe": "cus_1"}});
    crate::put(&tollgate, "c1", &body);
    tollgate
}

#[test]
fn a_missing_wrong_truncated_or_old_proof_is_401_and_counted_and_does_nothing() {
    let senders = Senders::new();
    let tollgate = known(&senders);
    let body = subscription("evt_1", "cus_1", "past_due", now()).to_string();
    let right = stripe_signature(STRIPE, now(), &body);
    let wrong_ones = [
        stripe_signature("whsec_of_somebody_else", now(), &body),
        stripe_signature(STRIPE, now() - 301, &body),
        stripe_signature(STRIPE, now() + 330, &body),
        stripe_signature(STRIPE, now(), &body.replace("cus_1", "cus_2")),
        right[..right.len() - 2].to_owned(),
        format!("t={},v1=", now()),
        "v1,".to_owned(),
    ];
    for signature in &wrong_ones {
        let headers = [("stripe-signature", signature.as_str())];
        let refused = send(&tollgate, "/webhooks/stripe", &headers, &body);
        assert_eq!((refused.status, refused.code().as_str()), (401, "INVALID_SIGNATURE"));
    }
    let missing = send(&tollgate, "/webhooks/stripe", &[], &body);
    assert_eq!((missing.status, missing.code().as_str()), (401, "AUTH_REQUIRED"));
    assert_eq!(counted(&tollgate, "stripe", "unproven"), wrong_ones.len() as u64 + 1);

    let path = "/webhooks/billabear";
    let event = json!({"type": "customer_disabled", "customer": {"id": "c1", "is_disabled": true}});
    let event = event.to_string();
    for (path, authorization, code) in [
        (path.to_owned(), None, "AUTH_REQUIRED"),
        (format!("{path}/{BILLABEAR}x"), None, "INVALID_TOKEN"),
        (path.to_owned(), Some("Bearer guessed-by-somebody"), "INVALID_TOKEN"),
        (path.to_owned(), Some(BILLABEAR), "INVALID_TOKEN"),
    ] {
        let headers: Vec<_> = authorization.map(|it| ("authorization", it)).into_iter().collect();
        let refused = send(&tollgate, &path, &headers, &event);
        assert_eq!((refused.status, refused.code().as_str()), (401, code), "{path}");
    }
    assert_eq!(counted(&tollgate, "billabear", "unproven"), 4);
    let told = tollgate.log().into_iter().filter(|line| line.contains("is unproven"));
    assert_eq!(told.count(), 2, "once a minute for each source");
    assert_eq!(read(&tollgate, "c1")["status"], "active");
    let bearer = [("authorization", &*format!("Bearer {BILLABEAR}"))];
    assert_eq!(send(&tollgate, path, &bearer, &event).status, 200);
}

#[test]
fn what_is_signed_is_the_body_as_it_came() {
    let senders = Senders::new();
    let tollgate = known(&senders);
    // The same JSON in other bytes, and a body that is none.
    let spaced = format!(" {} ", subscription("evt_1", "cus_1", "past_due", now()));
    let signature = stripe_signature(STRIPE, now(), spaced.trim());
    let headers = [("stripe-signature", signature.as_str())];
    assert_eq!(send(&tollgate, "/webhooks/stripe", &headers, &spaced).status, 401);
    let signature = stripe_signature(STRIPE, now(), "{");
    let headers = [("stripe-signature", signature.as_str())];
    let malformed = send(&tollgate, "/webhooks/stripe", &headers, "{");
    assert_eq!((malformed.status, malformed.code().as_str()), (400, "VALIDATION_ERROR"));
    let unsigned = send(&tollgate, "/webhooks/stripe", &[], "{");
    assert_eq!(unsigned.status, 401, "nobody reads what is not proven");
    assert_eq!(counted(&tollgate, "stripe", "malformed"), 1);
}

#[test]
fn a_field_that_breaks_its_rule_is_named_and_what_stands_there_is_not_told() {
    let senders = Senders::new();
    let tollgate = known(&senders);
    let at = "2026-11-20T10:00:00Z";
    for (event, field) in [
        (json!([]), "body"),
        (json!({"data": {}}), "type"),
        (json!({"type": "customer.status", "data": "a secret"}), "data"),
        (json!({"type": "customer.status", "data": {"status": "active"}}), "customerId"),
        (crate::message("a secret", "active", at), "customerId"),
        (crate::message("c1", "a secret", at), "status"),
        (crate::message("c1", "active", "a secret"), "timestamp"),
    ] {
        let refused = standard(&tollgate, "msg_1", &event);
        assert_eq!((refused.status, refused.code().as_str()), (400, "VALIDATION_ERROR"));
        assert_eq!(refused.json()["error"]["details"][0]["path"], field, "{refused:?}");
        assert!(!refused.body.contains("a secret"), "{refused:?}");
    }
    assert!(!tollgate.log().iter().any(|line| line.contains("a secret")));
}

#[test]
fn a_body_that_is_too_long_is_413_and_one_that_breaks_off_does_nothing() {
    let senders = Senders::new();
    let tollgate = known(&senders);
    let long = "x".repeat(256 * 1024 + 1);
    let signature = stripe_signature(STRIPE, now(), &long);
    let signed = ("stripe-signature", signature.as_str());
    let refused = send(&tollgate, "/webhooks/stripe", &[signed], &long);
    assert_eq!((refused.status, refused.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    let mut chunked = Raw::connect(tollgate.webhook);
    let headers = [signed, ("Transfer-Encoding", "chunked")];
    chunked.request("POST /webhooks/stripe HTTP/1.1", &headers);
    chunked.send(format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len()));
    assert_eq!(chunked.answer().status, 413);
    // Whole, it would be taken.
    let mut event = subscription("evt_1", "cus_1", "past_due", now());
    event["padding"] = Value::from("x".repeat(255 * 1024));
    assert_eq!(result(&stripe(&tollgate, &event)), done("applied"));
    act(&tollgate, "c1", "unfreeze", &json!({"source": "stripe"}));

    let body = subscription("evt_2", "cus_1", "past_due", now()).to_string();
    let signature = stripe_signature(STRIPE, now(), &body);
    let length = body.len().to_string();
    let headers = [("stripe-signature", signature.as_str()), ("Content-Length", length.as_str())];
    let mut broken = Raw::connect(tollgate.webhook);
    broken.request("POST /webhooks/stripe HTTP/1.1", &headers).send(&body[..body.len() - 1]);
    drop(broken);
    tollgate.wait_until("noticed", || counted(&tollgate, "stripe", "unread") == 3);
    assert_eq!(read(&tollgate, "c1")["status"], "active");
}

#[test]
fn a_body_that_comes_too_slowly_is_waited_for_ten_seconds_and_holds_up_nobody() {
    let senders = Senders::new();
    let tollgate = known(&senders);
    let begun = Instant::now();
    let signature = stripe_signature(STRIPE, now(), "{}");
    let headers = [("stripe-signature", signature.as_str()), ("Content-Length", "2")];
    let mut slow = Raw::connect_with(tollgate.webhook, Duration::from_secs(20));
    slow.request("POST /webhooks/stripe HTTP/1.1", &headers).send("{");
    // Who has not proven anything is not waited for.
    let mut unproven = Raw::connect(tollgate.webhook);
    unproven.request("POST /webhooks/stripe HTTP/1.1", &[("Content-Length", "2")]).send("{");
    assert_eq!(unproven.answer().status, 401);
    let owes = subscription("evt_1", "cus_1", "past_due", now());
    assert_eq!(result(&stripe(&tollgate, &owes)), done("applied"));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(slow.answer().status, 408);
    assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
}

#[test]
fn a_secret_that_is_replaced_on_disk_holds_without_a_restart() {
    let senders = Senders::new();
    let tollgate = known(&senders);
    let proven_by = |secret: &str| {
        let body = json!({"type": "invoice.paid", "data": {}}).to_string();
        let (time, signature) = (now(), standard_signature(secret, "msg_1", now(), &body));
        let time = time.to_string();
        let headers =
            [("svix-id", "msg_1"), ("svix-timestamp", &*time), ("svix-signature", &*signature)];
        send(&tollgate, "/webhooks/standard", &headers, &body).status == 202
    };
    let next = "whsec_bmV4dCBzZWNyZXQgb2YgdGhlIHNlbmRlcg==";
    assert!(proven_by(STANDARD) && !proven_by(next));
    senders.write("standard", &format!("{STANDARD}\n{next}\n"));
    tollgate.wait_until("both hold", || proven_by(next));
    assert!(proven_by(STANDARD));
    senders.write("standard", next);
    tollgate.wait_until("the old one is gone", || !proven_by(STANDARD));
    assert!(proven_by(next));

    senders.write("standard", "no such secret");
    let line = tollgate.wait_for_log("go on with the secrets that they have");
    assert!(line.contains("must be `whsec_` and base64") && !line.contains("no such"), "{line}");
    assert!(proven_by(next));
}

#[test]
fn no_secret_is_in_a_log_an_answer_or_the_settings_shown() {
    let senders = Senders::new();
    let tollgate = senders.tollgate(&["--store", "memory:", "--log-level", "trace"]);
    let event = json!({"type": "customer_updated", "customer": {"id": "c9", "is_disabled": true}});
    let answers = [
        crate::billabear(&tollgate, &event),
        send(&tollgate, &format!("/webhooks/billabear/{BILLABEAR}"), &[], "{"),
        send(&tollgate, &format!("/webhooks/billabear/{BILLABEAR}/more"), &[], "{}"),
        send(&tollgate, &format!("/webhooks/stripe/{STRIPE}"), &[], "{}"),
    ];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [202, 400, 404, 404]);
    let flags = senders.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let shown = tollgate.cli(&[&["config", "show", "--output", "json"], &flags[..]].concat());
    assert!(shown.status.success(), "{shown:?}");
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("stripe="), "{shown}");
    let log = tollgate.log().join("\n");
    for secret in [BILLABEAR, STRIPE, STANDARD] {
        assert!(!log.contains(secret) && !shown.contains(secret), "{secret}");
        assert!(answers.iter().all(|answer| !answer.body.contains(secret)));
    }
}
