//! Writes back acknowledged changes that the store forgot.
//!
//! A failover may lose the newest changes, though they were acknowledged and took effect. Whoever
//! heard them still knows them: the instances that may write do them again, in their order, one
//! instance at a time. Where somebody acted on the customer since, an operator decides.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use crate::{
    cache::Forgotten,
    control::{ActError, Control, Request},
    domain::{
        Action, Actor, CustomerKey, Partition, Placement, Postmark, Refusal, Revision, Role,
        Source, Subject, Timestamp, Token, Verb,
    },
    feed::machine::{FOLLOWING, LOG_PAGE},
    store::{Idempotency, Lease, StoreError, format::hex},
    telemetry::{
        ActDialect,
        event::{ChangeRecovered, ConflictListed},
    },
};

/// Writes back what the store forgot.
#[derive(Debug)]
pub struct Recovery {
    /// What it acts through.
    pub control: Control,
    /// What this instance calls itself to the others.
    pub holder: String,
}

impl Recovery {
    /// Looks after it for ever.
    pub async fn run(self) -> Infallible {
        loop {
            for partition in self.control.store.partitions().all() {
                if let Err(error) = self.write_back_all(partition).await {
                    tracing::debug!(%error, "What the store forgot is not written back yet");
                }
            }
            tokio::time::sleep(LOOK_AGAIN.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
        }
    }

    /// Writes back what is withheld in one partition, if nobody else does.
    async fn write_back_all(&self, partition: Partition) -> Result<(), ActError> {
        let store = &self.control.store;
        let mut later: Option<Later> = None;
        let mut tried = HashSet::new();
        while let Some(forgotten) = self.next(partition, &tried) {
            let lease = Lease::Recovery(partition);
            if !store.hold_lease(lease, &self.holder, LEASED_FOR).await? {
                return Ok(());
            }
            let of_this = later.take().filter(|later| later.common == forgotten.common);
            let later = later.insert(of_this.unwrap_or_else(|| Later::new(partition, &forgotten)));
            self.write_back(&forgotten, later).await?;
            tried.insert(forgotten.token.clone());
        }
        if !tried.is_empty() {
            store.release_lease(Lease::Recovery(partition), &self.holder).await?;
        }
        Ok(())
    }

    /// The oldest forgotten change that nobody has done anything about.
    fn next(
        &self,
        partition: Partition,
        tried: &HashSet<Token>,
    ) -> Option<std::sync::Arc<Forgotten>> {
        let withheld = self.control.cache.picture(partition)?.withheld.list();
        if self.control.feed.borrow().of(partition).phase != FOLLOWING {
            return None;
        }
        withheld.into_iter().find(|it| !it.in_conflict && !tried.contains(&it.token))
    }

    async fn write_back(&self, forgotten: &Forgotten, later: &mut Later) -> Result<(), ActError> {
        let key = &forgotten.change.key;
        let source = &forgotten.change.act.source;
        for _ in 0..TRIES {
            let current = self.control.customer(key).await?;
            let at = current.as_ref().map(|customer| customer.record.revision);
            later.look_up_to(&self.control, at.unwrap_or_default()).await?;
            if !later.is_whole {
                let why = "the log no longer tells what was done to the customer since";
                return self.list(forgotten, why).await;
            }
            let since = later.acts.get(&(key.clone(), source.clone()));
            match (since, forgotten.change.act.at) {
                (None, _) => {}
                // Messages have an order of their own, whatever that of their arrival.
                (Some(Some(theirs)), Some(ours)) if *theirs < ours => {}
                (Some(Some(_)), Some(_)) => return self.leave(forgotten).await,
                (Some(_), _) => {
                    let why = format!("{source} acted on the customer since");
                    return self.list(forgotten, &why).await;
                }
            }
            let expected = at.and_then(|at| self.control.token(forgotten.token.partition, at));
            let idempotency = Some(once(&forgotten.token));
            let request = Request { expected, idempotency, ..request() };
            match self.control.act(&request, key, &again(forgotten)).await {
                Ok(acted) => {
                    self.let_go(forgotten, acted.customer.record.revision).await;
                    let (customer, forgotten) = (key.clone(), forgotten.token.clone());
                    ChangeRecovered { customer, forgotten }.emit(&self.control.metrics);
                    return Ok(());
                }
                Err(ActError::Refused(Refusal::NotAtRevision)) => {}
                // A lift of nothing from nobody, or a message that a later one has replaced.
                Err(ActError::Refused(Refusal::CustomerUnknown | Refusal::MessageOutdated)) => {
                    return self.leave(forgotten).await;
                }
                Err(ActError::Refused(refusal)) => {
                    return self.list(forgotten, &refusal.to_string()).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.list(forgotten, "the customer was changed meanwhile, again and again").await
    }

    /// Lets go of what is written back once the feed has come past it. That is heard of, unless
    /// somebody else did it before this instance's picture was read.
    async fn let_go(&self, forgotten: &Forgotten, written: Revision) {
        let Control { cache, .. } = &self.control;
        let partition = forgotten.token.partition;
        if let Some(token) = self.control.token(partition, written)
            && cache.reaches(&token, HEARD_WITHIN).await
            && let Some(picture) = cache.picture(partition)
        {
            picture.withheld.let_go(&forgotten.token);
        }
    }

    /// Leaves as it is what would make no difference now.
    async fn leave(&self, forgotten: &Forgotten) -> Result<(), ActError> {
        let (token, customer) = (&forgotten.token, forgotten.change.key.to_string());
        self.control.drop_forgotten(&request(), token, customer, "forgotten_dropped").await
    }

    async fn list(&self, forgotten: &Forgotten, why: &str) -> Result<(), ActError> {
        self.control.list_conflict(&request(), forgotten, why).await?;
        let (customer, forgotten) = (forgotten.change.key.clone(), forgotten.token.clone());
        ConflictListed { customer, forgotten, why }.emit(&self.control.metrics);
        Ok(())
    }
}

/// Who was acted on, and by whom, in the history that stayed, after where the other one left it.
struct Later {
    partition: Partition,
    common: Revision,
    /// Where in the log to read on.
    from: String,
    looked_up_to: Revision,
    /// When the last of those messages was sent; nothing where one of the acts was no message.
    acts: HashMap<(CustomerKey, Source), Option<Timestamp>>,
    /// Whether the log reached back far enough.
    is_whole: bool,
}

impl Later {
    fn new(partition: Partition, forgotten: &Forgotten) -> Self {
        Self {
            partition,
            common: forgotten.common,
            from: forgotten.since.clone(),
            looked_up_to: Revision::default(),
            acts: HashMap::new(),
            is_whole: true,
        }
    }

    /// Reads the log up to `revision`, if that is after where the histories parted.
    async fn look_up_to(
        &mut self,
        control: &Control,
        revision: Revision,
    ) -> Result<(), StoreError> {
        while revision > self.common && self.looked_up_to < revision {
            let page = control.store.log(self.partition, &self.from, LOG_PAGE).await?;
            let first = page.first().map(|change| change.revision);
            let reaches_back =
                first.is_some_and(|first| first <= self.looked_up_to.max(self.common).next());
            let newest = page.last().map(|change| (change.revision, change.log_id.clone()));
            let Some((newest, log_id)) = newest.filter(|_| reaches_back) else {
                self.is_whole = false;
                return Ok(());
            };
            if newest <= self.looked_up_to {
                // The log has no more.
                return Ok(());
            }
            for change in page {
                if let Subject::Customer(changed) = change.subject
                    && change.revision > self.common
                    && changed.act.recovers.is_none()
                    && changed.act.is_of_status()
                {
                    let at = changed.act.at;
                    let latest = self.acts.entry((changed.key, changed.act.source)).or_insert(at);
                    *latest = latest.zip(at).map(|(latest, at)| latest.max(at));
                }
            }
            (self.looked_up_to, self.from) = (newest, log_id);
        }
        Ok(())
    }
}

/// The same act once more.
fn again(forgotten: &Forgotten) -> Action {
    let act = &forgotten.change.act;
    let placement = Placement {
        reason: act.reason,
        since: act.since,
        until: act.until,
        ..Placement::default()
    };
    Action {
        source: Some(act.source.clone()),
        placement,
        create: act.verb == Verb::Put || act.verb.places().is_some(),
        status: act.exact.then_some(act.kind),
        postmark: act.at.map(Postmark::forgotten),
        recovers: Some(forgotten.token.clone()),
        ..Action::of(act.verb)
    }
}

fn request() -> Request {
    let actor = Actor {
        name: "recovery".to_owned(),
        key_id: None,
        role: Role::Admin,
        tenant: None,
        source: None,
        address: None,
    };
    Request {
        actor,
        dialect: ActDialect::Recovery,
        request_id: None,
        expected: None,
        idempotency: None,
    }
}

/// Whoever writes it back first does so for all.
fn once(forgotten: &Token) -> Idempotency {
    let digest = hex(&Sha256::digest(format!("recovery {forgotten}")));
    Idempotency { key_digest: digest.clone(), body_digest: digest }
}

const LOOK_AGAIN: Duration = Duration::from_millis(200);
const LEASED_FOR: Duration = Duration::from_secs(5);
/// How long the feed may take to come past what was written.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
const TRIES: usize = 5;
