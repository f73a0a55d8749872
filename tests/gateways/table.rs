//! What came of the cases at a gateway, as a row of a table.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    cases::{CASES, Case},
    gateway::{Kind, Variant},
    site::Site,
};

/// What came of every case at one gateway.
#[derive(Debug)]
pub(crate) struct Row {
    kind: Kind,
    /// Why a case failed, if it did.
    cells: Vec<Result<(), String>>,
}

impl Row {
    /// Runs every case, also after one that fails.
    pub(crate) fn of(kind: Kind, variant: Variant) -> Self {
        let mut site = Site::start(kind, variant);
        let mut cell = |case: Case| {
            catch_unwind(AssertUnwindSafe(|| case(&mut site))).map_err(|panic| {
                panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "it failed".to_owned())
            })
        };
        Self { kind, cells: CASES.iter().map(|(_, case)| cell(*case)).collect() }
    }

    /// Holds that no case failed.
    pub(crate) fn assert_passes(&self) {
        let failed = CASES.iter().zip(&self.cells).filter_map(|((name, _), cell)| {
            cell.as_ref().err().map(|why| format!("{name} at {}: {why}", self.kind.name()))
        });
        let failed: Vec<_> = failed.collect();
        assert!(failed.is_empty(), "\n{}", failed.join("\n\n"));
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} {} |", self.kind.name(), self.kind.version())?;
        for cell in &self.cells {
            write!(f, " {} |", if cell.is_ok() { "pass" } else { "**fail**" })?;
        }
        Ok(())
    }
}

/// The head of the table.
pub(crate) fn head() -> String {
    let names: Vec<_> = CASES.iter().map(|(name, _)| *name).collect();
    format!("| gateway | {} |\n|---|{}", names.join(" | "), "---|".repeat(CASES.len()))
}
