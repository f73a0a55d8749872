//! The systems that may call back, and the secrets by which they are known.

use std::{fmt, net::SocketAddr, path::PathBuf};

use clap::Args;
use data_encoding::BASE64;

use super::{
    Config, ConfigError, OrOff, Secret,
    choice::{self, WebhookPlaintext},
    value,
};
use crate::{
    domain::{Source, TenantId, key::InvalidKey},
    telemetry::{Label as _, WebhookSource},
};

/// How billing systems call back.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Webhooks")]
pub struct Webhooks {
    /// Address on which billing systems call back, at `/webhooks/{source}`, or `off`.
    #[arg(long, env = "TOLLGATE_WEBHOOK_LISTEN", value_name = "ADDR|off", default_value = "off")]
    #[arg(value_parser = value::address_or_off)]
    pub webhook_listen: OrOff<SocketAddr>,

    /// Whether a source whose webhooks carry the secret itself, as `BillaBear`'s do, may be served
    /// off loopback without TLS, as behind a proxy that ends it. Signed webhooks may be anyway.
    #[arg(long, env = "TOLLGATE_WEBHOOK_PLAINTEXT", value_name = "WHETHER")]
    #[arg(default_value = "refuse", value_parser = choice::WEBHOOK_PLAINTEXT.parser())]
    pub webhook_plaintext: WebhookPlaintext,

    /// File with the secrets of a source, one a line, all of which hold: `billabear`, `stripe` or
    /// `standard`. May be given several times, in the variable with commas between. Read again when
    /// it changes and on SIGHUP.
    #[arg(long, env = "TOLLGATE_WEBHOOK_SECRET_FILE", value_name = "SOURCE=PATH")]
    #[arg(value_delimiter = ',', value_parser = secret_file)]
    pub webhook_secret_file: Vec<OfSource<PathBuf>>,

    /// The tenant whose customers a source's webhooks are about, and no other; `--default-tenant`
    /// unless given. May be given several times, in the variable with commas between.
    #[arg(long, env = "TOLLGATE_WEBHOOK_TENANT", value_name = "SOURCE=TENANT")]
    #[arg(value_delimiter = ',', value_parser = tenant)]
    pub webhook_tenant: Vec<OfSource<TenantId>>,
}

/// Something that belongs to one source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OfSource<T> {
    /// Whose it is.
    pub source: WebhookSource,
    /// What it is.
    pub value: T,
}

impl<T> OfSource<T> {
    fn read(
        raw: &str,
        value: impl FnOnce(&str) -> Result<T, InvalidKey>,
    ) -> Result<Self, InvalidOfSource> {
        let (name, given) = raw.split_once('=').ok_or(InvalidOfSource::Pair)?;
        let known = WebhookSource::ALL.iter().copied().find(|source| source.as_str() == name);
        let source = known.ok_or(InvalidOfSource::Source)?;
        if given.is_empty() {
            return Err(InvalidOfSource::Pair);
        }
        Ok(Self { source, value: value(given)? })
    }

    /// The values of one source.
    fn of(all: &[Self], source: WebhookSource) -> impl Iterator<Item = &T> {
        all.iter().filter(move |it| it.source == source).map(|it| &it.value)
    }

    /// All of them, as they were given.
    pub(super) fn shown(all: &[Self], value: impl Fn(&T) -> String) -> String {
        let shown = all.iter().map(|it| format!("{}={}", it.source.as_str(), value(&it.value)));
        let shown = shown.collect::<Vec<_>>().join(",");
        if shown.is_empty() { "none".to_owned() } else { shown }
    }
}

fn secret_file(raw: &str) -> Result<OfSource<PathBuf>, InvalidOfSource> {
    OfSource::read(raw, |path| Ok(path.into()))
}

fn tenant(raw: &str) -> Result<OfSource<TenantId>, InvalidOfSource> {
    OfSource::read(raw, TenantId::parse)
}

/// What does not belong to a source.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum InvalidOfSource {
    /// Not two parts.
    #[error("it must be a source, `=`, and what belongs to it")]
    Pair,
    /// Not a source.
    #[error("the source must be one of billabear, standard, stripe")]
    Source,
    /// Not a tenant.
    #[error(transparent)]
    Tenant(#[from] InvalidKey),
}

/// A source that may call back.
#[derive(Clone, Debug)]
pub struct WebhookEndpoint {
    /// Which one.
    pub source: WebhookSource,
    /// The source that it speaks for.
    pub name: Source,
    /// The tenant that it is bound to, if it is.
    pub bound_to: Option<TenantId>,
    /// The tenant of an event that names none.
    pub tenant: Option<TenantId>,
    files: Vec<PathBuf>,
}

/// The secrets of a source that hold now, as they are used. Never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct WebhookSecrets(Vec<Vec<u8>>);

impl WebhookSecrets {
    /// The secrets themselves.
    #[must_use]
    pub fn expose(&self) -> Vec<Vec<u8>> {
        self.0.clone()
    }
}

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl WebhookEndpoint {
    /// What the source's files hold now.
    pub fn read(&self) -> Result<WebhookSecrets, ConfigError> {
        let mut secrets = Vec::new();
        for path in &self.files {
            let text = Secret::from_file(SECRET_FILE, path)?;
            for line in text.expose().lines().map(str::trim).filter(|line| !line.is_empty()) {
                secrets.push(read_secret(self.source, line).map_err(|rule| {
                    let (of, path) = (self.source.as_str(), path.clone());
                    ConfigError::WebhookSecret { of, path, rule }
                })?);
            }
        }
        Ok(WebhookSecrets(secrets))
    }
}

/// A secret as it is used, or the rule that it breaks.
fn read_secret(source: WebhookSource, line: &str) -> Result<Vec<u8>, &'static str> {
    match source {
        WebhookSource::Billabear if line.len() < MIN_TOKEN_BYTES => {
            Err("must have 16 bytes or more, because it is all that BillaBear shows")
        }
        WebhookSource::Billabear | WebhookSource::Stripe => Ok(line.as_bytes().to_vec()),
        WebhookSource::Standard => {
            let encoded = line.strip_prefix("whsec_");
            let secret = encoded.and_then(|text| BASE64.decode(text.as_bytes()).ok());
            let secret = secret.filter(|secret| !secret.is_empty());
            secret.ok_or("must be `whsec_` and base64")
        }
    }
}

impl Config {
    /// The sources that may call back. Refuses what cannot work.
    pub fn webhook_endpoints(&self) -> Result<Vec<WebhookEndpoint>, ConfigError> {
        let Webhooks { webhook_listen, webhook_secret_file, webhook_tenant, .. } = &self.webhooks;
        let Some(listen) = webhook_listen.on() else {
            let given = [
                (SECRET_FILE, !webhook_secret_file.is_empty()),
                (TENANT, !webhook_tenant.is_empty()),
            ];
            return match given.into_iter().find(|(_, is_given)| *is_given) {
                Some((setting, _)) => Err(ConfigError::TlsForNobody { setting, listen: LISTEN }),
                None => Ok(Vec::new()),
            };
        };
        let mut endpoints = Vec::new();
        for source in WebhookSource::ALL.iter().copied() {
            let files: Vec<_> = OfSource::of(webhook_secret_file, source).cloned().collect();
            let mut tenants = OfSource::of(webhook_tenant, source);
            let (bound_to, another) = (tenants.next().cloned(), tenants.next());
            let name = source.as_str();
            if another.is_some() {
                return Err(ConfigError::WebhookTenantTwice(name));
            }
            if files.is_empty() {
                if bound_to.is_some() {
                    return Err(ConfigError::Needs { given: TENANT, needed: SECRET_FILE });
                }
                continue;
            }
            let tenant = bound_to.clone().or_else(|| self.default_tenant.on().cloned());
            if tenant.is_none() && source != WebhookSource::Standard {
                return Err(ConfigError::WebhookTenantMissing(name));
            }
            let name = value::ingest_source(name)?;
            endpoints.push(WebhookEndpoint { source, name, bound_to, tenant, files });
        }
        if endpoints.is_empty() {
            return Err(ConfigError::Needs { given: LISTEN, needed: SECRET_FILE });
        }
        let shows_its_secret = |it: &WebhookEndpoint| it.source == WebhookSource::Billabear;
        if endpoints.iter().any(shows_its_secret)
            && !listen.ip().is_loopback()
            && self.webhooks.webhook_plaintext == WebhookPlaintext::Refuse
            && self.tls.webhook_tls_cert.is_none()
        {
            return Err(ConfigError::WebhookPlaintext);
        }
        Ok(endpoints)
    }
}

const LISTEN: &str = "--webhook-listen";
const SECRET_FILE: &str = "--webhook-secret-file";
const TENANT: &str = "--webhook-tenant";
/// Shorter ones can be guessed.
const MIN_TOKEN_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_a_source_names_a_source_that_is_known() {
        let read = secret_file("stripe=/run/a=b").unwrap();
        assert_eq!((read.source, read.value), (WebhookSource::Stripe, "/run/a=b".into()));
        for (raw, why) in [
            ("/run/secret", InvalidOfSource::Pair),
            ("stripe=", InvalidOfSource::Pair),
            ("strpe=/run/secret", InvalidOfSource::Source),
            ("=/run/secret", InvalidOfSource::Source),
        ] {
            assert_eq!(secret_file(raw), Err(why), "{raw}");
        }
        assert_eq!(tenant("stripe=a:b"), Err(InvalidOfSource::Tenant(InvalidKey::Tenant)));
    }

    #[test]
    fn a_secret_is_read_as_its_source_means_it() {
        let decoded = read_secret(WebhookSource::Standard, "whsec_AAEC");
        assert_eq!(decoded, Ok(vec![0, 1, 2]));
        for wrong in ["AAEC", "whsec_", "whsec_A", "whsec_AAEC!"] {
            assert!(read_secret(WebhookSource::Standard, wrong).is_err(), "{wrong}");
        }
        let kept = read_secret(WebhookSource::Stripe, "whsec_test");
        assert_eq!(kept, Ok(b"whsec_test".to_vec()));
        assert!(read_secret(WebhookSource::Billabear, "guessed").is_err());
    }
}
