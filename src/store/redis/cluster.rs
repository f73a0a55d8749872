//! A cluster: which of its nodes serves which partition now, and what its answers say about that.
//!
//! Not the library's cluster connection: it may send two commands over two sockets, so that what
//! a reply says of the pushes before it would prove nothing, and it resubscribes without a word.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use redis::{
    PushInfo, RedisError, Value,
    aio::{AsyncPushSender, MultiplexedConnection, SendError},
};

use super::{
    connection::{self, address, client},
    refusal::store_error,
    settings::{Login, Server, Settings, Tls},
    slots::{self, Slot, SlotMap},
};
use crate::{
    domain::Partition,
    store::{Concern, Refusal, StoreError},
};

/// A cluster, and what is known of it.
#[derive(Debug)]
pub(super) struct Cluster {
    seeds: Vec<Server>,
    login: Login,
    tls: Option<Tls>,
    known: Mutex<Known>,
    /// Held while the nodes are asked, so that whoever needs to know waits for one answer.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    map: SlotMap,
    /// How often the nodes were asked.
    looks: u64,
    /// Masters that could not be spoken to since.
    doubted: BTreeSet<Server>,
    /// Slots that were on their way to another node when they were last asked about.
    moving: BTreeSet<Slot>,
}

/// Where else to ask.
#[derive(Debug)]
pub(super) enum Redirect {
    /// There, just this once: the slot is on its way there.
    Asking(Server),
    /// There, from now on.
    Moved(Server),
}

/// What tells two answers apart: a node that knows a later epoch has heard of later changes, and
/// one that is cut off from the others knows of none.
type Rank = (bool, u64);

impl Cluster {
    pub(super) fn new(seeds: &[Server], settings: &Settings) -> Self {
        Self {
            seeds: seeds.to_vec(),
            login: settings.login.clone(),
            tls: settings.tls.clone(),
            known: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// The master of `slot`, as far as is known.
    pub(super) async fn node_of(&self, slot: Slot) -> Result<Server, StoreError> {
        if let Some(master) = self.known.lock().undoubted_master_of(slot) {
            return Ok(master.clone());
        }
        self.look().await?;
        let master = self.known.lock().map.master_of(slot).cloned();
        let unserved = || format!("no node of the cluster serves slot {}", slot.0);
        master.ok_or_else(|| StoreError::Unreachable(unserved()))
    }

    /// Every master, as the nodes say now.
    pub(super) async fn masters(&self) -> Result<Vec<Server>, StoreError> {
        self.look().await?;
        Ok(self.known.lock().map.masters())
    }

    /// Asks where `partitions` are now, and groups them by their masters.
    pub(super) async fn by_node(
        &self,
        partitions: &[Partition],
    ) -> Result<Vec<Vec<Partition>>, StoreError> {
        self.look().await?;
        let mut groups = std::collections::BTreeMap::<_, Vec<Partition>>::new();
        let mut known = self.known.lock();
        for partition in partitions {
            let slot = Slot::from(*partition);
            let master = known.map.master_of(slot).cloned();
            // One that cannot be followed now would end the session of the others with its own.
            let is_apart = known.moving.remove(&slot) || master.is_none();
            let apart = is_apart.then_some(*partition);
            groups.entry((master, apart)).or_default().push(*partition);
        }
        Ok(groups.into_values().collect())
    }

    /// Connects to one node, whatever it is.
    pub(super) async fn connect(
        &self,
        server: &Server,
        pushes: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, StoreError> {
        let tls = self.tls.as_ref();
        let client = client(address(server, tls), &self.login, 0, tls)?;
        connection::connect(&client, pushes).await
    }

    /// Takes note that `master` cannot be spoken to.
    pub(super) fn doubt(&self, master: &Server) {
        self.known.lock().doubted.insert(master.clone());
    }

    /// Where else to ask what was refused with `error`.
    pub(super) fn redirect(&self, slot: Slot, error: &RedisError) -> Option<Redirect> {
        let (place, _) = error.redirect_node()?;
        let (host, port) = place.rsplit_once(':')?;
        let mut known = self.known.lock();
        // A place without a host is on the host that was asked.
        let server = slots::server(host, port.parse().ok()?, known.map.master_of(slot)?)?;
        if error.code() == Some("ASK") {
            return Some(Redirect::Asking(server));
        }
        known.map.learn(slot, server.clone());
        Some(Redirect::Moved(server))
    }

    /// What an answer about `slot` means.
    pub(super) fn error(&self, slot: Slot, error: &RedisError) -> StoreError {
        match error.code() {
            Some("MOVED" | "READONLY") => {
                // The errors of a pipeline do not say where else to ask.
                if self.redirect(slot, error).is_none() {
                    self.known.lock().doubt_master_of(slot);
                }
                StoreError::Moved(error.to_string())
            }
            Some("ASK" | "TRYAGAIN") => {
                self.known.lock().moving.insert(slot);
                StoreError::Moved(error.to_string())
            }
            Some("CLUSTERDOWN" | "CROSSSLOT") => StoreError::Unreachable(error.to_string()),
            _ => store_error(error),
        }
    }

    /// Asks the nodes who serves what. Whoever comes while they are asked waits for that answer.
    async fn look(&self) -> Result<(), StoreError> {
        let before = self.known.lock().looks;
        let _turn = self.looking.lock().await;
        if self.known.lock().looks != before {
            return Ok(());
        }
        let map = self.newest_map().await?;
        let mut known = self.known.lock();
        known.map = map;
        known.looks += 1;
        known.doubted.clear();
        Ok(())
    }

    /// Asks some nodes at once, and takes the word of the one that has heard the most.
    async fn newest_map(&self) -> Result<SlotMap, StoreError> {
        let places = self.places();
        let mut asked: FuturesUnordered<_> =
            places.iter().take(ASKED_AT_ONCE).map(|server| self.map_of(server)).collect();
        let mut newest: Option<(Rank, SlotMap)> = None;
        let mut refused = None;
        let mut patience = LOOK_TIMEOUT;
        let mut error = StoreError::Unreachable("no node of the cluster answers".to_owned());
        while let Ok(Some(answer)) = tokio::time::timeout(patience, asked.next()).await {
            match answer {
                Ok((rank, map)) => {
                    patience = GRACE;
                    if newest.as_ref().is_none_or(|(newest, _)| rank > *newest) {
                        newest = Some((rank, map));
                    }
                }
                Err(refusal @ StoreError::Refused(_)) => refused = Some(refusal),
                Err(failure) => error = failure,
            }
        }
        newest.map(|(_, map)| map).ok_or_else(|| refused.unwrap_or(error))
    }

    /// Which nodes may be asked, in any order, those that cannot be spoken to last.
    fn places(&self) -> Vec<Server> {
        let known = self.known.lock();
        let places: BTreeSet<_> = known.map.nodes().iter().chain(&self.seeds).cloned().collect();
        let mut places: Vec<_> = places.into_iter().collect();
        fastrand::shuffle(&mut places);
        places.sort_by_key(|server| known.doubted.contains(server));
        places
    }

    /// What one node says.
    async fn map_of(&self, server: &Server) -> Result<(Rank, SlotMap), StoreError> {
        let deaf = |_: PushInfo| Ok::<(), SendError>(());
        let mut connection = self.connect(server, deaf).await?;
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        pipeline.cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("INFO");
        let answered = pipeline.query_async(&mut connection).await;
        let (slots, info): (Answered<Value>, Answered<String>) =
            answered.map_err(|error| store_error(&error))?;
        let slots = slots.map_err(|error| {
            if error.to_string().contains("cluster support disabled") {
                let why = format!("{server} is no node of a cluster");
                return Refusal { about: Concern::Topology, why }.into();
            }
            store_error(&error)
        })?;
        // Who may not ask for it takes any answer for as good as any other.
        let rank = rank(&info.unwrap_or_default());
        Ok((rank, SlotMap::read(&slots, server)?))
    }
}

impl Known {
    fn undoubted_master_of(&self, slot: Slot) -> Option<&Server> {
        self.map.master_of(slot).filter(|master| !self.doubted.contains(*master))
    }

    fn doubt_master_of(&mut self, slot: Slot) {
        self.doubted.extend(self.map.master_of(slot).cloned());
    }
}

type Answered<T> = Result<T, RedisError>;

fn rank(info: &str) -> Rank {
    let field = |name: &str| {
        let mut fields = info.lines().filter_map(|line| line.trim().split_once(':'));
        fields.find(|(found, _)| *found == name).map(|(_, value)| value)
    };
    let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.parse().ok());
    (field("cluster_state") == Some("ok"), epoch.unwrap_or_default())
}

/// More would not know more, and every instance asks when a node fails.
const ASKED_AT_ONCE: usize = 3;
/// As long as a hung node may take to be given up.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer the others may take once one has answered.
const GRACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_node_that_has_heard_more_counts_more() {
        let cut_off = rank("cluster_state:fail\r\ncluster_current_epoch:9\r\n");
        let old = rank("cluster_state:ok\r\ncluster_current_epoch:3\r\n");
        let new = rank("cluster_enabled:1\r\ncluster_state:ok\r\ncluster_current_epoch:4\r\n");
        assert!(rank("") < cut_off && cut_off < old && old < new);
    }
}
