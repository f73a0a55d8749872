//! How another listener is trusted, when it is asked over TLS.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use rustls::crypto::ring;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::{
    BaseUrl, Config, ConfigError,
    pem::{PemFile, identity},
};

/// The files for an operator listener over TLS that a snapshot is taken from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Boot")]
pub struct BootTls {
    /// File with the certificates (PEM) of the authorities that an `https://` listener is trusted
    /// by; those that the operating system trusts unless given.
    #[arg(long, env = "TOLLGATE_BOOT_CA", value_name = "PATH")]
    pub boot_ca: Option<PathBuf>,

    /// File with the certificate (PEM) that it is shown if it asks for one. Needs `--boot-key`.
    #[arg(long, env = "TOLLGATE_BOOT_CERT", value_name = "PATH")]
    pub boot_cert: Option<PathBuf>,

    /// File with the private key (PEM) of that certificate.
    #[arg(long, env = "TOLLGATE_BOOT_KEY", value_name = "PATH")]
    pub boot_key: Option<PathBuf>,
}

impl Config {
    /// How the listener of `--boot-from` is trusted.
    #[must_use]
    pub fn boot_tls(&self) -> ClientTls<'_> {
        let BootTls { boot_ca, boot_cert, boot_key } = &self.boot;
        ClientTls {
            settings: &BOOT,
            authorities: boot_ca.as_deref(),
            certificate: boot_cert.as_deref(),
            key: boot_key.as_deref(),
        }
    }
}

/// The files by which a listener is trusted, and those by which it is to trust.
#[derive(Clone, Copy, Debug)]
pub struct ClientTls<'a> {
    /// The settings that name them.
    pub settings: &'static ClientTlsSettings,
    /// The authorities; those of the operating system without it.
    pub authorities: Option<&'a Path>,
    /// The certificate that is shown to a listener that asks for one.
    pub certificate: Option<&'a Path>,
    /// Its key.
    pub key: Option<&'a Path>,
}

/// How the settings of one listener are named.
#[derive(Debug)]
pub struct ClientTlsSettings {
    /// Where it is.
    pub url: &'static str,
    /// [`ClientTls::authorities`].
    pub authorities: &'static str,
    /// [`ClientTls::certificate`].
    pub certificate: &'static str,
    /// [`ClientTls::key`].
    pub key: &'static str,
}

impl ClientTls<'_> {
    /// The first setting that is given.
    pub(super) fn given(&self) -> Option<&'static str> {
        self.files().into_iter().flatten().map(|file| file.setting).next()
    }

    fn files(&self) -> [Option<PemFile<'_>>; 3] {
        let ClientTlsSettings { authorities, certificate, key, .. } = *self.settings;
        [(authorities, self.authorities), (certificate, self.certificate), (key, self.key)]
            .map(|(setting, path)| path.map(|path| PemFile { setting, path }))
    }

    /// What the listener at `url` is asked with.
    pub fn load(&self, url: &BaseUrl) -> Result<TlsConfig, ConfigError> {
        if !url.is_encrypted() {
            let url = self.settings.url;
            return self.given().map_or_else(
                || Ok(TlsConfig::builder().build()),
                |setting| Err(ConfigError::NotEncrypted { setting, url }),
            );
        }
        let [authorities, certificate, key] = self.files();
        let trusted = match authorities {
            Some(file) => file.certificates(&file.read()?)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let trusted = trusted.iter().map(|found| Certificate::from_der(found).to_owned());
        let shown = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(shown(certificate, key)?),
            (None, None) => None,
            (Some(given), None) => {
                let needed = self.settings.key;
                return Err(ConfigError::Needs { given: given.setting, needed });
            }
            (None, Some(given)) => {
                let needed = self.settings.certificate;
                return Err(ConfigError::Needs { given: given.setting, needed });
            }
        };
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .root_certs(RootCerts::from(trusted))
            .client_cert(shown);
        Ok(tls.build())
    }
}

/// The certificate that is shown. One whose key is another's is refused here: the library would
/// panic.
fn shown(certificate: PemFile<'_>, key: PemFile<'_>) -> Result<ClientCert, ConfigError> {
    let (certificate_text, key_text) = (certificate.read()?, key.read()?);
    let identity = identity((certificate, &certificate_text), (key, &key_text))?;
    let chain: Vec<_> =
        identity.cert.iter().map(|found| Certificate::from_der(found).to_owned()).collect();
    let key = PrivateKey::from_pem(&key_text).map_err(|_| key.holds_no("private key"))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

const BOOT: ClientTlsSettings = ClientTlsSettings {
    url: "--boot-from",
    authorities: "--boot-ca",
    certificate: "--boot-cert",
    key: "--boot-key",
};
