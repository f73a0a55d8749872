//! Tries again what billing systems said of customers that nobody knew: when a customer appears or
//! gets an alias, when a paused source may go on, and now and then. By whoever holds the lease.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use tokio::{sync::watch, time::sleep};

use crate::{
    control::{
        ActError, Control,
        foreign::{Heard, unresolved::Unresolved},
        tenure::Tenure,
    },
    domain::Source,
    feed::changes,
    telemetry::{Label as _, WebhookResult, WebhookSource, event::WebhookTurnedAway},
};

/// Tries them again.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// Performs the acts, and hears of changes.
    pub control: Control,
    /// Tells whether this instance does.
    pub tenure: Tenure,
}

impl Resolver {
    /// Tries for ever, from when the lease was taken on.
    pub async fn run(self) -> Infallible {
        let control = &self.control;
        loop {
            self.tenure.begins().await;
            let mut news = News::of(control);
            let mut guard = control.guard.changes();
            while self.tenure.holds() {
                let begun = control.clock.moment();
                if let Err(error) = self.once().await {
                    tracing::debug!(%error, "What waits for its customer was not tried: {error}");
                }
                let took = control.clock.moment().saturating_since(begun);
                // However many wait and however often customers change, this is the smaller part of
                // what the store does.
                tokio::select! {
                    () = self.tenure.ends() => break,
                    () = sleep(EVERY.max(took * 20)) => {}
                    () = async {
                        sleep(SOON.max(took * 10)).await;
                        tokio::select! {
                            () = news.wait() => {}
                            _ = guard.changed() => {}
                        }
                    } => {}
                }
            }
            control.metrics.webhooks_unresolved.set(0);
        }
    }

    /// Tries all that wait, in the order in which they were sent.
    async fn once(&self) -> Result<(), ActError> {
        let mut waiting: Vec<(String, Unresolved)> = Vec::new();
        let (mut after, mut unreadable) = (None, 0);
        loop {
            let page = self.control.unresolved(after.as_deref(), READ_AT_ONCE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (id, found) in page {
                match found {
                    Some(found) => waiting.push((id, found)),
                    None => unreadable += 1,
                }
            }
        }
        waiting.sort_by_key(|(_, waiting)| waiting.at());
        let mut left = waiting.len() as u64 + unreadable;
        let mut strangers = HashSet::new();
        for (id, waiting) in waiting {
            if !self.tenure.holds() {
                return Ok(());
            }
            let whose = (waiting.tenant.clone(), waiting.source.clone(), waiting.customer.clone());
            if strangers.contains(&whose) {
                continue;
            }
            let statement = waiting.statement();
            let request = statement.by_webhook(&waiting.source, waiting.address.clone());
            match self.control.hear(&request, &statement).await {
                Heard::Unresolved => {
                    strangers.insert(whose);
                    continue;
                }
                Heard::Waits(ActError::SourcePaused { .. }) => continue,
                Heard::Waits(error) => return Err(error),
                Heard::Applied | Heard::Outdated | Heard::Repeated | Heard::Unchanged => {
                    self.count(&waiting.source);
                }
                Heard::Refused(why) => {
                    if let Some(source) = webhook_source(&waiting.source) {
                        let result = WebhookResult::Refused;
                        WebhookTurnedAway { source, result, why }.emit(&self.control.metrics);
                    }
                }
            }
            self.control.store.remove_unresolved(&id).await?;
            left -= 1;
        }
        self.control.metrics.webhooks_unresolved.set(left);
        Ok(())
    }

    fn count(&self, source: &Source) {
        if let Some(source) = webhook_source(source) {
            self.control.metrics.webhook(source, WebhookResult::Resolved);
        }
    }
}

fn webhook_source(source: &Source) -> Option<WebhookSource> {
    WebhookSource::ALL.iter().copied().find(|known| known.as_str() == source.as_str())
}

/// What happens to customers, as far as it may tell who is meant.
struct News<'a> {
    control: &'a Control,
    heard: watch::Receiver<u64>,
    place: u64,
}

impl<'a> News<'a> {
    fn of(control: &'a Control) -> Self {
        let heard = control.changes.listen();
        let place = *heard.borrow();
        Self { control, heard, place }
    }

    /// Waits until a customer appears, or its record becomes another.
    async fn wait(&mut self) {
        loop {
            let Ok((news, end)) = self.control.changes.since(self.place) else {
                self.place = *self.heard.borrow_and_update();
                return;
            };
            self.place = end;
            let may_tell = |news: &changes::News| {
                news.customer().is_none_or(|changed| changed.entitlements_changed)
            };
            if news.iter().any(may_tell) {
                return;
            }
            // The sender lives as long as the control does.
            let _ = self.heard.changed().await;
        }
    }
}

/// An event may come to wait just when its customer has appeared.
const EVERY: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(100);
const READ_AT_ONCE: usize = 500;
