//! `tollgate import`: many customers from a file, a line of JSON each.

mod batches;
mod progress;
mod refusals;
mod sender;
mod state;

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use serde::Deserialize as _;
use serde_json::{Value, json};

use self::{
    batches::{Batch, Batches, LINE_BYTES, SkipError},
    progress::{Progress, per_second},
    refusals::Refusals,
    sender::Sender,
    state::{State, StateFile},
};
use super::{
    answer::{list, text},
    client::Call,
    failure::{Exit, Failure, Refused},
    interrupt::Interrupt,
    operator::Operator,
    out::{Out, Output, Rows},
};
use crate::{
    clock::Clock,
    config::parse_duration,
    domain::{Source, audit::batch::Counts},
};

/// Which customers are imported, and how.
#[derive(Args, Clone, Debug)]
pub(super) struct Import {
    /// File with one customer a line, as `tollgate export` writes them, or - for standard input
    file: PathBuf,

    /// For which source lines speak that do not say it; without it, the key's own, else operator
    #[arg(long)]
    source: Option<Source>,

    /// Customers a second at most. An instance that was cut off finds its place in the log again
    /// for 100,000 changes: at 2,500 a second, for 40 seconds
    #[arg(long, value_name = "COUNT", default_value_t = 2500)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,

    /// File for the lines that are refused, a line of JSON for each rule that they break; without
    /// it they are told on standard error
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,

    /// File that keeps how far it came; without it, the input's name and `.import-state`
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Begin with the first line, also if an earlier run did not come to the last
    #[arg(long)]
    restart: bool,

    /// The file has every customer there is: once all of it is imported, a store that was filled
    /// again and lacks records is taken for whole. Needs the role admin
    #[arg(long)]
    whole: bool,

    /// How long to wait for a tollgate or a store that stops answering
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    wait: Duration,

    #[command(flatten)]
    operator: Operator,
}

/// How a run ended.
enum Ended {
    Interrupted,
    Whole,
}

impl Import {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let interrupt = Interrupt::listen()?;
        let clock = Clock::system();
        let client = self.operator.client()?.patient(ANSWER_WITHIN);
        let (input, size) = self.open()?;
        let mut batches = Batches::new(input);
        let file = match &self.state {
            Some(path) => Some(StateFile::at(path.clone())),
            None if self.is_piped() => None,
            None => Some(StateFile::beside(&self.file)),
        };
        let before = match &file {
            Some(file) if !self.restart => file.load()?,
            _ => None,
        };
        let mut refusals = Refusals::to(self.errors.as_deref(), before.is_some())?;
        let mut state = match (before, &file) {
            (Some(before), Some(file)) => {
                self.go_on(&before, &mut batches, file)?;
                let lines = before.place().lines;
                out.note(format_args!("Going on behind line {lines}, where it was left."));
                before
            }
            _ => self.begin(),
        };
        if let Some(file) = &file {
            file.save(&state)?;
        }
        let mut run = Run { begun_with: customers(&state.counts), refusals: &mut refusals };
        let mut progress = Progress::begin(clock.clone(), batches.place(), size);
        let mut sender = Sender {
            client,
            due: clock.moment(),
            clock,
            interrupt,
            name: self.name(),
            source: self.source.clone(),
            rate: self.rate,
            patience: self.wait,
            was_taken: false,
        };
        let at_once = u64::from((self.rate / 2).clamp(1, LINES_AT_ONCE));
        let ended = loop {
            let batch = batches.next(at_once).map_err(|error| self.unreadable(&error))?;
            let Some(batch) = batch else { break Ok(Ended::Whole) };
            let store = state.store.clone();
            match run.import(&mut sender, &batch, store.as_ref(), &progress, out) {
                Ok(Some(came_to)) => {
                    state.store = came_to.store.or(store);
                    state.counts = sum(state.counts, came_to.counts);
                }
                Ok(None) => break Ok(Ended::Interrupted),
                Err(failure) => break Err(failure),
            }
            state = state.at(batches.place(), batches.sha256());
            if let Some(file) = &file {
                file.save(&state)?;
            }
            let done = customers(&state.counts) - run.begun_with;
            progress.show(batches.place(), done, state.counts.refused, out);
            if sender.interrupt.is_asked() {
                break Ok(Ended::Interrupted);
            }
        };
        progress.end();
        self.tell(&state, customers(&state.counts) - run.begun_with, &progress, out);
        if !matches!(ended, Ok(Ended::Whole)) {
            let lines = state.place().lines;
            out.note(format_args!("It came to line {lines}; what is behind it is not imported."));
            if let Some(file) = &file {
                let path = file.path().display();
                out.hint(format_args!("the same command goes on there, as {path} tells"));
            }
        }
        match ended? {
            Ended::Interrupted => Ok(Exit::Failed),
            Ended::Whole => {
                if state.counts.refused > 0 {
                    if self.whole {
                        out.note("Lines were refused, so the store is not taken for whole.");
                    }
                } else if self.whole {
                    let call = Call::new("POST", "/v1/store/whole");
                    self.operator.client_of_all()?.send(&call)?;
                }
                if let Some(file) = &file {
                    file.remove()?;
                }
                Ok(if state.counts.refused == 0 { Exit::Done } else { Exit::Failed })
            }
        }
    }

    fn is_piped(&self) -> bool {
        self.file.as_os_str() == "-"
    }

    /// The input, and how long it is if that is known.
    fn open(&self) -> Result<(Box<dyn BufRead>, Option<u64>), Failure> {
        if self.is_piped() {
            return Ok((Box::new(io::stdin().lock()), None));
        }
        let opened = File::open(&self.file).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| self.unreadable(&error))?;
        if metadata.is_dir() {
            return Err(self.unreadable(&io::ErrorKind::IsADirectory.into()));
        }
        let size = Some(metadata.len()).filter(|_| metadata.is_file());
        Ok((Box::new(BufReader::with_capacity(READ_AT_ONCE, file)), size))
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::Usage(format!("cannot read {}: {error}", self.file.display()))
    }

    /// What the import is called in the audit trail.
    fn name(&self) -> String {
        let name = self.file.file_name().map(|name| name.to_string_lossy());
        let name = name.unwrap_or_else(|| self.file.to_string_lossy());
        name.chars().filter(|it| !it.is_control()).take(NAME_AT_MOST).collect()
    }

    fn begin(&self) -> State {
        State::begin(self.source.clone(), self.operator.tenant.clone())
    }

    /// Goes on where an earlier run was left, if it is the same import.
    fn go_on(
        &self,
        before: &State,
        batches: &mut Batches<impl BufRead>,
        file: &StateFile,
    ) -> Result<(), Failure> {
        let path = file.path().display();
        let is_same = before.source == self.source && before.tenant == self.operator.tenant;
        let other = |why: &str| {
            Failure::Usage(format!(
                "{path} is of an import that was left half way, and {why}; --restart begins anew"
            ))
        };
        if !is_same {
            return Err(other("it was for another source or tenant"));
        }
        if before.place().bytes == 0 {
            return Ok(());
        }
        batches.skip_to(before.place(), &before.sha256).map_err(|error| match error {
            SkipError::Changed => other(&format!("{} was changed since", self.file.display())),
            SkipError::Io(error) => self.unreadable(&error),
        })
    }

    fn tell(&self, state: &State, done: u64, progress: &Progress, out: &mut Out<'_>) {
        let Counts { created, updated, unchanged, refused } = state.counts;
        let took = progress.took();
        let (rate, seconds) = (per_second(done, took), took.as_secs_f64());
        if self.operator.output() == Output::Json {
            let told = json!({
                "created": created, "updated": updated, "unchanged": unchanged, "refused": refused,
                "lines": state.place().lines, "seconds": seconds, "customersPerSecond": rate,
            });
            out.data(Output::Json, &told, Rows::plain);
        }
        out.note(format_args!(
            "{created} created, {updated} updated, {unchanged} unchanged, {refused} refused; \
             {done} customers in {seconds:.1} s, {rate} a second."
        ));
    }
}

/// What lasts from the first batch to the last.
struct Run<'a> {
    /// How many customers earlier runs came to.
    begun_with: u64,
    refusals: &'a mut Refusals,
}

/// What came of a batch.
struct CameTo {
    counts: Counts,
    store: Option<String>,
}

impl Run<'_> {
    /// Imports one batch; nothing if it is interrupted before it is done.
    fn import(
        &mut self,
        sender: &mut Sender,
        batch: &Batch,
        store: Option<&String>,
        progress: &Progress,
        out: &mut Out<'_>,
    ) -> Result<Option<CameTo>, Failure> {
        let mut came_to = CameTo { counts: Counts::default(), store: None };
        let mut refused = Vec::new();
        if batch.customers > 0 {
            let Some(answer) = sender.send(batch, store, progress, out)? else { return Ok(None) };
            came_to.counts =
                Counts::deserialize(&answer).map_err(|error| Failure::local(&error))?;
            came_to.store = Some(text(&answer, "store").to_owned());
            for line in list(&answer, "lines") {
                if let Some(error) = line.get("error") {
                    let number = line.get("line").and_then(Value::as_u64).unwrap_or_default();
                    let error = Refused::deserialize(error);
                    refused.push((number, error.map_err(|error| Failure::local(&error))?));
                }
            }
        }
        for line in &batch.too_long {
            came_to.counts.refused += 1;
            refused.push((*line, too_long()));
        }
        refused.sort_by_key(|(line, _)| *line);
        for (line, refused) in &refused {
            for told in self.refusals.tell(*line, refused)? {
                progress.note(told, out);
            }
        }
        Ok(Some(came_to))
    }
}

fn too_long() -> Refused {
    Refused {
        status: 413,
        code: "PAYLOAD_TOO_LARGE".to_owned(),
        message: format!("a line may have at most {LINE_BYTES} bytes"),
        details: Vec::new(),
        hint: None,
    }
}

fn customers(counts: &Counts) -> u64 {
    counts.created + counts.updated + counts.unchanged + counts.refused
}

fn sum(one: Counts, other: Counts) -> Counts {
    Counts {
        created: one.created + other.created,
        updated: one.updated + other.updated,
        unchanged: one.unchanged + other.unchanged,
        refused: one.refused + other.refused,
    }
}

/// Few enough that whoever is interrupted need not wait for long.
const LINES_AT_ONCE: u32 = 500;
/// A batch waits for those of others.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);
const READ_AT_ONCE: usize = 256 * 1024;
const NAME_AT_MOST: usize = 255;
