//! What requests say in their path, their query and their headers.

use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, RefOr, Required, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use super::words::{any_text, of, one_of, text, whole};
use crate::domain::{
    Code, CustomerId, Operation, RestrictionReason, Source, Status, TenantId, Timestamp, Token,
    audit::{AuditAction, AuditOutcome},
};

/// Gives several parameters one name.
macro_rules! parameters {
    ($($(#[doc = $says:literal])+ $name:ident = [$($parameter:expr),+ $(,)?];)+) => {$(
        $(#[doc = $says])+
        pub(in crate::http) enum $name {}

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![$($parameter.build()),+]
            }
        }
    )+};
}

parameters! {
    /// The tenant that is meant.
    InTenant = [tenant()];
    /// A customer, by the id in the path.
    Customer = [
        in_path("id", of::<CustomerId>(), "Which customer.").example(Some("c1".into())),
        tenant(),
    ];
    /// A customer, by the id in the path, where nothing else is said of the tenant.
    CustomerAlone =
        [in_path("id", of::<CustomerId>(), "Which customer.").example(Some("c1".into()))];
    /// A customer, by the id that another system has for it.
    ByAlias = [
        in_path("id", of::<CustomerId>(), "Which customer: the id that the system has for it among \
            its `aliases`, else its own.").example(Some("c1".into())),
        tenant(),
    ];
    /// A key, by its id.
    KeyInPath = [
        in_path("id", any_text("A key's id.").min_length(Some(1)), "Which key.")
            .example(Some("5f3a90c2d1e4".into())),
        tenant(),
    ];
    /// What makes a repetition harmless.
    Repeatable = [
        in_header(
            "Idempotency-Key",
            text("A key of the caller's own.", "^[!-~]([ -~]{0,253}[!-~])?$"),
            "A repetition of the request with the same key does nothing, and is answered again; \
             another request with it is 422.",
        ),
    ];
    /// What makes a change conditional.
    Conditional = [
        in_header(
            "If-Match",
            text("A revision, in quotes or without.", IF_MATCH),
            "The revision that the customer has to be at, else 412. A customer that does not \
             exist is at none.",
        ),
    ];
    /// Which customers a list holds.
    CustomersWanted = [
        limit(),
        in_query("startAfter", any_text("An id."), "The `nextCursor` of the page before."),
        in_query("prefix", any_text("The beginning of an id."), "How ids begin."),
        in_query(
            "alias",
            text("A source, `:` and its id of a customer.", ALIAS).examples(["stripe:cus_1"]),
            "Whoever has it; `inactive` ones too.",
        ),
        in_query("status", of::<Status>(), "Of which status; without it, all but `inactive`."),
        in_query("source", of::<Source>(), "Restricted by whom."),
        in_query("reason", of::<RestrictionReason>(), "Restricted for what."),
        in_query("sortDir", one_of("Which way.", ["asc", "desc"]), "In the order of ids, or back."),
    ];
    /// Which entries of the audit trail are wanted.
    AuditWanted = [
        limit(),
        in_query("before", cursor_or_empty(), "The `nextCursor` of the page before."),
        in_query(
            "format",
            one_of("A page, or all of it.", ["json", "ndjson"]),
            "`ndjson` answers with every entry, one a line, and takes no `limit`; \
             `Accept: application/x-ndjson` does too.",
        ),
        in_query("actor", any_text("A name.").min_length(Some(1)), "By the name of whose key."),
        in_query("action", of::<AuditAction>(), "Of which act."),
        in_query("outcome", of::<AuditOutcome>(), "With which outcome."),
        in_query("since", of::<Timestamp>(), "From when on."),
        in_query("until", of::<Timestamp>(), "Until before when."),
    ];
    /// Which part of a chain is wanted.
    ChainWanted = [
        in_query("partition", whole("A partition.").maximum(Some(1023)), "Of which partition; 0 \
            without it, and less than the store has."),
        in_query("after", cursor(), "The `id` of the last entry that was read."),
    ];
    /// What is asked about a customer.
    Question = [
        in_query("action", of::<Operation>(), "A read or a write; without it and a path, both."),
        in_query("method", any_text("An HTTP method."), "With `path` in the place of `action`."),
        in_query("path", any_text("A path."), "With `method` in the place of `action`."),
        in_query("feature", of::<Code>(), "A feature that is asked for too."),
        in_query("limit", of::<Code>(), "A limit that has to hold too."),
        in_query("value", whole("A total."), "The total wanted of that `limit`."),
    ];
    /// How fresh an answer has to be, and which one is known.
    Fresh = [
        in_query("minRevision", of::<Token>(), "The revision that the answer has to stand on at \
            least, else 503 `REVISION_NOT_REACHED`."),
        in_header("If-None-Match", any_text("Tags, or `*`."), "The `ETag` of an earlier answer; \
            304 if it still holds."),
    ];
    /// Which of those that wait are wanted.
    UnresolvedWanted = [
        limit(),
        in_query("startAfter", cursor(), "The `nextCursor` of the page before."),
    ];
    /// Which customers an export holds.
    ExportWanted = [
        in_query("status", of::<Status>(), "Of which status; without it, all."),
        in_query(
            "startAfter",
            text("A tenant, `:` and an id.", AFTER_KEY),
            "From behind which customer on, who need not exist.",
        ),
    ];
    /// What is said of an import.
    ImportAsked = [
        in_query(
            "name",
            text("What can be printed.", r"^[^\u0000-\u001f\u007f-\u009f]{1,255}$"),
            "What the caller calls it, for the audit trail.",
        ),
        in_query(
            "line",
            whole("A line's number.").minimum(Some(1)).maximum(Some(9_007_199_254_740_992_usize)),
            "The number of the first line in what the caller reads; 1 without it.",
        ),
        in_query("source", of::<Source>(), "The source of lines that name none."),
        in_query("store", any_text("A store's name."), "The `store` of an earlier answer: another \
            store is 400."),
    ];
    /// BillaBear's pages.
    BillaBearPages = [
        limit(),
        in_query("last_key", any_text("An id."), "The `last_key` of the page before."),
    ];
    /// Where to go on watching.
    Resumed = [
        in_header(
            "Last-Event-ID",
            any_text("Revisions, one of each partition, with commas between.").pattern(Some(
                r"^[a-z0-9]{1,32}:[0-9]{1,4}\.[0-9]{1,19}(,[a-z0-9]{1,32}:[0-9]{1,4}\.[0-9]{1,19})*$",
            )),
            "The `id` of the last event that was read.",
        ),
    ];
}

fn tenant() -> ParameterBuilder {
    in_header(
        "Tenant-ID",
        of::<TenantId>(),
        "The tenant that is meant; without it that of the key, else the default one. With \
         `--default-tenant off` and a key of all tenants it is required.",
    )
}

fn limit() -> ParameterBuilder {
    let number = ObjectBuilder::new().schema_type(Type::Integer);
    let number = number.minimum(Some(1)).maximum(Some(100)).default(Some(50.into()));
    in_query("limit", number, "How many at most.")
}

fn cursor() -> ObjectBuilder {
    text("A cursor, opaque.", r"^[0-9]{1,19}-[0-9]{1,19}(@[0-9]{1,4})?$")
}

/// An empty one is as good as none.
fn cursor_or_empty() -> ObjectBuilder {
    text("A cursor, opaque; the newest entries if it is empty.", CURSOR_OR_EMPTY)
}

fn in_path(name: &str, schema: impl Into<RefOr<Schema>>, says: &str) -> ParameterBuilder {
    parameter(name, ParameterIn::Path, schema, says).required(Required::True)
}

fn in_query(name: &str, schema: impl Into<RefOr<Schema>>, says: &str) -> ParameterBuilder {
    parameter(name, ParameterIn::Query, schema, says)
}

fn in_header(name: &str, schema: impl Into<RefOr<Schema>>, says: &str) -> ParameterBuilder {
    parameter(name, ParameterIn::Header, schema, says)
}

fn parameter(
    name: &str,
    place: ParameterIn,
    schema: impl Into<RefOr<Schema>>,
    says: &str,
) -> ParameterBuilder {
    let parameter = ParameterBuilder::new().name(name).description(Some(says));
    // Whatever is looked for in a path is required, so that the place has to be known before.
    parameter.parameter_in(place).schema(Some(schema)).required(Required::False)
}

const IF_MATCH: &str = r#"^"?[a-z0-9]{1,32}:[0-9]{1,4}\.[0-9]{1,19}"?$"#;
const CURSOR_OR_EMPTY: &str = r"^([0-9]{1,19}-[0-9]{1,19}(@[0-9]{1,4})?)?$";
const ALIAS: &str = r"^[a-z0-9_.-]{1,32}:[A-Za-z0-9_:@-][A-Za-z0-9._:@-]{0,127}$";
const AFTER_KEY: &str = r"^[A-Za-z0-9._@-]{1,128}:[A-Za-z0-9_:@-][A-Za-z0-9._:@-]{0,127}$";
