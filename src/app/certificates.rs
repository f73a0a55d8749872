//! Keeps the certificate that a listener shows as its files have it.

use std::{convert::Infallible, error::Error};

use super::watched::Watched;
use crate::{
    config::{ConfigError, TlsFiles, TlsText},
    http::serve::Encryption,
    telemetry::{
        Listener, Metrics,
        event::{CertificateRefused, CertificateShown, CertificateTaken},
    },
};

/// A listener's certificate, and the files that it comes from.
pub(super) struct Certificate {
    listener: Listener,
    files: TlsFiles,
    held: Watched<TlsText>,
    encryption: Encryption,
    metrics: Metrics,
}

impl Certificate {
    /// Takes the files for the first time. Ones that cannot be used end the start.
    pub(super) fn open(
        files: TlsFiles,
        listener: Listener,
        metrics: Metrics,
    ) -> Result<Self, ConfigError> {
        let text = files.read()?;
        let first = files.load(&text)?;
        CertificateShown { listener, expires: first.expires }.emit(&metrics);
        let again = files.clone();
        let held = Watched::since(text, move || again.read().map_err(|error| told(&error)));
        Ok(Self { listener, files, held, encryption: Encryption::new(first.config), metrics })
    }

    /// What the listener's connections are encrypted with, by the newest of its certificates.
    pub(super) fn encryption(&self) -> Encryption {
        self.encryption.clone()
    }

    /// Shows new connections what the files hold, whenever that can be used.
    pub(super) async fn keep_current(mut self) -> Infallible {
        loop {
            let text = self.held.change().await;
            let loaded = text.and_then(|text| self.files.load(&text).map_err(|error| told(&error)));
            let listener = self.listener;
            match loaded {
                Ok(loaded) => {
                    self.encryption.replace(loaded.config);
                    CertificateTaken { listener, expires: loaded.expires }.emit(&self.metrics);
                }
                Err(why) => CertificateRefused { listener, why }.emit(&self.metrics),
            }
        }
    }
}

/// An error with what caused it.
pub(super) fn told(error: &ConfigError) -> String {
    let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{error}{why}")
}
