//! Why a verb was not done, and how that ends the process.

use std::{error::Error, process::ExitCode};

use serde::Deserialize;

/// How the process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Allowed, or done.
    Done,
    /// Denied, or failed.
    Failed,
    /// Undecided, or nobody answered.
    Undecided,
    /// Asked for in a way that makes no sense.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Undecided => 3,
        })
    }
}

/// Why a verb was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Something on this side, with its causes.
    #[error("{0}")]
    Local(String),
    /// A policy file that cannot be used, with everything that is wrong with it.
    #[error("the policy {0} cannot be used")]
    Policy(String, Vec<String>),
    /// Tollgate refused.
    #[error("{}: {}", .0.code, .0.message)]
    Refused(Refused),
    /// A system that is none of Tollgate's gave no answer that could be used.
    #[error("{0}")]
    Elsewhere(String),
    /// Nobody answered at `url`.
    #[error("cannot reach tollgate at {url}: {why}")]
    Unreachable {
        /// Where it was expected.
        url: String,
        /// What happened instead.
        why: String,
        /// The settings that say where it is.
        settings: &'static str,
    },
    /// The flags, variables or input make no sense.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    /// A failure on this side, told with its chain of causes.
    pub(super) fn local(error: &dyn Error) -> Self {
        Self::Local(chain(error))
    }

    /// Input that makes no sense, told with its chain of causes.
    pub(super) fn usage(error: &dyn Error) -> Self {
        Self::Usage(chain(error))
    }

    /// How the process ends because of it.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Refused(refused) if refused.status == UNAVAILABLE => Exit::Undecided,
            Self::Elsewhere(_) | Self::Unreachable { .. } => Exit::Undecided,
            Self::Local(_) | Self::Policy(..) | Self::Refused(_) => Exit::Failed,
            Self::Usage(_) => Exit::Usage,
        }
    }

    /// The same, with a hint if Tollgate refused with this code.
    pub(super) fn hinting(mut self, code: &str, hint: impl Into<String>) -> Self {
        if let Self::Refused(refused) = &mut self
            && refused.code == code
        {
            refused.hint = Some(hint.into());
        }
        self
    }

    /// A line for each thing that was wrong.
    pub(super) fn details(&self) -> impl Iterator<Item = String> {
        let (details, lines) = match self {
            Self::Refused(refused) => (refused.details.as_slice(), &[][..]),
            Self::Policy(_, lines) => (&[][..], lines.as_slice()),
            Self::Elsewhere(_) | Self::Local(_) | Self::Unreachable { .. } | Self::Usage(_) => {
                (&[][..], &[][..])
            }
        };
        let details = details.iter().map(|Detail { path, message }| format!("{path}: {message}"));
        details.chain(lines.iter().cloned())
    }

    /// What could be done about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Elsewhere(_) | Self::Local(_) | Self::Policy(..) | Self::Usage(_) => None,
            Self::Refused(refused) => match refused.code.as_str() {
                "AUTH_REQUIRED" | "INVALID_TOKEN" => Some(TOKEN_HINT.to_owned()),
                _ => refused.hint.clone(),
            },
            Self::Unreachable { settings, .. } => {
                Some(format!("start it with `tollgate serve`, or say where it is with {settings}"))
            }
        }
    }
}

/// What Tollgate said when it refused.
#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    /// The HTTP status.
    #[serde(skip)]
    pub(super) status: u16,
    /// The machine's code.
    pub(super) code: String,
    /// The sentence.
    pub(super) message: String,
    /// What was wrong with which part of the request.
    #[serde(default)]
    pub(super) details: Vec<Detail>,
    /// What the verb suggests to do about it.
    #[serde(skip)]
    pub(super) hint: Option<String>,
}

/// One thing that was wrong.
#[derive(Debug, Deserialize)]
pub(super) struct Detail {
    /// Where.
    #[serde(default)]
    pub(super) path: String,
    /// What.
    #[serde(default)]
    pub(super) message: String,
}

/// An error and its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !told.ends_with(&next) {
            told = format!("{told}: {next}");
        }
        cause = error.source();
    }
    told
}

const UNAVAILABLE: u16 = 503;
const TOKEN_HINT: &str = "give a token with --token-file or TOLLGATE_TOKEN; without them the CLI \
                          takes operator.token of --data-dir, for a tollgate on this machine";
