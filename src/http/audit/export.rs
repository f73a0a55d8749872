//! Every entry that is wanted, a line each.

use super::{
    super::lines::{Broken, Lines, More, Told},
    Shown, Wanted,
};
use crate::{control::Control, store::AuditCursor};

/// Tells entries, the newest first.
pub(super) struct Entries {
    pub(super) control: Control,
    pub(super) wanted: Wanted,
    /// The entry before which (in time) the next ones are.
    pub(super) before: Option<AuditCursor>,
}

impl Told for Entries {
    const WHAT: &'static str = "entries";

    async fn tell(&mut self, lines: &mut Lines) -> Result<More, Broken> {
        let Self { control, wanted, before } = self;
        let found = wanted.read(control, before.take(), AT_ONCE).await?;
        for stored in found.entries {
            lines.push(&Shown::of(control, stored))?;
        }
        *before = found.next;
        Ok(if before.is_some() { More::Maybe } else { More::None })
    }
}

const AT_ONCE: usize = 200;
