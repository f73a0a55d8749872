//! Records in this process: a file, or memory. One database (redb) behind both, so both keep
//! the same promises.
//!
//! One thread writes (`writer`); it takes what is waiting into one transaction (`batch`). Reads
//! look at a `snapshot`, which no write disturbs.

mod batch;
mod snapshot;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{
    Builder, Database, DatabaseError, StorageBackend,
    backends::{FileBackend, InMemoryBackend},
};

use self::{
    snapshot::Snapshot,
    writer::{AddUnresolved, Request, SetAlias, TakeOutAudit, Writer},
};
use super::{
    AuditPage, Commit, CommitError, Committed, CreateError, CustomerPage, Head, KeysPage, Read,
    ReadMany, RestrictedPage, Session, SessionReader, StoreError, Tally, UnresolvedEntry,
};
use crate::{
    clock::Clock,
    domain::{
        Change, Customer, CustomerKey, Epoch, Partition, Timestamp,
        alias::{Alias, Claim},
        audit::{StoredAudit, archive::Old, chain::ChainPage, head::ChainHead},
    },
};

/// A store in this process. Its clones are one store; the last one to go closes it.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Inner>);

/// Fields go in this order: the writer ends and lets go of the database before the file closes.
#[derive(Debug)]
struct Inner {
    writer: Writer,
    database: Arc<Database>,
}

impl Embedded {
    /// Opens the file at `path`, or makes it, readable by its owner only. Commits take their
    /// time from `clock`.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        let file = open_file(path)
            .map_err(|error| StoreError::Unreachable(format!("{}: {error}", path.display())))?;
        let database = FileBackend::new(file).and_then(database_over);
        Self::start(database.map_err(|error| cannot_open(path, &error))?, clock)
    }

    /// Makes an empty store that is gone with its last clone.
    pub fn in_memory(clock: Clock) -> Result<Self, StoreError> {
        let database = database_over(InMemoryBackend::new());
        Self::start(database.map_err(|error| tables::store_error(&error.into()))?, clock)
    }

    /// See [`super::Store::read`].
    ///
    /// Like every read of single rows it is made where it is asked for: that takes about a
    /// microsecond, less than handing it to another thread would, and waits for no write.
    #[expect(clippy::unused_async, reason = "every adapter is called in the same way")]
    pub async fn read(&self, key: &CustomerKey) -> Result<Read, StoreError> {
        self.snapshot()?.read(key)
    }

    /// See [`super::Store::read_many`].
    #[expect(clippy::unused_async, reason = "every adapter is called in the same way")]
    pub async fn read_many(&self, keys: &[CustomerKey]) -> Result<ReadMany, StoreError> {
        self.snapshot()?.read_many(keys)
    }

    /// See [`super::Store::customer_keys`].
    pub async fn customer_keys(
        &self,
        after: Option<&str>,
        at_most: usize,
    ) -> Result<KeysPage, StoreError> {
        let (snapshot, after) = (self.snapshot()?, after.map(str::to_owned));
        off_the_runtime(move || snapshot.customer_keys(after.as_deref(), at_most)).await
    }

    /// See [`super::Store::customer`].
    #[expect(clippy::unused_async, reason = "every adapter is called in the same way")]
    pub async fn customer(&self, key: &CustomerKey) -> Result<Option<Customer>, StoreError> {
        self.snapshot()?.customer(key)
    }

    /// See [`super::Store::customers`].
    pub async fn customers(&self, page: &CustomerPage) -> Result<Vec<Customer>, StoreError> {
        let (snapshot, page) = (self.snapshot()?, page.clone());
        off_the_runtime(move || snapshot.customers(&page)).await
    }

    /// See [`super::Store::alias`].
    #[expect(clippy::unused_async, reason = "every adapter is called in the same way")]
    pub async fn alias(&self, alias: &Alias) -> Result<Option<Claim>, StoreError> {
        self.snapshot()?.alias(alias)
    }

    /// See [`super::Store::set_alias`].
    pub async fn set_alias(
        &self,
        alias: &Alias,
        held: Option<&Claim>,
        claim: Option<&Claim>,
    ) -> Result<bool, StoreError> {
        let (alias, held, claim) = (alias.to_string(), held.cloned(), claim.cloned());
        let set = SetAlias { alias, held, claim };
        self.0.writer.ask(|reply| Request::SetAlias(set, reply)).await?
    }

    /// See [`super::Store::note_key_uses`].
    pub async fn note_key_uses(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.0.writer.ask(|reply| Request::NoteKeyUses(uses, reply)).await?
    }

    /// See [`super::Store::key_uses`].
    #[expect(clippy::unused_async, reason = "every adapter is called in the same way")]
    pub async fn key_uses(&self) -> Result<HashMap<String, Timestamp>, StoreError> {
        self.snapshot()?.key_uses()
    }

    /// See [`super::Store::add_unresolved`].
    pub async fn add_unresolved(
        &self,
        epoch: &Epoch,
        text: &str,
        at_most: u64,
    ) -> Result<Option<u64>, StoreError> {
        let add = AddUnresolved { epoch: epoch.clone(), text: text.to_owned(), at_most };
        self.0.writer.ask(|reply| Request::AddUnresolved(add, reply)).await?
    }

    /// See [`super::Store::unresolved`].
    pub fn unresolved(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<UnresolvedEntry>, StoreError> {
        self.snapshot()?.unresolved(after, limit)
    }

    /// See [`super::Store::remove_unresolved`].
    pub async fn remove_unresolved(&self, id: &str) -> Result<(), StoreError> {
        self.0.writer.ask(|reply| Request::RemoveUnresolved(id.to_owned(), reply)).await?
    }

    /// See [`super::Store::count_unresolved`].
    pub fn count_unresolved(&self) -> Result<u64, StoreError> {
        self.snapshot()?.count_unresolved()
    }

    /// See [`super::Store::count_customers`].
    #[expect(clippy::unused_async, reason = "every adapter is called in the same way")]
    pub async fn count_customers(&self) -> Result<u64, StoreError> {
        self.snapshot()?.count_customers()
    }

    /// See [`super::Store::audit`].
    pub async fn audit(&self, page: &AuditPage) -> Result<Vec<StoredAudit>, StoreError> {
        let (snapshot, page) = (self.snapshot()?, page.clone());
        off_the_runtime(move || snapshot.audit(&page)).await
    }

    /// See [`super::Store::audit_chain`].
    pub async fn audit_chain(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChainPage, StoreError> {
        let (snapshot, after) = (self.snapshot()?, after.map(str::to_owned));
        off_the_runtime(move || snapshot.audit_chain(after.as_deref(), limit)).await
    }

    /// See [`super::Store::audit_head`].
    pub fn audit_head(&self) -> Result<Option<ChainHead>, StoreError> {
        self.snapshot()?.audit_head()
    }

    /// See [`super::Store::take_out_audit`].
    pub async fn take_out_audit(&self, epoch: &Epoch, old: &Old) -> Result<bool, StoreError> {
        let take = TakeOutAudit {
            epoch: epoch.clone(),
            to: old.to.clone(),
            stays_from: old.stays_from.parse()?,
            customers: old.customers(),
            notes: old.notes(),
        };
        self.0.writer.ask(|reply| Request::TakeOutAudit(take, reply)).await?
    }

    /// See [`super::Store::audit_archived_to`].
    pub fn audit_archived_to(&self) -> Result<Option<String>, StoreError> {
        self.snapshot()?.audit_archived_to()
    }

    /// See [`super::Store::commit`]. It is made also if the caller stops waiting.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.0.writer.ask(|reply| Request::Commit(Box::new(commit), reply)).await?
    }

    /// See [`super::Store::create`].
    pub async fn create(&self, epoch: &Epoch) -> Result<(), CreateError> {
        self.0.writer.ask(|reply| Request::Create(epoch.clone(), reply)).await?
    }

    /// See [`super::Store::open_session`].
    pub async fn open_session(&self) -> Result<Session, StoreError> {
        let pushes = self.0.writer.ask(Request::Subscribe).await?;
        Ok(Session { pushes, reader: SessionReader::Embedded(self.clone()) })
    }

    /// See [`SessionReader::end`].
    #[must_use]
    pub fn end(&self) -> StoreError {
        StoreError::Unreachable("the session ended".to_owned())
    }

    /// See [`SessionReader::heads`]. There is one partition.
    pub async fn heads(&self, partitions: &[Partition]) -> Result<Vec<Option<Head>>, StoreError> {
        let snapshot = self.pushed_snapshot().await?;
        partitions.iter().map(|_| snapshot.head()).collect()
    }

    /// See [`SessionReader::tally`]. There is one partition.
    pub async fn tally(&self, _partition: Partition) -> Result<Option<Tally>, StoreError> {
        self.pushed_snapshot().await?.tally()
    }

    /// See [`SessionReader::restricted_page`].
    pub async fn restricted_page(
        &self,
        _partition: Partition,
        from: Option<&str>,
    ) -> Result<RestrictedPage, StoreError> {
        let (snapshot, from) = (self.pushed_snapshot().await?, from.map(str::to_owned));
        off_the_runtime(move || snapshot.restricted_page(from.as_deref())).await
    }

    /// See [`SessionReader::log`].
    pub async fn log(
        &self,
        _partition: Partition,
        from: &str,
        count: usize,
    ) -> Result<Vec<Change>, StoreError> {
        let (snapshot, from) = (self.pushed_snapshot().await?, from.to_owned());
        off_the_runtime(move || snapshot.log(&from, count)).await
    }

    /// See [`SessionReader::keys`].
    pub async fn keys(&self) -> Result<Vec<(String, String)>, StoreError> {
        let snapshot = self.pushed_snapshot().await?;
        off_the_runtime(move || snapshot.keys()).await
    }

    /// See [`SessionReader::sources`].
    pub async fn sources(&self) -> Result<Vec<(String, String)>, StoreError> {
        let snapshot = self.pushed_snapshot().await?;
        off_the_runtime(move || snapshot.sources()).await
    }

    fn start(database: Database, clock: Clock) -> Result<Self, StoreError> {
        tables::prepare(&database)?;
        let database = Arc::new(database);
        let writer = Writer::start(Arc::clone(&database), clock)?;
        Ok(Self(Arc::new(Inner { writer, database })))
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::of(&self.0.database)
    }

    /// What a session reads is asked of the writer: between two transactions everything that is
    /// committed is pushed too, so the reply never runs ahead of the pushes.
    async fn pushed_snapshot(&self) -> Result<Snapshot, StoreError> {
        self.0.writer.ask(Request::Snapshot).await?
    }
}

/// Opens or makes the file, for its owner only.
fn open_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path)?;
    // A new file survives a crash of the machine only when its directory says that it is there.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.map_or_else(|| PathBuf::from("."), Path::to_path_buf))?.sync_all()?;
    Ok(file)
}

fn database_over(backend: impl StorageBackend) -> Result<Database, DatabaseError> {
    Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)
}

fn cannot_open(path: &Path, error: &DatabaseError) -> StoreError {
    let path = path.display();
    if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
        return StoreError::Locked(path.to_string());
    }
    StoreError::Unexpected(format!("{path} cannot be opened: {error}"))
}

/// Runs what may take longer than a single get where it holds nobody up.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Unreachable(format!("a read did not end: {error}")))?
}

/// redb's default of 1 GiB is more than a small process beside a gateway should take.
const CACHE_BYTES: usize = 64 << 20;
