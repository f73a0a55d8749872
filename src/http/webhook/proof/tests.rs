//! The published vectors, and everything around them that proves nothing.

use axum::http::{HeaderName, HeaderValue};

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    lines.iter().map(line).collect()
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn judged(
    kind: WebhookSource,
    lines: &[(&'static str, &str)],
    secret: &[u8],
    now: Timestamp,
    body: &str,
) -> Result<(), Unproven> {
    let secrets = Secrets::new(vec![secret.to_vec()]);
    let presented = Presented::of(kind, &headers(lines), None, now)?;
    presented.admit_early(&secrets)?;
    presented.admit(&secrets, body.as_bytes())
}

mod of_stripe {
    use super::*;

    const RIGHT: &str = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
    const BODY: &str = r#"{"id":"evt_1"}"#;

    fn judge(signature: &str, secret: &str, now: i64, body: &str) -> bool {
        let lines = [("stripe-signature", signature)];
        judged(WebhookSource::Stripe, &lines, secret.as_bytes(), seconds(now), body).is_ok()
    }

    #[test]
    fn the_published_vector_holds_for_five_minutes_either_way() {
        let signature = format!("t=1700000000,v1={RIGHT}");
        for (now, holds) in [
            (1_700_000_000, true),
            (1_700_000_300, true),
            (1_699_999_700, true),
            (1_700_000_301, false),
            (1_699_999_699, false),
        ] {
            assert_eq!(judge(&signature, "whsec_test", now, BODY), holds, "{now}");
        }
    }

    #[test]
    fn any_of_several_signatures_will_do_and_other_schemes_say_nothing() {
        let other = "0".repeat(64);
        for signature in [
            format!("t=1700000000,v1={other},v1={RIGHT}"),
            format!("v1={RIGHT}, v0={other}, t=1700000000"),
        ] {
            assert!(judge(&signature, "whsec_test", 1_700_000_000, BODY), "{signature}");
        }
        let older = format!("t=1700000000,v0={RIGHT}");
        assert!(!judge(&older, "whsec_test", 1_700_000_000, BODY));
    }

    #[test]
    fn what_is_wrong_truncated_or_of_something_else_proves_nothing() {
        let right = format!("t=1700000000,v1={RIGHT}");
        let now = 1_700_000_000;
        assert!(!judge(&right, "whsec_tesT", now, BODY));
        assert!(!judge(&right, "", now, BODY));
        assert!(!judge(&right, "whsec_test", now, r#"{"id":"evt_2"}"#));
        assert!(!judge(&right, "whsec_test", now, &format!("{BODY} ")));
        for wrong in [
            String::new(),
            "t=1700000000".to_owned(),
            "t=1700000000,v1=".to_owned(),
            format!("v1={RIGHT}"),
            format!("t=1700000000,v1={}", &RIGHT[..62]),
            format!("t=1700000000,v1={RIGHT}00"),
            format!("t=1700000001,v1={RIGHT}"),
            format!("t=1700000000,t=1700000001,v1={RIGHT}"),
            format!("t=+1700000000,v1={RIGHT}"),
            format!("t=,v1={RIGHT}"),
            format!("t=99999999999999999999,v1={RIGHT}"),
        ] {
            assert!(!judge(&wrong, "whsec_test", now, BODY), "{wrong}");
        }
        let twice = [("stripe-signature", right.as_str()), ("stripe-signature", right.as_str())];
        let mut doubled = HeaderMap::new();
        for (name, value) in twice {
            doubled.append(name, HeaderValue::from_str(value).unwrap());
        }
        let presented = Presented::of(WebhookSource::Stripe, &doubled, None, seconds(now));
        assert_eq!(presented.unwrap_err().code, "INVALID_SIGNATURE");
        let none = Presented::of(WebhookSource::Stripe, &HeaderMap::new(), None, seconds(now));
        assert_eq!(none.unwrap_err().code, "AUTH_REQUIRED");
    }
}

mod of_standard_webhooks {
    use super::*;

    const SECRET: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const TIME: &str = "1649367553";
    const BODY: &str = r#"{"email":"test@example.com","username":"test_user"}"#;
    const RIGHT: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn judge(
        [id, time, signature]: [&str; 3],
        secret: &[u8],
        now: i64,
        body: &str,
    ) -> Result<(), Unproven> {
        let lines =
            [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)];
        judged(WebhookSource::Standard, &lines, secret, seconds(now), body)
    }

    fn secret() -> Vec<u8> {
        BASE64.decode(SECRET.as_bytes()).unwrap()
    }

    #[test]
    fn the_published_vector_holds_for_five_minutes_either_way() {
        for (now, holds) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
            let judged = judge([ID, TIME, RIGHT], &secret(), 1_649_367_553 + now, BODY);
            assert_eq!(judged.is_ok(), holds, "{now}");
        }
    }

    #[test]
    fn the_names_of_svix_mean_the_same_and_any_of_several_signatures_will_do() {
        let signatures = format!("v1a,AAAA v1,{} {RIGHT}", BASE64.encode(&[0; 32]));
        let lines = [("svix-id", ID), ("svix-timestamp", TIME), ("svix-signature", &*signatures)];
        let now = seconds(1_649_367_553);
        assert_eq!(judged(WebhookSource::Standard, &lines, &secret(), now, BODY), Ok(()));
    }

    #[test]
    fn what_is_wrong_truncated_or_of_something_else_proves_nothing() {
        let now = 1_649_367_553;
        let secret = secret();
        assert!(judge([ID, TIME, RIGHT], SECRET.as_bytes(), now, BODY).is_err());
        assert!(judge([ID, TIME, RIGHT], b"", now, BODY).is_err());
        assert!(judge([ID, TIME, RIGHT], &secret, now, "{}").is_err());
        for wrong in [
            ["msg_other", TIME, RIGHT],
            ["", TIME, RIGHT],
            [ID, "1649367554", RIGHT],
            [ID, "soon", RIGHT],
            [ID, TIME, ""],
            [ID, TIME, "v1,"],
            [ID, TIME, "v1"],
            [ID, TIME, &RIGHT[..40]],
            [ID, TIME, &RIGHT.replace("v1,", "v2,")],
            [ID, TIME, &RIGHT.replace("v1,", "")],
        ] {
            assert!(judge(wrong, &secret, now, BODY).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_signed_cannot_be_cut_in_another_place() {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret()).unwrap();
        mac.update(b"msg.1649367553.1649367553.{}");
        let signature = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
        let now = 1_649_367_553;
        let whole = judge(["msg", TIME, &signature], &secret(), now, "1649367553.{}");
        assert_eq!(whole, Ok(()));
        let cut = judge(["msg.1649367553", TIME, &signature], &secret(), now, "{}");
        assert!(cut.unwrap_err().why.contains("without a dot"));
    }
}

#[test]
fn a_token_is_shown_in_the_header_or_in_the_path_and_not_in_two_ways() {
    let secrets = Secrets::new(vec![b"first".to_vec(), b"second".to_vec(), Vec::new()]);
    let admitted = |lines: &[(&'static str, &str)], path| {
        let kind = WebhookSource::Billabear;
        let presented = Presented::of(kind, &headers(lines), path, Timestamp::default())?;
        presented.admit_early(&secrets)
    };
    let code = |lines: &[(&'static str, &str)], path| admitted(lines, path).map_err(|it| it.code);
    assert_eq!(code(&[("authorization", "Bearer second")], None), Ok(()));
    assert_eq!(code(&[("authorization", "bearer first")], Some("first")), Ok(()));
    assert_eq!(code(&[], Some("first")), Ok(()));
    assert_eq!(code(&[], None), Err("AUTH_REQUIRED"));
    assert_eq!(
        code(&[("authorization", "Bearer first")], Some("second")),
        Err("INVALID_SIGNATURE")
    );
    for wrong in ["Bearer third", "Bearer ", "Bearer", "Basic first", "first"] {
        assert_eq!(code(&[("authorization", wrong)], None), Err("INVALID_TOKEN"), "{wrong}");
    }
    assert_eq!(code(&[], Some("")), Err("INVALID_TOKEN"));
}
