//! Every setting with its value and where it came from, for `tollgate config show`.

use std::path::Path;

use clap::{ArgMatches, parser::ValueSource};
use serde::Serialize;

use super::{
    ADMIN_TOKEN, BootTls, Config, ListenersTls, OfSource, Webhooks, choice,
    duration::spell_duration,
};

/// One setting as it stands.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Setting {
    /// The flag, without its dashes; the variable, for what has no flag.
    pub setting: String,
    /// Its value. Secrets are shown as `***`.
    pub value: String,
    /// `default`, `environment` or `flag`.
    pub source: &'static str,
}

/// Every setting, in the order of the documentation.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Shown {
    /// The settings.
    pub settings: Vec<Setting>,
}

impl Config {
    /// Shows every setting. `matches` are those that this configuration was read from.
    #[must_use]
    pub fn show(&self, matches: &ArgMatches) -> Shown {
        let flags = self.values().into_iter().map(|(id, value)| Setting {
            setting: id.replace('_', "-"),
            value,
            source: source_of(matches, id),
        });
        let admin_token = Setting {
            setting: ADMIN_TOKEN.to_owned(),
            value: or_none(self.admin_token_variable.as_ref()),
            source: if self.admin_token_variable.is_some() { "environment" } else { "default" },
        };
        Shown { settings: flags.chain([admin_token]).collect() }
    }

    /// Each flag's id and value. Taken apart field by field, so that none is forgotten; secrets
    /// are redacted by their types.
    #[expect(clippy::too_many_lines, reason = "two lines for each setting, and nothing else")]
    fn values(&self) -> Vec<(&'static str, String)> {
        let Self {
            data_dir,
            store,
            store_password_file,
            store_sentinel_password_file,
            store_ca,
            store_cert,
            store_key,
            store_create,
            expect_epoch,
            on_store_loss,
            key_prefix,
            partitions,
            heartbeat,
            cache,
            cache_capacity,
            snapshot_file: _,
            max_boot_age,
            boot_from,
            boot_token_file,
            boot: BootTls { boot_ca, boot_cert, boot_key },
            boot_timeout,
            ready_without_picture,
            check_listen,
            check_socket,
            check_socket_mode,
            check_open,
            operator_listen,
            operator_plaintext,
            admin_listen,
            max_connections,
            tls:
                ListenersTls {
                    check_tls_cert,
                    check_tls_key,
                    check_tls_client_ca,
                    operator_tls_cert,
                    operator_tls_key,
                    operator_tls_client_ca,
                    admin_tls_cert,
                    admin_tls_key,
                    admin_tls_client_ca,
                    webhook_tls_cert,
                    webhook_tls_key,
                    webhook_tls_client_ca,
                },
            session_lifetime,
            admin_token_file,
            audit_key_file,
            audit_heads,
            audit_retention,
            audit_archive,
            admin_token_variable: _,
            unknown_customers,
            when_unlisted,
            when_undecided,
            max_staleness,
            stale_limit,
            fill_timeout,
            max_used_age,
            policy,
            disabled_billing,
            customer_from,
            customer_header,
            tenant_header,
            default_tenant,
            min_revision_header,
            ingest_channel,
            ingest_source,
            ingest_guard,
            webhooks:
                Webhooks { webhook_listen, webhook_plaintext, webhook_secret_file, webhook_tenant },
            grace,
            workers,
            log_format,
            otlp_endpoint,
            otlp_share,
            decision_log,
            decision_log_allows,
            decision_log_overflow,
            decision_log_mask,
            log_level,
        } = self;
        vec![
            ("data_dir", data_dir.display().to_string()),
            ("store", store.to_string()),
            ("store_password_file", path_or_none(store_password_file.as_deref())),
            ("store_sentinel_password_file", path_or_none(store_sentinel_password_file.as_deref())),
            ("store_ca", path_or_none(store_ca.as_deref())),
            ("store_cert", path_or_none(store_cert.as_deref())),
            ("store_key", path_or_none(store_key.as_deref())),
            ("store_create", choice::STORE_CREATE.word(*store_create).to_owned()),
            ("expect_epoch", or_none(expect_epoch.as_ref())),
            ("on_store_loss", choice::ON_STORE_LOSS.word(*on_store_loss).to_owned()),
            ("key_prefix", key_prefix.clone()),
            ("partitions", or(partitions.as_ref(), "what the store says, else 1")),
            ("heartbeat", spell_duration(*heartbeat)),
            ("cache", choice::CACHE.word(*cache).to_owned()),
            ("cache_capacity", cache_capacity.to_string()),
            ("snapshot_file", or(self.snapshot_file().as_deref().map(Path::display), "off")),
            ("max_boot_age", spell_duration(*max_boot_age)),
            ("boot_from", or_none(boot_from.as_ref())),
            ("boot_token_file", path_or_none(boot_token_file.as_deref())),
            ("boot_ca", path_or_none(boot_ca.as_deref())),
            ("boot_cert", path_or_none(boot_cert.as_deref())),
            ("boot_key", path_or_none(boot_key.as_deref())),
            ("boot_timeout", spell_duration(*boot_timeout)),
            ("ready_without_picture", ready_without_picture.to_string()),
            ("check_listen", check_listen.to_string()),
            ("check_socket", path_or_none(check_socket.as_deref())),
            ("check_socket_mode", check_socket_mode.to_string()),
            ("check_open", check_open.to_string()),
            ("operator_listen", operator_listen.to_string()),
            ("operator_plaintext", choice::OPERATOR_PLAINTEXT.word(*operator_plaintext).to_owned()),
            ("admin_listen", admin_listen.to_string()),
            ("max_connections", max_connections.to_string()),
            ("check_tls_cert", path_or_none(check_tls_cert.as_deref())),
            ("check_tls_key", path_or_none(check_tls_key.as_deref())),
            ("check_tls_client_ca", path_or_none(check_tls_client_ca.as_deref())),
            ("operator_tls_cert", path_or_none(operator_tls_cert.as_deref())),
            ("operator_tls_key", path_or_none(operator_tls_key.as_deref())),
            ("operator_tls_client_ca", path_or_none(operator_tls_client_ca.as_deref())),
            ("admin_tls_cert", path_or_none(admin_tls_cert.as_deref())),
            ("admin_tls_key", path_or_none(admin_tls_key.as_deref())),
            ("admin_tls_client_ca", path_or_none(admin_tls_client_ca.as_deref())),
            ("webhook_tls_cert", path_or_none(webhook_tls_cert.as_deref())),
            ("webhook_tls_key", path_or_none(webhook_tls_key.as_deref())),
            ("webhook_tls_client_ca", path_or_none(webhook_tls_client_ca.as_deref())),
            ("session_lifetime", spell_duration(*session_lifetime)),
            ("admin_token_file", path_or_none(admin_token_file.as_deref())),
            ("audit_key_file", path_or_none(audit_key_file.as_deref())),
            ("audit_heads", path_or_none(audit_heads.as_deref())),
            ("audit_retention", audit_retention.to_string()),
            ("audit_archive", path_or_none(audit_archive.as_deref())),
            ("unknown_customers", choice::UNKNOWN_CUSTOMERS.word(*unknown_customers).to_owned()),
            ("when_unlisted", choice::WHEN_UNLISTED.word(*when_unlisted).to_owned()),
            ("when_undecided", choice::WHEN_UNDECIDED.word(*when_undecided).to_owned()),
            ("max_staleness", spell_duration(*max_staleness)),
            ("stale_limit", spell_duration(*stale_limit)),
            ("fill_timeout", spell_duration(*fill_timeout)),
            ("max_used_age", spell_duration(*max_used_age)),
            ("policy", or(policy.as_deref().map(Path::display), "built-in")),
            ("disabled_billing", choice::DISABLED_BILLING.word(*disabled_billing).to_owned()),
            ("customer_from", customer_from.to_string()),
            ("customer_header", customer_header.to_string()),
            ("tenant_header", tenant_header.to_string()),
            ("default_tenant", default_tenant.to_string()),
            ("min_revision_header", min_revision_header.to_string()),
            ("ingest_channel", ingest_channel.to_string()),
            ("ingest_source", ingest_source.to_string()),
            ("ingest_guard", ingest_guard.to_string()),
            ("webhook_listen", webhook_listen.to_string()),
            ("webhook_plaintext", choice::WEBHOOK_PLAINTEXT.word(*webhook_plaintext).to_owned()),
            (
                "webhook_secret_file",
                OfSource::shown(webhook_secret_file, |path| path.display().to_string()),
            ),
            ("webhook_tenant", OfSource::shown(webhook_tenant, ToString::to_string)),
            ("grace", spell_duration(*grace)),
            (
                "workers",
                workers.map_or_else(|| "one per core".to_owned(), |count| count.to_string()),
            ),
            ("log_format", choice::LOG_FORMAT.word(*log_format).to_owned()),
            ("otlp_endpoint", or_none(otlp_endpoint.as_ref())),
            ("otlp_share", otlp_share.to_string()),
            ("decision_log", decision_log.to_string()),
            ("decision_log_allows", decision_log_allows.to_string()),
            (
                "decision_log_overflow",
                choice::DECISION_LOG_OVERFLOW.word(*decision_log_overflow).to_owned(),
            ),
            (
                "decision_log_mask",
                or(
                    Some(
                        decision_log_mask
                            .iter()
                            .map(|it| it.as_str())
                            .collect::<Vec<_>>()
                            .join(","),
                    )
                    .filter(|it| !it.is_empty()),
                    "none",
                ),
            ),
            ("log_level", log_level.clone()),
        ]
    }
}

fn or_none(value: Option<impl ToString>) -> String {
    or(value, "none")
}

fn or(value: Option<impl ToString>, nothing: &str) -> String {
    value.map_or_else(|| nothing.to_owned(), |value| value.to_string())
}

fn path_or_none(path: Option<&Path>) -> String {
    or_none(path.map(Path::display))
}

fn source_of(matches: &ArgMatches, id: &str) -> &'static str {
    match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "flag",
        Some(ValueSource::EnvVariable) => "environment",
        _ => "default",
    }
}
