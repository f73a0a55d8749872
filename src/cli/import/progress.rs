//! Shows how far an import is: a bar where somebody watches, a line now and then where a log does.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{super::out::Out, batches::Place};
use crate::clock::{Clock, Moment};

/// What is shown of one run.
pub(super) struct Progress {
    clock: Clock,
    begun: Moment,
    from: Place,
    /// How long the file is, if that is known.
    size: Option<u64>,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Moment },
}

impl Progress {
    /// Begins at `from`.
    pub(super) fn begin(clock: Clock, from: Place, size: Option<u64>) -> Self {
        let begun = clock.moment();
        let shown = if io::stderr().is_terminal() {
            Shown::Bar(bar(from, size))
        } else {
            Shown::Lines { last: begun }
        };
        Self { clock, begun, from, size, shown }
    }

    /// How long it goes on.
    pub(super) fn took(&self) -> Duration {
        self.clock.moment().saturating_since(self.begun)
    }

    /// Shows that it has come to `at`, with so many customers in this run and so many lines
    /// refused in all.
    pub(super) fn show(&mut self, at: Place, customers: u64, refused: u64, out: &mut Out<'_>) {
        let rate = per_second(customers, self.took());
        let told = format!("line {}, {rate} a second, {refused} refused", at.lines);
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(at.bytes);
                bar.set_message(told);
            }
            Shown::Lines { last } => {
                let now = self.clock.moment();
                if now.saturating_since(*last) >= TELL_EVERY {
                    *last = now;
                    out.note(format_args!("{told}{}", self.left(at)));
                }
            }
        }
    }

    /// Tells something in between.
    pub(super) fn note(&self, note: impl std::fmt::Display, out: &mut Out<'_>) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| out.note(note)),
            Shown::Lines { .. } => out.note(note),
        }
    }

    /// Shows no more.
    pub(super) fn end(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    /// How long it still takes, if that can be told.
    fn left(&self, at: Place) -> String {
        let done = at.bytes.saturating_sub(self.from.bytes);
        let Some(size) = self.size.filter(|size| *size > 0 && done > 0) else {
            return String::new();
        };
        let to_do = size.saturating_sub(at.bytes);
        let seconds = u128::from(to_do) * self.took().as_millis() / u128::from(done) / 1000;
        let percent = at.bytes.saturating_mul(100) / size;
        format!(", {percent} %, about {seconds} s left")
    }
}

/// How many there are in a second.
pub(super) fn per_second(count: u64, took: Duration) -> u128 {
    u128::from(count) * 1000 / took.as_millis().max(1)
}

fn bar(from: Place, size: Option<u64>) -> ProgressBar {
    let (bar, template) = match size {
        Some(size) => (ProgressBar::new(size), "{wide_bar} {percent:>3} % {eta:>4} left, {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_position(from.bytes);
    bar.reset_eta();
    bar
}

const TELL_EVERY: Duration = Duration::from_secs(5);
