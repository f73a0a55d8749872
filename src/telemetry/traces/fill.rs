//! What a check reads from the store: noted while it does, and told of below the check's own span.

use std::{sync::Arc, time::SystemTime};

use opentelemetry::{
    KeyValue,
    trace::{Span as _, SpanContext, SpanKind, Status},
};
use parking_lot::Mutex;

use super::{CALL, Traces, When};
use crate::{
    clock::{Clock, Moment},
    domain::CustomerKey,
    telemetry::{FillResult, StoreCommand},
};

/// A command of a database, as OpenTelemetry has it.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseCall {
    /// The database, as in `redis`.
    pub system: &'static str,
    /// The command.
    pub operation: &'static str,
    /// How many commands are sent as one.
    pub batch: i64,
}

/// A fill that may have to be told of; nothing of one of which nobody wants to know. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct FillNote(Option<Arc<Noted>>);

#[derive(Debug)]
struct Noted {
    customer: CustomerKey,
    clock: Clock,
    begun: Moment,
    course: Mutex<Course>,
}

/// What has become of it so far.
#[derive(Clone, Debug, Default)]
struct Course {
    is_coalesced: bool,
    command: Option<Command>,
    result: Option<FillResult>,
    ended: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Command {
    call: DatabaseCall,
    begun: Moment,
    ended: Option<Moment>,
    failed: Option<FillResult>,
}

impl FillNote {
    /// Notes that one begins for `customer`, if the check that it is for may have to be told of.
    #[must_use]
    pub fn begin(customer: &CustomerKey, clock: &Clock) -> Self {
        let noted = CALL.try_with(|call| {
            let fills = call.fills.as_ref()?;
            let noted = Arc::new(Noted {
                customer: customer.clone(),
                clock: clock.clone(),
                begun: clock.moment(),
                course: Mutex::default(),
            });
            fills.0.lock().push(Arc::clone(&noted));
            Some(noted)
        });
        Self(noted.ok().flatten())
    }

    /// Somebody else's, which was under way, answers.
    pub fn joins(&self) {
        self.note(|course, _| course.is_coalesced = true);
    }

    /// The database is asked now, if it is one.
    pub fn asks(&self, call: Option<DatabaseCall>) {
        self.note(|course, now| {
            course.command =
                call.map(|call| Command { call, begun: now, ended: None, failed: None });
        });
    }

    /// It answered, or failed.
    pub fn is_answered(&self, failed: Option<FillResult>) {
        self.note(|course, now| {
            if let Some(command) = &mut course.command {
                (command.ended, command.failed) = (Some(now), failed);
            }
        });
    }

    /// This came of it.
    pub fn comes_to(&self, result: FillResult) {
        self.note(|course, _| {
            course.result.get_or_insert(result);
        });
    }

    /// Whoever waited for it goes on: with this, or because it failed or there is no more time.
    pub fn ends(&self, result: Option<FillResult>) {
        self.note(|course, now| {
            course.ended = Some(now);
            // How somebody else's failed is noted there.
            let failed = if course.is_coalesced { FillResult::Failed } else { FillResult::Timeout };
            course.result.get_or_insert(result.unwrap_or(failed));
        });
    }

    fn note(&self, note: impl FnOnce(&mut Course, Moment)) {
        if let Some(noted) = &self.0 {
            note(&mut noted.course.lock(), noted.clock.moment());
        }
    }
}

/// The fills of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Fills(Arc<Mutex<Vec<Arc<Noted>>>>);

impl Fills {
    /// Those for one customer, which are told of once: a call may hold checks of several.
    fn take_of(&self, customer: &CustomerKey) -> Vec<Arc<Noted>> {
        self.0.lock().extract_if(.., |noted| noted.customer == *customer).collect()
    }
}

impl Traces {
    /// Tells of what the call under way read of `customer`, below the span of its check.
    pub(super) fn fills(&self, customer: &CustomerKey, check: &SpanContext, when: When) {
        let fills = CALL.try_with(|call| call.fills.as_ref().map(|fills| fills.take_of(customer)));
        for noted in fills.ok().flatten().unwrap_or_default() {
            self.fill(&noted, check, when);
        }
    }

    fn fill(&self, noted: &Noted, check: &SpanContext, when: When) {
        let Course { is_coalesced, command, result, ended } = noted.course.lock().clone();
        let end = ended.map_or(when.end, |ended| when.of(ended));
        let begun = when.of(noted.begun);
        let Some(mut span) = self.below(check, "fill", SpanKind::Internal, begun) else { return };
        span.set_attribute(KeyValue::new("fill.coalesced", is_coalesced));
        if let Some(result) = result {
            span.set_attribute(KeyValue::new("fill.result", result.as_str()));
            if let Some(error) = failure(result) {
                span.set_status(Status::error(error));
            }
        }
        if let Some(command) = command {
            self.command(&command, span.span_context(), when, end);
        }
        span.end_with_timestamp(end);
    }

    /// Tells of a command. One that is not over was waited for until `end`.
    fn command(&self, command: &Command, fill: &SpanContext, when: When, end: SystemTime) {
        let Command { call, begun, ended, failed } = *command;
        let (name, begun) = (call.operation, when.of(begun));
        let Some(mut span) = self.below(fill, name, SpanKind::Client, begun) else { return };
        span.set_attribute(KeyValue::new("db.system.name", call.system));
        span.set_attribute(KeyValue::new("db.operation.name", call.operation));
        span.set_attribute(KeyValue::new("db.operation.batch.size", call.batch));
        span.set_attribute(KeyValue::new("store.command", StoreCommand::Fill.as_str()));
        let failed = failed.or(ended.is_none().then_some(FillResult::Timeout));
        if let Some(failed) = failed {
            span.set_attribute(KeyValue::new("error.type", failed.as_str()));
            span.set_status(Status::error(failed.as_str()));
        }
        span.end_with_timestamp(ended.map_or(end, |ended| when.of(ended)));
    }
}

/// What went wrong, if anything did.
fn failure(result: FillResult) -> Option<&'static str> {
    match result {
        FillResult::Accepted | FillResult::Rejected => None,
        FillResult::Disbelieved
        | FillResult::Failed
        | FillResult::Overloaded
        | FillResult::Timeout => Some(result.as_str()),
    }
}
