//! What an error of the library means to Tollgate.

use std::{error::Error, io, sync::Arc};

use redis::{ErrorKind, RedisError, ServerErrorKind};
use rustls::AlertDescription;

use crate::store::{Concern, Refusal, StoreError};

/// What an error of the library means to Tollgate.
pub(super) fn store_error(error: &RedisError) -> StoreError {
    let Some(about) = concern(error) else {
        return StoreError::Unreachable(error.to_string());
    };
    let why = match about {
        Concern::Topology => "it is a node of a cluster".to_owned(),
        Concern::Protocol => {
            // What a parser says goes over many lines.
            let said = error.to_string();
            let said = said.lines().next().unwrap_or_default();
            format!("what answers is no Redis of version 6.2 or later ({said})")
        }
        Concern::Certificate
        | Concern::Database
        | Concern::Encryption
        | Concern::Identity
        | Concern::Keys
        | Concern::Login
        | Concern::Master
        | Concern::Rights
        | Concern::SentinelLogin => error.to_string(),
    };
    Refusal { about, why }.into()
}

/// What an error about `key` means if it holds what Tollgate did not put there.
pub(super) fn foreign_key(key: &str, error: &RedisError) -> Option<StoreError> {
    let why = || format!("the key {key} holds another type of value than Tollgate's");
    let is_foreign = error.code() == Some("WRONGTYPE");
    is_foreign.then(|| Refusal { about: Concern::Keys, why: why() }.into())
}

/// Whether a setting has to be changed, and which.
fn concern(error: &RedisError) -> Option<Concern> {
    if let Some(error) = tls_error(error) {
        let refused = |alert: &AlertDescription| is_about_our_certificate(*alert);
        let is_ours = matches!(error, rustls::Error::AlertReceived(alert) if refused(alert));
        let is_theirs = matches!(error, rustls::Error::InvalidCertificate(_));
        return Some(match (is_ours, is_theirs) {
            (true, _) => Concern::Identity,
            (_, true) => Concern::Certificate,
            _ => Concern::Encryption,
        });
    }
    match (error.kind(), error.code()) {
        (_, Some("NOAUTH" | "WRONGPASS")) | (ErrorKind::AuthenticationFailed, _) => {
            Some(Concern::Login)
        }
        (_, Some("NOPERM")) | (ErrorKind::Server(ServerErrorKind::NoPerm), _) => {
            Some(Concern::Rights)
        }
        (_, Some("MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN")) => Some(Concern::Topology),
        (_, Some("NOPROTO")) | (ErrorKind::RESP3NotSupported | ErrorKind::Parse, _) => {
            Some(Concern::Protocol)
        }
        (ErrorKind::Server(ServerErrorKind::ResponseError), _) => {
            let text = error.to_string();
            if text.contains("unknown command") {
                Some(Concern::Protocol)
            } else if text.contains("refused to switch database") {
                Some(Concern::Database)
            } else {
                None
            }
        }
        // The library's word for a certificate and a key that do not fit, and for nothing else
        // once an address is known to be one.
        (ErrorKind::InvalidClientConfig, _) => Some(Concern::Identity),
        _ => None,
    }
}

/// What went wrong with the encryption, however deep it is wrapped.
fn tls_error(error: &RedisError) -> Option<&rustls::Error> {
    let wrapped = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    let io = wrapped.downcast_ref::<io::Error>()?;
    io.get_ref()?.downcast_ref()
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
            | AlertDescription::NoCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}
