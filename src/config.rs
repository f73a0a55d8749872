//! Every setting of `tollgate serve`: flag, variable, default and reason, documented once.
//!
//! This is the only module that reads the environment. The rings below are handed values, never
//! a [`Config`].

mod base_url;
mod choice;
mod client_tls;
mod duration;
mod listener_tls;
mod pem;
mod redis_url;
mod rules;
mod secret;
mod show;
mod store_access;
mod store_url;
mod value;
mod webhook;

use std::{
    net::SocketAddr,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, builder::BoolishValueParser};

pub use base_url::BaseUrl;
pub use choice::{
    CacheKind, DisabledBilling, OnStoreLoss, OperatorPlaintext, StoreCreate, WebhookPlaintext,
};
pub use client_tls::{BootTls, ClientTls, ClientTlsSettings};
pub use duration::{InvalidDuration, parse_duration};
pub use listener_tls::{ListenerTls, ListenersTls, TlsFiles, TlsText};
pub use redis_url::{Encryption, Host, RedisLogin, RedisServers, RedisUrl};
pub use rules::ConfigError;
pub use secret::Secret;
pub use show::{Setting, Shown};
pub use store_access::{StoreIdentity, StoreTls};
pub use store_url::{InvalidStoreUrl, StoreUrl};
pub use value::{DecisionLogTarget, HeaderName, IngestGuard, OrOff, Share, SocketMode, Span};
pub use webhook::{OfSource, WebhookEndpoint, WebhookSecrets, Webhooks};

use crate::{
    domain::{
        Epoch, Partitions, Policy, Source, TenantId, Unknown, Unlisted, WhenUndecided,
        guard::GuardRule,
    },
    identify::CustomerFrom,
    telemetry::{
        self, LogFormat,
        decision_log::{Masked, Overflow},
    },
};

/// The settings of a running Tollgate.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Directory for the store file, the first operator token and the snapshot file; made with mode 0700.
    #[arg(long, env = "TOLLGATE_DATA_DIR", value_name = "DIR", default_value = "tollgate-data")]
    #[arg(help_heading = "Store")]
    pub data_dir: PathBuf,

    /// Where records live: `file:PATH` for one process and nothing to install (relative to the
    /// data directory), `memory:` for demos. For many instances on one Redis or Valkey:
    /// `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `redis+unix:///PATH[?db=N]`, or
    /// `redis+sentinel://[USER:PASSWORD@]HOST[:PORT],.../MASTER[?db=N&sentinelUser=USER]`; for a
    /// cluster of them: `redis+cluster://[USER:PASSWORD@]HOST[:PORT],...`. `rediss://`,
    /// `rediss+sentinel://` and `rediss+cluster://` over TLS. Printed without passwords.
    #[arg(long, env = "TOLLGATE_STORE", value_name = "URL", default_value = "file:tollgate.redb")]
    #[arg(value_parser = store_url::Parser, hide_env_values = true, help_heading = "Store")]
    pub store: StoreUrl,

    /// File with the store's password, so that it is in no URL and no process list.
    #[arg(long, env = "TOLLGATE_STORE_PASSWORD_FILE", value_name = "PATH")]
    #[arg(help_heading = "Store")]
    pub store_password_file: Option<PathBuf>,

    /// File with the password that the sentinels ask for, if they ask for one.
    #[arg(long, env = "TOLLGATE_STORE_SENTINEL_PASSWORD_FILE", value_name = "PATH")]
    #[arg(help_heading = "Store")]
    pub store_sentinel_password_file: Option<PathBuf>,

    /// File with the certificates (PEM) of the authorities that a store over TLS is trusted by;
    /// those that the operating system trusts unless given.
    #[arg(long, env = "TOLLGATE_STORE_CA", value_name = "PATH", help_heading = "Store")]
    pub store_ca: Option<PathBuf>,

    /// File with the certificate (PEM) that this instance shows a store over TLS that asks for
    /// one. Needs `--store-key`.
    #[arg(long, env = "TOLLGATE_STORE_CERT", value_name = "PATH", help_heading = "Store")]
    pub store_cert: Option<PathBuf>,

    /// File with the private key (PEM) of that certificate.
    #[arg(long, env = "TOLLGATE_STORE_KEY", value_name = "PATH", help_heading = "Store")]
    pub store_key: Option<PathBuf>,

    /// Whether the history of an empty store may be begun. `never` suits a store that must not
    /// be empty: a new, wrong or wiped Redis is then an error and not a fresh start.
    #[arg(long, env = "TOLLGATE_STORE_CREATE", value_name = "WHEN", default_value = "auto")]
    #[arg(value_parser = choice::STORE_CREATE.parser(), help_heading = "Store")]
    pub store_create: StoreCreate,

    /// The epoch that the store began with, as `/status` and the log of its creation tell it.
    /// Another store, also one that was emptied and begun anew, is then not believed.
    #[arg(long, env = "TOLLGATE_EXPECT_EPOCH", value_name = "EPOCH", help_heading = "Store")]
    #[arg(value_parser = value::epoch)]
    pub expect_epoch: Option<Epoch>,
    /// What is done about a store that lost what it held. `keep` keeps the picture in memory, goes on
    /// refusing whom it names, and writes back acknowledged changes that a failover lost; a store
    /// that came back empty is refilled or trusted by `tollgate store`. `adopt` believes the store
    /// always, which suits one that is a cache of something else.
    #[arg(long, env = "TOLLGATE_ON_STORE_LOSS", value_name = "ACTION", default_value = "keep")]
    #[arg(value_parser = choice::ON_STORE_LOSS.parser(), help_heading = "Store")]
    pub on_store_loss: OnStoreLoss,

    /// What every key in Redis begins with: one Redis can serve several fleets.
    #[arg(long, env = "TOLLGATE_KEY_PREFIX", value_name = "TEXT", default_value = "tollgate")]
    #[arg(value_parser = value::key_prefix, help_heading = "Store")]
    pub key_prefix: String,

    /// How many parts the store is cut into, 1 to 1024: what an existing store says, else 1, or 16
    /// on a cluster. Only a new store asks for it; a cluster wants a few per node. It is never
    /// changed afterwards, and another one than the store's is refused.
    #[arg(long, env = "TOLLGATE_PARTITIONS", value_name = "COUNT", help_heading = "Store")]
    pub partitions: Option<Partitions>,

    /// Time between two proofs that the feed is alive. Shorter notices a dead connection sooner
    /// and costs the store one small command per instance each time.
    #[arg(long, env = "TOLLGATE_HEARTBEAT", value_name = "DURATION", default_value = "500ms")]
    #[arg(value_parser = parse_duration, help_heading = "Store")]
    pub heartbeat: Duration,

    /// Whose records are kept in memory: those of customers that were asked for lately, or of all
    /// of them. With all no check waits for the store, whose features and unknown customers are
    /// then known while it is away too; the start takes longer, and memory is needed for everybody.
    #[arg(long, env = "TOLLGATE_CACHE", value_name = "WHICH", default_value = "recent")]
    #[arg(value_parser = choice::CACHE.parser(), help_heading = "Store")]
    pub cache: CacheKind,

    /// How many customers without restrictions are kept in memory, about 1 kB each. Restricted
    /// ones are always kept, all of them. It counts for `--cache recent`.
    #[arg(long, env = "TOLLGATE_CACHE_CAPACITY", value_name = "COUNT", default_value = "100000")]
    #[arg(help_heading = "Store")]
    pub cache_capacity: NonZeroU64,

    /// File with all restricted customers, to start with while the store is away, or `off`. With
    /// Redis, and unless given, it is `snapshot` in the data directory; a store in this process
    /// needs none. Each process needs its own. It holds no notes and no tokens.
    #[arg(long, env = "TOLLGATE_SNAPSHOT_FILE", value_name = "PATH|off", help_heading = "Boot")]
    #[arg(value_parser = value::path_or_off)]
    pub snapshot_file: Option<OrOff<PathBuf>>,

    /// How old a snapshot may be, by the time of day, and still let somebody in. An older one, and
    /// one whose age cannot be told, only refuses those it names.
    #[arg(long, env = "TOLLGATE_MAX_BOOT_AGE", value_name = "DURATION", default_value = "24h")]
    #[arg(value_parser = parse_duration, help_heading = "Boot")]
    pub max_boot_age: Duration,

    /// Operator listener of another instance, whose snapshot is taken if there is no usable file
    /// and the store does not answer: `http://HOST:PORT`, or `https://HOST:PORT`.
    #[arg(long, env = "TOLLGATE_BOOT_FROM", value_name = "URL", help_heading = "Boot")]
    #[arg(value_parser = BaseUrl::parse)]
    pub boot_from: Option<BaseUrl>,

    /// File with a token for that: of a key of role `viewer` that is bound to no tenant.
    #[arg(long, env = "TOLLGATE_BOOT_TOKEN_FILE", value_name = "PATH", help_heading = "Boot")]
    pub boot_token_file: Option<PathBuf>,

    /// How that listener is trusted over TLS.
    #[command(flatten)]
    pub boot: BootTls,

    /// How long a start waits for a first picture before it says so; a store that answers has as
    /// long to give one before another instance is asked.
    #[arg(long, env = "TOLLGATE_BOOT_TIMEOUT", value_name = "DURATION", default_value = "30s")]
    #[arg(value_parser = parse_duration, help_heading = "Boot")]
    pub boot_timeout: Duration,

    /// Be ready after `--boot-timeout` also without a picture. Checks are then undecided, so that
    /// the gateway's failure mode decides.
    #[arg(long, env = "TOLLGATE_READY_WITHOUT_PICTURE", help_heading = "Boot")]
    #[arg(value_parser = BoolishValueParser::new())]
    pub ready_without_picture: bool,

    /// Address on which gateways and applications ask, or `off`. Port 0 takes a free one, and
    /// the log says which.
    #[arg(long, env = "TOLLGATE_CHECK_LISTEN", value_name = "ADDR|off")]
    #[arg(default_value = "127.0.0.1:7600", help_heading = "Listeners")]
    #[arg(value_parser = value::address_or_off)]
    pub check_listen: OrOff<SocketAddr>,

    /// Unix socket on which they can ask as well. A stale socket file is replaced.
    #[arg(long, env = "TOLLGATE_CHECK_SOCKET", value_name = "PATH", help_heading = "Listeners")]
    pub check_socket: Option<PathBuf>,

    /// Permissions of that socket, in octal. The default lets its owner and group ask.
    #[arg(long, env = "TOLLGATE_CHECK_SOCKET_MODE", value_name = "MODE", default_value = "0660")]
    #[arg(help_heading = "Listeners")]
    pub check_socket_mode: SocketMode,

    /// Answer checks and limits without a key also off loopback. Anyone who reaches the listener
    /// can then find out which customers exist.
    #[arg(long, env = "TOLLGATE_CHECK_OPEN", help_heading = "Listeners")]
    #[arg(value_parser = BoolishValueParser::new())]
    pub check_open: bool,

    /// Address on which operators and billing systems act, or `off` for a pure sidecar.
    #[arg(long, env = "TOLLGATE_OPERATOR_LISTEN", value_name = "ADDR|off")]
    #[arg(default_value = "127.0.0.1:7601", help_heading = "Listeners")]
    #[arg(value_parser = value::address_or_off)]
    pub operator_listen: OrOff<SocketAddr>,

    /// Whether operators may be served off loopback without TLS. Their tokens then cross the
    /// network as they are, so allow it only where the network itself is encrypted.
    #[arg(long, env = "TOLLGATE_OPERATOR_PLAINTEXT", value_name = "WHETHER")]
    #[arg(default_value = "refuse", help_heading = "Listeners")]
    #[arg(value_parser = choice::OPERATOR_PLAINTEXT.parser())]
    pub operator_plaintext: OperatorPlaintext,

    /// Address of `/livez`, `/readyz`, `/metrics` and `/status`.
    #[arg(long, env = "TOLLGATE_ADMIN_LISTEN", value_name = "ADDR")]
    #[arg(default_value = "127.0.0.1:7602", help_heading = "Listeners")]
    #[arg(value_parser = value::address)]
    pub admin_listen: SocketAddr,

    /// How many connections each listener has at once, fewer if the process may not open as many
    /// files. Those beyond wait until one ends; idle ones end after two to four minutes.
    #[arg(long, env = "TOLLGATE_MAX_CONNECTIONS", value_name = "COUNT", default_value = "10000")]
    #[arg(help_heading = "Listeners")]
    pub max_connections: NonZeroUsize,

    /// The listeners' certificates.
    #[command(flatten)]
    pub tls: ListenersTls,

    /// How long a session that is begun with `POST /session` goes on at most.
    #[arg(long, env = "TOLLGATE_SESSION_LIFETIME", value_name = "DURATION", default_value = "12h")]
    #[arg(help_heading = "Listeners", value_parser = parse_duration)]
    pub session_lifetime: Duration,

    /// File with a token that acts as an admin key, for automation. `TOLLGATE_ADMIN_TOKEN` gives
    /// the token itself.
    #[arg(long, env = "TOLLGATE_ADMIN_TOKEN_FILE", value_name = "PATH")]
    #[arg(help_heading = "Listeners")]
    pub admin_token_file: Option<PathBuf>,

    /// The token itself. A variable only: a flag's value can be read in the process list.
    #[arg(skip = Secret::from_environment(ADMIN_TOKEN))]
    pub admin_token_variable: Option<Secret>,

    /// File with a key of 16 bytes or more, with which the newest link of every chain of the audit
    /// trail is signed each minute.
    #[arg(long, env = "TOLLGATE_AUDIT_KEY_FILE", value_name = "PATH", help_heading = "Audit")]
    pub audit_key_file: Option<PathBuf>,

    /// File to which what is signed is appended; without it, `audit-heads` in the data directory.
    #[arg(long, env = "TOLLGATE_AUDIT_HEADS", value_name = "PATH", help_heading = "Audit")]
    #[arg(requires = "audit_key_file")]
    pub audit_heads: Option<PathBuf>,

    /// How long entries of the audit trail stay in the store, such as `400d`, or `off` for ever.
    /// What is older is appended to the archive first.
    #[arg(long, env = "TOLLGATE_AUDIT_RETENTION", value_name = "DURATION|off")]
    #[arg(default_value = "off", value_parser = value::span_or_off, help_heading = "Audit")]
    pub audit_retention: OrOff<Span>,

    /// Directory of the archive; without it, `audit-archive` in the data directory.
    #[arg(long, env = "TOLLGATE_AUDIT_ARCHIVE", value_name = "DIR", help_heading = "Audit")]
    pub audit_archive: Option<PathBuf>,

    /// What happens to a customer that the store does not know.
    #[arg(long, env = "TOLLGATE_UNKNOWN_CUSTOMERS", value_name = "ACTION", default_value = "deny")]
    #[arg(value_parser = choice::UNKNOWN_CUSTOMERS.parser(), help_heading = "Decisions")]
    pub unknown_customers: Unknown,

    /// What happens to a customer whose record cannot be had and whom the complete set of
    /// restricted customers does not name: `allow`, or `error` for an undecided answer.
    #[arg(long, env = "TOLLGATE_WHEN_UNLISTED", value_name = "ACTION", default_value = "allow")]
    #[arg(value_parser = choice::WHEN_UNLISTED.parser(), help_heading = "Decisions")]
    pub when_unlisted: Unlisted,

    /// What a gateway is told when there is no decision: `gateway` answers 503, so that its own
    /// failure mode decides.
    #[arg(long, env = "TOLLGATE_WHEN_UNDECIDED", value_name = "ACTION", default_value = "gateway")]
    #[arg(value_parser = choice::WHEN_UNDECIDED.parser(), help_heading = "Decisions")]
    pub when_undecided: WhenUndecided,

    /// How old the picture in memory may be before answers are marked stale and counted.
    #[arg(long, env = "TOLLGATE_MAX_STALENESS", value_name = "DURATION", default_value = "30s")]
    #[arg(value_parser = parse_duration, help_heading = "Decisions")]
    pub max_staleness: Duration,

    /// How old it may be and still let somebody in. Longer survives longer outages of the store;
    /// a customer known to be restricted is refused at any age.
    #[arg(long, env = "TOLLGATE_STALE_LIMIT", value_name = "DURATION", default_value = "1h")]
    #[arg(value_parser = parse_duration, help_heading = "Decisions")]
    pub stale_limit: Duration,

    /// How long a check may wait for the store when its customer is not in memory.
    #[arg(long, env = "TOLLGATE_FILL_TIMEOUT", value_name = "DURATION", default_value = "50ms")]
    #[arg(value_parser = parse_duration, help_heading = "Decisions")]
    pub fill_timeout: Duration,

    /// How old a limit's `used` may be and still tell whether there is room.
    #[arg(long, env = "TOLLGATE_MAX_USED_AGE", value_name = "DURATION", default_value = "5m")]
    #[arg(value_parser = parse_duration, help_heading = "Decisions")]
    pub max_used_age: Duration,

    /// File with the policy: routes, exemptions, shadow mode. It is read again when it changes and
    /// on SIGHUP; one that cannot be used is refused, and the one before it stays.
    #[arg(long, env = "TOLLGATE_POLICY", value_name = "FILE", help_heading = "Decisions")]
    pub policy: Option<PathBuf>,

    /// How a disabled customer's billing is shown: `active` goes on charging, `paused` does not.
    #[arg(long, env = "TOLLGATE_DISABLED_BILLING", value_name = "STATE", default_value = "active")]
    #[arg(value_parser = choice::DISABLED_BILLING.parser(), help_heading = "Decisions")]
    pub disabled_billing: DisabledBilling,

    /// Where the customer's id is: in a `header`, `metadata:NAMESPACE:PATH` for a claim that an
    /// Envoy filter verified (`metadata:envoy.filters.http.jwt_authn:jwt_payload.sub`; `\.` is a
    /// dot in a name), or `context:KEY` for one of its `context_extensions`. The last two are known
    /// to gRPC alone: whoever asks otherwise then names nobody.
    #[arg(long, env = "TOLLGATE_CUSTOMER_FROM", value_name = "PLACE", default_value = "header")]
    #[arg(help_heading = "Customers")]
    pub customer_from: CustomerFrom,

    /// Request header with the customer's id. The gateway must overwrite what clients send.
    #[arg(long, env = "TOLLGATE_CUSTOMER_HEADER", value_name = "NAME")]
    #[arg(default_value = "X-Customer-Id", help_heading = "Customers")]
    pub customer_header: HeaderName,

    /// Request header with the tenant, or `off`: checks then never read one. The gateway must
    /// overwrite what clients send.
    #[arg(long, env = "TOLLGATE_TENANT_HEADER", value_name = "NAME|off", default_value = "off")]
    #[arg(value_parser = value::header_or_off, help_heading = "Customers")]
    pub tenant_header: OrOff<HeaderName>,

    /// The tenant of requests that name none, or `off`: every request must then name one.
    #[arg(long, env = "TOLLGATE_DEFAULT_TENANT", value_name = "TENANT|off")]
    #[arg(default_value = "default", help_heading = "Customers")]
    #[arg(value_parser = value::tenant_or_off)]
    pub default_tenant: OrOff<TenantId>,

    /// Request header in which the gateway asks for an answer that stands on a revision at least,
    /// or `off`: none is then read. The gateway must overwrite what clients send.
    #[arg(long, env = "TOLLGATE_MIN_REVISION_HEADER", value_name = "NAME|off")]
    #[arg(default_value = "off", help_heading = "Customers")]
    #[arg(value_parser = value::header_or_off)]
    pub min_revision_header: OrOff<HeaderName>,

    /// Channel in Redis on which a billing system may publish a customer's status, or `off`. The
    /// streams of the same name with `:inbox` and `:dead` belong to it. Redis shares channels
    /// among its databases, so name it per environment.
    #[arg(long, env = "TOLLGATE_INGEST_CHANNEL", value_name = "NAME|off")]
    #[arg(default_value = "tollgate:customer-status", help_heading = "Ingest")]
    #[arg(value_parser = value::channel_or_off)]
    pub ingest_channel: OrOff<String>,

    /// The source that what is published there counts for. Nobody can publish for another one.
    #[arg(long, env = "TOLLGATE_INGEST_SOURCE", value_name = "NAME", default_value = "billing")]
    #[arg(value_parser = value::ingest_source, help_heading = "Ingest")]
    pub ingest_source: Source,

    /// How many of all customers one source may restrict within how long, or `off`. A source
    /// that would restrict more, and more than 20, is paused until somebody has looked.
    #[arg(long, env = "TOLLGATE_INGEST_GUARD", value_name = "SHARE/DURATION|off")]
    #[arg(default_value = "1%/10m", help_heading = "Ingest")]
    #[arg(value_parser = value::guard_or_off)]
    pub ingest_guard: OrOff<IngestGuard>,

    /// How billing systems call back.
    #[command(flatten)]
    pub webhooks: Webhooks,

    /// How long requests in flight may take to finish once the process is asked to stop.
    #[arg(long, env = "TOLLGATE_GRACE", value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = parse_duration, help_heading = "Process")]
    pub grace: Duration,

    /// Threads that answer; as many as there are cores unless given.
    #[arg(long, env = "TOLLGATE_WORKERS", value_name = "COUNT", help_heading = "Process")]
    pub workers: Option<NonZeroUsize>,

    /// How log lines are written: `text` for people, `json` for machines.
    #[arg(long, env = "TOLLGATE_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    #[arg(value_parser = choice::LOG_FORMAT.parser(), help_heading = "Process")]
    pub log_format: LogFormat,

    /// Where decisions are written: `stdout` or `file:PATH`, a line of JSON each, `otlp`, a log
    /// record each to the collector of `--otlp-endpoint`, or `off`. All denies and all answers left
    /// undecided, and some of the allows.
    #[arg(long, env = "TOLLGATE_DECISION_LOG", value_name = "TARGET|off", default_value = "off")]
    #[arg(value_parser = value::decision_log_or_off, help_heading = "Decision log")]
    pub decision_log: OrOff<DecisionLogTarget>,

    /// One in so many allows is written; 0 for none.
    #[arg(long, env = "TOLLGATE_DECISION_LOG_ALLOWS", value_name = "COUNT", default_value = "100")]
    #[arg(help_heading = "Decision log")]
    pub decision_log_allows: u32,

    /// What is done when more decisions wait to be written than may: `drop` counts and forgets
    /// them, `block` lets checks wait.
    #[arg(long, env = "TOLLGATE_DECISION_LOG_OVERFLOW", value_name = "ACTION")]
    #[arg(value_parser = choice::DECISION_LOG_OVERFLOW.parser(), default_value = "drop")]
    #[arg(help_heading = "Decision log")]
    pub decision_log_overflow: Overflow,

    /// What is left out of the lines: any of `customer`, `tenant`, `route` and `entitlement`.
    #[arg(long, env = "TOLLGATE_DECISION_LOG_MASK", value_name = "FIELD,...")]
    #[arg(value_parser = value::masked, value_delimiter = ',', help_heading = "Decision log")]
    pub decision_log_mask: Vec<Masked>,

    /// Collector that traces are sent to, and the decision log if it is to go there, over OTLP with
    /// gRPC, as in `http://127.0.0.1:4317`; no traces are made without it.
    #[arg(long, env = "TOLLGATE_OTLP_ENDPOINT", value_name = "URL", help_heading = "Traces")]
    #[arg(value_parser = BaseUrl::parse)]
    pub otlp_endpoint: Option<BaseUrl>,

    /// How many of the checks and requests whose caller says nothing of a trace begin one. Those
    /// whose caller does are traced when it says so.
    #[arg(long, env = "TOLLGATE_OTLP_SHARE", value_name = "PERCENT", default_value = "1%")]
    #[arg(value_parser = value::share, help_heading = "Traces")]
    pub otlp_share: Share,

    /// What is logged: a level, or levels by module as in `info,tollgate::feed=debug`.
    #[arg(long, env = "TOLLGATE_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    #[arg(value_parser = log_level, help_heading = "Process")]
    pub log_level: String,
}

impl Config {
    /// The policy file's name, for people.
    #[must_use]
    pub fn policy_shown(&self) -> Option<String> {
        self.policy.as_ref().map(|path| path.display().to_string())
    }

    /// What shapes decisions where the policy file says nothing.
    #[must_use]
    pub fn decisions(&self) -> Policy {
        Policy {
            unknown_customers: self.unknown_customers,
            when_unlisted: self.when_unlisted,
            when_undecided: self.when_undecided,
            max_used_age: self.max_used_age,
            ..Policy::default()
        }
    }

    /// Whether anybody acts on customers through this instance, so that it has to write.
    #[must_use]
    pub fn is_acted_on(&self) -> bool {
        self.operator_listen.on().is_some() || self.webhooks.webhook_listen.on().is_some()
    }

    /// How many customers a source may restrict.
    #[must_use]
    pub fn guard_rule(&self) -> Option<GuardRule> {
        self.ingest_guard.on().map(|guard| guard.rule())
    }

    /// The admin token, from the variable or the file.
    pub fn admin_token(&self) -> Result<Option<Secret>, ConfigError> {
        let token = match (&self.admin_token_variable, &self.admin_token_file) {
            (Some(_), Some(_)) => return Err(ConfigError::AdminTokenTwice),
            (Some(token), None) => Some(token.clone()),
            (None, Some(path)) => Some(Secret::from_file("--admin-token-file", path)?),
            (None, None) => None,
        };
        match token {
            Some(short) if short.expose().len() < MIN_ADMIN_TOKEN_BYTES => {
                Err(ConfigError::AdminTokenShort(MIN_ADMIN_TOKEN_BYTES))
            }
            token => Ok(token),
        }
    }

    /// The key that signs the audit trail, if it is signed.
    pub fn audit_key(&self) -> Result<Option<Secret>, ConfigError> {
        let path = self.audit_key_file.as_deref();
        path.map(|path| Secret::audit_key("--audit-key-file", path)).transpose()
    }

    /// Where what is signed is appended.
    #[must_use]
    pub fn audit_heads(&self) -> PathBuf {
        self.audit_heads.clone().unwrap_or_else(|| self.data_dir.join(AUDIT_HEADS))
    }

    /// Where old entries of the audit trail are appended.
    #[must_use]
    pub fn audit_archive(&self) -> PathBuf {
        self.audit_archive.clone().unwrap_or_else(|| self.data_dir.join(AUDIT_ARCHIVE))
    }

    /// Where the snapshot file is, if there is one.
    #[must_use]
    pub fn snapshot_file(&self) -> Option<PathBuf> {
        match (&self.snapshot_file, &self.store) {
            (Some(given), _) => given.on().cloned(),
            (None, StoreUrl::Redis(_)) => Some(self.data_dir.join(SNAPSHOT_FILE)),
            (None, StoreUrl::File(_) | StoreUrl::Memory) => None,
        }
    }

    /// The token for `--boot-from`, from its file as it is now.
    pub fn boot_token(&self) -> Result<Option<Secret>, ConfigError> {
        let path = self.boot_token_file.as_deref();
        path.map(|path| Secret::from_file("--boot-token-file", path)).transpose()
    }
}

fn log_level(raw: &str) -> Result<String, telemetry::TelemetryError> {
    telemetry::log_filter(raw).map(|_| raw.to_owned())
}

const AUDIT_ARCHIVE: &str = "audit-archive";
const AUDIT_HEADS: &str = "audit-heads";
const SNAPSHOT_FILE: &str = "snapshot";
const ADMIN_TOKEN: &str = "TOLLGATE_ADMIN_TOKEN";
/// Shorter ones can be guessed.
const MIN_ADMIN_TOKEN_BYTES: usize = 16;

#[cfg(test)]
mod tests;
