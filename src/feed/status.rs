//! How the feed stands, for `/status` and for whoever wants to write.

use super::machine;
use crate::domain::{Partition, Partitions};

/// How the feed stands in every partition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedStatus(Vec<PartitionStatus>);

/// How the feed stands in one partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionStatus {
    /// Whether there is a session.
    pub connected: bool,
    /// What the reader does.
    pub phase: &'static str,
    /// Why the store is not believed, if it is not.
    pub lost: Option<&'static str>,
    /// Whether the picture in memory is doubtful.
    pub suspect: bool,
    /// Whether the store's restricted set is not whole.
    pub restricted_lost: bool,
}

impl Default for PartitionStatus {
    fn default() -> Self {
        Self {
            connected: false,
            phase: "starting",
            lost: None,
            suspect: false,
            restricted_lost: false,
        }
    }
}

impl Default for FeedStatus {
    /// One partition, until it is known how many there are.
    fn default() -> Self {
        Self(vec![PartitionStatus::default()])
    }
}

impl FeedStatus {
    /// Whether there is a session for every partition.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.iter().all(|part| part.connected)
    }

    /// What the reader does: in the first partition in which it does not follow, if there is one.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        let phases = || self.0.iter().map(|part| part.phase);
        phases().find(|phase| *phase != machine::FOLLOWING).unwrap_or(machine::FOLLOWING)
    }

    /// Why the store is not believed, if it is not in some partition.
    #[must_use]
    pub fn lost(&self) -> Option<&'static str> {
        self.0.iter().find_map(|part| part.lost)
    }

    /// Whether the picture of any partition is doubtful.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.0.iter().any(|part| part.suspect)
    }

    /// Whether the store's restricted set is not whole in some partition.
    #[must_use]
    pub fn is_restricted_lost(&self) -> bool {
        self.0.iter().any(|part| part.restricted_lost)
    }

    /// How it stands in one partition.
    #[must_use]
    pub fn of(&self, Partition(number): Partition) -> PartitionStatus {
        self.0.get(usize::from(number)).copied().unwrap_or_default()
    }

    pub(super) fn lay_out(&mut self, partitions: Partitions) {
        let first = self.of(Partition(0));
        self.0 = partitions.all().map(|_| first).collect();
    }

    /// Says whether this made a difference.
    pub(super) fn change(
        &mut self,
        Partition(number): Partition,
        change: impl FnOnce(&mut PartitionStatus),
    ) -> bool {
        let Some(part) = self.0.get_mut(usize::from(number)) else { return false };
        let before = *part;
        change(part);
        *part != before
    }
}
