//! Text that must not be shown.

use std::{fmt, fs, path::Path};

use super::ConfigError;

/// A password or token. It is shown as `***`, whichever way it is printed.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Keeps `text` from being shown.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever has to send or compare it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the variable holds, unless it is unset or empty.
    #[must_use]
    pub fn from_environment(variable: &str) -> Option<Self> {
        let value = std::env::var(variable).ok();
        value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).map(Self::new)
    }

    /// What the file holds, without white space around it. `setting` is named in errors.
    pub fn from_file(setting: &'static str, path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::SecretFile {
            setting,
            path: path.to_owned(),
            source,
        })?;
        match text.trim() {
            "" => Err(ConfigError::SecretFileEmpty { setting, path: path.to_owned() }),
            text => Ok(Self::new(text)),
        }
    }

    /// The key that signs the audit trail.
    pub fn audit_key(setting: &'static str, path: &Path) -> Result<Self, ConfigError> {
        let key = Self::from_file(setting, path)?;
        if key.expose().len() < MIN_AUDIT_KEY_BYTES {
            return Err(ConfigError::AuditKeyShort { setting, least: MIN_AUDIT_KEY_BYTES });
        }
        Ok(key)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Shorter ones can be guessed.
const MIN_AUDIT_KEY_BYTES: usize = 16;
pub(super) const REDACTED: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_secret_file_is_read_without_its_last_newline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "hunter2\n").unwrap();
        assert_eq!(Secret::from_file("--f", &path).unwrap().expose(), "hunter2");
        fs::write(&path, "\n").unwrap();
        let error = Secret::from_file("--f", &path).unwrap_err();
        assert!(error.to_string().starts_with("--f names an empty file"), "{error}");
    }
}
