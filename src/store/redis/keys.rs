//! The names of the keys. All keys of a partition share a hash tag, so that one script may touch
//! them on a cluster too.

use super::topology::Topology;
use crate::{
    domain::{CustomerKey, Partition, alias::Alias},
    store::Lease,
};

/// Names keys and channels under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
    /// What kind of channels they are.
    pub(super) channels: Channels,
}

/// Who hears what is published.
#[derive(Clone, Copy, Debug)]
pub(super) enum Channels {
    /// Whoever subscribes on the nodes of the channel's slot.
    Sharded,
    /// Whoever subscribes.
    Usual,
}

impl Channels {
    /// Those of a cluster are sharded: others would be heard, and sent, on every node.
    pub(super) const fn of(topology: &Topology) -> Self {
        match topology {
            Topology::Cluster(_) => Self::Sharded,
            Topology::Sentinel(_) | Topology::Single(_) => Self::Usual,
        }
    }

    /// The command that publishes.
    pub(super) const fn publish(self) -> &'static str {
        match self {
            Self::Sharded => "SPUBLISH",
            Self::Usual => "PUBLISH",
        }
    }

    /// The command that subscribes.
    pub(super) const fn subscribe(self) -> &'static str {
        match self {
            Self::Sharded => "SSUBSCRIBE",
            Self::Usual => "SUBSCRIBE",
        }
    }
}

impl Keys {
    pub(super) fn new(prefix: &str, channels: Channels) -> Self {
        Self { prefix: prefix.to_owned(), channels }
    }

    /// What every key of Tollgate begins with.
    pub(super) fn any(&self) -> String {
        format!("{}:{{", self.prefix)
    }

    pub(super) fn meta(&self, partition: Partition) -> String {
        self.name(partition, "meta")
    }

    pub(super) fn record(&self, partition: Partition, customer: &CustomerKey) -> String {
        self.name(partition, &format!("record:{customer}"))
    }

    pub(super) fn private(&self, partition: Partition, customer: &CustomerKey) -> String {
        self.name(partition, &format!("private:{customer}"))
    }

    pub(super) fn restricted(&self, partition: Partition) -> String {
        self.name(partition, "restricted")
    }

    pub(super) fn restricted_index(&self, partition: Partition) -> String {
        self.name(partition, "restricted-index")
    }

    /// Where something is written before it takes the place of what it is to replace.
    pub(super) fn staged(&self, partition: Partition, what: &str, number: &str) -> String {
        self.name(partition, &format!("staged:{what}:{number}"))
    }

    pub(super) fn customers(&self, partition: Partition) -> String {
        self.name(partition, "customers")
    }

    pub(super) fn log(&self, partition: Partition) -> String {
        self.name(partition, "log")
    }

    pub(super) fn audit(&self, partition: Partition) -> String {
        self.name(partition, "audit")
    }

    pub(super) fn customer_audit(&self, partition: Partition, customer: &CustomerKey) -> String {
        self.name(partition, &format!("audit:{customer}"))
    }

    pub(super) fn notes(&self, partition: Partition, customer: &CustomerKey) -> String {
        self.name(partition, &format!("notes:{customer}"))
    }

    pub(super) fn idempotency(&self, partition: Partition, key_digest: &str) -> String {
        self.name(partition, &format!("idem:{key_digest}"))
    }

    pub(super) fn alias(&self, partition: Partition, alias: &Alias) -> String {
        self.name(partition, &format!("alias:{alias}"))
    }

    pub(super) fn conflicts(&self, partition: Partition) -> String {
        self.name(partition, "conflicts")
    }

    /// Says that the partition lost a history.
    pub(super) fn lost(&self, partition: Partition) -> String {
        self.name(partition, "lost")
    }

    /// Operators' keys live in the first partition.
    pub(super) fn operators(&self) -> String {
        self.name(Partition(0), "keys")
    }

    /// When they were last used.
    pub(super) fn key_uses(&self) -> String {
        self.name(Partition(0), "key-uses")
    }

    /// What the guard says of sources lives there too.
    pub(super) fn guard(&self) -> String {
        self.name(Partition(0), "guard")
    }

    /// What was said of customers that nobody knows, too.
    pub(super) fn unresolved(&self) -> String {
        self.name(Partition(0), "unresolved")
    }

    pub(super) fn lease(&self, lease: Lease) -> String {
        let what = match lease {
            Lease::Ingest => "ingest",
            Lease::Recovery(_) => "recovery",
        };
        self.name(lease.partition(), what)
    }

    pub(super) fn channel(&self, partition: Partition) -> String {
        self.name(partition, "changes")
    }

    /// The partition whose channel this is.
    pub(super) fn partition_of_channel(&self, channel: &str) -> Option<Partition> {
        self.parts(channel).filter(|(_, what)| *what == "changes").map(|(partition, _)| partition)
    }

    /// The partition that `name` is of, and what it names there.
    pub(super) fn parts<'a>(&self, name: &'a str) -> Option<(Partition, &'a str)> {
        let (tag, what) = name.strip_prefix(&self.any())?.split_once("}:")?;
        Some((Partition(tag.parse().ok()?), what))
    }

    fn name(&self, partition: Partition, what: &str) -> String {
        format!("{}:{{{partition}}}:{what}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_carry_their_partition_as_hash_tag() {
        let keys = Keys::new("tollgate", Channels::Usual);
        let customer = CustomerKey::parse("acme:c1").unwrap();
        assert_eq!(keys.record(Partition(3), &customer), "tollgate:{3}:record:acme:c1");
        assert_eq!(keys.partition_of_channel("tollgate:{3}:changes"), Some(Partition(3)));
        assert_eq!(keys.partition_of_channel("tollgate:{3}:log"), None);
        assert_eq!(keys.partition_of_channel("other"), None);
        assert_eq!(keys.parts("tollgate:{3}:audit:a:b"), Some((Partition(3), "audit:a:b")));
    }
}
