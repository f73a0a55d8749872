//! The Secrets that a chart names, which nobody but the cluster has.

use std::{collections::BTreeMap, fs};

use crate::support::authority::Issued;

/// What is in them, by name and key.
#[derive(Debug, Default)]
pub(crate) struct Secrets(BTreeMap<String, BTreeMap<String, Vec<u8>>>);

impl Secrets {
    /// With one more key.
    pub(crate) fn with(mut self, name: &str, key: &str, content: impl Into<Vec<u8>>) -> Self {
        self.0.entry(name.to_owned()).or_default().insert(key.to_owned(), content.into());
        self
    }

    /// With a certificate and its key.
    pub(crate) fn with_certificate(self, name: &str, issued: &Issued) -> Self {
        self.with(name, "tls.crt", fs::read(&issued.certificate).unwrap()).with(
            name,
            "tls.key",
            fs::read(&issued.key).unwrap(),
        )
    }

    /// What is in one of them.
    pub(crate) fn get(&self, name: &str) -> &BTreeMap<String, Vec<u8>> {
        self.0.get(name).unwrap_or_else(|| panic!("no Secret is called {name}"))
    }
}
