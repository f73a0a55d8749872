//! The channel: heard by every instance that may write, applied by the one that holds the lease,
//! in order of arrival. The others keep the last seconds, for the case that they take over.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::atomic::Ordering,
    time::Duration,
};

use super::{Arrival, Ingest, Outcome};
use crate::{
    clock::Moment,
    control::foreign::message,
    domain::{CustomerKey, Partition, Timestamp},
    store::{Listening, StoreError},
    telemetry::{
        Via,
        event::{IngestListening, IngestTrouble, MessagesLost},
    },
};

/// Listens for ever.
pub(super) async fn follow(ingest: &Ingest) -> Infallible {
    let mut kept = Kept::default();
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match ingest.writers.listen().await {
            Ok(listening) => {
                pause = FIRST_PAUSE;
                let channel = ingest.writers.channel();
                IngestListening { channel }.emit(&ingest.control.metrics);
                hear(ingest, listening, &mut kept).await
            }
            Err(error) => error,
        };
        IngestTrouble { via: Via::Channel, error }.emit(&ingest.control.metrics);
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Hears messages until the subscription ends, and says why.
async fn hear(ingest: &Ingest, mut listening: Listening, kept: &mut Kept) -> StoreError {
    let mut feed = ingest.control.feed.clone();
    let mut was_connected = feed.borrow_and_update().of(HOME).connected;
    loop {
        let holds = ingest.tenure.holds();
        tokio::select! {
            message = listening.messages.recv() => {
                let Some(text) = message else {
                    return StoreError::Unreachable("the subscription ended".to_owned());
                };
                kept.push(ingest, text);
            }
            () = ingest.tenure.begins(), if !holds => {}
            () = tokio::time::sleep(TRIED_AGAIN_AFTER), if holds && !kept.messages.is_empty() => {}
            Ok(()) = feed.changed() => {
                let connected = feed.borrow_and_update().of(HOME).connected;
                // The feed is on a new connection, perhaps to another server, and notices a dead
                // one much sooner than a subscription does. What is heard twice counts once.
                if connected && !std::mem::replace(&mut was_connected, connected) {
                    match ingest.writers.listen().await {
                        Ok(newer) => {
                            let mut older = std::mem::replace(&mut listening, newer);
                            while let Ok(text) = older.messages.try_recv() {
                                kept.push(ingest, text);
                            }
                        }
                        Err(error) => return error,
                    }
                }
                was_connected = connected;
            }
        }
        let overflow = listening.overflow.swap(0, Ordering::Relaxed);
        if overflow > 0 {
            MessagesLost { count: overflow }.emit(&ingest.control.metrics);
        }
        kept.apply(ingest).await;
    }
}

/// What was heard lately and is not applied, in order of arrival.
#[derive(Debug, Default)]
struct Kept {
    messages: VecDeque<Heard>,
}

#[derive(Debug)]
struct Heard {
    text: Vec<u8>,
    moment: Moment,
    at: Timestamp,
    /// Whether it was heard while this instance held the lease, or nobody else has applied it.
    is_ours: bool,
    /// Whether this instance has tried to apply it.
    was_tried: bool,
}

impl Kept {
    fn push(&mut self, ingest: &Ingest, mut text: Vec<u8>) {
        // What is longer is refused, however long it is.
        text.truncate(message::BYTES_AT_MOST + 1);
        text.shrink_to_fit();
        let clock = &ingest.control.clock;
        let (moment, at) = (clock.moment(), clock.now());
        let is_ours = ingest.tenure.holds();
        self.messages.push_back(Heard { text, moment, at, is_ours, was_tried: false });
    }

    /// Applies what is kept, if that is for this instance to do.
    async fn apply(&mut self, ingest: &Ingest) {
        self.forget_old(ingest);
        if ingest.tenure.holds() && self.messages.iter().any(|heard| !heard.is_ours) {
            self.leave_out_applied(ingest).await;
        }
        while ingest.tenure.holds()
            && let Some(heard) = self.messages.front_mut()
        {
            heard.was_tried = true;
            match ingest.settle(&heard.text, Arrival::Published(heard.at)).await {
                Outcome::Settled(_) | Outcome::Unusable(..) => {}
                // The inbox loses nothing, and is applied in order of `at`.
                Outcome::Waits(_) => {
                    if let Err(error) = ingest.writers.append(&heard.text, heard.at).await {
                        IngestTrouble { via: Via::Inbox, error }.emit(&ingest.control.metrics);
                        return;
                    }
                }
            }
            self.messages.pop_front();
        }
        if !ingest.tenure.holds() {
            self.messages.iter_mut().for_each(|heard| heard.is_ours = false);
        }
    }

    fn forget_old(&mut self, ingest: &Ingest) {
        let now = ingest.control.clock.moment();
        let mut lost = 0;
        while let Some(heard) = self.messages.front()
            && (now.saturating_since(heard.moment) > KEPT_FOR || self.messages.len() > KEPT_AT_MOST)
        {
            lost += u64::from(heard.was_tried);
            self.messages.pop_front();
        }
        if lost > 0 {
            MessagesLost { count: lost }.emit(&ingest.control.metrics);
        }
    }

    /// Leaves out what the holder before had applied, as the records tell: each remembers the
    /// last message of the source. What came before that one was judged before it.
    async fn leave_out_applied(&mut self, ingest: &Ingest) {
        let mut of_customer = HashMap::<_, Vec<_>>::new();
        let mut meant = HashMap::new();
        for (place, heard) in self.messages.iter().enumerate() {
            let Ok((message, tenant)) = ingest.read(&heard.text) else { continue };
            let id = Arrival::Published(heard.at).postmark(&message).id;
            let named = CustomerKey::new(&tenant, &message.customer);
            let customer = match meant.get(&named).cloned() {
                Some(customer) => customer,
                None => ingest.customer_meant(&tenant, &message).await.ok(),
            };
            meant.insert(named, customer.clone());
            if let Some(customer) = customer {
                of_customer.entry(customer).or_default().push((place, id));
            }
        }
        let mut applied = vec![false; self.messages.len()];
        for (customer, heard) in of_customer {
            let Ok(Some(known)) = ingest.control.customer(&customer).await else { continue };
            let last = known.record.body.last_messages.get(&ingest.source);
            let is_last = |(_, id): &(usize, _)| last.is_some_and(|last| last.is(id));
            let until = heard.iter().rposition(is_last).map_or(0, |last| last + 1);
            for (place, _) in heard.iter().take(until) {
                if let Some(applied) = applied.get_mut(*place) {
                    *applied = true;
                }
            }
        }
        let mut applied = applied.into_iter();
        self.messages.retain_mut(|heard| {
            heard.is_ours = true;
            applied.next() != Some(true)
        });
    }
}

/// The channel is heard where the lease is.
const HOME: Partition = Partition(0);
/// Longer than the lease can be nobody's.
const KEPT_FOR: Duration = Duration::from_secs(5);
const KEPT_AT_MOST: usize = 8192;
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(200);
const FIRST_PAUSE: Duration = Duration::from_millis(40);
const LAST_PAUSE: Duration = Duration::from_secs(5);
