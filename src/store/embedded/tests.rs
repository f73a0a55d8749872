//! What only this store promises; the rest is the contract's.

use std::{
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use redb::{ReadableTableMetadata as _, TableDefinition};
use tokio::sync::{mpsc, oneshot};

use super::{
    super::{
        Among, CustomerWrite, Direction, Idempotency, Push, RestrictedEntry, StoredRecord, Trail,
        Write, Writer as Knowledge,
    },
    tables::{IDEMPOTENCY, IDEMPOTENCY_BY_TIME, META, RECORDS},
    writer::Desk,
    *,
};
use crate::domain::{
    AuditEntry, Private, Restrictions, Revision, Role, Source, Subject, Timestamp, Verb,
    audit::{AuditActor, AuditOutcome},
    change::Act,
    customer::RecordBody,
};

/// Begins a history.
async fn created(store: Embedded) -> Embedded {
    store.create(&epoch()).await.unwrap();
    store
}

async fn in_memory() -> Embedded {
    created(Embedded::in_memory(Clock::system()).unwrap()).await
}

fn epoch() -> Epoch {
    Epoch::parse("k3f9").unwrap()
}

fn key(id: &str) -> CustomerKey {
    CustomerKey::parse(&format!("acme:{id}")).unwrap()
}

/// Freezes a customer that is at `expected`.
fn freeze(id: &str, expected: Option<u64>) -> Commit {
    let restrictions = Restrictions::parse_compact("frozen,wingback,other,1,").unwrap();
    let act = Act {
        verb: Verb::Freeze,
        source: Source::operator(),
        kind: None,
        reason: None,
        since: None,
        until: None,
        at: None,
        exact: false,
        imported: false,
        recovers: None,
    };
    let write = CustomerWrite {
        key: key(id),
        expected: expected.map(Revision),
        body: RecordBody { restrictions, ..RecordBody::default() },
        private: Private { name: Some(id.to_owned()), ..Private::default() },
        entitlements_changed: false,
        act,
    };
    commit(Write::Customer(Box::new(write)))
}

fn commit(write: Write) -> Commit {
    let audit = AuditEntry {
        subject: String::new(),
        action: "freeze".to_owned(),
        outcome: AuditOutcome::Changed,
        refusal: None,
        actor: AuditActor {
            name: "alice".to_owned(),
            key_id: None,
            role: Role::Support,
            address: None,
        },
        dialect: "native".to_owned(),
        source: None,
        reason: None,
        notes: None,
        notes_digest: None,
        informed_at: None,
        before: Restrictions::default(),
        after: Restrictions::default(),
        request_id: None,
        batch: None,
        at: Timestamp::default(),
    };
    let writer = Knowledge { epoch: epoch(), watermark: Revision(1) };
    Commit { write, writer, audit, notes: None, idempotency: None, trail: Trail::Both }
}

fn with_idempotency_key(key: &str, commit: Commit) -> Commit {
    let idempotency = Idempotency { key_digest: key.to_owned(), body_digest: "body".to_owned() };
    Commit { idempotency: Some(idempotency), ..commit }
}

/// A writer that is called by hand, and what its subscriber hears.
fn desk_over(backend: impl StorageBackend) -> (Desk, mpsc::Receiver<Push>) {
    let database = database_over(backend).unwrap();
    tables::prepare(&database).unwrap();
    let mut desk = Desk::new(Arc::new(database), Clock::system());
    desk.transact(|batch| batch.create(&epoch())).unwrap().unwrap();
    let pushes = desk.subscribe();
    (desk, pushes)
}

/// Makes all in one batch.
fn commit_together(
    desk: &mut Desk,
    commits: impl IntoIterator<Item = Commit>,
) -> Vec<Result<Committed, CommitError>> {
    let commits = commits.into_iter().map(|commit| (Box::new(commit), oneshot::channel()));
    let (waiting, answers): (Vec<_>, Vec<_>) =
        commits.map(|(commit, (reply, answer))| ((commit, reply), answer)).unzip();
    desk.commit(waiting);
    answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect()
}

fn heard(pushes: &mut mpsc::Receiver<Push>) -> Vec<(u64, Option<String>)> {
    let mut heard = Vec::new();
    while let Ok(Push { change, .. }) = pushes.try_recv() {
        let revision = change.revision.0;
        let Subject::Customer(changed) = change.subject else {
            heard.push((revision, None));
            continue;
        };
        heard.push((revision, Some(changed.key.id().to_owned())));
    }
    heard
}

#[test]
fn a_refused_commit_leaves_the_others_of_its_batch_alone() {
    let (mut desk, mut pushes) = desk_over(InMemoryBackend::new());
    let outcomes = commit_together(
        &mut desk,
        [
            freeze("c1", None),
            freeze("c1", None),
            freeze("c2", Some(9)),
            freeze("c1", Some(2)),
            with_idempotency_key("k", freeze("c2", None)),
            with_idempotency_key("k", freeze("c2", None)),
        ],
    );
    let shown = outcomes.iter().map(|outcome| match outcome {
        Ok(committed) if committed.replayed => format!("again {}", committed.revision),
        Ok(committed) => committed.revision.to_string(),
        Err(refusal) => format!("{refusal:?}"),
    });
    assert_eq!(shown.collect::<Vec<_>>(), ["2", "Conflict", "Conflict", "3", "4", "again 4"]);

    let who = |id: &str| Some(id.to_owned());
    assert_eq!(heard(&mut pushes), [(2, who("c1")), (3, who("c1")), (4, who("c2"))]);
    let snapshot = Snapshot::of(&desk.database).unwrap();
    assert_eq!(snapshot.log("", 9).unwrap().len(), 4);
    let all = AuditPage { customer: None, before: None, limit: 9 };
    assert_eq!(snapshot.audit(&all).unwrap().len(), 3);
    let entries = snapshot.restricted_page(None).unwrap().entries;
    let named = |RestrictedEntry { key, revision, .. }| (key.id().to_owned(), revision.0);
    let named = entries.into_iter().map(named).collect::<Vec<_>>();
    assert_eq!(named, [("c1".to_owned(), 3), ("c2".to_owned(), 4)]);
}

/// A disk that can be made to fail.
#[derive(Debug)]
struct Disk {
    memory: InMemoryBackend,
    broken: Arc<AtomicBool>,
}

impl StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("the disk is broken"));
        }
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.memory.write(offset, data)
    }
}

#[test]
fn a_batch_that_cannot_be_made_durable_fails_as_a_whole_and_is_not_pushed() {
    let broken = Arc::new(AtomicBool::new(false));
    let backend = Disk { memory: InMemoryBackend::new(), broken: Arc::clone(&broken) };
    let (mut desk, mut pushes) = desk_over(backend);
    broken.store(true, Ordering::Relaxed);
    for outcome in commit_together(&mut desk, [freeze("c1", None), freeze("c2", None)]) {
        let Err(CommitError::Store(StoreError::Unreachable(why))) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(why.contains("the disk is broken"), "{why}");
    }
    assert_eq!(heard(&mut pushes), []);
}

#[test]
fn a_subscriber_that_does_not_keep_up_loses_its_session_but_no_change_before() {
    let (mut desk, mut slow) = desk_over(InMemoryBackend::new());
    let mut quick = desk.subscribe();
    let mut pushed = Vec::new();
    while !slow.is_closed() {
        let revision = pushed.len() as u64 + 2;
        let subject = Subject::Created;
        let change = Change { revision: Revision(revision), log_id: String::new(), subject };
        let (partition, epoch) = (Partition(0), Epoch::from_random([1; 8]));
        desk.push(&[Push { partition, epoch, follows: String::new(), change }]);
        pushed.push((revision, None));
        assert_eq!(heard(&mut quick), pushed[pushed.len() - 1..]);
    }
    assert_eq!(heard(&mut slow), pushed[..8192]);
    assert_eq!(pushed.len(), 8193);
}

#[tokio::test]
async fn a_file_that_is_opened_again_holds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tollgate.redb");
    let open = || Embedded::open(&path, Clock::system()).unwrap();
    let all = AuditPage { customer: None, before: None, limit: 9 };

    let store = created(open()).await;
    let first = with_idempotency_key("k", freeze("c1", None));
    store.commit(first.clone()).await.unwrap();
    let stored = Write::Key { id: "k1".to_owned(), stored: Some("{}".to_owned()) };
    store.commit(commit(stored)).await.unwrap();
    let before = (
        store.heads(&[Partition(0)]).await.unwrap(),
        store.log(Partition(0), "", 9).await.unwrap(),
        store.customer(&key("c1")).await.unwrap(),
        store.audit(&all).await.unwrap(),
        store.keys().await.unwrap(),
    );
    drop(store);

    let store = open();
    let after = (
        store.heads(&[Partition(0)]).await.unwrap(),
        store.log(Partition(0), "", 9).await.unwrap(),
        store.customer(&key("c1")).await.unwrap(),
        store.audit(&all).await.unwrap(),
        store.keys().await.unwrap(),
    );
    assert_eq!(after, before);
    assert!(matches!(store.create(&epoch()).await, Err(CreateError::Exists)));
    assert!(store.commit(first).await.unwrap().replayed);
    assert_eq!(store.commit(freeze("c2", None)).await.unwrap().revision, Revision(4));
}

#[tokio::test]
async fn a_file_is_its_owners_alone_and_open_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tollgate.redb");
    let store = Embedded::open(&path, Clock::system()).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let second = Embedded::open(&path, Clock::system()).map(drop);
    let Err(StoreError::Locked(named)) = second else { panic!("{second:?}") };
    assert_eq!(named, path.display().to_string());
    drop(store);
    Embedded::open(&path, Clock::system()).unwrap();
}

#[test]
fn a_file_of_a_newer_format_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tollgate.redb");
    let newer = r#"{"format":2,"epoch":{"of":"another shape"}}"#;
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert((), newer).unwrap();
    transaction.commit().unwrap();
    drop(database);

    let opened = Embedded::open(&path, Clock::system()).map(drop);
    assert!(matches!(opened, Err(StoreError::NewerFormat { found: 2, known: 1 })), "{opened:?}");
}

#[test]
fn a_file_that_is_no_store_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "dear diary").unwrap();
    let refused = Embedded::open(&path, Clock::system()).unwrap_err().to_string();
    assert!(refused.contains("notes.txt cannot be opened"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "dear diary");
    let refused = Embedded::open(&path.join("none"), Clock::system()).unwrap_err().to_string();
    assert!(refused.contains("notes.txt/none: Not a directory"), "{refused}");
}

#[tokio::test]
async fn an_idempotency_key_is_forgotten_after_a_day() {
    let clock = Clock::system();
    let store = created(Embedded::in_memory(clock.clone()).unwrap()).await;
    let held = || {
        let transaction = store.snapshot().unwrap().0;
        let rows = transaction.open_table(IDEMPOTENCY).unwrap().len().unwrap();
        assert_eq!(transaction.open_table(IDEMPOTENCY_BY_TIME).unwrap().len().unwrap(), rows);
        rows
    };
    for number in 0..300 {
        let nothing = commit(Write::Nothing { customer: None });
        store.commit(with_idempotency_key(&format!("k{number}"), nothing)).await.unwrap();
    }
    clock.advance(Duration::from_hours(24) - Duration::from_mins(1));
    let again = with_idempotency_key("k299", freeze("c1", None));
    assert!(store.commit(again.clone()).await.unwrap().replayed);
    assert_eq!(held(), 300);

    // It is as good as gone at once, and gone a few commits later.
    clock.advance(Duration::from_mins(1));
    assert!(store.commit(again.clone()).await.unwrap().changed);
    for number in 0..2 {
        store.commit(freeze(&format!("d{number}"), None)).await.unwrap();
    }
    assert_eq!(held(), 1);
    assert!(store.commit(again).await.unwrap().replayed);
}

/// Puts a row behind the store's back.
fn plant(
    store: &Embedded,
    table: TableDefinition<'_, &'static str, &'static str>,
    row: (&str, &str),
) {
    let transaction = store.0.database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(row.0, row.1).unwrap();
    transaction.commit().unwrap();
}

#[tokio::test]
async fn an_unreadable_record_is_no_conflict_and_hides_no_other() {
    let store = in_memory().await;
    for id in ["c1", "c2", "c3"] {
        store.commit(freeze(id, None)).await.unwrap();
    }
    plant(&store, RECORDS, ("acme:c2", r#"{"format":2,"revision":9}"#));

    let read = store.read(&key("c2")).await.unwrap().record;
    assert!(matches!(read, StoredRecord::Unreadable(_)), "{read:?}");
    for expected in [None, Some(3)] {
        let refused = store.commit(freeze("c2", expected)).await;
        let Err(CommitError::Store(StoreError::Unexpected(why))) = refused else {
            panic!("{refused:?}")
        };
        assert!(why.contains("acme:c2") && why.contains("format is 2"), "{why}");
    }
    let refused = store.customer(&key("c2")).await.unwrap_err().to_string();
    assert!(refused.contains("acme:c2"), "{refused}");
    for among in [Among::All, Among::Restricted] {
        let prefix = "acme:".to_owned();
        let direction = Direction::Ascending;
        let page = CustomerPage { among, prefix, after: None, limit: 2, direction };
        let listed = store.customers(&page).await.unwrap();
        let ids = listed.iter().map(|customer| customer.record.key.id()).collect::<Vec<_>>();
        assert_eq!(ids, ["c1", "c3"]);
    }
}

#[tokio::test]
async fn data_without_a_history_is_not_given_a_new_one() {
    let store = Embedded::in_memory(Clock::system()).unwrap();
    plant(&store, RECORDS, ("acme:c1", "{}"));
    assert!(matches!(store.create(&epoch()).await, Err(CreateError::NotEmpty)));
    assert_eq!(store.heads(&[Partition(0)]).await.unwrap(), [None]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_turn_the_log_round() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tollgate.redb");
    let ahead = Clock::system();
    ahead.advance(Duration::from_hours(1));
    let store = created(Embedded::open(&path, ahead).unwrap()).await;
    store.commit(freeze("c1", None)).await.unwrap();
    drop(store);

    let store = Embedded::open(&path, Clock::system()).unwrap();
    store.commit(freeze("c2", None)).await.unwrap();
    store.commit(freeze("c3", None)).await.unwrap();
    let log = store.log(Partition(0), "", 9).await.unwrap();
    let revisions = log.iter().map(|change| change.revision.0).collect::<Vec<_>>();
    assert_eq!(revisions, [1, 2, 3, 4]);
    let all = AuditPage { customer: None, before: None, limit: 9 };
    let trail = store.audit(&all).await.unwrap();
    let revisions = trail.iter().map(|entry| entry.revision.0).collect::<Vec<_>>();
    assert_eq!(revisions, [4, 3, 2]);
}
