//! What a person or a script reads: data on standard output, messages on standard error.

use std::{
    fmt::Display,
    io::{self, Write},
};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;

use super::failure::Failure;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// JSON, as Tollgate answered it.
    Json,
    /// Columns for people.
    #[default]
    Table,
}

/// Writes data and messages. A reader that went away is no error: it has seen enough.
pub struct Out<'a> {
    data: Box<dyn Write + 'a>,
    messages: Box<dyn Write + 'a>,
    broken: Option<io::Error>,
    closed: bool,
}

impl Out<'_> {
    /// Standard output and standard error.
    #[must_use]
    pub fn standard() -> Self {
        Self::to(io::stdout().lock(), io::stderr())
    }
}

impl<'a> Out<'a> {
    /// Any other two writers.
    pub fn to(data: impl Write + 'a, messages: impl Write + 'a) -> Self {
        Self { data: Box::new(data), messages: Box::new(messages), broken: None, closed: false }
    }

    /// Prints `value` as JSON, or the table made of it.
    pub(super) fn data(
        &mut self,
        output: Output,
        value: &impl Serialize,
        rows: impl FnOnce() -> Rows,
    ) {
        match output {
            Output::Json => match serde_json::to_string_pretty(value) {
                Ok(json) => self.line(json),
                Err(error) => self.broken = Some(error.into()),
            },
            Output::Table => self.line(rows()),
        }
    }

    /// Prints one line of data.
    pub(super) fn line(&mut self, line: impl Display) {
        let written = writeln!(self.data, "{line}").and_then(|()| self.data.flush());
        self.note_end(written);
    }

    /// Tells something beside the data.
    pub(super) fn note(&mut self, note: impl Display) {
        let written = writeln!(self.messages, "{note}");
        self.note_end(written);
    }

    /// Tells what could be done next.
    pub(super) fn hint(&mut self, hint: impl Display) {
        self.note(format_args!("hint: {hint}"));
    }

    /// Tells why something was not done, and what could be.
    pub(super) fn failure(&mut self, failure: &Failure) {
        self.note(format_args!("error: {failure}"));
        for detail in failure.details() {
            self.note(format_args!("  {detail}"));
        }
        if let Some(hint) = failure.hint() {
            self.hint(hint);
        }
    }

    /// The error that kept data from being written, if the reader did not just go away.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    /// Whether nobody reads any more.
    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    fn note_end(&mut self, written: io::Result<()>) {
        let Err(error) = written else { return };
        self.closed = true;
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.broken.get_or_insert(error);
        }
    }
}

/// Rows under a header, in columns as wide as they have to be.
pub(super) struct Rows(Table);

impl Rows {
    /// No rows yet, under these column names.
    pub(super) fn under<const N: usize>(header: [&str; N]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header);
        Self(table)
    }

    /// No rows yet, and no header.
    pub(super) fn plain() -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        Self(table)
    }

    /// One row more.
    pub(super) fn row<const N: usize>(mut self, cells: [String; N]) -> Self {
        self.0.add_row(cells);
        self
    }
}

impl Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut table = self.0.clone();
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        f.write_str(&table.trim_fmt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone(io::ErrorKind);

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_and_a_full_disk_is() {
        let mut out = Out::to(Gone(io::ErrorKind::BrokenPipe), io::sink());
        out.line("data");
        assert!(out.take_error().is_none());
        let mut out = Out::to(Gone(io::ErrorKind::StorageFull), io::sink());
        out.line("data");
        assert!(out.take_error().is_some());
    }

    #[test]
    fn rows_stand_in_columns() {
        let rows = Rows::under(["ID", "STATUS"])
            .row(["c1".to_owned(), "active".to_owned()])
            .row(["customer-2".to_owned(), "frozen".to_owned()]);
        assert_eq!(rows.to_string(), "ID          STATUS\nc1          active\ncustomer-2  frozen");
    }
}
