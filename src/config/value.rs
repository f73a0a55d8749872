//! Values with a rule of their own, checked where they come in.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use super::duration::{parse_duration, spell_duration};
use crate::{
    domain::{Epoch, Source, TenantId, guard::GuardRule, key::InvalidKey},
    telemetry::decision_log::Masked,
};

/// A setting that can be turned off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OrOff<T> {
    /// The word `off`.
    Off,
    /// A value.
    On(T),
}

impl<T> OrOff<T> {
    /// The value, if it is not turned off.
    pub fn on(&self) -> Option<&T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }

    fn read<E>(raw: &str, value: impl FnOnce(&str) -> Result<T, E>) -> Result<Self, E> {
        if raw == OFF { Ok(Self::Off) } else { value(raw).map(Self::On) }
    }
}

impl<T: fmt::Display> fmt::Display for OrOff<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str(OFF),
            Self::On(value) => value.fmt(f),
        }
    }
}

/// The name of a request header: 1 to 64 bytes of letters, digits, `-` and `_`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderName(Box<str>);

impl HeaderName {
    /// The name as it was written; header names are compared without regard to case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderName {
    type Err = InvalidValue;

    fn from_str(raw: &str) -> Result<Self, InvalidValue> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let sound = (1..=64).contains(&raw.len()) && raw.bytes().all(is_name);
        if sound { Ok(Self(raw.into())) } else { Err(InvalidValue::Header) }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The permissions of a socket file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SocketMode(u32);

impl SocketMode {
    /// The permission bits, as `chmod` takes them.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for SocketMode {
    type Err = InvalidValue;

    fn from_str(raw: &str) -> Result<Self, InvalidValue> {
        let is_octal = !raw.is_empty() && raw.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let bits = u32::from_str_radix(raw, 8).ok().filter(|bits| is_octal && *bits <= 0o777);
        bits.map(Self).ok_or(InvalidValue::Mode)
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// How many customers one source may restrict: a share of them within a while, as in `1%/10m`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IngestGuard(GuardRule);

impl IngestGuard {
    /// The rule.
    #[must_use]
    pub fn rule(self) -> GuardRule {
        self.0
    }
}

impl FromStr for IngestGuard {
    type Err = InvalidValue;

    fn from_str(raw: &str) -> Result<Self, InvalidValue> {
        let (share, window) = raw.split_once("%/").ok_or(InvalidValue::Guard)?;
        let (whole, hundredths) = share.split_once('.').unwrap_or((share, "0"));
        let is_number = |part: &str| {
            (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole) || !is_number(hundredths) || hundredths.len() > 2 {
            return Err(InvalidValue::Guard);
        }
        let basis_points = format!("{whole}{hundredths:0<2}").parse().ok();
        let basis_points = basis_points.filter(|points| (1..=10_000).contains(points));
        let window = parse_duration(window).ok().filter(|window| !window.is_zero());
        match (basis_points, window) {
            (Some(basis_points), Some(window)) => Ok(Self(GuardRule { basis_points, window })),
            _ => Err(InvalidValue::Guard),
        }
    }
}

impl fmt::Display for IngestGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GuardRule { basis_points, window } = self.0;
        let (whole, hundredths) = (basis_points / 100, basis_points % 100);
        let window = spell_duration(window);
        if hundredths == 0 {
            write!(f, "{whole}%/{window}")
        } else {
            write!(f, "{whole}.{hundredths:02}%/{window}")
        }
    }
}

/// A duration, shown as it is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&spell_duration(self.0))
    }
}

/// At least a second.
pub(super) fn span_or_off(raw: &str) -> Result<OrOff<Span>, InvalidValue> {
    OrOff::read(raw, |raw| {
        let span = parse_duration(raw).ok().filter(|span| *span >= Duration::from_secs(1));
        span.map(Span).ok_or(InvalidValue::SpanOrOff)
    })
}

/// A part of all, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

/// Up to two digits behind the point, so that it is shown as it was given.
pub(super) fn share(raw: &str) -> Result<Share, InvalidValue> {
    let percent = raw.strip_suffix('%').ok_or(InvalidValue::Share)?;
    let behind = percent.split_once('.').map_or("", |(_, behind)| behind);
    let is_plain = percent.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent = percent.parse::<f64>().ok().filter(|it| (0.0..=100.0).contains(it));
    let percent = percent.filter(|_| is_plain && behind.len() <= 2);
    percent.map(|percent| Share(percent / 100.0)).ok_or(InvalidValue::Share)
}

/// Where decisions are written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DecisionLogTarget {
    /// To the end of a file.
    File(PathBuf),
    /// To the collector, as log records.
    Otlp,
    /// To standard output.
    Stdout,
}

impl fmt::Display for DecisionLogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Otlp => f.write_str("otlp"),
            Self::Stdout => f.write_str("stdout"),
        }
    }
}

pub(super) fn decision_log_or_off(raw: &str) -> Result<OrOff<DecisionLogTarget>, InvalidValue> {
    OrOff::read(raw, |raw| match raw.strip_prefix("file:") {
        Some(path) if !path.is_empty() => Ok(DecisionLogTarget::File(path.into())),
        None if raw == "otlp" => Ok(DecisionLogTarget::Otlp),
        None if raw == "stdout" => Ok(DecisionLogTarget::Stdout),
        Some(_) | None => Err(InvalidValue::DecisionLog),
    })
}

pub(super) fn masked(raw: &str) -> Result<Masked, InvalidValue> {
    Masked::ALL.into_iter().find(|it| it.as_str() == raw).ok_or(InvalidValue::Masked)
}

pub(super) fn guard_or_off(raw: &str) -> Result<OrOff<IngestGuard>, InvalidValue> {
    OrOff::read(raw, str::parse)
}

/// 1 to 128 bytes of `[A-Za-z0-9._:-]`: no braces, so that it is never a channel of Tollgate's.
pub(super) fn channel_or_off(raw: &str) -> Result<OrOff<String>, InvalidValue> {
    OrOff::read(raw, |raw| {
        let sound = (1..=128).contains(&raw.len()) && raw.bytes().all(is_key_byte);
        if sound { Ok(raw.to_owned()) } else { Err(InvalidValue::Channel) }
    })
}

/// A source, and not the one of people.
pub(super) fn ingest_source(raw: &str) -> Result<Source, InvalidValue> {
    let source = Source::parse(raw).ok().filter(|source| *source != Source::operator());
    source.ok_or(InvalidValue::IngestSource)
}

pub(super) fn address(raw: &str) -> Result<SocketAddr, InvalidValue> {
    raw.parse().map_err(|_| InvalidValue::Address)
}

pub(super) fn address_or_off(raw: &str) -> Result<OrOff<SocketAddr>, InvalidValue> {
    OrOff::read(raw, |raw| raw.parse().map_err(|_| InvalidValue::AddressOrOff))
}

pub(super) fn path_or_off(raw: &str) -> Result<OrOff<PathBuf>, InvalidValue> {
    let path =
        |raw: &str| if raw.is_empty() { Err(InvalidValue::PathOrOff) } else { Ok(raw.into()) };
    OrOff::read(raw, path)
}

pub(super) fn epoch(raw: &str) -> Result<Epoch, InvalidValue> {
    Epoch::parse(raw).map_err(|_| InvalidValue::Epoch)
}

pub(super) fn header_or_off(raw: &str) -> Result<OrOff<HeaderName>, InvalidValue> {
    OrOff::read(raw, str::parse)
}

pub(super) fn tenant_or_off(raw: &str) -> Result<OrOff<TenantId>, InvalidKey> {
    OrOff::read(raw, TenantId::parse)
}

/// 1 to 64 bytes of `[A-Za-z0-9._:-]`: no braces, which Redis Cluster would read as a hash tag.
pub(super) fn key_prefix(raw: &str) -> Result<String, InvalidValue> {
    let sound = (1..=64).contains(&raw.len()) && raw.bytes().all(is_key_byte);
    if sound { Ok(raw.to_owned()) } else { Err(InvalidValue::KeyPrefix) }
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-')
}

/// A value that breaks its setting's rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidValue {
    /// Not an address.
    #[error("an address must be an IP address and a port, like 127.0.0.1:7600 or [::1]:7600")]
    Address,
    /// Neither an address nor the word `off`.
    #[error("an address must be an IP address and a port, like 127.0.0.1:7600, or the word off")]
    AddressOrOff,
    /// Not a channel's name.
    #[error("a channel must be 1 to 128 bytes of [A-Za-z0-9._:-], or the word off")]
    Channel,
    /// Not a share and a window.
    #[error(
        "a guard must be a share of 0.01% to 100% and a duration, like 1%/10m, or the word off"
    )]
    Guard,
    /// Not the name of a history.
    #[error("an epoch must be 1 to 32 bytes of [a-z0-9]")]
    Epoch,
    /// Not a header's name.
    #[error("a header name must be 1 to 64 bytes of letters, digits, `-` and `_`")]
    Header,
    /// Not a source that may speak by message.
    #[error("a source must be 1 to 32 bytes of [a-z0-9_.-], and not `operator`")]
    IngestSource,
    /// Not a key prefix.
    #[error("a key prefix must be 1 to 64 bytes of [A-Za-z0-9._:-]")]
    KeyPrefix,
    /// Not a socket's permissions.
    #[error("a socket mode must be octal permissions from 0000 to 0777, like 0660")]
    Mode,
    /// No place for the decision log.
    #[error("it must be stdout, file:PATH, otlp, or the word off")]
    DecisionLog,
    /// Nothing that can be left out of the decision log.
    #[error("it must be one of customer, tenant, route and entitlement")]
    Masked,
    /// Neither a path nor the word `off`.
    #[error("it must be a path or the word off")]
    PathOrOff,
    /// No share.
    #[error("it must be 0% to 100%, with two digits behind the point at most")]
    Share,
    /// Neither a duration of a second or more nor the word `off`.
    #[error("it must be a duration of 1s or more, like 400d, or the word off")]
    SpanOrOff,
}

const OFF: &str = "off";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_an_address_or_off() {
        assert_eq!(address_or_off("off"), Ok(OrOff::Off));
        assert_eq!(address_or_off("[::1]:0").map(|on| on.to_string()), Ok("[::1]:0".to_owned()));
        for raw in ["", "7600", ":7600", "localhost:7600", "Off", "127.0.0.1"] {
            assert_eq!(address_or_off(raw), Err(InvalidValue::AddressOrOff), "{raw}");
        }
    }

    #[test]
    fn a_socket_mode_is_read_and_shown_in_octal() {
        let mode: SocketMode = "0660".parse().unwrap();
        assert_eq!((mode.bits(), mode.to_string()), (0o660, "0660".to_owned()));
        for raw in ["", "+660", "668", "1777", "rw"] {
            assert_eq!(raw.parse::<SocketMode>(), Err(InvalidValue::Mode), "{raw}");
        }
    }

    #[test]
    fn a_guard_is_a_share_and_a_window() {
        for (raw, basis_points) in [("1%/10m", 100), ("0.5%/1h", 50), ("0.01%/5s", 1)] {
            let guard: IngestGuard = raw.parse().unwrap();
            assert_eq!(guard.rule().basis_points, basis_points, "{raw}");
        }
        for spelled in ["1%/10m", "0.50%/1h", "100%/1d", "12.34%/90s"] {
            assert_eq!(spelled.parse::<IngestGuard>().unwrap().to_string(), spelled);
        }
        for raw in ["", "1", "1%", "1/10m", "0%/10m", "101%/10m", "1.234%/1m", "-1%/1m", "1%/0s"] {
            assert_eq!(guard_or_off(raw), Err(InvalidValue::Guard), "{raw}");
        }
        assert_eq!(guard_or_off("off"), Ok(OrOff::Off));
    }

    #[test]
    fn names_that_break_their_rule_are_refused() {
        for raw in ["", "X Customer", "X:Y", "é"] {
            assert_eq!(raw.parse::<HeaderName>(), Err(InvalidValue::Header), "{raw}");
        }
        for raw in ["", "toll{gate}", "a b"] {
            assert_eq!(key_prefix(raw), Err(InvalidValue::KeyPrefix), "{raw}");
            assert_eq!(channel_or_off(raw), Err(InvalidValue::Channel), "{raw}");
        }
        for raw in ["", "operator", "Billing"] {
            assert_eq!(ingest_source(raw), Err(InvalidValue::IngestSource), "{raw}");
        }
    }
}
