//! `tollgate export`: every customer, a line of JSON each.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead as _, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use clap::{Args, builder::PossibleValuesParser};
use serde_json::Value;

use super::{
    answer::{is_set, text},
    client::{Call, Client},
    customers::STATUSES,
    failure::{Exit, Failure},
    operator::Operator,
    out::Out,
};

/// Which customers are exported, and where to.
#[derive(Args, Clone, Debug)]
pub(super) struct Export {
    /// Only those with this status
    #[arg(long, value_parser = PossibleValuesParser::new(STATUSES))]
    status: Option<String>,

    /// File to write, there once it is whole; without it, standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    operator: Operator,
}

impl Export {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let client = self.operator.client()?;
        let Some(path) = &self.out else {
            let count = self.lines(&client, out, &mut |line, out| {
                out.line(line);
                Ok(!out.is_closed())
            })?;
            return Ok(tell(count, out));
        };
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let failed =
            |error: &io::Error| Failure::Local(format!("cannot write {}: {error}", path.display()));
        let mut file = create(&beside).map_err(|error| failed(&error))?;
        let written = self.lines(&client, out, &mut |line, _| {
            writeln!(file, "{line}").map(|()| true).map_err(|error| failed(&error))
        });
        let whole = written.and_then(|count| {
            let kept = file.flush().and_then(|()| file.get_ref().sync_all());
            kept.and_then(|()| fs::rename(&beside, path)).map_err(|error| failed(&error))?;
            Ok(count)
        });
        if whole.is_err() {
            // What is there is not everything, and says so by its name if it cannot be removed.
            let _ = fs::remove_file(&beside);
        }
        Ok(tell(whole?, out))
    }

    /// Gives every customer to `take`, for as long as it wants more. Goes on behind the last one
    /// when the connection breaks.
    fn lines(
        &self,
        client: &Client,
        out: &mut Out<'_>,
        take: &mut dyn FnMut(&str, &mut Out<'_>) -> Result<bool, Failure>,
    ) -> Result<u64, Failure> {
        let mut last: Option<String> = None;
        let (mut count, mut broken) = (0, 0);
        loop {
            let call = Call::new("GET", "/v1/export")
                .query("status", self.status.as_ref())
                .query("startAfter", last.as_ref());
            let why = match client.stream(&call) {
                Ok(lines) => {
                    let mut why = "it ended too early".to_owned();
                    for line in lines.lines() {
                        let read = line.map_err(|error| error.to_string()).and_then(|line| {
                            let told = serde_json::from_str::<Value>(&line);
                            told.map(|told| (line, told)).map_err(|error| error.to_string())
                        });
                        let (line, told) = match read {
                            Ok(read) => read,
                            Err(error) => {
                                why = error;
                                break;
                            }
                        };
                        if is_set(&told, "end") {
                            return Ok(count);
                        }
                        if !take(&line, out)? {
                            return Ok(count);
                        }
                        let (tenant, id) = (text(&told, "tenantId"), text(&told, "customerId"));
                        last = Some(format!("{tenant}:{id}"));
                        (count, broken) = (count + 1, 0);
                    }
                    why
                }
                Err(failure) if last.is_some() && failure.exit() == Exit::Undecided => {
                    failure.to_string()
                }
                Err(failure) => return Err(failure),
            };
            broken += 1;
            if broken > TRIES {
                return Err(Failure::Local(format!("{BROKEN_OFF}: {why}")));
            }
            thread::sleep(PAUSE * broken);
        }
    }
}

fn tell(count: u64, out: &mut Out<'_>) -> Exit {
    out.note(format_args!("{count} customers exported."));
    Exit::Done
}

/// A file that its owner alone may read: there are names and notes in it.
fn create(path: &Path) -> io::Result<BufWriter<fs::File>> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).map(BufWriter::new)
}

const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
const BROKEN_OFF: &str = "the export was broken off; what was written is not everything";
