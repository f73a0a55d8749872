//! Certificates and keys in PEM, as files hold them. Every error names the setting and the file.

use std::{fs, path::Path};

use rustls::{
    Error, InconsistentKeys,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::ConfigError;

/// A file that holds something in PEM, and the setting that names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PemFile<'a> {
    /// The setting.
    pub setting: &'static str,
    /// The file.
    pub path: &'a Path,
}

impl PemFile<'_> {
    /// What the file holds now.
    pub(super) fn read(self) -> Result<Vec<u8>, ConfigError> {
        let Self { setting, path } = self;
        let unreadable =
            |source| ConfigError::SecretFile { setting, path: path.to_owned(), source };
        fs::read(path).map_err(unreadable)
    }

    /// The certificates in `text`, which the file held; at least one.
    pub(super) fn certificates(
        self,
        text: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let found = read.ok().filter(|found| !found.is_empty());
        found.ok_or_else(|| self.holds_no("certificate"))
    }

    /// The private key in `text`, which the file held.
    pub(super) fn key(self, text: &[u8]) -> Result<PrivateKeyDer<'static>, ConfigError> {
        PrivateKeyDer::from_pem_slice(text).map_err(|_| self.holds_no("private key"))
    }

    /// That the file holds something else.
    pub(super) fn holds_no(self, holds: &'static str) -> ConfigError {
        let Self { setting, path } = self;
        ConfigError::NotPem { setting, path: path.to_owned(), holds }
    }
}

/// A certificate with the key that belongs to it: each with the file that it is from and the text
/// that this file held.
pub(super) fn identity(
    (certificate, certificate_text): (PemFile<'_>, &[u8]),
    (key, key_text): (PemFile<'_>, &[u8]),
) -> Result<CertifiedKey, ConfigError> {
    let chain = certificate.certificates(certificate_text)?;
    let certified = CertifiedKey::from_der(chain, key.key(key_text)?, &ring::default_provider());
    certified.map_err(|error| {
        if error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            ConfigError::KeyOfAnother {
                setting: key.setting,
                path: key.path.to_owned(),
                certificate: certificate.setting,
            }
        } else if matches!(error, Error::InvalidCertificate(_)) {
            certificate.holds_no("certificate")
        } else {
            key.holds_no("private key")
        }
    })
}
