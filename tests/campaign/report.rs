//! The table that a campaign ends with.

use std::{fmt, time::Duration};

/// What came of one fault.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) fault: &'static str,
    /// How often it was injected.
    pub(crate) injected: u32,
    /// Acknowledged acts that made a difference.
    pub(crate) changes: usize,
    /// Of those, how many the store does not hold; nothing where it is not to hold them.
    pub(crate) lost: Option<usize>,
    /// Acknowledged changes of status that Redis forgot.
    pub(crate) forgotten: usize,
    /// Of those, how many came back.
    pub(crate) came_back: usize,
    /// Of those, how many did not, because their source acted again or somebody has to decide.
    pub(crate) superseded: usize,
    /// Checks answered meanwhile.
    pub(crate) checks: u64,
    /// Decisions other than the store has it, after settling.
    pub(crate) wrong: usize,
    /// The longest that an instance was behind once a fault was over.
    pub(crate) settling: Duration,
    /// How often an instance read the whole restricted set anew.
    pub(crate) resnapshots: f64,
}

impl Row {
    /// Adds what came of the same fault in another fleet.
    pub(crate) fn add(&mut self, other: &Self) {
        self.injected += other.injected;
        self.changes += other.changes;
        self.lost = self.lost.into_iter().chain(other.lost).reduce(|all, one| all + one);
        self.forgotten += other.forgotten;
        self.came_back += other.came_back;
        self.superseded += other.superseded;
        self.checks += other.checks;
        self.wrong += other.wrong;
        self.settling = self.settling.max(other.settling);
        self.resnapshots += other.resnapshots;
    }
}

/// The head of the table.
pub(crate) const HEAD: &str = "\
| fault | injected | changes made | changes lost | forgotten by Redis | came back | superseded \
| checks meanwhile | wrong decisions after settling | worst settling | resnapshots |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, injected, changes, lost, forgotten, .. } = self;
        let Self { came_back, superseded, checks, wrong, resnapshots, .. } = self;
        let lost = lost.map_or_else(|| "-".to_owned(), |lost| lost.to_string());
        let settling = self.settling.as_secs_f64();
        write!(
            f,
            "| {fault} | {injected} | {changes} | {lost} | {forgotten} | {came_back} \
             | {superseded} | {checks} | {wrong} | {settling:.2} s | {resnapshots} |"
        )
    }
}
