//! A log that does not reach back to what an instance knows, again and again: it has to read the
//! whole restricted set anew.

use std::{
    thread,
    time::{Duration, Instant},
};

use tollgate::domain::Subject;

use crate::abuses::{Abused, Begun};

/// One resnapshot after the other.
pub(crate) struct Resnapshots {
    redis: redis::Connection,
    admin: Box<dyn Fn() -> u64>,
}

/// Ready to.
pub(crate) fn resnapshot(abused: &Abused<'_>) -> Resnapshots {
    let redis = redis::Client::open(abused.redis.tcp_url()).unwrap().get_connection().unwrap();
    let admin = abused.tollgate.admin;
    let generation = move || {
        let status = crate::support::tollgate::http(admin, "GET", "/status", &[], None).json();
        status["feed"]["partitions"][0]["generation"].as_u64().unwrap()
    };
    Resnapshots { redis, admin: Box::new(generation) }
}

impl Resnapshots {
    /// Two changes that nobody was told of, and a log that holds only the second.
    fn lose_the_log(&mut self) {
        let revision: u64 = redis::cmd("HGET").arg(META).arg("rev").query(&mut self.redis).unwrap();
        let line = Subject::Created.to_log();
        let add = |revision: u64| {
            let mut add = redis::cmd("XADD");
            add.arg(LOG).arg("*").arg(&["rev", &revision.to_string(), "change", &line]);
            add
        };
        let mut last: Vec<String> = Vec::new();
        for next in [revision + 1, revision + 2] {
            last = vec![add(next).query(&mut self.redis).unwrap()];
        }
        let (head, id) = ((revision + 2).to_string(), last.remove(0));
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("XTRIM").arg(LOG).arg("MAXLEN").arg(1).ignore();
        pipe.cmd("HSET").arg(META).arg(&["rev", &head, "sid", &id]).ignore();
        pipe.exec(&mut self.redis).unwrap();
    }
}

impl Begun for Resnapshots {
    fn go_on(&mut self, time: Duration) -> String {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            let before = (self.admin)();
            self.lose_the_log();
            while (self.admin)() == before {
                assert!(begun.elapsed() < Duration::from_mins(3), "it takes too long");
                thread::sleep(Duration::from_millis(20));
            }
            count += 1;
        }
        let each = begun.elapsed().as_secs_f64() / f64::from(count);
        format!("resnapshots of the restricted, one after the other, {each:.1} s each")
    }
}

const META: &str = "tollgate:{0}:meta";
const LOG: &str = "tollgate:{0}:log";
