//! The certificates that the listeners show, and the authorities of those that they ask for.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::CertificateDer,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{
    Config, ConfigError,
    pem::{PemFile, identity},
};
use crate::domain::Timestamp;

/// The files of the listeners' certificates.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listeners")]
pub struct ListenersTls {
    /// File with the certificate (PEM) that the check listener shows; it then speaks TLS alone,
    /// and its unix socket as before. Read again when it changes and on SIGHUP.
    #[arg(long, env = "TOLLGATE_CHECK_TLS_CERT", value_name = "PATH")]
    pub check_tls_cert: Option<PathBuf>,

    /// File with the private key (PEM) of that certificate.
    #[arg(long, env = "TOLLGATE_CHECK_TLS_KEY", value_name = "PATH")]
    pub check_tls_key: Option<PathBuf>,

    /// File with the certificates (PEM) of the authorities that know who may ask. Everybody then
    /// has to show a certificate of theirs, gateways too, and needs no key.
    #[arg(long, env = "TOLLGATE_CHECK_TLS_CLIENT_CA", value_name = "PATH")]
    pub check_tls_client_ca: Option<PathBuf>,

    /// File with the certificate (PEM) that the operator listener shows; it then speaks TLS alone.
    #[arg(long, env = "TOLLGATE_OPERATOR_TLS_CERT", value_name = "PATH")]
    pub operator_tls_cert: Option<PathBuf>,

    /// File with the private key (PEM) of that certificate.
    #[arg(long, env = "TOLLGATE_OPERATOR_TLS_KEY", value_name = "PATH")]
    pub operator_tls_key: Option<PathBuf>,

    /// File with the certificates (PEM) of the authorities that know operators. Everybody then has
    /// to show a certificate of theirs, and a key besides.
    #[arg(long, env = "TOLLGATE_OPERATOR_TLS_CLIENT_CA", value_name = "PATH")]
    pub operator_tls_client_ca: Option<PathBuf>,

    /// File with the certificate (PEM) that the admin listener shows; it then speaks TLS alone.
    #[arg(long, env = "TOLLGATE_ADMIN_TLS_CERT", value_name = "PATH")]
    pub admin_tls_cert: Option<PathBuf>,

    /// File with the private key (PEM) of that certificate.
    #[arg(long, env = "TOLLGATE_ADMIN_TLS_KEY", value_name = "PATH")]
    pub admin_tls_key: Option<PathBuf>,

    /// File with the certificates (PEM) of the authorities that know who may watch. Everybody then
    /// has to show a certificate of theirs, which the probes of Kubernetes cannot.
    #[arg(long, env = "TOLLGATE_ADMIN_TLS_CLIENT_CA", value_name = "PATH")]
    pub admin_tls_client_ca: Option<PathBuf>,

    /// File with the certificate (PEM) that the webhook listener shows; it then speaks TLS alone.
    #[arg(long, env = "TOLLGATE_WEBHOOK_TLS_CERT", value_name = "PATH")]
    pub webhook_tls_cert: Option<PathBuf>,

    /// File with the private key (PEM) of that certificate.
    #[arg(long, env = "TOLLGATE_WEBHOOK_TLS_KEY", value_name = "PATH")]
    pub webhook_tls_key: Option<PathBuf>,

    /// File with the certificates (PEM) of the authorities that know who may call back. Everybody
    /// then has to show a certificate of theirs, as a proxy can, and prove an event as ever.
    #[arg(long, env = "TOLLGATE_WEBHOOK_TLS_CLIENT_CA", value_name = "PATH")]
    pub webhook_tls_client_ca: Option<PathBuf>,
}

/// Where the certificate of one listener is.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    settings: &'static Settings,
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// What those files held when they were read.
#[derive(Clone, Eq, PartialEq)]
pub struct TlsText {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What a listener that speaks TLS is served with.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// For the library.
    pub config: Arc<ServerConfig>,
    /// When the first certificate of the file expires.
    pub expires: Timestamp,
}

impl Config {
    /// The check listener's certificate, if it has one.
    pub fn check_tls(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let ListenersTls { check_tls_cert, check_tls_key, check_tls_client_ca, .. } = &self.tls;
        let is_on = self.check_listen.on().is_some();
        files(&CHECK, is_on, [check_tls_cert, check_tls_key, check_tls_client_ca])
    }

    /// The operator listener's certificate, if it has one.
    pub fn operator_tls(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let ListenersTls { operator_tls_cert, operator_tls_key, operator_tls_client_ca, .. } =
            &self.tls;
        let is_on = self.operator_listen.on().is_some();
        files(&OPERATOR, is_on, [operator_tls_cert, operator_tls_key, operator_tls_client_ca])
    }

    /// The admin listener's certificate, if it has one.
    pub fn admin_tls(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let ListenersTls { admin_tls_cert, admin_tls_key, admin_tls_client_ca, .. } = &self.tls;
        files(&ADMIN, true, [admin_tls_cert, admin_tls_key, admin_tls_client_ca])
    }

    /// The webhook listener's certificate, if it has one.
    pub fn webhook_tls(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let ListenersTls { webhook_tls_cert, webhook_tls_key, webhook_tls_client_ca, .. } =
            &self.tls;
        let is_on = self.webhooks.webhook_listen.on().is_some();
        files(&WEBHOOK, is_on, [webhook_tls_cert, webhook_tls_key, webhook_tls_client_ca])
    }
}

impl TlsFiles {
    /// What the files hold now.
    pub fn read(&self) -> Result<TlsText, ConfigError> {
        let client_ca = self.client_ca().map(PemFile::read).transpose()?;
        Ok(TlsText { certificate: self.certificate().read()?, key: self.key().read()?, client_ca })
    }

    /// What to serve with, by what the files held.
    pub fn load(&self, text: &TlsText) -> Result<ListenerTls, ConfigError> {
        let certificate = self.certificate();
        let identity = identity((certificate, &text.certificate), (self.key(), &text.key))?;
        let expires = expiry(&identity).ok_or_else(|| certificate.holds_no("certificate"))?;
        let clients = self.client_ca().zip(text.client_ca.as_deref());
        let clients = clients.map(|(file, text)| known_by(file, text)).transpose()?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| certificate.holds_no("certificate"))?;
        let config = match clients {
            Some(clients) => config.with_client_cert_verifier(clients),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(ListenerTls { config: Arc::new(config), expires })
    }

    /// Whether everybody has to show a certificate.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.client_ca.is_some()
    }

    fn certificate(&self) -> PemFile<'_> {
        PemFile { setting: self.settings.certificate, path: &self.certificate }
    }

    fn key(&self) -> PemFile<'_> {
        PemFile { setting: self.settings.key, path: &self.key }
    }

    fn client_ca(&self) -> Option<PemFile<'_>> {
        let setting = self.settings.client_ca;
        self.client_ca.as_deref().map(|path| PemFile { setting, path })
    }
}

/// How the settings of one listener are named.
#[derive(Debug)]
struct Settings {
    listen: &'static str,
    certificate: &'static str,
    key: &'static str,
    client_ca: &'static str,
}

fn files(
    settings: &'static Settings,
    is_on: bool,
    [certificate, key, client_ca]: [&Option<PathBuf>; 3],
) -> Result<Option<TlsFiles>, ConfigError> {
    let given =
        [(settings.certificate, certificate), (settings.key, key), (settings.client_ca, client_ca)];
    let Some((setting, _)) = given.into_iter().find(|(_, path)| path.is_some()) else {
        return Ok(None);
    };
    if !is_on {
        return Err(ConfigError::TlsForNobody { setting, listen: settings.listen });
    }
    match (certificate.clone(), key.clone()) {
        (Some(certificate), Some(key)) => {
            Ok(Some(TlsFiles { settings, certificate, key, client_ca: client_ca.clone() }))
        }
        (Some(_), None) => Err(ConfigError::Needs { given: setting, needed: settings.key }),
        (None, _) => Err(ConfigError::Needs { given: setting, needed: settings.certificate }),
    }
}

/// Knows whoever shows a certificate of one of the authorities in `text`, which `file` held.
fn known_by(file: PemFile<'_>, text: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, ConfigError> {
    let mut authorities = RootCertStore::empty();
    for authority in file.certificates(text)? {
        authorities.add(authority).map_err(|_| file.holds_no("certificate"))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(authorities.into(), provider);
    verifier.build().map_err(|_| file.holds_no("certificate"))
}

/// When the first of the certificates expires. Nothing if one of them cannot be read.
fn expiry(identity: &CertifiedKey) -> Option<Timestamp> {
    let expiry = |certificate: &CertificateDer<'_>| {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let seconds = certificate.validity().not_after.timestamp();
        Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
    };
    let all: Option<Vec<_>> = identity.cert.iter().map(expiry).collect();
    all?.into_iter().min()
}

const CHECK: Settings = Settings {
    listen: "--check-listen",
    certificate: "--check-tls-cert",
    key: "--check-tls-key",
    client_ca: "--check-tls-client-ca",
};
const OPERATOR: Settings = Settings {
    listen: "--operator-listen",
    certificate: "--operator-tls-cert",
    key: "--operator-tls-key",
    client_ca: "--operator-tls-client-ca",
};
const WEBHOOK: Settings = Settings {
    listen: "--webhook-listen",
    certificate: "--webhook-tls-cert",
    key: "--webhook-tls-key",
    client_ca: "--webhook-tls-client-ca",
};
const ADMIN: Settings = Settings {
    listen: "--admin-listen",
    certificate: "--admin-tls-cert",
    key: "--admin-tls-key",
    client_ca: "--admin-tls-client-ca",
};
