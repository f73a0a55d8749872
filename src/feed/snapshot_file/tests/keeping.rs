//! What lies on disk while the process runs, and when it ends.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use tokio_util::sync::CancellationToken;

use super::*;

const QUICK: Cadence = Cadence {
    every: Duration::from_hours(1),
    apart: Duration::from_millis(20),
    confirm: Duration::from_millis(5),
};

struct Running {
    directory: tempfile::TempDir,
    source: Source,
    journal: Journal,
    told: Kept,
    draining: CancellationToken,
    keeper: tokio::task::JoinHandle<()>,
}

impl Running {
    fn of(source: Source) -> Self {
        Self::within(tempfile::tempdir().unwrap(), source)
    }

    fn within(directory: tempfile::TempDir, source: Source) -> Self {
        let path = directory.path().join("snapshot");
        let (keeper, journal, told) = Keeper::new(&path, source.clone(), Metrics::new(), QUICK);
        let draining = CancellationToken::new();
        let keeper = tokio::spawn(keeper.run(draining.clone()));
        Self { directory, source, journal, told, draining, keeper }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("snapshot")
    }

    fn loaded(&self) -> Option<Loaded> {
        load(&self.path(), &Expected::default()).unwrap()
    }

    /// Waits until what lies on disk is so.
    async fn until(&self, what: &str, is_so: impl Fn(&Loaded) -> bool) -> Loaded {
        eventually(what, || self.loaded().filter(&is_so)).await
    }

    /// Applies a change as the feed does.
    fn apply(&self, change: &Change) {
        self.source.cache.apply(Partition(0), change, watermark(change.revision.0));
        self.journal.applied(Partition(0), change, false);
    }

    async fn drain(self) -> tempfile::TempDir {
        self.draining.cancel();
        self.keeper.await.unwrap();
        self.directory
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_beside_the_file_before_the_file_is_written_anew() {
    let kept = Running::of(holding(&[restricted(1, 7)], 100));
    let first = kept.until("written", |_| true).await.snapshot;
    kept.apply(&change(101, 2, "frozen,operator,other,1,"));
    kept.apply(&change(102, 1, ""));
    let then = kept.until("noted", |it| it.snapshot.partitions[0].watermark == watermark(102));
    let then = then.await;
    assert_eq!((then.snapshot.id, then.replayed), (first.id, 2));
    assert!(!names(&then.snapshot, 1) && names(&then.snapshot, 2));
    for path in [kept.path(), journal_of(&kept.path())] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_act_of_a_process_is_a_snapshot_of_everything() {
    let kept = Running::of(holding(&[restricted(1, 7)], 100));
    let first = kept.until("written", |_| true).await.snapshot;
    kept.apply(&change(101, 2, "frozen,operator,other,1,"));
    let directory = kept.drain().await;
    let path = directory.path().join("snapshot");
    let last = load(&path, &Expected::default()).unwrap().unwrap();
    assert_ne!(last.snapshot.id, first.id);
    assert_eq!((last.snapshot.customers(), last.replayed), (2, 0));
    assert_eq!(last.snapshot.partitions[0].watermark, watermark(101));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_on_disk_follows_the_stores_confirmations() {
    let kept = Running::of(holding(&[], 100));
    let before = kept.until("written", |_| true).await.snapshot.partitions[0].confirmed;
    kept.source.clock.advance(Duration::from_mins(1));
    kept.source.cache.confirm(Partition(0), kept.source.clock.moment());
    kept.until("confirmed", |it| {
        let confirmed = it.snapshot.partitions[0].confirmed;
        confirmed.saturating_since(before) >= Duration::from_secs(59)
    })
    .await;
    let young = |age: &Duration| *age < Duration::from_secs(30);
    eventually("told", || kept.told.age().filter(young)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_picture_is_written_as_a_whole() {
    let kept = Running::of(holding(&[restricted(1, 7)], 100));
    kept.until("written", |_| true).await;
    let picture = Picture::new(2, epoch());
    picture.offer(restricted(5, 200));
    let position = Position { generation: 2, revision: Revision(200) };
    let at = Watermark { position, ..watermark(200) };
    kept.source.cache.install(Partition(0), Arc::new(picture), at);
    kept.journal.replaced();
    let then = kept.until("replaced", |it| names(&it.snapshot, 5)).await;
    assert!(!names(&then.snapshot, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_fast_is_not_waited_for_and_is_in_the_next_snapshot() {
    let kept = Running::of(holding(&[], 100));
    kept.until("written", |_| true).await;
    // Far more than can wait, and not one pause in which they could be written.
    let last = 40_100;
    for revision in 101..=last {
        kept.apply(&change(revision, revision, "frozen,operator,other,1,"));
    }
    let whole =
        kept.until("caught up", |it| it.snapshot.partitions[0].watermark == watermark(last));
    assert_eq!(whole.await.snapshot.customers(), last - 100);
}

/// Whenever the process ends, what lies on disk is what was applied up to some revision.
#[tokio::test(flavor = "multi_thread")]
async fn at_every_moment_the_disk_holds_a_beginning_of_what_was_applied() {
    let kept = Running::of(holding(&[], 100));
    kept.until("written", |_| true).await;
    // One customer of thirty is restricted and lifted in turns.
    let compact = |revision: u64| {
        if (revision / 30).is_multiple_of(2) { "frozen,operator,other,1," } else { "" }
    };
    for revision in 101..3000_u64 {
        kept.apply(&change(revision, revision % 30, compact(revision)));
        if revision.is_multiple_of(500) {
            kept.journal.replaced();
        }
        if !revision.is_multiple_of(97) {
            continue;
        }
        let loaded = kept.loaded().unwrap();
        let part = &loaded.snapshot.partitions[0];
        let at = part.watermark.position.revision.0;
        assert!((100..=revision).contains(&at), "{at} at {revision}");
        for number in 0..30 {
            let last_at = |limit| (101..=limit).rev().find(|it| it % 30 == number);
            let then = last_at(at).is_some_and(|it| !compact(it).is_empty());
            let later = (at + 1..=revision).filter(|it| it % 30 == number);
            let ever = later.map(|it| !compact(it).is_empty());
            // The set may hold a change or two that come after its watermark.
            let could_be: Vec<_> = ever.chain([then]).collect();
            let is = names(&loaded.snapshot, number);
            assert!(could_be.contains(&is), "customer {number} at {at} of {revision}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_leaves_the_files_alone() {
    let kept = Running::of(holding(&[restricted(1, 7)], 100));
    let first = kept.until("written", |_| true).await.snapshot;
    let other = holding(&[], 5);
    let (second, _, said) = Keeper::new(&kept.path(), other, Metrics::new(), QUICK);
    let draining = CancellationToken::new();
    let running = tokio::spawn(second.run(draining.clone()));
    kept.apply(&change(101, 2, "frozen,operator,other,1,"));
    kept.until("noted", |it| it.replayed == 1).await;
    draining.cancel();
    running.await.unwrap();
    assert_eq!(kept.loaded().unwrap().snapshot.id, first.id);
    assert_eq!(said.age(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_gone_is_told_and_harms_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("snapshot");
    let recorder = crate::telemetry::recorder().unwrap();
    let metrics = metrics::with_local_recorder(&recorder, Metrics::new);
    let (keeper, journal, kept) = Keeper::new(&path, holding(&[], 100), metrics, QUICK);
    let draining = CancellationToken::new();
    let running = tokio::spawn(keeper.run(draining.clone()));
    let failed = || {
        let line = "tollgate_snapshot_writes_total{result=\"failed\"} ";
        let rendered = recorder.handle().render();
        rendered.lines().any(|it| it.strip_prefix(line).is_some_and(|count| count != "0"))
    };
    eventually("told", || {
        journal.applied(Partition(0), &change(101, 2, ""), false);
        failed().then_some(())
    })
    .await;
    // As soon as it is there, the file is.
    fs::create_dir(path.parent().unwrap()).unwrap();
    eventually("written", || kept.age()).await;
    draining.cancel();
    running.await.unwrap();
    assert!(load(&path, &Expected::default()).unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_picture_is_not_written() {
    let source = holding(&[restricted(1, 7)], 100);
    source.cache.set_suspect(Partition(0), true);
    assert_eq!(source.cut().unwrap_err(), NotWhole::Suspect);
    let kept = Running::of(source);
    let directory = kept.drain().await;
    assert!(!directory.path().join("snapshot").exists());
}

/// Waits until there is something, for ten seconds at most.
async fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = found() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), wait).await;
    waited.unwrap_or_else(|_| panic!("never {what}"))
}
