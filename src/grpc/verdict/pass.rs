//! The answer that lets a request pass, as it is on the wire. Most of it was written before.

use std::{cell::RefCell, collections::HashMap};

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::{Message as _, length_delimiter_len};

use super::{super::message::envoy::service::auth::v3::OkHttpResponse, for_the_log, overwriting};
use crate::{
    domain::{CustomerName, Named},
    gate::Answer,
    wire::{self, Beside, Numbers, Place},
};

/// A `CheckResponse` in its frame, of an `answer` that lets `customer` pass.
pub(in super::super) fn framed_pass(answer: &Answer, customer: Option<&CustomerName>) -> Bytes {
    DESK.with_borrow_mut(|desk| desk.framed_pass(answer, customer))
}

/// What one thread writes answers with.
#[derive(Default)]
struct Desk {
    written: HashMap<Place, Written>,
    /// It is used again once nobody holds what was written there.
    paper: BytesMut,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// What an answer says in a few words: headers, and fields for the access log.
struct Written {
    headers: Vec<u8>,
    fields: Vec<u8>,
}

impl Written {
    fn of(answer: &Answer) -> Self {
        let mut headers = wire::headers(answer, Beside::Nothing);
        headers.remove(&wire::REVISION);
        headers.remove(&wire::AGE_MS);
        let headers = OkHttpResponse { headers: overwriting(&headers) };
        let told = for_the_log(&Answer { revision: None, ..answer.clone() }, None);
        Self { headers: headers.encode_to_vec(), fields: told.encode_to_vec() }
    }
}

impl Desk {
    fn framed_pass(&mut self, answer: &Answer, customer: Option<&CustomerName>) -> Bytes {
        let Self { written, paper } = self;
        let place = Place::of(answer, Beside::Nothing);
        let Written { headers, fields } =
            written.entry(place).or_insert_with(|| Written::of(answer));
        let numbers = Numbers::of(answer);
        let options = [
            Overwritten { name: wire::REVISION.as_str(), value: numbers.revision() },
            Overwritten { name: wire::AGE_MS.as_str(), value: numbers.age() },
        ];
        let told = [
            ("customer", customer.map(Named::id)),
            ("tenant", customer.map(Named::tenant)),
            ("revision", answer.revision.as_ref().map(|_| numbers.revision())),
        ];
        let entries = || told.iter().filter_map(|(key, text)| Some(Entry { key, text: (*text)? }));
        let passed = headers.len() + options.iter().map(|it| field(it.length())).sum::<usize>();
        let logged = fields.len() + entries().map(|it| field(it.length())).sum::<usize>();
        // The code is 0, which is said by saying nothing of it.
        let message = field(0) + field(passed) + field(logged);
        paper.reserve(FRAME + message);
        paper.put_u8(0);
        paper.put_u32(u32::try_from(message).unwrap_or(u32::MAX));
        begin(paper, 1, 0);
        begin(paper, 3, passed);
        paper.put_slice(headers);
        for option in &options {
            option.write(paper);
        }
        begin(paper, 4, logged);
        paper.put_slice(fields);
        for entry in entries() {
            entry.write(paper);
        }
        paper.split().freeze()
    }
}

/// A `HeaderValueOption` that overwrites.
struct Overwritten<'a> {
    name: &'a str,
    value: &'a str,
}

impl Overwritten<'_> {
    fn length(&self) -> usize {
        field(self.header()) + OVERWRITES.len()
    }

    fn header(&self) -> usize {
        field(self.name.len()) + field(self.value.len())
    }

    fn write(&self, paper: &mut BytesMut) {
        begin(paper, 2, self.length());
        begin(paper, 1, self.header());
        put(paper, 1, self.name);
        put(paper, 2, self.value);
        paper.put_slice(&OVERWRITES);
    }
}

/// An entry of a `google.protobuf.Struct` that is a text.
struct Entry<'a> {
    key: &'a str,
    text: &'a str,
}

impl Entry<'_> {
    fn length(&self) -> usize {
        field(self.key.len()) + field(field(self.text.len()))
    }

    fn write(&self, paper: &mut BytesMut) {
        begin(paper, 1, self.length());
        put(paper, 1, self.key);
        begin(paper, 2, field(self.text.len()));
        put(paper, 3, self.text);
    }
}

/// How long a field is, of a number under 16, that holds so many bytes.
fn field(length: usize) -> usize {
    1 + length_delimiter_len(length) + length
}

/// Begins a field that holds so many bytes.
fn begin(paper: &mut BytesMut, number: u8, length: usize) {
    paper.put_u8(number << 3 | 2);
    prost::encoding::encode_varint(length as u64, paper);
}

fn put(paper: &mut BytesMut, number: u8, text: &str) {
    begin(paper, number, text.len());
    paper.put_slice(text.as_bytes());
}

/// `append_action` is `OVERWRITE_IF_EXISTS_OR_ADD`.
const OVERWRITES: [u8; 2] = [3 << 3, 2];
/// What stands before a message of gRPC: whether it is compressed, and its length.
pub(super) const FRAME: usize = 5;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{
        super::{super::question::Question, verdict},
        *,
    };
    use crate::domain::{
        Check, Decision, Enforcement, Epoch, Mode, Operation, Partition, Reason, Revision, Token,
    };

    /// What the library makes of it, its headers in order.
    fn decoded(message: &[u8]) -> super::super::CheckResponse {
        let mut response = super::super::CheckResponse::decode(message).unwrap();
        if let Some(super::super::HttpResponse::OkResponse(passed)) = &mut response.http_response {
            passed.headers.sort_by(|one, other| {
                let name = |it: &super::super::HeaderValueOption| {
                    it.header.as_ref().map(|header| header.key.clone())
                };
                name(one).cmp(&name(other))
            });
        }
        response
    }

    proptest! {
        #[test]
        fn it_says_what_the_library_would_write(
            reason in prop::sample::select(&Reason::ALL[..]),
            customer in prop::option::of(("[a-z]{1,128}", "[a-zA-Z0-9:]{1,128}")),
            revision in prop::option::of(("[a-z0-9]{1,32}", any::<u16>(), any::<u64>())),
            age in prop::option::of(any::<u64>()),
            stale: bool,
        ) {
            let answer = Answer {
                decision: Decision::about_nobody(reason),
                enforcement: Enforcement::Pass,
                mode: Mode::Enforce,
                revision: revision.map(|(epoch, partition, revision)| Token {
                    epoch: Epoch::parse(&epoch).unwrap(),
                    partition: Partition(partition),
                    revision: Revision(revision),
                }),
                age: age.map(Duration::from_millis),
                stale,
                http_status: None,
            };
            let customer = customer.map(|(tenant, id)| CustomerName::of(&tenant, &id).unwrap());
            let written = framed_pass(&answer, customer.as_ref());
            let (frame, message) = written.split_at(FRAME);
            prop_assert_eq!(frame[0], 0);
            prop_assert_eq!(u32::from_be_bytes(frame[1..].try_into().unwrap()) as usize, message.len());
            let check = customer.map(|key| Check::of(Ok(key), Operation::Read));
            let asked = Question { check, malformed: None };
            let expected = verdict(&answer, &asked).unwrap().encode_to_vec();
            prop_assert_eq!(decoded(message), decoded(&expected));
        }
    }
}
