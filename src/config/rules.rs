//! Values that are sound each by itself and impossible together.

use std::{io, path::PathBuf, time::Duration};

use super::{
    Config, DecisionLogTarget, HeaderName, OperatorPlaintext, StoreUrl,
    store_access::SENTINEL_PASSWORD_FILE, value::InvalidValue,
};

impl Config {
    /// Refuses what cannot work, with one sentence that names the setting and the rule. Reads the
    /// files that hold secrets.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.durations()?;
        self.listeners()?;
        self.headers()?;
        self.boot()?;
        self.admin_token()?;
        self.audit_key()?;
        self.retention()?;
        self.collector()?;
        self.store_password()?;
        self.sentinel_password()?;
        self.store_tls()?;
        for endpoint in self.webhook_endpoints()? {
            endpoint.read()?;
        }
        let listeners =
            [self.check_tls()?, self.operator_tls()?, self.admin_tls()?, self.webhook_tls()?];
        for files in listeners.into_iter().flatten() {
            files.load(&files.read()?)?;
        }
        Ok(())
    }

    fn durations(&self) -> Result<(), ConfigError> {
        let durations = [
            ("--heartbeat", self.heartbeat),
            ("--max-staleness", self.max_staleness),
            ("--stale-limit", self.stale_limit),
            ("--fill-timeout", self.fill_timeout),
            ("--max-used-age", self.max_used_age),
            ("--grace", self.grace),
            ("--max-boot-age", self.max_boot_age),
            ("--boot-timeout", self.boot_timeout),
            ("--session-lifetime", self.session_lifetime),
        ];
        if let Some((setting, _)) = durations.into_iter().find(|(_, span)| *span == Duration::ZERO)
        {
            return Err(ConfigError::Zero(setting));
        }
        if self.stale_limit < self.max_staleness {
            return Err(ConfigError::StaleLimit);
        }
        if self.heartbeat >= self.max_staleness {
            return Err(ConfigError::Heartbeat);
        }
        Ok(())
    }

    fn retention(&self) -> Result<(), ConfigError> {
        let is_own = !matches!(self.store, StoreUrl::Redis(_));
        match (self.audit_retention.on(), &self.audit_archive) {
            (None, Some(_)) => {
                let (given, needed) = ("--audit-archive", "--audit-retention");
                Err(ConfigError::Needs { given, needed })
            }
            (Some(_), _) if !is_own && !self.is_acted_on() => Err(ConfigError::RetentionOfReader),
            (Some(_), _) | (None, None) => Ok(()),
        }
    }

    fn collector(&self) -> Result<(), ConfigError> {
        let is_sent = self.decision_log.on() == Some(&DecisionLogTarget::Otlp);
        match &self.otlp_endpoint {
            Some(endpoint) if endpoint.is_encrypted() => Err(ConfigError::OtlpEncrypted),
            None if is_sent => {
                let (given, needed) = ("--decision-log otlp", "--otlp-endpoint");
                Err(ConfigError::Needs { given, needed })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn boot(&self) -> Result<(), ConfigError> {
        let is_own = !matches!(self.store, StoreUrl::Redis(_));
        let given = [
            (
                "--snapshot-file",
                self.snapshot_file.as_ref().is_some_and(|file| file.on().is_some()),
            ),
            ("--boot-from", self.boot_from.is_some()),
        ];
        if let Some((setting, _)) = given.into_iter().find(|(_, given)| *given && is_own) {
            return Err(ConfigError::NothingToBootWithout(setting));
        }
        if self.boot_from.is_some() && self.boot_token_file.is_none() {
            return Err(ConfigError::BootToken);
        }
        if let Some(url) = &self.boot_from {
            self.boot_tls().load(url)?;
        } else if let Some(setting) = self.boot_tls().given() {
            return Err(ConfigError::Needs { given: setting, needed: "--boot-from" });
        }
        self.boot_token().map(drop)
    }

    fn headers(&self) -> Result<(), ConfigError> {
        let headers = [
            ("--customer-header", Some(&self.customer_header)),
            ("--tenant-header", self.tenant_header.on()),
            ("--min-revision-header", self.min_revision_header.on()),
        ];
        let is_same = |one: &HeaderName, other: Option<&HeaderName>| {
            other.is_some_and(|other| one.as_str().eq_ignore_ascii_case(other.as_str()))
        };
        for (place, (first, header)) in headers.iter().enumerate() {
            let Some(header) = header else { continue };
            let mut later = headers.iter().skip(place + 1);
            if let Some((second, _)) = later.find(|(_, other)| is_same(header, *other)) {
                return Err(ConfigError::SameHeader { first, second });
            }
        }
        Ok(())
    }

    fn listeners(&self) -> Result<(), ConfigError> {
        if self.check_listen.on().is_none() && self.check_socket.is_none() {
            return Err(ConfigError::NoCheckListener);
        }
        if let Some(operator) = self.operator_listen.on()
            && !operator.ip().is_loopback()
            && self.operator_plaintext == OperatorPlaintext::Refuse
            && self.tls.operator_tls_cert.is_none()
        {
            return Err(ConfigError::OperatorPlaintext);
        }
        let listeners = [
            ("--check-listen", self.check_listen.on()),
            ("--operator-listen", self.operator_listen.on()),
            ("--admin-listen", Some(&self.admin_listen)),
            ("--webhook-listen", self.webhooks.webhook_listen.on()),
        ];
        for (place, (first, address)) in listeners.iter().enumerate() {
            let Some(address) = address.filter(|address| address.port() != 0) else { continue };
            let mut later = listeners.iter().skip(place + 1);
            if let Some((second, _)) = later.find(|(_, other)| *other == Some(address)) {
                return Err(ConfigError::SameAddress { first, second });
            }
        }
        Ok(())
    }
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A short admin token.
    #[error("the admin token must be at least {0} bytes long")]
    AdminTokenShort(usize),
    /// A key for the audit trail that could be guessed.
    #[error("the key of {setting} must have {least} bytes or more")]
    AuditKeyShort {
        /// Which setting.
        setting: &'static str,
        /// How many bytes it must have.
        least: usize,
    },
    /// Two admin tokens.
    #[error("TOLLGATE_ADMIN_TOKEN and --admin-token-file exclude each other; give one of them")]
    AdminTokenTwice,
    /// Another instance is asked, and gives nothing to strangers.
    #[error("--boot-from needs --boot-token-file, because a snapshot is given only for a key")]
    BootToken,
    /// A heartbeat too slow to keep the picture fresh.
    #[error("--heartbeat must be shorter than --max-staleness, or every answer would be stale")]
    Heartbeat,
    /// The key of another certificate.
    #[error(
        "{setting} names {}, which is not the key of the certificate in {certificate}",
        path.display()
    )]
    KeyOfAnother {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The setting of the certificate.
        certificate: &'static str,
    },
    /// Half of what belongs together.
    #[error("{given} needs {needed}")]
    Needs {
        /// What there is.
        given: &'static str,
        /// What is missing.
        needed: &'static str,
    },
    /// Nobody could ask.
    #[error("--check-listen off needs --check-socket, or nobody could ask")]
    NoCheckListener,
    /// A snapshot of what is always there.
    #[error(
        "{0} is for a store in Redis; one in this process (file: or memory:) is there whenever \
         the process is"
    )]
    NothingToBootWithout(&'static str),
    /// Operators' tokens would cross the network as they are.
    #[error(
        "--operator-listen must be on loopback unless it has a certificate (--operator-tls-cert) \
         or --operator-plaintext is allow, because operators' tokens would cross the network \
         unencrypted"
    )]
    OperatorPlaintext,
    /// A collector is sent everything without TLS.
    #[error(
        "--otlp-endpoint must begin with http://: it is a collector nearby, which sends on what it \
         is sent"
    )]
    OtlpEncrypted,
    /// Nothing can be taken out of a store that may not be written.
    #[error(
        "--audit-retention is for an instance that writes: give it an operator listener, or leave \
         it to those that have one"
    )]
    RetentionOfReader,
    /// Two listeners on one address.
    #[error("{first} and {second} must be different addresses")]
    SameAddress {
        /// One setting.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// One header for two things.
    #[error("{first} and {second} must be different headers")]
    SameHeader {
        /// One setting.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A file that cannot be read.
    #[error("{setting} cannot be read from {}", path.display())]
    SecretFile {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file without anything in it.
    #[error("{setting} names an empty file, {}", path.display())]
    SecretFileEmpty {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A limit below the mark.
    #[error("--stale-limit must not be shorter than --max-staleness")]
    StaleLimit,
    /// A file that holds something else than it should.
    #[error("{setting} names {}, which holds no {holds} in PEM", path.display())]
    NotPem {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        holds: &'static str,
    },
    /// A password for nobody.
    #[error(
        "{0} is for a store of another kind; --store names none that has {kind}",
        kind = if *.0 == SENTINEL_PASSWORD_FILE { "sentinels" } else { "a password" }
    )]
    PasswordForNobody(&'static str),
    /// A user who cannot log in.
    #[error("--store names a user and no password; put it into the URL or into {0}")]
    PasswordMissing(&'static str),
    /// Two passwords.
    #[error("--store holds a password and {0} another; give one of them")]
    PasswordTwice(&'static str),
    /// Half of a certificate.
    #[error("--store-cert and --store-key need each other")]
    StoreIdentityHalf,
    /// Encryption towards another listener that would not happen.
    #[error("{setting} is for a listener over TLS: {url} must begin with https://")]
    NotEncrypted {
        /// The setting.
        setting: &'static str,
        /// The setting that says where the listener is.
        url: &'static str,
    },
    /// Encryption that would not happen.
    #[error("{0} is for a store over TLS: --store must begin with rediss:// or rediss+sentinel://")]
    StoreWithoutTls(&'static str),
    /// A certificate that nobody would see.
    #[error("{setting} is for {listen}, which is off")]
    TlsForNobody {
        /// The setting.
        setting: &'static str,
        /// The setting of the listener.
        listen: &'static str,
    },
    /// A token would cross the network as it is.
    #[error(
        "--webhook-listen must be on loopback unless it has a certificate (--webhook-tls-cert) or \
         --webhook-plaintext is allow, because BillaBear's webhooks carry their secret as it is"
    )]
    WebhookPlaintext,
    /// A secret that breaks its source's rule.
    #[error("--webhook-secret-file {of}={} holds a secret that {rule}", path.display())]
    WebhookSecret {
        /// Whose.
        of: &'static str,
        /// The file.
        path: PathBuf,
        /// The rule.
        rule: &'static str,
    },
    /// A source that may not call back.
    #[error(transparent)]
    WebhookSource(#[from] InvalidValue),
    /// Events that would be about nobody's customers.
    #[error("--default-tenant off needs --webhook-tenant {0}=TENANT, because its events name none")]
    WebhookTenantMissing(&'static str),
    /// Two tenants of one source.
    #[error("--webhook-tenant may name one tenant for {0}")]
    WebhookTenantTwice(&'static str),
    /// A duration of nothing.
    #[error("{0} must be longer than zero")]
    Zero(&'static str),
}
