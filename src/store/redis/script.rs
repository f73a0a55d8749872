//! The scripts: what they are sent, and what their answers mean.

use std::sync::LazyLock;

use redis::{Script, ScriptInvocation};
use sha2::{Digest as _, Sha256};

use super::{
    super::{
        Commit, CommitError, Committed, CreateError, Logged, StoreError, Succession,
        SuccessionError, Trail, Write,
        format::{self, FORMAT, hex, unexpected},
    },
    keys::Keys,
    session::{FLEET_MODE, PARTIAL},
};
use crate::domain::{
    CustomerKey, Epoch, Partition, Partitions, Revision, Subject,
    audit::{
        archive::Old,
        notes::{Notes, NotesPlace},
    },
};

/// Prepares the script that makes `commit` in `partition`.
pub(super) fn commit(
    keys: &Keys,
    partition: Partition,
    commit: &Commit,
) -> Result<ScriptInvocation<'static>, StoreError> {
    let entry = serde_json::to_string(&commit.audit).map_err(unexpected)?;
    let entry_sha256 = hex(&Sha256::digest(&entry));
    let digests = commit.idempotency.as_ref();
    let (arguments, customer) = arguments(&commit.write)?;

    // What a commit does not touch is named by a key that it does: on a cluster every key has to
    // be of the same partition, and no name may be empty.
    let meta = keys.meta(partition);
    let per_customer = |name: fn(&Keys, Partition, &CustomerKey) -> String| {
        customer.map_or_else(String::new, |customer| name(keys, partition, customer))
    };
    let audit = keys.audit(partition);
    let or = |name: String, otherwise: &str| {
        if name.is_empty() { otherwise.to_owned() } else { name }
    };
    let mut invocation = COMMIT.prepare_invoke();
    invocation
        .key(&meta)
        .key(or(per_customer(Keys::record), &keys.channel(partition)))
        .key(or(per_customer(Keys::private), &keys.channel(partition)))
        .key(keys.restricted(partition))
        .key(keys.restricted_index(partition))
        .key(keys.customers(partition))
        .key(keys.log(partition))
        .key(&audit)
        .key(or(per_customer(Keys::customer_audit), &audit))
        .key(digests.map_or_else(
            || keys.channel(partition),
            |digests| keys.idempotency(partition, &digests.key_digest),
        ))
        .key(match commit.write {
            Write::Conflict { .. } => keys.conflicts(partition),
            Write::Key { .. } => keys.operators(),
            Write::Source { .. } => keys.guard(),
            Write::Customer(_)
            | Write::Fleet { .. }
            | Write::Nothing { .. }
            | Write::Whole { .. } => meta.clone(),
        })
        .key(keys.lost(partition))
        .key(or(per_customer(Keys::notes), &meta))
        .arg(arguments.what)
        .arg(commit.writer.epoch.as_str())
        .arg(commit.writer.watermark.0)
        .arg(arguments.expected)
        .arg(customer.map_or("", CustomerKey::as_str))
        .arg(format!("{{\"format\":{FORMAT},\"revision\":"))
        .arg(arguments.record_end)
        .arg(arguments.private)
        .arg(arguments.compact)
        .arg(arguments.line)
        .arg(entry)
        .arg(entry_sha256)
        .arg(digests.map_or("", |digests| &digests.body_digest))
        .arg(u8::from(digests.is_some() && commit.uses_up_its_key()))
        .arg(arguments.field)
        .arg(arguments.stored)
        .arg(keys.channel(partition))
        .arg(keys.channels.publish())
        .arg(match commit.trail {
            Trail::Both => "both",
            Trail::Customer => "customer",
        })
        .arg(arguments.erases)
        .arg(commit.notes.as_ref().map(Notes::digest).unwrap_or_default())
        .arg(commit.notes.as_ref().map_or("", Notes::as_kept));
    Ok(invocation)
}

/// What the script is told of a write, and the customer that it is about.
fn arguments(write: &Write) -> Result<(Arguments, Option<&CustomerKey>), StoreError> {
    let line = write.subject().map(|subject| subject.to_log()).unwrap_or_default();

    let mut arguments = Arguments { line, ..Arguments::default() };
    let customer = match write {
        Write::Customer(write) => {
            arguments.what = "customer";
            arguments.expected = write.expected.map(|at| at.to_string()).unwrap_or_default();
            arguments.record_end = format::record_tail(&write.body)?;
            arguments.private = format::private_text(&write.private)?.unwrap_or_default();
            arguments.erases = u8::from(write.erases());
            arguments.compact = write.body.told().to_compact();
            Some(&write.key)
        }
        Write::Conflict { forgotten, stored } => {
            arguments.what = "field";
            arguments.field = forgotten.to_string();
            arguments.stored = stored.clone().unwrap_or_default();
            None
        }
        Write::Key { id, stored } => {
            arguments.what = "field";
            arguments.field.clone_from(id);
            arguments.stored = stored.clone().unwrap_or_default();
            None
        }
        // A field of another hash, and written alike.
        Write::Source { source, stored } => {
            arguments.what = "field";
            source.as_str().clone_into(&mut arguments.field);
            arguments.stored.clone_from(stored);
            None
        }
        // A field of meta.
        Write::Fleet { shadow } => {
            arguments.what = "field";
            FLEET_MODE.clone_into(&mut arguments.field);
            arguments.stored = shadow.map(|shadow| shadow.to_string()).unwrap_or_default();
            None
        }
        // A field of meta that every instance reads at every heartbeat, so nobody has to be told.
        Write::Whole { .. } => {
            arguments.what = "nothing";
            PARTIAL.clone_into(&mut arguments.field);
            None
        }
        Write::Nothing { customer } => {
            arguments.what = "nothing";
            customer.as_ref()
        }
    };
    Ok((arguments, customer))
}

/// Reads what the commit script answered.
pub(super) fn read_commit_reply(reply: &[String]) -> Result<Committed, CommitError> {
    let committed = |revision: &String, changed: &String, replayed, logged| {
        let revision = revision.parse().map(Revision).map_err(unexpected)?;
        Ok(Committed { revision, changed: changed == "1", replayed, logged })
    };
    let Some((status, rest)) = reply.split_first() else {
        return Err(unexpected("an empty answer of the script").into());
    };
    match (status.as_str(), rest) {
        ("COMMITTED", [revision, changed, log_id, follows]) => {
            let logged = Logged { log_id: log_id.clone(), follows: follows.clone() };
            committed(revision, changed, false, Some(logged).filter(|it| !it.log_id.is_empty()))
        }
        ("REPLAYED", [revision, changed]) => committed(revision, changed, true, None),
        ("EPOCH", _) => Err(CommitError::Epoch),
        ("BEHIND", _) => Err(CommitError::Behind),
        ("CONFLICT", _) => Err(CommitError::Conflict),
        ("KEY_REUSED", _) => Err(CommitError::IdempotencyKeyReused),
        ("LOST", [epoch]) => Err(CommitError::Lost(epoch.clone())),
        ("RESTRICTED_LOST", _) => Err(CommitError::RestrictedLost),
        ("WRONG_TYPE", [key]) => Err(CommitError::WrongType(key.clone())),
        ("UNREADABLE", [key]) => Err(unexpected(format!("{key} is not a record")).into()),
        _ => Err(unexpected(format!("the script's answer {status}")).into()),
    }
}

/// Prepares the script that begins `epoch` in `partition`.
pub(super) fn create(
    keys: &Keys,
    partition: Partition,
    partitions: Partitions,
    epoch: &Epoch,
) -> ScriptInvocation<'static> {
    let mut invocation = CREATE.prepare_invoke();
    invocation
        .key(keys.meta(partition))
        .key(keys.log(partition))
        .key(keys.lost(partition))
        .arg(epoch.as_str())
        .arg(FORMAT)
        .arg(partitions.count())
        .arg(Subject::Created.to_log())
        .arg(keys.channel(partition))
        .arg(keys.channels.publish());
    invocation
}

/// When a partition's history was begun.
pub(super) enum Created {
    /// Before, under this name.
    Before(String),
    /// By the script.
    Now,
}

/// Reads what the create script answered.
pub(super) fn read_create_reply(reply: &[String]) -> Result<Created, CreateError> {
    match reply.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["CREATED"] => Ok(Created::Now),
        ["EXISTS", epoch] => Ok(Created::Before((*epoch).to_owned())),
        ["LOST", epoch] => Err(CreateError::Lost((*epoch).to_owned())),
        ["NOT_EMPTY"] => Err(CreateError::NotEmpty),
        other => Err(unexpected(format!("the script's answer {other:?}")).into()),
    }
}

/// Prepares the script that makes `succession`.
pub(super) fn succeed(keys: &Keys, succession: &Succession) -> ScriptInvocation<'static> {
    let Succession { partition, partitions, from, epoch, lineage, revision, staged, partial } =
        succession;
    let staged_set = keys.staged(*partition, "restricted", epoch.as_str());
    let staged_index = keys.staged(*partition, "restricted-index", epoch.as_str());
    let seen = from.as_ref();
    let mut invocation = SUCCEED.prepare_invoke();
    invocation
        .key(keys.meta(*partition))
        .key(keys.lost(*partition))
        .key(keys.restricted(*partition))
        .key(keys.restricted_index(*partition))
        .key(keys.log(*partition))
        .key(staged_set)
        .key(staged_index)
        .arg(seen.map_or("", |place| place.epoch.as_str()))
        .arg(seen.map(|place| place.revision.to_string()).unwrap_or_default())
        .arg(seen.map_or("", |place| &place.log_id))
        .arg(epoch.as_str())
        .arg(lineage.created.as_str())
        .arg(lineage.previous_to_text())
        .arg(revision.0)
        .arg(FORMAT)
        .arg(partitions.count())
        .arg(staged.map(|census| census.count.to_string()).unwrap_or_default())
        .arg(staged.map(|census| format!("{:016x}", census.digest)).unwrap_or_default())
        .arg(partial.map(|partial| u8::from(partial).to_string()).unwrap_or_default())
        .arg(Subject::Succeeded.to_log())
        .arg(keys.channel(*partition))
        .arg(keys.channels.publish());
    invocation
}

/// Reads what the succession script answered.
pub(super) fn read_succession_reply(reply: &[String]) -> Result<(), SuccessionError> {
    match reply.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["SUCCEEDED"] => Ok(()),
        ["MOVED"] => Err(SuccessionError::Moved),
        ["STAGED"] => Err(SuccessionError::Staged),
        other => Err(unexpected(format!("the script's answer {other:?}")).into()),
    }
}

/// Prepares the script that takes what is archived out of `partition`'s audit trail.
pub(super) fn take_out_audit(
    keys: &Keys,
    partition: Partition,
    epoch: &Epoch,
    old: &Old,
) -> ScriptInvocation<'static> {
    let (customers, notes) = (old.customers(), old.notes());
    let mut invocation = ARCHIVE.prepare_invoke();
    invocation
        .key(keys.meta(partition))
        .key(keys.audit(partition))
        .arg(epoch.as_str())
        .arg(&old.stays_from)
        .arg(&old.to)
        .arg(notes.len());
    for NotesPlace { customer, digest } in &notes {
        invocation.key(keys.notes(partition, customer)).arg(digest);
    }
    for customer in &customers {
        invocation.key(keys.customer_audit(partition, customer));
    }
    invocation
}

#[derive(Default)]
struct Arguments {
    what: &'static str,
    expected: String,
    record_end: String,
    private: String,
    compact: String,
    line: String,
    field: String,
    stored: String,
    erases: u8,
}

static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));
static SUCCEED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("succeed.lua")));
static ARCHIVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("archive.lua")));
static CREATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("create.lua")));
