//! `tollgate poll`: asks billing systems that call nobody, and tells Tollgate what changed there.

mod acts;
mod flexportal;
mod lists;
mod pace;
mod picture;
mod stop;

use clap::Subcommand;

use super::{
    failure::{Exit, Failure},
    out::Out,
};

/// Whom to ask.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Poll {
    /// Tells Tollgate who is inactive at FlexPortal and who is not any more. Inactive is
    /// FlexPortal's word for closed
    Flexportal(Box<flexportal::Polling>),
}

impl Poll {
    /// Goes round until it is asked to stop.
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Flexportal(polling) => polling.run(out),
        }
    }
}

/// Why a round ended before its end.
#[derive(Debug)]
enum Cut {
    /// It could not go on.
    Failed(Failure),
    /// Somebody asked to stop.
    Stopped,
}

impl From<Failure> for Cut {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
