//! What the domain and the rings below keep, as answers show it.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema,
        schema::{AnyOfBuilder, ArrayBuilder, Type},
    },
};

use super::words::{
    any_text, described, flag, list_of, of, of_or_null, one_of, text_or_null, whole,
};
use crate::{
    control::{
        conflicts::Conflict,
        succession::{Effect, PartitionStand, Stand},
    },
    domain::{
        AuditEntry, Code, Epoch, Kind, Limit, Maximum, Obligations, Restriction, RestrictionReason,
        Restrictions, Role, Source, Timestamp, Verb,
        audit::{
            AuditAction, AuditActor, AuditOutcome,
            batch::{Batch, Counts, Touched},
            chain::{ChainPage, Link},
        },
    },
    http::{changes, problem::Detail},
};

/// An object.
fn object(says: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object).description(Some(says))
}

/// What an object is made of.
trait Made {
    /// A field that is always there.
    fn has(self, name: &str, schema: impl Into<RefOr<Schema>>) -> Self;
    /// A field that may be missing, and is never `null`.
    fn may_have(self, name: &str, schema: impl Into<RefOr<Schema>>) -> Self;
}

impl Made for ObjectBuilder {
    fn has(self, name: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.property(name, schema).required(name)
    }

    fn may_have(self, name: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.property(name, schema)
    }
}

described! {
    Restriction, "Restriction" => object("One source's reason to limit a customer.")
        .has("kind", of::<Kind>())
        .has("source", of::<Source>())
        .has("reason", of::<RestrictionReason>())
        .has("since", of::<Timestamp>())
        .has("until", of_or_null::<Timestamp>());
    Restrictions, "Restrictions" => ArrayBuilder::new()
        .items(of::<Restriction>())
        .description(Some("Restrictions by source and kind, in force or not."));
    Limit, "Limit" => object("The most of something that a customer may have.")
        .has("max", of::<Maximum>())
        .may_have("used", whole("How much is used."))
        .may_have("usedAt", of::<Timestamp>());
    Obligations, "Obligations" => object("What has to be settled before a customer is closed.")
        .has("activeSubscriptions", whole("Subscriptions that are running."))
        .has("pendingOrders", whole("Orders that are not finished."))
        .has("unreturnedDevices", whole("Devices that have not come back."));
    AuditActor, "AuditActor" => object("Who asked for an act.")
        .has("name", any_text("The name of the key."))
        .may_have("keyId", any_text("The id of the key."))
        .has("role", of::<Role>())
        .may_have("address", any_text("Where the request came from."));
    AuditEntry, "AuditEntry" => object("What the audit trail keeps of one act.")
        .has("subject", any_text("The customer as `tenant:id`, or `key:`, `session:`, `source:` \
            with what it is about, `fleet` or `store`."))
        .has("action", of::<AuditAction>())
        .has("outcome", of::<AuditOutcome>())
        .may_have("refusal", any_text("The error code that it was refused with."))
        .has("actor", of::<AuditActor>())
        .has("dialect", any_text("In which system's shape it was asked for."))
        .may_have("source", of::<Source>())
        .may_have("reason", of::<RestrictionReason>())
        .may_have("notes", any_text("Free text for operators."))
        .may_have("notesDigest", any_text("The digest of the notes, also of erased ones."))
        .may_have("informedAt", of::<Timestamp>())
        .has("before", of::<Restrictions>())
        .has("after", of::<Restrictions>())
        .may_have("requestId", any_text("The request's `X-Request-ID`."))
        .has("at", of::<Timestamp>())
        .may_have("batch", of::<Batch>());
    Batch, "AuditBatch" => counts("Some lines of an import.")
        .has("name", any_text("What the caller calls the import."))
        .has("firstLine", whole("The number of the first line."))
        .has("lastLine", whole("The number of the last line."))
        .has("sha256", any_text("SHA-256 of the lines as they came, in hex."))
        .may_have("tenant", any_text("The tenant of every customer in it, if it is one."))
        .may_have("refusals", object("How many lines are refused, by the error code.")
            .additional_properties(Some(whole("So many."))))
        .may_have("restricted", list_of::<Touched>());
    Touched, "AuditTouched" => object("A customer whose restrictions become others.")
        .has("customer", any_text("The customer as `tenant:id`."))
        .has("sources", list_of::<Source>())
        .may_have("before", of::<Restrictions>());
    Counts, "ImportCounts" => counts("How many lines came to what.");
    ImportedLine, "ImportedLine" => object("What came of a line.")
        .has("line", whole("Its number."))
        .has("outcome", one_of("What.", ["created", "refused", "unchanged", "updated"]))
        .may_have("error", object("Why it is refused.")
            .has("code", any_text("The error code."))
            .has("message", any_text("A sentence for people."))
            .may_have("details", list_of::<Detail>()));
    Link, "AuditLink" => object("An entry with all that its chain is made of.")
        .has("id", any_text("Its place in the trail."))
        .has("rev", any_text("The partition's revision when it was written."))
        .has("ms", any_text("When it was written, in milliseconds since 1970."))
        .has("entry", any_text("The entry, in JSON."))
        .has("chain", any_text("What chains it to the one before it."))
        .may_have("notes", any_text("Its notes, which are kept beside it."));
    ChainPage, "AuditChain" => object("A part of a trail, the oldest entry first.")
        .has("head", any_text("The newest entry's chain, as the store keeps it apart."))
        .has("links", list_of::<Link>())
        .has("hasMore", flag("Whether there are newer ones."));
    Stand, "HistoryStand" => object("How far a history is.")
        .has("epoch", of::<Epoch>())
        .has("revision", whole("Its newest revision."))
        .has("restricted", whole("How many customers have a restriction."));
    PartitionStand, "PartitionStand" => object("How one partition stands here and in the store.")
        .has("partition", whole("Which partition."))
        .has("lost", text_or_null("Why the store is not believed there."))
        .has("here", of_or_null::<Stand>())
        .has("store", of_or_null::<Stand>())
        .has("partial", flag("Whether the store lacks records that there were."))
        .has("withheld", whole("How many forgotten changes are withheld here."))
        .has("inConflict", whole("How many of them wait for somebody to decide."));
    Effect, "SuccessionEffect" => object("What it does to customers.")
        .has("letsIn", whole("How many are restricted on one side only, and not afterwards."))
        .has("shutsOut", whole("How many are restricted on one side only, and stay so."))
        .has("restricted", whole("How many are restricted afterwards."));
    Event, "ChangeEvent" => object("An event of the stream.")
        .has("event", one_of("What it is.", ["ready", "reset", "status"]))
        .has("id", any_text("What `Last-Event-ID` takes."))
        .has("data", any_text("A `StatusChange` of `status`, else an empty object.")
            .content_media_type("application/json")
            .content_schema(Some(AnyOfBuilder::new().item(of::<changes::Told>()).item(empty()))));
    Conflict, "Conflict" => object("A change that the store forgot and somebody has to decide on.")
        .has("customer", any_text("Whose it is, as `tenant:id`."))
        .has("verb", of::<Verb>())
        .has("source", of::<Source>())
        .may_have("kind", of::<Kind>())
        .has("restrictions", of::<Restrictions>())
        .has("why", any_text("What stands against writing it back."))
        .has("listedAt", of::<Timestamp>());
}

fn counts(says: &str) -> ObjectBuilder {
    object(says)
        .has("created", whole("Lines that make a customer."))
        .has("updated", whole("Lines that change one."))
        .has("unchanged", whole("Lines that say what is so already."))
        .has("refused", whole("Lines that are refused."))
}

/// What an import answers of a line.
pub(in crate::http) enum ImportedLine {}

/// One of Server-Sent Events.
pub(in crate::http) enum Event {}

/// An object without fields.
fn empty() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object).max_properties(Some(0))
}

/// Whatever is described by name alone, so that every reference leads somewhere.
pub(super) fn named() -> Vec<(String, RefOr<Schema>)> {
    macro_rules! each {
        ($($type:ty),+ $(,)?) => {
            vec![$((<$type>::name().into_owned(), <$type>::schema())),+]
        };
    }
    use crate::domain::{Access, CustomerId, Operation, Status, TenantId, Token};
    each![
        Batch,
        Counts,
        ImportedLine,
        Touched,
        changes::Told,
        Detail,
        Event,
        Access,
        AuditAction,
        AuditActor,
        AuditEntry,
        AuditOutcome,
        ChainPage,
        Code,
        Conflict,
        CustomerId,
        Effect,
        Epoch,
        Kind,
        Limit,
        Link,
        Maximum,
        Obligations,
        Operation,
        PartitionStand,
        Restriction,
        RestrictionReason,
        Restrictions,
        Role,
        Source,
        Stand,
        Status,
        TenantId,
        Timestamp,
        Token,
        Verb,
    ]
}
