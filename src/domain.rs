//! What an answer *is*: customers, restrictions, checks and the decision over them.
//!
//! Everything here is a plain value or a plain function of values. The time is always an
//! argument; nothing reads a clock, opens a socket or awaits.

pub mod action;
pub mod actor;
pub mod alias;
pub mod audit;
pub mod change;
pub mod check;
pub mod customer;
pub mod decision;
pub mod digest;
pub mod entitlement;
pub mod fleet;
pub mod freshness;
pub mod guard;
pub mod import;
pub mod key;
pub mod lineage;
pub mod message;
pub mod reason;
pub mod restriction;
pub mod revision;
pub mod route;
pub mod settings;
pub mod shared;
pub mod time;

pub use action::{Action, Placement, Refusal, Verb};
pub use actor::{Actor, Role};
pub use audit::AuditEntry;
pub use change::{Change, Subject};
pub use check::{
    Access, Asked, Check, Identity, IdentityFault, LimitCheck, MinRevision, Operation, Readings,
};
pub use customer::{Customer, Obligations, Private, Record, RestrictionNote};
pub use decision::{Decision, Evidence, Judged, Missing, RecordEvidence, decide};
pub use entitlement::{Code, Limit, Maximum};
pub use freshness::{Freshness, Staleness};
pub use key::{CustomerId, CustomerKey, CustomerName, Named, Partition, Partitions, TenantId};
pub use lineage::{Ended, Inherited, Lineage};
pub use message::{Dated, LastMessage, MessageId, Postmark};
pub use reason::{Outcome, Reason};
pub use restriction::{Kind, Restriction, RestrictionReason, Restrictions, Source, Status};
pub use revision::{Epoch, Position, Revision, Token, Watermark};
pub use route::{Exemption, Ground, Route, RouteTerms};
pub use settings::{
    AccessLeft, ByStatus, Enforced, Enforcement, Mode, Overrides, Policy, SaidBy, Unknown,
    Unlisted, WhenUndecided,
};
pub use shared::Shared;
pub use time::Timestamp;
