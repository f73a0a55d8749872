//! Whoever is purged is erased, stays restricted, and is never made anew by what comes later.

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use serde_json::{Value, json};

use raw::redis;
use support::{
    Flavor, Persistence, RedisServer,
    operators::{act, assert_refused, audit, put, read, role, with_token},
    tollgate::{Answer, Tollgate},
};

/// What must not be found anywhere afterwards.
const SECRET: &str = "erase-me-7f3a";

/// A Tollgate over memory, and one over a Redis of its own, which let in whoever is unknown.
fn everywhere() -> Vec<(Option<RedisServer>, Tollgate)> {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let over = |store: &str| Tollgate::start(&["--store", store, "--unknown-customers", "allow"]);
    let redis = over(&server.url());
    vec![(None, over("memory:")), (Some(server), redis)]
}

fn purge(tollgate: &Tollgate, id: &str) -> Answer {
    tollgate.operate("POST", &format!("/v1/customers/{id}/purge"), None)
}

/// Writes a customer of whom everything is known, by that name and with notes.
fn put_whole(tollgate: &Tollgate, id: &str) {
    let body = json!({"name": SECRET, "metadata": {"note": SECRET}, "plan": "pro",
                      "features": ["sso"], "limits": {"seats": {"max": 5}},
                      "aliases": {"billing": format!("B-{id}")}});
    put(tollgate, id, &body);
    act(tollgate, id, "freeze", &json!({"notes": SECRET}));
}

fn reason_to(tollgate: &Tollgate, id: &str, action: &str) -> Value {
    tollgate.check(&json!({"customerId": id, "action": action})).json()["reason"].clone()
}

#[test]
fn nothing_of_an_erased_customer_is_left_but_its_restrictions_and_the_skeleton_of_its_trail() {
    for (server, tollgate) in everywhere() {
        put_whole(&tollgate, "c1");
        let before = audit(&tollgate, "c1").len();
        let purged = purge(&tollgate, "c1");
        assert_eq!((purged.status, &purged.json()["changed"]), (200, &json!(true)), "{purged:?}");
        let left = read(&tollgate, "c1");
        assert!(left["purgedAt"].is_string(), "{left}");
        assert_eq!(
            (&left["status"], &left["aliases"]),
            (&json!("frozen"), &json!({"billing": "B-c1"}))
        );
        for gone in ["name", "plan", "features", "limits"] {
            assert_eq!(left[gone], Value::Null, "{gone}");
        }
        let trail = audit(&tollgate, "c1");
        assert_eq!((trail.len(), &trail[0]["action"]), (before + 1, &json!("purge")));
        assert_eq!(
            (&trail[1]["action"], &trail[1]["notesErased"]),
            (&json!("freeze"), &json!(true))
        );
        for path in
            ["/v1/customers/c1", "/v1/customers", "/v1/audit", "/v1/audit/chain", "/v1/explain/c1"]
        {
            let answer = tollgate.operate("GET", path, None);
            assert!(answer.status == 200 && !answer.body.contains(SECRET), "{path}: {answer:?}");
        }
        if let Some(server) = &server {
            assert!(!everything_in(server).contains(SECRET));
        }
        let verified = tollgate.cli(&["audit", "verify"]);
        assert!(verified.status.success(), "{verified:?}");
        let again = purge(&tollgate, "c1");
        assert_eq!((again.status, &again.json()["changed"]), (200, &json!(false)));
    }
}

/// Every value in a Redis, as text.
fn everything_in(server: &RedisServer) -> String {
    let url = server.url();
    let all = r"local out = {}
        local function add(value)
          if type(value) == 'table' then for _, it in ipairs(value) do add(it) end
          else out[#out + 1] = tostring(value) end
        end
        for _, key in ipairs(redis.call('KEYS', '*')) do
          local kind = redis.call('TYPE', key).ok
          add(key)
          if kind == 'string' then add(redis.call('GET', key))
          elseif kind == 'hash' then add(redis.call('HGETALL', key))
          elseif kind == 'zset' then add(redis.call('ZRANGE', key, 0, -1))
          elseif kind == 'stream' then add(redis.call('XRANGE', key, '-', '+'))
          else error('what is a ' .. kind) end
        end
        return table.concat(out, ' ')";
    let everything = redis(&url, &["EVAL", all, "0"]);
    assert!(everything.contains("tollgate:{0}:meta"), "{everything}");
    everything
}

#[test]
fn an_erased_customer_is_unknown_to_every_check_also_where_the_unknown_are_let_in() {
    for (_server, tollgate) in everywhere() {
        put(&tollgate, "c1", &json!({"features": ["sso"]}));
        put_whole(&tollgate, "c2");
        assert_eq!(reason_to(&tollgate, "nobody", "write"), "unknown_allowed");
        assert_eq!([purge(&tollgate, "c1").status, purge(&tollgate, "c2").status], [200, 200]);
        assert_eq!(reason_to(&tollgate, "c1", "write"), "customer_unknown");
        assert_eq!(reason_to(&tollgate, "c2", "write"), "customer_frozen");
        assert_eq!(reason_to(&tollgate, "c2", "read"), "customer_unknown");
        let limits = |id| tollgate.ask("GET", &format!("/v1/customers/{id}/limits"), &[]);
        assert_eq!((limits("c1").status, limits("c1").code().as_str()), (404, "CUSTOMER_UNKNOWN"));
        let of_restricted = limits("c2").json();
        assert_eq!(
            (&of_restricted["status"], &of_restricted["features"]),
            (&json!("frozen"), &Value::Null)
        );
        let list = |query: &str| tollgate.operate("GET", &format!("/v1/customers{query}"), None);
        assert_eq!(
            [list("").json()["count"].clone(), list("?status=frozen").json()["count"].clone()],
            [0, 0]
        );
        let explained = tollgate.operate("GET", "/v1/explain/c1", None).json();
        assert_eq!(explained["record"]["state"], "purged", "{explained}");
    }
}

#[test]
fn an_erased_customer_is_refused_also_while_the_store_is_away_and_after_a_restart() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let url = server.url();
    let flags = ["--store", &url, "--unknown-customers", "allow"];
    let (one, mut other) = (Tollgate::start(&flags), Tollgate::start(&flags));
    for id in ["c1", "c2"] {
        put(&one, id, &json!({}));
        assert_eq!(
            [reason_to(&one, id, "write"), reason_to(&other, id, "write")],
            ["active", "active"]
        );
    }
    assert_eq!(purge(&one, "c1").status, 200);
    let refused = |tollgate: &Tollgate| reason_to(tollgate, "c1", "write") == "customer_unknown";
    other.wait_until("told", || refused(&other));
    assert!(other.terminate().success());
    server.pause();
    let again = Tollgate::start_in(other.data_dir(), &flags);
    again.wait_until("started from its file", || again.admin("/readyz").status == 200);
    for (tollgate, otherwise) in [(&one, "active"), (&again, "not_restricted")] {
        assert!(refused(tollgate));
        assert_eq!(reason_to(tollgate, "c2", "write"), otherwise);
    }
}

#[test]
fn nothing_that_comes_later_makes_an_erased_customer_anew() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let tollgate = Tollgate::start(&["--store", &server.url(), "--unknown-customers", "allow"]);
    put_whole(&tollgate, "c1");
    assert_eq!(purge(&tollgate, "c1").status, 200);
    let put = tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({"name": "Ada"})));
    assert_refused(&put, 409, "CUSTOMER_PURGED");
    let taken_in = || tollgate.sum_of("tollgate_ingest_messages_total", "via=");
    for id in ["c1", "B-c1"] {
        let before = taken_in();
        let message = json!({"customerId": id, "status": "active"}).to_string();
        let inbox = "tollgate:customer-status:inbox";
        redis(&server.url(), &["XADD", inbox, "*", "data", &message]);
        tollgate.wait_until("taken in", || taken_in() > before);
    }
    let frozen = json!({"source": "stripe", "create": true});
    act(&tollgate, "c1", "freeze", &frozen);
    act(&tollgate, "c1", "unfreeze", &json!({"source": "stripe"}));
    act(&tollgate, "c1", "unfreeze", &json!({}));
    assert_eq!(reason_to(&tollgate, "c1", "write"), "customer_unknown");
    assert_eq!(reason_to(&tollgate, "B-c1", "write"), "unknown_allowed", "an alias is no id");
    assert!(read(&tollgate, "c1")["purgedAt"].is_string());
}

#[test]
fn to_purge_takes_an_admin_and_somebody_who_means_it() {
    let tollgate = Tollgate::start(&["--store", "memory:"]);
    put(&tollgate, "c1", &json!({"obligations": {"activeSubscriptions": 1}}));
    let manager = role(&tollgate, "manager");
    let refused = with_token(&tollgate, &manager, "POST", "/v1/customers/c1/purge", None);
    assert_refused(&refused, 403, "INSUFFICIENT_ROLE");
    assert_refused(&purge(&tollgate, "c1"), 409, "CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS");
    assert_refused(&purge(&tollgate, "nobody"), 404, "NOT_FOUND");
    put(&tollgate, "c1", &json!({"obligations": null}));
    let unsure = tollgate.cli(&["purge", "c1"]);
    assert_eq!(unsure.status.code(), Some(1), "{unsure:?}");
    assert_eq!(tollgate.cli(&["purge", "c1", "--dry-run"]).status.code(), Some(0));
    assert_eq!(read(&tollgate, "c1")["purgedAt"], Value::Null);
    let done = tollgate.cli(&["purge", "c1", "--yes", "--notes", "asked for it"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(read(&tollgate, "c1")["purgedAt"].is_string());
    assert_eq!(audit(&tollgate, "c1")[0]["notes"], "asked for it");
}
