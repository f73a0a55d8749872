//! What a head says of the picture in memory.

use crate::{
    clock::Moment,
    domain::{Revision, Watermark},
    store::{Census, Head, format::id_order},
};

/// Why the store is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// Its history is not the one that is followed here.
    AnotherHistory,
    /// The same revision names another change.
    Diverged,
    /// It has no history at all.
    Empty,
    /// It is behind what was already applied here.
    Shorter,
}

impl Loss {
    /// What happened, for an operator.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnotherHistory => "its history is not the one that was followed here",
            Self::Diverged => "its history went another way than the one that was followed here",
            Self::Empty => "it has no history",
            Self::Shorter => "it is behind what was already applied here",
        }
    }
}

/// An answer to [`super::Act::ReadHead`]. It may come late: changes that were published after it was
/// given may have been applied before it is looked at.
pub(super) struct HeadAnswer {
    pub(super) head: Option<Head>,
    pub(super) ours: Option<Census>,
    pub(super) asked: Moment,
    pub(super) floor: Revision,
}

/// What a head means for a picture at a watermark.
pub(super) enum Verdict {
    /// The store has more.
    Ahead(Head),
    /// It has just that.
    Level(Head),
    /// It is another store, or one that forgot. This is what it has.
    Lost(Loss, Option<Head>),
    /// The picture went past it while it was on its way.
    Overtaken,
    /// The history that is followed here ended, and this is the one that came out of it.
    Succeeded(Head),
}

impl HeadAnswer {
    pub(super) fn judge(self, watermark: &Watermark) -> Verdict {
        let Some(head) = self.head else { return Verdict::Lost(Loss::Empty, None) };
        let at = watermark.position.revision;
        if head.epoch != watermark.epoch {
            match head.lineage.inherited(&watermark.epoch) {
                Some(_) => Verdict::Succeeded(head),
                None => Verdict::Lost(Loss::AnotherHistory, Some(head)),
            }
        } else if head.revision < self.floor {
            Verdict::Lost(Loss::Shorter, Some(head))
        } else if head.revision < at {
            Verdict::Overtaken
        } else if head.revision > at && id_order(&head.log_id) > id_order(&watermark.log_id) {
            Verdict::Ahead(head)
        } else if head.revision > at {
            // More changes, and none of them after ours: a log that went another way.
            Verdict::Lost(Loss::Diverged, Some(head))
        } else if head.log_id == watermark.log_id {
            Verdict::Level(head)
        } else {
            Verdict::Lost(Loss::Diverged, Some(head))
        }
    }
}
