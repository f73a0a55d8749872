//! What an instance that may write does without being asked.

use tokio_util::sync::CancellationToken;

use super::{ServeError, store::watch_eviction};
use crate::{
    config::{Config, OnStoreLoss},
    control::{Control, key_use::KeyUses, tenure::Tenure},
    feed::random_epoch,
    http::IngestView,
    ingest::Ingest,
    lifecycle::Tasks,
    recovery::Recovery,
    store::{Lease, Store},
    sweep::Sweep,
    trail::{heads::Heads, retention::Retention},
    unresolved::Resolver,
};

/// The parts of it, before they run.
pub(super) struct Background {
    tenure: Tenure,
    ingest: Option<Ingest>,
    recovery: Option<Recovery>,
    sweep: Sweep,
    resolver: Resolver,
    heads: Option<Heads>,
    retention: Option<Retention>,
}

impl Background {
    pub(super) fn build(config: &Config, control: &Control) -> Result<Self, ServeError> {
        let store = &control.store;
        let tenure = Tenure::new(store.clone(), Lease::Ingest, control.clock.clone())?;
        let channel = config.ingest_channel.on();
        let ingest =
            channel.and_then(|channel| store.foreign_writers(channel)).map(|writers| Ingest {
                control: control.clone(),
                tenure: tenure.clone(),
                writers,
                source: config.ingest_source.clone(),
                default_tenant: config.default_tenant.on().cloned(),
            });
        // A store in this process forgets nothing, and one that is believed always is right.
        let is_own = matches!(store, Store::Embedded(_));
        let recovery = if !is_own && config.on_store_loss == OnStoreLoss::Keep {
            Some(Recovery { control: control.clone(), holder: random_epoch()?.to_string() })
        } else {
            None
        };
        let sweep = Sweep { control: control.clone(), tenure: tenure.clone() };
        let resolver = Resolver { control: control.clone(), tenure: tenure.clone() };
        let heads = config.audit_key()?.map(|key| Heads {
            control: control.clone(),
            tenure: tenure.clone(),
            key: key.expose().as_bytes().to_vec(),
            file: config.audit_heads(),
        });
        let retention = config.audit_retention.on().map(|keep| Retention {
            control: control.clone(),
            tenure: tenure.clone(),
            keep: keep.0,
            archive: config.audit_archive(),
        });
        Ok(Self { tenure, ingest, recovery, sweep, resolver, heads, retention })
    }

    /// What operators are shown of it.
    pub(super) fn view(&self, config: &Config) -> IngestView {
        IngestView {
            writers: self.ingest.as_ref().map(|ingest| ingest.writers.clone()),
            source: config.ingest_source.clone(),
            tenure: self.tenure.clone(),
        }
    }

    /// Lets it run, until `draining`.
    pub(super) fn spawn(self, tasks: &mut Tasks, draining: CancellationToken) {
        let Self { tenure, ingest, recovery, sweep, resolver, heads, retention } = self;
        let control = sweep.control.clone();
        let may_write = {
            let control = control.clone();
            move || control.may_write()
        };
        let key_uses_until = draining.clone();
        tasks.spawn("lease", async move {
            draining.run_until_cancelled(tenure.keep(may_write)).await;
            tenure.give_back().await;
        });
        if let Some(ingest) = ingest {
            tasks.spawn_endless("ingest", ingest.run());
        }
        if let Some(recovery) = recovery {
            tasks.spawn_endless("recovery", recovery.run());
        }
        if matches!(control.store, Store::Redis(_)) {
            let (store, metrics) = (control.store.clone(), control.metrics.clone());
            tasks.spawn_endless("eviction watch", watch_eviction(store, metrics));
        }
        tasks.spawn_endless("sweep", sweep.run());
        tasks.spawn_endless("unresolved", resolver.run());
        let mut key_uses = KeyUses::new(control);
        tasks.spawn("key uses", async move {
            key_uses_until.run_until_cancelled(key_uses.keep()).await;
            key_uses.tell().await;
        });
        if let Some(heads) = heads {
            tasks.spawn_endless("heads", heads.run());
        }
        if let Some(retention) = retention {
            tasks.spawn_endless("retention", retention.run());
        }
    }
}
