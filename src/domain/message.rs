//! Messages of a billing system, and the order among those of one source about one customer.
//!
//! They may arrive late, twice, or through another instance, so a record keeps the last one of
//! each source, also after a lift.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{action::Refusal, time::Timestamp};

/// When a message was sent and what tells it from others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Postmark {
    /// When it was sent.
    pub dated: Dated,
    /// What tells it from others.
    pub id: MessageId,
}

/// When a message was sent, and who says so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dated {
    /// Nobody says, so that its arrival counts: it comes after all before it.
    Arrived(Timestamp),
    /// The store, which took it then.
    Queued(Timestamp),
    /// Its sender.
    Sent(Timestamp),
}

impl Dated {
    /// The moment.
    #[must_use]
    pub const fn at(self) -> Timestamp {
        match self {
            Self::Arrived(at) | Self::Queued(at) | Self::Sent(at) => at,
        }
    }
}

/// What tells a message from others of its source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MessageId {
    /// The digest of its text. The same text may be sent again and mean it.
    Digest(String),
    /// An id that no other message of the source has.
    Given(String),
    /// Nothing that is known here: its change is written back, and the log does not keep it.
    Unknown,
}

/// What a record keeps of a source's last message.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastMessage {
    /// When it was sent.
    pub at: Timestamp,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The digest of its text, when it has no id and its source has not acted in another way
    /// since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl LastMessage {
    /// Whether this is the message that `id` names.
    #[must_use]
    pub fn is(&self, id: &MessageId) -> bool {
        match id {
            MessageId::Digest(digest) => self.digest.as_ref() == Some(digest),
            MessageId::Given(id) => self.id.as_ref() == Some(id),
            MessageId::Unknown => false,
        }
    }

    /// The source has acted in another way: from now on the same text means something again.
    pub(super) fn forget_text(&mut self) {
        self.digest = None;
    }
}

impl Postmark {
    /// Of a message that was applied before as one of `at`, and that the store has forgotten.
    #[must_use]
    pub const fn forgotten(at: Timestamp) -> Self {
        Self { dated: Dated::Queued(at), id: MessageId::Unknown }
    }

    /// What a record keeps of this message when it comes after `last`, or why it may not take
    /// effect at `now`.
    pub fn after(
        &self,
        last: Option<&LastMessage>,
        now: Timestamp,
    ) -> Result<LastMessage, Refusal> {
        if last.is_some_and(|last| last.is(&self.id)) {
            return Err(Refusal::MessageRepeated);
        }
        let last_at = last.map(|last| last.at);
        let at = match self.dated {
            Dated::Sent(at) if at > now.saturating_add(AHEAD_AT_MOST) => {
                return Err(Refusal::MessageAhead);
            }
            Dated::Sent(at) | Dated::Queued(at) if last_at.is_some_and(|last| at < last) => {
                return Err(Refusal::MessageOutdated);
            }
            Dated::Sent(at) | Dated::Queued(at) => at,
            Dated::Arrived(at) => last_at.map_or(at, |last| at.max(last)),
        };
        let (id, digest) = match self.id.clone() {
            MessageId::Digest(digest) => (None, Some(digest)),
            MessageId::Given(id) => (Some(id), None),
            MessageId::Unknown => (None, None),
        };
        Ok(LastMessage { at, id, digest })
    }
}

/// How far a sender's clock may be ahead of ours.
const AHEAD_AT_MOST: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn mark(dated: Dated, id: &str) -> Postmark {
        Postmark { dated, id: MessageId::Given(id.to_owned()) }
    }

    #[test]
    fn an_older_message_and_one_that_came_before_are_told_apart() {
        let last = mark(Dated::Sent(at(100)), "b").after(None, at(100)).unwrap();
        let judged = |dated, id| mark(dated, id).after(Some(&last), at(101)).err();
        assert_eq!(judged(Dated::Sent(at(99)), "a"), Some(Refusal::MessageOutdated));
        assert_eq!(judged(Dated::Queued(at(99)), "a"), Some(Refusal::MessageOutdated));
        assert_eq!(judged(Dated::Sent(at(200)), "b"), Some(Refusal::MessageRepeated));
        assert_eq!(judged(Dated::Sent(at(100)), "c"), None);
    }

    #[test]
    fn what_nobody_dated_comes_after_all_before_it() {
        let last = mark(Dated::Sent(at(300)), "a").after(None, at(100)).unwrap();
        let next = mark(Dated::Arrived(at(101)), "b").after(Some(&last), at(101)).unwrap();
        assert_eq!(next.at, at(300));
    }

    #[test]
    fn a_sender_may_be_five_minutes_ahead_and_the_inbox_further() {
        let judged = |dated| mark(dated, "a").after(None, at(0)).err();
        assert_eq!(judged(Dated::Sent(at(300))), None);
        assert_eq!(judged(Dated::Sent(at(301))), Some(Refusal::MessageAhead));
        assert_eq!(judged(Dated::Queued(at(301))), None);
    }

    proptest! {
        /// Whatever the order of arrival, and however often each one comes, the latest message
        /// is the one that a record ends with.
        #[test]
        fn the_latest_message_wins_in_any_order(
            order in Just((0_i64..8).collect::<Vec<_>>()).prop_shuffle(),
            again in proptest::collection::vec(0_i64..8, 0..8),
        ) {
            let mut last: Option<LastMessage> = None;
            for sent in order.into_iter().chain(again) {
                let mark = mark(Dated::Sent(at(sent)), &sent.to_string());
                if let Ok(kept) = mark.after(last.as_ref(), at(10)) {
                    last = Some(kept);
                }
            }
            prop_assert_eq!(last.unwrap().at, at(7));
        }
    }
}
