//! All abuses.

use std::{path::Path, time::Duration};

use crate::{
    connections::{idle, readers, writers},
    resnapshot::resnapshot,
    support::{RedisServer, tollgate::Tollgate},
    unknown::unknown,
};

/// What is done to an instance while others ask it.
#[derive(Debug)]
pub(crate) struct Abuse {
    /// What it is chosen by.
    pub(crate) name: &'static str,
    /// What the instance is started with beside the usual.
    pub(crate) flags: &'static [&'static str],
    /// Begins it.
    pub(crate) begin: fn(&Abused<'_>) -> Box<dyn Begun>,
}

/// Who is abused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abused<'a> {
    pub(crate) tollgate: &'a Tollgate,
    /// Where it can be asked too.
    pub(crate) socket: &'a Path,
    pub(crate) redis: &'a RedisServer,
    /// A tenth of the abuse, for trying.
    pub(crate) is_quick: bool,
}

/// An abuse under way. It ends when this is dropped.
pub(crate) trait Begun {
    /// Goes on with it for so long, and tells how much of it there was.
    fn go_on(&mut self, time: Duration) -> String;
}

pub(crate) const ABUSES: &[Abuse] = &[
    Abuse { name: "idle", flags: MANY, begin: |abused| Box::new(idle(abused, 10_000)) },
    Abuse {
        name: "full",
        flags: &["--max-connections", "1000"],
        begin: |abused| Box::new(idle(abused, 1_000)),
    },
    Abuse { name: "readers", flags: MANY, begin: |abused| Box::new(readers(abused, 50)) },
    Abuse { name: "writers", flags: MANY, begin: |abused| Box::new(writers(abused, 4_000)) },
    Abuse { name: "unknown", flags: &[], begin: |abused| Box::new(unknown(abused, 100_000)) },
    Abuse { name: "resnapshot", flags: &[], begin: |abused| Box::new(resnapshot(abused)) },
];

/// As many as its files allow: more than any abuse takes, if they allow for that.
const MANY: &[&str] = &["--max-connections", "20000"];
