//! Cuts a file of lines into batches, and remembers what it read: a line is never held that is
//! longer than one may be.

use std::io::{self, BufRead, Read};

use sha2::{Digest as _, Sha256};

use crate::domain::digest::hex;

/// A file, read once from its beginning to its end.
pub(super) struct Batches<R> {
    input: R,
    place: Place,
    hash: Sha256,
    /// A line that did not fit into the batch before.
    waiting: Option<Vec<u8>>,
}

/// How far a file is read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    /// How many bytes.
    pub(super) bytes: u64,
    /// How many lines.
    pub(super) lines: u64,
}

/// Some lines in a row.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Batch {
    /// The number of the first.
    pub(super) first_line: u64,
    /// The lines, each with its end. One that is too long is empty here.
    pub(super) text: Vec<u8>,
    /// How many of them are not empty.
    pub(super) customers: u64,
    /// The numbers of those that are too long.
    pub(super) too_long: Vec<u64>,
}

/// What was read before is not what is there now.
#[derive(Debug, thiserror::Error)]
pub(super) enum SkipError {
    #[error("what was read of it before is not what it holds now")]
    Changed,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<R: BufRead> Batches<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, place: Place::default(), hash: Sha256::new(), waiting: None }
    }

    /// How far it is read: to the end of the last batch.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// SHA-256 (hex) of what is read.
    pub(super) fn sha256(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    /// Goes on at `place`, if what is before it has this digest.
    pub(super) fn skip_to(&mut self, place: Place, sha256: &str) -> Result<(), SkipError> {
        let mut before = self.input.by_ref().take(place.bytes);
        loop {
            let chunk = before.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            self.hash.update(chunk);
            let read = chunk.len();
            self.place.bytes += read as u64;
            before.consume(read);
        }
        self.place.lines = place.lines;
        let is_same = self.place == place && self.sha256() == sha256;
        if is_same { Ok(()) } else { Err(SkipError::Changed) }
    }

    /// The next lines, `lines` of them at most; nothing at the end.
    pub(super) fn next(&mut self, lines: u64) -> io::Result<Option<Batch>> {
        let mut batch = Batch { first_line: self.place.lines + 1, ..Batch::default() };
        let begin = self.place;
        while self.place.lines - begin.lines < lines {
            let line = match self.waiting.take() {
                Some(line) => Found::Line(line),
                None => self.line()?,
            };
            match line {
                Found::End => break,
                Found::TooLong => {
                    self.place.lines += 1;
                    batch.too_long.push(self.place.lines);
                    batch.text.push(b'\n');
                }
                Found::Line(line) => {
                    if !batch.text.is_empty() && batch.text.len() + line.len() >= BATCH_BYTES {
                        self.waiting = Some(line);
                        break;
                    }
                    let is_first = self.place.bytes == 0;
                    self.hash.update(&line);
                    self.place.bytes += line.len() as u64;
                    self.place.lines += 1;
                    let marked = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first);
                    let text = marked.unwrap_or(&line).trim_ascii();
                    batch.customers += u64::from(!text.is_empty());
                    batch.text.extend_from_slice(text);
                    batch.text.push(b'\n');
                }
            }
        }
        Ok(Some(batch).filter(|_| self.place.lines > begin.lines))
    }

    /// Reads one line. What is too long is read past, and counted as read.
    fn line(&mut self) -> io::Result<Found> {
        let mut line = Vec::new();
        let most = LINE_BYTES as u64 + 1;
        self.input.by_ref().take(most).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(Found::End);
        }
        if line.ends_with(b"\n") || line.len() <= LINE_BYTES {
            return Ok(Found::Line(line));
        }
        self.pass(&line);
        loop {
            let chunk = self.input.fill_buf()?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = end.map_or(chunk, |end| chunk.get(..=end).unwrap_or(chunk)).to_vec();
            self.pass(&part);
            self.input.consume(part.len());
            if end.is_some() || part.is_empty() {
                return Ok(Found::TooLong);
            }
        }
    }

    fn pass(&mut self, part: &[u8]) {
        self.hash.update(part);
        self.place.bytes += part.len() as u64;
    }
}

enum Found {
    End,
    Line(Vec<u8>),
    TooLong,
}

/// As long as the body of one request about one customer may be.
pub(super) const LINE_BYTES: usize = 64 * 1024;
/// What the listener takes at once.
const BATCH_BYTES: usize = 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], lines: u64) -> Vec<Batch> {
        let mut batches = Batches::new(text);
        std::iter::from_fn(|| batches.next(lines).unwrap()).collect()
    }

    #[test]
    fn lines_keep_their_numbers_whatever_they_end_with() {
        let batches = all(b"\xef\xbb\xbf{\"a\":1}\r\n\n  \r\n{\"b\":2}", 3);
        let texts: Vec<_> = batches.iter().map(|it| String::from_utf8_lossy(&it.text)).collect();
        assert_eq!(texts, ["{\"a\":1}\n\n\n", "{\"b\":2}\n"]);
        let counted: Vec<_> = batches.iter().map(|it| (it.first_line, it.customers)).collect();
        assert_eq!(counted, [(1, 1), (4, 1)]);
        assert!(all(b"", 3).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_told() {
        let long = "x".repeat(3 * LINE_BYTES);
        let text = format!("{{}}\n{long}\n{{}}\n");
        let batches = all(text.as_bytes(), 10);
        assert_eq!(batches.len(), 1);
        assert_eq!((batches[0].too_long.as_slice(), batches[0].customers), (&[2][..], 2));
        assert_eq!(batches[0].text, b"{}\n\n{}\n");
        let batches = all(long.as_bytes(), 10);
        assert_eq!((batches[0].too_long.as_slice(), batches[0].customers), (&[1][..], 0));
    }

    #[test]
    fn a_batch_is_no_larger_than_a_body_may_be() {
        let text = format!("{}\n", "y".repeat(LINE_BYTES - 1)).repeat(40);
        let batches = all(text.as_bytes(), 500);
        assert!(batches.len() > 1);
        assert!(batches.iter().all(|it| it.text.len() <= BATCH_BYTES));
        assert_eq!(batches.iter().map(|it| it.customers).sum::<u64>(), 40);
    }

    #[test]
    fn a_file_that_is_the_same_so_far_is_gone_on_with_and_another_is_not() {
        let text = b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n";
        let mut first = Batches::new(&text[..]);
        first.next(2).unwrap();
        let (place, digest) = (first.place(), first.sha256());
        let mut second = Batches::new(&text[..]);
        second.skip_to(place, &digest).unwrap();
        assert_eq!(second.next(2).unwrap(), first.next(2).unwrap());
        assert_eq!((second.place(), second.sha256()), (first.place(), first.sha256()));
        let longer = [&text[..], b"{}\n"].concat();
        assert!(Batches::new(&longer[..]).skip_to(place, &digest).is_ok());
        for changed in [&b"{\"n\":1}\n{\"n\":7}\n{\"n\":3}\n"[..], b"{\"n\":1}\n"] {
            let skipped = Batches::new(changed).skip_to(place, &digest);
            assert!(matches!(skipped, Err(SkipError::Changed)));
        }
    }
}
