//! A start while the store is away: from the file that the process left, or from another instance.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

mod loss;

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use xxhash_rust::xxh64::xxh64;

use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{Tollgate, serve},
};

mod from_the_file {
    use super::*;

    #[test]
    fn a_restricted_customer_is_refused_within_a_second_of_a_start_without_redis() {
        let mut site = Site::new();
        let left = site.left_behind(&[]);
        site.redis.kill9();
        let tollgate = within_a_second(&left, &site.flags(&[]));
        assert_eq!(tollgate.reason_to_write("bad"), "customer_disabled");
        assert_eq!(tollgate.reason_to_write("good"), "not_restricted");
        tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
        let shown = tollgate.status()["snapshot"].clone();
        assert_eq!((&shown["bootedFrom"], &shown["onlyRefuses"]), (&json!("file"), &json!(false)));
        let metrics = tollgate.admin("/metrics").body;
        assert!(metrics.contains("tollgate_boot_source{source=\"file\"} 1"), "{metrics}");
    }

    #[test]
    fn a_redis_that_hangs_does_not_hold_up_the_first_refusal() {
        let site = Site::new();
        let left = site.left_behind(&[]);
        site.redis.pause();
        let tollgate = within_a_second(&left, &site.flags(&[]));
        assert_eq!(tollgate.reason_to_write("good"), "not_restricted");
        site.redis.resume();
        tollgate.wait_until("fresh", || tollgate.reason_to_write("good") == "active");
    }

    #[test]
    fn a_change_just_before_the_crash_is_there() {
        let mut site = Site::new();
        let mut tollgate = Tollgate::start(&site.flags(&[]));
        fill(&tollgate);
        let file = wait_for_file(&tollgate);
        let before = fs::read_to_string(&file).unwrap();
        for (customer, verb) in [("late", "freeze"), ("bad", "enable"), ("worse", "disable")] {
            act(&tollgate, customer, verb);
        }
        // It is written at once, and by another thread than the one that answered.
        tollgate.wait_until("noted", || journal(&file).contains("default:worse"));
        tollgate.kill9();
        site.redis.kill9();
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "the file was written anew");

        let tollgate = Tollgate::start_in(tollgate.data_dir(), &site.flags(&[]));
        tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
        for (customer, reason) in
            [("late", "customer_frozen"), ("worse", "customer_disabled"), ("bad", "not_restricted")]
        {
            assert_eq!(tollgate.reason_to_write(customer), reason, "{customer}");
        }
    }

    #[test]
    fn keys_are_good_and_revoked_as_they_were() {
        let mut site = Site::new();
        let mut tollgate = Tollgate::start(&site.flags(&[]));
        wait_for_file(&tollgate);
        let [good, revoked] = ["good", "revoked"].map(|name| make_key(&tollgate, name, &json!({})));
        let path = format!("/v1/keys/{}", revoked["id"].as_str().unwrap());
        assert_eq!(tollgate.operate("DELETE", &path, None).status, 200);
        assert!(tollgate.terminate().success());
        site.redis.kill9();

        let tollgate = Tollgate::start_in(tollgate.data_dir(), &site.flags(&[]));
        let ask = |key: &Value| {
            let token = format!("Bearer {}", key["token"].as_str().unwrap());
            let headers = [("authorization", token.as_str())];
            tollgate.operate_as(&headers, "GET", "/v1/snapshot", None).status
        };
        assert_eq!((ask(&good), ask(&revoked)), (200, 401));
    }

    #[test]
    fn when_redis_is_back_it_is_followed_from_the_log() {
        let mut site = Site::new();
        let left = site.left_behind(&[]);
        // Meanwhile others go on.
        let other = Tollgate::start(&site.flags(&["--snapshot-file", "off"]));
        act(&other, "new", "disable");
        act(&other, "bad", "enable");
        site.redis.kill9();
        let tollgate = Tollgate::start_in(Arc::clone(&left), &site.flags(&[]));
        tollgate.wait_until("refusing", || tollgate.reason_to_write("bad") == "customer_disabled");
        site.redis.restart();
        tollgate.wait_until("following", || {
            tollgate.reason_to_write("new") == "customer_disabled"
                && tollgate.reason_to_write("bad") == "active"
        });
        tollgate
            .wait_until("fresh", || tollgate.status()["staleness"]["stale"] == Value::Bool(false));
        assert_eq!(counted(&tollgate, "tollgate_feed_resnapshots_total"), "0");
        assert_eq!(counted(&tollgate, "tollgate_feed_catch_ups_total"), "1");
        assert!(!tollgate.log().concat().contains("Reading a snapshot"));
        // And what is heard now is beside the file again.
        let file = tollgate.data_dir().path().join("snapshot");
        act(&other, "newest", "disable");
        tollgate.wait_until("noted", || on_disk(&file).contains("default:newest"));
    }

    #[test]
    fn a_redis_that_forgot_while_tollgate_was_down_is_not_believed() {
        let site = Site::new();
        let left = site.left_behind(&[]);
        let mut redis =
            redis::Client::open(site.redis.tcp_url()).unwrap().get_connection().unwrap();
        redis::cmd("FLUSHALL").exec(&mut redis).unwrap();
        let tollgate = Tollgate::start_in(left, &site.flags(&[]));
        tollgate.wait_until("aware of it", || !tollgate.status()["store"]["lost"].is_null());
        assert_eq!(tollgate.reason_to_write("bad"), "customer_disabled");
        let refused = tollgate.operate("PUT", "/v1/customers/new", Some(&json!({})));
        assert_eq!((refused.status, refused.code().as_str()), (503, "STORE_LOST"));
        let left: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
        assert_eq!(left, ["tollgate:{0}:lost"], "somebody wrote more than that it is lost");
    }

    #[test]
    fn nothing_that_is_for_operators_is_in_the_file_and_nobody_else_can_read_it() {
        let site = Site::new();
        let mut tollgate = Tollgate::start(&site.flags(&[]));
        let file = wait_for_file(&tollgate);
        let private = json!({"name": MARKER, "metadata": {"note": MARKER}});
        assert_eq!(tollgate.operate("PUT", "/v1/customers/c1", Some(&private)).status, 201);
        let notes = json!({"notes": MARKER, "reason": "fraud"});
        assert_eq!(tollgate.operate("POST", "/v1/customers/c1/disable", Some(&notes)).status, 200);
        tollgate.wait_until("noted", || journal(&file).contains("default:c1"));
        let given = tollgate.operate("GET", "/v1/snapshot", None).body;
        let beside = journal(&file);
        assert!(tollgate.terminate().success());
        let written = fs::read_to_string(&file).unwrap();
        for text in [given, beside, written, journal(&file)] {
            assert!(!text.contains(MARKER), "{text}");
            assert!(!text.contains("an-admin-token"), "{text}");
        }
        assert!(fs::read_to_string(&file).unwrap().contains("default:c1"));
        for path in [file.clone(), journal_of(&file)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

mod of_some_age {
    use super::*;

    #[test]
    fn an_old_file_refuses_whom_it_names_and_lets_nobody_in() {
        let mut site = Site::new();
        let left = site.left_behind(&[]);
        confirmed(&left, |millis| millis - 25 * HOUR);
        refuses_only(&mut site, left, "too_stale");
    }

    #[test]
    fn a_file_from_the_future_refuses_whom_it_names_and_lets_nobody_in() {
        let mut site = Site::new();
        let left = site.left_behind(&[]);
        confirmed(&left, |millis| millis + HOUR);
        refuses_only(&mut site, left, "store_unreachable");
    }

    fn refuses_only(site: &mut Site, left: Arc<TempDir>, others: &str) {
        site.redis.kill9();
        // Whatever the limits are.
        let flags = site.flags(&["--stale-limit", "90d"]);
        let tollgate = within_a_second(&left, &flags);
        assert_eq!(tollgate.reason_to_write("bad"), "customer_disabled");
        assert_eq!(tollgate.reason_to_write("good"), others);
        assert_eq!(tollgate.admin("/readyz").status, 503);
        assert_eq!(tollgate.admin("/livez").status, 200);
        assert_eq!(tollgate.status()["snapshot"]["onlyRefuses"], true);
        site.redis.restart();
        tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
        assert_eq!(tollgate.reason_to_write("bad"), "customer_disabled");
        assert_eq!(tollgate.reason_to_write("good"), "active");
        assert_eq!(counted(&tollgate, "tollgate_feed_resnapshots_total"), "0");
    }

    #[test]
    fn past_the_stale_limit_a_snapshot_still_refuses_whom_it_names() {
        let mut site = Site::new();
        let left = site.left_behind(&[]);
        confirmed(&left, |millis| millis - 2 * HOUR);
        site.redis.kill9();
        let tollgate = within_a_second(&left, &site.flags(&[]));
        assert_eq!(tollgate.reason_to_write("bad"), "customer_disabled");
        assert_eq!(tollgate.reason_to_write("good"), "too_stale");
        // It is a picture all the same.
        tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
        let asked = json!({"customerId": "bad", "action": "write"});
        let age = tollgate.check(&asked).json()["ageMs"].as_u64().unwrap();
        assert!(age >= 2 * HOUR, "{age}");
    }
}

mod that_cannot_be_used {
    use super::*;

    #[test]
    fn is_told_and_the_start_goes_on_without_it() {
        let mut site = Site::new();
        let left = site.left_behind(&[]);
        let file = left.path().join("snapshot");
        let whole = fs::read_to_string(&file).unwrap();
        let changed = |from: &str, to: &str| whole.replacen(from, to, 1);
        let body = whole.split("checksum ").next().unwrap();
        let cases = [
            ("it is torn", whole.get(..whole.len() / 2).unwrap().to_owned()),
            ("it is torn", "tollgate-sn".to_owned()),
            ("its checksum does not agree", changed("default:bad", "default:bat")),
            ("it is no snapshot", "{\"customers\": []}".to_owned()),
            ("it is no snapshot", String::from_utf8_lossy(&[0xff; 99]).into_owned()),
            ("its format is 9", changed("tollgate-snapshot 1", "tollgate-snapshot 9")),
            (
                "2 partitions, and this one has 1",
                summed(&format!(
                    "{}partition 1 e 1 1-0 1\nlineage e - whole\nwithheld 0\n\
                     end 0 0000000000000000\n",
                    body.replacen("partitions 1", "partitions 2", 1)
                )),
            ),
            (
                "do not agree with their count and digest",
                summed(&body.replacen("end 1", "end 2", 1)),
            ),
            ("is not what belongs there", summed(&body.replacen("default:bad", "nobody", 1))),
        ];
        site.redis.kill9();
        for (sentence, text) in &cases {
            fs::write(&file, text).unwrap();
            let flags = site.flags(&["--partitions", "1"]);
            let tollgate = Tollgate::start_in(Arc::clone(&left), &flags);
            let line = tollgate.wait_for_log("is not used to begin with");
            assert!(line.contains(sentence), "{sentence}: {line}");
            assert_eq!(tollgate.admin("/readyz").status, 503, "{sentence}");
            assert_eq!(tollgate.reason_to_write("bad"), "store_unreachable", "{sentence}");
            assert_eq!(tollgate.status()["snapshot"]["bootedFrom"], "none");
        }
        let tollgate = Tollgate::start_in(Arc::clone(&left), &site.flags(&[]));
        site.redis.restart();
        tollgate.wait_until("ready", || tollgate.reason_to_write("bad") == "customer_disabled");
        assert_eq!(tollgate.status()["snapshot"]["bootedFrom"], "store");
        // What cannot be used is replaced.
        tollgate.wait_until("written anew", || {
            fs::read_to_string(&file).is_ok_and(|text| text.contains("default:bad "))
        });
    }

    #[test]
    fn a_torn_journal_is_good_up_to_where_it_is_torn() {
        let mut site = Site::new();
        let mut tollgate = Tollgate::start(&site.flags(&[]));
        let file = wait_for_file(&tollgate);
        act(&tollgate, "first", "disable");
        act(&tollgate, "second", "disable");
        tollgate.wait_until("noted", || journal(&file).contains("default:second"));
        tollgate.kill9();
        site.redis.kill9();
        let whole = journal(&file);
        let torn = whole.find("default:second").unwrap() + 4;
        fs::write(journal_of(&file), &whole[..torn]).unwrap();
        let tollgate = Tollgate::start_in(tollgate.data_dir(), &site.flags(&[]));
        tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
        assert_eq!(tollgate.reason_to_write("first"), "customer_disabled");
        assert_eq!(tollgate.reason_to_write("second"), "not_restricted");
    }
}

mod from_another_instance {
    use super::*;

    #[test]
    fn one_without_a_file_refuses_within_a_second_too() {
        let mut site = Site::new();
        let first = Tollgate::start(&site.flags(&[]));
        fill(&first);
        let key = make_key(&first, "boot", &json!({}));
        let token = token_file(&key);
        site.redis.kill9();
        // The instance that is asked need not have the store either.
        first.wait_until("cut off", || first.status()["feed"]["connected"] == false);

        let url = format!("http://{}", first.operator);
        let token = token.path().join("token").display().to_string();
        let flags = ["--boot-from", &url, "--boot-token-file", &token];
        let fresh = Arc::new(tempfile::tempdir().unwrap());
        let second = within_a_second(&fresh, &site.flags(&flags));
        assert_eq!(second.reason_to_write("good"), "not_restricted");
        second.wait_until("ready", || second.admin("/readyz").status == 200);
        assert_eq!(second.status()["snapshot"]["bootedFrom"], "peer");
        assert!(!second.log().concat().contains(key["token"].as_str().unwrap()));
        // From now on it has a file of its own.
        wait_for_file(&second);
        site.redis.restart();
        second.wait_until("following", || second.reason_to_write("good") == "active");
        assert_eq!(counted(&second, "tollgate_feed_resnapshots_total"), "0");
    }

    #[test]
    fn a_snapshot_is_for_viewers_of_all_tenants() {
        let site = Site::new();
        let tollgate = Tollgate::start(&site.flags(&[]));
        fill(&tollgate);
        let ask = |key: &Value| {
            let token = format!("Bearer {}", key["token"].as_str().unwrap());
            let headers = [("authorization", token.as_str())];
            tollgate.operate_as(&headers, "GET", "/v1/snapshot", None)
        };
        let viewer = ask(&make_key(&tollgate, "viewer", &json!({})));
        assert_eq!(viewer.status, 200);
        assert!(viewer.body.contains("default:bad ") && !viewer.body.contains("default:good "));
        assert_eq!(viewer.header("cache-control"), Some("no-store"));
        for (wrong, code) in [
            (json!({"tenant": "default"}), "NO_TENANT_ACCESS"),
            (json!({"role": "app"}), "INSUFFICIENT_ROLE"),
        ] {
            let refused = ask(&make_key(&tollgate, "wrong", &wrong));
            assert_eq!((refused.status, refused.code().as_str()), (403, code));
        }
        let stranger = tollgate.operate_as(&[], "GET", "/v1/snapshot", None);
        assert_eq!((stranger.status, stranger.code().as_str()), (401, "AUTH_REQUIRED"));
    }

    #[test]
    fn one_that_has_no_picture_itself_says_so_and_one_that_refuses_is_told() {
        let mut site = Site::new();
        site.redis.kill9();
        let first = Tollgate::start_unready(&site.flags(&[]));
        let given = first.operate("GET", "/v1/snapshot", None);
        assert_eq!((given.status, given.code().as_str()), (503, "STORE_UNREACHABLE"));

        let url = format!("http://{}", first.operator);
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token").display().to_string();
        fs::write(&token, "not-a-token\n").unwrap();
        let flags = ["--boot-from", &url, "--boot-token-file", &token];
        let second = Tollgate::start_unready(&site.flags(&flags));
        let told = second.wait_for_log("is not used to begin with");
        assert!(told.contains("it answered 401"), "{told}");
        // The token is read anew each time.
        fs::write(&token, support::tollgate::ADMIN_TOKEN).unwrap();
        let told = second.wait_for_log("it answered 503");
        assert!(!told.contains("token-for-tests"), "{told}");
        assert_eq!(second.admin("/readyz").status, 503);
    }
}

mod without_anything {
    use super::*;

    #[test]
    fn a_start_is_not_ready_until_it_is_told_to_be() {
        let mut site = Site::new();
        site.redis.kill9();
        let waits = Tollgate::start_unready(&site.flags(&["--boot-timeout", "50ms"]));
        waits.wait_for_log("There is no picture to decide by");
        assert_eq!(waits.admin("/readyz").status, 503);
        assert_eq!(waits.admin("/livez").status, 200);

        let flags = site.flags(&["--boot-timeout", "50ms", "--ready-without-picture"]);
        let ready = Tollgate::start(&flags);
        ready.wait_for_log("There is no picture to decide by");
        assert_eq!(ready.reason_to_write("anybody"), "store_unreachable");
        assert_eq!(ready.ask("GET", "/v1/nginx", &[("x-customer-id", "c1")]).status, 503);
        site.redis.restart();
        ready.wait_until("deciding", || ready.reason_to_write("anybody") == "customer_unknown");
    }
}

mod expecting_an_epoch {
    use super::*;

    #[test]
    fn the_store_that_began_with_it_is_followed_and_no_other() {
        let site = Site::new();
        let first = Tollgate::start(&site.flags(&[]));
        fill(&first);
        first.wait_until("told", || first.status()["store"]["created"].is_string());
        let created = first.status()["store"]["created"].as_str().unwrap().to_owned();
        let right = Tollgate::start(&site.flags(&["--expect-epoch", &created]));
        assert_eq!(right.reason_to_write("bad"), "customer_disabled");

        let directory = tempfile::tempdir().unwrap();
        let flags = site.flags(&["--expect-epoch", "another"]);
        let ended = serve(directory.path(), &flags).stderr(std::process::Stdio::piped()).output();
        let ended = ended.unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success());
        assert!(said.contains("--expect-epoch says another") && said.contains(&created), "{said}");
    }

    #[test]
    fn an_empty_store_is_not_begun_and_one_that_comes_later_is_not_believed() {
        let mut site = Site::new();
        let flags = site.flags(&["--expect-epoch", "another"]);
        let waits = Tollgate::start_unready(&flags);
        waits.wait_for_log("STORE_UNINITIALISED");
        let begun = Tollgate::start(&site.flags(&[]));
        act(&begun, "bad", "disable");
        waits.wait_until("aware of it", || !waits.status()["store"]["lost"].is_null());
        assert_eq!(waits.reason_to_write("bad"), "store_unreachable");
        assert_eq!(waits.admin("/readyz").status, 503);
        site.redis.kill9();
    }

    #[test]
    fn a_file_of_another_store_is_not_used() {
        let mut site = Site::new();
        let left = site.left_behind(&[]);
        site.redis.kill9();
        let flags = site.flags(&["--expect-epoch", "another"]);
        let tollgate = Tollgate::start_in(left, &flags);
        let line = tollgate.wait_for_log("is not used to begin with");
        assert!(line.contains("--expect-epoch"), "{line}");
        assert_eq!(tollgate.reason_to_write("bad"), "store_unreachable");
    }
}

/// A Redis, and what a Tollgate on it is started with.
struct Site {
    redis: RedisServer,
    url: String,
}

impl Site {
    fn new() -> Self {
        let redis = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
        let url = redis.url();
        Self { redis, url }
    }

    fn flags<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["--store", &self.url, "--heartbeat", "100ms"], more].concat()
    }

    /// The data directory of a process that knew both and was asked to stop.
    fn left_behind(&self, more: &[&str]) -> Arc<TempDir> {
        let mut tollgate = Tollgate::start(&self.flags(more));
        fill(&tollgate);
        assert!(tollgate.terminate().success());
        let file = tollgate.data_dir().path().join("snapshot");
        assert!(fs::read_to_string(file).unwrap().contains("default:bad "));
        tollgate.data_dir()
    }
}

/// Makes two customers: `good` may do all, and `bad` nothing.
fn fill(tollgate: &Tollgate) {
    assert_eq!(tollgate.operate("PUT", "/v1/customers/good", Some(&json!({}))).status, 201);
    act(tollgate, "bad", "disable");
    tollgate.wait_until("refusing", || tollgate.reason_to_write("bad") == "customer_disabled");
}

/// Starts one in `left` and waits until it refuses `bad`, for a second at most.
fn within_a_second(left: &Arc<TempDir>, flags: &[&str]) -> Tollgate {
    within_a_second_for(left, flags, "bad")
}

/// The same for another customer.
fn within_a_second_for(left: &Arc<TempDir>, flags: &[&str], customer: &str) -> Tollgate {
    let begun = Instant::now();
    let tollgate = Tollgate::start_in(Arc::clone(left), flags);
    tollgate.wait_until("refusing", || {
        tollgate.ask("POST", "/v1/forward-auth", &[("x-customer-id", customer)]).status == 403
    });
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    tollgate
}

fn act(tollgate: &Tollgate, customer: &str, verb: &str) {
    let path = format!("/v1/customers/{customer}/{verb}");
    let create = json!({"create": true});
    let body = if verb == "enable" { None } else { Some(&create) };
    let acted = tollgate.operate("POST", &path, body);
    assert_eq!(acted.status, 200, "{acted:?}");
}

/// Makes a viewer's key, or another one.
fn make_key(tollgate: &Tollgate, name: &str, other: &Value) -> Value {
    let mut asked = json!({"name": name, "role": "viewer"});
    asked.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    let made = tollgate.operate("POST", "/v1/keys", Some(&asked));
    assert_eq!(made.status, 201, "{made:?}");
    made.json()
}

fn token_file(key: &Value) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("token"), key["token"].as_str().unwrap()).unwrap();
    directory
}

/// Waits until the snapshot file and its journal are there.
fn wait_for_file(tollgate: &Tollgate) -> PathBuf {
    let file = tollgate.data_dir().path().join("snapshot");
    tollgate.wait_until("kept on disk", || file.exists() && journal_of(&file).exists());
    file
}

fn journal_of(file: &std::path::Path) -> PathBuf {
    file.with_file_name("snapshot.journal")
}

fn journal(file: &std::path::Path) -> String {
    fs::read_to_string(journal_of(file)).unwrap_or_default()
}

/// The file and the journal, whichever of them it is in.
fn on_disk(file: &std::path::Path) -> String {
    journal(file) + &fs::read_to_string(file).unwrap_or_default()
}

/// Changes when the store last confirmed what lies in `left`.
fn confirmed(left: &TempDir, change: impl Fn(u64) -> u64) {
    let file = left.path().join("snapshot");
    let text = fs::read_to_string(&file).unwrap();
    let body = text.split("checksum ").next().unwrap();
    let line = body.lines().find(|line| line.starts_with("partition ")).unwrap();
    let (head, millis) = line.rsplit_once(' ').unwrap();
    let changed = format!("{head} {}", change(millis.parse().unwrap()));
    fs::write(&file, summed(&body.replacen(line, &changed, 1))).unwrap();
    fs::remove_file(journal_of(&file)).unwrap();
}

/// With the checksum that belongs to it.
fn summed(body: &str) -> String {
    format!("{body}checksum {:016x}\n", xxh64(body.as_bytes(), 0))
}

/// A metric without labels.
fn counted(tollgate: &Tollgate, metric: &str) -> String {
    let metrics = tollgate.admin("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.unwrap().to_owned()
}

const HOUR: u64 = 3_600_000;
const MARKER: &str = "a-marker-for-operators-only";
