//! `tollgate watch`: changes of status as they happen.

use std::{io::BufRead as _, thread, time::Duration};

use clap::Args;
use serde_json::Value;

use super::{
    answer::{cell, list},
    client::Call,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Output},
};

/// What to watch.
#[derive(Args, Clone, Debug)]
pub(super) struct Watch {
    /// Begin behind this event, as an earlier run told its id
    #[arg(long, value_name = "ID")]
    after: Option<String>,

    /// End when the connection ends, rather than connect again
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    operator: Operator,
}

impl Watch {
    /// Prints a line for each change, until it is ended.
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let client = self.operator.client()?;
        let mut last = self.after.clone();
        let mut was_connected = false;
        loop {
            let call = Call::new("GET", "/v1/changes").header("last-event-id", last.as_ref());
            match client.stream(&call) {
                Ok(lines) => {
                    was_connected = true;
                    let mut event = Event::default();
                    // A line that cannot be read is the end of the connection.
                    for line in lines.lines().map_while(Result::ok) {
                        if line.is_empty() {
                            last = event.id.take().or(last);
                            self.tell(&std::mem::take(&mut event), out);
                        } else {
                            event.take(&line);
                        }
                        if out.is_closed() {
                            return Ok(Exit::Done);
                        }
                    }
                    out.note(format_args!("The connection has ended."));
                }
                Err(failure @ Failure::Unreachable { .. }) if was_connected && !self.once => {
                    out.note(format_args!("{failure}"));
                }
                Err(failure) => return Err(failure),
            }
            if self.once {
                return Ok(Exit::Done);
            }
            thread::sleep(CONNECT_AGAIN_AFTER);
        }
    }

    fn tell(&self, event: &Event, out: &mut Out<'_>) {
        match event.name.as_str() {
            "status" => {
                let Ok(change) = serde_json::from_str::<Value>(&event.data) else { return };
                match self.operator.output() {
                    Output::Json => out.line(&event.data),
                    Output::Table => out.line(in_a_line(&change)),
                }
            }
            "reset" => {
                out.note("Changes were missed; read what you keep of customers anew.");
            }
            _ => {}
        }
    }
}

fn in_a_line(change: &Value) -> String {
    let [at, tenant, id, verb, source, reason, status] =
        ["at", "tenantId", "customerId", "verb", "source", "reason", "status"]
            .map(|field| cell(change, field));
    let others = list(change, "restrictions").len();
    format!("{at}  {tenant}:{id}  {verb} by {source} ({reason}): {status}, {others} restrictions")
}

/// One event, as far as it has come.
#[derive(Debug, Default)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

impl Event {
    fn take(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" => self.id = Some(value.to_owned()),
            "data" => self.data.push_str(value),
            _ => {}
        }
    }
}

const CONNECT_AGAIN_AFTER: Duration = Duration::from_secs(1);
