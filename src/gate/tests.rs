//! The gate over a real store, with a feed that hears only what a test lets it hear.

use proptest::{collection::vec, prelude::*};

use super::{
    explain::{Explained, RecordState},
    *,
};
use crate::{
    cache::{Keeping, Picture},
    domain::{
        Asked, AuditEntry, Change, Epoch, IdentityFault, Operation, Outcome, Partition, Partitions,
        Policy, Position, Reason, Revision, Role, Source, Subject, Verb, Watermark,
        audit::{AuditActor, AuditOutcome},
        change::{Act, CustomerChange},
        customer::RecordBody,
        revision::InvalidToken,
    },
    store::{
        Commit, CustomerWrite, RestrictedEntry, Store, Trail, Write, Writer, embedded::Embedded,
    },
};

fn customer() -> CustomerKey {
    CustomerKey::parse("default:c1").unwrap()
}

fn epoch() -> Epoch {
    Epoch::parse("e1").unwrap()
}

fn token(revision: u64) -> Token {
    Token { epoch: epoch(), partition: Partition(0), revision: Revision(revision) }
}

fn disabled(whether: bool) -> Restrictions {
    let compact = if whether { "disabled,operator,other,1," } else { "" };
    Restrictions::parse_compact(compact).unwrap()
}

fn act() -> Act {
    Act {
        verb: Verb::Put,
        source: Source::operator(),
        kind: None,
        reason: None,
        since: None,
        until: None,
        at: None,
        exact: false,
        imported: false,
        recovers: None,
    }
}

fn watermark(generation: u64, revision: u64) -> Watermark {
    let position = Position { generation, revision: Revision(revision) };
    Watermark { position, epoch: epoch(), log_id: format!("{revision}-0") }
}

/// A gate, its store with one customer at most, and the changes that its feed may hear.
pub(crate) struct Gated {
    pub(crate) gate: Gate,
    store: Store,
    /// Whether the change disables the customer, by revision from 2 on.
    history: Vec<bool>,
    /// Counts the pictures.
    generation: u64,
}

impl Gated {
    /// Everything up to the first revision is in memory.
    pub(crate) async fn new() -> Self {
        let clock = Clock::system();
        let store = Store::Embedded(Embedded::in_memory(clock.clone()).unwrap());
        store.create(&epoch(), Partitions::ONE).await.unwrap();
        let (second, metrics) = (Duration::from_secs(1), Metrics::new());
        let cache =
            Cache::new(store.clone(), Keeping::Recent(9), second, clock.clone(), metrics.clone());
        cache.lay_out();
        let picture = Arc::new(Picture::new(1, epoch()));
        cache.install(Partition(0), picture, watermark(1, 1));
        cache.confirm(Partition(0), clock.moment());
        let rules = InForce::new(Rules::built_in(Policy::default()));
        let fleet = Fleet::new(clock.clone(), metrics.clone());
        let (max_staleness, stale_limit) = (second * 30, second * 3600);
        let settings = Settings {
            rules,
            fleet,
            max_staleness,
            stale_limit,
            fill_timeout: second,
            decision_log: None,
            traces: None,
        };
        let gate = Gate::new(cache, clock, metrics, settings);
        Self { gate, store, history: Vec::new(), generation: 1 }
    }

    /// What the gate tells the time by, and counts with.
    pub(crate) fn beside(&self) -> (Clock, Metrics) {
        (self.gate.clock.clone(), self.gate.metrics.clone())
    }

    fn newest(&self) -> u64 {
        self.history.len() as u64 + 1
    }

    fn heard(&self) -> u64 {
        self.gate.cache.watermark(Partition(0)).unwrap().position.revision.0
    }

    /// Whether the customer is disabled at a revision.
    fn is_disabled_at(&self, revision: u64) -> bool {
        let index = usize::try_from(revision).unwrap().checked_sub(2);
        index.is_some_and(|index| self.history[index])
    }

    /// Writes the customer, behind the feed's back.
    pub(crate) async fn commit(&mut self, disables: bool) -> Token {
        let newest = self.newest();
        let body = RecordBody { restrictions: disabled(disables), ..RecordBody::default() };
        let write = CustomerWrite {
            key: customer(),
            expected: (newest > 1).then_some(Revision(newest)),
            body,
            private: crate::domain::Private::default(),
            entitlements_changed: newest == 1,
            act: act(),
        };
        let name = "alice".to_owned();
        let audit = AuditEntry {
            subject: customer().to_string(),
            action: "put".to_owned(),
            outcome: AuditOutcome::Changed,
            refusal: None,
            actor: AuditActor { name, key_id: None, role: Role::Admin, address: None },
            dialect: "native".to_owned(),
            source: None,
            reason: None,
            notes: None,
            notes_digest: None,
            informed_at: None,
            before: Restrictions::default(),
            after: Restrictions::default(),
            request_id: None,
            batch: None,
            at: Timestamp::default(),
        };
        let writer = Writer { epoch: epoch(), watermark: Revision(1) };
        let write = Write::Customer(Box::new(write));
        let trail = Trail::Both;
        let commit = Commit { write, writer, audit, notes: None, idempotency: None, trail };
        self.store.commit(commit).await.unwrap();
        self.history.push(disables);
        token(self.newest())
    }

    /// Lets the feed hear the next change.
    pub(crate) fn hear(&self) {
        let revision = self.heard() + 1;
        let changed = CustomerChange {
            key: customer(),
            restrictions: disabled(self.is_disabled_at(revision)),
            entitlements_changed: revision == 2,
            act: act(),
        };
        let subject = Subject::Customer(changed);
        let log_id = format!("{revision}-0");
        let change = Change { revision: Revision(revision), log_id, subject };
        self.gate.cache.apply(Partition(0), &change, watermark(self.generation, revision));
    }

    /// Reads a new picture of the store as it is.
    fn read_picture(&mut self) {
        self.generation += 1;
        let (newest, picture) = (self.newest(), Picture::new(self.generation, epoch()));
        let restrictions = Some(disabled(self.is_disabled_at(newest)));
        picture.offer(RestrictedEntry {
            key: customer(),
            revision: Revision(newest),
            restrictions,
        });
        let watermark = watermark(self.generation, newest);
        self.gate.cache.install(Partition(0), Arc::new(picture), watermark);
    }

    async fn ask(&self, min_revision: Option<MinRevision>) -> Answer {
        let identity = Ok::<_, IdentityFault>(customer());
        let check = Check { min_revision, ..Check::of(identity, Operation::Read) };
        self.gate.check(&check, self.gate.clock.moment()).await
    }

    pub(crate) async fn reason(&self, min_revision: Option<MinRevision>) -> Reason {
        self.ask(min_revision).await.decision.reason
    }
}

#[tokio::test]
async fn restrictions_that_cannot_be_read_are_never_taken_for_none() {
    let mut gated = Gated::new().await;
    gated.commit(false).await;
    let picture = Picture::new(1, epoch());
    let revision = Revision(99);
    picture.offer(RestrictedEntry { key: customer(), revision, restrictions: None });
    gated.gate.cache.install(Partition(0), Arc::new(picture), watermark(1, 1));
    let unseen = gated.gate.view(&customer(), None).await.err();
    assert_eq!(unseen, Some(Unseen::Missing(Missing::Unreachable)));
    assert_eq!(gated.ask(None).await.decision.outcome(), Outcome::Undecided);
    let question = Asked::plain(Operation::Read).into_readings();
    let Explained { verdicts, seen } = gated.gate.explain(&customer(), vec![question]).await;
    assert_eq!(verdicts[0].answer.decision, gated.ask(None).await.decision);
    assert_eq!((seen.record, seen.is_known()), (RecordState::Unreadable, Some(true)));
    assert_eq!(seen.restricted_at, Some(revision));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_feed_has_not_brought_is_read_from_the_store() {
    let mut gated = Gated::new().await;
    for disables in [true, false, true, false] {
        let token = gated.commit(disables).await;
        let answer = gated.ask(Some(Ok(token.clone()))).await;
        let expected = if disables { Reason::CustomerDisabled } else { Reason::Active };
        assert_eq!((answer.decision.reason, answer.revision), (expected, Some(token.clone())));
        assert_eq!(gated.reason(None).await, expected, "what was read decides for everybody");
        let view = gated.gate.view(&customer(), Some(&Ok(token))).await.unwrap();
        assert_eq!(view.restrictions, disabled(disables));
    }
    assert_eq!(gated.heard(), 1);
    for _ in 0..4 {
        gated.hear();
        assert_eq!(gated.reason(Some(Ok(token(5)))).await, Reason::Active);
    }
    assert_eq!(gated.gate.cache.census(Partition(0)).unwrap().count, 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_does_not_reach_is_undecided_and_a_known_restriction_denies() {
    let mut gated = Gated::new().await;
    gated.commit(false).await;
    let other = Token { epoch: Epoch::parse("e2").unwrap(), ..token(1) };
    let elsewhere = Token { partition: Partition(1), ..token(1) };
    let beyond = [Ok(token(99)), Ok(other), Ok(elsewhere), Err(InvalidToken)];
    for min in &beyond {
        assert_eq!(gated.reason(Some(min.clone())).await, Reason::RevisionNotReached, "{min:?}");
        let unseen = gated.gate.view(&customer(), Some(min)).await.err();
        assert_eq!(unseen, Some(Unseen::RevisionNotReached), "{min:?}");
    }
    gated.commit(true).await;
    gated.hear();
    gated.hear();
    for min in beyond {
        assert_eq!(gated.reason(Some(min.clone())).await, Reason::CustomerDisabled, "{min:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_not_believed_answers_for_nobody() {
    let mut gated = Gated::new().await;
    gated.commit(true).await;
    gated.hear();
    let lifted = gated.commit(false).await;
    gated.gate.cache.set_believed(Partition(0), false);
    assert_eq!(gated.reason(Some(Ok(lifted.clone()))).await, Reason::CustomerDisabled);
    let restricted = gated.commit(true).await;
    gated.hear();
    assert_eq!(gated.reason(Some(Ok(restricted))).await, Reason::RevisionNotReached);
    gated.gate.cache.set_believed(Partition(0), true);
    assert_eq!(gated.reason(Some(Ok(lifted))).await, Reason::CustomerDisabled);
}

#[tokio::test(start_paused = true)]
async fn the_feed_may_be_the_first_to_arrive_when_the_store_cannot_be_read() {
    let mut gated = Gated::new().await;
    let token = gated.commit(true).await;
    gated.gate.cache.set_believed(Partition(0), false);
    let hears = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        gated.hear();
    };
    let (reason, ()) = tokio::join!(gated.reason(Some(Ok(token))), hears);
    assert_eq!(reason, Reason::CustomerDisabled);
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    /// Somebody asks at so many changes before the newest.
    Ask { back: u64 },
    /// A change is committed.
    Commit { disables: bool },
    /// A heartbeat finds what was not heard.
    CatchUp,
    /// The next change is heard.
    Hear,
    /// A whole new picture is read.
    ReadPicture,
}

fn anything() -> impl Strategy<Value = Happens> {
    prop_oneof![
        5 => (0..4_u64).prop_map(|back| Happens::Ask { back }),
        5 => any::<bool>().prop_map(|disables| Happens::Commit { disables }),
        1 => Just(Happens::CatchUp),
        4 => Just(Happens::Hear),
        1 => Just(Happens::ReadPicture),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_whatever_order_reads_and_pushes_come_no_answer_is_older_than_asked_for(
        history in vec(anything(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut gated = Gated::new().await;
            // The newest that anybody was told: nobody is told less after that.
            let mut told = 1;
            for happens in history {
                match happens {
                    Happens::Ask { back } => {
                        let asked = gated.newest().saturating_sub(back).max(1);
                        let answer = gated.ask(Some(Ok(token(asked)))).await;
                        let stands_on = answer.revision.as_ref().unwrap().revision.0;
                        told = told.max(asked).max(gated.heard());
                        prop_assert!((told..=gated.newest()).contains(&stands_on), "{answer:?}");
                        let expected = match (stands_on, gated.is_disabled_at(stands_on)) {
                            (1, _) => Reason::CustomerUnknown,
                            (_, true) => Reason::CustomerDisabled,
                            (_, false) => Reason::Active,
                        };
                        prop_assert_eq!(answer.decision.reason, expected);
                        told = stands_on;
                    }
                    Happens::Commit { disables } => {
                        gated.commit(disables).await;
                    }
                    Happens::CatchUp => {
                        while gated.heard() < gated.newest() {
                            gated.hear();
                        }
                    }
                    Happens::Hear if gated.heard() < gated.newest() => gated.hear(),
                    Happens::Hear => {}
                    Happens::ReadPicture => gated.read_picture(),
                }
                let known = gated.gate.cache.find(&customer());
                let count = u64::from(gated.is_disabled_at(gated.heard()));
                prop_assert_eq!(known.picture.unwrap().census().count, count);
            }
            Ok(())
        })?;
    }
}
