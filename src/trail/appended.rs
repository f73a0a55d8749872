//! Files to which lines are only ever appended.

use std::{
    fs::OpenOptions,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Appends whole lines, and waits until they are on the disk; also behind a line that was cut off,
/// as by a full disk. A file that is not there yet is made, for its owner alone.
pub(crate) fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let end_of_line = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{end_of_line}{lines}").as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_appended_stands_behind_a_line_that_was_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        append(&path, "one\n").unwrap();
        append(&path, "two\nthree\n").unwrap();
        fs::write(&path, "one\ntwo\nthr").unwrap();
        append(&path, "three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthr\nthree\n");
    }
}
