//! The users that the README makes have the rights that they need, and no more.

use serde_json::{Value, json};

use crate::{
    connect,
    support::{
        Flavor, Persistence, RedisServer,
        tollgate::{Tollgate, http},
    },
};

#[test]
fn a_pure_sidecar_follows_and_fills_and_can_neither_write_nor_read_what_is_private() {
    for flavor in [Flavor::Redis, Flavor::Valkey] {
        let redis = RedisServer::start(flavor, Persistence::None);
        make_users(&redis);
        let writer = Tollgate::start(&["--store", &redis.url()]);
        for (customer, status) in [("good", "active"), ("bad", "disabled")] {
            let body = json!({"status": status, "metadata": {"for": "operators"}});
            let made = writer.operate("PUT", &format!("/v1/customers/{customer}"), Some(&body));
            assert_eq!(made.status, 201, "{made:?}");
        }

        let sidecar = ["--store", &as_user(&redis, "sidecar"), "--operator-listen", "off"];
        let sidecar = Tollgate::start(&sidecar);
        assert_eq!(sidecar.reason_to_write("bad"), "customer_disabled");
        assert_eq!(sidecar.reason_to_write("good"), "active");
        assert_eq!(sidecar.reason_to_write("nobody"), "customer_unknown");
        let key = writer.operate("POST", "/v1/keys", Some(&json!({"name": "k", "role": "app"})));
        assert_eq!(key.status, 201, "{key:?}");
        let frozen = writer.operate("POST", "/v1/customers/good/freeze", Some(&json!({})));
        assert_eq!(frozen.status, 200, "{frozen:?}");
        sidecar.wait_until("told", || sidecar.reason_to_write("good") == "customer_frozen");
        assert_eq!(denied(&redis), [""; 0]);

        let url = as_user(&redis, "sidecar");
        let mut user = redis::Client::open(url).unwrap().get_connection().unwrap();
        for forbidden in [
            &["GET", "tollgate:{0}:private:default:bad"][..],
            &["GET", "tollgate:{0}:idem:1"],
            &["XRANGE", "tollgate:{0}:audit", "-", "+"],
            &["XRANGE", "tollgate:{0}:audit:default:bad", "-", "+"],
            &["GET", "another-application"],
            &["SCAN", "0"],
            &["SET", "tollgate:{0}:record:default:bad", "{}"],
            &["HSET", "tollgate:{0}:meta", "rev", "1"],
            &["DEL", "tollgate:{0}:meta"],
            &["PUBLISH", "tollgate:{0}:changes", "news"],
            &["SUBSCRIBE", "another-application"],
            &["EVAL", "return 1", "0"],
            &["CLIENT", "KILL", "TYPE", "normal"],
            &["FLUSHALL"],
            &["CONFIG", "GET", "*"],
        ] {
            let refused = redis::cmd(forbidden[0]).arg(&forbidden[1..]).exec(&mut user);
            assert_eq!(refused.unwrap_err().code(), Some("NOPERM"), "{forbidden:?}");
        }
    }
}

#[test]
fn the_user_of_an_instance_that_writes_can_do_every_act() {
    for flavor in [Flavor::Redis, Flavor::Valkey] {
        let redis = RedisServer::start(flavor, Persistence::None);
        make_users(&redis);
        let tollgate = Tollgate::start(&["--store", &as_user(&redis, "writer")]);
        for (method, path, body) in [
            ("PUT", "/v1/customers/c1", json!({"plan": "pro"})),
            ("POST", "/v1/customers/c1/freeze", json!({})),
            ("POST", "/v1/customers/c1/unfreeze", json!({})),
            ("POST", "/v1/customers/c1/disable", json!({})),
            ("POST", "/v1/customers/c1/enable", json!({})),
            ("POST", "/v1/customers/c1/deactivate", json!({})),
            ("POST", "/v1/customers/c1/reactivate", json!({})),
            ("POST", "/v1/keys", json!({"name": "k", "role": "app"})),
            ("DELETE", "/v1/customers/c1", Value::Null),
            ("GET", "/v1/customers/c1", Value::Null),
            ("GET", "/v1/customers?status=inactive", Value::Null),
            ("GET", "/v1/audit", Value::Null),
            ("GET", "/v1/customers/c1/audit", Value::Null),
            ("GET", "/v1/keys", Value::Null),
        ] {
            let body = Some(&body).filter(|body| !body.is_null());
            let done = tollgate.operate(method, path, body);
            assert!([200, 201].contains(&done.status), "{method} {path}: {done:?}");
        }
        tollgate.wait_until("told", || tollgate.reason_to_write("c1") == "customer_inactive");
        assert_eq!(denied(&redis), [""; 0]);
    }
}

#[test]
fn it_can_apply_what_billing_systems_say() {
    for flavor in [Flavor::Redis, Flavor::Valkey] {
        let redis = RedisServer::start(flavor, Persistence::None);
        make_users(&redis);
        let tollgate = Tollgate::start(&["--store", &as_user(&redis, "writer")]);
        tollgate.wait_for_log("Listening to billing systems");
        let shown = || tollgate.operate("GET", "/v1/ingest", None).json();
        tollgate.wait_until("the one that applies", || shown()["applies"] == true);
        let mut connection = connect(&redis);
        let mut say = |command: &[&str], text: &str| {
            redis::cmd(command[0]).arg(&command[1..]).arg(text).exec(&mut connection).unwrap();
        };
        let message = |customer: &str, status: &str| {
            json!({"customerId": customer, "status": status}).to_string()
        };
        let inbox = ["XADD", "tollgate:customer-status:inbox", "*", "data"];
        let channel = ["PUBLISH", "tollgate:customer-status"];
        say(&channel, &message("c1", "frozen"));
        say(&inbox, &message("c2", "disabled"));
        say(&inbox, "no json");
        tollgate.wait_until("told", || tollgate.reason_to_write("c1") == "customer_frozen");
        tollgate.wait_until("told", || tollgate.reason_to_write("c2") == "customer_disabled");
        // What the guard holds up goes from the channel to the inbox, and is applied from there.
        for number in 0..30 {
            say(&channel, &message(&format!("m{number}"), "disabled"));
        }
        tollgate.wait_until("paused", || shown()["sources"][0]["paused"] == true);
        tollgate.wait_until("heard all", || shown()["inbox"] == 12);
        let resumed = json!({"source": "billing"});
        let resumed = tollgate.operate("POST", "/v1/ingest/resume", Some(&resumed));
        assert_eq!(resumed.status, 200, "{resumed:?}");
        tollgate.wait_until("empty", || shown()["inbox"] == 0 && shown()["dead"] == 1);
        assert_eq!(denied(&redis), [""; 0]);
    }
}

#[test]
fn it_can_take_webhooks_and_keep_those_of_customers_that_nobody_knows() {
    for flavor in [Flavor::Redis, Flavor::Valkey] {
        let redis = RedisServer::start(flavor, Persistence::None);
        make_users(&redis);
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        std::fs::write(&secret, "a-secret-of-billabears").unwrap();
        let secret = format!("billabear={}", secret.display());
        let tollgate = Tollgate::start(&[
            "--store",
            &as_user(&redis, "writer"),
            "--webhook-listen",
            "127.0.0.1:0",
            "--webhook-secret-file",
            &secret,
        ]);
        let event = json!({"customer": {"id": "b1", "is_disabled": true}}).to_string();
        let path = "/webhooks/billabear/a-secret-of-billabears";
        let sent = || http(tollgate.webhook, "POST", path, &[], Some(&event)).status;
        assert_eq!(sent(), 202);
        let waiting = || tollgate.operate("GET", "/v1/ingest", None).json()["unresolved"].clone();
        assert_eq!(waiting(), 1);
        let made = tollgate.operate("PUT", "/v1/customers/b1", Some(&json!({})));
        assert_eq!(made.status, 201, "{made:?}");
        tollgate.wait_until("told", || tollgate.reason_to_write("b1") == "customer_disabled");
        tollgate.wait_until("taken off", || waiting() == 0);
        assert_eq!(sent(), 200);
        assert_eq!(denied(&redis), [""; 0]);
    }
}

#[test]
fn a_user_with_too_few_rights_is_refused_by_name() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let line = user_line("sidecar").replace(" +hmget", "");
    make_user(&redis, &line);
    let here = tempfile::tempdir().unwrap();
    let url = as_user(&redis, "sidecar");
    crate::refuses(here.path(), &["--store", &url], 1, &["--store", "rights", "hmget"]);
}

/// The line of the README that makes this user.
pub(crate) fn user_line(name: &str) -> String {
    let begin = format!("ACL SETUSER {name} ");
    let mut found = README.lines().filter(|line| line.starts_with(&begin));
    let line = found.next().unwrap_or_else(|| panic!("the README makes no user {name}"));
    assert_eq!(found.next(), None);
    line.to_owned()
}

fn make_users(redis: &RedisServer) {
    make_user(redis, &user_line("sidecar"));
    make_user(redis, &user_line("writer"));
}

fn make_user(redis: &RedisServer, line: &str) {
    let words: Vec<_> = line.split(' ').skip(1).collect();
    redis::cmd("ACL").arg(words).exec(&mut connect(redis)).unwrap();
}

/// Where a user of the README finds the store.
fn as_user(redis: &RedisServer, name: &str) -> String {
    redis.tcp_url().replace("redis://", &format!("redis://{name}:change-me@"))
}

/// What the server denied to whom.
fn denied(redis: &RedisServer) -> Vec<String> {
    let log: Vec<Vec<redis::Value>> =
        redis::cmd("ACL").arg("LOG").query(&mut connect(redis)).unwrap();
    log.iter().map(|entry| format!("{entry:?}")).collect()
}

const README: &str = include_str!("../../README.md");
