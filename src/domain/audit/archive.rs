//! Entries of the audit trail that are kept outside the store.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    chain::{ChainPage, Link, id_order},
    notes::NotesPlace,
};
use crate::domain::{
    key::{CustomerKey, Partition},
    time::Timestamp,
};

/// A line of an archive: an entry with all that its chain is made of, and its notes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Archived {
    /// The partition whose trail it is of.
    pub partition: u16,
    /// The entry.
    #[serde(flatten)]
    pub link: Link,
}

impl Archived {
    /// Its place among all that is archived of its partition.
    #[must_use]
    pub fn place(&self) -> (u64, u64) {
        id_order(&self.link.id)
    }

    /// The customer whom it is about, if it is about one.
    fn customer(&self) -> Option<CustomerKey> {
        #[derive(Deserialize)]
        struct About {
            subject: String,
        }
        let About { subject } = serde_json::from_str(&self.link.entry).ok()?;
        CustomerKey::parse(&subject).ok()
    }
}

/// What of a partition's trail is to be archived now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Old {
    /// The entries, the oldest first.
    pub links: Vec<Archived>,
    /// The place of the newest of them.
    pub to: String,
    /// The place of the oldest entry that stays.
    pub stays_from: String,
    /// Whether there may be more.
    pub has_more: bool,
}

impl Old {
    /// The customers whom the entries are about.
    #[must_use]
    pub fn customers(&self) -> BTreeSet<CustomerKey> {
        self.links.iter().filter_map(Archived::customer).collect()
    }

    /// Where the notes of the entries are kept.
    #[must_use]
    pub fn notes(&self) -> Vec<NotesPlace> {
        self.links.iter().filter_map(|it| NotesPlace::of(&it.link.entry)).collect()
    }

    /// What is older than `until`, of the oldest page of a trail. The newest entry always stays, so
    /// that there is one that the next is chained to.
    #[must_use]
    pub fn of(Partition(partition): Partition, page: ChainPage, until: Timestamp) -> Option<Self> {
        let is_old = |link: &Link| id_order(&link.id).0 < until.as_millis();
        let old = page.links.iter().take_while(|link| is_old(link)).count();
        let old = old.min(page.links.len().saturating_sub(1));
        let stays_from = page.links.get(old).filter(|_| old > 0)?.id.clone();
        let to = page.links.get(old - 1)?.id.clone();
        let has_more = page.has_more && old + 1 == page.links.len();
        let links = page.links.into_iter().take(old);
        let links = links.map(|link| Archived { partition, link }).collect();
        Some(Self { links, to, stays_from, has_more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(millis: &[u64], has_more: bool) -> ChainPage {
        let link = |millis: &u64| Link {
            id: format!("{millis}-0"),
            revision: "1".to_owned(),
            millis: millis.to_string(),
            entry: "{}".to_owned(),
            chain: String::new(),
            notes: None,
        };
        ChainPage { head: String::new(), links: millis.iter().map(link).collect(), has_more }
    }

    #[test]
    fn what_is_old_goes_and_the_newest_entry_stays() {
        let of = |millis: &[u64], has_more| {
            let old = Old::of(Partition(0), page(millis, has_more), Timestamp::from_millis(100))?;
            assert_eq!(old.to, old.links.last()?.link.id);
            Some((old.links.len(), old.stays_from, old.has_more))
        };
        let to = |place: &str| place.to_owned();
        assert_eq!(of(&[], false), None);
        assert_eq!(of(&[1], false), None);
        assert_eq!(of(&[100, 101], false), None);
        assert_eq!(of(&[1, 2, 99, 100, 101], true), Some((3, to("100-0"), false)));
        // 9 comes before 10, also as text.
        assert_eq!(of(&[9, 10, 11], false), Some((2, to("11-0"), false)));
        assert_eq!(of(&[9, 10, 11], true), Some((2, to("11-0"), true)));
    }

    #[test]
    fn a_line_reads_back() {
        let archived = Archived { partition: 3, link: page(&[5], false).links.remove(0) };
        let line = serde_json::to_string(&archived).unwrap();
        assert_eq!(
            line,
            r#"{"partition":3,"id":"5-0","rev":"1","ms":"5","entry":"{}","chain":""}"#
        );
        assert_eq!(serde_json::from_str::<Archived>(&line).unwrap(), archived);
    }
}
