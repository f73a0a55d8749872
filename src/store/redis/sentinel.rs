//! The master that sentinels name, and the word that it is another one from now on.
//!
//! A master that was replaced by order goes on answering, and calls itself a master, until the
//! sentinels reach it with the news; one that is cut off from them does so for ever. Neither its
//! role nor one sentinel's word can be trusted alone: sentinels hear of a switch one after the
//! other. So every word is weighed by the number of its configuration, which each switch raises.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use redis::{
    Client, PushInfo, PushKind, RedisError,
    aio::{AsyncPushSender, MultiplexedConnection, SendError},
};
use tokio::{sync::Notify, task::JoinSet, time::timeout};

use super::{
    connection::{address, client, connect},
    refusal::store_error,
    role,
    settings::{Server, Servers, Settings},
};
use crate::store::{Concern, Refusal, StoreError, format::unexpected};

/// The sentinels that watch one master.
#[derive(Debug)]
pub(super) struct Sentinels {
    all: Vec<Sentinel>,
    /// What they call the master.
    name: String,
    /// How the master is spoken to.
    settings: Settings,
    known: Mutex<Known>,
    /// Rung when a newer word was heard.
    news: Notify,
    /// One for each sentinel, from the first connect on. Ended with this.
    watchers: Mutex<JoinSet<()>>,
}

#[derive(Clone, Debug)]
struct Sentinel {
    address: Server,
    client: Client,
}

/// A sentinel's word on where the master is.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Word {
    /// The number of the configuration that it is from.
    number: u64,
    master: Server,
}

impl Word {
    fn replaces(&self, older: &Self) -> bool {
        self.number > older.number && self.master != older.master
    }
}

/// The newest word that was heard, and who is connected to which master.
#[derive(Default)]
struct Known {
    word: Option<Word>,
    connected: Vec<(Server, Weak<dyn AsyncPushSender>)>,
}

impl Sentinels {
    /// Prepares to ask; nothing is sent yet.
    pub(super) fn new(settings: &Settings) -> Result<Self, StoreError> {
        let Servers::Sentinels { sentinels, login, master } = &settings.servers else {
            return Err(unexpected("settings without sentinels"));
        };
        let tls = settings.tls.as_ref();
        let sentinel = |server: &Server| {
            let client = client(address(server, tls), login, 0, tls)?;
            Ok(Sentinel { address: server.clone(), client })
        };
        Ok(Self {
            all: sentinels.iter().map(sentinel).collect::<Result<_, StoreError>>()?,
            name: master.clone(),
            settings: settings.clone(),
            known: Mutex::default(),
            news: Notify::new(),
            watchers: Mutex::default(),
        })
    }

    /// Asks one sentinel after the other, and connects to the first master that is one and is not
    /// known to be replaced.
    pub(super) async fn connect<P: AsyncPushSender>(
        self: &Arc<Self>,
        mut pushes: impl FnMut() -> P + Send,
    ) -> Result<MultiplexedConnection, StoreError> {
        self.watch();
        let mut asked: Vec<_> = self.all.iter().collect();
        fastrand::shuffle(&mut asked);
        let (mut tried, mut outdated, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for sentinel in asked {
            match self.ask_once(sentinel).await {
                Ok(word) if tried.contains(&word.master) => {}
                Ok(word) if self.knows_newer_than(&word) => outdated.push(word),
                Ok(word) => match self.connect_to(&word, pushes()).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) => {
                        tried.push(word.master);
                        failures.push(error);
                    }
                },
                Err(error) => failures.push(error),
            }
        }
        // Most know less than this instance, and nobody more: they were set up anew and count
        // from the beginning, or the only one that had switched is gone.
        let most = outdated.len() * 2 > self.all.len();
        if let Some(word) = outdated.into_iter().max_by_key(|word| word.number)
            && most
            && tried.is_empty()
        {
            self.known.lock().word = None;
            return self.connect_to(&word, pushes()).await;
        }
        Err(all_in_all(failures))
    }

    fn knows_newer_than(&self, word: &Word) -> bool {
        let known = self.known.lock();
        known.word.as_ref().is_some_and(|newest| newest.number > word.number)
    }

    async fn connect_to<P: AsyncPushSender>(
        &self,
        word: &Word,
        pushes: P,
    ) -> Result<MultiplexedConnection, StoreError> {
        let Settings { login, database, tls, .. } = &self.settings;
        let tls = tls.as_ref();
        let at_master = |error| whose(format_args!("the master {}", word.master), error);
        let client = client(address(&word.master, tls), login, *database, tls)?;
        let ear: Arc<dyn AsyncPushSender> = Arc::new(pushes);
        let told = Arc::downgrade(&ear);
        let connecting = connect(&client, move |push| ear.send(push));
        // One that hangs is not waited for when there is another.
        let connected = tokio::select! {
            connected = connecting => connected,
            () = self.hears_of_another_than(word) => {
                Err(StoreError::Unreachable("it was replaced meanwhile".to_owned()))
            }
        };
        let mut connection = connected.map_err(at_master)?;
        role::require_master(&mut connection).await.map_err(at_master)?;
        self.register(word, told)?;
        Ok(connection)
    }

    async fn hears_of_another_than(&self, word: &Word) {
        loop {
            let news = self.news.notified();
            if self.known.lock().word.as_ref().is_some_and(|newest| newest.replaces(word)) {
                return;
            }
            news.await;
        }
    }

    /// Remembers who is to be told when the master is another one, unless it is already.
    fn register(&self, word: &Word, ear: Weak<dyn AsyncPushSender>) -> Result<(), StoreError> {
        self.hear(word.clone());
        let mut known = self.known.lock();
        if known.word.as_ref().is_some_and(|newest| newest.replaces(word)) {
            let why = format!("the master {} was replaced meanwhile", word.master);
            return Err(StoreError::Unreachable(why));
        }
        known.connected.retain(|(_, ear)| ear.strong_count() > 0);
        known.connected.push((word.master.clone(), ear));
        Ok(())
    }

    /// Hears a sentinel's word. Who is connected to a master that it replaces is disconnected.
    fn hear(&self, word: Word) {
        let leaving: Vec<_> = {
            let mut known = self.known.lock();
            if known.word.as_ref().is_some_and(|newest| newest.number >= word.number) {
                return;
            }
            let leaving = known.connected.extract_if(.., |(master, _)| *master != word.master);
            let leaving = leaving.filter_map(|(_, ear)| ear.upgrade()).collect();
            known.word = Some(word.clone());
            leaving
        };
        self.news.notify_waiters();
        if !leaving.is_empty() {
            let master = &word.master;
            tracing::info!(
                store.master = %master,
                "The sentinels name another master, {master}; connecting to it",
            );
        }
        for ear in leaving {
            // Whoever does not listen any more has left already.
            let _ = ear.send(PushInfo { kind: PushKind::Disconnection, data: Vec::new() });
        }
    }

    async fn ask_once(&self, sentinel: &Sentinel) -> Result<Word, StoreError> {
        let asked = async {
            let mut connection = connect(&sentinel.client, |_| Ok::<(), SendError>(())).await?;
            self.ask(&mut connection).await
        };
        let told = timeout(PATIENCE, asked)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unreachable("it does not answer".to_owned())));
        told.map_err(|error| at_sentinel(&sentinel.address, error))
    }

    async fn ask(&self, connection: &mut MultiplexedConnection) -> Result<Word, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        // While a switch is under way, only the first of these tells the new address.
        pipeline.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        pipeline.cmd("SENTINEL").arg("MASTER").arg(&self.name);
        let (address, state): (Answered<Option<(String, u16)>>, Answered<State>) =
            pipeline.query_async(connection).await.map_err(|error| store_error(&error))?;
        let Some((host, port)) = address.map_err(|error| store_error(&error))? else {
            let why = format!("it knows no master named {}", self.name);
            return Err(Refusal { about: Concern::Master, why }.into());
        };
        let state = state.map_err(|error| store_error(&error))?;
        let number = state.get("config-epoch").and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| unexpected("a sentinel without a config-epoch"))?;
        Ok(Word { number, master: Server { host, port } })
    }

    /// Listens to every sentinel from now on: one of them may be cut off from the others.
    fn watch(self: &Arc<Self>) {
        let mut watchers = self.watchers.lock();
        if watchers.is_empty() {
            for sentinel in &self.all {
                watchers.spawn(watch(Arc::downgrade(self), sentinel.clone()));
            }
        }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("word", &self.word).finish_non_exhaustive()
    }
}

type Answered<T> = Result<T, RedisError>;
type State = HashMap<String, String>;

/// Listens to one sentinel for as long as there is somebody to tell.
async fn watch(sentinels: Weak<Sentinels>, sentinel: Sentinel) {
    while sentinels.strong_count() > 0 {
        if let Err(error) = listen(&sentinels, &sentinel.client).await {
            let error = at_sentinel(&sentinel.address, error);
            tracing::debug!(%error, "Not listening to a sentinel: {error}");
        }
        tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
    }
}

/// Asks again whenever the sentinel announces a switch, and now and then beside: an announcement
/// is sent once, and a sentinel that hangs announces nothing.
async fn listen(sentinels: &Weak<Sentinels>, client: &Client) -> Result<(), StoreError> {
    let announced = Arc::new(Notify::new());
    let bell = Arc::clone(&announced);
    let ring = move |_| {
        bell.notify_one();
        Ok::<(), SendError>(())
    };
    let mut connection = connect(client, ring).await?;
    let subscribed = connection.subscribe("+switch-master").await;
    subscribed.map_err(|error| store_error(&error))?;
    loop {
        let Some(sentinels) = sentinels.upgrade() else { return Ok(()) };
        let word = sentinels.ask(&mut connection).await?;
        sentinels.hear(word);
        drop(sentinels);
        // A quiet sentinel is asked when the time is over.
        let _ = timeout(PAUSE.mul_f64(1.5 + fastrand::f64()), announced.notified()).await;
    }
}

/// An error of a sentinel, and not of the store.
fn at_sentinel(address: &Server, error: StoreError) -> StoreError {
    let error = if let StoreError::Refused(Refusal { about, why }) = error {
        let (about, why) = if matches!(about, Concern::Login | Concern::Rights) {
            (Concern::SentinelLogin, why)
        } else if about == Concern::Protocol {
            (Concern::Topology, "it is no sentinel".to_owned())
        } else {
            (about, why)
        };
        Refusal { about, why }.into()
    } else {
        error
    };
    whose(format_args!("the sentinel {address}"), error)
}

/// The error, with the server whose it is.
fn whose(server: fmt::Arguments<'_>, error: StoreError) -> StoreError {
    match error {
        StoreError::Refused(Refusal { about, why }) => {
            Refusal { about, why: format!("{server}: {why}") }.into()
        }
        StoreError::Unreachable(why) => StoreError::Unreachable(format!("{server}: {why}")),
        error @ (StoreError::BootedElsewhere { .. }
        | StoreError::Forgotten
        | StoreError::Locked(_)
        | StoreError::Moved(_)
        | StoreError::NewerFormat { .. }
        | StoreError::Partitions { .. }
        | StoreError::Unexpected(_)) => error,
    }
}

/// A refusal, if nothing but refusals was heard; else everything that was.
fn all_in_all(mut failures: Vec<StoreError>) -> StoreError {
    let is_refusal = |error: &StoreError| matches!(error, StoreError::Refused(_));
    if !failures.is_empty() && failures.iter().all(is_refusal) {
        return failures.swap_remove(0);
    }
    let why =
        |error| if let StoreError::Unreachable(why) = error { why } else { error.to_string() };
    let told = failures.into_iter().map(why).collect::<Vec<_>>().join("; ");
    let nobody = "the sentinels that answer know only masters that were replaced".to_owned();
    StoreError::Unreachable(if told.is_empty() { nobody } else { told })
}

/// How long one sentinel may take to answer before the next one is asked.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_secs(1);
