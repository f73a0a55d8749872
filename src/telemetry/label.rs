//! The closed sets that label values come from: never a customer, a path or an error's text.

use crate::domain::{Reason, Verb, audit::AuditOutcome};

/// A label of a metric: its name, and every value that it can have.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of declaration.
    const ALL: &'static [Self];

    /// The value as it is exported.
    fn as_str(self) -> &'static str;

    /// The value's place in [`Label::ALL`].
    fn index(self) -> usize;
}

/// Declares an enum together with the label it is.
macro_rules! label {
    (
        $(#[$meta:meta])*
        pub enum $name:ident as $label:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $value:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $name {
            /// The value as it is exported.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $value, )+
                }
            }
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$( Self::$variant, )+];

            fn as_str(self) -> &'static str {
                self.as_str()
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// How an act on a customer was asked for: what the audit trail calls its dialect.
    pub enum ActDialect as "dialect" {
        /// In the shape of BillaBear's own API.
        Billabear = "billabear",
        /// A message that a billing system published.
        Channel = "channel",
        /// A line of an import.
        Import = "import",
        /// A message that a billing system put into the inbox.
        Inbox = "inbox",
        /// In Tollgate's own API.
        Native = "native",
        /// Written back, because the store forgot it.
        Recovery = "recovery",
        /// A restriction that is over, taken away.
        Sweep = "sweep",
        /// A billing system that called back.
        Webhook = "webhook",
        /// In the shape of Wingback's own API.
        Wingback = "wingback",
    }
}

label! {
    /// In which shape a check was asked.
    pub enum Dialect as "dialect" {
        /// An evaluation of AuthZEN.
        Authzen = "authzen",
        /// `POST /v1/check`.
        Check = "check",
        /// One of a `POST /v1/checks`.
        Checks = "checks",
        /// Envoy's `ext_authz` over HTTP.
        Envoy = "envoy",
        /// Envoy's external authorization over gRPC.
        EnvoyGrpc = "envoy_grpc",
        /// Forward auth, as Traefik, Caddy and others ask it.
        ForwardAuth = "forward_auth",
        /// The limits endpoint.
        Limits = "limits",
        /// nginx's `auth_request`.
        Nginx = "nginx",
    }
}

label! {
    /// What came of a fill.
    pub enum FillResult as "result" {
        /// The record is in the cache.
        Accepted = "accepted",
        /// It was read from a store that is not the one followed here, or not as new.
        Disbelieved = "disbelieved",
        /// The store answered with an error.
        Failed = "failed",
        /// It was not begun: too many were under way.
        Overloaded = "overloaded",
        /// A change that is newer came in between.
        Rejected = "rejected",
        /// The store did not answer in time.
        Timeout = "timeout",
    }
}

label! {
    /// Where in memory it was found what decided a check.
    pub enum FoundIn as "found" {
        /// Nowhere, or not as it was asked about, so that the store was read.
        Nowhere = "nowhere",
        /// Among the records read lately.
        Recent = "recent",
        /// In the complete set of restricted customers.
        Restricted = "restricted",
        /// Among those that the store says there are none of.
        Unknown = "unknown",
    }
}

label! {
    /// What came of a policy file that was read.
    pub enum PolicyResult as "result" {
        /// It cannot be used, and the policy before it stays in force.
        Refused = "refused",
        /// It is in force.
        Taken = "taken",
    }
}

label! {
    /// Why a decision is not in the decision log.
    pub enum LogLoss as "why" {
        /// Too many waited to be written.
        Full = "full",
        /// It could not be written.
        Unwritable = "unwritable",
    }
}

label! {
    /// What brought a customer to the revision that was asked for.
    pub enum ReachedBy as "by" {
        /// The feed, which was waited for.
        Feed = "feed",
        /// What was in memory already.
        Memory = "memory",
        /// Nothing, in time.
        Nothing = "nothing",
        /// A read of the store.
        Read = "read",
    }
}

label! {
    /// Where a restricted set was taken from to be written anew.
    pub enum RewrittenFrom as "from" {
        /// The set that this instance holds.
        Memory = "memory",
        /// The records of all customers.
        Records = "records",
    }
}

label! {
    /// A part of the cache.
    pub enum Tier as "tier" {
        /// Records read lately, or every record.
        Recent = "recent",
        /// The complete set of restricted customers.
        Restricted = "restricted",
        /// Customers that the store says there are none of.
        Unknown = "unknown",
    }
}

label! {
    /// Something in the store that this version cannot read.
    pub enum Unreadable as "what" {
        /// An entry of the log.
        Change = "change",
        /// A customer's record.
        Record = "record",
        /// An entry of the restricted set.
        Restricted = "restricted",
    }
}

label! {
    /// Where the picture came from that a process began with.
    pub enum BootSource as "source" {
        /// The snapshot file.
        File = "file",
        /// Nowhere yet.
        None = "none",
        /// Another instance.
        Peer = "peer",
        /// The store.
        Store = "store",
    }
}

label! {
    /// What came of writing the snapshot file.
    pub enum SnapshotResult as "result" {
        /// It was not written.
        Failed = "failed",
        /// It is in its place.
        Written = "written",
    }
}

label! {
    /// What the store is asked to do.
    pub enum StoreCommand as "command" {
        /// Make a change.
        Commit = "commit",
        /// Read one customer for a check.
        Fill = "fill",
        /// Ask how far the store is.
        Heartbeat = "heartbeat",
        /// Read a page of customers or of the audit trail.
        List = "list",
        /// Read one customer for an operator.
        Read = "read",
        /// Read records anew, to compare them or because they are old.
        Reread = "reread",
    }
}

label! {
    /// How a billing system told something.
    pub enum Via as "via" {
        /// It was published.
        Channel = "channel",
        /// It was put into the inbox.
        Inbox = "inbox",
    }
}

label! {
    /// What came of a message of a billing system.
    pub enum IngestResult as "result" {
        /// It changed something.
        Applied = "applied",
        /// The store did not take it; it waits in the inbox.
        Failed = "failed",
        /// Nobody could apply it or put it into the inbox in time.
        Lost = "lost",
        /// It could not be understood.
        Malformed = "malformed",
        /// A later message of the same source came before it.
        Outdated = "outdated",
        /// The guard has paused its source; it waits in the inbox.
        Paused = "paused",
        /// It was understood, and may not be done.
        Refused = "refused",
        /// The same message came before.
        Repeated = "repeated",
        /// Everything was so already.
        Unchanged = "unchanged",
    }
}

label! {
    /// A system that calls back: in whose shape, and for which source.
    pub enum WebhookSource as "source" {
        /// `BillaBear`.
        Billabear = "billabear",
        /// Whoever keeps to Standard Webhooks, as Svix does.
        Standard = "standard",
        /// Stripe.
        Stripe = "stripe",
    }
}

label! {
    /// What came of a webhook.
    pub enum WebhookResult as "result" {
        /// It changed something.
        Applied = "applied",
        /// It found no room among those that wait for their customer.
        Dropped = "dropped",
        /// The store did not take it; its sender was told to try again.
        Failed = "failed",
        /// It is of a type that says nothing of a customer's status here.
        Ignored = "ignored",
        /// It does not tell all of what it is about, and nothing was changed.
        Incomplete = "incomplete",
        /// It could not be understood.
        Malformed = "malformed",
        /// A later one of the same source came before it.
        Outdated = "outdated",
        /// The guard has paused its source; its sender was told to try again.
        Paused = "paused",
        /// It was understood, and may not be done.
        Refused = "refused",
        /// The same one came before.
        Repeated = "repeated",
        /// It had waited for its customer, who is known now.
        Resolved = "resolved",
        /// Everything was so already.
        Unchanged = "unchanged",
        /// It does not prove where it comes from.
        Unproven = "unproven",
        /// It did not arrive whole.
        Unread = "unread",
        /// Nobody knows the customer, for whom it waits.
        Unresolved = "unresolved",
    }
}

label! {
    /// A socket that Tollgate is asked on.
    pub enum Listener as "listener" {
        /// Probes and metrics.
        Admin = "admin",
        /// Gateways and applications, on TCP.
        Check = "check",
        /// Gateways and applications, on the unix socket.
        CheckSocket = "check_socket",
        /// Operators and billing systems.
        Operator = "operator",
        /// Billing systems that call back.
        Webhook = "webhook",
    }
}

label! {
    /// What came of a listener's certificate that was read.
    pub enum CertificateResult as "result" {
        /// It cannot be used, and the one before it stays.
        Refused = "refused",
        /// New connections are shown it.
        Taken = "taken",
    }
}

label! {
    /// Why a caller was turned away before it could act: the code that it was answered with.
    pub enum AuthFailure as "code" {
        /// It gave no credentials.
        AuthRequired = "AUTH_REQUIRED",
        /// It gave two that disagree.
        ConflictingCredentials = "CONFLICTING_CREDENTIALS",
        /// It came with a session's cookie, and may be another site's doing.
        CsrfRequired = "CSRF_REQUIRED",
        /// Its key's role does not reach.
        InsufficientRole = "INSUFFICIENT_ROLE",
        /// Its credentials are wrong, expired or revoked.
        InvalidToken = "INVALID_TOKEN",
        /// Its key is bound to another tenant.
        NoTenantAccess = "NO_TENANT_ACCESS",
    }
}

impl Label for Reason {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Label for Verb {
    const NAME: &'static str = "verb";
    // In the order in which they are declared, as `index` needs it.
    const ALL: &'static [Self] = &Verb::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Label for AuditOutcome {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Changed, Self::Refused, Self::Unchanged];

    fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_value_stands_at_its_index<L: Label>() {
        for (place, value) in L::ALL.iter().enumerate() {
            assert_eq!(value.index(), place, "{} {}", L::NAME, value.as_str());
        }
    }

    #[test]
    fn every_label_value_stands_at_its_index() {
        every_value_stands_at_its_index::<ActDialect>();
        every_value_stands_at_its_index::<AuditOutcome>();
        every_value_stands_at_its_index::<AuthFailure>();
        every_value_stands_at_its_index::<BootSource>();
        every_value_stands_at_its_index::<CertificateResult>();
        every_value_stands_at_its_index::<Dialect>();
        every_value_stands_at_its_index::<FillResult>();
        every_value_stands_at_its_index::<FoundIn>();
        every_value_stands_at_its_index::<IngestResult>();
        every_value_stands_at_its_index::<Listener>();
        every_value_stands_at_its_index::<PolicyResult>();
        every_value_stands_at_its_index::<ReachedBy>();
        every_value_stands_at_its_index::<Reason>();
        every_value_stands_at_its_index::<RewrittenFrom>();
        every_value_stands_at_its_index::<SnapshotResult>();
        every_value_stands_at_its_index::<StoreCommand>();
        every_value_stands_at_its_index::<Tier>();
        every_value_stands_at_its_index::<Unreadable>();
        every_value_stands_at_its_index::<Verb>();
        every_value_stands_at_its_index::<Via>();
        every_value_stands_at_its_index::<WebhookResult>();
        every_value_stands_at_its_index::<WebhookSource>();
    }
}
