//! The passwords and certificates that a store asks for, read from where the settings say.

use std::path::Path;

use super::{
    Config, ConfigError, Encryption, RedisLogin, RedisServers, RedisUrl, Secret, StoreUrl,
    pem::PemFile,
};

/// Whom a store over TLS is trusted by, and how this instance proves who it is.
#[derive(Clone, Debug)]
pub struct StoreTls {
    /// The authorities, in PEM; those of the operating system without it.
    pub authorities: Option<Vec<u8>>,
    /// What this instance shows.
    pub identity: Option<StoreIdentity>,
}

/// A certificate and its private key, in PEM.
#[derive(Clone, Debug)]
pub struct StoreIdentity {
    /// The certificate, and those that lead to its authority.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Secret,
}

impl Config {
    /// The store's password, from its file or its URL.
    pub fn store_password(&self) -> Result<Option<Secret>, ConfigError> {
        let login = self.redis_url().map(|url| &url.login);
        password(PASSWORD_FILE, self.store_password_file.as_deref(), login)
    }

    /// The sentinels' password, from its file or the store's URL.
    pub fn sentinel_password(&self) -> Result<Option<Secret>, ConfigError> {
        let login = match self.redis_url().map(|url| &url.servers) {
            Some(RedisServers::Sentinels { login, .. }) => Some(login),
            Some(RedisServers::Cluster(_) | RedisServers::Single(_) | RedisServers::Socket(_))
            | None => None,
        };
        password(SENTINEL_PASSWORD_FILE, self.store_sentinel_password_file.as_deref(), login)
    }

    /// How connections to the store are encrypted, if its URL says that they are.
    pub fn store_tls(&self) -> Result<Option<StoreTls>, ConfigError> {
        let files = [(CA, &self.store_ca), (CERT, &self.store_cert), (KEY, &self.store_key)];
        if self.redis_url().is_none_or(|url| url.encryption == Encryption::Plain) {
            let given = files.into_iter().find(|(_, path)| path.is_some());
            return given
                .map_or(Ok(None), |(setting, _)| Err(ConfigError::StoreWithoutTls(setting)));
        }
        let certificates = |setting, path| {
            let file = PemFile { setting, path };
            let text = file.read()?;
            file.certificates(&text).map(|_| text)
        };
        let a_key = |path| {
            let file = PemFile { setting: KEY, path };
            let text = file.read()?;
            file.key(&text).map(|_| Secret::new(String::from_utf8_lossy(&text)))
        };
        let authorities = self.store_ca.as_deref();
        let authorities = authorities.map(|path| certificates(CA, path)).transpose()?;
        let identity = match (&self.store_cert, &self.store_key) {
            (Some(certificate), Some(key)) => Some(StoreIdentity {
                certificate: certificates(CERT, certificate)?,
                key: a_key(key)?,
            }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(ConfigError::StoreIdentityHalf),
        };
        Ok(Some(StoreTls { authorities, identity }))
    }

    fn redis_url(&self) -> Option<&RedisUrl> {
        match &self.store {
            StoreUrl::Redis(url) => Some(url),
            StoreUrl::File(_) | StoreUrl::Memory => None,
        }
    }
}

/// The one password that is given for `login`; nobody logs in where that is nothing.
fn password(
    setting: &'static str,
    file: Option<&Path>,
    login: Option<&RedisLogin>,
) -> Result<Option<Secret>, ConfigError> {
    let in_file = file.map(|path| Secret::from_file(setting, path)).transpose()?;
    match (in_file, login) {
        (Some(_), None) => Err(ConfigError::PasswordForNobody(setting)),
        (Some(_), Some(RedisLogin { password: Some(_), .. })) => {
            Err(ConfigError::PasswordTwice(setting))
        }
        (None, Some(RedisLogin { user: Some(_), password: None })) => {
            Err(ConfigError::PasswordMissing(setting))
        }
        (None, login) => Ok(login.and_then(|login| login.password.clone())),
        (in_file, Some(_)) => Ok(in_file),
    }
}

const PASSWORD_FILE: &str = "--store-password-file";
pub(super) const SENTINEL_PASSWORD_FILE: &str = "--store-sentinel-password-file";
const CA: &str = "--store-ca";
const CERT: &str = "--store-cert";
const KEY: &str = "--store-key";
