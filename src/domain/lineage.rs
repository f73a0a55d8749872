//! Which histories a store's history came out of.

use std::{fmt, str::FromStr};

use super::revision::{Epoch, Revision};

/// The histories before the present one: what of them it holds, and which was the first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lineage {
    /// The first history. Nothing changes it.
    pub created: Epoch,
    /// The ones before the present one, the newest first.
    pub previous: Vec<Ended>,
}

/// A history that ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// Its name.
    pub epoch: Epoch,
    /// Up to which of its revisions the next history holds it; nothing when the next one was
    /// declared right, whatever this one held.
    pub common: Option<Revision>,
}

/// What a history holds of an earlier one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Inherited {
    /// Everything up to this revision.
    UpTo(Revision),
    /// It was declared right, whatever the earlier one held.
    Instead,
}

impl Lineage {
    /// A history without one before it.
    #[must_use]
    pub fn of(created: Epoch) -> Self {
        Self { created, previous: Vec::new() }
    }

    /// What the present history holds of `epoch`; nothing when it did not come out of it.
    #[must_use]
    pub fn inherited(&self, epoch: &Epoch) -> Option<Inherited> {
        let at = self.previous.iter().position(|ended| ended.epoch == *epoch)?;
        let (ended, later) = self.previous.get(..=at)?.split_last()?;
        let Some(common) = ended.common else { return Some(Inherited::Instead) };
        // What a later history lost, the present one does not have either.
        let passed_on = later.iter().filter_map(|ended| ended.common);
        Some(Inherited::UpTo(passed_on.fold(common, Ord::min)))
    }

    /// What another history notes that stands in the place of `ended`, whose lineage this is, and
    /// holds nothing of it.
    #[must_use]
    pub fn replaced(&self, ended: Epoch) -> Vec<Ended> {
        let before = self.previous.iter().map(|ended| ended.epoch.clone());
        [ended].into_iter().chain(before).map(|epoch| Ended { epoch, common: None }).collect()
    }

    /// The lineage of a history that follows on `ended`, whose lineage this is.
    #[must_use]
    pub fn after(&self, ended: impl IntoIterator<Item = Ended>) -> Self {
        let previous = ended.into_iter().chain(self.previous.iter().cloned()).take(REMEMBERED);
        Self { created: self.created.clone(), previous: previous.collect() }
    }

    /// The earlier histories as text: `<epoch>@<revision>`, joined by commas; `none` stands for no
    /// revision.
    #[must_use]
    pub fn previous_to_text(&self) -> String {
        let texts: Vec<String> = self.previous.iter().map(Ended::to_string).collect();
        texts.join(",")
    }

    /// Reads [`Lineage::previous_to_text`].
    pub fn parse(created: Epoch, previous: &str) -> Result<Self, InvalidLineage> {
        let texts = previous.split(',').filter(|text| !text.is_empty());
        Ok(Self { created, previous: texts.map(str::parse).collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.common {
            Some(revision) => write!(f, "{}@{revision}", self.epoch),
            None => write!(f, "{}@{NONE}", self.epoch),
        }
    }
}

impl FromStr for Ended {
    type Err = InvalidLineage;

    fn from_str(raw: &str) -> Result<Self, InvalidLineage> {
        let (epoch, common) = raw.split_once('@').ok_or(InvalidLineage)?;
        let common = match common {
            NONE => None,
            number => Some(number.parse().map(Revision).map_err(|_| InvalidLineage)?),
        };
        Ok(Self { epoch: Epoch::parse(epoch).map_err(|_| InvalidLineage)?, common })
    }
}

/// Text that is no list of earlier histories.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("earlier histories must be `<epoch>@<revision>`, joined by commas")]
pub struct InvalidLineage;

const NONE: &str = "none";
/// More successions than that, and nobody follows the oldest any more.
const REMEMBERED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(name: &str) -> Epoch {
        Epoch::parse(name).unwrap()
    }

    fn lineage(previous: &str) -> Lineage {
        Lineage::parse(epoch("e0"), previous).unwrap()
    }

    #[test]
    fn a_lineage_reads_back() {
        let lineage = lineage("e2@50,e1@none,e0@7");
        assert_eq!(lineage.previous_to_text(), "e2@50,e1@none,e0@7");
        assert_eq!(self::lineage("").previous, []);
        for wrong in ["e1", "e1@", "e1@x", "E1@3", "e1@3;e0@1"] {
            assert!(Lineage::parse(epoch("e0"), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_later_history_lost_is_not_inherited_from_an_earlier_one() {
        let lineage = lineage("e2@50,e1@60,e0@40");
        assert_eq!(lineage.inherited(&epoch("e2")), Some(Inherited::UpTo(Revision(50))));
        assert_eq!(lineage.inherited(&epoch("e1")), Some(Inherited::UpTo(Revision(50))));
        assert_eq!(lineage.inherited(&epoch("e0")), Some(Inherited::UpTo(Revision(40))));
        assert_eq!(lineage.inherited(&epoch("other")), None);
    }

    #[test]
    fn of_what_a_store_that_was_declared_right_replaced_nothing_is_inherited() {
        let replaced = lineage("e0@40").replaced(epoch("e1"));
        let lineage = lineage("x0@7").after(replaced);
        assert_eq!(lineage.previous_to_text(), "e1@none,e0@none,x0@7");
        assert_eq!(lineage.inherited(&epoch("e1")), Some(Inherited::Instead));
        assert_eq!(lineage.inherited(&epoch("e0")), Some(Inherited::Instead));
        assert_eq!(lineage.inherited(&epoch("x0")), Some(Inherited::UpTo(Revision(7))));
    }

    #[test]
    fn only_the_newest_histories_are_remembered() {
        let mut lineage = Lineage::of(epoch("e0"));
        for number in 0..100 {
            let ended = Ended { epoch: epoch(&format!("e{number}")), common: None };
            lineage = lineage.after([ended]);
        }
        assert_eq!(lineage.previous.len(), REMEMBERED);
        assert_eq!(lineage.previous[0].epoch, epoch("e99"));
    }
}
