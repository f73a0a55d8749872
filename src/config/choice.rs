//! Settings with a closed set of values: one table each, from word to meaning and back.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::{
    domain::{Unknown, Unlisted, WhenUndecided},
    telemetry::{LogFormat, decision_log::Overflow},
};

/// Whether the history of an empty store may be begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StoreCreate {
    /// Yes, by an instance that may write.
    Auto,
    /// No: an empty store is an error.
    Never,
}

/// Which records are kept in memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CacheKind {
    /// Every one.
    All,
    /// Those that were asked for lately.
    Recent,
}

/// Whether a store that lost what it held is believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnStoreLoss {
    /// Always.
    Adopt,
    /// Not before somebody who can tell says so.
    Keep,
}

/// Whether operators may be served off loopback without TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OperatorPlaintext {
    /// Yes.
    Allow,
    /// No.
    Refuse,
}

/// Whether a source that shows its secret may call back off loopback without TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WebhookPlaintext {
    /// Yes.
    Allow,
    /// No.
    Refuse,
}

/// How a disabled customer's billing is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DisabledBilling {
    /// It goes on.
    Active,
    /// It does not.
    Paused,
}

pub(super) const STORE_CREATE: Choice<StoreCreate> =
    Choice(&[("auto", StoreCreate::Auto), ("never", StoreCreate::Never)]);

pub(super) const CACHE: Choice<CacheKind> =
    Choice(&[("recent", CacheKind::Recent), ("all", CacheKind::All)]);

pub(super) const ON_STORE_LOSS: Choice<OnStoreLoss> =
    Choice(&[("keep", OnStoreLoss::Keep), ("adopt", OnStoreLoss::Adopt)]);

pub(super) const OPERATOR_PLAINTEXT: Choice<OperatorPlaintext> =
    Choice(&[("refuse", OperatorPlaintext::Refuse), ("allow", OperatorPlaintext::Allow)]);

pub(super) const WEBHOOK_PLAINTEXT: Choice<WebhookPlaintext> =
    Choice(&[("refuse", WebhookPlaintext::Refuse), ("allow", WebhookPlaintext::Allow)]);

pub(super) const DISABLED_BILLING: Choice<DisabledBilling> =
    Choice(&[("active", DisabledBilling::Active), ("paused", DisabledBilling::Paused)]);

pub(super) const UNKNOWN_CUSTOMERS: Choice<Unknown> =
    Choice(&[("deny", Unknown::Deny), ("allow", Unknown::Allow)]);

pub(super) const WHEN_UNLISTED: Choice<Unlisted> =
    Choice(&[("allow", Unlisted::Allow), ("error", Unlisted::Error)]);

pub(super) const WHEN_UNDECIDED: Choice<WhenUndecided> = Choice(&[
    ("gateway", WhenUndecided::Gateway),
    ("allow", WhenUndecided::Allow),
    ("deny", WhenUndecided::Deny),
]);

pub(super) const DECISION_LOG_OVERFLOW: Choice<Overflow> =
    Choice(&[("drop", Overflow::Drop), ("block", Overflow::Block)]);

pub(super) const LOG_FORMAT: Choice<LogFormat> =
    Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);

/// The words of a setting, the default first, and what each means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<T: 'static>(&'static [(&'static str, T)]);

impl<T: Copy + PartialEq + Send + Sync> Choice<T> {
    /// Reads one of the words; help and errors list them all.
    pub(super) fn parser(self) -> impl TypedValueParser<Value = T> {
        let words = PossibleValuesParser::new(self.0.iter().map(|(word, _)| *word));
        words.try_map(move |raw| {
            let found = self.0.iter().find(|(word, _)| *word == raw);
            found.map(|(_, meaning)| *meaning).ok_or("not one of the possible values")
        })
    }

    /// The word for `meaning`.
    pub(super) fn word(self, meaning: T) -> &'static str {
        self.0.iter().find(|(_, known)| *known == meaning).map_or("", |(word, _)| *word)
    }
}
