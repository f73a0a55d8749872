//! Changes of status as Server-Sent Events.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
};

use axum::{
    extract::{Request, State},
    http::{HeaderName, StatusCode},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use utoipa::ToSchema;

use super::{
    OperatorPlane,
    authenticate::{Caller, one},
    openapi::{
        parameters::{InTenant, Resumed},
        refusals::Turn,
        shapes::Event as ChangeEvent,
    },
    operator::READS,
    problem::Problem,
};
use crate::{
    control::Control,
    domain::{
        Access, Kind, Partition, Restriction, RestrictionReason, Source, Status, Timestamp, Token,
        Verb, change::CustomerChange,
    },
    feed::changes::{Changes, News},
};

/// Changes of status as they happen, as Server-Sent Events.
///
/// The first event is `ready`, or `reset` where what was missed since `Last-Event-ID` is not kept any
/// more: then everything has to be read anew. Each change is an event `status`. Does not end.
#[utoipa::path(
    get,
    path = "/v1/changes",
    tag = "Changes",
    operation_id = "watchChanges",
    security(("bearer" = ["viewer"])),
    params(Resumed, InTenant),
    responses(
        (
            status = 200,
            description = "Events. The `data` of `status` is a `StatusChange`, that of `ready` and \
                `reset` an empty object. The `id` is what `Last-Event-ID` takes.",
            body = ChangeEvent,
            content_type = "text/event-stream",
        ),
        Turn,
    ),
)]
pub(super) async fn watch(
    State(plane): State<OperatorPlane>,
    request: Request,
) -> Result<Response, Problem> {
    let caller = Caller::of(&plane, &request)?;
    caller.require(READS)?;
    let turn = TURNS.try_acquire().map_err(|_| {
        let message = "others watch already, as many as may; ask again later";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message)
    })?;
    let last = one(request.headers(), &LAST_EVENT_ID)?.filter(|id| !id.is_empty());
    let last = last.map(|raw| raw.split(',').map(str::parse).collect::<Result<Vec<Token>, _>>());
    let last = last.transpose();
    let last = last.map_err(|error| Problem::invalid_field("Last-Event-ID", error))?;
    let is_bound = caller.names_tenant || caller.actor.tenant.is_some();
    let tenant = caller.tenant.as_ref().filter(|_| is_bound).map(ToString::to_string);
    let watcher = Watcher::begin(plane, tenant, last, turn);
    let events = stream::unfold(watcher, async |mut watcher| {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// One who watches.
struct Watcher {
    plane: OperatorPlane,
    /// The only tenant that is told of, if it is but one.
    tenant: Option<String>,
    /// Up to where each partition was told of.
    told: BTreeMap<Partition, Token>,
    from: u64,
    news: watch::Receiver<u64>,
    waiting: VecDeque<Event>,
    _turn: SemaphorePermit<'static>,
}

impl Watcher {
    fn begin(
        plane: OperatorPlane,
        tenant: Option<String>,
        last: Option<Vec<Token>>,
        turn: SemaphorePermit<'static>,
    ) -> Self {
        let changes = plane.changes().clone();
        let mut news = changes.listen();
        // Before the positions are looked at: what is told twice is left out, and nothing else.
        let from = *news.borrow_and_update();
        let told = positions(&plane.operators.control);
        let waiting = VecDeque::new();
        let mut watcher = Self { plane, tenant, told, from, news, waiting, _turn: turn };
        let resumed = last.map(|last| {
            let is_whole = last.len() == watcher.told.len();
            let from = changes.place_of(&last).ok().filter(|_| is_whole)?;
            Some((last, from))
        });
        match resumed {
            None => watcher.say("ready", None),
            Some(None) => watcher.say("reset", None),
            Some(Some((last, from))) => {
                watcher.told = last.into_iter().map(|token| (token.partition, token)).collect();
                watcher.from = from;
                watcher.say("ready", None);
            }
        }
        watcher
    }

    /// The next event; nothing once this instance is about to stop.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            match self.plane.changes().since(self.from) {
                Ok((news, end)) => {
                    self.from = end;
                    for it in &news {
                        self.tell(it);
                    }
                }
                Err(_) => self.start_over(),
            }
            if self.waiting.is_empty() {
                tokio::select! {
                    () = self.plane.draining.cancelled() => return None,
                    moved = self.news.changed() => moved.ok()?,
                }
            }
        }
    }

    fn tell(&mut self, news: &News) {
        let token = news.token();
        let told = self.told.get(&token.partition);
        if told.is_some_and(|it| it.epoch == token.epoch && it.revision >= token.revision) {
            return;
        }
        self.told.insert(token.partition, token.clone());
        if let News::Replaced { .. } = news {
            return self.say("reset", None);
        }
        let Some(changed) = news.customer() else { return };
        let is_of_tenant = self.tenant.as_ref().is_none_or(|it| changed.key.tenant() == it);
        if is_of_tenant
            && (changed.act.is_of_status() || matches!(changed.act.verb, Verb::Lapse | Verb::Purge))
        {
            let told = Told::of(&self.plane, token, changed, news.at());
            self.say("status", Some(&told));
        }
    }

    /// What was missed cannot be told: whoever watches has to read everything anew.
    fn start_over(&mut self) {
        self.from = *self.news.borrow_and_update();
        self.told = positions(&self.plane.operators.control);
        self.say("reset", None);
    }

    fn say(&mut self, name: &str, told: Option<&Told>) {
        let tokens: Vec<_> = self.told.values().map(Token::to_string).collect();
        let event = Event::default().event(name).id(tokens.join(","));
        let data = told.map(serde_json::to_string);
        let data = data.and_then(Result::ok).unwrap_or_else(|| "{}".to_owned());
        self.waiting.push_back(event.data(data));
    }
}

/// Up to where each partition is applied.
fn positions(control: &Control) -> BTreeMap<Partition, Token> {
    let position = |partition| {
        let watermark = control.cache.watermark(partition)?;
        let (epoch, revision) = (watermark.epoch, watermark.position.revision);
        Some((partition, Token { epoch, partition, revision }))
    };
    control.cache.partitions().all().filter_map(position).collect()
}

impl OperatorPlane {
    fn changes(&self) -> &Changes {
        &self.operators.control.changes
    }
}

/// A change of status, as JSON.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatusChange)]
pub(super) struct Told {
    customer_id: String,
    tenant_id: String,
    status: Status,
    access: Access,
    verb: Verb,
    source: Source,
    kind: Option<Kind>,
    reason: Option<RestrictionReason>,
    restrictions: Vec<Restriction>,
    revision: Token,
    at: Option<Timestamp>,
}

impl Told {
    fn of(
        plane: &OperatorPlane,
        token: &Token,
        changed: &CustomerChange,
        at: Option<Timestamp>,
    ) -> Self {
        let CustomerChange { key, restrictions, act, .. } = changed;
        let now = plane.operators.control.clock.now();
        let left = plane.plane.gate.rules().policy.access;
        Self {
            customer_id: key.id().to_owned(),
            tenant_id: key.tenant().to_owned(),
            status: restrictions.status_at(now),
            access: restrictions.access_at(now, left),
            verb: act.verb,
            source: act.source.clone(),
            kind: act.kind,
            reason: act.reason,
            restrictions: restrictions.iter().cloned().collect(),
            revision: token.clone(),
            at,
        }
    }
}

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Each is a connection that stays.
static TURNS: Semaphore = Semaphore::const_new(64);
