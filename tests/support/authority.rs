//! A certificate authority that belongs to one test alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot have its certificates has failed")]

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, and the directory where its certificates are.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// The certificate.
    pub(crate) certificate: String,
    /// Its key.
    pub(crate) key: String,
}

impl Authority {
    /// Makes one.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own, so that nobody takes one for the other.
        let name = path(directory.path(), "");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(directory.path().join(CERTIFICATE), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), directory }
    }

    /// Where its own certificate is.
    pub(crate) fn certificate(&self) -> String {
        path(self.directory.path(), CERTIFICATE)
    }

    /// Makes a certificate for a host.
    pub(crate) fn issue(&self, host: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, host);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let here = self.directory.path();
        let issued = Issued {
            certificate: path(here, &format!("{host}.pem")),
            key: path(here, &format!("{host}.key")),
        };
        fs::write(&issued.certificate, certificate.pem()).unwrap();
        fs::write(&issued.key, key.serialize_pem()).unwrap();
        issued
    }
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().unwrap().to_owned()
}

const CERTIFICATE: &str = "authority.pem";
