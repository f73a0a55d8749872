//! A restriction and what would end it, as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    control::Control,
    domain::{Action, CustomerKey, Kind, Private, Restriction, Role, Verb},
    http::{authenticate::Caller, resource::ShownRestriction},
};

/// Whose restrictions are shown, and to whom.
pub(super) struct Context<'a> {
    pub(super) control: &'a Control,
    pub(super) caller: &'a Caller,
    pub(super) key: &'a CustomerKey,
    pub(super) private: &'a Private,
    /// Whether the customer is of the tenant that is meant when none is named.
    pub(super) is_default: bool,
}

/// A restriction, and what would end it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StandingRestriction)]
pub(super) struct Standing {
    #[serde(flatten)]
    shown: ShownRestriction,
    lifted_by: Lift,
    /// Whether its source may not restrict anybody else now.
    source_paused: bool,
}

/// What lifts a restriction: its own source, and nobody else's act.
#[derive(Serialize, ToSchema)]
#[schema(as = LiftedBy)]
struct Lift {
    verb: &'static str,
    command: String,
    /// The role that whoever asks would need.
    role: Role,
}

impl Standing {
    /// Shows `held`.
    pub(super) fn of(held: &Restriction, context: &Context<'_>) -> Self {
        let Context { control, caller, key, private, is_default } = context;
        let verb = match held.kind {
            Kind::Disabled => Verb::Enable,
            Kind::Frozen => Verb::Unfreeze,
            Kind::Inactive => Verb::Reactivate,
        };
        let source = Some(held.source.clone());
        let needs = Action { source, ..Action::of(verb) }.needs(&caller.actor);
        let tenant =
            if *is_default { String::new() } else { format!(" --tenant {}", key.tenant()) };
        let (id, source) = (key.id(), &held.source);
        Self {
            shown: ShownRestriction::of(held, private),
            lifted_by: Lift {
                verb: verb.as_str(),
                command: format!("tollgate {} {id} --source {source}{tenant}", verb.as_str()),
                role: if held.reason.is_sensitive() { needs.max(Role::Manager) } else { needs },
            },
            source_paused: control.guard.is_paused(source),
        }
    }
}
