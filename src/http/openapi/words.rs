//! The words that requests and answers are made of: ids, codes, moments, and what may be said where
//! only some words may.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, SchemaFormat,
        schema::{ArrayBuilder, SchemaType, Type},
    },
};

use crate::domain::{
    Access, Code, CustomerId, Epoch, Kind, Maximum, Operation, Outcome, Reason, RestrictionReason,
    Role, Source, Status, TenantId, Timestamp, Token, Verb,
    audit::{AuditAction, AuditOutcome},
};

/// A reference to what is described under its own name.
pub(super) fn of<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

/// The same, or nothing.
pub(super) fn of_or_null<T: ToSchema>() -> RefOr<Schema> {
    let null = ObjectBuilder::new().schema_type(Type::Null);
    OneOfBuilder::new().item(null).item(of::<T>()).into()
}

/// A list of it.
pub(super) fn list_of<T: ToSchema>() -> ArrayBuilder {
    ArrayBuilder::new().items(of::<T>())
}

/// Text that keeps to a pattern.
pub(super) fn text(says: &str, pattern: &str) -> ObjectBuilder {
    any_text(says).pattern(Some(pattern))
}

/// Whatever text.
pub(super) fn any_text(says: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(says))
}

/// Whatever text, or nothing.
pub(super) fn text_or_null(says: &str) -> ObjectBuilder {
    any_text(says).schema_type(SchemaType::from_iter([Type::String, Type::Null]))
}

/// One of some words.
pub(super) fn one_of<'a>(says: &str, words: impl IntoIterator<Item = &'a str>) -> ObjectBuilder {
    any_text(says).enum_values(Some(words))
}

/// A whole number that is not negative.
pub(super) fn whole(says: &str) -> ObjectBuilder {
    let whole = ObjectBuilder::new().schema_type(Type::Integer).description(Some(says));
    whole.format(Some(SchemaFormat::Custom("uint64".to_owned()))).minimum(Some(0))
}

/// Whether something is so.
pub(super) fn flag(says: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean).description(Some(says))
}

/// Gives types of the domain, which knows nothing of this, their names and descriptions.
macro_rules! described {
    ($($type:ty, $name:literal => $schema:expr;)+) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    )+};
}
pub(super) use described;

described! {
    CustomerId, "CustomerId" => text(
        "A customer's id within its tenant: 1 to 128 of `[A-Za-z0-9._:@-]`, not `.` or `..`.",
        CUSTOMER_ID,
    ).max_length(Some(128)).examples(["c1", "Cust_c40bea18-c0c9-44b1-bd0c-43f5283e1670"]);
    TenantId, "TenantId" => text("A tenant's name.", TENANT_ID).examples(["acme"]);
    Source, "Source" => text(
        "The party that places a restriction and alone lifts it.",
        "^[a-z0-9_.-]{1,32}$",
    ).examples(["operator", "billabear"]);
    Code, "Code" => text(
        "The name of a plan, a feature or a limit.",
        "^[A-Za-z0-9._:/@-]{1,128}$",
    ).examples(["pro"]);
    Token, "Revision" => text(
        "A revision, opaque: as `minRevision` of a check it asks for an answer that stands on it or \
         on a later one, and in `If-Match` for the customer to be at it.",
        TOKEN,
    ).examples(["k3f9:0.42"]);
    Epoch, "Epoch" => text("One history of the store.", "^[a-z0-9]{1,32}$");
    Timestamp, "Timestamp" => any_text("A moment, from 1970 on, with a time zone.")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .pattern(Some(MOMENT))
        .examples(["2026-11-21T10:00:00Z"]);
    Kind, "RestrictionKind" => one_of(
        "What a restriction does: `frozen` is read-only, `inactive` is closed and preserved, \
         `disabled` has no access.",
        Kind::ALL.map(Kind::as_str),
    );
    Status, "Status" => one_of(
        "What the customer is: the strictest restriction in force, `disabled` before `inactive` \
         before `frozen`, or `active`.",
        [Status::Active, Status::Frozen, Status::Inactive, Status::Disabled].map(Status::as_str),
    );
    Access, "Access" => one_of(
        "What the customer may do.",
        [Access::None, Access::ReadOnly, Access::ReadWrite].map(Access::as_str),
    );
    Operation, "Operation" => one_of(
        "Whether an act only looks, or may change something.",
        ["read", "write"],
    );
    RestrictionReason, "RestrictionReason" => one_of(
        "Why a customer is restricted. On the data plane `compliance`, `security` and `fraud` read \
         as `other`.",
        RestrictionReason::ALL.map(RestrictionReason::as_str),
    );
    Role, "Role" => one_of(
        "What the holder of a key may do. Each role includes the ones before it.",
        Role::ALL.map(Role::as_str),
    );
    Verb, "Verb" => one_of(
        "What was done.",
        Verb::ALL.map(Verb::as_str),
    );
    AuditAction, "AuditAction" => one_of("What was asked for.", AuditAction::words());
    AuditOutcome, "AuditOutcome" => one_of(
        "What came of it.",
        ["changed", "refused", "unchanged"],
    );
    Maximum, "Maximum" => OneOfBuilder::new()
        .description(Some("The most that a customer may have."))
        .item(whole("So many."))
        .item(one_of("As many as wanted.", ["unlimited"]));
}

/// Neither `.` nor `..`, which a URL cannot say.
const CUSTOMER_ID: &str = r"^(\.{0,2}[A-Za-z0-9_:@-][A-Za-z0-9._:@-]*|\.{3}[A-Za-z0-9._:@-]*)$";
const TENANT_ID: &str = "^[A-Za-z0-9._@-]{1,128}$";
const TOKEN: &str = r"^[a-z0-9]{1,32}:[0-9]{1,4}\.[0-9]{1,19}$";
const MOMENT: &str = concat!(
    r"^(19[7-9]\d|[2-9]\d{3})-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?",
    r"([Zz]|[+-]\d{2}:\d{2})$",
);

/// What was decided.
pub(in crate::http) fn decision() -> ObjectBuilder {
    let words = [Outcome::Allow, Outcome::Deny, Outcome::Undecided].map(Outcome::as_str);
    one_of("The true outcome, also where it is not enforced.", words)
}

/// Why.
pub(in crate::http) fn reason() -> ObjectBuilder {
    one_of("The reason code.", Reason::ALL.map(Reason::as_str))
}

/// A customer's status as a check tells it.
pub(in crate::http) fn status_or_unknown() -> ObjectBuilder {
    let words = ["active", "frozen", "inactive", "disabled", "unknown"];
    one_of("The customer's status, if there is such a customer and that is known.", words)
}

/// What is left to a customer as a check tells it.
pub(in crate::http) fn access_or_unknown() -> ObjectBuilder {
    let words = ["none", "read_only", "read_write", "unknown"];
    one_of("What the customer may do, as far as that is known.", words)
}

/// Whether denies are enforced.
pub(in crate::http) fn mode() -> ObjectBuilder {
    one_of("`shadow` lets through what it denies.", ["enforce", "shadow"])
}

/// The mode of the fleet.
pub(in crate::http) fn fleet_mode() -> ObjectBuilder {
    one_of("`policy` where each instance does what its policy says.", ["shadow", "policy"])
}

/// The one type of AuthZEN's subjects.
pub(super) fn customer() -> ObjectBuilder {
    one_of("Subjects are customers.", ["customer"])
}

/// The type of AuthZEN's resources that are paths.
pub(super) fn route() -> ObjectBuilder {
    one_of("A path.", ["route"])
}

/// The type of AuthZEN's resources that are features.
pub(super) fn feature() -> ObjectBuilder {
    one_of("A feature.", ["feature"])
}

/// The type of AuthZEN's resources that are limits.
pub(super) fn limit() -> ObjectBuilder {
    one_of("A limit.", ["limit"])
}

/// AuthZEN's ways through a batch.
pub(super) fn semantic() -> ObjectBuilder {
    let words = ["deny_on_first_deny", "execute_all", "permit_on_first_permit"];
    one_of("When the batch ends before its last question.", words)
}
