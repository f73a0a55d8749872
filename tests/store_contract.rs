//! What every store promises, held against each of them: memory, a file, Redis on a unix socket
//! and over TCP, Valkey, and a cluster.
//!
//! The suite knows only [`Store`]. An adapter that passes it can stand in for any other.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::{runtime::Handle, task::block_in_place, time::timeout};

use support::{
    Flavor, Persistence, RedisServer,
    redis_cluster::{RedisCluster, Replicas},
};
use tollgate::{
    clock::Clock,
    domain::{
        AuditEntry, Change, Code, CustomerId, CustomerKey, Epoch, Kind, Partition, Partitions,
        Private, Record, RestrictionNote, Restrictions, Revision, Role, Source, Subject, TenantId,
        Timestamp, Verb,
        alias::{Alias, Claim},
        audit::{
            AuditActor, AuditOutcome, StoredAudit,
            archive::{Archived, Old},
            chain::{Link, Walk},
            notes::{Notes, NotesPlace},
        },
        change::Act,
        customer::RecordBody,
    },
    store::{
        Among, AuditPage, Census, Commit, CommitError, Committed, CreateError, CustomerPage,
        CustomerWrite, Direction, Head, Idempotency, Lease, Logged, Push, RestrictedEntry, Session,
        Store, StoredRecord, Trail, UnresolvedEntry, Write, Writer,
        embedded::Embedded,
        format,
        redis::{Redis, Settings},
    },
};

/// Runs every promise against every adapter, each in a test of its own.
macro_rules! promises {
    ($($promise:ident)*) => {
        promises!(@against memory Memory $($promise)*);
        promises!(@against file File $($promise)*);
        promises!(@against redis_on_a_socket RedisSocket $($promise)*);
        promises!(@against redis_over_tcp RedisTcp $($promise)*);
        promises!(@against valkey Valkey $($promise)*);
        promises!(@against redis_cluster RedisCluster $($promise)*);
    };
    (@against $module:ident $adapter:ident $($promise:ident)*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(super::Adapter::$adapter).await;
                }
            )*
        }
    };
}

promises! {
    a_commit_is_read_back_with_its_revision
    who_was_never_written_is_absent
    customers_are_named_in_order_a_page_at_a_time
    revisions_have_no_holes
    a_refused_commit_writes_nothing
    a_commit_behind_the_writers_watermark_is_refused
    a_commit_of_another_epoch_is_refused
    an_expected_revision_that_does_not_match_is_a_conflict
    a_repeated_idempotency_key_commits_once
    an_idempotency_key_for_something_else_is_refused
    a_refused_commit_does_not_use_up_its_idempotency_key
    a_session_hears_every_commit_in_order
    a_reply_never_runs_ahead_of_the_pushes
    the_log_begins_with_the_entry_asked_for
    the_head_names_the_newest_entry_of_the_log
    the_census_in_the_head_matches_the_restricted_pages
    a_restricted_set_of_many_pages_is_read_whole
    a_customer_without_restrictions_leaves_the_restricted_set
    notes_are_only_in_the_private_part
    audit_comes_newest_first_by_page
    notes_on_an_act_are_kept_beside_its_entry_and_go_with_the_customer
    a_customers_own_trail_keeps_its_last_fifty_entries
    every_audit_entry_is_chained_to_the_one_before_it
    an_entry_may_be_in_its_customers_trail_alone
    an_act_that_changes_nothing_leaves_only_an_audit_entry
    what_is_archived_is_taken_out_with_its_notes_and_of_no_other_history
    customers_are_listed_in_order_by_prefix_and_page
    restricted_customers_are_listed_alone
    creation_happens_once
    two_concurrent_writers_never_lose_an_update
    keys_are_stored_and_revoked_and_heard_by_sessions
    what_the_guard_says_of_a_source_is_stored_and_heard_by_sessions
    the_mode_of_the_fleet_is_stored_and_heard_by_sessions
    an_alias_changes_hands_by_compare_and_set
    the_latest_use_of_a_key_is_the_one_that_counts
    customers_are_counted
    what_waits_for_a_customer_is_listed_in_order_and_the_oldest_goes_first
    a_lease_has_one_holder_who_renews_it_and_gives_it_back
    a_lease_that_is_not_renewed_goes_to_who_asks_next
    an_empty_store_grants_no_lease_that_would_be_its_only_key
    any_sequence_of_commits_leaves_what_a_model_predicts
}

async fn a_commit_is_read_back_with_its_revision(adapter: Adapter) {
    let world = World::of(adapter).await;
    let mut write = customer("c1", FROZEN);
    write.body.plan = Code::parse("pro").ok();
    write.body.features = Some(BTreeSet::new().into());
    write.private.name = Some("Ada \"the first\" Lovelace, né(e) Ω".to_owned());

    let committed = world.put(&write).await.unwrap();
    let Committed { revision, changed, replayed, .. } = committed;
    assert_eq!((revision, changed, replayed), (Revision(2), true, false));

    let read = world.store.read(&write.key).await.unwrap();
    let record = Record { key: write.key.clone(), revision: Revision(2), body: write.body };
    assert_eq!((read.epoch, read.revision), (epoch(), Revision(2)));
    assert_eq!(read.record, StoredRecord::Known(record.clone()));

    let stored = world.store.customer(&write.key).await.unwrap().unwrap();
    assert_eq!((stored.record, stored.private), (record, write.private));
}

async fn who_was_never_written_is_absent(adapter: Adapter) {
    let world = World::of(adapter).await;
    world.put(&customer("c1", FROZEN)).await.unwrap();

    let read = world.store.read(&key("c")).await.unwrap();
    assert_eq!((read.revision, read.record), (Revision(2), StoredRecord::Absent));
    assert_eq!(world.store.customer(&key("c")).await.unwrap(), None);
}

async fn revisions_have_no_holes(adapter: Adapter) {
    let world = World::of(adapter).await;
    for number in 0..5 {
        let first = world.put(&customer(&format!("c{number}"), FROZEN)).await.unwrap();
        assert_eq!(first.revision, Revision(2 * number + 2));
        // Neither a refusal nor an act without effect takes a revision.
        world.put(&customer("c0", "")).await.unwrap_err();
        world.commit(Write::Nothing { customer: None }).await.unwrap();
        let second = world.commit(operator_key("k1", Some("{}"))).await.unwrap();
        assert_eq!(second.revision, Revision(2 * number + 3));
    }
    let logged = world.log("", 100).await.into_iter().map(|change| change.revision.0);
    assert_eq!(logged.collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
}

async fn a_refused_commit_writes_nothing(adapter: Adapter) {
    let world = World::of(adapter).await;
    let once = idempotency("used", "this");
    world.commit_once(put(&customer("c1", FROZEN)), &once).await.unwrap();
    world.commit(operator_key("k1", Some("{}"))).await.unwrap();
    let before = world.everything().await;

    let fresh = idempotency("fresh", "this");
    let other = idempotency("used", "that");
    let write = || put(&CustomerWrite { expected: Some(Revision(2)), ..customer("c1", DISABLED) });
    let conflicting = || put(&customer("c1", DISABLED));
    let behind = Writer { watermark: Revision(4), ..writer() };
    let foreign = Writer { epoch: Epoch::parse("other").unwrap(), ..writer() };
    let refusals = [
        world.try_commit(write(), behind.clone(), Some(&fresh)).await.unwrap_err(),
        world.try_commit(operator_key("k1", None), behind, Some(&fresh)).await.unwrap_err(),
        world.try_commit(write(), foreign, Some(&fresh)).await.unwrap_err(),
        world.try_commit(conflicting(), writer(), Some(&fresh)).await.unwrap_err(),
        world.try_commit(write(), writer(), Some(&other)).await.unwrap_err(),
    ];
    let expected = "[Behind, Behind, Epoch, Conflict, IdempotencyKeyReused]";
    assert_eq!(format!("{refusals:?}"), expected);

    assert_eq!(world.everything().await, before);
    assert!(!world.commit_once(write(), &fresh).await.unwrap().replayed);
}

async fn a_commit_behind_the_writers_watermark_is_refused(adapter: Adapter) {
    let world = World::of(adapter).await;
    let ahead = Writer { watermark: Revision(2), ..writer() };
    let nothing = Write::Nothing { customer: None };
    let refused = world.try_commit(nothing.clone(), ahead.clone(), None).await;
    assert!(matches!(refused, Err(CommitError::Behind)), "{refused:?}");

    world.put(&customer("c1", "")).await.unwrap();
    world.try_commit(nothing, ahead, None).await.unwrap();
}

async fn a_commit_of_another_epoch_is_refused(adapter: Adapter) {
    let world = World::of(adapter).await;
    let foreign = Writer { epoch: Epoch::parse("0ther").unwrap(), ..writer() };
    let refused = world.try_commit(put(&customer("c1", "")), foreign, None).await;
    assert!(matches!(refused, Err(CommitError::Epoch)), "{refused:?}");
}

async fn an_expected_revision_that_does_not_match_is_a_conflict(adapter: Adapter) {
    let world = World::of(adapter).await;
    let expecting = |expected| CustomerWrite { expected, ..customer("c1", FROZEN) };
    let is_conflict = |outcome| matches!(outcome, Err(CommitError::Conflict));

    assert!(is_conflict(world.put(&expecting(Some(Revision(1)))).await));
    world.put(&expecting(None)).await.unwrap();
    assert!(is_conflict(world.put(&expecting(None)).await));
    assert!(is_conflict(world.put(&expecting(Some(Revision(1)))).await));
    assert!(is_conflict(world.put(&expecting(Some(Revision(3)))).await));
    world.put(&expecting(Some(Revision(2)))).await.unwrap();
    assert!(is_conflict(world.put(&expecting(Some(Revision(2)))).await));
}

async fn a_repeated_idempotency_key_commits_once(adapter: Adapter) {
    let world = World::of(adapter).await;
    let (once, idle) = (idempotency("k1", "b1"), idempotency("k2", "b2"));
    let nothing = || Write::Nothing { customer: Some(key("c1")) };
    let first = world.commit_once(put(&customer("c1", FROZEN)), &once).await.unwrap();
    let unchanged = world.commit_once(nothing(), &idle).await.unwrap();
    world.put(&customer("c2", "")).await.unwrap();
    let before = world.everything().await;

    // The record has moved on since, so only the key can tell that this is a repetition.
    let again = world.commit_once(put(&customer("c1", FROZEN)), &once).await.unwrap();
    assert_eq!(again, Committed { replayed: true, logged: None, ..first });
    let again = world.commit_once(nothing(), &idle).await.unwrap();
    assert_eq!(again, Committed { replayed: true, logged: None, ..unchanged });
    assert_eq!(world.everything().await, before);
}

async fn an_idempotency_key_for_something_else_is_refused(adapter: Adapter) {
    let world = World::of(adapter).await;
    let first = world.commit_once(put(&customer("c1", "")), &idempotency("k1", "b1")).await;
    first.unwrap();
    let other = world.commit_once(put(&customer("c2", "")), &idempotency("k1", "b2")).await;
    assert!(matches!(other, Err(CommitError::IdempotencyKeyReused)), "{other:?}");
}

async fn a_refused_commit_does_not_use_up_its_idempotency_key(adapter: Adapter) {
    let world = World::of(adapter).await;
    let once = idempotency("k1", "b1");
    let stale = CustomerWrite { expected: Some(Revision(1)), ..customer("c1", FROZEN) };
    world.commit_once(put(&stale), &once).await.unwrap_err();
    let second = world.commit_once(put(&customer("c1", FROZEN)), &once).await.unwrap();
    assert!(second.changed && !second.replayed);
}

async fn a_session_hears_every_commit_in_order(adapter: Adapter) {
    let mut world = World::of(adapter).await;
    let mut second = world.store.open_session(&[Partition(0)]).await.unwrap();
    let mut told = Vec::new();
    for number in 0..30_u32 {
        let write = match number % 3 {
            0 => operator_key("k1", Some("{\"n\":1}")),
            1 => put(&customer(&format!("c{number}"), FROZEN)),
            _ => put(&customer(&format!("c{number}"), "")),
        };
        told.push(write.subject().unwrap());
        world.commit(write).await.unwrap();
    }
    let log = world.log("", 100).await;
    for (place, subject) in told.into_iter().enumerate() {
        let change = world.hear().await;
        assert_eq!(change.revision, Revision(place as u64 + 2));
        assert_eq!((&change.subject, Some(&change)), (&subject, log.get(place + 1)));
        assert_eq!(heard_by(&mut second).await, change);
    }
}

async fn a_reply_never_runs_ahead_of_the_pushes(adapter: Adapter) {
    let mut world = World::of(adapter).await;
    let store = world.store.clone();
    let commits = tokio::spawn(async move {
        for number in 0..150 {
            let write = put(&customer(&format!("c{number}"), FROZEN));
            store.commit(commit(write, writer(), None)).await.unwrap();
        }
    });
    let mut heard = Revision(1);
    while heard < Revision(151) {
        let replied = world.head().await.revision;
        while let Ok(push) = world.session.pushes.try_recv() {
            heard = push.change.revision;
        }
        assert!(heard >= replied, "{heard} is heard, and the reply knows {replied}");
    }
    commits.await.unwrap();
}

async fn the_log_begins_with_the_entry_asked_for(adapter: Adapter) {
    let world = World::of(adapter).await;
    for number in 0..6 {
        world.put(&customer(&format!("c{number}"), FROZEN)).await.unwrap();
    }
    let whole = world.log("", 100).await;
    assert_eq!(whole.len(), 7);
    assert_eq!(whole[0].subject, Subject::Created);
    assert_eq!(world.log("", 2).await, whole[..2]);
    assert_eq!(world.log(&whole[3].log_id, 2).await, whole[3..5]);
    assert_eq!(world.log(&whole[6].log_id, 100).await, whole[6..]);
    let (last, _) = whole[6].log_id.split_once('-').unwrap();
    assert_eq!(world.log(&format!("{last}-{}", u64::MAX), 100).await, []);
}

async fn the_head_names_the_newest_entry_of_the_log(adapter: Adapter) {
    let world = World::of(adapter).await;
    for number in 0..5 {
        let newest = world.log("", 100).await.pop().unwrap();
        let head = world.head().await;
        assert_eq!(
            (head.epoch, head.revision, head.log_id),
            (epoch(), newest.revision, newest.log_id)
        );
        world.put(&customer(&format!("c{number}"), FROZEN)).await.unwrap();
        world.commit(Write::Nothing { customer: None }).await.unwrap();
    }
}

async fn the_census_in_the_head_matches_the_restricted_pages(adapter: Adapter) {
    let world = World::of(adapter).await;
    assert_eq!(world.head().await.restricted, Census::default());
    let mut at = BTreeMap::new();
    for (id, restrictions) in [
        ("c1", FROZEN),
        ("c2", DISABLED),
        ("c3", ""),
        ("c1", DISABLED),
        ("c1", DISABLED),
        ("c3", FROZEN),
        ("c2", ""),
        ("c2", ""),
        ("c2", FROZEN),
        ("c1", ""),
    ] {
        let write = CustomerWrite { expected: at.get(id).copied(), ..customer(id, restrictions) };
        at.insert(id, world.put(&write).await.unwrap().revision);
        let pages = world.restricted().await;
        assert_eq!(world.head().await.restricted, census_of(&pages));
    }
    let held = world.restricted().await;
    let named = held.iter().map(|entry| (entry.key.id(), entry.revision)).collect::<Vec<_>>();
    assert_eq!(named, [("c2", at["c2"]), ("c3", at["c3"])]);
    assert_eq!(held[0].restrictions, Restrictions::parse_compact(FROZEN).ok());
}

async fn a_restricted_set_of_many_pages_is_read_whole(adapter: Adapter) {
    let world = World::of(adapter).await;
    // Not all at once, or the last ones wait longer than the adapter does.
    for hundred in 0..23 {
        let commits = (0..100).map(|number| {
            let store = world.store.clone();
            let write = put(&customer(&format!("c{hundred:02}{number:02}"), FROZEN));
            tokio::spawn(async move { store.commit(commit(write, writer(), None)).await.unwrap() })
        });
        for committed in commits.collect::<Vec<_>>() {
            committed.await.unwrap();
        }
    }
    let pages = world.restricted().await;
    assert_eq!(pages.len(), 2300);
    assert_eq!(world.head().await.restricted, census_of(&pages));
}

async fn a_customer_without_restrictions_leaves_the_restricted_set(adapter: Adapter) {
    let world = World::of(adapter).await;
    let restricted = world.put(&customer("c1", FROZEN)).await.unwrap();
    assert_eq!(world.restricted().await.len(), 1);
    let lifted = CustomerWrite { expected: Some(restricted.revision), ..customer("c1", "") };
    world.put(&lifted).await.unwrap();
    assert_eq!(world.restricted().await, []);
    assert_eq!(world.head().await.restricted, Census::default());
}

async fn notes_are_only_in_the_private_part(adapter: Adapter) {
    const MARKER: &str = "do-not-show";
    let mut world = World::of(adapter).await;
    let mut write = customer("c1", FROZEN);
    write.private.name = Some(MARKER.to_owned());
    write.private.metadata.insert(MARKER.to_owned(), MARKER.to_owned());
    write.private.keep_note(RestrictionNote {
        source: Source::parse("wingback").unwrap(),
        kind: Kind::Frozen,
        actor: MARKER.to_owned(),
        notes: Some(MARKER.to_owned()),
        informed_at: None,
    });
    world.put(&write).await.unwrap();

    let read = world.store.read(&write.key).await.unwrap();
    let held = (read, world.hear().await, world.log("", 9).await, world.restricted().await);
    assert!(!format!("{held:?}").contains(MARKER), "{held:?}");
    let stored = world.store.customer(&write.key).await.unwrap().unwrap();
    assert_eq!(stored.private, write.private);
}

async fn audit_comes_newest_first_by_page(adapter: Adapter) {
    let world = World::of(adapter).await;
    for number in 0..6 {
        let id = format!("c{}", number % 2);
        world.commit(Write::Nothing { customer: Some(key(&id)) }).await.unwrap();
        world.put(&customer(&format!("new{number}"), FROZEN)).await.unwrap();
    }
    let all = world.audit(None, None, 100).await;
    let revisions = all.iter().map(|entry| entry.revision.0).collect::<Vec<_>>();
    assert_eq!(revisions, [7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1]);
    assert_eq!(all[0].entry, audit_of(&put(&customer("new5", FROZEN))));

    assert_eq!(world.audit(None, None, 5).await, all[..5]);
    assert_eq!(world.audit(None, Some(&all[4].id), 5).await, all[5..10]);
    assert_eq!(world.audit(None, Some(&all[9].id), 5).await, all[10..]);
    assert_eq!(world.audit(None, Some(&all[11].id), 5).await, []);

    let about = |id: &str| {
        let subject = key(id).to_string();
        all.iter().filter(|entry| entry.entry.subject == subject).cloned().collect::<Vec<_>>()
    };
    let c1 = world.audit(Some("c1"), None, 100).await;
    assert_eq!((c1.len(), &c1), (3, &about("c1")));
    assert_eq!(world.audit(Some("c1"), Some(&c1[0].id), 1).await, c1[1..2]);
    assert_eq!(world.audit(Some("new3"), None, 100).await, about("new3"));
    assert_eq!(world.audit(Some("c"), None, 100).await, []);
}

async fn notes_on_an_act_are_kept_beside_its_entry_and_go_with_the_customer(adapter: Adapter) {
    let world = World::of(adapter).await;
    let (key, other) = (customer("c1", FROZEN).key, customer("c2", FROZEN).key);
    let mut expected = BTreeMap::new();
    for (number, key) in [&key, &other, &key].into_iter().enumerate() {
        let notes = Notes::new(&format!("salt{number}"), &format!("seen {number}"));
        let write = Write::Nothing { customer: Some(key.clone()) };
        let mut commit = commit(write, writer(), None);
        (commit.audit.notes, commit.audit.notes_digest) = (None, Some(notes.digest()));
        commit.notes = Some(notes.clone());
        world.store.commit(commit).await.unwrap();
        expected.insert(notes.digest(), (key.clone(), notes));
    }
    let (world, expected) = (&world, &expected);
    let trail = |customer: Option<&CustomerKey>| {
        let page = AuditPage { customer: customer.cloned(), before: None, limit: 10 };
        async move { world.store.audit(&page).await.unwrap() }
    };
    let kept = |found: Vec<StoredAudit>| -> Vec<Option<String>> {
        found.into_iter().map(|it| it.entry.notes).collect()
    };
    let said = |numbers: &[usize]| -> Vec<Option<String>> {
        numbers.iter().map(|it| Some(format!("seen {it}"))).collect()
    };
    assert_eq!(kept(trail(None).await), said(&[2, 1, 0]));
    assert_eq!(kept(trail(Some(&key)).await), said(&[2, 0]));
    let links = async || world.store.audit_chain(Partition(0), None, 10).await.unwrap().links;
    for link in links().await {
        assert!(!link.entry.contains("seen"), "{}", link.entry);
        let place = NotesPlace::of(&link.entry).unwrap();
        let (of, notes) = &expected[&place.digest];
        assert_eq!((of, Some(notes.as_kept())), (&place.customer, link.notes.as_deref()));
    }
    let mut purge = customer("c1", FROZEN);
    purge.act.verb = Verb::Purge;
    world.put(&purge).await.unwrap();
    assert_eq!(kept(trail(None).await)[1..], [None, said(&[1])[0].clone(), None]);
    assert_eq!(links().await.iter().filter(|link| link.notes.is_some()).count(), 1);
}

async fn a_customers_own_trail_keeps_its_last_fifty_entries(adapter: Adapter) {
    let world = World::of(adapter).await;
    for _ in 0..53 {
        world.commit(Write::Nothing { customer: Some(key("c1")) }).await.unwrap();
    }
    world.commit(Write::Nothing { customer: Some(key("c2")) }).await.unwrap();
    let all = world.audit(None, None, 100).await;
    assert_eq!(all.len(), 54);
    assert_eq!(world.audit(Some("c1"), None, 100).await, all[1..51]);
    assert_eq!(world.audit(Some("c2"), None, 100).await, all[..1]);
}

async fn every_audit_entry_is_chained_to_the_one_before_it(adapter: Adapter) {
    let world = World::of(adapter).await;
    for number in 0..5 {
        world.put(&customer(&format!("c{number}"), FROZEN)).await.unwrap();
        world.commit(Write::Nothing { customer: None }).await.unwrap();
    }
    let mut before = String::new();
    for StoredAudit { id, revision, entry, chain, .. } in
        world.audit(None, None, 100).await.iter().rev()
    {
        let sha256 = format::hex(&Sha256::digest(serde_json::to_string(entry).unwrap()));
        let (millis, _) = id.split_once('-').unwrap();
        let millis: u64 = millis.parse().unwrap();
        // Redis 7.0 reads its clock once for the chain, and again for the id.
        let linked = (millis - 1000..=millis)
            .any(|at| *chain == format::sha1_hex(&format!("{before}{revision}{at}{sha256}")));
        assert!(linked, "{id} is not chained to what is before it");
        before.clone_from(chain);
    }
}

async fn an_entry_may_be_in_its_customers_trail_alone(adapter: Adapter) {
    let world = World::of(adapter).await;
    let before = world.commit(Write::Nothing { customer: Some(key("c1")) }).await;
    before.unwrap();
    let both = world.audit(None, None, 100).await;
    for number in 0..60 {
        let write = Write::Nothing { customer: Some(key("c1")) };
        let mut commit = commit(write, writer(), None);
        commit.trail = if number == 30 { Trail::Both } else { Trail::Customer };
        commit.audit.notes = Some(number.to_string());
        world.store.commit(commit).await.unwrap();
    }
    let trail = world.audit(None, None, 100).await;
    assert_eq!((trail.len(), &trail[1..]), (2, &both[..]));
    let own = world.audit(Some("c1"), None, 100).await;
    let told = own.iter().map(|it| it.entry.notes.clone().unwrap()).collect::<Vec<_>>();
    let expected = (10..60).rev().map(|it| it.to_string()).collect::<Vec<_>>();
    assert_eq!(told, expected);
    // It stands behind the newest entry that is chained.
    assert_eq!((&own[0].chain, &own[29].chain), (&trail[0].chain, &trail[0].chain));
    assert_eq!(own[30].chain, trail[1].chain);
    let links = world.store.audit_chain(Partition(0), None, 100).await.unwrap();
    assert_eq!((links.links.len(), &links.head), (2, &trail[0].chain));
}

async fn what_is_archived_is_taken_out_with_its_notes_and_of_no_other_history(adapter: Adapter) {
    let world = World::of(adapter).await;
    let notes = Notes::new("5a17", "called");
    for number in 0..4 {
        let write = Write::Nothing { customer: Some(key("c1")).filter(|_| number != 1) };
        let mut commit = commit(write, writer(), None);
        if number == 2 {
            commit.audit.subject = key("c1").to_string();
            commit.audit.notes_digest = Some(notes.digest());
            commit.notes = Some(notes.clone());
        }
        world.store.commit(commit).await.unwrap();
    }
    let page = async || world.store.audit_chain(Partition(0), None, 10).await.unwrap();
    let archived_to = async || world.store.audit_archived_to(Partition(0)).await.unwrap();
    let whole = page().await;
    let kept = |links: &[Link]| links.iter().filter(|it| it.notes.is_some()).count();
    assert_eq!((whole.links.len(), kept(&whole.links)), (4, 1));
    assert_eq!(archived_to().await, None);

    let links = whole.links[..3].iter().cloned();
    let old = Old {
        links: links.map(|link| Archived { partition: 0, link }).collect(),
        to: whole.links[2].id.clone(),
        stays_from: whole.links[3].id.clone(),
        has_more: false,
    };
    let other = Epoch::parse("ffffffffffffffff").unwrap();
    assert!(!world.store.take_out_audit(Partition(0), &other, &old).await.unwrap());
    assert_eq!(page().await, whole);
    assert!(world.store.take_out_audit(Partition(0), &writer().epoch, &old).await.unwrap());
    let left = page().await;
    assert_eq!((&left.links[..], &left.head), (&whole.links[3..], &whole.head));
    assert_eq!(archived_to().await, Some(old.to));
    assert_eq!(world.audit(Some("c1"), None, 10).await, world.audit(None, None, 10).await);
    // What comes next is chained to what stayed, and the same notes are no longer there.
    let mut again = commit(Write::Nothing { customer: Some(key("c1")) }, writer(), None);
    again.audit.subject = key("c1").to_string();
    again.audit.notes_digest = Some(notes.digest());
    world.store.commit(again).await.unwrap();
    let mut walk = Walk::begin(true);
    assert_eq!(walk.take(&page().await), Ok(()));
    assert_eq!((walk.entries, kept(&page().await.links)), (2, 0));
}

async fn an_act_that_changes_nothing_leaves_only_an_audit_entry(adapter: Adapter) {
    let mut world = World::of(adapter).await;
    world.put(&customer("c1", FROZEN)).await.unwrap();
    world.hear().await;
    let (head, log) = (world.head().await, world.log("", 100).await);

    let nothing = Write::Nothing { customer: Some(key("c1")) };
    let committed = world.commit(nothing.clone()).await.unwrap();
    let expected =
        Committed { revision: Revision(2), changed: false, replayed: false, logged: None };
    assert_eq!(committed, expected);
    assert_eq!((world.head().await, world.log("", 100).await), (head, log));
    let audit = world.audit(Some("c1"), None, 1).await;
    assert_eq!((&audit[0].entry, audit[0].revision), (&audit_of(&nothing), Revision(2)));

    world.put(&customer("c2", FROZEN)).await.unwrap();
    assert_eq!(world.hear().await.revision, Revision(3));
}

async fn customers_are_listed_in_order_by_prefix_and_page(adapter: Adapter) {
    let world = World::of(adapter).await;
    // In the order of bytes: capitals before small letters, 10 before 9, a prefix before what
    // it begins.
    let ids = ["A", "a", "a-1", "a-10", "a-9", "a.b", "a:b", "aa", "b"];
    for id in ["aa", "a-9", "A", "a:b", "b", "a", "a-10", "a.b", "a-1"] {
        world.put(&customer(id, "")).await.unwrap();
    }
    for neighbour in ["acm:z", "acme-2:a", "acmf:a", "zebra:a"] {
        let key = CustomerKey::parse(neighbour).unwrap();
        world.put(&CustomerWrite { key, ..customer("x", FROZEN) }).await.unwrap();
    }
    let up = Direction::Ascending;
    let down = Direction::Descending;
    let backwards = ids.iter().rev().copied().collect::<Vec<_>>();

    assert_eq!(world.list("acme:", None, 100, up).await, ids);
    assert_eq!(world.list("acme:", None, 100, down).await, backwards);
    assert_eq!(world.list("acme:a-", None, 100, up).await, ["a-1", "a-10", "a-9"]);
    assert_eq!(world.list("acme:a-", None, 100, down).await, ["a-9", "a-10", "a-1"]);
    assert_eq!(world.list("acme:a-1", None, 100, down).await, ["a-10", "a-1"]);
    assert_eq!(world.list("acme:c", None, 100, up).await, [""; 0]);
    assert_eq!(world.list("acme:", None, 4, up).await, ids[..4]);
    assert_eq!(world.list("acme:", Some("acme:a-10"), 4, up).await, ids[4..8]);
    assert_eq!(world.list("acme:", Some("acme:aa"), 4, up).await, ids[8..]);
    assert_eq!(world.list("acme:", Some("acme:b"), 4, up).await, [""; 0]);
    assert_eq!(world.list("acme:", None, 4, down).await, backwards[..4]);
    assert_eq!(world.list("acme:", Some("acme:a.b"), 4, down).await, backwards[4..8]);
    assert_eq!(world.list("acme:", Some("acme:A"), 4, down).await, [""; 0]);
    // Where the page begins need not be a customer.
    assert_eq!(world.list("acme:", Some("acme:a-5"), 1, up).await, ["a-9"]);
    assert_eq!(world.list("acme:", Some("acme:a-5"), 1, down).await, ["a-10"]);
}

async fn restricted_customers_are_listed_alone(adapter: Adapter) {
    let world = World::of(adapter).await;
    for (id, restrictions) in [("c1", FROZEN), ("c2", ""), ("c3", DISABLED), ("c4", FROZEN)] {
        world.put(&customer(id, restrictions)).await.unwrap();
    }
    let active = CustomerWrite { expected: Some(Revision(5)), ..customer("c4", "") };
    world.put(&active).await.unwrap();
    let page =
        CustomerPage { among: Among::Restricted, ..page("acme:", None, 100, Direction::Ascending) };
    let listed = world.store.customers(&page).await.unwrap();
    let ids = listed.iter().map(|customer| customer.record.key.id()).collect::<Vec<_>>();
    assert_eq!(ids, ["c1", "c3"]);
}

async fn creation_happens_once(adapter: Adapter) {
    let place = Place::empty(adapter);
    let store = place.open();
    let mut session = store.open_session(&[Partition(0)]).await.unwrap();
    assert_eq!(session.reader.head(Partition(0)).await.unwrap(), None);
    assert!(store.read(&key("c1")).await.is_err());
    let early = store.commit(commit(put(&customer("c1", "")), writer(), None)).await;
    assert!(matches!(early, Err(CommitError::Epoch)), "{early:?}");

    store.create(&epoch(), adapter.partitions()).await.unwrap();
    let again = store.create(&Epoch::parse("second").unwrap(), adapter.partitions()).await;
    assert!(matches!(again, Err(CreateError::Exists)), "{again:?}");

    let head = session.reader.head(Partition(0)).await.unwrap().unwrap();
    let log = session.reader.log(Partition(0), "", 100).await.unwrap();
    assert_eq!((head.epoch, head.revision), (epoch(), Revision(1)));
    let first = Change { revision: Revision(1), log_id: head.log_id, subject: Subject::Created };
    assert_eq!(log, std::slice::from_ref(&first));
    assert_eq!(heard_by(&mut session).await, first);
}

async fn customers_are_named_in_order_a_page_at_a_time(adapter: Adapter) {
    let world = World::of(adapter).await;
    for id in ["c3", "c1", "c5", "c2", "c4"] {
        world.put(&customer(id, "")).await.unwrap();
    }
    let (mut named, mut after) = (Vec::new(), None);
    loop {
        let page = world.store.customer_keys(Partition(0), after.as_deref(), 2).await.unwrap();
        assert_eq!(page.epoch, epoch());
        assert!(page.keys.len() <= 2);
        named.extend(page.keys);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let is_there = |key: &CustomerKey| world.store.partitions().of(key) == Partition(0);
    let there = ["c1", "c2", "c3", "c4", "c5"].map(key).into_iter().filter(is_there);
    assert_eq!(named, there.collect::<Vec<_>>());
}

async fn two_concurrent_writers_never_lose_an_update(adapter: Adapter) {
    let world = World::of(adapter).await;
    world.put(&customer("c1", "")).await.unwrap();
    let raise = |store: Store| async move {
        let mut conflicts = 0;
        for _ in 0..50 {
            loop {
                let known = store.customer(&key("c1")).await.unwrap().unwrap();
                let mut write = customer("c1", "");
                write.expected = Some(known.record.revision);
                write.body.obligations.pending_orders =
                    known.record.body.obligations.pending_orders + 1;
                match store.commit(commit(put(&write), writer(), None)).await {
                    Ok(_) => break,
                    Err(CommitError::Conflict) => conflicts += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        conflicts
    };
    let first = tokio::spawn(raise(world.store.clone()));
    let second = tokio::spawn(raise(world.store.clone()));
    let conflicts: usize = first.await.unwrap() + second.await.unwrap();

    let known = world.store.customer(&key("c1")).await.unwrap().unwrap();
    assert_eq!(known.record.body.obligations.pending_orders, 100, "{conflicts} conflicts");
    assert_eq!(world.head().await.revision, Revision(102));
}

async fn keys_are_stored_and_revoked_and_heard_by_sessions(adapter: Adapter) {
    let mut world = World::of(adapter).await;
    let pair = |id: &str, stored: &str| (id.to_owned(), stored.to_owned());
    world.commit(operator_key("k1", Some("{\"name\":\"alice\"}"))).await.unwrap();
    world.commit(operator_key("k2", Some("{\"name\":\"bob\"}"))).await.unwrap();
    world.commit(operator_key("k1", Some("{\"name\":\"carol\"}"))).await.unwrap();
    let expected = [pair("k1", "{\"name\":\"carol\"}"), pair("k2", "{\"name\":\"bob\"}")];
    assert_eq!(world.keys().await, expected);

    world.commit(operator_key("k1", None)).await.unwrap();
    assert_eq!(world.keys().await, expected[1..]);
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(world.hear().await.subject);
    }
    assert_eq!(heard[3], Subject::Key { id: "k1".to_owned(), stored: None });
    let carol = Some("{\"name\":\"carol\"}".to_owned());
    assert_eq!(heard[2], Subject::Key { id: "k1".to_owned(), stored: carol });
}

async fn what_the_guard_says_of_a_source_is_stored_and_heard_by_sessions(adapter: Adapter) {
    let mut world = World::of(adapter).await;
    let billing = Source::parse("billing").unwrap();
    assert_eq!(world.session.reader.sources().await.unwrap(), []);
    for stored in [r#"{"restricted":1}"#, "{}"] {
        let write = Write::Source { source: billing.clone(), stored: stored.to_owned() };
        world.commit(write).await.unwrap();
        let heard = world.hear().await.subject;
        assert_eq!(heard, Subject::Source { source: billing.clone(), stored: stored.to_owned() });
        let sources = world.session.reader.sources().await.unwrap();
        assert_eq!(sources, [("billing".to_owned(), stored.to_owned())]);
    }
    assert_eq!(world.keys().await, []);
}

async fn the_mode_of_the_fleet_is_stored_and_heard_by_sessions(adapter: Adapter) {
    let mut world = World::of(adapter).await;
    assert_eq!(world.head().await.fleet, None);
    for shadow in ["shadow@1795255203000".parse().ok(), None] {
        world.commit(Write::Fleet { shadow }).await.unwrap();
        assert_eq!(world.hear().await.subject, Subject::Fleet { shadow });
        assert_eq!(world.head().await.fleet, shadow);
    }
}

async fn an_alias_changes_hands_by_compare_and_set(adapter: Adapter) {
    let world = World::of(adapter).await;
    let tenant = TenantId::parse("acme").unwrap();
    let (source, id) = (Source::parse("stripe").unwrap(), CustomerId::parse("cus_1").unwrap());
    let alias = Alias { tenant, source: source.clone(), id: id.clone() };
    let claim = |id: &str, millis| {
        let since = Timestamp::from_millis(millis);
        Claim { customer: CustomerKey::parse(id).unwrap(), since }
    };
    let (one, other) = (claim("acme:c1", 1), claim("acme:c2", 2));
    let later = claim("acme:c1", 2);
    let set = |held, claim| world.store.set_alias(&alias, held, claim);
    assert_eq!(world.store.alias(&alias).await.unwrap(), None);
    assert!(set(None, Some(&one)).await.unwrap());
    assert_eq!(world.store.alias(&alias).await.unwrap(), Some(one.clone()));
    for wrong in [None, Some(&other), Some(&later)] {
        assert!(!set(wrong, Some(&other)).await.unwrap(), "{wrong:?}");
        assert!(!set(wrong, None).await.unwrap(), "{wrong:?}");
    }
    assert!(set(Some(&one), Some(&other)).await.unwrap());
    assert!(set(Some(&other), None).await.unwrap());
    assert_eq!(world.store.alias(&alias).await.unwrap(), None);
    // It is in no other tenant's way.
    let theirs = Alias { tenant: TenantId::parse("other").unwrap(), source, id };
    assert!(world.store.set_alias(&theirs, None, Some(&other)).await.unwrap());
    assert_eq!(world.store.alias(&alias).await.unwrap(), None);
}

async fn the_latest_use_of_a_key_is_the_one_that_counts(adapter: Adapter) {
    let world = World::of(adapter).await;
    let uses = |pairs: &[(&str, i64)]| -> Vec<(String, Timestamp)> {
        let pair = |it: &(&str, i64)| (it.0.to_owned(), Timestamp::from_millis(it.1));
        pairs.iter().map(pair).collect()
    };
    assert_eq!(world.store.key_uses().await.unwrap().len(), 0);
    for told in [&[("k1", 1_795_255_203_123), ("k2", 5)][..], &[("k1", 7), ("k2", 8)], &[("k3", 1)]]
    {
        world.store.note_key_uses(&uses(told)).await.unwrap();
    }
    let mut noted: Vec<_> = world.store.key_uses().await.unwrap().into_iter().collect();
    noted.sort();
    assert_eq!(noted, uses(&[("k1", 1_795_255_203_123), ("k2", 8), ("k3", 1)]));
}

async fn customers_are_counted(adapter: Adapter) {
    let world = World::of(adapter).await;
    assert_eq!(world.store.count_customers().await.unwrap(), 0);
    for (id, restrictions) in [("c1", FROZEN), ("c2", ""), ("c3", BOTH)] {
        world.put(&customer(id, restrictions)).await.unwrap();
    }
    assert_eq!(world.store.count_customers().await.unwrap(), 3);
}

async fn what_waits_for_a_customer_is_listed_in_order_and_the_oldest_goes_first(adapter: Adapter) {
    let world = World::of(adapter).await;
    let store = &world.store;
    assert_eq!(store.unresolved(None, 10).await.unwrap(), []);
    for (text, dropped) in [("a", 0), ("b", 0), ("c", 0), ("d", 1)] {
        assert_eq!(store.add_unresolved(&epoch(), text, 3).await.unwrap(), Some(dropped));
    }
    let texts = |entries: &[UnresolvedEntry]| {
        entries.iter().map(|entry| entry.text.clone()).collect::<Vec<_>>()
    };
    let first = store.unresolved(None, 2).await.unwrap();
    assert_eq!(texts(&first), ["b", "c"]);
    let rest = store.unresolved(Some(&first[1].id), 2).await.unwrap();
    assert_eq!(texts(&rest), ["d"]);
    store.remove_unresolved(&first[1].id).await.unwrap();
    store.remove_unresolved(&first[1].id).await.unwrap();
    assert_eq!(texts(&store.unresolved(None, 10).await.unwrap()), ["b", "d"]);
    assert_eq!(store.count_unresolved().await.unwrap(), 2);
    let another = Epoch::parse("another").unwrap();
    assert_eq!(store.add_unresolved(&another, "e", 3).await.unwrap(), None);
    assert_eq!(store.count_unresolved().await.unwrap(), 2);
}

async fn a_lease_has_one_holder_who_renews_it_and_gives_it_back(adapter: Adapter) {
    let world = World::of(adapter).await;
    let hold = |lease, holder| world.store.hold_lease(lease, holder, Duration::from_mins(1));
    for lease in [Lease::Ingest, Lease::Recovery(Partition(0))] {
        assert!(hold(lease, "a").await.unwrap());
        assert!(hold(lease, "a").await.unwrap());
        assert_eq!(hold(lease, "b").await.unwrap(), adapter.is_one_process());

        // Who does not have it gives nothing back.
        world.store.release_lease(lease, "b").await.unwrap();
        assert_eq!(hold(lease, "b").await.unwrap(), adapter.is_one_process());
        world.store.release_lease(lease, "a").await.unwrap();
        assert!(hold(lease, "b").await.unwrap());
    }
}

async fn a_lease_that_is_not_renewed_goes_to_who_asks_next(adapter: Adapter) {
    let world = World::of(adapter).await;
    let ttl = Duration::from_millis(200);
    let hold = |holder| world.store.hold_lease(Lease::Ingest, holder, ttl);
    assert!(hold("a").await.unwrap());
    let taken = async {
        while !hold("b").await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(5), taken).await.unwrap();
    assert_eq!(hold("a").await.unwrap(), adapter.is_one_process());
}

async fn an_empty_store_grants_no_lease_that_would_be_its_only_key(adapter: Adapter) {
    let place = Place::empty(adapter);
    let store = place.open();
    let asked = store.hold_lease(Lease::Ingest, "a", Duration::from_mins(1)).await;
    assert_eq!(asked.unwrap(), adapter.is_one_process());
    store.create(&epoch(), Partitions::ONE).await.unwrap();
}

async fn any_sequence_of_commits_leaves_what_a_model_predicts(adapter: Adapter) {
    let world = RefCell::new(World::of(adapter).await);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let cases = Cell::new(0);
    let follow_all = |steps: Vec<Step>| {
        // A tenant of its own, so that one store serves every case.
        cases.set(cases.get() + 1);
        let tenant = format!("t{}", cases.get());
        let mut world = world.borrow_mut();
        block_in_place(|| Handle::current().block_on(follow(&mut world, &tenant, steps)));
        Ok(())
    };
    TestRunner::new(config).run(&vec(any_step(), 1..30), follow_all).unwrap();
}

/// Something that may be asked of a store.
#[derive(Clone, Debug)]
enum Step {
    Put { who: usize, restrictions: &'static str, read: HowRead },
    Key { stored: Option<&'static str> },
    Nothing { who: usize },
    Repeat(Index),
}

/// Whether the writer read the customer before it writes.
#[derive(Clone, Copy, Debug)]
enum HowRead {
    Well,
    TooEarly,
}

fn any_step() -> impl Strategy<Value = Step> {
    let put = (0..4_usize, select(&["", FROZEN, DISABLED, BOTH][..]), 0..5_u8).prop_map(
        |(who, restrictions, luck)| {
            let read = if luck == 0 { HowRead::TooEarly } else { HowRead::Well };
            Step::Put { who, restrictions, read }
        },
    );
    prop_oneof![
        6 => put,
        1 => select(&[None, Some("{}")][..]).prop_map(|stored| Step::Key { stored }),
        1 => (0..4_usize).prop_map(|who| Step::Nothing { who }),
        2 => any::<Index>().prop_map(Step::Repeat),
    ]
}

/// Takes the steps in the store and in a model of it, and compares.
async fn follow(world: &mut World, tenant: &str, steps: Vec<Step>) {
    let named = |who: usize| CustomerKey::parse(&format!("{tenant}:c{who}")).unwrap();
    let Head { mut revision, log_id: mut newest, .. } = world.head().await;
    let mut records = BTreeMap::<CustomerKey, Record>::new();
    let mut made = Vec::<(Write, Idempotency, Committed)>::new();
    while world.session.pushes.try_recv().is_ok() {}

    for (place, step) in steps.into_iter().enumerate() {
        let write = match step {
            Step::Put { who, restrictions, read } => {
                let key = named(who);
                let held = records.get(&key).map(|record| record.revision);
                let expected = match read {
                    HowRead::Well => held,
                    HowRead::TooEarly => Some(Revision(held.map_or(7, |held| held.0 - 1))),
                };
                let write = CustomerWrite { key, expected, ..customer("c", restrictions) };
                if matches!(read, HowRead::TooEarly) {
                    let refused = world.put(&write).await;
                    assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
                    continue;
                }
                put(&write)
            }
            Step::Key { stored } => operator_key(tenant, stored),
            Step::Nothing { who } => Write::Nothing { customer: Some(named(who)) },
            Step::Repeat(_) if made.is_empty() => continue,
            Step::Repeat(which) => {
                let (write, idempotency, committed) = which.get(&made);
                let again = world.commit_once(write.clone(), idempotency).await.unwrap();
                assert_eq!(again, Committed { replayed: true, logged: None, ..committed.clone() });
                continue;
            }
        };
        let once = idempotency(&format!("{tenant}-{place}"), "body");
        let committed = world.commit_once(write.clone(), &once).await.unwrap();
        let changed = write.subject().is_some();
        if changed {
            revision = revision.next();
            let heard = world.hear().await;
            assert_eq!((heard.revision, Some(heard.subject)), (revision, write.subject()));
            if let Some(Logged { log_id, follows }) = &committed.logged {
                assert_eq!((log_id, follows), (&heard.log_id, &newest));
            }
            newest = heard.log_id;
        }
        let Committed { logged, .. } = committed.clone();
        assert_eq!(committed, Committed { revision, changed, replayed: false, logged });
        if let Write::Customer(write) = &write {
            let CustomerWrite { key, body, .. } = (**write).clone();
            records.insert(key.clone(), Record { key, revision, body });
        }
        made.push((write, once, committed));
    }

    let (head, pages) = (world.head().await, world.restricted().await);
    assert_eq!((head.revision, head.restricted), (revision, census_of(&pages)));
    let restricted = records.values().filter(|record| !record.body.restrictions.is_empty());
    let expected = restricted.map(|Record { key, revision, body }| RestrictedEntry {
        key: key.clone(),
        revision: *revision,
        restrictions: Some(body.restrictions.clone()),
    });
    let ours = pages.into_iter().filter(|entry| entry.key.tenant() == tenant);
    assert_eq!(ours.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    for key in (0..4).map(named) {
        let expected = records.get(&key).cloned().map_or(StoredRecord::Absent, StoredRecord::Known);
        assert_eq!(world.store.read(&key).await.unwrap().record, expected);
    }
    let page = page(&format!("{tenant}:"), None, 100, Direction::Ascending);
    let listed = world.store.customers(&page).await.unwrap().into_iter();
    let listed = listed.map(|customer| customer.record).collect::<Vec<_>>();
    assert_eq!(listed, records.into_values().collect::<Vec<_>>());
}

/// The stores that are held to the contract.
#[derive(Clone, Copy, Debug)]
enum Adapter {
    Memory,
    File,
    RedisSocket,
    RedisTcp,
    Valkey,
    RedisCluster,
}

impl Adapter {
    /// Whether nobody else can have the store, so that every lease is granted.
    fn is_one_process(self) -> bool {
        match self {
            Self::Memory | Self::File => true,
            Self::RedisSocket | Self::RedisTcp | Self::Valkey | Self::RedisCluster => false,
        }
    }

    /// How many partitions it is created with. What is promised is promised of each, and tried
    /// in the first.
    fn partitions(self) -> Partitions {
        match self {
            Self::RedisCluster => Partitions::new(6).unwrap(),
            Self::Memory | Self::File | Self::RedisSocket | Self::RedisTcp | Self::Valkey => {
                Partitions::ONE
            }
        }
    }
}

/// Where a store lives as long as its test does.
#[derive(Debug)]
enum Place {
    Memory,
    Directory(TempDir),
    Cluster(RedisCluster),
    Server(RedisServer, fn(&RedisServer) -> Settings),
}

impl Place {
    fn empty(adapter: Adapter) -> Self {
        let start = |flavor| RedisServer::start(flavor, Persistence::None);
        match adapter {
            Adapter::Memory => Self::Memory,
            Adapter::File => Self::Directory(tempfile::tempdir().unwrap()),
            Adapter::RedisSocket => Self::Server(start(Flavor::Redis), RedisServer::settings),
            Adapter::RedisTcp => Self::Server(start(Flavor::Redis), RedisServer::tcp_settings),
            Adapter::Valkey => Self::Server(start(Flavor::Valkey), RedisServer::settings),
            Adapter::RedisCluster => {
                Self::Cluster(RedisCluster::start(Flavor::Redis, 3, Replicas::None))
            }
        }
    }

    fn open(&self) -> Store {
        let clock = Clock::system();
        match self {
            Self::Memory => Store::Embedded(Embedded::in_memory(clock).unwrap()),
            Self::Directory(directory) => {
                let path = directory.path().join("tollgate.redb");
                Store::Embedded(Embedded::open(&path, clock).unwrap())
            }
            Self::Cluster(cluster) => Store::Redis(Redis::open(&cluster.settings()).unwrap()),
            Self::Server(server, settings) => Store::Redis(Redis::open(&settings(server)).unwrap()),
        }
    }
}

/// A store whose history has begun, and a session on it from the start.
struct World {
    store: Store,
    session: Session,
    // Last, so that the store is closed before its place goes.
    _place: Place,
}

impl World {
    async fn of(adapter: Adapter) -> Self {
        let place = Place::empty(adapter);
        let store = place.open();
        store.create(&epoch(), adapter.partitions()).await.unwrap();
        let session = store.open_session(&[Partition(0)]).await.unwrap();
        store.read_on(&[Partition(0)], &session);
        Self { store, session, _place: place }
    }

    async fn put(&self, write: &CustomerWrite) -> Result<Committed, CommitError> {
        self.commit(put(write)).await
    }

    async fn commit(&self, write: Write) -> Result<Committed, CommitError> {
        self.try_commit(write, writer(), None).await
    }

    async fn commit_once(
        &self,
        write: Write,
        once: &Idempotency,
    ) -> Result<Committed, CommitError> {
        self.try_commit(write, writer(), Some(once)).await
    }

    async fn try_commit(
        &self,
        write: Write,
        writer: Writer,
        idempotency: Option<&Idempotency>,
    ) -> Result<Committed, CommitError> {
        self.store.commit(commit(write, writer, idempotency.cloned())).await
    }

    async fn head(&self) -> Head {
        self.session.reader.head(Partition(0)).await.unwrap().unwrap()
    }

    async fn log(&self, from: &str, count: usize) -> Vec<Change> {
        self.session.reader.log(Partition(0), from, count).await.unwrap()
    }

    async fn keys(&self) -> Vec<(String, String)> {
        let mut keys = self.session.reader.keys().await.unwrap();
        keys.sort();
        keys
    }

    /// The whole restricted set, by key; a page may say an entry twice.
    async fn restricted(&self) -> Vec<RestrictedEntry> {
        let mut entries = BTreeMap::new();
        let mut from = None;
        for _ in 0..100 {
            let page = self.session.reader.restricted_page(Partition(0), from.as_deref());
            let page = page.await.unwrap();
            entries.extend(page.entries.into_iter().map(|entry| (entry.key.clone(), entry)));
            from = page.next;
            if from.is_none() {
                return entries.into_values().collect();
            }
        }
        panic!("the pages of the restricted set do not end")
    }

    async fn audit(
        &self,
        id: Option<&str>,
        before: Option<&str>,
        limit: usize,
    ) -> Vec<StoredAudit> {
        let (customer, before) = (id.map(key), before.map(|raw| raw.parse().unwrap()));
        self.store.audit(&AuditPage { customer, before, limit }).await.unwrap()
    }

    /// The ids on a page of customers.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        direction: Direction,
    ) -> Vec<String> {
        let page = page(prefix, after, limit, direction);
        let listed = self.store.customers(&page).await.unwrap();
        listed.iter().map(|customer| customer.record.key.id().to_owned()).collect()
    }

    async fn hear(&mut self) -> Change {
        heard_by(&mut self.session).await
    }

    /// All that can be seen of the store.
    async fn everything(&self) -> String {
        let customers = page("", None, 1000, Direction::Ascending);
        let customers = self.store.customers(&customers).await.unwrap();
        let (log, audit) = (self.log("", 1000).await, self.audit(None, None, 1000).await);
        let (restricted, keys) = (self.restricted().await, self.keys().await);
        format!("{:#?}", (self.head().await, customers, log, audit, restricted, keys))
    }
}

async fn heard_by(session: &mut Session) -> Change {
    let heard = timeout(Duration::from_secs(5), session.pushes.recv()).await;
    let Push { partition, change, .. } = heard.unwrap().unwrap();
    assert_eq!(partition, Partition(0));
    change
}

fn epoch() -> Epoch {
    Epoch::parse("k3f9").unwrap()
}

/// One that follows the history and has applied its beginning.
fn writer() -> Writer {
    Writer { epoch: epoch(), watermark: Revision(1) }
}

fn key(id: &str) -> CustomerKey {
    CustomerKey::parse(&format!("acme:{id}")).unwrap()
}

/// A new customer with these restrictions.
fn customer(id: &str, restrictions: &str) -> CustomerWrite {
    let restrictions = Restrictions::parse_compact(restrictions).unwrap();
    CustomerWrite {
        key: key(id),
        expected: None,
        body: RecordBody { restrictions, ..RecordBody::default() },
        private: Private::default(),
        entitlements_changed: true,
        act: Act {
            verb: Verb::Put,
            source: Source::operator(),
            kind: None,
            reason: None,
            since: None,
            until: None,
            at: None,
            exact: false,
            imported: false,
            recovers: None,
        },
    }
}

fn put(write: &CustomerWrite) -> Write {
    Write::Customer(Box::new(write.clone()))
}

fn operator_key(id: &str, stored: Option<&str>) -> Write {
    Write::Key { id: id.to_owned(), stored: stored.map(str::to_owned) }
}

fn commit(write: Write, writer: Writer, idempotency: Option<Idempotency>) -> Commit {
    let (audit, trail) = (audit_of(&write), Trail::Both);
    Commit { audit, write, writer, notes: None, idempotency, trail }
}

/// The entry that goes with a write.
fn audit_of(write: &Write) -> AuditEntry {
    let subject = match write {
        Write::Customer(write) => write.key.to_string(),
        Write::Conflict { forgotten, .. } => forgotten.to_string(),
        Write::Fleet { .. } => "fleet".to_owned(),
        Write::Whole { .. } => "store".to_owned(),
        Write::Key { id, .. } => id.clone(),
        Write::Source { source, .. } => source.to_string(),
        Write::Nothing { customer } => {
            customer.as_ref().map_or_else(String::new, ToString::to_string)
        }
    };
    AuditEntry {
        subject,
        action: "put".to_owned(),
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
        notes: Some("\"quoted\", né(e) Ω".to_owned()),
        notes_digest: None,
        informed_at: None,
        before: Restrictions::default(),
        after: Restrictions::default(),
        request_id: None,
        batch: None,
        at: Timestamp::from_millis(1_763_719_200_120),
    }
}

fn idempotency(key: &str, body: &str) -> Idempotency {
    let digest = |text: &str| format::hex(&Sha256::digest(text));
    Idempotency { key_digest: digest(key), body_digest: digest(body) }
}

fn page(prefix: &str, after: Option<&str>, limit: usize, direction: Direction) -> CustomerPage {
    let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
    CustomerPage { among: Among::All, prefix, after, limit, direction }
}

fn census_of(entries: &[RestrictedEntry]) -> Census {
    let add = |census: Census, entry: &RestrictedEntry| census.with(&entry.key, entry.revision);
    entries.iter().fold(Census::default(), add)
}

const FROZEN: &str = "frozen,wingback,non_payment,1000,";
const DISABLED: &str = "disabled,operator,compliance,5,90";
const BOTH: &str = "disabled,operator,compliance,5,90;frozen,wingback,non_payment,1000,";
