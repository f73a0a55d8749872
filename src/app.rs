//! The one place that builds everything: configuration in, running service out.

mod background;
mod boot;
mod certificates;
mod first_key;
pub mod formats;
mod listeners;
mod open_files;
mod policy;
mod ports;
mod signals;
mod store;
mod watched;
mod webhooks;

use std::{
    fs::DirBuilder, future::pending, os::unix::fs::DirBuilderExt as _, path::Path, time::Duration,
};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{runtime::Handle, sync::watch};
use tokio_util::sync::CancellationToken;

pub use self::ports::PortError;
use self::{
    background::Background,
    boot::{Boot, FirstAnswer},
    listeners::{Answering, Certificates},
    policy::PolicyFile,
    ports::Ports,
    signals::{Sending, Signals},
    webhooks::Webhooks,
};
use crate::{
    cache::{Cache, Comparing, Keeping, fleet::Fleet, guard::Guard, keyring::Keyring},
    clock::Clock,
    config::{self, Config, ConfigError, StoreCreate},
    control::{Control, keys::AdminToken},
    domain::Epoch,
    feed::{
        Acknowledged, Alarm, Creation, Feed, FeedStatus, Rights,
        changes::Changes,
        machine::OnLoss,
        snapshot_file::{Cadence, Journal, Keeper, Kept, Source},
    },
    gate::{self, Gate},
    http::{
        Admin, DataPlane, DisabledBilling, IngestView, OperatorPlane, Operators, PolicyShown,
        Sessions,
    },
    identify::IdentitySource,
    lifecycle::{Ended, EndedEarly, Hangups, Readiness, StillRunning, Tasks},
    policy::{InForce, InvalidPolicy, Rules},
    store::{Store, StoreError},
    telemetry::{self, Metrics, TelemetryError},
};

/// Serves until `stop` is done or a part of the service ends, then drains.
///
/// Ports are bound before anything is built, so that a taken one fails by name and at once.
pub async fn serve(config: Config, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let ports = Ports::bind(&config).await?;
    make_data_dir(&config.data_dir)?;
    let app = App::build(&config).await?;
    let mut tasks = Tasks::new(config.grace);
    let draining = tasks.draining();

    let (readiness, latch) = Readiness::new();
    let (boot, ready) = (app.boot, latch.clone());
    tasks.spawn_endless("boot", async move {
        boot.run(ready, app.first_answer).await;
        pending().await
    });
    if let Some(keeper) = app.keeper {
        tasks.spawn("snapshot", keeper.run(draining.clone()));
    }
    // Caught also where nothing is read again: it ends nobody.
    let _hangups = Hangups::caught();
    if let Some(file) = app.policy_file {
        tasks.spawn_endless("policy", file.keep_current());
    }
    tasks.spawn_endless("refresh", app.feed.cache.clone().keep_refreshing());
    tasks.spawn_endless("complete", app.feed.cache.clone().keep_complete());
    tasks.spawn_endless("compare", app.feed.cache.clone().keep_comparing(Comparing::default()));
    tasks.spawn_endless("feed", app.feed.run(latch));
    if let Some(background) = app.background {
        background.spawn(&mut tasks, draining.clone());
    }
    let sending: Sending = app.signals.start(&mut tasks);
    tasks.spawn("upkeep", upkeep(app.prometheus, draining));
    let drained = CancellationToken::new();
    let operators = app.answering.operators.operators.clone();
    let makes_first_key = app.makes_first_key && ports.operator_is_local;
    app.answering.spawn(ports, &readiness, &mut tasks, drained.clone());
    if makes_first_key {
        first_key::make(&operators, &config.data_dir).await?;
    }

    let ended = tasks.first_end_or(stop).await;
    // The gateway's endpoints stop sending first; then what is in flight is finished.
    readiness.withdraw();
    let finished = tasks.drain().await;
    // Nobody is answered any more, so nothing is missing at its end.
    sending.finish(config.grace).await;
    drained.cancel();
    finished?;
    Ok(Ended::into_result(ended)?)
}

/// Everything that serves, before it does.
struct App {
    feed: Feed,
    boot: Boot,
    first_answer: FirstAnswer,
    keeper: Option<Keeper>,
    policy_file: Option<PolicyFile>,
    answering: Answering,
    prometheus: PrometheusHandle,
    makes_first_key: bool,
    background: Option<Background>,
    signals: Signals,
}

impl App {
    async fn build(config: &Config) -> Result<Self, ServeError> {
        let prometheus = telemetry::install_metrics()?;
        let (clock, metrics) = (Clock::system(), Metrics::new());
        let certificates = Certificates::open(config, &metrics)?;
        let store = store::open(config, &clock)?;
        let is_own = matches!(store, Store::Embedded(_));
        let (keeping, timeout) = (keeping(config), config.fill_timeout);
        let cache = Cache::new(store.clone(), keeping, timeout, clock.clone(), metrics.clone());
        let keyring = Keyring::default();
        let source =
            Source { cache: cache.clone(), keyring: keyring.clone(), clock: clock.clone() };
        let boot = Boot::new(config, source.clone(), metrics.clone())?;
        boot.take_file().await;
        let first_answer = store::ask(&store, config, &boot).await?;
        let (keeper, journal, snapshot) = keep_snapshot(config, source, &metrics);
        let (status, feed_status) = watch::channel(FeedStatus::default());
        let (alarm, acknowledged) = (Alarm::default(), Acknowledged::default());
        let changes = Changes::default();
        let may_write = is_own || config.is_acted_on();
        let fleet = Fleet::new(clock.clone(), metrics.clone());
        let guard = Guard::new(config.guard_rule(), clock.clone(), metrics.clone());
        let feed = Feed {
            store: store.clone(),
            cache: cache.clone(),
            keyring: keyring.clone(),
            guard: may_write.then(|| guard.clone()),
            fleet: fleet.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            heartbeat: config.heartbeat,
            creation: creation(config, may_write),
            expect_epoch: config.expect_epoch.clone(),
            on_loss: on_loss(config),
            partitions: config.partitions,
            rights: if may_write { Rights::ReadWrite } else { Rights::ReadOnly },
            alarm: alarm.clone(),
            acknowledged: acknowledged.clone(),
            changes: changes.clone(),
            journal,
            status,
        };
        let signals = Signals::open(config, &metrics)?;
        let ruled = Ruled { cache: &cache, fleet: &fleet, clock: &clock, metrics: &metrics };
        let (gate, policy_file, policy_shown) = ruled.govern(config, &signals)?;
        let admin_token = config.admin_token()?;
        let control = Control {
            store,
            cache: cache.clone(),
            keyring,
            guard,
            fleet,
            feed: feed_status.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            alarm,
            acknowledged,
            changes,
        };
        let operators = Operators {
            control,
            admin: admin_token.as_ref().map(|token| AdminToken::new(token.expose())),
        };
        let plane = plane(config, &gate, &operators, &clock, &metrics)?;
        let webhooks = Webhooks::open(config, &operators.control, &gate)?;
        let admin = Admin {
            readiness: Readiness::new().0,
            cache,
            started: clock.moment(),
            clock,
            gate,
            feed: feed_status,
            metrics,
            runtime: Handle::current().metrics(),
            prometheus: prometheus.clone(),
            store: config.store.to_string(),
            policy: policy_shown.clone(),
            snapshot,
            booted_from: boot.booted_from(),
        };
        let background =
            may_write.then(|| Background::build(config, &operators.control)).transpose()?;
        let ingest = background.as_ref().map(|background| background.view(config));
        let shown = (plane.clone(), policy_shown);
        let operators = operator_plane(config, operators, shown, ingest)?;
        let answering = Answering { plane, operators, admin, webhooks, certificates };
        Ok(Self {
            feed,
            boot,
            first_answer,
            keeper,
            policy_file,
            answering,
            prometheus,
            makes_first_key: is_own && admin_token.is_none(),
            background,
            signals,
        })
    }
}

/// What the operator listener works with, and what it shows of the data plane and its policy.
fn operator_plane(
    config: &Config,
    operators: Operators,
    (plane, policy): (DataPlane, watch::Receiver<PolicyShown>),
    ingest: Option<IngestView>,
) -> Result<OperatorPlane, ServeError> {
    let encrypted = config.operator_tls()?.is_some();
    let sessions = Sessions { lifetime: config.session_lifetime, encrypted };
    let (readiness, draining) = (Readiness::new().0, CancellationToken::new());
    Ok(OperatorPlane { operators, plane, ingest, sessions, readiness, policy, draining })
}

/// Whether an empty store may be begun: never where only one that exists will do.
fn creation(config: &Config, may_write: bool) -> Creation {
    match config.store_create {
        StoreCreate::Auto if may_write && config.expect_epoch.is_none() => Creation::Auto,
        StoreCreate::Auto | StoreCreate::Never => Creation::Never,
    }
}

/// What is kept of customers. That there is none is not believed of a store that nobody would be
/// let in by either.
const fn keeping(config: &Config) -> Keeping {
    match config.cache {
        config::CacheKind::All => Keeping::All(config.stale_limit),
        config::CacheKind::Recent => Keeping::Recent(config.cache_capacity.get()),
    }
}

const fn on_loss(config: &Config) -> OnLoss {
    match config.on_store_loss {
        config::OnStoreLoss::Adopt => OnLoss::Adopt,
        config::OnStoreLoss::Keep => OnLoss::Keep,
    }
}

const fn disabled_billing(config: &Config) -> DisabledBilling {
    match config.disabled_billing {
        config::DisabledBilling::Active => DisabledBilling::Active,
        config::DisabledBilling::Paused => DisabledBilling::Paused,
    }
}

/// What the check listener works with.
fn plane(
    config: &Config,
    gate: &Gate,
    operators: &Operators,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<DataPlane, ServeError> {
    Ok(DataPlane {
        gate: gate.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        identity: identity_source(config)?,
        min_revision_header: config.min_revision_header.on().map(header_name).transpose()?,
        disabled_billing: disabled_billing(config),
        guard: (!config.check_open).then(|| operators.clone()),
    })
}

/// What a gate is made over.
struct Ruled<'a> {
    cache: &'a Cache,
    fleet: &'a Fleet,
    clock: &'a Clock,
    metrics: &'a Metrics,
}

impl Ruled<'_> {
    /// What decides, the policy file that it decides by, and what is told of that.
    fn govern(
        self,
        config: &Config,
        signals: &Signals,
    ) -> Result<(Gate, Option<PolicyFile>, watch::Receiver<PolicyShown>), ServeError> {
        let Self { cache, fleet, clock, metrics } = self;
        let rules = InForce::new(Rules::built_in(config.decisions()));
        let shown = PolicyShown { file: config.policy_shown(), refused: None };
        let (policy, policy_shown) = watch::channel(shown);
        let settings = gate::Settings {
            rules: rules.clone(),
            fleet: fleet.clone(),
            max_staleness: config.max_staleness,
            stale_limit: config.stale_limit,
            fill_timeout: config.fill_timeout,
            decision_log: signals.decision_log.clone(),
            traces: signals.traces.clone(),
        };
        let gate = Gate::new(cache.clone(), clock.clone(), metrics.clone(), settings);
        let file = config
            .policy
            .as_ref()
            .map(|path| PolicyFile::open(path, config.decisions(), rules, policy, metrics.clone()));
        Ok((gate, file.transpose()?, policy_shown))
    }
}

/// What keeps the snapshot file, if there is to be one: its task, the feed's end of it, and what
/// is told of it.
fn keep_snapshot(
    config: &Config,
    source: Source,
    metrics: &Metrics,
) -> (Option<Keeper>, Journal, Option<Kept>) {
    let Some(path) = config.snapshot_file() else { return (None, Journal::default(), None) };
    let (keeper, journal, kept) = Keeper::new(&path, source, metrics.clone(), Cadence::default());
    (Some(keeper), journal, Some(kept))
}

fn identity_source(config: &Config) -> Result<IdentitySource, ServeError> {
    Ok(IdentitySource {
        customer_from: config.customer_from.clone(),
        customer_header: header_name(&config.customer_header)?,
        tenant_header: config.tenant_header.on().map(header_name).transpose()?,
        default_tenant: config.default_tenant.on().cloned(),
    })
}

fn header_name(name: &config::HeaderName) -> Result<axum::http::HeaderName, ServeError> {
    axum::http::HeaderName::from_bytes(name.as_str().as_bytes())
        .map_err(|_| ServeError::HeaderName(name.as_str().to_owned()))
}

fn make_data_dir(path: &Path) -> Result<(), ServeError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| ServeError::DataDir { path: path.display().to_string(), source })
}

/// Drains the histograms, which otherwise grow by every sample until somebody scrapes.
async fn upkeep(prometheus: PrometheusHandle, draining: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    while draining.run_until_cancelled(every.tick()).await.is_some() {
        prometheus.run_upkeep();
    }
}

/// Why the service did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store is not the one that is expected.
    #[error("the store began with the epoch {found}, and --expect-epoch says {expected}")]
    AnotherStore {
        /// The epoch it began with.
        found: Epoch,
        /// The epoch it should have begun with.
        expected: Epoch,
    },
    /// A setting is impossible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be made.
    #[error("the data directory {path} (--data-dir) cannot be made")]
    DataDir {
        /// Which directory.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The decision log cannot be opened.
    #[error("the decision log {path} (--decision-log) cannot be opened")]
    DecisionLog {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The collector cannot be one.
    #[error("nothing can be sent to --otlp-endpoint: {0}")]
    Otlp(String),
    /// A part of the service ended.
    #[error(transparent)]
    Ended(#[from] EndedEarly),
    /// The first key was not made.
    #[error("the first operator key cannot be made")]
    FirstKey(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A header's name breaks the rule for header names.
    #[error("{0} is not a header name")]
    HeaderName(String),
    /// The policy file cannot be used.
    #[error("the policy {path} (--policy) cannot be used: {faults}")]
    Policy {
        /// Which file.
        path: String,
        /// What is wrong with it, line by line.
        faults: InvalidPolicy,
    },
    /// The policy file cannot be read.
    #[error("the policy {path} (--policy) cannot be read")]
    PolicyUnread {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A port is taken, or cannot be bound.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Something did not finish within the grace period.
    #[error(transparent)]
    StillRunning(#[from] StillRunning),
    /// The store cannot be opened.
    #[error("the store (--store) cannot be used")]
    Store(#[from] StoreError),
    /// The store answers, and says no.
    #[error("the store cannot be used; {0}")]
    StoreRefuses(&'static str, #[source] StoreError),
    /// The metrics recorder cannot be installed.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
}

#[cfg(test)]
mod tests;
