//! One item of the feed: what a commit did, as every instance hears it.

use serde::{Deserialize, Serialize};

use super::{
    action::Verb,
    fleet::FleetShadow,
    key::CustomerKey,
    restriction::{Kind, RestrictionReason, Restrictions, Source},
    revision::{Revision, Token},
    time::Timestamp,
};

/// One committed change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Its revision in the partition.
    pub revision: Revision,
    /// Its entry in the partition's log.
    pub log_id: String,
    /// What was changed.
    pub subject: Subject,
}

impl Change {
    /// When the store committed it, as the log entry's id tells (`<milliseconds>-<counter>`).
    #[must_use]
    pub fn committed_at(&self) -> Option<Timestamp> {
        let (millis, _) = self.log_id.split_once('-')?;
        millis.parse().ok().map(Timestamp::from_millis)
    }
}

/// What a change is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A customer.
    Customer(CustomerChange),
    /// An operator's key: its new form, or nothing when it was revoked.
    Key {
        /// The key's id.
        id: String,
        /// The key as stored, in JSON.
        stored: Option<String>,
    },
    /// A source was paused by the guard, or let go on.
    Source {
        /// Which one.
        source: Source,
        /// Its new state, in JSON.
        stored: String,
    },
    /// Every instance is put into shadow, or out of it.
    Fleet {
        /// Until when; nothing to let the policy count.
        shadow: Option<FleetShadow>,
    },
    /// What became of a change that the store forgot and that could not be written back.
    Conflict {
        /// The forgotten change's revision.
        forgotten: Token,
        /// What stands against it, in JSON; nothing once it is settled.
        stored: Option<String>,
    },
    /// The partition was created.
    Created,
    /// The partition's history ended and another one began, with what its head says of it.
    Succeeded,
    /// Written by a newer Tollgate, or broken. If the customer is known, nothing more is known
    /// of it.
    Unreadable(Option<CustomerKey>),
}

/// What a change made of a customer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CustomerChange {
    /// Which customer.
    pub key: CustomerKey,
    /// All its restrictions after the change.
    pub restrictions: Restrictions,
    /// Whether anything of its record beside the restrictions is another now.
    pub entitlements_changed: bool,
    /// What was done.
    pub act: Act,
}

/// What was done to a customer, without notes and actor: enough to do it again.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    /// How.
    pub verb: Verb,
    /// For whom.
    pub source: Source,
    /// The kind placed or lifted, if one was: nothing when the restrictions stay as they were, or
    /// what had lapsed is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RestrictionReason>,
    /// From when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// When the message that asked for it was sent, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether the source holds exactly `kind` from then on, or nothing, and did not before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// Whether somebody imported it, who answers for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// The revision of the change that this one writes back, after the store had forgotten it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovers: Option<Token>,
}

impl Act {
    /// Whether it is about a status, and not about other fields of the record alone.
    #[must_use]
    pub const fn is_of_status(&self) -> bool {
        self.kind.is_some() || self.exact
    }

    /// Whether `self`, heard later, leaves nothing of what `earlier` said of its restriction. Of
    /// two messages the one that was sent later does.
    #[must_use]
    pub fn supersedes(&self, earlier: &Self) -> bool {
        let is_late = self.at.zip(earlier.at).is_some_and(|(ours, theirs)| ours < theirs);
        self.is_of_status()
            && !is_late
            && self.source == earlier.source
            && (self.exact || (!earlier.exact && self.kind == earlier.kind))
    }

    /// Whether it restricts a customer who has `restrictions` after it: what the guard on a
    /// source's blast radius counts. People answer for what they do themselves or import, and what
    /// is written back was counted when it was done.
    #[must_use]
    pub fn restricts(&self, restrictions: &Restrictions) -> bool {
        let places = |kind| restrictions.held_by(&self.source, kind).is_some();
        self.recovers.is_none()
            && !self.imported
            && self.source != Source::operator()
            && self.kind.is_some_and(places)
    }
}

/// A change without what the store adds to it, as text for the log.
#[derive(Debug, Default, Deserialize, Serialize)]
struct LogLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    what: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restrictions: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    entitlements: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    act: Option<Act>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored: Option<String>,
}

impl Subject {
    /// The line that the log keeps.
    #[must_use]
    pub fn to_log(&self) -> String {
        let line = match self {
            Self::Customer(change) => LogLine {
                key: Some(change.key.to_string()),
                restrictions: Some(change.restrictions.to_compact()),
                entitlements: change.entitlements_changed,
                act: Some(change.act.clone()),
                ..LogLine::default()
            },
            Self::Key { id, stored } => LogLine {
                what: Some(KEY.to_owned()),
                key: Some(id.clone()),
                stored: stored.clone(),
                ..LogLine::default()
            },
            Self::Source { source, stored } => LogLine {
                what: Some(GUARD.to_owned()),
                key: Some(source.to_string()),
                stored: Some(stored.clone()),
                ..LogLine::default()
            },
            Self::Fleet { shadow } => LogLine {
                what: Some(FLEET.to_owned()),
                stored: shadow.map(|shadow| shadow.to_string()),
                ..LogLine::default()
            },
            Self::Conflict { forgotten, stored } => LogLine {
                what: Some(CONFLICT.to_owned()),
                key: Some(forgotten.to_string()),
                stored: stored.clone(),
                ..LogLine::default()
            },
            Self::Created | Self::Unreadable(_) => {
                LogLine { what: Some(CREATED.to_owned()), ..LogLine::default() }
            }
            Self::Succeeded => LogLine { what: Some(SUCCEEDED.to_owned()), ..LogLine::default() },
        };
        // A struct of strings always serialises.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// Reads [`Subject::to_log`]. What cannot be read says so, and names the customer if it can.
    #[must_use]
    pub fn from_log(raw: &str) -> Self {
        let Ok(line) = serde_json::from_str::<LogLine>(raw) else {
            return Self::Unreadable(customer_named_in(raw));
        };
        match (line.what.as_deref(), line.key) {
            (Some(GUARD), Some(source)) => match (Source::parse(&source), line.stored) {
                (Ok(source), Some(stored)) => Self::Source { source, stored },
                _ => Self::Unreadable(None),
            },
            (None, Some(key)) => {
                let Ok(key) = CustomerKey::parse(&key) else { return Self::Unreadable(None) };
                let restrictions = line.restrictions.as_deref().map(Restrictions::parse_compact);
                match (restrictions, line.act) {
                    (Some(Ok(restrictions)), Some(act)) => Self::Customer(CustomerChange {
                        key,
                        restrictions,
                        entitlements_changed: line.entitlements,
                        act,
                    }),
                    _ => Self::Unreadable(Some(key)),
                }
            }
            (Some(KEY), Some(id)) => Self::Key { id, stored: line.stored },
            (Some(CONFLICT), Some(forgotten)) => match forgotten.parse() {
                Ok(forgotten) => Self::Conflict { forgotten, stored: line.stored },
                Err(_) => Self::Unreadable(None),
            },
            (Some(FLEET), None) => match line.stored.as_deref().map(str::parse).transpose() {
                Ok(shadow) => Self::Fleet { shadow },
                Err(_) => Self::Unreadable(None),
            },
            (Some(CREATED), None) => Self::Created,
            (Some(SUCCEEDED), None) => Self::Succeeded,
            _ => Self::Unreadable(None),
        }
    }
}

fn customer_named_in(raw: &str) -> Option<CustomerKey> {
    #[derive(Deserialize)]
    struct Named {
        key: String,
    }
    let named: Named = serde_json::from_str(raw).ok()?;
    CustomerKey::parse(&named.key).ok()
}

const KEY: &str = "key";
const GUARD: &str = "guard";
const CONFLICT: &str = "conflict";
const FLEET: &str = "fleet";
const CREATED: &str = "created";
const SUCCEEDED: &str = "succeeded";

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Subject {
        Subject::Customer(CustomerChange {
            key: CustomerKey::parse("acme:c1").unwrap(),
            restrictions: Restrictions::parse_compact("frozen,wingback,other,1,").unwrap(),
            entitlements_changed: true,
            act: Act {
                verb: Verb::Freeze,
                source: Source::operator(),
                kind: Some(Kind::Frozen),
                reason: Some(RestrictionReason::Other),
                since: None,
                until: None,
                at: None,
                exact: false,
                imported: false,
                recovers: "e1:0.7".parse().ok(),
            },
        })
    }

    fn act(verb: Verb, kind: Option<Kind>, exact: bool) -> Act {
        let Subject::Customer(CustomerChange { act, .. }) = change() else { panic!("no act") };
        Act { verb, kind, exact, recovers: None, ..act }
    }

    #[test]
    fn a_later_act_supersedes_what_it_leaves_nothing_of() {
        let freeze = act(Verb::Freeze, Some(Kind::Frozen), false);
        let unfreeze = act(Verb::Unfreeze, Some(Kind::Frozen), false);
        let disable = act(Verb::Disable, Some(Kind::Disabled), false);
        let exactly_none = act(Verb::Put, None, true);
        let fields = act(Verb::Put, None, false);
        assert!(unfreeze.supersedes(&freeze) && exactly_none.supersedes(&freeze));
        assert!(!disable.supersedes(&freeze) && !fields.supersedes(&freeze));
        assert!(!freeze.supersedes(&exactly_none));
        let other = Act { source: Source::parse("stripe").unwrap(), ..unfreeze };
        assert!(!other.supersedes(&freeze));
    }

    #[test]
    fn of_two_messages_the_one_that_was_sent_later_supersedes_the_other() {
        let sent = |at| Act {
            at: Some(Timestamp::from_millis(at)),
            ..act(Verb::Put, Some(Kind::Frozen), true)
        };
        assert!(sent(2).supersedes(&sent(1)) && sent(2).supersedes(&sent(2)));
        assert!(!sent(1).supersedes(&sent(2)));
        let unfreeze = act(Verb::Unfreeze, Some(Kind::Frozen), false);
        let enforced = Act { at: sent(2).at, ..act(Verb::Freeze, Some(Kind::Frozen), false) };
        assert!(unfreeze.supersedes(&enforced));
    }

    #[test]
    fn a_log_line_reads_back() {
        let key = Subject::Key { id: "k1".to_owned(), stored: Some("{}".to_owned()) };
        let paused = Subject::Source { source: Source::operator(), stored: "{}".to_owned() };
        let conflict = Subject::Conflict { forgotten: "e1:0.7".parse().unwrap(), stored: None };
        let shadow = "shadow@1795255203000".parse().ok();
        let fleet = [Subject::Fleet { shadow }, Subject::Fleet { shadow: None }];
        let others = [change(), key, paused, conflict, Subject::Created, Subject::Succeeded];
        for subject in others.into_iter().chain(fleet) {
            assert_eq!(Subject::from_log(&subject.to_log()), subject);
        }
    }

    #[test]
    fn a_line_of_a_newer_format_still_names_its_customer() {
        let newer = r#"{"key":"acme:c1","restrictions":"banned,x,y,1,","act":{"verb":"ban"}}"#;
        let named = CustomerKey::parse("acme:c1").ok();
        assert_eq!(Subject::from_log(newer), Subject::Unreadable(named));
        assert_eq!(Subject::from_log("no json"), Subject::Unreadable(None));
        assert_eq!(Subject::from_log(r#"{"what":"guard"}"#), Subject::Unreadable(None));
        let newer = r#"{"what":"fleet","stored":"dimmed@1"}"#;
        assert_eq!(Subject::from_log(newer), Subject::Unreadable(None));
    }

    #[test]
    fn the_log_id_tells_when_it_was_committed() {
        let log_id = "1763719200000-0".to_owned();
        let change = Change { revision: Revision(1), log_id, subject: Subject::Created };
        assert_eq!(change.committed_at(), Some(Timestamp::from_millis(1_763_719_200_000)));
    }
}
