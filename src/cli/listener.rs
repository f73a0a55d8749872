//! Where the listeners of a running Tollgate are, and how they are trusted.

use std::path::PathBuf;

use clap::Args;

use super::{client::Client, failure::Failure};
use crate::config::{BaseUrl, ClientTls, ClientTlsSettings};

/// Declares the flags of one listener: `--NAME-url` and, for one over TLS, `--NAME-ca`,
/// `--NAME-cert` and `--NAME-key`.
macro_rules! listener {
    ($(#[$doc:meta])* $listener:ident is $name:literal, $variable:literal, $default:literal) => {
        $(#[$doc])*
        #[derive(Args, Clone, Debug)]
        #[command(next_help_heading = "Connection")]
        pub(super) struct $listener {
            #[arg(long = concat!($name, "-url"), id = concat!($name, "_url"))]
            #[arg(env = concat!("TOLLGATE_", $variable, "_URL"), value_name = "URL")]
            #[arg(help = concat!("Where the ", $name, " listener is"))]
            #[arg(default_value = $default, value_parser = BaseUrl::parse)]
            url: BaseUrl,

            #[arg(long = concat!($name, "-ca"), id = concat!($name, "_ca"))]
            #[arg(env = concat!("TOLLGATE_", $variable, "_CA"), value_name = "PATH")]
            #[arg(help = "File with the certificates (PEM) of the authorities that an https:// \
                          listener is trusted by; those of the operating system unless given")]
            ca: Option<PathBuf>,

            #[arg(long = concat!($name, "-cert"), id = concat!($name, "_cert"))]
            #[arg(env = concat!("TOLLGATE_", $variable, "_CERT"), value_name = "PATH")]
            #[arg(help = "File with the certificate (PEM) that it is shown if it asks for one")]
            cert: Option<PathBuf>,

            #[arg(long = concat!($name, "-key"), id = concat!($name, "_key"))]
            #[arg(env = concat!("TOLLGATE_", $variable, "_KEY"), value_name = "PATH")]
            #[arg(help = "File with the private key (PEM) of that certificate")]
            key: Option<PathBuf>,
        }

        impl $listener {
            /// What it is asked with.
            pub(super) fn client(&self) -> Result<Client, Failure> {
                const SETTINGS: ClientTlsSettings = ClientTlsSettings {
                    url: concat!("--", $name, "-url"),
                    authorities: concat!("--", $name, "-ca"),
                    certificate: concat!("--", $name, "-cert"),
                    key: concat!("--", $name, "-key"),
                };
                let Self { url, ca, cert, key } = self;
                let tls = ClientTls {
                    settings: &SETTINGS,
                    authorities: ca.as_deref(),
                    certificate: cert.as_deref(),
                    key: key.as_deref(),
                };
                let tls = tls.load(url).map_err(|error| Failure::usage(&error))?;
                let settings = if url.is_encrypted() {
                    concat!("--", $name, "-url, and whom it is trusted by with --", $name, "-ca")
                } else {
                    concat!("--", $name, "-url or TOLLGATE_", $variable, "_URL")
                };
                Ok(Client::new(url.clone(), settings, tls))
            }
        }
    };
}

listener! {
    /// Where Tollgate is watched.
    AdminListener is "admin", "ADMIN", "http://127.0.0.1:7602"
}

listener! {
    /// Where gateways and applications ask.
    CheckListener is "check", "CHECK", "http://127.0.0.1:7600"
}

listener! {
    /// Where operators act.
    OperatorListener is "operator", "OPERATOR", "http://127.0.0.1:7601"
}
