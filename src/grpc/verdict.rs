//! Writes an answer as Envoy reads it.

mod pass;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use prost_types::{Struct, Value, value::Kind};
use tonic::{Code, Status, metadata::MetadataMap};

pub(super) use self::pass::framed_pass;
use super::{
    message::{
        envoy::{
            config::core::v3::{self as core, HeaderValueOption, header_value_option},
            service::auth::v3::{
                CheckResponse, DeniedHttpResponse, OkHttpResponse, check_response::HttpResponse,
            },
            r#type::v3::HttpStatus,
        },
        google::rpc,
    },
    question::{Malformed, Question},
};
use crate::{
    domain::{CustomerName, Enforcement, Named as _},
    gate::Answer,
    wire::{self, Beside},
};

/// What Envoy is answered. That there is no decision is an error of the call, so that its own
/// failure mode decides.
pub(super) fn verdict(answer: &Answer, asked: &Question) -> Result<CheckResponse, Status> {
    let headers = wire::headers(answer, Beside::Nothing);
    match answer.enforcement {
        Enforcement::Pass => {
            let passed = OkHttpResponse { headers: overwriting(&headers) };
            Ok(response(Code::Ok, HttpResponse::OkResponse(passed), answer, asked))
        }
        Enforcement::Refuse => {
            let refused = HttpResponse::DeniedResponse(refusal(answer, headers));
            Ok(response(Code::PermissionDenied, refused, answer, asked))
        }
        Enforcement::Fail => {
            let sentence = match &asked.malformed {
                Some(Malformed { key, rule, .. }) => format!("context_extensions.{key}: {rule}"),
                None => wire::spelling(&answer.decision).sentence.to_owned(),
            };
            let metadata = MetadataMap::from_headers(headers);
            Err(Status::with_metadata(Code::Unavailable, sentence, metadata))
        }
    }
}

/// An answer in its frame.
pub(super) fn framed(response: &CheckResponse) -> Bytes {
    let length = response.encoded_len();
    let mut framed = BytesMut::with_capacity(pass::FRAME + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    framed.put_slice(&response.encode_to_vec());
    framed.freeze()
}

/// What a caller is told whose deadline is over: nothing that it could take for a decision.
pub(super) fn missed() -> Status {
    Status::deadline_exceeded("the deadline was over before there was a decision")
}

fn response(
    code: Code,
    http_response: HttpResponse,
    answer: &Answer,
    asked: &Question,
) -> CheckResponse {
    let status = rpc::Status { code: code.into(), message: String::new() };
    CheckResponse {
        status: Some(status),
        http_response: Some(http_response),
        dynamic_metadata: Some(for_the_log(answer, customer_of(asked))),
    }
}

fn refusal(answer: &Answer, mut headers: HeaderMap) -> DeniedHttpResponse {
    let status = wire::enforced_status(answer);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    wire::complete_refusal(status, &mut headers);
    DeniedHttpResponse {
        status: Some(http_status(status)),
        headers: overwriting(&headers),
        body: String::from_utf8_lossy(&wire::refusal_body(&answer.decision)).into_owned(),
    }
}

fn http_status(status: StatusCode) -> HttpStatus {
    HttpStatus { code: i32::from(status.as_u16()) }
}

/// Headers that replace what the client sent under the same names.
fn overwriting(headers: &HeaderMap) -> Vec<HeaderValueOption> {
    let lines = headers.iter().map(|(name, value)| HeaderValueOption {
        header: Some(core::HeaderValue {
            key: name.as_str().into(),
            value: value.as_bytes().into(),
            raw_value: Vec::new(),
        }),
        append_action: header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
    });
    lines.collect()
}

fn customer_of(asked: &Question) -> Option<&CustomerName> {
    asked.check.as_ref().and_then(|check| check.identity.as_ref().ok())
}

/// What Envoy's access log can show. What is not known is left out.
fn for_the_log(answer: &Answer, customer: Option<&CustomerName>) -> Struct {
    let decision = &answer.decision;
    let told = [
        ("customer", customer.map(|key| key.id().to_string())),
        ("tenant", customer.map(|key| key.tenant().to_string())),
        ("status", Some(wire::status_word(decision.status).to_owned())),
        ("reason", Some(decision.reason.as_str().to_owned())),
        ("decision", Some(decision.outcome().as_str().to_owned())),
        ("revision", answer.revision.as_ref().map(ToString::to_string)),
    ];
    let told = told.into_iter().filter_map(|(name, text)| {
        let value = Value { kind: Some(Kind::StringValue(text?)) };
        Some((name.to_owned(), value))
    });
    Struct { fields: told.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Access, Check, CustomerName, Decision, Mode, Operation, Reason, Status as Is,
    };

    fn asked() -> Question {
        let customer = CustomerName::of("acme", "c:1").unwrap();
        let check = Check::of(Ok(customer), Operation::Write);
        Question { check: Some(check), malformed: None }
    }

    fn answer(reason: Reason, enforcement: Enforcement) -> Answer {
        let decision = Decision {
            reason,
            status: Some(Is::Frozen),
            access: Some(Access::ReadOnly),
            payment_required: false,
        };
        let mode = Mode::Enforce;
        let (revision, age, http_status) = (None, None, None);
        Answer { decision, enforcement, mode, revision, age, stale: false, http_status }
    }

    #[test]
    fn code_0_never_stands_beside_a_refusal_and_no_refusal_is_a_success_or_an_error() {
        for reason in Reason::ALL {
            for enforcement in [Enforcement::Pass, Enforcement::Refuse, Enforcement::Fail] {
                let told = verdict(&answer(reason, enforcement), &asked());
                let told = match (enforcement, told) {
                    (Enforcement::Fail, Err(status)) => {
                        assert_eq!(status.code(), Code::Unavailable, "{reason}");
                        continue;
                    }
                    (_, told) => told.unwrap(),
                };
                match told.http_response.unwrap() {
                    HttpResponse::OkResponse(passed) => {
                        assert_eq!(enforcement, Enforcement::Pass, "{reason}");
                        assert_eq!(told.status.unwrap().code, 0, "{reason}");
                        assert_eq!(passed.headers.len(), 8, "{reason}");
                    }
                    HttpResponse::DeniedResponse(_) => {
                        assert_eq!(enforcement, Enforcement::Refuse, "{reason}");
                        assert_eq!(told.status.unwrap().code, 7, "{reason}");
                    }
                }
            }
        }
        for reason in
            Reason::ALL.into_iter().filter(|it| it.outcome() != crate::domain::Outcome::Allow)
        {
            let told = verdict(&answer(reason, Enforcement::Refuse), &asked()).unwrap();
            let Some(HttpResponse::DeniedResponse(refused)) = told.http_response else { panic!() };
            assert!((400..500).contains(&refused.status.unwrap().code), "{reason}");
        }
    }

    #[test]
    fn the_access_log_is_told_who_and_why_and_nothing_that_is_not_known() {
        let told = verdict(&answer(Reason::CustomerFrozen, Enforcement::Refuse), &asked());
        let fields = told.unwrap().dynamic_metadata.unwrap().fields;
        let shown: Vec<_> = fields
            .into_iter()
            .map(|(name, value)| match value.kind {
                Some(Kind::StringValue(text)) => format!("{name}={text}"),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            "customer=c:1",
            "decision=deny",
            "reason=customer_frozen",
            "status=frozen",
            "tenant=acme",
        ];
        assert_eq!(shown, expected);
    }
}
