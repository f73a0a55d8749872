//! The names of the keys. All keys of a partition share a hash tag, so that one script may touch
//! them on a cluster too.

use crate::{
    domain::{CustomerKey, Partition},
    store::Lease,
};

/// Names keys under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
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

    pub(super) fn idempotency(&self, partition: Partition, key_digest: &str) -> String {
        self.name(partition, &format!("idem:{key_digest}"))
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

    /// What the guard says of sources lives there too.
    pub(super) fn guard(&self) -> String {
        self.name(Partition(0), "guard")
    }

    /// The ingest lease lives in the first partition, a recovery lease in the one it is for.
    pub(super) fn lease(&self, lease: Lease) -> String {
        match lease {
            Lease::Ingest => self.name(Partition(0), "ingest"),
            Lease::Recovery(partition) => self.name(partition, "recovery"),
        }
    }

    pub(super) fn channel(&self, partition: Partition) -> String {
        self.name(partition, "changes")
    }

    /// The partition whose channel this is.
    pub(super) fn partition_of_channel(&self, channel: &str) -> Option<Partition> {
        let tag = channel.strip_prefix(&self.any())?.strip_suffix("}:changes")?;
        tag.parse().ok().map(Partition)
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
        let keys = Keys::new("tollgate");
        let customer = CustomerKey::parse("acme:c1").unwrap();
        assert_eq!(keys.record(Partition(3), &customer), "tollgate:{3}:record:acme:c1");
        assert_eq!(keys.partition_of_channel("tollgate:{3}:changes"), Some(Partition(3)));
        assert_eq!(keys.partition_of_channel("other"), None);
    }
}
