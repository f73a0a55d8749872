//! Makes Tollgate hold what another system says of its customers, and nothing else.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{
    Cut,
    lists::Said,
    picture::{Held, INACTIVE, Picture},
    stop::Stop,
};
use crate::cli::{
    answer::{is_set, text},
    client::{Call, Client},
    failure::{Failure, Refused},
    out::{Out, Output},
};

/// What came of a round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Customers that the system told of.
    pub(super) seen: usize,
    /// Those of them that are inactive there.
    pub(super) inactive: usize,
    /// Those that were changed in Tollgate; or would have been.
    pub(super) changed: usize,
    /// Those that Tollgate did not let be changed.
    pub(super) refused: usize,
    /// Those that wait because Tollgate's guard has paused the source.
    pub(super) waiting: usize,
}

/// What is kept from one round to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    picture: Option<Picture>,
    /// Rounds since Tollgate was read.
    age: u32,
    /// What was refused since then, and what it was: it would be again, and each time be on record.
    refused: HashMap<String, bool>,
}

impl Memory {
    /// Has Tollgate read again before anything else is done.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Reads Tollgate unless that was done some rounds ago at most.
    pub(super) fn refresh(&mut self, tollgate: &Tollgate<'_>) -> Result<(), Cut> {
        self.age += 1;
        if self.picture.is_none() || self.age >= ROUNDS_OF_A_PICTURE {
            self.read(tollgate)?;
        }
        Ok(())
    }

    fn read(&mut self, tollgate: &Tollgate<'_>) -> Result<&mut Picture, Cut> {
        let picture = Picture::read(tollgate.client, tollgate.source, tollgate.stop)?;
        (self.age, self.refused) = (0, HashMap::new());
        Ok(self.picture.insert(picture))
    }
}

/// The Tollgate that is told, and how.
pub(super) struct Tollgate<'a> {
    /// Its operator listener.
    pub(super) client: &'a Client,
    /// In whose name.
    pub(super) source: &'a str,
    /// Whether it is only told what would be done.
    pub(super) dry_run: bool,
    /// How changes are printed.
    pub(super) output: Output,
    /// What ends the round early.
    pub(super) stop: &'a Stop,
}

impl Tollgate<'_> {
    /// Does what is to be done of what was said. Whoever is refused does not keep the others.
    pub(super) fn apply(
        &self,
        said: &Said,
        memory: &mut Memory,
        tally: &mut Tally,
        out: &mut Out<'_>,
    ) -> Result<(), Cut> {
        (tally.seen, tally.refused) =
            (said.customers.len() + said.unusable.len(), said.unusable.len());
        tally.inactive = said.customers.values().filter(|is_inactive| **is_inactive).count();
        for unusable in said.unusable.iter().take(MOST_TOLD) {
            out.note(format_args!("refused: {unusable}"));
        }
        let due = self.due(said, memory)?;
        let mut round = Round { tollgate: self, memory, tally, out, roles: 0, is_paused: false };
        for (id, inactive) in due {
            self.stop.check()?;
            if let Err(failure) = round.settle(&id, inactive) {
                // What became of it is not known.
                round.memory.forget();
                return Err(Cut::Failed(failure));
            }
        }
        Ok(())
    }

    /// Whom Tollgate holds otherwise than was said, by its own ids. If the other system has one
    /// customer twice, inactive counts.
    fn due(&self, said: &Said, memory: &mut Memory) -> Result<BTreeMap<String, bool>, Cut> {
        let is_fresh = memory.age == 0;
        let found = Self::differing(said, memory);
        let is_strange = |id: &String| {
            memory.picture.as_ref().is_none_or(|picture| picture.held(id).is_none())
                && !memory.refused.contains_key(id)
        };
        // Nobody is made a customer because an alias was not known yet.
        if !is_fresh && found.keys().any(is_strange) {
            memory.read(self)?;
            return Ok(Self::differing(said, memory));
        }
        Ok(found)
    }

    fn differing(said: &Said, memory: &Memory) -> BTreeMap<String, bool> {
        let Some(picture) = &memory.picture else { return BTreeMap::new() };
        let mut meant = BTreeMap::new();
        for (id, is_inactive) in &said.customers {
            *meant.entry(picture.meant(id)).or_default() |= *is_inactive;
        }
        meant.retain(|id, inactive| picture.held(id) != Some(wanted(*inactive)));
        meant
    }
}

/// One round, as far as it has come.
struct Round<'a, 'o> {
    tollgate: &'a Tollgate<'a>,
    memory: &'a mut Memory,
    tally: &'a mut Tally,
    out: &'a mut Out<'o>,
    /// Customers in a row that the key was too weak for.
    roles: usize,
    is_paused: bool,
}

impl Round<'_, '_> {
    /// Makes Tollgate hold a customer as was said.
    fn settle(&mut self, id: &str, inactive: bool) -> Result<(), Failure> {
        let Tollgate { client, source, .. } = *self.tollgate;
        if self.memory.refused.get(id) == Some(&inactive) {
            self.tally.refused += 1;
            return Ok(());
        }
        let picture = self.memory.picture.get_or_insert_default();
        let known = match picture.held(id) {
            Some(held) => Some(held),
            None => picture.look(client, source, id)?,
        };
        if known == Some(wanted(inactive)) {
            return Ok(());
        }
        if self.is_paused && inactive {
            self.tally.waiting += 1;
            return Ok(());
        }
        let is_new = known.is_none();
        if self.tollgate.dry_run {
            self.tell(id, inactive, is_new, None);
            return Ok(());
        }
        let status = if inactive { INACTIVE } else { "active" };
        let call = Call::new("PUT", format!("/v1/customers/{id}"))
            .body(json!({ "status": status, "source": source }));
        match client.send(&call) {
            Ok(answer) => {
                self.roles = 0;
                self.done(id, inactive, is_new, &answer);
                Ok(())
            }
            Err(Failure::Refused(refused)) => self.refused(id, inactive, refused),
            Err(failure) => Err(failure),
        }
    }

    fn done(&mut self, id: &str, inactive: bool, is_new: bool, answer: &Value) {
        let held = answer.get("customer").map(|customer| {
            self.memory.picture.get_or_insert_default().keep(customer, self.tollgate.source)
        });
        if is_set(answer, "changed") {
            self.tell(id, inactive, is_new, Some(answer));
        }
        if held != Some(wanted(inactive)) {
            self.out
                .note(format_args!("refused: {id}: it was acted on, and is still held otherwise"));
            self.tally.refused += 1;
            self.memory.refused.insert(id.to_owned(), inactive);
        } else if !is_set(answer, "changed") {
            // Somebody else acts on it too: the picture is older than it seemed.
            self.memory.age = ROUNDS_OF_A_PICTURE;
        }
    }

    fn refused(&mut self, id: &str, inactive: bool, refused: Refused) -> Result<(), Failure> {
        match refused.code.as_str() {
            "SOURCE_PAUSED" => {
                let source = self.tollgate.source;
                self.out.note(format_args!("waiting: {}", refused.message));
                self.out.hint(format_args!(
                    "look at what it did, then: tollgate ingest resume {source}, or: tollgate undo \
                     --source {source}"
                ));
                self.is_paused = true;
                self.tally.waiting += 1;
                return Ok(());
            }
            "INSUFFICIENT_ROLE" => self.roles += 1,
            _ => self.roles = 0,
        }
        let is_of_one = matches!(refused.status, 400 | 403 | 404 | 409 | 412)
            && refused.code != "NO_TENANT_ACCESS"
            && self.roles < MOST_ROLES;
        if !is_of_one {
            return Err(Failure::Refused(refused).hinting("INSUFFICIENT_ROLE", KEY_HINT));
        }
        self.tally.refused += 1;
        if self.tally.refused <= MOST_TOLD {
            self.out.note(format_args!("refused: {id}: {}: {}", refused.code, refused.message));
        }
        // What somebody else interfered with may go well next time.
        if refused.code == "CONFLICT" {
            self.memory.age = ROUNDS_OF_A_PICTURE;
        } else {
            self.memory.refused.insert(id.to_owned(), inactive);
        }
        Ok(())
    }

    fn tell(&mut self, id: &str, inactive: bool, is_new: bool, answer: Option<&Value>) {
        self.tally.changed += 1;
        let (status, source) = (if inactive { INACTIVE } else { "active" }, self.tollgate.source);
        let revision = answer.map(|answer| text(answer, "revision"));
        match self.tollgate.output {
            Output::Json => self.out.line(json!({
                "customerId": id,
                "source": source,
                "status": status,
                "created": is_new,
                "revision": revision,
            })),
            Output::Table => {
                let made = if is_new { ", a new customer" } else { "" };
                self.out.line(format_args!("{id}  {status} by {source}{made}"));
            }
        }
    }
}

const fn wanted(inactive: bool) -> Held {
    if inactive { Held::Inactive } else { Held::Nothing }
}

const KEY_HINT: &str = "the key needs the role support and the source flexportal: tollgate keys \
                        create --role support --source flexportal --name flexportal";
/// What an operator lifts meanwhile is placed again after so many rounds at the latest, and what
/// was refused is tried again.
const ROUNDS_OF_A_PICTURE: u32 = 10;
/// More lines of a round are not read by anybody.
const MOST_TOLD: usize = 20;
/// A key that is too weak for so many one after another is too weak for all.
const MOST_ROLES: usize = 3;
