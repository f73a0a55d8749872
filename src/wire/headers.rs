//! The headers of an answer, most of which were spelled before.

use std::{cell::RefCell, slice::SliceIndex};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::{BufMut as _, BytesMut};
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{access_word, status_word};
use crate::{
    domain::{Mode, Token},
    gate::Answer,
};

/// What stands beside the eight headers of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// What a pass carries: that it has no body.
    Pass,
    /// The same, and nginx's code.
    NginxPass,
    /// What a refusal carries: that it has a body of JSON, which nobody may keep.
    Refusal,
}

/// The eight headers of every answer, and what stands `beside` them. All of them, always: a header
/// that is absent is where a gateway lets the client's forged copy through.
#[must_use]
pub fn headers(answer: &Answer, beside: Beside) -> HeaderMap {
    DESK.with_borrow_mut(|desk| desk.headers(answer, beside))
}

/// What one thread spells headers with.
#[derive(Default)]
struct Desk {
    /// All but the two that count something: an answer differs from others in a few words.
    spelled: HashMap<Place, HeaderMap>,
    /// Where those two are written. It is used again once nobody holds what was written there.
    paper: BytesMut,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

impl Desk {
    fn headers(&mut self, answer: &Answer, beside: Beside) -> HeaderMap {
        let Self { spelled, paper } = self;
        let place = Place::of(answer, beside);
        let mut headers = spelled.entry(place).or_insert_with(|| spell(answer, beside)).clone();
        let numbers = Numbers::of(answer);
        let mut put = |name: &HeaderName, text: &str| {
            paper.put_slice(text.as_bytes());
            let value = HeaderValue::from_maybe_shared(paper.split().freeze());
            headers.insert(name, value.unwrap_or(NOT_KNOWN));
        };
        put(&REVISION, numbers.revision());
        put(&AGE_MS, numbers.age());
        headers
    }
}

/// What an answer says in numbers: the revision it stands on, and how old that is.
#[derive(Debug)]
pub struct Numbers {
    text: SmallVec<[u8; 128]>,
    revision: usize,
}

impl Numbers {
    /// Those of `answer`.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        let mut text = SmallVec::new();
        match &answer.revision {
            None => text.extend_from_slice(b"-"),
            Some(Token { epoch, partition, revision }) => {
                let mut digits = itoa::Buffer::new();
                text.extend_from_slice(epoch.as_str().as_bytes());
                text.push(b':');
                text.extend_from_slice(digits.format(partition.0).as_bytes());
                text.push(b'.');
                text.extend_from_slice(digits.format(revision.0).as_bytes());
            }
        }
        let revision = text.len();
        match answer.age {
            None => text.extend_from_slice(b"-"),
            Some(age) => {
                let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                text.extend_from_slice(itoa::Buffer::new().format(millis).as_bytes());
            }
        }
        Self { text, revision }
    }

    /// The revision token; `-` if there is none.
    #[must_use]
    pub fn revision(&self) -> &str {
        self.part(..self.revision)
    }

    /// The age in milliseconds; `-` if it is not known.
    #[must_use]
    pub fn age(&self) -> &str {
        self.part(self.revision..)
    }

    fn part(&self, part: impl SliceIndex<[u8], Output = [u8]>) -> &str {
        self.text.get(part).and_then(|text| str::from_utf8(text).ok()).unwrap_or("-")
    }
}

/// One for each set of words that an answer is told in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Place(u16);

impl Place {
    /// That of `answer`.
    #[must_use]
    pub fn of(answer: &Answer, beside: Beside) -> Self {
        let Answer { decision, stale, mode, .. } = answer;
        let status = decision.status.map_or(0, |status| status as u16 + 1);
        let access = decision.access.map_or(0, |access| access as u16 + 1);
        let place = decision.reason as u16 * 8 + status;
        let place = place * 4 + access;
        let place = place * 2 + u16::from(*stale);
        let place = place * 2 + u16::from(*mode == Mode::Shadow);
        Self(place * 4 + beside as u16)
    }
}

fn spell(answer: &Answer, beside: Beside) -> HeaderMap {
    let decision = &answer.decision;
    let mut headers = HeaderMap::with_capacity(12);
    let mut put = |name: &HeaderName, value| headers.insert(name.clone(), value);
    put(&DECISION, HeaderValue::from_static(decision.outcome().as_str()));
    put(&REASON, HeaderValue::from_static(decision.reason.as_str()));
    put(&STATUS, HeaderValue::from_static(status_word(decision.status)));
    put(&ACCESS, HeaderValue::from_static(access_word(decision.access)));
    put(&REVISION, NOT_KNOWN);
    put(&AGE_MS, NOT_KNOWN);
    put(&STALE, HeaderValue::from_static(if answer.stale { "true" } else { "false" }));
    put(&MODE, HeaderValue::from_static(answer.mode.as_str()));
    match beside {
        Beside::Nothing => {}
        Beside::Pass => {
            put(&header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Beside::NginxPass => {
            put(&header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            put(&CODE, HeaderValue::from_static("200"));
        }
        Beside::Refusal => {
            put(&header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            put(&header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }
    headers
}

const NOT_KNOWN: HeaderValue = HeaderValue::from_static("-");

/// `allow`, `deny` or `undecided`: always the true outcome, also where it is not enforced.
pub static DECISION: HeaderName = HeaderName::from_static("x-tollgate-decision");
/// The reason code.
pub static REASON: HeaderName = HeaderName::from_static("x-tollgate-reason");
/// The customer's status.
pub static STATUS: HeaderName = HeaderName::from_static("x-tollgate-status");
/// What the status leaves.
pub static ACCESS: HeaderName = HeaderName::from_static("x-tollgate-access");
/// The revision token that the answer stands on.
pub static REVISION: HeaderName = HeaderName::from_static("x-tollgate-revision");
/// How many milliseconds ago what it stands on was last confirmed.
pub static AGE_MS: HeaderName = HeaderName::from_static("x-tollgate-age-ms");
/// Whether that is past the staleness budget.
pub static STALE: HeaderName = HeaderName::from_static("x-tollgate-stale");
/// `enforce` or `shadow`.
pub static MODE: HeaderName = HeaderName::from_static("x-tollgate-mode");
/// The status that nginx is to answer its client with.
pub static CODE: HeaderName = HeaderName::from_static("x-tollgate-code");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{
        Access, Decision, Enforcement, Epoch, Partition, Reason, Revision, Status,
    };

    fn answer(decision: Decision) -> Answer {
        Answer {
            decision,
            enforcement: Enforcement::Refuse,
            mode: Mode::Enforce,
            revision: None,
            age: None,
            stale: false,
            http_status: None,
        }
    }

    #[test]
    fn every_answer_carries_all_eight_headers_and_none_is_empty() {
        let answer = answer(Decision::about_nobody(Reason::CustomerMissing));
        let headers = headers(&answer, Beside::Nothing);
        let shown: Vec<_> =
            [&DECISION, &REASON, &STATUS, &ACCESS, &REVISION, &AGE_MS, &STALE, &MODE]
                .iter()
                .map(|name| headers[*name].to_str().unwrap().to_owned())
                .collect();
        let expected =
            ["deny", "customer_missing", "unknown", "unknown", "-", "-", "false", "enforce"];
        assert_eq!(shown, expected);
        assert_eq!(headers.len(), 8);
    }

    #[test]
    fn no_answer_is_told_in_the_words_of_another() {
        let statuses =
            [Status::Active, Status::Frozen, Status::Inactive, Status::Disabled].map(Some);
        let accesses = [Access::None, Access::ReadOnly, Access::ReadWrite].map(Some);
        // The second time, each is a copy.
        for _ in 0..2 {
            for reason in Reason::ALL {
                for status in statuses.into_iter().chain([None]) {
                    for access in accesses.into_iter().chain([None]) {
                        for (stale, mode) in [
                            (false, Mode::Enforce),
                            (true, Mode::Enforce),
                            (false, Mode::Shadow),
                            (true, Mode::Shadow),
                        ] {
                            let decision =
                                Decision { reason, status, access, payment_required: false };
                            let answer = Answer { mode, stale, ..answer(decision) };
                            for beside in
                                [Beside::Nothing, Beside::Pass, Beside::NginxPass, Beside::Refusal]
                            {
                                assert_eq!(headers(&answer, beside), spell(&answer, beside));
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_revision_is_told_as_it_is_shown_and_an_age_in_milliseconds() {
        for (epoch, partition, revision, age) in [
            ("e1", 0, 0, 0),
            ("a", 1023, u64::MAX, 999),
            ("0123456789abcdef0123456789abcdef", 7, 12, u64::MAX),
        ] {
            let token = Token {
                epoch: Epoch::parse(epoch).unwrap(),
                partition: Partition(partition),
                revision: Revision(revision),
            };
            let answer = Answer {
                revision: Some(token.clone()),
                age: Some(Duration::from_millis(age)),
                ..answer(Decision::about_nobody(Reason::Active))
            };
            let headers = headers(&answer, Beside::Pass);
            assert_eq!(headers[&REVISION], token.to_string());
            assert_eq!(headers[&AGE_MS], age.to_string());
        }
    }
}
