//! Each entry of a partition's audit trail is chained to the one before it, so that none can be
//! changed or taken out without a trace.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

use serde::{Deserialize, Serialize};

use super::{
    head::ChainHead,
    notes::{Notes, NotesPlace},
};
use crate::domain::digest::{sha1_hex, sha256_hex};

/// What chains an entry to the one before it, whose chain is `previous`. Nothing is before the
/// first one.
#[must_use]
pub fn chained(
    previous: &str,
    revision: impl Display,
    millis: impl Display,
    entry_sha256: &str,
) -> String {
    sha1_hex(&format!("{previous}{revision}{millis}{entry_sha256}"))
}

/// An entry with all that its chain is made of, as the store holds it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Link {
    /// Its place in the trail.
    pub id: String,
    /// The partition's revision when it was written.
    #[serde(rename = "rev")]
    pub revision: String,
    /// When it was written, by the store's clock, in milliseconds since 1970.
    #[serde(rename = "ms")]
    pub millis: String,
    /// The entry, in JSON.
    pub entry: String,
    /// What chains it to the one before it.
    pub chain: String,
    /// Its notes as they are kept beside it, if there are any and they were not erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

impl Link {
    /// Whether its notes, if they are there, are those that it was written with.
    fn has_its_notes(&self) -> bool {
        self.notes.as_ref().is_none_or(|kept| {
            let place = NotesPlace::of(&self.entry);
            place.is_some_and(|place| place.digest == Notes::kept(kept.clone()).digest())
        })
    }
}

/// A part of a partition's trail, the oldest entry first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainPage {
    /// The newest entry's chain, as the store keeps it apart from the trail. Read before the links.
    pub head: String,
    /// The entries.
    pub links: Vec<Link>,
    /// Whether there are newer ones.
    pub has_more: bool,
}

/// A walk along a partition's trail.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Walk {
    /// How many entries were walked.
    pub entries: u64,
    /// The oldest entry.
    pub first: Option<String>,
    /// The newest entry that was walked.
    pub last: Option<String>,
    /// Whether the oldest entry that is kept may follow from what is not.
    archived: bool,
    chain: String,
    /// What was signed of the entries that are not walked yet, by their places.
    signed: BTreeMap<String, BTreeSet<String>>,
}

impl Walk {
    /// Before the oldest entry. Where older ones were `archived`, the oldest that is kept is taken
    /// for what it says it is.
    #[must_use]
    pub fn begin(archived: bool) -> Self {
        Self { archived, ..Self::default() }
    }

    /// Expects what was signed of this trail.
    pub fn expect(&mut self, ChainHead { id, chain, .. }: ChainHead) {
        self.signed.entry(id).or_default().insert(chain);
    }

    /// Goes on along the next part of the trail.
    pub fn take(&mut self, page: &ChainPage) -> Result<(), Broken> {
        let mut meets_head = page.head == self.chain;
        for link in &page.links {
            let on_trust = self.first.is_none() && self.archived;
            if !on_trust && !self.is_followed_by(link) {
                let was_first = self.first.is_none();
                let why = if was_first { Why::NoBeginning } else { Why::DoesNotFollow };
                return Err(Broken { at: Some(link.id.clone()), why });
            }
            if let Some(signed) = self.signed.remove(&link.id)
                && signed.iter().any(|chain| *chain != link.chain)
            {
                return Err(Broken { at: Some(link.id.clone()), why: Why::OtherThanSigned });
            }
            if !link.has_its_notes() {
                return Err(Broken { at: Some(link.id.clone()), why: Why::OtherNotes });
            }
            meets_head |= page.head == link.chain;
            link.chain.clone_into(&mut self.chain);
            self.first.get_or_insert_with(|| link.id.clone());
            self.last = Some(link.id.clone());
            self.entries += 1;
        }
        if page.has_more {
            return Ok(());
        }
        if !meets_head {
            return Err(Broken { at: self.last.clone(), why: Why::EndMissing });
        }
        let kept = self.first.as_deref().map(id_order).filter(|_| self.archived);
        let mut missing = self.signed.keys().filter(|id| kept.is_none_or(|it| id_order(id) >= it));
        match missing.next() {
            Some(id) => Err(Broken { at: Some(id.clone()), why: Why::OtherThanSigned }),
            None => Ok(()),
        }
    }

    fn is_followed_by(&self, link: &Link) -> bool {
        // Digits could go over from one number to the other otherwise.
        let millis_stand_alone = link.millis.len() == MILLIS_DIGITS;
        let sha256 = sha256_hex(&link.entry);
        millis_stand_alone
            && chained(&self.chain, &link.revision, &link.millis, &sha256) == link.chain
    }
}

/// Where a trail is not as it was written, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broken {
    /// At which entry.
    pub at: Option<String>,
    /// How.
    pub why: Why,
}

/// How a trail is not as it was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// The entry, or its place behind the one before it, was changed.
    DoesNotFollow,
    /// Entries behind this one are gone.
    EndMissing,
    /// The notes that are kept beside the entry are not those that it was written with.
    OtherNotes,
    /// The entry is not there as it was signed: the chain was made anew.
    OtherThanSigned,
    /// The first entry that is kept is not the first that was written, or was changed.
    NoBeginning,
}

impl Why {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DoesNotFollow => "does_not_follow",
            Self::EndMissing => "end_missing",
            Self::NoBeginning => "no_beginning",
            Self::OtherNotes => "other_notes",
            Self::OtherThanSigned => "other_than_signed",
        }
    }
}

/// The order of log and audit ids, `<millis>-<counter>`; as text 9-0 would come after 10-0.
#[must_use]
pub fn id_order(id: &str) -> (u64, u64) {
    let (millis, counter) = id.split_once('-').unwrap_or((id, "0"));
    (millis.parse().unwrap_or(0), counter.parse().unwrap_or(0))
}

/// From the year 2001 to the year 2286.
const MILLIS_DIGITS: usize = 13;

#[cfg(test)]
mod tests {
    use super::*;

    fn trail() -> ChainPage {
        let mut links: Vec<Link> = Vec::new();
        for number in 0..5_u64 {
            let previous = links.last().map(|it| it.chain.clone()).unwrap_or_default();
            let (millis, entry) = (1_763_719_200_000 + number, format!("{{\"n\":{number}}}"));
            links.push(Link {
                id: format!("{millis}-0"),
                revision: number.to_string(),
                millis: millis.to_string(),
                chain: chained(&previous, number, millis, &sha256_hex(&entry)),
                entry,
                notes: None,
            });
        }
        let head = links.last().map(|it| it.chain.clone()).unwrap_or_default();
        ChainPage { head, links, has_more: false }
    }

    fn walked(page: &ChainPage, archived: bool) -> Result<u64, (String, Why)> {
        let mut walk = Walk::begin(archived);
        let broken = |it: Broken| (it.at.unwrap_or_default(), it.why);
        walk.take(page).map(|()| walk.entries).map_err(broken)
    }

    #[test]
    fn a_trail_as_it_was_written_holds_page_by_page() {
        let whole = trail();
        assert_eq!(walked(&whole, false), Ok(5));
        let mut walk = Walk::default();
        for (place, link) in whole.links.iter().enumerate() {
            let page = ChainPage {
                links: vec![link.clone()],
                has_more: place < 4,
                head: whole.head.clone(),
            };
            assert_eq!(walk.take(&page), Ok(()));
        }
        let nothing = ChainPage { links: Vec::new(), ..whole };
        assert_eq!(walk.take(&nothing), Ok(()));
        let empty = ChainPage { head: String::new(), ..nothing };
        assert_eq!(walked(&empty, false), Ok(0));
    }

    #[test]
    fn what_is_appended_while_it_is_read_is_no_break() {
        let whole = trail();
        let earlier = ChainPage { head: whole.links[3].chain.clone(), ..whole };
        assert_eq!(walked(&earlier, false), Ok(5));
    }

    #[test]
    fn whatever_is_changed_is_found_at_its_entry() {
        let changes: [fn(&mut Link); 4] = [
            |it| it.entry = it.entry.replace('2', "7"),
            |it| it.revision = "9".to_owned(),
            |it| it.millis = "1763719200009".to_owned(),
            |it| it.chain = it.chain.replace(['0', '1', '2'], "3"),
        ];
        for change in changes {
            let mut page = trail();
            change(&mut page.links[2]);
            let place = page.links[2].id.clone();
            assert_eq!(walked(&page, false), Err((place, Why::DoesNotFollow)));
        }
        let mut shifted = trail();
        let link = &mut shifted.links[2];
        link.revision.push('1');
        link.millis.remove(0);
        assert_eq!(walked(&shifted, false), Err((link_id(2), Why::DoesNotFollow)));
    }

    #[test]
    fn notes_may_be_erased_and_may_not_be_others() {
        let notes = Notes::new("5a17", "called on Monday");
        assert_eq!(notes.text(), "called on Monday");
        let mut page = trail();
        let link = &mut page.links[4];
        let digest = notes.digest();
        link.entry = format!(r#"{{"subject":"default:c1","notesDigest":"{digest}"}}"#);
        let (before, sha256) = (trail().links[3].chain.clone(), sha256_hex(&link.entry));
        link.chain = chained(&before, &link.revision, &link.millis, &sha256);
        page.head = link.chain.clone();
        let place = link.id.clone();
        for (kept, found) in [
            (None, Ok(5)),
            (Some(notes.as_kept()), Ok(5)),
            (Some("5a17 called on Tuesday"), Err((place.clone(), Why::OtherNotes))),
            (Some(""), Err((place, Why::OtherNotes))),
        ] {
            page.links[4].notes = kept.map(str::to_owned);
            assert_eq!(walked(&page, false), found, "{kept:?}");
        }
    }

    #[test]
    fn whatever_is_taken_out_is_found() {
        let mut page = trail();
        page.links.remove(2);
        assert_eq!(walked(&page, false), Err((link_id(3), Why::DoesNotFollow)));
        let mut page = trail();
        page.links.pop();
        assert_eq!(walked(&page, false), Err((link_id(3), Why::EndMissing)));
        let mut page = trail();
        page.links.remove(0);
        assert_eq!(walked(&page, false), Err((link_id(1), Why::NoBeginning)));
        assert_eq!(walked(&page, true), Ok(4));
        let nothing = ChainPage { links: Vec::new(), ..trail() };
        assert_eq!(walked(&nothing, true), Err((String::new(), Why::EndMissing)));
    }

    #[test]
    fn what_was_signed_has_to_be_in_the_chain() {
        let of = |link: &Link, chain: &str| ChainHead {
            partition: 0,
            id: link.id.clone(),
            chain: chain.to_owned(),
        };
        let walked = |page: &ChainPage, archived: bool, head: ChainHead| {
            let mut walk = Walk::begin(archived);
            walk.expect(head);
            walk.take(page).map_err(|it| (it.at.unwrap_or_default(), it.why))
        };
        let whole = trail();
        let [oldest, third] = [0, 2].map(|place| whole.links[place].clone());
        let signed = of(&third, &third.chain);
        assert_eq!(walked(&whole, false, signed.clone()), Ok(()));
        let other = Err((third.id.clone(), Why::OtherThanSigned));
        assert_eq!(walked(&whole, false, of(&third, &oldest.chain)), other);
        let empty = ChainPage { head: String::new(), links: Vec::new(), has_more: false };
        assert_eq!(walked(&empty, false, signed), other);
        let mut archived = whole;
        archived.links.remove(0);
        assert_eq!(walked(&archived, true, of(&oldest, &oldest.chain)), Ok(()));
    }

    fn link_id(place: usize) -> String {
        trail().links[place].id.clone()
    }
}
