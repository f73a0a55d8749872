//! A Redis full of customers, made faster than they could be committed one by one.

use tollgate::{
    domain::{CustomerKey, Revision, Subject},
    store::Census,
};

use crate::support::{Flavor, Persistence, RedisServer, tollgate::Tollgate};

/// Customers as a billing system leaves them: on a plan, with features and limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// How many there are.
    pub(crate) customers: u64,
    /// How many of them are restricted: the first ones.
    pub(crate) restricted: u64,
}

impl Crowd {
    /// A Redis with these customers, as if each had been written by an instance.
    pub(crate) fn settle(self) -> RedisServer {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        Tollgate::start(&["--store", &server.url()]).kill9();
        let mut redis = redis::Client::open(server.tcp_url()).unwrap().get_connection().unwrap();
        let mut census = Census::default();
        let numbers: Vec<u64> = (0..self.customers).collect();
        for batch in numbers.chunks(1000) {
            let mut pipe = redis::pipe();
            for number in batch {
                self.write(&mut pipe, *number, &mut census);
            }
            pipe.exec(&mut redis).unwrap();
        }
        let revision = (self.customers + 2).to_string();
        let line = Subject::Created.to_log();
        let fields = ["rev", &revision, "change", &line];
        let id: String =
            redis::cmd("XADD").arg(LOG).arg("*").arg(&fields).query(&mut redis).unwrap();
        let digest = format!("{:016x}", census.digest);
        let count = census.count.to_string();
        let counted = ["restricted_count", &count, "restricted_digest", &digest];
        let mut meta = redis::cmd("HSET");
        meta.arg(META).arg(&["rev", &revision, "sid", &id]).arg(&counted);
        meta.exec(&mut redis).unwrap();
        server
    }

    fn write(self, pipe: &mut redis::Pipeline, number: u64, census: &mut Census) {
        let key = CustomerKey::parse(&format!("default:{}", customer_id(number))).unwrap();
        let revision = number + 2;
        let mut restrictions = "";
        if number < self.restricted {
            *census = census.with(&key, Revision(revision));
            restrictions = RESTRICTED;
            let entry = format!("{revision}|disabled,billing,non_payment,1795255200000,");
            pipe.cmd("HSET").arg("tollgate:{0}:restricted").arg(key.as_str()).arg(entry).ignore();
            let index = "tollgate:{0}:restricted-index";
            pipe.cmd("ZADD").arg(index).arg(0).arg(key.as_str()).ignore();
        }
        let plan = ["free", "pro", "team"][usize::try_from(number % 3).unwrap()];
        let record = format!(
            r#"{{"format":1,"revision":{revision},"restrictions":[{restrictions}],"plan":"{plan}",{REST}"#
        );
        let name = format!("tollgate:{{0}}:record:{key}");
        pipe.cmd("SET").arg(name).arg(record).ignore();
        pipe.cmd("ZADD").arg("tollgate:{0}:customers").arg(0).arg(key.as_str()).ignore();
    }
}

/// An id like those of Stripe.
pub(crate) fn customer_id(number: u64) -> String {
    format!("{ID}{number:08}")
}

/// What every id begins with. A number of eight digits follows.
pub(crate) const ID: &str = "cus_Q1w2e3";

const META: &str = "tollgate:{0}:meta";
const LOG: &str = "tollgate:{0}:log";
/// The restriction of whoever is restricted.
const RESTRICTED: &str = concat!(
    r#"{"kind":"disabled","source":"billing","reason":"non_payment","#,
    r#""since":"2026-11-21T10:00:00Z","until":null}"#
);
/// What follows the plan in every record.
const REST: &str = concat!(
    r#""features":["api","export","sso"],"#,
    r#""limits":{"seats":{"max":25},"projects":{"max":"unlimited"}},"#,
    r#""obligations":{"activeSubscriptions":1,"pendingOrders":0,"unreturnedDevices":0},"#,
    r#""createdAt":"2025-03-01T09:30:00Z","updatedAt":"2026-11-21T10:00:00Z"}"#
);
