//! What a store holds, read past Tollgate, and whether it agrees with itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use redis::Connection;
use serde_json::{Value, json};
use tollgate::{
    domain::{
        AuditEntry, CustomerKey, Restriction, Restrictions, Revision, Token, audit::AuditOutcome,
    },
    store::Census,
};

use super::{
    fleet::Fleet,
    now,
    support::{
        RedisServer,
        tollgate::{ADMIN_TOKEN, Client, Tollgate},
    },
};

/// Everything that a store holds of its customers.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// By customer id.
    pub(crate) records: BTreeMap<String, HeldRecord>,
    /// The audit trail, each customer's entries in their order.
    pub(crate) trail: Vec<Trailed>,
    /// In what it disagrees with itself.
    pub(crate) contradictions: Vec<String>,
}

/// A customer's record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeldRecord {
    /// The revision of its last change.
    pub(crate) revision: u64,
    /// In force, scheduled and lapsed.
    pub(crate) restrictions: Restrictions,
    /// The plan, or null.
    pub(crate) plan: Value,
    /// The features, or null.
    pub(crate) features: Value,
}

/// An entry of the audit trail.
#[derive(Clone, Debug)]
pub(crate) struct Trailed {
    /// The partition's revision after it.
    pub(crate) revision: u64,
    /// What it says.
    pub(crate) entry: AuditEntry,
}

impl Trailed {
    /// Whether it tells of a change of its customer.
    pub(crate) fn is_change(&self) -> bool {
        let is_of_recovery = BESIDE_CUSTOMERS.contains(&self.entry.action.as_str());
        self.entry.outcome == AuditOutcome::Changed && !is_of_recovery
    }
}

/// How far a partition is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    /// The history.
    pub(crate) epoch: String,
    /// Its newest revision.
    pub(crate) revision: u64,
}

/// Connects to Redis.
pub(crate) fn connect(redis: &RedisServer) -> Connection {
    redis::Client::open(redis.tcp_url()).unwrap().get_connection().unwrap()
}

/// How far every partition is.
pub(crate) fn heads(fleet: &Fleet) -> Vec<Head> {
    let meta = |partition| {
        redis::cmd("HMGET")
            .arg(key(partition, "meta"))
            .arg(&["epoch", "rev", "partitions"])
            .query(&mut fleet.connect(partition))
            .unwrap()
    };
    let (_, _, partitions): (Option<String>, Option<u64>, Option<u16>) = meta(0);
    let head = |partition| {
        let (epoch, revision, _): (Option<String>, Option<u64>, Option<u16>) = meta(partition);
        Head { epoch: epoch.unwrap_or_default(), revision: revision.unwrap_or_default() }
    };
    (0..partitions.unwrap_or(1)).map(head).collect()
}

/// Reads everything from Redis. Nobody may be writing.
pub(crate) fn read(fleet: &Fleet) -> Held {
    let mut held = Held::default();
    for (partition, head) in (0..).zip(heads(fleet)) {
        let redis = &mut fleet.connect(partition);
        read_records(redis, partition, &mut held);
        read_log(redis, partition, head.revision, &mut held);
        let trail: Vec<(String, HashMap<String, String>)> = redis::cmd("XRANGE")
            .arg(key(partition, "audit"))
            .arg(&["-", "+"])
            .query(redis)
            .unwrap();
        held.trail.extend(trail.iter().map(|(_, fields)| Trailed {
            revision: fields["rev"].parse().unwrap(),
            entry: serde_json::from_str(&fields["entry"]).unwrap(),
        }));
    }
    held.compare_with_trail();
    held
}

/// Reads everything through an instance, for a store that nobody else can read.
pub(crate) fn read_through(tollgate: &Tollgate, customers: &[String]) -> Held {
    let client = Client::new(PATIENCE);
    let token = format!("Bearer {ADMIN_TOKEN}");
    let read =
        |path: &str| client.ask(tollgate.operator, "GET", path, &[("authorization", &token)], None);
    let mut held = Held::default();
    for id in customers {
        let answer = read(&format!("/v1/customers/{id}"));
        if answer.status == 404 {
            continue;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let shown = answer.json();
        let token: Token = shown["revision"].as_str().unwrap().parse().unwrap();
        let list = |field: &str| shown[field].as_array().cloned().unwrap();
        let restrictions = Value::Array([list("restrictions"), list("scheduled")].concat());
        let record = HeldRecord {
            revision: token.revision.0,
            restrictions: serde_json::from_value(restrictions).unwrap(),
            plan: shown["plan"].clone(),
            features: shown["features"].clone(),
        };
        held.records.insert(id.clone(), record);
    }
    let mut before = String::new();
    loop {
        let path = format!("/v1/audit?limit=100{before}");
        let page = read(&path).json();
        for entry in page["entries"].as_array().unwrap() {
            let token: Token = entry["revision"].as_str().unwrap().parse().unwrap();
            let entry = serde_json::from_value(entry.clone()).unwrap();
            held.trail.push(Trailed { revision: token.revision.0, entry });
        }
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        before = format!("&before={cursor}");
    }
    held.trail.reverse();
    held.compare_with_trail();
    held
}

impl Held {
    /// Every record is what its last change made of it.
    fn compare_with_trail(&mut self) {
        let changes = self.trail.iter().filter(|trailed| trailed.is_change());
        let last: BTreeMap<&str, &Trailed> =
            changes.filter_map(|trailed| Some((id_of(&trailed.entry)?, trailed))).collect();
        let now = now();
        let known: BTreeSet<&str> =
            last.keys().copied().chain(self.records.keys().map(String::as_str)).collect();
        for id in known {
            let (record, trailed) = (self.records.get(id), last.get(id));
            let agree = record.zip(trailed).is_some_and(|(record, trailed)| {
                let (is, left) = (&record.restrictions, &trailed.entry.after);
                // What lapsed may be left out of what an instance shows.
                let is_over = |held: &Restriction| held.until.is_some_and(|until| until <= now);
                record.revision == trailed.revision
                    && is.iter().all(|held| left.iter().any(|left| left == held))
                    && left.iter().all(|left| is_over(left) || is.iter().any(|held| held == left))
            });
            if !agree {
                self.contradictions.push(format!(
                    "the record {record:?} of {id} is not what its last change left: {trailed:?}"
                ));
            }
        }
    }
}

/// The customer that an entry is about.
pub(crate) fn id_of(entry: &AuditEntry) -> Option<&str> {
    entry.subject.strip_prefix("default:")
}

/// Reads the records, and compares them with everything that is derived from them.
fn read_records(redis: &mut Connection, partition: u16, held: &mut Held) {
    let prefix = key(partition, "record:default:");
    let names: Vec<String> = redis::cmd("KEYS").arg(format!("{prefix}*")).query(redis).unwrap();
    let (mut census, mut restricted) = (Census::default(), BTreeMap::new());
    let mut customers = BTreeSet::new();
    for name in names {
        let id = name.strip_prefix(&prefix).unwrap();
        let stored: String = redis::cmd("GET").arg(&name).query(redis).unwrap();
        let stored: Value = serde_json::from_str(&stored).unwrap();
        let record = HeldRecord {
            revision: stored["revision"].as_u64().unwrap(),
            restrictions: serde_json::from_value(stored["restrictions"].clone()).unwrap(),
            plan: stored["plan"].clone(),
            features: stored["features"].clone(),
        };
        let full = CustomerKey::parse(&format!("default:{id}")).unwrap();
        if !record.restrictions.is_empty() {
            census = census.with(&full, Revision(record.revision));
            let entry = format!("{}|{}", record.revision, record.restrictions.to_compact());
            restricted.insert(full.to_string(), entry);
        }
        customers.insert(full.to_string());
        held.records.insert(id.to_owned(), record);
    }
    let counted = (census.count.to_string(), format!("{:016x}", census.digest));
    let meta: (String, String) = redis::cmd("HMGET")
        .arg(key(partition, "meta"))
        .arg(&["restricted_count", "restricted_digest"])
        .query(redis)
        .unwrap();
    let in_set: BTreeMap<String, String> =
        redis::cmd("HGETALL").arg(key(partition, "restricted")).query(redis).unwrap();
    let members = |redis: &mut Connection, index| -> BTreeSet<String> {
        redis::cmd("ZRANGE").arg(key(partition, index)).arg(&["0", "-1"]).query(redis).unwrap()
    };
    let in_records: BTreeSet<_> = restricted.keys().cloned().collect();
    let agreements = [
        ("count and digest", json!(counted) == json!(meta)),
        ("the restricted set", restricted == in_set),
        ("the restricted index", in_records == members(redis, "restricted-index")),
        ("the index of customers", customers == members(redis, "customers")),
    ];
    for (what, _) in agreements.iter().filter(|(_, agrees)| !agrees) {
        held.contradictions.push(format!("{what} of partition {partition} is not its records'"));
    }
}

/// Reads the log, which has no holes and ends where meta says.
fn read_log(redis: &mut Connection, partition: u16, newest: u64, held: &mut Held) {
    let log: Vec<(String, HashMap<String, String>)> =
        redis::cmd("XRANGE").arg(key(partition, "log")).arg(&["-", "+"]).query(redis).unwrap();
    let revisions: Vec<u64> =
        log.iter().map(|(_, fields)| fields["rev"].parse().unwrap()).collect();
    if !revisions.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
        held.contradictions.push(format!("the log of partition {partition} has holes"));
    }
    if revisions.last().is_some_and(|last| *last != newest) {
        held.contradictions.push(format!("the log of partition {partition} ends before its head"));
    }
}

/// Whether as many customers are in the restricted set as there should be.
pub(crate) fn is_restricted_set_whole(redis: &mut Connection, partition: u16) -> bool {
    let mut at_once = redis::pipe();
    at_once.atomic();
    at_once.cmd("HLEN").arg(key(partition, "restricted"));
    at_once.cmd("HGET").arg(key(partition, "meta")).arg("restricted_count");
    let (found, expected): (u64, u64) = at_once.query(redis).unwrap();
    found == expected
}

/// The name of a key.
pub(crate) fn key(partition: u16, what: &str) -> String {
    format!("tollgate:{{{partition}}}:{what}")
}

/// What is done about forgotten changes, and leaves their customers as they are.
const BESIDE_CUSTOMERS: [&str; 3] = ["conflict_listed", "conflict_settled", "forgotten_dropped"];
const PATIENCE: Duration = Duration::from_secs(10);
