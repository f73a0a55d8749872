//! The master moves, and every instance goes with it.

use std::{
    iter, thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    connect, followers,
    stand_in::StandIn,
    support::{
        Flavor, Persistence, RedisServer,
        sentinels::{Manner, Sentinels},
        tollgate::Tollgate,
    },
    users::user_line,
};

#[test]
fn after_an_ordered_switch_every_instance_is_on_the_new_master_within_five_seconds() {
    switches_by_order(Flavor::Redis);
}

#[test]
fn so_it_is_with_valkey() {
    switches_by_order(Flavor::Valkey);
}

fn switches_by_order(flavor: Flavor) {
    let fleet = Fleet::start(flavor);
    let before = fleet.sentinels.master().unwrap();
    fleet.sentinels.order_switch();
    let begun = Instant::now();
    let after = fleet.follows_another_master_than(before);
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    fleet.is_equal_to_the_store_on(after);
    assert_eq!(followers(&fleet.sentinels.servers[before]), 0, "somebody stayed behind");
}

#[test]
fn after_a_crash_of_the_master_every_instance_follows_the_one_that_the_sentinels_elect() {
    loses_its_master(RedisServer::kill9);
}

#[test]
fn a_master_that_hangs_is_left_for_the_one_that_the_sentinels_elect() {
    loses_its_master(|master| master.pause());
}

fn loses_its_master(end: fn(&mut RedisServer)) {
    let mut fleet = Fleet::start(Flavor::Redis);
    let before = fleet.sentinels.master().unwrap();
    end(&mut fleet.sentinels.servers[before]);
    let begun = Instant::now();
    let [one, _] = &fleet.tollgates;
    one.wait_until("a switch", || fleet.sentinels.master().is_some_and(|now| now != before));
    let elected = begun.elapsed();
    let after = fleet.follows_another_master_than(before);
    let took = begun.elapsed();
    assert!(took < elected + Duration::from_secs(3), "elected {elected:?}, followed {took:?}");
    fleet.is_equal_to_the_store_on(after);
}

#[test]
fn sentinels_that_ask_for_a_user_are_told_one() {
    // As the README says, in the words of a configuration file.
    let line = user_line("tollgate").replace("ACL SETUSER", "user").replace(" reset ", " ");
    let manner = Manner { sentinel_lines: vec![line], ..Manner::default() };
    let sentinels = Sentinels::start_with(Flavor::Redis, &manner);
    let login = "sentinelUser=tollgate&sentinelPassword=change-me";
    let tollgate = Tollgate::start(&["--store", &format!("{}?{login}", sentinels.url())]);
    sentinels.order_switch();
    let before = sentinels.master().unwrap();
    tollgate.wait_until("told of the switch", || {
        let others = sentinels.servers.iter().enumerate().filter(|(place, _)| *place != before);
        others.map(|(_, server)| followers(server)).sum::<u64>() == 1
    });
}

#[test]
fn a_switch_that_is_announced_ends_a_session_on_a_master_that_still_calls_itself_one() {
    let masters = Masters::start();
    let sentinel = StandIn::start(4, masters.old.port());
    let tollgate = Tollgate::start(&["--store", &url(&[&sentinel])]);
    assert_eq!(tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({}))).status, 201);
    masters.part();
    sentinel.switch_to(5, masters.new.port());
    tollgate.wait_until("on the new master", || followers(&masters.new) == 1);
    // The command connection too: what is acknowledged now is in the new master.
    let disabled = tollgate.operate("POST", "/v1/customers/c1/disable", Some(&json!({})));
    assert_eq!(disabled.status, 200, "{disabled:?}");
    assert_eq!((revision(&masters.old), revision(&masters.new)), (2, 3));
    tollgate.wait_until("alone there", || followers(&masters.old) == 0);
}

#[test]
fn what_billing_systems_say_is_heard_on_the_new_master() {
    let masters = Masters::start();
    let sentinel = StandIn::start(4, masters.old.port());
    let tollgate = Tollgate::start(&["--store", &url(&[&sentinel])]);
    let applies = || tollgate.operate("GET", "/v1/ingest", None).json()["applies"] == true;
    tollgate.wait_until("the one that applies", applies);
    let message = |customer: &str| json!({"customerId": customer, "status": "frozen"}).to_string();
    let say = |server: &RedisServer, customer: &str| {
        let inbox = ["tollgate:customer-status:inbox", "*", "data"];
        let to = &mut connect(server);
        redis::cmd("XADD").arg(&inbox).arg(message(customer)).exec(to).unwrap();
    };
    say(&masters.old, "c1");
    tollgate.wait_until("told", || tollgate.reason_to_write("c1") == "customer_frozen");
    masters.part();
    sentinel.switch_to(5, masters.new.port());
    tollgate.wait_until("on the new master", || followers(&masters.new) == 1);

    // The old one still calls itself a master, and nobody listens there.
    say(&masters.new, "c2");
    tollgate.wait_until("told", || tollgate.reason_to_write("c2") == "customer_frozen");
    let published = |server: &RedisServer, customer: &str| -> u64 {
        let channel = ["tollgate:customer-status"];
        let to = &mut connect(server);
        redis::cmd("PUBLISH").arg(&channel).arg(message(customer)).query(to).unwrap()
    };
    tollgate.wait_until("listening there", || published(&masters.new, "c3") == 1);
    tollgate.wait_until("told", || tollgate.reason_to_write("c3") == "customer_frozen");
    tollgate.wait_until("gone from there", || published(&masters.old, "c4") == 0);
}

#[test]
fn a_sentinel_that_has_not_heard_of_the_switch_is_not_believed() {
    let masters = Masters::start();
    let [quick, slow] = [(); 2].map(|()| StandIn::start(4, masters.old.port()));
    let tollgate = Tollgate::start(&["--store", &url(&[&quick, &slow])]);
    masters.part();
    quick.switch_to(5, masters.new.port());
    tollgate.wait_until("on the new master", || followers(&masters.new) == 1);

    // Now only the slow one can be asked, and its master answers and calls itself one.
    quick.go_away();
    tollgate.wait_until("off the new master", || {
        disconnect(&masters.new, "normal");
        disconnect(&masters.new, "pubsub");
        followers(&masters.new) == 0
    });
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(followers(&masters.old), 0, "it believed the slow sentinel");
        let refused = tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({})));
        assert_eq!(refused.status, 503, "{refused:?}");
    }
    slow.switch_to(5, masters.new.port());
    tollgate.wait_until("on the new master again", || followers(&masters.new) == 1);
}

#[test]
fn when_the_feed_moves_the_commands_move_with_it() {
    let masters = Masters::start();
    let sentinel = StandIn::start(4, masters.old.port());
    let tollgate = Tollgate::start(&["--store", &url(&[&sentinel])]);
    assert_eq!(tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({}))).status, 201);
    masters.part();
    // Nobody says that there is another master, until the feed has to ask.
    sentinel.be_mute();
    sentinel.switch_to(5, masters.new.port());
    assert!(disconnect(&masters.old, "pubsub") >= 1);
    tollgate.wait_until("on the new master", || followers(&masters.new) == 1);
    let disabled = tollgate.operate("POST", "/v1/customers/c1/disable", Some(&json!({})));
    assert_eq!(disabled.status, 200, "{disabled:?}");
    assert_eq!((revision(&masters.old), revision(&masters.new)), (2, 3));
}

#[test]
fn a_change_that_the_old_master_takes_after_the_feed_has_left_it_is_written_to_the_new_one() {
    for goes_on in [false, true] {
        // A lease may be asked for before the act, which then waits behind it, and is not late.
        let mut tries = iter::repeat_with(|| is_written_though_late(goes_on)).take(5);
        assert!(tries.any(|was_late| was_late), "the old master never took it");
    }
}

/// Whether the old master did take it after the feed had left. `goes_on`: the new one has another
/// change of the same revision then.
fn is_written_though_late(goes_on: bool) -> bool {
    let masters = Masters::start();
    let sentinel = StandIn::start(4, masters.old.port());
    let url = url(&[&sentinel]);
    let tollgate = Tollgate::start(&["--store", &url, "--ingest-channel", "off"]);
    for customer in ["c1", "c2"] {
        let path = format!("/v1/customers/{customer}");
        assert_eq!(tollgate.operate("PUT", &path, Some(&json!({}))).status, 201);
    }
    let act = |customer: &str, verb: &str| {
        let path = format!("/v1/customers/{customer}/{verb}");
        let acted = tollgate.operate("POST", &path, Some(&json!({})));
        assert_eq!(acted.status, 200, "{acted:?}");
    };
    masters.part();
    let order = |words: &[&str]| redis::cmd("CLIENT").arg(words).exec(&mut connect(&masters.old));
    order(&["PAUSE", "60000", "WRITE"]).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| act("c1", "disable"));
        tollgate.wait_until("sent to the old master", || blocked(&masters.old) >= 1);
        sentinel.switch_to(5, masters.new.port());
        tollgate.wait_until("on the new master", || followers(&masters.new) == 1);
        if goes_on {
            act("c2", "freeze");
        }
        order(&["UNPAUSE"]).unwrap();
    });
    let another = Tollgate::start(&["--store", &url]);
    another.wait_until("told of both", || {
        another.reason_to_write("c1") == "customer_disabled"
            && (another.reason_to_write("c2") == "customer_frozen") == goes_on
    });
    revision(&masters.old) == 4
}

#[test]
fn sentinels_that_were_set_up_anew_and_count_from_the_beginning_are_believed() {
    let masters = Masters::start();
    let sentinels = [(); 3].map(|()| StandIn::start(9, masters.old.port()));
    let tollgate = Tollgate::start(&["--store", &url(&sentinels.each_ref())]);
    masters.part();
    for sentinel in &sentinels {
        sentinel.switch_to(0, masters.new.port());
    }
    assert!(disconnect(&masters.old, "pubsub") >= 1);
    tollgate.wait_until("on the new master", || followers(&masters.new) == 1);
}

/// Two servers with the same content, of which the second is a replica until they part.
struct Masters {
    old: RedisServer,
    new: RedisServer,
}

impl Masters {
    fn start() -> Self {
        let at_once = |_| ["--repl-diskless-sync-delay", "0"].map(str::to_owned).into();
        let [old, new] =
            [(); 2].map(|()| RedisServer::start_with(Flavor::Redis, Persistence::None, at_once));
        let at = ["127.0.0.1".to_owned(), old.port().to_string()];
        redis::cmd("REPLICAOF").arg(&at).exec(&mut connect(&new)).unwrap();
        Self { old, new }
    }

    /// From now on both call themselves master.
    fn part(&self) {
        replicate(&self.old, 1);
        redis::cmd("REPLICAOF").arg(&["NO", "ONE"]).exec(&mut connect(&self.new)).unwrap();
    }
}

fn url(sentinels: &[&StandIn]) -> String {
    let hosts = sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
    format!("redis+sentinel://{}/main", hosts.collect::<Vec<_>>().join(","))
}

/// Two instances that learned of the store from sentinels.
struct Fleet {
    tollgates: [Tollgate; 2],
    sentinels: Sentinels,
}

impl Fleet {
    fn start(flavor: Flavor) -> Self {
        let sentinels = Sentinels::start(flavor);
        let url = sentinels.url();
        let tollgates = [(); 2].map(|()| Tollgate::start(&["--store", &url]));
        let fleet = Self { tollgates, sentinels };
        let [writer, _] = &fleet.tollgates;
        for (customer, status) in [("good", "active"), ("bad", "disabled"), ("cold", "frozen")] {
            let path = format!("/v1/customers/{customer}");
            let made = writer.operate("PUT", &path, Some(&json!({"status": status})));
            assert_eq!(made.status, 201, "{made:?}");
        }
        fleet.decides("active", "customer_disabled");
        replicate(&fleet.sentinels.servers[fleet.sentinels.master().unwrap()], 2);
        fleet
    }

    fn decides(&self, good: &str, bad: &str) {
        for tollgate in &self.tollgates {
            tollgate.wait_until("deciding by the store", || {
                tollgate.reason_to_write("good") == good
                    && tollgate.reason_to_write("bad") == bad
                    && tollgate.reason_to_write("cold") == "customer_frozen"
            });
        }
    }

    /// Waits until both follow a server that is not the one at `before`, and says which.
    fn follows_another_master_than(&self, before: usize) -> usize {
        let [one, _] = &self.tollgates;
        let servers = &self.sentinels.servers;
        let others = || (0..servers.len()).filter(|place| *place != before);
        let followed = || others().find(|place| followers(&servers[*place]) == 2);
        one.wait_until("on the new master", || followed().is_some());
        followed().unwrap()
    }

    /// Each instance's changes are in that server, and decide on both.
    fn is_equal_to_the_store_on(&self, master: usize) {
        let before = revision(&self.sentinels.servers[master]);
        for (tollgate, path) in
            self.tollgates.iter().zip(["/v1/customers/good/disable", "/v1/customers/bad/enable"])
        {
            tollgate.wait_until("writing", || {
                tollgate.operate("POST", path, Some(&json!({}))).status == 200
            });
        }
        self.decides("customer_disabled", "active");
        let after = revision(&self.sentinels.servers[master]);
        assert_eq!(after, before + 2);
        for tollgate in &self.tollgates {
            tollgate.wait_until("at its watermark", || {
                let metrics = tollgate.admin("/metrics").body;
                metrics.lines().any(|line| line == format!("tollgate_feed_watermark {after}"))
            });
        }
    }
}

/// Waits until so many replicas have what this master has: a switch must not lose what the test
/// counts on.
fn replicate(master: &RedisServer, replicas: u32) {
    let mut master = connect(master);
    // Only what this connection wrote is waited for, and everything before it.
    redis::cmd("SET").arg("marker").arg(1).exec(&mut master).unwrap();
    let heard = redis::cmd("WAIT").arg(replicas).arg(10_000).query(&mut master);
    assert_eq!(heard, Ok(replicas));
}

/// Ends the connections to this server that are of this type, and says how many that were.
fn disconnect(server: &RedisServer, kind: &str) -> u64 {
    let kill = ["KILL", "TYPE", kind];
    redis::cmd("CLIENT").arg(&kill).query(&mut connect(server)).unwrap()
}

/// How many clients wait there for something.
fn blocked(server: &RedisServer) -> u64 {
    let info: String = redis::cmd("INFO").arg("clients").query(&mut connect(server)).unwrap();
    let count = info.lines().find_map(|line| line.trim().strip_prefix("blocked_clients:"));
    count.unwrap().parse().unwrap()
}

fn revision(server: &RedisServer) -> u64 {
    redis::cmd("HGET").arg("tollgate:{0}:meta").arg("rev").query(&mut connect(server)).unwrap()
}
